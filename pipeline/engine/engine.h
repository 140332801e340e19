/* From a recipe to results: what `run`, `plan`, `check`, `status` and `stage` call. */
#ifndef EP_ENGINE_ENGINE_H
#define EP_ENGINE_ENGINE_H
#include <stdatomic.h>
#include "pipeline/engine/graph.h"

#define EP_VERSION "0.1.0"

struct ep_engine_opts {
    unsigned threads;              /* 0: as many as the process may use */
    size_t memory;                 /* bytes for blocks; 0: default */
    const atomic_int *stop;        /* signal number, 0 = go on */
    struct ep_log *log;
};
struct ep_tally { size_t done, computed, failed, blocked; ep_status worst; };
/* Computes every todo node. Failures are logged and counted; the rest goes on, but a full disk (EP_E_OUTPUT) or a signal stops all. */
void ep_engine_run(struct ep_graph *g, const struct ep_engine_opts *o, struct ep_tally *t);
unsigned ep_default_threads(void);
#endif
