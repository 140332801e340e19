/* Path templates: "data/{sample}/{temperature}C.hspy"; {{ and }} are braces that stand in a name themselves. */
#include <string.h>

#include "pipeline/recipe/parts.h"

struct scan { struct ep_arena *a; struct ep_component *v; size_t n, cap; };

static struct ep_component *last_component(struct scan *s)
{
    return &s->v[s->n - 1];
}

/* Room for one more than every character could make: the number of parts is bounded by the text's length. */
static void add_piece(struct scan *s, const char *text, size_t n, bool hole)
{
    struct ep_component *c = last_component(s);
    if (!c->v) c->v = EP_ARENA_ARRAY(s->a, struct ep_piece, s->cap);
    c->v[c->n++] = (struct ep_piece){ep_arena_strndup(s->a, text, n), hole};
    c->holes |= hole;
}

/* Literal text up to the next placeholder or slash, doubled braces made single. Returns where it ends. */
static const char *read_literal(struct scan *s, const char *c)
{
    struct ep_str b = {0};
    while (*c && *c != '/') {
        bool brace = *c == '{' || *c == '}';
        if (brace && c[1] != *c) break;
        ep_str_addn(&b, c, 1);
        c += brace ? 2 : 1;
    }
    add_piece(s, b.s, b.n, false);
    ep_str_free(&b);
    return c;
}

static bool read_hole(struct scan *s, const char *at, size_t n, struct ep_pos pos, const char *what, struct ep_diag *d)
{
    if (n == 0) {
        ep_diag_error(d, pos, "%s: {} in the path names nothing: put the name of a coordinate in it", what);
        return false;
    }
    if (!ep_name_ok(at, n)) {
        ep_diag_error(d, pos, "%s: {%.*s} in the path: a placeholder's name is a letter, then letters, digits, _",
                      what, (int)(n < 80 ? n : 80), at);
        return false;
    }
    const struct ep_component *c = last_component(s);
    if (c->n && c->v[c->n - 1].hole) {
        ep_diag_error(
            d, pos,
            "%s: {%s}{%.*s} have nothing between them: where the one ends and the other starts can't be known",
            what, c->v[c->n - 1].text, (int)n, at);
        return false;
    }
    add_piece(s, at, n, true);
    return true;
}

bool ep_template_parse(struct ep_arena *a, const char *text, struct ep_pos pos, const char *what,
                       struct ep_template *out, struct ep_diag *d)
{
    *out = (struct ep_template){.absolute = text[0] == '/'};
    size_t slashes = 0, braces = 0;
    for (const char *c = text; *c; c++) {
        slashes += *c == '/';
        braces += *c == '{';
    }
    struct scan s = {.a = a, .v = EP_ARENA_ARRAY(a, struct ep_component, slashes + 1), .n = 1, .cap = 2 * braces + 1};
    if (!*text) {
        ep_diag_error(d, pos, "%s: the path is empty", what);
        return false;
    }
    if (text[0] == '~' && (text[1] == '/' || !text[1])) {
        ep_diag_error(d, pos, "%s: ~ is not expanded here: write the whole path, or one relative to the recipe", what);
        return false;
    }
    bool good = true;
    for (const char *c = text; *c;) {
        if (*c == '/') {
            if (last_component(&s)->n) s.n++;
            c++;
        } else if (*c == '{' && c[1] != '{') {
            size_t n = strcspn(c + 1, "{}");
            if (c[1 + n] != '}') {
                ep_diag_error(d, pos, "%s: a { in the path is not closed", what);
                return false;
            }
            if (!read_hole(&s, c + 1, n, pos, what, d)) good = false;
            c += n + 2;
        } else if (*c == '}' && c[1] != '}') {
            ep_diag_error(d, pos, "%s: a } in the path has no {", what);
            return false;
        } else {
            c = read_literal(&s, c);
        }
    }
    if (s.n && !last_component(&s)->n) s.n--;
    out->v = s.v;
    out->n = s.n;
    return good;
}

