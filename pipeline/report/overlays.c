/* Boundaries and fronts over maps: which curves belong to a map, and where they lie on it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/numerics/curve.h"
#include "pipeline/report/parts.h"
#include "stages/space.h"

#define UNITS 1000.0       /* of the width and of the height of a map: places in it */
enum { MOST = 6 };         /* curves over one map */

struct overlays { size_t n; struct ep_source_ref curve[MOST]; struct ep_str *o, *names; const struct ep_desc *d; };

static const struct ep_source_ref *item_of(const struct ep_node *n, const char *port)
{
    for (size_t p = 0; n->item && p < n->stage->nports; p++)
        if (!strcmp(n->stage->ports[p].name, port)) return n->nitem[p] ? &n->item[p][0] : NULL;
    return NULL;
}

static const struct ep_desc *desc_of(const struct ep_source_ref *ref)
{
    return ref->node ? &ref->node->decl.out[ref->out] : ref->raw ? &ref->raw->d : NULL;
}

/* Of one run, as far as both depend on it. */
static bool one_run(const struct ep_rep *r, const struct ep_node *a, const struct ep_node *b)
{
    unsigned long long both = r->g->mask[a->step] & r->g->mask[b->step];
    for (size_t c = 0; c < r->g->recipe->ncoords; c++)
        if (both >> c & 1 && strcmp(a->run->coord[c].text, b->run->coord[c].text)) return false;
    return true;
}

/* Points on a straight line say nothing. */
static bool straight(const double *a, const double *b, const double *c)
{
    double dx = c[0] - a[0], dy = c[1] - a[1], away = fabs(dx * (b[1] - a[1]) - dy * (b[0] - a[0]));
    return away <= 0.5 * hypot(dx, dy);
}

static void polyline(struct ep_str *o, const struct ep_desc *d, size_t n, double *yx, bool front)
{
    const struct ep_image g = ep_grid_in_nm(d);
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        double y = (yx[2 * i] - g.y0) / g.hy + 0.5, x = (yx[2 * i + 1] - g.x0) / g.hx + 0.5;
        yx[2 * i] = UNITS * x / (double)g.nx, yx[2 * i + 1] = UNITS * y / (double)g.ny;
    }
    ep_str_addf(o, "<polyline class=\"%s\" points=\"", front ? "front" : "boundary");
    for (size_t i = 0; i < n; i++) {
        if (i && i + 1 < n && straight(yx + 2 * last, yx + 2 * i, yx + 2 * i + 2)) continue;
        ep_str_addf(o, "%s%.1f,%.1f", i ? " " : "", yx[2 * i], yx[2 * i + 1]);
        last = i;
    }
    ep_str_add(o, "\"/>");
}

static void add_name(struct ep_str *names, const char *what, const char *step)
{
    struct ep_str one = {0};
    ep_str_addf(&one, "%s: %s", what, step);
    if (!names->s || !strstr(names->s, one.s)) ep_str_addf(names, "%s%s", names->n ? "; " : "", one.s);
    ep_str_free(&one);
}

static void shift_of(struct ep_rep *r, const struct ep_source_ref *move, double yx[2])
{
    struct ep_signal *t = move && move->node ? ep_rep_load(r, move->node, move->node->decl.out[move->out].name) : NULL;
    yx[0] = move ? ep_table_number(t, "y", NULL) : 0;
    yx[1] = move ? ep_table_number(t, "x", NULL) : 0;
    ep_signal_free(t);
}

static void draw(struct ep_rep *r, struct overlays *v, const struct ep_source_ref *curve, const struct ep_source_ref *move, double depth,
                 const struct ep_node *front)
{
    double shift[2];
    struct ep_signal *s = ep_rep_load(r, curve->node, curve->node->decl.out[curve->out].name);
    double *yx = s && s->d.kind == EP_CURVE ? ep_xcalloc(2 * s->n + 1, sizeof *yx) : NULL;
    shift_of(r, move, shift);
    if (yx && ep_curve_over(s->points, s->n, depth, shift[0], shift[1], yx)) {
        polyline(v->o, v->d, s->n, yx, front != NULL);
        add_name(v->names, front ? "yellow dots" : "white dots", front ? front->s->name : curve->node->s->name);
    }
    free(yx);
    ep_signal_free(s);
}

static bool is_new(struct overlays *v, const struct ep_source_ref *curve)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->curve[i].node == curve->node && v->curve[i].out == curve->out) return false;
    if (v->n == MOST) return false;
    v->curve[v->n++] = *curve;
    return true;
}

/* Fronts of a profile of this very map are counted from the curve that the profile goes along. */
static void fronts_of(struct ep_rep *r, struct overlays *v, const struct ep_node *profile, const struct ep_source_ref *along,
                      const struct ep_source_ref *move)
{
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *f = r->g->node[i];
        const struct ep_source_ref *in = !strcmp(f->stage->name, "front") && ep_rep_asked(f) ? item_of(f, "input") : NULL;
        if (!in || in->node != profile || !one_run(r, f, profile)) continue;
        for (size_t k = 0; k < f->decl.nout; k++) {
            struct ep_signal *t = f->decl.out[k].kind == EP_TABLE ? ep_rep_load(r, f, f->decl.out[k].name) : NULL;
            draw(r, v, along, move, ep_table_number(t, "position", NULL), f);
            ep_signal_free(t);
        }
    }
}

/* Where a profile goes along a curve, the recipe says how the curve lies on the scan of the map; other curves are of the map's own frame. */
void ep_rep_overlays(struct ep_rep *r, const struct ep_node *n, const struct ep_signal *map, struct ep_str *o, struct ep_str *names)
{
    struct ep_str lines = {0};
    size_t out = 0;
    while (out < n->decl.nout && strcmp(n->decl.out[out].name, map->d.name)) out++;
    if (out == n->decl.nout || map->d.nnav != 2) return;
    const struct ep_desc *d = &n->decl.out[out];
    struct overlays v = {.o = &lines, .names = names, .d = &map->d};
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *p = r->g->node[i];
        bool asked = !strcmp(p->stage->name, "profile") && ep_rep_asked(p) && one_run(r, n, p);
        const struct ep_source_ref *along = asked ? item_of(p, "along") : NULL, *in = along ? item_of(p, "input") : NULL, *move = item_of(p, "register");
        if (!in || !along->node || !desc_of(in) || !ep_desc_same_frame(desc_of(in), d)) continue;
        if (is_new(&v, along)) draw(r, &v, along, move, 0, NULL);
        if (in->node == n && in->out == out) fronts_of(r, &v, p, along, move);
    }
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *c = r->g->node[i];
        for (size_t k = 0; ep_rep_asked(c) && k < c->decl.nout; k++) {
            const struct ep_source_ref curve = {.node = r->g->node[i], .out = k};
            if (c->decl.out[k].kind != EP_CURVE || !one_run(r, n, c) || !ep_desc_same_frame(&c->decl.out[k], d)) continue;
            if (is_new(&v, &curve)) draw(r, &v, &curve, NULL, 0, strcmp(c->stage->name, "front") ? NULL : c);
        }
    }
    if (lines.n)
        ep_str_addf(o, "<svg class=\"curves\" aria-hidden=\"true\" viewBox=\"0 0 %g %g\" preserveAspectRatio=\"none\">%s</svg>", UNITS, UNITS, lines.s);
    ep_str_free(&lines);
}
