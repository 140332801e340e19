/* Panels with axes: spectra one above the other, profiles with their sigmas and fronts, quantities against a coordinate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stages/figure_plan.h"

#define SPECTRUM 0.75      /* width of a spectrum's line, of that of others: it must leave its band to be seen */

/* One line or row of points. */
struct series {
    size_t show, row;
    const struct ep_coord *along;      /* spectra, profiles */
    const struct ep_signal *s;
    size_t n; double *x, *y, *sigma;   /* sigma: NaN where there is none */
    double front;                      /* profiles; NaN: none */
    struct ep_colour colour;
    const char *name;
    size_t mark;
    double dash[2];
};
struct chart_work {
    size_t n; struct series *v;
    const char *x_name, *x_unit, *y_unit;
    double x[2], y[2];
    bool named, key_below;             /* where names of lines stand: at their ends; in a key below the chart; else in a key within */
};

/* ---- values ------------------------------------------------------------------------------------------------- */

static struct series *new_series(struct ep_panel *p, struct chart_work *w, size_t show, size_t row, const struct ep_coord *along, size_t n)
{
    struct ep_arena *a = &p->page->arena;
    struct series *s = &w->v[w->n++];
    double *room = EP_ARENA_ARRAY(a, double, 3 * n + 1);
    *s = (struct series){.show = show, .row = row, .along = along, .n = n, .x = room, .y = room + n, .sigma = room + 2 * n, .front = (double)NAN};
    return s;
}

static bool within(const double window[2], double x)
{
    return isnan(window[0]) || (x >= window[0] && x <= window[1]);
}

/* Where a result is cut to what is shown. */
static void take(struct series *s, const struct ep_signal *sig, const struct ep_axis *axis, const double window[2])
{
    size_t n = 0;
    s->s = sig;
    for (size_t i = 0; i < sig->n; i++) {
        double x = ep_axis_at(axis, (double)i);
        if (!within(window, x)) continue;
        s->x[n] = x;
        s->y[n] = ep_signal_get(sig, i);
        s->sigma[n++] = ep_signal_sigma(sig, i);
    }
    s->n = n;
}

/* Each spectrum divided by its mean in `normalize`, or by its largest value in view. */
static void normalise(const struct ep_panel_par *p, struct series *s)
{
    double sum = 0, most = 0, n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i])) continue;
        most = fmax(most, s->y[i]);
        if (!isnan(p->normalize[0]) && within(p->normalize, s->x[i])) sum += s->y[i], n += 1;
    }
    double by = n > 0 && sum > 0 ? sum / n : most;
    for (size_t i = 0; i < s->n && by > 0; i++) s->y[i] /= by, s->sigma[i] /= by;
}

static void fill_lines(struct ep_panel *p, struct chart_work *w)
{
    size_t ncol = p->runs.along.n ? p->runs.along.n : 1;
    bool spectra = p->par->kind == EP_PANEL_SPECTRA;
    w->v = EP_ARENA_ARRAY(&p->page->arena, struct series, p->par->show.n * p->runs.nrows * ncol + 1);
    w->x_name = spectra ? "Energy loss" : "Distance";
    w->x_unit = spectra ? "eV" : "nm";
    for (size_t k = 0; k < p->par->show.n; k++)
        for (size_t r = 0; r < p->runs.nrows; r++)
            for (size_t c = 0; c < ncol; c++) {
                const struct ep_coord *along = p->runs.along.n ? p->runs.along.v[c] : NULL;
                const struct ep_item *it = ep_figure_item(p->in, p->par->show.v[k], &p->runs, r, along);
                const struct ep_signal *sig = it ? it->whole : NULL;
                struct series *s = new_series(p, w, k, r, along, sig ? sig->n : 0);
                if (!sig) continue;
                take(s, sig, spectra ? &sig->d.energy : &sig->d.nav[0], spectra ? p->par->energy : p->par->distance);
                w->y_unit = sig->d.unit;
                if (spectra && !strncmp(sig->d.meta.signal_type, "EDS", 3)) w->x_name = "Energy";
                if (spectra) normalise(p->par, s);
                const struct ep_texts *f = &p->par->fronts;
                const struct ep_item *front = f->n ? ep_figure_item(p->in, f->v[k < f->n ? k : f->n - 1], &p->runs, r, along) : NULL;
                if (front) s->front = ep_table_number(front->whole, "position", NULL);
            }
}

