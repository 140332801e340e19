/* The graph of nodes: one step for one binding of the coordinates it depends on.
 *
 * A step depends on the coordinates that its inputs' paths name, directly or through other steps; `over` and `at` take
 * coordinates away. Runs that agree on what a step depends on share one node. Building the graph opens every input's
 * header, lets every stage declare, and computes every fingerprint: after it, everything is known but the values.
 */
#ifndef EP_ENGINE_GRAPH_H
#define EP_ENGINE_GRAPH_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/log.h"
#include "pipeline/io/file.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/stage.h"

/* One signal of one raw file, as the recipe's options make it. Shared by all nodes that read it. */
struct ep_raw {
    const char *id;                /* path and options, canonical: what makes two raws the same */
    const char *path, *signal;     /* signal NULL: the primary one */
    struct ep_input_par par;
    struct ep_pos pos;
    struct ep_file *file;          /* NULL: not opened or unreadable */
    size_t index;
    struct ep_desc d;              /* with the options applied */
    unsigned char *mask;           /* [ny*nx], 1 = excluded by the recipe; NULL = none */
    struct ep_hash content;        /* of the file's signal alone */
    struct ep_hash fingerprint;    /* with the options */
    struct ep_err err;             /* why it can't be read */
};

struct ep_node;
/* Where one item of a port comes from: a raw signal or an output of a node; both NULL: missing. */
struct ep_source_ref { struct ep_raw *raw; struct ep_node *node; size_t out; const char *label; };

enum ep_state { EP_NODE_DONE, EP_NODE_STALE, EP_NODE_MISSING, EP_NODE_BLOCKED };

struct ep_node {
    size_t step;                       /* index in the recipe */
    const struct ep_step *s;
    const struct ep_stage *stage;      /* s->stage, or its look */
    const struct ep_run *run;          /* representative binding */
    const char *label;                 /* "step o_net (background), sample=ncm003, temperature=700" */
    const char *where;                 /* "sample=ncm003, temperature=700", or "" */
    const char *name;                  /* file name without .hspy: step name, "<step>.look" for a look */
    const char *path;                  /* of the result */
    const char *folder;
    void *par;
    const struct ep_value *val;        /* the step's mapping for this run */
    struct ep_node *look;              /* NULL: none */
    bool is_look;
    bool is_reference;                 /* the run that relative_to names */

    size_t *nitem;                     /* [nports] */
    struct ep_source_ref **item;       /* [nports][nitem] */
    struct ep_items *items;            /* [nports]: what declare and prepare see */
    struct ep_item **item_store;       /* writable side of items */
    struct ep_declare decl;
    bool *keep;                        /* [decl.nout]: image outputs to be written */

    struct ep_hash fingerprint;
    struct ep_str chain, inputs;       /* canonical JSON (heap): this node and all before it; its inputs */
    enum ep_state state;
    char reason[256];                  /* why it is stale, missing or blocked */
    struct ep_err err;                 /* BLOCKED: why it can't be computed */
    const struct ep_node *cause;       /* BLOCKED: the node that it needs and that can't be computed; NULL: it is itself the cause */
    bool failed;                       /* computing it was tried and failed */

    bool asked;                        /* of a run that --runs names */
    bool wanted;                       /* asked for by the whole selection, and possible */
    bool todo;                         /* will be computed and written */
    bool chained;                      /* evaluated (not written) because a todo node streams from it */
    size_t level; bool level_known;
    struct ep_unit *unit;

    /* while running */
    struct ep_signal **out;            /* [nout], not images; NULL: not in memory */
    size_t users;                      /* inputs of units not yet run that need out */
    struct ep_signal **loaded; size_t nloaded;   /* whole raw inputs, while prepared */
    void *plan; bool prepared;
    bool noise_late;                   /* its outputs' noise became known when it was prepared: what streams from it declares again */
};

struct ep_selection {
    const struct ep_filter *runs;
    const char *only, *from;           /* step names (only: several, joined by commas) or NULL */
    bool force;
};
struct ep_graph {
    const struct ep_recipe *recipe;
    const struct ep_runs *runs;
    struct ep_arena *arena;
    struct ep_diag *diag;
    struct ep_log *log;
    unsigned threads;
    bool no_hash;                      /* check: headers only, no fingerprints */
    bool by_time;                      /* files are what their path, size and time say: nothing is read to tell them apart */
    bool forget;                       /* trust no remembered fingerprints, leave none */
    const char *result;                /* path of the one step's result, instead of the output template's; NULL */
    unsigned long long *mask;          /* [nsteps]: coordinates a step depends on, as bits */
    size_t nnodes, cap; struct ep_node **node;
    size_t nraws, rawcap; struct ep_raw **raw;
    size_t nunits; struct ep_unit **unit;
    size_t nlevels;
};
/* Coordinates each step depends on. */
unsigned long long *ep_graph_masks(const struct ep_recipe *r, struct ep_arena *a);
/* Builds nodes for all runs that the selection asks for (and what they use). Mistakes of the recipe go to diag; unreadable
 * inputs make their nodes BLOCKED. Two nodes with one result path are an error of diag. */
void ep_graph_build(struct ep_graph *g, const struct ep_selection *sel);
void ep_graph_free(struct ep_graph *g);
/* What a blocked node that a wanted one needs is to be told with: why, and the steps that can't be computed for it. False for
 * nodes that are not to be told of, since another one is the cause or nobody wants them. */
bool ep_node_blocked(const struct ep_graph *g, const struct ep_node *n, struct ep_str *out);

/* State of every node from the results on disk, then what has to be done: sets todo, level, units. */
void ep_graph_compare(struct ep_graph *g, const struct ep_selection *sel);

/* One pass over spectrum images of one grid at one level, or one `whole` stage. */
enum ep_unit_kind { EP_UNIT_PASS, EP_UNIT_WHOLE };
struct ep_unit {
    enum ep_unit_kind kind;
    size_t level;
    size_t nnodes; struct ep_node **node;   /* todo nodes of this unit */
    size_t nchain; struct ep_node **chain;  /* PASS: all nodes evaluated, in order (todo ones and those fused in) */
    bool series;                            /* collects over runs */
    size_t number;
    bool done;
};
void ep_graph_units(struct ep_graph *g);
/* True when item i of port p streams from a node evaluated in the same pass (else from a raw file, a result, or memory). */
bool ep_node_fused(const struct ep_node *n, size_t port, size_t i);
#endif
