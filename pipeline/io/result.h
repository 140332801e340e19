/* Result files: one per node, <output>/<step>.hspy, in the layout that HyperSpy, H5Web and silx open (every array once,
 * hard-linked under /entry (NeXus) and /Experiments (HyperSpy)).
 *
 * Written to a temporary name beside its place, flushed, closed, synced, renamed, the folder synced: a reader sees the
 * old file or the new one. Bytes depend on what is written alone: no times, hosts or paths inside; chunks of images are
 * allocated early, so the order in which areas arrive does not matter. A failed close (disk full) is EP_E_OUTPUT and the
 * writer must not touch HDF5 again; main leaves with _exit.
 */
#ifndef EP_IO_RESULT_H
#define EP_IO_RESULT_H
#include "pipeline/base/err.h"
#include "pipeline/data/model.h"
#include "pipeline/data/signal.h"

struct ep_record {            /* what the file says of itself; all texts, canonical */
    const char *step, *stage; int stage_version;
    const char *version;      /* of the program */
    const char *fingerprint;
    const char *parameters;   /* canonical JSON, defaults included */
    const char *chain;        /* canonical JSON: this step and all before it down to the raw inputs, with fingerprints */
    const char *inputs;       /* canonical JSON: [{"port":..., "fingerprint":...}, ...] */
    const char *elements;     /* "Li O Ti" or "" -> metadata Sample */
};
struct ep_writer;
/* Creates the folders of path. EP_E_OUTPUT names the path and the system's reason. */
ep_status ep_writer_open(const char *path, const struct ep_record *rec, struct ep_writer **out, struct ep_err *e);
/* The whole of a signal in memory (map, profile, spectrum, table, curve, image). The one with d.primary becomes the default. */
ep_status ep_writer_put(struct ep_writer *w, const struct ep_signal *s, struct ep_err *e);
/* An image that arrives in areas: begin, any number of areas, end with what each pixel carries (NULL where it carries none). */
ep_status ep_writer_image_begin(struct ep_writer *w, const struct ep_desc *d, size_t *handle, struct ep_err *e);
ep_status ep_writer_image_area(struct ep_writer *w, size_t handle, struct ep_area a, const float *val /* dense [ny][nx][nch] */,
                               struct ep_err *e);
ep_status ep_writer_image_end(struct ep_writer *w, size_t handle, const struct ep_model *model, const double *theta,
                              const double *cmat, const double *shift, const uint32_t *flag, struct ep_err *e);
/* Ends the file under its final name and frees w, whatever happens. */
ep_status ep_writer_commit(struct ep_writer *w, struct ep_err *e);
/* Removes the temporary file and frees w; NULL is allowed. */
void ep_writer_abort(struct ep_writer *w);

/* Text files (CSV, JSON, logs) in the same manner: beside, synced, renamed. */
ep_status ep_write_text(const char *path, const char *text, size_t n, struct ep_err *e);
/* mkdir -p */
ep_status ep_make_folders(const char *path, struct ep_err *e);
/* Removes temporaries (".*.eelpipe.<host>.<pid>.tmp") in folder whose process is dead on this host, or a day old. */
void ep_sweep_temporaries(const char *folder);
#endif
