/* Files with signals, opened read-only and recognised by content, never by extension: our own results (formats:
 * /entry objects with their errors, flags, covariance), HyperSpy's HDF5 (/Experiments), plain NXdata.
 *
 * What a signal means comes from its axes: the spectral axis is the one with navigate = FALSE (HyperSpy) or with an
 * energy unit; wherever it stands in the array, values reach callers energy-last. A file whose axes do not tell
 * is refused. Every size and number is checked before it is used. All functions of this header call HDF5, except
 * ep_source_fill: call them from one thread at a time.
 */
#ifndef EP_IO_FILE_H
#define EP_IO_FILE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"
#include "pipeline/base/hash.h"
#include "pipeline/data/cell.h"
#include "pipeline/data/model.h"
#include "pipeline/data/signal.h"

/* Call once at start, in each thread that calls HDF5: quiet error stack; first call also H5dont_atexit, no user plug-in path. */
void ep_hdf5_init(void);

struct ep_file;
/* Messages name the path, the dataset, and what to do. EP_E_INPUT on anything wrong with the file. */
ep_status ep_file_open(const char *path, struct ep_file **out, struct ep_err *e);
void ep_file_close(struct ep_file *f);
size_t ep_file_count(const struct ep_file *f);
const struct ep_desc *ep_file_desc(const struct ep_file *f, size_t i); /* name, kind, axes, dtype, meta, gain = 1 unless stored, ... */
const char *ep_file_path(const struct ep_file *f);
/* Index of the signal named (its title, group name or output name); name NULL: the primary one, or the only one of `kinds`
 * (bits of ep_kind), else an error that lists what is there. */
ep_status ep_file_find(const struct ep_file *f, const char *name, unsigned kinds, size_t *index, struct ep_err *e);

/* Facts for `info`: how the dataset is stored ("float32, little-endian, chunks 16x16x256, shuffle+gzip"), in a static-size text. */
struct ep_storage { char text[160]; size_t bytes_stored, bytes_raw; bool direct; /* read without H5Dread */ };
void ep_file_storage(const struct ep_file *f, size_t i, struct ep_storage *out);
/* What a result of ours says of itself; empty strings elsewhere. Owned by f. */
struct ep_origin { const char *program, *version, *step, *stage, *fingerprint, *parameters /* JSON */, *chain /* JSON */, *inputs /* JSON */; };
const struct ep_origin *ep_file_origin(const struct ep_file *f);

/* XXH3-128 over the dataset's header, the axes and metadata that are read, and its stored chunks in order (a contiguous
 * dataset counts as groups of rows, cut by its shape alone). nthreads share the hashing. */
ep_status ep_file_fingerprint(struct ep_file *f, size_t i, unsigned nthreads, struct ep_hash *out, struct ep_err *e);
/* From now on hashing ends with EP_E_STOPPED when *stop is not 0: a large file takes minutes. */
void ep_fingerprint_stop(const atomic_int *stop);

/* A whole signal: map, profile, spectrum, table, curve, or an image (whole images: only small ones; fails over max_bytes). */
ep_status ep_file_load(struct ep_file *f, size_t i, size_t max_bytes, struct ep_signal **out, struct ep_err *e);

/* ---- Streaming -------------------------------------------------------------------------------------------
 * A source yields blocks: any area of the grid, any range of channels. A block is filled in pieces. fetch (the I/O
 * thread) makes the HDF5 calls of one piece; fill (any thread, several at once) inflates, converts, scatters.
 * Read paths: contiguous -> no fetch, fill preads; chunks with no filter, deflate, shuffle+deflate (fletcher32 last) ->
 * H5Dread_chunk + libdeflate; all else -> H5Dread of a slab in fetch. Any of them gives the same values.
 */
