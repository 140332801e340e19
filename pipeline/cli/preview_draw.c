/* A preview as a picture and as text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/cli/preview.h"
#include "pipeline/draw/chart.h"

void preview_range(const struct preview *p, double range[2])
{
    double lo = INFINITY, hi = -INFINITY, first = fmin(p->x[0], p->x[p->n - 1]), last = fmax(p->x[0], p->x[p->n - 1]);
    for (size_t i = 0; i < p->nwindow; i++) lo = fmin(lo, p->window[i].lo), hi = fmax(hi, p->window[i].hi);
    double more = 0.5 * (hi - lo);
    range[0] = p->nwindow ? fmax(first, lo - more) : first;
    range[1] = p->nwindow ? fmin(last, hi + more) : last;
    if (!(range[1] > range[0])) range[0] = first, range[1] = last > first ? last : first + 1;
}

static double net_of(const struct preview *p, size_t i)
{
    return p->fit && !p->residual ? p->y[i] - p->fit[i] : (double)NAN;
}

/* Of all that is in view. */
static void extent(const struct preview *p, const double x[2], double y[2])
{
    y[0] = INFINITY, y[1] = -INFINITY;
    for (size_t i = 0; i < p->n; i++) {
        const double v[3] = {p->y[i], p->fit ? p->fit[i] : (double)NAN, net_of(p, i)};
        for (int k = 0; k < 3 && p->x[i] >= x[0] && p->x[i] <= x[1]; k++)
            if (isfinite(v[k])) y[0] = fmin(y[0], v[k]), y[1] = fmax(y[1], v[k]);
    }
    if (!isfinite(y[0])) y[0] = 0, y[1] = 1;
    double more = 0.05 * (y[1] > y[0] ? y[1] - y[0] : 1);
    y[0] -= more, y[1] += more;
}

/* ---- a picture ------------------------------------------------------------------------------------------------ */

static bool in_fit(const struct preview *p, double x)
{
    bool any = false;
    for (size_t i = 0; i < p->nwindow; i++) {
        if (!p->window[i].fit) continue;
        any = true;
        if (x >= p->window[i].lo && x < p->window[i].hi) return true;
    }
    return !any;       /* a fit without windows is one of everything */
}

static void draw_residual(struct ep_chart *c, const struct preview *p, const double range[2])
{
    double most = 3, *r = ep_xcalloc(p->n + 1, sizeof *r);
    for (size_t i = 0; i < p->n; i++) {
        r[i] = in_fit(p, p->x[i]) && p->sigma[i] > 0 ? (p->y[i] - p->fit[i]) / p->sigma[i] : (double)NAN;
        if (isfinite(r[i]) && p->x[i] >= range[0] && p->x[i] <= range[1]) most = fmax(most, 1.1 * fabs(r[i]));
    }
    c->y.lo = -most, c->y.hi = most;
    ep_chart_axes(c, "Energy (eV)", "Residual (\u03c3)");
    const double zero[2] = {0, 0};
    ep_chart_line(c, "zero", 2, range, zero, (struct ep_colour){0.6, 0.6, 0.6, 1}, 0.5);
    ep_chart_line(c, "residual", p->n, p->x, r, ep_colour_series(1), 0.8);
    free(r);
}

