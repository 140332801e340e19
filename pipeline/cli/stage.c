/* Verb stage: one filter by itself. It is a recipe of one step, so all checks, messages and files are the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "pipeline/base/mem.h"
#include "pipeline/base/json.h"
#include "pipeline/cli/cli.h"
#include "stages/registry.h"

static const struct cli_option stage_options[] = {
    {"--threads", "N", "worker threads"}, {"--memory", "SIZE", "memory for blocks of spectra"}, {"--quiet", NULL, "warnings and errors only"},
    {"--verbose", NULL, "say more"}, {"--help", NULL, "this text"}, {NULL, NULL, NULL}};

static bool is_assignment(const char *word)
{
    size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    return n > 0 && word[n] == '=';
}

static bool is_port(const struct ep_stage *s, const char *name, size_t len)
{
    for (size_t p = 1; p < s->nports; p++)
        if (strlen(s->ports[p].name) == len && !strncmp(s->ports[p].name, name, len)) return true;
    return false;
}

/* An input is FILE, or FILE#SIGNAL when the file has several. Braces in a name are not placeholders here. */
static void add_input(struct ep_str *y, const char *name, const char *file)
{
    char *path = realpath(file, NULL);
    const char *hash = path ? NULL : strrchr(file, '#');
    struct ep_str plain = {0};
    if (hash) {
        ep_str_addn(&plain, file, (size_t)(hash - file));
        path = realpath(plain.s, NULL);
    }
    struct ep_str literal = {0};
    for (const char *c = path ? path : plain.s ? plain.s : file; *c; c++) {
        ep_str_addn(&literal, c, 1);
        if (*c == '{' || *c == '}') ep_str_addn(&literal, c, 1);
    }
    ep_str_addf(y, "  %s: {path: ", name);
    ep_json_str(y, literal.s ? literal.s : "");
    ep_str_free(&literal);
    if (hash) {
        ep_str_add(y, ", signal: ");
        ep_json_str(y, hash + 1);
    }
    ep_str_add(y, "}\n");
    ep_str_free(&plain);
    free(path);
}

struct stage_words { const struct ep_stage *stage; size_t nin; const char **in; const char *out; size_t nassign; const char **assign; };

/* Each name once, and none of a step's other keys, which mean nothing here. Unknown ones are found with all other mistakes. */
static bool names_right(const struct stage_words *w)
{
    static const char *const keys[] = {"stage", "input", "at", "over", "repeat", "relative_to"};
    for (size_t i = 0; i < w->nassign; i++) {
        const char *word = w->assign[i];
        size_t n = strcspn(word, "=");
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (strlen(keys[k]) == n && !strncmp(word, keys[k], n)) return cli_usage(&cli_stage, "%s= is for recipes: there are no runs here", keys[k]), false;
        for (size_t k = 0; k < i; k++)
            if (!strncmp(w->assign[k], word, n + 1)) return cli_usage(&cli_stage, "%.*s is given twice", (int)n, word), false;
    }
    return true;
}

