/* Small things that the stages on cells share. */
#ifndef EP_STAGES_PIXELS_H
#define EP_STAGES_PIXELS_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "pipeline/stage.h"

/* Row and column within cell c of pixel (y, x) of the signal. A cell may be larger than the area to compute. */
static inline size_t ep_in_y(const struct ep_cell *c, size_t y)
{
    return y - c->a.y0;
}
static inline size_t ep_in_x(const struct ep_cell *c, size_t x)
{
    return x - c->a.x0;
}
/* Place of pixel (y, x) in the cell's per-pixel arrays (flag, shift, theta, sigma of a map). */
static inline size_t ep_in_at(const struct ep_cell *c, size_t y, size_t x)
{
    return (y - c->a.y0) * c->a.nx + (x - c->a.x0);
}
static inline double ep_shift_at(const struct ep_cell *c, size_t at)
{
    return c->shift ? c->shift[at] : 0;
}
static inline bool ep_fatal(uint32_t flag)
{
    return (flag & EP_FLAGS_FATAL) != 0;
}
/* All channels of one pixel of an output. */
static inline void ep_fill_nan(const struct ep_cell *c, size_t iy, size_t ix)
{
    if (!c->val) return;
    float *v = ep_cell_spectrum(c, iy, ix);
    for (size_t i = 0; i < c->nch; i++) v[i] = NAN;
    if (!c->sigma) return;
    float *s = c->d->kind == EP_SPECTRUM ? c->sigma : c->sigma + iy * c->a.nx + ix;
    for (size_t i = 0; i < c->nch; i++) s[i] = NAN;
}
/* One pixel of a map. */
static inline void ep_put(const struct ep_cell *c, size_t iy, size_t ix, double value, double sigma)
{
    if (!c->val) return;
    *ep_cell_spectrum(c, iy, ix) = (float)value;
    if (c->sigma) c->sigma[iy * c->a.nx + ix] = (float)sigma;
}

/* What the pixels of an image output carry when it is the input's, pixel (y, x) of the output being pixel (y+dy, x+dx) of
 * the input: pointers into the input where its arrays have the same shape, else copies in the room that apply got. */
static inline void ep_carry(const struct ep_apply *a, const struct ep_cell *in, size_t dy, size_t dx, struct ep_cell *out)
{
    struct ep_area r = a->area;
    size_t at = ep_in_at(in, r.y0 + dy, r.x0 + dx);
    bool same = in->a.nx == r.nx;
    out->shift = !in->shift ? NULL : same ? in->shift + at : a->shift;
    out->theta = !in->theta ? NULL : same ? in->theta + at * EP_NTHETA : a->theta;
    out->cmat = !in->cmat ? NULL : same ? in->cmat + at * EP_NCMAT : a->cmat;
    for (size_t y = 0; !same && y < r.ny; y++) {
        size_t from = at + y * in->a.nx, to = y * r.nx;
        if (in->shift) memcpy(a->shift + to, in->shift + from, r.nx * sizeof *a->shift);
        if (in->theta) memcpy(a->theta + to * EP_NTHETA, in->theta + from * EP_NTHETA, r.nx * EP_NTHETA * sizeof *a->theta);
        if (in->cmat) memcpy(a->cmat + to * EP_NCMAT, in->cmat + from * EP_NCMAT, r.nx * EP_NCMAT * sizeof *a->cmat);
    }
}

/* An output that is like a signal except for what the stage does to it. */
static inline struct ep_desc *ep_declare_like(struct ep_declare *d, const char *name, const struct ep_desc *like,
                                              const char *long_name)
{
    struct ep_desc from = *like, *o = ep_declare_output(d, name, from.kind);
    memcpy(from.name, o->name, sizeof from.name);
    from.dtype = o->dtype;
    from.primary = false;
    memset(from.long_name, 0, sizeof from.long_name);
    snprintf(from.long_name, sizeof from.long_name, "%s", long_name);
    if (from.kind == EP_IMAGE) from.has_sigma = false;
    if (from.kind == EP_SPECTRUM) from.has_sigma = true;
    if (from.spectral && !from.unit[0]) memcpy(from.unit, "counts", sizeof "counts");
    *o = from;
    return o;
}

/* The input is there and has an energy axis; ports of the engine see to the rest. */
static inline const struct ep_desc *ep_declare_input(const struct ep_declare *d, size_t port)
{
    return d->in[port].n ? d->in[port].v[0].d : NULL;
}
static inline bool ep_window_given(const double w[2])
{
    return !isnan(w[0]);
}
#endif
