/* Words of a command line to options. One table of options serves all verbs; each verb lists those it takes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/cli/cli.h"

int cli_usage(const struct cli_verb *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "eelpipe %s: ", v->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nTry `eelpipe help %s`.\n", v->name);
    va_end(ap);
    return EXIT_USAGE;
}

void cli_verb_help(const struct cli_verb *v, FILE *to)
{
    fprintf(to, "eelpipe %s %s\n  %s\n", v->name, v->words, v->doc);
    for (const struct cli_option *o = v->options; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(to, "  %-18s  %s\n", left, o->doc);
    }
}

/* "512M", "2G", "1000000" */
static bool parse_memory(const char *text, size_t *out)
{
    char *end;
    double x = strtod(text, &end);
    double f = 1;
    if (*end == 'k' || *end == 'K') f = 1024.0, end++;
    else if (*end == 'M') f = 1024.0 * 1024, end++;
    else if (*end == 'G') f = 1024.0 * 1024 * 1024, end++;
    if (end == text || *end || !(x > 0) || x * f > 1e15) return false;
    *out = (size_t)(x * f);
    return true;
}

static const struct cli_option *find_option(const struct cli_verb *v, const char *word, size_t len)
{
    for (const struct cli_option *o = v->options; o && o->name; o++)
        if (strlen(o->name) == len && !strncmp(o->name, word, len)) return o;
    return NULL;
}

static bool set_option(const struct cli_verb *v, struct ep_arena *a, struct cli_args *out, const struct cli_option *o, const char *value)
{
    const char *n = o->name;
    if (!strcmp(n, "--dry-run")) out->dry_run = true;
    else if (!strcmp(n, "--force")) out->force = true;
    else if (!strcmp(n, "--json")) out->json = true;
    else if (!strcmp(n, "--markdown")) out->markdown = true;
    else if (!strcmp(n, "--quiet")) out->quiet = true;
    else if (!strcmp(n, "--verbose")) out->verbose = true;
    else if (!strcmp(n, "--help")) out->help = true;
    else if (!strcmp(n, "--only")) out->only = value;
    else if (!strcmp(n, "--from")) out->from = value;
    else if (!strcmp(n, "--runs")) out->runs = value;
    else if (!strcmp(n, "--format")) out->format = value;
    else if (!strcmp(n, "--to")) out->to = value;
    else if (!strcmp(n, "--at")) out->at = value;
    else if (!strcmp(n, "--region")) out->region = value;
    else if (!strcmp(n, "--set")) {
        const char **more = EP_ARENA_ARRAY(a, const char *, out->nset + 1);
        if (out->nset) memcpy(more, out->set, out->nset * sizeof *more);
        more[out->nset++] = value;
        out->set = more;
    } else if (!strcmp(n, "--threads")) {
        char *end;
        long t = strtol(value, &end, 10);
        if (*end || t < 1 || t > 1024) return cli_usage(v, "--threads takes a number from 1 to 1024, not '%s'", value), false;
        out->threads = (unsigned)t;
    } else if (!strcmp(n, "--memory")) {
        if (!parse_memory(value, &out->memory)) return cli_usage(v, "--memory takes a size such as 512M or 2G, not '%s'", value), false;
    } else if (!strcmp(n, "--limit")) {
        if (!parse_memory(value, &out->limit)) return cli_usage(v, "--limit takes a size such as 20M, not '%s'", value), false;
    }
    return true;
}

bool cli_parse(struct cli *c, const struct cli_verb *v, size_t n, char **words, struct ep_arena *a, struct cli_args *out)
{
    *out = (struct cli_args){.operand = EP_ARENA_ARRAY(a, const char *, n + 1)};
    bool only_operands = false;
    for (size_t i = 0; i < n; i++) {
        const char *w = words[i];
        if (only_operands || w[0] != '-' || !w[1]) {
            out->operand[out->n++] = w;
            continue;
        }
        if (!strcmp(w, "--")) {
            only_operands = true;
            continue;
        }
        if (!strcmp(w, "-h")) w = "--help";
        if (!strcmp(w, "-q")) w = "--quiet";
        size_t len = strcspn(w, "=");
        const struct cli_option *o = find_option(v, w, len);
        if (!o) {
            const char *names[32] = {0};
            size_t k = 0;
            for (const struct cli_option *p = v->options; p && p->name && k < 31; p++) names[k++] = p->name;
            const char *near = ep_suggest(w, names);
            cli_usage(v, "unknown option %s%s%s%s", w, near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
            return false;
        }
        const char *value = w[len] == '=' ? w + len + 1 : NULL;
        if (o->arg && !value) {
            if (i + 1 == n) return cli_usage(v, "%s needs %s", o->name, o->arg), false;
            value = words[++i];
        }
        if (!o->arg && value) return cli_usage(v, "%s takes no value", o->name), false;
        if (!set_option(v, a, out, o, value)) return false;
    }
    if (out->quiet) c->log.level = EP_LOG_QUIET;
    if (out->verbose) c->log.level = EP_LOG_VERBOSE;
    if (out->help) cli_verb_help(v, stdout);
    return true;
}
