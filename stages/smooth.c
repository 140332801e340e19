/* Gaussian average of a map, pixel by pixel over the pixels that have a value.
 *
 * out = sum w z / sum w, var = sum w^2 var / (sum w)^2 over the pixels in reach. With a second map t it is the quotient of two sums,
 * R = sum w z / sum w t, var = sum w^2 (var z - 2 R cov + R^2 var t) / (sum w t)^2, since averages of quotients are biased. A map that was
 * averaged before with a Gaussian of s1 pixels has 4 pi s1^2 s2^2 / (s1^2 + s2^2) times the variance that this gives.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/space.h"

struct par { double fwhm, fwhm_nm; };

static const struct ep_param params[] = {
    { .name = "fwhm", .type = EP_P_NUMBER, .offset = offsetof(struct par, fwhm), .unit = "px", .min = 0.1, .max = 60,
      .doc = "The full width at half maximum of the Gaussian in pixels." },
    { .name = "fwhm_nm", .type = EP_P_NUMBER, .offset = offsetof(struct par, fwhm_nm), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The same in nm." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The map.", .kinds = EP_MAP, .stream = true, .min = 1, .max = 1 },
    { .name = "normalize", .doc = "A map of the same pixels, such as the denominator of a ratio, by whose average the input's is divided.",
      .kinds = EP_MAP, .stream = true, .max = 1 },
    { .name = "covariance", .doc = "The covariance of input and normalize in each pixel, where both come from one spectrum.",
      .kinds = EP_MAP, .stream = true, .max = 1 },
};
enum { PORT_INPUT, PORT_NORMALIZE, PORT_COVARIANCE };
static const struct ep_outdoc outputs[] = {
    { "smoothed", EP_MAP, "", "The smoothed map." },
};

#define FWHM 2.354820045030949
#define REACH 3.5                  /* standard deviations: what lies beyond holds 0.05 % */

/* Standard deviations in pixels along y and x; false when they are not given well. */
static bool widths(const struct par *p, const struct ep_desc *in, double s[2])
{
    struct ep_image g = ep_grid_in_nm(in);
    if (isnan(p->fwhm) == isnan(p->fwhm_nm)) return false;
    s[0] = (isnan(p->fwhm) ? p->fwhm_nm / fabs(g.hy) : p->fwhm) / FWHM;
    s[1] = (isnan(p->fwhm) ? p->fwhm_nm / fabs(g.hx) : p->fwhm) / FWHM;
    return true;
}

static size_t reach(double s, size_t n)
{
    return n < 2 ? 0 : (size_t)fmin(ceil(REACH * s), (double)n);
}

static void declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *by = ep_declare_input(d, PORT_NORMALIZE);
    double s[2] = { 1, 1 };
    for (size_t k = PORT_NORMALIZE; k <= PORT_COVARIANCE; k++) {
        if (!d->in[k].n) continue;
        const struct ep_item *it = &d->in[k].v[0];
        ep_declare_same_frame(d, ports[k].name, it->label, it->d, d->in[0].v[0].label, in, false);
        ep_declare_same_places(d, ports[k].name, it->label, it->d, d->in[0].v[0].label, in);
    }
    if (in->quotient && !by)
        ep_declare_error(d, "input", "'%s' is a ratio, and a mean of ratios is biased: give its numerator as input, its denominator as normalize "
                         "(and the covariance of the two as covariance), whose averages are then divided", d->in[0].v[0].label);
    if (d->in[PORT_COVARIANCE].n && !by) ep_declare_error(d, "covariance", "covariance needs normalize");
    if (!widths(d->par, in, s)) ep_declare_error(d, "fwhm", "give one of fwhm, in pixels, and fwhm_nm");
    if (fmax(s[0], s[1]) * FWHM > 60)
        ep_declare_error(d, "fwhm_nm", "%.3g pixels are more than 60", fmax(s[0], s[1]) * FWHM);
    if (in->nnav == 0) ep_declare_error(d, "input", "a single value has no neighbours");
    const char *unit = !by ? in->unit : strcmp(by->unit, in->unit) == 0 ? ""
                       : ep_arena_printf(d->arena, "%s/%s", in->unit[0] ? in->unit : "1", by->unit);
    struct ep_desc *o = ep_declare_map(d, "smoothed", in, unit, in->long_name, in->has_sigma);
    ep_copy_frame(o, in);
    o->primary = true;
    o->quotient = by != NULL;
    if (by && by->noise == EP_NOISE_UNKNOWN) o->noise = EP_NOISE_UNKNOWN;
    if (o->noise != EP_NOISE_UNKNOWN) {
        o->noise = EP_NOISE_CORRELATED;
        o->noise_px = hypot(in->noise == EP_NOISE_CORRELATED ? in->noise_px : 0, sqrt(s[0] * s[1]) * FWHM);
    }
    size_t ry = reach(s[0], ep_desc_ny(in)), rx = reach(s[1], ep_desc_nx(in));
    d->halo = ry > rx ? ry : rx;
}

