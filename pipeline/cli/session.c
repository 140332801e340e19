/* What every verb on a recipe does first: read, check, bind, build the graph; and the running of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "pipeline/base/json.h"
#include "pipeline/cli/cli.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/csv.h"
#include "pipeline/io/result.h"
#include "pipeline/io/safe_write.h"

const char *cli_default_recipe(const struct cli_args *args)
{
    return args->n ? args->operand[0] : "config.yaml";
}

static bool step_known(const struct cli_session *s, const char *name, const char *option)
{
    const char **names = calloc(s->recipe->nsteps + 1, sizeof *names);
    bool ok = false;
    for (size_t i = 0; i < s->recipe->nsteps; i++) {
        ok |= !strcmp(s->recipe->steps[i].name, name);
        if (names) names[i] = s->recipe->steps[i].name;
    }
    if (!ok) {
        const char *near = names ? ep_suggest(name, names) : NULL;
        fprintf(stderr, "eelpipe: %s: the recipe has no step '%s'%s%s%s\n", option, name, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    free(names);
    return ok;
}

int cli_open_recipe(struct cli *c, struct cli_session *s, const struct cli_args *args, bool headers_only)
{
    s->sel = (struct ep_selection){.only = args->only, .from = args->from, .force = args->force};
    bool ok = ep_runs_bind(s->recipe, &s->arena, &s->runs, &s->diag);
    if (ok && args->runs) {
        s->sel.runs = ep_filter_parse(s->recipe, args->runs, &s->arena, &s->diag);
        ok = s->sel.runs != NULL;
    }
    for (const char *q = args->only; ok && q; q = strchr(q, ','), q = q ? q + 1 : NULL)
        ok = step_known(s, ep_arena_strndup(&s->arena, q, strcspn(q, ",")), "--only");
    if (ok && args->from) ok = step_known(s, args->from, "--from");
    if (ok) {
        s->graph = (struct ep_graph){.recipe = s->recipe, .runs = &s->runs, .arena = &s->arena, .diag = &s->diag, .log = &c->log,
                                     .threads = args->threads ? args->threads : ep_default_threads(), .no_hash = headers_only,
                                     .forget = s->graph.forget, .by_time = s->graph.by_time, .result = s->result};
        ep_graph_build(&s->graph, &s->sel);
        if (s->diag.nerrors == 0 && !headers_only) ep_graph_compare(&s->graph, &s->sel);
        ok = s->diag.nerrors == 0;
    }
    if (s->diag.nerrors || (s->diag.n && !s->told)) ep_diag_print(&s->diag, stderr);
    return ok ? 0 : s->runs.no_files ? EXIT_NOTHING : EXIT_USAGE;
}

int cli_open(struct cli *c, struct cli_session *s, const char *path, const struct cli_args *args, bool headers_only)
{
    memset(s, 0, sizeof *s);
    s->recipe = ep_recipe_read(&s->arena, path, args->nset, args->set, &s->diag);
    if (!s->recipe) {
        ep_diag_print(&s->diag, stderr);
        return EXIT_USAGE;
    }
    return cli_open_recipe(c, s, args, headers_only);
}

void cli_close(struct cli_session *s)
{
    ep_graph_free(&s->graph);
    ep_diag_free(&s->diag);
    ep_arena_free(&s->arena);
}

const char *cli_scratch_output(struct cli_session *s, const char *folder)
{
    const char *out = s->recipe->output, *brace = strchr(out, '{');
    size_t fixed = brace ? (size_t)(brace - out) : strlen(out);
    while (brace && fixed && out[fixed - 1] != '/') fixed--;
    return ep_arena_printf(&s->arena, "output='%.*s%s.eelpipe/%s/%s'", (int)fixed, out, fixed && out[fixed - 1] != '/' ? "/" : "", folder, out + fixed);
}

/* <output>/.eelpipe/log/: when, where and how; what results themselves must not say. Without it the run goes on. */
static FILE *open_log(struct cli_session *s, const char *command, char **name)
{
    char *folder = ep_arena_printf(&s->arena, "%s/.eelpipe/log", ep_graph_root(&s->graph));
    struct ep_err ignored = {0};
    char host[256] = "unknown", stamp[64];
    time_t now = time(NULL);
    struct tm tm;
    if (ep_make_folders(folder, &ignored)) return NULL;
    gethostname(host, sizeof host - 1);
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    *name = ep_arena_printf(&s->arena, "%s/%s-%s-%ld.log", folder, stamp, host, (long)getpid());
    FILE *f = fopen(*name, "w");
    if (!f) return NULL;
    char cwd[4096];
    fprintf(f, "eelpipe %s\ncommand: %s\nhost: %s\nfolder: %s\nrecipe: %s\n", EP_VERSION, command, host, getcwd(cwd, sizeof cwd) ? cwd : "?", s->recipe->path);
    for (size_t k = 0; k < s->runs.n; k++)
        for (size_t b = 0; b < s->runs.v[k].nbecause; b++) fprintf(f, "override: %s because: %s\n", s->runs.v[k].label, s->runs.v[k].because[b]);
    fprintf(f, "---- recipe ----\n%.*s\n---- messages ----\n", (int)s->recipe->text_len, s->recipe->text);
    return f;
}

