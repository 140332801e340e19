/* Streaming: a block of a signal, piece by piece, from wherever the values lie.
 *
 * Array dimensions map to four canonical ones (t, y, x, energy), absent ones with size 1. A piece is one chunk, or a
 * group of rows where there are no chunks, cut to the block. What a piece covers is a box of chunk coordinates; since t
 * and y fold into rows and a block may begin in the middle of one t, boxes are cut into parts with one t each.
 */
#include "pipeline/io/file.h"

#include <assert.h>
#include <libdeflate.h>
#include <pthread.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/decode.h"
#include "pipeline/io/file_private.h"

enum { T, Y, X, E, NCANON };
enum { EXTRA_SHIFT, EXTRA_THETA, EXTRA_CMAT, EXTRA_FLAG, NEXTRA };
static const struct { const char *path; size_t per_pixel, bytes; } extra_info[NEXTRA] = {
    [EXTRA_SHIFT] = {"shift", 1, 8},
    [EXTRA_THETA] = {"covariance/theta", EP_NTHETA, 8},
    [EXTRA_CMAT] = {"covariance/cmat", EP_NCMAT, 8},
    [EXTRA_FLAG] = {"flags", 1, 4},
};

#define GROUP_BYTES ((size_t)1 << 20)  /* rows of one piece where there are no chunks */
#define BOUNCE_BYTES ((size_t)256 << 10) /* read at a time when not straight into the block: stays in the second cache */
#define SKIP_BYTES ((size_t)16 << 10)  /* unwanted bytes between two pixels that are worth a call of their own */

/* What one thread needs to decode a chunk; kept in a list between calls. */
struct scratch { struct libdeflate_decompressor *z; void *in, *out; size_t in_cap, out_cap; struct scratch *next; };

struct ep_source {
    struct ep_file *f;             /* NULL: in memory */
    const struct ep_item *it;
    const struct ep_signal *mem;
    struct ep_desc d;
    const struct ep_model *model;
    struct ep_store st;
    struct ep_chunk_at *at;        /* addresses of all chunks, or NULL */
    bool in_order;                 /* array dimensions stand in canonical order */
    int dim[NCANON];               /* array dimension of each canonical one, -1 = absent */
    size_t n[NCANON], c[NCANON], nc[NCANON]; /* sizes, chunk sizes, numbers of chunks */
    hid_t extra[NEXTRA];
    bool has_extra;
    pthread_mutex_t lock;          /* of pool */
    struct scratch *pool;
};

struct box { size_t lo[NCANON], hi[NCANON]; size_t row0, row1; }; /* canonical; rows of the folded grid that are wanted */
struct part { size_t t, y0, y1; };

/* ---- geometry ---- */

static void set_geometry(struct ep_source *s)
{
    int canon[EP_MAX_NAV] = {X, X, X}; /* a single value without axes is an array of one */
    for (size_t k = 0; k < s->d.nnav; k++) canon[k] = (int)(E - s->d.nnav + k); /* the last is x */
    for (int c = 0; c < NCANON; c++) {
        s->dim[c] = -1;
        s->n[c] = s->c[c] = s->nc[c] = 1;
    }
    s->in_order = true;
    for (int k = 0; k < s->st.rank; k++) {
        int c = s->it->role[k] == EP_ROLE_ENERGY ? E : canon[s->it->role[k]];
        if (c == E && k != s->st.rank - 1) s->in_order = false;
        s->dim[c] = k;
        s->n[c] = s->st.dim[k];
        s->c[c] = s->st.chunk[k];
        s->nc[c] = s->st.nchunk[k];
    }
}

