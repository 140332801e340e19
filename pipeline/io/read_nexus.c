/* Plain NXdata groups of other programs: @signal names the data, @axes the vectors of coordinates. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define WHY 512
#define MAX_DEPTH 5
#define MAX_GROUPS 20000

/* ---- signal and axes ---- */

/* Name of the data: the group's @signal, or (before 2014) the dataset that has an attribute signal. malloc'ed. */
static char *signal_name(hid_t g)
{
    char *s = ep_h5_attr_string(g, "signal");
    size_t n = 0;
    if (s) return s;
    char **names = ep_h5_children(g, EP_MAX_SIGNALS, &n);
    for (size_t i = 0; !s && i < n; i++) {
        EP_AUTO_HID d = ep_h5_dataset(g, names[i]);
        if (d >= 0 && H5Aexists(d, "signal") > 0) s = ep_xstrdup(names[i]);
    }
    ep_h5_names_free(names);
    return s;
}

/* "y:x:energy" of old files as a list like that of @axes. */
static char **split_axes(hid_t set, size_t *n)
{
    EP_AUTO_FREE char *text = ep_h5_attr_string(set, "axes");
    if (!text) return NULL;
    char **list = ep_xcalloc(strlen(text) + 2, sizeof *list), *save = NULL;
    for (char *w = strtok_r(text, ":,[] ", &save); w; w = strtok_r(NULL, ":,[] ", &save)) list[(*n)++] = ep_xstrdup(w);
    return list;
}

static bool read_axis(hid_t g, const char *name, struct ep_raw_axis *ax, char *why)
{
    EP_AUTO_HID d = ep_h5_dataset(g, name);
    EP_AUTO_FREE double *v = NULL;
    size_t dim = 0, total, size = ax->a.size;
    int rank;
    ep_h5_copy_text(ax->a.name, sizeof ax->a.name, name);
    if (d < 0) return snprintf(why, WHY, "its axis '%s' is not there", name), false;
    ep_h5_attr_text(d, "units", ax->a.unit, sizeof ax->a.unit);
    if (ep_h5_dims(d, 1, &rank, &dim, &total) && dim == size + 1)
        return snprintf(why, WHY, "its axis '%s' gives the edges of bins; centres are wanted", name), false;
    if (!ep_axis_vector(g, name, size, &v)) return snprintf(why, WHY, "its axis '%s' does not fit the data", name), false;
    if (!ep_axis_from_vector(&ax->a, v, size)) return snprintf(why, WHY, "its axis '%s' is not uniform", name), false;
    ax->has_scale = size > 1;
    return true;
}

static bool read_axes(hid_t g, hid_t set, const struct ep_item *it, struct ep_raw_axis *ax, char *why)
{
    size_t n = 0;
    bool ok = true;
    char **names = ep_h5_attr_texts(g, "axes", H5S_MAX_RANK, &n);
    if (!names) names = split_axes(set, &n);
    if (n && n != (size_t)it->rank) ok = snprintf(why, WHY, "it names %zu axes for %d dimensions", n, it->rank) < 0;
    for (int k = 0; k < it->rank; k++) {
        ax[k].a = (struct ep_axis){.scale = 1, .size = it->dim[k]};
        snprintf(ax[k].a.name, sizeof ax[k].a.name, "axis-%d", k);
        if (ok && names && n && names[k][0] && strcmp(names[k], ".")) ok = read_axis(g, names[k], &ax[k], why);
    }
    ep_h5_names_free(names);
    return ok;
}

/* ---- groups ---- */

static void find_errors(hid_t g, const char *signal, struct ep_item *it)
{
    char names[2][EP_NAME_LEN + 16] = {"", "errors"};
    if (!(it->d.kind & (EP_MAP | EP_PROFILE | EP_SPECTRUM)) || strlen(signal) > EP_NAME_LEN) return;
    snprintf(names[0], sizeof names[0], "%s_errors", signal);
    for (size_t i = 0; i < 2 && !it->d.has_sigma; i++) {
        size_t dim[EP_MAX_AXES], total;
        int rank;
        EP_AUTO_HID d = ep_h5_dataset(g, names[i]);
        if (d < 0 || !ep_h5_dims(d, EP_MAX_AXES, &rank, dim, &total) || rank != it->rank) continue;
        if (memcmp(dim, it->dim, (size_t)rank * sizeof *dim)) continue;
        it->d.has_sigma = true;
        memcpy(it->errors, names[i], sizeof names[i]);
    }
}

