/* Panels of maps: a coordinate along the columns, results and other coordinates along the rows, with what lies over them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/numerics/curve.h"
#include "stages/figure_plan.h"

#define GAP 2.0            /* points between maps */
#define BAR 0.8            /* width of a colour bar, in font sizes */
static const struct ep_colour white = {1, 1, 1, 1}, yellow = {1, 0.92, 0.1, 1}, shade = {0, 0, 0, 0.45};

/* One place of the montage. */
struct tile { size_t show, row; const struct ep_coord *along; const struct ep_item *item; struct ep_map map; struct ep_box box; };
struct group { struct ep_scale scale; const char *unit; bool below, above; size_t first, end; };   /* rows first to end share a scale */
struct montage {
    size_t nrow, ncol, ngroup;
    struct tile *tile;         /* [nrow][ncol] */
    struct group *group;
    double *aspect;            /* [nrow]: height over width */
    const char **name;         /* [nrow] */
    double left, right, head, width;   /* room; width of a tile */
    bool headed;
};

/* ---- what is shown ------------------------------------------------------------------------------------------ */

static void read_map(struct ep_arena *a, const struct ep_signal *s, struct ep_map *m)
{
    struct ep_image g = ep_grid_in_nm(&s->d);
    *m = (struct ep_map){g.ny, g.nx, g.y0, g.x0, g.hy, g.hx, ep_length_unit(&s->d), EP_ARENA_ARRAY(a, double, g.ny * g.nx + 1)};
    for (size_t i = 0; i < g.ny * g.nx; i++) m->v[i] = s->flags && ep_fatal(s->flags[i]) ? (double)NAN : ep_signal_get(s, i);
}

/* The rows are results, and within them the other coordinates: those of one scale stand together. */
static void find_tiles(struct ep_panel *p, struct montage *m)
{
    struct ep_arena *a = &p->page->arena;
    size_t nshow = p->par->show.n;
    bool columns_are_results = p->runs.along.n == 0 && p->par->share == EP_SHARE_ALL;
    m->ncol = columns_are_results ? nshow : p->runs.along.n ? p->runs.along.n : 1;
    m->nrow = columns_are_results ? p->runs.nrows : nshow * p->runs.nrows;
    m->tile = EP_ARENA_ARRAY(a, struct tile, m->nrow * m->ncol + 1);
    m->aspect = EP_ARENA_ARRAY(a, double, m->nrow + 1);
    m->name = EP_ARENA_ARRAY(a, const char *, m->nrow + 1);
    for (size_t r = 0; r < m->nrow; r++) {
        for (size_t c = 0; c < m->ncol; c++) {
            struct tile *t = &m->tile[r * m->ncol + c];
            t->show = columns_are_results ? c : r / p->runs.nrows;
            t->row = r % p->runs.nrows;
            t->along = p->runs.along.n ? p->runs.along.v[c] : NULL;
            t->item = ep_figure_item(p->in, p->par->show.v[t->show], &p->runs, t->row, t->along);
            if (!t->item) continue;
            read_map(a, t->item->whole, &t->map);
            m->aspect[r] = fmax(m->aspect[r], (double)t->map.ny * fabs(t->map.hy) / ((double)t->map.nx * fabs(t->map.hx)));
        }
        m->name[r] = ep_figure_row(p, columns_are_results ? SIZE_MAX : m->tile[r * m->ncol].show, r % p->runs.nrows);
    }
    for (size_t r = 0; r < m->nrow; r++)        /* rows of which nothing is there look like the others */
        for (size_t k = 0; m->aspect[r] == 0 && k < m->nrow; k++) m->aspect[r] = m->aspect[k];
    for (size_t r = 0; r < m->nrow; r++)
        if (m->aspect[r] == 0) m->aspect[r] = 0.5;
    m->headed = p->runs.along.n > 0 || columns_are_results;
}

