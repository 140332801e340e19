/* A spectrum image on its way into a file, chunk by chunk.
 *
 * The grid folds leading axes into y, the file does not: a chunk never reaches over the end of one time step, so an
 * area may cover parts of chunks. A "tile" is a column of chunks: ty x tx pixels with all their channels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>
#include <xxhash.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5util.h"
#include "pipeline/io/h5write.h"

#define PIXELS 16      /* chunk side: with 256 float channels 256 KiB */
#define CHANNELS 256
/* Chunks that are too small (bytes) or too many grow along x up to the width of a cell. Not further: rows of chunks that
 * wait for more than one row of cells would cost memory that grows with the image. */
#define SMALL 65536
#define MANY 20000

struct tile {
    size_t left;         /* pixels still to come */
    unsigned char *part; /* its chunks while they are incomplete, else NULL */
};
struct packed_chunk { unsigned char *bytes; size_t n; uint32_t mask; };

struct ep_h5_image {
    hid_t dset;
    char name[EP_NAME_LEN];
    enum ep_dtype dtype;
    size_t value;                /* bytes of one */
    size_t nnav, nt, ny, nx, nch; /* ny: rows of one time step */
    size_t ty, tx, te;           /* chunk */
    size_t cy, cx, ce;           /* chunks along each */
    size_t chunk_bytes;
    struct tile *tile;           /* [nt][cy][cx] */
    unsigned char *scratch;      /* one chunk */
    /* packed: */
    struct libdeflate_compressor *deflate;
    unsigned char *shuffled, *deflated;
    struct packed_chunk *waiting; /* [chunk], those that came before their turn */
    size_t next;
    /* not packed: */
    uint64_t *sum;               /* [chunk] */
};

static size_t parts(size_t n, size_t of) { return (n + of - 1) / of; }

static void image_free(struct ep_h5_image *m)
{
    if (m->tile)
        for (size_t i = 0; i < m->nt * m->cy * m->cx; i++)
            free(m->tile[i].part);
    if (m->waiting)
        for (size_t i = 0; i < m->nt * m->cy * m->cx * m->ce; i++)
            free(m->waiting[i].bytes);
    free(m->tile);
    free(m->waiting);
    free(m->sum);
    free(m->scratch);
    free(m->shuffled);
    free(m->deflated);
    if (m->deflate)
        libdeflate_free_compressor(m->deflate);
    free(m);
}

/* Energy-blocked chunks make windows cheap to read; equal blocks keep padding small (300 channels: 2 x 150). */
static void choose_chunks(struct ep_h5_image *m)
{
    m->ty = m->nnav >= 2 ? ep_min(PIXELS, m->ny) : 1;
    m->tx = m->nnav == 1 ? ep_min(EP_CELL_NX, m->nx) : ep_min(PIXELS, m->nx);
    m->te = parts(m->nch, parts(m->nch, CHANNELS));
    m->cy = parts(m->ny, m->ty);
    m->ce = parts(m->nch, m->te);
    while (m->tx < EP_CELL_NX && m->tx < m->nx
           && (m->ty * m->tx * m->te * m->value < SMALL || m->nt * m->cy * parts(m->nx, m->tx) * m->ce > MANY))
        m->tx = ep_min(2 * m->tx, m->nx);
    m->cx = parts(m->nx, m->tx);
    m->chunk_bytes = m->ty * m->tx * m->te * m->value;
}

/* What lies in the file at chunk (t, y, x, e), in elements. */
static void chunk_offset(const struct ep_h5_image *m, const size_t at[4], hsize_t *offset)
{
    const hsize_t all[4] = {at[0], at[1] * m->ty, at[2] * m->tx, at[3] * m->te};
    memcpy(offset, all + 3 - m->nnav, (m->nnav + 1) * sizeof *offset);
}

