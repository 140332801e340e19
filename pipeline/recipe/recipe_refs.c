/* What feeds what: the ports of a step, and the order in which steps can be computed. */
#include <string.h>

#include "pipeline/recipe/parts.h"

/* "net, exponent": the outputs of a stage, or NULL when some depend on parameters ("<line>") and only declare knows them. */
static const char *const *output_names(const struct ep_stage *stage, struct ep_arena *a)
{
    const char **names = EP_ARENA_ARRAY(a, const char *, stage->noutputs + 1);
    for (size_t i = 0; i < stage->noutputs; i++) {
        names[i] = stage->outputs[i].name;
        if (strchr(names[i], '<')) return NULL;
    }
    return stage->noutputs ? names : NULL;
}

static void check_output(struct ep_reader *b, const char *what, const struct ep_ref *ref)
{
    const struct ep_step *from = &b->r->steps[ref->index];
    const char *const *names = from->stage ? output_names(from->stage, b->a) : NULL;
    if (!names) return;
    for (size_t i = 0; names[i]; i++)
        if (!strcmp(names[i], ref->output)) return;
    ep_diag_error(b->d, ref->pos, "%s: step %s (%s) has no output '%s'%s", what, from->name, from->stage->name,
                  ref->output, ep_hint(b->a, ref->output, names, "Outputs"));
}

/* "o", "o_net", "o_net.exponent" */
static bool read_ref(struct ep_reader *b, const char *what, const struct ep_value *v, struct ep_ref *out)
{
    if (v->kind != EP_V_TEXT) {
        ep_diag_error(b->d, v->pos, "%s = %s is %s: it needs the name of an input or a step", what,
                      ep_show(b->a, v), ep_vkind_name(v->kind));
        return false;
    }
    const char *dot = strchr(v->text, '.');
    const char *name = dot ? ep_arena_strndup(b->a, v->text, (size_t)(dot - v->text)) : v->text;
    *out = (struct ep_ref){.output = dot ? dot + 1 : NULL, .text = v->text, .pos = v->pos};
    for (size_t i = 0; i < b->r->ninputs; i++) {
        if (strcmp(b->r->inputs[i].name, name) != 0) continue;
        out->kind = EP_REF_INPUT;
        out->index = i;
        if (!dot) return true;
        ep_diag_error(b->d, v->pos,
                      "%s: %s is an input and has no outputs: to choose a signal of its file, write `signal:` "
                      "at the input",
                      what, name);
        return false;
    }
    for (size_t i = 0; i < b->r->nsteps; i++) {
        if (strcmp(b->r->steps[i].name, name) != 0) continue;
        out->kind = EP_REF_STEP;
        out->index = i;
        if (dot) check_output(b, what, out);
        return true;
    }
    const char **all = EP_ARENA_ARRAY(b->a, const char *, b->r->ninputs + b->r->nsteps + 1);
    for (size_t i = 0; i < b->r->ninputs; i++) all[i] = b->r->inputs[i].name;
    for (size_t i = 0; i < b->r->nsteps; i++) all[b->r->ninputs + i] = b->r->steps[i].name;
    ep_diag_error(b->d, v->pos, "%s: there is no input or step '%s'%s", what, name,
                  ep_hint(b->a, name, all, "There are"));
    return false;
}

/* ---- results named in parameters ---- */

/* Whether parameters fill the port: then nothing else does unless `input` is written. */
static bool named_in_params(const struct ep_param *table, const char *port)
{
    for (const struct ep_param *q = table; q && q->name; q++)
        if ((q->port && !strcmp(q->port, port)) || named_in_params(q->record, port)) return true;
    return false;
}

static size_t scalars(const struct ep_value *v)
{
    size_t n = v->kind != EP_V_LIST && v->kind != EP_V_MAP;
    for (size_t i = 0; (v->kind == EP_V_LIST || v->kind == EP_V_MAP) && i < v->n; i++) n += scalars(v->items[i]);
    return n;
}

static void name_one(struct ep_reader *b, const char *what, const struct ep_value *v, struct ep_refs *to)
{
    for (size_t i = 0; i < to->n; i++)
        if (v->kind == EP_V_TEXT && !strcmp(to->v[i].text, v->text)) return;
    if (read_ref(b, what, v, &to->v[to->n])) to->n++;
}

