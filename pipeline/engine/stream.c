/* The threads of a pass: the caller fetches and writes (all HDF5 calls), workers fill blocks and evaluate cells. */
#include "pipeline/engine/stream_plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "pipeline/base/mem.h"

#define NSLOT 2
#define HUGE_PAGE ((size_t)2 << 20)

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY };

/* A block on its way: being filled piece by piece, then evaluated cell by cell. */
struct slot {
    enum slot_state state;
    struct ep_block_cells cells;
    struct ep_block *block;          /* [nsource] */
    void **values;                   /* room for block[i].val where that is no view, */
    size_t *capacity;                /* and the floats allocated there */
    size_t *pixels;                  /* pixels allocated in its per-pixel arrays */
    size_t left_to_fill;             /* pieces not yet filled */
    bool all_queued;
    size_t next_cell, ncell, left_to_do;
};
struct piece_job { struct slot *slot; size_t source, piece; struct ep_piece p; struct piece_job *next; };
struct write_job { size_t node, out; struct ep_area a; float *val; struct write_job *next; };

struct stream {
    struct ep_pass *p;
    struct ep_layout l;
    pthread_mutex_t lock, model_lock;
    pthread_cond_t cond;
    struct slot slot[NSLOT];
    size_t oldest;                   /* slot whose cells go first */
    struct piece_job *free_piece, *queue, **queue_end, *jobs;
    size_t njob;
    struct write_job *write, **write_end;
    size_t nwrite, max_write;
    size_t cells_done, cells_total;
    bool end;                        /* no more work will come, or something failed */
    struct ep_err err;
};

