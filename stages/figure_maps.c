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
/* Rows first to end share a scale; any: they have values, some below and above its ends. */
struct group { struct ep_scale scale; const char *unit; bool below, above, any; size_t first, end; };
struct montage {
    size_t nrow, ncol, ngroup;
    struct tile *tile;         /* [nrow][ncol] */
    struct group *group;
    double *aspect;            /* [nrow]: height over width */
    const char **name;         /* [nrow] */
    double left, right, head, width;   /* room; width of a tile */
    size_t per, nband;         /* columns side by side; how often the montage is folded */
    double pitch;              /* from one band to the next */
    double bars;               /* where colour bars begin, from the panel's left */
    bool one_label;            /* for all colour bars */
    bool headed;
};

/* ---- what is shown ------------------------------------------------------------------------------------------ */

static void read_map(struct ep_arena *a, const struct ep_signal *s, struct ep_map *m)
{
    struct ep_image g = ep_grid_in_nm(&s->d);
    *m = (struct ep_map){g.ny, g.nx, g.y0, g.x0, g.hy, g.hx, ep_length_unit(&s->d), EP_ARENA_ARRAY(a, double, g.ny * g.nx + 1)};
    for (size_t i = 0; i < g.ny * g.nx; i++) m->v[i] = s->flags && ep_fatal(s->flags[i]) ? (double)NAN : ep_signal_get(s, i);
}

#define LINE_ASPECT 0.12   /* a line scan is drawn high enough to be seen */

/* Height over width of a map as drawn. */
static double proportion(const struct ep_map *m)
{
    double own = (double)m->ny * fabs(m->hy) / ((double)m->nx * fabs(m->hx));
    return m->ny == 1 ? fmax(own, LINE_ASPECT) : own;
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
            m->aspect[r] = fmax(m->aspect[r], proportion(&t->map));
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
static void set_scale(struct montage *m, struct group *g, const double *range)
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
    g->any = n > 0;
    qsort(v, n, sizeof *v, by_number);
    g->scale.lo = n ? v[(size_t)(0.005 * (double)(n - 1))] : 0;
    g->scale.hi = n ? v[n - 1 - (size_t)(0.005 * (double)(n - 1))] : 1;
    if (range) g->scale.lo = range[0], g->scale.hi = range[1];
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
        set_scale(m, &m->group[k], k < p->par->range.n ? p->par->range.w[k] : NULL);
        m->group[k].scale.colours = c->n ? colours_named(c->v[k % c->n]) : EP_VIRIDIS;
    }
}

/* ---- places ------------------------------------------------------------------------------------------------- */

#define NAMES 0.24         /* the most of the width that names of rows take */
#define HIGHEST 75.0       /* mm: of one map, where nobody gives the height of the panel */

/* Rows one above the other, from row `first` to `end`, at a width of a tile. */
static double rows_height(const struct montage *m, size_t first, size_t end, double width)
{
    double h = GAP * (double)(end - first - 1);
    for (size_t r = first; r < end; r++) h += width * m->aspect[r];
    return h;
}

static const char *bar_label(const struct ep_panel *p, const struct group *g, char *text, size_t size)
{
    ep_label_text(p->par->label ? p->par->label : "", g->unit, ep_tick_power(g->scale.lo, g->scale.hi), text, size);
    return text;
}

static const char *column_name(struct ep_panel *p, const struct montage *m, size_t c)
{
    const struct tile *t = &m->tile[c];
    return t->along ? ep_figure_value(p, t->along) : ep_figure_result(p, t->show);
}

/* Whether the names of columns, and the words beside colour bars, find room at a width of a tile. */
static bool wide_enough(struct ep_panel *p, const struct montage *m, double width, bool bars)
{
    double font = p->style.font, need = 2.5 * font;
    char text[160];
    for (size_t c = 0; m->headed && c < m->ncol; c++) need = fmax(need, ep_text_width(p->page, column_name(p, m, c), font, false) + 0.5 * font);
    for (size_t k = 0; bars && k < m->ngroup; k++)
        if (EP_LEAST_TEXT * ep_text_width(p->page, bar_label(p, &m->group[k], text, sizeof text), font, false) >
            rows_height(m, m->group[k].first, m->group[k].end, width))
            return false;
    return width >= need;
}

