/* inputs, coordinates, output, runs: which files there are and how they are told apart. */
#include <math.h>
#include <string.h>

#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"

#define PAR(member) offsetof(struct ep_input_par, member)

static const struct ep_param RECT_PARAMS[] = {
    {"rows", EP_P_NUMBERS, offsetof(struct ep_exclude_rect, rows), .unit = "px", .required = true, .min = 0,
     .max = 1e9, .min_items = 2, .max_items = 2, .doc = "First and last row, both left out."},
    {"columns", EP_P_NUMBERS, offsetof(struct ep_exclude_rect, columns), .unit = "px", .required = true,
     .min = 0, .max = 1e9, .min_items = 2, .max_items = 2, .doc = "First and last column, both left out."},
    EP_PARAM_END};

static const struct ep_param EXCLUDE_PARAMS[] = {
    {"rows", EP_P_NUMBERS, offsetof(struct ep_exclude, rows), .unit = "px", .min = 0, .max = 1e9,
     .doc = "Rows to leave out, counted from 0."},
    {"columns", EP_P_NUMBERS, offsetof(struct ep_exclude, columns), .unit = "px", .min = 0, .max = 1e9,
     .doc = "Columns to leave out, counted from 0."},
    {"rectangles", EP_P_RECORDS, offsetof(struct ep_exclude, rectangles), .record = RECT_PARAMS,
     .record_size = sizeof(struct ep_exclude_rect), .doc = "Rectangles of pixels to leave out."},
    EP_PARAM_END};

const struct ep_param ep_input_params[] = {
    {"path", EP_P_TEXT, PAR(path), .doc = "The file, relative to the recipe; {name} is a coordinate."},
    {"signal", EP_P_TEXT, PAR(signal),
     .doc = "Which signal of the file, by title or number; needed when there are several."},
    {"pair", EP_P_TEXT, PAR(pair), .doc = "The input that holds the low loss of the same scan."},
    {"frame", EP_P_TEXT, PAR(frame), .doc = "A name; inputs with the same name share one coordinate system."},
    {"counts_per_electron", EP_P_NUMBER, PAR(counts_per_electron), .min = 1e-6, .max = 1e6,
     .doc = "Gain: counts for one electron (or photon); the variance of a channel is gain times counts."},
    {"read_noise", EP_P_NUMBER, PAR(read_noise), .unit = "counts", .min = 0, .max = 1e6,
     .doc = "Standard deviation of the camera's read-out noise per channel."},
    {"energy_offset", EP_P_NUMBER, PAR(energy_offset), .unit = "eV",
     .doc = "Added to the energy axis of the file."},
    {"beam_energy", EP_P_NUMBER, PAR(beam_energy), .unit = "keV", .min = 1, .max = 3000,
     .doc = "Energy of the beam, instead of the file's."},
    {"collection_angle", EP_P_NUMBER, PAR(collection_angle), .unit = "mrad", .min = 0, .max = 500,
     .doc = "Collection semi-angle, instead of the file's."},
    {"convergence_angle", EP_P_NUMBER, PAR(convergence_angle), .unit = "mrad", .min = 0, .max = 500,
     .doc = "Convergence semi-angle, instead of the file's."},
    {"exclude", EP_P_RECORD, PAR(exclude), .record = EXCLUDE_PARAMS, .record_size = sizeof(struct ep_exclude),
     .doc = "Pixels that are masked: dead rows and columns, rectangles."},
    EP_PARAM_END};

/* ---- inputs ---- */

static void add_coord(struct ep_reader *b, const char *name, struct ep_pos pos)
{
    if (ep_coord_find(b->r, name) >= 0) return;
    struct ep_coord_def *more = EP_ARENA_ARRAY(b->a, struct ep_coord_def, b->r->ncoords + 1);
    if (b->r->ncoords) memcpy(more, b->r->coords, b->r->ncoords * sizeof *more);
    more[b->r->ncoords++] = (struct ep_coord_def){.name = name, .pos = pos};
    b->r->coords = more;
}

