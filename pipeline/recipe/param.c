/* Parameter tables at work: a mapping of a recipe becomes a struct, the struct becomes canonical JSON, a row of
 * the table becomes a phrase. Messages are for someone who wrote a recipe, not for someone who wrote this.
 */
#include "pipeline/param.h"

#include <math.h>
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"

/* The largest whole number that every double below it reaches exactly. */
#define MOST_INT 9007199254740992.0

struct parse {
    struct ep_arena *a;
    struct ep_diag *d;
    const char *what;   /* "step o_net (background)" */
    struct ep_pos pos;  /* of the mapping: where something is missing */
    bool ok;
};

/* "step o_net (background): window" in front of what is wrong. */
#define WRONG(s, q, pos, ...)                                                                                  \
    ((s)->ok = false,                                                                                          \
     ep_diag_error((s)->d, (pos), "%s: %s%s", (s)->what, (q)->name, ep_arena_printf((s)->a, __VA_ARGS__)))

static bool has_unit(const struct ep_param *q)
{
    return q->unit && *q->unit;
}

static bool has_limits(const struct ep_param *q)
{
    return q->min != 0 || q->max != 0;
}

/* ---- phrases ---- */

/* What a number of this unit is called: "energy", "length", "number". */
static const char *noun(const struct ep_param *q, bool several)
{
    enum ep_dim dim;
    double factor;
    if (!has_unit(q) || !ep_unit_lookup(q->unit, &dim, &factor)) dim = EP_DIM_NONE;
    switch (dim) {
    case EP_DIM_ENERGY: return several ? "energies" : "energy";
    case EP_DIM_LENGTH: return several ? "lengths" : "length";
    case EP_DIM_ANGLE: return several ? "angles" : "angle";
    case EP_DIM_TIME: return several ? "times" : "time";
    case EP_DIM_TEMPERATURE: return several ? "temperatures" : "temperature";
    default: return several ? "numbers" : "number";
    }
}

static void add_in_unit(struct ep_str *out, const struct ep_param *q)
{
    if (has_unit(q)) ep_str_addf(out, " in %s", q->unit);
}

static void add_number(struct ep_str *out, double x)
{
    if (isinf(x)) ep_str_add(out, x > 0 ? "infinity" : "-infinity");
    else ep_json_num(out, x);
}

static void add_words(struct ep_str *out, const char *const *words)
{
    for (size_t i = 0; words[i]; i++) ep_str_addf(out, "%s%s", i ? ", " : "", words[i]);
}

static void add_members(struct ep_str *out, const struct ep_param *table)
{
    ep_str_add(out, "{");
    for (size_t i = 0; table[i].name; i++) ep_str_addf(out, "%s%s", i ? ", " : "", table[i].name);
    ep_str_add(out, "}");
}

/* "number in eV", "list of numbers in nm": the type alone. */
static void add_type(struct ep_str *out, const struct ep_param *q)
{
    switch (q->type) {
    case EP_P_NUMBER:
        ep_str_add(out, "number");
        add_in_unit(out, q);
        break;
    case EP_P_INT:
        ep_str_add(out, "whole number");
        add_in_unit(out, q);
        break;
    case EP_P_BOOL: ep_str_add(out, "true or false"); break;
    case EP_P_WORD:
        ep_str_add(out, "one of ");
        add_words(out, q->words);
        break;
    case EP_P_TEXT: ep_str_add(out, "text"); break;
    case EP_P_WINDOW:
        ep_str_add(out, "window [from, to]");
        add_in_unit(out, q);
        break;
    case EP_P_WINDOWS:
        ep_str_add(out, "window [from, to] or list of windows");
        add_in_unit(out, q);
        break;
    case EP_P_NUMBERS:
        ep_str_add(out, "list of numbers");
        add_in_unit(out, q);
        break;
    case EP_P_TEXTS: ep_str_add(out, "list of texts"); break;
    case EP_P_RECORD:
        ep_str_add(out, "mapping ");
        add_members(out, q->record);
        break;
    case EP_P_RECORDS:
        ep_str_add(out, "list of mappings ");
        add_members(out, q->record);
        break;
    }
}

