/* A map averaged along a boundary, or along a drawn line: value against distance.
 *
 * The distance of a point is linear in its place within one pixel, so that the part of the pixel's square between two bin edges is an
 * area cut out by parallel lines (ep_box_below). A pixel that lies in two bins correlates them: with parts f of the pixels' areas,
 *     value_k = sum f_k z / sum f_k,   Cov_kl = sum f_k f_l var / (sum f_k sum f_l).
 * Divided by a second map T: value_k = sum f_k z / sum f_k T (sums first, since averages of quotients are biased).
 *
 * split() and the accumulator know nothing of what is averaged: a spectrum image would add its channels where a map adds one value.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/curve.h"
#include "stages/space.h"

enum { PORT_INPUT, PORT_ALONG, PORT_MASK, PORT_NORMALIZE, PORT_COVARIANCE, PORT_REGISTER };
enum { OUT_PROFILE, OUT_WEIGHT, OUT_PLACEMENT };
enum statistic { MEAN, SUM };
static const char *const statistics[] = { "mean", "sum", NULL };
#define MAX_BINS 1e6

struct par { double bin, width, range[2]; struct ep_numbers from, to; int statistic; };

static const struct ep_param params[] = {
    { .name = "bin", .type = EP_P_NUMBER, .offset = offsetof(struct par, bin), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The width of a bin; left out, that of a pixel." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct par, range), .unit = "nm",
      .doc = "The distances to cover, to the nearest edges of bins; left out, all that the map holds." },
    { .name = "from", .type = EP_P_NUMBERS, .offset = offsetof(struct par, from), .unit = "nm", .min_items = 2, .max_items = 2,
      .doc = "Instead of along, the point y, x at which a drawn line starts." },
    { .name = "to", .type = EP_P_NUMBERS, .offset = offsetof(struct par, to), .unit = "nm", .min_items = 2, .max_items = 2,
      .doc = "The point y, x at which the drawn line ends." },
    { .name = "width", .type = EP_P_NUMBER, .offset = offsetof(struct par, width), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The width of the band around the drawn line over which is averaged." },
    { .name = "statistic", .type = EP_P_WORD, .offset = offsetof(struct par, statistic), .def = "mean", .words = statistics,
      .doc = "The mean over the area of a bin, or the sum." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The map.", .kinds = EP_MAP, .stream = true, .min = 1, .max = 1 },
    { .name = "along", .doc = "The boundary from which distance is measured.", .kinds = EP_CURVE, .max = 1 },
    { .name = "mask", .doc = "A map of the same pixels: those that are finite and not 0 count.", .kinds = EP_MAP, .max = 1 },
    { .name = "normalize", .doc = "A map of the same pixels, such as the thickness or the denominator of a ratio, by whose sum each sum is divided.",
      .kinds = EP_MAP, .max = 1 },
    { .name = "covariance", .doc = "The covariance of input and normalize in each pixel, where both come from one spectrum.",
      .kinds = EP_MAP, .max = 1 },
    { .name = "register", .doc = "The shift, of a register step, that takes the input's positions to those of the boundary.",
      .kinds = EP_TABLE, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "profile", EP_PROFILE, "", "The value against distance, with the covariances that divided pixels bring." },
    { "weight", EP_PROFILE, "px", "The area that counted in each bin, in pixels." },
    { "placement", EP_TABLE, "", "One row: direction of the distance axis, sigma of the boundary, shift by registration with its sigma." },
};

/* ---- declare ------------------------------------------------------------------------------------------------ */

struct layout { double bin; long k0; size_t n, nband; };   /* bin k from k*bin to (k+1)*bin; k0 is found in prepare without a range */

/* A pixel reaches over 2 hypot(hy, hx) at most: the boundary may be up to 60 degrees off its mean direction. */
static struct layout layout_of(const struct par *p, const struct ep_desc *in)
{
    struct ep_image g = ep_grid_in_nm(in);
    double hy = fabs(g.hy), hx = fabs(g.hx), length = 0;
    struct layout l = { .bin = isnan(p->bin) ? sqrt(hy * hx) : p->bin };
    l.nband = (size_t)fmin(floor(2 * hypot(hy, hx) / l.bin) + 1, 64);
    if (p->from.n == 2 && p->to.n == 2) length = hypot(p->to.v[0] - p->from.v[0], p->to.v[1] - p->from.v[1]);
    double n = length > 0 ? ceil(length / l.bin - 1e-9) : 2 * ceil(hypot(hy * (double)g.ny, hx * (double)g.nx) / l.bin) + 4;
    if (ep_window_given(p->range)) {
        l.k0 = lround(fmax(-MAX_BINS, p->range[0] / l.bin));
        n = fmax(1, round(p->range[1] / l.bin) - (double)l.k0);
    }
    l.n = (size_t)fmin(n, MAX_BINS + 1);
    return l;
}