static const struct ep_column *column_of(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; t && name && i < t->ncol; i++)
        if (!strcmp(t->col[i].name, name) && !t->col[i].is_text) return &t->col[i];
    return NULL;
}

/* One value of one run: of a map of one pixel, or of a table of one row. */
static void one_value(struct ep_panel *p, struct chart_work *w, struct series *s, const struct ep_coord *along)
{
    const struct ep_item *it = ep_figure_item(p->in, p->par->show.v[s->show], &p->runs, s->row, along);
    const struct ep_column *c = it ? column_of(it->whole, p->par->column) : NULL;
    s->x[s->n] = along->num;
    s->y[s->n] = s->sigma[s->n] = (double)NAN;
    if (it && it->whole->d.kind == EP_TABLE) s->y[s->n] = ep_table_number(it->whole, p->par->column, &s->sigma[s->n]);
    else if (it) s->y[s->n] = ep_signal_get(it->whole, 0), s->sigma[s->n] = ep_signal_sigma(it->whole, 0);
    if (c) w->y_unit = c->unit;
    else if (it && it->whole->d.kind != EP_TABLE) w->y_unit = it->whole->d.unit;
    s->n++;
}

/* A table that was collected over the coordinate brings all its values at once. */
static bool whole_table(struct ep_panel *p, struct chart_work *w, struct series *s, const struct ep_signal *t)
{
    const struct ep_column *x = column_of(t, p->runs.along.name), *y = column_of(t, p->par->column);
    if (!x || !y) return false;
    for (size_t i = 0; i < t->n; i++) {
        struct ep_coord here = {.name = p->runs.along.name, .num = x->num[i], .number = true};
        bool shown = false;
        for (size_t k = 0; k < p->runs.along.n && !shown; k++) shown = p->runs.along.v[k]->num == here.num;
        if (p->runs.along.n && !shown) continue;
        s->x[s->n] = x->num[i];
        s->y[s->n] = y->num[i];
        s->sigma[s->n++] = y->sigma ? y->sigma[i] : (double)NAN;
    }
    w->y_unit = y->unit;
    return true;
}

static void fill_values(struct ep_panel *p, struct chart_work *w)
{
    w->v = EP_ARENA_ARRAY(&p->page->arena, struct series, p->par->show.n * p->runs.nrows + 1);
    struct ep_str name = {0};
    ep_str_add(&name, p->runs.along.name ? p->runs.along.name : "");
    if (name.n && name.s[0] >= 'a' && name.s[0] <= 'z') name.s[0] = (char)(name.s[0] - 'a' + 'A');
    w->x_name = ep_arena_strdup(&p->page->arena, name.s ? name.s : "");
    w->x_unit = p->runs.along.unit ? p->runs.along.unit : "";
    ep_str_free(&name);
    for (size_t k = 0; k < p->par->show.n; k++)
        for (size_t r = 0; r < p->runs.nrows; r++) {
            const struct ep_item *any = ep_figure_item(p->in, p->par->show.v[k], &p->runs, r, NULL);
            size_t room = p->runs.along.n + (any && any->whole->d.kind == EP_TABLE ? any->whole->n : 0);
            struct series *s = new_series(p, w, k, r, NULL, room);
            s->n = 0;
            s->s = any ? any->whole : NULL;
            if (any && any->whole->d.kind == EP_TABLE && any->whole->n != 1 && whole_table(p, w, s, any->whole)) continue;
            for (size_t c = 0; c < p->runs.along.n; c++) one_value(p, w, s, p->runs.along.v[c]);
        }
}

/* ---- looks -------------------------------------------------------------------------------------------------- */

