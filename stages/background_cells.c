/* The background stage on a cell: one fit for each pixel, then whatever is wanted of it. */
#include <math.h>
#include <string.h>
#include "pipeline/numerics/vmath.h"
#include "stages/background_plan.h"
#include "stages/pixels.h"

static const struct ep_cell *wanted(const struct ep_apply *a, const struct plan *p, int slot)
{
    size_t i = p->slot[slot];
    return i != SIZE_MAX && a->out[i].val ? &a->out[i] : NULL;
}

static void put(const struct ep_apply *a, const struct plan *p, int slot, size_t y, size_t x, double value, double var)
{
    const struct ep_cell *c = wanted(a, p, slot);
    if (c) ep_put(c, y, x, value, sqrt(var));
}

static void put_maps(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const struct ep_fit_result *r)
{
    const double *t = r->theta, *c = r->cmat;
    if (p->m.form == EP_MODEL_TWO_POWERS) {
        put(a, p, AMPLITUDE_1, y, x, t[0], c[0]);
        put(a, p, AMPLITUDE_2, y, x, t[1], c[2]);
    } else {
        double amplitude = ep_exp1(t[0]);            /* theta0 = ln A: d A = A d theta0 */
        put(a, p, AMPLITUDE, y, x, amplitude, amplitude * amplitude * c[0]);
        put(a, p, EXPONENT, y, x, t[1], c[2]);
        put(a, p, DECAY, y, x, t[1], c[2]);
    }
    put(a, p, COVARIANCE, y, x, c[1], 0);
    put(a, p, CHI2, y, x, r->chi2, 0);
}

/* Sigma of the fitted background, sqrt(J' C J), of a single spectrum. */
static void background_sigma(const struct plan *p, const struct ep_cell *out, const double *c, double shift)
{
    const struct ep_model *m = &p->m;
    for (size_t i = 0; i < out->nch; i++) {
        double e = ep_axis_at(&m->axis, (double)(out->ch0 + i)) + shift, b = (double)out->val[i];
        double x = m->form == EP_MODEL_EXPONENTIAL ? (e - m->e_ref) / m->e_ref : ep_log1(e / m->e_ref), j[2] = { b, -b * x };
        if (m->form == EP_MODEL_TWO_POWERS) {
            j[0] = ep_exp1(-m->r[0] * x);
            j[1] = ep_exp1(-m->r[1] * x);
        }
        double var = j[0] * (c[0] * j[0] + c[1] * j[1]) + j[1] * (c[1] * j[0] + c[2] * j[1]);
        out->sigma[i] = e > 0 || m->form == EP_MODEL_EXPONENTIAL ? (float)sqrt(var < 0 ? 0 : var) : 0;
    }
}

static struct ep_range channels(const struct ep_cell *c)
{
    return c ? (struct ep_range){ c->ch0, c->ch0 + c->nch } : (struct ep_range){ 0, 0 };
}

static struct ep_range wanted_channels(const struct ep_apply *a, const struct plan *p)
{
    return ep_range_hull(channels(wanted(a, p, NET)), channels(wanted(a, p, BACKGROUND)));
}