/* Title, lines and windows by their colours, as many lines as they need; returns where they end. */
static double draw_key(struct ep_page *page, const struct preview *p)
{
    static const char *const words[] = {"spectrum", "fit", "net"};
    size_t nline = !p->fit ? 1 : p->residual ? 2 : 3;
    double x = 10, y = 24;
    ep_page_text(page, "title", x, 12, p->title, 8, EP_START)->bold = true;
    for (size_t i = 0; i < nline + p->nwindow; i++) {
        bool line = i < nline;
        char text[160];
        if (line) snprintf(text, sizeof text, "%s", words[i]);
        else snprintf(text, sizeof text, "%s %g\u2013%g eV", p->window[i - nline].name, p->window[i - nline].lo, p->window[i - nline].hi);
        struct ep_colour colour = line ? (i == 0 ? EP_BLACK : ep_colour_series(i == 1 ? 1 : 0)) : ep_colour_series(2 + i - nline);
        if (!line) colour.a = 0.35;
        double wide = 22 + ep_text_width(page, text, 7, false);
        if (x > 10 && x + wide > page->w) x = 10, y += 10;
        ep_page_rect(page, "key", (struct ep_box){x, y - (line ? 3.5 : 5.5), 9, line ? 1.5 : 6}, colour);
        ep_page_text(page, "key text", x + 12, y, text, 7, EP_START);
        x += wide;
    }
    return y + 5;
}

static void draw_spectrum(struct ep_chart *c, const struct preview *p, const double range[2])
{
    double y[2], *net = ep_xcalloc(p->n + 1, sizeof *net);
    char label[96];
    extent(p, range, y);
    c->y.lo = y[0], c->y.hi = y[1];
    c->power_y = ep_tick_power(y[0], y[1]);
    ep_label_text("Intensity", p->unit, c->power_y, label, sizeof label);
    c->box.x = 8 + ep_chart_left(c, y[0], y[1], label);
    c->box.w = c->page->w - c->box.x - 10;
    c->x.from = c->box.x, c->x.to = c->box.x + c->box.w;
    c->y.from = c->box.y + c->box.h, c->y.to = c->box.y;
    for (size_t i = 0; i < p->nwindow; i++) {
        struct ep_colour shade = ep_colour_series(2 + i);
        shade.a = 0.18;
        ep_chart_window(c, ep_arena_printf(&c->page->arena, "window %zu", i), p->window[i].lo, p->window[i].hi, shade);
    }
    for (size_t i = 0; i < p->n; i++) net[i] = net_of(p, i);
    if (p->fit && !p->residual) ep_chart_line(c, "net", p->n, p->x, net, ep_colour_series(0), 0.8);
    ep_chart_line(c, "spectrum", p->n, p->x, p->y, EP_BLACK, 0.8);
    if (p->fit) ep_chart_line(c, "fit", p->n, p->x, p->fit, ep_colour_series(1), 1);
    ep_chart_axes(c, p->fit ? "" : "Energy (eV)", label);
    free(net);
}

static ep_status draw(const struct preview *p, struct ep_page **out, struct ep_err *e)
{
    ep_status st = ep_draw_ready(e);
    if (st) return st;
    double range[2];
    preview_range(p, range);
    struct ep_page *page = *out = ep_page_new(130 * EP_PT_PER_MM, (p->fit ? 95 : 70) * EP_PT_PER_MM, "Liberation Sans, Arial, Helvetica, DejaVu Sans");
    struct ep_chart top = {.page = page, .style = {7, 0.5, 0.9}, .name = "top", .x = {.lo = range[0], .hi = range[1]}};
    double head = draw_key(page, p), below = ep_chart_below(&top.style), low_height = 44;
    top.box = (struct ep_box){0, head, page->w, page->h - head - below - (p->fit ? low_height + 14 : 0)};
    draw_spectrum(&top, p, range);
    if (!p->fit) return EP_OK;
    struct ep_chart low = top;
    low.name = "low", low.power_y = 0;
    low.box.y = top.box.y + top.box.h + 14, low.box.h = low_height;
    low.y.from = low.box.y + low.box.h, low.y.to = low.box.y;
    draw_residual(&low, p, range);
    return EP_OK;
}

