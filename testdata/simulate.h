/*
 * What the parts of the simulator share: its version, how they report an error, how they write
 * a text file, and the commands.
 */
#ifndef SIM_SIMULATE_H
#define SIM_SIMULATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Raise it when the same parameters give other bytes: files made before are then made again. */
#define SIM_VERSION 3

/* Exit codes, the same as those of eelpipe. */
enum { SIM_OK = 0, SIM_FAILED = 1, SIM_USAGE = 2, SIM_OUTPUT = 4 };

struct sim_err {
    int code;
    char text[768];
};

/* Keeps the first error. Returns its code, so that `return sim_fail(...)` reads well. */
int sim_fail(struct sim_err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- text files: written beside their place, then renamed ---- */

struct sim_text {
    FILE *stream;
    char path[4096], temporary[4128];
    int depth;      /* of open JSON objects and arrays */
    int first;      /* nothing stands yet in the innermost one */
};

int sim_text_open(struct sim_text *text, const char *path, struct sim_err *err);
/* Closes and renames. On failure the temporary is removed. */
int sim_text_close(struct sim_text *text, struct sim_err *err);

/* JSON: a NULL name stands for an array element. Numbers are printed with %.17g or less. */
void sim_json_open(struct sim_text *text, const char *name, char bracket);
void sim_json_close(struct sim_text *text, char bracket);
void sim_json_number(struct sim_text *text, const char *name, double value);
void sim_json_text(struct sim_text *text, const char *name, const char *value);

/* Creates a folder and its parents. */
int sim_make_folder(const char *path, struct sim_err *err);

/* ---- the commands ---- */

enum { SIM_MAX_SAMPLES = 2, SIM_MAX_TEMPERATURES = 64 };

/* What the specimen looks like, where it may differ from the default series. */
struct sim_specimen {
    int profile;                            /* enum sim_profile, of Ti and La */
    int wavy;                               /* 0: a straight boundary */
    double wave_nm, wavelength_nm;          /* amplitude and length of the waves */
    int no_diffusion, flip;                 /* flip: mirrored in x, NCM at low x */
    double tilt_degree;                     /* of the boundary; NAN: the sample's own */
    double drift;                           /* factor on the drift between scans */
    double lithium;                         /* factor on all lithium; 0: none */
    double thickness_spread;                /* largest deviation of a run's thickness from 60 nm */
};

/* The X-ray scans. NAN: each run draws its own small error of the energy axis. */
struct sim_eds_series {
    size_t ny, nx;
    double dose;                            /* factor on the dwell time, beside the series' */
    double offset_error_ev, gain_error, width_error_ev;
    double tail;
};

struct sim_series {
    const char *folder;
    uint64_t seed;
    size_t ny, nx;                          /* of the EELS scans */
    double dose;                            /* factor on every dwell time */
    struct sim_specimen specimen;
    struct sim_eds_series eds;
    int samples[SIM_MAX_SAMPLES];           /* enum sim_sample */
    size_t nsamples;
    int temperatures[SIM_MAX_TEMPERATURES]; /* degC */
    size_t ntemperatures;
    int if_missing;
    unsigned threads;
};

int sim_series(const struct sim_series *series, struct sim_err *err);

enum sim_layout { SIM_CONTIGUOUS, SIM_CHUNKED, SIM_CHUNKED_PIXEL, SIM_CHUNKED_HYPERSPY };

struct sim_powerlaw {
    const char *path;
    uint64_t seed;
    size_t ny, nx, nchannels;
    double scale_ev, offset_ev;     /* channel i is centred at offset + i * scale */
    double amplitude, reference_ev; /* counts per channel at the reference energy */
    double counts;                  /* mean counts per channel; replaces amplitude when > 0 */
    double exponent, exponent_step; /* r(x) = exponent + exponent_step * x, x = column index */
    double edge_onset_ev, edge_jump, edge_exponent;
    int noise;                      /* 1 Poisson, 0 none */
    enum sim_layout layout;
    char dtype[8];                  /* "f4", ">u2", ... */
    int compress;
    unsigned threads;
};

int sim_powerlaw(const struct sim_powerlaw *power, struct sim_err *err);

enum { SIM_COMPOSITION = 12 };

struct sim_eds_image {
    const char *path;
    uint64_t seed;
    size_t ny, nx, nchannels;
    double scale_kev, offset_kev;   /* channel i is centred at offset + i * scale */
    double amount[2][SIM_COMPOSITION]; /* atoms per area, relative, of enum sim_element */
    int two_regions;                /* columns x >= nx / 2 have the second */
    double counts;                  /* mean counts per pixel, without the noise peak */
    double background;              /* factor on bremsstrahlung */
    double noise_peak;              /* counts per pixel at zero energy */
    double offset_error_ev, gain_error, width_error_ev, tail;
    int no_escape;
    int noise;                      /* 1 Poisson, 0 none */
    enum sim_layout layout;
    char dtype[8];
    int compress;
};

int sim_eds_image(const struct sim_eds_image *image, struct sim_err *err);

/* Prints what a run of the default recipe wrote to `out` next to the truth of the series. */
int sim_compare(const char *out, const char *series, struct sim_err *err);

#endif
