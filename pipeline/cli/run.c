/* Verbs on a recipe: run, plan, status, check. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/cli/cli.h"
#include "pipeline/engine/graph_parts.h"

#define PLURAL(n) ((n) == 1 ? "" : "s")
#define SELECTION                                                                                              \
    {"--only", "STEP", "this step (or several, joined by commas), and what it needs"},                                                        \
    {"--from", "STEP", "this step and all that depend on it"},                                                 \
    {"--runs", "'COORD>=X'", "only runs for which this holds; several joined by commas"},                      \
    {"--force", NULL, "compute even what is up to date"},                                                      \
    {"--set", "KEY=VALUE", "set a value, as in --set steps.o_net.window=505,524"}
#define COMMON                                                                                                 \
    {"--quiet", NULL, "warnings and errors only"}, {"--verbose", NULL, "say more"}, {"--help", NULL, "this text"}, {NULL, NULL, NULL}

static const struct cli_option run_options[] = {
    {"--dry-run", NULL, "say what would be computed, and why (the verb plan)"}, SELECTION,
    {"--threads", "N", "worker threads (default: all processors allowed)"},
    {"--memory", "SIZE", "memory for blocks of spectra, such as 256M"}, {"--json", NULL, "with --dry-run: JSON"}, COMMON};
static const struct cli_option plan_options[] = {SELECTION, {"--threads", "N", "threads for hashing"}, {"--json", NULL, "JSON"}, COMMON};
static const struct cli_option check_options[] = {{"--set", "KEY=VALUE", "set a value of the recipe"}, {"--runs", "'COORD>=X'", "only these runs"}, COMMON};

/* ---- plan -------------------------------------------------------------------------------------------------- */

static const char *state_word(const struct ep_node *n)
{
    if (n->todo) return n->state == EP_NODE_STALE ? "stale" : "missing";
    switch (n->state) {
    case EP_NODE_DONE: return "done";
    case EP_NODE_STALE: return "stale";
    case EP_NODE_MISSING: return "missing";
    case EP_NODE_BLOCKED: return "blocked";
    }
    return "?";
}

/* Names in a list "a, b", each once; one may be part of another. */
static void add_once(struct ep_str *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list->s; at; at = strstr(at, ", "), at = at ? at + 2 : NULL)
        if (!strncmp(at, name, n) && (!at[n] || !strncmp(at + n, ", ", 2))) return;
    ep_str_addf(list, "%s%s", list->n ? ", " : "", name);
}

/* What makes a node wait for an earlier level, in words. */
static void level_reason(const struct ep_node *n, struct ep_str *out)
{
    struct ep_str whole = {0};
    for (size_t p = 0; p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_node *m = n->item[p][i].node;
            if (!m || !m->todo || n->unit == m->unit || ep_node_fused(n, p, i)) continue;
            bool relative = n->stage->ports[p].relative;
            add_once(&whole, relative ? "the run it is relative to" : n->item[p][i].label);
        }
    if (n->look && n->look->todo) ep_str_add(out, "; needs its look at the whole image first");
    if (whole.n) ep_str_addf(out, "; needs all of %s first", whole.s);
    ep_str_free(&whole);
}

static void source_list(const struct ep_unit *u, struct ep_str *out)
{
    for (size_t c = 0; c < u->nchain; c++)
        for (size_t p = 0; p < u->chain[c]->stage->nports; p++)
            for (size_t i = 0; u->chain[c]->stage->ports[p].stream && i < u->chain[c]->nitem[p]; i++)
                if (!ep_node_fused(u->chain[c], p, i)) add_once(out, u->chain[c]->item[p][i].label);
}

