/* What changes a recipe from outside (--set) and what differs in single runs (overrides, dotted columns of runs.csv). */
#include <string.h>

#include "pipeline/recipe/parts.h"

/* A copy of map in which key has the value v; the places of all other keys stay what they are. */
static const struct ep_value *replaced(struct ep_arena *a, const struct ep_value *map, const char *key,
                                       struct ep_value *v)
{
    struct ep_value *c = EP_ARENA_NEW(a, struct ep_value);
    *c = (struct ep_value){.kind = EP_V_MAP, .pos = map ? map->pos : v->pos};
    const size_t n = map && map->kind == EP_V_MAP ? map->n : 0;
    c->items = EP_ARENA_ARRAY(a, struct ep_value *, n + 1);
    c->keys = EP_ARENA_ARRAY(a, const char *, n + 1);
    c->key_pos = EP_ARENA_ARRAY(a, struct ep_pos, n + 1);
    size_t at = n;
    for (size_t i = 0; i < n; i++) {
        c->items[i] = map->items[i];
        c->keys[i] = map->keys[i];
        c->key_pos[i] = map->key_pos[i];
        if (!strcmp(map->keys[i], key)) at = i;
    }
    if (at == n) {
        c->keys[n] = key;
        c->key_pos[n] = v->pos;
    }
    c->items[at] = v;
    c->n = n + (at == n);
    return c;
}

/* The options of an input as a mapping: a plain path is {path: ...}, nothing at all is {}. */
static const struct ep_value *input_map(struct ep_arena *a, const struct ep_value *v)
{
    if (!v || v->kind == EP_V_MAP) return v;
    const struct ep_value empty = {.kind = EP_V_MAP, .pos = v->pos};
    if (v->kind != EP_V_NULL) return replaced(a, &empty, "path", (struct ep_value *)v);
    struct ep_value *c = EP_ARENA_NEW(a, struct ep_value);
    *c = empty;
    return c;
}

static const char *first_name(struct ep_arena *a, const char *dotted, const char **rest)
{
    size_t n = strcspn(dotted, ".");
    *rest = dotted[n] ? dotted + n + 1 : NULL;
    return ep_arena_strndup(a, dotted, n);
}

static const char *const *keys_of(struct ep_arena *a, const struct ep_value *map)
{
    const size_t n = map && map->kind == EP_V_MAP ? map->n : 0;
    const char **names = EP_ARENA_ARRAY(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) names[i] = map->keys[i];
    return names;
}

/* ---- --set ---- */

static void apply_set(struct ep_reader *b, const char *text)
{
    const struct ep_pos pos = {"--set", 0, 0};
    const char *eq = strchr(text, '='), *rest, *option = NULL;
    if (!eq || eq == text) {
        ep_diag_error(b->d, pos, "'%s': it needs NAME=VALUE, as in steps.o_net.window=505,524", text);
        return;
    }
    const char *dotted = ep_arena_strndup(b->a, text, (size_t)(eq - text));
    const char *top = first_name(b->a, dotted, &rest);
    struct ep_value *v = ep_value_from_arg(b->a, eq + 1, "--set", b->d);
    if (!v) return;
    const struct ep_value *old = ep_value_get(b->r->root, top);
    const bool steps = !strcmp(top, "steps"), inputs = !strcmp(top, "inputs");
    if (rest && (steps || inputs)) {
        /* The name must be there: a misspelt one would become a new step with errors of its own. */
        const char *name = first_name(b->a, rest, &option);
        const struct ep_value *item = ep_value_get(old, name);
        if (!item) {
            ep_diag_error(b->d, pos, "%s: there is no %s '%s'%s", dotted, steps ? "step" : "input", name,
                          ep_hint(b->a, name, keys_of(b->a, old), steps ? "Steps" : "Inputs"));
            return;
        }
        if (inputs && !option && v->kind == EP_V_TEXT && item->kind == EP_V_MAP)
            option = "path"; /* the options stay */
        if (option) v = ep_value_with(b->a, inputs ? input_map(b->a, item) : item, option, v);
        if (v) v = (struct ep_value *)replaced(b->a, old, name, v);
    } else if (rest) {
        v = ep_value_with(b->a, old, rest, v);
    }
    if (!v) ep_diag_error(b->d, pos, "%s: there is no such place in the recipe", dotted);
    else b->r->root = replaced(b->a, b->r->root, top, v);
}

