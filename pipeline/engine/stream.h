/* Cells through steps: one read of the sources, every step of the pass applied to each cell while it is in cache.
 *
 * Threads: the caller's thread does the HDF5 calls (fetching pieces, writing kept images); workers inflate, convert and
 * compute. One thread does a cell. Accumulators of reductions, one per cell, merge in a fixed binary tree over cell
 * numbers. Memory: two blocks per source, per-thread strips, maps, accumulators; it does not grow with the file.
 */
#ifndef EP_ENGINE_STREAM_H
#define EP_ENGINE_STREAM_H
#include <signal.h>
#include <stdatomic.h>
#include "pipeline/base/log.h"
#include "pipeline/io/file.h"
#include "pipeline/io/result.h"
#include "pipeline/stage.h"

struct ep_pass_source {
    struct ep_source *src;             /* images and spectra */
    const struct ep_signal *map;       /* or a map in memory, streamed as cells of one channel */
    const struct ep_desc *d;           /* what stages see */
    const unsigned char *mask;         /* excluded pixels or NULL */
    /* found by ep_pass_run: */
    struct ep_range want; size_t margin;
};
/* An input of a node: source or output of an earlier node of the pass. */
struct ep_pass_in { bool from_node; size_t index; size_t out; };
struct ep_pass_node {
    const struct ep_stage *stage;
    const struct ep_declare *decl;
    const void *plan;
    size_t nin; struct ep_pass_in *in; /* streamed items, port by port */
    struct ep_signal **out;            /* [nout]: maps (filled by the pass), reduce outputs (finished); NULL: not wanted, or an image */
    struct ep_writer *writer;          /* for kept images; NULL: none */
    bool *keep;                        /* [nout] */
    const char *label;
    size_t flag_count[EP_NFLAGS], flagged, pixels;   /* out: pixels flagged, by reason */
    struct ep_err err;                 /* out: why this node has no result though the pass went through */
};
struct ep_pass {
    size_t nsource; struct ep_pass_source *source;
    size_t nnode; struct ep_pass_node *node;     /* in order */
    unsigned threads;
    size_t memory;                     /* bytes for blocks; 0: 64 MiB */
    const atomic_int *stop;            /* set by a signal: the pass ends with EP_E_STOPPED; NULL: none */
    struct ep_log *log; const char *label;
};
/* EP_E_INPUT (a source), EP_E_OUTPUT (a writer), EP_E_COMPUTE, EP_E_STOPPED. Outputs are complete only on EP_OK, and only of nodes
 * without an error of their own: one that can't end its sums fails alone. */
ep_status ep_pass_run(struct ep_pass *p, struct ep_err *e);
#endif