/* plural: the background in channels `known`, where it is not the model's; else NULL. */
static void put_spectra(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const struct ep_fit_result *r,
                        const double *plural, struct ep_range known)
{
    const struct ep_cell *in = &a->in[0], *net = wanted(a, p, NET), *back = wanted(a, p, BACKGROUND);
    struct ep_range ch = wanted_channels(a, p);
    if (ch.first == ch.end) return;
    size_t iy = ep_in_y(in, a->area.y0 + y), ix = ep_in_x(in, a->area.x0 + x);
    double shift = ep_shift_at(in, iy * in->a.nx + ix), *b = (double *)(void *)((char *)a->scratch + p->at_spectrum);
    bool by_rows = !plural && shift == 0 && ep_rows_hold(&p->rows, r->theta);   /* of the net, whatever else is wanted */
    if (back || !by_rows) {
        if (shift == 0) ep_model_background_at(&p->m, r->theta, p->x + ch.first, ch.end - ch.first, b);
        else ep_model_background(&p->m, r->theta, shift, ch, b);
    }
    for (size_t i = known.first > ch.first ? known.first : ch.first; plural && i < known.end && i < ch.end; i++)
        b[i - ch.first] = plural[i - known.first];
    if (net) {
        const float *from = ep_cell_spectrum(in, iy, ix) + (net->ch0 - in->ch0);
        const double *under = b + (net->ch0 - ch.first);
        float *to = ep_cell_spectrum(net, y, x);
        if (by_rows) ep_rows_subtract(&p->rows, r->theta, net->ch0, net->nch, from, to);
        else for (size_t i = 0; i < net->nch; i++) to[i] = (float)((double)from[i] - under[i]);
        if (net->sigma) {
            double *var = b + p->nch;
            ep_channel_variances(net, y, x, channels(net), var, (char *)a->scratch + p->at_cov);
            for (size_t i = 0; i < net->nch; i++) net->sigma[i] = (float)sqrt(var[i]);
        }
    }
    if (back) {
        float *to = ep_cell_spectrum(back, y, x);
        for (size_t i = 0; i < back->nch; i++) to[i] = (float)b[i + (back->ch0 - ch.first)];
        if (back->sigma) background_sigma(p, back, r->cmat, shift);
    }
}

static void put_pixel(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, struct ep_fit_result *r)
{
    size_t at = y * a->area.nx + x;
    struct ep_range known = wanted_channels(a, p);
    const double *plural = NULL;
    if (p->front && !ep_fatal(a->flag[at] | r->flag)) plural = ep_background_plural(a, p, y, x, &known, r);
    a->flag[at] |= r->flag | (p->estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0);
    if (a->theta) memcpy(a->theta + at * EP_NTHETA, r->theta, sizeof r->theta);
    if (a->cmat) memcpy(a->cmat + at * EP_NCMAT, r->cmat, sizeof r->cmat);
    if (!ep_fatal(a->flag[at])) {
        put_maps(a, p, y, x, r);
        put_spectra(a, p, y, x, r, plural, known);
        return;
    }
    for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], y, x);
}

static void no_result(struct ep_fit_result *r)
{
    for (int k = 0; k < EP_NTHETA; k++) r->theta[k] = (double)NAN;
    for (int k = 0; k < EP_NCMAT; k++) r->cmat[k] = (double)NAN;
    r->chi2 = (double)NAN;
    r->flag = 0;
}

static void fit_alone(const struct ep_apply *a, const struct plan *p)
{
    const struct ep_cell *in = &a->in[0];
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            struct ep_fit_result r;
            size_t iy = ep_in_y(in, a->area.y0 + y), ix = ep_in_x(in, a->area.x0 + x);
            if (ep_fatal(a->flag[y * a->area.nx + x])) no_result(&r);
            else ep_fit_spectrum(p->fit, ep_cell_spectrum(in, iy, ix), in->ch0, in->nch, ep_shift_at(in, iy * in->a.nx + ix), &r, a->scratch);
            put_pixel(a, p, y, x, &r);
        }
}

/* ---- the neighbourhood's shape -------------------------------------------------------------------------------- */

/* The sums of one row of the input, columns x0 .. x0+n-1 (those that are there), into one row of the ring. */
static void sum_row(const struct ep_apply *a, const struct plan *p, size_t iy, size_t ix0, size_t n, struct sums *row)
{
    const struct ep_cell *in = &a->in[0];
    for (size_t k = 0; k < n; k++) {
        size_t ix = ix0 + k, at = iy * in->a.nx + ix;
        double s[2] = { 0, 0 };
        row[k].use = !ep_fatal(in->flag[at]) &&
                     ep_fit_sums(p->fit, ep_cell_spectrum(in, iy, ix), in->ch0, in->nch, ep_shift_at(in, at), s, a->scratch) == 0;
        row[k].s0 = s[0];
        row[k].s1 = s[1];
    }
}

