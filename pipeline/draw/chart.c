/* Charts: frames, ticks, lines, bands, points. */
#include "pipeline/draw/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------ */

double ep_round_down(double x)
{
    double ten = pow(10, floor(log10(x) + 1e-12)), m = x / ten;
    return (m >= 5 - 1e-9 ? 5 : m >= 2 - 1e-9 ? 2 : 1) * ten;
}

static struct ep_ticks at_step(double lo, double hi, double step)
{
    struct ep_ticks t = {0, {0}, step};
    double tol = 1e-9 * (hi - lo) / step;
    for (double k = ceil(lo / step - tol); k <= floor(hi / step + tol) && t.n < sizeof t.v / sizeof *t.v; k++) t.v[t.n++] = k * step + 0.0;
    return t;
}

struct ep_ticks ep_ticks(double lo, double hi, size_t most)
{
    if (lo > hi) return ep_ticks(hi, lo, most);
    if (!(hi > lo) || !isfinite(hi - lo)) return (struct ep_ticks){0, {0}, 1};
    double step = ep_round_down((hi - lo) / (double)(most > 2 ? most : 2));
    struct ep_ticks t = at_step(lo, hi, step);
    while (t.n > most) {
        double two = step / pow(10, floor(log10(step) + 1e-9));
        step *= two > 1.5 && two < 4 ? 2.5 : 2;
        struct ep_ticks fewer = at_step(lo, hi, step);
        if (fewer.n < 2) break;
        t = fewer;
    }
    return t;
}

void ep_tick_text(double v, double step, char *out, size_t size)
{
    int places = (int)fmin(12, fmax(0, -floor(log10(step) + 1e-9)));
    if (fabs(v) < 1e-9 * step) v = 0;
    snprintf(out, size, "%s%.*f", v < 0 ? "\u2212" : "", places, fabs(v));
}

int ep_tick_power(double lo, double hi)
{
    double most = fmax(fabs(lo), fabs(hi));
    if (!(most > 0) || !isfinite(most) || (most < 1e4 && most >= 1e-2)) return 0;
    return 3 * (int)floor(log10(most) / 3 + 1e-9);
}

/* A digit or a minus, raised. */
static const char *raised(char c)
{
    static const char *const digits[] = {"\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074", "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
    return c == '-' ? "\u207b" : digits[c - '0'];
}

/* "nm^-3" -> "nm" and a raised -3. */
static void add_raised(struct ep_str *s, const char *text)
{
    for (const char *c = text; *c; c++) {
        size_t n = *c == '^' ? 1 + (c[1] == '-') : 0, digits = n ? strspn(c + n, "0123456789") : 0;
        if (!digits) ep_str_addn(s, c, 1);
        else for (const char *end = c + n + digits; ++c < end;) ep_str_add(s, raised(*c));
        if (digits) c--;
    }
}

void ep_unit_text(const char *unit, int power, char *out, size_t size)
{
    static const char *const shown[][2] = {{"degC", "\u00b0C"}, {"deg", "\u00b0"}, {"um", "\u00b5m"}, {"px", "pixels"}};
    struct ep_str s = {0};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strcmp(unit, shown[i][0])) unit = shown[i][1];
    if (power == 3 && !strcmp(unit, "eV")) power = 0, unit = "keV";
    if (power) {
        char text[16];
        snprintf(text, sizeof text, "10^%d%s", power, *unit ? " " : "");
        add_raised(&s, text);
    }
    add_raised(&s, unit);
    snprintf(out, size, "%s", s.s ? s.s : "");
    ep_str_free(&s);
}

void ep_label_text(const char *what, const char *unit, int power, char *out, size_t size)
{
    char u[64];
    ep_unit_text(strcasecmp(what, unit) ? unit : "", power, u, sizeof u);      /* "Counts (counts)" says nothing twice */
    if (*u && *what) snprintf(out, size, "%s (%s)", what, u);
    else snprintf(out, size, "%s", *what ? what : u);
}

/* ---- axes --------------------------------------------------------------------------------------------------- */

#define TICK 2.0      /* points: length of a tick, and the gap behind it */
#define GAP 1.5

double ep_at(const struct ep_span *s, double v)
{
    return s->from + (v - s->lo) / (s->hi - s->lo) * (s->to - s->from);
}

const char *ep_chart_name(const struct ep_chart *c, const char *what)
{
    return ep_arena_printf(&c->page->arena, "%s/%s", c->name, what);
}

static size_t most_ticks(double length, double font)
{
    size_t n = (size_t)(length / (3.4 * font));
    return n < 2 ? 2 : n > 8 ? 8 : n;
}