static size_t stride_of(const struct layout *l, bool normalized)
{
    return 5 + (normalized ? 3 : 1) * (l->nband + 1);
}

static void check_line(struct ep_declare *d, const struct par *p)
{
    bool drawn = p->from.n || p->to.n, along = d->in[PORT_ALONG].n > 0;
    if (along && drawn) ep_declare_error(d, p->from.n ? "from" : "to", "give either along, a boundary, or from, to and width, a drawn line");
    else if (!along && !drawn) ep_declare_error(d, NULL, "along what? Give along: a boundary, or from: [y, x], to: [y, x] and width:");
    else if (drawn && (!p->from.n || !p->to.n)) ep_declare_error(d, p->from.n ? "from" : "to", "a drawn line needs both from and to");
    else if (drawn && p->from.v[0] == p->to.v[0] && p->from.v[1] == p->to.v[1]) ep_declare_error(d, "to", "the line ends where it starts");
    if (drawn && isnan(p->width)) ep_declare_error(d, "width", "a drawn line needs a width: over how many nm across it to average");
    if (!drawn && isfinite(p->width)) ep_declare_error(d, "width", "width belongs to a drawn line, from and to");
}

static bool noise_known(const struct ep_desc *d)
{
    return d->has_sigma && d->noise != EP_NOISE_UNKNOWN;
}

static struct ep_desc *declare_profile(struct ep_declare *d, const char *name, const struct ep_desc *in, const struct layout *l,
                                       const char *long_name)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_PROFILE);
    o->nnav = 1;
    o->nav[0] = (struct ep_axis){ "distance", "", ((double)l->k0 + 0.5) * l->bin, l->bin, l->n };
    strncpy(o->nav[0].unit, ep_length_unit(in), sizeof o->nav[0].unit - 1);
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    o->noise = EP_NOISE_INDEPENDENT;
    o->meta = in->meta;
    ep_copy_frame(o, in);
    return o;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *by = ep_declare_input(d, PORT_NORMALIZE);
    const char *label = d->in[PORT_INPUT].v[0].label;
    if (!ep_declare_plane(d, "input", in)) return;
    check_line(d, p);
    for (size_t k = PORT_MASK; k <= PORT_COVARIANCE; k++) {
        if (!d->in[k].n) continue;
        const struct ep_item *it = &d->in[k].v[0];
        ep_declare_same_frame(d, ports[k].name, it->label, it->d, label, in, false);
        ep_declare_same_places(d, ports[k].name, it->label, it->d, label, in);
    }
    if (d->in[PORT_ALONG].n && !d->in[PORT_REGISTER].n)
        ep_declare_same_frame(d, "along", d->in[PORT_ALONG].v[0].label, d->in[PORT_ALONG].v[0].d, label, in, true);
    if (d->in[PORT_REGISTER].n && !d->in[PORT_ALONG].n)
        ep_declare_error(d, "register", "register needs along: a drawn line is in the map's own frame");
    if (d->in[PORT_COVARIANCE].n && !by) ep_declare_error(d, "covariance", "covariance needs normalize");
    if (by && p->statistic == SUM) ep_declare_error(d, "statistic", "a sum divided by normalize is no sum: leave statistic out");
    struct layout l = layout_of(p, in);
    struct ep_image g = ep_grid_in_nm(in);
    if (l.bin < 0.25 * fmin(fabs(g.hy), fabs(g.hx)))
        ep_declare_error(d, "bin", "bins of %g nm are finer than a quarter of a pixel (%g nm): they would only repeat it", l.bin,
                         fmin(fabs(g.hy), fabs(g.hx)));
    if ((double)l.n > MAX_BINS) ep_declare_error(d, "bin", "more than %g bins: give a wider bin or a smaller range", MAX_BINS);

    char name[128];
    bool sigma = noise_known(in) && (!by || !by->has_sigma || noise_known(by));
    if (in->has_sigma && !sigma)
        ep_declare_warn(d, in->noise == EP_NOISE_UNKNOWN ? "input" : "normalize",
                        "how the noise of neighbouring pixels is related is not known: the profile has no sigma");
    snprintf(name, sizeof name, "%.100s", in->long_name[0] ? in->long_name : in->name);
    struct ep_desc *o = declare_profile(d, "profile", in, &l, name);
    o->primary = true;
    o->has_sigma = sigma;
    const char *unit = !by ? in->unit : !by->unit[0] ? in->unit : strcmp(by->unit, in->unit) == 0 ? ""
                       : ep_arena_printf(d->arena, "%s/%s", in->unit[0] ? in->unit : "1", by->unit);
    snprintf(o->unit, sizeof o->unit, "%.31s", unit);
    o = declare_profile(d, "weight", in, &l, "Area that counted");
    strncpy(o->unit, "px", sizeof o->unit - 1);
    o = ep_declare_output(d, "placement", EP_TABLE);
    strncpy(o->long_name, "Placement of the distance axis", sizeof o->long_name - 1);
    ep_copy_frame(o, in);
    d->acc = (1 + l.n * stride_of(&l, by != NULL)) * sizeof(double);
}

