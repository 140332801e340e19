/* From steps and runs to nodes: which exist, what feeds them, what they declare. */
#include "pipeline/engine/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/engine/fingerprint.h"
#include "pipeline/engine/graph_parts.h"

/* ---- Which coordinates a step depends on ------------------------------------------------------------------- */

static unsigned long long path_mask(const struct ep_recipe *r, const char *path, struct ep_arena *a)
{
    if (r->runs_csv) return r->ncoords >= 64 ? ~0ull : (1ull << r->ncoords) - 1;
    return ep_path_coords(r, path, a);
}

unsigned long long *ep_graph_masks(const struct ep_recipe *r, struct ep_arena *a)
{
    unsigned long long *mask = EP_ARENA_ARRAY(a, unsigned long long, r->nsteps);
    for (size_t i = 0; i < r->nsteps; i++) {
        size_t k = r->order[i];
        const struct ep_step *s = &r->steps[k];
        for (size_t p = 0; p < s->stage->nports; p++)
            for (size_t j = 0; j < s->port[p].n; j++) {
                const struct ep_ref *ref = &s->port[p].v[j];
                mask[k] |= ref->kind == EP_REF_INPUT ? path_mask(r, r->inputs[ref->index].path, a) : mask[ref->index];
            }
        for (size_t o = 0; o < s->nover; o++) mask[k] &= ~(1ull << s->over[o]);
        for (size_t t = 0; t < s->nat; t++) mask[k] &= ~(1ull << s->at[t].coord);
    }
    return mask;
}

