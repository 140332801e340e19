/* Cutting a block into pieces.
 *
 * A piece is one chunk, cut to the block; where there are no chunks, a group of rows (and columns, if rows are long),
 * or of channels if energy is not the fast dimension. t and y fold into the rows of the grid and a block may begin in
 * the middle of one t, so a box is read part by part, one t at a time.
 */
#include <string.h>

#include "pipeline/io/source_private.h"

#define GROUP_BYTES ((size_t)1 << 20)

void ep_src_geometry(struct ep_source *s)
{
    int canon[EP_MAX_NAV] = {EP_X, EP_X, EP_X}; /* a single value without axes is an array of one */
    for (size_t k = 0; k < s->d.nnav; k++) canon[k] = EP_E - (int)s->d.nnav + (int)k; /* the last is x */
    for (int c = 0; c < EP_NCANON; c++) {
        s->dim[c] = -1;
        s->n[c] = s->c[c] = s->nc[c] = 1;
    }
    s->in_order = true;
    for (int k = 0; k < s->st.rank; k++) {
        int c = s->it->role[k] == EP_ROLE_ENERGY ? EP_E : canon[s->it->role[k]];
        if (c == EP_E && k != s->st.rank - 1) s->in_order = false;
        s->dim[c] = k;
        s->n[c] = s->st.dim[k];
        s->c[c] = s->st.chunk[k];
        s->nc[c] = s->st.nchunk[k];
    }
}

void ep_src_geometry_memory(struct ep_source *s)
{
    s->in_order = true;
    for (int c = 0; c < EP_NCANON; c++) s->n[c] = 1;
    s->n[EP_Y] = ep_desc_ny(&s->d);
    s->n[EP_X] = ep_desc_nx(&s->d);
    s->n[EP_E] = ep_desc_nch(&s->d);
}

bool ep_src_chunked(const struct ep_source *s)
{
    return !s->mem && s->st.layout == H5D_CHUNKED;
}

bool ep_src_flat(const struct ep_source *s)
{
    return s->mem || (s->st.direct && s->st.layout == H5D_CONTIGUOUS && s->in_order);
}

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Rows, columns and channels of one piece of a block that has no chunks, and where the first piece begins (perhaps before
 * the block: pieces that are hashed begin where units do). */
struct group { size_t rows, cols, channels, y0, x0; };

static size_t multiple(size_t n, size_t of)
{
    return ep_max(n / of, 1) * of;
}

static struct group group_of(const struct ep_source *s, const struct ep_block *b)
{
    size_t esize = s->mem ? sizeof(float) : s->st.esize;
    struct group g = {b->a.ny, b->a.nx, b->nch, b->a.y0, b->a.x0};
    if (!s->in_order) { /* planes of one channel lie together */
        size_t n = ep_max(GROUP_BYTES / ep_max(b->a.ny * b->a.nx * esize, 1), 16);
        g.channels = ep_min(n, b->nch);
        return g;
    }
    size_t pixel = (ep_src_flat(s) ? s->n[EP_E] : b->nch) * esize; /* flat: what lies between is read too */
    size_t line = b->a.nx * pixel;
    if (line > GROUP_BYTES) {
        g.rows = 1;
        g.cols = ep_max(GROUP_BYTES / pixel, 1);
        if (s->hash) {
            g.cols = multiple(g.cols, s->hash->cols);
            g.x0 -= g.x0 % g.cols;
        }
    } else {
        g.rows = GROUP_BYTES / line;
    }
    return g;
}

/* How many pieces stand beside and below each other. */
static void group_count(const struct ep_block *b, const struct group *g, size_t *along_y, size_t *along_x, size_t *along_e)
{
    *along_y = ceil_div(b->a.y0 + b->a.ny - g->y0, g->rows);
    *along_x = ceil_div(b->a.x0 + b->a.nx - g->x0, g->cols);
    *along_e = ceil_div(b->nch, g->channels);
}

/* First chunk and number of chunks along each dimension that a block touches. */
static void chunk_range(const struct ep_source *s, const struct ep_block *b, size_t first[EP_NCANON], size_t count[EP_NCANON])
{
    size_t t0 = b->a.y0 / s->n[EP_Y], t1 = (b->a.y0 + b->a.ny - 1) / s->n[EP_Y];
    size_t lo[EP_NCANON] = {t0, 0, b->a.x0, b->ch0};
    size_t hi[EP_NCANON] = {t1 + 1, s->n[EP_Y], b->a.x0 + b->a.nx, b->ch0 + b->nch};
    if (t0 == t1) { /* else all rows of a t, of which the first and last t may want only some: empty boxes */
        lo[EP_Y] = b->a.y0 - t0 * s->n[EP_Y];
        hi[EP_Y] = lo[EP_Y] + b->a.ny;
    }
    for (int c = 0; c < EP_NCANON; c++) {
        first[c] = lo[c] / s->c[c];
        count[c] = (hi[c] - 1) / s->c[c] - first[c] + 1;
    }
}

