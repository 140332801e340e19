/* Hashing what is read: which units of the stored array have been hashed, and the fingerprint that follows from them. */
#include <string.h>
#include <xxhash.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/source_private.h"

#define MAX_UNITS ((size_t)1 << 20) /* more, tiny ones, are not worth the memory */

/* Pixels of a row that a unit of an array without chunks holds; false if there are none. */
static bool pixels_of_unit(const struct ep_source *s, struct ep_src_hash *h)
{
    if (!ep_src_flat(s) || s->dim[EP_E] < 0) return false;
    h->cols = h->u.pixels;
    return h->cols > 0;
}

bool ep_source_hash_start(struct ep_source *s)
{
    struct ep_src_hash h = {.cols = 0};
    if (s->hash) return true;
    if (s->mem || !s->st.direct) return false;
    size_t bytes = ep_store_contiguous(s->f, &s->st);
    if (!bytes && !ep_src_chunked(s)) return false;
    ep_units_of(&s->st, bytes, &h.u);
    if (h.u.count > MAX_UNITS || (bytes && !pixels_of_unit(s, &h))) return false;
    h.claimed = calloc(h.u.count, sizeof *h.claimed);
    h.digest = calloc(h.u.count, sizeof *h.digest);
    if (!h.claimed || !h.digest) {
        free(h.claimed);
        free(h.digest);
        return false;
    }
    s->hash = ep_xmalloc(sizeof *s->hash);
    *s->hash = h;
    return true;
}

void ep_src_hash_free(struct ep_source *s)
{
    if (!s->hash) return;
    free(s->hash->claimed);
    free(s->hash->digest);
    free(s->hash);
    s->hash = NULL;
}

bool ep_src_hash_claim(struct ep_source *s, size_t unit)
{
    if (!s->hash || atomic_load_explicit(&s->hash->claimed[unit], memory_order_relaxed)) return false;
    return !atomic_exchange_explicit(&s->hash->claimed[unit], 1, memory_order_relaxed);
}

ep_status ep_src_hash_begin(struct ep_scratch *w, struct ep_err *e)
{
    if (!w->hash && !(w->hash = XXH3_createState())) return ep_fail(e, EP_E_COMPUTE, "no memory (hashing)");
    XXH3_128bits_reset(w->hash);
    return EP_OK;
}

void ep_src_hash_add(struct ep_scratch *w, const void *bytes, size_t n)
{
    XXH3_128bits_update(w->hash, bytes, n);
}

void ep_src_hash_done(struct ep_source *s, struct ep_scratch *w, size_t unit, size_t bytes, unsigned mask)
{
    struct ep_digest *d = &s->hash->digest[unit];
    XXH128_canonicalFromHash((XXH128_canonical_t *)d->hash, XXH3_128bits_digest(w->hash));
    d->bytes = bytes;
    d->mask = mask;
    d->known = true;
}

ep_status ep_src_hash_bytes(struct ep_source *s, struct ep_scratch *w, size_t unit, const void *bytes, size_t n, unsigned mask, struct ep_err *e)
{
    ep_status st = ep_src_hash_begin(w, e);
    if (st != EP_OK) return st;
    ep_src_hash_add(w, bytes, n);
    ep_src_hash_done(s, w, unit, n, mask);
    return EP_OK;
}

ep_status ep_source_hash_end(struct ep_source *s, unsigned nthreads, struct ep_hash *out, struct ep_err *e)
{
    struct ep_hashed h = {&s->st, s->at, s->hash ? s->hash->digest : NULL};
    return ep_fingerprint_from(s->f, (size_t)(s->it - s->f->item), nthreads, &h, out, e);
}
