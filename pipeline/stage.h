/* The contract of a stage. One stage is one file in stages/ that defines one `const struct ep_stage`: its tables, then
 * declare, want, prepare, and exactly one of apply (pixel by pixel, on cells), reduce (over all cells), whole (on signals
 * in memory). Adding a stage touches its own file, its test, and one line of stages/registry.c.
 *
 * Life of a node (one step for one run):
 *   declare   axes only: says what comes out, which halo, how much scratch; reports every mistake with its place.
 *             `check` calls it too. Allocates only from d->arena.
 *   want      which channels of each streamed input are needed for the outputs that somebody wants.
 *   (look)    a private stage run before on the same inputs; its outputs reach prepare whole.
 *   prepare   whole inputs are in memory; makes the plan: weights, channel ranges. The plan is const afterwards.
 *   apply | add, merge, finish | whole
 *   free_plan
 *
 * Bits: results must depend on the pixels' values alone, never on cell borders, threads, chunks or which steps share
 * the pass. apply computes each output pixel from its input pixels (and halo) by a fixed sequence of operations.
 */
#ifndef EP_STAGE_H
#define EP_STAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "pipeline/base/diag.h"
#include "pipeline/base/err.h"
#include "pipeline/base/value.h"
#include "pipeline/data/cell.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model.h"
#include "pipeline/data/signal.h"
#include "pipeline/param.h"

/* One input of a stage. The first port is always "input". Ports other than "input" are keys of the step. */
struct ep_port {
    const char *name, *doc;
    unsigned kinds;       /* bits of ep_kind */
    bool stream;          /* arrives cell by cell (images, spectra, maps); else whole, in memory */
    bool paired;          /* left out in the recipe: the `pair:` of the input that the first port comes from, if any */
    bool series;          /* with `over`: one item per collected run, with its coordinates */
    bool relative;        /* this step's own primary result of the run that the key `relative_to` names (the port's name);
                             whole; absent when the key is not given, and for the run that is itself the reference */
    size_t min, max;      /* items; max 0: any number */
};
/* What comes out, for help and docs; declare says which of them really do. A name may be a pattern: "<line>". */
struct ep_outdoc { const char *name; enum ep_kind kind; const char *unit, *doc; };

struct ep_coord { const char *name, *text, *unit; double num; bool number; };  /* one coordinate of an item */
struct ep_item {
    const struct ep_desc *d;
    const char *label;                 /* "o", "o_net.net": as the recipe names it */
    const struct ep_signal *whole;     /* ports that are not streamed: set from prepare on */
    size_t ncoord; const struct ep_coord *coord;   /* series ports */
    uint64_t shared;                   /* bit k: it does not depend on coord[k], it is that of every value */
    bool missing;                      /* series: could not be computed; d and whole are NULL */
};
struct ep_items { size_t n; const struct ep_item *v; };

/* Pixel (i, j) of the output grid covers input rows y0 + i*fy .. + fy-1 and columns x0 + j*fx .. + fx-1. */
struct ep_regrid { bool on; size_t y0, x0, fy, fx, ny, nx; };

struct ep_declare {
    /* given */
    const struct ep_stage *stage;
    const void *par;
    const struct ep_value *step;       /* the step's mapping: places of parameters; may be NULL */
    struct ep_pos pos;                 /* of the step */
    const char *step_name;
    const struct ep_items *in;         /* [nports] */
    const char *const *elements;       /* of the recipe; NULL-terminated; may be NULL */
    const char *repeat;                /* coordinate named by `repeat`, or NULL */
    struct ep_arena *arena;
    struct ep_diag *diag;
    /* made */
    struct ep_desc *out; size_t nout;  /* through ep_declare_output() */
    size_t halo;                       /* neighbours needed on each side, in pixels */
    struct ep_regrid regrid;           /* image outputs stand on another grid: they are always written and read back by later steps */
    size_t scratch;                    /* bytes a thread gives to apply or add: zeros at first, kept for all of a pass */
    size_t acc;                        /* reduce: bytes of an accumulator (plain data, starts as zeros) */
};
/* A new output, zeroed by ep_desc_init, valid until the next call. Names are unique. */
struct ep_desc *ep_declare_output(struct ep_declare *d, const char *name, enum ep_kind kind);
/* A map of one value per pixel on the grid of `like`. unit and long_name as in files. */
struct ep_desc *ep_declare_map(struct ep_declare *d, const char *name, const struct ep_desc *like, const char *unit,
                               const char *long_name, bool sigma);