static size_t most_ticks_y(double length, double font)
{
    size_t n = (size_t)(length / (2.4 * font));
    return n < 2 ? 2 : n > 7 ? 7 : n;
}

#define LABEL_LINES 2

/* The y label, in two lines where one is longer than the axis. */
static size_t y_lines(const struct ep_chart *c, const char *label, const char *line[LABEL_LINES])
{
    return ep_text_wrap(c->page, label, c->style.font, false, c->box.h + c->style.font, LABEL_LINES, line);
}

double ep_chart_left(const struct ep_chart *c, double lo, double hi, const char *label)
{
    const char *line[LABEL_LINES];
    double widest = 0, f = pow(10, -c->power_y);
    struct ep_ticks t = ep_ticks(lo * f, hi * f, most_ticks_y(c->box.h, c->style.font));
    for (size_t i = 0; i < t.n && !c->no_y_numbers; i++) {
        char text[40];
        ep_tick_text(t.v[i], t.step, text, sizeof text);
        widest = fmax(widest, ep_text_width(c->page, text, c->style.font, false));
    }
    return TICK + GAP + widest + 2 + c->style.font * (y_lines(c, label, line) > 1 ? 2.1 : 1);
}

double ep_chart_below(const struct ep_style *s)
{
    return TICK + GAP + 2.3 * s->font;
}

static void tick(struct ep_chart *c, const char *what, double x, double y, double dx, double dy)
{
    const struct ep_point p[2] = {{x, y}, {x + dx, y + dy}};
    ep_page_line(c->page, ep_chart_name(c, what), 2, p, c->style.thin, EP_BLACK);
}

static void x_axis(struct ep_chart *c, const char *label)
{
    double f = pow(10, -c->power_x), base = c->box.y + c->box.h, font = c->style.font;
    struct ep_ticks t = ep_ticks(c->x.lo * f, c->x.hi * f, most_ticks(c->box.w, font));
    for (size_t i = 0; i < t.n; i++) {
        char text[40];
        double x = ep_at(&c->x, t.v[i] / f);
        tick(c, "x tick", x, base, 0, TICK);
        ep_tick_text(t.v[i], t.step, text, sizeof text);
        ep_page_text(c->page, ep_chart_name(c, "x number"), x, base + TICK + GAP + 0.75 * font, text, font, EP_MIDDLE);
    }
    ep_page_text(c->page, ep_chart_name(c, "x label"), c->box.x + c->box.w / 2, base + TICK + GAP + 2 * font,
                 ep_text_fit(c->page, label, font, false, c->box.w + 2 * font), font, EP_MIDDLE);
}

static void y_axis(struct ep_chart *c, const char *label)
{
    double f = pow(10, -c->power_y), font = c->style.font, widest = 0;
    struct ep_ticks t = ep_ticks(c->y.lo * f, c->y.hi * f, most_ticks_y(c->box.h, font));
    for (size_t i = 0; i < t.n && !c->no_y_numbers; i++) {
        char text[40];
        double y = ep_at(&c->y, t.v[i] / f);
        tick(c, "y tick", c->box.x, y, -TICK, 0);
        ep_tick_text(t.v[i], t.step, text, sizeof text);
        widest = fmax(widest, ep_text_width(c->page, text, font, false));
        ep_page_text(c->page, ep_chart_name(c, "y number"), c->box.x - TICK - GAP, y + 0.36 * font, text, font, EP_END);
    }
    const char *line[LABEL_LINES];
    for (size_t n = y_lines(c, label, line), i = 0; i < n; i++)
        ep_page_text(c->page, ep_chart_name(c, "y label"), c->box.x - TICK - GAP - widest - 2 - (0.22 + 1.1 * (double)(n - 1 - i)) * font,
                     c->box.y + c->box.h / 2, line[i], font, EP_MIDDLE)->upright = true;
}

void ep_chart_axes(struct ep_chart *c, const char *x_label, const char *y_label)
{
    const struct ep_box b = c->box;
    c->x.from = b.x, c->x.to = b.x + b.w;
    c->y.from = b.y + b.h, c->y.to = b.y;
    const struct ep_point frame[5] = {{b.x, b.y}, {b.x + b.w, b.y}, {b.x + b.w, b.y + b.h}, {b.x, b.y + b.h}, {b.x, b.y}};
    ep_page_line(c->page, ep_chart_name(c, "frame"), 5, frame, c->style.thin, EP_BLACK);
    x_axis(c, x_label);
    y_axis(c, y_label);
}

/* ---- curves ------------------------------------------------------------------------------------------------- */