/* ---- geometry ----------------------------------------------------------------------------------------------- */

struct plan {
    struct layout l;
    size_t stride;
    struct ep_image g;
    struct ep_curve *curve;            /* NULL: the drawn line */
    double from[2], dir[2], half;      /* of the line: nm, unit vector, half the width */
    double dy, dx, var_shift, inflation, inflation_by;
    bool sum, registered;
    const struct ep_signal *mask, *by, *cov;
    const char *unit;
};

static struct ep_at_curve place(const struct plan *q, size_t i, size_t j)
{
    double y = q->g.y0 + q->g.hy * (double)i + q->dy, x = q->g.x0 + q->g.hx * (double)j + q->dx;
    if (q->curve) return ep_curve_at(q->curve, y, x);
    double along = (y - q->from[0]) * q->dir[0] + (x - q->from[1]) * q->dir[1];
    double off = (y - q->from[0]) * q->dir[1] - (x - q->from[1]) * q->dir[0];
    return (struct ep_at_curve){ along, 0, q->dir[0], q->dir[1], fabs(off) <= q->half * (1 + 1e-9) };
}

#define MAX_PARTS 66
/* The parts of a pixel in bins *first, *first + 1, ...; their number. */
static size_t split(const struct plan *q, const struct ep_at_curve *at, long *first, double *part)
{
    double wy = fabs(at->gy * q->g.hy), wx = fabs(at->gx * q->g.hx), half = (wy + wx) / 2, bin = q->l.bin;
    double lo = floor((at->distance - half) / bin), hi = floor((at->distance + half) / bin), below = 0;
    if (!(hi - lo < MAX_PARTS)) return 0;
    size_t n = (size_t)(hi - lo) + 1;
    *first = (long)lo;
    for (size_t k = 0; k < n; k++) {
        double next = k + 1 == n ? 1 : ep_box_below(wy, wx, (lo + (double)k + 1) * bin - at->distance);
        part[k] = next - below;
        below = next;
    }
    return n;
}

static double column_value(const struct ep_signal *t, const char *name, double *sigma)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0 && t->col[i].num && t->n > 0) {
            if (sigma) *sigma = t->col[i].sigma ? t->col[i].sigma[0] : 0;
            return t->col[i].num[0];
        }
    return NAN;
}

/* The shift, and its variance along the normal of the boundary. A direction that the register step could not determine must lie along
 * the boundary, to within six degrees. */
static ep_status take_shift(struct plan *q, const struct ep_signal *t, struct ep_err *e)
{
    double s1, s2, angle = column_value(t, "angle", NULL) * 3.14159265358979323846 / 180;
    q->dy = column_value(t, "y", NULL);
    q->dx = column_value(t, "x", NULL);
    column_value(t, "along", &s1);
    double across = column_value(t, "across", &s2), e1 = q->curve->ny * sin(angle) + q->curve->nx * cos(angle);
    double e2 = q->curve->ny * cos(angle) - q->curve->nx * sin(angle);
    if (!isfinite(q->dy) || !isfinite(q->dx) || !isfinite(angle) || isnan(across))
        return ep_fail(e, EP_E_COMPUTE, "'%s' is not the table of a register step", t->d.name);
    if (!isfinite(s2)) {
        if (fabs(e2) > 0.1)
            return ep_fail(e, EP_E_COMPUTE, "the registration leaves open how far the maps are shifted in a direction %.0f degrees off the "
                           "boundary: register on a map that shows more than one edge", asin(fmin(1, fabs(e2))) * 180 / 3.14159265358979323846);
        s2 = 0;
    }
    q->var_shift = e1 * e1 * s1 * s1 + e2 * e2 * s2 * s2;
    q->registered = true;
    return EP_OK;
}

