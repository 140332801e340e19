/* Reads a recipe: the file, its version, its keys. The parts have files of their own (recipe_*.c). Nothing stops at
 * the first mistake; what depends on something that is wrong already is passed over in silence.
 */
#include "pipeline/recipe/recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/data/elements.h"
#include "pipeline/recipe/parts.h"

enum { VERSION = 1, MOST_FILE = 16 << 20 };

static const char *const TOP_KEYS[] = {"eelpipe", "elements", "inputs", "coordinates", "output",
                                       "overrides", "runs", "steps", NULL};

bool ep_read_file(struct ep_arena *a, const char *path, struct ep_pos pos, const char *what, char **text, size_t *n,
                  struct ep_diag *d)
{
    /* Not waiting for the writer of a pipe that has none; one that has (<(...) of a shell) is read to its end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *f = fd < 0 || fcntl(fd, F_SETFL, O_RDONLY) ? NULL : fdopen(fd, "rb");
    if (!f) {
        ep_diag_error(d, pos, "%s %s can't be opened: %s", what, path, strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    struct ep_str b = {0};
    ep_str_add(&b, "");
    char buf[16384];
    size_t got;
    errno = 0;
    while (b.n <= MOST_FILE && (got = fread(buf, 1, sizeof buf, f)) > 0) ep_str_addn(&b, buf, got);
    int failed = ferror(f) ? errno : 0;
    bool long_file = b.n > MOST_FILE;
    fclose(f);
    if (failed) ep_diag_error(d, pos, "%s %s can't be read: %s", what, path, strerror(failed));
    else if (long_file)
        ep_diag_error(d, pos, "%s %s is longer than %d MiB: is it the right file?", what, path,
                      MOST_FILE >> 20);
    bool ok = !failed && !long_file;
    if (ok) {
        *n = b.n;
        *text = ep_arena_alloc(a, b.n + 1);
        memcpy(*text, b.s, b.n);
    }
    ep_str_free(&b);
    return ok;
}

static void read_version(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "eelpipe");
    if (!v)
        ep_diag_error(
            b->d, b->r->root->pos,
            "the version of the recipe language is missing: the first line of a recipe is `eelpipe: %d`",
            VERSION);
    else if (v->kind != EP_V_NUMBER || v->num != VERSION)
        ep_diag_error(b->d, v->pos, "eelpipe: %s: this program reads version %d of the recipe language, `eelpipe: %d`",
                      ep_show(b->a, v), VERSION, VERSION);
}

static void read_elements(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "elements");
    b->r->elements = EP_ARENA_ARRAY(b->a, const char *, (v ? v->n : 0) + 2);
    if (!v) return;
    const struct ep_value *const single[] = {v};
    const struct ep_value *const *items = v->kind == EP_V_LIST ? (const struct ep_value *const *)v->items : single;
    if (v->kind == EP_V_MAP || v->kind == EP_V_NULL) {
        ep_diag_error(b->d, v->pos, "elements is %s: it needs a list of chemical symbols, as in [Li, O, Ti]",
                      ep_vkind_name(v->kind));
        return;
    }
    for (size_t i = 0, n = v->kind == EP_V_LIST ? v->n : 1; i < n; i++) {
        const struct ep_value *e = items[i];
        if (e->kind != EP_V_TEXT) {
            ep_diag_error(b->d, e->pos, "elements: %s is %s: a chemical symbol is needed", ep_show(b->a, e),
                          ep_vkind_name(e->kind));
            continue;
        }
        if (!ep_element_z(e->text)) {
            ep_diag_error(b->d, e->pos, "elements: '%s' is not a chemical symbol from H to U%s", e->text,
                          ep_hint(b->a, e->text, ep_elements, NULL));
            continue;
        }
        bool twice = false;
        for (size_t j = 0; j < b->r->nelements; j++)
            if (!strcmp(b->r->elements[j], e->text)) twice = true;
        if (twice) ep_diag_warn(b->d, e->pos, "elements: %s stands there twice", e->text);
        else b->r->elements[b->r->nelements++] = e->text;
    }
}

struct ep_recipe *ep_recipe_read(struct ep_arena *a, const char *path, size_t nsets, const char *const *sets,
                                 struct ep_diag *d)
{
    char *text;
    size_t n;
    if (!ep_read_file(a, path, (struct ep_pos){0}, "the recipe", &text, &n, d)) return NULL;
    char *folder = ep_folder_name(path);
    struct ep_recipe *r = ep_recipe_from_text(a, text, n, path, ep_arena_strdup(a, folder), nsets, sets, d);
    free(folder);
    return r;
}

struct ep_recipe *ep_recipe_from_text(struct ep_arena *a, const char *text, size_t n, const char *path,
                                      const char *folder, size_t nsets, const char *const *sets, struct ep_diag *d)
{
    const size_t before = d->nerrors;
    struct ep_recipe *r = EP_ARENA_NEW(a, struct ep_recipe);
    r->path = ep_arena_strdup(a, path);
    r->folder = ep_arena_strdup(a, folder);
    r->text = ep_arena_strndup(a, text, n);
    r->text_len = n;
    const struct ep_value *root = ep_yaml_parse(a, r->text, n, r->path, d);
    if (!root) return NULL;
    if (root->kind != EP_V_MAP) {
        ep_diag_error(d, (struct ep_pos){r->path, 1, 1}, root->kind == EP_V_NULL
                          ? "the recipe is empty: it needs `eelpipe: 1`, inputs, output and steps"
                          : "this is no recipe: it needs keys such as `eelpipe: 1`, inputs, output and steps");
        return NULL;
    }
    r->root = root;
    struct ep_reader b = {r, a, d};
    ep_read_sets(&b, nsets, sets);
    read_version(&b);
    ep_unknown_keys(a, r->root, TOP_KEYS, "the recipe", d);
    read_elements(&b);
    ep_read_inputs(&b);
    ep_read_coordinates(&b);
    ep_read_output(&b);
    ep_read_steps(&b);
    ep_read_overrides(&b);
    return d->nerrors == before ? r : NULL;
}
