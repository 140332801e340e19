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
static const struct cli_option stages_options[] = {
    {"--markdown", NULL, "with NAME: the generated part of docs/stages/NAME.md"}, {"--help", NULL, "this text"}, {NULL, NULL, NULL}};

static void wrap(const char *text, int indent)
{
    printf("%*s", indent, "");
    cli_wrap(text, indent, indent);
}

/* "name   what it takes", and what it is below that. */
static void print_entry(const char *name, const char *takes, const char *doc, int indent)
{
    int column = indent + 17, end = indent + (int)strlen(name) + 2;
    printf("%*s%-15s  ", indent, "", name);
    cli_wrap(takes, end > column ? end : column, column);
    wrap(doc, column);
}

static void print_params(const struct ep_param *table, int indent)
{
    for (const struct ep_param *p = table; p && p->name; p++) {
        struct ep_str d = {0};
        ep_param_describe(&d, p);
        print_entry(p->name, d.s, p->doc, indent);
        if (p->record) print_params(p->record, indent + 4);
        ep_str_free(&d);
    }
}

static void kinds_text(unsigned kinds, struct ep_str *out)
{
    for (unsigned b = 1; b <= EP_TABLE; b <<= 1)
        if (kinds & b) ep_str_addf(out, "%s%s", out->n ? " or " : "", ep_kind_name((enum ep_kind)b));
}

/* "spectrum image or map, optional, one or more": what a port takes. */
static void port_text(const struct ep_port *p, struct ep_str *out)
{
    kinds_text(p->kinds, out);
    ep_str_addf(out, "%s%s%s", p->min ? "" : ", optional", p->paired ? ", default: the input's pair" : "",
                p->series ? ", one per collected run" : p->max != 1 ? ", one or more" : "");
}

static void print_stage(const struct ep_stage *s)
{
    printf("%s: ", s->name);
    cli_wrap(s->summary, (int)strlen(s->name) + 2, 2);
    putchar('\n');
    if (s->method) {
        wrap(s->method, 2);
        putchar('\n');
    }
    printf("Inputs\n");
    for (size_t i = 0; i < s->nports; i++) {
        const struct ep_port *p = &s->ports[i];
        struct ep_str k = {0};
        port_text(p, &k);
        print_entry(p->name, k.s, p->doc, 2);
        ep_str_free(&k);
    }
    if (s->params[0].name) printf("Parameters\n");
    print_params(s->params, 2);
    printf("Outputs\n");
    for (size_t i = 0; i < s->noutputs; i++) {
        const struct ep_outdoc *o = &s->outputs[i];
        struct ep_str kind = {0};
        ep_str_addf(&kind, "%s%s%s", ep_kind_name(o->kind), o->unit && o->unit[0] ? ", " : "", o->unit ? o->unit : "");
        print_entry(o->name, kind.s, o->doc, 2);
        ep_str_free(&kind);
    }
    if (s->reference) {
        printf("Reference\n");
        wrap(s->reference, 2);
    }
    printf("Examples, which window to choose, what it does to the sigmas:\n  docs/stages/%s.md\n", s->name);
    printf("Version %u of the stage\n", s->version);
}

/* ---- the generated part of a docs page ------------------------------------------------------------------------ */

/* A cell of a Markdown table: bars would end it, angle brackets would be taken for HTML. */
static void cell(const char *text, const char *end)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|') fputs("\\|", stdout);
        else if (*p == '<') fputs("&lt;", stdout);
        else putchar(*p);
    }
    fputs(end, stdout);
}

/* Members of records stand below them as "average.fwhm". */
static void markdown_params(const struct ep_param *table, const char *owner)
{
    for (const struct ep_param *p = table; p && p->name; p++) {
        struct ep_str d = {0};
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", owner, owner[0] ? "." : "", p->name);
        ep_param_describe(&d, p);
        printf("| `%s` | ", name);
        cell(d.s, " | ");
        cell(p->doc, " |\n");
        if (p->record) markdown_params(p->record, name);
        ep_str_free(&d);
    }
}

static void markdown_stage(const struct ep_stage *s)
{
    printf("<!-- generated: `make docs` writes what stands from here to the end mark from the stage's table -->\n# %s\n\n%s\n\n", s->name, s->summary);
    cell(s->method, "\n\n| input | takes | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < s->nports; i++) {
        struct ep_str k = {0};
        port_text(&s->ports[i], &k);
        printf("| `%s` | ", s->ports[i].name);
        cell(k.s, " | ");
        cell(s->ports[i].doc, " |\n");
        ep_str_free(&k);
    }
    if (s->params[0].name) printf("\n| parameter | value | meaning |\n|---|---|---|\n");
    markdown_params(s->params, "");
    printf("\n| output | kind | unit | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < s->noutputs; i++) {
        const struct ep_outdoc *o = &s->outputs[i];
        printf("| `%s` | %s | ", o->name, ep_kind_name(o->kind));
        cell(o->unit ? o->unit : "", " | ");
        cell(o->doc, " |\n");
    }
    printf("\nMethod: ");
    cell(s->reference, "\n");
    printf("\nVersion %u of the stage.\n<!-- end of the generated part -->\n", s->version);
}

static int stages_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = 0;
    if (!cli_parse(c, &cli_stages, n, words, &a, &args)) code = EXIT_USAGE;
    else if (args.help) code = 0;
    else if (args.n > 1) code = cli_usage(&cli_stages, "one stage at a time, please");
    else if (args.markdown && args.n == 0) code = cli_usage(&cli_stages, "--markdown needs the name of a stage");
    else if (args.n == 0) {
        for (size_t i = 0; ep_stages[i]; i++) {
            printf("%-13s ", ep_stages[i]->name);
            cli_wrap(ep_stages[i]->summary, 14, 14);
        }
    } else {
        const struct ep_stage *s = ep_stage_find(args.operand[0]);
        const char *near = s ? NULL : ep_stage_suggest(args.operand[0]);
        if (s && args.markdown) markdown_stage(s);
        else if (s) print_stage(s);
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
    /* One screen: 24 lines of 80 columns, also with twenty verbs; a test holds it. */
    size_t nverbs = 0, width = 0;
    for (; cli_verbs[nverbs]; nverbs++)
        if (strlen(cli_verbs[nverbs]->name) > width) width = strlen(cli_verbs[nverbs]->name);
    const char *gap = nverbs <= 17 ? "\n" : "";
    printf("eelpipe %s: from EELS and EDS spectrum images to maps with sigmas, by recipe.\n%s", EP_VERSION, gap);
    for (size_t i = 0; i < nverbs; i++) printf("  %-*s  %s\n", (int)width, cli_verbs[i]->name, cli_verbs[i]->doc);
    printf("%sExit codes: 0 all done; 1 some not computed, the rest is kept; 2 wrong command\n"
           "line or recipe; 3 input unreadable; 4 can't write; 130, 143 by a signal.\n"
           "%sMore: eelpipe help VERB, eelpipe stages [STAGE].\n", gap, gap);
    return 0;
}

const struct cli_verb cli_stages = {"stages", "[NAME]", "The list of stages; one stage's parameters, outputs, method.", stages_options, stages_verb};
const struct cli_verb cli_version = {"version", "", "Versions of the program, its compiler and libraries.", plain_options, version_verb};
const struct cli_verb cli_help = {"help", "[VERB|STAGE]", "This text.", plain_options, help_verb};