static bool describe(struct ep_file *f, struct ep_item *it, hid_t g, bool *foreign, char *why)
{
    struct ep_raw_axis ax[EP_MAX_AXES] = {0};
    char word[16] = "";
    struct ep_str path = {0};
    EP_AUTO_FREE char *signal = signal_name(g);
    EP_AUTO_FREE char *title = ep_h5_data_string(g, "title");
    *foreign = true;
    if (!signal || strchr(signal, '/')) return snprintf(why, WHY, "an NXdata group without a signal"), false;
    ep_str_addf(&path, "%s/%s", it->group, signal);
    EP_AUTO_FREE char *data = path.s;
    if (!ep_item_dataset(f, it, data, foreign, why, WHY)) return false;
    *foreign = false;
    EP_AUTO_HID set = ep_h5_dataset(f->id, data);
    ep_h5_attr_text(set, "units", it->d.unit, sizeof it->d.unit);
    ep_h5_attr_text(set, "long_name", it->d.long_name, sizeof it->d.long_name);
    ep_h5_attr_text(set, "interpretation", word, sizeof word);
    if (title) ep_h5_copy_text(it->d.meta.title, sizeof it->d.meta.title, title);
    if (!read_axes(g, set, it, ax, why)) return false;
    enum ep_layout_hint hint = !strcmp(word, "spectrum") ? EP_HINT_SPECTRUM
                             : !strcmp(word, "image") && it->rank > 1 ? EP_HINT_IMAGE : EP_HINT_NONE;
    if (!ep_item_classify(it, ax, hint, why, WHY)) return false;
    find_errors(g, signal, it);
    return true;
}

static void walk(struct ep_file *f, const char *path, int depth, size_t *visited)
{
    char class[24] = "", why[WHY] = "";
    size_t n = 0;
    EP_AUTO_HID g = ep_h5_group(f->id, path);
    if (g < 0 || ++*visited > MAX_GROUPS || f->n + f->nrefused >= EP_MAX_SIGNALS) return;
    ep_h5_attr_text(g, "NX_class", class, sizeof class);
    if (!strcmp(class, "NXdata")) {
        bool foreign = false;
        struct ep_item *it = ep_file_add(f, EP_FROM_NEXUS, path);
        if (!describe(f, it, g, &foreign, why)) ep_file_refuse(f, foreign, why);
        return;
    }
    if (depth == MAX_DEPTH || (depth && !class[0])) return; /* links may go round in a circle */
    char **names = ep_h5_children(g, EP_MAX_SIGNALS, &n);
    for (size_t i = 0; i < n; i++) {
        struct ep_str p = {0};
        ep_str_addf(&p, "%s/%s", depth ? path : "", names[i]);
        walk(f, p.s, depth + 1, visited);
        ep_str_free(&p);
    }
    ep_h5_names_free(names);
}

/* What @default leads to from the root. malloc'ed; NULL if nowhere. */
static char *default_path(const struct ep_file *f)
{
    struct ep_str p = {0};
    for (int i = 0; i < MAX_DEPTH; i++) {
        EP_AUTO_HID g = ep_h5_group(f->id, p.n ? p.s : "/");
        EP_AUTO_FREE char *next = g < 0 ? NULL : ep_h5_attr_string(g, "default");
        if (!next || !*next) break;
        if (*next == '/') ep_str_free(&p), p = (struct ep_str){0};
        ep_str_addf(&p, "%s%s", *next == '/' ? "" : "/", next);
    }
    return p.s;
}

ep_status ep_walk_nexus(struct ep_file *f, struct ep_err *e)
{
    size_t visited = 0;
    (void)e;
    walk(f, "/", 0, &visited);
    EP_AUTO_FREE char *def = default_path(f);
    for (size_t i = 0; def && i < f->n; i++)
        if (!strcmp(f->item[i].group, def)) f->item[i].d.primary = true;
    return EP_OK;
}