static void set_geometry_memory(struct ep_source *s)
{
    s->in_order = true;
    for (int c = 0; c < NCANON; c++) s->n[c] = 1;
    s->n[Y] = ep_desc_ny(&s->d);
    s->n[X] = ep_desc_nx(&s->d);
    s->n[E] = ep_desc_nch(&s->d);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static bool is_chunked(const struct ep_source *s)
{
    return !s->mem && s->st.layout == H5D_CHUNKED;
}

static bool has_direct_rows(const struct ep_source *s)
{
    return s->mem || (s->st.direct && s->st.layout == H5D_CONTIGUOUS && s->in_order);
}

/* Pieces of a block without chunks: groups of `rows` rows times segments of `cols` columns. */
static void row_groups(const struct ep_source *s, const struct ep_block *b, size_t *rows, size_t *cols)
{
    size_t esize = s->mem ? sizeof(float) : s->st.esize;
    size_t pixel = has_direct_rows(s) ? s->n[E] * esize : b->nch * esize; /* hulls are read, slabs are cut */
    size_t line = b->a.nx * pixel;
    *rows = line >= GROUP_BYTES ? 1 : min_size(GROUP_BYTES / max_size(line, 1), b->a.ny);
    *cols = line <= GROUP_BYTES ? b->a.nx : max_size(GROUP_BYTES / max_size(pixel, 1), 1);
    /* A transposed array is read in one go along its fast axis; do not cut that. */
    if (!s->in_order) *cols = b->a.nx;
}

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* First and last chunk, along each canonical axis, that a block touches. */
static void chunk_range(const struct ep_source *s, const struct ep_block *b, size_t first[NCANON], size_t count[NCANON])
{
    size_t t0 = b->a.y0 / s->n[Y], t1 = (b->a.y0 + b->a.ny - 1) / s->n[Y];
    size_t lo[NCANON] = {t0, 0, b->a.x0, b->ch0};
    size_t hi[NCANON] = {t1 + 1, s->n[Y], b->a.x0 + b->a.nx, b->ch0 + b->nch};
    if (t0 == t1) { /* else all rows of a t, of which the first and last t may want only some */
        lo[Y] = b->a.y0 - t0 * s->n[Y];
        hi[Y] = lo[Y] + b->a.ny;
    }
    for (int c = 0; c < NCANON; c++) {
        first[c] = lo[c] / s->c[c];
        count[c] = (hi[c] - 1) / s->c[c] - first[c] + 1;
    }
}

size_t ep_source_pieces(const struct ep_source *s, const struct ep_block *b)
{
    size_t n;
    if (!b->a.ny || !b->a.nx || !b->nch) return 0;
    if (is_chunked(s)) {
        size_t first[NCANON], count[NCANON];
        chunk_range(s, b, first, count);
        n = count[T] * count[Y] * count[X] * count[E];
    } else {
        size_t rows, cols;
        row_groups(s, b, &rows, &cols);
        n = ceil_div(b->a.ny, rows) * ceil_div(b->a.nx, cols);
    }
    return n + s->has_extra;
}

/* The box of a piece, in canonical coordinates of the signal; chunk[] is the array index of its chunk. */
static void piece_box(const struct ep_source *s, const struct ep_block *b, size_t piece, struct box *x, size_t chunk[NCANON])
{
    x->row0 = b->a.y0;
    x->row1 = b->a.y0 + b->a.ny;
    x->lo[X] = b->a.x0;
    x->hi[X] = b->a.x0 + b->a.nx;
    x->lo[E] = b->ch0;
    x->hi[E] = b->ch0 + b->nch;
    memset(chunk, 0, NCANON * sizeof *chunk);
    if (is_chunked(s)) {
        size_t first[NCANON], count[NCANON];
        chunk_range(s, b, first, count);
        for (int c = E; c >= T; c--) {
            chunk[c] = first[c] + piece % count[c];
            piece /= count[c];
        }
        x->lo[T] = chunk[T] * s->c[T];
        x->hi[T] = min_size(x->lo[T] + s->c[T], s->n[T]);
        x->lo[Y] = chunk[Y] * s->c[Y];
        x->hi[Y] = min_size(x->lo[Y] + s->c[Y], s->n[Y]);
        for (int c = X; c <= E; c++) {
            x->lo[c] = max_size(x->lo[c], chunk[c] * s->c[c]);
            x->hi[c] = min_size(x->hi[c], (chunk[c] + 1) * s->c[c]);
        }
    } else {
        size_t rows, cols;
        row_groups(s, b, &rows, &cols);
        size_t across = ceil_div(b->a.nx, cols);
        x->row0 += piece / across * rows;
        x->row1 = min_size(x->row0 + rows, x->row1);
        x->lo[X] += piece % across * cols;
        x->hi[X] = min_size(x->lo[X] + cols, x->hi[X]);
        x->lo[Y] = 0;
        x->hi[Y] = s->n[Y];
        x->lo[T] = 0;
        x->hi[T] = s->n[T];
    }
    x->lo[T] = max_size(x->lo[T], x->row0 / s->n[Y]);
    x->hi[T] = min_size(x->hi[T], (x->row1 - 1) / s->n[Y] + 1);
}

/* The next part of a box, beginning with t; false at the end. */
static bool next_part(const struct ep_source *s, const struct box *x, size_t *t, struct part *p)
{
    for (; *t < x->hi[T]; (*t)++) {
        size_t base = *t * s->n[Y];
        size_t lo = x->row0 > base ? x->row0 - base : 0, hi = x->row1 > base ? x->row1 - base : 0;
        *p = (struct part){*t, max_size(lo, x->lo[Y]), min_size(hi, x->hi[Y])};
        if (p->y0 < p->y1) {
            (*t)++;
            return true;
        }
    }
    return false;
}

static bool box_empty(const struct ep_source *s, const struct box *x)
{
    size_t t = x->lo[T];
    struct part p;
    return !next_part(s, x, &t, &p);
}

/* Strides of a dense array of `size` along each canonical axis, dimensions in the order of the file. */
static void strides_of(const struct ep_source *s, const size_t size[NCANON], size_t stride[NCANON])
{
    size_t acc = 1;
    memset(stride, 0, NCANON * sizeof *stride);
    for (int k = s->st.rank - 1; k >= 0; k--)
        for (int c = 0; c < NCANON; c++)
            if (s->dim[c] == k) {
                stride[c] = acc;
                acc *= size[c];
            }
}

static float *block_at(const struct ep_source *s, struct ep_block *b, size_t t, size_t y, size_t x, size_t ch)
{
    return b->val + ((t * s->n[Y] + y - b->a.y0) * b->a.nx + (x - b->a.x0)) * b->nch + (ch - b->ch0);
}

/* ---- from memory into the block ---- */

/* Copies one part of box x out of a stored array whose element 0 is at canonical origin org. */
static void scatter(const struct ep_source *s, struct ep_block *b, const struct box *x, const struct part *p,
                    const struct ep_stored *from, const size_t org[NCANON], const size_t stride[NCANON])
{
    size_t ne = x->hi[E] - x->lo[E], nx = x->hi[X] - x->lo[X], step = s->dim[E] < 0 ? 1 : stride[E];
    bool lines = step == 1 && stride[X] == ne && b->nch == ne; /* pixels of a row touch in both */
    size_t base = (p->t - org[T]) * stride[T] + (x->lo[X] - org[X]) * stride[X] + (x->lo[E] - org[E]) * stride[E];
    for (size_t y = p->y0; y < p->y1; y++) {
        size_t i = base + (y - org[Y]) * stride[Y];
        float *to = block_at(s, b, p->t, y, x->lo[X], x->lo[E]);
        if (lines) {
            ep_stored_get(from, i, 1, nx * ne, to);
            continue;
        }
        for (size_t k = 0; k < nx; k++, i += stride[X], to += b->nch) ep_stored_get(from, i, step, ne, to);
    }
}

/* ---- from the file, as it lies there ---- */

struct run { size_t first, npixel, width; const struct part *p; const struct box *x; }; /* pixels in reading order, width a row */

/* Reads pixels `r` that stand `pitch` bytes apart at `offset` through p->raw and converts them. */
static ep_status read_bounced(struct ep_source *s, struct ep_block *b, const struct run *r, size_t offset, size_t pitch,
                              struct ep_piece *p, struct ep_err *e)
{
    size_t ne = r->x->hi[E] - r->x->lo[E], want = ne * s->st.esize;
    size_t at_once = pitch - want > SKIP_BYTES ? 1 : max_size(BOUNCE_BYTES / pitch, 1);
    ep_status st = ep_reserve(&p->raw, &p->capacity, max_size(BOUNCE_BYTES, want), "reading", e);
    for (size_t i = 0; st == EP_OK && i < r->npixel; i += at_once) {
        size_t k = min_size(at_once, r->npixel - i);
        size_t bytes = (k - 1) * pitch + want;
        st = ep_pread_all(s->f, p->raw, bytes, offset + i * pitch, e);
        for (size_t j = 0; st == EP_OK && j < k; j++) {
            size_t q = r->first + i + j;
            struct ep_stored from = {(unsigned char *)p->raw + j * pitch, ne, s->st.dtype, false};
            float *to = block_at(s, b, r->p->t, r->p->y0 + q / r->width, r->x->lo[X] + q % r->width, r->x->lo[E]);
            ep_stored_get(&from, 0, 1, ne, to);
        }
    }
    return st;
}

/* A part of an unfiltered array in canonical order that begins at `address` of the file, of `size` along each axis. */
static ep_status read_flat(struct ep_source *s, struct ep_block *b, const struct box *x, const struct part *p, size_t address,
                           const size_t org[NCANON], const size_t stride[NCANON], struct ep_piece *piece, struct ep_err *e)
{
    size_t ne = x->hi[E] - x->lo[E], nx = x->hi[X] - x->lo[X], rows = p->y1 - p->y0, esize = s->st.esize;
    size_t pitch = stride[X] ? stride[X] * esize : ne * esize;
    size_t first = (p->t - org[T]) * stride[T] + (x->lo[X] - org[X]) * stride[X] + (x->lo[E] - org[E]) * stride[E];
    bool touching = stride[Y] == nx * stride[X]; /* rows of the part follow each other in the file */
    bool whole = s->st.dtype == EP_F32 && ne == stride[X] && ne == b->nch;
    ep_status st = EP_OK;
    for (size_t y = p->y0; st == EP_OK && y < p->y1;) {
        size_t offset = address + (first + (y - org[Y]) * stride[Y]) * esize;
        if (whole) {
            size_t k = touching && nx == b->a.nx ? rows : 1;
            st = ep_pread_all(s->f, block_at(s, b, p->t, y, x->lo[X], x->lo[E]), k * nx * pitch, offset, e);
            y += k;
        } else {
            size_t k = touching ? rows : 1;
            struct run r = {(y - p->y0) * nx, k * nx, nx, p, x};
            st = read_bounced(s, b, &r, offset, pitch, piece, e);
            y += k;
        }
    }
    return st;
}

/* ---- encoded chunks ---- */

static struct scratch *scratch_take(struct ep_source *s)
{
    pthread_mutex_lock(&s->lock);
    struct scratch *w = s->pool;
    if (w) s->pool = w->next;
    pthread_mutex_unlock(&s->lock);
    return w ? w : ep_xcalloc(1, sizeof *w);
}

static void scratch_give(struct ep_source *s, struct scratch *w)
{
    pthread_mutex_lock(&s->lock);
    w->next = s->pool;
    s->pool = w;
    pthread_mutex_unlock(&s->lock);
}

static ep_status damaged(const struct ep_source *s, const char *what, struct ep_err *e)
{
    return ep_fail(e, EP_E_INPUT, "%s: %s: %s (damaged file?)", s->f->path, s->it->data, what);
}

static bool applied(int filter, unsigned mask)
{
    return filter >= 0 && !(mask >> filter & 1);
}

/* Undoes the filters of a chunk except the shuffle, which is undone where values are picked. */
static ep_status decode(struct ep_source *s, struct scratch *w, const unsigned char *in, size_t bytes, unsigned mask,
                        struct ep_stored *out, struct ep_err *e)
{
    if (applied(s->st.fletcher, mask)) {
        if (!ep_fletcher32_ok(in, bytes)) return damaged(s, "the checksum of a chunk is wrong", e);
        bytes -= 4;
    }
    if (applied(s->st.deflate, mask)) {
        if (!w->z && !(w->z = libdeflate_alloc_decompressor())) return ep_fail(e, EP_E_COMPUTE, "no memory (a decompressor)");
        ep_status st = ep_reserve(&w->out, &w->out_cap, s->st.chunk_bytes, "a chunk", e);
        if (st != EP_OK) return st;
        if (libdeflate_zlib_decompress(w->z, in, bytes, w->out, s->st.chunk_bytes, NULL) != LIBDEFLATE_SUCCESS)
            return damaged(s, "a chunk can't be decompressed", e);
        in = w->out;
        bytes = s->st.chunk_bytes;
    }
    if (bytes != s->st.chunk_bytes) return damaged(s, "a chunk has the wrong size", e);
    *out = (struct ep_stored){in, bytes / s->st.esize, s->st.dtype, applied(s->st.shuffle, mask)};
    return EP_OK;
}

static const struct ep_chunk_at *chunk_at(const struct ep_source *s, const size_t chunk[NCANON])
{
    size_t index = 0;
    for (int k = 0; k < s->st.rank; k++)
        for (int c = 0; c < NCANON; c++)
            if (s->dim[c] == k) index = index * s->nc[c] + chunk[c];
    return &s->at[index];
}

static ep_status fill_chunk(struct ep_source *s, struct ep_block *b, const struct box *x, const size_t chunk[NCANON],
                            struct ep_piece *p, struct ep_err *e)
{
    size_t stride[NCANON], org[NCANON], t = x->lo[T];
    struct part part;
    const struct ep_chunk_at *at = s->at ? chunk_at(s, chunk) : NULL;
    unsigned mask = at ? at->mask : p->filter_mask;
    ep_status st = EP_OK;

    strides_of(s, s->c, stride);
    for (int c = 0; c < NCANON; c++) org[c] = chunk[c] * s->c[c];
    bool plain = !applied(s->st.shuffle, mask) && !applied(s->st.deflate, mask) && !applied(s->st.fletcher, mask);
    if (at && plain && s->in_order) {
        if (at->bytes != s->st.chunk_bytes) return damaged(s, "a chunk has the wrong size", e);
        while (st == EP_OK && next_part(s, x, &t, &part))
            st = read_flat(s, b, x, &part, (size_t)at->address, org, stride, p, e);
        return st;
    }
    struct scratch *w = scratch_take(s);
    struct ep_stored from;
    const void *in = p->raw;
    size_t bytes = p->bytes;
    if (at) {
        bytes = at->bytes;
        st = ep_reserve(&w->in, &w->in_cap, bytes, "a chunk", e);
        if (st == EP_OK) st = ep_pread_all(s->f, w->in, bytes, (size_t)at->address, e);
        in = w->in;
    }
    if (st == EP_OK) st = decode(s, w, in, bytes, mask, &from, e);
    while (st == EP_OK && next_part(s, x, &t, &part)) scatter(s, b, x, &part, &from, org, stride);
    scratch_give(s, w);
    return st;
}

/* ---- through HDF5 ---- */

/* Counts of one part along each canonical axis. */
static void part_size(const struct box *x, const struct part *p, size_t size[NCANON])
{
    size[T] = 1;
    size[Y] = p->y1 - p->y0;
    size[X] = x->hi[X] - x->lo[X];
    size[E] = x->hi[E] - x->lo[E];
}

static ep_status read_slab(struct ep_source *s, const struct box *x, const struct part *p, void *to, struct ep_err *e)
{
    hsize_t start[EP_MAX_AXES], count[EP_MAX_AXES];
    size_t lo[NCANON] = {p->t, p->y0, x->lo[X], x->lo[E]}, size[NCANON];
    part_size(x, p, size);
    for (int c = 0; c < NCANON; c++) {
        if (s->dim[c] < 0) continue;
        start[s->dim[c]] = lo[c];
        count[s->dim[c]] = size[c];
    }
    EP_AUTO_HID file = H5Dget_space(s->st.set);
    EP_AUTO_HID mem = H5Screate_simple(s->st.rank, count, NULL);
    if (file < 0 || mem < 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(s->st.set, s->st.as_native ? s->st.type : s->st.native, mem, file, H5P_DEFAULT, to) < 0)
        return damaged(s, "a part of the data can't be read", e);
    return EP_OK;
}

/* All parts of a box one after the other into p->raw. */
static ep_status fetch_slabs(struct ep_source *s, const struct box *x, struct ep_piece *p, struct ep_err *e)
{
    size_t size[NCANON], total = 0, done = 0, t = x->lo[T];
    struct part part;
    while (next_part(s, x, &t, &part)) {
        part_size(x, &part, size);
        total += size[Y] * size[X] * size[E] * s->st.esize;
    }
    ep_status st = ep_reserve(&p->raw, &p->capacity, total, "a part of the data", e);
    if (st != EP_OK) return st;
    memset(p->raw, 0, total); /* HDF5 leaves what was never written, and has no fill value, as it is */
    t = x->lo[T];
    while (st == EP_OK && next_part(s, x, &t, &part)) {
        part_size(x, &part, size);
        st = read_slab(s, x, &part, (unsigned char *)p->raw + done, e);
        done += size[Y] * size[X] * size[E] * s->st.esize;
    }
    p->bytes = total;
    return st;
}

static void fill_slabs(struct ep_source *s, struct ep_block *b, const struct box *x, struct ep_piece *p)
{
    size_t done = 0, t = x->lo[T];
    struct part part;
    while (next_part(s, x, &t, &part)) {
        size_t size[NCANON], stride[NCANON], org[NCANON] = {part.t, part.y0, x->lo[X], x->lo[E]};
        part_size(x, &part, size);
        strides_of(s, size, stride);
        size_t n = size[Y] * size[X] * size[E];
        struct ep_stored from = {(unsigned char *)p->raw + done, n, s->st.dtype, false};
        scatter(s, b, x, &part, &from, org, stride);
        done += n * s->st.esize;
    }
}

/* ---- what each pixel carries ---- */

static ep_status extra_open(struct ep_source *s, int k, struct ep_err *e)
{
    struct ep_str path = {0};
    hsize_t d[H5S_MAX_RANK];
    size_t nnav = s->d.nnav, per = extra_info[k].per_pixel;
    ep_str_addf(&path, "%s/%s", s->it->group, extra_info[k].path);
    s->extra[k] = ep_h5_dataset(s->f->id, path.s);
    EP_AUTO_HID space = s->extra[k] < 0 ? H5I_INVALID_HID : H5Dget_space(s->extra[k]);
    EP_AUTO_HID type = s->extra[k] < 0 ? H5I_INVALID_HID : H5Dget_type(s->extra[k]);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, d, NULL);
    int want = (int)nnav + (per > 1);
    bool ok = type >= 0 && (H5Tget_class(type) == H5T_FLOAT || H5Tget_class(type) == H5T_INTEGER) && rank == want;
    /* A single spectrum may carry one-element arrays. */
    if (!nnav && type >= 0 && space >= 0) ok = H5Sget_simple_extent_npoints(space) == (hssize_t)per;
    for (size_t i = 0; ok && i < nnav; i++) ok = d[i] == s->d.nav[i].size;
    if (ok && nnav && per > 1) ok = d[nnav] == per;
    ep_status st = ok ? EP_OK : ep_fail(e, EP_E_INPUT, "%s: %s is missing or does not fit the data", s->f->path, path.s);
    ep_str_free(&path);
    s->has_extra = true;
    return st;
}