static struct ep_colour with_alpha(struct ep_colour c, double a)
{
    c.a = a;
    return c;
}

/* Lines along a coordinate take the colours of a map in its order, dark to bright but not to what white swallows. */
static void set_looks(struct ep_panel *p, struct chart_work *w)
{
    static const double dashes[][2] = {{0, 0}, {3.5, 1.2}, {0, 2}, {1.5, 1}};      /* lines of one colour: of other samples, of other results */
    size_t ncol = p->runs.along.n;
    bool ordered = p->par->kind != EP_PANEL_VALUES && ncol > 1;
    for (size_t i = 0; i < w->n; i++) {
        struct series *s = &w->v[i];
        const char *row = ep_figure_row(p, s->show, s->row);
        size_t group = s->show * p->runs.nrows + s->row;
        s->colour = ordered ? ep_colour_at(EP_VIRIDIS, 0.86 * (double)(i % ncol) / (double)(ncol - 1)) : ep_colour_series(group);
        s->mark = group;
        if (ordered) memcpy(s->dash, dashes[group % (sizeof dashes / sizeof *dashes)], sizeof s->dash);
        s->name = row;
        if (p->par->kind != EP_PANEL_VALUES && s->along)
            s->name = ep_arena_printf(&p->page->arena, "%s%s%s", row, *row && ncol > 1 ? ", " : "", ncol > 1 || !*row ? ep_figure_value(p, s->along) : "");
    }
}

static void widen(double range[2], double v)
{
    if (!isfinite(v)) return;
    range[0] = isnan(range[0]) ? v : fmin(range[0], v);
    range[1] = isnan(range[1]) ? v : fmax(range[1], v);
}

static double shift_of(const struct ep_panel *p, size_t i)
{
    return p->par->kind == EP_PANEL_SPECTRA ? p->par->stack * (double)i : 0;
}

/* Drawn spectra: those that are missing take no place. */
static size_t drawn_before(const struct chart_work *w, size_t i)
{
    size_t k = 0;
    for (size_t j = 0; j < i; j++) k += w->v[j].s != NULL;
    return k;
}

static void set_ranges(const struct ep_panel *p, struct chart_work *w)
{
    w->x[0] = w->x[1] = w->y[0] = w->y[1] = (double)NAN;
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->v[i].n; k++) {
            const struct series *s = &w->v[i];
            double bar = (p->par->bands || p->par->kind == EP_PANEL_VALUES) && isfinite(s->sigma[k]) ? s->sigma[k] : 0, up = shift_of(p, drawn_before(w, i));
            widen(w->x, s->x[k]);
            widen(w->y, s->y[k] + up + bar);
            widen(w->y, s->y[k] + up - bar);
        }
    if (isnan(w->x[0])) w->x[0] = 0, w->x[1] = 1;
    if (isnan(w->y[0])) w->y[0] = 0, w->y[1] = 1;
    double dx = w->x[1] - w->x[0], dy = w->y[1] - w->y[0];
    if (!(dx > 0)) dx = fabs(w->x[0]) + 1, w->x[0] -= dx / 2, w->x[1] += dx / 2;
    if (!(dy > 0)) dy = fabs(w->y[0]) + 1, w->y[0] -= dy / 2, w->y[1] += dy / 2;
    if (p->par->kind == EP_PANEL_VALUES) w->x[0] -= 0.05 * dx, w->x[1] += 0.05 * dx;
    w->y[0] -= 0.06 * dy, w->y[1] += 0.08 * dy;
    if (p->par->range.n) w->y[0] = p->par->range.w[0][0], w->y[1] = p->par->range.w[0][1];
}

/* ---- names of lines ----------------------------------------------------------------------------------------- */

