/* Charts as SVG in the page: they take its colours, dark or light, and can be read aloud. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/draw/chart.h"
#include "pipeline/report/parts.h"

enum { WIDTH = 640, HEIGHT = 300, LEFT = 70, RIGHT = 16, TOP = 12, BELOW = 46, LEGEND = 18 };
struct scale { double lo, hi, from, to; };

static double at(const struct scale *s, double v)
{
    return s->from + (v - s->lo) / (s->hi - s->lo) * (s->to - s->from);
}

static void widen(double *lo, double *hi, double v)
{
    if (!isfinite(v)) return;
    *lo = fmin(*lo, v);
    *hi = fmax(*hi, v);
}

static bool room(struct scale *s, double part)
{
    if (!(s->lo <= s->hi)) return false;
    double d = s->hi > s->lo ? part * (s->hi - s->lo) : fmax(fabs(s->lo) * 0.1, 0.5);
    s->lo -= d;
    s->hi += d;
    return isfinite(s->hi - s->lo);
}

/* Cold blue to hot orange: of even lightness, to be told from a black and a white page. */
static void colour(struct ep_str *o, size_t i, size_t n)
{
    static const double stop[4][3] = {{50, 105, 220}, {150, 85, 190}, {215, 65, 95}, {205, 105, 10}};
    double t = n > 1 ? 3.0 * (double)i / (double)(n - 1) : 0;
    size_t k = t >= 3 ? 2 : (size_t)t;
    ep_str_add(o, "#");
    for (size_t c = 0; c < 3; c++) ep_str_addf(o, "%02x", (unsigned)lround(stop[k][c] + (t - (double)k) * (stop[k + 1][c] - stop[k][c])));
}

