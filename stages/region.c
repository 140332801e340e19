/* Regions: masks from thresholds, distances, rectangles and other regions. All that is given must hold. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/distance.h"

enum { PORT_INPUT, PORT_DISTANCE, PORT_LIKE, PORT_REGISTER };
enum threshold { ABSOLUTE, FRACTION };
enum combine { ALONE, UNION, INTERSECTION, DIFFERENCE };
enum regrid { NO_REGRID, NEAREST };
static const char *const thresholds[] = { "absolute", "fraction", NULL };
static const char *const combinations[] = { "none", "union", "intersection", "difference", NULL };
static const char *const regrids[] = { "none", "nearest", NULL };

struct par { double above, below, band[2], rows[2], columns[2], y[2], x[2]; int threshold, combine, regrid; bool invert; };

static const struct ep_param params[] = {
    { .name = "above", .type = EP_P_NUMBER, .offset = offsetof(struct par, above), .unit = "", .min = -1e300, .max = 1e300,
      .doc = "Pixels whose value is at least this." },
    { .name = "below", .type = EP_P_NUMBER, .offset = offsetof(struct par, below), .unit = "", .min = -1e300, .max = 1e300,
      .doc = "Pixels whose value is less than this." },
    { .name = "threshold", .type = EP_P_WORD, .offset = offsetof(struct par, threshold), .def = "absolute", .words = thresholds,
      .doc = "Whether above and below are values, or fractions of the range between the map's 5th and 95th percentiles." },
    { .name = "band", .type = EP_P_WINDOW, .offset = offsetof(struct par, band), .unit = "nm",
      .doc = "Pixels whose value in the map distance lies from the first (included) to the second (not included)." },
    { .name = "rows", .type = EP_P_WINDOW, .offset = offsetof(struct par, rows), .unit = "px",
      .doc = "The rows of a rectangle, counted from 0, from the first (included) to the second (not included)." },
    { .name = "columns", .type = EP_P_WINDOW, .offset = offsetof(struct par, columns), .unit = "px",
      .doc = "The columns of a rectangle, counted from 0, from the first (included) to the second (not included)." },
    { .name = "y", .type = EP_P_WINDOW, .offset = offsetof(struct par, y), .unit = "nm",
      .doc = "The extent of a rectangle in y, by the pixels' centres." },
    { .name = "x", .type = EP_P_WINDOW, .offset = offsetof(struct par, x), .unit = "nm",
      .doc = "The extent of a rectangle in x, by the pixels' centres." },
    { .name = "combine", .type = EP_P_WORD, .offset = offsetof(struct par, combine), .def = "none", .words = combinations,
      .doc = "Takes the inputs as regions: pixels in any of them, in all of them, or in the first and none of the others." },
    { .name = "invert", .type = EP_P_BOOL, .offset = offsetof(struct par, invert), .def = "false",
      .doc = "Exchanges inside and outside; pixels without a value stay without." },
    { .name = "regrid", .type = EP_P_WORD, .offset = offsetof(struct par, regrid), .def = "none", .words = regrids,
      .doc = "What to do with maps of other pixels in the same frame: refuse them, or take the pixel nearest to each." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The map that is compared with above and below, or the regions to combine.", .kinds = EP_MAP, .min = 1, .max = 0 },
    { .name = "distance", .doc = "A map of signed distance, for band.", .kinds = EP_MAP, .max = 1 },
    { .name = "like", .doc = "A map whose pixels the region is to have; left out, those of the input.", .kinds = EP_MAP, .max = 1 },
    { .name = "register", .kinds = EP_TABLE, .max = 1,
      .doc = "The shift, of a register step, that takes positions in like to those of the input or distance, when these are of another scan." },
};
static const struct ep_outdoc outputs[] = {
    { "mask", EP_MAP, "", "The region: 1 inside, 0 outside, no value where it can't be told." },
};

static bool has_rectangle(const struct par *p)
{
    return ep_window_given(p->rows) || ep_window_given(p->columns) || ep_window_given(p->y) || ep_window_given(p->x);
}

/* ---- declare ------------------------------------------------------------------------------------------------ */

