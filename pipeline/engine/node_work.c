/* One node: inputs and outputs in memory, plan, result file. */
#include "pipeline/base/mem.h"
#include "pipeline/engine/node_work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/io/csv.h"

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

bool ep_node_in_memory(const struct ep_node *n, const struct ep_desc *d)
{
    return d->kind != EP_IMAGE || !n->stage->apply;
}

ep_status ep_node_signal(struct ep_node *n, size_t o, const struct ep_signal **out, struct ep_err *e)
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

ep_status ep_node_needs_failed(const struct ep_node *n, struct ep_err *e)
{
    return ep_fail(e, n->err.code == EP_E_INPUT ? EP_E_INPUT : EP_E_COMPUTE, "needs %s, which failed", n->label);
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
                if (!n->stage->ports[p].series) return ep_node_needs_failed(src->node, e);
                item->missing = true;
                item->d = NULL;
                continue;
            }
            ep_status st;
            if (src->node) {
                st = ep_node_signal(src->node, src->out, &item->whole, e);
            } else {
                st = ep_raw_load(src->raw, &n->loaded[k], e);
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

ep_status ep_node_prepare(struct ep_node *n, struct ep_prepare *p, struct ep_err *e)
{
    *p = (struct ep_prepare){.par = n->par, .in = n->items, .out = n->decl.out, .nout = n->decl.nout, .repeat = n->decl.repeat,
                             .reference = n->is_reference, .chain = n->chain.s, .fingerprint = n->fingerprint.hex, .version = EP_VERSION};
    ep_status st = load_whole(n, e);
    if (!st && n->look) {
        if (n->look->failed) return ep_fail(e, EP_E_COMPUTE, "its first look at the image failed (see above)");
        const struct ep_signal *unused;
        for (size_t o = 0; !st && o < n->look->decl.nout; o++)
            if (ep_node_in_memory(n->look, &n->look->decl.out[o])) st = ep_node_signal(n->look, o, &unused, e);
        p->look = n->look->out;
        p->nlook = n->look->decl.nout;
    }
    for (size_t o = 0; o < n->decl.nout; o++) n->noise_late |= isnan(n->decl.out[o].low.gain);
    if (!st && n->stage->prepare) st = n->stage->prepare(p, &n->plan, e);
    if (!st) n->prepared = true;
    return st;
}

void ep_node_unprepare(struct ep_node *n)
{
    if (n->prepared && n->stage->free_plan) n->stage->free_plan(n->plan);
    n->plan = NULL;
    n->prepared = false;
    unload_whole(n);
}

/* ---- Results ----------------------------------------------------------------------------------------------- */

ep_status ep_node_open_writer(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e)
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

ep_status ep_node_new_outputs(struct ep_node *n, struct ep_err *e)
{
    for (size_t o = 0; n->out && o < n->decl.nout; o++) ep_signal_free(n->out[o]);
    free(n->out);
    n->out = ep_xcalloc(n->decl.nout + 1, sizeof *n->out);
    for (size_t o = 0; o < n->decl.nout; o++) {
        const struct ep_desc *d = &n->decl.out[o];
        if (!ep_node_in_memory(n, d) || d->kind & (EP_TABLE | EP_CURVE | EP_FILE)) continue;
        ep_status st = ep_signal_new(d, &n->out[o], e);
        if (st) return st;
    }
    return EP_OK;
}

/* Beside the result: tables as text, and files. */
static ep_status write_beside(const struct ep_node *n, struct ep_err *e)
{
    for (size_t o = 0; o < n->decl.nout; o++) {
        const struct ep_signal *s = n->out[o];
        char *path = s ? ep_node_beside(n, o) : NULL;
        if (!path) continue;
        struct ep_str text = {0};
        if (s->d.kind == EP_TABLE) ep_table_csv(s, &text);
        else ep_str_addn(&text, s->bytes, s->n);
        ep_status st = ep_csv_write(path, n->path, &text, e);
        ep_str_free(&text);
        free(path);
        if (st) return st;
    }
    return EP_OK;
}

/* Name, size and hash of each file output, in the result: what is beside it can be told from what somebody put there. */
static ep_status put_files(const struct ep_node *n, struct ep_writer *w, struct ep_err *e)
{
    size_t k = 0, most = n->decl.nout;
    struct ep_arena a = {0};
    const char **name = EP_ARENA_ARRAY(&a, const char *, most + 1), **hash = EP_ARENA_ARRAY(&a, const char *, most + 1);
    double *bytes = EP_ARENA_ARRAY(&a, double, most + 1);
    struct ep_signal *t = NULL;
    for (size_t o = 0; o < most; o++) {
        const struct ep_signal *s = n->out[o];
        if (!s || s->d.kind != EP_FILE) continue;
        char *path = ep_node_beside(n, o);
        name[k] = ep_arena_strdup(&a, ep_base_name(path));
        hash[k] = ep_arena_strdup(&a, ep_hash_bytes(s->bytes, s->n).hex);
        bytes[k++] = (double)s->n;
        free(path);
    }
    ep_status st = k ? ep_table_new(EP_NODE_FILES, k, &t, e) : EP_OK;
    if (t) t->d.primary = true;
    if (t && !st) st = ep_table_add(t, "file", "", NULL, NULL, name, e);
    if (t && !st) st = ep_table_add(t, "bytes", "", bytes, NULL, NULL, e);
    if (t && !st) st = ep_table_add(t, "xxh3_128", "", NULL, NULL, hash, e);
    if (t && !st) st = ep_writer_put(w, t, e);
    ep_signal_free(t);
    ep_arena_free(&a);
    return st;
}

/* What a stage says of its own result in words: a verdict on a fit, flags of a front. */
static void tell_verdicts(const struct ep_graph *g, const struct ep_node *n, const struct ep_signal *t)
{
    for (size_t k = 0; t->n == 1 && k < t->ncol; k++) {
        const struct ep_column *c = &t->col[k];
        bool says = c->is_text && (!strcmp(c->name, "verdict") || !strcmp(c->name, "flags"));
        if (says && c->text[0] && c->text[0][0] && strcmp(c->text[0], "fits")) ep_log_warn(g->log, "%s: %s", n->label, c->text[0]);
    }
}

ep_status ep_node_write(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e)
{
    ep_status st = *w ? EP_OK : ep_node_open_writer(g, n, w, e);
    for (size_t o = 0; !st && o < n->decl.nout; o++) {
        struct ep_signal *s = n->out[o];
        if (!s || s->d.kind == EP_FILE) continue;
        ep_signal_canonical(s);
        if (s->d.kind == EP_TABLE) tell_verdicts(g, n, s);
        s->fingerprint = n->fingerprint;
        st = ep_writer_put(*w, s, e);
    }
    if (!st) st = put_files(n, *w, e);
    if (st) {
        ep_writer_abort(*w);
        *w = NULL;
        return st;
    }
    struct ep_writer *done = *w;
    *w = NULL;
    st = write_beside(n, e); /* first: a result in place means that all of it is */
    if (st) {
        ep_writer_abort(done);
        return st;
    }
    return ep_writer_commit(done, e);
}

/* Whether n could not be started, since something it can't do without failed before it. */
static bool lacks_input(const struct ep_node *n)
{
    if (n->look && n->look->failed) return true;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; !n->stage->ports[p].series && i < n->nitem[p]; i++)
            if (n->item[p][i].node && n->item[p][i].node->failed) return true;
    return false;
}

void ep_node_failed(struct ep_running *r, struct ep_node *n, const struct ep_err *e)
{
    n->failed = true;
    if (n->err.code == EP_OK) n->err = *e;
    if (!n->todo) return;
    *(lacks_input(n) ? &r->t->blocked : &r->t->failed) += 1;
    if (e->code == EP_E_OUTPUT || e->code == EP_E_STOPPED) r->stop = true;
    const char *msg = e->msg; /* what failed inside a pass has the label in front already */
    if (!strncmp(msg, n->label, strlen(n->label)) && msg[strlen(n->label)] == ':') msg += strlen(n->label) + 2;
    ep_log_error(r->o->log, "%s: %s", n->label, msg);
}