/* How much of lines, error bars and fronts is drawn within a box: points along them. */
static size_t crowd(const struct ep_chart *c, const struct chart_work *w, struct ep_box b)
{
    enum { PARTS = 8 };
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct series *s = &w->v[i];
        double front = ep_at(&c->x, s->front);
        n += front > b.x && front < b.x + b.w;
        for (size_t k = 0; k < s->n; k++)
            for (int part = 0; part < (k + 1 < s->n ? PARTS : 1); part++) {
                double t = (double)part / PARTS, u = s->x[k], v = s->y[k];
                if (part) u += t * (s->x[k + 1] - u), v += t * (s->y[k + 1] - v);
                double x = ep_at(&c->x, u), y = ep_at(&c->y, v);
                n += x > b.x && x < b.x + b.w && y > b.y && y < b.y + b.h;
            }
    }
    return n;
}

/* ---- the key: in the corner where nothing is drawn, else below the chart ---- */

#define KEY_LINE 1.15      /* font sizes */
#define KEY_DASH 1.8       /* font sizes: room of line and mark before the name */

/* Series that have a line in the key. */
static bool keyed(const struct chart_work *w, size_t i)
{
    return w->v[i].s && *w->v[i].name;
}

static size_t key_count(const struct ep_panel *p, const struct chart_work *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) n += keyed(w, i);
    return w->named || (n == 1 && p->par->kind == EP_PANEL_VALUES && w->n == 1) ? 0 : n;
}

static double widest_name(struct ep_panel *p, const struct chart_work *w)
{
    double widest = 0;
    for (size_t i = 0; i < w->n; i++)
        if (keyed(w, i)) widest = fmax(widest, ep_text_width(p->page, w->v[i].name, p->style.font, false));
    return widest;
}

/* Width of a line of the key, at most `most`. */
static double key_width(struct ep_panel *p, const struct chart_work *w, double most)
{
    return fmin(most, widest_name(p, w) + (KEY_DASH + 0.4) * p->style.font);
}

/* Lines of the key below a panel of a width. */
static size_t key_lines(struct ep_panel *p, const struct chart_work *w, double width)
{
    size_t columns = (size_t)fmax(1, floor(width / (key_width(p, w, width) + p->style.font)));
    return (key_count(p, w) + columns - 1) / columns;
}

static void draw_key_line(struct ep_panel *p, struct ep_chart *c, const struct series *s, double x, double y, double width)
{
    double font = p->style.font, middle = y + 0.55 * KEY_LINE * font;
    const struct ep_point dash[2] = {{x + 0.2 * font, middle}, {x + 1.4 * font, middle}};
    struct ep_shape *line = ep_page_line(p->page, ep_chart_name(c, "key line"), 2, dash, p->style.line, s->colour);
    memcpy(line->dash, s->dash, sizeof line->dash);
    if (p->par->kind == EP_PANEL_VALUES) ep_chart_symbol(c, "key mark", (struct ep_point){x + 0.8 * font, middle}, s->mark, s->colour);
    const char *name = ep_text_fit(p->page, s->name, font, false, width - KEY_DASH * font);
    ep_page_text(p->page, ep_chart_name(c, "key"), x + KEY_DASH * font, middle + 0.36 * font, name, font, EP_START);
}

/* The corner where least is drawn, and how much that is. */
static struct ep_box best_corner(struct ep_panel *p, const struct ep_chart *c, const struct chart_work *w, size_t *least)
{
    double font = p->style.font;
    struct ep_box b = {0, 0, key_width(p, w, c->box.w), KEY_LINE * font * (double)key_count(p, w) + 0.4 * font}, best = b;
    *least = SIZE_MAX;
    for (int corner = 0; corner < 4; corner++) {
        b.x = corner % 2 ? c->box.x + 0.3 * font : c->box.x + c->box.w - b.w - 0.3 * font;
        b.y = corner < 2 ? c->box.y + 0.2 * font : c->box.y + c->box.h - b.h - 0.2 * font;
        size_t here = b.w < 0.75 * c->box.w && b.h < 0.75 * c->box.h ? crowd(c, w, b) : SIZE_MAX;
        if (here < *least) *least = here, best = b;
    }
    return best;
}

