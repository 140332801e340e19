/* Verb schema: what a recipe may hold, for editors and other programs. */
#include <stdio.h>
#include <string.h>
#include "pipeline/cli/cli.h"
#include "pipeline/recipe/schema.h"

static const struct cli_option schema_options[] = {
    {"--recipe", "FILE", "instead: the recipe as it was read, as JSON"},
    {"--set", "KEY=VALUE", "with --recipe: set a value of it"},
    {"--help", NULL, "this text"}, {NULL, NULL, NULL}};

/* Takes `--recipe FILE` (or --recipe=FILE) out of the words, since it is this verb's alone: whether it stood there. */
static bool take_recipe(size_t *n, char **words, const char **file)
{
    static const char option[] = "--recipe";
    const size_t len = sizeof option - 1;
    for (size_t i = 0; i < *n && strcmp(words[i], "--") != 0; i++) {
        if (strncmp(words[i], option, len) != 0 || (words[i][len] && words[i][len] != '=')) continue;
        size_t used = words[i][len] ? 1 : 2;
        if (used == 1) *file = words[i] + len + 1;
        else if (i + 1 < *n) *file = words[i + 1];
        if (used > *n - i) used = *n - i;
        memmove(words + i, words + i + used, (*n - i - used) * sizeof *words);
        *n -= used;
        return true;
    }
    return false;
}

static int print_recipe(struct ep_arena *a, const char *file, const struct cli_args *args)
{
    struct ep_diag d = {0};
    struct ep_str out = {0};
    const bool good = ep_recipe_json(&out, a, file, args->nset, args->set, &d);
    if (good) printf("%s\n", out.s);
    ep_diag_print(&d, stderr);
    ep_diag_free(&d);
    ep_str_free(&out);
    return good ? EXIT_DONE : EXIT_USAGE;
}

static int schema_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    const char *file = NULL;
    const bool recipe = take_recipe(&n, words, &file);
    int code = EXIT_DONE;
    if (!cli_parse(c, &cli_schema, n, words, &a, &args)) code = EXIT_USAGE;
    else if (args.help) code = EXIT_DONE;
    else if (recipe && (!file || !*file)) code = cli_usage(&cli_schema, "--recipe needs FILE");
    else if (args.n) code = cli_usage(&cli_schema, "'%s' is one word too many: a recipe is named by --recipe", args.operand[0]);
    else if (args.nset && !recipe) code = cli_usage(&cli_schema, "--set goes with --recipe");
    else if (recipe) code = print_recipe(&a, file, &args);
    else {
        struct ep_str out = {0};
        ep_recipe_schema(&out);
        fputs(out.s, stdout);
        ep_str_free(&out);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_schema = {"schema", "[--recipe FILE]", "The JSON Schema of recipes, for editors; or one recipe as JSON.", schema_options,
                                    schema_verb};
