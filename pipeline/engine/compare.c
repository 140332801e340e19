/* What is on disk against what the recipe asks for: which nodes are up to date, and why the others are not. */
#include "pipeline/base/mem.h"
#include "pipeline/engine/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/probe.h"

static void why(struct ep_node *n, enum ep_state state, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void why(struct ep_node *n, enum ep_state state, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    n->state = state;
    vsnprintf(n->reason, sizeof n->reason, fmt, ap);
    va_end(ap);
}

/* Where two JSON texts begin to differ, from the beginning of that key or value; 0 while the whole is short enough to show. */
static size_t difference(const char *x, const char *y)
{
    size_t same = 0, begin = 0;
    if (strlen(x) <= 60 && strlen(y) <= 60) return 0;
    for (; x[same] && x[same] == y[same]; same++)
        if (strchr("[{,", x[same])) begin = same + 1;
    return begin;
}

/* "window: [[505,524]] -> [[505,520]]" for the first parameter that differs; false if none does. */
static bool changed_parameter(struct ep_node *n, const char *stored, const char *now)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct ep_value *old = ep_yaml_parse(&a, stored, strlen(stored), "result", &d);
    struct ep_value *new = ep_yaml_parse(&a, now, strlen(now), "recipe", &d);
    bool found = false;
    for (size_t i = 0; old && new && new->kind == EP_V_MAP && i < new->n && !found; i++) {
        const struct ep_value *was = ep_value_get(old, new->keys[i]);
        struct ep_str x = {0}, y = {0};
        if (was) ep_value_json(&x, was);
        ep_value_json(&y, new->items[i]);
        if (!x.s || strcmp(x.s, y.s)) {
            size_t from = x.s ? difference(x.s, y.s) : 0;
            const char *cut = from ? "..." : "";
            why(n, EP_NODE_STALE, "%s changed: %s%.60s -> %s%.60s", new->keys[i], cut, x.s ? x.s + from : "nothing", cut, y.s + from);
            found = true;
        }
        ep_str_free(&x);
        ep_str_free(&y);
    }
    ep_arena_free(&a);
    ep_diag_free(&d);
    return found;
}

static void explain(struct ep_node *n, const struct ep_origin *o)
{
    struct ep_str par = {0};
    ep_params_json(&par, n->stage->params, n->par);
    if (strcmp(o->stage, n->stage->name)) why(n, EP_NODE_STALE, "made by stage %s", o->stage);
    else if (strcmp(o->parameters, par.s) && changed_parameter(n, o->parameters, par.s)) (void)0;
    else if (strcmp(o->inputs, n->inputs.s)) {
        why(n, EP_NODE_STALE, "an input changed");
        for (size_t p = 0; p < n->stage->nports; p++)
            for (size_t i = 0; i < n->nitem[p]; i++) {
                const struct ep_source_ref *src = &n->item[p][i];
                if (src->node && src->node->state != EP_NODE_DONE) {
                    why(n, EP_NODE_STALE, "%s changed", src->label);
                    goto out;
                }
                const struct ep_hash *h = src->raw ? &src->raw->fingerprint : src->node ? &src->node->fingerprint : NULL;
                if (h && !strstr(o->inputs, h->hex)) {
                    why(n, EP_NODE_STALE, "input %s changed", src->label);
                    goto out;
                }
            }
    } else why(n, EP_NODE_STALE, "made by another version of stage %s", n->stage->name);
out:
    ep_str_free(&par);
}

char *ep_node_beside(const struct ep_node *n, size_t out)
{
    const struct ep_desc *d = &n->decl.out[out];
    struct ep_str path = {0};
    size_t len = strlen(n->path);
    if (d->kind != EP_TABLE && d->kind != EP_FILE) return NULL;
    if (len > 5 && !strcmp(n->path + len - 5, ".hspy")) len -= 5;
    ep_str_addn(&path, n->path, len);
    if (d->kind == EP_FILE || !d->primary) ep_str_addf(&path, ".%s", d->name);
    if (d->kind == EP_TABLE) ep_str_add(&path, ".csv");
    return path.s;
}

