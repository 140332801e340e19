/* steps: names, stages, parameters, and the keys that every step may have. */
#include <string.h>

#include "pipeline/recipe/parts.h"
#include "stages/registry.h"

enum { MOST_NAME = 200, MOST_STEPS = 1000 };   /* far beyond any figure; keeps the walk over what feeds what shallow */

const char *const ep_step_keys[] = {"stage", "input", "at", "over", "repeat", "keep", "relative_to", NULL};

const char *const *ep_step_skip(struct ep_arena *a, const struct ep_stage *s)
{
    size_t nkeys = 0, n = 0;
    while (ep_step_keys[nkeys]) nkeys++;
    const char **skip = EP_ARENA_ARRAY(a, const char *, nkeys + s->nports + 1);
    /* Ports first: in a list of what is allowed they belong beside the parameters. `relative_to` means something
     * only to a stage that has a port of this name: there it stands among the ports. */
    for (size_t i = 0; i < s->nports; i++)
        if (strcmp(s->ports[i].name, "input") != 0) skip[n++] = s->ports[i].name;
    for (size_t i = 0; i < nkeys; i++)
        if (strcmp(ep_step_keys[i], "relative_to") != 0) skip[n++] = ep_step_keys[i];
    return skip;
}

const char *ep_step_what(const struct ep_step *s, struct ep_arena *a)
{
    return s->stage ? ep_arena_printf(a, "step %s (%s)", s->name, s->stage->name)
                    : ep_arena_printf(a, "step %s", s->name);
}

static void read_stage(struct ep_reader *b, struct ep_step *s)
{
    const struct ep_value *v = ep_value_get(s->val, "stage");
    if (!v || v->kind != EP_V_TEXT) {
        for (size_t i = 0; !v && i < s->val->n; i++) {   /* "stag:" deserves one message, not two */
            if (!ep_suggest(s->val->keys[i], (const char *const[]){"stage", NULL})) continue;
            ep_diag_error(b->d, s->val->key_pos[i], "step %s: unknown key '%s': did you mean 'stage'?", s->name,
                          s->val->keys[i]);
            return;
        }
        ep_diag_error(b->d, v ? v->pos : s->val->pos,
                      "step %s: stage %s: it needs the name of a stage (`eelpipe stages` lists them)", s->name,
                      v ? ep_arena_printf(b->a, "is %s", ep_vkind_name(v->kind)) : "is missing");
        return;
    }
    s->stage = ep_stage_find(v->text);
    if (s->stage) return;
    size_t n = 0;
    while (ep_stages[n]) n++;
    const char **names = EP_ARENA_ARRAY(b->a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) names[i] = ep_stages[i]->name;
    ep_diag_error(b->d, v->pos, "step %s: there is no stage '%s'%s", s->name, v->text,
                  ep_hint_word(b->a, ep_stage_suggest(v->text), names, "Stages"));
}

static void read_keep(struct ep_reader *b, struct ep_step *s)
{
    const struct ep_value *v = ep_value_get(s->val, "keep");
    if (!v) return;
    const char *what = ep_step_what(s, b->a);
    if (v->kind == EP_V_BOOL) {
        s->keep = v->b;
        return;
    }
    if (v->kind != EP_V_LIST && v->kind != EP_V_TEXT) {
        ep_diag_error(b->d, v->pos, "%s: keep = %s: it needs true, false or a list of outputs", what, ep_show(b->a, v));
        return;
    }
    const struct ep_value *const *items = v->kind == EP_V_LIST ? (const struct ep_value *const *)v->items : &v;
    const size_t n = v->kind == EP_V_LIST ? v->n : 1;
    s->keep_names = EP_ARENA_ARRAY(b->a, const char *, n + 1);
    const char **names = EP_ARENA_ARRAY(b->a, const char *, s->stage->noutputs + 1);
    bool pattern = false;
    for (size_t k = 0; k < s->stage->noutputs; k++) {
        names[k] = s->stage->outputs[k].name;
        if (strchr(names[k], '<')) pattern = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (items[i]->kind != EP_V_TEXT) {
            ep_diag_error(b->d, items[i]->pos, "%s: keep: %s is %s: the name of an output is needed", what,
                          ep_show(b->a, items[i]), ep_vkind_name(items[i]->kind));
            continue;
        }
        const struct ep_outdoc *o = NULL;
        for (size_t k = 0; k < s->stage->noutputs; k++)
            if (!strcmp(names[k], items[i]->text)) o = &s->stage->outputs[k];
        if (!o && !pattern)
            ep_diag_error(b->d, items[i]->pos, "%s: keep: there is no output '%s'%s", what, items[i]->text,
                          ep_hint(b->a, items[i]->text, names, "Outputs"));
        else if (o && o->kind != EP_IMAGE)
            ep_diag_error(b->d, items[i]->pos, "%s: keep: '%s' is no spectrum image: it is always written",
                          what, o->name);
        else s->keep_names[s->nkeep++] = items[i]->text;
    }
}