ep_status preview_draw(const struct preview *p, const char *path, struct ep_str *out, struct ep_err *e)
{
    const char *dot = strrchr(path, '.');
    struct ep_page *page = NULL;
    bool png = dot && !strcmp(dot, ".png"), pdf = dot && !strcmp(dot, ".pdf"), svg = dot && !strcmp(dot, ".svg");
    if (!png && !pdf && !svg) return ep_fail(e, EP_E_RECIPE, "--to %s: the name must end in .png, .pdf or .svg", path);
    ep_status st = draw(p, &page, e);
    if (!st) st = png ? ep_page_png(page, 200, out, e) : pdf ? ep_page_pdf(page, out, e) : ep_page_svg(page, out, e);
    ep_page_free(page);
    return st;
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

struct grid { size_t width, height; char *c; double x[2], y[2]; };

/* Every column shows the mean of its channels. */
static void plot(struct grid *g, const struct preview *p, char mark)
{
    double step = (g->x[1] - g->x[0]) / (double)g->width;
    for (size_t k = 0; k < g->width; k++) {
        double lo = g->x[0] + step * (double)k, hi = lo + step, sum = 0, n = 0;
        for (size_t i = 0; i < p->n; i++) {
            double value = mark == '+' ? net_of(p, i) : mark == '-' ? p->fit[i] : p->y[i];
            if (p->x[i] >= lo && p->x[i] < hi && isfinite(value)) sum += value, n += 1;
        }
        double row = n > 0 ? (g->y[1] - sum / n) / (g->y[1] - g->y[0]) * (double)g->height : -1;
        if (row >= 0 && row < (double)g->height) g->c[(size_t)row * g->width + k] = mark;
    }
}

static void window_line(const struct grid *g, const struct preview_window *w, size_t margin, struct ep_str *out)
{
    ep_str_addf(out, "%*s", (int)margin, "");
    for (size_t k = 0; k < g->width; k++) {
        double x = g->x[0] + (g->x[1] - g->x[0]) * ((double)k + 0.5) / (double)g->width;
        ep_str_add(out, x >= w->lo && x < w->hi ? "=" : " ");
    }
    while (out->s[out->n - 1] == ' ') out->s[--out->n] = '\0';
    ep_str_addf(out, "\n%*s%s %g to %g eV\n", (int)margin, "", w->name, w->lo, w->hi);
}

void preview_text(const struct preview *p, size_t width, size_t height, struct ep_str *out)
{
    enum { MARGIN = 11 };
    struct grid g = {.width = width > MARGIN + 20 ? width - MARGIN : 20, .height = height};
    preview_range(p, g.x);
    extent(p, g.x, g.y);
    g.c = ep_xmalloc(g.width * g.height);
    memset(g.c, ' ', g.width * g.height);
    plot(&g, p, '*');
    if (p->fit && !p->residual) plot(&g, p, '+');
    if (p->fit) plot(&g, p, '-');
    ep_str_addf(out, "%s\n%s (%s)\n", p->title, !p->fit ? "* spectrum" : p->residual ? "* spectrum  - fit" : "* spectrum  - fit  + net", p->unit);
    for (size_t r = 0; r < g.height; r++) {
        double at = g.y[1] - (g.y[1] - g.y[0]) * ((double)r + 0.5) / (double)g.height;
        size_t n = g.width;
        while (n && g.c[r * g.width + n - 1] == ' ') n--;
        if (r % 5 == 0) ep_str_addf(out, "%9.3g |", at);
        else ep_str_addf(out, "%9s |", "");
        ep_str_addn(out, g.c + r * g.width, n);
        ep_str_add(out, "\n");
    }
    ep_str_addf(out, "%9s +", "");
    for (size_t k = 0; k < g.width; k++) ep_str_add(out, "-");
    char right[32];
    snprintf(right, sizeof right, "%g eV", g.x[1]);
    ep_str_addf(out, "\n%*s%-*g%s\n", MARGIN, "", (int)(g.width > strlen(right) ? g.width - strlen(right) : 1), g.x[0], right);
    for (size_t i = 0; i < p->nwindow; i++) window_line(&g, &p->window[i], MARGIN, out);
    free(g.c);
}