/* "0 to 100 eV", "at least 0" */
static void add_limits(struct ep_str *out, const struct ep_param *q, bool unit)
{
    if (isinf(q->max)) {
        ep_str_add(out, "at least ");
        add_number(out, q->min);
    } else if (isinf(q->min)) {
        ep_str_add(out, "at most ");
        add_number(out, q->max);
    } else {
        add_number(out, q->min);
        ep_str_add(out, " to ");
        add_number(out, q->max);
    }
    if (unit && has_unit(q)) ep_str_addf(out, " %s", q->unit);
}

static void add_items(struct ep_str *out, const struct ep_param *q)
{
    if (q->max_items && q->max_items == q->min_items) ep_str_addf(out, "%zu", q->min_items);
    else if (q->max_items && q->min_items) ep_str_addf(out, "%zu to %zu", q->min_items, q->max_items);
    else if (q->max_items) ep_str_addf(out, "at most %zu", q->max_items);
    else ep_str_addf(out, "at least %zu", q->min_items);
}

void ep_param_describe(struct ep_str *out, const struct ep_param *q)
{
    add_type(out, q);
    if (q->min_items || q->max_items) {
        ep_str_add(out, ", ");
        add_items(out, q);
        ep_str_add(out, q->min_items == 1 && q->max_items == 1 ? " item" : " items");
    }
    if (has_limits(q)) {
        ep_str_add(out, ", ");
        add_limits(out, q, false);
    }
    if (q->required) ep_str_add(out, ", required");
    else if (q->def) ep_str_addf(out, ", default %s", *q->def ? q->def : "\"\"");
}

/* "a number in eV", for within a sentence */
static const char *described(struct parse *s, const struct ep_param *q)
{
    struct ep_str b = {0};
    if (q->type != EP_P_BOOL && q->type != EP_P_WORD && q->type != EP_P_TEXT) ep_str_add(&b, "a ");
    add_type(&b, q);
    char *text = ep_arena_strdup(s->a, b.s);
    ep_str_free(&b);
    return text;
}

/* What was written is of another kind than what is needed. */
static void wrong_kind(struct parse *s, const struct ep_param *q, const struct ep_value *v)
{
    const char *extra = "";
    if (q->type == EP_P_BOOL && v->kind == EP_V_TEXT)
        extra = " (yes, no, on and off are plain text in YAML 1.2)";
    if (v->kind == EP_V_NULL)
        WRONG(s, q, v->pos, " has no value: it needs %s", described(s, q));
    else
        WRONG(s, q, v->pos, " = %s is %s: it needs %s%s", ep_show(s->a, v), ep_vkind_name(v->kind),
              described(s, q), extra);
}

/* ---- scalars ---- */

static bool check_limits(struct parse *s, const struct ep_param *q, const struct ep_value *v, double x)
{
    if (!has_limits(q) || (x >= q->min && x <= q->max)) return true;
    struct ep_str b = {0};
    add_limits(&b, q, true);
    WRONG(s, q, v->pos, " = %s%s%s is out of range: allowed are %s", ep_show_number(s->a, x), has_unit(q) ? " " : "",
          has_unit(q) ? q->unit : "", b.s);
    ep_str_free(&b);
    return false;
}

/* One number in the parameter's unit. */
static bool get_number(struct parse *s, const struct ep_param *q, const struct ep_value *v, double *out)
{
    if (v->kind == EP_V_NUMBER) {
        if (!isfinite(v->num)) {
            WRONG(s, q, v->pos, " = %s: a finite number is needed", v->text);
            return false;
        }
        *out = v->num;
    } else if (v->kind == EP_V_TEXT) {
        struct ep_err e = {0};
        if (ep_unit_parse(v->text, q->unit, out, &e)) {
            /* units.c knows what is needed but not by what: "; this needs an energy in eV" */
            const char *cut = strstr(e.msg, "; this needs ");
            s->ok = false;
            if (cut)
                ep_diag_error(s->d, v->pos, "%s: %.*s; %s needs %s", s->what, (int)(cut - e.msg), e.msg, q->name,
                              cut + strlen("; this needs "));
            else
                ep_diag_error(s->d, v->pos, "%s: %s: %s", s->what, q->name, e.msg);
            return false;
        }
    } else {
        wrong_kind(s, q, v);
        return false;
    }
    return check_limits(s, q, v, *out);
}

