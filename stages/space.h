/* What the stages that work with positions share: pixels in nm, frames, the words of refusals. */
#ifndef EP_STAGES_SPACE_H
#define EP_STAGES_SPACE_H
#include <math.h>
#include <stdlib.h>
#include "pipeline/numerics/image_shift.h"
#include "stages/pixels.h"

#define EP_DEGREE (3.14159265358979323846 / 180)

/* Where the pixels of a map are: row i, column j at y0 + i*hy, x0 + j*hx. A line scan lies at y = 0, its rows as high as wide. */
static inline struct ep_image ep_grid_in_nm(const struct ep_desc *d)
{
    const struct ep_axis *x = &d->nav[d->nnav ? d->nnav - 1 : 0], *y = &d->nav[d->nnav > 1 ? d->nnav - 2 : 0];
    struct ep_image g = { .ny = ep_desc_ny(d), .nx = ep_desc_nx(d), .hy = 1, .hx = 1 };
    if (d->nnav == 0) return g;
    g.x0 = ep_axis_at(x, 0);
    g.hx = x->scale * ep_axis_unit_factor(x);
    g.y0 = d->nnav > 1 ? ep_axis_at(y, 0) : 0;
    g.hy = d->nnav > 1 ? y->scale * ep_axis_unit_factor(y) : fabs(g.hx);
    return g;
}
/* "nm", or "px" when the axes do not say what their numbers are. */
static inline const char *ep_length_unit(const struct ep_desc *d)
{
    enum ep_dim dim;
    double f;
    for (size_t i = 0; i < d->nnav; i++)
        if (!ep_unit_lookup(d->nav[i].unit, &dim, &f) || dim != EP_DIM_LENGTH) return "px";
    return "nm";
}
/* A map of y and x (or x alone) is needed here, not a series of frames. Says so where lengths are not known. */
static inline bool ep_declare_plane(struct ep_declare *d, const char *port, const struct ep_desc *in)
{
    if (in->nnav == 1 || in->nnav == 2) {
        if (strcmp(ep_length_unit(in), "nm") != 0)
            ep_declare_warn(d, port, "the axes of '%s' are in no unit of length: their numbers are taken as they are, as pixels", in->name);
        return true;
    }
    if (in->nnav == 3) ep_declare_error(d, port, "'%s' is a series of frames: split it into runs of one frame each", in->name);
    else ep_declare_error(d, port, "'%s' has no pixels side by side", in->name);
    return false;
}
/* `other` (at key `port`) and the input must lie in one coordinate system. */
static inline void ep_declare_same_frame(struct ep_declare *d, const char *port, const char *label, const struct ep_desc *other,
                                         const char *in_label, const struct ep_desc *in, bool can_register)
{
    if (!other || !in || ep_desc_same_frame(other, in)) return;
    ep_declare_error(d, port, "'%s' and '%s' are of different scans, so that their positions need not agree; %sgive both inputs the "
                     "same `frame:` if they do", label, in_label,
                     can_register ? "put a step `register` between them and name it as register:, or " : "");
}
/* Pixel by pixel, `other` must be on the grid of `in`. */
static inline bool ep_same_places(const struct ep_desc *a, const struct ep_desc *b)
{
    struct ep_image p = ep_grid_in_nm(a), q = ep_grid_in_nm(b);
    double tol_y = 1e-3 * fabs(p.hy), tol_x = 1e-3 * fabs(p.hx);
    double y1 = (double)(p.ny - 1), x1 = (double)(p.nx - 1);
    return p.ny == q.ny && p.nx == q.nx && fabs(p.y0 - q.y0) < tol_y && fabs(p.x0 - q.x0) < tol_x &&
           fabs(p.y0 + y1 * p.hy - q.y0 - y1 * q.hy) < tol_y && fabs(p.x0 + x1 * p.hx - q.x0 - x1 * q.hx) < tol_x;
}
static inline void ep_declare_same_places(struct ep_declare *d, const char *port, const char *label, const struct ep_desc *other,
                                          const char *in_label, const struct ep_desc *in)
{
    if (!other || !in || ep_same_places(other, in)) return;
    struct ep_image p = ep_grid_in_nm(other), q = ep_grid_in_nm(in);
    ep_declare_error(d, port, "'%s' has %zu x %zu pixels of %g x %g nm, '%s' has %zu x %zu of %g x %g nm: bring it to the same pixels "
                     "with a step `region` and regrid: nearest", label, p.ny, p.nx, fabs(p.hy), fabs(p.hx), in_label, q.ny, q.nx,
                     fabs(q.hy), fabs(q.hx));
}
static inline void ep_copy_frame(struct ep_desc *to, const struct ep_desc *from)
{
    memcpy(to->frame, from->frame, sizeof to->frame);
    to->frame_id = from->frame_id;
}
/* What averaging over many pixels adds to the variance that independent ones would have: 4 pi s^2 for the noise of a map that was
 * averaged with a Gaussian of standard deviation s pixels (noise_px is its full width at half maximum). */
static inline double ep_noise_inflation(const struct ep_desc *d)
{
    double s = d->noise_px / 2.354820045030949;
    return d->noise == EP_NOISE_CORRELATED ? fmax(1, 4 * 3.14159265358979323846 * s * s) : 1;
}
static inline bool ep_mask_has(const struct ep_signal *m, size_t i)
{
    double v = ep_signal_get(m, i);
    return isfinite(v) && v != 0 && !(m->flags && ep_fatal(m->flags[i]));
}
#endif
