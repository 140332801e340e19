/* Sizes of a pass: which channels and margins each node and source needs, how the image is cut into blocks. */
#include "pipeline/engine/stream_plan.h"

#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

#define DEFAULT_BLOCK_BYTES ((size_t)64 << 20)

bool ep_image_like(const struct ep_desc *d)
{
    return d->kind == EP_IMAGE || d->kind == EP_SPECTRUM;
}

static struct ep_range all_channels(const struct ep_desc *d)
{
    return (struct ep_range){0, ep_desc_nch(d)};
}

static const struct ep_desc *input_desc(const struct ep_pass *p, const struct ep_pass_in *in)
{
    return in->from_node ? &p->node[in->index].decl->out[in->out] : p->source[in->index].d;
}

static void ask(struct ep_pass *p, struct ep_layout *l, const struct ep_pass_in *in, const struct ep_want *w, size_t margin)
{
    if (in->from_node) {
        struct ep_node_state *s = &l->node[in->index];
        s->want[in->out].wanted = true;
        s->want[in->out].ch = ep_range_hull(s->want[in->out].ch, w->ch);
        if (margin > s->margin) s->margin = margin;
    } else {
        struct ep_pass_source *s = &p->source[in->index];
        s->want = ep_range_hull(s->want, w->ch);
        if (margin > s->margin) s->margin = margin;
    }
}

/* From the last node back to the sources: who needs which channels, and how many pixels around. */
static ep_status propagate(struct ep_pass *p, struct ep_layout *l, struct ep_err *e)
{
    for (size_t k = p->nnode; k-- > 0;) {
        struct ep_pass_node *n = &p->node[k];
        struct ep_node_state *s = &l->node[k];
        for (size_t o = 0; o < n->decl->nout; o++) {
            const struct ep_desc *d = &n->decl->out[o];
            if (n->keep && n->keep[o]) {
                s->want[o] = (struct ep_want){true, all_channels(d)};
                s->any_keep = true;
            } else if (n->out && n->out[o]) {
                s->want[o] = (struct ep_want){true, all_channels(d)};
            }
        }
        struct ep_want *in = ep_xcalloc(n->nin ? n->nin : 1, sizeof *in);
        for (size_t i = 0; i < n->nin; i++) in[i] = (struct ep_want){true, all_channels(input_desc(p, &n->in[i]))};
        if (n->stage->want) n->stage->want(n->decl, s->want, in);
        for (size_t i = 0; i < n->nin; i++) {
            if (in[i].wanted && in[i].ch.end <= in[i].ch.first) in[i].ch = (struct ep_range){0, 1};
            if (in[i].ch.end > ep_desc_nch(input_desc(p, &n->in[i]))) {
                free(in);
                return ep_fail(e, EP_E_COMPUTE, "%s wants channels beyond the axis of its input", n->label);
            }
            ask(p, l, &n->in[i], &in[i], s->margin + n->decl->halo);
        }
        free(in);
    }
    return EP_OK;
}

static size_t output_grid(const struct ep_pass *p, const struct ep_pass_node *n, const struct ep_layout *l, size_t *nx)
{
    (void)p;
    if (n->decl->regrid.on) {
        *nx = n->decl->regrid.nx;
        return n->decl->regrid.ny;
    }
    *nx = l->grid.nx;
    return l->grid.ny;
}

static ep_status node_arrays(struct ep_pass *p, struct ep_layout *l, struct ep_err *e)
{
    for (size_t k = 0; k < p->nnode; k++) {
        struct ep_pass_node *n = &p->node[k];
        struct ep_node_state *s = &l->node[k];
        s->ny = output_grid(p, n, l, &s->nx);
        size_t np;
        if (!ep_mul_ok(s->ny, s->nx, &np)) return ep_fail(e, EP_E_COMPUTE, "%s: image too large", n->label);
        if (n->stage->apply) {
            s->flag = calloc(np, sizeof *s->flag);
            bool model = false, shift = false;
            for (size_t o = 0; o < n->decl->nout; o++) {
                const struct ep_desc *d = &n->decl->out[o];
                if (!ep_image_like(d) || !s->want[o].wanted || !((n->keep && n->keep[o]) || (n->out && n->out[o]))) continue;
                model |= d->modelled;
                shift |= d->shift_max > 0;
            }
            if (model) {
                s->theta = calloc(np * EP_NTHETA, sizeof *s->theta);
                s->cmat = calloc(np * EP_NCMAT, sizeof *s->cmat);
            }
            if (shift) s->shift = calloc(np, sizeof *s->shift);
            if (!s->flag || (model && (!s->theta || !s->cmat)) || (shift && !s->shift))
                return ep_fail(e, EP_E_COMPUTE, "%s: no memory for the maps of %zu x %zu pixels", n->label, s->ny, s->nx);
        }
        if (n->stage->add) {
            ep_status st = ep_tree_make(&s->tree, ep_grid_count(&l->grid), e);
            if (st) return st;
        }
    }
    return EP_OK;
}

