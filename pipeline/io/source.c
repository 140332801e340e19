/* Streaming: the values of a block, piece by piece, from wherever they lie. */
#include <assert.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/decode.h"
#include "pipeline/io/h5array.h"
#include "pipeline/io/h5write.h"
#include "pipeline/io/source_private.h"

/* ---- from memory into the block ---- */

void ep_src_scatter(const struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_part *p,
                    const struct ep_stored *from, const struct ep_frame *f)
{
    size_t ne = x->hi[EP_E] - x->lo[EP_E], nx = x->hi[EP_X] - x->lo[EP_X], step = s->dim[EP_E] < 0 ? 1 : f->stride[EP_E];
    bool lines = step == 1 && f->stride[EP_X] == ne && b->nch == ne; /* pixels of a row touch on both sides */
    size_t base = (p->t - f->org[EP_T]) * f->stride[EP_T] + (x->lo[EP_X] - f->org[EP_X]) * f->stride[EP_X] +
                  (x->lo[EP_E] - f->org[EP_E]) * f->stride[EP_E];
    for (size_t y = p->y0; y < p->y1; y++) {
        size_t i = base + (y - f->org[EP_Y]) * f->stride[EP_Y];
        float *to = ep_src_target(s, b, p->t, y, x->lo[EP_X], x->lo[EP_E]);
        if (lines) {
            ep_stored_get(from, i, 1, nx * ne, to);
            continue;
        }
        for (size_t k = 0; k < nx; k++, i += f->stride[EP_X], to += b->nch) ep_stored_get(from, i, step, ne, to);
    }
}

/* ---- encoded chunks ---- */

struct ep_scratch *ep_src_scratch_take(struct ep_source *s)
{
    pthread_mutex_lock(&s->lock);
    struct ep_scratch *w = s->pool;
    if (w) s->pool = w->next;
    pthread_mutex_unlock(&s->lock);
    return w ? w : ep_xcalloc(1, sizeof *w);
}

void ep_src_scratch_give(struct ep_source *s, struct ep_scratch *w)
{
    pthread_mutex_lock(&s->lock);
    w->next = s->pool;
    s->pool = w;
    pthread_mutex_unlock(&s->lock);
}

static ep_status damaged(const struct ep_source *s, const char *what, struct ep_err *e)
{
    return ep_fail(e, EP_E_INPUT, "%s: %s: %s (%s)", s->f->path, s->it->data, what, ep_damaged_hint(s->it));
}

ep_status ep_src_check_sum(const struct ep_source *s, size_t unit, const void *bytes, size_t n, struct ep_err *e)
{
    if (!s->sums || XXH3_64bits(bytes, n) == s->sums[unit]) return EP_OK;
    return damaged(s, "the checksum of a chunk is wrong", e);
}

static bool decompress(struct ep_scratch *w, bool lzf, const unsigned char *in, size_t bytes, size_t want)
{
    if (lzf) return ep_lzf(in, bytes, w->out, want);
    return libdeflate_zlib_decompress(w->z, in, bytes, w->out, want, NULL) == LIBDEFLATE_SUCCESS;
}

/* Undoes the filters of a chunk except the shuffle, which is undone where values are picked. */
static ep_status decode(struct ep_source *s, struct ep_scratch *w, const unsigned char *in, size_t bytes, unsigned mask,
                        struct ep_stored *out, struct ep_err *e)
{
    if (ep_src_applied(s->st.fletcher, mask)) {
        if (!ep_fletcher32_ok(in, bytes)) return damaged(s, "the checksum of a chunk is wrong", e);
        bytes -= 4;
    }
    if (ep_src_applied(s->st.deflate, mask)) {
        if (!w->z && !(w->z = libdeflate_alloc_decompressor())) return ep_fail(e, EP_E_COMPUTE, "no memory (a decompressor)");
        ep_status st = ep_reserve(&w->out, &w->out_cap, s->st.chunk_bytes, "a chunk", e);
        if (st != EP_OK) return st;
        if (!decompress(w, s->st.lzf, in, bytes, s->st.chunk_bytes)) return damaged(s, "a chunk can't be decompressed", e);
        in = w->out;
        bytes = s->st.chunk_bytes;
    }
    if (bytes != s->st.chunk_bytes) return damaged(s, "a chunk has the wrong size", e);
    *out = (struct ep_stored){in, bytes / s->st.esize, s->st.dtype, ep_src_applied(s->st.shuffle, mask)};
    return EP_OK;
}

