/* What the parts of a source share: source_box.c cuts a block into pieces and boxes, source_pixel.c reads what pixels
 * carry beside their spectrum, source_flat.c reads values that are stored as they are, source_view.c maps them,
 * source.c reads all others, source_hash.c keeps the hashes of what was read. */
#ifndef EP_IO_SOURCE_PRIVATE_H
#define EP_IO_SOURCE_PRIVATE_H
#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

/* Canonical dimensions; a signal that lacks one has size 1 there. */
enum { EP_T, EP_Y, EP_X, EP_E, EP_NCANON };
enum { EP_CARRY_SHIFT, EP_CARRY_THETA, EP_CARRY_CMAT, EP_CARRY_FLAG, EP_NCARRY };

/* What one thread needs to read and decode; kept in a list between calls. */
struct ep_scratch {
    struct libdeflate_decompressor *z;
    struct XXH3_state_s *hash;
    void *in, *out;
    size_t in_cap, out_cap;
    struct ep_scratch *next;
};

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
    struct ep_h5_array *carried[EP_NCARRY];
    struct ep_h5_array *slabs;     /* for values that are not read directly; NULL: they are, or lie in memory */
    uint64_t *sums;                /* XXH3-64 of each stored chunk, of images that we wrote; NULL: none */
    bool carries;
    bool mappable, viewable;       /* chunks of a block can be mapped; blocks can be views of the file */
    unsigned nmap;                 /* maps made */
    atomic_uint *asked;            /* views, by chunk: number of the last map for which its pages were asked for */
    struct ep_src_hash *hash;      /* NULL: nobody asked for it */
    pthread_mutex_t lock;          /* of pool */
    struct ep_scratch *pool;
    pid_t apart;                   /* the process that reads through HDF5 for us; 0: none */
    int apart_to, apart_from;
};

/* source_apart.c: values behind filters that are not ours come from a process of their own. */
ep_status ep_src_apart_start(struct ep_source *s, struct ep_err *e); /* nothing to do if there are none */
ep_status ep_src_apart_read(struct ep_source *s, const hsize_t *start, const hsize_t *count, size_t bytes, void *to, struct ep_err *e);
void ep_src_apart_end(struct ep_source *s);
/* The values of a slab that is not read directly, in this process. */
ep_status ep_src_slab(const struct ep_source *s, const hsize_t *start, const hsize_t *count, void *to);

#define EP_BOUNCE_BYTES ((size_t)256 << 10) /* read at a time on the way to somewhere else: stays in the second cache */

/* Units of the stored array (file_private.h), and which of them some thread has begun to hash. */
struct ep_src_hash {
    struct ep_units u;
    size_t cols;                   /* not chunked: pixels of a row that a unit holds */
    atomic_uchar *claimed;
    struct ep_digest *digest;      /* written by the thread that claimed it */
};

/* A dense array in memory or in the file: canonical origin of its first element, sizes, strides in elements. */
struct ep_frame { size_t org[EP_NCANON], n[EP_NCANON], stride[EP_NCANON]; };

/* A piece in canonical coordinates, and the rows of the folded grid that are wanted of it. */
struct ep_box { size_t lo[EP_NCANON], hi[EP_NCANON], row0, row1; };
/* The rows of a box that have one t. */
struct ep_part { size_t t, y0, y1; };

size_t ep_src_chunk_number(const struct ep_source *s, const size_t chunk[EP_NCANON]);
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
/* A dense array of `size` along each canonical dimension, ordered as in the file; strides are 0 where absent. Its origin is
 * that of the chunk, or 0 if chunk is NULL. */
void ep_src_frame(const struct ep_source *s, const size_t size[EP_NCANON], const size_t chunk[EP_NCANON], struct ep_frame *f);

static inline float *ep_src_target(const struct ep_source *s, struct ep_block *b, size_t t, size_t y, size_t x, size_t ch)
{
    return b->val + ((t * s->n[EP_Y] + y - b->a.y0) * b->a.nx + (x - b->a.x0)) * b->nch + (ch - b->ch0);
}

/* Copies one part of box x out of a stored array. */
struct ep_stored;
void ep_src_scatter(const struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_part *p,
                    const struct ep_stored *from, const struct ep_frame *f);
/* Whether a filter of the pipeline (its number, -1: not there) is on a chunk. */
static inline bool ep_src_applied(int filter, unsigned mask)
{
    return filter >= 0 && !(mask >> filter & 1);
}

struct ep_scratch *ep_src_scratch_take(struct ep_source *s);
void ep_src_scratch_give(struct ep_source *s, struct ep_scratch *w);

/* True for one caller for each unit, if hashes are wanted: it hashes all stored bytes of the unit, in order: begin, add as
 * often as it takes, end. What fails on the way is left to ep_source_hash_end. */
bool ep_src_hash_claim(struct ep_source *s, size_t unit);
ep_status ep_src_hash_begin(struct ep_scratch *w, struct ep_err *e);
void ep_src_hash_add(struct ep_scratch *w, const void *bytes, size_t n);
void ep_src_hash_done(struct ep_source *s, struct ep_scratch *w, size_t unit, size_t bytes, unsigned mask);
/* All of it at once. */
ep_status ep_src_hash_bytes(struct ep_source *s, struct ep_scratch *w, size_t unit, const void *bytes, size_t n, unsigned mask, struct ep_err *e);
void ep_src_hash_free(struct ep_source *s);
/* What a box of an array without chunks has of a unit that is hashed: pixels of one row, from x on; all: all of them. */
struct ep_src_part { size_t number, row, x, npixel; bool all; };
/* The next unit that a box touches, from *at on (begin with 0); false at the end. */
bool ep_src_next_unit(const struct ep_source *s, const struct ep_box *x, size_t *at, struct ep_src_part *part);

/* source_view.c: values that need no change are used where they lie. */
/* A stored chunk of an image that we wrote: whether it is what was written. */
ep_status ep_src_check_sum(const struct ep_source *s, size_t unit, const void *bytes, size_t n, struct ep_err *e);
void ep_src_view_open(struct ep_source *s);
/* n bytes of the file in the block's map; NULL: they are not there, and have to be read. */
const unsigned char *ep_src_mapped(const struct ep_block *b, size_t n, size_t offset);

/* Values in the file as they are in memory, energy last: a box out of an array without chunks, or out of the chunk `unit`
 * that begins at `address`. */
ep_status ep_src_flat_fill(struct ep_source *s, struct ep_block *b, const struct ep_box *x, struct ep_err *e);
ep_status ep_src_flat_chunk(struct ep_source *s, struct ep_block *b, const struct ep_box *x, const struct ep_frame *f,
                            size_t address, size_t unit, unsigned mask, struct ep_err *e);

/* What pixels carry. All of a block is one piece, the last one, of sources that have any of it. */
ep_status ep_src_carry_open(struct ep_source *s, struct ep_err *e);
void ep_src_carry_close(struct ep_source *s);
ep_status ep_src_carry_fetch(struct ep_source *s, const struct ep_block *b, struct ep_piece *p, struct ep_err *e);
void ep_src_carry_fill(struct ep_source *s, struct ep_block *b, const struct ep_piece *p);
/* What a file does not have is zero in the block. */
void ep_src_carry_clear(const struct ep_source *s, struct ep_block *b);
/* From a signal in memory, for the rows and columns of a box. */
void ep_src_carry_copy(const struct ep_source *s, struct ep_block *b, const struct ep_box *x);
#endif
