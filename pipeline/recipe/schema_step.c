/* Steps as JSON Schema: one definition for each stage, and one that chooses among them by the word `stage`. */
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/recipe/parts.h"
#include "pipeline/recipe/schema_parts.h"
#include "stages/registry.h"


static const char *stage_name(struct ep_gen *g, const struct ep_stage *s)
{
    return ep_arena_printf(g->a, "stage_%s", s->name);
}

/* ---- ports ---- */

static void port_title(struct ep_gen *g, const struct ep_port *p)
{
    struct ep_str b = {0};
    for (unsigned k = EP_IMAGE; k <= EP_TABLE; k <<= 1)
        if (p->kinds & k) ep_str_addf(&b, "%s%s", b.n ? " or " : "", ep_kind_name((enum ep_kind)k));
    ep_str_addf(&b, "%s%s%s", p->min ? "" : ", optional", p->paired ? ", default: the input's pair" : "",
                p->max == 1 ? "" : ", one or more");
    ep_gen_text(g, "title", b.s);
    ep_str_free(&b);
}

static void add_port(struct ep_gen *g, const struct ep_port *p)
{
    ep_gen_open(g, p->name);
    if (p->relative) {   /* names a run, not a signal */
        if (p->doc) ep_gen_text(g, "description", p->doc);
        ep_gen_fixed(g, "'allOf':[{'$ref':'#/definitions/run'}]}");
        return;
    }
    port_title(g, p);
    if (p->doc) ep_gen_text(g, "description", p->doc);
    ep_gen_types(g, p->min <= 1 ? "string array" : "array", false);
    if (p->min <= 1) ep_gen_text(g, "pattern", EP_SCHEMA_REFERENCE);
    ep_gen_open(g, "items");
    ep_gen_types(g, "string", false);
    ep_gen_text(g, "pattern", EP_SCHEMA_REFERENCE);
    ep_gen_close(g, "}");
    ep_gen_items(g, p->min > 1 ? p->min : 1, p->max);
    ep_gen_close(g, "}");
}

/* ---- keys of any step ---- */

static void image_names(struct ep_gen *g, const struct ep_stage *s)
{
    ep_gen_list(g, "enum");
    for (size_t i = 0; i < s->noutputs; i++)
        if (s->outputs[i].kind == EP_IMAGE) ep_gen_item(g, s->outputs[i].name);
    ep_gen_close(g, "]");
}

/* What `keep` may name: spectrum images. Names that depend on parameters ("<line>") are not known here. */
static void add_keep(struct ep_gen *g, const struct ep_stage *s)
{
    bool pattern = false;
    size_t images = 0;
    for (size_t i = 0; i < s->noutputs; i++) {
        pattern |= strchr(s->outputs[i].name, '<') != NULL;
        images += s->outputs[i].kind == EP_IMAGE;
    }
    ep_gen_open(g, "keep");
    ep_gen_text(g, "description", "Write the spectrum images of this step too, or those named.");
    if (pattern) {
        ep_gen_fixed(g, "'type':['boolean','string','array'],'items':{'type':'string'}");
    } else if (!images) {
        ep_gen_fixed(g, "'type':['boolean','array'],'maxItems':0");
    } else {
        ep_gen_fixed(g, "'anyOf':[{'type':'boolean'},{");
        image_names(g, s);
        ep_gen_close(g, "}");
        ep_gen_fixed(g, "{'type':'array','items':{");
        image_names(g, s);
        ep_gen_close(g, "}}]");
    }
    ep_gen_fixed(g, "'default':false}");
}

static void add_step_keys(struct ep_gen *g, const struct ep_stage *s, bool series)
{
    ep_gen_ref(g, "at", "at");
    if (series) ep_gen_ref(g, "over", "over");
    if (series) ep_gen_ref(g, "repeat", "repeat");
    add_keep(g, s);
}

