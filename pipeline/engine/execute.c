/* Runs the units of a graph: opens what they read, prepares stages, streams or computes, writes results. */
#include "pipeline/engine/engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/engine/stream.h"
#include "pipeline/io/result.h"

struct run_state {
    struct ep_graph *g;
    const struct ep_engine_opts *o;
    struct ep_tally *t;
    bool stop;                 /* a full disk or a signal: nothing more is started */
};

unsigned ep_default_threads(void)
{
    cpu_set_t set;
    const char *slurm = getenv("SLURM_CPUS_PER_TASK");
    if (slurm && atoi(slurm) > 0) return (unsigned)atoi(slurm);
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0) return (unsigned)CPU_COUNT(&set);
    return 1;
}

/* ---- Signals in memory ------------------------------------------------------------------------------------- */

void ep_node_release(struct ep_node *n)
{
    for (size_t o = 0; n->out && o < n->decl.nout; o++) ep_signal_free(n->out[o]);
    free(n->out);
    n->out = NULL;
    if (n->prepared && n->stage->free_plan) n->stage->free_plan(n->plan);
    n->plan = NULL;
    n->prepared = false;
}

static bool in_memory(const struct ep_desc *d)
{
    return d->kind != EP_IMAGE;
}

/* Output o of a finished node, from memory or from its file. */
static ep_status node_signal(struct ep_node *n, size_t o, const struct ep_signal **out, struct ep_err *e)
{
    if (!n->out) n->out = ep_xcalloc(n->decl.nout + 1, sizeof *n->out);
    if (!n->out[o]) {
        struct ep_file *f;
        size_t index;
        ep_status st = ep_file_open(n->path, &f, e);
        if (st) return st;
        st = ep_file_find(f, n->decl.out[o].name, (unsigned)n->decl.out[o].kind, &index, e);
        if (!st) st = ep_file_load(f, index, (size_t)1 << 34, &n->out[o], e);
        ep_file_close(f);
        if (st) return st;
    }
    *out = n->out[o];
    return EP_OK;
}

/* The signals of every whole input of n, from raw files or nodes. Raw ones are kept in n->loaded. */
static ep_status load_whole(struct ep_node *n, struct ep_err *e)
{
    size_t total = 0, k = 0;
    for (size_t p = 0; p < n->stage->nports; p++) total += n->nitem[p];
    n->loaded = ep_xcalloc(total + 1, sizeof *n->loaded);
    n->nloaded = total;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++, k++) {
            struct ep_item *item = &n->item_store[p][i];
            struct ep_source_ref *src = &n->item[p][i];
            if (n->stage->ports[p].stream || item->missing) continue;
            if (src->node && src->node->failed) {
                if (!n->stage->ports[p].series) return ep_fail(e, EP_E_COMPUTE, "needs %s, which failed", src->node->label);
                item->missing = true;
                item->d = NULL;
                continue;
            }
            ep_status st;
            if (src->node) {
                st = node_signal(src->node, src->out, &item->whole, e);
            } else {
                st = ep_raw_open(src->raw, e);
                if (!st) st = ep_file_load(src->raw->file, src->raw->index, (size_t)1 << 34, &n->loaded[k], e);
                ep_raw_close(src->raw);
                item->whole = n->loaded[k];
            }
            if (st) return st;
        }
    return EP_OK;
}

static void unload_whole(struct ep_node *n)
{
    for (size_t k = 0; k < n->nloaded; k++) ep_signal_free(n->loaded[k]);
    free(n->loaded);
    n->loaded = NULL;
    n->nloaded = 0;
}

static ep_status prepare(struct ep_node *n, struct ep_prepare *p, struct ep_err *e)
{
    *p = (struct ep_prepare){.par = n->par, .in = n->items, .out = n->decl.out, .nout = n->decl.nout, .repeat = n->decl.repeat};
    ep_status st = load_whole(n, e);
    if (!st && n->look) {
        if (n->look->failed) return ep_fail(e, EP_E_COMPUTE, "its first look at the image failed");
        const struct ep_signal *unused;
        for (size_t o = 0; !st && o < n->look->decl.nout; o++)
            if (in_memory(&n->look->decl.out[o])) st = node_signal(n->look, o, &unused, e);
        p->look = n->look->out;
        p->nlook = n->look->decl.nout;
    }
    if (!st && n->stage->prepare) st = n->stage->prepare(p, &n->plan, e);
    if (!st) n->prepared = true;
    return st;
}