static int exit_code(const struct ep_graph *g, const struct ep_tally *t)
{
    if (t->worst == EP_E_OUTPUT) return EXIT_OUTPUT;
    if (t->worst == EP_E_STOPPED) return 130; /* main knows the signal */
    if (t->failed + t->blocked == 0) return EXIT_DONE;
    if (t->computed + t->done) return EXIT_SOME_FAILED;
    for (size_t i = 0; i < g->nnodes; i++)
        if ((g->node[i]->failed || g->node[i]->state == EP_NODE_BLOCKED) && g->node[i]->err.code != EP_E_INPUT) return EXIT_SOME_FAILED;
    return EXIT_NOTHING;
}

/* Files that no result may be written over: paths can differ and be the same file (links, folders of two names). */
struct precious { size_t n; struct { dev_t dev; ino_t ino; const char *what; } *v; };

static void add_precious(struct precious *p, const char *path, const char *what)
{
    struct stat st;
    if (stat(path, &st)) return;
    p->v[p->n].dev = st.st_dev;
    p->v[p->n].ino = st.st_ino;
    p->v[p->n++].what = what;
}

static struct precious precious_files(const struct cli_session *s)
{
    const char *csv = s->recipe->runs_csv;
    struct precious p = {.v = ep_xcalloc(s->graph.nraws + 2, sizeof *p.v)};
    for (size_t i = 0; i < s->graph.nraws; i++) add_precious(&p, s->graph.raw[i]->path, "an input");
    add_precious(&p, s->recipe->path, "the recipe");
    struct ep_str path = {0};
    if (csv) ep_str_addf(&path, "%s%s%s", *csv == '/' ? "" : s->recipe->folder, *csv == '/' ? "" : "/", csv);
    if (csv) add_precious(&p, path.s, "the list of runs");
    ep_str_free(&path);
    return p;
}

static const char *what_is(const struct precious *p, const char *path)
{
    struct stat st;
    if (stat(path, &st)) return NULL;
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].dev == st.st_dev && p->v[i].ino == st.st_ino) return p->v[i].what;
    return NULL;
}

static int output_safe(struct cli *c, const struct precious *p, const struct ep_node *n)
{
    struct ep_err e = {0};
    const char *what = what_is(p, n->path);
    ep_status st = what ? EP_OK : ep_may_replace(n->path, &e);
    for (size_t k = 0; !what && k < n->decl.nout; k++) {
        char *beside = ep_node_beside(n, k);
        if (beside) what = what_is(p, beside);
        if (beside && !what && !st) st = ep_csv_may_replace(beside, n->path, &e);
        free(beside);
    }
    if (what) {
        ep_log_error(&c->log, "%s would write its result over %s, %s: choose another name or another `output`", n->label, what, n->path);
        return EXIT_USAGE;
    }
    if (!st) return EXIT_DONE;
    ep_log_error(&c->log, "%s: %s", n->label, e.msg);
    return EXIT_OUTPUT;
}

int cli_outputs_safe(struct cli *c, const struct cli_session *s, bool all)
{
    struct precious p = precious_files(s);
    int code = EXIT_DONE;
    for (size_t i = 0; i < s->graph.nnodes; i++) {
        const struct ep_node *n = s->graph.node[i];
        if (!(all ? n->wanted : n->todo) || !n->path) continue;
        int one = output_safe(c, &p, n);
        if (one && code != EXIT_USAGE) code = one;
    }
    free(p.v);
    return code;
}

/* One line, whatever the name holds. */
static void log_input(FILE *to, const struct ep_raw *w)
{
    struct ep_str quoted = {0};
    ep_json_str(&quoted, w->path);
    fprintf(to, "%s %s\n", w->fingerprint.hex, strpbrk(w->path, "\n\r\x1b") ? quoted.s : w->path);
    ep_str_free(&quoted);
}

int cli_execute(struct cli *c, struct cli_session *s, const struct cli_args *args, const char *command)
{
    char *log_name = NULL;
    double start = ep_now();
    struct ep_tally t = {0};
    int unsafe = cli_outputs_safe(c, s, false);
    if (unsafe) return unsafe;
    if (s->graph.nunits && !s->graph.forget) c->log.copy = open_log(s, command, &log_name);
    struct ep_engine_opts o = {.threads = s->graph.threads, .memory = args->memory, .stop = c->stop, .log = &c->log};
    ep_engine_run(&s->graph, &o, &t);
    int code = exit_code(&s->graph, &t);
    ep_log_info(&c->log, "%zu computed, %zu up to date: %.2f s", t.computed, t.done, ep_now() - start);
    if (t.failed + t.blocked) ep_log_warn(&c->log, "%zu failed, %zu could not be started", t.failed, t.blocked);
    if (c->log.copy) { /* only now is the content of every file known */
        fprintf(c->log.copy, "---- inputs ----\n");
        for (size_t i = 0; i < s->graph.nraws; i++)
            log_input(c->log.copy, s->graph.raw[i]);
        fclose(c->log.copy);
    }
    c->log.copy = NULL;
    return code;
}
