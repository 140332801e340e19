/* Blocks that are views: values that are not packed are mapped, and hashed and used where the file's cache has them. Reading
 * them costs a copy, and fresh memory for it: half of the time of a pass over a file that is in the cache. Floats of an array
 * without chunks, at an address that suits them, are used in place; all else is picked a row of a cell at a time.
 *
 * A mapped page that can't be read raises a signal where read() returns an error. So only files of local disks are mapped,
 * and each piece is asked for (MADV_POPULATE_READ, Linux 5.14) before it is touched: that call returns errors. What is left is
 * a file that another process cuts short within those milliseconds; main.c has a last word for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pipeline/io/decode.h"
#include "pipeline/io/source_private.h"

#define SPARSE 4 /* chunks of a block that lie too far apart are not mapped together */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static bool on_local_disk(int fd)
{
    static const unsigned long local[] = {0xEF53 /* ext4 */, 0x58465342 /* XFS */, 0x9123683E /* Btrfs */, 0x01021994 /* tmpfs */};
    struct statfs fs;
    if (fstatfs(fd, &fs)) return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((unsigned long)fs.f_type == local[i]) return true;
    return false;
}

/* All pixels in the order of the grid, one after the other. */
static bool pixel_by_pixel(const struct ep_source *s)
{
    struct ep_frame f;
    ep_src_frame(s, s->n, NULL, &f);
    size_t line = s->n[EP_X] * s->n[EP_E], plane = line * s->n[EP_Y];
    return (s->n[EP_X] == 1 || f.stride[EP_X] == s->n[EP_E]) && (s->n[EP_Y] == 1 || f.stride[EP_Y] == line) &&
           (s->n[EP_T] == 1 || f.stride[EP_T] == plane);
}

/* Shuffled at most: any part of a chunk can be picked. */
static bool all_unpacked(const struct ep_source *s)
{
    for (size_t i = 0; i < s->st.chunks; i++) {
        unsigned mask = s->at[i].mask;
        if (s->at[i].bytes != s->st.chunk_bytes || ep_src_applied(s->st.deflate, mask) || ep_src_applied(s->st.fletcher, mask)) return false;
    }
    return true;
}

void ep_src_view_open(struct ep_source *s)
{
    if (!s->f || s->f->fd < 0 || !s->st.direct || s->dim[EP_E] < 0 || !s->in_order || !on_local_disk(s->f->fd)) return;
    s->mappable = s->at != NULL;
    s->viewable = s->at ? all_unpacked(s) : ep_src_flat(s) && pixel_by_pixel(s);
    if (s->at && s->viewable) s->viewable = (s->asked = calloc(s->st.chunks + 1, sizeof *s->asked)) != NULL;
}

/* The pages around n bytes of the view. */
static int ask_for(const void *from, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skew = (uintptr_t)from % page;
    return madvise((char *)(uintptr_t)from - skew, n + skew, MADV_POPULATE_READ);
}

/* Bytes from .. end of the file into the block's map. */
static bool map(struct ep_source *s, struct ep_block *b, size_t from, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skew = from % page;
    void *at = mmap(NULL, end - from + skew, PROT_READ, MAP_SHARED, s->f->fd, (off_t)(from - skew));
    if (at == MAP_FAILED) return false;
    b->map = at;
    b->map_bytes = end - from + skew;
    b->map_from = from - skew;
    b->map_number = ++s->nmap;
    if (ask_for(at, 1) == 0) return true;
    ep_block_unmap(b); /* an old kernel; or the file has an error there, which read() will tell of */
    return false;
}

/* From the first to the last byte of the chunks that a block touches. */
static bool map_chunks(struct ep_source *s, struct ep_block *b)
{
    size_t from = SIZE_MAX, end = 0, bytes = 0, n = ep_source_pieces(s, b) - s->carries;
    for (size_t i = 0; i < n; i++) {
        struct ep_box x;
        size_t chunk[EP_NCANON];
        ep_src_box(s, b, i, &x, chunk);
        const struct ep_chunk_at *at = &s->at[ep_src_chunk_number(s, chunk)];
        if (!at->bytes) continue;
        from = ep_min(from, (size_t)at->address);
        end = ep_max(end, (size_t)at->address + at->bytes);
        bytes += at->bytes;
    }
    return bytes && end - from <= SPARSE * bytes && map(s, b, from, end);
}

