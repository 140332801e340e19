/* The boundary between two materials: a step in a map, line by line, and the curve through the lines.
 *
 * Pixels are never interpolated (their errors stay independent): a scan line is the pixels whose centres lie in a strip across the
 * boundary. Variances are means over each side of the step, not the pixels' own: a pixel that came out low must not weigh more.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/interface_find.h"

enum { PORT_INPUT, PORT_WITHIN };
enum { OUT_BOUNDARY, OUT_DISTANCE, OUT_FIT };
enum positive { HIGH, LOW };
enum shape { LINE, SMOOTH };
static const char *const sides[] = { "high", "low", NULL };
static const char *const shapes[] = { "line", "smooth", NULL };
#define MAX_LINES 600.0

struct par { int positive, curve; struct ep_numbers nearest; double direction, stiffness, width[2]; };

static const struct ep_param params[] = {
    { .name = "positive", .type = EP_P_WORD, .offset = offsetof(struct par, positive), .def = "high", .words = sides,
      .doc = "The side, by the map's value, on which the signed distance is positive." },
    { .name = "nearest", .type = EP_P_NUMBERS, .offset = offsetof(struct par, nearest), .unit = "nm", .min_items = 2, .max_items = 2,
      .doc = "A point y, x near the wanted step, where the map has several; otherwise the highest step is taken." },
    { .name = "curve", .type = EP_P_WORD, .offset = offsetof(struct par, curve), .def = "line", .words = shapes,
      .doc = "What goes through the positions found line by line: a straight line, or a smooth curve." },
    { .name = "stiffness", .type = EP_P_NUMBER, .offset = offsetof(struct par, stiffness), .unit = "nm", .min = 1e-3, .max = 1e9,
      .doc = "For the smooth curve, the wavelength of a wave of which it follows half; left out, cross-validation chooses it." },
    { .name = "direction", .type = EP_P_NUMBER, .offset = offsetof(struct par, direction), .unit = "deg", .min = -180, .max = 180,
      .doc = "The direction of the scan lines, 0 along x and 90 along y; left out, that of the mean gradient." },
    { .name = "width", .type = EP_P_WINDOW, .offset = offsetof(struct par, width), .unit = "nm", .min = 0, .max = 1e9,
      .doc = "The range allowed for the standard deviation of the blurred step." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The map with the step.", .kinds = EP_MAP, .min = 1, .max = 1 },
    { .name = "within", .doc = "A map of the same pixels: only those that are finite and not 0 are looked at.", .kinds = EP_MAP, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "boundary", EP_CURVE, "nm", "Points along the boundary with their normals towards the positive side and sigmas across." },
    { "distance", EP_MAP, "nm", "The signed distance of every pixel from the boundary, along the boundary's mean normal." },
    { "fit", EP_TABLE, "", "One row: angle of the normal, position, apparent width, height of the step, scatter of the lines." },
};

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *within = ep_declare_input(d, PORT_WITHIN);
    ep_declare_plane(d, "input", in);
    if (within) {
        const char *a = d->in[PORT_WITHIN].v[0].label, *b = d->in[PORT_INPUT].v[0].label;
        ep_declare_same_frame(d, "within", a, within, b, in, false);
        ep_declare_same_places(d, "within", a, within, b, in);
    }
    if (p->curve == LINE && isfinite(p->stiffness)) ep_declare_error(d, "stiffness", "stiffness belongs to curve: smooth");
    const char *unit = ep_length_unit(in);
    struct ep_desc *o = ep_declare_output(d, "boundary", EP_CURVE);
    snprintf(o->unit, sizeof o->unit, "%.31s", unit);
    strncpy(o->long_name, "Boundary", sizeof o->long_name - 1);
    ep_copy_frame(o, in);
    o->primary = true;
    o->nnav = 1;
    o->nav[0] = (struct ep_axis){ "point", "", 0, 1, 0 };
    o->meta = in->meta;
    o = ep_declare_map(d, "distance", in, unit, "Distance from the boundary", true);
    ep_copy_frame(o, in);
    o->noise = EP_NOISE_UNKNOWN;         /* one error for all pixels: that of the boundary */
    o = ep_declare_output(d, "fit", EP_TABLE);
    strncpy(o->long_name, "Fit of the boundary", sizeof o->long_name - 1);
    ep_copy_frame(o, in);
}