bool ep_component_names(const struct ep_component *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].hole && !strcmp(c->v[i].text, name)) return true;
    return false;
}

bool ep_template_names(const struct ep_template *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (ep_component_names(&t->v[i], name)) return true;
    return false;
}

char *ep_path_join(struct ep_arena *a, const char *folder, const char *path)
{
    if (path[0] == '/' || !strcmp(folder, ".") || !*folder) return ep_arena_strdup(a, *path ? path : ".");
    if (!*path) return ep_arena_strdup(a, folder);
    return ep_arena_printf(a, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", path);
}

/* ---- where results go ---- */

/* Coordinates, as bits, that one component names. */
static unsigned long long component_coords(const struct ep_recipe *r, const struct ep_component *v)
{
    unsigned long long m = 0;
    for (size_t k = 0; k < v->n; k++) {
        long c = v->v[k].hole ? ep_coord_find(r, v->v[k].text) : -1;
        if (c >= 0) m |= 1ull << c;
    }
    return m;
}

unsigned long long ep_path_coords(const struct ep_recipe *r, const char *path, struct ep_arena *a)
{
    struct ep_template t;
    struct ep_diag nowhere = {0};   /* the recipe was checked */
    unsigned long long m = 0;
    if (ep_template_parse(a, path, (struct ep_pos){0}, "path", &t, &nowhere))
        for (size_t i = 0; i < t.n; i++) m |= component_coords(r, &t.v[i]);
    ep_diag_free(&nowhere);
    return m;
}

static void fill(struct ep_str *out, const char *text)
{
    for (; *text; text++) ep_str_addn(out, *text == '/' ? "_" : text, 1);
}

char *ep_output_folder(const struct ep_recipe *r, const struct ep_step *s, const struct ep_run *run, struct ep_arena *a)
{
    unsigned long long has = ~0ull;
    for (size_t i = 0; s && i < s->nover; i++) has &= ~(1ull << s->over[i]);
    return ep_output_folder_of(r, has, run, a);
}

char *ep_output_folder_of(const struct ep_recipe *r, unsigned long long has, const struct ep_run *run, struct ep_arena *a)
{
    struct ep_template t;
    struct ep_diag nowhere = {0};   /* the recipe was checked */
    struct ep_str b = {0};
    ep_str_add(&b, "");
    if (ep_template_parse(a, r->output, r->output_pos, "output", &t, &nowhere)) {
        for (size_t i = 0; i < t.n; i++) {
            if (component_coords(r, &t.v[i]) & ~has) continue;
            if (b.n || t.absolute) ep_str_add(&b, "/");
            for (size_t k = 0; k < t.v[i].n; k++) {
                const struct ep_piece *p = &t.v[i].v[k];
                long c = p->hole ? ep_coord_find(r, p->text) : -1;
                if (!p->hole) ep_str_add(&b, p->text);
                else if (c >= 0) fill(&b, run->coord[c].text);
            }
        }
        if (t.absolute && !b.n) ep_str_add(&b, "/");
    }
    ep_diag_free(&nowhere);
    char *path = ep_path_join(a, r->folder, b.s);
    ep_str_free(&b);
    return path;
}

char *ep_template_fill(const struct ep_recipe *r, const struct ep_template *t, const struct ep_coord_val *coord,
                       struct ep_arena *a)
{
    struct ep_str b = {0};
    ep_str_add(&b, t->absolute ? "/" : "");
    for (size_t i = 0; i < t->n; i++) {
        if (i) ep_str_add(&b, "/");
        for (size_t k = 0; k < t->v[i].n; k++) {
            const struct ep_piece *p = &t->v[i].v[k];
            long c = p->hole ? ep_coord_find(r, p->text) : -1;
            ep_str_add(&b, c >= 0 ? coord[c].text : p->text);
        }
    }
    char *s = ep_arena_strdup(a, b.s);
    ep_str_free(&b);
    return s;
}
