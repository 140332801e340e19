/* Raw signals: files of the recipe's inputs, with the recipe's options applied. */
#include "pipeline/engine/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/engine/fingerprint.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/probe.h"

static void exclude_pixels(struct ep_raw *w, struct ep_arena *a, struct ep_diag *d)
{
    const struct ep_exclude *x = w->par.exclude;
    if (!x) return;
    size_t ny = ep_desc_ny(&w->d), nx = ep_desc_nx(&w->d);
    w->mask = ep_arena_array(a, ny * nx, 1);
    for (size_t i = 0; i < x->rows.n; i++) {
        if (!(x->rows.v[i] >= 0) || x->rows.v[i] >= (double)ny) {
            ep_diag_error(d, w->pos, "exclude: row %g is not in the image of %zu rows", x->rows.v[i], ny);
            continue;
        }
        memset(w->mask + (size_t)x->rows.v[i] * nx, 1, nx);
    }
    for (size_t i = 0; i < x->columns.n; i++) {
        if (!(x->columns.v[i] >= 0) || x->columns.v[i] >= (double)nx) {
            ep_diag_error(d, w->pos, "exclude: column %g is not in the image of %zu columns", x->columns.v[i], nx);
            continue;
        }
        for (size_t y = 0; y < ny; y++) w->mask[y * nx + (size_t)x->columns.v[i]] = 1;
    }
    const struct ep_exclude_rect *rect = x->rectangles.v;
    for (size_t i = 0; i < x->rectangles.n; i++) {
        const struct ep_numbers *ry = &rect[i].rows, *rx = &rect[i].columns;
        if (ry->n != 2 || rx->n != 2 || !(ry->v[0] >= 0) || !(rx->v[0] >= 0) || ry->v[1] >= (double)ny || rx->v[1] >= (double)nx) {
            ep_diag_error(d, w->pos, "exclude: a rectangle is {rows: [first, last], columns: [first, last]} inside the image of %zu x %zu pixels", ny, nx);
            continue;
        }
        for (size_t y = (size_t)ry->v[0]; y <= (size_t)ry->v[1]; y++)
            for (size_t c = (size_t)rx->v[0]; c <= (size_t)rx->v[1]; c++) w->mask[y * nx + c] = 1;
    }
}

/* What the recipe says of an input wins over the file. */
static void apply_options(const struct ep_input_par *p, struct ep_desc *d)
{
    if (isfinite(p->energy_offset) && d->spectral) d->energy.offset += p->energy_offset / ep_axis_unit_factor(&d->energy);
    if (isfinite(p->counts_per_electron)) {
        d->gain = p->counts_per_electron;
        d->gain_estimated = false;
    }
    if (isfinite(p->read_noise)) d->read_noise = p->read_noise;
    if (isfinite(p->beam_energy)) d->meta.beam_energy_kev = p->beam_energy;
    if (isfinite(p->collection_angle)) d->meta.collection_mrad = p->collection_angle;
    if (isfinite(p->convergence_angle)) d->meta.convergence_mrad = p->convergence_angle;
    if (p->frame) snprintf(d->frame, sizeof d->frame, "%s", p->frame);
}

/* Signals of one scan (a core loss and its paired low loss), or that the recipe says to share a frame. */
static uint64_t frame_of(const struct ep_recipe *r, const struct ep_run *run, size_t input, const struct ep_input_par *p)
{
    const char *text = run->input[input];
    long pair = r->inputs[input].pair;
    if (p->frame) text = p->frame;
    else if (pair >= 0 && run->input[pair]) text = run->input[pair];
    struct ep_hash h = ep_hash_text(text);
    char start[17];
    snprintf(start, sizeof start, "%.16s", h.hex);
    uint64_t id = strtoull(start, NULL, 16);
    return id ? id : 1;
}

static char *output_root(const struct ep_recipe *r, struct ep_arena *a)
{
    /* the fixed part of the output template, where .eelpipe/ lives */
    const char *brace = strchr(r->output, '{');
    size_t n = brace ? (size_t)(brace - r->output) : strlen(r->output);
    while (brace && n > 0 && r->output[n - 1] != '/') n--;
    while (n > 1 && r->output[n - 1] == '/') n--;
    if (r->output[0] == '/') return ep_arena_strndup(a, r->output, n);
    return ep_arena_printf(a, "%s%s%.*s", r->folder, n ? "/" : "", (int)n, r->output);
}

