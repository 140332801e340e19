/* The first coordinate of a series from which on a quantity has left its plateau. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/pixels.h"

struct par { const char *column, *against; double k; };

static const struct ep_param params[] = {
    { .name = "column", .type = EP_P_TEXT, .offset = offsetof(struct par, column), .required = true,
      .doc = "The column of the table whose onset is looked for, such as ti_front_displacement." },
    { .name = "against", .type = EP_P_TEXT, .offset = offsetof(struct par, against),
      .doc = "The column that is the coordinate; left out, the first column of numbers." },
    { .name = "k", .type = EP_P_NUMBER, .offset = offsetof(struct par, k), .unit = "", .def = "3", .min = 0.5, .max = 100,
      .doc = "How many sigma all later points have to differ from the plateau by." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "A table with one row for each run, as collect makes it.", .kinds = EP_TABLE, .min = 1, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "onset", EP_TABLE, "", "One row: the interval of the onset, the plateau with sigma, its number of points, flags." },
};

static void declare(struct ep_declare *d)
{
    struct ep_desc *o = ep_declare_output(d, "onset", EP_TABLE);
    o->primary = true;
    snprintf(o->long_name, sizeof o->long_name, "Onset");
}

/* ---- the series ------------------------------------------------------------------------------------------------- */

struct point { double x, y, sigma; bool exact; };    /* sigma 0: not known */

static const struct ep_column *find(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (name ? strcmp(t->col[i].name, name) == 0 : !t->col[i].is_text) return &t->col[i];
    return NULL;
}

static ep_status need(const struct ep_signal *t, const char *name, const struct ep_column **out, struct ep_err *e)
{
    struct ep_str all = { 0 };
    *out = find(t, name);
    if (*out && !(*out)->is_text) return EP_OK;
    for (size_t i = 0; i < t->ncol; i++)
        if (!t->col[i].is_text) ep_str_addf(&all, "%s%s", all.n ? ", " : "", t->col[i].name);
    ep_status st = *out ? ep_fail(e, EP_E_COMPUTE, "the column '%s' holds texts; columns of numbers are %s", name, all.s ? all.s : "none")
                        : ep_fail(e, EP_E_COMPUTE, "the table has no column '%s'; its columns of numbers are %s", name ? name : "", all.s ? all.s : "none");
    ep_str_free(&all);
    return st;
}

static int by_x(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* Points of equal coordinate (repeats that were not averaged) become one: weighted by their sigmas where all have one, and with
 * the standard error of their scatter where that is larger. */
static size_t join(struct point *p, size_t n)
{
    size_t m = 0;
    for (size_t a = 0, b; a < n; a = b) {
        double w = 0, sum = 0, dev = 0;
        bool weigh = true;
        for (b = a; b < n && p[b].x == p[a].x; b++) weigh &= p[b].sigma > 0;
        for (size_t i = a; i < b; i++) {
            double wi = weigh ? 1 / (p[i].sigma * p[i].sigma) : 1;
            w += wi;
            sum += wi * p[i].y;
        }
        double mean = sum / w, k = (double)(b - a);
        for (size_t i = a; i < b; i++) dev += (p[i].y - mean) * (p[i].y - mean);
        double counting = weigh ? 1 / sqrt(w) : p[a].sigma, scatter = k > 1 ? sqrt(dev / (k - 1) / k) : 0;
        if (!weigh && k > 1) counting = 0;
        p[m++] = (struct point){ p[a].x, mean, fmax(counting, scatter), p[a].exact && b == a + 1 };
    }
    return m;
}

/* A value that is exact by definition, as the displacement of the reference run is, has its noise in all others: in a mean it counts with
 * the smallest of their sigmas. */
static void settle_exact(struct point *p, size_t n)
{
    double least = INFINITY;
    for (size_t i = 0; i < n; i++)
        if (p[i].sigma > 0) least = fmin(least, p[i].sigma);
    for (size_t i = 0; i < n; i++) {
        p[i].exact &= isfinite(least);
        if (p[i].exact) p[i].sigma = least;
    }
}

static size_t points_of(const struct ep_signal *t, const struct ep_column *x, const struct ep_column *y, struct point *p)
{
    char name[EP_NAME_LEN + 16];
    snprintf(name, sizeof name, "%s_scatter", y->name);
    const struct ep_column *scatter = find(t, name);
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (!isfinite(x->num[i]) || !isfinite(y->num[i])) continue;
        double s = y->sigma && isfinite(y->sigma[i]) ? y->sigma[i] : 0;
        if (scatter && !scatter->is_text && isfinite(scatter->num[i])) s = fmax(s, scatter->num[i]);
        p[n++] = (struct point){ x->num[i], y->num[i], s, s == 0 && y->sigma && y->sigma[i] == 0 };
    }
    settle_exact(p, n);
    qsort(p, n, sizeof *p, by_x);
    return join(p, n);
}

