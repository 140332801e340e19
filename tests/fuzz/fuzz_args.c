/* Words of a command line and cells of a table: numbers with units, values as key=value gives them for every stage's parameters,
 * filters of runs, and runs.csv. The first byte chooses. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pipeline/base/json.h"
#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"
#include "stages/registry.h"
#include "tests/fuzz/fuzz.h"

static const char recipe[] = "eelpipe: 1\ninputs: {o: \"data/{sample}/{temperature}C.hspy\"}\ncoordinates: {temperature: degC}\n"
                             "output: out/{sample}/{temperature}\nsteps:\n  net: {stage: background, input: o, window: [480, 525]}\n";

static void units(const char *text)
{
    static const char *const unit[] = { "eV", "nm", "px", "", "degC", "mrad", "s" };
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        struct ep_err e = { 0 };
        double x, factor;
        enum ep_dim dim;
        ep_unit_parse(text, unit[i], &x, &e);
        ep_unit_lookup(text, &dim, &factor);
        ep_parse_number(text, &x);
    }
}

/* {key: value} of a stage, key and value from the text. */
static void parameters(struct ep_arena *a, struct ep_diag *d, const char *text, unsigned which)
{
    size_t n = 0, key = strcspn(text, "=");
    while (ep_stages[n]) n++;
    const struct ep_stage *s = ep_stages[which % n];
    if (!text[key]) return;
    struct ep_value *v = ep_value_from_arg(a, text + key + 1, text, d);
    struct ep_value *map = v ? ep_value_with(a, NULL, ep_arena_strndup(a, text, key), v) : NULL;
    void *par = ep_arena_alloc(a, s->params_size);
    if (!map || !ep_params_parse(a, s->params, s->params_size, map, NULL, s->name, par, d)) return;
    struct ep_str out = { 0 };
    ep_params_json(&out, s->params, par);
    ep_str_free(&out);
}

static void table(struct ep_arena *a, struct ep_diag *d, struct ep_recipe *r, const char *text, size_t n)
{
    int fd = memfd_create("runs", 0);
    char path[64];
    if (fd < 0) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct ep_csv csv;
    struct ep_csv_column *column;
    if (write(fd, text, n) == (ssize_t)n && ep_csv_read(a, path, (struct ep_pos){ "recipe.yaml", 1, 1 }, &csv, d)) ep_csv_columns(r, a, &csv, &column, d);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ep_arena a = { 0 };
    struct ep_diag d = { 0 };
    struct fuzz_bytes b = { data, size };
    unsigned what = fuzz_byte(&b), which = fuzz_byte(&b);
    const char *text = ep_arena_strndup(&a, (const char *)b.p, b.n);
    struct ep_recipe *r = ep_recipe_from_text(&a, recipe, sizeof recipe - 1, "recipe.yaml", ".", 0, NULL, &d);
    switch (what % 4) {
    case 0: units(text); break;
    case 1: parameters(&a, &d, text, which); break;
    case 2: ep_filter_parse(r, text, &a, &d); break;
    default: table(&a, &d, r, text, b.n);
    }
    ep_diag_free(&d);
    ep_arena_free(&a);
    return 0;
}
