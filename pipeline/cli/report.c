/* Verb report: everything a recipe made, as one HTML page. */
#include <stdio.h>
#include "pipeline/cli/cli.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/result.h"
#include "pipeline/report/report.h"

static const struct cli_option report_options[] = {
    {"--to", "FILE", "where to write (default: report.html in the folder of results)"},
    {"--limit", "SIZE", "how large the page may be, as in 20M (default 4.8 MB); what does not fit it leaves to the files"},
    {"--runs", "'COORD>=X'", "only these runs"},
    {"--set", "KEY=VALUE", "set a value of the recipe, as in steps.o_net.window=500,524"},
    {"--threads", "N", "for fingerprints of inputs"},
    {"--quiet", NULL, "only errors"},
    {"--help", NULL, "this text"},
    {NULL, NULL, NULL}};

static int write_page(struct cli *c, struct cli_session *s, const struct cli_args *args)
{
    struct ep_err e = {0};
    struct ep_str html = {0};
    struct ep_report_tally t;
    const struct ep_report_opts o = {.version = EP_VERSION, .nset = args->nset, .set = args->set, .limit = args->limit};
    const char *root = ep_graph_root(&s->graph);
    const char *path = args->to ? args->to : ep_arena_printf(&s->arena, "%s%sreport.html", root, *root ? "/" : "");
    ep_status st = ep_report_may_replace(path, &e);
    if (!st) ep_report_html(&s->graph, &o, &html, &t);
    if (!st && !t.shown) {
        ep_log_error(&c->log, "there are no results to report of yet: `eelpipe run %s` makes them", s->recipe->path);
        ep_str_free(&html);
        return EXIT_SOME_FAILED;
    }
    if (!st) st = ep_write_text(path, html.s, html.n, &e);
    if (st) ep_log_error(&c->log, "%s", e.msg);
    ep_str_free(&html);
    if (st) return EXIT_OUTPUT;
    if (t.stale) ep_log_warn(&c->log, "%zu result%s out of date: shown as they are, and marked", t.stale, t.stale == 1 ? " is" : "s are");
    if (t.absent) ep_log_warn(&c->log, "%zu result%s not there: the page lists them", t.absent, t.absent == 1 ? " is" : "s are");
    if (t.unreadable) ep_log_warn(&c->log, "%zu result%s can't be read: the page lists them", t.unreadable, t.unreadable == 1 ? "" : "s");
    if (!args->quiet) printf("report: %s\n", path);
    return t.stale + t.absent + t.unreadable ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int report_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    struct cli_session s;
    int code = 0;
    if (!cli_parse(c, &cli_report, n, words, &a, &args)) code = EXIT_USAGE;
    else if (args.n > 1) code = cli_usage(&cli_report, "one recipe at a time, please: '%s' is one too many", args.operand[1]);
    else if (!args.help) {
        code = cli_open(c, &s, cli_default_recipe(&args), &args, false);
        if (!code) code = write_page(c, &s, &args);
        cli_close(&s);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_report = {"report", "[RECIPE]", "Everything a recipe made, as one HTML page.", report_options, report_verb};
