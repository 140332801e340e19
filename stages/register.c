/* The shift between two maps of the same thing, from another scan or another run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/space.h"

enum { PORT_INPUT, PORT_TO, PORT_WITHIN };
enum { OUT_SHIFT, OUT_RESIDUAL };

struct par { double max_shift; };

static const struct ep_param params[] = {
    { .name = "max_shift", .type = EP_P_NUMBER, .offset = offsetof(struct par, max_shift), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The longest shift to look for; left out, two thirds of the larger field." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "A map of something that stays where it is, such as the HAADF signal or a substrate's edge.", .kinds = EP_MAP,
      .min = 1, .max = 1 },
    { .name = "to", .doc = "The map of the same thing whose frame is the reference.", .kinds = EP_MAP, .min = 1, .max = 1 },
    { .name = "within", .doc = "A map with the pixels of input or of to: only those that are finite and not 0 are compared.", .kinds = EP_MAP,
      .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "shift", EP_TABLE, "nm", "One row: what to add to positions of the input to get those of the reference, with sigmas." },
    { "residual", EP_MAP, "", "The input less the shifted reference, both smoothed, the reference scaled in intensity." },
};

/* Whether `within` goes with the pixels of map `m`. */
static bool goes_with(const struct ep_desc *within, const struct ep_desc *m)
{
    return ep_desc_same_frame(within, m) && ep_same_places(within, m);
}

static void declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *to = ep_declare_input(d, PORT_TO), *within = ep_declare_input(d, PORT_WITHIN);
    if (!ep_declare_plane(d, "input", in) || !ep_declare_plane(d, "to", to)) return;
    if (in->nnav != 2 || to->nnav != 2)
        ep_declare_error(d, in->nnav != 2 ? "input" : "to", "a line scan can't be registered: two dimensions are needed");
    if (strcmp(ep_length_unit(in), ep_length_unit(to)) != 0)
        ep_declare_error(d, "to", "the axes of '%s' are in nm and those of '%s' in no unit of length: give both the same",
                         strcmp(ep_length_unit(in), "nm") == 0 ? d->in[PORT_INPUT].v[0].label : d->in[PORT_TO].v[0].label,
                         strcmp(ep_length_unit(in), "nm") == 0 ? d->in[PORT_TO].v[0].label : d->in[PORT_INPUT].v[0].label);
    if (within && !goes_with(within, in) && !goes_with(within, to))
        ep_declare_error(d, "within", "'%s' has neither the pixels and frame of '%s' nor those of '%s'", d->in[PORT_WITHIN].v[0].label,
                         d->in[PORT_INPUT].v[0].label, d->in[PORT_TO].v[0].label);
    struct ep_desc *o = ep_declare_output(d, "shift", EP_TABLE);
    o->primary = true;
    strncpy(o->long_name, "Shift", sizeof o->long_name - 1);
    ep_copy_frame(o, in);
    o = ep_declare_map(d, "residual", in, in->unit, "Residual of the registration", false);
    ep_copy_frame(o, in);
    o->noise = EP_NOISE_UNKNOWN;
}

static ep_status image_of(const struct ep_signal *s, const struct ep_signal *within, struct ep_image *g, double **room, struct ep_err *e)
{
    *g = ep_grid_in_nm(&s->d);
    double *val = malloc((2 * s->n + 1) * sizeof *val);
    *room = val;
    if (!val) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a map)", 2 * s->n * sizeof *val);
    double *var = val + s->n;
    for (size_t i = 0; i < s->n; i++) {
        bool use = !(s->flags && ep_fatal(s->flags[i])) && (!within || ep_mask_has(within, i));
        double sigma = s->sigma32 ? ep_signal_sigma(s, i) : 0;
        val[i] = use && isfinite(ep_signal_get(s, i)) ? ep_signal_get(s, i) : (double)NAN;
        var[i] = sigma * sigma;
    }
    g->val = val;
    g->var = s->sigma32 ? var : NULL;
    return EP_OK;
}

/* Whether the two are one map, or a part of it: then the shift is zero, and no noise is in it. */
static bool same_map(const struct ep_image *a, const struct ep_image *b, struct ep_shift *s, double *residual)
{
    double dy = (a->y0 - b->y0) / b->hy, dx = (a->x0 - b->x0) / b->hx, lo = INFINITY, hi = -INFINITY;
    if (fabs(a->hy / b->hy - 1) > 1e-9 || fabs(a->hx / b->hx - 1) > 1e-9 || fabs(dy - rint(dy)) > 1e-6 || fabs(dx - rint(dx)) > 1e-6) return false;
    *s = (struct ep_shift){ .nx = 1, .known = 2, .scale = 1 };
    for (size_t i = 0; i < a->ny * a->nx; i++) {
        double y = (double)(i / a->nx) + rint(dy), x = (double)(i % a->nx) + rint(dx), v = a->val[i];
        residual[i] = (double)NAN;
        if (!(y >= 0 && x >= 0 && y < (double)b->ny && x < (double)b->nx)) continue;
        double u = b->val[(size_t)y * b->nx + (size_t)x];
        if (isnan(v) || isnan(u)) continue;
        if (v != u) return false;
        residual[i] = 0;
        lo = fmin(lo, v);
        hi = fmax(hi, v);
        s->compared++;
    }
    return lo < hi;
}