/* The hash that the result remembers of a file beside it; "" if it knows none. */
static struct ep_hash remembered(struct ep_file *f, const char *path)
{
    struct ep_hash h = {""};
    struct ep_err none = {0};
    struct ep_signal *t = NULL;
    size_t index;
    if (ep_file_find(f, EP_NODE_FILES, EP_TABLE, &index, &none) || ep_file_load(f, index, (size_t)1 << 24, &t, &none)) return h;
    bool shape = t->ncol == 3 && t->col[0].is_text && t->col[2].is_text;
    for (size_t i = 0; shape && i < t->n; i++)
        if (!strcmp(t->col[0].text[i], ep_base_name(path))) snprintf(h.hex, sizeof h.hex, "%.32s", t->col[2].text[i]);
    ep_signal_free(t);
    return h;
}

static struct ep_hash hash_of(const char *path)
{
    struct ep_hash h = {"unreadable"};
    struct ep_str s = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return h;
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) ep_str_addn(&s, part, n);
    if (!ferror(file)) h = ep_hash_bytes(s.s ? s.s : "", s.n);
    fclose(file);
    ep_str_free(&s);
    return h;
}

/* What stands beside a result must be there; a drawing also as it was written. */
static void compare_beside(struct ep_node *n, struct ep_file *f, size_t out)
{
    char *path = ep_node_beside(n, out);
    if (!path) return;
    if (access(path, F_OK)) why(n, EP_NODE_STALE, "%.200s is not there", path);
    else if (n->decl.out[out].kind == EP_FILE && strcmp(remembered(f, path).hex, hash_of(path).hex))
        why(n, EP_NODE_STALE, "%.200s is not as it was written", path);
    free(path);
}

static void compare_node(struct ep_node *n, struct ep_prober *prober, size_t asked)
{
    struct ep_err e = {0};
    struct ep_file *f = NULL;
    if (ep_prober_wait(prober, asked, &e) || ep_file_open(n->path, &f, &e)) {
        why(n, EP_NODE_STALE, "the result can't be read");
        return;
    }
    const struct ep_origin *o = ep_file_origin(f);
    if (strcmp(o->fingerprint, n->fingerprint.hex)) {
        explain(n, o);
    } else {
        why(n, EP_NODE_DONE, "up to date");
        for (size_t k = 0; k < n->decl.nout; k++) {
            const struct ep_desc *d = &n->decl.out[k];
            size_t index;
            struct ep_err none = {0};
            if (d->kind == EP_IMAGE && n->stage->apply && !n->keep[k]) continue;
            if (d->kind != EP_FILE && ep_file_find(f, d->name, (unsigned)d->kind, &index, &none))
                why(n, EP_NODE_STALE, "output %s is not in the result", d->name);
            compare_beside(n, f, k);
        }
    }
    ep_file_close(f);
}

static bool has_result(const struct ep_graph *g, const struct ep_node *n)
{
    return n->state != EP_NODE_BLOCKED && !g->result && !access(n->path, F_OK);
}

/* Results are opened in a child first, as inputs are: a disk or a colleague may have damaged them. */
static void compare_results(struct ep_graph *g)
{
    const char **path = ep_xcalloc(g->nnodes + 1, sizeof *path);
    bool *there = ep_xcalloc(g->nnodes + 1, sizeof *there);
    size_t n = 0, asked = 0;
    for (size_t i = 0; i < g->nnodes; i++) {
        there[i] = has_result(g, g->node[i]);
        if (there[i]) path[n++] = g->node[i]->path;
    }
    struct ep_prober *prober = ep_prober_start(path, n);
    for (size_t i = 0; i < g->nnodes; i++) { /* nodes stand after those they use */
        struct ep_node *m = g->node[i];
        if (m->state == EP_NODE_BLOCKED) continue;
        if (there[i]) compare_node(m, prober, asked++);
        else why(m, EP_NODE_MISSING, "not computed yet");
    }
    ep_prober_end(prober);
    free(there);
    free(path);
}

