/* Pieces of the graph that its files share. Private to pipeline/engine/. */
#ifndef EP_ENGINE_GRAPH_PARTS_H
#define EP_ENGINE_GRAPH_PARTS_H
#include "pipeline/engine/graph.h"

/* Fixed part of the output path: where .eelpipe/ lives. */
char *ep_graph_root(const struct ep_graph *g);
/* Opens the file of a raw signal and finds the signal; nothing when it is open. */
ep_status ep_raw_open(struct ep_raw *w, struct ep_err *e);
void ep_raw_close(struct ep_raw *w);

/* Lets the stage declare its outputs from n->items. Mistakes go to d. */
void ep_node_declare(struct ep_graph *g, struct ep_node *n, struct ep_diag *d);
/* Sets n->fingerprint, n->chain and n->inputs from the stage, the parameters and the inputs' fingerprints. */
void ep_node_fingerprint(struct ep_graph *g, struct ep_node *n);
/* Frees what is in memory of a node's outputs and its plan. */
void ep_node_release(struct ep_node *n);

/* Coordinates (bits) named by placeholders of a template; the template filled in for a run ("/" in a value becomes "_"). */
unsigned long long ep_path_mask(const struct ep_recipe *r, const char *text);
void ep_fill_template(struct ep_str *out, const struct ep_recipe *r, const char *text, const struct ep_run *run);
#endif