static void get_int(struct parse *s, const struct ep_param *q, const struct ep_value *v, int64_t *out)
{
    double x;
    if (!get_number(s, q, v, &x)) return;
    if (x != floor(x) || fabs(x) > MOST_INT)
        WRONG(s, q, v->pos, " = %s: a whole number is needed", ep_show(s->a, v));
    else *out = (int64_t)x;
}

static void get_word(struct parse *s, const struct ep_param *q, const struct ep_value *v, int *out)
{
    if (v->kind == EP_V_LIST || v->kind == EP_V_MAP || v->kind == EP_V_NULL) {
        wrong_kind(s, q, v);
        return;
    }
    for (int i = 0; q->words[i]; i++)
        if (!strcmp(q->words[i], v->text)) {
            *out = i;
            return;
        }
    WRONG(s, q, v->pos, " = '%s' is not known%s", v->text, ep_hint(s->a, v->text, q->words, "Choices"));
}

/* A text; a number as it was written, since `signal: 3` and `title: 2024` mean what they say. */
static const char *get_text(struct parse *s, const struct ep_param *q, const struct ep_value *v)
{
    if (v->kind != EP_V_TEXT && v->kind != EP_V_NUMBER) {
        wrong_kind(s, q, v);
        return NULL;
    }
    if (*v->text || (q->def && !*q->def)) return v->text;
    WRONG(s, q, v->pos, " is empty: it needs a text, or leave it out");
    return NULL;
}

/* ---- lists ---- */

static bool check_items(struct parse *s, const struct ep_param *q, const struct ep_value *v, size_t n)
{
    if (n >= q->min_items && (!q->max_items || n <= q->max_items)) return true;
    struct ep_str b = {0};
    add_items(&b, q);
    WRONG(s, q, v->pos, " = %s has %zu item%s: needed are %s", ep_show(s->a, v), n, n == 1 ? "" : "s", b.s);
    ep_str_free(&b);
    return false;
}

/* A scalar or mapping where a list of such is wanted is a list of one: `artefacts: Cu`. */
static size_t list_of(const struct ep_value *v, struct ep_value *const **items, struct ep_value **one)
{
    if (v->kind == EP_V_LIST) {
        *items = v->items;
        return v->n;
    }
    *one = (struct ep_value *)v;
    *items = one;
    return 1;
}

static bool get_window(struct parse *s, const struct ep_param *q, const struct ep_value *v, double out[2])
{
    const char *unit = has_unit(q) ? q->unit : "", *blank = has_unit(q) ? " " : "";
    if (v->kind == EP_V_NULL) {
        wrong_kind(s, q, v);
        return false;
    }
    if (v->kind != EP_V_LIST || v->n != 2) {
        WRONG(s, q, v->pos, " = %s: a window is a list of two %s%s%s, as in [10, 20]", ep_show(s->a, v),
              noun(q, true), has_unit(q) ? " in " : "", unit);
        return false;
    }
    double w[2];
    bool lo = get_number(s, q, v->items[0], &w[0]), hi = get_number(s, q, v->items[1], &w[1]);
    if (!lo || !hi) return false;
    if (!(w[0] < w[1])) {
        WRONG(s, q, v->pos, " = [%s, %s]%s%s: the first %s must be below the second", ep_show_number(s->a, w[0]),
              ep_show_number(s->a, w[1]), blank, unit, noun(q, false));
        return false;
    }
    out[0] = w[0];
    out[1] = w[1];
    return true;
}

static void get_windows(struct parse *s, const struct ep_param *q, const struct ep_value *v, struct ep_windows *out)
{
    bool nested = false;
    for (size_t i = 0; v->kind == EP_V_LIST && i < v->n; i++)
        if (v->items[i]->kind == EP_V_LIST) nested = true;
    const bool empty = v->kind == EP_V_LIST && v->n == 0;
    const size_t n = nested || empty ? v->n : 1;
    if (!check_items(s, q, v, n) || empty) return;
    double (*w)[2] = ep_arena_array(s->a, n, sizeof *w);
    bool good = true;
    for (size_t i = 0; i < n; i++)
        if (!get_window(s, q, nested ? v->items[i] : v, w[i])) good = false;
    if (good) *out = (struct ep_windows){n, w};
}

