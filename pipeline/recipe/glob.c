/* Finding the files of an input: a template is walked folder by folder, and each name that fits gives values to its
 * placeholders. Only folders that a placeholder stands in are listed.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"

enum { MOST_FOUND = 100000, MOST_REPORTED = 5 };

struct walk {
    const struct ep_recipe *r;
    struct ep_arena *a;
    struct ep_template t;
    struct ep_coord_val *now;   /* values bound on the way down; text NULL: not yet */
    bool lenient;               /* a number may be any text: to say what nearly fits */
    struct ep_found *v; size_t n, cap;
    struct ep_diag *d;
    struct ep_pos pos;
    const char *what;
    bool bad;
};

bool ep_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static void walk_folder(struct walk *w, size_t level, const char *at);

static void add_found(struct walk *w, const char *path)
{
    if (w->n == MOST_FOUND) {
        if (!w->bad) ep_diag_error(w->d, w->pos, "%s: more than %d files fit", w->what, MOST_FOUND);
        w->bad = true;
        return;
    }
    EP_PUSH(w->v, w->n, w->cap);
    struct ep_found *f = &w->v[w->n - 1];
    f->path = ep_arena_strdup(w->a, path);
    f->v = EP_ARENA_ARRAY(w->a, struct ep_coord_val, w->r->ncoords + 1);
    if (w->r->ncoords) memcpy(f->v, w->now, w->r->ncoords * sizeof *f->v);
}

/* Binds a coordinate to a part of a name, or checks that it says what is bound already. */
static bool bind(struct walk *w, size_t coord, const char *text, size_t n, struct ep_coord_val *before)
{
    struct ep_coord_val *now = &w->now[coord];
    *before = *now;
    const bool number = w->r->coords[coord].number && !w->lenient;
    char small[64];
    double x = 0;
    if (number) {
        if (n >= sizeof small) return false;
        memcpy(small, text, n);
        small[n] = '\0';
        if (!ep_parse_number(small, &x)) return false;
    }
    if (now->text) return number ? now->num == x : strlen(now->text) == n && !memcmp(now->text, text, n);
    *now = (struct ep_coord_val){number ? ep_show_number(w->a, x) : ep_arena_strndup(w->a, text, n), x};
    return true;
}

/* Every way to read `name` as this component; each goes on to the next level. */
static void match(struct walk *w, size_t level, size_t piece, const char *name, const char *path)
{
    const struct ep_component *c = &w->t.v[level];
    if (w->bad) return;
    if (piece == c->n) {
        if (!*name) walk_folder(w, level + 1, path);
        return;
    }
    const struct ep_piece *p = &c->v[piece];
    if (!p->hole) {
        size_t n = strlen(p->text);
        if (!strncmp(name, p->text, n)) match(w, level, piece + 1, name + n, path);
        return;
    }
    const size_t coord = (size_t)ep_coord_find(w->r, p->text), len = strlen(name);
    const char *next = piece + 1 < c->n ? c->v[piece + 1].text : "";   /* a literal: placeholders do not touch */
    for (size_t n = 1; n <= len; n++) {
        if (*next ? strncmp(name + n, next, strlen(next)) != 0 : n < len) continue;
        struct ep_coord_val before;
        if (bind(w, coord, name, n, &before)) match(w, level, piece + 1, name + n, path);
        w->now[coord] = before;
    }
}

static char *join(const char *at, const char *name)
{
    struct ep_str b = {0};
    ep_str_add(&b, at);
    if (b.n && b.s[b.n - 1] != '/') ep_str_add(&b, "/");
    ep_str_add(&b, name);
    return b.s;
}