/* ---- scales ------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* All but half a percent at each end: one hot pixel must not take the colours from all others. The bar tells what lies beyond. */
static void set_scale(struct montage *m, struct group *g, const struct ep_panel_par *p)
{
    size_t n = 0, most = 0;
    for (size_t i = g->first * m->ncol; i < g->end * m->ncol; i++)
        if (m->tile[i].item) most += m->tile[i].map.ny * m->tile[i].map.nx;
    double *v = ep_xcalloc(most + 1, sizeof *v);
    g->unit = "";
    for (size_t i = g->first * m->ncol; i < g->end * m->ncol; i++) {
        const struct tile *t = &m->tile[i];
        if (t->item) g->unit = t->item->whole->d.unit;
        for (size_t k = 0; t->item && k < t->map.ny * t->map.nx; k++)
            if (isfinite(t->map.v[k])) v[n++] = t->map.v[k];
    }
    qsort(v, n, sizeof *v, by_number);
    g->scale.lo = n ? v[(size_t)(0.005 * (double)(n - 1))] : 0;
    g->scale.hi = n ? v[n - 1 - (size_t)(0.005 * (double)(n - 1))] : 1;
    if (p->range.n == 2) g->scale.lo = p->range.v[0], g->scale.hi = p->range.v[1];
    if (!(g->scale.hi > g->scale.lo)) g->scale.hi = g->scale.lo + (g->scale.lo != 0 ? fabs(g->scale.lo) : 1);
    double more = 1e-3 * (g->scale.hi - g->scale.lo);
    g->below = n && v[0] < g->scale.lo - more;
    g->above = n && v[n - 1] > g->scale.hi + more;
    free(v);
}

static int colours_named(const char *name)
{
    for (int i = 0; ep_colour_maps[i]; i++)
        if (!strcmp(name, ep_colour_maps[i])) return i;
    return EP_VIRIDIS;
}

static void find_groups(struct ep_panel *p, struct montage *m)
{
    m->group = EP_ARENA_ARRAY(&p->page->arena, struct group, m->nrow + 1);
    for (size_t r = 0; r < m->nrow; r++) {
        bool other = r == 0 || p->par->share == EP_SHARE_ROW ||
                     (p->par->share == EP_SHARE_RESULT && m->tile[r * m->ncol].show != m->tile[(r - 1) * m->ncol].show);
        if (other) m->group[m->ngroup++].first = r;
        m->group[m->ngroup - 1].end = r + 1;
    }
    for (size_t k = 0; k < m->ngroup; k++) {
        const struct ep_texts *c = &p->par->colours;
        set_scale(m, &m->group[k], p->par);
        m->group[k].scale.colours = c->n ? colours_named(c->v[k % c->n]) : EP_VIRIDIS;
    }
}

/* ---- places ------------------------------------------------------------------------------------------------- */

static void measure(struct ep_panel *p, struct montage *m, double width)
{
    double font = p->style.font, widest = 0;
    for (size_t r = 0; r < m->nrow; r++) widest = fmax(widest, ep_text_width(p->page, m->name[r], font, false));
    m->left = widest > 0 ? widest + 0.6 * font : 0;
    for (size_t k = 0; k < m->ngroup; k++)
        m->right = fmax(m->right, 0.6 * font + BAR * font + ep_colour_bar_room(p->page, &p->style, &m->group[k].scale));
    m->head = ep_figure_head(p) + (m->headed || ep_figure_head(p) == 0 ? 1.4 * font : 0);
    m->width = (width - m->left - m->right - GAP * (double)(m->ncol - 1)) / (double)m->ncol;
}

static void prepare(struct ep_panel *p, struct montage *m, double width)
{
    memset(m, 0, sizeof *m);
    find_tiles(p, m);
    find_groups(p, m);
    measure(p, m, width);
}

double ep_figure_maps_height(struct ep_panel *p, double width)
{
    struct montage m;
    prepare(p, &m, width);
    double h = m.head + GAP * (double)(m.nrow - 1);
    for (size_t r = 0; r < m.nrow; r++) h += m.width * m.aspect[r];
    return h + 0.6 * p->style.font;      /* half a number of a colour bar */
}

/* Each map in the middle of its place, in its own proportions. */
static void place(struct ep_panel *p, struct montage *m)
{
    double y = p->box.y + m->head;
    for (size_t r = 0; r < m->nrow; r++) {
        double h = m->width * m->aspect[r];
        for (size_t c = 0; c < m->ncol; c++) {
            struct tile *t = &m->tile[r * m->ncol + c];
            t->box = (struct ep_box){p->box.x + m->left + (m->width + GAP) * (double)c, y, m->width, h};
            if (!t->item) continue;
            double own = (double)t->map.ny * fabs(t->map.hy) / ((double)t->map.nx * fabs(t->map.hx));
            t->box.y += (h - m->width * own) / 2;
            t->box.h = m->width * own;
        }
        y += h + GAP;
    }
}

/* ---- over the maps ------------------------------------------------------------------------------------------ */

