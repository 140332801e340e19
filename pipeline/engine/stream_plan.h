/* Inside the streaming engine: what a pass needs besides its description. Private to stream*.c. */
#ifndef EP_ENGINE_STREAM_PLAN_H
#define EP_ENGINE_STREAM_PLAN_H
#include <pthread.h>
#include "pipeline/engine/stream.h"

/* Whether a signal has channels: a spectrum streams as an image of one pixel. */
bool ep_image_like(const struct ep_desc *d);

/* A binary tree of accumulators over cell numbers: the same shape whatever order the cells finish in. */
struct ep_tree {
    size_t nlevel, *count;      /* nodes per level; level 0 = cells */
    void ***pend;               /* accumulators that wait for their sibling */
    void *root;
    pthread_mutex_t lock;
};

/* What one node of a pass needs for the whole pass. */
struct ep_node_state {
    size_t margin;              /* pixels around a cell that later nodes need of its outputs */
    struct ep_want *want;       /* [nout] */
    size_t *handle;             /* [nout] of kept images */
    bool any_keep;
    size_t ny, nx;              /* output grid */
    double *theta, *cmat, *shift; uint32_t *flag;   /* per output pixel; only for kept images (flag: whenever maps need it) */
    struct ep_model model; bool have_model;
    struct ep_tree tree;
};

/* What a thread keeps for one node: buffers for one strip (or cell with margin). */
struct ep_node_buffers {
    struct ep_cell *in, *out;
    float **val, **sigma;
    uint32_t *flag;
    double *shift, *theta, *cmat;
    void *scratch, *acc;
    float **kept;               /* [nout]: a cell's worth of a kept image, handed to the writer */
    struct ep_area kept_area;
};
struct ep_source_buffers { struct ep_cell cell; uint32_t *flag; double *shift, *theta, *cmat; float *sigma, *val; };

struct ep_layout {
    struct ep_grid grid;
    size_t margin;              /* largest of the pass */
    size_t strip;               /* rows evaluated at a time: 1, or a whole cell when a node needs neighbours */
    size_t pixels;              /* most pixels of one evaluation, margin included */
    size_t cy0, cx0, ncy, ncx;  /* the cells that results are made of: all, unless only parts of the image are written */
    size_t block_cy, block_cx;  /* cells of a block */
    size_t nblock_y, nblock_x;
    struct ep_node_state *node;
};

ep_status ep_layout_make(struct ep_pass *p, struct ep_layout *l, struct ep_err *e);
void ep_layout_free(const struct ep_pass *p, struct ep_layout *l);
/* Cells of block b: [cy0, cy0+ncy) x [cx0, cx0+ncx); its area in pixels without margin. */
struct ep_block_cells { size_t cy0, cx0, ncy, ncx; struct ep_area a; };
struct ep_block_cells ep_layout_block(const struct ep_layout *l, size_t b);
/* Output area that a node owns for input pixels `a` (regridding nodes: pixels whose first input pixel lies in a). */
struct ep_area ep_owned_area(const struct ep_declare *d, struct ep_area a);

ep_status ep_tree_make(struct ep_tree *t, size_t ncell, struct ep_err *e);
void ep_tree_free(struct ep_tree *t);
void ep_tree_submit(struct ep_tree *t, const struct ep_pass_node *n, size_t cell, void *acc);

/* Buffers of one thread. */
struct ep_worker_buffers { struct ep_source_buffers *src; struct ep_node_buffers *node; };
ep_status ep_buffers_make(const struct ep_pass *p, const struct ep_layout *l, struct ep_worker_buffers *b, struct ep_err *e);
void ep_buffers_free(const struct ep_pass *p, struct ep_worker_buffers *b);

/* Evaluates one cell from blocks (one per source, in order). Kept images' areas are left in b->node[k].kept. */
ep_status ep_cell_evaluate(const struct ep_pass *p, struct ep_layout *l, const struct ep_block *blocks, size_t cell,
                           struct ep_worker_buffers *b, pthread_mutex_t *model_lock, struct ep_err *e);
#endif