static const struct ep_desc *grid_of(const struct ep_items *in)
{
    return in[PORT_LIKE].n ? in[PORT_LIKE].v[0].d : in[PORT_INPUT].v[0].d;
}

static void check_grid(struct ep_declare *d, const char *port, const struct ep_item *it, const struct ep_item *grid, bool nearest)
{
    if (it->d == grid->d) return;
    if (!d->in[PORT_REGISTER].n) ep_declare_same_frame(d, port, it->label, it->d, grid->label, grid->d, true);
    if (!nearest && ep_desc_same_frame(it->d, grid->d) && !ep_same_places(it->d, grid->d))
        ep_declare_error(d, port, "'%s' has %zu x %zu pixels, '%s' has %zu x %zu at other places: regrid: nearest takes the pixel nearest to "
                         "each", it->label, ep_desc_ny(it->d), ep_desc_nx(it->d), grid->label, ep_desc_ny(grid->d), ep_desc_nx(grid->d));
}

static void check_pixels(struct ep_declare *d, const char *param, const double w[2], size_t n)
{
    if (!ep_window_given(w)) return;
    if (w[0] != floor(w[0]) || w[1] != floor(w[1]) || w[0] < 0 || w[1] > (double)n)
        ep_declare_error(d, param, "%g to %g does not fit: whole numbers from 0 to %zu are needed", w[0], w[1], n);
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_items *in = &d->in[PORT_INPUT];
    const struct ep_item *grid = d->in[PORT_LIKE].n ? &d->in[PORT_LIKE].v[0] : &in->v[0];
    if (!ep_declare_plane(d, d->in[PORT_LIKE].n ? "like" : "input", grid->d)) return;
    for (size_t i = 0; i < in->n; i++) check_grid(d, "input", &in->v[i], grid, p->regrid == NEAREST);
    if (d->in[PORT_DISTANCE].n) check_grid(d, "distance", &d->in[PORT_DISTANCE].v[0], grid, p->regrid == NEAREST);
    bool compare = isfinite(p->above) || isfinite(p->below), band = ep_window_given(p->band);
    bool rectangle = has_rectangle(p);
    if (p->combine == ALONE && in->n > 1) ep_declare_error(d, "input", "%zu maps: say how to combine them (union, intersection, difference)", in->n);
    if (p->combine != ALONE && compare) ep_declare_error(d, "combine", "regions are combined as they are: give above and below in a step of its own");
    if (p->threshold == FRACTION && !compare) ep_declare_error(d, "threshold", "threshold: fraction needs above or below");
    if (isfinite(p->above) && isfinite(p->below) && p->above >= p->below)
        ep_declare_error(d, "below", "no value is at least %g and below %g", p->above, p->below);
    if (band && !d->in[PORT_DISTANCE].n) ep_declare_error(d, "band", "band needs distance: a map of distances, such as that of an interface step");
    if (!band && d->in[PORT_DISTANCE].n) ep_declare_error(d, "distance", "distance needs band: the distances to keep, as in band: [-5, 0]");
    if (p->combine == ALONE && !compare && !band && !rectangle && p->regrid == NO_REGRID)
        ep_declare_error(d, NULL, "nothing says what belongs to the region: give above, below, band, rows, columns, y, x or combine");
    if (d->in[PORT_REGISTER].n && !d->in[PORT_LIKE].n)
        ep_declare_error(d, "register", "register needs like: a map of the scan that the region is made for");
    if (d->in[PORT_REGISTER].n && p->regrid == NO_REGRID)
        ep_declare_error(d, "register", "pixels of another scan lie at other places: add regrid: nearest");
    check_pixels(d, "rows", p->rows, ep_desc_ny(grid->d));
    check_pixels(d, "columns", p->columns, ep_desc_nx(grid->d));
    struct ep_desc *o = ep_declare_map(d, "mask", grid->d, "", "Region", false);
    ep_copy_frame(o, grid->d);
    o->noise = EP_NOISE_UNKNOWN;
    o->primary = true;
}

/* ---- whole -------------------------------------------------------------------------------------------------- */

static size_t nearest(double at, double first, double step, size_t n)
{
    double i = floor((at - first) / step + 0.5);
    return i >= 0 && i < (double)n ? (size_t)i : SIZE_MAX;
}

