/* The look of white_lines: where the lines are, how wide, of which form, from the sum of all pixels. */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "stages/white_lines_plan.h"

const char *const ep_wl_shape_names[EP_WL_MAX_SHAPE] = {
    "shift", "separation_change", "log_width_L3", "log_width_L2", "skew", "lorentzian_left", "lorentzian_right", "broader_L2",
    "obstacle_1_shift", "obstacle_1_log_width", "obstacle_2_shift", "obstacle_2_log_width",
    "obstacle_3_shift", "obstacle_3_log_width",
};
const char *const ep_wl_by_shape_names[EP_WL_MEASURED][EP_WL_MEASURED] = {
    { "shape_L3_L3", "shape_L3_L2", "shape_L3_continuum" }, { "shape_L3_L2", "shape_L2_L2", "shape_L2_continuum" },
    { "shape_L3_continuum", "shape_L2_continuum", "shape_continuum_continuum" },
};
/* What nobody knows well, and how far it may be off: where the steps are (eV from the maxima), how the continuum falls (its exponent), how
 * much broader L2 is (eV). The ratio is fitted again with each. */
#define STEP_MOVED 1.5
#define DECAY_MOVED 1.0
#define BROADER_LEAST 0.0
#define BROADER_MOST 0.8

struct plan {
    struct ep_wl w;
    struct ep_wl_par par;
    struct ep_axis axis;
    struct ep_range reach;
    double channel;                /* eV, signed */
    bool shifted;
    double *plural;                /* w points to it */
};
/* Starts as zeros; every pixel covers channels reach_up to n + reach_down of the reach. sum: [n] net counts, [n] variances. */
struct acc { int64_t n, reach_up, reach_down; double sum[]; };

static void declare_spectrum(struct ep_declare *d, const char *name, const struct ep_desc *in, const char *long_name, bool sigma)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "%s", in->unit[0] ? in->unit : "counts");
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    o->has_sigma = o->primary = sigma;
    o->noise = EP_NOISE_UNKNOWN;
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
}

static void declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_wl w;
    struct ep_diag mine = { 0 }, *theirs = d->diag;    /* the stage itself reports mistakes */
    d->diag = &mine;
    size_t n = 0;
    if (ep_wl_model(d->par, in, d, &w)) {
        double r[2];
        ep_wl_reach(d->par, &w, r);
        struct ep_range ch = ep_reach(in, r[0], r[1]);
        n = ch.end - ch.first;
    }
    declare_spectrum(d, "sum", in, "Sum of the net spectra", true);
    declare_spectrum(d, "sum_fit", in, "Fit of the sum", false);
    struct ep_desc *t = ep_declare_output(d, "fit", EP_TABLE);
    snprintf(t->long_name, sizeof t->long_name, "The white lines of the sum");
    memcpy(t->frame, in->frame, sizeof t->frame);
    t->meta = in->meta;
    d->acc = sizeof(struct acc) + 2 * n * sizeof(double);
    d->scratch = (n + 1) * sizeof(double);
    d->diag = theirs;
    ep_diag_free(&mine);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    (void)out;
    struct ep_wl w;
    double r[2];
    if (!ep_wl_model(d->par, d->in[0].v[0].d, NULL, &w)) return;
    ep_wl_reach(d->par, &w, r);
    in[0].ch = ep_reach(d->in[0].v[0].d, r[0], r[1]);
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) free(q->plural);
    free(q);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    double r[2];
    q->par = *(const struct ep_wl_par *)p->par;
    ep_wl_model(&q->par, in, NULL, &q->w);
    ep_wl_reach(&q->par, &q->w, r);
    q->reach = ep_reach(in, r[0], r[1]);
    q->axis = in->energy;
    q->channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    q->shifted = in->shift_max > 0;
    ep_status st = ep_wl_plural_losses(p, &q->w, &q->plural, e);
    if (st) free_plan(q);
    *plan = st ? NULL : q;
    return st;
}

/* ---- the sum ---------------------------------------------------------------------------------------------------- */