static void unprepare(struct ep_node *n)
{
    if (n->prepared && n->stage->free_plan) n->stage->free_plan(n->plan);
    n->plan = NULL;
    n->prepared = false;
    unload_whole(n);
}

/* ---- Results ----------------------------------------------------------------------------------------------- */

static ep_status open_writer(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e)
{
    struct ep_str par = {0}, elements = {0};
    ep_params_json(&par, n->stage->params, n->par);
    for (size_t i = 0; i < g->recipe->nelements; i++) ep_str_addf(&elements, "%s%s", i ? " " : "", g->recipe->elements[i]);
    struct ep_record rec = {.step = n->name, .stage = n->stage->name, .stage_version = (int)n->stage->version, .version = EP_VERSION,
                            .fingerprint = n->fingerprint.hex, .parameters = par.s, .chain = n->chain.s, .inputs = n->inputs.s,
                            .elements = elements.s ? elements.s : ""};
    ep_status st = ep_writer_open(n->path, &rec, w, e);
    ep_str_free(&par);
    ep_str_free(&elements);
    return st;
}

static ep_status new_outputs(struct ep_node *n, struct ep_err *e)
{
    for (size_t o = 0; n->out && o < n->decl.nout; o++) ep_signal_free(n->out[o]);
    free(n->out);
    n->out = ep_xcalloc(n->decl.nout + 1, sizeof *n->out);
    for (size_t o = 0; o < n->decl.nout; o++) {
        const struct ep_desc *d = &n->decl.out[o];
        if (!in_memory(d) || d->kind == EP_TABLE || d->kind == EP_CURVE) continue;
        ep_status st = ep_signal_new(d, &n->out[o], e);
        if (st) return st;
    }
    return EP_OK;
}

/* Writes the outputs in memory and ends the file; the writer is gone afterwards. */
static ep_status write_outputs(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e)
{
    ep_status st = *w ? EP_OK : open_writer(g, n, w, e);
    for (size_t o = 0; !st && o < n->decl.nout; o++) {
        struct ep_signal *s = n->out[o];
        if (!s) continue;
        ep_signal_canonical(s);
        s->fingerprint = n->fingerprint;
        st = ep_writer_put(*w, s, e);
    }
    if (st) {
        ep_writer_abort(*w);
        *w = NULL;
        return st;
    }
    struct ep_writer *done = *w;
    *w = NULL;
    return ep_writer_commit(done, e);
}

static void node_failed(struct run_state *r, struct ep_node *n, const struct ep_err *e)
{
    n->failed = true;
    if (n->err.code == EP_OK) n->err = *e;
    if (!n->todo) return;
    r->t->failed++;
    if (e->code == EP_E_OUTPUT || e->code == EP_E_STOPPED) r->stop = true;
    const char *msg = e->msg; /* what failed inside a pass has the label in front already */
    if (!strncmp(msg, n->label, strlen(n->label)) && msg[strlen(n->label)] == ':') msg += strlen(n->label) + 2;
    ep_log_error(r->o->log, "%s: %s", n->label, msg);
}

static void report_flags(struct run_state *r, const struct ep_node *n, const struct ep_pass_node *pn)
{
    if (!n->todo || !pn->flagged) return;
    struct ep_str s = {0};
    for (size_t b = 0; b < EP_NFLAGS; b++)
        if (pn->flag_count[b]) ep_str_addf(&s, "%s%s %zu", s.n ? ", " : "", ep_flag_infos[b].word, pn->flag_count[b]);
    ep_log_info(r->o->log, "%s: %zu of %zu pixels flagged (%s)", n->label, pn->flagged, pn->pixels, s.s);
    ep_str_free(&s);
}

/* ---- A pass ------------------------------------------------------------------------------------------------ */

struct pass_build {
    struct ep_pass pass;
    struct ep_node **node; size_t nnode;        /* the chain, without what could not be prepared */
    const struct ep_source_ref **ref; size_t nref;
    struct ep_file **file;                      /* result files of kept images, by source */
    struct ep_signal **owned;                   /* maps of raw files, by source */
};