static void get_numbers(struct parse *s, const struct ep_param *q, const struct ep_value *v, struct ep_numbers *out)
{
    struct ep_value *const *items, *one;
    size_t n = list_of(v, &items, &one);
    if (v->kind == EP_V_NULL || v->kind == EP_V_MAP) {
        wrong_kind(s, q, v);
        return;
    }
    if (!check_items(s, q, v, n)) return;
    double *x = EP_ARENA_ARRAY(s->a, double, n);
    bool good = true;
    for (size_t i = 0; i < n; i++)
        if (!get_number(s, q, items[i], &x[i])) good = false;
    if (good) *out = (struct ep_numbers){n, x};
}

static void get_texts(struct parse *s, const struct ep_param *q, const struct ep_value *v, struct ep_texts *out)
{
    struct ep_value *const *items, *one;
    size_t n = list_of(v, &items, &one);
    if (v->kind == EP_V_NULL || v->kind == EP_V_MAP) {
        wrong_kind(s, q, v);
        return;
    }
    if (!check_items(s, q, v, n)) return;
    const char **t = EP_ARENA_ARRAY(s->a, const char *, n + 1);
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        t[i] = get_text(s, q, items[i]);
        if (!t[i]) good = false;
    }
    if (good) *out = (struct ep_texts){n, t};
}

static bool parse_table(struct parse *s, const struct ep_param *table, const struct ep_value *map,
                        const char *const *skip, char *out);

static bool get_record(struct parse *s, const struct ep_param *q, const struct ep_value *v, size_t item, char *out)
{
    if (v->kind != EP_V_MAP) {
        struct ep_str b = {0};
        add_members(&b, q->record);
        WRONG(s, q, v->pos, "%s = %s is %s: it needs a mapping %s",
              item ? ep_arena_printf(s->a, ", item %zu,", item) : "", ep_show(s->a, v), ep_vkind_name(v->kind), b.s);
        ep_str_free(&b);
        return false;
    }
    struct parse inner = *s;
    inner.ok = true;
    inner.pos = v->pos;
    inner.what = item ? ep_arena_printf(s->a, "%s: %s, item %zu", s->what, q->name, item)
                      : ep_arena_printf(s->a, "%s: %s", s->what, q->name);
    if (parse_table(&inner, q->record, v, NULL, out)) return true;
    s->ok = false;
    return false;
}

static void get_records(struct parse *s, const struct ep_param *q, const struct ep_value *v, struct ep_records *out)
{
    struct ep_value *const *items, *one;
    if (v->kind != EP_V_LIST && v->kind != EP_V_MAP) {
        wrong_kind(s, q, v);
        return;
    }
    size_t n = list_of(v, &items, &one);
    if (!check_items(s, q, v, n)) return;
    char *all = ep_arena_array(s->a, n, q->record_size);
    bool good = true;
    for (size_t i = 0; i < n; i++)
        if (!get_record(s, q, items[i], i + 1, all + i * q->record_size)) good = false;
    if (good) *out = (struct ep_records){n, all};
}

/* ---- tables ---- */

static void set_unset(const struct ep_param *q, char *at)
{
    switch (q->type) {
    case EP_P_NUMBER: *(double *)(void *)at = NAN; break;
    case EP_P_INT: *(int64_t *)(void *)at = INT64_MIN; break;
    case EP_P_WORD: *(int *)(void *)at = -1; break;
    case EP_P_WINDOW: ((double *)(void *)at)[0] = ((double *)(void *)at)[1] = NAN; break;
    default: break; /* zeros already */
    }
}

static void get(struct parse *s, const struct ep_param *q, const struct ep_value *v, char *at)
{
    void *p = at;
    switch (q->type) {
    case EP_P_NUMBER: {
        double x;
        if (get_number(s, q, v, &x)) *(double *)p = x;
        break;
    }
    case EP_P_INT: get_int(s, q, v, p); break;
    case EP_P_BOOL:
        if (v->kind == EP_V_BOOL) *(bool *)p = v->b;
        else wrong_kind(s, q, v);
        break;
    case EP_P_WORD: get_word(s, q, v, p); break;
    case EP_P_TEXT: *(const char **)p = get_text(s, q, v); break;
    case EP_P_WINDOW: {
        double w[2];
        if (get_window(s, q, v, w)) memcpy(p, w, sizeof w);
        break;
    }
    case EP_P_WINDOWS: get_windows(s, q, v, p); break;
    case EP_P_NUMBERS: get_numbers(s, q, v, p); break;
    case EP_P_TEXTS: get_texts(s, q, v, p); break;
    case EP_P_RECORD: {
        char *rec = ep_arena_alloc(s->a, q->record_size);
        if (get_record(s, q, v, 0, rec)) *(const void **)p = rec;
        break;
    }
    case EP_P_RECORDS: get_records(s, q, v, p); break;
    }
}