/* ---- the onset -------------------------------------------------------------------------------------------------- */

struct plateau { double value, sigma, extra; size_t n; };

/* The chi-square that chance exceeds in 1 of 100 (E. B. Wilson, M. M. Hilferty, Proc. Natl. Acad. Sci. 17 (1931) 684). */
static double chance(double nu)
{
    double a = 2 / (9 * nu);
    return nu * pow(1 - a + 2.326 * sqrt(a), 3);
}

/* The first n points: weighted mean. What they scatter beyond their sigmas, and beyond what chance makes of those, is taken to be in all
 * points: the scatter of two or three alone says little, and taken at its word would hide an onset now and then. */
static struct plateau plateau_of(const struct point *p, size_t n)
{
    double w = 0, sum = 0, dev = 0, own = 0;
    bool weigh = true;
    for (size_t i = 0; i < n; i++) weigh &= p[i].sigma > 0;
    for (size_t i = 0; i < n; i++) {
        double wi = weigh ? 1 / (p[i].sigma * p[i].sigma) : 1;
        w += wi;
        sum += wi * p[i].y;
        own += p[i].sigma * p[i].sigma / (double)n;
    }
    double mean = sum / w;
    for (size_t i = 0; i < n; i++) dev += (p[i].y - mean) * (p[i].y - mean);
    double scatter = n > 1 ? dev / (double)(n - 1) : 0, chi2 = 0;
    for (size_t i = 0; weigh && i < n; i++) chi2 += pow((p[i].y - mean) / p[i].sigma, 2);
    bool more = !weigh || (n > 1 && chi2 > chance((double)(n - 1)));
    struct plateau a = { mean, 0, more ? fmax(0, scatter - own) : 0, n };
    if (n == 1 && p[0].exact) return a;                    /* what the others differ from; its noise is in their sigmas */
    a.sigma = sqrt((weigh ? 1 / w : own / (double)n) + a.extra / (double)n);
    return a;
}

/* Probability of |t| below the value for nu degrees of freedom (M. Abramowitz, I. Stegun, Handbook of Mathematical
 * Functions, 26.7.3 and 26.7.4). */
static double student_within(double t, size_t nu)
{
    double theta = atan(t / sqrt((double)nu)), c = cos(theta), s = sin(theta), term = nu & 1 ? c : 1, sum = 0;
    for (size_t i = nu & 1 ? 3 : 2; i <= nu; i += 2) {
        sum += term;
        term *= c * c * ((double)i - 1) / (double)i;
    }
    return nu & 1 ? 2 / M_PI * (theta + s * sum) : s * sum;
}

/* A scatter known from a few points is less sure than a counted sigma: the t that is exceeded as rarely as k sigma. */
static double student(double k, size_t nu)
{
    double want = erf(k * M_SQRT1_2), lo = k, hi = 2 * k;
    while (hi < 1e6 && student_within(hi, nu) < want) hi *= 2;
    for (int i = 0; i < 60; i++) {
        double m = 0.5 * (lo + hi);
        if (student_within(m, nu) < want) lo = m; else hi = m;
    }
    return hi;
}

static bool differs(const struct point *p, const struct plateau *a, double k)
{
    double counted = p->sigma * p->sigma + a->sigma * a->sigma, var = counted + a->extra;
    double share = var > 0 ? a->extra * (1 + 1 / (double)a->n) / var : 1;
    double limit = share > 0.5 && a->n > 1 ? student(k, a->n - 1) : k;
    return fabs(p->y - a->value) > limit * sqrt(var);
}

static bool all_differ(const struct point *p, size_t first, size_t n, const struct plateau *a, double k)
{
    for (size_t i = first; i < n; i++)
        if (!differs(&p[i], a, k) || (p[i].y > a->value) != (p[first].y > a->value)) return false;
    return true;
}