static ep_status extra_read(struct ep_source *s, int k, struct ep_area a, void *to, struct ep_err *e)
{
    size_t nnav = s->d.nnav, per = extra_info[k].per_pixel, bytes = per * extra_info[k].bytes;
    hid_t type = k == EXTRA_FLAG ? H5T_NATIVE_UINT32 : H5T_NATIVE_DOUBLE;
    struct box x = {.hi = {s->n[T], s->n[Y], 1, 1}, .row0 = a.y0, .row1 = a.y0 + a.ny};
    struct part p;
    size_t t = 0;
    bool ok = true;
    if (!nnav) ok = H5Dread(s->extra[k], type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) >= 0;
    while (nnav && ok && next_part(s, &x, &t, &p)) {
        hsize_t all_start[4] = {p.t, p.y0, a.x0, 0}, all_count[4] = {1, p.y1 - p.y0, a.nx, per};
        hsize_t *start = all_start + (EP_MAX_NAV - nnav), *count = all_count + (EP_MAX_NAV - nnav);
        int rank = (int)nnav + (per > 1);
        EP_AUTO_HID file = H5Dget_space(s->extra[k]);
        EP_AUTO_HID mem = H5Screate_simple(rank, count, NULL);
        ok = file >= 0 && mem >= 0 && H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
             H5Dread(s->extra[k], type, mem, file, H5P_DEFAULT, to) >= 0;
        to = (unsigned char *)to + (p.y1 - p.y0) * a.nx * bytes;
    }
    return ok ? EP_OK : ep_fail(e, EP_E_INPUT, "%s: %s/%s can't be read", s->f->path, s->it->group, extra_info[k].path);
}

