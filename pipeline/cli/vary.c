/* Verb vary: how much each final number moves when a window, a threshold or a region moves. The recipe is run as it is, then
 * once for each moved parameter into a scratch folder; final numbers are those of tables over a series, and of results that no
 * other step uses. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/cli/cli.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/csv.h"
#include "pipeline/io/file.h"
#include "pipeline/io/result.h"

static const struct cli_option vary_options[] = {
    {"--threads", "N", "worker threads"}, {"--memory", "SIZE", "memory for blocks of spectra"}, {"--runs", "'COORD>=X'", "only runs for which this holds"},
    {"--quiet", NULL, "warnings and errors only"}, {"--help", NULL, "this text"}, {NULL, NULL, NULL}};

/* One number of one result. */
struct final { char *name; double value, sigma; };
struct finals { size_t n, cap; struct final *v; };
/* One moved parameter: "steps.o_net.window=[506,525]". */
struct move { char *label, *set; };

static void finals_free(struct finals *f)
{
    for (size_t i = 0; i < f->n; i++) free(f->v[i].name);
    free(f->v);
}

static void add_final(struct finals *f, double value, double sigma, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void add_final(struct finals *f, double value, double sigma, const char *fmt, ...)
{
    struct ep_str name = {0};
    va_list ap;
    va_start(ap, fmt);
    ep_str_vaddf(&name, fmt, ap);
    va_end(ap);
    EP_PUSH(f->v, f->n, f->cap);
    f->v[f->n - 1] = (struct final){name.s, value, sigma};
}

static void table_finals(const struct ep_node *n, const struct ep_signal *t, struct finals *f)
{
    const struct ep_column *first = t->ncol ? &t->col[0] : NULL;
    for (size_t k = 0; k < t->ncol; k++) {
        const struct ep_column *c = &t->col[k];
        if (c->is_text || (k == 0 && t->n > 1)) continue; /* the first column of a series is what it runs over */
        for (size_t i = 0; i < t->n; i++) {
            char row[80] = "";
            if (t->n > 1 && first->is_text) snprintf(row, sizeof row, " %.70s", first->text[i]);
            else if (t->n > 1) snprintf(row, sizeof row, " %.60s=%g", first->name, first->num[i]);
            add_final(f, c->num[i], c->sigma ? c->sigma[i] : NAN, "%s%s%s%s.%s%s", n->name, n->where[0] ? " [" : "", n->where,
                      n->where[0] ? "]" : "", c->name, row);
        }
    }
}

static bool used_by_other(const struct ep_graph *g, const struct ep_node *n)
{
    for (size_t k = 0; k < g->nnodes; k++) {
        const struct ep_node *m = g->node[k];
        if (m->decl.nout && m->decl.out[0].kind == EP_FILE) continue;      /* a figure uses what is final */
        for (size_t p = 0; p < m->stage->nports && m->item && m != n; p++)
            for (size_t i = 0; i < m->nitem[p]; i++)
                if (m->item[p][i].node == n && m->step != n->step) return true;
    }
    return false;
}

static bool over_series(const struct ep_node *n)
{
    for (size_t p = 0; p < n->stage->nports; p++)
        if (n->stage->ports[p].series) return true;
    return false;
}

/* Final numbers: tables, and maps of one pixel. */
static ep_status collect_finals(const struct ep_graph *g, struct finals *f, struct ep_err *e)
{
    for (size_t k = 0; k < g->nnodes; k++) {
        const struct ep_node *n = g->node[k];
        if (n->is_look || !n->wanted || n->state == EP_NODE_BLOCKED || n->failed || (used_by_other(g, n) && !over_series(n))) continue;
        for (size_t o = 0; o < n->decl.nout; o++) {
            const struct ep_desc *d = &n->decl.out[o];
            bool number = d->kind == EP_MAP && ep_desc_ny(d) * ep_desc_nx(d) == 1;
            if (d->kind != EP_TABLE && !number) continue;
            struct ep_file *file;
            struct ep_signal *s = NULL;
            size_t index;
            ep_status st = ep_file_open(n->path, &file, e);
            if (st) return st;
            st = ep_file_find(file, d->name, (unsigned)d->kind, &index, e);
            if (!st) st = ep_file_load(file, index, (size_t)1 << 28, &s, e);
            ep_file_close(file);
            if (st) return st;
            if (number)
                add_final(f, ep_signal_get(s, 0), ep_signal_sigma(s, 0), "%s%s%s%s.%s", n->name, n->where[0] ? " [" : "", n->where,
                          n->where[0] ? "]" : "", d->name);
            else table_finals(n, s, f);
            ep_signal_free(s);
        }
    }
    return EP_OK;
}

/* What a parameter is when the recipe does not say; NULL: nothing. */
static const struct ep_value *default_of(const struct cli_session *s, struct ep_arena *a, const char *step, const char *key)
{
    struct ep_diag told = {0};
    const struct ep_value *v = NULL;
    for (size_t i = 0; i < s->recipe->nsteps; i++) {
        if (strcmp(s->recipe->steps[i].name, step)) continue;
        for (const struct ep_param *p = s->recipe->steps[i].stage->params; p->name; p++)
            if (!strcmp(p->name, key) && p->def) v = ep_value_from_arg(a, p->def, key, &told);
    }
    ep_diag_free(&told);
    return v;
}

/* "window=+-1" on a step whose window is [505, 524]: two moves. "threshold=+-0.05" likewise. "window=500,520" is one move as it is. */
static bool make_moves(const struct cli_session *s, struct ep_arena *a, const char *step, const char *word, struct move **moves, size_t *n, size_t *cap)
{
    const char *eq = strchr(word, '=');
    if (!eq || eq == word) return cli_usage(&cli_vary, "'%s': what moves is written as window=+-1", word), false;
    char *key = ep_arena_strndup(a, word, (size_t)(eq - word));
    if (strncmp(eq + 1, "+-", 2)) {
        EP_PUSH(*moves, *n, *cap);
        (*moves)[*n - 1] = (struct move){ep_arena_strdup(a, word), ep_arena_printf(a, "steps.%s.%s=%s", step, key, eq + 1)};
        return true;
    }
    double d;
    if (!ep_parse_number(eq + 3, &d) || d == 0) return cli_usage(&cli_vary, "'%s': +- needs a number other than 0", word), false;
    const struct ep_value *v = ep_value_get(ep_value_get(ep_value_get(s->recipe->root, "steps"), step), key);
    if (!v) v = default_of(s, a, step, key);
    if (!v) return cli_usage(&cli_vary, "step %s does not set %s in the recipe, and it has no default: give the value itself (%s=...)", step, key, key), false;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct ep_str set = {0};
        ep_str_addf(&set, "steps.%s.%s=", step, key);
        bool list = v->kind == EP_V_LIST;
        const struct ep_value *const *items = list ? (const struct ep_value *const *)v->items : &v;
        if (list) ep_str_add(&set, "[");
        for (size_t i = 0; i < (list ? v->n : 1); i++) {
            if (items[i]->kind != EP_V_NUMBER) {
                ep_str_free(&set);
                return cli_usage(&cli_vary, "%s of step %s is not made of plain numbers: give the moved value itself", key, step), false;
            }
            ep_str_addf(&set, "%s%.15g", i ? "," : "", items[i]->num + sign * d);
        }
        if (list) ep_str_add(&set, "]");
        EP_PUSH(*moves, *n, *cap);
        (*moves)[*n - 1] = (struct move){ep_arena_printf(a, "%s%+g", key, sign * d), ep_arena_strdup(a, set.s)};
        ep_str_free(&set);
    }
    return true;
}