static ep_status open_source(struct pass_build *b, const struct ep_source_ref *src, size_t k, struct ep_err *e)
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
        return ep_source_open(src->raw->file, src->raw->index, &s->src, e);
    }
    const struct ep_desc *d = &src->node->decl.out[src->out];
    if (src->node->failed) return ep_fail(e, EP_E_COMPUTE, "needs %s, which failed", src->node->label);
    if (d->kind != EP_IMAGE) {
        const struct ep_signal *sig;
        ep_status st = node_signal(src->node, src->out, &sig, e);
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

/* What a sum or mean says of its noise is known only when it is done: then stages that use it declare again. */
static bool new_noise(struct ep_item *item, const struct ep_desc *now)
{
    const struct ep_desc *was = item->d;
    item->d = now;
    return was->gain != now->gain || was->read_noise != now->read_noise || was->gain_estimated != now->gain_estimated;
}

static bool declare_again(struct run_state *r, struct ep_node *n, struct ep_err *e)
{
    struct ep_diag d = {0};
    ep_node_declare(r->g, n, &d);
    bool ok = d.nerrors == 0;
    if (!ok) ep_fail(e, EP_E_COMPUTE, "%s", d.n ? d.items[0].msg : "its input is not what it was said to be");
    ep_diag_free(&d);
    return ok;
}

/* Wires one node: every streamed item to a source or to an earlier node. False when something it needs is not there. */
static bool wire_node(struct run_state *r, struct pass_build *b, struct ep_node *n, struct ep_err *e)
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
                    ep_fail(e, EP_E_COMPUTE, "needs %s, which failed", src->node->label);
                    goto fail;
                }
                *in = (struct ep_pass_in){true, (size_t)k, src->out};
                again |= new_noise(&n->item_store[p][i], &src->node->decl.out[src->out]);
                continue;
            }
            size_t k = 0;
            while (k < b->nref && !same_ref(b->ref[k], src)) k++;
            if (k == b->nref) {
                if (open_source(b, src, k, e)) {
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
            again |= new_noise(&n->item_store[p][i], b->pass.source[k].d);
        }
    if (again && !declare_again(r, n, e)) goto fail;
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
        unprepare(b->node[i]);
        ep_writer_abort(b->pass.node[i].writer);
    }
    free(b->pass.source);
    free(b->pass.node);
    free(b->node);
    free(b->ref);
    free(b->file);
    free(b->owned);
}

static void build_pass(struct run_state *r, struct ep_unit *u, struct pass_build *b)
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
        if (ok && prepare(n, &prep, &e)) {
            free(b->pass.node[b->nnode].in);
            ok = false;
        }
        struct ep_pass_node *pn = &b->pass.node[b->nnode];
        if (ok && n->todo && new_outputs(n, &e)) ok = false;
        if (ok && n->todo) {
            pn->keep = n->keep;
            pn->out = n->out;
            for (size_t o = 0; ok && o < n->decl.nout; o++)
                if (n->keep[o] && !pn->writer) ok = open_writer(r->g, n, &pn->writer, &e) == EP_OK;
        }
        if (!ok) {
            unprepare(n);
            node_failed(r, n, &e);
            continue;
        }
        pn->plan = n->plan;
        b->node[b->nnode++] = n;
        b->pass.nnode = b->nnode;
    }
}

static void finish_pass(struct run_state *r, struct pass_build *b, ep_status st, const struct ep_err *e)
{
    for (size_t i = 0; i < b->nnode; i++) {
        struct ep_node *n = b->node[i];
        struct ep_err we = {0};
        if (!n->todo) continue;
        if (st) {
            if (i == 0 || st != EP_E_STOPPED) node_failed(r, n, e);
            else n->failed = true;
            continue;
        }
        report_flags(r, n, &b->pass.node[i]);
        if (r->stop || write_outputs(r->g, n, &b->pass.node[i].writer, &we)) {
            if (we.code) node_failed(r, n, &we);
            continue;
        }
        r->t->computed++;
    }
}

