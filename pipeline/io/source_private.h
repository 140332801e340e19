/* What the parts of a source share: source_box.c cuts a block into pieces and boxes, source_pixel.c reads what pixels
 * carry beside their spectrum, source.c reads the values. */
#ifndef EP_IO_SOURCE_PRIVATE_H
#define EP_IO_SOURCE_PRIVATE_H
#include <pthread.h>

#include "pipeline/io/file_private.h"

/* Canonical dimensions; a signal that lacks one has size 1 there. */
enum { EP_T, EP_Y, EP_X, EP_E, EP_NCANON };
enum { EP_CARRY_SHIFT, EP_CARRY_THETA, EP_CARRY_CMAT, EP_CARRY_FLAG, EP_NCARRY };

struct ep_scratch;
struct ep_source {
    struct ep_file *f;             /* NULL: in memory */
    const struct ep_item *it;
    const struct ep_signal *mem;
    struct ep_desc d;
    const struct ep_model *model;
    struct ep_store st;
    struct ep_chunk_at *at;        /* addresses of all chunks, or NULL */
    bool in_order;                 /* array dimensions stand in canonical order */
    int dim[EP_NCANON];            /* array dimension of each canonical one, -1 = absent */
    size_t n[EP_NCANON], c[EP_NCANON], nc[EP_NCANON]; /* sizes, chunk sizes, numbers of chunks */
    hid_t carry[EP_NCARRY];        /* datasets beside the values; < 0: not there */
    bool carries;
    pthread_mutex_t lock;          /* of pool */
    struct ep_scratch *pool;
};

/* A piece in canonical coordinates, and the rows of the folded grid that are wanted of it. */
struct ep_box { size_t lo[EP_NCANON], hi[EP_NCANON], row0, row1; };
/* The rows of a box that have one t. */
struct ep_part { size_t t, y0, y1; };

void ep_src_geometry(struct ep_source *s);
void ep_src_geometry_memory(struct ep_source *s);
bool ep_src_chunked(const struct ep_source *s);
/* No chunks, and pixels one after the other: filled without HDF5. */
bool ep_src_flat(const struct ep_source *s);
/* The box of a piece; chunk[] is the array index of its chunk along each canonical dimension. */
void ep_src_box(const struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_box *x, size_t chunk[EP_NCANON]);
/* The next part of a box, from *t on (begin with x->lo[EP_T]); false at the end. */
bool ep_src_next(const struct ep_source *s, const struct ep_box *x, size_t *t, struct ep_part *p);
bool ep_src_empty(const struct ep_source *s, const struct ep_box *x);
/* Strides of a dense array of `size` along each canonical dimension, ordered as in the file; 0 where absent. */
void ep_src_strides(const struct ep_source *s, const size_t size[EP_NCANON], size_t stride[EP_NCANON]);

static inline size_t ep_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t ep_max(size_t a, size_t b)
{
    return a > b ? a : b;
}
static inline float *ep_src_target(const struct ep_source *s, struct ep_block *b, size_t t, size_t y, size_t x, size_t ch)
{
    return b->val + ((t * s->n[EP_Y] + y - b->a.y0) * b->a.nx + (x - b->a.x0)) * b->nch + (ch - b->ch0);
}

/* What pixels carry. All of a block is one piece, the last one, of sources that have any of it. */
ep_status ep_src_carry_open(struct ep_source *s, struct ep_err *e);
ep_status ep_src_carry_fetch(struct ep_source *s, const struct ep_block *b, struct ep_piece *p, struct ep_err *e);
void ep_src_carry_fill(struct ep_source *s, struct ep_block *b, const struct ep_piece *p);
/* What a file does not have is zero in the block. */
void ep_src_carry_clear(const struct ep_source *s, struct ep_block *b);
/* From a signal in memory, for the rows and columns of a box. */
void ep_src_carry_copy(const struct ep_source *s, struct ep_block *b, const struct ep_box *x);
#endif