static bool agree(const struct ep_recipe *r, const struct ep_run *a, const struct ep_run *b, unsigned long long mask)
{
    for (size_t c = 0; c < r->ncoords; c++)
        if (mask >> c & 1 && strcmp(a->coord[c].text, b->coord[c].text)) return false;
    return true;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------- */

static struct ep_node *get_node(struct ep_graph *g, size_t step, const struct ep_run *run);

/* The coordinates that a node of the step depends on, or that `at` fixes. */
static unsigned long long coordinates_of(const struct ep_graph *g, const struct ep_step *s, size_t step)
{
    unsigned long long has = g->mask[step];
    for (size_t t = 0; t < s->nat; t++) has |= 1ull << s->at[t].coord;
    return has;
}

/* "sample=ncm003, temperature=700" */
static const char *place_of(const struct ep_graph *g, unsigned long long has, const struct ep_run *run)
{
    struct ep_str out = {0};
    for (size_t c = 0; c < g->recipe->ncoords; c++)
        if (has >> c & 1) ep_str_addf(&out, "%s%s=%s", out.n ? ", " : "", g->recipe->coords[c].name, run->coord[c].text);
    char *text = ep_arena_strdup(g->arena, out.s ? out.s : "");
    ep_str_free(&out);
    return text;
}

/* The pair of the raw input from which the step's first port comes, through any number of steps. */
static long pair_of(const struct ep_graph *g, const struct ep_step *s)
{
    const struct ep_refs *refs = &s->port[0];
    while (refs->n) {
        const struct ep_ref *ref = &refs->v[0];
        if (ref->kind == EP_REF_INPUT) return g->recipe->inputs[ref->index].pair;
        refs = &g->recipe->steps[ref->index].port[0];
    }
    return -1;
}

struct item_list { size_t n, cap; struct ep_source_ref *ref; struct ep_item *item; };

static size_t output_index(const struct ep_node *n, const char *name)
{
    const char *alias = name && n->stage->output_alias ? n->stage->output_alias(&n->decl, name) : NULL;
    if (alias) name = alias;
    for (size_t o = 0; o < n->decl.nout; o++)
        if (name ? !strcmp(n->decl.out[o].name, name) : n->decl.out[o].primary) return o;
    return name ? n->decl.nout : 0;
}

static void block(struct ep_node *n, ep_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void block(struct ep_node *n, ep_status code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    n->state = EP_NODE_BLOCKED;
    ep_fail(&n->err, code, "%s", text);
    snprintf(n->reason, sizeof n->reason, "%.250s", text);
}

/* n needs m, and m can't be computed: why is told once, of the first in the chain. */
static void block_for(struct ep_node *n, const struct ep_node *m, const char *how)
{
    block(n, m->err.code, "%s %s, which can't be computed", how, m->label);
    n->cause = m;
}

static const struct ep_node *first_cause(const struct ep_node *n)
{
    while (n->cause) n = n->cause;
    return n;
}

static bool listed(const struct ep_graph *g, const struct ep_node *n, size_t end)
{
    for (size_t i = 0; i < end; i++)
        if (g->node[i]->wanted && g->node[i]->cause && g->node[i]->step == n->step && first_cause(g->node[i]) == first_cause(n)) return true;
    return false;
}

bool ep_node_blocked(const struct ep_graph *g, const struct ep_node *n, struct ep_str *out)
{
    if (n->state != EP_NODE_BLOCKED || n->is_look || n->cause) return false;
    size_t needing = 0;
    struct ep_str steps = {0};
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *m = g->node[i];
        if (!m->wanted || !m->cause || m->is_look || first_cause(m) != n || listed(g, m, i)) continue;
        ep_str_addf(&steps, "%s%s", needing++ ? ", " : "", m->name);
    }
    bool tell = n->wanted || needing;
    if (tell) ep_str_addf(out, "%s: %s", n->label, n->err.msg);
    if (needing) ep_str_addf(out, " (nor can what needs it: %s)", steps.s);
    ep_str_free(&steps);
    return tell;
}

static void add_item(struct ep_graph *g, struct ep_node *n, size_t port, struct item_list *list, const struct ep_ref *ref,
                     size_t input, const struct ep_run *run)
{
    const struct ep_port *p = &n->stage->ports[port];
    struct ep_source_ref src = {.label = ref ? ref->text : g->recipe->inputs[input].name};
    struct ep_item item = {.label = src.label};
    struct ep_pos pos = ref ? ref->pos : n->s->pos;
    if (p->series) {
        struct ep_coord *co = EP_ARENA_ARRAY(g->arena, struct ep_coord, n->s->nover + 1);
        unsigned long long has = !ref || ref->kind == EP_REF_INPUT ? path_mask(g->recipe, g->recipe->inputs[ref ? ref->index : input].path, g->arena)
                                                                   : g->mask[ref->index];
        for (size_t c = 0; c < n->s->nover; c++) {
            const struct ep_coord_def *def = &g->recipe->coords[n->s->over[c]];
            const struct ep_coord_val *v = &run->coord[n->s->over[c]];
            co[c] = (struct ep_coord){def->name, v->text, def->unit, v->num, def->number};
            item.shared |= (uint64_t)!(has >> n->s->over[c] & 1) << c;
        }
        item.coord = co;
        item.ncoord = n->s->nover;
    }
    if (!ref || ref->kind == EP_REF_INPUT) {
        size_t k = ref ? ref->index : input;
        if (!run->input[k]) {
            const char *text = run->input_text[k];
            if (!p->series)
                block(n, EP_E_INPUT, "input %s is missing for this run: %s%s", g->recipe->inputs[k].name,
                      text ? "there is no file " : "the table of runs names none", text ? text : "");
            item.missing = true;
        } else {
            src.raw = ep_graph_raw(g, run, k);
            if (!src.raw) {
                block(n, EP_E_RECIPE, "input %s: wrong options", g->recipe->inputs[k].name);
            } else if (src.raw->err.code) {
                if (!p->series) block(n, src.raw->err.code, "input %s can't be read: %s", g->recipe->inputs[k].name, src.raw->err.msg);
                item.missing = true;
                src.raw = NULL;
            } else {
                item.d = &src.raw->d;
            }
        }
    } else {
        struct ep_node *m = get_node(g, ref->index, run);
        for (size_t i = 0; i < list->n; i++)
            if (m && list->ref[i].node == m && list->item[i].label == src.label) return; /* runs that share a node */
        if (m->state == EP_NODE_BLOCKED) {
            if (!p->series) block_for(n, m, "needs");
            item.missing = true;
        } else {
            src.node = m;
            src.out = output_index(m, ref->output);
            if (src.out >= m->decl.nout) {
                struct ep_str names = {0};
                for (size_t o = 0; o < m->decl.nout; o++) ep_str_addf(&names, "%s%s", o ? ", " : "", m->decl.out[o].name);
                ep_diag_error(g->diag, pos, "step %s has no output '%s' with these parameters; it has %s", g->recipe->steps[ref->index].name,
                              ref->output, names.s ? names.s : "none");
                ep_str_free(&names);
                block(n, EP_E_RECIPE, "no such output");
                src.node = NULL;
            } else {
                item.d = &m->decl.out[src.out];
            }
        }
    }
    if (item.d && !(item.d->kind & p->kinds)) {
        struct ep_str kinds = {0};
        for (unsigned b = 1; b <= EP_TABLE; b <<= 1)
            if (p->kinds & b) ep_str_addf(&kinds, "%s%s", kinds.n ? " or " : "", ep_kind_name((enum ep_kind)b));
        ep_diag_error(g->diag, pos, "step %s: '%s' is a %s; %s of stage %s needs a %s", n->s->name, src.label, ep_kind_name(item.d->kind), p->name,
                      n->stage->name, kinds.s);
        ep_str_free(&kinds);
        block(n, EP_E_RECIPE, "wrong kind of input");
    }
    size_t cap = list->cap;
    if (list->n == cap) {
        list->cap = cap ? 2 * cap : 4;
        list->ref = ep_xrealloc(list->ref, list->cap * sizeof *list->ref);
        list->item = ep_xrealloc(list->item, list->cap * sizeof *list->item);
    }
    list->ref[list->n] = src;
    list->item[list->n++] = item;
}

/* The same step's primary result of the run that relative_to names: nothing for that run itself. */
static void add_relative(struct ep_graph *g, struct ep_node *n, size_t port, struct item_list *list)
{
    size_t choices = n->s->nrelative ? 1 : 0;
    for (size_t t = 0; t < n->s->nrelative; t++) choices *= n->s->relative[t].n;
    for (size_t c = 0; c < choices; c++) {
        long k = ep_relative_resolve(g->recipe, g->runs, n->s, n->run, c);
        if (k < 0) continue;
        n->is_reference = agree(g->recipe, &g->runs->v[k], n->run, g->mask[n->step]);
        if (n->is_reference) return;
        struct ep_node *m = get_node(g, n->step, &g->runs->v[k]);
        if (m->state == EP_NODE_BLOCKED && c + 1 < choices) continue;
        if (m->state == EP_NODE_BLOCKED) {
            block_for(n, m, "is relative to");
            return;
        }
        size_t out = output_index(m, NULL);
        list->ref = ep_xcalloc(1, sizeof *list->ref);
        list->item = ep_xcalloc(1, sizeof *list->item);
        list->ref[0] = (struct ep_source_ref){.node = m, .out = out, .label = n->stage->ports[port].name};
        list->item[0] = (struct ep_item){.d = &m->decl.out[out], .label = n->stage->ports[port].name};
        list->n = list->cap = 1;
        return;
    }
    if (choices) block(n, EP_E_COMPUTE, "relative_to names no run that exists");
}

static void collect_items(struct ep_graph *g, struct ep_node *n)
{
    size_t np = n->stage->nports;
    n->nitem = EP_ARENA_ARRAY(g->arena, size_t, np + 1);
    n->item = EP_ARENA_ARRAY(g->arena, struct ep_source_ref *, np + 1);
    n->items = EP_ARENA_ARRAY(g->arena, struct ep_items, np + 1);
    n->item_store = EP_ARENA_ARRAY(g->arena, struct ep_item *, np + 1);
    for (size_t p = 0; p < np; p++) {
        const struct ep_refs *refs = &n->s->port[p];
        struct item_list list = {0};
        if (n->stage->ports[p].relative) add_relative(g, n, p, &list);
        for (size_t j = 0; j < refs->n; j++) {
            if (!n->stage->ports[p].series) {
                add_item(g, n, p, &list, &refs->v[j], 0, n->run);
                continue;
            }
            for (size_t r = 0; r < g->runs->n; r++) {
                const struct ep_run *run = &g->runs->v[r];
                if (!run->skip && agree(g->recipe, run, n->run, g->mask[n->step])) add_item(g, n, p, &list, &refs->v[j], 0, run);
            }
        }
        bool summed = p && n->nitem[0] && n->item_store[0][0].d && n->item_store[0][0].d->kind == EP_SPECTRUM && n->s->port[0].v[0].kind != EP_REF_INPUT;
        if (refs->n == 0 && n->stage->ports[p].paired && !summed) { /* a spectrum made of an image has not the image's pixels */
            long pair = pair_of(g, n->s);
            if (pair >= 0) add_item(g, n, p, &list, NULL, (size_t)pair, n->run);
        }
        n->nitem[p] = list.n;
        n->item[p] = EP_ARENA_ARRAY(g->arena, struct ep_source_ref, list.n + 1);
        n->item_store[p] = EP_ARENA_ARRAY(g->arena, struct ep_item, list.n + 1);
        if (list.n) {
            memcpy(n->item[p], list.ref, list.n * sizeof *list.ref);
            memcpy(n->item_store[p], list.item, list.n * sizeof *list.item);
        }
        n->items[p] = (struct ep_items){list.n, n->item_store[p]};
        free(list.ref);
        free(list.item);
    }
}

/* Signals streamed together must have the same pixels. */
static void check_grids(struct ep_graph *g, struct ep_node *n)
{
    const struct ep_item *first = NULL;
    for (size_t p = 0; p < n->stage->nports; p++) {
        if (!n->stage->ports[p].stream) continue;
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_item *it = &n->item_store[p][i];
            if (!it->d) continue;
            if (!first) first = it;
            else if (!ep_desc_same_grid(first->d, it->d)) {
                ep_diag_error(g->diag, n->s->pos, "step %s%s%s: '%s' has %zu x %zu pixels, '%s' has %zu x %zu: signals read together must share their pixels",
                              n->s->name, n->where[0] ? ", " : "", n->where, first->label, ep_desc_ny(first->d), ep_desc_nx(first->d),
                              it->label, ep_desc_ny(it->d), ep_desc_nx(it->d));
                block(n, EP_E_RECIPE, "inputs of different grids");
            }
        }
    }
}

