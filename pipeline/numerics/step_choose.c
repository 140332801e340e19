/* Which of the curves that were fitted is believed, and how far the threshold moves between those that could be.
 *
 * No single shape is safe: a symmetric erf read at 10 % of a one-sided or layered profile is off by a twentieth of its depth.
 * The choice is by BIC (G. Schwarz, Ann. Statist. 6 (1978) 461); the model sigma is the spread of the positions around the
 * chosen one, each model with its weight exp(-dBIC/2) (A. Raftery, Sociol. Methodol. 25 (1995) 111).
 */
#include "pipeline/numerics/step_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

/* Plateaus in view: at least this many bins where less than this share of the step is left (or gone). */
#define VIEW_BINS 3
#define VIEW_SHARE 0.03
#define BLUR_DOUBT (1 / 20.)

static ep_status fit_all(struct ep_step_problem *p, const struct ep_step_options *o, struct ep_step_result *r, struct ep_err *e)
{
    struct ep_step_fit erf = { 0 };
    ep_status st = ep_step_weights(p, NULL, e);
    if (st) return st;
    ep_step_fit_model(p, EP_STEP_ERF, NULL, &erf);
    if (erf.ok && erf.linear[1] < 0) {
        ep_step_turn(p);
        st = ep_step_weights(p, NULL, e);
        erf.ok = false;
        if (!st) ep_step_fit_model(p, EP_STEP_ERF, NULL, &erf);
    }
    if (!st && !erf.ok) return ep_fail(e, EP_E_COMPUTE, "no step could be fitted to the profile");
    if (!st) st = ep_step_weights(p, &erf, e);
    if (!st) ep_step_fit_model(p, EP_STEP_ERF, NULL, &erf);
    for (int m = 0; !st && m < EP_STEP_MODELS; m++) {
        if (!(o->models >> m & 1)) continue;
        if (m == EP_STEP_ERF) r->fit[m] = erf;
        else ep_step_fit_model(p, (enum ep_step_model)m, &erf, &r->fit[m]);
    }
    return st;
}

static void judge(const struct ep_step_problem *p, struct ep_step_result *r)
{
    double n = (double)p->n, least = INFINITY;
    r->best = EP_STEP_MODELS;
    r->scale = 1;
    for (int pass = 0; pass < 2; pass++) {      /* the second with all sigmas multiplied by the scale */
        least = INFINITY;
        for (size_t m = 0; m < EP_STEP_MODELS; m++) {
            struct ep_step_fit *f = &r->fit[m];
            if (f->ok && (!(ep_step_height(f) > 0) || (double)f->npar >= n)) f->ok = false;
            if (!f->ok) continue;
            f->bic = f->chi2 / (r->scale * r->scale) + (double)f->npar * log(n);
            if (f->bic >= least) continue;
            least = f->bic;
            r->best = m;
        }
        if (r->best == EP_STEP_MODELS) return;
        const struct ep_step_fit *b = &r->fit[r->best];
        r->reduced = b->chi2 / (n - (double)b->npar);
        r->scale = sqrt(fmax(1, r->reduced));
    }
}

/* Spread of the positions around the chosen one by BIC weight, and the largest of those not ruled out. */
static void spread(struct ep_step_result *r, double *weighted, double *largest, double *noisiest)
{
    const struct ep_step_fit *b = &r->fit[r->best];
    double sum = 0, all = 0;
    *largest = 0;
    *noisiest = b->noise;
    for (size_t m = 0; m < EP_STEP_MODELS; m++) {
        const struct ep_step_fit *f = &r->fit[m];
        if (!f->ok) continue;
        double w = exp(-0.5 * (f->bic - b->bic)), off = f->position - b->position;
        sum += w * off * off;
        all += w;
        if (f->bic - b->bic > 10) continue;
        *largest = fmax(*largest, fabs(off));
        *noisiest = fmax(*noisiest, f->noise);
    }
    *weighted = sqrt(sum / all);
}

/* Monotone falling least squares (pool adjacent violators), variances on the diagonal, and where it passes the threshold
 * between the plateaus of the chosen curve. */
static double monotone_position(const struct ep_step_problem *p, const struct ep_step_fit *f, double threshold)
{
    size_t n = p->n, nb = 0;
    double *level = p->room, *weight = level + n, *last = weight + n, want = f->low + threshold * f->step;
    for (size_t i = 0; i < n; i++) {
        double v = p->cov[i * (p->nband + 1)];
        level[nb] = p->y[i];
        weight[nb] = v > 0 ? 1 / v : 0;
        last[nb++] = (double)i;
        while (nb > 1 && level[nb - 1] >= level[nb - 2]) {
            double w = weight[nb - 1] + weight[nb - 2];
            level[nb - 2] = w > 0 ? (level[nb - 1] * weight[nb - 1] + level[nb - 2] * weight[nb - 2]) / w : level[nb - 2];
            weight[nb - 2] = w;
            last[nb - 2] = last[nb - 1];
            nb--;
        }
    }
    /* Between the last bin above and the first bin below. */
    for (size_t k = 0; k + 1 < nb; k++)
        if (level[k] >= want && level[k + 1] < want) {
            size_t a = (size_t)last[k];
            double t = (level[k] - want) / (level[k] - level[k + 1]);
            return p->direction * (p->u[a] + t * (p->u[a + 1] - p->u[a]));
        }
    return (double)NAN;
}

