/* Runs the units of a graph, each after what it needs. */
#include "pipeline/engine/engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/engine/node_work.h"

unsigned ep_default_threads(void)
{
    cpu_set_t set;
    const char *slurm = getenv("SLURM_CPUS_PER_TASK");
    if (slurm && atoi(slurm) > 0) return (unsigned)atoi(slurm);
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0) return (unsigned)CPU_COUNT(&set);
    return 1;
}

static void run_whole(struct ep_running *r, struct ep_node *n)
{
    struct ep_err e = {0};
    struct ep_prepare p;
    struct ep_writer *w = NULL;
    double start = ep_now();
    ep_status st = ep_node_prepare(n, &p, &e);
    if (!st) st = ep_node_new_outputs(n, &e);
    if (!st) st = n->stage->whole(n->plan, &p, n->out, &e);
    if (!st) st = ep_node_write(r->g, n, &w, &e);
    ep_node_unprepare(n);
    if (st) {
        ep_node_failed(r, n, &e);
        return;
    }
    r->t->computed++;
    ep_log_info(r->o->log, "%s%s%s%s: %.2f s", n->name, n->where[0] ? " [" : "", n->where, n->where[0] ? "]" : "", ep_now() - start);
}

/* ---- Order ------------------------------------------------------------------------------------------------- */

static void run_unit(struct ep_running *r, struct ep_unit *u);

/* Every result that the unit's nodes read must be there first. */
static void run_before(struct ep_running *r, struct ep_unit *u)
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

static void run_unit(struct ep_running *r, struct ep_unit *u)
{
    if (u->done) return;
    u->done = true;
    run_before(r, u);
    if (r->o->stop && atomic_load(r->o->stop) && !r->stop) {
        r->stop = true;
        r->t->worst = EP_E_STOPPED;
    }
    if (!r->stop) {
        if (u->kind == EP_UNIT_PASS) ep_unit_pass(r, u);
        else run_whole(r, u->node[0]);
    }
    drop_users(u);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What killed writers left, also where nothing is to be computed; each folder once. */
static void sweep(const struct ep_graph *g)
{
    const char **folder = ep_xcalloc(g->nnodes + 1, sizeof *folder), *inputs = ep_graph_memory(g);
    size_t n = 0;
    if (inputs) folder[n++] = inputs;
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->node[i]->wanted) folder[n++] = g->node[i]->folder;
    qsort(folder, n, sizeof *folder, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(folder[i], folder[i - 1])) ep_sweep_temporaries(folder[i]);
    free(folder);
}

void ep_engine_run(struct ep_graph *g, const struct ep_engine_opts *o, struct ep_tally *t)
{
    struct ep_running r = {.g = g, .o = o, .t = t};
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
        }
        struct ep_str why = {0};
        if (ep_node_blocked(g, n, &why)) ep_log_warn(o->log, "%s", why.s);
        ep_str_free(&why);
    }
    sweep(g);
    for (size_t k = 0; k < g->nunits; k++) run_unit(&r, g->unit[k]);
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (!n->todo || !n->failed) continue;
        if (n->err.code == EP_E_STOPPED || t->worst == EP_E_STOPPED) t->worst = EP_E_STOPPED;
        else if (n->err.code == EP_E_OUTPUT) t->worst = EP_E_OUTPUT;
    }
}