void ep_read_sets(struct ep_reader *b, size_t nsets, const char *const *sets)
{
    for (size_t i = 0; i < nsets; i++) apply_set(b, sets[i]);
}

/* ---- dotted names for single runs ---- */

enum target_kind { TARGET_STEP, TARGET_INPUT };
struct target { enum target_kind kind; size_t index; const char *option; };

/* Takes "steps.o_net.window" apart; what is not there makes false, without a message. */
static bool find_target(const struct ep_recipe *r, struct ep_arena *a, const char *path, struct target *out)
{
    const char *rest, *option;
    const char *top = first_name(a, path, &rest);
    if (!rest) return false;
    const char *name = first_name(a, rest, &option);
    if (!option || !*option) return false;
    *out = (struct target){.option = option};
    if (!strcmp(top, "steps")) {
        for (size_t i = 0; i < r->nsteps; i++)
            if (!strcmp(r->steps[i].name, name)) {
                out->index = i;
                return true;
            }
    } else if (!strcmp(top, "inputs")) {
        out->kind = TARGET_INPUT;
        for (size_t i = 0; i < r->ninputs; i++)
            if (!strcmp(r->inputs[i].name, name)) {
                out->index = i;
                return true;
            }
    }
    return false;
}

static const char *const *table_names(struct ep_arena *a, const struct ep_param *table)
{
    size_t n = 0;
    while (table[n].name) n++;
    const char **names = EP_ARENA_ARRAY(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++) names[i] = table[i].name;
    return names;
}

bool ep_set_target(const struct ep_recipe *r, struct ep_arena *a, const char *path, struct ep_pos pos,
                   struct ep_diag *d)
{
    const char *rest, *option = NULL, *member;
    const char *top = first_name(a, path, &rest);
    const char *name = rest ? first_name(a, rest, &option) : NULL;
    static const char *const TOPS[] = {"steps", "inputs", NULL};
    const bool steps = !strcmp(top, "steps");
    if (!steps && strcmp(top, "inputs") != 0) {
        ep_diag_error(d, pos,
                      "'%s': what differs in a run is written as steps.NAME.PARAMETER or inputs.NAME.OPTION%s",
                      path, ep_hint(a, top, TOPS, NULL));
        return false;
    }
    if (!name || !option || !*name || !*option) {
        ep_diag_error(d, pos, "'%s' is not complete: it needs %s", path,
                      steps ? "steps.NAME.PARAMETER" : "inputs.NAME.OPTION");
        return false;
    }
    struct target t;
    if (!find_target(r, a, path, &t)) {
        ep_diag_error(d, pos, "'%s': there is no %s '%s'%s", path, steps ? "step" : "input", name,
                      ep_hint(a, name, keys_of(a, ep_value_get(r->root, top)), steps ? "Steps" : "Inputs"));
        return false;
    }
    const struct ep_stage *stage = steps ? r->steps[t.index].stage : NULL;
    if (steps && !stage) return false;   /* was reported */
    const struct ep_param *table = steps ? stage->params : ep_input_params;
    const char *key = first_name(a, option, &member);
    const char *const *names = table_names(a, table);
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], key) != 0) continue;
        if (steps || strcmp(key, "pair") != 0) return true;
        ep_diag_error(d, pos, "'%s': the pair is the same in all runs", path);
        return false;
    }
    const char *const *skip = steps ? ep_step_skip(a, stage) : NULL;
    for (size_t i = 0; skip && skip[i]; i++)
        if (!strcmp(skip[i], key)) {
            ep_diag_error(d, pos, "'%s': only parameters can differ between runs: '%s' is the same in all%s", path, key,
                          ep_hint_word(a, NULL, names, "Parameters"));
            return false;
        }
    ep_diag_error(d, pos, "'%s': %s %s has no %s '%s'%s", path, steps ? "stage" : "input", steps ? stage->name : name,
                  steps ? "parameter" : "option", key, ep_hint(a, key, names, "Allowed"));
    return false;
}