static void draw_key(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, step = KEY_LINE * font;
    size_t n = key_count(p, w), least, columns = 1;
    if (!n) return;
    struct ep_box b = best_corner(p, c, w, &least);
    if (w->key_below) {
        columns = (size_t)fmax(1, floor(p->box.w / (b.w + font)));
        b.y = p->box.y + p->box.h - step * (double)key_lines(p, w, p->box.w);
        b.x = p->box.x + fmax(0, (p->box.w - (b.w + font) * (double)(n < columns ? n : columns) + font) / 2);
    } else b.y += 0.2 * font;
    for (size_t i = 0, k = 0; i < w->n; i++) {
        if (!keyed(w, i)) continue;
        draw_key_line(p, c, &w->v[i], b.x + (b.w + font) * (double)(k % columns), b.y + step * (double)(k / columns), b.w);
        k++;
    }
}

/* ---- names of stacked spectra ---- */

#define NAMES 0.3          /* the most of a panel's width that they take; longer ones are in a key */

/* Room that they need at the right of the frame. */
static double names_room(struct ep_panel *p, const struct chart_work *w)
{
    return w->named ? widest_name(p, w) + 0.5 * p->style.font : 0;
}

/* Dark enough to be read on white (a contrast of 4.5), of the same hue. */
static struct ep_colour of_text(struct ep_colour c)
{
    const double gamma = 2.2, most = 0.18;
    double light = 0.2126 * pow(c.r, gamma) + 0.7152 * pow(c.g, gamma) + 0.0722 * pow(c.b, gamma), f = light > most ? pow(most / light, 1 / gamma) : 1;
    return (struct ep_colour){f * c.r, f * c.g, f * c.b, c.a};
}

/* Where the name of series i stands by itself: at the end of its line; NaN without one. */
static double end_of(const struct ep_panel *p, const struct ep_chart *c, const struct chart_work *w, size_t i)
{
    const struct series *s = &w->v[i];
    size_t k = s->n;
    while (k > 0 && !isfinite(s->y[k - 1])) k--;
    return k && keyed(w, i) ? ep_at(&c->y, s->y[k - 1] + shift_of(p, drawn_before(w, i))) + 0.36 * p->style.font : (double)NAN;
}

/* Each its name where it ends; names that would touch give way upwards, and all of them downwards where the chart ends. Of more than
 * find room, every second, third, ... is told. */
static void draw_names(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, step = 1.05 * font, last = INFINITY, top = c->box.y + 0.75 * font;
    double *y = EP_ARENA_ARRAY(&p->page->arena, double, w->n + 1);
    size_t named = 0, room = (size_t)fmax(1, floor((c->box.h - 0.75 * font) / step) + 1), told = 0;
    for (size_t i = 0; i < w->n; i++) y[i] = end_of(p, c, w, i), named += !isnan(y[i]);
    size_t every = (named + room - 1) / room;
    for (size_t i = 0; i < w->n; i++) {
        if (isnan(y[i]) || told++ % every) y[i] = (double)NAN;
        else last = y[i] = fmin(fmin(y[i], c->box.y + c->box.h), last - step);
    }
    for (size_t i = w->n; i-- > 0;)
        if (!isnan(y[i])) y[i] = fmax(y[i], top), top = y[i] + step;
    for (size_t i = 0; i < w->n; i++) {
        if (isnan(y[i])) continue;
        struct ep_shape *name = ep_page_text(p->page, ep_chart_name(c, "name"), c->box.x + c->box.w + 0.4 * font, y[i], w->v[i].name, font, EP_START);
        name->colour = of_text(w->v[i].colour);
    }
}

/* ---- the panel ---------------------------------------------------------------------------------------------- */

