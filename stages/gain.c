/* Counts per electron, from how neighbouring pixels differ, for counts of which nobody knows it.
 *
 * A pixel y between its neighbours a, b of the row: D = y - s (a + b)/2, s = sum y / sum (a + b)/2, has where the specimen changes
 * evenly the variance g (1 + s/2)(y - y^2/sum y) in each bin of channels, read noise apart. A detector that spreads an electron over
 * channels makes single channels vary less than sums; so g is found for bins of 1, 2, 4, 8, 16 channels, and as the spread
 * reaches over a few channels it misses a part of 1/bin: g = 2 g16 - g8. Of all pixels the median counts: boundaries, spikes and drifts
 * stand out in few. The look has the histograms; the stage itself passes the counts on with the gain found.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/pixels.h"

#define BINNINGS 5
#define LEVELS 1024
#define LOWEST (-6.0)              /* log10 of the least gain that is told apart, of the largest */
#define HIGHEST 6.0
#define FEWEST 50

struct par { int none; };
static const struct ep_param params[] = { EP_PARAM_END };
static const struct ep_port ports[] = {
    { .name = "input", .doc = "Raw counts.", .kinds = EP_IMAGE, .stream = true, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "counts", EP_IMAGE, "counts", "The same counts, with the gain that was found." },
};
static const struct ep_outdoc look_outputs[] = {
    { "gain", EP_TABLE, "", "One row: the gain of sums, that of one channel, their quotient, and what was found at each binning." },
};

/* ---- the look ---------------------------------------------------------------------------------------------------- */

static void declare_look(struct ep_declare *d)
{
    const struct ep_desc *in = d->in[0].v[0].d;
    struct ep_desc *o = ep_declare_output(d, "gain", EP_TABLE);
    snprintf(o->long_name, sizeof o->long_name, "Counts per electron");
    o->meta = in->meta;
    d->acc = BINNINGS * LEVELS * sizeof(int64_t);
}

struct look_plan { size_t nch, nx; double read_noise; };

static ep_status prepare_look(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct look_plan *q = ep_xcalloc(1, sizeof *q);
    *q = (struct look_plan){ ep_desc_nch(in), ep_desc_nx(in), in->read_noise };
    *plan = q;
    return EP_OK;
}

/* The estimate from three pixels, sums of `bin` channels; NaN where there are next to no counts. Divided by the median of chi-square
 * over its mean. */
static double estimate(const struct look_plan *p, const float *a, const float *y, const float *b, size_t bin)
{
    double total = 0, beside = 0, squares = 0, own = 0;
    size_t n = p->nch / bin;
    for (size_t i = 0; i < n * bin; i++) {
        total += (double)y[i];
        beside += 0.5 * ((double)a[i] + (double)b[i]);
    }
    if (!(total > 0) || !(beside > 0) || n < 4) return NAN;
    double s = total / beside;
    for (size_t k = 0; k < n; k++) {
        double v = 0, m = 0;
        for (size_t i = k * bin; i < (k + 1) * bin; i++) v += (double)y[i], m += 0.5 * ((double)a[i] + (double)b[i]);
        squares += (v - s * m) * (v - s * m);
        m = 0.5 * (v + s * m);
        own += m * m;
    }
    squares -= (double)(n * bin) * p->read_noise * p->read_noise * (1 + s * s / 2);
    double effective = own > 0 ? total * total / own : 1;      /* bins that count */
    if (effective < 4) return NAN;
    double median = pow(1 - 2 / (9 * (effective - 1)), 3);
    return squares / ((1 + s / 2) * (total - own / total)) / median;
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct look_plan *p = a->plan;
    const struct ep_cell *in = &a->in[0];
    int64_t *level = accumulator;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0 + 1; x + 1 < a->area.x0 + a->area.nx; x++) {
            size_t at = ep_in_at(in, y, x);
            if (ep_fatal(in->flag[at - 1] | in->flag[at] | in->flag[at + 1]) || (in->flag[at] & EP_FLAG_SATURATED)) continue;
            const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x));
            for (size_t k = 0; k < BINNINGS; k++) {
                double g = estimate(p, v - in->sx, v, v + in->sx, (size_t)1 << k);
                if (!isfinite(g)) continue;
                double l = g > 0 ? (log10(g) - LOWEST) / (HIGHEST - LOWEST) * LEVELS : 0;
                level[k * LEVELS + (size_t)fmin(fmax(l, 0), LEVELS - 1)]++;
            }
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    (void)plan;
    int64_t *l = left;
    const int64_t *r = right;
    for (size_t i = 0; i < BINNINGS * LEVELS; i++) l[i] += r[i];
}