struct plan { size_t ry, rx, rows, nx; double inflation, *ky, *kx; bool by, cov; };   /* rows: of one frame */

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) free(q->ky);
    free(q);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct ep_desc *in = p->in[0].v[0].d;
    double s[2] = { 1, 1 };
    struct plan *q = ep_xcalloc(1, sizeof *q);
    widths(p->par, in, s);
    q->by = p->in[PORT_NORMALIZE].n > 0;
    q->cov = p->in[PORT_COVARIANCE].n > 0;
    q->rows = in->nnav > 1 ? in->nav[in->nnav - 2].size : 1;
    q->nx = ep_desc_nx(in);
    q->ry = reach(s[0], ep_desc_ny(in));
    q->rx = reach(s[1], q->nx);
    if (q->rows == 1) q->ry = 0;
    q->ky = ep_xcalloc(q->ry + q->rx + 2, sizeof *q->ky);
    q->kx = q->ky + q->ry + 1;
    for (size_t i = 0; i <= q->ry; i++) q->ky[i] = exp(-0.5 * pow((double)i / s[0], 2));
    for (size_t i = 0; i <= q->rx; i++) q->kx[i] = exp(-0.5 * pow((double)i / s[1], 2));
    double before = in->noise == EP_NOISE_CORRELATED ? in->noise_px / FWHM : 0, now2 = s[0] * s[1], before2 = before * before;
    q->inflation = before2 > 0 ? fmax(1, 4 * 3.14159265358979323846 * before2 * now2 / (before2 + now2)) : 1;
    *plan = q;
    return EP_OK;
}

struct sums { double w, z, t, var, var_t, cov; size_t n; };

static double value_at(const struct ep_cell *c, size_t y, size_t x)
{
    return (double)*ep_cell_spectrum(c, ep_in_y(c, y), ep_in_x(c, x));
}

static double variance_at(const struct ep_cell *c, size_t y, size_t x)
{
    double sigma = c->sigma ? (double)c->sigma[ep_in_at(c, y, x)] : 0;
    return sigma * sigma;
}

/* A small denominator spoils a quotient, not a sum: those flags do not count here. */
static bool has_value(const struct plan *q, const struct ep_cell *in, size_t y, size_t x)
{
    if (q->by && (!isfinite(value_at(&in[1], y, x)) || ep_fatal(in[1].flag[ep_in_at(&in[1], y, x)]))) return false;
    return isfinite(value_at(in, y, x)) && !ep_fatal(in->flag[ep_in_at(in, y, x)]);
}

static void add_row(const struct plan *q, const struct ep_cell *in, size_t y, size_t x, double ky, struct sums *s)
{
    size_t x0 = x > q->rx ? x - q->rx : 0, x1 = x + q->rx < q->nx ? x + q->rx : q->nx - 1;
    for (size_t j = x0; j <= x1; j++) {
        double w = ky * q->kx[j > x ? j - x : x - j];
        if (!has_value(q, in, y, j)) continue;
        s->w += w;
        s->z += w * value_at(in, y, j);
        s->var += w * w * variance_at(in, y, j);
        s->n++;
        if (!q->by) continue;
        s->t += w * value_at(&in[1], y, j);
        s->var_t += w * w * variance_at(&in[1], y, j);
        if (q->cov) s->cov += w * w * value_at(&in[2], y, j);
    }
}

static void put(const struct ep_apply *a, const struct plan *q, size_t i, size_t j, const struct sums *s)
{
    double t = q->by ? s->t : s->w, r = s->z / t;
    double var = q->by ? s->var - 2 * r * s->cov + r * r * s->var_t : s->var;
    bool none = q->by && !(t > 0);
    ep_put(&a->out[0], i, j, none ? (double)NAN : r, none ? (double)NAN : sqrt(fmax(var, 0) * q->inflation) / t);
    if (none || (q->by && t < 3 * sqrt(s->var_t * q->inflation))) a->flag[i * a->area.nx + j] |= EP_FLAG_LOW_DENOMINATOR;
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *q = a->plan;
    const struct ep_cell *in = a->in;
    size_t all = (2 * q->ry + 1) * (2 * q->rx + 1);
    for (size_t i = 0; i < a->area.ny; i++)
        for (size_t j = 0; j < a->area.nx; j++) {
            size_t y = a->area.y0 + i, x = a->area.x0 + j, frame = y / q->rows * q->rows;
            size_t y0 = y - frame > q->ry ? y - q->ry : frame, y1 = y - frame + q->ry < q->rows ? y + q->ry : frame + q->rows - 1;
            uint32_t *flag = &a->flag[i * a->area.nx + j];
            struct sums s = { 0 };
            if (q->by) *flag &= ~(uint32_t)EP_FLAG_LOW_DENOMINATOR;
            if (!ep_fatal(*flag) && !has_value(q, in, y, x)) *flag |= EP_FLAG_NOT_FINITE;
            if (ep_fatal(*flag)) {
                ep_put(&a->out[0], i, j, (double)NAN, (double)NAN);
                continue;
            }
            for (size_t row = y0; row <= y1; row++) add_row(q, in, row, x, q->ky[row > y ? row - y : y - row], &s);
            if (s.n < all) *flag |= EP_FLAG_PARTIAL;
            put(a, q, i, j, &s);
        }
    return EP_OK;
}

const struct ep_stage ep_stage_smooth = {
    .name = "smooth",
    .summary = "Smooths a map with a Gaussian.",
    .reference = "Propagation of errors; no publication.",
    .method = "Each pixel becomes the Gaussian average of those around it that have a value; one without a value stays without and spreads to "
              "nobody. Where neighbours are missing, at the border too, the average is over fewer pixels and flagged partial. Sigma is that of "
              "the average; neighbours then share their noise, and the map says over how many pixels (noise correlated), so that "
              "what averages it later can widen its sigma. A ratio is smoothed by its numerator and denominator, given as input and "
              "normalize: their averages are divided. Fits and fronts lose resolution by smoothing: use it for pictures and regions.",
    .version = 2,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .apply = apply,
};
