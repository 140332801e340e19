/* Two windows of one spectrum and their quotient, for ratio and edge_ratio.
 *
 * Sums and covariance come from ep_functionals() (data/model.h). All four outputs are written, since whatever averages a
 * quotient later has to go back to the sums: the mean of quotients of few counts is biased.
 */
#include "stages/quotient.h"

#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"

struct plan {
    double window[2][2];
    struct ep_range at0[2];        /* resolved for an axis that is not shifted */
    bool no_noise, estimated;
    size_t at_sums, room;          /* window sums in scratch, doubles for abscissae behind them */
};

static size_t functionals_bytes(const struct ep_desc *in)
{
    return (ep_functionals_scratch(in, 2) + 63) / 64 * 64;
}

static size_t abscissae_room(const struct ep_desc *in)
{
    return 4 * ep_desc_nch(in) + 4096;
}

void ep_quotient_declare(struct ep_declare *d, const struct ep_quotient *q)
{
    const struct ep_desc *in = ep_declare_input(d, 0);
    ep_declare_window(d, q->above, in, q->window[0], 1);
    ep_declare_window(d, q->below, in, q->window[1], 1);
    char name[128], counts[sizeof in->unit], square[sizeof in->unit];
    snprintf(counts, sizeof counts, "%s", in->unit[0] ? in->unit : "counts");
    snprintf(square, sizeof square, "%.28s^2", counts);
    bool no_noise = in->gain == 0 && in->read_noise == 0 && !in->modelled;
    snprintf(name, sizeof name, "%s %g-%g / %g-%g eV", q->long_name, q->window[0][0], q->window[0][1], q->window[1][0], q->window[1][1]);
    struct ep_desc *o = ep_declare_map(d, q->name, in, "", name, true);
    o->primary = true;
    o->quotient = true;
    for (int k = 0; k < 3; k++) {
        static const char *const names[] = { "numerator", "denominator", "covariance" };
        const double *w = q->window[k & 1];
        if (k < 2) snprintf(name, sizeof name, "Intensity %g-%g eV", w[0], w[1]);
        else snprintf(name, sizeof name, "Covariance of numerator and denominator");
        ep_declare_map(d, names[k], in, k < 2 ? counts : square, name, k < 2);
    }
    for (size_t i = 0; no_noise && i < d->nout; i++) d->out[i].noise = EP_NOISE_UNKNOWN;
    d->scratch = functionals_bytes(in) + sizeof(struct ep_window_sums) + abscissae_room(in) * sizeof(double);
}

void ep_quotient_want(const struct ep_declare *d, const struct ep_quotient *q, struct ep_want *in)
{
    const struct ep_desc *desc = d->in[0].v[0].d;
    in[0].ch = ep_range_hull(ep_reach(desc, q->window[0][0], q->window[0][1]), ep_reach(desc, q->window[1][0], q->window[1][1]));
}

ep_status ep_quotient_prepare(const struct ep_prepare *p, const struct ep_quotient *q, void **plan)
{
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *made = ep_xcalloc(1, sizeof *made);
    memcpy(made->window, q->window, sizeof made->window);
    for (size_t i = 0; i < 2; i++) made->at0[i] = ep_axis_window(&in->energy, q->window[i][0], q->window[i][1], 0, NULL);
    made->no_noise = in->gain == 0 && in->read_noise == 0 && !in->modelled;
    made->estimated = in->gain_estimated;
    made->at_sums = functionals_bytes(in);
    made->room = abscissae_room(in);
    *plan = made;
    return EP_OK;
}

/* What the windows' sums need of the background of pixels that are not shifted; made once by each thread. */
static const struct ep_window_sums *window_sums(const struct plan *p, const struct ep_apply *a)
{
    char *room = (char *)a->scratch + p->at_sums;
    return ep_window_sums((struct ep_window_sums *)(void *)room, &a->in[0], 2, p->at0,
                          (double *)(void *)(room + sizeof(struct ep_window_sums)), p->room);
}

/* Sums of both windows, and covariance; false when there are none. */
static bool sums(const struct plan *p, const struct ep_apply *a, size_t y, size_t x, const struct ep_window_sums *made, double value[2],
                 double cov[4], uint32_t *flag)
{
    const struct ep_cell *in = &a->in[0];
    size_t iy = ep_in_y(in, y), ix = ep_in_x(in, x);
    struct ep_functional f[2] = { { p->at0[0], NULL }, { p->at0[1], NULL } };
    if (in->shift) {
        double s = in->shift[iy * in->a.nx + ix];
        for (size_t i = 0; i < 2; i++) {
            bool clipped;
            f[i].ch = ep_axis_window(&in->d->energy, p->window[i][0], p->window[i][1], s, &clipped);
            if (clipped || f[i].ch.first == f[i].ch.end || f[i].ch.first < in->ch0 || f[i].ch.end > in->ch0 + in->nch) {
                *flag |= EP_FLAG_OFF_AXIS;
                return false;
            }
        }
    }
    *flag |= ep_functionals_at(in, iy, ix, 2, f, made, value, cov, a->scratch);
    return !ep_fatal(*flag);
}

ep_status ep_quotient_apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const double nan = (double)NAN;
    const struct ep_window_sums *made = window_sums(p, a);
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            double v[2] = { nan, nan }, c[4] = { nan, nan, nan, nan }, ratio = nan, sigma = nan;
            if (ep_fatal(*flag) || !sums(p, a, a->area.y0 + y, a->area.x0 + x, made, v, c, flag)) {
                v[0] = v[1] = c[0] = c[1] = c[3] = nan;
            } else {
                if (p->no_noise) c[0] = c[1] = c[3] = nan;
                if (v[1] < 3 * sqrt(c[3]) || v[1] <= 0) *flag |= EP_FLAG_LOW_DENOMINATOR;
                if (v[1] > 0) ratio = v[0] / v[1], sigma = ep_quotient_sigma(v[0], c[0], v[1], c[3], c[1]);
            }
            if (p->estimated) *flag |= EP_FLAG_SIGMA_ESTIMATED;
            ep_put(&a->out[EP_QUOTIENT_RATIO], y, x, ratio, sigma);
            ep_put(&a->out[EP_QUOTIENT_NUMERATOR], y, x, v[0], sqrt(c[0]));
            ep_put(&a->out[EP_QUOTIENT_DENOMINATOR], y, x, v[1], sqrt(c[3]));
            ep_put(&a->out[EP_QUOTIENT_COVARIANCE], y, x, c[1], nan);
        }
    return EP_OK;
}