static void add_pixel(const struct plan *p, const struct ep_cell *in, size_t at, const float *y, double *back, struct acc *acc)
{
    size_t n = p->reach.end - p->reach.first;
    double shift = ep_shift_at(in, at), move = p->shifted ? rint(shift / p->channel) : 0;
    size_t lead = 0, trail = 0;        /* a sum over an aligned image lacks channels at its ends */
    while (in->d->kind == EP_SPECTRUM && lead < n && !isfinite(y[lead])) lead++;
    while (in->d->kind == EP_SPECTRUM && trail + lead < n && !isfinite(y[n - 1 - trail])) trail++;
    for (size_t i = lead; i + trail < n; i++)
        if (!isfinite(y[i])) return;
    if (!(fabs(move) < (double)n)) return;
    struct ep_wl_noise noise = ep_wl_noise_of(in->d, in->model);
    memset(back, 0, n * sizeof *back);
    if (in->model) ep_model_background(in->model, in->theta + at * EP_NTHETA, shift, p->reach, back);
    int64_t by = (int64_t)move;
    int64_t first = by + (int64_t)lead, last = by - (int64_t)trail;
    acc->n++;
    if (first > acc->reach_up) acc->reach_up = first;
    if (last < acc->reach_down) acc->reach_down = last;
    for (size_t k = lead; k + trail < n; k++) {
        size_t i = (size_t)((int64_t)k + by);        /* wraps below zero */
        if (i >= n) continue;
        acc->sum[i] += (double)y[k];
        acc->sum[n + i] += ep_wl_variance(&noise, (double)y[k], back[k]);
    }
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *in = &a->in[0];
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            size_t at = ep_in_at(in, y, x);
            if (ep_fatal(in->flag[at])) continue;
            add_pixel(p, in, at, ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)) + (p->reach.first - in->ch0), a->scratch, accumulator);
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    const struct plan *p = plan;
    struct acc *l = left;
    const struct acc *r = right;
    l->n += r->n;
    if (r->reach_up > l->reach_up) l->reach_up = r->reach_up;
    if (r->reach_down < l->reach_down) l->reach_down = r->reach_down;
    for (size_t i = 0; i < 2 * (p->reach.end - p->reach.first); i++) l->sum[i] += r->sum[i];
}

/* ---- the fit ---------------------------------------------------------------------------------------------------- */

/* Where it was fitted: channels first .. end of the axis; what it leaves beyond noise, relative to the lines' own root mean square. */
struct fitted { struct ep_wl_fit f; struct ep_range ch; double misfit; };
#define MISFIT 0.05

static ep_status fit_range(const struct plan *p, const struct ep_wl *w, const double *y, const double *v, const double range[2],
                           struct ep_range covered, const double *from, bool held, struct fitted *out, struct ep_err *e)
{
    bool clipped;
    struct ep_range ch = ep_axis_window(&p->axis, range[0], range[1], 0, &clipped);
    if (ch.first < covered.first) ch.first = covered.first;
    if (ch.end > covered.end) ch.end = covered.end;
    if (ch.end < ch.first) ch.end = ch.first;
    out->ch = ch;
    size_t skip = ch.first - p->reach.first;
    return ep_wl_fit(w, ep_axis_at(&p->axis, (double)ch.first), p->channel, ch.end - ch.first, y + skip, v + skip, from, held, &out->f, e);
}

/* Errors of the amplitudes at the fitted shape, and the misfit; false if they can't be had. */
static bool amplitude_errors(const struct plan *p, struct fitted *q, const double *y, const double *v, double cov[3])
{
    double left = 0, all = 0;
    size_t n = q->ch.end - q->ch.first, nc = ep_wl_ncolumns(&p->w);
    double *x = ep_xcalloc(2 * nc * n, sizeof *x), *l = x + nc * n;
    struct ep_err ignored = { 0 };
    ep_wl_columns(&p->w, q->f.shape, ep_axis_at(&p->axis, (double)q->ch.first), p->channel, n, x);
    bool ok = !ep_wl_solver(nc, n, x, v, l, &ignored);
    cov[0] = cov[1] = cov[2] = 0;
    for (size_t i = 0; ok && i < n; i++) {
        cov[0] += l[i] * l[i] * v[i];
        cov[1] += l[i] * l[n + i] * v[i];
        cov[2] += l[n + i] * l[n + i] * v[i];
        double m = 0;
        for (size_t k = 0; k < nc; k++) m += q->f.c[k] * x[k * n + i];
        left += (y[i] - m) * (y[i] - m) - v[i];
        all += m * m;
    }
    cov[0] += q->f.by_shape[EP_WL_A3][EP_WL_A3];
    cov[1] += q->f.by_shape[EP_WL_A3][EP_WL_A2];
    cov[2] += q->f.by_shape[EP_WL_A2][EP_WL_A2];
    q->misfit = all > 0 ? sqrt(fmax(left, 0) / all) : (double)NAN;
    free(x);
    return ok;
}

#define NUM(name, unit, v, sigma) (st = st ? st : ep_table_add(t, name, unit, v, sigma, NULL, e))

struct doubt { double moved, relative; };       /* the ratio with steps moved to where it changes most; standard deviation of ln ratio */