static void list_folder(struct walk *w, size_t level, const char *at)
{
    const struct ep_component *c = &w->t.v[level];
    char *full = ep_path_join(w->a, w->r->folder, at);
    DIR *dir = opendir(full);
    if (!dir) {
        if (errno != ENOENT && errno != ENOTDIR && !w->lenient) {
            ep_diag_error(w->d, w->pos, "%s: the folder %s can't be listed: %s", w->what, full, strerror(errno));
            w->bad = true;
        }
        return;
    }
    /* A hidden file is meant only when the template says so. */
    const bool hidden = !c->v[0].hole && c->v[0].text[0] == '.';
    for (const struct dirent *e; (e = readdir(dir)) && !w->bad;) {
        if (e->d_name[0] == '.' && (!hidden || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))) continue;
        char *path = join(at, e->d_name);
        match(w, level, 0, e->d_name, path);
        free(path);
    }
    closedir(dir);
}

static void walk_folder(struct walk *w, size_t level, const char *at)
{
    if (w->bad) return;
    if (level == w->t.n) {
        if (ep_is_file(ep_path_join(w->a, w->r->folder, at))) add_found(w, at);
        return;
    }
    const struct ep_component *c = &w->t.v[level];
    if (c->holes) {
        list_folder(w, level, at);
        return;
    }
    char *path = join(at, c->v[0].text);
    walk_folder(w, level + 1, path);
    free(path);
}

static int compare_found(const void *x, const void *y, void *recipe)
{
    const struct ep_found *p = x, *q = y;
    const struct ep_recipe *r = recipe;
    for (size_t i = 0; i < r->ncoords; i++) {
        int c = ep_coord_compare(r, i, &p->v[i], &q->v[i]);
        if (c) return c;
    }
    return strcmp(p->path, q->path);
}

static int compare_paths(const void *x, const void *y, void *recipe)
{
    const struct ep_found *p = x, *q = y;
    int c = strcmp(p->path, q->path);
    return c ? c : compare_found(x, y, recipe);
}

static bool same_coords(const struct ep_recipe *r, const struct ep_found *p, const struct ep_found *q)
{
    for (size_t i = 0; i < r->ncoords; i++)
        if (ep_coord_compare(r, i, &p->v[i], &q->v[i])) return false;
    return true;
}

static bool start(struct walk *w, const struct ep_recipe *r, size_t input, struct ep_arena *a, struct ep_diag *d)
{
    *w = (struct walk){.r = r,
                       .a = a,
                       .d = d,
                       .pos = r->inputs[input].pos,
                       .now = EP_ARENA_ARRAY(a, struct ep_coord_val, r->ncoords + 1)};
    w->what = ep_arena_printf(a, "input %s", r->inputs[input].name);
    return ep_template_parse(a, r->inputs[input].path, w->pos, w->what, &w->t, d);
}

/* A name that can be read in two ways would bind one file to two runs. */
static void check_ambiguous(struct walk *w)
{
    size_t reported = 0;
    qsort_r(w->v, w->n, sizeof *w->v, compare_paths, (void *)w->r);
    for (size_t i = 1; i < w->n && reported < MOST_REPORTED; i++) {
        if (strcmp(w->v[i].path, w->v[i - 1].path) != 0 || same_coords(w->r, &w->v[i], &w->v[i - 1])) continue;
        ep_diag_error(w->d, w->pos,
                      "%s: %s can be read in two ways: %s, or %s: another separator in the file names, or a "
                      "unit in `coordinates`, tells them apart",
                      w->what, w->v[i].path, ep_coords_label(w->r, w->v[i - 1].v, w->a),
                      ep_coords_label(w->r, w->v[i].v, w->a));
        w->bad = true;
        reported++;
    }
}

static void check_twice(struct walk *w)
{
    size_t reported = 0;
    for (size_t i = 1; i < w->n && reported < MOST_REPORTED; i++) {
        if (!same_coords(w->r, &w->v[i], &w->v[i - 1])) continue;
        ep_diag_error(w->d, w->pos, "%s: %s and %s have the same coordinates: %s", w->what, w->v[i - 1].path,
                      w->v[i].path, ep_coords_label(w->r, w->v[i].v, w->a));
        w->bad = true;
        reported++;
    }
}