/* One choice of `at`: min, max or a value, as canonical text. */
static const char *read_choice(struct ep_reader *b, const char *what, size_t coord, const struct ep_value *v)
{
    if (v->kind == EP_V_TEXT && (!strcmp(v->text, "min") || !strcmp(v->text, "max"))) {
        if (b->r->coords[coord].number) return v->text;
        ep_diag_error(b->d, v->pos,
                      "%s: at: %s: %s needs a coordinate that is a number: give it a unit in `coordinates`",
                      what, b->r->coords[coord].name, v->text);
        return NULL;
    }
    struct ep_coord_val val;
    return ep_coord_value(b->r, coord, v, b->a, &val, ep_arena_printf(b->a, "%s: at", what), b->d) ? val.text : NULL;
}

/* `at` and `relative_to`: a mapping of coordinates to values. */
static void read_at(struct ep_reader *b, const struct ep_step *s, const char *key, struct ep_at **out, size_t *nout)
{
    const struct ep_value *v = ep_value_get(s->val, key);
    if (!v) return;
    const char *what = ep_step_what(s, b->a);
    if (v->kind != EP_V_MAP || v->n == 0) {
        ep_diag_error(b->d, v->pos,
                      "%s: %s = %s: it needs a mapping of coordinates to values, as in {temperature: min}",
                      what, key, ep_show(b->a, v));
        return;
    }
    *out = EP_ARENA_ARRAY(b->a, struct ep_at, v->n);
    for (size_t i = 0; i < v->n; i++) {
        long c = ep_coord_need(b->r, b->a, v->keys[i], v->key_pos[i], ep_arena_printf(b->a, "%s: %s", what, key), b->d);
        if (c < 0) continue;
        const struct ep_value *const *items = (const struct ep_value *const *)&v->items[i];
        size_t n = 1;
        if (v->items[i]->kind == EP_V_LIST) {
            items = (const struct ep_value *const *)v->items[i]->items;
            n = v->items[i]->n;
            if (!n)
                ep_diag_error(b->d, v->items[i]->pos, "%s: %s: %s = []: at least one value is needed", what, key,
                              v->keys[i]);
        }
        struct ep_at *at = &(*out)[(*nout)++];
        *at = (struct ep_at){
            .coord = (size_t)c, .choice = EP_ARENA_ARRAY(b->a, const char *, n + 1), .pos = v->key_pos[i]};
        for (size_t k = 0; k < n; k++) {
            const char *choice = read_choice(b, what, (size_t)c, items[k]);
            if (choice) at->choice[at->n++] = choice;
        }
    }
}