size_t ep_src_chunk_number(const struct ep_source *s, const size_t chunk[EP_NCANON])
{
    size_t index = 0;
    for (int k = 0; k < s->st.rank; k++)
        for (int c = 0; c < EP_NCANON; c++)
            if (s->dim[c] == k) index = index * s->nc[c] + chunk[c];
    return index;
}

/* The elements of a frame from the first to the last that is wanted. */
static void wanted(const struct ep_source *s, const struct ep_box *x, const struct ep_frame *f, size_t *first, size_t *end)
{
    size_t t = x->lo[EP_T];
    struct ep_part p;
    *first = SIZE_MAX;
    *end = 0;
    while (ep_src_next(s, x, &t, &p)) {
        const size_t lo[EP_NCANON] = {p.t, p.y0, x->lo[EP_X], x->lo[EP_E]}, hi[EP_NCANON] = {p.t + 1, p.y1, x->hi[EP_X], x->hi[EP_E]};
        size_t a = 0, b = 1;
        for (int c = 0; c < EP_NCANON; c++) {
            a += (lo[c] - f->org[c]) * f->stride[c];
            b += (hi[c] - 1 - f->org[c]) * f->stride[c];
        }
        *first = ep_min(*first, a);
        *end = ep_max(*end, b);
    }
}

/* Of a chunk that is shuffled at most: what is wanted of each plane of bytes, to where it is in the whole chunk. */
static ep_status read_planes(struct ep_source *s, struct ep_scratch *w, const struct ep_chunk_at *at, bool shuffled, size_t first,
                             size_t end, struct ep_err *e)
{
    size_t planes = shuffled ? s->st.esize : 1, width = s->st.esize / planes, plane = s->st.chunk_bytes / planes;
    ep_status st = EP_OK;
    for (size_t k = 0; st == EP_OK && k < planes; k++) {
        size_t from = k * plane + first * width;
        st = ep_pread_all(s->f, (unsigned char *)w->in + from, (end - first) * width, (size_t)at->address + from, e);
    }
    return st;
}

static ep_status read_hashed(struct ep_source *s, struct ep_scratch *w, const struct ep_chunk_at *at, size_t unit, struct ep_err *e)
{
    ep_status st = ep_src_hash_begin(w, e);
    for (size_t k = 0, n; st == EP_OK && k < at->bytes; k += n) {
        n = ep_min(at->bytes - k, EP_BOUNCE_BYTES);
        st = ep_pread_all(s->f, (unsigned char *)w->in + k, n, (size_t)at->address + k, e);
        if (st == EP_OK) ep_src_hash_add(w, (unsigned char *)w->in + k, n);
    }
    if (st == EP_OK) ep_src_hash_done(s, w, unit, at->bytes, at->mask);
    return st;
}

/* The stored bytes of a chunk, as much as is needed, where they are mapped or in w->in. */
static ep_status read_chunk(struct ep_source *s, struct ep_scratch *w, const struct ep_block *b, const struct ep_box *x,
                            const struct ep_frame *f, const struct ep_chunk_at *at, size_t unit, const unsigned char **bytes, struct ep_err *e)
{
    size_t first, end;
    bool hash = ep_src_hash_claim(s, unit);
    *bytes = ep_src_mapped(b, at->bytes, (size_t)at->address);
    if (*bytes) return hash ? ep_src_hash_bytes(s, w, unit, *bytes, at->bytes, at->mask, e) : EP_OK;
    ep_status st = ep_reserve(&w->in, &w->in_cap, at->bytes, "a chunk", e);
    if (st != EP_OK) return st;
    *bytes = w->in;
    if (hash) return read_hashed(s, w, at, unit, e);
    if (s->sums || ep_src_applied(s->st.deflate, at->mask) || ep_src_applied(s->st.fletcher, at->mask) || at->bytes != s->st.chunk_bytes)
        return ep_pread_all(s->f, w->in, at->bytes, (size_t)at->address, e);
    wanted(s, x, f, &first, &end);
    return read_planes(s, w, at, ep_src_applied(s->st.shuffle, at->mask), first, end, e);
}