/* The bins that the map reaches, from all pixels beside the boundary. */
static ep_status find_range(struct plan *q, bool given, struct ep_err *e)
{
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < q->g.ny; i++)
        for (size_t j = 0; j < q->g.nx; j++) {
            struct ep_at_curve at = place(q, i, j);
            double reach = fabs(at.gy * q->g.hy) + fabs(at.gx * q->g.hx);
            if (!at.inside) continue;
            if (floor(reach / q->l.bin) + 1 > (double)q->l.nband)
                return ep_fail(e, EP_E_COMPUTE, "the boundary is more than 60 degrees off its mean direction: distance along one normal "
                               "means little there");
            lo = fmin(lo, at.distance - reach / 2);
            hi = fmax(hi, at.distance + reach / 2);
        }
    double k0 = floor(lo / q->l.bin);
    if (!(lo < hi))
        return ep_fail(e, EP_E_COMPUTE, "no pixel lies %s: do both show the same field?",
                       q->curve ? "beside the boundary" : "within the width of the line");
    if (given) {
        double a = (double)q->l.k0 * q->l.bin, b = a + (double)q->l.n * q->l.bin;
        if (hi <= a || lo >= b)
            return ep_fail(e, EP_E_COMPUTE, "the map covers distances from %.4g to %.4g nm, none of them from %.4g to %.4g nm", lo, hi, a, b);
        return EP_OK;
    }
    if (floor(hi / q->l.bin) - k0 >= (double)q->l.n)
        return ep_fail(e, EP_E_COMPUTE, "distances from %.4g to %.4g nm take more bins than the map's diagonal has: give a range", lo, hi);
    q->l.k0 = (long)k0;
    return EP_OK;
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) ep_curve_free(q->curve);
    free(q);
}

static const struct ep_signal *whole_item(const struct ep_prepare *p, size_t port)
{
    return p->in[port].n ? p->in[port].v[0].whole : NULL;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_INPUT].v[0].d;
    const struct ep_signal *along = whole_item(p, PORT_ALONG), *shift = whole_item(p, PORT_REGISTER);
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->l = layout_of(par, in);
    q->g = ep_grid_in_nm(in);
    q->mask = whole_item(p, PORT_MASK);
    q->by = whole_item(p, PORT_NORMALIZE);
    q->cov = whole_item(p, PORT_COVARIANCE);
    q->stride = stride_of(&q->l, q->by != NULL);
    q->sum = par->statistic == SUM;
    q->inflation = ep_noise_inflation(in);
    q->inflation_by = q->by ? ep_noise_inflation(&q->by->d) : 1;
    q->unit = ep_length_unit(in);
    ep_status st = EP_OK;
    if (along) {
        st = ep_curve_new(along->points, along->n, &q->curve, e);
    } else {
        double length = hypot(par->to.v[0] - par->from.v[0], par->to.v[1] - par->from.v[1]);
        for (int k = 0; k < 2; k++) {
            q->from[k] = par->from.v[k];
            q->dir[k] = (par->to.v[k] - par->from.v[k]) / length;
        }
        q->half = par->width / 2;
    }
    if (!st && shift) st = take_shift(q, shift, e);
    if (!st) st = find_range(q, !along || ep_window_given(par->range), e);
    if (st) {
        free_plan(q);
        return st;
    }
    *plan = q;
    return EP_OK;
}

/* ---- sums --------------------------------------------------------------------------------------------------- */

/* Accumulator: pixels of a non-negative fit; then for each bin */
enum { ALL, AREA, NUM, DEN, FLAG, COV };   /* COV: nband + 1 of the input, then of normalize, then between the two */

struct sample { double z, var, t, var_t, cov; uint32_t flag; bool counts; };

/* Values that are no averages of what is there: a bound, a saturated channel, a quotient that was cut. */
#define NO_VALUE (EP_FLAGS_FATAL | EP_FLAG_AT_BOUND | EP_FLAG_SATURATED | EP_FLAG_LOW_DENOMINATOR)