static hid_t image_creation(const struct ep_h5_image *m, bool packed)
{
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t all[4] = {1, m->ty, m->tx, m->te};
    bool ready = p >= 0 && H5Pset_obj_track_times(p, 0) >= 0 && H5Pset_attr_phase_change(p, 128, 96) >= 0
                 && H5Pset_chunk(p, (int)m->nnav + 1, all + 3 - m->nnav) >= 0
                 && H5Pset_fill_time(p, H5D_FILL_TIME_NEVER) >= 0
                 && H5Pset_alloc_time(p, packed ? H5D_ALLOC_TIME_INCR : H5D_ALLOC_TIME_EARLY) >= 0
                 && (!packed || (H5Pset_shuffle(p) >= 0 && H5Pset_deflate(p, 1) >= 0));
    return ready ? ep_hid_take(&p) : H5I_INVALID_HID;
}

/* The memory that the image needs throughout. */
static bool reserve(struct ep_h5_image *m, bool packed)
{
    size_t tiles = m->nt * m->cy * m->cx;
    m->tile = calloc(tiles, sizeof *m->tile);
    m->scratch = malloc(m->chunk_bytes);
    if (!m->tile || !m->scratch)
        return false;
    for (size_t t = 0, i = 0; t < m->nt; t++)
        for (size_t y = 0; y < m->cy; y++)
            for (size_t x = 0; x < m->cx; x++)
                m->tile[i++].left = ep_min(m->ty, m->ny - y * m->ty) * ep_min(m->tx, m->nx - x * m->tx);
    if (!packed)
        return (m->sum = calloc(tiles * m->ce, sizeof *m->sum)) != NULL;
    m->deflate = libdeflate_alloc_compressor(1);
    m->shuffled = malloc(m->chunk_bytes);
    m->deflated = malloc(m->chunk_bytes);
    m->waiting = calloc(tiles * m->ce, sizeof *m->waiting);
    return m->deflate && m->shuffled && m->deflated && m->waiting;
}

static void no_memory(struct ep_h5w *h, const char *name, size_t bytes)
{
    if (h->status == EP_OK)
        h->status = ep_fail(h->err, EP_E_COMPUTE, "out of memory: %zu bytes to write %s", bytes, name);
}

/* The caller's mistake, not the disk's. */
static void misuse(struct ep_h5w *h, const struct ep_h5_image *m, const char *what)
{
    if (h->status == EP_OK)
        h->status = ep_fail(h->err, EP_E_COMPUTE, "writing %s: image %s: %s", h->path, m->name, what);
}

struct ep_h5_image *ep_h5_image_new(struct ep_h5w *h, hid_t parent, const char *name, const struct ep_desc *d, bool packed)
{
    if (h->status != EP_OK)
        return NULL;
    struct ep_h5_image *m = ep_xcalloc(1, sizeof *m);
    m->dset = H5I_INVALID_HID;
    snprintf(m->name, sizeof m->name, "%s", d->name);
    m->dtype = d->dtype;
    m->value = ep_dtype_size(d->dtype);
    m->nnav = d->nnav;
    m->nt = d->nnav == 3 ? d->nav[0].size : 1;
    m->ny = d->nnav >= 2 ? d->nav[d->nnav - 2].size : 1;
    m->nx = d->nnav >= 1 ? d->nav[d->nnav - 1].size : 1;
    m->nch = d->energy.size;
    choose_chunks(m);
    if (!reserve(m, packed)) {
        no_memory(h, name, m->chunk_bytes);
        image_free(m);
        return NULL;
    }
    hsize_t dim[EP_MAX_AXES];
    const struct ep_axis *axis[EP_MAX_AXES];
    EP_AUTO_HID space = H5Screate_simple(ep_h5w_shape(d, dim, axis), dim, NULL);
    EP_AUTO_HID p = image_creation(m, packed);
    if (ep_h5w_ok(h, space < 0 ? space : p, name)) {
        m->dset = H5Dcreate2(parent, name, ep_h5w_file_type(m->dtype), space, H5P_DEFAULT, p, H5P_DEFAULT);
        ep_h5w_ok(h, m->dset, name);
    }
    if (h->status != EP_OK) {
        image_free(m);
        return NULL;
    }
    return m;
}

hid_t ep_h5_image_dataset(const struct ep_h5_image *m)
{
    return m ? m->dset : H5I_INVALID_HID;
}

