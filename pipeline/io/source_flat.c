/* Values that lie in the file as they do in memory, energy last: read straight into the block where types agree, else
 * through a buffer that stays in the cache. A unit that is to be hashed is read whole, in the order of the file.
 */
#include <string.h>

#include "pipeline/io/decode.h"
#include "pipeline/io/source_private.h"

#define SKIP_BYTES ((size_t)16 << 10) /* unwanted bytes between two pixels that are worth a call of their own */

/* ---- only what is wanted ---- */

/* Pixels in the order of the file, `pitch` bytes apart, beginning with row y of the part; width of them make a row. */
struct run { const struct ep_box *x; const struct ep_part *p; size_t y, npixel, width, offset, pitch; };

static ep_status read_bounced(struct ep_source *s, struct ep_block *b, const struct run *r, struct ep_scratch *w, struct ep_err *e)
{
    size_t ne = r->x->hi[EP_E] - r->x->lo[EP_E], want = ne * s->st.esize;
    size_t at_once = r->pitch - want > SKIP_BYTES ? 1 : ep_max(EP_BOUNCE_BYTES / r->pitch, 1);
    ep_status st = ep_reserve(&w->in, &w->in_cap, ep_max(EP_BOUNCE_BYTES, want), "reading", e);
    for (size_t i = 0; st == EP_OK && i < r->npixel; i += at_once) {
        size_t k = ep_min(at_once, r->npixel - i);
        st = ep_pread_all(s->f, w->in, (k - 1) * r->pitch + want, r->offset + i * r->pitch, e);
        for (size_t j = 0; st == EP_OK && j < k; j++) {
            struct ep_stored from = {(unsigned char *)w->in + j * r->pitch, ne, s->st.dtype, false};
            ep_stored_get(&from, 0, 1, ne,
                          ep_src_target(s, b, r->p->t, r->y + (i + j) / r->width, r->x->lo[EP_X] + (i + j) % r->width, r->x->lo[EP_E]));
        }
    }
    return st;
}

/* One part of a box out of an array that begins at `address` of the file. */
static ep_status read_part(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_part *p, size_t address,
                           const struct ep_frame *f, struct ep_scratch *w, struct ep_err *e)
{
    size_t ne = x->hi[EP_E] - x->lo[EP_E], nx = x->hi[EP_X] - x->lo[EP_X], pixel = s->dim[EP_X] < 0 ? ne : f->stride[EP_X];
    size_t first = (p->t - f->org[EP_T]) * f->stride[EP_T] + (x->lo[EP_X] - f->org[EP_X]) * f->stride[EP_X] +
                   (x->lo[EP_E] - f->org[EP_E]) * f->stride[EP_E];
    bool touching = f->stride[EP_Y] == nx * pixel; /* rows of the part follow each other in the file */
    bool as_it_is = s->st.dtype == EP_F32 && ne == pixel && ne == b->nch;
    size_t rows = touching && (!as_it_is || nx == b->a.nx) ? p->y1 - p->y0 : 1;
    ep_status st = EP_OK;
    for (size_t y = p->y0; st == EP_OK && y < p->y1; y += rows) {
        size_t offset = address + (first + (y - f->org[EP_Y]) * f->stride[EP_Y]) * s->st.esize;
        if (as_it_is) {
            st = ep_pread_all(s->f, ep_src_target(s, b, p->t, y, x->lo[EP_X], x->lo[EP_E]), rows * nx * ne * sizeof(float), offset, e);
        } else {
            struct run r = {x, p, y, rows * nx, nx, offset, pixel * s->st.esize};
            st = read_bounced(s, b, &r, w, e);
        }
    }
    return st;
}

static ep_status read_box(struct ep_source *s, struct ep_block *b, const struct ep_box *x, size_t address, const struct ep_frame *f,
                          struct ep_scratch *w, struct ep_err *e)
{
    size_t t = x->lo[EP_T];
    struct ep_part p;
    ep_status st = EP_OK;
    while (st == EP_OK && ep_src_next(s, x, &t, &p)) st = read_part(s, b, x, &p, address, f, w, e);
    return st;
}

/* ---- all of a unit ---- */

/* Pixels q .. q + n of the frame, all their channels, lie at `from`: those in the box go into the block. */
static void place(const struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_frame *f, size_t q, size_t n,
                  const unsigned char *from)
{
    size_t ne = x->hi[EP_E] - x->lo[EP_E], skip = x->lo[EP_E] - f->org[EP_E];
    struct ep_stored v = {from, n * f->n[EP_E], s->st.dtype, false};
    bool whole = ne == f->n[EP_E] && ne == b->nch;
    for (size_t i = 0, k; i < n; i += k) { /* what they have of each row */
        size_t row = (q + i) / f->n[EP_X], col = (q + i) % f->n[EP_X], first = col + f->org[EP_X];
        size_t t = row / f->n[EP_Y] + f->org[EP_T], y = row % f->n[EP_Y] + f->org[EP_Y], folded = t * s->n[EP_Y] + y;
        k = ep_min(f->n[EP_X] - col, n - i);
        size_t lo = ep_max(first, x->lo[EP_X]), hi = ep_min(first + k, x->hi[EP_X]);
        if (lo >= hi || t < x->lo[EP_T] || t >= x->hi[EP_T] || y < x->lo[EP_Y] || y >= x->hi[EP_Y] || folded < x->row0 || folded >= x->row1)
            continue;
        float *to = ep_src_target(s, b, t, y, lo, x->lo[EP_E]);
        size_t at = (i + lo - first) * f->n[EP_E] + skip;
        if (whole) {
            ep_stored_get(&v, at, 1, (hi - lo) * ne, to);
            continue;
        }
        for (; lo < hi; lo++, at += f->n[EP_E], to += b->nch) ep_stored_get(&v, at, 1, ne, to);
    }
}