static bool has(const struct ep_source *s, int k)
{
    return s->extra[k] > 0;
}

static ep_status fetch_extra(struct ep_source *s, const struct ep_block *b, struct ep_piece *p, struct ep_err *e)
{
    size_t pixels = b->a.ny * b->a.nx, total = 0, at = 0;
    for (int k = 0; k < NEXTRA; k++)
        if (has(s, k)) total += pixels * extra_info[k].per_pixel * extra_info[k].bytes;
    ep_status st = ep_reserve(&p->raw, &p->capacity, total, "what pixels carry", e);
    for (int k = 0; st == EP_OK && k < NEXTRA; k++) {
        if (!has(s, k)) continue;
        st = extra_read(s, k, b->a, (unsigned char *)p->raw + at, e);
        at += pixels * extra_info[k].per_pixel * extra_info[k].bytes;
    }
    p->bytes = total;
    return st;
}

static void *extra_target(const struct ep_block *b, int k)
{
    return k == EXTRA_SHIFT ? (void *)b->shift : k == EXTRA_THETA ? (void *)b->theta
         : k == EXTRA_CMAT ? (void *)b->cmat : (void *)b->flag;
}

static void fill_extra(struct ep_source *s, struct ep_block *b, const struct ep_piece *p)
{
    size_t pixels = b->a.ny * b->a.nx, at = 0;
    for (int k = 0; k < NEXTRA; k++) {
        if (!has(s, k)) continue;
        size_t bytes = pixels * extra_info[k].per_pixel * extra_info[k].bytes;
        if (extra_target(b, k)) memcpy(extra_target(b, k), (unsigned char *)p->raw + at, bytes);
        at += bytes;
    }
}