/* A mistake at the place of a parameter (or of the step, when param is NULL or not given). */
void ep_declare_error(struct ep_declare *d, const char *param, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ep_declare_warn(struct ep_declare *d, const char *param, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The channels of a window (eV), checked: inside the axis (with the input's shift_max kept in mind it may reach over: that is
 * per pixel then), at least min_channels. Reports mistakes at `param`; empty range then. */
struct ep_range ep_declare_window(struct ep_declare *d, const char *param, const struct ep_desc *image, const double window[2],
                                  size_t min_channels);
/* The channels that a window may touch when pixels are shifted by up to image->shift_max. */
struct ep_range ep_reach(const struct ep_desc *image, double lo, double hi);
struct ep_range ep_range_hull(struct ep_range a, struct ep_range b);   /* an empty range adds nothing */

struct ep_want { bool wanted; struct ep_range ch; };  /* ch: images and spectra */

struct ep_prepare {
    const void *par;
    const struct ep_items *in;         /* whole items are set */
    struct ep_desc *out; size_t nout;  /* low.gain that declare left NaN (a look finds it) is set here: what streams from it declares again */
    struct ep_signal *const *look; size_t nlook;  /* outputs of the look, in its declare's order */
    const char *repeat;
    bool reference;                    /* this run is itself the one that relative_to names */
    const char *chain, *fingerprint, *version;    /* of the node: how all of it was made (JSON, as in results), its own
                                                     fingerprint, the program's version. NULL outside the engine */
};
struct ep_apply {
    const void *plan;
    void *scratch;
    const struct ep_cell *in; size_t nin;   /* streamed items, port by port */
    struct ep_cell *out; size_t nout;       /* in declare's order; val == NULL: not wanted. An image may point into its input */
    uint32_t *flag;                         /* [ny][nx] of the output area; starts as the OR of the inputs' flags */
    double *shift, *theta, *cmat;           /* of an image output: room for what each pixel carries; point the cell at them */
    struct ep_area area;                    /* output pixels to compute; equal to out[i].a */
};

struct ep_stage {
    const char *name, *summary, *reference;
    const char *method;                     /* a few sentences: what is done, what to choose, what it does to sigmas */
    unsigned version;                       /* raised when numbers change; part of the fingerprint */
    const struct ep_param *params; size_t params_size;
    const struct ep_port *ports; size_t nports;
    const struct ep_outdoc *outputs; size_t noutputs;

    const struct ep_stage *look;            /* same params and ports; NULL: none */
    bool (*wants_look)(const void *par);    /* NULL: always when look is set */

    void (*declare)(struct ep_declare *d);
    void (*want)(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in); /* in: streamed items, starts as all channels */
    ep_status (*prepare)(const struct ep_prepare *p, void **plan, struct ep_err *e);         /* NULL: plan is NULL */
    void (*free_plan)(void *plan);
    void (*describe)(const void *plan, struct ep_desc *out);   /* NULL, or: what only the plan knows of the outputs, such as their gain */

    ep_status (*apply)(const struct ep_apply *a, struct ep_err *e);                          /* thread-safe, allocates nothing */

    ep_status (*add)(const struct ep_apply *a, void *acc, struct ep_err *e);                 /* a->out is NULL */
    void (*merge)(const void *plan, void *left, const void *right);
    ep_status (*finish)(const void *plan, void *acc, struct ep_signal **out, struct ep_err *e);

    /* out[i] is allocated for maps, profiles, spectra; curves, tables and files are made by the stage. NULL: not wanted (never for those). */
    ep_status (*whole)(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e);

    /* The output that another name stands for ("Ti": "Ti_Ka"), after declare; NULL: none. The hook itself may be NULL. */
    const char *(*output_alias)(const struct ep_declare *d, const char *name);
};
#endif
