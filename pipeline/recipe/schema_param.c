/* Rows of a parameter table as JSON Schema. Each case says what param.c accepts.
 *
 * Keywords of JSON Schema look only at values of their own type (`pattern` at strings, `minimum` at numbers), so that
 * "a number, or a text with a unit" is one schema with two types and no alternatives: shorter, and editors tell better
 * what is wrong.
 */
#include <math.h>
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/base/units.h"
#include "pipeline/base/value.h"
#include "pipeline/recipe/schema_parts.h"

/* As units.c reads numbers; blanks also as word processors write them. */
#define BLANKS "[ \\t\\u00a0\\u2009\\u202f]*"
#define DECIMAL "[-+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?"

/* ---- numbers ---- */

static void add_escaped(struct ep_str *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("^$\\.*+?()[]{}|/", *text)) ep_str_add(out, "\\");
        ep_str_addn(out, text, 1);
    }
}

/* "in_eV", "plain": the definition that says how a number in this unit may be written. */
static const char *unit_name(struct ep_gen *g, const char *unit)
{
    if (!*unit) return "plain";
    char *name = ep_arena_printf(g->a, "in_%s", unit);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *c)) *c = '_';
    return name;
}

static void written_in(struct ep_gen *g, const char *unit)
{
    size_t i = 0;
    if (!unit) unit = "";
    while (i < g->nunits && strcmp(g->unit[i], unit) != 0) i++;
    if (i == g->nunits) {
        EP_PUSH(g->unit, g->nunits, g->unit_cap);
        g->unit[i] = unit;
    }
    ep_gen_list(g, "allOf");
    ep_gen_ref(g, NULL, unit_name(g, unit));
    ep_gen_close(g, "]");
}

/* Texts that stand for a number in this unit: "4.4 keV". Says nothing of numbers themselves. */
static void add_unit(struct ep_gen *g, const char *unit)
{
    enum ep_dim dim, other;
    struct ep_str b = {0};
    ep_str_add(&b, "^" BLANKS DECIMAL BLANKS);
    if (*unit && !strchr("0123456789.,+-", *unit)) {   /* "5 1/nm" would be two numbers */
        ep_str_add(&b, "(");
        add_escaped(&b, unit);
        const bool known = ep_unit_lookup(unit, &dim, NULL);
        const char *name;
        for (size_t i = 0; known && (name = ep_unit_name(i)) != NULL; i++) {
            if (!*name || !ep_unit_lookup(name, &other, NULL) || other != dim || !strcmp(name, unit)) continue;
            ep_str_add(&b, "|");
            add_escaped(&b, name);
        }
        ep_str_add(&b, ")?[ \\t]*");
    }
    ep_str_add(&b, "$");
    ep_gen_open(g, unit_name(g, unit));
    ep_gen_text(g, "pattern", b.s);
    ep_gen_close(g, "}");
    ep_str_free(&b);
}

void ep_schema_units(struct ep_gen *g)
{
    for (size_t i = 0; i < g->nunits; i++) add_unit(g, g->unit[i]);
}

static void number_keys(struct ep_gen *g, const struct ep_param *q)
{
    const bool limits = q->min != 0 || q->max != 0;
    if (limits && isfinite(q->min)) {
        ep_gen_key(g, "minimum");
        ep_json_num(g->out, q->min);
    }
    if (limits && isfinite(q->max)) {
        ep_gen_key(g, "maximum");
        ep_json_num(g->out, q->max);
    }
    written_in(g, q->unit);
}

static void number_items(struct ep_gen *g, const struct ep_param *q)
{
    ep_gen_open(g, "items");
    ep_gen_types(g, "number string", false);
    number_keys(g, q);
    ep_gen_close(g, "}");
}

static void window_keys(struct ep_gen *g, const struct ep_param *q)
{
    number_items(g, q);
    ep_gen_items(g, 2, 2);
}

static void list_of_windows(struct ep_gen *g, const struct ep_param *q)
{
    ep_gen_open(g, "items");
    ep_gen_types(g, "array", false);
    window_keys(g, q);
    ep_gen_close(g, "}");
    ep_gen_items(g, q->min_items, q->max_items);
}

/* One window counts as a list of one: what holds no list is a window, or nothing at all. */
static void windows_keys(struct ep_gen *g, const struct ep_param *q)
{
    if (q->min_items > 1) {
        list_of_windows(g, q);
        return;
    }
    ep_gen_fixed(g, "'if':{'contains':{'type':'array'}}");
    ep_gen_open(g, "then");
    list_of_windows(g, q);
    ep_gen_close(g, "}");
    ep_gen_open(g, "else");
    if (q->min_items == 0) {
        ep_gen_list(g, "anyOf");
        ep_gen_fixed(g, "{'maxItems':0}");
        ep_gen_open(g, NULL);
    }
    window_keys(g, q);
    ep_gen_close(g, q->min_items == 0 ? "}]}" : "}");
}

/* ---- words, records ---- */

/* `key: null` takes back what has no default anyway. */
static bool may_be_null(const struct ep_param *q)
{
    return !q->def && !q->required;
}

/* A word that YAML takes for a number or for true is one all the same: the program compares what was written. */
static void word_keys(struct ep_gen *g, const struct ep_param *q)
{
    double x;
    ep_gen_list(g, "enum");
    for (size_t i = 0; q->words[i]; i++) ep_gen_item(g, q->words[i]);
    for (size_t i = 0; q->words[i]; i++) {
        if (ep_parse_number(q->words[i], &x)) {
            ep_json_sep(g->out);
            ep_json_num(g->out, x);
        } else if (!strcmp(q->words[i], "true") || !strcmp(q->words[i], "false")) {
            ep_gen_fixed(g, q->words[i]);
        }
    }
    if (may_be_null(q)) ep_gen_fixed(g, "null");
    ep_gen_close(g, "]");
}