/* What the source does not have is zero. Done with the first piece. */
static void clear_extra(const struct ep_source *s, struct ep_block *b)
{
    size_t pixels = b->a.ny * b->a.nx;
    for (int k = 0; k < NEXTRA; k++)
        if (!has(s, k) && extra_target(b, k)) memset(extra_target(b, k), 0, pixels * extra_info[k].per_pixel * extra_info[k].bytes);
}

/* ---- signals in memory ---- */

static void copy_extra_rows(const struct ep_source *s, struct ep_block *b, size_t row0, size_t row1, size_t col0, size_t col1)
{
    const void *from[NEXTRA] = {s->mem->shift, s->mem->theta, s->mem->cmat, s->mem->flags};
    for (int k = 0; k < NEXTRA; k++) {
        unsigned char *to = extra_target(b, k);
        size_t bytes = extra_info[k].per_pixel * extra_info[k].bytes, n = (col1 - col0) * bytes;
        for (size_t y = row0; to && y < row1; y++) {
            unsigned char *row = to + ((y - b->a.y0) * b->a.nx + (col0 - b->a.x0)) * bytes;
            if (from[k]) memcpy(row, (const unsigned char *)from[k] + (y * s->n[X] + col0) * bytes, n);
            else memset(row, 0, n);
        }
    }
}