static double tile_width(double room, size_t columns)
{
    return (room - GAP * (double)(columns - 1)) / (double)columns;
}

/* As many columns side by side as are wide enough; the others stand below, under names of their own. */
static void fold(struct ep_panel *p, struct montage *m, double room)
{
    m->per = 0;
    for (int bars = 1; bars >= 0 && !m->per; bars--)
        for (size_t n = m->ncol; n > 0 && !m->per; n--)
            if (wide_enough(p, m, tile_width(room, n), bars)) m->per = n;
    if (!m->per) m->per = 1;
    m->nband = (m->ncol + m->per - 1) / m->per;
    m->per = (m->ncol + m->nband - 1) / m->nband;
    m->width = fmax(1, tile_width(room, m->per));
}

/* Maps that are high and narrow, or a panel of a given height, make tiles narrower than there is room for. */
static void limit_height(const struct ep_panel *p, struct montage *m)
{
    double tallest = 0;
    for (size_t r = 0; r < m->nrow; r++) tallest = fmax(tallest, m->aspect[r]);
    m->width = fmin(m->width, HIGHEST * EP_PT_PER_MM / tallest);
    if (!isfinite(p->par->height)) return;
    double font = p->style.font, bands = (double)m->nband, gaps = bands * GAP * (double)(m->nrow - 1) + (bands - 1) * (m->headed ? 1.8 * font : 2 * GAP);
    double free_height = p->par->height * EP_PT_PER_MM - m->head - gaps - 0.6 * font, one = rows_height(m, 0, m->nrow, 1) - GAP * (double)(m->nrow - 1);
    m->width = fmax(font, fmin(m->width, free_height / (bands * one)));
}

static void measure(struct ep_panel *p, struct montage *m, double width)
{
    double font = p->style.font, widest = 0;
    for (size_t r = 0; r < m->nrow; r++) widest = fmax(widest, ep_text_width(p->page, m->name[r], font, false));
    m->left = widest > 0 ? fmin(widest, NAMES * width) + 0.6 * font : 0;
    for (size_t k = 0; k < m->ngroup; k++)
        m->right = fmax(m->right, 0.6 * font + BAR * font + ep_colour_bar_room(p->page, &p->style, &m->group[k].scale));
    m->head = p->head + (m->headed || p->head == 0 ? 1.4 * font : 0);
    fold(p, m, width - m->left - m->right);
    limit_height(p, m);
    m->bars = m->left + (m->width + GAP) * (double)m->per - GAP;
    m->pitch = rows_height(m, 0, m->nrow, m->width) + (m->headed ? 1.8 * font : 2 * GAP);
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
    return m.head + m.pitch * (double)(m.nband - 1) + rows_height(&m, 0, m.nrow, m.width) + 0.6 * p->style.font;   /* half a number of a colour bar */
}