/* The position if the plateau were where the curve ends, instead of where it is thought to go. */
static double position_if_ended(const struct ep_step_problem *p, const struct ep_step_fit *f, double threshold)
{
    double low = ep_step_share(f, p->u[p->n - 1], f->blur), high = ep_step_share(f, p->u[0], f->blur);
    return ep_step_at(f, low + threshold * (high - low));
}

static void look_around(const struct ep_step_problem *p, const struct ep_step_options *o, struct ep_step_result *r)
{
    const struct ep_step_fit *b = &r->fit[r->best];
    size_t n = p->n, k = n < VIEW_BINS ? n : VIEW_BINS;
    double u = b->direction * b->position, weighted, largest, noisiest;
    r->low_in_view = ep_step_share(b, p->u[n - k], b->blur) < VIEW_SHARE;
    r->high_in_view = ep_step_share(b, p->u[k - 1], b->blur) > 1 - VIEW_SHARE;
    r->inside = u >= p->u[0] && u <= p->u[n - 1];
    spread(r, &weighted, &largest, &noisiest);
    /* How much a bin really blurs depends on where pixels fall in it; averaged over a tilted boundary it is `blur`. A
     * twentieth of what was taken off is believed to be wrong. */
    double shift = BLUR_DOUBT * (b->position - ep_step_seen(b, o->threshold));
    struct ep_step_fit doubted = *b;
    doubted.blur = o->blur_doubt;
    r->doubt = b->position - ep_step_seen(&doubted, o->threshold);
    r->spread = largest;
    r->noise = b->noise;
    r->model = hypot(weighted, shift);
    if (r->low_in_view && r->high_in_view && r->inside) return;
    /* Nothing tells where a plateau lies that is not seen: sigma is at least the change if it lay at the end of the field, the
     * width of the step, the way out of the field, and a tenth of the field. */
    double end = fabs(position_if_ended(p, b, o->threshold) - b->position);
    double outside = fmax(0, fmax(p->u[0] - u, u - p->u[n - 1]));
    r->noise = noisiest;
    r->model = fmax(fmax(largest, end), fmax(outside, fmax(b->width, p->span / 10)));
}

ep_status ep_step_analyse(const struct ep_step_data *d, const struct ep_step_options *o, struct ep_step_result *r, struct ep_err *e)
{
    struct ep_step_problem p;
    memset(r, 0, sizeof *r);
    ep_status st = ep_step_problem_new(d, o, &p, e);
    if (st) return st;
    size_t least = 2 + 2 + 1;                   /* an erf, and one bin to spare */
    if (p.n < least) {
        st = ep_fail(e, EP_E_COMPUTE, "%zu of %zu bins have a value and a sigma: at least %zu are needed", p.n, d->n, least);
        goto out;
    }
    st = fit_all(&p, o, r, e);
    if (!st) judge(&p, r);
    if (!st && r->best < EP_STEP_MODELS) {      /* weights of the curve that was chosen, for all */
        struct ep_step_fit chosen = r->fit[r->best];
        st = ep_step_weights(&p, &chosen, e);
        for (int m = 0; !st && m < EP_STEP_MODELS; m++)
            if (r->fit[m].ok) ep_step_fit_model(&p, (enum ep_step_model)m, NULL, &r->fit[m]);
        if (!st) judge(&p, r);
    }
    if (!st && r->best == EP_STEP_MODELS) st = ep_fail(e, EP_E_COMPUTE, "no step could be fitted to the profile");
    if (st) goto out;
    for (size_t m = 0; m < EP_STEP_MODELS; m++) {
        struct ep_step_fit *f = &r->fit[m];
        if (!f->ok) continue;
        for (size_t i = 0; i < EP_STEP_PAR * EP_STEP_PAR; i++) f->cov[i] *= r->scale * r->scale;
        ep_step_derive(&p, o->threshold, f);
    }
    r->bins = p.n;
    r->x_first = fmin(p.direction * p.u[0], p.direction * p.u[p.n - 1]);
    r->x_last = fmax(p.direction * p.u[0], p.direction * p.u[p.n - 1]);
    look_around(&p, o, r);
    r->monotone = monotone_position(&p, &r->fit[r->best], o->threshold);
out:
    ep_step_problem_free(&p);
    return st;
}
