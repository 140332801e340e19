/* What schema.c and its parts share. Nobody else includes it. */
#ifndef EP_RECIPE_SCHEMA_PARTS_H
#define EP_RECIPE_SCHEMA_PARTS_H
#include "pipeline/base/mem.h"
#include "pipeline/param.h"
#include "pipeline/stage.h"

#define EP_SCHEMA_NAME "[A-Za-z][A-Za-z0-9_]*"
#define EP_SCHEMA_REFERENCE "^" EP_SCHEMA_NAME "(\\..+)?$"   /* "o", "o_net", "o_net.exponent" */

/* units: those that numbers met so far are in, each once ("" for plain numbers). */
struct ep_gen { struct ep_str *out; struct ep_arena *a; const char **unit; size_t nunits, unit_cap; };

/* ---- JSON, piece by piece (schema_json.c); each puts the comma that is due before it ---- */
void ep_gen_key(struct ep_gen *g, const char *name);
void ep_gen_text(struct ep_gen *g, const char *name, const char *text);   /* "name": "text" */
void ep_gen_count(struct ep_gen *g, const char *name, size_t n);
void ep_gen_item(struct ep_gen *g, const char *text);                     /* a text in a list */
void ep_gen_open(struct ep_gen *g, const char *name);                     /* an object; without a name in a list */
void ep_gen_list(struct ep_gen *g, const char *name);
void ep_gen_close(struct ep_gen *g, const char *ends);                    /* "]}" */
/* JSON that is the same in all schemas, with ' for " so that it can be read: 'type':'string' */
void ep_gen_fixed(struct ep_gen *g, const char *json);
void ep_gen_ref(struct ep_gen *g, const char *name, const char *definition);
/* "type": words, separated by blanks, and perhaps null. */
void ep_gen_types(struct ep_gen *g, const char *words, bool nullable);
void ep_gen_items(struct ep_gen *g, size_t min, size_t max);              /* minItems, maxItems; max 0: none */
/* JSON without blanks in lines that can be read: what fits into `width` columns stays in one line. */
void ep_json_pretty(struct ep_str *out, const char *json, size_t width);

/* ---- parameters (schema_param.c) ---- */

/* The keywords that hold a value to the parameter, in an open object. owner is part of the names of definitions. */
void ep_schema_value(struct ep_gen *g, const char *owner, const struct ep_param *q);
/* "name": {title, description, what ep_schema_value() says, default} */
void ep_schema_param(struct ep_gen *g, const char *owner, const struct ep_param *q);
/* Definitions of records that stand in lists of the table, those within others included. */
void ep_schema_records(struct ep_gen *g, const char *owner, const struct ep_param *table);
/* Definitions of how a number may be written in each of the units met so far. */
void ep_schema_units(struct ep_gen *g);

/* ---- steps (schema_step.c): the definitions step, stage_<name>, and what they share ---- */
void ep_schema_steps(struct ep_gen *g);
#endif
