/* One pass: opens what its nodes read, wires them, streams, ends their results. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "pipeline/engine/fingerprint.h"
#include "pipeline/engine/node_work.h"
#include "pipeline/engine/stream.h"

/* ---- Hashing on the way ---- */

/* Raw files read for the first time are hashed by the pass that reads them. */
static ep_status hash_start(struct ep_running *r, struct ep_pass *p, const struct ep_source_ref **ref, struct ep_err *e)
{
    for (size_t k = 0; k < p->nsource; k++) {
        struct ep_raw *w = ref[k]->raw;
        if (!w || w->content.hex[0]) continue;
        if (p->source[k].src && ep_source_hash_start(p->source[k].src)) continue;
        ep_status st = ep_raw_hash(r->g, w, e);
        if (st) return st;
    }
    return EP_OK;
}

static ep_status hash_end(struct ep_running *r, struct ep_pass *p, const struct ep_source_ref **ref, struct timespec start, struct ep_err *e)
{
    for (size_t k = 0; k < p->nsource; k++) {
        struct ep_raw *w = ref[k]->raw;
        struct ep_hash h;
        if (!w || w->content.hex[0]) continue;
        ep_status st = ep_source_hash_end(p->source[k].src, p->threads, &h, e);
        if (st) return st;
        ep_raw_remember(w->file, w->index, ep_graph_memory(r->g), &h, start);
        ep_raw_set_content(w, &h);
    }
    ep_graph_fingerprints(r->g);
    return EP_OK;
}

/* ---- A pass ------------------------------------------------------------------------------------------------ */

struct pass_build {
    struct ep_pass pass;
    struct ep_node **node; size_t nnode;        /* the chain, without what could not be prepared */
    const struct ep_source_ref **ref; size_t nref;
    struct ep_file **file;                      /* result files of kept images, by source */
    struct ep_signal **owned;                   /* maps of raw files, by source */
};

static ep_status open_source(const struct ep_running *r, struct pass_build *b, const struct ep_source_ref *src, size_t k, struct ep_err *e)
{
    struct ep_pass_source *s = &b->pass.source[k];
    if (src->raw) {
        ep_status st = ep_raw_open(src->raw, e);
        if (st) return st;
        s->d = &src->raw->d;
        s->mask = src->raw->mask;
        if (src->raw->d.kind == EP_MAP) {
            struct ep_signal *map;
            st = ep_file_load(src->raw->file, src->raw->index, (size_t)1 << 32, &map, e);
            if (!st) s->map = b->owned[k] = map;
            return st;
        }
        st = ep_source_open(src->raw->file, src->raw->index, &s->src, e);
        size_t chunk = st ? 0 : ep_source_chunk_bytes(s->src), memory = r->o->memory;
        if (memory && chunk > memory)
            return ep_fail(e, EP_E_INPUT, "%s: stored in chunks of %.4g MiB, more than --memory gives (%.4g MiB): give more, or save the file with "
                           "smaller chunks (`s.save(name, chunks=...)` in HyperSpy)", src->raw->path, (double)chunk / 1048576, (double)memory / 1048576);
        return st;
    }
    const struct ep_desc *d = &src->node->decl.out[src->out];
    if (src->node->failed) return ep_node_needs_failed(src->node, e);
    if (ep_node_in_memory(src->node, d)) {
        const struct ep_signal *sig;
        ep_status st = ep_node_signal(src->node, src->out, &sig, e);
        if (st) return st;
        s->d = &sig->d;
        if (d->kind == EP_MAP) s->map = sig;
        else return ep_source_memory(sig, &s->src, e);
        return EP_OK;
    }
    size_t index;
    ep_status st = ep_file_open(src->node->path, &b->file[k], e);
    if (!st) st = ep_file_find(b->file[k], d->name, EP_IMAGE, &index, e);
    if (!st) st = ep_source_open(b->file[k], index, &s->src, e);
    if (!st) s->d = ep_source_desc(s->src);
    return st;
}

static bool same_ref(const struct ep_source_ref *a, const struct ep_source_ref *b)
{
    return a->raw == b->raw && a->node == b->node && (a->raw || a->out == b->out);
}

static long chain_index(const struct pass_build *b, const struct ep_node *n)
{
    for (size_t i = 0; i < b->nnode; i++)
        if (b->node[i] == n) return (long)i;
    return -1;
}

