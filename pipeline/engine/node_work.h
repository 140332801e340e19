/* Working on one node: its inputs and outputs in memory, its plan, its result file. Private to pipeline/engine/. */
#ifndef EP_ENGINE_NODE_WORK_H
#define EP_ENGINE_NODE_WORK_H
#include "pipeline/engine/engine.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/result.h"

/* A run of the engine. */
struct ep_running {
    struct ep_graph *g;
    const struct ep_engine_opts *o;
    struct ep_tally *t;
    bool stop;                 /* a full disk or a signal: nothing more is started */
};

/* Images flow through memory cell by cell; only those that a stage makes as a whole (profiles of an image) are held. */
bool ep_node_in_memory(const struct ep_node *n, const struct ep_desc *d);
/* Output o of a finished node, from memory or from its file; stays the node's. */
ep_status ep_node_signal(struct ep_node *n, size_t o, const struct ep_signal **out, struct ep_err *e);
/* Loads whole inputs and the look, lets the stage make its plan; undone by unprepare, also after a failure. */
ep_status ep_node_prepare(struct ep_node *n, struct ep_prepare *p, struct ep_err *e);
void ep_node_unprepare(struct ep_node *n);
ep_status ep_node_open_writer(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e);
/* Room for the outputs that are held in memory. */
ep_status ep_node_new_outputs(struct ep_node *n, struct ep_err *e);
/* Writes the outputs in memory and ends the file; the writer is gone afterwards. */
ep_status ep_node_write(const struct ep_graph *g, struct ep_node *n, struct ep_writer **w, struct ep_err *e);
/* The error of what needs n, which failed: what could not be read stays an input that can't be read. */
ep_status ep_node_needs_failed(const struct ep_node *n, struct ep_err *e);
/* Marks, counts, tells. A full disk and a signal stop everything. */
void ep_node_failed(struct ep_running *r, struct ep_node *n, const struct ep_err *e);

/* Runs a unit of kind EP_UNIT_PASS. */
void ep_unit_pass(struct ep_running *r, struct ep_unit *u);
#endif