struct ep_block {
    struct ep_area a;
    size_t ch0, nch;
    float *val;        /* dense [ny][nx][nch], the caller's; of a view: in the file, read-only, with the strides below, or NULL */
    double *shift;     /* dense per pixel or NULL if the source has none */
    double *theta, *cmat; /* [pixel][EP_NTHETA|EP_NCMAT] or NULL if the source is not modelled */
    uint32_t *flag;    /* per pixel; zero or the stored flags of a result's image */
    void *map;         /* a part of the file, or NULL */
    size_t map_bytes, map_from;
    unsigned map_number;
    /* of a view: */
    bool view;
    const unsigned char *first; /* not chunked: channel 0 of pixel (a.y0, a.x0), as it is stored */
    size_t sy, sx;     /* strides between rows and pixels, in values */
};
struct ep_piece { void *raw; size_t bytes, capacity; unsigned filter_mask; size_t coord[EP_MAX_AXES]; bool present; }; /* reused; free(raw) at the end */

struct ep_source;
ep_status ep_source_open(struct ep_file *f, size_t i, struct ep_source **out, struct ep_err *e); /* f stays open meanwhile */
/* An image or spectrum in memory as a source (the signal stays the caller's). */
ep_status ep_source_memory(const struct ep_signal *s, struct ep_source **out, struct ep_err *e);
void ep_source_close(struct ep_source *s);
const struct ep_desc *ep_source_desc(const struct ep_source *s);
const struct ep_model *ep_source_model(const struct ep_source *s); /* NULL unless modelled */
/* Rows and columns that chunks cover ((1,1) when not chunked): blocks that are multiples of them waste nothing. */
void ep_source_chunk(const struct ep_source *s, size_t *ny, size_t *nx);
/* Bytes of a chunk that must be held as a whole to read any of it; 0: none. */
size_t ep_source_chunk_bytes(const struct ep_source *s);
/* Values that lie in a local file unpacked need not be read: true if b (all but values set) is a view of the file now.
 * It has pieces only for what pixels carry. Before its values are used, in any thread, ep_block_ready is told which; where
 * they are not used in place (val is NULL), rows are picked. ep_block_unmap ends it (nothing to do for other blocks). */
bool ep_source_view(struct ep_source *s, struct ep_block *b);
/* For blocks that are no views: maps the chunks that the pieces will be filled from, where that saves a copy. */
void ep_source_map(struct ep_source *s, struct ep_block *b);
bool ep_source_view_in_place(const struct ep_source *s);
/* Pixels of a view that are used next: brings them into memory, hashes the units among them. Small areas stay in the cache. */
ep_status ep_block_ready(struct ep_source *s, const struct ep_block *b, struct ep_area a, struct ep_err *e);
/* nx pixels of a row from x on, dense, the block's channels. Any thread. */
void ep_block_pick(const struct ep_source *s, const struct ep_block *b, size_t row, size_t x, size_t nx, float *to);
void ep_block_unmap(struct ep_block *b);
/* Bytes of memory for each pixel of a block with nch channels: all channels of a view, else those. */
size_t ep_source_pixel_bytes(const struct ep_source *s, size_t nch);
size_t ep_source_pieces(const struct ep_source *s, const struct ep_block *b);
ep_status ep_source_fetch(struct ep_source *s, const struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e);
ep_status ep_source_fill(struct ep_source *s, struct ep_block *b, size_t piece, struct ep_piece *p, struct ep_err *e);

/* Before the first block: pieces filled from now on also hash the stored bytes they read, each stored chunk once. Returns
 * false where the read path can't (values from HDF5 or from memory, energy not last in an array without chunks): then use
 * ep_file_fingerprint. */
bool ep_source_hash_start(struct ep_source *s);
/* After the last block, when no fill is running any more: hashes what no piece has read, with nthreads, and gives exactly
 * the value of ep_file_fingerprint(f, i). */
ep_status ep_source_hash_end(struct ep_source *s, unsigned nthreads, struct ep_hash *out, struct ep_err *e);
#endif