static void text(struct ep_str *o, double x, double y, const char *anchor, const char *words)
{
    ep_str_addf(o, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    ep_html_text(o, words);
    ep_str_add(o, "</text>");
}

static void axes(struct ep_str *o, const struct ep_plot *p, const struct scale *x, const struct scale *y, double height)
{
    char number[40];
    int power = ep_tick_power(y->lo, y->hi);
    double f = pow(10, -power);
    struct ep_ticks tx = ep_ticks(x->lo, x->hi, 9), ty = ep_ticks(y->lo * f, y->hi * f, 6);
    ep_str_addf(o, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>", x->from, y->to, y->from, x->to);
    for (size_t i = 0; i < tx.n; i++) {
        double u = at(x, tx.v[i]);
        ep_tick_text(tx.v[i], tx.step, number, sizeof number);
        ep_str_addf(o, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>", u, y->from);
        text(o, u, y->from + 18, "middle", number);
    }
    for (size_t i = 0; i < ty.n; i++) {
        double v = at(y, ty.v[i] / f);
        ep_tick_text(ty.v[i], ty.step, number, sizeof number);
        ep_str_addf(o, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", x->from, v, x->to);
        text(o, x->from - 6, v + 4, "end", number);
    }
    text(o, (x->from + x->to) / 2, y->from + 38, "middle", p->x);
    char label[256], tens[32];
    ep_unit_text("", power, tens, sizeof tens);
    snprintf(label, sizeof label, "%.200s%s%s", p->y, power ? ", " : "", power ? tens : "");
    ep_str_addf(o, "<text transform=\"translate(14 %.1f) rotate(-90)\" text-anchor=\"middle\">", (height - BELOW) / 2);
    ep_html_text(o, label);
    ep_str_add(o, "</text>");
}

/* One sigma to either side, piece by piece where values are missing. */
static void band(struct ep_str *o, const struct ep_plot_line *l, const struct scale *x, const struct scale *y, const char *rgb)
{
    struct ep_str path = {0};
    for (size_t i = 0, end; i < l->n; i = end) {
        for (end = i; end < l->n && isfinite(l->x[end]) && isfinite(l->y[end]) && isfinite(l->s[end]); end++)
            ep_str_addf(&path, "%c%.1f %.1f", end == i ? 'M' : 'L', at(x, l->x[end]), at(y, l->y[end] + l->s[end]));
        for (size_t k = end; k-- > i;) ep_str_addf(&path, "L%.1f %.1f", at(x, l->x[k]), at(y, l->y[k] - l->s[k]));
        if (end == i) end++;
        else ep_str_add(&path, "Z");
    }
    if (path.n) ep_str_addf(o, "<path fill=\"%s\" fill-opacity=\"0.2\" d=\"%s\"/>", rgb, path.s);
    ep_str_free(&path);
}

static void one_line(struct ep_str *o, const struct ep_plot_line *l, const struct scale *x, const struct scale *y, const char *rgb)
{
    bool down = false;
    struct ep_str bars = {0};
    if (l->s && !l->points) band(o, l, x, y, rgb);
    ep_str_addf(o, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"", rgb);
    for (size_t i = 0; i < l->n; i++) {
        bool there = isfinite(l->x[i]) && isfinite(l->y[i]);
        if (there) ep_str_addf(o, "%c%.1f %.1f", down ? 'L' : 'M', at(x, l->x[i]), at(y, l->y[i]));
        down = there;
        double s = l->s ? l->s[i] : (double)NAN;
        if (there && isfinite(s) && s > 0 && l->points)
            ep_str_addf(&bars, "M%.1f %.1fV%.1f", at(x, l->x[i]), at(y, l->y[i] - s), at(y, l->y[i] + s));
    }
    ep_str_addf(o, "\"/>");
    if (bars.n) ep_str_addf(o, "<path fill=\"none\" stroke=\"%s\" d=\"%s\"/>", rgb, bars.s);
    ep_str_free(&bars);
    for (size_t i = 0; l->points && i < l->n; i++) {
        if (!isfinite(l->x[i]) || !isfinite(l->y[i])) continue;
        struct ep_str v = {0};
        ep_html_number(&v, l->y[i], l->s ? l->s[i] : (double)NAN);
        ep_str_addf(o, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"><title>", at(x, l->x[i]), at(y, l->y[i]), rgb);
        ep_html_addf(o, "%s: %s</title></circle>", l->label, v.s);
        ep_str_free(&v);
    }
}

/* Names of lines above the frame; as many rows as they need. */
static double legend(struct ep_str *o, const struct ep_plot *p, bool draw)
{
    double x = LEFT, y = TOP;
    if (p->n < 2) return 0;
    for (size_t i = 0; i < p->n; i++) {
        double w = 34 + 7.2 * (double)strlen(p->line[i].label);
        if (x + w > WIDTH - RIGHT && x > LEFT) x = LEFT, y += LEGEND;
        if (draw) {
            ep_str_addf(o, "<path stroke-width=\"3\" stroke=\"");
            colour(o, i, p->n);
            ep_str_addf(o, "\" d=\"M%.1f %.1fh16\"/>", x, y);
            text(o, x + 20, y + 4, "start", p->line[i].label);
        }
        x += w;
    }
    return y - TOP + LEGEND;
}

void ep_rep_plot(struct ep_str *o, const struct ep_plot *p)
{
    double top = TOP + legend(NULL, p, false), height = HEIGHT + top - TOP;
    struct scale x = {INFINITY, -INFINITY, LEFT, WIDTH - RIGHT}, y = {INFINITY, -INFINITY, height - BELOW, top};
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->line[k].n; i++) {
            const struct ep_plot_line *l = &p->line[k];
            double s = l->s && isfinite(l->s[i]) ? l->s[i] : 0;
            if (!isfinite(l->x[i]) || !isfinite(l->y[i])) continue;
            widen(&x.lo, &x.hi, l->x[i]);
            widen(&y.lo, &y.hi, l->y[i] - s);
            widen(&y.lo, &y.hi, l->y[i] + s);
        }
    if (!room(&x, p->line[0].points && !p->table ? 0.03 : 0) || !room(&y, 0.05)) {
        ep_str_add(o, "<p class=\"note\">There is no value to draw.</p>");
        return;
    }
    ep_str_addf(o, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\"%s data-from=\"%g\" data-to=\"%g\" data-lo=\"%.9g\" data-hi=\"%.9g\">", WIDTH, height,
                p->table ? " class=\"has-table\"" : "", x.from, x.to, x.lo, x.hi);
    ep_html_addf(o, "<title>%s</title>", p->title);
    legend(o, p, true);
    axes(o, p, &x, &y, height);
    for (size_t k = 0; k < p->n; k++) {
        struct ep_str rgb = {0};
        colour(&rgb, k, p->n);
        one_line(o, &p->line[k], &x, &y, rgb.s);
        ep_str_free(&rgb);
    }
    ep_str_add(o, "</svg>");
}