/* What a unit does, without its run: units of other runs that do the same are told together. */
static void unit_text(const struct ep_unit *u, struct ep_str *out)
{
    struct ep_str src = {0};
    source_list(u, &src);
    if (u->kind == EP_UNIT_WHOLE) ep_str_addf(out, "level %zu: on results in memory", u->level);
    else ep_str_addf(out, "level %zu: one pass over %s", u->level, src.s ? src.s : "?");
    ep_str_free(&src);
    for (size_t c = 0; c < u->nchain; c++) {
        const struct ep_node *n = u->chain[c];
        bool own = false;
        for (size_t k = 0; k < u->nnodes; k++) own |= u->node[k] == n;
        ep_str_addf(out, "\n    %-16s %s", n->name, own ? n->reason : "evaluated on the way, not written");
        level_reason(n, out);
    }
}

/* The runs of the units that do the same as unit k: "sample=ncm003, temperature=25, 100, 200; sample=ncm104, temperature=25". */
static void units_where(const struct ep_graph *g, const struct ep_str *text, size_t k, struct ep_str *out)
{
    const char *last = "";
    size_t n = 0;
    for (size_t j = k; j < g->nunits; j++) {
        if (!text[j].s || strcmp(text[j].s, text[k].s)) continue;
        const char *where = g->unit[j]->node[0]->where, *value = strrchr(where, '=');
        if (!value) continue;
        size_t same = (size_t)(value - where) + 1;
        if (n++ && !strncmp(where, last, same)) ep_str_addf(out, ", %s", value + 1);
        else ep_str_addf(out, "%s%s", out->n ? "; " : "", where);
        last = where;
    }
    if (n < 2) return;
    struct ep_str counted = {0};
    ep_str_addf(&counted, "%zu runs: %s", n, out->s);
    ep_str_free(out);
    *out = counted;
}

/* Lines of unit_text, within the width: "    step             reason ...", and what does not fit below the reason. */
static void print_steps(const char *lines)
{
    while (*lines) {
        char line[4096];
        size_t n = strcspn(lines, "\n"), name = strspn(lines, " ");
        snprintf(line, sizeof line, "%.*s", (int)n, lines);
        name += strcspn(line + name, " ");
        size_t reason = name + strspn(line + name, " ");
        printf("%.*s", (int)reason, line);
        cli_wrap(line + reason, (int)reason, 21);
        lines += n + (lines[n] == '\n');
    }
}

static void print_where(struct ep_str *where)
{
    if (where->n) {
        printf("    for ");
        cli_wrap(where->s, 8, 8);
    }
    ep_str_free(where);
}

/* Level by level; steps without a pass stand together where their level and runs are the same. */
static void print_units(const struct ep_graph *g)
{
    struct ep_str *text = ep_xcalloc(g->nunits + 1, sizeof *text), head = {0}, pending = {0};
    for (size_t k = 0; k < g->nunits; k++) unit_text(g->unit[k], &text[k]);
    for (size_t i = 0; i < g->nunits * g->nlevels; i++) {
        size_t level = i / g->nunits, k = i % g->nunits;
        if (!text[k].s || g->unit[k]->level != level) continue;
        struct ep_str where = {0};
        units_where(g, text, k, &where);
        size_t n = strcspn(text[k].s, "\n");
        bool joins = g->unit[k]->kind == EP_UNIT_WHOLE && head.n == n && !strncmp(head.s, text[k].s, n)
                     && !strcmp(where.n ? where.s : "", pending.n ? pending.s : "");
        if (!joins) {
            print_where(&pending);
            ep_str_free(&head);
            ep_str_addn(&head, text[k].s, n);
            cli_wrap(head.s, 0, 4);
        }
        print_steps(text[k].s + n + (text[k].s[n] == '\n'));
        ep_str_free(&pending);
        pending = where;
        for (size_t j = g->nunits; j-- > k;)
            if (text[j].s && !strcmp(text[j].s, text[k].s)) ep_str_free(&text[j]);
    }
    print_where(&pending);
    ep_str_free(&head);
    free(text);
}