static struct sample sample_at(const struct plan *q, const struct ep_cell *in, size_t y, size_t x)
{
    size_t at = ep_in_at(in, y, x), i = y * q->g.nx + x;
    struct sample s = { .z = (double)*ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)), .t = 1, .flag = in->flag[at] };
    s.var = in->sigma ? (double)in->sigma[at] * (double)in->sigma[at] * q->inflation : 0;
    if (q->by) {
        double sigma = q->by->sigma32 ? ep_signal_sigma(q->by, i) : 0;
        s.t = ep_signal_get(q->by, i);
        s.var_t = sigma * sigma * q->inflation_by;
        if (q->by->flags) s.flag |= q->by->flags[i];
        if (q->cov) s.cov = ep_signal_get(q->cov, i) * q->inflation;
    }
    if (q->mask && !ep_mask_has(q->mask, i)) s.flag |= EP_FLAG_MASKED;
    else if (!isfinite(s.z) || !isfinite(s.t)) s.flag |= EP_FLAG_NOT_FINITE;
    s.counts = !(s.flag & NO_VALUE);
    return s;
}

static void add_sample(const struct plan *q, double *acc, const struct sample *s, long first, size_t n, const double *part)
{
    size_t band = q->l.nband + 1;
    for (size_t k = 0; k < n; k++) {
        long bin = first + (long)k - q->l.k0;
        if (bin < 0 || bin >= (long)q->l.n || part[k] < 1e-9) continue;
        double *b = &acc[(size_t)bin * q->stride];
        b[ALL] += part[k];
        if (!s->counts) {
            b[FLAG] = (double)((uint32_t)b[FLAG] | s->flag);
            continue;
        }
        b[AREA] += part[k];
        b[NUM] += part[k] * s->z;
        b[DEN] += part[k] * s->t;
        for (size_t m = k; m < n && m - k < band; m++) {
            double both = part[k] * part[m];
            b[COV + m - k] += both * s->var;
            if (!q->by) continue;
            b[COV + band + m - k] += both * s->var_t;
            b[COV + 2 * band + m - k] += both * s->cov;
        }
    }
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *q = a->plan;
    double *acc = accumulator, part[MAX_PARTS];
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            struct ep_at_curve at = place(q, y, x);
            if (!at.inside) continue;
            struct sample s = sample_at(q, &a->in[0], y, x);
            long first;
            size_t n = split(q, &at, &first, part);
            if (s.flag & EP_FLAG_BIASED) acc[0] += 1;
            add_sample(q, acc + 1, &s, first, n, part);
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    const struct plan *q = plan;
    double *l = left;
    const double *r = right;
    l[0] += r[0];
    for (size_t k = 0; k < q->l.n; k++) {
        double *a = &l[1 + k * q->stride];
        const double *b = &r[1 + k * q->stride];
        uint32_t flag = (uint32_t)a[FLAG] | (uint32_t)b[FLAG];
        for (size_t i = 0; i < q->stride; i++) a[i] += b[i];
        a[FLAG] = (double)flag;
    }
}

/* ---- finish --------------------------------------------------------------------------------------------------- */

/* Covariance of bins k and k + m. */
static double covariance(const struct plan *q, const double *bins, size_t k, size_t m)
{
    const double *a = &bins[k * q->stride], *b = &bins[(k + m) * q->stride], *c = a + COV;
    size_t band = q->l.nband + 1;
    if (q->sum) return c[m];
    if (!q->by) return c[m] / (a[DEN] * b[DEN]);
    double ra = a[NUM] / a[DEN], rb = b[NUM] / b[DEN];
    return (c[m] - (ra + rb) * c[2 * band + m] + ra * rb * c[band + m]) / (a[DEN] * b[DEN]);
}

static ep_status put_band(const struct plan *q, const double *bins, struct ep_signal *s, struct ep_err *e)
{
    size_t n = s->n, width = 0;
    for (size_t m = 1; m <= q->l.nband; m++)
        for (size_t k = 0; k + m < n; k++)
            if (bins[k * q->stride + COV + m] != 0) width = m;
    if (width == 0) return EP_OK;
    s->band = calloc(n * width, sizeof *s->band);
    if (!s->band) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (covariances of a profile)", n * width * sizeof *s->band);
    s->nband = width;
    for (size_t k = 0; k < n; k++)
        for (size_t m = 1; m <= width && k + m < n; m++)
            if (bins[k * q->stride + AREA] > 0 && bins[(k + m) * q->stride + AREA] > 0)
                s->band[k * width + m - 1] = covariance(q, bins, k, m);
    return EP_OK;
}