/* ---- line by line --------------------------------------------------------------------------------------------- */

struct lines {
    size_t n;
    double v0, width;                          /* strips of this width from v0 */
    double *v, *p, *var, *weight, *c, *cvar;   /* middle, position found, its variance (INFINITY: none), use, curve and its variance */
    size_t *start;                             /* of each strip's pixels */
    double stiffness;
    bool field;                                /* no lines of their own: the step of the whole field */
    struct ep_line line;
};

/* Whether the step is in view, with enough of the pixels that a full strip has near it on both sides, and about as high as elsewhere.
 * Strips at the ends, which the border of the field cuts, must be nearly full: where they lie is not the middle of their pixels. */
static bool in_view(const struct ep_jump_work *w, const struct lines *l, size_t k, const struct ep_jump_data *d, const struct ep_jump *s)
{
    double enough = k < 2 || k + 2 >= l->n ? 0.8 : 0.5;
    double near = 2 * w->st.s + 2 * w->px, full = w->density * l->width * near, before = 0, after = 0;
    for (size_t i = 0; i < d->n; i++) {
        double x = d->u[i] - s->p - s->q * d->v[i];
        before += x > -near && x <= 0;
        after += x > 0 && x < near;
    }
    return before >= enough * full && after >= enough * full && s->rise / w->st.rise > 0.4 && s->rise / w->st.rise < 2.5;
}

/* One strip, within which the boundary has this slope: a search over places for a start, then the fit with the width held. */
static void fit_strip(struct ep_jump_work *w, struct lines *l, size_t k, double around, double slope)
{
    double limit[2], best = INFINITY, step = fmax(w->st.s, w->px) / 2;
    struct ep_jump s = w->st, start = w->st;
    l->p[k] = around;
    l->var[k] = INFINITY;
    s.q = slope;
    struct ep_jump_data d = ep_jump_window(w, around - s.q * l->v[k], s.q, l->start[k], l->start[k + 1]);
    if (d.n < 6) return;
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < d.n; i++) {
        double x = d.u[i] - s.q * (d.v[i] - l->v[k]);
        lo = fmin(lo, x);
        hi = fmax(hi, x);
    }
    double margin = fmax(w->st.s, 2 * w->px);
    for (double at = lo + margin; at <= hi - margin; at += step) {
        s.p = at - s.q * l->v[k];
        double cost = ep_jump_levels(&d, &s);
        if (!(cost < best) || s.rise * w->st.rise <= 0) continue;
        best = cost;
        start = s;
    }
    if (best == INFINITY) return;
    s = start;
    ep_jump_limits(w, limit);
    if (!ep_jump_fit(&d, EP_JUMP_BASE | EP_JUMP_RISE | EP_JUMP_P, limit[0], limit[1], &s)) return;
    double at = s.p + s.q * l->v[k];
    if (at < lo + margin || at > hi - margin || !in_view(w, l, k, &d, &s) || !(s.cov[2][2] < w->reach * w->reach / 4)) return;
    l->p[k] = at;
    l->var[k] = s.cov[2][2];
}

/* Strips as wide as it takes for a line's own position to be known well within the width of the step. */
static void choose_strips(const struct ep_jump_work *w, bool smooth, struct lines *l)
{
    double v0 = INFINITY, v1 = -INFINITY, mid = (w->st.var[0] + w->st.var[1]) / 2;
    for (size_t i = 0; i < w->n; i++) {
        v0 = fmin(v0, w->v[i] - w->px / 2);
        v1 = fmax(v1, w->v[i] + w->px / 2);
    }
    double target = (smooth ? 0.45 : 0.25) * fmax(w->st.s, w->px), length = v1 - v0;
    double info = w->density * w->st.rise * w->st.rise / (3.545 * fmax(w->st.s, 0.3 * w->px) * mid);   /* on p, per nm of boundary */
    double width = fmax(1 / (info * target * target), length / MAX_LINES);
    width = w->px * ceil(width / w->px - 1e-6);
    l->n = (size_t)fmax(1, floor(length / width + 1e-6));
    if (l->n < 6) l->n = (size_t)fmax(1, fmin(6, floor(length / w->px + 1e-6)));
    l->field = length / width < 6;
    l->width = length / (double)l->n;
    l->v0 = v0;
}

static double variance_at(double v, double aa, double ab, double bb)
{
    return aa + 2 * v * ab + v * v * bb;
}