bool ep_set_check(const struct ep_recipe *r, struct ep_arena *a, const struct ep_set *set, struct ep_diag *d)
{
    struct target t;
    if (!find_target(r, a, set->path, &t)) return false;
    struct ep_reader b = {(struct ep_recipe *)r, a, d};
    const bool step = t.kind == TARGET_STEP;
    const struct ep_value *inputs = ep_value_get(r->root, "inputs");
    const struct ep_value *old =
        step ? r->steps[t.index].val : input_map(a, ep_value_get(inputs, r->inputs[t.index].name));
    const struct ep_value *with = ep_value_with(a, old, t.option, set->val);
    if (!with) {
        ep_diag_error(d, set->pos, "'%s': there is no such place", set->path);
        return false;
    }
    if (step) {
        const struct ep_stage *stage = r->steps[t.index].stage;
        return ep_params_parse(a, stage->params, stage->params_size, with, ep_step_skip(a, stage),
                               ep_step_what(&r->steps[t.index], a), ep_arena_alloc(a, stage->params_size), d);
    }
    struct ep_input_par par;
    const char *what = ep_arena_printf(a, "input %s", r->inputs[t.index].name);
    if (!ep_input_check(&b, with, what, &par)) return false;
    struct ep_template tpl;
    if (strcmp(t.option, "path") != 0) return true;
    if (!par.path) {
        ep_diag_error(d, set->val->pos, "%s: path has no value", what);
        return false;
    }
    if (!ep_template_parse(a, par.path, set->val->pos, what, &tpl, d)) return false;
    bool good = true;
    for (size_t i = 0; i < tpl.n; i++)
        for (size_t k = 0; k < tpl.v[i].n; k++)
            if (tpl.v[i].v[k].hole && ep_coord_need(r, a, tpl.v[i].v[k].text, set->val->pos, what, d) < 0) good = false;
    return good;
}

const struct ep_value *ep_run_step(const struct ep_recipe *r, const struct ep_run *run, size_t step, struct ep_arena *a)
{
    const struct ep_value *v = r->steps[step].val;
    for (size_t i = 0; run && i < run->nset; i++) {
        struct target t;
        if (!find_target(r, a, run->set[i].path, &t) || t.kind != TARGET_STEP || t.index != step) continue;
        const struct ep_value *with = ep_value_with(a, v, t.option, run->set[i].val);
        if (with) v = with;
    }
    return v;
}

const struct ep_value *ep_run_input(const struct ep_recipe *r, const struct ep_run *run, size_t input,
                                    struct ep_arena *a)
{
    const struct ep_value *v = input_map(a, ep_value_get(ep_value_get(r->root, "inputs"), r->inputs[input].name));
    for (size_t i = 0; run && i < run->nset; i++) {
        struct target t;
        if (!find_target(r, a, run->set[i].path, &t) || t.kind != TARGET_INPUT || t.index != input) continue;
        const struct ep_value *with = ep_value_with(a, v, t.option, run->set[i].val);
        if (with) v = with;
    }
    return v;
}

/* ---- overrides ---- */

