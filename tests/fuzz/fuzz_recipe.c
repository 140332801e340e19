/* A recipe, then (each after a byte 0) values for it as --set gives them. Everything that needs no file is done: reading,
 * checking against the tables, canonical JSON. */
#include "pipeline/base/json.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/recipe/schema.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ep_arena a = { 0 };
    struct ep_diag d = { 0 };
    const char *sets[4];
    size_t nsets = 0, n = 0;
    char *text = ep_arena_strndup(&a, (const char *)data, size);
    while (n < size && data[n]) n++;
    for (size_t at = n; at < size && nsets < 4; at++)
        if (!data[at] && at + 1 < size) sets[nsets++] = ep_arena_strndup(&a, (const char *)data + at + 1, size - at - 1);
    struct ep_recipe *r = ep_recipe_from_text(&a, text, n, "recipe.yaml", ".", nsets, sets, &d);
    for (size_t i = 0; r && i < r->nsteps; i++) {
        struct ep_str out = { 0 };
        ep_value_json(&out, r->steps[i].val);
        ep_str_free(&out);
    }
    if (r) ep_filter_parse(r, size > n ? (const char *)text : "temperature>=400", &a, &d);
    ep_diag_free(&d);
    ep_arena_free(&a);
    return 0;
}