/* Too noisy for lines of their own: the step fitted to the whole field is the boundary, where pixels on both sides of it are in view. */
static void field_alone(const struct ep_jump_work *w, struct lines *l)
{
    double *before = ep_xcalloc(2 * l->n, sizeof *before), *after = before + l->n, more = fmax(1, w->st.chi2);
    for (size_t k = 0; k < l->n; k++)
        for (size_t i = l->start[k]; i < l->start[k + 1]; i++) {
            double d = w->u[i] - w->st.p - w->st.q * w->v[i];
            before[k] = fmax(before[k], -d);
            after[k] = fmax(after[k], d);
        }
    for (size_t k = 0; k < l->n; k++) {
        l->c[k] = l->p[k] = w->st.p + w->st.q * l->v[k];
        l->cvar[k] = more * variance_at(l->v[k], w->st.cov[2][2], w->st.cov[2][3], w->st.cov[3][3]);
        l->var[k] = before[k] > w->px && after[k] > w->px ? l->cvar[k] : INFINITY;
        l->weight[k] = 0;
    }
    l->field = true;
    l->line = (struct ep_line){ w->st.p, w->st.q, { more * w->st.cov[2][2], more * w->st.cov[2][3], more * w->st.cov[3][3] }, more };
    free(before);
}

static ep_status draw(struct ep_jump_work *w, const struct par *par, struct lines *l, struct ep_err *e)
{
    size_t n = 0;
    double *t = ep_xcalloc(4 * l->n + 1, sizeof *t), *p = t + l->n, *var = p + l->n, *weight = var + l->n;
    for (size_t k = 0; k < l->n; k++)
        if (isfinite(l->var[k])) {
            t[n] = l->v[k];
            p[n] = l->p[k];
            var[n++] = l->var[k];
        }
    ep_status st = EP_OK;
    bool ok = ep_robust_line(n, t, p, var, weight, &l->line);
    if (!ok || n < 3) {
        field_alone(w, l);
    } else if (par->curve == SMOOTH) {
        st = ep_smooth_curve(l->n, l->width, l->p, l->var, par->stiffness, l->c, l->cvar, l->weight, &l->stiffness, e);
    } else {
        n = 0;
        for (size_t k = 0; k < l->n; k++) {
            l->c[k] = l->line.a + l->line.b * l->v[k];
            l->cvar[k] = variance_at(l->v[k], l->line.cov[0], l->line.cov[1], l->line.cov[2]);
            l->weight[k] = isfinite(l->var[k]) ? weight[n++] : 0;
        }
    }
    free(t);
    return st;
}

/* Width and height of the step along the curve that was found, from the pixels of all lines that count; and how far the curve as a whole
 * lies beside it: lines fitted one by one to few counts are biased together, all pixels at once are not. */
static void refit_step(struct ep_jump_work *w, struct lines *l)
{
    const unsigned free_bits = EP_JUMP_BASE | EP_JUMP_RISE | EP_JUMP_P | EP_JUMP_S;
    double limit[2], lo = fmax(w->lo, -w->reach) - w->px / 2, hi = fmin(w->hi, w->reach) + w->px / 2;
    size_t n = 0;
    for (size_t strip = 0; strip < l->n; strip++)
        for (size_t i = l->start[strip]; i < l->start[strip + 1] && l->weight[strip] > 0.1; i++) {
            double f = fmin(fmax((w->v[i] - l->v[0]) / l->width, 0), (double)l->n - 1);
            size_t k = f < (double)l->n - 1 ? (size_t)f : l->n - 2;
            double d = w->u[i] - l->c[k] - (f - (double)k) * (l->c[k + 1] - l->c[k]);
            if (d < lo || d > hi) continue;
            w->cu[n] = d;
            w->cv[n] = 0;
            w->cz[n] = w->z[i];
            if (w->var) w->cvar[n] = w->var[i];
            n++;
        }
    struct ep_jump_data d = { n, w->cu, w->cv, w->cz, w->cvar };
    struct ep_jump s = w->st;
    s.p = s.q = 0;
    ep_jump_limits(w, limit);
    ep_jump_noise(&d, &s);
    if (!ep_jump_fit(&d, free_bits, limit[0], limit[1], &s)) return;
    for (size_t k = 0; k < l->n; k++) l->c[k] += s.p;
    s.p = w->st.p;
    s.q = w->st.q;
    for (size_t i = 2; i < 4; i++)
        for (size_t k = 2; k < 4; k++) s.cov[i][k] = w->st.cov[i][k];
    w->st = s;
}