/* Also of a path that is wrong elsewhere: else each use of its coordinates would be an error of its own. */
static void add_placeholders(struct ep_reader *b, const char *path, struct ep_pos pos)
{
    for (const char *c = strchr(path, '{'); c; c = strchr(c + 1, '{')) {
        size_t n = strcspn(c + 1, "{}");
        if (c[1] == '{') c++; /* a brace in a name */
        else if (c[1 + n] == '}' && ep_name_ok(c + 1, n)) add_coord(b, ep_arena_strndup(b->a, c + 1, n), pos);
    }
}

static void check_whole(struct ep_reader *b, const struct ep_numbers *v, struct ep_pos pos, const char *what,
                        const char *name)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->v[i] != floor(v->v[i]))
            ep_diag_error(b->d, pos, "%s: %s: %s is no whole number: pixels are counted 0, 1, 2", what, name,
                          ep_show_number(b->a, v->v[i]));
}

static void check_exclude(struct ep_reader *b, const struct ep_exclude *x, const struct ep_value *map, const char *what)
{
    const struct ep_value *val = ep_value_get(map, "exclude"), *list = ep_value_get(val, "rectangles");
    if (!val) return;
    check_whole(b, &x->rows, ep_key_pos(val, "rows"), what, "exclude: rows");
    check_whole(b, &x->columns, ep_key_pos(val, "columns"), what, "exclude: columns");
    for (size_t i = 0; i < x->rectangles.n; i++) {
        const struct ep_exclude_rect *rect = (const struct ep_exclude_rect *)x->rectangles.v + i;
        const struct ep_numbers *side[] = {&rect->rows, &rect->columns};
        const char *const name[] = {"rows", "columns"};
        const struct ep_value *one = list && list->kind == EP_V_LIST ? list->items[i] : list;
        for (int k = 0; k < 2; k++) {
            struct ep_pos pos = one ? ep_key_pos(one, name[k]) : val->pos;
            check_whole(b, side[k], pos, what, name[k]);
            if (side[k]->v[0] > side[k]->v[1])
                ep_diag_error(b->d, pos, "%s: exclude: %s = [%s, %s]: the first must not be beyond the last",
                              what, name[k], ep_show_number(b->a, side[k]->v[0]),
                              ep_show_number(b->a, side[k]->v[1]));
        }
    }
}

bool ep_input_check(struct ep_reader *b, const struct ep_value *map, const char *what, struct ep_input_par *par)
{
    if (!ep_params_parse(b->a, ep_input_params, sizeof *par, map, NULL, what, par, b->d)) return false;
    const size_t before = b->d->nerrors;
    if (par->exclude) check_exclude(b, par->exclude, map, what);
    return b->d->nerrors == before;
}

/* One input: its options checked, its placeholders noted. */
static void read_input(struct ep_reader *b, const struct ep_value *map, size_t i)
{
    struct ep_input_def *in = &b->r->inputs[i];
    const struct ep_value *v = map->items[i];
    *in = (struct ep_input_def){.name = map->keys[i], .pos = map->key_pos[i], .pair = -1};
    const char *what = ep_arena_printf(b->a, "input %s", in->name);
    if (!ep_name_ok(in->name, strlen(in->name)))
        ep_diag_error(b->d, in->pos, "input '%s': a name is a letter, then letters, digits and _", in->name);
    struct ep_pos path_pos = v->pos;
    if (v->kind == EP_V_TEXT || v->kind == EP_V_NUMBER) {
        in->path = v->text;
    } else if (v->kind == EP_V_MAP) {
        struct ep_input_par par;
        if (!ep_input_check(b, v, what, &par) && ep_value_get(v, "path") && !par.path) return;   /* was reported */
        in->path = par.path;
        const struct ep_value *p = ep_value_get(v, "path");
        if (p) path_pos = p->pos;
        else if (!b->r->runs_csv) {
            for (size_t k = 0; k < v->n; k++)   /* `paht:` was reported */
                if (ep_suggest(v->keys[k], (const char *const[]){"path", NULL})) return;
        }
    } else if (v->kind != EP_V_NULL || !b->r->runs_csv) {
        ep_diag_error(b->d, v->pos, "%s is %s: it needs a path, or a mapping {path: ...}", what,
                      v->kind == EP_V_NULL ? "empty" : ep_vkind_name(v->kind));
        return;
    }
    if (!in->path) {
        if (!b->r->runs_csv) ep_diag_error(b->d, v->pos, "%s has no path", what);
        return;
    }
    struct ep_template t;
    ep_template_parse(b->a, in->path, path_pos, what, &t, b->d);
    add_placeholders(b, in->path, path_pos);
}