static ep_status fill_chunk(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const size_t chunk[EP_NCANON],
                            const struct ep_piece *piece, struct ep_err *e)
{
    struct ep_frame f;
    struct ep_part p;
    struct ep_stored from;
    size_t unit = ep_src_chunk_number(s, chunk), t = x->lo[EP_T];
    const struct ep_chunk_at *at = s->at ? &s->at[unit] : NULL;
    unsigned mask = at ? at->mask : piece->filter_mask;
    size_t bytes = at ? at->bytes : piece->bytes;

    ep_src_frame(s, s->c, chunk, &f);
    bool plain = !s->sums && !ep_src_applied(s->st.shuffle, mask) && !ep_src_applied(s->st.deflate, mask) &&
                 !ep_src_applied(s->st.fletcher, mask);
    if (at && plain && s->in_order) {
        if (bytes != s->st.chunk_bytes) return damaged(s, "a chunk has the wrong size", e);
        return ep_src_flat_chunk(s, b, x, &f, (size_t)at->address, unit, mask, e);
    }
    struct ep_scratch *w = ep_src_scratch_take(s);
    const unsigned char *in = piece->raw;
    ep_status st = EP_OK;
    if (at) st = read_chunk(s, w, b, x, &f, at, unit, &in, e);
    else if (ep_src_hash_claim(s, unit)) st = ep_src_hash_bytes(s, w, unit, in, bytes, mask, e); /* fetch has read it */
    if (st == EP_OK) st = ep_src_check_sum(s, unit, in, bytes, e);
    if (st == EP_OK) st = decode(s, w, in, bytes, mask, &from, e);
    while (st == EP_OK && ep_src_next(s, x, &t, &p)) ep_src_scatter(s, b, x, &p, &from, &f);
    ep_src_scratch_give(s, w);
    return st;
}

/* ---- through HDF5 ---- */

/* Counts of one part along each canonical dimension. */
static size_t part_size(const struct ep_box *x, const struct ep_part *p, size_t size[EP_NCANON])
{
    size[EP_T] = 1;
    size[EP_Y] = p->y1 - p->y0;
    size[EP_X] = x->hi[EP_X] - x->lo[EP_X];
    size[EP_E] = x->hi[EP_E] - x->lo[EP_E];
    return size[EP_Y] * size[EP_X] * size[EP_E];
}

static ep_status read_slab(struct ep_source *s, const struct ep_box *x, const struct ep_part *p, void *to, struct ep_err *e)
{
    hsize_t start[EP_MAX_AXES], count[EP_MAX_AXES];
    size_t lo[EP_NCANON] = {p->t, p->y0, x->lo[EP_X], x->lo[EP_E]}, size[EP_NCANON];
    size_t n = part_size(x, p, size);
    for (int c = 0; c < EP_NCANON; c++) {
        if (s->dim[c] < 0) continue;
        start[s->dim[c]] = lo[c];
        count[s->dim[c]] = size[c];
    }
    if (s->apart) return ep_src_apart_read(s, start, count, n * s->st.esize, to, e);
    return ep_src_slab(s, start, count, to) ? damaged(s, "a part of the data can't be read", e) : EP_OK;
}

/* All parts of a box one after the other into piece->raw. */
static ep_status fetch_slabs(struct ep_source *s, const struct ep_box *x, struct ep_piece *piece, struct ep_err *e)
{
    size_t size[EP_NCANON], total = 0, done = 0, t = x->lo[EP_T];
    struct ep_part p;
    while (ep_src_next(s, x, &t, &p)) total += part_size(x, &p, size) * s->st.esize;
    ep_status st = ep_reserve(&piece->raw, &piece->capacity, total, "a part of the data", e);
    if (st != EP_OK) return st;
    memset(piece->raw, 0, total); /* HDF5 leaves what was never written, and has no fill value, as it is */
    t = x->lo[EP_T];
    while (st == EP_OK && ep_src_next(s, x, &t, &p)) {
        st = read_slab(s, x, &p, (unsigned char *)piece->raw + done, e);
        done += part_size(x, &p, size) * s->st.esize;
    }
    piece->bytes = total;
    return st;
}