static ep_status fit_lines(struct ep_jump_work *w, const struct par *par, struct lines *l, struct ep_err *e)
{
    choose_strips(w, par->curve == SMOOTH, l);
    l->v = ep_xcalloc(6 * l->n, sizeof *l->v);
    double **part[] = { &l->v, &l->p, &l->var, &l->weight, &l->c, &l->cvar };
    for (size_t i = 1; i < 6; i++) *part[i] = l->v + i * l->n;
    for (size_t k = 0; k < l->n; k++) l->v[k] = l->v0 + l->width * ((double)k + 0.5);
    l->start = ep_xcalloc(l->n + 1, sizeof *l->start);
    l->stiffness = NAN;
    ep_status st = ep_jump_sort(w, l->v0, l->width, l->n, l->start, e);
    if (st) return st;
    if (l->field) field_alone(w, l);
    for (int round = 0; round < 3 && !l->field; round++) {
        for (size_t k = 0; k < l->n; k++) {
            size_t a = k > 0 ? k - 1 : 0, b = k + 1 < l->n ? k + 1 : k;
            if (round == 0) fit_strip(w, l, k, w->st.p + w->st.q * l->v[k], w->st.q);
            else fit_strip(w, l, k, l->c[k], (l->c[b] - l->c[a]) / (l->v[b] - l->v[a]));
        }
        st = draw(w, par, l, e);
        if (st) return st;
        refit_step(w, l);
    }
    return EP_OK;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

static bool in_use(const struct lines *l, size_t k)
{
    return isfinite(l->var[k]) && (l->field || l->weight[k] > 0);
}

/* Points on the lines, and half a line further at both ends: so far the boundary was seen. */
static ep_status make_curve(const struct ep_jump_work *w, const struct par *par, const struct lines *l, double inflation,
                            const struct ep_desc *d, struct ep_signal **out, struct ep_err *e)
{
    size_t first = 0, last = l->n - 1;
    while (first < last && !in_use(l, first)) first++;
    while (last > first && !in_use(l, last)) last--;
    struct ep_desc desc = *d;
    size_t n = desc.nav[0].size = last - first + 3;
    ep_status st = ep_signal_new(&desc, out, e);
    if (st) return st;
    double side = (w->st.rise > 0) == (par->positive == HIGH) ? 1 : -1;
    for (size_t i = 0; i < n; i++) {
        size_t k = i == 0 ? first : i == n - 1 ? last : first + i - 1, a = k > first ? k - 1 : k, b = k < last ? k + 1 : k;
        double slope = b > a ? (l->c[b] - l->c[a]) / (l->v[b] - l->v[a]) : l->line.b, r = hypot(1, slope);
        double off = i == 0 ? -l->width / 2 : i == n - 1 ? l->width / 2 : 0, v = l->v[k] + off, u = l->c[k] + slope * off;
        double *q = &(*out)->points[i * EP_CURVE_COLS];
        q[0] = w->cy + u * w->uy + v * w->ux;
        q[1] = w->cx + u * w->ux - v * w->uy;
        q[2] = side * (w->uy - slope * w->ux) / r;
        q[3] = side * (w->ux + slope * w->uy) / r;
        q[4] = sqrt(l->cvar[k] * inflation) / r;
    }
    return EP_OK;
}

static void fill_distance(const struct ep_curve *c, struct ep_signal *out)
{
    struct ep_image g = ep_grid_in_nm(&out->d);
    for (size_t i = 0; i < out->n; i++) {
        struct ep_at_curve at = ep_curve_at(c, g.y0 + g.hy * (double)(i / g.nx), g.x0 + g.hx * (double)(i % g.nx));
        out->f32[i] = (float)at.distance;
        out->sigma32[i] = (float)at.sigma;
    }
}

struct number { const char *name, *unit; double value, sigma; };

static ep_status make_table(const struct ep_jump_work *w, const struct lines *l, const struct ep_curve *c, const struct ep_signal *in,
                            double inflation, bool smooth, const char *name, struct ep_signal **out, struct ep_err *e)
{
    const char *nm = ep_length_unit(&in->d), *along = smooth ? "mean normal" : "normal";
    double used = 0, scatter = 0, middle = 0, seen = 0, k = fmax(1, w->st.chi2) * inflation;
    const double degree = 180 / 3.14159265358979323846, *cov = l->line.cov;
    for (size_t i = 0; i < l->n; i++) {
        if (isfinite(l->var[i])) {
            seen += 1;
            middle += l->v[i];
        }
        if (!(l->weight[i] > 0)) continue;
        used += 1;
        scatter += pow(l->p[i] - l->c[i], 2);
    }
    const struct number row[] = {
        { "angle", "deg", atan2(c->ny, c->nx) * degree, sqrt(cov[2] * inflation) * degree },
        { "position", nm, c->cy * c->ny + c->cx * c->nx, sqrt(variance_at(seen > 0 ? middle / seen : 0, cov[0], cov[1], cov[2]) * inflation) },
        { "y", nm, c->cy, NAN }, { "x", nm, c->cx, NAN },
        { "width", nm, w->st.s, w->st.s * sqrt(w->st.cov[4][4] * k) },
        { "step", in->d.unit, fabs(w->st.rise), sqrt(w->st.cov[1][1] * k) },
        { "scatter", nm, used > 0 ? sqrt(scatter / used) : (double)NAN, NAN },
        { "lines", "", used, NAN }, { "line_width", nm, l->width, NAN }, { "stiffness", nm, l->stiffness, NAN },
    };
    ep_status st = ep_table_new(name, 1, out, e);
    for (size_t i = 0; !st && i < sizeof row / sizeof *row; i++)
        st = ep_table_add(*out, row[i].name, row[i].unit, &row[i].value, isnan(row[i].sigma) ? NULL : &row[i].sigma, NULL, e);
    return st ? st : ep_table_add(*out, "distance_along", "", NULL, NULL, &along, e);
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct ep_signal *in = p->in[PORT_INPUT].v[0].whole, *within = p->in[PORT_WITHIN].n ? p->in[PORT_WITHIN].v[0].whole : NULL;
    const struct par *par = p->par;
    struct ep_jump_wanted wanted = { .name = p->in[PORT_INPUT].v[0].label, .near = par->nearest.n == 2, .direction = par->direction,
                                     .width = { par->width[0], par->width[1] } };
    if (wanted.near) {
        wanted.near_y = par->nearest.v[0];
        wanted.near_x = par->nearest.v[1];
    }
    struct ep_jump_work w = { .wanted = &wanted };
    struct lines l = { .v = NULL };
    struct ep_curve *c = NULL;
    double inflation = ep_noise_inflation(&in->d);
    ep_status st = ep_jump_find(&w, in, within, e);
    if (!st) st = fit_lines(&w, par, &l, e);
    if (!st) st = make_curve(&w, par, &l, inflation, &p->out[OUT_BOUNDARY], &out[OUT_BOUNDARY], e);
    if (!st) st = ep_curve_new(out[OUT_BOUNDARY]->points, out[OUT_BOUNDARY]->n, &c, e);
    if (!st && out[OUT_DISTANCE]) fill_distance(c, out[OUT_DISTANCE]);
    if (!st) st = make_table(&w, &l, c, in, inflation, par->curve == SMOOTH, p->out[OUT_FIT].name, &out[OUT_FIT], e);
    ep_curve_free(c);
    free(l.v);
    free(l.start);
    free(w.room);
    return st;
}

const struct ep_stage ep_stage_interface = {
    .name = "interface",
    .summary = "Finds the boundary between two materials in a map.",
    .reference = "P. J. Huber, Robust Statistics (Wiley, 1981); P. H. C. Eilers, Anal. Chem. 75 (2003) 3631.",
    .method = "A step blurred by a Gaussian is fitted across the boundary, line by line, by weighted least squares; a straight line "
              "(robust: single lines that disagree do not count) or a smooth curve is laid through the positions. Lines lie along the mean "
              "gradient, at any angle, and are as many pixels wide as it takes to find the step in each; where that would leave fewer than "
              "six, one straight step is fitted to the whole field. Weights come from the mean variance of each side. Sigma is that "
              "of the fitted curve, wider when lines scatter more than their counts explain. The signed distance is measured along the mean "
              "normal of the boundary, also where it is curved: the shortest distance would shift deep fronts. A map with noise that "
              "neighbours share has its sigmas widened accordingly.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