char *ep_graph_root(const struct ep_graph *g)
{
    return output_root(g->recipe, g->arena);
}

const char *ep_graph_memory(const struct ep_graph *g)
{
    return g->forget ? NULL : ep_arena_printf(g->arena, "%s/.eelpipe/inputs", ep_graph_root(g));
}

ep_status ep_raw_open(struct ep_raw *w, struct ep_err *e)
{
    if (w->file) return EP_OK;
    ep_status st = ep_file_open(w->path, &w->file, e);
    if (st) return st;
    st = ep_file_find(w->file, w->signal, EP_IMAGE | EP_SPECTRUM | EP_MAP | EP_PROFILE | EP_CURVE | EP_TABLE, &w->index, e);
    if (st) ep_raw_close(w);
    return st;
}

void ep_raw_close(struct ep_raw *w)
{
    ep_file_close(w->file);
    w->file = NULL;
}

ep_status ep_raw_load(struct ep_raw *w, struct ep_signal **out, struct ep_err *e)
{
    bool was_open = w->file != NULL;             /* by a pass that streams it as well */
    ep_status st = ep_raw_open(w, e);
    if (!st) st = ep_file_load(w->file, w->index, (size_t)1 << 34, out, e);
    if (!st) apply_options(&w->par, &(*out)->d);
    if (!was_open) ep_raw_close(w);
    return st;
}

struct ep_raw *ep_graph_raw(struct ep_graph *g, const struct ep_run *run, size_t input)
{
    const struct ep_value *val = ep_run_input(g->recipe, run, input, g->arena);
    const char *path = run->input[input];
    struct ep_input_par par;
    struct ep_value map = {.kind = EP_V_MAP};
    const struct ep_value *options = val && val->kind == EP_V_MAP ? val : NULL;
    if (!options) { /* a plain path: {path: ...} */
        static const char *const key[] = {"path"};
        struct ep_value *item = EP_ARENA_NEW(g->arena, struct ep_value);
        struct ep_pos *pos = EP_ARENA_NEW(g->arena, struct ep_pos);
        *item = (struct ep_value){.kind = EP_V_TEXT, .text = path};
        map.n = 1;
        map.keys = (const char **)key;
        map.items = EP_ARENA_ARRAY(g->arena, struct ep_value *, 1);
        map.items[0] = item;
        map.key_pos = pos;
        options = &map;
    }
    char *what = ep_arena_printf(g->arena, "input %s", g->recipe->inputs[input].name);
    if (!ep_params_parse(g->arena, ep_input_params, sizeof par, options, NULL, what, &par, g->diag)) return NULL;
    struct ep_str key = {0};
    const char *signal = par.signal;
    par.path = path;
    ep_params_json(&key, ep_input_params, &par);
    char *id = ep_arena_strdup(g->arena, key.s);
    for (size_t i = 0; i < g->nraws; i++)
        if (!strcmp(g->raw[i]->id, id)) {
            ep_str_free(&key);
            return g->raw[i];
        }
    EP_PUSH(g->raw, g->nraws, g->rawcap);
    struct ep_raw *w = g->raw[g->nraws - 1] = EP_ARENA_NEW(g->arena, struct ep_raw);
    w->id = id;
    w->path = path;
    w->signal = signal;
    w->par = par;
    w->pos = g->recipe->inputs[input].pos;
    const char *memory = ep_graph_memory(g);
    struct ep_hash content;
    ep_status st = ep_raw_recall(path, 0, memory, &content) ? EP_OK : ep_file_probe(path, &w->err); /* known files are trusted */
    if (!st) st = ep_raw_open(w, &w->err);
    if (!st) {
        w->d = *ep_file_desc(w->file, w->index);
        apply_options(&w->par, &w->d);
        w->d.frame_id = frame_of(g->recipe, run, input, &par);
        exclude_pixels(w, g->arena, g->diag);
        bool known = g->by_time || (!g->no_hash && ep_raw_recall(path, w->index, memory, &content));
        if (g->by_time) content = ep_raw_by_time(path);
        if (known) ep_raw_set_content(w, &content);
        ep_raw_close(w);
    }
    ep_str_free(&key);
    return w;
}