/* A component of the output path that names a collected coordinate is left out; what else it names would be lost with it. */
static void check_components(struct ep_reader *b, const struct ep_step *s, struct ep_pos pos)
{
    struct ep_template t;
    struct ep_diag later = {0};
    bool good = b->r->output && ep_template_parse(b->a, b->r->output, b->r->output_pos, "output", &t, &later);
    ep_diag_free(&later);
    for (size_t i = 0; good && i < t.n; i++) {
        const char *gone = NULL, *stays = NULL;
        for (size_t k = 0; k < t.v[i].n; k++) {
            if (!t.v[i].v[k].hole) continue;
            long c = ep_coord_find(b->r, t.v[i].v[k].text);
            bool over = false;
            for (size_t j = 0; j < s->nover; j++)
                if ((long)s->over[j] == c) over = true;
            if (over) gone = t.v[i].v[k].text;
            else stays = t.v[i].v[k].text;
        }
        if (gone && stays)
            ep_diag_error(b->d, pos,
                          "%s: over: the part of the output path that names {%s} also names {%s}, so the "
                          "result has no place: "
                          "put them in folders of their own, as in {%s}/{%s}",
                          ep_step_what(s, b->a), gone, stays, stays, gone);
    }
}

static void read_over(struct ep_reader *b, struct ep_step *s)
{
    const struct ep_value *v = ep_value_get(s->val, "over"), *rep = ep_value_get(s->val, "repeat");
    const char *what = ep_step_what(s, b->a);
    s->repeat = -1;
    if (rep && !v)
        ep_diag_error(b->d, ep_key_pos(s->val, "repeat"),
                      "%s: repeat needs `over`: it averages over one of the collected coordinates", what);
    if (!v) return;
    bool series = false;
    for (size_t i = 0; i < s->stage->nports; i++)
        if (s->stage->ports[i].series) series = true;
    if (!series) {
        size_t n = 0;
        for (size_t i = 0; ep_stages[i]; i++) n++;
        const char **names = EP_ARENA_ARRAY(b->a, const char *, n + 1);
        n = 0;
        for (size_t i = 0; ep_stages[i]; i++)
            for (size_t k = 0; k < ep_stages[i]->nports; k++)
                if (ep_stages[i]->ports[k].series) {
                    names[n++] = ep_stages[i]->name;
                    break;
                }
        ep_diag_error(b->d, ep_key_pos(s->val, "over"), "%s: over: this stage does not collect runs%s", what,
                      ep_hint_word(b->a, NULL, names, "Those that do"));
    }
    if ((v->kind != EP_V_TEXT && v->kind != EP_V_LIST) || (v->kind == EP_V_LIST && v->n == 0)) {
        ep_diag_error(b->d, v->pos, "%s: over = %s: it needs a coordinate or a list of coordinates", what,
                      ep_show(b->a, v));
        return;
    }
    const struct ep_value *const *items = v->kind == EP_V_LIST ? (const struct ep_value *const *)v->items : &v;
    const size_t n = v->kind == EP_V_LIST ? v->n : 1;
    bool good = true;
    s->over = EP_ARENA_ARRAY(b->a, size_t, n);
    for (size_t i = 0; i < n; i++) {
        const char *in = ep_arena_printf(b->a, "%s: over", what);
        long c = -1;
        if (items[i]->kind != EP_V_TEXT)
            ep_diag_error(b->d, items[i]->pos, "%s: %s is %s: the name of a coordinate is needed", in,
                          ep_show(b->a, items[i]), ep_vkind_name(items[i]->kind));
        else c = ep_coord_need(b->r, b->a, items[i]->text, items[i]->pos, in, b->d);
        bool twice = false;
        for (size_t k = 0; k < s->nover; k++)
            if ((long)s->over[k] == c) twice = true;
        if (twice) ep_diag_error(b->d, items[i]->pos, "%s: %s stands there twice", in, items[i]->text);
        if (c < 0 || twice) good = false;
        else s->over[s->nover++] = (size_t)c;
    }
    if (good) check_components(b, s, ep_key_pos(s->val, "over"));
    for (size_t i = 0; i < s->nat; i++)
        for (size_t k = 0; k < s->nover; k++)
            if (s->at[i].coord == s->over[k])
                ep_diag_error(b->d, s->at[i].pos,
                              "%s: %s stands in `at` and in `over`: a step is computed on one of its values or "
                              "collects all",
                              what, b->r->coords[s->over[k]].name);
    if (!rep) return;
    if (rep->kind != EP_V_TEXT) {
        ep_diag_error(b->d, rep->pos, "%s: repeat = %s: it needs the name of a coordinate", what, ep_show(b->a, rep));
        return;
    }
    long c = ep_coord_need(b->r, b->a, rep->text, rep->pos, ep_arena_printf(b->a, "%s: repeat", what), b->d);
    for (size_t k = 0; k < s->nover; k++)
        if ((long)s->over[k] == c) s->repeat = (int)c;
    if (c >= 0 && s->repeat < 0 && good)
        ep_diag_error(b->d, rep->pos, "%s: repeat: %s is not collected: name it in `over` as well", what, rep->text);
}

