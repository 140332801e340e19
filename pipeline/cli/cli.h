/* The command line: words in, one room below called, text out. Private to pipeline/cli/. */
#ifndef EP_CLI_CLI_H
#define EP_CLI_CLI_H
#include <stdatomic.h>
#include "pipeline/engine/engine.h"

enum { EXIT_DONE = 0, EXIT_SOME_FAILED = 1, EXIT_USAGE = 2, EXIT_NOTHING = 3, EXIT_OUTPUT = 4 };

struct cli { struct ep_log log; const atomic_int *stop; };

/* One verb: its name, a line for help, its options, and what it does with its words. Returns the exit code. */
struct cli_option { const char *name, *arg, *doc; };
struct cli_verb {
    const char *name, *words, *doc;
    const struct cli_option *options;
    int (*run)(struct cli *c, size_t n, char **words);
};
extern const struct cli_verb *const cli_verbs[];

/* Options parsed out of the words; what is left are the operands. */
struct cli_args {
    size_t n; const char **operand;
    size_t nset; const char **set;
    const char *only, *from, *runs;
    const char *format, *to, *at, *region;
    bool dry_run, force, json, markdown, quiet, verbose, help;
    unsigned threads; size_t memory, limit;
};
/* False (with a message) on an unknown option or a wrong value. Frees nothing: args come from the arena. */
bool cli_parse(struct cli *c, const struct cli_verb *v, size_t n, char **words, struct ep_arena *a, struct cli_args *out);
int cli_usage(const struct cli_verb *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text broken at blanks so that it stays within the screen; first: the column in which it begins, indent: where lines begin. */
enum { CLI_WIDTH = 80 };
void cli_wrap(const char *text, int first, int indent);
/* Characters of a text in UTF-8; and the text with blanks up to so many. Control characters in names become blanks. */
size_t cli_columns(const char *text);
void cli_pad(const char *text, size_t columns);
void cli_verb_help(const struct cli_verb *v, FILE *to);

/* A recipe, its runs and their graph, with the diagnostics printed. */
struct cli_session {
    struct ep_arena arena;
    struct ep_diag diag;
    struct ep_recipe *recipe;
    struct ep_runs runs;
    struct ep_graph graph;
    struct ep_selection sel;
    const char *result;      /* the one result's path, instead of <output>/<step>.hspy (verb stage) */
    bool told;               /* warnings of the recipe have been said before */
};
/* 0, or the exit code after messages. headers_only: no fingerprints, no comparison. */
int cli_open(struct cli *c, struct cli_session *s, const char *path, const struct cli_args *args, bool headers_only);
/* The same for a recipe already read into s->recipe. */
int cli_open_recipe(struct cli *c, struct cli_session *s, const struct cli_args *args, bool headers_only);
void cli_close(struct cli_session *s);
/* 0, or the exit code after messages when a result would replace a file that is not a result. all: also of results that
 * need not be computed, as far as one knows. */
int cli_outputs_safe(struct cli *c, const struct cli_session *s, bool all);
/* Runs what has to be done; the exit code. */
int cli_execute(struct cli *c, struct cli_session *s, const struct cli_args *args, const char *command);
/* The tables of series, on stdout, from their files. */
void cli_print_tables(const struct cli_session *s);
const char *cli_default_recipe(const struct cli_args *args);

/* "output=..." that puts results below .eelpipe/<folder>/ of the recipe's own output folder instead. */
const char *cli_scratch_output(struct cli_session *s, const char *folder);

extern const struct cli_verb cli_export, cli_preview, cli_report;
extern const struct cli_verb cli_vary, cli_run, cli_plan, cli_status, cli_check, cli_stage, cli_stages, cli_info, cli_schema, cli_version, cli_help;
#endif
