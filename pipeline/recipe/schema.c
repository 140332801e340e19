/* The JSON Schema of a recipe: its keys, inputs and overrides; steps have a file of their own. Whatever recipe_*.c accept
 * by form is accepted here, and the other way round: tests/peer/check_schema.py holds the two against each other.
 */
#include "pipeline/recipe/schema.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/data/elements.h"
#include "pipeline/recipe/parts.h"
#include "pipeline/recipe/schema_parts.h"
#include "stages/registry.h"

/* Placeholders are closed, named and not side by side; ~ is not expanded. */
#define PATH "^(?!~(/|$))([^{}]|\\{" EP_SCHEMA_NAME "\\}(?!\\{))+$"

enum { MOST_STEPS = 1000, LONGEST_UNIT = 15, WIDTH = 120 };

/* ---- inputs ---- */

static bool is_path(const struct ep_param *q)
{
    return !strcmp(q->name, "path");
}

/* Like any table, but for the path, which has a form of its own. */
static void add_input(struct ep_gen *g)
{
    ep_gen_open(g, "input");
    ep_gen_types(g, "string number object", true);
    ep_gen_text(g, "pattern", PATH);
    ep_gen_open(g, "properties");
    for (const struct ep_param *q = ep_input_params; q->name; q++) {
        if (!is_path(q)) {
            ep_schema_param(g, "input", q);
            continue;
        }
        ep_gen_open(g, q->name);
        ep_gen_text(g, "description", q->doc);
        ep_gen_types(g, "string number", true);
        ep_gen_text(g, "pattern", PATH);
        ep_gen_close(g, "}");
    }
    ep_gen_close(g, "}");
    ep_gen_fixed(g, "'additionalProperties':false}");
    ep_schema_records(g, "input", ep_input_params);
}

/* ---- overrides ---- */

static bool named_before(size_t stage, const struct ep_param *q)
{
    for (size_t i = 0; i <= stage; i++)
        for (const struct ep_param *p = ep_stages[i]->params; p && p->name; p++) {
            if (p == q) return false;
            if (!strcmp(p->name, q->name)) return true;
        }
    return false;
}

/* "steps.o_net.window": parameters of any stage, since which stage o_net is stands elsewhere in the recipe. */
static void add_step_sets(struct ep_gen *g)
{
    struct ep_str b = {0};
    ep_str_add(&b, "^steps\\." EP_SCHEMA_NAME "\\.(");
    for (size_t i = 0; ep_stages[i]; i++)
        for (const struct ep_param *q = ep_stages[i]->params; q && q->name; q++)
            if (!named_before(i, q)) ep_str_addf(&b, "%s%s", b.s[b.n - 1] == '(' ? "" : "|", q->name);
    ep_str_add(&b, ")(\\.[^.]+)*$");
    ep_gen_open(g, b.s);
    ep_gen_close(g, "}");
    ep_str_free(&b);
}

static void add_input_sets(struct ep_gen *g)
{
    for (const struct ep_param *q = ep_input_params; q->name; q++) {
        if (!strcmp(q->name, "pair")) continue;   /* the same in all runs */
        ep_gen_open(g, ep_arena_printf(g->a, "^inputs\\." EP_SCHEMA_NAME "\\.%s$", q->name));
        if (is_path(q)) {
            ep_gen_types(g, "string number", false);
            ep_gen_text(g, "pattern", PATH);
        } else {
            ep_schema_value(g, "input", q);
        }
        ep_gen_close(g, "}");
        if (!q->record) continue;
        ep_gen_open(g, ep_arena_printf(g->a, "^inputs\\." EP_SCHEMA_NAME "\\.%s(\\.[^.]+)+$", q->name));
        ep_gen_close(g, "}");
    }
}

static void add_override(struct ep_gen *g)
{
    ep_gen_open(g, "override");
    ep_gen_fixed(g, "'type':'object','required':['when','set'],'additionalProperties':false");
    ep_gen_open(g, "properties");
    ep_gen_open(g, "when");
    ep_gen_text(g, "description", "The runs that are meant, as in {sample: ncm003, temperature: 700}.");
    ep_gen_fixed(g, "'allOf':[{'$ref':'#/definitions/run'}]}");
    ep_gen_open(g, "set");
    ep_gen_text(g, "description", "What is different: {steps.o_net.window: [505, 520]}, {inputs.o.energy_offset: -1.2}.");
    ep_gen_fixed(g, "'type':'object','minProperties':1,'additionalProperties':false");
    ep_gen_open(g, "patternProperties");
    add_step_sets(g);
    add_input_sets(g);
    ep_gen_close(g, "}}");
    ep_gen_open(g, "because");
    ep_gen_text(g, "description", "Why.");
    ep_gen_types(g, "string number", false);
    ep_gen_close(g, "}}}");
}

/* ---- the whole ---- */

static void open_described(struct ep_gen *g, const char *name, const char *doc)
{
    ep_gen_open(g, name);
    ep_gen_text(g, "description", doc);
}

