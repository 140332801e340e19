/* Axes and signals: what an array means.
 *
 * Order is [time][y][x][energy], C order, energy fastest. Navigation axes of any number fold into a grid of
 * ny x nx pixels: none -> 1 x 1, one (x) -> 1 x nx, two -> ny x nx, three (t, y, x) -> (nt*ny) x nx.
 * Channel i of a spectral axis is the bin of width scale centred at offset + i*scale.
 */
#ifndef EP_DATA_SIGNAL_H
#define EP_DATA_SIGNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "pipeline/base/err.h"
#include "pipeline/base/hash.h"
#include "pipeline/base/units.h"

#define EP_MAX_NAV 3
#define EP_MAX_AXES 4
#define EP_NAME_LEN 64

struct ep_axis {
    char name[EP_NAME_LEN];
    char unit[16];          /* "eV", "keV", "nm", ... or "" = not known */
    double offset, scale;   /* in unit; scale is finite and not 0 */
    size_t size;
};
/* Size of the axis's unit in eV (energies) or nm (lengths); 1 when the unit is unknown or of no such dimension. */
double ep_axis_unit_factor(const struct ep_axis *a);
/* Value of a (fractional) index in eV or nm. */
double ep_axis_at(const struct ep_axis *a, double index);

struct ep_range { size_t first, end; };   /* channels first <= i < end */
/* The channels with lo <= E_i + shift < hi (eV; tolerance 1e-3 channel: files store scales as float32, which puts channel 600
 * off by 1e-4; an axis may run downwards), clipped to the axis.
 * *clipped tells whether the window reaches more than half a channel beyond the axis. An empty range has first == end. */
struct ep_range ep_axis_window(const struct ep_axis *a, double lo, double hi, double shift, bool *clipped);

enum ep_kind {           /* bits: a port accepts several */
    EP_IMAGE    = 1,     /* spectrum image: navigation (0 to 3 axes) + spectral */
    EP_MAP      = 2,     /* navigation only */
    EP_PROFILE  = 4,     /* one distance axis */
    EP_SPECTRUM = 8,     /* one spectral axis, no navigation; streams as an image of one pixel */
    EP_CURVE    = 16,    /* points in nm in a frame */
    EP_TABLE    = 32,    /* named columns */
    EP_FILE     = 64     /* bytes that are written beside the result, as <step>.<name>: "pdf", "a.csv". Never an input */
};
const char *ep_kind_name(enum ep_kind k);  /* "spectrum image", ... */

/* What is known of how the signal was taken; NAN = not known. */
struct ep_meta {
    char signal_type[16];    /* "EELS", "EDS_TEM", "" */
    char title[128];
    double beam_energy_kev, convergence_mrad, collection_mrad, dwell_time_s, live_time_s, exposure_s;
    double beam_current_na;
};
void ep_meta_init(struct ep_meta *m);

enum ep_dtype { EP_F32, EP_F64, EP_U8, EP_U16, EP_U32, EP_I8, EP_I16, EP_I32 };
size_t ep_dtype_size(enum ep_dtype t);
const char *ep_dtype_name(enum ep_dtype t);

/* Whether the errors of neighbouring pixels are independent (design section 8). */
enum ep_noise_kind { EP_NOISE_INDEPENDENT, EP_NOISE_CORRELATED, EP_NOISE_UNKNOWN };

/* The noise of channels below `end`, where these were exposed otherwise than the rest (low and core loss joined); end 0: none. */
struct ep_low_noise { size_t end; double gain, read_noise; };