size_t ep_source_pieces(const struct ep_source *s, const struct ep_block *b)
{
    size_t n;
    if (!b->a.ny || !b->a.nx || !b->nch) return 0;
    if (b->view) {
        n = 0;
    } else if (ep_src_chunked(s)) {
        size_t first[EP_NCANON], count[EP_NCANON];
        chunk_range(s, b, first, count);
        n = count[EP_T] * count[EP_Y] * count[EP_X] * count[EP_E];
    } else {
        struct group g = group_of(s, b);
        size_t along_y, along_x, along_e;
        group_count(b, &g, &along_y, &along_x, &along_e);
        n = along_y * along_x * along_e;
    }
    return n + s->carries;
}

static void chunk_box(const struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_box *x, size_t chunk[EP_NCANON])
{
    size_t first[EP_NCANON], count[EP_NCANON];
    chunk_range(s, b, first, count);
    for (int c = EP_E; c >= EP_T; c--) {
        chunk[c] = first[c] + piece % count[c];
        piece /= count[c];
        x->lo[c] = ep_max(x->lo[c], chunk[c] * s->c[c]);
        x->hi[c] = ep_min(x->hi[c], (chunk[c] + 1) * s->c[c]);
    }
}

static void group_box(const struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_box *x)
{
    struct group g = group_of(s, b);
    size_t along_y, along_x, along_e;
    group_count(b, &g, &along_y, &along_x, &along_e);
    x->lo[EP_E] += piece % along_e * g.channels;
    x->hi[EP_E] = ep_min(x->lo[EP_E] + g.channels, x->hi[EP_E]);
    size_t at = g.x0 + piece / along_e % along_x * g.cols, row = g.y0 + piece / along_e / along_x * g.rows;
    x->lo[EP_X] = ep_max(x->lo[EP_X], at);
    x->hi[EP_X] = ep_min(x->hi[EP_X], at + g.cols);
    x->row0 = ep_max(x->row0, row);
    x->row1 = ep_min(x->row1, row + g.rows);
}

void ep_src_box(const struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_box *x, size_t chunk[EP_NCANON])
{
    *x = (struct ep_box){.lo = {0, 0, b->a.x0, b->ch0},
                         .hi = {s->n[EP_T], s->n[EP_Y], b->a.x0 + b->a.nx, b->ch0 + b->nch},
                         .row0 = b->a.y0, .row1 = b->a.y0 + b->a.ny};
    memset(chunk, 0, EP_NCANON * sizeof *chunk);
    if (ep_src_chunked(s)) chunk_box(s, b, piece, x, chunk);
    else group_box(s, b, piece, x);
    x->lo[EP_T] = ep_max(x->lo[EP_T], x->row0 / s->n[EP_Y]);
    x->hi[EP_T] = ep_min(x->hi[EP_T], (x->row1 - 1) / s->n[EP_Y] + 1);
}

bool ep_src_next(const struct ep_source *s, const struct ep_box *x, size_t *t, struct ep_part *p)
{
    for (; *t < x->hi[EP_T]; (*t)++) {
        size_t base = *t * s->n[EP_Y];
        size_t lo = x->row0 > base ? x->row0 - base : 0, hi = x->row1 > base ? x->row1 - base : 0;
        *p = (struct ep_part){*t, ep_max(lo, x->lo[EP_Y]), ep_min(hi, x->hi[EP_Y])};
        if (p->y0 < p->y1) {
            (*t)++;
            return true;
        }
    }
    return false;
}

bool ep_src_empty(const struct ep_source *s, const struct ep_box *x)
{
    size_t t = x->lo[EP_T];
    struct ep_part p;
    return !ep_src_next(s, x, &t, &p);
}

void ep_src_frame(const struct ep_source *s, const size_t size[EP_NCANON], const size_t chunk[EP_NCANON], struct ep_frame *f)
{
    size_t acc = 1;
    memset(f->stride, 0, sizeof f->stride);
    memcpy(f->n, size, sizeof f->n);
    for (int c = 0; c < EP_NCANON; c++) f->org[c] = chunk ? chunk[c] * s->c[c] : 0;
    for (int k = s->st.rank - 1; k >= 0; k--)
        for (int c = 0; c < EP_NCANON; c++)
            if (s->dim[c] == k) {
                f->stride[c] = acc;
                acc *= size[c];
            }
}

void ep_source_chunk(const struct ep_source *s, size_t *ny, size_t *nx)
{
    *ny = *nx = 1;
    if (!ep_src_chunked(s)) return;
    *nx = s->c[EP_X];
    /* A chunk with several t covers rows of all of them. */
    *ny = s->c[EP_T] > 1 ? s->c[EP_T] * s->n[EP_Y] : s->c[EP_Y];
}