static void fill_memory(struct ep_source *s, struct ep_block *b, const struct box *x)
{
    for (size_t y = x->row0; y < x->row1; y++) {
        for (size_t c = x->lo[X]; c < x->hi[X]; c++) {
            size_t i = (y * s->n[X] + c) * s->n[E] + b->ch0;
            float *to = block_at(s, b, 0, y, c, b->ch0);
            if (s->mem->f32) memcpy(to, s->mem->f32 + i, b->nch * sizeof *to);
            else for (size_t k = 0; k < b->nch; k++) to[k] = (float)s->mem->f64[i + k];
        }
    }
    copy_extra_rows(s, b, x->row0, x->row1, x->lo[X], x->hi[X]);
}

/* ---- the interface ---- */

/* Whether HDF5 reads this piece in fetch, so that p->raw holds slabs of values. */
static bool through_hdf5(const struct ep_source *s, const size_t chunk[NCANON])
{
    if (!is_chunked(s)) return !has_direct_rows(s);
    return !s->st.direct || (s->at && !chunk_at(s, chunk)->bytes);
}

static void check_block(const struct ep_source *s, const struct ep_block *b, size_t piece)
{
    (void)s, (void)b, (void)piece;
    assert(piece < ep_source_pieces(s, b));
    assert(b->a.y0 + b->a.ny <= s->n[T] * s->n[Y] && b->a.x0 + b->a.nx <= s->n[X] && b->ch0 + b->nch <= s->n[E]);
}

