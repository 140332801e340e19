#include "pipeline/data/cell.h"

struct ep_grid ep_grid_of(size_t ny, size_t nx)
{
    return (struct ep_grid){ ny, nx, ny / EP_CELL_NY + (ny % EP_CELL_NY != 0),
                             nx / EP_CELL_NX + (nx % EP_CELL_NX != 0) };
}

size_t ep_grid_count(const struct ep_grid *g)
{
    return g->cy * g->cx;
}

struct ep_area ep_grid_cell(const struct ep_grid *g, size_t index)
{
    size_t y0 = index / g->cx * EP_CELL_NY, x0 = index % g->cx * EP_CELL_NX;
    struct ep_area a = { y0, x0, g->ny - y0, g->nx - x0 };
    if (a.ny > EP_CELL_NY) a.ny = EP_CELL_NY;
    if (a.nx > EP_CELL_NX) a.nx = EP_CELL_NX;
    return a;
}

/* [*at, *at + *n) grown by margin, within [0, size). */
static void grow(size_t *at, size_t *n, size_t margin, size_t size)
{
    size_t left = *at < margin ? *at : margin;
    size_t rest = size - (*at + *n);
    *at -= left;
    *n += left + (rest < margin ? rest : margin);
}

struct ep_area ep_area_grow(struct ep_area a, size_t margin, const struct ep_grid *g)
{
    grow(&a.y0, &a.ny, margin, g->ny);
    grow(&a.x0, &a.nx, margin, g->nx);
    return a;
}