struct sampler { const struct ep_signal *s; struct ep_image at; bool same; double dy, dx; };   /* what takes places of the grid to its own */

/* The pixel of a map at (or nearest to) pixel i of the grid; SIZE_MAX outside its field. */
static size_t pixel_of(const struct sampler *m, const struct ep_image *grid, size_t i)
{
    if (m->same) return i;
    size_t y = nearest(grid->y0 + grid->hy * (double)(i / grid->nx) + m->dy, m->at.y0, m->at.hy, m->at.ny);
    size_t x = nearest(grid->x0 + grid->hx * (double)(i % grid->nx) + m->dx, m->at.x0, m->at.hx, m->at.nx);
    return y == SIZE_MAX || x == SIZE_MAX ? SIZE_MAX : y * m->at.nx + x;
}

/* What is in the grid's own frame is not shifted. */
static struct sampler sampler_of(const struct ep_item *it, const struct ep_desc *grid, const struct ep_registered *shift)
{
    bool own = !shift || it->d == grid || ep_desc_same_frame(it->d, grid);
    return (struct sampler){ it->whole, ep_grid_in_nm(it->d), own && ep_same_places(it->d, grid), own ? 0 : shift->y, own ? 0 : shift->x };
}

/* Along a direction that the registration leaves open nothing says which pixel is which: only distances from a boundary that runs that way
 * do not mind. */
static ep_status check_open(const struct ep_items *in, const struct ep_desc *grid, const struct ep_registered *shift, bool looked_at,
                            struct ep_err *e)
{
    for (size_t i = 0; shift->open && looked_at && i < in[PORT_INPUT].n; i++)
        if (!ep_desc_same_frame(in[PORT_INPUT].v[i].d, grid))
            return ep_fail(e, EP_E_COMPUTE, "the registration leaves open how far '%s' is shifted along %.0f degrees: register on a map that "
                           "shows more than one edge, or take a band of distance from the boundary", in[PORT_INPUT].v[i].label,
                           atan2(shift->open_y, shift->open_x) / EP_DEGREE);
    return EP_OK;
}

/* A pixel without a value, and why. */
static double value_of(const struct sampler *m, const struct ep_image *grid, size_t i, uint32_t *flag)
{
    size_t k = pixel_of(m, grid, i);
    if (k == SIZE_MAX) {
        *flag |= EP_FLAG_NOT_FINITE;
        return NAN;
    }
    double v = ep_signal_get(m->s, k);
    uint32_t f = m->s->flags ? m->s->flags[k] & EP_FLAGS_FATAL : 0;
    if (!isfinite(v) && !f) f = EP_FLAG_NOT_FINITE;
    *flag |= f;
    return f ? (double)NAN : v;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percentiles between the order statistics. */
static ep_status fraction_to_value(const struct ep_signal *s, const char *label, double *above, double *below, struct ep_err *e)
{
    size_t n = 0;
    double *v = malloc((s->n + 1) * sizeof *v), edge[2];
    if (!v) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a threshold)", s->n * sizeof *v);
    for (size_t i = 0; i < s->n; i++) {
        double z = ep_signal_get(s, i);
        if (isfinite(z) && !(s->flags && ep_fatal(s->flags[i]))) v[n++] = z;
    }
    if (n == 0) {
        free(v);
        return ep_fail(e, EP_E_COMPUTE, "no pixel of '%s' has a value: there is no range to take a fraction of", label);
    }
    qsort(v, n, sizeof *v, by_value);
    for (int k = 0; k < 2; k++) {
        double at = (k ? 0.95 : 0.05) * (double)(n - 1), f = at - floor(at);
        size_t i = (size_t)at;
        edge[k] = v[i] + (i + 1 < n ? f * (v[i + 1] - v[i]) : 0);
    }
    free(v);
    *above = edge[0] + *above * (edge[1] - edge[0]);
    *below = edge[0] + *below * (edge[1] - edge[0]);
    return EP_OK;
}

static bool within(const double w[2], double v)
{
    return !ep_window_given(w) || (v >= w[0] && v < w[1]);
}