static bool depends_on(const struct ep_graph *g, const struct ep_node *n, const char *step)
{
    if (!strcmp(n->s->name, step)) return true;
    for (size_t p = 0; p < n->stage->nports && n->item; p++)
        for (size_t i = 0; i < n->nitem[p]; i++)
            if (n->item[p][i].node && depends_on(g, n->item[p][i].node, step)) return true;
    return false;
}

/* Whether a list joined by commas has the name. */
static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *c = list; c; c = strchr(c, ','), c = c ? c + 1 : NULL)
        if (!strncmp(c, name, n) && (c[n] == ',' || !c[n])) return true;
    return false;
}

static bool pixelwise(const struct ep_node *n)
{
    return n->stage->apply != NULL;
}

/* Has to wait for something else as a whole: then a map that it streams from is there already, and need not be made again. */
static bool waits(const struct ep_node *n)
{
    if (n->look && n->look->todo) return true;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; !n->stage->ports[p].stream && i < n->nitem[p]; i++)
            if (n->item[p][i].node && n->item[p][i].node->todo) return true;
    return false;
}

bool ep_node_fused(const struct ep_node *n, size_t port, size_t i)
{
    const struct ep_source_ref *src = &n->item[port][i];
    if (!n->stage->ports[port].stream || !src->node || !pixelwise(src->node) || src->node->decl.regrid.on) return false;
    const struct ep_desc *d = &src->node->decl.out[src->out];
    if (d->kind == EP_IMAGE) return !(src->node->state == EP_NODE_DONE && !src->node->todo && src->node->keep[src->out]);
    return src->node->todo && (d->kind == EP_SPECTRUM || (d->kind == EP_MAP && !waits(n)));
}

/* What a node that is computed needs: results of others on disk, or computed before, or evaluated with it. */
static bool require(struct ep_graph *g, struct ep_node *n, bool as_result);

static bool require_inputs(struct ep_graph *g, struct ep_node *n)
{
    if (n->look && !require(g, n->look, true)) return false;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            struct ep_node *m = n->item[p][i].node;
            if (!m) continue;
            bool image = m->decl.out[n->item[p][i].out].kind == EP_IMAGE;
            bool fuse = image && pixelwise(m) && !m->decl.regrid.on && n->stage->ports[p].stream;
            if (n->stage->ports[p].series && !m->asked && m->state != EP_NODE_DONE) {
                why(n, n->state, "left out: needs %.200s, which --runs leaves out", m->label);
                n->wanted = false;
                return false;
            }
            if (!require(g, m, !fuse) && !n->stage->ports[p].series) {
                n->state = EP_NODE_BLOCKED;
                n->err = m->err;
                n->cause = m;
                snprintf(n->reason, sizeof n->reason, "needs %.200s", m->label);
                return false;
            }
        }
    return true;
}

static bool require(struct ep_graph *g, struct ep_node *n, bool as_result)
{
    if (n->state == EP_NODE_BLOCKED) return false;
    if (as_result && n->state == EP_NODE_DONE) return true;
    if (n->todo || n->chained) { /* what it needs was asked for already */
        n->todo |= as_result;
        return true;
    }
    if (as_result) n->todo = true;
    else n->chained = true;
    if (!require_inputs(g, n)) {
        n->todo = n->chained = false;
        return false;
    }
    return true;
}

void ep_graph_compare(struct ep_graph *g, const struct ep_selection *sel)
{
    ep_graph_hash(g, !sel || (!sel->only && !sel->from));
    compare_results(g);
    for (size_t i = 0; i < g->nnodes; i++) {
        struct ep_node *n = g->node[i];
        if (!n->wanted || n->is_look) continue;
        if (sel && sel->only && !listed(sel->only, n->s->name)) n->wanted = false;
        if (sel && sel->from && !depends_on(g, n, sel->from)) n->wanted = false;
        if (!n->wanted || n->state == EP_NODE_BLOCKED) continue;
        if (sel && sel->force && n->state == EP_NODE_DONE) why(n, EP_NODE_STALE, "--force");
        if (sel && sel->force && n->look && n->look->state == EP_NODE_DONE) why(n->look, EP_NODE_STALE, "--force");
        if (n->state != EP_NODE_DONE) require(g, n, true);
    }
    ep_graph_units(g);
}