static struct ep_point on_page(const struct ep_chart *c, double x, double y)
{
    return (struct ep_point){ep_at(&c->x, x), ep_at(&c->y, y)};
}

/* The next stretch of values from *i on: its first index; *i is behind it. */
static size_t next_run(size_t n, const double *x, const double *y, const double *s, size_t *i)
{
    while (*i < n && !(isfinite(x[*i]) && isfinite(y[*i]) && (!s || isfinite(s[*i])))) ++*i;
    size_t first = *i;
    while (*i < n && isfinite(x[*i]) && isfinite(y[*i]) && (!s || isfinite(s[*i]))) ++*i;
    return first;
}

void ep_chart_line(struct ep_chart *c, const char *what, size_t n, const double *x, const double *y, struct ep_colour colour, double width)
{
    struct ep_point *p = ep_xcalloc(n + 1, sizeof *p);
    for (size_t i = 0, first; (first = next_run(n, x, y, NULL, &i)) < n;) {
        for (size_t k = first; k < i; k++) p[k - first] = on_page(c, x[k], y[k]);
        struct ep_shape *s = ep_page_line(c->page, ep_chart_name(c, what), i - first, p, width, colour);
        s->clip = c->box;
        memcpy(s->dash, c->dash, sizeof s->dash);
    }
    free(p);
}

void ep_chart_band(struct ep_chart *c, const char *what, size_t n, const double *x, const double *y, const double *s, struct ep_colour colour)
{
    struct ep_point *p = ep_xcalloc(2 * n + 1, sizeof *p);
    for (size_t i = 0, first; (first = next_run(n, x, y, s, &i)) < n;) {
        size_t m = i - first;
        for (size_t k = 0; k < m; k++) {
            p[k] = on_page(c, x[first + k], y[first + k] + s[first + k]);
            p[2 * m - 1 - k] = on_page(c, x[first + k], y[first + k] - s[first + k]);
        }
        ep_page_area(c->page, ep_chart_name(c, what), 2 * m, p, colour)->clip = c->box;
    }
    free(p);
}

/* A disc, a square, a triangle, a diamond, of about one area. */
void ep_chart_symbol(struct ep_chart *c, const char *what, struct ep_point at, size_t mark, struct ep_colour colour)
{
    static const struct { size_t n; double turn, size; } shape[] = {{24, 0, 1}, {4, 0.125, 1.25}, {3, 0.25, 1.4}, {4, 0, 1.25}};
    struct ep_point p[24];
    mark %= sizeof shape / sizeof *shape;
    double r = 0.26 * c->style.font * shape[mark].size;
    for (size_t k = 0; k < shape[mark].n; k++) {
        double a = 2 * M_PI * ((double)k / (double)shape[mark].n + shape[mark].turn);
        p[k] = (struct ep_point){at.x + r * cos(a), at.y - r * sin(a)};
    }
    ep_page_area(c->page, ep_chart_name(c, what), shape[mark].n, p, colour);
}

void ep_chart_point(struct ep_chart *c, const char *what, double x, double y, double sigma, size_t mark, struct ep_colour colour)
{
    if (!isfinite(x) || !isfinite(y)) return;
    struct ep_point at = on_page(c, x, y);
    double cap = 0.2 * c->style.font;
    if (sigma > 0) {
        double up = ep_at(&c->y, y + sigma), down = ep_at(&c->y, y - sigma);
        const struct ep_point bar[6] = {{at.x - cap, up}, {at.x + cap, up}, {at.x, up}, {at.x, down}, {at.x - cap, down}, {at.x + cap, down}};
        ep_page_line(c->page, ep_chart_name(c, "error bar"), 6, bar, c->style.line * 0.8, colour)->clip = c->box;
    }
    ep_chart_symbol(c, what, at, mark, colour);
}

void ep_chart_mark(struct ep_chart *c, const char *what, double x, struct ep_colour colour)
{
    if (!isfinite(x)) return;
    const struct ep_point p[2] = {{ep_at(&c->x, x), c->box.y}, {ep_at(&c->x, x), c->box.y + c->box.h}};
    struct ep_shape *s = ep_page_line(c->page, ep_chart_name(c, what), 2, p, c->style.line, colour);
    s->dash[0] = 3, s->dash[1] = 2;
    s->clip = c->box;
}

void ep_chart_window(struct ep_chart *c, const char *what, double lo, double hi, struct ep_colour colour)
{
    double a = ep_at(&c->x, lo), b = ep_at(&c->x, hi);
    ep_page_rect(c->page, ep_chart_name(c, what), (struct ep_box){fmin(a, b), c->box.y, fabs(b - a), c->box.h}, colour)->clip = c->box;
}