static bool combined(const struct par *p, const struct sampler *in, size_t n, const struct ep_image *g, size_t i, uint32_t *flag)
{
    bool inside = p->combine != UNION;
    for (size_t k = 0; k < n; k++) {
        bool has = value_of(&in[k], g, i, flag) != 0;
        if (p->combine == UNION) inside |= has;
        else if (p->combine == INTERSECTION || k == 0) inside &= has;
        else inside &= !has;
    }
    return inside;
}

/* Whatever uses a region without pixels would fail with less to say. */
static ep_status check_some(const struct ep_signal *o, bool invert, struct ep_err *e)
{
    size_t inside = 0, decided = 0;
    for (size_t i = 0; i < o->n; i++) {
        inside += o->f32[i] == 1;
        decided += isfinite(o->f32[i]);
    }
    if (inside > 0) return EP_OK;
    if (decided == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel belongs to the region: none of %zu has a value", o->n);
    return ep_fail(e, EP_E_COMPUTE, "no pixel belongs to the region: of %zu with a value %s", decided,
                   invert ? "all are inside what invert exchanges" : "none meets all that is given");
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct par *par = p->par;
    const struct ep_desc *grid = grid_of(p->in);
    const struct ep_items *in = &p->in[PORT_INPUT];
    struct ep_image g = ep_grid_in_nm(grid);
    struct ep_signal *o = out[0];
    double above = par->above, below = par->below;
    if (!o) return EP_OK;
    if (par->threshold == FRACTION) {
        ep_status st = fraction_to_value(in->v[0].whole, in->v[0].label, &above, &below, e);
        if (st) return st;
    }
    bool compare = isfinite(above) || isfinite(below), alone = par->combine == ALONE && !compare;
    bool carry = alone && par->regrid == NEAREST && !p->in[PORT_DISTANCE].n && !has_rectangle(par);    /* nothing else: the region itself */
    struct ep_registered found, *shift = p->in[PORT_REGISTER].n ? &found : NULL;
    if (shift) {
        ep_status st = ep_registered_of(p->in[PORT_REGISTER].v[0].whole, shift, e);
        if (!st) st = check_open(p->in, grid, shift, carry || !alone, e);
        if (st) return st;
    }
    struct sampler *m = ep_xcalloc(in->n + 1, sizeof *m), far = { 0 };
    for (size_t i = 0; i < in->n; i++) m[i] = sampler_of(&in->v[i], grid, shift);
    if (p->in[PORT_DISTANCE].n) far = sampler_of(&p->in[PORT_DISTANCE].v[0], grid, shift);
    for (size_t i = 0; i < o->n; i++) {
        uint32_t flag = 0;
        double row = (double)(i / g.nx), column = (double)(i % g.nx);
        bool inside = within(par->rows, row) && within(par->columns, column) && within(par->y, g.y0 + g.hy * row) &&
                      within(par->x, g.x0 + g.hx * column);
        if (par->combine != ALONE) {
            inside &= combined(par, m, in->n, &g, i, &flag);
        } else if (compare) {
            double v = value_of(&m[0], &g, i, &flag);
            inside &= !(v < above) && !(v >= below);
        } else if (carry) {
            inside &= value_of(&m[0], &g, i, &flag) != 0;
        }
        if (far.s) inside &= within(par->band, value_of(&far, &g, i, &flag));
        o->flags[i] = flag;
        o->f32[i] = flag ? NAN : (float)(inside != par->invert);
    }
    free(m);
    return check_some(o, par->invert, e);
}

const struct ep_stage ep_stage_region = {
    .name = "region",
    .summary = "Makes a region (mask) from thresholds, distances, rectangles and other regions.",
    .reference = "None: values are compared.",
    .method = "A pixel is inside when everything that is given holds: the map is at least `above` and below `below`, the distance lies in the "
              "band, the pixel in the rectangle. Regions combine by union, intersection or difference. With fractions a threshold follows "
              "the map's own range, between its 5th and 95th percentiles, so that one recipe serves runs of different dose. A threshold on a "
              "noisy map chooses pixels by their noise: take regions from another map than the one that is averaged. Pixels that can't be "
              "decided have no value and a flag. With regrid: nearest and nothing else, a region comes out on the pixels of `like`. A region or a "
              "distance of another scan, such as that of another temperature, is placed by `register`; what is of the same scan as `like` is not shifted.",
    .version = 2,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
