/* Verbs that tell: stages, version, help. All text comes from the stages' own tables. */
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/cli/cli.h"
#include "pipeline/numerics/linalg.h"
#include "stages/registry.h"

#ifndef EP_BUILD
#define EP_BUILD "release"
#endif

static const struct cli_option plain_options[] = {{"--help", NULL, "this text"}, {NULL, NULL, NULL}};

/* Text broken at blanks so that it stays within 96 columns. */
static void wrap(const char *text, int indent)
{
    int col = indent;
    printf("%*s", indent, "");
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, " ");
        if (col + (int)n > 96 && col > indent) {
            printf("\n%*s", indent, "");
            col = indent;
        }
        printf("%.*s", (int)n, p);
        col += (int)n;
        p += n;
        if (*p == ' ') {
            if (col < 96) putchar(' ');
            col++;
            p++;
        }
    }
    putchar('\n');
}

static void print_params(const struct ep_param *table, int indent)
{
    for (const struct ep_param *p = table; p && p->name; p++) {
        struct ep_str d = {0};
        ep_param_describe(&d, p);
        printf("%*s%-16s %s\n", indent, "", p->name, d.s);
        wrap(p->doc, indent + 17);
        if (p->record) print_params(p->record, indent + 4);
        ep_str_free(&d);
    }
}

static void kinds_text(unsigned kinds, struct ep_str *out)
{
    for (unsigned b = 1; b <= EP_TABLE; b <<= 1)
        if (kinds & b) ep_str_addf(out, "%s%s", out->n ? " or " : "", ep_kind_name((enum ep_kind)b));
}

static void print_stage(const struct ep_stage *s)
{
    printf("%s: %s\n\n", s->name, s->summary);
    if (s->method) {
        wrap(s->method, 2);
        putchar('\n');
    }
    printf("Inputs\n");
    for (size_t i = 0; i < s->nports; i++) {
        const struct ep_port *p = &s->ports[i];
        struct ep_str k = {0};
        kinds_text(p->kinds, &k);
        printf("  %-16s %s%s%s%s\n", p->name, k.s, p->min ? "" : ", optional", p->paired ? ", default: the input's pair" : "",
               p->series ? ", one per collected run" : p->max != 1 ? ", one or more" : "");
        wrap(p->doc, 19);
        ep_str_free(&k);
    }
    printf("Parameters\n");
    print_params(s->params, 2);
    printf("Outputs\n");
    for (size_t i = 0; i < s->noutputs; i++) {
        const struct ep_outdoc *o = &s->outputs[i];
        printf("  %-16s %s%s%s\n", o->name, ep_kind_name(o->kind), o->unit && o->unit[0] ? ", " : "", o->unit ? o->unit : "");
        wrap(o->doc, 19);
    }
    if (s->reference) {
        printf("Reference\n");
        wrap(s->reference, 2);
    }
    printf("Version %u\n", s->version);
}

static int stages_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = 0;
    if (!cli_parse(c, &cli_stages, n, words, &a, &args)) code = EXIT_USAGE;
    else if (args.help) code = 0;
    else if (args.n > 1) code = cli_usage(&cli_stages, "one stage at a time, please");
    else if (args.n == 0) {
        for (size_t i = 0; ep_stages[i]; i++) printf("%-14s %s\n", ep_stages[i]->name, ep_stages[i]->summary);
    } else {
        const struct ep_stage *s = ep_stage_find(args.operand[0]);
        const char *near = s ? NULL : ep_stage_suggest(args.operand[0]);
        if (s) print_stage(s);
        else code = cli_usage(&cli_stages, "there is no stage '%s'%s%s%s", args.operand[0], near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    ep_arena_free(&a);
    return code;
}

static int version_verb(struct cli *c, size_t n, char **words)
{
    (void)c;
    (void)n;
    (void)words;
    unsigned major, minor, release;
    H5get_libversion(&major, &minor, &release);
    printf("eelpipe %s\n", EP_VERSION);
#ifdef __clang__
    printf("compiler: %s, C %ld, %s build\n", __VERSION__, __STDC_VERSION__, EP_BUILD);
#else
    printf("compiler: gcc %s, C %ld, %s build\n", __VERSION__, __STDC_VERSION__, EP_BUILD);
#endif
    printf("HDF5: %u.%u.%u\n", major, minor, release);
    printf("linear algebra: %s\n", ep_linalg_version());
    printf("threads by default: %u\n", ep_default_threads());
    return 0;
}

static int help_verb(struct cli *c, size_t n, char **words)
{
    (void)c;
    if (n) {
        for (size_t i = 0; cli_verbs[i]; i++)
            if (!strcmp(cli_verbs[i]->name, words[0])) {
                cli_verb_help(cli_verbs[i], stdout);
                return 0;
            }
        const struct ep_stage *s = ep_stage_find(words[0]);
        if (s) {
            print_stage(s);
            return 0;
        }
        return cli_usage(&cli_help, "there is no verb or stage '%s'", words[0]);
    }
    printf("eelpipe %s: from raw EELS and EDS spectrum images to maps, ratios and profiles with sigmas.\n\n", EP_VERSION);
    for (size_t i = 0; cli_verbs[i]; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s %s", cli_verbs[i]->name, cli_verbs[i]->words);
        printf("  %-30s %s\n", left, cli_verbs[i]->doc);
    }
    printf("\nStages:");
    for (size_t i = 0; ep_stages[i]; i++) printf(" %s", ep_stages[i]->name);
    printf("\n\nExit codes: 0 all done; 1 something could not be computed, the rest is done and kept;\n"
           "2 the command line or the recipe is wrong; 3 nothing could be computed, because an input can't be\n"
           "read; 4 an output can't be written; 130, 143 stopped by a signal. Messages go to stderr.\n"
           "More: eelpipe help VERB, eelpipe stages STAGE.\n");
    return 0;
}

const struct cli_verb cli_stages = {"stages", "[NAME]", "The list of stages; one stage's parameters, inputs, outputs, method.", plain_options, stages_verb};
const struct cli_verb cli_version = {"version", "", "Versions of the program, its compiler and libraries.", plain_options, version_verb};
const struct cli_verb cli_help = {"help", "[VERB|STAGE]", "This text.", plain_options, help_verb};