/* What the parameters of a mapping name for the port; wrong types are told by those who read parameters. */
static void take_names(struct ep_reader *b, const char *what, const struct ep_param *table, const struct ep_value *map, const char *port,
                       struct ep_refs *to)
{
    for (const struct ep_param *q = table; map->kind == EP_V_MAP && q && q->name; q++) {
        const struct ep_value *v = ep_value_get(map, q->name);
        bool names = q->port && !strcmp(q->port, port);
        if (!v || v->kind == EP_V_NULL || (!names && !q->record)) continue;
        const char *here = ep_arena_printf(b->a, "%s: %s", what, q->name);
        const struct ep_value *const *items = v->kind == EP_V_LIST ? (const struct ep_value *const *)v->items : &v;
        for (size_t i = 0; i < (v->kind == EP_V_LIST ? v->n : 1); i++)
            if (names) name_one(b, here, items[i], to);
            else take_names(b, here, q->record, items[i], port, to);
    }
}

static struct ep_refs one_ref(struct ep_reader *b, enum ep_ref_kind kind, size_t index, struct ep_pos pos)
{
    struct ep_ref *ref = EP_ARENA_NEW(b->a, struct ep_ref);
    *ref = (struct ep_ref){.kind = kind, .index = index, .pos = pos,
                           .text = kind == EP_REF_INPUT ? b->r->inputs[index].name : b->r->steps[index].name};
    return (struct ep_refs){1, ref};
}

/* The input that a step's data come from in the end, along first ports; -1 if there is none. Bounded: there may be a cycle. */
static long origin(const struct ep_recipe *r, size_t step)
{
    for (size_t hops = 0; hops <= r->nsteps; hops++) {
        const struct ep_step *s = &r->steps[step];
        if (!s->port || !s->stage->nports || s->port[0].n == 0) return -1;
        const struct ep_ref *ref = &s->port[0].v[0];
        if (ref->kind == EP_REF_INPUT) return (long)ref->index;
        step = ref->index;
    }
    return -1;
}

/* What a step without `input` works on: the step above, or the only input. */
static void default_input(struct ep_reader *b, size_t step)
{
    struct ep_step *s = &b->r->steps[step];
    if (step > 0) {
        s->port[0] = one_ref(b, EP_REF_STEP, step - 1, s->pos);
    } else if (b->r->ninputs == 1) {
        s->port[0] = one_ref(b, EP_REF_INPUT, 0, s->pos);
    } else if (b->r->ninputs > 1) {
        const char **names = EP_ARENA_ARRAY(b->a, const char *, b->r->ninputs + 1);
        for (size_t i = 0; i < b->r->ninputs; i++) names[i] = b->r->inputs[i].name;
        ep_diag_error(b->d, s->pos, "%s: input is missing: the first step has none above it%s", ep_step_what(s, b->a),
                      ep_hint_word(b->a, NULL, names, "Inputs"));
    }
}

static void check_count(struct ep_reader *b, const struct ep_step *s, const struct ep_port *p, size_t n,
                        struct ep_pos pos)
{
    const char *what = ep_step_what(s, b->a);
    if (p->max && n > p->max)
        ep_diag_error(b->d, pos, "%s: %s names %zu: this stage takes %s%zu", what, p->name, n,
                      p->max > 1 ? "at most " : "", p->max);
    else if (n < p->min && n > 0)
        ep_diag_error(b->d, pos, "%s: %s names %zu: this stage takes at least %zu", what, p->name, n, p->min);
}

void ep_read_ports(struct ep_reader *b, size_t step)
{
    struct ep_step *s = &b->r->steps[step];
    const char *what = ep_step_what(s, b->a);
    s->port = EP_ARENA_ARRAY(b->a, struct ep_refs, s->stage->nports + 1);
    if (s->stage->nports == 0 && ep_value_get(s->val, "input"))
        ep_diag_error(b->d, ep_key_pos(s->val, "input"), "%s: this stage has no input", what);
    for (size_t i = 0; i < s->stage->nports; i++) {
        const struct ep_port *p = &s->stage->ports[i];
        const struct ep_value *v = ep_value_get(s->val, p->name);
        if (p->relative) continue; /* its key names a run, not a signal: read_at */
        if (!v || v->kind == EP_V_NULL) {
            if (v)
                ep_diag_error(b->d, v->pos,
                              "%s: %s has no value: leave the key out, or name an input or a step", what,
                              p->name);
            else if (named_in_params(s->stage->params, p->name)) {
                s->port[i].v = EP_ARENA_ARRAY(b->a, struct ep_ref, scalars(s->val) + 1);
                take_names(b, what, s->stage->params, s->val, p->name, &s->port[i]);
            } else if (i == 0 && p->min > 0) default_input(b, step);
            continue;
        }
        const struct ep_value *const *items = v->kind == EP_V_LIST ? (const struct ep_value *const *)v->items : &v;
        const size_t n = v->kind == EP_V_LIST ? v->n : 1;
        struct ep_ref *refs = EP_ARENA_ARRAY(b->a, struct ep_ref, n);
        size_t good = 0;
        for (size_t k = 0; k < n; k++)
            if (read_ref(b, ep_arena_printf(b->a, "%s: %s", what, p->name), items[k], &refs[good])) good++;
        s->port[i] = (struct ep_refs){good, refs};
        if (v->kind == EP_V_LIST && n == 0)
            ep_diag_error(b->d, v->pos, "%s: %s = []: it needs at least one name", what, p->name);
        check_count(b, s, p, n, v->pos);
    }
}