static ep_status put_profile(const struct plan *q, const double *bins, struct ep_signal *s, struct ep_err *e)
{
    s->flags = calloc(s->n, sizeof *s->flags);
    if (!s->flags) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (flags of a profile)", s->n * sizeof *s->flags);
    for (size_t k = 0; k < s->n; k++) {
        const double *b = &bins[k * q->stride];
        bool some = b[AREA] > 1e-9 && (!q->by || b[DEN] != 0);
        s->f64[k] = some ? (q->sum ? b[NUM] : b[NUM] / b[DEN]) : (double)NAN;
        if (s->sigma64) s->sigma64[k] = some ? sqrt(fmax(0, covariance(q, bins, k, 0))) : (double)NAN;
        if (!some) s->flags[k] = (uint32_t)b[FLAG] & NO_VALUE;
        else if (b[AREA] < b[ALL] * (1 - 1e-9)) s->flags[k] = EP_FLAG_PARTIAL;
    }
    return s->sigma64 ? put_band(q, bins, s, e) : EP_OK;
}

static ep_status put_placement(const struct plan *q, const char *name, struct ep_signal **out, struct ep_err *e)
{
    double ny = q->curve ? q->curve->ny : q->dir[0], nx = q->curve ? q->curve->nx : q->dir[1], boundary = 0;
    for (size_t i = 0; q->curve && i < q->curve->n; i++) boundary += pow(q->curve->sigma[i], 2) / (double)q->curve->n;
    double angle = atan2(ny, nx) * 180 / 3.14159265358979323846, shift = q->dy * ny + q->dx * nx, sigma = sqrt(q->var_shift);
    boundary = sqrt(boundary);
    ep_status st = ep_table_new(name, 1, out, e);
    if (!st) st = ep_table_add(*out, "angle", "deg", &angle, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "boundary_sigma", q->unit, &boundary, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "shift", q->unit, &shift, q->registered ? &sigma : NULL, NULL, e);
    return st;
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *q = plan;
    double *acc = accumulator, *bins = acc + 1, area = 0;
    size_t first = 0, end = q->l.n;
    if (acc[0] > 0)
        return ep_fail(e, EP_E_COMPUTE, "the map was made by a non-negative fit: averages of it are biased; fit with nonneg: false");
    while (first < end && bins[first * q->stride + ALL] <= 0) first++;
    while (end > first && bins[(end - 1) * q->stride + ALL] <= 0) end--;
    for (size_t k = first; k < end; k++) area += bins[k * q->stride + AREA];
    if (!(area > 0)) return ep_fail(e, EP_E_COMPUTE, "no pixel beside the boundary has a value: all are masked, flagged or not finite");
    ep_status st = EP_OK;
    for (size_t o = OUT_PROFILE; o <= OUT_WEIGHT && !st; o++) {
        if (!out[o]) continue;
        out[o]->n = out[o]->d.nav[0].size = end - first;     /* only what the map reaches */
        out[o]->d.nav[0].offset = ((double)(q->l.k0 + (long)first) + 0.5) * q->l.bin;
        if (o == OUT_PROFILE) st = put_profile(q, bins + first * q->stride, out[o], e);
        for (size_t k = 0; o == OUT_WEIGHT && k < out[o]->n; k++) out[o]->f64[k] = bins[(first + k) * q->stride + AREA];
    }
    return st ? st : put_placement(q, "placement", &out[OUT_PLACEMENT], e);
}

const struct ep_stage ep_stage_profile = {
    .name = "profile",
    .summary = "Averages a map along a boundary, or a drawn line, to values against distance.",
    .reference = "Propagation of errors with exact areas; no publication.",
    .method = "Every pixel is divided between the bins of distance that it lies in, by area, so that a tilted or wavy boundary costs no "
              "resolution. Distance is the signed one of `interface`, along the boundary's mean normal, and pixels beside the ends of the "
              "boundary that was seen do not count; nor do masked, flagged or missing ones. Bins that share pixels are correlated, and their "
              "covariances go along (`data_band`). With `normalize` each bin is the quotient of two sums: so a ratio is averaged "
              "by its numerator and denominator, never pixel by pixel. Where the noise of the map is correlated, sigma is that of an average "
              "over many pixels. A map from another scan needs `register`; the shift and its sigma stand in `placement`.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