/* The default of the table. Plain ones are made by hand: a series parses them once per run and step. */
static void get_default(struct parse *s, const struct ep_param *q, char *at)
{
    struct ep_value v = {.text = q->def};
    v.pos.file = "built-in default";
    if ((q->type == EP_P_NUMBER || q->type == EP_P_INT) && ep_parse_number(q->def, &v.num)) {
        v.kind = EP_V_NUMBER;
        get(s, q, &v, at);
    } else if (q->type == EP_P_WORD || (q->type == EP_P_TEXT && !*q->def)) {
        v.kind = EP_V_TEXT;
        get(s, q, &v, at);
    } else {
        const struct ep_value *tree = ep_value_from_arg(s->a, q->def, "built-in default", s->d);
        if (tree) get(s, q, tree, at);
        else s->ok = false;
    }
}

static bool listed(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

/* Names of the table, then what else may stand there; NULL-terminated. */
static const char *const *allowed_names(struct ep_arena *a, const struct ep_param *table, const char *const *skip)
{
    size_t n = 0, k = 0;
    while (table[n].name) n++;
    while (skip && skip[k]) k++;
    const char **all = EP_ARENA_ARRAY(a, const char *, n + k + 1);
    for (size_t i = 0; i < n; i++) all[i] = table[i].name;
    for (size_t i = 0; i < k; i++) all[n + i] = skip[i];
    return all;
}

static bool parse_table(struct parse *s, const struct ep_param *table, const struct ep_value *map,
                        const char *const *skip, char *out)
{
    size_t n = 0;
    while (table[n].name) n++;
    bool *meant = EP_ARENA_ARRAY(s->a, bool, n + 1);   /* misspelt: not missing as well */
    for (size_t i = 0; i < n; i++) set_unset(&table[i], out + table[i].offset);
    const char *const *allowed = NULL;
    for (size_t k = 0; map && k < map->n; k++) {
        size_t i = 0;
        while (i < n && strcmp(table[i].name, map->keys[k]) != 0) i++;
        if (i < n || listed(skip, map->keys[k])) continue;
        if (!allowed) allowed = allowed_names(s->a, table, skip);
        const char *near = ep_suggest(map->keys[k], allowed);
        s->ok = false;
        ep_diag_error(s->d, map->key_pos[k], "unknown key '%s' in %s%s", map->keys[k], s->what,
                      ep_hint_word(s->a, near, allowed, "Allowed"));
        for (i = 0; near && i < n; i++)
            if (!strcmp(table[i].name, near)) meant[i] = true;
    }
    for (size_t i = 0; i < n; i++) {
        const struct ep_param *q = &table[i];
        if (listed(skip, q->name)) continue;
        const struct ep_value *v = ep_value_get(map, q->name);
        /* `mask: null` takes back what has no default anyway, in an override for one run; elsewhere an empty value is a slip. */
        if (v && v->kind == EP_V_NULL && !q->def && !q->required) continue;
        if (v) get(s, q, v, out + q->offset);
        else if (q->required && !meant[i])
            WRONG(s, q, s->pos, " is missing: %s. %s", described(s, q), q->doc ? q->doc : "");
        else if (q->def) get_default(s, q, out + q->offset);
    }
    return s->ok;
}

bool ep_params_parse(struct ep_arena *a, const struct ep_param *table, size_t size, const struct ep_value *map,
                     const char *const *skip, const char *what, void *out, struct ep_diag *d)
{
    memset(out, 0, size);
    struct parse s = {a, d, what, map ? map->pos : (struct ep_pos){0}, true};
    if (map && map->kind != EP_V_MAP && map->kind != EP_V_NULL) {
        ep_diag_error(d, map->pos, "%s: it needs a mapping {name: value}, not %s", what, ep_vkind_name(map->kind));
        parse_table(&s, table, NULL, skip, out);
        return false;
    }
    return parse_table(&s, table, map && map->kind == EP_V_MAP ? map : NULL, skip, out);
}