static void read_when(struct ep_reader *b, const struct ep_value *v, struct ep_override *o)
{
    size_t total = 0;
    for (size_t i = 0; i < v->n; i++) total += v->items[i]->kind == EP_V_LIST ? v->items[i]->n : 1;
    o->when = EP_ARENA_ARRAY(b->a, struct ep_when, total);
    for (size_t i = 0; i < v->n; i++) {
        long c = ep_coord_need(b->r, b->a, v->keys[i], v->key_pos[i], "overrides: when", b->d);
        if (c < 0) continue;
        const bool list = v->items[i]->kind == EP_V_LIST;
        const size_t n = list ? v->items[i]->n : 1;
        if (n == 0)
            ep_diag_error(b->d, v->items[i]->pos, "overrides: when: %s = []: at least one value is needed",
                          v->keys[i]);
        for (size_t k = 0; k < n; k++) {
            const struct ep_value *one = list ? v->items[i]->items[k] : v->items[i];
            struct ep_coord_val val;
            if (!ep_coord_value(b->r, (size_t)c, one, b->a, &val, "overrides: when", b->d)) continue;
            o->when[o->nwhen++] =
                (struct ep_when){.coord = (size_t)c, .text = val.text, .num = val.num, .pos = one->pos};
        }
    }
}

static void read_override(struct ep_reader *b, const struct ep_value *v, struct ep_override *o)
{
    static const char *const KEYS[] = {"when", "set", "because", NULL};
    *o = (struct ep_override){.pos = v->pos};
    if (v->kind != EP_V_MAP) {
        ep_diag_error(b->d, v->pos,
                      "overrides: %s is %s: it needs a mapping {when: ..., set: ..., because: ...}",
                      ep_show(b->a, v), ep_vkind_name(v->kind));
        return;
    }
    ep_unknown_keys(b->a, v, KEYS, "an override", b->d);
    const struct ep_value *when = ep_value_get(v, "when"), *set = ep_value_get(v, "set"),
                          *because = ep_value_get(v, "because");
    if (!when || when->kind != EP_V_MAP || when->n == 0)
        ep_diag_error(b->d, when ? when->pos : v->pos,
                      "overrides: `when` %s: it needs coordinates with values, as in {temperature: 700}",
                      when ? "is wrong" : "is missing");
    else read_when(b, when, o);
    if (because && because->kind != EP_V_TEXT && because->kind != EP_V_NUMBER)
        ep_diag_error(b->d, because->pos, "overrides: `because` is %s: it needs a text", ep_vkind_name(because->kind));
    else if (because) o->because = because->text;
    if (!set || set->kind != EP_V_MAP || set->n == 0) {
        ep_diag_error(b->d, set ? set->pos : v->pos,
                      "overrides: `set` %s: it needs names with values, as in {steps.o_net.window: [505, 520]}",
                      set ? "is wrong" : "is missing");
        return;
    }
    o->set = EP_ARENA_ARRAY(b->a, struct ep_set, set->n);
    for (size_t i = 0; i < set->n; i++) {
        struct ep_set one = {.path = set->keys[i], .val = set->items[i], .pos = set->key_pos[i]};
        if (!ep_set_target(b->r, b->a, one.path, one.pos, b->d)) continue;
        ep_set_check(b->r, b->a, &one, b->d);
        o->set[o->nset++] = one;
    }
}

void ep_read_overrides(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "overrides");
    if (!v || (v->kind == EP_V_LIST && v->n == 0)) return;
    if (v->kind != EP_V_LIST) {
        ep_diag_error(b->d, v->pos, "overrides is %s: it needs a list of {when: ..., set: ..., because: ...}",
                      ep_vkind_name(v->kind));
        return;
    }
    b->r->overrides = EP_ARENA_ARRAY(b->a, struct ep_override, v->n);
    for (size_t i = 0; i < v->n; i++) read_override(b, v->items[i], &b->r->overrides[b->r->noverrides++]);
}

bool ep_override_applies(const struct ep_recipe *r, const struct ep_override *o, const struct ep_coord_val *coord)
{
    /* Values of one coordinate are alternatives; all coordinates must fit. */
    for (size_t i = 0; i < o->nwhen; i++) {
        bool fits = false;
        for (size_t k = 0; k < o->nwhen && !fits; k++) {
            const struct ep_coord_val want = {o->when[k].text, o->when[k].num};
            fits = o->when[k].coord == o->when[i].coord
                   && !ep_coord_compare(r, o->when[k].coord, &want, &coord[o->when[k].coord]);
        }
        if (!fits) return false;
    }
    return o->nwhen > 0;
}