static void set_error(struct stream *s, const struct ep_err *e)
{
    pthread_mutex_lock(&s->lock);
    if (s->err.code == EP_OK) s->err = *e;
    else s->err.later++;
    s->end = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static bool stopped(const struct stream *s)
{
    return s->p->stop && atomic_load_explicit(s->p->stop, memory_order_relaxed) != 0;
}

/* ---- Workers ----------------------------------------------------------------------------------------------- */

static void do_piece(struct stream *s, struct piece_job *j)
{
    struct ep_err e = {0};
    ep_status st = ep_source_fill(s->p->source[j->source].src, &j->slot->block[j->source], j->piece, &j->p, &e);
    if (st) set_error(s, &e);
    pthread_mutex_lock(&s->lock);
    j->next = s->free_piece;
    s->free_piece = j;
    if (--j->slot->left_to_fill == 0 && j->slot->all_queued) j->slot->state = SLOT_READY;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void queue_writes(struct stream *s, struct ep_worker_buffers *b)
{
    for (size_t k = 0; k < s->p->nnode; k++)
        for (size_t o = 0; s->p->node[k].keep && o < s->p->node[k].decl->nout; o++) {
            if (!b->node[k].kept[o]) continue;
            struct write_job *w = ep_xcalloc(1, sizeof *w);
            w->node = k;
            w->out = o;
            w->a = b->node[k].kept_area;
            w->val = b->node[k].kept[o];
            b->node[k].kept[o] = NULL;
            pthread_mutex_lock(&s->lock);
            while (s->nwrite >= s->max_write && !s->end) pthread_cond_wait(&s->cond, &s->lock);
            *s->write_end = w;
            s->write_end = &w->next;
            s->nwrite++;
            pthread_cond_broadcast(&s->cond);
            pthread_mutex_unlock(&s->lock);
        }
}

static void do_cell(struct stream *s, struct slot *slot, size_t index, struct ep_worker_buffers *b)
{
    size_t cy = slot->cells.cy0 + index / slot->cells.ncx, cx = slot->cells.cx0 + index % slot->cells.ncx;
    struct ep_err e = {0};
    ep_status st = ep_cell_evaluate(s->p, &s->l, slot->block, cy * s->l.grid.cx + cx, b, &s->model_lock, &e);
    if (st) set_error(s, &e);
    else queue_writes(s, b);
    pthread_mutex_lock(&s->lock);
    s->cells_done++;
    if (--slot->left_to_do == 0) {
        pthread_mutex_unlock(&s->lock); /* nobody else touches the slot now */
        for (size_t i = 0; i < s->p->nsource; i++) ep_block_unmap(&slot->block[i]);
        pthread_mutex_lock(&s->lock);
        slot->state = SLOT_FREE;
        s->oldest = (s->oldest + 1) % NSLOT;
    }
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

/* Takes a cell of the oldest ready block, else of the next one, else a piece to fill; NULL slot and piece: nothing now. */
static bool next_job(struct stream *s, struct slot **slot, size_t *cell, struct piece_job **piece)
{
    *slot = NULL;
    *piece = NULL;
    for (size_t i = 0; i < NSLOT; i++) {
        struct slot *t = &s->slot[(s->oldest + i) % NSLOT];
        if (t->state == SLOT_READY && t->next_cell < t->ncell) {
            *slot = t;
            *cell = t->next_cell++;
            return true;
        }
    }
    if (s->queue) {
        *piece = s->queue;
        s->queue = (*piece)->next;
        if (!s->queue) s->queue_end = &s->queue;
        return true;
    }
    return false;
}

static void *worker(void *arg)
{
    struct stream *s = arg;
    struct ep_worker_buffers b = {0};
    struct ep_err e = {0};
    if (ep_buffers_make(s->p, &s->l, &b, &e)) set_error(s, &e);
    pthread_mutex_lock(&s->lock);
    while (!s->end) {
        struct slot *slot;
        struct piece_job *piece;
        size_t cell = 0;
        if (!next_job(s, &slot, &cell, &piece)) {
            pthread_cond_wait(&s->cond, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        if (slot) do_cell(s, slot, cell, &b);
        else do_piece(s, piece);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    ep_buffers_free(s->p, &b);
    return NULL;
}

/* ---- The caller's thread: fetch, write --------------------------------------------------------------------- */

/* Writes what waits; called and returns with the lock held. False when there was nothing. */
static bool write_some(struct stream *s)
{
    struct write_job *w = s->write;
    if (!w) return false;
    s->write = w->next;
    if (!s->write) s->write_end = &s->write;
    s->nwrite--;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
    struct ep_pass_node *n = &s->p->node[w->node];
    struct ep_err e = {0};
    if (ep_writer_image_area(n->writer, s->l.node[w->node].handle[w->out], w->a, w->val, &e)) {
        ep_context(&e, "%s: ", n->label);
        set_error(s, &e);
    }
    free(w->val);
    free(w);
    pthread_mutex_lock(&s->lock);
    return true;
}

/* Waits for something to change, writing meanwhile; lock held. */
static void wait_or_write(struct stream *s)
{
    if (write_some(s)) return;
    if (s->p->log) ep_log_progress(s->p->log, s->p->label, s->cells_done, s->cells_total);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 100 * 1000 * 1000;
    if (t.tv_nsec >= 1000 * 1000 * 1000) {
        t.tv_sec++;
        t.tv_nsec -= 1000 * 1000 * 1000;
    }
    pthread_cond_timedwait(&s->cond, &s->lock, &t); /* a time limit: progress and signals are looked at */
    if (stopped(s) && s->err.code == EP_OK) {
        ep_fail(&s->err, EP_E_STOPPED, "stopped by a signal");
        s->end = true;
        pthread_cond_broadcast(&s->cond);
    }
}

static ep_status grow(void **p, size_t n, size_t size, struct ep_err *e)
{
    size_t bytes;
    free(*p);
    *p = NULL;
    if (!ep_mul_ok(n, size, &bytes) || posix_memalign(p, bytes >= HUGE_PAGE ? HUGE_PAGE : 64, bytes ? bytes : 1)) {
        *p = NULL;
        return ep_fail(e, EP_E_COMPUTE, "no memory for a block of %zu values: give a smaller --memory", n);
    }
    if (bytes >= HUGE_PAGE) madvise(*p, bytes, MADV_HUGEPAGE); /* thousands of page faults less; only advice */
    return EP_OK;
}

static ep_status ready_block(struct stream *s, struct slot *t, size_t i, struct ep_err *e)
{
    const struct ep_pass_source *src = &s->p->source[i];
    struct ep_block *b = &t->block[i];
    b->a = ep_area_grow(t->cells.a, src->margin, &s->l.grid);
    b->ch0 = src->want.first;
    b->nch = src->want.end - src->want.first;
    size_t np = b->a.ny * b->a.nx, n;
    if (!ep_mul_ok(np, b->nch, &n)) return ep_fail(e, EP_E_COMPUTE, "block too large");
    ep_status st = EP_OK;
    if (!st && np > t->pixels[i]) {
        const struct ep_desc *d = ep_source_desc(src->src);
        t->pixels[i] = 0;
        st = grow((void **)&b->flag, np, sizeof *b->flag, e);
        if (!st && d->shift_max > 0) st = grow((void **)&b->shift, np, sizeof *b->shift, e);
        if (!st && d->modelled) st = grow((void **)&b->theta, np, EP_NTHETA * sizeof *b->theta, e);
        if (!st && d->modelled) st = grow((void **)&b->cmat, np, EP_NCMAT * sizeof *b->cmat, e);
        if (!st) t->pixels[i] = np;
    }
    if (st) return st;
    memset(b->flag, 0, np * sizeof *b->flag);
    if (ep_source_view(src->src, b)) return EP_OK;
    if (n > t->capacity[i]) {
        t->capacity[i] = 0;
        st = grow(&t->values[i], n, sizeof(float), e);
        if (!st) t->capacity[i] = n;
    }
    b->val = t->values[i];
    b->sx = b->nch;
    b->sy = b->nch * b->a.nx;
    if (!st) ep_source_map(src->src, b);
    return st;
}

static ep_status fetch_piece(struct stream *s, struct slot *t, size_t source, size_t piece, struct ep_err *e)
{
    pthread_mutex_lock(&s->lock);
    while (!s->free_piece && !s->end) wait_or_write(s);
    if (s->end) {
        pthread_mutex_unlock(&s->lock);
        return EP_OK;
    }
    struct piece_job *j = s->free_piece;
    s->free_piece = j->next;
    pthread_mutex_unlock(&s->lock);
    j->slot = t;
    j->source = source;
    j->piece = piece;
    j->next = NULL;
    ep_status st = ep_source_fetch(s->p->source[source].src, &t->block[source], piece, &j->p, e);
    pthread_mutex_lock(&s->lock);
    if (st) {
        j->next = s->free_piece;
        s->free_piece = j;
    } else {
        t->left_to_fill++;
        *s->queue_end = j;
        s->queue_end = &j->next;
    }
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static ep_status feed_block(struct stream *s, size_t b, struct ep_err *e)
{
    struct slot *t = &s->slot[b % NSLOT];
    pthread_mutex_lock(&s->lock);
    while (t->state != SLOT_FREE && !s->end) wait_or_write(s);
    bool end = s->end;
    if (!end) t->state = SLOT_FILLING;
    pthread_mutex_unlock(&s->lock);
    if (end) return EP_OK;
    t->cells = ep_layout_block(&s->l, b);
    t->ncell = t->left_to_do = t->cells.ncy * t->cells.ncx;
    t->next_cell = 0;
    t->all_queued = false;
    t->left_to_fill = 0;
    for (size_t i = 0; i < s->p->nsource; i++) {
        if (!s->p->source[i].src) continue;
        ep_status st = ready_block(s, t, i, e);
        size_t n = st ? 0 : ep_source_pieces(s->p->source[i].src, &t->block[i]);
        for (size_t k = 0; !st && k < n; k++) st = fetch_piece(s, t, i, k, e);
        if (st) return st;
    }
    pthread_mutex_lock(&s->lock);
    t->all_queued = true;
    if (t->left_to_fill == 0) t->state = SLOT_READY;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
    return EP_OK;
}

static void feed(struct stream *s)
{
    size_t nblock = s->l.nblock_y * s->l.nblock_x;
    struct ep_err e = {0};
    for (size_t b = 0; b < nblock; b++)
        if (feed_block(s, b, &e)) {
            set_error(s, &e);
            break;
        }
    pthread_mutex_lock(&s->lock);
    while (!s->end && (s->cells_done < s->cells_total || s->write)) wait_or_write(s);
    s->end = true;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Begin and end ----------------------------------------------------------------------------------------- */

static void stream_free(struct stream *s)
{
    for (size_t i = 0; i < NSLOT; i++) {
        struct slot *t = &s->slot[i];
        for (size_t k = 0; t->block && k < s->p->nsource; k++) {
            ep_block_unmap(&t->block[k]);
            free(t->values[k]);
            free(t->block[k].flag);
            free(t->block[k].shift);
            free(t->block[k].theta);
            free(t->block[k].cmat);
        }
        free(t->block);
        free(t->values);
        free(t->capacity);
        free(t->pixels);
    }
    for (size_t i = 0; i < s->njob; i++) free(s->jobs[i].p.raw);
    free(s->jobs);
    while (s->write) {
        struct write_job *w = s->write;
        s->write = w->next;
        free(w->val);
        free(w);
    }
    ep_layout_free(s->p, &s->l);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->model_lock);
}

static ep_status begin_images(struct stream *s, struct ep_err *e)
{
    for (size_t k = 0; k < s->p->nnode; k++) {
        struct ep_pass_node *n = &s->p->node[k];
        for (size_t o = 0; n->keep && o < n->decl->nout; o++)
            if (n->keep[o]) {
                ep_status st = ep_writer_image_begin(n->writer, &n->decl->out[o], &s->l.node[k].handle[o], e);
                if (st) return ep_context(e, "%s: ", n->label);
            }
    }
    return EP_OK;
}

static void count_flags(struct ep_pass_node *n, const struct ep_node_state *s)
{
    n->pixels = s->ny * s->nx;
    for (size_t i = 0; i < n->pixels; i++) {
        if (s->flag[i]) n->flagged++;
        for (size_t b = 0; b < EP_NFLAGS; b++)
            if (s->flag[i] & ep_flag_infos[b].bit) n->flag_count[b]++;
    }
}

static ep_status end_signal(const struct ep_node_state *s, const struct ep_desc *d, struct ep_signal *sig, struct ep_err *e)
{
    size_t np = s->ny * s->nx;
    if (sig->flags) memcpy(sig->flags, s->flag, np * sizeof *sig->flags);
    if (d->modelled && s->have_model) {
        sig->model = sig->model ? sig->model : malloc(sizeof *sig->model);
        sig->theta = sig->theta ? sig->theta : malloc(np * EP_NTHETA * sizeof *sig->theta);
        sig->cmat = sig->cmat ? sig->cmat : malloc(np * EP_NCMAT * sizeof *sig->cmat);
        if (!sig->model || !sig->theta || !sig->cmat) return ep_fail(e, EP_E_COMPUTE, "no memory for a covariance");
        *sig->model = s->model;
        memcpy(sig->theta, s->theta, np * EP_NTHETA * sizeof *sig->theta);
        memcpy(sig->cmat, s->cmat, np * EP_NCMAT * sizeof *sig->cmat);
    }
    if (d->shift_max > 0 && s->shift) {
        sig->shift = sig->shift ? sig->shift : malloc(np * sizeof *sig->shift);
        if (!sig->shift) return ep_fail(e, EP_E_COMPUTE, "no memory for shifts");
        memcpy(sig->shift, s->shift, np * sizeof *sig->shift);
    }
    return EP_OK;
}

static ep_status end_node(struct ep_pass_node *n, struct ep_node_state *s, struct ep_err *e)
{
    if (n->stage->add) {
        ep_status st = n->stage->finish(n->plan, s->tree.root, n->out, e);
        return st ? ep_context(e, "%s: ", n->label) : EP_OK;
    }
    count_flags(n, s);
    for (size_t o = 0; o < n->decl->nout; o++) {
        const struct ep_desc *d = &n->decl->out[o];
        ep_status st = EP_OK;
        if (n->out && n->out[o]) st = end_signal(s, d, n->out[o], e);
        if (!st && n->keep && n->keep[o]) {
            bool model = d->modelled && s->have_model;
            st = ep_writer_image_end(n->writer, s->handle[o], model ? &s->model : NULL, model ? s->theta : NULL,
                                     model ? s->cmat : NULL, d->shift_max > 0 ? s->shift : NULL, s->flag, e);
        }
        if (st) return ep_context(e, "%s: ", n->label);
    }
    return EP_OK;
}

ep_status ep_pass_run(struct ep_pass *p, struct ep_err *e)
{
    struct stream s = {.p = p};
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.model_lock, NULL);
    pthread_cond_init(&s.cond, NULL);
    s.queue_end = &s.queue;
    s.write_end = &s.write;
    unsigned nthread = p->threads ? p->threads : 1;
    pthread_t *thread = ep_xcalloc(nthread, sizeof *thread);
    ep_status st = ep_layout_make(p, &s.l, e);
    if (st) goto out;
    for (size_t i = 0; i < NSLOT; i++) {
        s.slot[i].block = ep_xcalloc(p->nsource, sizeof *s.slot[i].block);
        s.slot[i].values = ep_xcalloc(p->nsource, sizeof *s.slot[i].values);
        s.slot[i].capacity = ep_xcalloc(p->nsource, sizeof(size_t));
        s.slot[i].pixels = ep_xcalloc(p->nsource, sizeof(size_t));
    }
    s.njob = 2 * (size_t)nthread + 4;
    s.jobs = ep_xcalloc(s.njob, sizeof *s.jobs);
    for (size_t i = 0; i < s.njob; i++) {
        s.jobs[i].next = s.free_piece;
        s.free_piece = &s.jobs[i];
    }
    s.max_write = 2 * (size_t)nthread;
    s.cells_total = s.l.ncy * s.l.ncx;
    st = begin_images(&s, e);
    if (st) goto out;

    unsigned started = 0;
    for (; started < nthread; started++)
        if (pthread_create(&thread[started], NULL, worker, &s)) break;
    if (started == 0) {
        st = ep_fail(e, EP_E_COMPUTE, "can't start a thread");
        goto out;
    }
    feed(&s);
    for (unsigned i = 0; i < started; i++) pthread_join(thread[i], NULL);
    if (p->log) ep_log_progress_end(p->log);
    if (s.err.code) {
        *e = s.err;
        st = s.err.code;
        goto out;
    }
    for (size_t k = 0; !st && k < p->nnode; k++) {
        struct ep_err *own = &p->node[k].err;
        if (end_node(&p->node[k], &s.l.node[k], own) == EP_E_OUTPUT) {  /* a full disk is everybody's */
            *e = *own;
            st = e->code;
        }
    }
out:
    stream_free(&s);
    free(thread);
    return st;
}
