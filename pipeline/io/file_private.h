/* What the readers of the file family share: file.c opens, read_*.c describe what they find, source.c and load.c read
 * values, fingerprint.c hashes. Nothing outside io/ includes this. */
#ifndef EP_IO_FILE_PRIVATE_H
#define EP_IO_FILE_PRIVATE_H
#include "pipeline/io/file.h"
#include "pipeline/io/h5util.h"

#define EP_MAX_SIGNALS 4096
#define EP_ROLE_ENERGY (-1)

enum ep_origin_kind { EP_FROM_HYPERSPY, EP_FROM_RESULT, EP_FROM_NEXUS };

/* One signal of a file. */
struct ep_item {
    struct ep_desc d;
    enum ep_origin_kind from;
    char *group;              /* absolute path of the HyperSpy experiment or NXdata group */
    char *label;              /* last part of group, uncut */
    char *data;               /* absolute path of the dataset; NULL for tables */
    int rank;
    size_t dim[EP_MAX_AXES];  /* of the array */
    int role[EP_MAX_AXES];    /* of each dimension: number of its navigation axis, or EP_ROLE_ENERGY */
    bool has_flags, has_shift;/* per-pixel datasets beside data */
    size_t nband;             /* profiles: columns of the dataset data_band beside data, 0 = none */
    struct ep_model *model;   /* NULL unless modelled */
    char errors[EP_NAME_LEN + 16]; /* dataset of the errors, relative to group */
};

/* A signal that is there but cannot be used, and why. */
struct ep_refusal {
    char *label, *why;
    bool foreign; /* not a signal of ours at all (texts, complex numbers): nobody means it when no name is given */
};

struct ep_file {
    char *path;
    hid_t id;
    int fd;                /* the descriptor that HDF5 itself reads from; -1 if addresses cannot be used with it */
    size_t bytes;          /* size of the file */
    unsigned long fileno;  /* HDF5's number of this file: tells external links */
    struct ep_item *item;
    size_t n, cap;
    struct ep_refusal *refused;
    size_t nrefused, refused_cap;
    struct ep_origin origin;
    char *origin_text[8];
};

/* What to do about values that can't be read: results can be made again. */
static inline const char *ep_damaged_hint(const struct ep_item *it)
{
    return it->from == EP_FROM_RESULT ? "damaged result: delete the file and run again, or make it anew with --force" : "damaged file?";
}

/* Called at every failure inside HDF5; NULL: nothing is. Set before the library is used. */
extern H5E_auto2_t ep_hdf5_on_error;

/* Room for one more signal, its group and label set, everything else initialised. */
struct ep_item *ep_file_add(struct ep_file *f, enum ep_origin_kind from, const char *group);
/* Takes back the signal added last and notes why it cannot be used. */
void ep_file_refuse(struct ep_file *f, bool foreign, const char *why);

/* Opens its dataset and finds rank, sizes and type. On failure the reason is in why, and *foreign set if it is no
 * array of numbers. */
bool ep_item_dataset(struct ep_file *f, struct ep_item *it, const char *data_path, bool *foreign, char *why, size_t cap);

/* An axis as a file gives it, before it is known what it is. */
struct ep_raw_axis { struct ep_axis a; bool has_navigate, navigate, has_scale; };
enum ep_layout_hint { EP_HINT_NONE, EP_HINT_SPECTRUM, EP_HINT_IMAGE }; /* record_by, interpretation */
/* Decides kind, navigation and energy axes from units and flags; false and the reason if they do not tell. */
bool ep_item_classify(struct ep_item *it, const struct ep_raw_axis *ax, enum ep_layout_hint hint, char *why, size_t cap);
/* Checks a vector of coordinates and makes offset and scale of it; false unless it is uniform. */
bool ep_axis_from_vector(struct ep_axis *a, const double *v, size_t n);
/* The vector `name` beside the data; false unless it is 1-D, of numbers, of n values. Caller frees *v. */
bool ep_axis_vector(hid_t group, const char *name, size_t n, double **v);

