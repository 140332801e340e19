/* One cell through all nodes of a pass. */
#include "pipeline/engine/stream_plan.h"

#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

/* ---- Buffers ----------------------------------------------------------------------------------------------- */

ep_status ep_buffers_make(const struct ep_pass *p, const struct ep_layout *l, struct ep_worker_buffers *b, struct ep_err *e)
{
    size_t np = l->pixels, total = 0;
    bool ok = true;
    b->src = ep_xcalloc(p->nsource, sizeof *b->src);
    b->node = ep_xcalloc(p->nnode, sizeof *b->node);
    for (size_t i = 0; i < p->nsource; i++) {
        struct ep_source_buffers *s = &b->src[i];
        size_t nch = p->source[i].want.end - p->source[i].want.first;
        if (p->source[i].src && !ep_source_view_in_place(p->source[i].src)) ok &= (s->val = malloc(np * nch * sizeof *s->val)) != NULL;
        ok &= (s->flag = malloc(np * sizeof *s->flag)) != NULL;
        ok &= (s->shift = malloc(np * sizeof *s->shift)) != NULL;
        ok &= (s->sigma = malloc(np * sizeof *s->sigma)) != NULL;
        ok &= (s->theta = malloc(np * EP_NTHETA * sizeof *s->theta)) != NULL;
        ok &= (s->cmat = malloc(np * EP_NCMAT * sizeof *s->cmat)) != NULL;
    }
    for (size_t k = 0; k < p->nnode; k++) {
        const struct ep_pass_node *n = &p->node[k];
        struct ep_node_buffers *s = &b->node[k];
        size_t nout = n->decl->nout;
        s->in = ep_xcalloc(n->nin + 1, sizeof *s->in);
        s->out = ep_xcalloc(nout + 1, sizeof *s->out);
        s->val = ep_xcalloc(nout + 1, sizeof *s->val);
        s->sigma = ep_xcalloc(nout + 1, sizeof *s->sigma);
        s->kept = ep_xcalloc(nout + 1, sizeof *s->kept);
        ok &= (s->flag = malloc(np * sizeof *s->flag)) != NULL;
        if (n->decl->scratch) ok &= (s->scratch = calloc(1, n->decl->scratch)) != NULL;
        if (!n->stage->apply) continue;
        bool model = false, shift = false;
        for (size_t o = 0; o < nout; o++) {
            const struct ep_desc *d = &n->decl->out[o];
            const struct ep_want *w = &l->node[k].want[o];
            if (!w->wanted) continue;
            size_t nch = ep_image_like(d) ? w->ch.end - w->ch.first : 1;
            total += np * nch * sizeof(float);
            ok &= (s->val[o] = malloc(np * nch * sizeof(float))) != NULL;
            if (d->has_sigma) ok &= (s->sigma[o] = malloc(np * nch * sizeof(float))) != NULL;
            model |= d->modelled;
            shift |= d->shift_max > 0;
        }
        if (model) {
            ok &= (s->theta = malloc(np * EP_NTHETA * sizeof *s->theta)) != NULL;
            ok &= (s->cmat = malloc(np * EP_NCMAT * sizeof *s->cmat)) != NULL;
        }
        if (shift) ok &= (s->shift = malloc(np * sizeof *s->shift)) != NULL;
    }
    return ok ? EP_OK : ep_fail(e, EP_E_COMPUTE, "no memory for a thread's buffers (%zu MB): use fewer --threads", total >> 20);
}

void ep_buffers_free(const struct ep_pass *p, struct ep_worker_buffers *b)
{
    for (size_t i = 0; b->src && i < p->nsource; i++) {
        free(b->src[i].val);
        free(b->src[i].flag);
        free(b->src[i].shift);
        free(b->src[i].sigma);
        free(b->src[i].theta);
        free(b->src[i].cmat);
    }
    for (size_t k = 0; b->node && k < p->nnode; k++) {
        struct ep_node_buffers *s = &b->node[k];
        for (size_t o = 0; s->val && o < p->node[k].decl->nout; o++) {
            free(s->val[o]);
            free(s->sigma[o]);
            free(s->kept[o]);
        }
        free(s->in);
        free(s->out);
        free(s->val);
        free(s->sigma);
        free(s->kept);
        free(s->flag);
        free(s->shift);
        free(s->theta);
        free(s->cmat);
        free(s->scratch);
        free(s->acc);
    }
    free(b->src);
    free(b->node);
    memset(b, 0, sizeof *b);
}

/* ---- Sources ----------------------------------------------------------------------------------------------- */