/* What a sum or mean says of its noise, and a profile of its place, is known only when it is done: then stages that use it declare again. */
static bool new_noise(struct ep_graph *g, struct ep_item *item, const struct ep_desc *now)
{
    const struct ep_desc *was = item->d;
    if (now->frame_id != was->frame_id) { /* a result does not know in which frame it was taken; the graph does */
        struct ep_desc *placed = EP_ARENA_NEW(g->arena, struct ep_desc);
        *placed = *now;
        placed->frame_id = was->frame_id;
        now = placed;
    }
    item->d = now;
    return was->gain != now->gain || was->read_noise != now->read_noise || was->gain_estimated != now->gain_estimated ||
           was->placement_sigma != now->placement_sigma ||
           was->low.end != now->low.end || (now->low.end && (was->low.gain != now->low.gain || was->low.read_noise != now->low.read_noise));
}

/* In an array of its own, so that what uses the outputs sees that they have changed. */
static void describe(struct ep_graph *g, struct ep_node *n)
{
    if (!n->stage->describe) return;
    struct ep_desc *out = EP_ARENA_ARRAY(g->arena, struct ep_desc, n->decl.nout + 1);
    memcpy(out, n->decl.out, n->decl.nout * sizeof *out);
    n->stage->describe(n->plan, out);
    n->decl.out = out;
}

static bool declare_again(struct ep_running *r, struct ep_node *n, struct ep_err *e)
{
    struct ep_diag d = {0};
    ep_node_declare(r->g, n, &d);
    bool ok = d.nerrors == 0;
    if (!ok) ep_fail(e, EP_E_COMPUTE, "%s", d.n ? d.items[0].msg : "its input is not what it was said to be");
    ep_diag_free(&d);
    return ok;
}

/* Wires one node: every streamed item to a source or to an earlier node. False when something it needs is not there. */
static bool wire_node(struct ep_running *r, struct pass_build *b, struct ep_node *n, struct ep_err *e)
{
    bool again = false;
    struct ep_pass_node *pn = &b->pass.node[b->nnode];
    size_t total = 0;
    for (size_t p = 0; p < n->stage->nports; p++) total += n->nitem[p];
    *pn = (struct ep_pass_node){.stage = n->stage, .decl = &n->decl, .label = n->label};
    pn->in = ep_xcalloc(total + 1, sizeof *pn->in);
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; n->stage->ports[p].stream && i < n->nitem[p]; i++) {
            struct ep_pass_in *in = &pn->in[pn->nin++];
            const struct ep_source_ref *src = &n->item[p][i];
            if (ep_node_fused(n, p, i)) {
                long k = chain_index(b, src->node);
                if (k < 0) {
                    ep_node_needs_failed(src->node, e);
                    goto fail;
                }
                *in = (struct ep_pass_in){true, (size_t)k, src->out};
                again |= new_noise(r->g, &n->item_store[p][i], &src->node->decl.out[src->out]) || src->node->noise_late;
                continue;
            }
            size_t k = 0;
            while (k < b->nref && !same_ref(b->ref[k], src)) k++;
            if (k == b->nref) {
                if (open_source(r, b, src, k, e)) {
                    struct ep_pass_source *s = &b->pass.source[k];
                    ep_source_close(s->src);
                    ep_file_close(b->file[k]);
                    ep_signal_free(b->owned[k]);
                    b->file[k] = NULL;
                    b->owned[k] = NULL;
                    memset(s, 0, sizeof *s);
                    goto fail;
                }
                b->ref[b->nref++] = src;
                b->pass.nsource = b->nref;
            }
            *in = (struct ep_pass_in){false, k, 0};
            again |= new_noise(r->g, &n->item_store[p][i], b->pass.source[k].d);
        }
    if (again && !declare_again(r, n, e)) goto fail;
    n->noise_late |= again;
    return true;
fail:
    free(pn->in);
    memset(pn, 0, sizeof *pn);
    return false;
}

static void pass_free(struct pass_build *b)
{
    for (size_t k = 0; k < b->nref; k++) {
        ep_source_close(b->pass.source[k].src);
        ep_file_close(b->file[k]);
        ep_signal_free(b->owned[k]);
        if (b->ref[k]->raw) ep_raw_close(b->ref[k]->raw);
    }
    for (size_t i = 0; i < b->nnode; i++) {
        free(b->pass.node[i].in);
        ep_node_unprepare(b->node[i]);
        ep_writer_abort(b->pass.node[i].writer);
    }
    free(b->pass.source);
    free(b->pass.node);
    free(b->node);
    free(b->ref);
    free(b->file);
    free(b->owned);
}