static void print_plan(const struct ep_graph *g)
{
    size_t done = 0, blocked = 0;
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (!n->wanted || n->is_look) continue;
        done += n->state == EP_NODE_DONE;
        blocked += n->state == EP_NODE_BLOCKED;
    }
    print_units(g);
    for (size_t i = 0; i < g->nnodes; i++) {
        struct ep_str why = {0};
        if (ep_node_blocked(g, g->node[i], &why)) printf("can't: %s\n", why.s);
        ep_str_free(&why);
    }
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->node[i]->asked && !g->node[i]->wanted && !strncmp(g->node[i]->reason, "left out", 8))
            printf("not now: %s: %s\n", g->node[i]->label, g->node[i]->reason);
    size_t todo = 0;
    for (size_t i = 0; i < g->nnodes; i++) todo += g->node[i]->todo && !g->node[i]->is_look;
    printf("%zu to compute in %zu pass%s or step%s, %zu level%s; %zu up to date", todo, g->nunits, g->nunits == 1 ? "" : "es", PLURAL(g->nunits),
           g->nlevels, PLURAL(g->nlevels), done);
    if (blocked) printf("; %zu can't be computed", blocked);
    printf("\n");
}

static void node_json(const struct ep_graph *g, const struct ep_node *n, struct ep_str *out)
{
    ep_json_sep(out);
    ep_str_add(out, "{");
    ep_json_key(out, "step");
    ep_json_str(out, n->name);
    ep_json_key(out, "stage");
    ep_json_str(out, n->stage->name);
    ep_json_key(out, "run");
    ep_str_add(out, "{");
    for (size_t c = 0; c < g->recipe->ncoords; c++) {
        ep_json_key(out, g->recipe->coords[c].name);
        if (g->recipe->coords[c].number) ep_json_num(out, n->run->coord[c].num);
        else ep_json_str(out, n->run->coord[c].text);
    }
    ep_str_add(out, "}");
    ep_json_key(out, "state");
    ep_json_str(out, state_word(n));
    ep_json_key(out, "compute");
    ep_str_add(out, n->todo ? "true" : "false");
    ep_json_key(out, "reason");
    ep_json_str(out, n->reason);
    ep_json_key(out, "level");
    ep_json_num(out, (double)n->level);
    ep_json_key(out, "pass");
    size_t unit = 0;
    for (size_t k = 0; n->unit && k < g->nunits; k++)
        if (g->unit[k] == n->unit) unit = k + 1;
    if (unit) ep_json_num(out, (double)unit);
    else ep_str_add(out, "null");
    ep_json_key(out, "result");
    ep_json_str(out, n->path);
    ep_json_key(out, "fingerprint");
    ep_json_str(out, n->fingerprint.hex);
    ep_str_add(out, "}");
}

static void print_json(const struct ep_graph *g)
{
    struct ep_str out = {0};
    ep_str_add(&out, "{");
    ep_json_key(&out, "recipe");
    ep_json_str(&out, g->recipe->path);
    ep_json_key(&out, "nodes");
    ep_str_add(&out, "[");
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->node[i]->wanted || g->node[i]->todo) node_json(g, g->node[i], &out);
    ep_str_add(&out, "]}");
    printf("%s\n", out.s);
    ep_str_free(&out);
}

static int plan_words(struct cli *c, const struct cli_args *args)
{
    struct cli_session s;
    int code = cli_open(c, &s, cli_default_recipe(args), args, false);
    if (!code) {
        if (args->json) print_json(&s.graph);
        else print_plan(&s.graph);
    }
    cli_close(&s);
    return code;
}

static int one_recipe(const struct cli_verb *v, const struct cli_args *args)
{
    return args->n > 1 ? cli_usage(v, "one recipe at a time, please: '%s' is one too many", args->operand[1]) : 0;
}

static int plan_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_plan, n, words, &a, &args)) code = args.help ? 0 : one_recipe(&cli_plan, &args);
    if (!code && !args.help) code = plan_words(c, &args);
    ep_arena_free(&a);
    return code;
}

/* ---- run --------------------------------------------------------------------------------------------------- */

