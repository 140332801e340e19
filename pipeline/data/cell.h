/* The unit of work: 16 x 64 pixels on a grid anchored at pixel (0, 0), independent of file chunks, threads and memory.
 *
 * A cell handed to a stage may be larger by a margin (the halo of a stage that needs neighbours); at the image's
 * border it is clipped. val[(y-y0)*sy + (x-x0)*sx + (ch-ch0)] is channel ch of pixel (y, x).
 */
#ifndef EP_DATA_CELL_H
#define EP_DATA_CELL_H
#include <stddef.h>
#include <stdint.h>
#include "pipeline/data/signal.h"

#define EP_CELL_NY 16
#define EP_CELL_NX 64

struct ep_area { size_t y0, x0, ny, nx; };

/* The cells of a grid, row by row. */
struct ep_grid { size_t ny, nx, cy, cx; };           /* pixels; cells along y and x */
struct ep_grid ep_grid_of(size_t ny, size_t nx);
size_t ep_grid_count(const struct ep_grid *g);
struct ep_area ep_grid_cell(const struct ep_grid *g, size_t index);
/* The cell's area grown by `margin` on each side, clipped to the grid. */
struct ep_area ep_area_grow(struct ep_area a, size_t margin, const struct ep_grid *g);

struct ep_model;
struct ep_cell {
    const struct ep_desc *d;
    struct ep_area a;            /* pixels present */
    size_t ch0, nch;             /* channels present; nch = 1, ch0 = 0 for a map */
    size_t sy, sx;               /* strides in values */
    float *val;                  /* NULL: an output nobody wants */
    float *sigma;                /* maps with sigma: dense [ny][nx]; else NULL */
    /* dense [ny][nx] per pixel, of images: */
    const uint32_t *flag;        /* never NULL for inputs */
    const double *shift;         /* eV; NULL = 0 everywhere */
    const struct ep_model *model;/* NULL: plain counts */
    const double *theta;         /* [pixel][EP_NTHETA] */
    const double *cmat;          /* [pixel][EP_NCMAT] */
};
static inline float *ep_cell_spectrum(const struct ep_cell *c, size_t iy, size_t ix)
{
    return c->val + iy * c->sy + ix * c->sx;
}
#endif
