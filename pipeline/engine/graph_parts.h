/* Pieces of the graph that its files share. Private to pipeline/engine/. */
#ifndef EP_ENGINE_GRAPH_PARTS_H
#define EP_ENGINE_GRAPH_PARTS_H
#include "pipeline/engine/graph.h"

/* Fixed part of the output path: where .eelpipe/ lives. */
char *ep_graph_root(const struct ep_graph *g);
/* The raw signal of an input for a run; made once for all that read it. NULL after a mistake of the recipe; its err says
 * when the file can't be read. */
struct ep_raw *ep_graph_raw(struct ep_graph *g, const struct ep_run *run, size_t input);
/* Opens the file of a raw signal and finds the signal; nothing when it is open. */
ep_status ep_raw_open(struct ep_raw *w, struct ep_err *e);
void ep_raw_close(struct ep_raw *w);
/* All of it, with the recipe's options; a file that was open stays so. */
ep_status ep_raw_load(struct ep_raw *w, struct ep_signal **out, struct ep_err *e);

/* Lets the stage declare its outputs from n->items. Mistakes go to d. */
void ep_node_declare(struct ep_graph *g, struct ep_node *n, struct ep_diag *d);
/* Where fingerprints of raw files are remembered; NULL: nowhere. */
const char *ep_graph_memory(const struct ep_graph *g);
/* Hashes a raw signal's content now, and remembers it. */
ep_status ep_raw_hash(struct ep_graph *g, struct ep_raw *w, struct ep_err *e);
void ep_raw_set_content(struct ep_raw *w, const struct ep_hash *content);
/* Hashes every raw signal whose content is not known; with may_wait those stay unknown that the pass can hash. */
void ep_graph_hash(struct ep_graph *g, bool may_wait);
/* Fingerprint, chain and inputs of every node whose inputs are known by now. */
void ep_graph_fingerprints(struct ep_graph *g);
/* What is written beside the result for an output: a table as text, <step>.csv, or <step>.<output>.csv if it is not the primary one; a
 * file output, <step>.<output>. NULL: nothing. Heap. */
char *ep_node_beside(const struct ep_node *n, size_t out);
/* A node with file outputs keeps this table in its result: name, size and hash of each file. */
#define EP_NODE_FILES "files"
/* Frees what is in memory of a node's outputs and its plan. */
void ep_node_release(struct ep_node *n);
#endif