static const char *record_name(struct ep_gen *g, const char *owner, const struct ep_param *q)
{
    return ep_arena_printf(g->a, "%s.%s", owner, q->name);
}

/* Members of a record, and nothing else. */
static void record_keys(struct ep_gen *g, const char *owner, const struct ep_param *table)
{
    bool any = false;
    ep_gen_open(g, "properties");
    for (const struct ep_param *q = table; q->name; q++) {
        ep_schema_param(g, owner, q);
        any |= q->required;
    }
    ep_gen_close(g, "}");
    if (any) {
        ep_gen_list(g, "required");
        for (const struct ep_param *q = table; q->name; q++)
            if (q->required) ep_gen_item(g, q->name);
        ep_gen_close(g, "]");
    }
    ep_gen_fixed(g, "'additionalProperties':false");
}

/* One record alone counts as a list of one. */
static void records_keys(struct ep_gen *g, const char *owner, const struct ep_param *q)
{
    ep_gen_list(g, "anyOf");
    if (q->min_items <= 1) ep_gen_ref(g, NULL, record_name(g, owner, q));
    ep_gen_open(g, NULL);
    ep_gen_types(g, "array", false);
    ep_gen_ref(g, "items", record_name(g, owner, q));
    ep_gen_items(g, q->min_items, q->max_items);
    ep_gen_close(g, "}");
    if (may_be_null(q)) ep_gen_fixed(g, "{'type':'null'}");
    ep_gen_close(g, "]");
}

void ep_schema_records(struct ep_gen *g, const char *owner, const struct ep_param *table)
{
    for (const struct ep_param *q = table; q && q->name; q++) {
        if (q->type != EP_P_RECORD && q->type != EP_P_RECORDS) continue;
        const char *name = record_name(g, owner, q);
        if (q->type == EP_P_RECORDS) {
            ep_gen_open(g, name);
            ep_gen_types(g, "object", false);
            record_keys(g, name, q->record);
            ep_gen_close(g, "}");
        }
        ep_schema_records(g, name, q->record);
    }
}

/* ---- one parameter ---- */

void ep_schema_value(struct ep_gen *g, const char *owner, const struct ep_param *q)
{
    const bool null = may_be_null(q), one_alone = q->min_items <= 1;
    switch (q->type) {
    case EP_P_NUMBER:
        ep_gen_types(g, "number string", null);
        number_keys(g, q);
        break;
    case EP_P_INT:
        ep_gen_types(g, "integer string", null);
        number_keys(g, q);
        break;
    case EP_P_BOOL: ep_gen_types(g, "boolean", null); break;
    case EP_P_WORD: word_keys(g, q); break;
    case EP_P_TEXT:
        ep_gen_types(g, q->port ? "string" : "string number", null);
        if (q->port) ep_gen_text(g, "pattern", EP_SCHEMA_REFERENCE);
        if (!q->def || *q->def) ep_gen_count(g, "minLength", 1);
        break;
    case EP_P_WINDOW:
        ep_gen_types(g, "array", null);
        window_keys(g, q);
        break;
    case EP_P_WINDOWS:
        ep_gen_types(g, "array", null);
        windows_keys(g, q);
        break;
    case EP_P_NUMBERS:
        ep_gen_types(g, one_alone ? "array number string" : "array", null);
        if (one_alone) number_keys(g, q);
        number_items(g, q);
        ep_gen_items(g, q->min_items, q->max_items);
        break;
    case EP_P_TEXTS:
        ep_gen_types(g, !one_alone ? "array" : q->port ? "array string" : "array string number", null);
        if (q->port && one_alone) ep_gen_text(g, "pattern", EP_SCHEMA_REFERENCE);
        ep_gen_open(g, "items");
        ep_gen_types(g, q->port ? "string" : "string number", false);
        ep_gen_count(g, "minLength", 1);
        if (q->port) ep_gen_text(g, "pattern", EP_SCHEMA_REFERENCE);
        ep_gen_close(g, "}");
        if (one_alone) ep_gen_count(g, "minLength", 1);
        ep_gen_items(g, q->min_items, q->max_items);
        break;
    case EP_P_RECORD:
        ep_gen_types(g, "object", null);
        record_keys(g, record_name(g, owner, q), q->record);
        break;
    case EP_P_RECORDS: records_keys(g, owner, q); break;
    }
}

/* The default as JSON: what the program makes of the table's text. */
static void default_key(struct ep_gen *g, const struct ep_param *q)
{
    double x;
    if (!q->def) return;
    ep_gen_key(g, "default");
    if (q->type == EP_P_WORD || (q->type == EP_P_TEXT && !*q->def)) {
        ep_json_str(g->out, q->def);
    } else if ((q->type == EP_P_NUMBER || q->type == EP_P_INT) && ep_parse_number(q->def, &x)) {
        ep_json_num(g->out, x);
    } else {
        struct ep_diag ignored = {0};   /* a default that is no value fails in every use of the table */
        ep_value_json(g->out, ep_value_from_arg(g->a, q->def, "built-in default", &ignored));
        ep_diag_free(&ignored);
    }
}

void ep_schema_param(struct ep_gen *g, const char *owner, const struct ep_param *q)
{
    struct ep_str b = {0};
    ep_gen_open(g, q->name);
    ep_param_describe(&b, q);
    ep_gen_text(g, "title", b.s);
    ep_str_free(&b);
    if (q->doc) ep_gen_text(g, "description", q->doc);
    ep_schema_value(g, owner, q);
    default_key(g, q);
    ep_gen_close(g, "}");
}