static bool map_pixels(struct ep_source *s, struct ep_block *b)
{
    size_t width = s->n[EP_X], ne = s->n[EP_E], pixel = ne * s->st.esize, from = (size_t)s->st.address;
    size_t first = b->a.y0 * width + b->a.x0, last = (b->a.y0 + b->a.ny - 1) * width + b->a.x0 + b->a.nx - 1;
    if (!map(s, b, from + first * pixel, from + (last + 1) * pixel)) return false;
    b->first = (unsigned char *)b->map + (from + first * pixel - b->map_from);
    b->val = ep_source_view_in_place(s) ? (float *)(uintptr_t)b->first + b->ch0 : NULL;
    b->sx = ne;
    b->sy = width * ne;
    return true;
}

bool ep_source_view(struct ep_source *s, struct ep_block *b)
{
    b->map = NULL;
    b->view = false;
    if (!s->viewable || !b->a.ny || !b->a.nx || !b->nch) return false;
    b->view = s->viewable = s->at ? map_chunks(s, b) : map_pixels(s, b);
    if (b->view && s->at) b->val = NULL;
    if (b->view) ep_src_carry_clear(s, b);
    return b->view;
}

void ep_source_map(struct ep_source *s, struct ep_block *b)
{
    if (s->mappable) s->mappable = map_chunks(s, b);
}

const unsigned char *ep_src_mapped(const struct ep_block *b, size_t n, size_t offset)
{
    if (!b->map || offset < b->map_from || offset + n > b->map_from + b->map_bytes) return NULL;
    const unsigned char *at = (unsigned char *)b->map + (offset - b->map_from);
    return ask_for(at, n) == 0 ? at : NULL;
}

bool ep_source_view_in_place(const struct ep_source *s)
{
    return s->viewable && !s->at && s->st.dtype == EP_F32 && s->st.address % sizeof(float) == 0;
}

/* All channels of a pixel of the grid. */
static const unsigned char *pixel_at(const struct ep_source *s, const struct ep_block *b, size_t row, size_t x)
{
    return b->first + ((row - b->a.y0) * b->sy + (x - b->a.x0) * b->sx) * s->st.esize;
}

static void pick_from_chunks(const struct ep_source *s, struct ep_block *to)
{
    for (size_t i = 0, np = ep_source_pieces(s, to) - s->carries; i < np; i++) {
        struct ep_box x;
        struct ep_frame f;
        struct ep_part p;
        size_t chunk[EP_NCANON];
        ep_src_box(s, to, i, &x, chunk);
        ep_src_frame(s, s->c, chunk, &f);
        const struct ep_chunk_at *at = &s->at[ep_src_chunk_number(s, chunk)];
        struct ep_stored from = {(unsigned char *)to->map + ((size_t)at->address - to->map_from), s->st.chunk_bytes / s->st.esize,
                                 s->st.dtype, ep_src_applied(s->st.shuffle, at->mask)};
        for (size_t t = x.lo[EP_T]; ep_src_next(s, &x, &t, &p);) ep_src_scatter(s, to, &x, &p, &from, &f);
    }
}

void ep_block_pick(const struct ep_source *s, const struct ep_block *b, size_t row, size_t x, size_t nx, float *to)
{
    if (s->at) {
        struct ep_block part = {.a = {row, x, 1, nx}, .ch0 = b->ch0, .nch = b->nch, .val = to, .map = b->map, .map_from = b->map_from};
        pick_from_chunks(s, &part);
        return;
    }
    struct ep_stored v = {pixel_at(s, b, row, x), nx * b->sx, s->st.dtype, false};
    if (b->nch == b->sx) ep_stored_get(&v, 0, 1, nx * b->nch, to);
    else for (size_t i = 0; i < nx; i++) ep_stored_get(&v, i * b->sx + b->ch0, 1, b->nch, to + i * b->nch);
}

void ep_block_unmap(struct ep_block *b)
{
    if (!b->map) return;
    munmap(b->map, b->map_bytes);
    b->map = NULL;
    if (b->view) b->val = NULL;
    b->view = false;
}