/* The three walkers add what they find. They fail only where the file as a whole cannot be used. */
ep_status ep_walk_hyperspy(struct ep_file *f, struct ep_err *e);
ep_status ep_walk_result(struct ep_file *f, struct ep_err *e);
ep_status ep_walk_nexus(struct ep_file *f, struct ep_err *e);

/* How the values of a dataset lie in the file. */
struct ep_store {
    hid_t set;                   /* open dataset */
    hid_t type;                  /* its file type */
    hid_t native;                /* a predefined native type of the item's dtype (not to be closed) */
    enum ep_dtype dtype;
    size_t esize;
    bool as_native;              /* bytes on disk are values in memory */
    H5D_layout_t layout;
    haddr_t address;             /* contiguous: first byte in the file, or HADDR_UNDEF */
    int rank;
    size_t dim[EP_MAX_AXES], chunk[EP_MAX_AXES];  /* chunk = dim unless chunked */
    size_t nchunk[EP_MAX_AXES];  /* chunks along each dimension */
    size_t chunks, chunk_bytes;
    int nfilter, shuffle, deflate, fletcher;  /* place in the pipeline, -1 = not there; deflate stands for LZF too */
    bool lzf;
    bool direct;                 /* stored bytes can be read and decoded here */
    bool foreign;                /* some filter is left to HDF5 and its plug-ins */
};
/* path is absolute. Refuses filters that are not there and chunks over 1 GiB. The caller closes it. */
ep_status ep_store_open(const struct ep_file *f, const char *path, enum ep_dtype dtype, struct ep_store *s, struct ep_err *e);
void ep_store_close(struct ep_store *s);

/* Where each chunk lies; entries of chunks that are not allocated have bytes = 0. Index = row-major number of the chunk. */
struct ep_chunk_at { haddr_t address; size_t bytes; unsigned mask; };
#define EP_ADDRESSED_CHUNKS 1024 /* above this the look-up, O(chunks^2) in HDF5 1.10, costs more than it saves */
/* NULL where there are too many, or addresses cannot be trusted: then read with ep_chunk_read. */
struct ep_chunk_at *ep_store_addresses(const struct ep_file *f, const struct ep_store *s);
/* The stored bytes of one chunk into *buf (grown as needed); *bytes = 0 if the chunk is not allocated. */
ep_status ep_chunk_read(const struct ep_file *f, const struct ep_store *s, const size_t *chunk, void **buf, size_t *capacity,
                        size_t *bytes, unsigned *mask, struct ep_err *e);
/* All of n bytes at an offset of the file, from any thread. */
ep_status ep_pread_all(const struct ep_file *f, void *buf, size_t n, size_t offset, struct ep_err *e);
/* Makes room in a reused buffer; the old content is lost. */
ep_status ep_reserve(void **buf, size_t *capacity, size_t bytes, const char *what, struct ep_err *e);

/* ---- hashing ---- */

/* A contiguous array whose bytes are all in the file at one place, whatever their type: their number, else 0. */
size_t ep_store_contiguous(const struct ep_file *f, const struct ep_store *s);
/* The array is hashed in units, each by itself, so that threads can share the work and hash what they compute with: stored
 * chunks; of a contiguous array up to 64 pixels (along the last dimension but one: what a row of a cell holds), or some
 * bytes of a pixel (the last dimension) over 4 MiB. That depends on its shape alone. */
struct ep_units {
    size_t count;
    size_t outer, step, per; /* bytes of what is cut, bytes of a unit (the last may have less), units in each outer */
    size_t pixels;           /* that a unit holds; 0: bytes of a pixel, or chunks */
};
/* bytes: of the contiguous array, 0 = chunks. */
void ep_units_of(const struct ep_store *s, size_t bytes, struct ep_units *u);
/* Hash of the stored bytes of a unit, in canonical form. */
struct ep_digest { unsigned char hash[16]; uint64_t bytes; uint32_t mask; bool known; };
/* What is known already of the array of the values: how it lies, and digests of its units, known or not. */
struct ep_hashed { const struct ep_store *st; const struct ep_chunk_at *at; const struct ep_digest *digest; };
ep_status ep_fingerprint_from(struct ep_file *f, size_t i, unsigned nthreads, const struct ep_hashed *h, struct ep_hash *out,
                              struct ep_err *e);
#endif