/* Where results are, and of figures each file that is a picture. */
static void print_places(const struct ep_graph *g)
{
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        for (size_t o = 0; n->wanted && !n->failed && n->state != EP_NODE_BLOCKED && o < n->decl.nout; o++) {
            char *path = n->decl.out[o].kind == EP_FILE && !strchr(n->decl.out[o].name, '.') ? ep_node_beside(n, o) : NULL;
            if (path) printf("figure: %s\n", path);
            free(path);
        }
    }
    printf("results: %s\n", ep_graph_root(g));
}

static int run_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    struct cli_session s;
    int code = EXIT_USAGE;
    if (!cli_parse(c, &cli_run, n, words, &a, &args) || (code = args.help ? 0 : one_recipe(&cli_run, &args)) || args.help) {
        ep_arena_free(&a);
        return code;
    }
    if (args.dry_run) {
        code = plan_words(c, &args);
        ep_arena_free(&a);
        return code;
    }
    struct ep_str command = {0};
    ep_str_add(&command, "eelpipe run");
    for (size_t i = 0; i < n; i++) ep_str_addf(&command, " '%s'", words[i]);
    code = cli_open(c, &s, cli_default_recipe(&args), &args, false);
    if (!code) {
        code = cli_execute(c, &s, &args, command.s);
        if (code != EXIT_OUTPUT && !args.quiet) cli_print_tables(&s);
        if (code != EXIT_OUTPUT && !args.quiet) print_places(&s.graph);
    }
    cli_close(&s);
    ep_str_free(&command);
    ep_arena_free(&a);
    return code;
}

/* ---- status ------------------------------------------------------------------------------------------------ */

/* What is told in one line: a run, or what several runs share; the state of each step, NULL where it has none there. */
struct row { const char *where; const char **state; };
struct rows { struct row *v; size_t n, cap; };

static struct row *new_row(struct rows *r, const char *where, size_t nsteps)
{
    EP_PUSH(r->v, r->n, r->cap);
    r->v[r->n - 1] = (struct row){where, ep_xcalloc(nsteps, sizeof(char *))};
    return &r->v[r->n - 1];
}

/* Nodes of one step come in the order of runs: the row behind the last one is most likely the next. */
static struct row *row_of(struct rows *r, const char *where, size_t *next, size_t nsteps)
{
    for (size_t k = 0; k < r->n; k++) {
        size_t i = (*next + k) % r->n;
        if (strcmp(r->v[i].where, where)) continue;
        *next = i + 1;
        return &r->v[i];
    }
    return new_row(r, where, nsteps);
}

static struct rows status_rows(const struct ep_graph *g)
{
    struct rows rows = {0};
    size_t next = 0, nsteps = g->recipe->nsteps;
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (n->wanted && !n->is_look) row_of(&rows, n->where, &next, nsteps)->state[n->step] = state_word(n);
    }
    for (size_t k = 0; k < g->runs->n; k++) {
        if (!g->runs->v[k].skip) continue;
        struct row *row = new_row(&rows, g->runs->v[k].label, nsteps);
        for (size_t i = 0; i < nsteps; i++) row->state[i] = "skipped";
    }
    return rows;
}

/* Many steps: of each run how many are in which state, and by name those that are not done. */
static void print_row(const struct ep_graph *g, const struct row *row, size_t width)
{
    static const char *const words[] = {"done", "stale", "missing", "blocked", "skipped"};
    struct ep_str out = {0};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        struct ep_str names = {0};
        size_t n = 0, all = 0;
        for (size_t i = 0; i < g->recipe->nsteps; i++) {
            const char *word = row->state[i];
            all += word != NULL;
            if (!word || strcmp(word, words[w])) continue;
            ep_str_addf(&names, "%s%s", n++ ? ", " : "", g->recipe->steps[i].name);
        }
        if (n) ep_str_addf(&out, "%s%s%zu %s", out.n ? "; " : "", n == all ? "all " : "", n, words[w]);
        if (n && n < all && w) ep_str_addf(&out, ": %s", names.s);
        ep_str_free(&names);
    }
    cli_wrap(out.s ? out.s : "-", (int)width + 2, (int)width + 2);
    ep_str_free(&out);
}

