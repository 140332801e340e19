/* Levels and units: which nodes are computed together, in one pass over the images they share. */
#include "pipeline/engine/graph.h"

#include <stdlib.h>
#include <string.h>
#include "pipeline/engine/graph_parts.h"

static bool streams(const struct ep_node *n)
{
    return n->stage->apply || n->stage->add;
}

/* One more than that of whatever it needs whole; what is fused has the level of what it is fused with. */
static size_t level_of(struct ep_node *n)
{
    if (n->level_known) return n->level;
    size_t level = 0;
    n->level_known = true;
    if (n->look && n->look->todo) level = level_of(n->look) + 1;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            struct ep_node *m = n->item[p][i].node;
            if (!m || !(m->todo || m->chained)) continue;
            size_t v = level_of(m);
            if (streams(n) && !ep_node_fused(n, p, i)) v++;
            if (v > level) level = v;
        }
    return n->level = level;
}

/* The nodes that must be evaluated in n's pass, in order; what each streams from ends in `raw`/`made` via visit. */
static void add_chain(struct ep_unit *u, struct ep_node *n)
{
    for (size_t i = 0; i < u->nchain; i++)
        if (u->chain[i] == n) return;
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++)
            if (ep_node_fused(n, p, i)) add_chain(u, n->item[p][i].node);
    u->chain = ep_xrealloc(u->chain, (u->nchain + 1) * sizeof *u->chain);
    u->chain[u->nchain++] = n;
}

static bool same_source(const struct ep_node *a, size_t pa, size_t ia, const struct ep_node *b, size_t pb, size_t ib)
{
    const struct ep_source_ref *x = &a->item[pa][ia], *y = &b->item[pb][ib];
    if (x->raw || y->raw) return x->raw == y->raw;
    return x->node && x->node == y->node && x->out == y->out;
}

/* Whether two chains read a common image (a map in memory is not read, so it does not join passes). */
static bool share(const struct ep_unit *u, const struct ep_unit *v)
{
    for (size_t a = 0; a < u->nchain; a++)
        for (size_t pa = 0; pa < u->chain[a]->stage->nports; pa++)
            for (size_t ia = 0; u->chain[a]->stage->ports[pa].stream && ia < u->chain[a]->nitem[pa]; ia++) {
                const struct ep_desc *d = u->chain[a]->item_store[pa][ia].d;
                if (!d || d->kind == EP_MAP || ep_node_fused(u->chain[a], pa, ia)) continue;
                for (size_t b = 0; b < v->nchain; b++)
                    for (size_t pb = 0; pb < v->chain[b]->stage->nports; pb++)
                        for (size_t ib = 0; v->chain[b]->stage->ports[pb].stream && ib < v->chain[b]->nitem[pb]; ib++)
                            if (!ep_node_fused(v->chain[b], pb, ib) && same_source(u->chain[a], pa, ia, v->chain[b], pb, ib)) return true;
            }
    for (size_t a = 0; a < u->nchain; a++) /* or a fused-in node: evaluate it once */
        for (size_t b = 0; b < v->nchain; b++)
            if (u->chain[a] == v->chain[b]) return true;
    return false;
}

static void absorb(struct ep_unit *u, struct ep_unit *v)
{
    u->node = ep_xrealloc(u->node, (u->nnodes + v->nnodes) * sizeof *u->node);
    for (size_t i = 0; i < v->nnodes; i++) {
        u->node[u->nnodes++] = v->node[i];
        v->node[i]->unit = u;
    }
    for (size_t i = 0; i < v->nchain; i++) add_chain(u, v->chain[i]);
    free(v->node);
    free(v->chain);
    v->node = v->chain = NULL;
    v->nnodes = v->nchain = 0;
}

/* Run by run, so that what is interrupted has finished runs; what collects over runs comes last. */
static int by_run(const void *a, const void *b)
{
    const struct ep_unit *u = *(struct ep_unit *const *)a, *v = *(struct ep_unit *const *)b;
    if (u->series != v->series) return u->series ? 1 : -1;
    if (u->node[0]->run != v->node[0]->run) return u->node[0]->run < v->node[0]->run ? -1 : 1;
    if (u->level != v->level) return u->level < v->level ? -1 : 1;
    return u->number < v->number ? -1 : u->number > v->number;
}

void ep_graph_units(struct ep_graph *g)
{
    size_t cap = 0;
    for (size_t i = 0; i < g->nnodes; i++) {
        struct ep_node *n = g->node[i];
        if (!n->todo) continue;
        level_of(n);
        EP_PUSH(g->unit, g->nunits, cap);
        struct ep_unit *u = g->unit[g->nunits - 1] = EP_ARENA_NEW(g->arena, struct ep_unit);
        u->kind = streams(n) ? EP_UNIT_PASS : EP_UNIT_WHOLE;
        u->level = n->level;
        u->node = ep_xmalloc(sizeof *u->node);
        u->node[u->nnodes++] = n;
        n->unit = u;
        add_chain(u, n);
        if (u->kind == EP_UNIT_WHOLE) continue;
        for (size_t k = 0; k + 1 < g->nunits; k++) {
            struct ep_unit *v = g->unit[k];
            if (v->kind != EP_UNIT_PASS || v->level != u->level || v->nnodes == 0 || v->node[0]->run != n->run) continue;
            if (v != u && share(v, u)) {
                absorb(v, u);
                u = v; /* and look whether the larger one now shares with a later one */
            }
        }
    }
    size_t k = 0; /* drop the absorbed ones; count levels */
    for (size_t i = 0; i < g->nunits; i++) {
        if (!g->unit[i]->nnodes) continue;
        g->unit[k++] = g->unit[i];
        if (g->unit[i]->level + 1 > g->nlevels) g->nlevels = g->unit[i]->level + 1;
    }
    g->nunits = k;
    for (size_t i = 0; i < k; i++) {
        g->unit[i]->number = i;
        for (size_t p = 0; p < g->unit[i]->node[0]->stage->nports; p++) g->unit[i]->series |= g->unit[i]->node[0]->stage->ports[p].series;
    }
    if (k) qsort(g->unit, k, sizeof *g->unit, by_run);
}