static void copy_rows(void *to, const void *from, size_t size, struct ep_area a, struct ep_area of)
{
    for (size_t y = 0; y < a.ny; y++)
        memcpy((char *)to + y * a.nx * size, (const char *)from + ((a.y0 - of.y0 + y) * of.nx + a.x0 - of.x0) * size, a.nx * size);
}

static ep_status source_cell(const struct ep_pass_source *s, const struct ep_block *blk, const struct ep_grid *g,
                             struct ep_area inner, struct ep_source_buffers *b, struct ep_err *e)
{
    struct ep_area a = ep_area_grow(inner, s->margin, g);
    struct ep_cell *c = &b->cell;
    memset(c, 0, sizeof *c);
    c->d = s->d;
    c->a = a;
    c->flag = b->flag;
    if (s->src) {
        c->ch0 = blk->ch0;
        c->nch = blk->nch;
        c->sx = blk->val ? blk->sx : blk->nch;
        c->sy = blk->val ? blk->sy : blk->nch * a.nx;
        ep_status st = blk->view ? ep_block_ready(s->src, blk, a, e) : EP_OK;
        if (st) return st;
        c->val = blk->val ? blk->val + (a.y0 - blk->a.y0) * c->sy + (a.x0 - blk->a.x0) * c->sx : b->val;
        for (size_t y = 0; !blk->val && y < a.ny; y++) ep_block_pick(s->src, blk, a.y0 + y, a.x0, a.nx, b->val + y * c->sy);
        copy_rows(b->flag, blk->flag, sizeof *b->flag, a, blk->a);
        if (blk->shift) {
            copy_rows(b->shift, blk->shift, sizeof *b->shift, a, blk->a);
            c->shift = b->shift;
        }
        if (blk->theta) {
            copy_rows(b->theta, blk->theta, EP_NTHETA * sizeof *b->theta, a, blk->a);
            copy_rows(b->cmat, blk->cmat, EP_NCMAT * sizeof *b->cmat, a, blk->a);
            c->theta = b->theta;
            c->cmat = b->cmat;
            c->model = ep_source_model(s->src);
        }
    } else { /* a map in memory: its values are dense over the whole grid */
        struct ep_area whole = {0, 0, g->ny, g->nx};
        c->nch = 1;
        c->sx = 1;
        c->sy = g->nx;
        c->val = s->map->f32 + a.y0 * g->nx + a.x0;
        if (s->map->sigma32) {
            copy_rows(b->sigma, s->map->sigma32, sizeof *b->sigma, a, whole);
            c->sigma = b->sigma;
        }
        if (s->map->flags) copy_rows(b->flag, s->map->flags, sizeof *b->flag, a, whole);
        else memset(b->flag, 0, a.ny * a.nx * sizeof *b->flag);
    }
    if (s->mask)
        for (size_t y = 0; y < a.ny; y++)
            for (size_t x = 0; x < a.nx; x++)
                if (s->mask[(a.y0 + y) * g->nx + a.x0 + x]) b->flag[y * a.nx + x] |= EP_FLAG_MASKED;
    return EP_OK;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------- */

/* The flags that output pixels inherit: of the same pixel, or of all input pixels that a regridded one covers. */
static void inherit_flags(const struct ep_declare *d, const struct ep_cell *in, size_t nin, struct ep_area a, uint32_t *flag)
{
    memset(flag, 0, a.ny * a.nx * sizeof *flag);
    const struct ep_regrid one = {false, 0, 0, 1, 1, 0, 0}, *r = d->regrid.on ? &d->regrid : &one;
    for (size_t i = 0; i < nin; i++)
        for (size_t y = 0; y < a.ny; y++)
            for (size_t x = 0; x < a.nx; x++)
                for (size_t v = 0; v < r->fy; v++)
                    for (size_t u = 0; u < r->fx; u++) {
                        size_t py = r->y0 + (a.y0 + y) * r->fy + v - in[i].a.y0, px = r->x0 + (a.x0 + x) * r->fx + u - in[i].a.x0;
                        if (py < in[i].a.ny && px < in[i].a.nx) flag[y * a.nx + x] |= in[i].flag[py * in[i].a.nx + px];
                    }
}

/* A view of one row, or part of one, of a cell. */
static struct ep_cell row_view(const struct ep_cell *c, struct ep_area a)
{
    struct ep_cell v = *c;
    size_t dy = a.y0 - c->a.y0, dx = a.x0 - c->a.x0, at = dy * c->a.nx + dx;
    v.a = a; /* one row */
    v.val = c->val + dy * c->sy + dx * c->sx;
    if (c->sigma) v.sigma = c->sigma + at;
    v.flag = c->flag + at;
    if (c->shift) v.shift = c->shift + at;
    if (c->theta) v.theta = c->theta + at * EP_NTHETA;
    if (c->cmat) v.cmat = c->cmat + at * EP_NCMAT;
    return v;
}

static void gather_inputs(const struct ep_pass_node *n, const struct ep_worker_buffers *b, struct ep_cell *in)
{
    for (size_t i = 0; i < n->nin; i++)
        in[i] = n->in[i].from_node ? b->node[n->in[i].index].out[n->in[i].out] : b->src[n->in[i].index].cell;
}

/* Reductions see one row at a time, in order, whatever the strip: their sums do not know about margins. */
static ep_status reduce_rows(const struct ep_pass_node *n, struct ep_node_buffers *s, struct ep_area inner, struct ep_err *e)
{
    struct ep_cell row[16];
    if (n->nin > 16) return ep_fail(e, EP_E_COMPUTE, "%s: more than 16 streamed inputs", n->label);
    for (size_t y = 0; y < inner.ny; y++) {
        struct ep_area a = {inner.y0 + y, inner.x0, 1, inner.nx};
        for (size_t i = 0; i < n->nin; i++) row[i] = row_view(&s->in[i], a);
        inherit_flags(n->decl, row, n->nin, a, s->flag);
        struct ep_apply ap = {.plan = n->plan, .scratch = s->scratch, .in = row, .nin = n->nin, .flag = s->flag, .area = a};
        ep_status st = n->stage->add(&ap, s->acc, e);
        if (st) return st;
    }
    return EP_OK;
}

static ep_status apply_node(const struct ep_pass *p, const struct ep_layout *l, size_t k, struct ep_area inner,
                            struct ep_worker_buffers *b, struct ep_err *e)
{
    const struct ep_pass_node *n = &p->node[k];
    struct ep_node_buffers *s = &b->node[k];
    struct ep_area a = ep_owned_area(n->decl, ep_area_grow(inner, l->node[k].margin, &l->grid));
    for (size_t o = 0; o < n->decl->nout; o++) {
        const struct ep_desc *d = &n->decl->out[o];
        const struct ep_want *w = &l->node[k].want[o];
        struct ep_cell *c = &s->out[o];
        memset(c, 0, sizeof *c);
        c->d = d;
        c->a = a;
        c->flag = s->flag;
        if (!w->wanted) continue;
        c->ch0 = ep_image_like(d) ? w->ch.first : 0;
        c->nch = ep_image_like(d) ? w->ch.end - w->ch.first : 1;
        c->sx = c->nch;
        c->sy = c->nch * a.nx;
        c->val = s->val[o];
        c->sigma = s->sigma[o];
    }
    if (a.ny == 0 || a.nx == 0) return EP_OK;
    inherit_flags(n->decl, s->in, n->nin, a, s->flag);
    struct ep_apply ap = {.plan = n->plan, .scratch = s->scratch, .in = s->in, .nin = n->nin, .out = s->out,
                          .nout = n->decl->nout, .flag = s->flag, .shift = s->shift, .theta = s->theta,
                          .cmat = s->cmat, .area = a};
    return n->stage->apply(&ap, e);
}

/* ---- Results of a strip ------------------------------------------------------------------------------------ */

static void store_pixel_arrays(const struct ep_cell *c, struct ep_node_state *s, size_t iy, size_t ix, size_t g)
{
    size_t at = iy * c->a.nx + ix;
    if (s->theta && c->theta) {
        memcpy(s->theta + g * EP_NTHETA, c->theta + at * EP_NTHETA, EP_NTHETA * sizeof *s->theta);
        memcpy(s->cmat + g * EP_NCMAT, c->cmat + at * EP_NCMAT, EP_NCMAT * sizeof *s->cmat);
    }
    if (s->shift && c->shift) s->shift[g] = c->shift[at];
}

static void store_spectrum(const struct ep_cell *c, struct ep_signal *sig)
{
    for (size_t i = 0; i < c->nch; i++) {
        sig->f64[i] = c->val[i];
        if (sig->sigma64 && c->sigma) sig->sigma64[i] = c->sigma[i];
    }
}

static void store_node(const struct ep_pass_node *n, struct ep_node_state *s, struct ep_node_buffers *b, struct ep_area own,
                       pthread_mutex_t *model_lock)
{
    for (size_t o = 0; o < n->decl->nout; o++) {
        const struct ep_desc *d = &n->decl->out[o];
        struct ep_cell *c = &b->out[o];
        if (!c->val) continue;
        size_t oy = own.y0 - c->a.y0, ox = own.x0 - c->a.x0; /* the owned part of a cell with margin */
        struct ep_signal *sig = n->out ? n->out[o] : NULL;
        bool keep = n->keep && n->keep[o];
        if (!ep_image_like(d)) {
            for (size_t y = 0; sig && y < own.ny; y++)
                for (size_t x = 0; x < own.nx; x++) {
                    size_t g = (own.y0 + y) * s->nx + own.x0 + x;
                    sig->f32[g] = c->val[(oy + y) * c->sy + (ox + x) * c->sx];
                    if (sig->sigma32 && c->sigma) sig->sigma32[g] = c->sigma[(oy + y) * c->a.nx + ox + x];
                }
            continue;
        }
        if (!keep && !sig) continue;
        if (c->model) {
            pthread_mutex_lock(model_lock);
            if (!s->have_model) s->model = *c->model;
            s->have_model = true;
            pthread_mutex_unlock(model_lock);
        }
        for (size_t y = 0; y < own.ny; y++)
            for (size_t x = 0; x < own.nx; x++)
                store_pixel_arrays(c, s, oy + y, ox + x, (own.y0 + y) * s->nx + own.x0 + x);
        if (sig) store_spectrum(c, sig);
        for (size_t y = 0; keep && y < own.ny; y++)
            for (size_t x = 0; x < own.nx; x++)
                memcpy(b->kept[o] + ((own.y0 + y - b->kept_area.y0) * b->kept_area.nx + own.x0 + x - b->kept_area.x0) * c->nch,
                       ep_cell_spectrum(c, oy + y, ox + x), c->nch * sizeof(float));
    }
    for (size_t y = 0; y < own.ny; y++)
        for (size_t x = 0; x < own.nx; x++) {
            const struct ep_cell *c = &b->out[0];
            s->flag[(own.y0 + y) * s->nx + own.x0 + x] = b->flag[(own.y0 - c->a.y0 + y) * c->a.nx + own.x0 - c->a.x0 + x];
        }
}

static ep_status start_cell(const struct ep_pass *p, struct ep_area cell, struct ep_worker_buffers *b, struct ep_err *e)
{
    for (size_t k = 0; k < p->nnode; k++) {
        const struct ep_pass_node *n = &p->node[k];
        struct ep_node_buffers *s = &b->node[k];
        if (n->stage->add) {
            s->acc = calloc(1, n->decl->acc ? n->decl->acc : 1);
            if (!s->acc) return ep_fail(e, EP_E_COMPUTE, "%s: no memory for an accumulator of %zu bytes", n->label, n->decl->acc);
            continue;
        }
        s->kept_area = ep_owned_area(n->decl, cell);
        for (size_t o = 0; n->keep && o < n->decl->nout; o++) {
            if (!n->keep[o] || s->kept_area.ny * s->kept_area.nx == 0) continue;
            size_t values = s->kept_area.ny * s->kept_area.nx * ep_desc_nch(&n->decl->out[o]);
            s->kept[o] = malloc(values * sizeof(float));
            if (!s->kept[o]) return ep_fail(e, EP_E_COMPUTE, "%s: no memory for a cell of the kept image", n->label);
        }
    }
    return EP_OK;
}

ep_status ep_cell_evaluate(const struct ep_pass *p, struct ep_layout *l, const struct ep_block *blocks, size_t cell,
                           struct ep_worker_buffers *b, pthread_mutex_t *model_lock, struct ep_err *e)
{
    struct ep_area area = ep_grid_cell(&l->grid, cell);
    ep_status st = start_cell(p, area, b, e);
    for (size_t y = 0; !st && y < area.ny; y += l->strip) {
        struct ep_area strip = {area.y0 + y, area.x0, area.ny - y < l->strip ? area.ny - y : l->strip, area.nx};
        for (size_t i = 0; !st && i < p->nsource; i++) st = source_cell(&p->source[i], &blocks[i], &l->grid, strip, &b->src[i], e);
        for (size_t k = 0; !st && k < p->nnode; k++) {
            const struct ep_pass_node *n = &p->node[k];
            gather_inputs(n, b, b->node[k].in);
            if (n->stage->add) {
                st = reduce_rows(n, &b->node[k], strip, e);
            } else {
                st = apply_node(p, l, k, strip, b, e);
                struct ep_area own = ep_owned_area(n->decl, strip);
                if (!st && own.ny && own.nx) store_node(n, &l->node[k], &b->node[k], own, model_lock);
            }
            if (st) ep_context(e, "%s: ", n->label);
        }
    }
    for (size_t k = 0; !st && k < p->nnode; k++)
        if (p->node[k].stage->add) {
            void *acc = b->node[k].acc;
            b->node[k].acc = NULL;
            ep_tree_submit(&l->node[k].tree, &p->node[k], cell, acc);
        }
    return st;
}
