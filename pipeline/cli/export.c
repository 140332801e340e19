/* Verb export: results in the formats of others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/cli/cli.h"
#include "pipeline/io/export.h"
#include "pipeline/io/probe.h"
#include "pipeline/io/result.h"

static const struct cli_option export_options[] = {
    {"--format", "FORMAT", "tiff (maps), msa (spectra) or csv (all); left out, what each signal is at home in"},
    {"--only", "NAME", "this signal alone"},
    {"--to", "FOLDER", "where to write (default: beside the file)"},
    {"--quiet", NULL, "only errors"},
    {"--help", NULL, "this text"},
    {NULL, NULL, NULL}};

struct wish { const char *only, *to; int format; };   /* format -1: any */

static int format_named(const char *name)
{
    for (int i = 0; ep_formats[i]; i++)
        if (!strcmp(name, ep_formats[i])) return i;
    return -1;
}

/* "<folder>/<file without extension>.<signal>[_errors].<extension>"; what no file name may hold becomes "_". */
static char *place(struct ep_arena *a, const char *file, const char *to, const char *signal, bool sigmas, int format)
{
    static const char *const extension[] = {"tif", "msa", "csv"};
    const char *base = ep_base_name(file), *dot = strrchr(base, '.');
    char *name = ep_arena_strdup(a, signal);
    for (char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c < 0x20) *c = '_';
    char *folder = to ? ep_xstrdup(to) : ep_folder_name(file);
    int length = (int)(dot && dot > base ? dot - base : (long)strlen(base));
    char *path = ep_arena_printf(a, "%s/%.*s.%s%s.%s", folder, length, base, name, sigmas ? "_errors" : "", extension[format]);
    free(folder);
    return path;
}

static ep_status write_one(struct cli *c, struct ep_arena *a, struct ep_file *f, size_t i, const struct wish *w, struct ep_err *e)
{
    const struct ep_desc *d = ep_file_desc(f, i);
    int format = w->format < 0 ? (int)ep_format_of(d->kind) : w->format;
    struct ep_signal *s = NULL;
    if (w->format < 0 && d->kind == EP_MAP && d->nnav == 0) format = EP_CSV;
    ep_status st = ep_file_load(f, i, (size_t)1 << 34, &s, e);
    bool errors = !st && format != EP_CSV && d->has_sigma;
    for (int k = 0; !st && k <= errors; k++) {
        char *path = place(a, ep_file_path(f), w->to, d->name, k == 1, format);
        st = ep_export(s, (enum ep_format)format, k == 1, ep_file_origin(f)->fingerprint, path, e);
        if (!st) ep_log_info(&c->log, "%s", path);
    }
    ep_signal_free(s);
    return st;
}

/* Signals that the format can't hold are passed over, unless one was asked for by name. */
static ep_status export_file(struct cli *c, struct ep_arena *a, const char *path, const struct wish *w, struct ep_err *e)
{
    struct ep_file *f;
    size_t index = 0, n = 0;
    ep_status st = ep_file_probe(path, e);
    if (!st) st = ep_file_open(path, &f, e);
    if (st) return st;
    if (w->to) st = ep_make_folders(w->to, e);
    if (w->only && !st) st = ep_file_find(f, w->only, 0, &index, e);
    for (size_t i = 0; !st && i < ep_file_count(f); i++) {
        const struct ep_desc *d = ep_file_desc(f, i);
        int format = w->format < 0 ? (int)ep_format_of(d->kind) : w->format;
        if (w->only ? i != index : !ep_format_takes((enum ep_format)format, d->kind)) continue;
        if (!ep_format_takes((enum ep_format)format, d->kind))
            st = ep_fail(e, EP_E_RECIPE, "%s: '%s' is a %s: it can't be written as %s", path, d->name, ep_kind_name(d->kind), ep_formats[format]);
        else st = write_one(c, a, f, i, w, e);
        n++;
    }
    const char *as = w->format < 0 ? "" : ep_formats[w->format];
    if (!st && !n) st = ep_fail(e, EP_E_COMPUTE, "%s holds nothing that can be written%s%s (maps, spectra, profiles, tables): of a spectrum image, export what a step "
                             "makes of it, such as sum_spectrum", path, *as ? " as " : "", as);
    ep_file_close(f);
    return st;
}

static int exit_of(ep_status st)
{
    switch (st) {
    case EP_OK: return EXIT_DONE;
    case EP_E_RECIPE: return EXIT_USAGE;
    case EP_E_OUTPUT: return EXIT_OUTPUT;
    case EP_E_INPUT: return EXIT_NOTHING;
    default: return EXIT_SOME_FAILED;
    }
}

static int export_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = 0;
    if (!cli_parse(c, &cli_export, n, words, &a, &args)) code = EXIT_USAGE;
    else if (!args.help && args.n == 0) code = cli_usage(&cli_export, "name a file");
    struct wish w = {args.only, args.to, args.format ? format_named(args.format) : -1};
    if (!code && args.format && w.format < 0) code = cli_usage(&cli_export, "--format takes tiff, msa or csv, not '%s'", args.format);
    for (size_t k = 0; !code && k < args.n; k++) {
        struct ep_err e = {0};
        ep_status st = export_file(c, &a, args.operand[k], &w, &e);
        if (st) ep_log_error(&c->log, "%s", e.msg);
        code = exit_of(st);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_export = {"export", "FILE...", "Maps as TIFF, spectra as EMSA/MAS, profiles and tables as CSV.", export_options, export_verb};