/* The recipe with some values set, computed; its final numbers. */
static int compute(struct cli *c, const char *recipe, const struct cli_args *args, size_t nset, const char *const *set, struct finals *out)
{
    struct cli_session s;
    struct cli_args run = *args;
    struct ep_err e = {0};
    run.nset = nset;
    run.set = (const char **)set;
    int code = cli_open(c, &s, recipe, &run, false);
    if (!code) code = cli_execute(c, &s, &run, "eelpipe vary");
    if ((code == EXIT_DONE || code == EXIT_SOME_FAILED) && collect_finals(&s.graph, out, &e)) {
        ep_log_error(&c->log, "%s", e.msg);
        code = EXIT_SOME_FAILED;
    }
    cli_close(&s);
    return code;
}

static const struct final *find(const struct finals *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->v[i].name, name)) return &f->v[i];
    return NULL;
}

/* number, value, noise sigma, shift for each move, and half the spread of all of them: the systematic sigma. */
static void print_shifts(const struct finals *base, const struct finals *moved, const struct move *moves, size_t nmoves, struct ep_str *csv)
{
    ep_str_add(csv, "number,value,sigma");
    for (size_t k = 0; k < nmoves; k++) ep_str_addf(csv, ",\"shift %s\"", moves[k].label);
    ep_str_add(csv, ",systematic sigma\n");
    for (size_t i = 0; i < base->n; i++) {
        const struct final *b = &base->v[i];
        double low = 0, high = 0;
        struct ep_str row = {0};
        bool any = false;
        ep_str_addf(&row, "\"%s\",%.9g,%.3g", b->name, b->value, b->sigma);
        for (size_t k = 0; k < nmoves; k++) {
            const struct final *m = find(&moved[k], b->name);
            double d = m ? m->value - b->value : NAN;
            ep_str_addf(&row, ",%.4g", d);
            if (!isfinite(d)) continue;
            any |= d != 0;
            low = fmin(low, d);
            high = fmax(high, d);
        }
        ep_str_addf(&row, ",%.4g\n", (high - low) / 2);
        if (any) ep_str_add(csv, row.s); /* numbers that do not depend on the step stay out */
        ep_str_free(&row);
    }
}