/* A mapping from names to things of one definition. */
static void add_named(struct ep_gen *g, const char *name, const char *doc, const char *definition, size_t most)
{
    open_described(g, name, doc);
    ep_gen_fixed(g, "'type':'object','minProperties':1");
    if (most) ep_gen_count(g, "maxProperties", most);
    ep_gen_fixed(g, "'propertyNames':{'pattern':'^" EP_SCHEMA_NAME "$'}");
    ep_gen_ref(g, "additionalProperties", definition);
    ep_gen_close(g, "}");
}

static void add_keys(struct ep_gen *g)
{
    ep_gen_open(g, "properties");
    open_described(g, "eelpipe", "The version of the recipe language.");
    ep_gen_fixed(g, "'const':1}");
    open_described(g, "elements", "What is in the specimen: warnings tell of their edges in windows.");
    ep_gen_fixed(g, "'anyOf':[{'$ref':'#/definitions/element'},{'type':'array','items':{'$ref':'#/definitions/element'}}]}");
    add_named(g, "inputs", "Every file, by a name: a path relative to the recipe, or a mapping of options.", "input", 0);
    open_described(g, "coordinates", "Units of the placeholders in paths: a unit makes a placeholder a number.");
    ep_gen_fixed(g, "'type':'object','propertyNames':{'pattern':'^" EP_SCHEMA_NAME "$'},'additionalProperties':{'type':'string'");
    ep_gen_count(g, "maxLength", LONGEST_UNIT);
    ep_gen_text(g, "pattern", "^([^-0-9+. \\t\\n][^ \\t\\n]*)?$");
    ep_gen_close(g, "}}");
    open_described(g, "output", "The folder of the results, as in out/{sample}/{temperature}C.");
    ep_gen_types(g, "string number", false);
    ep_gen_text(g, "pattern", PATH);
    ep_gen_close(g, "}");
    open_described(g, "runs", "A CSV table of the runs, where file names do not tell them.");
    ep_gen_fixed(g, "'type':'string','minLength':1}");
    open_described(g, "overrides", "What differs in single runs, and why.");
    ep_gen_fixed(g, "'type':'array','items':{'$ref':'#/definitions/override'}}");
    add_named(g, "steps", "What is done: each step works on the one above it unless `input` says otherwise.", "step", MOST_STEPS);
    ep_gen_close(g, "}");
    /* Without a table of runs every input needs a path. */
    ep_gen_fixed(g, "'allOf':[{'if':{'not':{'required':['runs']}},'then':{'properties':{'inputs':{'additionalProperties':{"
                    "'type':['string','number','object'],'required':['path'],"
                    "'properties':{'path':{'type':['string','number']}}}}}}}]");
}

static void add_definitions(struct ep_gen *g)
{
    ep_gen_open(g, "definitions");
    ep_gen_open(g, "element");
    ep_gen_list(g, "enum");
    for (size_t i = 0; ep_elements[i]; i++) ep_gen_item(g, ep_elements[i]);
    ep_gen_close(g, "]}");
    /* Coordinates with values; several values are alternatives. */
    ep_gen_fixed(g, "'run':{'type':'object','minProperties':1,'propertyNames':{'pattern':'^" EP_SCHEMA_NAME "$'},"
                    "'additionalProperties':{'type':['string','number','boolean','array'],"
                    "'items':{'type':['string','number','boolean']},'minItems':1}}");
    add_input(g);
    add_override(g);
    ep_schema_steps(g);
    ep_schema_units(g);
    ep_gen_close(g, "}");
}

void ep_recipe_schema(struct ep_str *out)
{
    struct ep_arena a = {0};
    struct ep_str flat = {0};
    struct ep_gen g = {.out = &flat, .a = &a};
    ep_gen_open(&g, NULL);
    ep_gen_text(&g, "$schema", "http://json-schema.org/draft-07/schema#");
    ep_gen_text(&g, "$comment", "Made by `eelpipe schema` from the tables of the stages; do not edit.");
    ep_gen_text(&g, "title", "A recipe of eelpipe");
    ep_gen_fixed(&g, "'type':'object','required':['eelpipe','inputs','output','steps'],'additionalProperties':false");
    add_keys(&g);
    add_definitions(&g);
    ep_gen_close(&g, "}");
    ep_json_pretty(out, flat.s, WIDTH);
    ep_str_free(&flat);
    free(g.unit);
    ep_arena_free(&a);
}

bool ep_recipe_json(struct ep_str *out, struct ep_arena *a, const char *path, size_t nsets, const char *const *sets,
                    struct ep_diag *d)
{
    const size_t before = d->nerrors;
    struct ep_recipe r = {.path = path};
    char *text;
    size_t n;
    if (!ep_read_file(a, path, (struct ep_pos){0}, "the recipe", &text, &n, d)) return false;
    r.root = ep_yaml_parse(a, text, n, path, d);
    if (!r.root) return false;
    struct ep_reader b = {&r, a, d};
    if (r.root->kind == EP_V_MAP) ep_read_sets(&b, nsets, sets);
    if (d->nerrors != before) return false;
    ep_value_json(out, r.root);
    return true;
}