/* A port that must have something and was left out; a paired one may be served by its input's low loss. */
static void check_missing(struct ep_reader *b, size_t step)
{
    const struct ep_step *s = &b->r->steps[step];
    for (size_t i = 1; s->stage && i < s->stage->nports; i++) {
        const struct ep_port *p = &s->stage->ports[i];
        if (p->min == 0 || ep_value_get(s->val, p->name)) continue;
        if (!p->paired) {
            ep_diag_error(b->d, s->val->pos, "%s: %s is missing: %s", ep_step_what(s, b->a), p->name,
                          p->doc ? p->doc : "");
            continue;
        }
        long in = origin(b->r, step);
        if (in >= 0 && b->r->inputs[in].pair < 0
            && !ep_value_get(ep_value_get(ep_value_get(b->r->root, "inputs"), b->r->inputs[in].name), "pair"))
            ep_diag_error(b->d, s->val->pos, "%s: %s is missing: %s. Name it here, or give input %s a `pair:`",
                          ep_step_what(s, b->a), p->name, p->doc ? p->doc : "", b->r->inputs[in].name);
    }
}

/* ---- order ---- */

enum mark { NEW, OPEN, DONE };
struct walk { struct ep_reader *b; unsigned char *mark; size_t *path, depth; };

/* "a -> b -> a" in the direction of the data, from the member that stands first in the file. */
static void report_cycle(struct walk *w, size_t first)
{
    const struct ep_recipe *r = w->b->r;
    const size_t n = w->depth - first;
    size_t lead = first;
    for (size_t i = first; i < w->depth; i++)
        if (w->path[i] < w->path[lead]) lead = i;
    struct ep_str s = {0};
    ep_str_add(&s, r->steps[w->path[lead]].name);
    for (size_t k = 1; k <= n; k++)   /* the path goes from user to used: backwards is with the data */
        ep_str_addf(&s, " -> %s", r->steps[w->path[first + (lead - first + n - k) % n]].name);
    const struct ep_step *head = &r->steps[w->path[lead]];
    if (n == 1) ep_diag_error(w->b->d, head->pos, "step %s uses its own result", head->name);
    else ep_diag_error(w->b->d, head->pos, "these steps go round in a circle: %s", s.s);
    ep_str_free(&s);
}

static void visit(struct walk *w, size_t step)
{
    const struct ep_step *s = &w->b->r->steps[step];
    w->mark[step] = OPEN;
    w->path[w->depth++] = step;
    for (size_t i = 0; s->port && i < s->stage->nports; i++)
        for (size_t k = 0; k < s->port[i].n; k++) {
            const struct ep_ref *ref = &s->port[i].v[k];
            if (ref->kind != EP_REF_STEP) continue;
            if (w->mark[ref->index] == NEW) {
                visit(w, ref->index);
            } else if (w->mark[ref->index] == OPEN) {
                size_t first = w->depth;
                while (w->path[first - 1] != ref->index) first--;
                report_cycle(w, first - 1);
            }
        }
    w->depth--;
    w->mark[step] = DONE;
}

/* Steps in the order of the file as far as their needs allow. */
void ep_order_steps(struct ep_reader *b)
{
    const size_t n = b->r->nsteps;
    for (size_t i = 0; i < n; i++) check_missing(b, i);
    b->r->order = EP_ARENA_ARRAY(b->a, size_t, n);
    struct walk w = {b, EP_ARENA_ARRAY(b->a, unsigned char, n), EP_ARENA_ARRAY(b->a, size_t, n), 0};
    const size_t before = b->d->nerrors;
    for (size_t i = 0; i < n; i++)
        if (w.mark[i] == NEW) visit(&w, i);
    if (b->d->nerrors != before) return;
    bool *placed = EP_ARENA_ARRAY(b->a, bool, n);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < n; i++) {
            const struct ep_step *s = &b->r->steps[i];
            bool ready = !placed[i];
            for (size_t p = 0; ready && s->port && p < s->stage->nports; p++)
                for (size_t j = 0; j < s->port[p].n; j++)
                    if (s->port[p].v[j].kind == EP_REF_STEP && !placed[s->port[p].v[j].index]) ready = false;
            if (!ready) continue;
            placed[i] = true;
            b->r->order[k] = i;
            break;
        }
}