bool ep_glob(const struct ep_recipe *r, size_t input, struct ep_arena *a, struct ep_founds *out, struct ep_diag *d)
{
    struct walk w;
    *out = (struct ep_founds){0};
    if (!start(&w, r, input, a, d)) return false;
    walk_folder(&w, 0, w.t.absolute ? "/" : "");
    if (w.n) {
        check_ambiguous(&w);
        qsort_r(w.v, w.n, sizeof *w.v, compare_found, (void *)r);
        if (!w.bad) check_twice(&w);
        out->n = w.n;
        out->v = EP_ARENA_ARRAY(a, struct ep_found, w.n);
        memcpy(out->v, w.v, w.n * sizeof *w.v);
    }
    free(w.v);
    return !w.bad;
}

/* The deepest folder above the first placeholder that exists. */
static const char *folder_looked_in(const struct walk *w, struct ep_arena *a)
{
    struct ep_str b = {0};
    ep_str_add(&b, w->t.absolute ? "/" : "");
    const char *last = ep_path_join(a, w->r->folder, b.s);
    for (size_t i = 0; i + 1 < w->t.n && !w->t.v[i].holes; i++) {
        if (b.n && b.s[b.n - 1] != '/') ep_str_add(&b, "/");
        ep_str_add(&b, w->t.v[i].v[0].text);
        const char *full = ep_path_join(a, w->r->folder, b.s);
        struct stat st;
        if (stat(full, &st) != 0 || !S_ISDIR(st.st_mode)) break;
        last = full;
    }
    ep_str_free(&b);
    return last;
}

/* What there is instead of the file of a path without placeholders; NULL: nothing. */
static const char *plain_why(const struct ep_recipe *r, const struct walk *w, struct ep_arena *a)
{
    struct stat st;
    struct ep_str b = {0};
    for (size_t i = 0; i < w->t.n; i++) {
        if (w->t.v[i].holes) {
            ep_str_free(&b);
            return NULL;
        }
        ep_str_addf(&b, "%s%s", i || w->t.absolute ? "/" : "", w->t.v[i].v[0].text);
    }
    const char *path = ep_arena_strdup(a, b.s ? b.s : ""), *full = ep_path_join(a, r->folder, path);
    ep_str_free(&b);
    if (!stat(full, &st)) return ep_arena_printf(a, "%s is a folder, not a file", full);
    int error = errno;
    if (error == ENOENT && !lstat(full, &st) && S_ISLNK(st.st_mode)) return ep_arena_printf(a, "%s is a link to a file that is not there", full);
    return error == ENOENT ? NULL : ep_arena_printf(a, "%s: %s", full, strerror(error));
}

const char *ep_glob_why(const struct ep_recipe *r, size_t input, struct ep_arena *a)
{
    struct walk w;
    struct ep_diag nowhere = {0};
    const char *path = r->inputs[input].path, *why = "";
    if (path && start(&w, r, input, a, &nowhere)) {
        why = plain_why(r, &w, a);
        if (!why) why = ep_arena_printf(a, "no file fits %s (looked in %s)", path, folder_looked_in(&w, a));
        w.lenient = true;
        walk_folder(&w, 0, w.t.absolute ? "/" : "");
        if (w.n) qsort_r(w.v, w.n, sizeof *w.v, compare_paths, (void *)r);
        /* Readable names fit once numbers may be anything: so a number is what is wrong. */
        for (size_t i = 0; i < r->ncoords && w.n; i++) {
            double x;
            const char *text = w.v[0].v[i].text;
            if (!r->coords[i].number || !text || ep_parse_number(text, &x)) continue;
            why = ep_arena_printf(a, "%s; %s is there, but '%s' is no number for {%s}%s%s", why, w.v[0].path,
                                  text, r->coords[i].name, *r->coords[i].unit ? " in " : "", r->coords[i].unit);
            break;
        }
        free(w.v);
    }
    ep_diag_free(&nowhere);
    return why;
}