static void draw_series(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w, size_t i)
{
    const struct series *s = &w->v[i];
    const char *what = ep_arena_printf(&p->page->arena, "line %zu", i), *band = ep_arena_printf(&p->page->arena, "band %zu", i);
    double up = shift_of(p, drawn_before(w, i));
    memcpy(c->dash, s->dash, sizeof c->dash);
    if (p->par->kind == EP_PANEL_SPECTRA) {
        double *y = EP_ARENA_ARRAY(&p->page->arena, double, s->n + 1);
        for (size_t k = 0; k < s->n; k++) y[k] = s->y[k] + up;
        if (p->par->bands) ep_chart_band(c, band, s->n, s->x, y, s->sigma, with_alpha(s->colour, 0.3));
        ep_chart_line(c, what, s->n, s->x, y, s->colour, SPECTRUM * p->style.line);
        return;
    }
    if (p->par->kind == EP_PANEL_PROFILES) {
        if (p->par->bands) ep_chart_band(c, band, s->n, s->x, s->y, s->sigma, with_alpha(s->colour, 0.25));
        ep_chart_line(c, what, s->n, s->x, s->y, s->colour, p->style.line);
        ep_chart_mark(c, ep_arena_printf(&p->page->arena, "front %zu", i), s->front, s->colour);
        return;
    }
    ep_chart_line(c, what, s->n, s->x, s->y, with_alpha(s->colour, 0.5), 0.7 * p->style.line);
    for (size_t k = 0; k < s->n; k++)
        ep_chart_point(c, ep_arena_printf(&p->page->arena, "point %zu,%zu", i, k), s->x[k], s->y[k], s->sigma[k], s->mark, s->colour);
}

static const char *y_label(struct ep_panel *p, const struct ep_chart *c, const struct chart_work *w)
{
    char text[192];
    const char *what = p->par->label;
    if (!what && p->par->kind == EP_PANEL_SPECTRA) what = drawn_before(w, w->n) > 1 && p->par->stack > 0 ? "Intensity, shifted" : "Intensity, normalised";
    if (!what && p->par->kind == EP_PANEL_PROFILES) what = "Intensity";
    if (!what) what = p->par->column ? p->par->column : ep_figure_result(p, 0);
    ep_label_text(what, p->par->kind == EP_PANEL_SPECTRA ? "" : w->y_unit ? w->y_unit : "", c->power_y, text, sizeof text);
    return ep_arena_strdup(&p->page->arena, text);
}

static void place(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, below = ep_chart_below(&p->style);
    if (w->key_below) below += KEY_LINE * font * ((double)key_lines(p, w, p->box.w) + 0.2);
    c->x.lo = w->x[0], c->x.hi = w->x[1], c->y.lo = w->y[0], c->y.hi = w->y[1];
    c->power_x = ep_tick_power(w->x[0], w->x[1]);
    c->power_y = ep_tick_power(w->y[0], w->y[1]);
    c->no_y_numbers = p->par->kind == EP_PANEL_SPECTRA;
    c->box = (struct ep_box){p->box.x, p->box.y + p->head, p->box.w, fmax(font, p->box.h - p->head - below)};
    double left = ep_chart_left(c, c->y.lo, c->y.hi, y_label(p, c, w));
    c->box.x += left;
    c->box.w = fmax(font, c->box.w - left - fmax(0.9 * font, names_room(p, w)));
    c->x.from = c->box.x, c->x.to = c->box.x + c->box.w, c->y.from = c->box.y + c->box.h, c->y.to = c->box.y;
}

/* The key goes below the chart where every corner has something drawn. */
static void place_with_key(struct ep_panel *p, struct ep_chart *c, struct chart_work *w)
{
    size_t least;
    place(p, c, w);
    if (!key_count(p, w)) return;
    best_corner(p, c, w, &least);
    w->key_below = least > 0;
    if (w->key_below) place(p, c, w);
}

