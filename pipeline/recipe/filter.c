/* Choosing runs on the command line: --runs 'temperature>=400, sample=ncm003'. */
#include <string.h>

#include "pipeline/recipe/parts.h"

enum op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };
struct term { size_t coord; enum op op; struct ep_coord_val val; };
struct ep_filter { const struct ep_recipe *r; size_t n; struct term *v; };

static const struct { const char *text; enum op op; } OPS[] = {   /* longer ones first */
    {"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"=", OP_EQ}, {"<", OP_LT}, {">", OP_GT}};

static const char *trimmed(struct ep_arena *a, const char *s, size_t n)
{
    while (n && (*s == ' ' || *s == '\t')) {
        s++;
        n--;
    }
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    if (n >= 2 && (*s == '"' || *s == '\'') && s[n - 1] == *s) return ep_arena_strndup(a, s + 1, n - 2);
    return ep_arena_strndup(a, s, n);
}

/* The end of a term: a comma that does not stand in quotes. */
static size_t term_length(const char *s)
{
    char quote = 0;
    size_t n = 0;
    for (; s[n]; n++) {
        if (quote) quote = s[n] == quote ? 0 : quote;
        else if ((s[n] == '"' || s[n] == '\'') && n && strchr("=<> \t", s[n - 1])) quote = s[n];
        else if (s[n] == ',') break;
    }
    return n;
}

static bool read_term(const struct ep_recipe *r, struct ep_arena *a, const char *text, struct term *out,
                      struct ep_diag *d)
{
    const struct ep_pos pos = {"--runs", 0, 0};
    size_t at = strcspn(text, "=!<>"), k = 0;
    while (k < sizeof OPS / sizeof *OPS && strncmp(text + at, OPS[k].text, strlen(OPS[k].text)) != 0) k++;
    if (!*text || !text[at] || k == sizeof OPS / sizeof *OPS || at == 0) {
        ep_diag_error(d, pos,
                      "'%s': it needs a coordinate, one of = != < <= > >=, and a value, as in temperature>=400",
                      text);
        return false;
    }
    const char *name = trimmed(a, text, at), *rest = text + at + strlen(OPS[k].text);
    const char *value = trimmed(a, rest, strlen(rest));
    const long c = ep_coord_need(r, a, name, pos, ep_arena_printf(a, "'%s'", text), d);
    if (c < 0) return false;
    out->coord = (size_t)c;
    out->op = OPS[k].op;
    if (!*value) {
        ep_diag_error(d, pos, "'%s': the value is missing", text);
        return false;
    }
    if (!r->coords[c].number && out->op != OP_EQ && out->op != OP_NE) {
        ep_diag_error(
            d, pos, "'%s': %s is text, so only = and != make sense (a unit in `coordinates` makes it a number)",
            text, name);
        return false;
    }
    struct ep_err e = {0};
    if (ep_coord_text(r, (size_t)c, value, a, &out->val, &e)) return true;
    ep_diag_error(d, pos, "'%s': %s: %s", text, name, e.msg);
    return false;
}

struct ep_filter *ep_filter_parse(const struct ep_recipe *r, const char *text, struct ep_arena *a, struct ep_diag *d)
{
    struct ep_filter *f = EP_ARENA_NEW(a, struct ep_filter);
    f->r = r;
    size_t terms = 1;
    for (const char *c = text; *c; c++) terms += *c == ',';
    f->v = EP_ARENA_ARRAY(a, struct term, terms);
    bool good = true;
    for (const char *c = text;; c++) {
        size_t n = term_length(c);
        if (!read_term(r, a, trimmed(a, c, n), &f->v[f->n++], d)) good = false;
        c += n;
        if (!*c) break;
    }
    return good ? f : NULL;
}

bool ep_filter_match(const struct ep_filter *f, const struct ep_run *run)
{
    for (size_t i = 0; f && i < f->n; i++) {
        const struct term *t = &f->v[i];
        const int c = ep_coord_compare(f->r, t->coord, &run->coord[t->coord], &t->val);
        const bool holds = t->op == OP_EQ ? c == 0 : t->op == OP_NE ? c != 0 : t->op == OP_LT ? c < 0
                         : t->op == OP_LE ? c <= 0 : t->op == OP_GT ? c > 0 : c >= 0;
        if (!holds) return false;
    }
    return true;
}