static bool split_words(const struct cli_args *args, struct ep_arena *a, struct stage_words *w)
{
    if (args->n == 0) return cli_usage(&cli_stage, "name a stage: eelpipe stage NAME IN... OUT key=value..."), false;
    w->stage = ep_stage_find(args->operand[0]);
    if (!w->stage) {
        const char *near = ep_stage_suggest(args->operand[0]);
        cli_usage(&cli_stage, "there is no stage '%s'%s%s%s", args->operand[0], near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    const char **file = EP_ARENA_ARRAY(a, const char *, args->n);
    w->assign = EP_ARENA_ARRAY(a, const char *, args->n);
    size_t nfile = 0;
    for (size_t i = 1; i < args->n; i++) {
        if (is_assignment(args->operand[i])) w->assign[w->nassign++] = args->operand[i];
        else file[nfile++] = args->operand[i];
    }
    if (nfile < 2) return cli_usage(&cli_stage, "stage %s needs an input file and an output file", w->stage->name), false;
    w->in = file;
    w->nin = nfile - 1;
    w->out = file[nfile - 1];
    for (size_t p = 0; p < w->stage->nports; p++)
        if (w->stage->ports[p].series) return cli_usage(&cli_stage, "stage %s collects over runs: use it in a recipe", w->stage->name), false;
    return names_right(w);
}

/* What messages call input i: as the usage text does. */
static void input_name(const struct stage_words *w, size_t i, char name[32])
{
    if (w->nin == 1) snprintf(name, 32, "IN");
    else snprintf(name, 32, "IN%zu", i + 1);
}

/* The step's name is the output's, as far as a name can be. */
static char *step_name(struct ep_arena *a, const struct ep_stage *stage, const char *out)
{
    const char *base = ep_base_name(out);
    char *name = ep_arena_strdup(a, base);
    size_t n = strlen(name);
    if (n > 5 && !strcmp(name + n - 5, ".hspy")) name[n - 5] = 0;
    for (char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9' && p > name) || *p == '_')) *p = p == name ? 's' : '_';
    if (!*name) return ep_arena_strdup(a, "step");
    if (strlen(name) > 100) name[100] = 0; /* the file's own name is the writer's business */
    bool taken = is_port(stage, name, strlen(name)) || (!strncmp(name, "IN", 2) && strspn(name + 2, "0123456789") == strlen(name + 2));
    return taken ? ep_arena_printf(a, "%s_", name) : name;
}

static bool write_recipe(struct cli_session *s, const struct stage_words *w, struct ep_str *y)
{
    char *name = step_name(&s->arena, w->stage, w->out);
    ep_str_add(y, "eelpipe: 1\ninputs:\n");
    for (size_t i = 0; i < w->nin; i++) {
        char in[32];
        input_name(w, i, in);
        add_input(y, in, w->in[i]);
    }
    for (size_t i = 0; i < w->nassign; i++) {
        size_t len = strcspn(w->assign[i], "=");
        if (is_port(w->stage, w->assign[i], len)) {
            char *port = ep_arena_strndup(&s->arena, w->assign[i], len);
            add_input(y, port, w->assign[i] + len + 1);
        }
    }
    ep_str_addf(y, "output: \".\"\nsteps:\n  %s:\n    stage: %s\n    input: [", name, w->stage->name);
    for (size_t i = 0; i < w->nin; i++) {
        char in[32];
        input_name(w, i, in);
        ep_str_addf(y, "%s%s", i ? ", " : "", in);
    }
    ep_str_add(y, "]\n");
    bool keep = false;
    for (size_t i = 0; i < w->nassign; i++) {
        size_t len = strcspn(w->assign[i], "=");
        keep |= len == 4 && !strncmp(w->assign[i], "keep", 4);
        ep_str_addf(y, "    %.*s: ", (int)len, w->assign[i]);
        if (is_port(w->stage, w->assign[i], len)) {
            ep_str_addf(y, "%.*s\n", (int)len, w->assign[i]);
            continue;
        }
        struct ep_value *v = ep_value_from_arg(&s->arena, w->assign[i] + len + 1, w->assign[i], &s->diag);
        if (!v) return false;
        ep_value_json(y, v);
        ep_str_add(y, "\n");
    }
    if (!keep) ep_str_add(y, "    keep: true\n");
    return true;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int run_stage(struct cli *c, const struct cli_args *args)
{
    struct cli_session s = {.diag = {.no_lines = true}};
    struct stage_words w = {0};
    struct ep_str y = {0};
    int code = EXIT_USAGE;
    if (!split_words(args, &s.arena, &w)) goto out;
    for (size_t i = 0; i < w.nin; i++)
        if (same_file(w.in[i], w.out)) {
            cli_usage(&cli_stage, "the output %s is the input itself: name another file", w.out);
            goto out;
        }
    if (!write_recipe(&s, &w, &y)) {
        ep_diag_print(&s.diag, stderr);
        goto out;
    }
    s.recipe = ep_recipe_from_text(&s.arena, y.s, y.n, "(command line)", ".", 0, NULL, &s.diag);
    if (!s.recipe) {
        ep_diag_print(&s.diag, stderr);
        goto out;
    }
    struct cli_args run = {.threads = args->threads, .memory = args->memory, .force = true};
    s.graph.forget = true;
    s.result = w.out;
    code = cli_open_recipe(c, &s, &run, false);
    if (!code) code = cli_execute(c, &s, &run, "eelpipe stage");
out:
    ep_str_free(&y);
    cli_close(&s);
    return code;
}

static int stage_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_stage, n, words, &a, &args)) code = args.help ? 0 : run_stage(c, &args);
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_stage = {"stage", "NAME IN... OUT [k=v...]", "One filter by itself, with parameters as key=value.", stage_options, stage_verb};