/* Rows and columns of the input cell around one of its pixels, within the image and within one frame of a series. */
struct around { size_t y0, y1, x0, x1; };
static struct around neighbourhood(const struct plan *p, const struct ep_cell *in, size_t iy, size_t ix)
{
    size_t r = p->radius, frame = (in->a.y0 + iy) / p->frame_rows * p->frame_rows;
    struct around n = { iy > r ? iy - r : 0, iy + r + 1, ix > r ? ix - r : 0, ix + r + 1 };
    if (in->a.y0 + n.y0 < frame) n.y0 = frame - in->a.y0;
    if (in->a.y0 + n.y1 > frame + p->frame_rows) n.y1 = frame + p->frame_rows - in->a.y0;
    if (n.y1 > in->a.ny) n.y1 = in->a.ny;
    if (n.x1 > in->a.nx) n.x1 = in->a.nx;
    return n;
}

/* One tile: output columns first .. first+n-1. The ring holds the sums of the input rows around the present one. */
static void fit_tile(const struct ep_apply *a, const struct plan *p, size_t first, size_t n)
{
    const struct ep_cell *in = &a->in[0];
    size_t r = p->radius, ring = 2 * r + 1, width = TILE + 2 * r;
    struct sums *sums = (struct sums *)(void *)((char *)a->scratch + p->at_sums);
    size_t left = ep_in_x(in, a->area.x0 + first), ix0 = left > r ? left - r : 0;
    size_t ix1 = left + n + r < in->a.nx ? left + n + r : in->a.nx;
    size_t next = SIZE_MAX;              /* first input row whose sums are not in the ring yet */
    for (size_t y = 0; y < a->area.ny; y++) {
        size_t iy = ep_in_y(in, a->area.y0 + y), last = iy + r + 1 < in->a.ny ? iy + r + 1 : in->a.ny;
        if (next == SIZE_MAX) next = iy > r ? iy - r : 0;
        for (; next < last; next++) sum_row(a, p, next, ix0, ix1 - ix0, sums + next % ring * width);
        for (size_t x = first; x < first + n; x++) {
            struct ep_fit_result res;
            size_t ix = ep_in_x(in, a->area.x0 + x), at = y * a->area.nx + x;
            const struct sums *own = &sums[iy % ring * width + (ix - ix0)];
            no_result(&res);
            if (!ep_fatal(a->flag[at])) {
                struct around nb = neighbourhood(p, in, iy, ix);
                double s[2] = { 0, 0 }, s2 = 0;
                for (size_t v = nb.y0; v < nb.y1; v++)
                    for (size_t u = nb.x0; u < nb.x1; u++) {
                        const struct sums *q = &sums[v % ring * width + (u - ix0)];
                        double w = p->kernel[v + r - iy] * p->kernel[u + r - ix];
                        if (!q->use) {
                            a->flag[at] |= EP_FLAG_PARTIAL;
                            continue;
                        }
                        s[0] += w * q->s0;
                        s[1] += w * q->s1;
                        s2 += w * w * q->s0;
                    }
                if (own->use)
                    ep_fit_from_sums(p->fit, ep_cell_spectrum(in, iy, ix), in->ch0, in->nch, ep_shift_at(in, iy * in->a.nx + ix), s, s2,
                                     own->s0, 1, &res, a->scratch);
                else            /* says why */
                    ep_fit_spectrum(p->fit, ep_cell_spectrum(in, iy, ix), in->ch0, in->nch, ep_shift_at(in, iy * in->a.nx + ix), &res,
                                    a->scratch);
            }
            put_pixel(a, p, y, x, &res);
        }
    }
}

ep_status ep_background_apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    for (int s = NET; s <= BACKGROUND; s++) {
        if (p->slot[s] == SIZE_MAX) continue;
        struct ep_cell *c = &a->out[p->slot[s]];
        ep_carry(a, &a->in[0], 0, 0, c);
        c->model = s == NET ? &p->m : NULL;
        c->theta = s == NET ? a->theta : NULL;
        c->cmat = s == NET ? a->cmat : NULL;
    }
    if (p->radius == 0) fit_alone(a, p);
    else
        for (size_t x = 0; x < a->area.nx; x += TILE) fit_tile(a, p, x, a->area.nx - x < TILE ? a->area.nx - x : TILE);
    return EP_OK;
}