static void dotted(struct ep_panel *p, const char *name, size_t n, const struct ep_point *pts, struct ep_box clip, struct ep_colour c)
{
    double w = 0.16 * p->style.font;
    struct ep_shape *s = ep_page_line(p->page, "rim", n, pts, 1.7 * w, shade);
    s->dash[1] = 2.2 * w, s->clip = clip;
    s = ep_page_line(p->page, name, n, pts, w, c);
    s->dash[1] = 2.2 * w, s->clip = clip;
}

/* The curve moved by `depth` along its mean normal, in the frame of the map: what was added to its positions is taken off. */
static void draw_curve(struct ep_panel *p, const struct tile *t, const struct ep_signal *curve, double depth, const char *name, struct ep_colour c)
{
    struct ep_curve *g = NULL;
    struct ep_err none = {0};
    const struct ep_item *move = ep_figure_item(p->in, p->par->shift, &p->runs, t->row, t->along);
    double dy = move ? ep_figure_number(move->whole, "y", NULL) : 0, dx = move ? ep_figure_number(move->whole, "x", NULL) : 0;
    if (!isfinite(depth) || !isfinite(dy) || !isfinite(dx) || ep_curve_new(curve->points, curve->n, &g, &none)) return;
    struct ep_point *pts = ep_xcalloc(curve->n + 1, sizeof *pts);
    for (size_t i = 0; i < curve->n; i++) {
        const double *q = &curve->points[i * EP_CURVE_COLS];
        pts[i] = ep_map_at(&t->map, t->box, q[0] + depth * g->ny - dy, q[1] + depth * g->nx - dx);
    }
    dotted(p, name, curve->n, pts, t->box, c);
    free(pts);
    ep_curve_free(g);
}

static const char *tile_name(struct ep_panel *p, const struct montage *m, const struct tile *t, const char *what)
{
    size_t i = (size_t)(t - m->tile);
    return ep_arena_printf(&p->page->arena, "%s/%zu,%zu/%s", p->letter, i / m->ncol, i % m->ncol, what);
}

static void draw_overlays(struct ep_panel *p, const struct montage *m, const struct tile *t)
{
    const struct ep_item *curve = ep_figure_item(p->in, p->par->boundary, &p->runs, t->row, t->along);
    if (!curve || curve->whole->d.kind != EP_CURVE) return;
    draw_curve(p, t, curve->whole, 0, tile_name(p, m, t, "boundary"), white);
    const struct ep_texts *f = &p->par->fronts;
    if (!f->n) return;
    const struct ep_item *front = ep_figure_item(p->in, f->v[t->show < f->n ? t->show : f->n - 1], &p->runs, t->row, t->along);
    if (front) draw_curve(p, t, curve->whole, ep_figure_number(front->whole, "position", NULL), tile_name(p, m, t, "front"), yellow);
}

/* Which dots mean what, at the right of the first line. */
static void draw_key(struct ep_panel *p, double right)
{
    static const char *const words[] = {"front", "boundary"};
    double font = p->style.font, y = p->box.y + 0.55 * font;
    for (int i = p->par->fronts.n ? 0 : 1; i < 2; i++) {
        double w = ep_text_width(p->page, words[i], font, false);
        ep_page_text(p->page, ep_figure_name(p, "key"), right - w, y + 0.36 * font, words[i], font, EP_START);
        struct ep_box swatch = {right - w - 2.9 * font, y - 0.45 * font, 2.5 * font, 0.9 * font};
        const struct ep_point line[2] = {{swatch.x + 2, y}, {swatch.x + swatch.w - 2, y}};
        ep_page_rect(p->page, "swatch", swatch, ep_colour_at(EP_VIRIDIS, 0.15));
        dotted(p, ep_figure_name(p, "key line"), 2, line, swatch, i == 0 ? yellow : white);
        right = swatch.x - 0.8 * font;
    }
}

/* ---- the panel ---------------------------------------------------------------------------------------------- */

static void draw_empty(struct ep_panel *p, const struct montage *m, const struct tile *t)
{
    ep_page_rect(p->page, tile_name(p, m, t, "empty"), t->box, (struct ep_colour){0.94, 0.94, 0.94, 1});
    ep_page_text(p->page, tile_name(p, m, t, "no data"), t->box.x + t->box.w / 2, t->box.y + t->box.h / 2 + 0.3 * p->style.font, "no data",
                 0.9 * p->style.font, EP_MIDDLE);
}