void ep_node_declare(struct ep_graph *g, struct ep_node *n, struct ep_diag *d)
{
    n->decl = (struct ep_declare){.stage = n->stage, .par = n->par, .step = n->val, .pos = n->s->pos, .step_name = n->s->name,
                                  .in = n->items, .elements = g->recipe->elements, .arena = g->arena, .diag = d};
    if (n->s->repeat >= 0) n->decl.repeat = g->recipe->coords[n->s->repeat].name;
    n->stage->declare(&n->decl);
    for (size_t o = 0; o < n->decl.nout; o++) { /* several signals of one file must be told apart by their titles */
        struct ep_meta *m = &n->decl.out[o].meta;
        char title[sizeof m->title];
        snprintf(title, sizeof title, "%s%s%.60s", n->decl.out[o].name, m->title[0] ? ", " : "", m->title);
        memcpy(m->title, title, sizeof title);
    }
}

static void declare(struct ep_graph *g, struct ep_node *n)
{
    size_t before = g->diag->nerrors;
    ep_node_declare(g, n, g->diag);
    if (g->diag->nerrors > before) {
        block(n, EP_E_RECIPE, "the recipe is wrong");
        return;
    }
    n->keep = EP_ARENA_ARRAY(g->arena, bool, n->decl.nout + 1);
    for (size_t o = 0; o < n->decl.nout; o++) {
        const struct ep_desc *d = &n->decl.out[o];
        if (d->kind != EP_IMAGE || !n->stage->apply) continue;
        bool named = false;
        for (size_t k = 0; k < n->s->nkeep; k++) named |= !strcmp(n->s->keep_names[k], d->name);
        n->keep[o] = !n->is_look && (n->decl.regrid.on || (n->s->keep && (n->s->nkeep ? named : d->primary)) || named);
    }
}

