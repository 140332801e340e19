/* The JSON Schema of a recipe (draft-07), made from the tables of the stages and inputs: what an editor completes from,
 * and what other programs can check a recipe with. schemas/recipe.schema.json is this text.
 *
 * It says what can be said of a recipe's form: keys, types, words, units, ranges, numbers of items. What depends on
 * other parts of the recipe or on files (names of steps and coordinates, cycles, order of a window's ends, axes) only the
 * program finds.
 */
#ifndef EP_RECIPE_SCHEMA_H
#define EP_RECIPE_SCHEMA_H
#include "pipeline/base/diag.h"
#include "pipeline/base/mem.h"

/* Appends the schema: the same text each time, lines of at most 120 characters where words allow, a newline at the end. */
void ep_recipe_schema(struct ep_str *out);
/* Appends the recipe as the program has read it (YAML 1.2, after --set), as JSON, for validators. Nothing is checked but
 * that it is YAML and that --set names places that are there. False after an error. */
bool ep_recipe_json(struct ep_str *out, struct ep_arena *a, const char *path, size_t nsets, const char *const *sets,
                    struct ep_diag *d);
#endif