static void write_data(struct ep_panel *p, const struct tile *t)
{
    const struct ep_map *m = &t->map;
    for (size_t i = 0; t->item && i < m->ny * m->nx; i++) {
        double v[4] = {m->y0 + (double)(i / m->nx) * m->hy, m->x0 + (double)(i % m->nx) * m->hx, m->v[i], ep_signal_sigma(t->item->whole, i)};
        ep_figure_csv_run(p, t->show, t->row, t->along);
        ep_figure_csv_numbers(p, 4, v);
    }
}

static void draw_bars(struct ep_panel *p, const struct montage *m)
{
    double font = p->style.font, x = p->box.x + p->box.w - m->right + 0.6 * font;
    for (size_t k = 0; k < m->ngroup; k++) {
        const struct group *g = &m->group[k];
        double top = m->tile[g->first * m->ncol].box.y, end = 0, tip = 0.8 * BAR * font;
        for (size_t r = g->first; r < g->end; r++)
            for (size_t c = 0; c < m->ncol; c++) {
                const struct ep_box b = m->tile[r * m->ncol + c].box;
                top = fmin(top, b.y);
                end = fmax(end, b.y + b.h);
            }
        struct ep_box bar = {x, top + (g->above ? tip : 0), BAR * font, end - top - (g->above ? tip : 0) - (g->below ? tip : 0)};
        char text[160];
        const char *label = p->par->label ? p->par->label : "";
        ep_label_text(label, g->unit, ep_tick_power(g->scale.lo, g->scale.hi), text, sizeof text);
        if (ep_text_width(p->page, text, font, false) > end - top) label = "";
        ep_draw_colour_bar(p->page, ep_arena_printf(&p->page->arena, "%s/bar %zu", p->letter, k), &p->style, &g->scale, bar, label, g->unit,
                           p->box.x + p->box.w - 0.25 * font, g->below, g->above);
    }
}

static void draw_names(struct ep_panel *p, const struct montage *m)
{
    double font = p->style.font;
    for (size_t c = 0; m->headed && c < m->ncol; c++) {
        const struct tile *t = &m->tile[c];
        const char *text = t->along ? ep_figure_value(p, t->along) : ep_figure_result(p, t->show);
        ep_page_text(p->page, ep_figure_name(p, "column"), p->box.x + m->left + (m->width + GAP) * (double)c + m->width / 2,
                     p->box.y + m->head - 0.4 * font, text, font, EP_MIDDLE);
    }
    double y = p->box.y + m->head;
    for (size_t r = 0; r < m->nrow; r++) {
        double h = m->width * m->aspect[r];
        if (*m->name[r])
            ep_page_text(p->page, ep_figure_name(p, "row"), p->box.x, y + h / 2 + 0.36 * font, m->name[r], font, EP_START);
        y += h + GAP;
    }
}

void ep_figure_maps(struct ep_panel *p)
{
    struct montage m;
    bool barred = false;
    prepare(p, &m, p->box.w);
    place(p, &m);
    ep_figure_heading(p);
    draw_names(p, &m);
    const char *unit = m.ngroup ? m.group[0].unit : "";
    for (size_t k = 0; k < m.ngroup; k++)
        if (strcmp(m.group[k].unit, unit)) unit = "";
    const char *nm = "nm";
    for (size_t i = 0; i < m.nrow * m.ncol; i++)
        if (m.tile[i].item) nm = m.tile[i].map.unit;
    ep_figure_csv_head(p, ep_arena_printf(&p->page->arena, "y (%s),x (%s),value%s%s%s,sigma%s%s%s", nm, nm, *unit ? " (" : "", unit, *unit ? ")" : "",
                                          *unit ? " (" : "", unit, *unit ? ")" : ""));
    for (size_t k = 0; k < m.ngroup; k++)
        for (size_t i = m.group[k].first * m.ncol; i < m.group[k].end * m.ncol; i++) {
            const struct tile *t = &m.tile[i];
            if (!t->item) {
                draw_empty(p, &m, t);
                continue;
            }
            ep_draw_map(p->page, tile_name(p, &m, t, "map"), &t->map, &m.group[k].scale, t->box);
            draw_overlays(p, &m, t);
            if (!barred) ep_draw_scale_bar(p->page, tile_name(p, &m, t, "scale bar"), &p->style, &t->map, t->box, p->par->scale_bar);
            barred = true;
            write_data(p, t);
        }
    draw_bars(p, &m);
    if (p->par->boundary) draw_key(p, p->box.x + p->box.w - m.right);
}