static struct ep_node *new_node(struct ep_graph *g, size_t step, const struct ep_run *run, const struct ep_stage *stage)
{
    struct ep_node *n = EP_ARENA_NEW(g->arena, struct ep_node);
    n->step = step;
    n->s = &g->recipe->steps[step];
    n->stage = stage;
    n->run = run;
    n->state = EP_NODE_MISSING;
    n->is_look = stage != n->s->stage;
    n->name = n->is_look ? ep_arena_printf(g->arena, "%s.look", n->s->name) : n->s->name;
    unsigned long long has = coordinates_of(g, n->s, step);
    n->where = place_of(g, has, run);
    n->label = ep_arena_printf(g->arena, "step %s (%s)%s%s", n->s->name, n->s->stage->name, n->where[0] ? ", " : "", n->where);
    n->folder = ep_output_folder_of(g->recipe, has, run, g->arena);
    n->path = ep_arena_printf(g->arena, "%s/%s.hspy", n->folder, n->name);
    if (g->result) n->path = n->is_look ? ep_arena_printf(g->arena, "%s.look.hspy", g->result) : g->result;
    return n;
}

static void keep_node(struct ep_graph *g, struct ep_node *n)
{
    EP_PUSH(g->node, g->nnodes, g->cap);
    g->node[g->nnodes - 1] = n;
}