static void fill_slabs(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_piece *piece)
{
    size_t done = 0, t = x->lo[EP_T];
    struct ep_part p;
    while (ep_src_next(s, x, &t, &p)) {
        size_t size[EP_NCANON], n = part_size(x, &p, size);
        struct ep_frame f;
        ep_src_frame(s, size, NULL, &f);
        memcpy(f.org, (size_t[EP_NCANON]){p.t, p.y0, x->lo[EP_X], x->lo[EP_E]}, sizeof f.org);
        struct ep_stored from = {(unsigned char *)piece->raw + done, n, s->st.dtype, false};
        ep_src_scatter(s, b, x, &p, &from, &f);
        done += n * s->st.esize;
    }
}

/* ---- signals in memory ---- */

static void fill_memory(struct ep_source *s, struct ep_block *b, const struct ep_box *x)
{
    for (size_t y = x->row0; y < x->row1; y++) {
        for (size_t c = x->lo[EP_X]; c < x->hi[EP_X]; c++) {
            size_t i = (y * s->n[EP_X] + c) * s->n[EP_E] + b->ch0;
            float *to = ep_src_target(s, b, 0, y, c, b->ch0);
            if (s->mem->f32) memcpy(to, s->mem->f32 + i, b->nch * sizeof *to);
            else for (size_t k = 0; k < b->nch; k++) to[k] = (float)s->mem->f64[i + k];
        }
    }
    ep_src_carry_copy(s, b, x);
}

/* ---- the interface ---- */

/* Whether HDF5 reads this piece in fetch, so that piece->raw holds slabs of values. */
static bool through_hdf5(const struct ep_source *s, const size_t chunk[EP_NCANON])
{
    if (!ep_src_chunked(s)) return !ep_src_flat(s);
    return !s->st.direct || (s->at && !s->at[ep_src_chunk_number(s, chunk)].bytes);
}

static bool is_carry(const struct ep_source *s, const struct ep_block *b, size_t piece)
{
    assert(piece < ep_source_pieces(s, b));
    assert(b->a.y0 + b->a.ny <= s->n[EP_T] * s->n[EP_Y] && b->a.x0 + b->a.nx <= s->n[EP_X] && b->ch0 + b->nch <= s->n[EP_E]);
    return s->carries && piece == ep_source_pieces(s, b) - 1;
}

ep_status ep_source_fetch(struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e)
{
    struct ep_box x;
    size_t chunk[EP_NCANON], in_file[EP_MAX_AXES] = {0};
    p->present = true;
    p->bytes = 0;
    p->filter_mask = 0;
    if (is_carry(s, b, piece)) return ep_src_carry_fetch(s, b, p, e);
    if (s->mem) return EP_OK;
    ep_src_box(s, b, piece, &x, chunk);
    if (ep_src_empty(s, &x)) return EP_OK;
    if (through_hdf5(s, chunk)) {
        p->present = false;
        return fetch_slabs(s, &x, p, e);
    }
    if (!ep_src_chunked(s) || s->at) return EP_OK;
    for (int c = 0; c < EP_NCANON; c++)
        if (s->dim[c] >= 0) in_file[s->dim[c]] = chunk[c];
    memcpy(p->coord, in_file, sizeof p->coord);
    ep_status st = ep_chunk_read(s->f, &s->st, in_file, &p->raw, &p->capacity, &p->bytes, &p->filter_mask, e);
    if (st != EP_OK || p->bytes) return st;
    p->present = false; /* never written, or an index that HDF5 knows to complain about */
    return fetch_slabs(s, &x, p, e);
}