ep_status ep_source_fetch(struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e)
{
    struct box x;
    size_t chunk[NCANON];
    check_block(s, b, piece);
    p->present = true;
    p->bytes = 0;
    p->filter_mask = 0;
    if (s->mem) return EP_OK;
    if (s->has_extra && piece == ep_source_pieces(s, b) - 1) return fetch_extra(s, b, p, e);
    piece_box(s, b, piece, &x, chunk);
    if (box_empty(s, &x)) return EP_OK;
    memcpy(p->coord, chunk, sizeof p->coord);
    if (through_hdf5(s, chunk)) return p->present = false, fetch_slabs(s, &x, p, e);
    if (!is_chunked(s) || s->at) return EP_OK;
    size_t in_file[EP_MAX_AXES];
    for (int c = 0; c < NCANON; c++)
        if (s->dim[c] >= 0) in_file[s->dim[c]] = chunk[c];
    ep_status st = ep_chunk_read(s->f, &s->st, in_file, &p->raw, &p->capacity, &p->bytes, &p->filter_mask, e);
    if (st != EP_OK || p->bytes) return st;
    p->present = false; /* never written, or an index that HDF5 knows to complain about */
    return fetch_slabs(s, &x, p, e);
}

ep_status ep_source_fill(struct ep_source *s, struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e)
{
    struct box x;
    size_t chunk[NCANON];
    check_block(s, b, piece);
    if (!s->mem && s->has_extra && piece == ep_source_pieces(s, b) - 1) return fill_extra(s, b, p), EP_OK;
    piece_box(s, b, piece, &x, chunk);
    if (s->mem) return fill_memory(s, b, &x), EP_OK;
    if (piece == 0) clear_extra(s, b);
    if (box_empty(s, &x)) return EP_OK;
    if (!p->present) return fill_slabs(s, b, &x, p), EP_OK;
    if (is_chunked(s)) return fill_chunk(s, b, &x, chunk, p, e);
    size_t stride[NCANON], org[NCANON] = {0}, t = x.lo[T];
    struct part part;
    ep_status st = EP_OK;
    strides_of(s, s->n, stride);
    while (st == EP_OK && next_part(s, &x, &t, &part)) st = read_flat(s, b, &x, &part, (size_t)s->st.address, org, stride, p, e);
    return st;
}