static void fill_node(struct ep_graph *g, struct ep_node *n)
{
    size_t step = n->step;
    const struct ep_run *run = n->run;
    n->val = ep_run_step(g->recipe, run, step, g->arena);
    n->par = ep_arena_alloc(g->arena, n->stage->params_size ? n->stage->params_size : 1);
    char *what = ep_arena_printf(g->arena, "step %s (%s)", n->s->name, n->stage->name);
    if (!ep_params_parse(g->arena, n->stage->params, n->stage->params_size, n->val, ep_step_skip(g->arena, n->stage), what, n->par, g->diag)) {
        block(n, EP_E_RECIPE, "wrong parameters");
        return;
    }
    collect_items(g, n);
    if (n->state != EP_NODE_BLOCKED) check_grids(g, n);
    if (n->state != EP_NODE_BLOCKED) declare(g, n);
    if (n->state == EP_NODE_BLOCKED) return;
    if (n->stage->look && (!n->stage->wants_look || n->stage->wants_look(n->par))) {
        struct ep_node *look = new_node(g, step, run, n->stage->look);
        look->val = n->val;
        look->par = n->par;
        look->nitem = n->nitem;
        look->item = n->item;
        look->items = n->items;
        look->item_store = n->item_store;
        declare(g, look);
        keep_node(g, look);
        n->look = look;
    }
}

/* Nodes enter the list after those they use. */
static struct ep_node *make_node(struct ep_graph *g, size_t step, const struct ep_run *run)
{
    struct ep_node *n = new_node(g, step, run, g->recipe->steps[step].stage);
    fill_node(g, n);
    keep_node(g, n);
    return n;
}