static double median(const int64_t *level, double *n)
{
    int64_t all = 0, below = 0;
    for (size_t i = 0; i < LEVELS; i++) all += level[i];
    *n = (double)all;
    for (size_t i = 0; i < LEVELS; i++) {
        if (level[i] && 2 * (below + level[i]) >= all) {
            double part = ((double)all / 2 - (double)below) / (double)level[i];
            return pow(10, LOWEST + ((double)i + part) * (HIGHEST - LOWEST) / LEVELS);
        }
        below += level[i];
    }
    return NAN;
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    double g[BINNINGS], n[BINNINGS];
    for (size_t k = 0; k < BINNINGS; k++) g[k] = median((const int64_t *)accumulator + k * LEVELS, &n[k]);
    if (!(n[BINNINGS - 1] >= FEWEST))
        return ep_fail(e, EP_E_COMPUTE, "fewer than %d pixels with neighbours and counts on both sides (in rows): the gain can't be told; "
                       "state counts_per_electron", FEWEST);
    double sums = 2 * g[BINNINGS - 1] - g[BINNINGS - 2], factor = sums / g[0], change = g[BINNINGS - 1] / g[BINNINGS - 2] - 1;
    bool plateau = fabs(change) < 0.1;
    if (!plateau) sums = g[BINNINGS - 1] > sums ? g[BINNINGS - 1] : sums;
    char text[160] = "plateau";
    if (!plateau)
        snprintf(text, sizeof text, "no plateau: from 8 to 16 channels the gain still changes by %.0f %%, as where neighbouring pixels differ by "
                 "more than noise; sigmas rest on it", 100 * change);
    const char *verdict = plateau ? "fits" : text;
    ep_status st = ep_table_new("gain", 1, &out[0], e);
    if (!st) st = ep_table_add(out[0], "gain", "", &sums, NULL, NULL, e);
    if (!st) st = ep_table_add(out[0], "gain_of_channel", "", &g[0], NULL, NULL, e);
    if (!st) st = ep_table_add(out[0], "factor", "", &factor, NULL, NULL, e);
    for (size_t k = 0; k < BINNINGS && !st; k++) {
        char name[16];
        snprintf(name, sizeof name, "gain_%u", 1u << k);
        st = ep_table_add(out[0], name, "", &g[k], NULL, NULL, e);
    }
    if (!st) st = ep_table_add(out[0], "pixels", "", &n[BINNINGS - 1], NULL, NULL, e);
    if (!st) st = ep_table_add(out[0], "verdict", "", NULL, NULL, &verdict, e);
    return st;
}

static const struct ep_stage look = {
    .name = "gain_look",
    .summary = "Estimates counts per electron from neighbouring pixels.",
    .reference = "Counting statistics; no publication.",
    .method = "What the stage gain learns of the image as a whole.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = look_outputs, .noutputs = sizeof look_outputs / sizeof *look_outputs,
    .declare = declare_look, .prepare = prepare_look, .free_plan = free, .add = add, .merge = merge, .finish = finish,
};

/* ---- the stage --------------------------------------------------------------------------------------------------- */

static void declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, 0);
    if (in->modelled) ep_declare_error(d, "input", "the input is background-subtracted: give the raw counts, gain comes first");
    if (in->nnav == 0 || in->nav[in->nnav - 1].size < 3)
        ep_declare_error(d, "input", "neighbouring pixels are compared, and the input has no three in a row: state counts_per_electron");
    if (ep_desc_nch(in) < 64) ep_declare_error(d, "input", "%zu channels are too few, 64 are needed", ep_desc_nch(in));
    struct ep_desc *o = ep_declare_like(d, "counts", in, in->long_name);
    o->primary = true;
    o->gain_estimated = true;
    if (!(o->gain > 0)) o->gain = 1;             /* until it is known */
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    double *gain = ep_xcalloc(1, sizeof *gain);
    for (size_t k = 0; p->nlook && p->look[0] && k < p->look[0]->ncol; k++)
        if (strcmp(p->look[0]->col[k].name, "gain") == 0) *gain = p->look[0]->col[k].num[0];
    *plan = gain;
    return *gain > 0 ? EP_OK : ep_fail(e, EP_E_COMPUTE, "the gain that was found is not above zero");
}

static void describe(const void *plan, struct ep_desc *out)
{
    out[0].gain = *(const double *)plan;
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct ep_cell *in = &a->in[0];
    struct ep_cell *o = &a->out[0];
    if (!o->val) return EP_OK;
    ep_carry(a, in, 0, 0, o);
    o->val = ep_cell_spectrum(in, ep_in_y(in, a->area.y0), ep_in_x(in, a->area.x0)) + (o->ch0 - in->ch0);
    o->sy = in->sy;
    o->sx = in->sx;
    return EP_OK;
}

const struct ep_stage ep_stage_gain = {
    .name = "gain",
    .summary = "Estimates how many counts an electron makes, for sigmas where nobody knows it.",
    .reference = "Counting statistics of differences between neighbouring pixels; no publication.",
    .method = "Each pixel is compared with the mean of its two neighbours in the row, scaled to the same total: the variance of the difference "
              "over the counts is the gain. That is done for single channels and sums of 2, 4, 8 and 16, since a detector spreads electrons "
              "over channels, whose noise is then shared: single channels vary less than windows do. The gain of wide sums is taken "
              "(`gain`), that of one channel stands beside it (`gain_of_channel`), with their quotient (`factor`); a sigma of a "
              "single channel is too large by the root of it. The counts pass unchanged, and every map made of them is flagged "
              "sigma_estimated. Neighbours that differ by more than noise and an even slope (fine grains, atomic columns, a beam that "
              "flickers in colour) make the gain too large: then it does not settle with the binning, and the log says so.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &look,
    .declare = declare, .prepare = prepare, .free_plan = free, .describe = describe, .apply = apply,
};