/* ---- Chunks into the file ------------------------------------------------------------------------------- */

static void write_chunk(struct ep_h5w *h, struct ep_h5_image *m, size_t index, uint32_t mask, size_t n, const void *bytes)
{
    const size_t at[4] = {index / (m->ce * m->cx * m->cy), index / (m->ce * m->cx) % m->cy, index / m->ce % m->cx,
                          index % m->ce};
    hsize_t offset[4];
    chunk_offset(m, at, offset);
    ep_h5w_ok(h, H5Dwrite_chunk(m->dset, H5P_DEFAULT, mask, offset, n, bytes), m->name);
}

/* HDF5's shuffle: first all first bytes, then all second bytes, ... */
static void shuffle(unsigned char *restrict to, const unsigned char *restrict from, size_t n, size_t size)
{
    for (size_t j = 0; j < size; j++)
        for (size_t i = 0; i < n; i++)
            to[j * n + i] = from[i * size + j];
}

/* A chunk that shrinks by less than a twentieth is stored as it is: mask 3 says that both filters were skipped. */
static struct packed_chunk pack(struct ep_h5_image *m, const unsigned char *bytes)
{
    const unsigned char *from = bytes;
    if (m->value > 1) {
        shuffle(m->shuffled, bytes, m->chunk_bytes / m->value, m->value);
        from = m->shuffled;
    }
    size_t room = m->chunk_bytes - m->chunk_bytes / 20;
    size_t n = libdeflate_zlib_compress(m->deflate, from, m->chunk_bytes, m->deflated, room);
    if (n == 0)
        return (struct packed_chunk){(unsigned char *)bytes, m->chunk_bytes, 3};
    return (struct packed_chunk){m->deflated, n, 0};
}

static void emit(struct ep_h5w *h, struct ep_h5_image *m, size_t index, const unsigned char *bytes)
{
    if (h->status != EP_OK)
        return;
    if (!m->deflate) {
        m->sum[index] = XXH3_64bits(bytes, m->chunk_bytes);
        write_chunk(h, m, index, 0, m->chunk_bytes, bytes);
        return;
    }
    struct packed_chunk c = pack(m, bytes);
    if (index != m->next) {
        unsigned char *copy = malloc(c.n);
        if (!copy) {
            no_memory(h, m->name, c.n);
            return;
        }
        memcpy(copy, c.bytes, c.n);
        m->waiting[index] = (struct packed_chunk){copy, c.n, c.mask};
        return;
    }
    write_chunk(h, m, m->next++, c.mask, c.n, c.bytes);
    size_t chunks = m->nt * m->cy * m->cx * m->ce;
    while (h->status == EP_OK && m->next < chunks && m->waiting[m->next].bytes) {
        struct packed_chunk *w = &m->waiting[m->next];
        write_chunk(h, m, m->next++, w->mask, w->n, w->bytes);
        free(w->bytes);
        w->bytes = NULL;
    }
}

/* ---- Areas into chunks ---------------------------------------------------------------------------------- */

/* A rectangle of pixels within a tile, and where its first pixel lies in the values given. */
struct overlap { size_t y, x, ny, nx, from; };

/* Channels of block e of the overlap into their chunk. */
static void fill(const struct ep_h5_image *m, unsigned char *chunk, size_t e, struct overlap o, size_t row,
                 struct ep_h5w_values values)
{
    size_t n = ep_min(m->te, m->nch - e * m->te);
    for (size_t y = 0; y < o.ny; y++)
        for (size_t x = 0; x < o.nx; x++) {
            size_t to = ((o.y + y) * m->tx + o.x + x) * m->te;
            ep_h5w_convert(chunk + to * m->value, m->dtype, values, (o.from + y * row + x) * m->nch + e * m->te, n);
        }
}