/* The node of a step for a run: runs that agree on what the step depends on share it. */
static struct ep_node *get_node(struct ep_graph *g, size_t step, const struct ep_run *run)
{
    const struct ep_step *s = &g->recipe->steps[step];
    const struct ep_run *rep = NULL;
    size_t choices = 1;
    for (size_t t = 0; t < s->nat; t++) choices *= s->at[t].n; /* all combinations, the last coordinate's first */
    struct ep_node *blocked = NULL;
    for (size_t c = 0; c < choices; c++) {
        if (s->nat) {
            long k = ep_at_resolve(g->recipe, g->runs, s, run, c);
            if (k < 0) continue;
            rep = &g->runs->v[k];
        } else {
            for (size_t r = 0; !rep && r < g->runs->n; r++)
                if (!g->runs->v[r].skip && agree(g->recipe, &g->runs->v[r], run, g->mask[step])) rep = &g->runs->v[r];
        }
        if (!rep) continue;
        struct ep_node *n = NULL;
        for (size_t i = 0; i < g->nnodes; i++)
            if (g->node[i]->step == step && g->node[i]->run == rep && !g->node[i]->is_look) n = g->node[i];
        if (!n) n = make_node(g, step, rep);
        if (n->state != EP_NODE_BLOCKED || n->err.code == EP_E_RECIPE) return n;
        if (!blocked) blocked = n;
    }
    if (blocked) return blocked;
    struct ep_node *n = new_node(g, step, run, s->stage);
    block(n, EP_E_COMPUTE, "`at` names no run that exists");
    keep_node(g, n);
    return n;
}

static void check_paths(struct ep_graph *g)
{
    for (size_t i = 0; i < g->nnodes; i++)
        for (size_t j = i + 1; j < g->nnodes; j++) {
            const struct ep_node *a = g->node[i], *b = g->node[j];
            if (a->path != b->path && !strcmp(a->path, b->path) && !(a->step == b->step && a->run == b->run))
                ep_diag_error(g->diag, g->recipe->output_pos, "two results at one path: %s for %s and for %s: name more coordinates in `output`",
                              a->path, a->label, b->label);
        }
}

/* An override that names a coordinate on which its step does not depend can't be applied to one run. */
static void check_overrides(struct ep_graph *g)
{
    for (size_t i = 0; i < g->recipe->noverrides; i++) {
        const struct ep_override *o = &g->recipe->overrides[i];
        for (size_t k = 0; k < o->nset; k++) {
            if (strncmp(o->set[k].path, "steps.", 6)) continue;
            const char *name = o->set[k].path + 6;
            size_t len = strcspn(name, ".");
            for (size_t s = 0; s < g->recipe->nsteps; s++) {
                const struct ep_step *st = &g->recipe->steps[s];
                if (strlen(st->name) != len || strncmp(st->name, name, len)) continue;
                unsigned long long has = coordinates_of(g, st, s);
                for (size_t w = 0; w < o->nwhen; w++)
                    if (!(has >> o->when[w].coord & 1))
                        ep_diag_error(g->diag, o->when[w].pos, "step %s does not depend on %s, so it can't be overridden by it", st->name,
                                      g->recipe->coords[o->when[w].coord].name);
            }
        }
    }
}

void ep_graph_build(struct ep_graph *g, const struct ep_selection *sel)
{
    const struct ep_recipe *r = g->recipe;
    g->mask = ep_graph_masks(r, g->arena);
    check_overrides(g);
    for (size_t i = 0; i < r->nsteps; i++)
        for (size_t k = 0; k < g->runs->n; k++) {
            const struct ep_run *run = &g->runs->v[k];
            if (run->skip || (sel && !ep_filter_match(sel->runs, run))) continue;
            struct ep_node *n = get_node(g, r->order[i], run);
            n->asked = n->wanted = true;
        }
    check_paths(g);
}

void ep_graph_free(struct ep_graph *g)
{
    for (size_t i = 0; i < g->nnodes; i++) {
        struct ep_node *n = g->node[i];
        ep_node_release(n);
        ep_str_free(&n->chain);
        ep_str_free(&n->inputs);
    }
    for (size_t i = 0; i < g->nraws; i++) ep_raw_close(g->raw[i]);
    for (size_t i = 0; i < g->nunits; i++) {
        free(g->unit[i]->node);
        free(g->unit[i]->chain);
    }
    free(g->unit);
    free(g->node);
    free(g->raw);
}
