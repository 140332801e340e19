/* Panels with axes: spectra one above the other, profiles with their sigmas and fronts, quantities against a coordinate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stages/figure_plan.h"

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
};
struct chart_work { size_t n; struct series *v; const char *x_name, *x_unit, *y_unit; double x[2], y[2]; };

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
                if (front) s->front = ep_figure_number(front->whole, "position", NULL);
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
    if (it && it->whole->d.kind == EP_TABLE) s->y[s->n] = ep_figure_number(it->whole, p->par->column, &s->sigma[s->n]);
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
    size_t ncol = p->runs.along.n;
    bool ordered = p->par->kind != EP_PANEL_VALUES && ncol > 1;
    for (size_t i = 0; i < w->n; i++) {
        struct series *s = &w->v[i];
        const char *row = ep_figure_row(p, s->show, s->row);
        size_t group = s->show * p->runs.nrows + s->row;
        s->colour = ordered ? ep_colour_at(EP_VIRIDIS, 0.86 * (double)(i % ncol) / (double)(ncol - 1)) : ep_colour_series(group);
        s->mark = group;
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
            double bar = p->par->kind != EP_PANEL_SPECTRA && isfinite(s->sigma[k]) ? s->sigma[k] : 0, up = shift_of(p, drawn_before(w, i));
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
    if (p->par->range.n == 2) w->y[0] = p->par->range.v[0], w->y[1] = p->par->range.v[1];
}

/* ---- names of lines ----------------------------------------------------------------------------------------- */

/* Points of all lines and error bars within a box. */
static size_t crowd(const struct ep_chart *c, const struct chart_work *w, struct ep_box b)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->v[i].n; k++) {
            double x = ep_at(&c->x, w->v[i].x[k]), y = ep_at(&c->y, w->v[i].y[k]);
            n += x > b.x && x < b.x + b.w && y > b.y && y < b.y + b.h;
        }
    return n;
}

/* In the corner where least is drawn. */
static void draw_key(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, widest = 0, line = 1.15 * font;
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (!w->v[i].s || !*w->v[i].name) continue;
        widest = fmax(widest, ep_text_width(p->page, w->v[i].name, font, false));
        n++;
    }
    if (n < 1 || (n == 1 && p->par->kind == EP_PANEL_VALUES && w->n == 1)) return;
    struct ep_box b = {0, 0, widest + 2 * font, line * (double)n + 0.4 * font}, best = b;
    size_t least = SIZE_MAX;
    for (int corner = 0; corner < 4; corner++) {
        b.x = corner % 2 ? c->box.x + 0.3 * font : c->box.x + c->box.w - b.w - 0.3 * font;
        b.y = corner < 2 ? c->box.y + 0.2 * font : c->box.y + c->box.h - b.h - 0.2 * font;
        size_t here = crowd(c, w, b);
        if (here < least) least = here, best = b;
    }
    double y = best.y + 0.2 * font;
    for (size_t i = 0; i < w->n; i++) {
        const struct series *s = &w->v[i];
        if (!s->s || !*s->name) continue;
        const struct ep_point dash[2] = {{best.x + 0.2 * font, y + 0.55 * line}, {best.x + 1.4 * font, y + 0.55 * line}};
        ep_page_line(p->page, ep_chart_name(c, "key line"), 2, dash, p->style.line, s->colour);
        if (p->par->kind == EP_PANEL_VALUES) ep_chart_symbol(c, "key mark", (struct ep_point){best.x + 0.8 * font, y + 0.55 * line}, s->mark, s->colour);
        ep_page_text(p->page, ep_chart_name(c, "key"), best.x + 1.8 * font, y + 0.55 * line + 0.36 * font, s->name, font, EP_START);
        y += line;
    }
}

/* Room that the names of stacked spectra need at the right of the frame. */
static double names_room(struct ep_panel *p, const struct chart_work *w)
{
    double widest = 0;
    for (size_t i = 0; p->par->kind == EP_PANEL_SPECTRA && i < w->n; i++)
        if (w->v[i].s && *w->v[i].name) widest = fmax(widest, ep_text_width(p->page, w->v[i].name, p->style.font, false));
    return widest > 0 ? widest + 0.5 * p->style.font : 0;
}