static void add_to_tile(struct ep_h5w *h, struct ep_h5_image *m, size_t index, struct overlap o, size_t row,
                        struct ep_h5w_values values)
{
    struct tile *t = &m->tile[index];
    size_t pixels = o.ny * o.nx;
    if (pixels > t->left) {
        misuse(h, m, "an area came twice");
        return;
    }
    if (pixels == t->left && !t->part) { /* all of it at once: the usual case */
        bool short_tile = pixels < m->ty * m->tx;
        for (size_t e = 0; e < m->ce && h->status == EP_OK; e++) {
            if (short_tile || (e + 1) * m->te > m->nch)
                memset(m->scratch, 0, m->chunk_bytes);
            fill(m, m->scratch, e, o, row, values);
            emit(h, m, index * m->ce + e, m->scratch);
        }
        t->left = 0;
        return;
    }
    if (!t->part)
        t->part = calloc(m->ce, m->chunk_bytes);
    if (!t->part) {
        no_memory(h, m->name, m->ce * m->chunk_bytes);
        return;
    }
    for (size_t e = 0; e < m->ce; e++)
        fill(m, t->part + e * m->chunk_bytes, e, o, row, values);
    t->left -= pixels;
    if (t->left > 0)
        return;
    for (size_t e = 0; e < m->ce; e++)
        emit(h, m, index * m->ce + e, t->part + e * m->chunk_bytes);
    free(t->part);
    t->part = NULL;
}

void ep_h5_image_area(struct ep_h5w *h, struct ep_h5_image *m, struct ep_area a, struct ep_h5w_values values)
{
    if (h->status != EP_OK)
        return;
    if (a.ny == 0 || a.nx == 0)
        return;
    size_t rows = m->nt * m->ny;
    if (a.y0 >= rows || a.ny > rows - a.y0 || a.x0 >= m->nx || a.nx > m->nx - a.x0) {
        misuse(h, m, "an area reaches beyond the image");
        return;
    }
    for (size_t y = a.y0; y < a.y0 + a.ny;) {
        /* The rows of the area that lie in one row of tiles. */
        size_t t = y / m->ny, in = y % m->ny, ky = in / m->ty;
        size_t end = t * m->ny + ep_min((ky + 1) * m->ty, m->ny);
        size_t ny = ep_min(end, a.y0 + a.ny) - y;
        for (size_t x = a.x0; x < a.x0 + a.nx && h->status == EP_OK;) {
            size_t kx = x / m->tx;
            size_t nx = ep_min((kx + 1) * m->tx, a.x0 + a.nx) - x;
            struct overlap o = {in - ky * m->ty, x - kx * m->tx, ny, nx, (y - a.y0) * a.nx + (x - a.x0)};
            add_to_tile(h, m, (t * m->cy + ky) * m->cx + kx, o, a.nx, values);
            x += nx;
        }
        y += ny;
    }
}

/* HDF5's own checksum is a filter, and chunks behind a filter take their places in the file in the order of their arrival. */
static void write_sums(struct ep_h5w *h, const struct ep_h5_image *m, hid_t parent)
{
    const hsize_t n = m->nt * m->cy * m->cx * m->ce;
    EP_AUTO_HID space = H5Screate_simple(1, &n, NULL);
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    if (!ep_h5w_ok(h, space >= 0 && p >= 0 ? H5Pset_obj_track_times(p, 0) : -1, EP_CHECKSUMS))
        return;
    hid_t d = H5Dcreate2(parent, EP_CHECKSUMS, H5T_STD_U64LE, space, H5P_DEFAULT, p, H5P_DEFAULT);
    if (ep_h5w_ok(h, d, EP_CHECKSUMS))
        ep_h5w_ok(h, H5Dwrite(d, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, m->sum), EP_CHECKSUMS);
    ep_h5w_text(h, d, "long_name", "XXH3-64 of each chunk of data, as stored");
    ep_h5w_done(h, &d);
}

void ep_h5_image_end(struct ep_h5w *h, struct ep_h5_image *m, hid_t sums)
{
    if (!m)
        return;
    if (h->status == EP_OK)
        for (size_t i = 0; i < m->nt * m->cy * m->cx; i++)
            if (m->tile[i].left > 0) {
                misuse(h, m, "some pixels never came");
                break;
            }
    ep_h5w_done(h, &m->dset);
    if (h->status == EP_OK && m->sum && sums >= 0)
        write_sums(h, m, sums);
    image_free(m);
}