/* Errors from the counts and of the shape: those of the background, common to all channels, are in the maps' sigmas. */
static ep_status make_table(const struct plan *p, const struct acc *acc, const struct fitted *q, const double cov[3], struct doubt doubt,
                            const char *verdict, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_wl *w = &p->w;
    const double *s = q->f.shape, *c = q->f.c;
    double p3 = w->l3 + s[EP_WL_POSITION], p2 = w->l2 + s[EP_WL_POSITION] + s[EP_WL_SEPARATION], w3 = exp(s[EP_WL_WIDTH3]), w2 = exp(s[EP_WL_WIDTH2]);
    double r = c[EP_WL_A3] / c[EP_WL_A2], n = (double)acc->n, bound = q->f.at_bound, first = (double)q->ch.first, end = (double)q->ch.end;
    double misfit = 100 * q->misfit, systematic = r * doubt.relative;
    double s3 = sqrt(cov[0]), s2 = sqrt(cov[2]), sr = sqrt(fmax(0, cov[0] - 2 * r * cov[1] + r * r * cov[2])) / fabs(c[EP_WL_A2]);
    double sw3 = w3 * q->f.sigma[EP_WL_WIDTH3], sw2 = w2 * q->f.sigma[EP_WL_WIDTH2];
    ep_status st = ep_table_new("fit", 1, out, e);
    struct ep_signal *t = *out;
    NUM("L3_position", "eV", &p3, &q->f.sigma[EP_WL_POSITION]);
    NUM("L2_position", "eV", &p2, NULL);
    NUM("L3_width", "eV", &w3, &sw3);
    NUM("L2_width", "eV", &w2, &sw2);
    NUM("L3", "counts", &c[EP_WL_A3], &s3);
    NUM("L2", "counts", &c[EP_WL_A2], &s2);
    NUM("ratio", "", &r, &sr);
    NUM("ratio_systematic", "", &systematic, NULL);
    NUM("ratio_if_steps_move", "", &doubt.moved, NULL);
    NUM("continuum", "counts", &c[EP_WL_CONTINUUM], NULL);
    for (size_t k = 0; k < w->nobstacle; k++) {
        char name[48];
        snprintf(name, sizeof name, "obstacle_%zu_M5", k + 1);
        NUM(name, "counts", &c[EP_WL_LINES + 3 * k], NULL);
        snprintf(name, sizeof name, "obstacle_%zu_M4", k + 1);
        NUM(name, "counts", &c[EP_WL_LINES + 3 * k + 1], NULL);
    }
    NUM("reduced_chi_square", "", &q->f.chi2, NULL);
    NUM("misfit", "%", &misfit, NULL);
    NUM("pixels", "", &n, NULL);
    NUM("at_bound", "", &bound, NULL);
    NUM("first_channel", "", &first, NULL);
    NUM("end_channel", "", &end, NULL);
    for (size_t k = 0; k < ep_wl_nshape(w); k++) NUM(ep_wl_shape_names[k], "", &s[k], NULL);
    for (size_t i = 0; i < EP_WL_MEASURED; i++)
        for (size_t j = 0; j <= i; j++) {
            double relative = q->f.by_shape[i][j] / (c[i] * c[j]);
            NUM(ep_wl_by_shape_names[i][j], "", &relative, NULL);
        }
    return st ? st : ep_table_add(t, "verdict", "", NULL, NULL, &verdict, e);
}

static void put_spectra(const struct plan *p, const double *y, const double *v, struct ep_range covered, const struct fitted *q,
                        struct ep_signal **out)
{
    size_t n = q->ch.end - q->ch.first, nc = ep_wl_ncolumns(&p->w);
    double *x = ep_xcalloc(nc * n, sizeof *x);
    ep_wl_columns(&p->w, q->f.shape, ep_axis_at(&p->axis, (double)q->ch.first), p->channel, n, x);
    for (size_t i = 0; i < p->axis.size; i++) {
        bool seen = i >= covered.first && i < covered.end, in = i >= q->ch.first && i < q->ch.end;
        if (out[EP_WL_SUM]) out[EP_WL_SUM]->f64[i] = seen ? y[i - p->reach.first] : (double)NAN;
        if (out[EP_WL_SUM] && out[EP_WL_SUM]->sigma64) out[EP_WL_SUM]->sigma64[i] = seen ? sqrt(v[i - p->reach.first]) : (double)NAN;
        double fit = in ? 0 : (double)NAN;
        for (size_t k = 0; in && k < nc; k++) fit += q->f.c[k] * x[k * n + i - q->ch.first];
        if (out[EP_WL_SUM_FIT]) out[EP_WL_SUM_FIT]->f64[i] = fit;
    }
    free(x);
}

static double ratio_of(const struct ep_wl_fit *f)
{
    return f->c[EP_WL_A3] / f->c[EP_WL_A2];
}