/* Their definitions: no editor shows a description beside a $ref. */
static void define_step_keys(struct ep_gen *g)
{
    ep_gen_open(g, "at");
    ep_gen_text(g, "description", "Compute this step on one run, for all that share the other coordinates: min, max, a value, "
                                  "or a list of which the first that is there counts.");
    ep_gen_fixed(g, "'allOf':[{'$ref':'#/definitions/run'}]}");
    ep_gen_open(g, "over");
    ep_gen_text(g, "description", "The coordinate, or coordinates, over which results are collected.");
    ep_gen_fixed(g, "'type':['string','array'],'items':{'type':'string'},'minItems':1,'uniqueItems':true}");
    ep_gen_open(g, "repeat");
    ep_gen_text(g, "description", "A collected coordinate whose values are repetitions: their results are averaged.");
    ep_gen_fixed(g, "'type':'string'}");
}

/* Whether param.c leaves a parameter of this name to the step. */
static bool taken_by_step(const struct ep_stage *s, const char *name)
{
    for (size_t i = 0; i < s->nports; i++)
        if (!strcmp(s->ports[i].name, name)) return true;
    for (size_t i = 0; ep_step_keys[i]; i++)
        if (!strcmp(ep_step_keys[i], name) && strcmp(name, "relative_to") != 0) return true;
    return false;
}

/* ---- a stage ---- */

static void add_required(struct ep_gen *g, const struct ep_stage *s)
{
    ep_gen_list(g, "required");
    ep_gen_item(g, "stage");
    /* The first port is the step above when left out, a paired one its input's pair. */
    for (size_t i = 1; i < s->nports; i++)
        if (s->ports[i].min > 0 && !s->ports[i].paired) ep_gen_item(g, s->ports[i].name);
    for (const struct ep_param *q = s->params; q && q->name; q++)
        if (q->required && !taken_by_step(s, q->name)) ep_gen_item(g, q->name);
    ep_gen_close(g, "]");
}

static void add_stage(struct ep_gen *g, const struct ep_stage *s)
{
    bool series = false;
    ep_gen_open(g, stage_name(g, s));
    ep_gen_text(g, "title", s->name);
    ep_gen_text(g, "description", s->summary);
    ep_gen_types(g, "object", false);
    ep_gen_open(g, "properties");
    ep_gen_open(g, "stage");
    ep_gen_text(g, "const", s->name);
    ep_gen_close(g, "}");
    for (size_t i = 0; i < s->nports; i++) {
        add_port(g, &s->ports[i]);
        series |= s->ports[i].series;
    }
    for (const struct ep_param *q = s->params; q && q->name; q++)
        if (!taken_by_step(s, q->name)) ep_schema_param(g, stage_name(g, s), q);
    add_step_keys(g, s, series);
    ep_gen_close(g, "}");
    add_required(g, s);
    if (series) ep_gen_fixed(g, "'dependencies':{'repeat':['over']}");
    ep_gen_fixed(g, "'additionalProperties':false}");
    ep_schema_records(g, stage_name(g, s), s->params);
}

void ep_schema_steps(struct ep_gen *g)
{
    ep_gen_open(g, "step");
    ep_gen_fixed(g, "'type':'object','required':['stage'],'properties':{'stage':{'description':'What this step does.'");
    ep_gen_list(g, "oneOf");
    for (size_t i = 0; ep_stages[i]; i++) {
        ep_gen_open(g, NULL);
        ep_gen_text(g, "const", ep_stages[i]->name);
        ep_gen_text(g, "description", ep_stages[i]->summary);
        ep_gen_close(g, "}");
    }
    ep_gen_close(g, "]}}");
    /* Not `oneOf` the stages: an editor then knows which one is meant, and speaks of its keys alone. */
    ep_gen_list(g, "allOf");
    for (size_t i = 0; ep_stages[i]; i++) {
        ep_gen_fixed(g, "{'if':{'required':['stage'],'properties':{'stage':{");
        ep_gen_text(g, "const", ep_stages[i]->name);
        ep_gen_close(g, "}}}");
        ep_gen_ref(g, "then", stage_name(g, ep_stages[i]));
        ep_gen_close(g, "}");
    }
    ep_gen_close(g, "]}");
    define_step_keys(g);
    for (size_t i = 0; ep_stages[i]; i++) add_stage(g, ep_stages[i]);
}