static void write_data(struct ep_panel *p, const struct chart_work *w)
{
    bool spectra = p->par->kind == EP_PANEL_SPECTRA, values = p->par->kind == EP_PANEL_VALUES;
    const char *unit = w->y_unit && *w->y_unit && !spectra ? ep_arena_printf(&p->page->arena, " (%s)", w->y_unit) : "";
    const char *first = values ? "" : spectra ? "energy (eV)," : "distance (nm),";
    bool fronts = p->par->kind == EP_PANEL_PROFILES && p->par->fronts.n > 0;
    ep_figure_csv_head(p, ep_arena_printf(&p->page->arena, "%svalue%s,sigma%s%s", first, unit, unit, fronts ? ",front (nm)" : ""));
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->v[i].n; k++) {
            const struct series *s = &w->v[i];
            double v[4] = {s->x[k], s->y[k], s->sigma[k], s->front};
            char text[40];
            snprintf(text, sizeof text, "%.12g", s->x[k]);
            struct ep_coord at = {.name = "", .text = text, .num = s->x[k], .number = true};
            ep_figure_csv_run(p, s->show, s->row, values ? &at : s->along);
            ep_figure_csv_numbers(p, values ? 2 : fronts ? 4 : 3, values ? v + 1 : v);
        }
}

static void prepare(struct ep_panel *p, struct chart_work *w, double width)
{
    *w = (struct chart_work){.y_unit = ""};
    if (p->par->kind == EP_PANEL_VALUES) fill_values(p, w);
    else fill_lines(p, w);
    set_looks(p, w);
    set_ranges(p, w);
    w->named = p->par->kind == EP_PANEL_SPECTRA && widest_name(p, w) <= NAMES * width;
}

/* Three quarters of the width, and more where names of lines need it. */
double ep_figure_chart_height(struct ep_panel *p, double width)
{
    struct chart_work w;
    struct ep_chart c = {.page = p->page, .style = p->style, .name = p->letter};
    size_t named = 0;
    double most = 60 * EP_PT_PER_MM, h = fmin(0.75 * width, most), font = p->style.font;
    prepare(p, &w, width);
    for (size_t i = 0; i < w.n; i++) named += keyed(&w, i);
    if (w.named) return fmax(h, fmin(2 * most, p->head + ep_chart_below(&p->style) + 1.05 * font * (double)named));
    const struct ep_box box = p->box;
    p->box = (struct ep_box){0, 0, width, h};
    place_with_key(p, &c, &w);
    p->box = box;
    return h + (w.key_below ? KEY_LINE * font * ((double)key_lines(p, &w, width) + 0.2) : 0);
}

void ep_figure_chart(struct ep_panel *p)
{
    struct chart_work w;
    struct ep_chart c = {.page = p->page, .style = p->style, .name = p->letter};
    prepare(p, &w, p->box.w);
    place_with_key(p, &c, &w);
    ep_figure_draw_heading(p);
    for (size_t i = 0; i < p->par->windows.n; i++)
        ep_chart_window(&c, ep_arena_printf(&p->page->arena, "window %zu", i), p->par->windows.w[i][0], p->par->windows.w[i][1],
                        with_alpha(ep_colour_series(i), 0.16));
    if (p->par->kind == EP_PANEL_PROFILES) {
        const struct ep_point zero[2] = {{ep_at(&c.x, 0), c.box.y}, {ep_at(&c.x, 0), c.box.y + c.box.h}};
        if (c.x.lo < 0 && c.x.hi > 0) {
            struct ep_shape *s = ep_page_line(p->page, ep_chart_name(&c, "boundary"), 2, zero, p->style.line, (struct ep_colour){0.5, 0.5, 0.5, 1});
            s->dash[1] = 2.2 * p->style.line;
        }
    }
    for (size_t i = 0; i < w.n; i++) draw_series(p, &c, &w, i);
    char x[160];
    ep_label_text(w.x_name, w.x_unit, c.power_x, x, sizeof x);
    ep_chart_axes(&c, x, y_label(p, &c, &w));
    if (w.named) draw_names(p, &c, &w);
    else draw_key(p, &c, &w);
    bool any = false;
    for (size_t i = 0; i < w.n; i++) any |= w.v[i].s != NULL;
    if (!any) ep_page_text(p->page, ep_chart_name(&c, "no data"), c.box.x + c.box.w / 2, c.box.y + c.box.h / 2, "no data", p->style.font, EP_MIDDLE);
    write_data(p, &w);
}