static size_t clamp(size_t v, size_t lo, size_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static bool written(const struct ep_pass_node *n)
{
    bool any = n->stage->add != NULL;
    for (size_t o = 0; o < n->decl->nout && !any; o++) any = (n->keep && n->keep[o]) || (n->out && n->out[o]);
    return any;
}

/* Sums and results on the whole grid need every cell; a crop those that its pixels lie in. */
static void needed_cells(const struct ep_pass *p, struct ep_layout *l)
{
    size_t y0 = l->grid.ny, x0 = l->grid.nx, y1 = 0, x1 = 0;
    for (size_t k = 0; k < p->nnode; k++) {
        const struct ep_regrid *r = &p->node[k].decl->regrid;
        if (!written(&p->node[k])) continue;
        bool part = r->on && !p->node[k].stage->add;
        size_t ry = part ? r->y0 : 0, rx = part ? r->x0 : 0, ey = part ? ry + r->ny * r->fy : l->grid.ny, ex = part ? rx + r->nx * r->fx : l->grid.nx;
        y0 = ry < y0 ? ry : y0, x0 = rx < x0 ? rx : x0;
        y1 = ey > y1 ? ey : y1, x1 = ex > x1 ? ex : x1;
    }
    if (y1 <= y0 || x1 <= x0) y0 = x0 = 0, y1 = l->grid.ny, x1 = l->grid.nx;
    l->cy0 = y0 / EP_CELL_NY, l->cx0 = x0 / EP_CELL_NX;
    l->ncy = clamp((y1 + EP_CELL_NY - 1) / EP_CELL_NY, l->cy0 + 1, l->grid.cy) - l->cy0;
    l->ncx = clamp((x1 + EP_CELL_NX - 1) / EP_CELL_NX, l->cx0 + 1, l->grid.cx) - l->cx0;
}

/* Blocks: as wide as the image when that fits, so that contiguous rows are read in one piece; small enough that reading
 * and computing overlap, unless chunks straddle rows of cells: then as large as memory allows, since a straddling chunk
 * is inflated once per block. */
static void cut_blocks(const struct ep_pass *p, struct ep_layout *l)
{
    size_t budget = (p->memory ? p->memory : DEFAULT_BLOCK_BYTES) / 2, per_pixel = 0;
    bool straddle = false;
    for (size_t i = 0; i < p->nsource; i++) {
        const struct ep_pass_source *s = &p->source[i];
        if (!s->src) continue;
        per_pixel += ep_source_pixel_bytes(s->src, s->want.end - s->want.first) + 16;
        size_t cy, cx;
        ep_source_chunk(s->src, &cy, &cx);
        straddle |= cy > 1 && EP_CELL_NY % cy != 0;
    }
    if (per_pixel == 0) per_pixel = 1;
    size_t row = per_pixel * (EP_CELL_NY + 2 * l->margin) * (l->grid.nx + 2 * l->margin);
    l->block_cx = l->ncx;
    l->block_cy = budget / row;
    if (l->block_cy == 0) {
        l->block_cy = 1;
        size_t cell = per_pixel * (EP_CELL_NY + 2 * l->margin) * (EP_CELL_NX + 2 * l->margin);
        l->block_cx = clamp(budget / cell, 1, l->ncx);
    }
    size_t least = (4 + l->ncx - 1) / l->ncx; /* rows of cells that keep a few threads busy; fresh memory is dear */
    size_t overlap = straddle ? l->ncy : least > (l->ncy + 31) / 32 ? least : (l->ncy + 31) / 32;
    l->block_cy = clamp(l->block_cy, 1, overlap);
    l->nblock_y = (l->ncy + l->block_cy - 1) / l->block_cy;
    l->nblock_x = (l->ncx + l->block_cx - 1) / l->block_cx;
}

struct ep_block_cells ep_layout_block(const struct ep_layout *l, size_t b)
{
    struct ep_block_cells c;
    c.cy0 = l->cy0 + b / l->nblock_x * l->block_cy;
    c.cx0 = l->cx0 + b % l->nblock_x * l->block_cx;
    c.ncy = clamp(l->cy0 + l->ncy - c.cy0, 1, l->block_cy);
    c.ncx = clamp(l->cx0 + l->ncx - c.cx0, 1, l->block_cx);
    c.a.y0 = c.cy0 * EP_CELL_NY;
    c.a.x0 = c.cx0 * EP_CELL_NX;
    size_t y1 = (c.cy0 + c.ncy) * EP_CELL_NY, x1 = (c.cx0 + c.ncx) * EP_CELL_NX;
    c.a.ny = (y1 > l->grid.ny ? l->grid.ny : y1) - c.a.y0;
    c.a.nx = (x1 > l->grid.nx ? l->grid.nx : x1) - c.a.x0;
    return c;
}

/* First output index whose first input pixel is >= v. */
static size_t first_owned(size_t v, size_t origin, size_t f, size_t n)
{
    size_t i = v <= origin ? 0 : (v - origin + f - 1) / f;
    return i > n ? n : i;
}

struct ep_area ep_owned_area(const struct ep_declare *d, struct ep_area a)
{
    const struct ep_regrid *r = &d->regrid;
    if (!r->on) return a;
    size_t y0 = first_owned(a.y0, r->y0, r->fy, r->ny), y1 = first_owned(a.y0 + a.ny, r->y0, r->fy, r->ny);
    size_t x0 = first_owned(a.x0, r->x0, r->fx, r->nx), x1 = first_owned(a.x0 + a.nx, r->x0, r->fx, r->nx);
    return (struct ep_area){y0, x0, y1 - y0, x1 - x0};
}

ep_status ep_layout_make(struct ep_pass *p, struct ep_layout *l, struct ep_err *e)
{
    memset(l, 0, sizeof *l);
    const struct ep_desc *first = p->source[0].d;
    for (size_t i = 1; i < p->nsource; i++)
        if (!ep_desc_same_grid(first, p->source[i].d))
            return ep_fail(e, EP_E_COMPUTE, "signals streamed together must share their pixels: %s has %zu x %zu, %s has %zu x %zu",
                           first->name, ep_desc_ny(first), ep_desc_nx(first), p->source[i].d->name,
                           ep_desc_ny(p->source[i].d), ep_desc_nx(p->source[i].d));
    l->grid = ep_grid_of(ep_desc_ny(first), ep_desc_nx(first));
    l->node = ep_xcalloc(p->nnode, sizeof *l->node);
    for (size_t k = 0; k < p->nnode; k++) {
        l->node[k].want = ep_xcalloc(p->node[k].decl->nout + 1, sizeof *l->node[k].want);
        l->node[k].handle = ep_xcalloc(p->node[k].decl->nout + 1, sizeof *l->node[k].handle);
    }
    for (size_t i = 0; i < p->nsource; i++) {
        p->source[i].want = (struct ep_range){0, 0};
        p->source[i].margin = 0;
    }
    ep_status st = propagate(p, l, e);
    if (st) return st;
    for (size_t i = 0; i < p->nsource; i++) {
        if (p->source[i].want.end == 0) p->source[i].want = (struct ep_range){0, 1};
        if (p->source[i].margin > l->margin) l->margin = p->source[i].margin;
    }
    l->strip = l->margin ? EP_CELL_NY : 1;
    l->pixels = (l->strip + 2 * l->margin) * (EP_CELL_NX + 2 * l->margin);
    needed_cells(p, l);
    cut_blocks(p, l);
    return node_arrays(p, l, e);
}

void ep_layout_free(const struct ep_pass *p, struct ep_layout *l)
{
    for (size_t k = 0; l->node && k < p->nnode; k++) {
        struct ep_node_state *s = &l->node[k];
        free(s->want);
        free(s->handle);
        free(s->theta);
        free(s->cmat);
        free(s->shift);
        free(s->flag);
        if (p->node[k].stage->add) ep_tree_free(&s->tree);
    }
    free(l->node);
    memset(l, 0, sizeof *l);
}

/* ---- Reduction tree ---------------------------------------------------------------------------------------- */

ep_status ep_tree_make(struct ep_tree *t, size_t ncell, struct ep_err *e)
{
    size_t nlevel = 1;
    for (size_t n = ncell; n > 1; n = (n + 1) / 2) nlevel++;
    t->count = ep_xcalloc(nlevel, sizeof *t->count);
    t->pend = ep_xcalloc(nlevel, sizeof *t->pend);
    pthread_mutex_init(&t->lock, NULL);
    size_t n = ncell;
    for (size_t v = 0; v < nlevel; v++, n = (n + 1) / 2) {
        t->count[v] = n;
        t->pend[v] = calloc(n, sizeof *t->pend[v]);
        t->nlevel = v + 1;
        if (!t->pend[v]) return ep_fail(e, EP_E_COMPUTE, "no memory for a sum over %zu cells", ncell);
    }
    return EP_OK;
}

void ep_tree_free(struct ep_tree *t)
{
    for (size_t v = 0; v < t->nlevel; v++) {
        for (size_t i = 0; t->pend[v] && i < t->count[v]; i++) free(t->pend[v][i]);
        free(t->pend[v]);
    }
    if (t->count) pthread_mutex_destroy(&t->lock);
    free(t->root);
    free(t->pend);
    free(t->count);
    memset(t, 0, sizeof *t);
}

void ep_tree_submit(struct ep_tree *t, const struct ep_pass_node *n, size_t cell, void *acc)
{
    size_t i = cell;
    for (size_t v = 0;; v++, i /= 2) {
        if (t->count[v] == 1) {
            t->root = acc;
            return;
        }
        size_t sibling = i ^ 1;
        if (sibling >= t->count[v]) continue; /* an odd one out moves up unmerged */
        pthread_mutex_lock(&t->lock);
        void *other = t->pend[v][sibling];
        if (!other) t->pend[v][i] = acc;
        else t->pend[v][sibling] = NULL;
        pthread_mutex_unlock(&t->lock);
        if (!other) return;
        void *left = i & 1 ? other : acc, *right = i & 1 ? acc : other;
        n->stage->merge(n->plan, left, right);
        free(right);
        acc = left;
    }
}