/* Stacked spectra: each its name where it ends; names that would touch give way upwards. */
static void draw_names(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, last = INFINITY;
    for (size_t i = 0; i < w->n; i++) {
        const struct series *s = &w->v[i];
        if (!s->s || s->n == 0 || !*s->name) continue;
        size_t k = s->n - 1;
        while (k > 0 && !isfinite(s->y[k])) k--;
        if (!isfinite(s->y[k])) continue;
        double y = fmin(ep_at(&c->y, s->y[k] + shift_of(p, drawn_before(w, i))) + 0.36 * font, last - 1.05 * font);
        y = fmax(fmin(y, c->box.y + c->box.h), c->box.y + 0.75 * font);
        ep_page_text(p->page, ep_chart_name(c, "name"), c->box.x + c->box.w + 0.4 * font, y, s->name, font, EP_START)->colour = s->colour;
        last = y;
    }
}

/* ---- the panel ---------------------------------------------------------------------------------------------- */

static void draw_series(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w, size_t i)
{
    const struct series *s = &w->v[i];
    const char *what = ep_arena_printf(&p->page->arena, "line %zu", i);
    double up = shift_of(p, drawn_before(w, i));
    if (p->par->kind == EP_PANEL_SPECTRA) {
        double *y = EP_ARENA_ARRAY(&p->page->arena, double, s->n + 1);
        for (size_t k = 0; k < s->n; k++) y[k] = s->y[k] + up;
        ep_chart_line(c, what, s->n, s->x, y, s->colour, p->style.line);
        return;
    }
    if (p->par->kind == EP_PANEL_PROFILES) {
        ep_chart_band(c, ep_arena_printf(&p->page->arena, "band %zu", i), s->n, s->x, s->y, s->sigma, with_alpha(s->colour, 0.25));
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
    if (!what && p->par->kind == EP_PANEL_SPECTRA) what = "Intensity, shifted";
    if (!what && p->par->kind == EP_PANEL_PROFILES) what = "Intensity";
    if (!what) what = p->par->column ? p->par->column : ep_figure_result(p, 0);
    ep_label_text(what, p->par->kind == EP_PANEL_SPECTRA ? "" : w->y_unit ? w->y_unit : "", c->power_y, text, sizeof text);
    return ep_arena_strdup(&p->page->arena, text);
}

static void place(struct ep_panel *p, struct ep_chart *c, const struct chart_work *w)
{
    double font = p->style.font, head = ep_figure_head(p), below = ep_chart_below(&p->style);
    c->x.lo = w->x[0], c->x.hi = w->x[1], c->y.lo = w->y[0], c->y.hi = w->y[1];
    c->power_x = ep_tick_power(w->x[0], w->x[1]);
    c->power_y = ep_tick_power(w->y[0], w->y[1]);
    c->no_y_numbers = p->par->kind == EP_PANEL_SPECTRA;
    c->box = (struct ep_box){p->box.x, p->box.y + head, p->box.w, p->box.h - head - below};
    double left = ep_chart_left(c, c->y.lo, c->y.hi);
    c->box.x += left;
    c->box.w -= left + fmax(0.9 * font, names_room(p, w));
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

void ep_figure_chart(struct ep_panel *p)
{
    struct chart_work w = {.y_unit = ""};
    struct ep_chart c = {.page = p->page, .style = p->style, .name = p->letter};
    if (p->par->kind == EP_PANEL_VALUES) fill_values(p, &w);
    else fill_lines(p, &w);
    set_looks(p, &w);
    set_ranges(p, &w);
    place(p, &c, &w);
    ep_figure_heading(p);
    c.x.from = c.box.x, c.x.to = c.box.x + c.box.w, c.y.from = c.box.y + c.box.h, c.y.to = c.box.y;
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
    if (p->par->kind == EP_PANEL_SPECTRA) draw_names(p, &c, &w);
    else draw_key(p, &c, &w);
    bool any = false;
    for (size_t i = 0; i < w.n; i++) any |= w.v[i].s != NULL;
    if (!any) ep_page_text(p->page, ep_chart_name(&c, "no data"), c.box.x + c.box.w / 2, c.box.y + c.box.h / 2, "no data", p->style.font, EP_MIDDLE);
    write_data(p, &w);
}