static void read_params(struct ep_reader *b, const struct ep_step *s)
{
    void *par = ep_arena_alloc(b->a, s->stage->params_size);
    ep_params_parse(b->a, s->stage->params, s->stage->params_size, s->val, ep_step_skip(b->a, s->stage),
                    ep_step_what(s, b->a), par, b->d);
}

void ep_read_steps(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "steps");
    if (!v || v->kind != EP_V_MAP || v->n == 0) {
        ep_diag_error(
            b->d, v ? v->pos : b->r->root->pos,
            "steps %s: it needs a mapping of names to steps, as in `steps: {o_net: {stage: background, ...}}`",
            !v ? "is missing"
            : v->kind == EP_V_MAP || v->kind == EP_V_NULL
                ? "is empty"
                : ep_arena_printf(b->a, "is %s", ep_vkind_name(v->kind)));
        return;
    }
    if (v->n > MOST_STEPS) {
        ep_diag_error(b->d, v->pos, "steps has %zu steps: more than %d in one recipe are not supported", v->n,
                      MOST_STEPS);
        return;
    }
    b->r->nsteps = v->n;
    b->r->steps = EP_ARENA_ARRAY(b->a, struct ep_step, v->n);
    for (size_t i = 0; i < v->n; i++) {
        struct ep_step *s = &b->r->steps[i];
        *s = (struct ep_step){
            .name = v->keys[i], .pos = v->key_pos[i], .val = v->items[i], .repeat = -1};
        if (strlen(s->name) > MOST_NAME)
            ep_diag_error(b->d, s->pos, "step %.40s...: a name has at most %d characters (it becomes a file name)", s->name, MOST_NAME);
        else if (!ep_name_ok(s->name, strlen(s->name)))
            ep_diag_error(b->d, s->pos,
                          "step '%s': a name is a letter, then letters, digits and _ (it becomes a file name)",
                          s->name);
        for (size_t k = 0; k < b->r->ninputs; k++)
            if (!strcmp(b->r->inputs[k].name, s->name))
                ep_diag_error(b->d, s->pos, "step %s has the name of an input: `input: %s` could mean either",
                              s->name, s->name);
        if (s->val->kind == EP_V_MAP) {
            read_stage(b, s);
        } else {
            ep_diag_error(b->d, s->val->kind == EP_V_NULL ? s->pos : s->val->pos,
                          "step %s is %s: it needs a mapping {stage: ..., ...}", s->name,
                          s->val->kind == EP_V_NULL ? "empty" : ep_vkind_name(s->val->kind));
        }
    }
    /* Only now are all stages known: a step may name one that stands below it. */
    for (size_t i = 0; i < v->n; i++) {
        struct ep_step *s = &b->r->steps[i];
        if (!s->stage) continue;
        read_params(b, s);
        ep_read_ports(b, i);
        read_keep(b, s);
        read_at(b, s, "at", &s->at, &s->nat);
        for (size_t p = 0; p < s->stage->nports; p++)
            if (s->stage->ports[p].relative) read_at(b, s, s->stage->ports[p].name, &s->relative, &s->nrelative);
        read_over(b, s);
    }
    ep_order_steps(b);
}