/* Points before the onset, n where there is none. The plateau is all points before, or where the quantity leaves it slowly
 * the first of them, at least half and three. Without sigmas only the scatter of three points or more tells what differs. */
static size_t onset_of(const struct point *p, size_t n, double k, struct plateau *a)
{
    bool sigmas = true;
    for (size_t i = 0; i < n; i++) sigmas &= p[i].sigma > 0;
    for (size_t first = sigmas ? 1 : 3; first < n; first++) {
        size_t least = first < 3 ? first : (first + 1) / 2;
        for (size_t m = first; m >= least && (m == first || m >= 3); m--) {
            *a = plateau_of(p, m);
            if (all_differ(p, first, n, a, k)) return first;
        }
    }
    *a = plateau_of(p, n);
    return n;
}

static ep_status make_table(const char *name, const struct ep_column *x, const struct ep_column *y, const struct point *p, size_t n,
                            double k, struct ep_signal **out, struct ep_err *e)
{
    struct plateau a = { (double)NAN, (double)NAN, 0, 0 };
    size_t first = n ? onset_of(p, n, k, &a) : 0;
    bool found = n > 0 && first < n, any_sigma = false;
    for (size_t i = 0; i < n; i++) any_sigma |= p[i].sigma > 0;
    double lower = found ? p[first - 1].x : (double)NAN, upper = found ? p[first].x : (double)NAN, count = (double)a.n;
    struct ep_str flags = { 0 };
    if (found && first == 1) ep_str_add(&flags, "plateau of one point");
    if (!any_sigma) ep_str_addf(&flags, "%sno sigmas: judged by the scatter of the plateau alone", flags.n ? "; " : "");
    if (n < 2) ep_str_addf(&flags, "%sfewer than two points", flags.n ? "; " : "");
    const char *texts[] = { found ? "found" : "none", y->name, flags.s ? flags.s : "" };
    struct ep_signal *t;
    ep_status st = ep_table_new(name, 1, &t, e);
    if (!st) st = ep_table_add(t, "lower", x->unit, &lower, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "upper", x->unit, &upper, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "plateau", y->unit, &a.value, &a.sigma, NULL, e);
    if (!st) st = ep_table_add(t, "plateau_points", "", &count, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "k", "", &k, NULL, NULL, e);
    if (!st) st = ep_table_add(t, "onset", "", NULL, NULL, &texts[0], e);
    if (!st) st = ep_table_add(t, "column", "", NULL, NULL, &texts[1], e);
    if (!st) st = ep_table_add(t, "flags", "", NULL, NULL, &texts[2], e);
    ep_str_free(&flags);
    if (st) ep_signal_free(t);
    else *out = t;
    return st;
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct par *par = p->par;
    const struct ep_signal *t = p->in[0].v[0].whole;
    const struct ep_column *x, *y;
    ep_status st = need(t, par->against, &x, e);
    if (!st) st = need(t, par->column, &y, e);
    if (st) return st;
    struct point *points = calloc(t->n + 1, sizeof *points);
    if (!points) return ep_fail(e, EP_E_COMPUTE, "no memory for a series of %zu points", t->n);
    size_t n = points_of(t, x, y, points);
    st = make_table(p->out[0].name, x, y, points, n, par->k, &out[0], e);
    free(points);
    return st;
}

const struct ep_stage ep_stage_onset = {
    .name = "onset",
    .summary = "Finds from which coordinate on, such as a temperature, a quantity has left its plateau.",
    .reference = "Differences of independent means; no publication.",
    .method = "The points are put in order of the coordinate. The onset is the first point from which on all differ from the mean of those "
              "before it by k sigma, to the same side; sigma joins the point's, the plateau's, and what the plateau scatters beyond its "
              "sigmas, if that is more than chance explains. Where the quantity leaves the plateau slowly, the last points before the onset "
              "(at most half) are left out of "
              "the mean. The larger of counting sigma and scatter of repeats is taken where collect gave both. The result is an "
              "interval: the quantity left the plateau above `lower` and not above `upper`. Points without a value are left out; one whose sigma is 0, as the "
              "displacement of the reference run, counts in means with the smallest sigma of the others, which hold its noise. "
              "A plateau of one point is flagged: nothing shows that it is one. Without an onset the interval is empty and the "
              "text says none.",
    .version = 3,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