static void run_pass(struct run_state *r, struct ep_unit *u)
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
        ep_status st = ep_pass_run(&b.pass, &e);
        finish_pass(r, &b, st, &e);
        if (!st) ep_log_info(r->o->log, "%s: %.2f s", what.s, ep_now() - start);
    }
    ep_str_free(&what);
    pass_free(&b);
}

static void run_whole(struct run_state *r, struct ep_node *n)
{
    struct ep_err e = {0};
    struct ep_prepare p;
    struct ep_writer *w = NULL;
    double start = ep_now();
    ep_status st = prepare(n, &p, &e);
    if (!st) st = new_outputs(n, &e);
    if (!st) st = n->stage->whole(n->plan, &p, n->out, &e);
    if (!st) st = write_outputs(r->g, n, &w, &e);
    unprepare(n);
    if (st) {
        node_failed(r, n, &e);
        return;
    }
    r->t->computed++;
    ep_log_info(r->o->log, "%s%s%s%s: %.2f s", n->name, n->where[0] ? " [" : "", n->where, n->where[0] ? "]" : "", ep_now() - start);
}

/* ---- Order ------------------------------------------------------------------------------------------------- */

static void run_unit(struct run_state *r, struct ep_unit *u);

/* Every result that the unit's nodes read must be there first. */
static void run_before(struct run_state *r, struct ep_unit *u)
{
    for (size_t c = 0; c < u->nchain; c++) {
        struct ep_node *n = u->chain[c];
        if (n->look && n->look->todo) run_unit(r, n->look->unit);
        for (size_t p = 0; p < n->stage->nports; p++)
            for (size_t i = 0; i < n->nitem[p]; i++) {
                struct ep_node *m = n->item[p][i].node;
                if (m && m->todo && m->unit != u && !ep_node_fused(n, p, i)) run_unit(r, m->unit);
            }
    }
}

static void drop_users(struct ep_unit *u)
{
    for (size_t c = 0; c < u->nchain; c++) {
        struct ep_node *n = u->chain[c];
        for (size_t p = 0; p < n->stage->nports; p++)
            for (size_t i = 0; i < n->nitem[p]; i++) {
                struct ep_node *m = n->item[p][i].node;
                if (m && m->users && --m->users == 0) ep_node_release(m);
            }
        if (n->look && n->look->users && --n->look->users == 0) ep_node_release(n->look);
    }
    for (size_t i = 0; i < u->nnodes; i++)
        if (!u->node[i]->users) ep_node_release(u->node[i]);
}

static void run_unit(struct run_state *r, struct ep_unit *u)
{
    if (u->done) return;
    u->done = true;
    run_before(r, u);
    if (r->o->stop && atomic_load(r->o->stop) && !r->stop) {
        r->stop = true;
        r->t->worst = EP_E_STOPPED;
    }
    if (!r->stop) {
        if (u->kind == EP_UNIT_PASS) run_pass(r, u);
        else run_whole(r, u->node[0]);
    }
    drop_users(u);
}

void ep_engine_run(struct ep_graph *g, const struct ep_engine_opts *o, struct ep_tally *t)
{
    struct run_state r = {.g = g, .o = o, .t = t};
    for (size_t k = 0; k < g->nunits; k++)
        for (size_t c = 0; c < g->unit[k]->nchain; c++) {
            struct ep_node *n = g->unit[k]->chain[c];
            for (size_t p = 0; p < n->stage->nports; p++)
                for (size_t i = 0; i < n->nitem[p]; i++)
                    if (n->item[p][i].node) n->item[p][i].node->users++;
            if (n->look) n->look->users++;
        }
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (n->wanted && n->state == EP_NODE_DONE && !n->is_look) t->done++;
        if (n->wanted && n->state == EP_NODE_BLOCKED && !n->is_look) {
            t->blocked++;
            ep_log_warn(o->log, "%s: %s", n->label, n->err.msg);
        }
    }
    for (size_t k = 0; k < g->nunits; k++) run_unit(&r, g->unit[k]);
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (!n->todo || !n->failed) continue;
        if (n->err.code == EP_E_STOPPED || t->worst == EP_E_STOPPED) t->worst = EP_E_STOPPED;
        else if (n->err.code == EP_E_OUTPUT) t->worst = EP_E_OUTPUT;
    }
}