/* Each map in the middle of its place, in its own proportions. */
static void place(struct ep_panel *p, struct montage *m)
{
    for (size_t r = 0; r < m->nrow; r++)
        for (size_t c = 0; c < m->ncol; c++) {
            struct tile *t = &m->tile[r * m->ncol + c];
            double h = m->width * m->aspect[r], y = p->box.y + m->head + m->pitch * (double)(c / m->per) + rows_height(m, 0, r + 1, m->width) - h;
            t->box = (struct ep_box){p->box.x + m->left + (m->width + GAP) * (double)(c % m->per), y, m->width, h};
            if (!t->item) continue;
            double own = proportion(&t->map);
            t->box.y += (h - m->width * own) / 2;
            t->box.h = m->width * own;
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

/* The curve moved by `depth` along its normal, as the map's scan has it. */
static void draw_curve(struct ep_panel *p, const struct tile *t, const struct ep_signal *curve, double depth, const char *name, struct ep_colour c)
{
    const struct ep_item *move = ep_figure_item(p->in, p->par->shift, &p->runs, t->row, t->along);
    double dy = move ? ep_table_number(move->whole, "y", NULL) : 0, dx = move ? ep_table_number(move->whole, "x", NULL) : 0;
    double *yx = EP_ARENA_ARRAY(&p->page->arena, double, 2 * curve->n + 1);
    struct ep_point *pts = EP_ARENA_ARRAY(&p->page->arena, struct ep_point, curve->n + 1);
    if (!ep_curve_over(curve->points, curve->n, depth, dy, dx, yx)) return;
    for (size_t i = 0; i < curve->n; i++) pts[i] = ep_map_at(&t->map, t->box, yx[2 * i], yx[2 * i + 1]);
    dotted(p, name, curve->n, pts, t->box, c);
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
    if (front) draw_curve(p, t, curve->whole, ep_table_number(front->whole, "position", NULL), tile_name(p, m, t, "front"), yellow);
}

double ep_figure_overlay_key(struct ep_panel *p, double x, double y, bool draw)
{
    static const char *const words[] = {"front", "boundary"};
    double font = p->style.font, right = x;
    y += 0.55 * font;
    for (int i = p->par->fronts.n ? 0 : 1; i < 2; i++) {
        double w = ep_text_width(p->page, words[i], font, false);
        struct ep_box swatch = {right - w - 2.9 * font, y - 0.45 * font, 2.5 * font, 0.9 * font};
        const struct ep_point line[2] = {{swatch.x + 2, y}, {swatch.x + swatch.w - 2, y}};
        if (draw) {
            ep_page_text(p->page, ep_figure_name(p, "key"), right - w, y + 0.36 * font, words[i], font, EP_START);
            ep_page_rect(p->page, "swatch", swatch, ep_colour_at(EP_VIRIDIS, 0.15));
            dotted(p, ep_figure_name(p, "key line"), 2, line, swatch, i == 0 ? yellow : white);
        }
        right = swatch.x - 0.8 * font;
    }
    return x - right;
}

/* ---- the panel ---------------------------------------------------------------------------------------------- */

static void draw_words(struct ep_panel *p, const struct montage *m, const struct tile *t, const char *words)
{
    ep_page_text(p->page, tile_name(p, m, t, words), t->box.x + t->box.w / 2, t->box.y + t->box.h / 2 + 0.3 * p->style.font, words,
                 0.9 * p->style.font, EP_MIDDLE);
}

static void draw_empty(struct ep_panel *p, const struct montage *m, const struct tile *t)
{
    ep_page_rect(p->page, tile_name(p, m, t, "empty"), t->box, (struct ep_colour){0.94, 0.94, 0.94, 1});
    draw_words(p, m, t, "no data");
}

static bool has_values(const struct ep_map *m)
{
    for (size_t i = 0; i < m->ny * m->nx; i++)
        if (isfinite(m->v[i])) return true;
    return false;
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

/* In each band, for each scale. */
static void draw_bar(struct ep_panel *p, const struct montage *m, size_t k, size_t band)
{
    const struct group *g = &m->group[k];
    double font = p->style.font, x = p->box.x + m->bars + 0.6 * font, tip = 0.8 * BAR * font;
    double top = p->box.y + m->head + m->pitch * (double)band + (g->first ? rows_height(m, 0, g->first, m->width) + GAP : 0);
    double high = rows_height(m, g->first, g->end, m->width);
    struct ep_box bar = {x, top + (g->above ? tip : 0), BAR * font, high - (g->above ? tip : 0) - (g->below ? tip : 0)};
    char text[160];
    const char *label = p->par->label ? p->par->label : "";
    if (EP_LEAST_TEXT * ep_text_width(p->page, bar_label(p, g, text, sizeof text), font, false) > high) label = "";
    if (m->one_label) label = NULL;
    const char *name = ep_arena_printf(&p->page->arena, band ? "%s/bar %zu,%zu" : "%s/bar %zu", p->letter, k, band);
    ep_draw_colour_bar(p->page, name, &p->style, &g->scale, bar, label, g->unit, p->box.x + m->bars + m->right - 0.25 * font, g->below, g->above);
}

/* One label for all scales of a band, where they are of one unit and too short for their own. */
static void draw_label(struct ep_panel *p, const struct montage *m, size_t band)
{
    char text[160];
    double font = p->style.font, high = rows_height(m, 0, m->nrow, m->width);
    bar_label(p, &m->group[0], text, sizeof text);
    struct ep_shape *s = ep_page_text(p->page, ep_figure_name(p, "bars"), p->box.x + m->bars + m->right - 0.25 * font,
                                      p->box.y + m->head + m->pitch * (double)band + high / 2, text, font, EP_MIDDLE);
    s->upright = true;
    s->size = font * fmax(EP_LEAST_TEXT, fmin(1, high / ep_text_width(p->page, text, font, false)));
}

static bool needs_one_label(struct ep_panel *p, const struct montage *m)
{
    bool alike = m->ngroup > 1, tight = false;
    char first[160], text[160];
    for (size_t k = 0; k < m->ngroup; k++) {
        bar_label(p, &m->group[k], k ? text : first, sizeof text);
        alike &= !k || !strcmp(first, text);
        tight |= EP_LEAST_TEXT * ep_text_width(p->page, k ? text : first, p->style.font, false) > rows_height(m, m->group[k].first, m->group[k].end, m->width);
    }
    return alike && tight;
}

/* The name of a row, in as many lines as the row is high. */
static void draw_row_name(struct ep_panel *p, const struct montage *m, size_t r, size_t band)
{
    enum { LINES = 4 };
    const char *line[LINES];
    double font = p->style.font, h = m->width * m->aspect[r], step = 1.1 * font;
    double y = p->box.y + m->head + m->pitch * (double)band + rows_height(m, 0, r + 1, m->width) - h / 2;
    size_t most = (size_t)fmax(1, fmin(LINES, floor(h / step))), n = ep_text_wrap(p->page, m->name[r], font, false, m->left - 0.6 * font, most, line);
    for (size_t i = 0; i < n; i++)
        ep_page_text(p->page, ep_figure_name(p, "row"), p->box.x, y + 0.36 * font + step * ((double)i - 0.5 * (double)(n - 1)), line[i], font, EP_START);
}

static void draw_names(struct ep_panel *p, const struct montage *m)
{
    double font = p->style.font;
    for (size_t c = 0; m->headed && c < m->ncol; c++)
        ep_page_text(p->page, ep_figure_name(p, "column"), p->box.x + m->left + (m->width + GAP) * (double)(c % m->per) + m->width / 2,
                     p->box.y + m->head + m->pitch * (double)(c / m->per) - 0.4 * font, ep_text_fit(p->page, column_name(p, m, c), font, false, m->width),
                     font, EP_MIDDLE);
    for (size_t band = 0; band < m->nband; band++)
        for (size_t r = 0; r < m->nrow; r++) draw_row_name(p, m, r, band);
}

void ep_figure_maps(struct ep_panel *p)
{
    struct montage m;
    bool barred = false;
    prepare(p, &m, p->box.w);
    place(p, &m);
    ep_figure_draw_heading(p);
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
            if (!has_values(&t->map)) draw_words(p, &m, t, "no value");
            draw_overlays(p, &m, t);
            if (!barred) ep_draw_scale_bar(p->page, tile_name(p, &m, t, "scale bar"), &p->style, &t->map, t->box, p->par->scale_bar);
            barred = true;
            write_data(p, t);
        }
    m.one_label = needs_one_label(p, &m);
    for (size_t band = 0; band < m.nband; band++) {
        for (size_t k = 0; k < m.ngroup; k++)
            if (m.group[k].any) draw_bar(p, &m, k, band);
        if (m.one_label) draw_label(p, &m, band);
    }
}
