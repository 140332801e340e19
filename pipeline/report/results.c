/* The results of a graph, as the page goes through them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/draw/chart.h"
#include "pipeline/io/file.h"
#include "pipeline/io/probe.h"
#include "pipeline/report/parts.h"

bool ep_rep_asked(const struct ep_node *n)
{
    return n->asked && !n->is_look;
}

static size_t place(const struct ep_rep *r, const struct ep_node *n)
{
    size_t i = 0;
    while (r->g->node[i] != n) i++;
    return i;
}

static struct ep_file *opened(struct ep_rep *r, const struct ep_node *n)
{
    for (size_t i = 0; i < EP_OPEN_FILES; i++)
        if (r->open[i].node == n) return r->open[i].file;
    return NULL;
}

struct ep_file *ep_rep_file(struct ep_rep *r, const struct ep_node *n)
{
    struct ep_err e = {0};
    struct ep_file *f = opened(r, n);
    if (f || (n->state != EP_NODE_DONE && n->state != EP_NODE_STALE)) return f;
    struct ep_made *m = &r->made[place(r, n)];
    if (m->bad) return NULL;
    /* It may be stale because it is damaged: opened in a child first, what it does to the library stays there. */
    if ((!m->opened && n->state == EP_NODE_STALE && ep_file_probe(n->path, &e)) || ep_file_open(n->path, &f, &e)) {
        m->bad = true;
        return NULL;
    }
    const struct ep_origin *origin = ep_file_origin(f);
    if (!m->opened) *m = (struct ep_made){true, false, ep_arena_strdup(&r->arena, origin->fingerprint), ep_arena_strdup(&r->arena, origin->version)};
    size_t at = r->next_open++ % EP_OPEN_FILES;
    ep_file_close(r->open[at].file);
    r->open[at].node = n;
    r->open[at].file = f;
    return f;
}

const struct ep_made *ep_rep_made(struct ep_rep *r, const struct ep_node *n)
{
    const struct ep_made *m = &r->made[place(r, n)];
    if (!m->opened) ep_rep_file(r, n);
    return m->opened && !m->bad ? m : NULL;
}

void ep_rep_close(struct ep_rep *r)
{
    for (size_t i = 0; i < EP_OPEN_FILES; i++) {
        ep_file_close(r->open[i].file);
        r->open[i].node = NULL;
        r->open[i].file = NULL;
    }
}

const char *ep_rep_state(struct ep_rep *r, const struct ep_node *n)
{
    switch (n->state) {
    case EP_NODE_DONE: return ep_rep_made(r, n) ? "up to date" : "unreadable";
    case EP_NODE_STALE: return ep_rep_made(r, n) ? "out of date" : "unreadable";
    case EP_NODE_MISSING: return "not computed";
    case EP_NODE_BLOCKED: return "can't be computed";
    }
    return "?";
}

static struct ep_file *find(struct ep_rep *r, const struct ep_node *n, const char *name, size_t *index)
{
    struct ep_err e = {0};
    struct ep_file *f = ep_rep_file(r, n);
    return f && !ep_file_find(f, name, 0, index, &e) ? f : NULL;
}

struct ep_signal *ep_rep_load(struct ep_rep *r, const struct ep_node *n, const char *name)
{
    size_t i;
    struct ep_err e = {0};
    struct ep_signal *s = NULL;
    struct ep_file *f = find(r, n, name, &i);
    if (!f || ep_file_desc(f, i)->kind == EP_IMAGE || ep_file_load(f, i, (size_t)1 << 30, &s, &e)) return NULL;
    return s;
}

/* ---- words ---------------------------------------------------------------------------------------------------- */

const char *ep_rep_unit(struct ep_rep *r, const char *unit)
{
    char text[64];
    ep_unit_text(unit, 0, text, sizeof text);
    return ep_arena_strdup(&r->arena, text);
}

const char *ep_rep_path(const struct ep_rep *r, const char *path)
{
    const char *folder = r->g->recipe->folder;
    size_t n = strlen(folder);
    if (!strncmp(path, folder, n) && path[n] == '/') return path + n + 1;
    return !strncmp(path, "./", 2) ? path + 2 : path;
}

const char *ep_rep_value(struct ep_rep *r, const struct ep_node *n, int along)
{
    if (along < 0) return *n->where ? ep_rep_where(r, n) : "all runs";
    const struct ep_coord_def *c = &r->g->recipe->coords[along];
    const char *unit = c->unit && *c->unit ? ep_rep_unit(r, c->unit) : "", *value = n->run->coord[along].text;
    if (!c->number) return ep_arena_printf(&r->arena, "%s %s", c->name, value);
    return ep_arena_printf(&r->arena, "%s%s%s", value, *unit ? "\u00a0" : "", unit);
}

double ep_rep_number(const struct ep_node *n, int along)
{
    return along < 0 ? (double)NAN : n->run->coord[along].num;
}

/* What the node's run is called, without the coordinate `but`. */
static char *where_but(struct ep_rep *r, const struct ep_node *n, int but)
{
    char *text = ep_arena_strdup(&r->arena, "");
    for (size_t c = 0; c < r->g->recipe->ncoords; c++)
        if ((int)c != but && r->g->mask[n->step] >> c & 1)
            text = ep_arena_printf(&r->arena, "%s%s%s", text, *text ? ", " : "", ep_rep_value(r, n, (int)c));
    return text;
}

const char *ep_rep_where(struct ep_rep *r, const struct ep_node *n)
{
    char *text = where_but(r, n, -1);
    return *text ? text : "all runs";
}

/* ---- groups --------------------------------------------------------------------------------------------------- */

/* The number that most likely is what was varied: the first one that takes several values. */
static int varied(const struct ep_rep *r, size_t step)
{
    const struct ep_recipe *recipe = r->g->recipe;
    for (size_t c = 0; c < recipe->ncoords; c++) {
        if (!recipe->coords[c].number || !(r->g->mask[step] >> c & 1)) continue;
        for (size_t k = 1; k < r->g->runs->n; k++)
            if (strcmp(r->g->runs->v[k].coord[c].text, r->g->runs->v[0].coord[c].text)) return (int)c;
    }
    return -1;
}

static int by_number(const void *a, const void *b, void *along)
{
    const struct ep_node *const *x = a, *const *y = b;
    double u = ep_rep_number(*x, *(int *)along), v = ep_rep_number(*y, *(int *)along);
    return (u > v) - (u < v);
}

struct ep_groups ep_rep_groups(struct ep_rep *r, size_t step)
{
    struct ep_groups s = {.along = varied(r, step)};
    s.v = EP_ARENA_ARRAY(&r->arena, struct ep_group, r->g->nnodes + 1);
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *n = r->g->node[i];
        if (n->step != step || !ep_rep_asked(n)) continue;
        char *label = where_but(r, n, s.along);
        size_t k = 0;
        while (k < s.n && strcmp(s.v[k].label, label)) k++;
        if (k == s.n) {
            s.v[s.n++] = (struct ep_group){.label = label, .node = EP_ARENA_ARRAY(&r->arena, const struct ep_node *, r->g->nnodes)};
        }
        s.v[k].node[s.v[k].n++] = n;
    }
    for (size_t k = 0; s.along >= 0 && k < s.n; k++) qsort_r(s.v[k].node, s.v[k].n, sizeof *s.v[k].node, by_number, &s.along);
    return s;
}