/* Refits of the sum with what is not known moved both ways. */
static struct doubt doubt_of(const struct plan *p, const double *y, const double *v, const double range[2], struct ep_range covered,
                             const struct fitted *q)
{
    double r = ratio_of(&q->f), sum = 0;
    struct doubt out = { r, 0 };
    for (int what = 0; what < 3; what++)
        for (int side = -1; side <= 1; side += 2) {
            struct ep_wl w = p->w;
            struct fitted other;
            struct ep_err ignored = { 0 };
            if (what == 0) w.step_offset += side * STEP_MOVED;
            else if (what == 1) w.decay += side * DECAY_MOVED;
            else w.hold_broader = true, w.broader = side < 0 ? BROADER_LEAST : BROADER_MOST;
            if (fit_range(p, &w, y, v, range, covered, q->f.shape, false, &other, &ignored)) continue;
            double s = ratio_of(&other.f);
            if (what == 0 && fabs(s - r) > fabs(out.moved - r)) out.moved = s;
            sum += (s / r - 1) * (s / r - 1) / 2;
        }
    out.relative = sqrt(sum);
    return out;
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *p = plan;
    struct acc *acc = accumulator;
    size_t n = p->reach.end - p->reach.first;
    double *y = acc->sum, *v = acc->sum + n, range[2], most = 0;
    if (acc->n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel is left to find the white lines in: all are flagged or not finite");
    struct ep_range covered = { p->reach.first + (size_t)acc->reach_up, p->reach.end - (size_t)-acc->reach_down };
    if (acc->reach_up - acc->reach_down >= (int64_t)n) return ep_fail(e, EP_E_COMPUTE, "pixels are shifted so far that no channel is in all of them");
    for (size_t i = 0; i < n; i++) most = fmax(most, v[i]);
    for (size_t i = 0; i < n; i++) v[i] = fmax(v[i], 1e-3 * most);
    if (!(most > 0)) return ep_fail(e, EP_E_COMPUTE, "there are no counts where the white lines should be");

    struct fitted q;
    double shape[EP_WL_MAX_SHAPE];
    const char *verdict = "fits";
    ep_wl_reach(&p->par, &p->w, range);
    ep_status st = fit_range(p, &p->w, y, v, range, covered, NULL, false, &q, e);
    if (st) return st;
    ep_wl_range(&p->par, &p->w, q.f.shape[EP_WL_POSITION], range);
    memcpy(shape, q.f.shape, sizeof shape);
    st = fit_range(p, &p->w, y, v, range, covered, shape, false, &q, e);
    if (st) return st;
    double cov[3];
    size_t skip = q.ch.first - p->reach.first;
    if (!amplitude_errors(p, &q, y + skip, v + skip, cov)) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum's white lines failed");
    if (q.f.c[EP_WL_A3] < 5 * sqrt(cov[0]) || q.f.c[EP_WL_A2] < 3 * sqrt(cov[2])) {
        /* Nothing to learn from: usual shapes where the lines should be. */
        ep_wl_start(&p->w, shape);
        ep_wl_range(&p->par, &p->w, 0, range);
        st = fit_range(p, &p->w, y, v, range, covered, shape, true, &q, e);
        if (st) return st;
        q.f.at_bound = false;
        verdict = "no white lines within `search` of their places stand above noise in the sum: usual positions and widths are used";
        skip = q.ch.first - p->reach.first;
        amplitude_errors(p, &q, y + skip, v + skip, cov);
    } else if (q.f.at_bound) {
        verdict = "the lines are further from their places than `search`: calibrate the axis, or give l3, l2 or a larger search";
    } else if (q.misfit > MISFIT) {
        verdict = p->w.nplural ? "the shape of the lines does not fit: see sum and sum_fit"
                               : "the shape of the lines does not fit: see sum and sum_fit; plural losses need low_loss, or a deconvolved input";
    }
    put_spectra(p, y, v, covered, &q, out);
    return make_table(p, acc, &q, cov, doubt_of(p, y, v, range, covered, &q), verdict, &out[EP_WL_TABLE], e);
}

static const struct ep_outdoc outputs[] = {
    { "sum", EP_SPECTRUM, "counts", "The sum of the net spectra of all pixels, where the lines may be." },
    { "sum_fit", EP_SPECTRUM, "counts", "Its fit." },
    { "fit", EP_TABLE, "", "Positions, widths, areas and ratio of the sum's lines, its systematic, the ratio with the steps moved by 1.5 eV, chi-square." },
};

const struct ep_stage ep_white_lines_look = {
    .name = "white_lines_look",
    .summary = "Finds the white lines in the sum of all pixels, and their shape.",
    .reference = "G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.",
    .method = "The fit of the sum of all pixels, as the stage white_lines describes it.",
    .version = 2,
    .params = ep_wl_params, .params_size = sizeof(struct ep_wl_par),
    .ports = ep_wl_ports, .nports = EP_WL_PORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