size_t ep_source_pixel_bytes(const struct ep_source *s, size_t nch)
{
    return s->viewable ? s->n[EP_E] * s->st.esize : nch * sizeof(float);
}

/* What happened to bytes that can't be had: reading them says it. */
static ep_status explain(struct ep_source *s, struct ep_scratch *w, size_t offset, size_t n, struct ep_err *e)
{
    int why = errno;
    ep_status st = ep_reserve(&w->in, &w->in_cap, ep_min(n, EP_BOUNCE_BYTES), "reading", e);
    for (size_t k = 0; st == EP_OK && k < n; k += EP_BOUNCE_BYTES)
        st = ep_pread_all(s->f, w->in, ep_min(n - k, EP_BOUNCE_BYTES), offset + k, e);
    return st ? st : ep_fail(e, EP_E_INPUT, "%s: a part of the file can't be mapped: %s", s->f->path, strerror(why));
}

/* Hashes the units that the rows hold and that are not hashed yet. */
static ep_status hash_units(struct ep_source *s, const struct ep_block *b, const struct ep_area *a, struct ep_scratch *w, struct ep_err *e)
{
    struct ep_box x = {.lo = {0, 0, a->x0, 0}, .hi = {0, 0, a->x0 + a->nx, 0}, .row0 = a->y0, .row1 = a->y0 + a->ny};
    struct ep_src_part p;
    size_t at = 0, pixel = s->n[EP_E] * s->st.esize;
    ep_status st = EP_OK;
    while (st == EP_OK && ep_src_next_unit(s, &x, &at, &p)) {
        if (!p.all || !ep_src_hash_claim(s, p.number)) continue;
        st = ep_src_hash_bytes(s, w, p.number, pixel_at(s, b, p.row, p.x), p.npixel * pixel, 0, e);
    }
    return st;
}

static ep_status ready_pixels(struct ep_source *s, const struct ep_block *b, struct ep_area a, struct ep_scratch *w, struct ep_err *e)
{
    size_t pixel = s->n[EP_E] * s->st.esize, rows = a.nx == s->n[EP_X] ? a.ny : 1, n = rows * a.nx * pixel;
    ep_status st = EP_OK;
    for (size_t y = a.y0; st == EP_OK && y < a.y0 + a.ny; y += rows)
        if (ask_for(pixel_at(s, b, y, a.x0), n)) st = explain(s, w, (size_t)s->st.address + (y * s->n[EP_X] + a.x0) * pixel, n, e);
    return st == EP_OK && s->hash ? hash_units(s, b, &a, w, e) : st;
}

static ep_status ready_chunks(struct ep_source *s, const struct ep_block *b, struct ep_area a, struct ep_scratch *w, struct ep_err *e)
{
    const struct ep_block part = {.a = a, .ch0 = b->ch0, .nch = b->nch};
    ep_status st = EP_OK;
    for (size_t i = 0, np = ep_source_pieces(s, &part) - s->carries; st == EP_OK && i < np; i++) {
        struct ep_box x;
        size_t chunk[EP_NCANON];
        ep_src_box(s, &part, i, &x, chunk);
        size_t unit = ep_src_chunk_number(s, chunk), address = (size_t)s->at[unit].address, n = s->at[unit].bytes;
        const unsigned char *bytes = (unsigned char *)b->map + (address - b->map_from);
        if (atomic_load_explicit(&s->asked[unit], memory_order_relaxed) == b->map_number) continue; /* for rows above, or by the cell beside */
        if (ask_for(bytes, n)) {
            st = explain(s, w, address, n, e);
            break;
        }
        st = ep_src_check_sum(s, unit, bytes, n, e);
        if (st != EP_OK) break;
        atomic_store_explicit(&s->asked[unit], b->map_number, memory_order_relaxed);
        if (ep_src_hash_claim(s, unit)) st = ep_src_hash_bytes(s, w, unit, bytes, n, s->at[unit].mask, e);
    }
    return st;
}

ep_status ep_block_ready(struct ep_source *s, const struct ep_block *b, struct ep_area a, struct ep_err *e)
{
    struct ep_scratch *w = ep_src_scratch_take(s);
    ep_status st = s->at ? ready_chunks(s, b, a, w, e) : ready_pixels(s, b, a, w, e);
    ep_src_scratch_give(s, w);
    return st;
}