static int vary(struct cli *c, const struct cli_args *args)
{
    struct cli_session s;
    struct move *moves = NULL;
    size_t nmoves = 0, cap = 0;
    struct finals base = {0}, *moved = NULL;
    struct ep_str csv = {0};
    const char *recipe = args->operand[0], *step = args->operand[1];
    struct cli_args plain = {.threads = args->threads, .memory = args->memory, .runs = args->runs, .operand = args->operand, .n = 1};
    int code = cli_open(c, &s, recipe, &plain, true);
    bool known = false;
    for (size_t i = 0; !code && i < s.recipe->nsteps; i++) known |= !strcmp(s.recipe->steps[i].name, step);
    if (!code && !known) code = cli_usage(&cli_vary, "the recipe has no step '%s'", step);
    for (size_t i = 2; !code && i < args->n; i++)
        if (!make_moves(&s, &s.arena, step, args->operand[i], &moves, &nmoves, &cap)) code = EXIT_USAGE;
    if (!code) code = compute(c, recipe, &plain, 0, NULL, &base);
    if (code == EXIT_DONE || code == EXIT_SOME_FAILED) {
        moved = ep_xcalloc(nmoves + 1, sizeof *moved);
        for (size_t k = 0; k < nmoves && (code == EXIT_DONE || code == EXIT_SOME_FAILED); k++) {
            const char *set[2] = {moves[k].set, cli_scratch_output(&s, ep_arena_printf(&s.arena, "vary/%zu", k))};
            ep_log_info(&c->log, "%s of step %s", moves[k].label, step);
            code = compute(c, recipe, &plain, 2, set, &moved[k]);
        }
        if (code == EXIT_DONE || code == EXIT_SOME_FAILED) {
            struct ep_err e = {0};
            char *path = ep_arena_printf(&s.arena, "%s/vary_%s.csv", ep_graph_root(&s.graph), step);
            print_shifts(&base, moved, moves, nmoves, &csv);
            fputs(csv.s, stdout);
            if (ep_csv_write(path, NULL, &csv, &e)) {
                ep_log_error(&c->log, "%s", e.msg);
                code = EXIT_OUTPUT;
            } else ep_log_info(&c->log, "written to %s", path);
        }
        for (size_t k = 0; k < nmoves; k++) finals_free(&moved[k]);
    }
    free(moved);
    finals_free(&base);
    free(moves);
    ep_str_free(&csv);
    cli_close(&s);
    return code;
}

static int vary_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_vary, n, words, &a, &args)) {
        if (args.help) code = EXIT_DONE;
        else if (args.n < 3) code = cli_usage(&cli_vary, "it needs a recipe, a step, and what moves: eelpipe vary config.yaml o_net window=+-1");
        else code = vary(c, &args);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_vary = {"vary", "RECIPE STEP KEY=+-D...", "How far final numbers move when a window does: systematic sigmas.", vary_options,
                                   vary_verb};