static struct ep_source *source_new(const struct ep_desc *d)
{
    struct ep_source *s = ep_xcalloc(1, sizeof *s);
    s->d = *d;
    s->st.set = s->st.type = H5I_INVALID_HID;
    for (int k = 0; k < NEXTRA; k++) s->extra[k] = H5I_INVALID_HID;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

ep_status ep_source_open(struct ep_file *f, size_t i, struct ep_source **out, struct ep_err *e)
{
    const struct ep_item *it = &f->item[i];
    *out = NULL;
    if (!it->data || it->d.kind == EP_CURVE || it->d.kind == EP_TABLE)
        return ep_fail(e, EP_E_INPUT, "%s: '%s' is a %s and has no pixels", f->path, it->label, ep_kind_name(it->d.kind));
    struct ep_source *s = source_new(&it->d);
    s->f = f;
    s->it = it;
    s->model = it->model;
    ep_status st = ep_store_open(f, it->data, it->d.dtype, &s->st, e);
    if (st == EP_OK) {
        set_geometry(s);
        if (s->st.direct) s->at = ep_store_addresses(f, &s->st);
    }
    if (st == EP_OK && it->has_shift) st = extra_open(s, EXTRA_SHIFT, e);
    if (st == EP_OK && it->model) st = extra_open(s, EXTRA_THETA, e);
    if (st == EP_OK && it->model) st = extra_open(s, EXTRA_CMAT, e);
    if (st == EP_OK && it->has_flags) st = extra_open(s, EXTRA_FLAG, e);
    if (st != EP_OK) {
        ep_source_close(s);
        return st;
    }
    *out = s;
    return EP_OK;
}

ep_status ep_source_memory(const struct ep_signal *sig, struct ep_source **out, struct ep_err *e)
{
    *out = NULL;
    if (!sig->f32 && !sig->f64)
        return ep_fail(e, EP_E_COMPUTE, "'%s' is a %s and has no pixels", sig->d.name, ep_kind_name(sig->d.kind));
    struct ep_source *s = source_new(&sig->d);
    s->mem = sig;
    s->model = sig->model;
    set_geometry_memory(s);
    *out = s;
    return EP_OK;
}

void ep_source_close(struct ep_source *s)
{
    if (!s) return;
    while (s->pool) {
        struct scratch *w = s->pool;
        s->pool = w->next;
        if (w->z) libdeflate_free_decompressor(w->z);
        free(w->in);
        free(w->out);
        free(w);
    }
    for (int k = 0; k < NEXTRA; k++) ep_hid_done(&s->extra[k]);
    ep_store_close(&s->st);
    free(s->at);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const struct ep_desc *ep_source_desc(const struct ep_source *s)
{
    return &s->d;
}

const struct ep_model *ep_source_model(const struct ep_source *s)
{
    return s->model;
}

void ep_source_chunk(const struct ep_source *s, size_t *ny, size_t *nx)
{
    *ny = *nx = 1;
    if (!is_chunked(s)) return;
    *nx = s->c[X];
    /* A chunk with several t covers rows of all of them. */
    *ny = s->c[T] > 1 ? s->c[T] * s->n[Y] : s->c[Y];
}