static void build_pass(struct ep_running *r, struct ep_unit *u, struct pass_build *b)
{
    size_t items = 0;
    for (size_t i = 0; i < u->nchain; i++)
        for (size_t p = 0; p < u->chain[i]->stage->nports; p++) items += u->chain[i]->nitem[p];
    b->pass.source = ep_xcalloc(items + 1, sizeof *b->pass.source);
    b->ref = ep_xcalloc(items + 1, sizeof *b->ref);
    b->file = ep_xcalloc(items + 1, sizeof *b->file);
    b->owned = ep_xcalloc(items + 1, sizeof *b->owned);
    b->pass.node = ep_xcalloc(u->nchain + 1, sizeof *b->pass.node);
    b->node = ep_xcalloc(u->nchain + 1, sizeof *b->node);
    for (size_t i = 0; i < u->nchain; i++) {
        struct ep_node *n = u->chain[i];
        struct ep_prepare prep;
        struct ep_err e = {0};
        bool ok = wire_node(r, b, n, &e);
        if (ok && ep_node_prepare(n, &prep, &e)) {
            free(b->pass.node[b->nnode].in);
            ok = false;
        }
        struct ep_pass_node *pn = &b->pass.node[b->nnode];
        if (ok) describe(r->g, n);
        if (ok && n->todo && ep_node_new_outputs(n, &e)) ok = false;
        if (ok && n->todo) {
            pn->keep = n->keep;
            pn->out = n->out;
            for (size_t o = 0; ok && o < n->decl.nout; o++)
                if (n->keep[o] && !pn->writer) ok = ep_node_open_writer(r->g, n, &pn->writer, &e) == EP_OK;
        }
        if (!ok) {
            ep_node_unprepare(n);
            ep_node_failed(r, n, &e);
            continue;
        }
        pn->plan = n->plan;
        b->node[b->nnode++] = n;
        b->pass.nnode = b->nnode;
    }
}

static void report_flags(struct ep_running *r, const struct ep_node *n, const struct ep_pass_node *pn)
{
    if (!n->todo || !pn->flagged) return;
    struct ep_str s = {0};
    for (size_t b = 0; b < EP_NFLAGS; b++)
        if (pn->flag_count[b]) ep_str_addf(&s, "%s%s %zu", s.n ? ", " : "", ep_flag_infos[b].word, pn->flag_count[b]);
    ep_log_info(r->o->log, "%s: %zu of %zu pixels flagged (%s)", n->label, pn->flagged, pn->pixels, s.s);
    ep_str_free(&s);
}

static void finish_pass(struct ep_running *r, struct pass_build *b, ep_status st, const struct ep_err *e)
{
    for (size_t i = 0; i < b->nnode; i++) {
        struct ep_node *n = b->node[i];
        struct ep_err we = {0};
        if (!n->todo) continue;
        if (st) {
            if (i == 0 || st != EP_E_STOPPED) ep_node_failed(r, n, e);
            else n->failed = true;
            continue;
        }
        if (b->pass.node[i].err.code) {
            ep_node_failed(r, n, &b->pass.node[i].err);
            continue;
        }
        report_flags(r, n, &b->pass.node[i]);
        if (r->stop || ep_node_write(r->g, n, &b->pass.node[i].writer, &we)) {
            if (we.code) ep_node_failed(r, n, &we);
            continue;
        }
        r->t->computed++;
    }
}

void ep_unit_pass(struct ep_running *r, struct ep_unit *u)
{
    struct pass_build b = {0};
    struct ep_err e = {0};
    double start = ep_now();
    struct ep_str what = {0};
    build_pass(r, u, &b);
    for (size_t i = 0; i < u->nnodes; i++) ep_str_addf(&what, "%s%s", i ? ", " : "", u->node[i]->name);
    if (u->node[0]->where[0]) ep_str_addf(&what, " [%s]", u->node[0]->where);
    if (b.nnode && !r->stop) {
        b.pass.threads = r->o->threads;
        b.pass.memory = r->o->memory;
        b.pass.stop = r->o->stop;
        b.pass.log = r->o->log;
        b.pass.label = what.s;
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        ep_status st = hash_start(r, &b.pass, b.ref, &e);
        if (!st) st = ep_pass_run(&b.pass, &e);
        if (!st) st = hash_end(r, &b.pass, b.ref, now, &e);
        finish_pass(r, &b, st, &e);
        if (!st) ep_log_info(r->o->log, "%s: %.2f s", what.s, ep_now() - start);
    }
    ep_str_free(&what);
    pass_free(&b);
}