static void read_pair(struct ep_reader *b, const struct ep_value *map, size_t i, const char *const *names)
{
    const struct ep_value *p = ep_value_get(map->items[i], "pair");
    if (!p || (p->kind != EP_V_TEXT && p->kind != EP_V_NUMBER)) return;   /* other kinds were reported */
    for (size_t k = 0; k < b->r->ninputs; k++)
        if (!strcmp(names[k], p->text)) b->r->inputs[i].pair = (int)k;
    if (b->r->inputs[i].pair == (int)i)
        ep_diag_error(
            b->d, p->pos,
            "input %s: pair names the input itself: it is the input with the low loss of the same scan",
            names[i]);
    else if (b->r->inputs[i].pair < 0)
        ep_diag_error(b->d, p->pos, "input %s: pair: there is no input '%s'%s", names[i], p->text,
                      ep_hint(b->a, p->text, names, "Inputs"));
}

void ep_read_inputs(struct ep_reader *b)
{
    const struct ep_value *runs = ep_value_get(b->r->root, "runs");
    if (runs && runs->kind != EP_V_TEXT)
        ep_diag_error(b->d, runs->pos, "runs is %s: it needs the path of a table, as in `runs: runs.csv`",
                      ep_vkind_name(runs->kind));
    else if (runs) {
        b->r->runs_csv = runs->text;
        b->r->runs_pos = runs->pos;
    }
    const struct ep_value *v = ep_value_get(b->r->root, "inputs");
    if (!v || v->kind != EP_V_MAP || v->n == 0) {
        ep_diag_error(
            b->d, v ? v->pos : b->r->root->pos,
            "inputs %s: it needs a mapping of names to paths, as in `inputs: {o: data/{sample}_o.hspy}`",
            !v ? "is missing"
            : v->kind == EP_V_MAP || v->kind == EP_V_NULL
                ? "is empty"
                : ep_arena_printf(b->a, "is %s", ep_vkind_name(v->kind)));
        return;
    }
    b->r->inputs = EP_ARENA_ARRAY(b->a, struct ep_input_def, v->n);
    b->r->ninputs = v->n;
    const char **names = EP_ARENA_ARRAY(b->a, const char *, v->n + 1);
    for (size_t i = 0; i < v->n; i++) {
        names[i] = v->keys[i];
        read_input(b, v, i);
    }
    for (size_t i = 0; i < v->n; i++) read_pair(b, v, i, names);
}

/* ---- coordinates ---- */

/* With runs.csv the columns are coordinates too, but only those that somebody names: a column that is misspelt must
 * not become a coordinate that splits every series. */
static void read_csv_head(struct ep_reader *b)
{
    struct ep_csv csv;
    struct ep_csv_column *col;
    const char *file = ep_path_join(b->a, b->r->folder, b->r->runs_csv);
    if (!ep_csv_read(b->a, file, b->r->runs_pos, &csv, b->d)) return;
    for (size_t i = 0; i < b->r->ncoords; i++) {
        size_t k = 0;
        while (k < csv.ncols && strcmp(csv.head[k].text, b->r->coords[i].name) != 0) k++;
        if (k < csv.ncols) continue;
        const char **names = EP_ARENA_ARRAY(b->a, const char *, csv.ncols + 1);
        for (size_t j = 0; j < csv.ncols; j++) names[j] = csv.head[j].text;
        ep_diag_error(b->d, b->r->coords[i].pos, "coordinate %s: %s has no column of that name%s", b->r->coords[i].name,
                      b->r->runs_csv, ep_hint(b->a, b->r->coords[i].name, names, "Columns"));
    }
    if (!ep_csv_columns(b->r, b->a, &csv, &col, b->d)) return;
    for (size_t i = 0; i < b->r->ninputs; i++) {
        bool found = b->r->inputs[i].path != NULL;
        for (size_t k = 0; k < csv.ncols; k++)
            if (col[k].role == EP_COL_INPUT && col[k].index == i) found = true;
        if (!found)
            ep_diag_error(b->d, b->r->inputs[i].pos, "input %s has no path, and %s has no column of that name",
                          b->r->inputs[i].name, b->r->runs_csv);
    }
}