static size_t column_of(const struct ep_step *s)
{
    return strlen(s->name) > 7 ? strlen(s->name) : 7;
}

static void print_status(const struct ep_graph *g)
{
    const struct ep_recipe *r = g->recipe;
    size_t width = 8, all = 0;
    struct rows rows = status_rows(g);
    for (size_t k = 0; k < rows.n; k++)
        if (cli_columns(rows.v[k].where) > width) width = cli_columns(rows.v[k].where);
    for (size_t i = 0; i < r->nsteps; i++) all += 2 + column_of(&r->steps[i]);
    const bool table = width + all <= CLI_WIDTH;
    if (table) {
        cli_pad("run", width);
        for (size_t i = 0; i < r->nsteps; i++) printf("  %-*s", i + 1 < r->nsteps ? (int)column_of(&r->steps[i]) : 0, r->steps[i].name);
        printf("\n");
    }
    for (size_t k = 0; k < rows.n; k++) {
        cli_pad(rows.v[k].where[0] ? rows.v[k].where : r->ncoords ? "all runs" : "all", width);
        if (!table) {
            printf("  ");
            print_row(g, &rows.v[k], width);
            continue;
        }
        for (size_t i = 0; i < r->nsteps; i++) {
            const char *word = rows.v[k].state[i];
            printf("  %-*s", i + 1 < r->nsteps ? (int)column_of(&r->steps[i]) : 0, word ? word : "-");
        }
        printf("\n");
    }
    for (size_t k = 0; k < rows.n; k++) free(rows.v[k].state);
    free(rows.v);
}

static int status_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    struct cli_session s;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_status, n, words, &a, &args)) code = args.help ? 0 : one_recipe(&cli_status, &args);
    if (!code && !args.help) {
        code = cli_open(c, &s, cli_default_recipe(&args), &args, false);
        if (!code) {
            if (args.json) print_json(&s.graph);
            else print_status(&s.graph);
        }
        cli_close(&s);
    }
    ep_arena_free(&a);
    return code;
}

/* ---- check ------------------------------------------------------------------------------------------------- */

static int check_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    struct cli_session s;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_check, n, words, &a, &args)) code = args.help ? 0 : one_recipe(&cli_check, &args);
    if (!code && !args.help) {
        code = cli_open(c, &s, cli_default_recipe(&args), &args, true);
        size_t blocked = 0, nodes = 0;
        for (size_t i = 0; i < s.graph.nnodes && !code; i++) {
            const struct ep_node *m = s.graph.node[i];
            if (m->is_look) continue;
            nodes++;
            blocked += m->state == EP_NODE_BLOCKED;
            struct ep_str why = {0};
            if (ep_node_blocked(&s.graph, m, &why)) ep_log_warn(&c->log, "%s", why.s);
            ep_str_free(&why);
        }
        if (!code) code = cli_outputs_safe(c, &s, true);
        if (!code && !args.quiet) {
            printf("%s: %zu run%s, %zu step%s, %zu result%s", s.recipe->path, s.runs.n, PLURAL(s.runs.n), s.recipe->nsteps, PLURAL(s.recipe->nsteps),
                   nodes, PLURAL(nodes));
            if (blocked) printf(", of which %zu can't be computed", blocked);
            printf(blocked || s.diag.n ? "\n" : ": nothing wrong found\n");
        }
        if (!code && blocked) code = blocked == nodes ? EXIT_NOTHING : EXIT_SOME_FAILED;
        cli_close(&s);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_run = {"run", "[RECIPE]", "Computes what is missing or out of date (default: config.yaml).", run_options, run_verb};
const struct cli_verb cli_plan = {"plan", "[RECIPE]", "Says what `run` would compute, in which passes, and why.", plan_options, plan_verb};
const struct cli_verb cli_status = {"status", "[RECIPE]", "Runs by steps: done, stale, missing, blocked.", plan_options, status_verb};
const struct cli_verb cli_check = {"check", "[RECIPE]", "Finds everything that can be found wrong without reading spectra.", check_options, check_verb};