/* Description of a signal: all that can be known without its values. */
struct ep_desc {
    char name[EP_NAME_LEN];       /* output name: "net", "lines.Ti_Ka" is "Ti_Ka" */
    enum ep_kind kind;
    size_t nnav;                  /* navigation axes, in order of the array */
    struct ep_axis nav[EP_MAX_NAV];
    bool spectral;                /* has a spectral axis */
    struct ep_axis energy;
    enum ep_dtype dtype;          /* how the values are stored on disk and (maps F32, others F64) held in memory */
    char unit[32];                /* of the values: "counts", "eV", "" */
    char long_name[128];          /* "Net intensity" */
    bool has_sigma;               /* maps, profiles, spectra: <name>_errors goes with it */
    bool primary;                 /* what `input: step` means and what viewers open on */
    enum ep_noise_kind noise; double noise_px; /* correlation length in pixels */
    double gain;                  /* counts per electron: variance = gain*counts + read_noise^2 */
    double read_noise;            /* per channel of this signal, counts */
    struct ep_low_noise low;      /* images and spectra: channels whose noise is another one */
    bool gain_estimated;
    double shift_max;             /* eV; > 0: each pixel carries a shift of its energy axis of at most this */
    bool quotient;                /* values are quotients of `numerator` and `denominator` of the same step, with `covariance`:
                                     whatever averages them divides sums of those, since the mean of quotients is biased */
    double placement_sigma;       /* nm: of the distance axis as a whole, from the registration of its scan; 0: none, or not known */
    bool shared;                  /* a part of the error is common to all pixels: `<name>_shared` of the same step has it, as one sigma whose
                                     sum over a region adds in squares to the sum of `sigma` in squares */
    bool modelled;                /* carries a model of its noise: a net image that of its background, with its covariance (model.h) */
    bool deconvolved;             /* `modelled` too: plural scattering is taken off, and what channels share of that noise is carried */
    char frame[EP_NAME_LEN];      /* named by the recipe; "" = that of its own scan */
    uint64_t frame_id;            /* while running: equal for signals of one frame, 0 = not known; not in files */
    struct ep_meta meta;
};
void ep_desc_init(struct ep_desc *d);
size_t ep_desc_ny(const struct ep_desc *d);
size_t ep_desc_nx(const struct ep_desc *d);
size_t ep_desc_nch(const struct ep_desc *d);    /* 1 without a spectral axis */
/* Whether positions in nm of the two mean the same place: one frame by the recipe's word, or one scan. */
bool ep_desc_same_frame(const struct ep_desc *a, const struct ep_desc *b);
bool ep_desc_same_grid(const struct ep_desc *a, const struct ep_desc *b); /* same ny, nx */

/* A column of a table: numbers or texts. */
struct ep_column { char name[EP_NAME_LEN], unit[32]; bool is_text; double *num; double *sigma; char **text; };

#define EP_CURVE_COLS 5
/* A whole signal in memory. Owns what it points to. */
struct ep_signal {
    struct ep_desc d;
    size_t n;              /* values: ny*nx*nch; curve: points; table: rows */
    float *f32; double *f64;       /* one of the two, by kind: maps and images F32, else F64. Canonical NaN, no -0 */
    float *sigma32; double *sigma64; /* NULL when !has_sigma */
    uint32_t *flags;       /* per pixel (maps); NULL = none */
    size_t nband; double *band; /* profiles: [n][nband], covariance of bin i with bin i + 1 + k (design: splitting
                              pixels between bins correlates neighbours); NULL = independent */
    double *points;        /* curve: [n][EP_CURVE_COLS]: y nm, x nm, unit normal (y, x) towards the positive side, sigma nm along it */
    size_t ncol; struct ep_column *col;  /* table */
    char *bytes;                   /* file: n of them */
    struct ep_model *model; double *theta, *cmat; /* modelled spectra and images: see model.h; per pixel */
    double *shift;         /* eV per pixel, images with shift_max > 0 */
    struct ep_hash fingerprint;   /* of the node's output or file this came from */
};
/* Allocates the arrays that d asks for (zeroed; maps get flags). Fails with the bytes wanted. */
ep_status ep_signal_new(const struct ep_desc *d, struct ep_signal **out, struct ep_err *e);
void ep_signal_free(struct ep_signal *s);
double ep_signal_get(const struct ep_signal *s, size_t i);
/* A number of a table of one row and, unless NULL, its sigma; NaN when it is not there. t may be NULL. */
double ep_table_number(const struct ep_signal *t, const char *column, double *sigma);
double ep_signal_sigma(const struct ep_signal *s, size_t i); /* NAN when there is none */
/* One NaN, no negative zero, values rounded as stored: makes bytes depend on values alone. */
void ep_signal_canonical(struct ep_signal *s);
/* A file of n bytes, which it takes over (from malloc), also on failure. */
ep_status ep_bytes_new(const char *name, char *bytes, size_t n, struct ep_signal **out, struct ep_err *e);
/* A table of n rows; columns are added one by one (names unique). text != NULL copies the strings. */
ep_status ep_table_new(const char *name, size_t rows, struct ep_signal **out, struct ep_err *e);
ep_status ep_table_add(struct ep_signal *t, const char *name, const char *unit, const double *num, const double *sigma,
                       const char *const *text, struct ep_err *e);
#endif
