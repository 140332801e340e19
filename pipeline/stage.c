/* What every declare uses: new outputs, mistakes at the place of a parameter, windows checked against an axis. */
#include "pipeline/stage.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- outputs ---- */

struct ep_desc *ep_declare_output(struct ep_declare *d, const char *name, enum ep_kind kind)
{
    for (size_t i = 0; i < d->nout; i++)
        if (strcmp(d->out[i].name, name) == 0) ep_declare_error(d, NULL, "two outputs would be named '%s'", name);
    if (strlen(name) >= sizeof d->out->name)
        ep_declare_error(d, NULL, "the output name '%s' is longer than %zu bytes", name, sizeof d->out->name - 1);
    if ((d->nout & (d->nout - 1)) == 0) {       /* full at 0, 1, 2, 4, 8, ... */
        struct ep_desc *more = EP_ARENA_ARRAY(d->arena, struct ep_desc, d->nout ? 2 * d->nout : 1);
        if (d->nout) memcpy(more, d->out, d->nout * sizeof *more);
        d->out = more;
    }
    struct ep_desc *o = &d->out[d->nout++];
    ep_desc_init(o);
    strncpy(o->name, name, sizeof o->name - 1);
    o->kind = kind;
    o->dtype = kind == EP_MAP || kind == EP_IMAGE ? EP_F32 : EP_F64;
    return o;
}

struct ep_desc *ep_declare_map(struct ep_declare *d, const char *name, const struct ep_desc *like, const char *unit,
                               const char *long_name, bool sigma)
{
    struct ep_desc from = *like;                /* it may be an output, which the next line moves */
    struct ep_desc *o = ep_declare_output(d, name, EP_MAP);
    o->nnav = from.nnav;
    memcpy(o->nav, from.nav, sizeof o->nav);
    strncpy(o->unit, unit, sizeof o->unit - 1);
    strncpy(o->long_name, long_name, sizeof o->long_name - 1);
    o->has_sigma = sigma;
    o->noise = from.noise;
    o->noise_px = from.noise_px;
    o->gain_estimated = from.gain_estimated;
    o->placement_sigma = from.placement_sigma;
    memcpy(o->frame, from.frame, sizeof o->frame);
    o->frame_id = from.frame_id;
    o->meta = from.meta;
    return o;
}

/* ---- mistakes ---- */

/* Where the parameter ("average.fwhm" for a member of a record) is written, else where the step is. */
static struct ep_pos place_of(const struct ep_declare *d, const char *param)
{
    const struct ep_value *v = d->step;
    char key[EP_NAME_LEN];
    while (v && param && *param) {
        size_t n = strcspn(param, ".");
        if (n >= sizeof key) break;
        memcpy(key, param, n);
        key[n] = '\0';
        const struct ep_value *next = ep_value_get(v, key);
        if (!next) break;
        v = next;
        param += n + (param[n] == '.');
    }
    return v && v != d->step ? v->pos : d->pos;
}

static const char *message(struct ep_declare *d, const char *param, const char *fmt, va_list ap)
{
    struct ep_str s = { 0 };
    const char *kind = d->stage ? d->stage->name : "stage";
    if (d->step_name && strcmp(d->step_name, kind) != 0) ep_str_addf(&s, "step %s (%s): ", d->step_name, kind);
    else ep_str_addf(&s, "stage %s: ", kind);
    if (param) ep_str_addf(&s, "%s: ", param);
    ep_str_vaddf(&s, fmt, ap);
    const char *text = ep_arena_strdup(d->arena, s.s);
    ep_str_free(&s);
    return text;
}

void ep_declare_error(struct ep_declare *d, const char *param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ep_diag_error(d->diag, place_of(d, param), "%s", message(d, param, fmt, ap));
    va_end(ap);
}

void ep_declare_warn(struct ep_declare *d, const char *param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ep_diag_warn(d->diag, place_of(d, param), "%s", message(d, param, fmt, ap));
    va_end(ap);
}

/* ---- windows ---- */

/* The outer edges of the first and last bin, in eV, lower first. */
static void axis_span(const struct ep_axis *a, double span[2])
{
    double p = ep_axis_at(a, -0.5), q = ep_axis_at(a, (double)a->size - 0.5);
    span[0] = fmin(p, q);
    span[1] = fmax(p, q);
}

/* A recipe that writes 4.4 where the axis is in keV means 4.4 keV: bare numbers are eV. */
static const char *did_you_mean(struct ep_declare *d, const struct ep_axis *a, const double w[2], const double span[2])
{
    double f = ep_axis_unit_factor(a);
    if (f == 1 || w[0] * f < span[0] || w[1] * f > span[1]) return "";
    return ep_arena_printf(d->arena, "; a bare number is in eV: did you mean [\"%g %s\", \"%g %s\"]?", w[0], a->unit, w[1], a->unit);
}

struct ep_range ep_declare_window(struct ep_declare *d, const char *param, const struct ep_desc *image, const double window[2],
                                  size_t min_channels)
{
    const struct ep_range none = { 0, 0 };
    if (!image->spectral) {
        ep_declare_error(d, param, "the input is a %s without an energy axis: there is no window in it", ep_kind_name(image->kind));
        return none;
    }
    const struct ep_axis *a = &image->energy;
    double span[2];
    bool clipped;
    axis_span(a, span);
    struct ep_range r = ep_axis_window(a, window[0], window[1], 0, &clipped);
    double step = fabs(a->scale * ep_axis_unit_factor(a));
    const char *hint = did_you_mean(d, a, window, span);
    /* Shifted axes: whether a window lies on the axis is decided pixel by pixel; it is a mistake only if it never does. */
    double lo = window[0] + image->shift_max, hi = window[1] - image->shift_max;
    if (clipped && image->shift_max > 0)
        clipped = lo < span[0] - step || hi > span[1] + step || window[1] - window[0] > span[1] - span[0] + 2 * step;
    if (clipped) {
        ep_declare_error(d, param, "the window %g to %g eV reaches beyond the axis, which covers %g to %g eV%s", window[0], window[1],
                         span[0], span[1], hint);
        return none;
    }
    size_t n = (size_t)fmax(0, floor((window[1] - window[0]) / step + 1e-6));   /* wherever a shift puts it, at least these */
    if (image->shift_max <= 0) n = r.end - r.first;
    if (n < min_channels) {
        ep_declare_error(d, param, "the window %g to %g eV holds %zu channel%s of %g eV: at least %zu %s needed%s", window[0], window[1],
                         n, n == 1 ? "" : "s", step, min_channels, min_channels == 1 ? "is" : "are", hint);
        return none;
    }
    return r;
}

struct ep_range ep_reach(const struct ep_desc *image, double lo, double hi)
{
    double more = image->shift_max > 0 ? image->shift_max : 0;
    struct ep_range r = ep_axis_window(&image->energy, lo - more, hi + more, 0, NULL);
    if (more > 0 && r.first < r.end) {          /* a shift of just shift_max, rounded either way */
        if (r.first > 0) r.first--;
        if (r.end < image->energy.size) r.end++;
    }
    return r;
}

struct ep_range ep_range_hull(struct ep_range a, struct ep_range b)
{
    if (a.first >= a.end) return b;
    if (b.first >= b.end) return a;
    return (struct ep_range){ a.first < b.first ? a.first : b.first, a.end > b.end ? a.end : b.end };
}