ep_status ep_source_fill(struct ep_source *s, struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e)
{
    struct ep_box x;
    size_t chunk[EP_NCANON];
    if (is_carry(s, b, piece)) {
        ep_src_carry_fill(s, b, p);
        return EP_OK;
    }
    ep_src_box(s, b, piece, &x, chunk);
    if (s->mem) {
        fill_memory(s, b, &x);
        return EP_OK;
    }
    if (piece == 0) ep_src_carry_clear(s, b);
    if (ep_src_empty(s, &x)) return EP_OK;
    if (!p->present) {
        fill_slabs(s, b, &x, p);
        return EP_OK;
    }
    if (ep_src_chunked(s)) return fill_chunk(s, b, &x, chunk, p, e);
    return ep_src_flat_fill(s, b, &x, e);
}

static struct ep_source *source_new(const struct ep_desc *d)
{
    struct ep_source *s = ep_xcalloc(1, sizeof *s);
    s->d = *d;
    s->st.set = s->st.type = H5I_INVALID_HID;
    for (int k = 0; k < EP_NCARRY; k++) s->carry[k] = H5I_INVALID_HID;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Results of older versions have none. */
static ep_status read_sums(struct ep_source *s, struct ep_err *e)
{
    if (s->it->from != EP_FROM_RESULT || s->d.kind != EP_IMAGE || !s->st.direct) return EP_OK;
    EP_AUTO_HID g = ep_h5_group(s->f->id, s->it->group);
    if (g < 0 || !ep_h5_is_dataset(g, EP_CHECKSUMS)) return EP_OK;
    s->sums = calloc(s->st.chunks, sizeof *s->sums);
    if (!s->sums) return ep_fail(e, EP_E_COMPUTE, "no memory (checksums)");
    if (ep_h5_data_read(g, EP_CHECKSUMS, H5T_NATIVE_UINT64, s->st.chunks, s->sums) == EP_H5_OK) return EP_OK;
    return ep_fail(e, EP_E_INPUT, "%s: %s/" EP_CHECKSUMS " does not fit the data (%s)", s->f->path, s->it->group, ep_damaged_hint(s->it));
}

ep_status ep_source_open(struct ep_file *f, size_t i, struct ep_source **out, struct ep_err *e)
{
    const struct ep_item *it = &f->item[i];
    *out = NULL;
    if (!it->data || it->d.kind == EP_CURVE)
        return ep_fail(e, EP_E_INPUT, "%s: '%s' is a %s and has no pixels", f->path, it->label, ep_kind_name(it->d.kind));
    struct ep_source *s = source_new(&it->d);
    s->f = f;
    s->it = it;
    s->model = it->model;
    ep_status st = ep_store_open(f, it->data, it->d.dtype, &s->st, e);
    if (st == EP_OK) {
        ep_src_geometry(s);
        if (s->st.direct) s->at = ep_store_addresses(f, &s->st);
        ep_src_view_open(s);
        st = ep_src_carry_open(s, e);
        if (st == EP_OK) st = read_sums(s, e);
        s->slabs = ep_h5_array_open(s->st.set, s->st.as_native ? s->st.type : s->st.native);
        if (st == EP_OK) st = ep_src_apart_start(s, e);
    }
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
    ep_src_geometry_memory(s);
    *out = s;
    return EP_OK;
}

size_t ep_source_chunk_bytes(const struct ep_source *s)
{
    bool piecewise = s->mem || !ep_src_chunked(s) || (s->st.direct && s->st.nfilter == 0);
    return piecewise ? 0 : s->st.chunk_bytes;
}

void ep_source_close(struct ep_source *s)
{
    if (!s) return;
    ep_src_apart_end(s);
    while (s->pool) {
        struct ep_scratch *w = s->pool;
        s->pool = w->next;
        if (w->z) libdeflate_free_decompressor(w->z);
        if (w->hash) XXH3_freeState(w->hash);
        free(w->in);
        free(w->out);
        free(w);
    }
    ep_src_carry_close(s);
    ep_h5_array_close(s->slabs);
    free(s->sums);
    ep_store_close(&s->st);
    ep_src_hash_free(s);
    free(s->at);
    free(s->asked);
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