/* Any short word: a series may be one of anything. */
static bool unit_ok(const char *unit)
{
    return strlen(unit) <= 15 && !strchr("0123456789+-.", *unit ? *unit : 'x') && !strpbrk(unit, " \t\n");
}

/* "degc" is most likely degC. */
static void hint_unit(struct ep_reader *b, const char *coord, const struct ep_value *unit)
{
    const char *name;
    if (ep_unit_lookup(unit->text, NULL, NULL)) return;
    for (size_t i = 0; (name = ep_unit_name(i)) != NULL; i++)
        if (!strcasecmp(name, unit->text))
            ep_diag_warn(b->d, unit->pos, "coordinate %s: the unit %s is not known and never converted: did you mean %s?", coord,
                         unit->text, name);
}

void ep_read_coordinates(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "coordinates"), *out = ep_value_get(b->r->root, "output");
    if (v && v->kind != EP_V_MAP) {
        ep_diag_error(
            b->d, v->pos,
            "coordinates is %s: it needs a mapping of placeholders to units, as in {temperature: degC}",
            ep_vkind_name(v->kind));
        v = NULL;
    }
    if (b->r->runs_csv && out && out->kind == EP_V_TEXT) add_placeholders(b, out->text, out->pos);
    for (size_t i = 0; v && i < v->n; i++) {
        const struct ep_value *u = v->items[i];
        if (!ep_name_ok(v->keys[i], strlen(v->keys[i]))) {
            ep_diag_error(b->d, v->key_pos[i],
                          "coordinate '%s': a name is a letter, then letters, digits and _", v->keys[i]);
            continue;
        }
        const bool right = u->kind == EP_V_TEXT && unit_ok(u->text);
        if (!right)
            ep_diag_error(b->d, u->pos,
                          "coordinate %s = %s: it needs a unit, as in degC, s or \"\" for a plain number",
                          v->keys[i], ep_show(b->a, u));
        if (right) hint_unit(b, v->keys[i], u);
        if (b->r->runs_csv) add_coord(b, v->keys[i], v->key_pos[i]);
        long c = ep_coord_find(b->r, v->keys[i]);
        if (c < 0) {
            if (b->r->ncoords)
                ep_diag_error(b->d, v->key_pos[i],
                              "coordinate '%s': no path of `inputs` has a placeholder {%s}%s", v->keys[i],
                              v->keys[i],
                              ep_hint(b->a, v->keys[i], ep_coord_names(b->r, b->a), "Placeholders"));
            else
                ep_diag_error(b->d, v->key_pos[i],
                              "coordinate '%s': no path of `inputs` has a placeholder {%s}", v->keys[i],
                              v->keys[i]);
            continue;
        }
        b->r->coords[c].unit = right ? u->text : "";
        b->r->coords[c].number = true;   /* also when the unit is wrong: it was meant to be one */
    }
    if (b->r->runs_csv) read_csv_head(b);
}

void ep_read_output(struct ep_reader *b)
{
    const struct ep_value *v = ep_value_get(b->r->root, "output");
    if (!v || (v->kind != EP_V_TEXT && v->kind != EP_V_NUMBER)) {
        ep_diag_error(b->d, v ? v->pos : b->r->root->pos,
                      "output %s: it needs the folder of the results, as in `output: out/{sample}`",
                      !v                     ? "is missing"
                      : v->kind == EP_V_NULL ? "is empty"
                                             : ep_arena_printf(b->a, "is %s", ep_vkind_name(v->kind)));
        return;
    }
    struct ep_template t;
    if (!ep_template_parse(b->a, v->text, v->pos, "output", &t, b->d)) return;
    b->r->output = v->text;
    b->r->output_pos = v->pos;
    for (size_t i = 0; i < t.n; i++)
        for (size_t k = 0; k < t.v[i].n; k++)
            if (t.v[i].v[k].hole) ep_coord_need(b->r, b->a, t.v[i].v[k].text, v->pos, "output", b->d);
}