/* n pixels from q on of an array that begins at `address`. */
struct unit { size_t number, address, q, n; unsigned mask; };

/* Whether the pixels of a unit have the same order and size in the block, all of them. */
static bool same_in_block(const struct ep_source *s, const struct ep_block *b, const struct ep_box *x, const struct ep_frame *f,
                          const struct unit *u)
{
    size_t nx = x->hi[EP_X] - x->lo[EP_X], rows = 0, t = x->lo[EP_T];
    struct ep_part p;
    while (ep_src_next(s, x, &t, &p)) rows += p.y1 - p.y0;
    return s->st.dtype == EP_F32 && x->hi[EP_E] - x->lo[EP_E] == f->n[EP_E] && b->nch == f->n[EP_E] && rows * nx == u->n &&
           (rows == 1 || (nx == b->a.nx && (x->hi[EP_T] - x->lo[EP_T] == 1 || f->n[EP_Y] == s->n[EP_Y])));
}

static ep_status read_unit(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_frame *f,
                           const struct unit *u, struct ep_scratch *w, struct ep_err *e)
{
    size_t pitch = f->n[EP_E] * s->st.esize, at_once = ep_max(EP_BOUNCE_BYTES / pitch, 1);
    float *to = NULL;
    ep_status st = ep_src_hash_begin(w, e);
    if (same_in_block(s, b, x, f, u)) to = b->val + ((x->row0 - b->a.y0) * b->a.nx + (x->lo[EP_X] - b->a.x0)) * b->nch;
    else if (st == EP_OK) st = ep_reserve(&w->in, &w->in_cap, at_once * pitch, "reading", e);
    for (size_t i = 0; st == EP_OK && i < u->n; i += at_once) {
        size_t n = ep_min(at_once, u->n - i);
        void *buf = to ? to + i * b->nch : w->in;
        st = ep_pread_all(s->f, buf, n * pitch, u->address + (u->q + i) * pitch, e);
        if (st != EP_OK) break;
        ep_src_hash_add(w, buf, n * pitch);
        if (!to) place(s, b, x, f, u->q + i, n, buf);
    }
    if (st == EP_OK) ep_src_hash_done(s, w, u->number, u->n * pitch, u->mask);
    return st;
}

/* ---- the two kinds of arrays ---- */

ep_status ep_src_flat_chunk(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_frame *f,
                            size_t address, size_t unit, unsigned mask, struct ep_err *e)
{
    struct ep_scratch *w = ep_src_scratch_take(s);
    struct unit u = {unit, address, 0, f->n[EP_T] * f->n[EP_Y] * f->n[EP_X], mask};
    size_t bytes = u.n * f->n[EP_E] * s->st.esize;
    const unsigned char *mapped = ep_src_mapped(b, bytes, address);
    bool hash = ep_src_hash_claim(s, unit);
    ep_status st = EP_OK;
    if (mapped) {
        if (hash) st = ep_src_hash_bytes(s, w, unit, mapped, bytes, mask, e);
        if (st == EP_OK) place(s, b, x, f, 0, u.n, mapped);
    } else {
        st = hash ? read_unit(s, b, x, f, &u, w, e) : read_box(s, b, x, address, f, w, e);
    }
    ep_src_scratch_give(s, w);
    return st;
}

bool ep_src_next_unit(const struct ep_source *s, const struct ep_box *x, size_t *at, struct ep_src_part *part)
{
    const struct ep_src_hash *h = s->hash;
    size_t col0 = x->lo[EP_X] / h->cols, across = (x->hi[EP_X] - 1) / h->cols - col0 + 1;
    size_t row = x->row0 + *at / across, k = col0 + *at % across, first = k * h->cols, end = ep_min(first + h->cols, s->n[EP_X]);
    if (row >= x->row1) return false;
    (*at)++;
    part->number = row * h->u.per + k;
    part->row = row;
    part->x = ep_max(first, x->lo[EP_X]);
    part->npixel = ep_min(end, x->hi[EP_X]) - part->x;
    part->all = part->npixel == end - first;
    return true;
}

static ep_status read_units(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_frame *f,
                            struct ep_scratch *w, struct ep_err *e)
{
    size_t address = (size_t)s->st.address, at = 0;
    struct ep_src_part p;
    ep_status st = EP_OK;
    while (st == EP_OK && ep_src_next_unit(s, x, &at, &p)) {
        struct ep_box part = *x;
        part.row0 = p.row;
        part.row1 = p.row + 1;
        part.lo[EP_T] = p.row / s->n[EP_Y];
        part.hi[EP_T] = part.lo[EP_T] + 1;
        part.lo[EP_X] = p.x;
        part.hi[EP_X] = p.x + p.npixel;
        struct unit u = {p.number, address, p.row * s->n[EP_X] + p.x, p.npixel, 0};
        if (p.all && ep_src_hash_claim(s, p.number)) st = read_unit(s, b, &part, f, &u, w, e);
        else st = read_box(s, b, &part, address, f, w, e);
    }
    return st;
}

ep_status ep_src_flat_fill(struct ep_source *s, struct ep_block *b, const struct ep_box *x, struct ep_err *e)
{
    struct ep_frame f;
    struct ep_scratch *w = ep_src_scratch_take(s);
    ep_src_frame(s, s->n, NULL, &f);
    ep_status st = s->hash ? read_units(s, b, x, &f, w, e) : read_box(s, b, x, (size_t)s->st.address, &f, w, e);
    ep_src_scratch_give(s, w);
    return st;
}