static double finite_or_nan(double var)
{
    return isfinite(var) ? sqrt(var) : (double)NAN;
}

struct number { const char *name, *unit; double value, sigma; bool has_sigma; };

static ep_status make_table(const struct ep_shift *s, const char *name, const char *nm, double inflation, struct ep_signal **out,
                            struct ep_err *e)
{
    const char *text = s->known < 2 ? "unconstrained across" : s->var_along > 0 ? "both directions" : "the same map";
    char square[8];
    snprintf(square, sizeof square, "%s^2", nm);
    double angle = atan2(s->ny, s->nx) * 180 / 3.14159265358979323846;
    const struct number row[] = {
        { "y", nm, s->y, finite_or_nan(s->var_y * inflation), true },
        { "x", nm, s->x, finite_or_nan(s->var_x * inflation), true },
        { "covariance", square, isfinite(s->cov) ? s->cov * inflation : (double)NAN, 0, false },
        { "angle", "deg", angle, 0, false },
        { "along", nm, s->along, finite_or_nan(s->var_along * inflation), true },
        { "across", nm, s->across, finite_or_nan(s->var_across * inflation), true },
        { "scale", "", s->scale, 0, false }, { "offset", "", s->offset, 0, false }, { "chi2", "", s->chi2, 0, false },
        { "pixels", "", (double)s->compared, 0, false },
    };
    ep_status st = ep_table_new(name, 1, out, e);
    for (size_t i = 0; !st && i < sizeof row / sizeof *row; i++)
        st = ep_table_add(*out, row[i].name, row[i].unit, &row[i].value, row[i].has_sigma ? &row[i].sigma : NULL, NULL, e);
    return st ? st : ep_table_add(*out, "constraint", "", NULL, NULL, &text, e);
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct par *par = p->par;
    const struct ep_item *in = &p->in[PORT_INPUT].v[0], *to = &p->in[PORT_TO].v[0];
    const struct ep_item *within = p->in[PORT_WITHIN].n ? &p->in[PORT_WITHIN].v[0] : NULL;
    bool with_input = within && goes_with(within->d, in->d);
    struct ep_image a, b;
    double *ra = NULL, *rb = NULL;
    struct ep_shift s;
    ep_status st = image_of(in->whole, with_input ? within->whole : NULL, &a, &ra, e);
    if (!st) st = image_of(to->whole, within && !with_input ? within->whole : NULL, &b, &rb, e);
    if (!st) {
        double fields[4] = { (double)a.ny * fabs(a.hy), (double)a.nx * fabs(a.hx), (double)b.ny * fabs(b.hy), (double)b.nx * fabs(b.hx) };
        double longest = fmax(fmax(fields[0], fields[1]), fmax(fields[2], fields[3])) * 2 / 3;
        double *residual = malloc((in->whole->n + 1) * sizeof *residual);
        if (!residual) st = ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (registering)", in->whole->n * sizeof *residual);
        else if (!same_map(&a, &b, &s, residual)) st = ep_image_shift(&a, &b, isnan(par->max_shift) ? longest : par->max_shift, &s, residual, e);
        if (st) ep_context(e, "registering '%s' to '%s': ", in->label, to->label);
        struct ep_signal *o = out[OUT_RESIDUAL];
        for (size_t i = 0; !st && o && i < o->n; i++) {
            o->f32[i] = (float)residual[i];
            o->flags[i] = isfinite(residual[i]) ? 0 : EP_FLAG_NOT_FINITE;
        }
        free(residual);
    }
    double more = fmax(ep_noise_inflation(&in->whole->d), ep_noise_inflation(&to->whole->d));
    if (!st) st = make_table(&s, p->out[OUT_SHIFT].name, ep_length_unit(in->d), more, &out[OUT_SHIFT], e);
    free(ra);
    free(rb);
    return st;
}

const struct ep_stage ep_stage_register = {
    .name = "register",
    .summary = "Finds the shift between two maps of what stays in place, with its sigma.",
    .reference = "B. D. Lucas and T. Kanade, Proc. 7th Int. Joint Conf. Artif. Intell. (1981) 674; D. Robinson and P. Milanfar, IEEE Trans. Image "
                 "Process. 13 (2004) 1185.",
    .method = "A correlation over all shifts gives a start, least squares on gradients the shift to a fraction of a pixel; pixel sizes and fields "
              "may differ, and so may intensities by a factor and an offset, nothing else. Both maps are smoothed alike (1.2 of the larger "
              "pixel), so that interpolation does not draw the shift towards half pixels. Sigma comes from the noise of both maps and the "
              "gradients that they share, and is wider when they differ by more than noise: by how much parts of the field, "
              "blocks or whole strips of it, disagree. A direction without shared gradients, such as along a straight interface, is unconstrained: its shift is given as none, its sigma is missing, and the table says so (along and "
              "across: the best determined direction and the one at right angles). A map registered on itself, as the reference run of a series is, "
              "has the shift 0 with sigma 0. Do not register on an element that diffuses.",
    .version = 3,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
