/* Runs: the bindings of all coordinates for which there are files, or the rows of a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/recipe/parts.h"

enum { MOST_RUNS = 100000, MOST_REPORTED = 5 };

/* A tuple of coordinates; text NULL where it says nothing about one. */
struct tuple { struct ep_coord_val *v; };
struct tuples { size_t n, cap; struct tuple *v; };

struct binder {
    const struct ep_recipe *r;
    struct ep_arena *a;
    struct ep_diag *d;
    struct ep_founds *found;    /* [ninputs] */
    bool **names;               /* [ninputs][ncoords]: the template names the coordinate */
    bool bad;
};

static int compare_values(const struct ep_recipe *r, const struct ep_coord_val *x, const struct ep_coord_val *y)
{
    for (size_t i = 0; i < r->ncoords; i++) {
        int c = ep_coord_compare(r, i, &x[i], &y[i]);
        if (c) return c;
    }
    return 0;
}

static int compare_tuples(const void *x, const void *y, void *recipe)
{
    return compare_values(recipe, ((const struct tuple *)x)->v, ((const struct tuple *)y)->v);
}

static void sort_unique(struct binder *b, struct tuples *t)
{
    if (t->n == 0) return;
    qsort_r(t->v, t->n, sizeof *t->v, compare_tuples, (void *)b->r);
    size_t n = 1;
    for (size_t i = 1; i < t->n; i++)
        if (compare_values(b->r, t->v[i].v, t->v[n - 1].v)) t->v[n++] = t->v[i];
    t->n = n;
}

/* ---- by file names ---- */

static size_t count_names(const struct binder *b, size_t input)
{
    size_t n = 0;
    for (size_t c = 0; c < b->r->ncoords; c++) n += b->names[input][c];
    return n;
}

static bool names_within(const struct binder *b, size_t x, size_t y)
{
    for (size_t c = 0; c < b->r->ncoords; c++)
        if (b->names[x][c] && !b->names[y][c]) return false;
    return true;
}

/* Joins `t` with the tuples of more: values that both name must agree. */
static void join(struct binder *b, struct tuples *t, const struct tuples *more)
{
    struct tuples out = {0};
    for (size_t i = 0; i < t->n && !b->bad; i++)
        for (size_t k = 0; k < more->n; k++) {
            const struct ep_coord_val *x = t->v[i].v, *y = more->v[k].v;
            bool agree = true;
            for (size_t c = 0; c < b->r->ncoords && agree; c++)
                if (x[c].text && y[c].text && ep_coord_compare(b->r, c, &x[c], &y[c])) agree = false;
            if (!agree) continue;
            if (out.n == MOST_RUNS) {
                ep_diag_error(b->d, b->r->inputs[0].pos,
                              "more than %d runs: no input's path names all coordinates, and everything fits "
                              "with everything",
                              MOST_RUNS);
                b->bad = true;
                break;
            }
            EP_PUSH(out.v, out.n, out.cap);
            struct ep_coord_val *v = EP_ARENA_ARRAY(b->a, struct ep_coord_val, b->r->ncoords + 1);
            for (size_t c = 0; c < b->r->ncoords; c++) v[c] = x[c].text ? x[c] : y[c];
            out.v[out.n - 1].v = v;
        }
    free(t->v);
    *t = out;
}

/* The tuples of all inputs that name the same coordinates as input `like`. */
static struct tuples union_of(struct binder *b, size_t like)
{
    struct tuples t = {0};
    for (size_t i = 0; i < b->r->ninputs; i++) {
        if (!names_within(b, i, like) || !names_within(b, like, i)) continue;
        for (size_t k = 0; k < b->found[i].n; k++) {
            EP_PUSH(t.v, t.n, t.cap);
            t.v[t.n - 1].v = b->found[i].v[k].v;
        }
    }
    sort_unique(b, &t);
    return t;
}

/* Inputs whose path names all coordinates make the runs. Without such inputs those that name most are joined;
 * an input that names fewer is a reference, shared by the runs. */
static struct tuples bind_by_names(struct binder *b)
{
    const size_t n = b->r->ninputs;
    for (size_t i = 0; i < n; i++)
        if (count_names(b, i) == b->r->ncoords) return union_of(b, i);
    struct tuples all = {0};
    EP_PUSH(all.v, all.n, all.cap);
    all.v[0].v = EP_ARENA_ARRAY(b->a, struct ep_coord_val, b->r->ncoords + 1);
    for (size_t i = 0; i < n; i++) {
        bool leads = true;   /* not within another, and the first of its kind */
        for (size_t k = 0; k < n; k++)
            if (k != i && names_within(b, i, k) && (!names_within(b, k, i) || k < i)) leads = false;
        if (!leads) continue;
        struct tuples more = union_of(b, i);
        join(b, &all, &more);
        free(more.v);
    }
    sort_unique(b, &all);
    return all;
}

struct lookup { const struct binder *b; size_t input; };
static int compare_lookup(const struct lookup *l, const struct ep_coord_val *want, const struct ep_found *f)
{
    for (size_t c = 0; c < l->b->r->ncoords; c++) {
        if (!l->b->names[l->input][c]) continue;
        int d = ep_coord_compare(l->b->r, c, &want[c], &f->v[c]);
        if (d) return d;
    }
    return 0;
}

/* The file of an input for a run; files are sorted by coordinates, and those a template does not name are equal. */
static const struct ep_found *find_file(const struct binder *b, size_t input, const struct ep_coord_val *want)
{
    const struct lookup l = {b, input};
    size_t lo = 0, hi = b->found[input].n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_lookup(&l, want, &b->found[input].v[mid]);
        if (c == 0) return &b->found[input].v[mid];
        if (c < 0) hi = mid;
        else lo = mid + 1;
    }
    return NULL;
}

/* ---- one run ---- */

static void give_file(struct binder *b, struct ep_run *run, size_t input, const char *text)
{
    run->input_text[input] = text;
    run->input[input] = ep_path_join(b->a, b->r->folder, text);
}

/* There is no file of this name (text NULL: no name either). */
static void lack_file(struct ep_run *run, size_t input, const char *text)
{
    run->input_text[input] = text;
    run->input[input] = NULL;
}

static const char *wanted_path(const struct binder *b, const struct ep_run *run, size_t input)
{
    struct ep_template t;
    const struct ep_input_def *in = &b->r->inputs[input];
    if (!in->path || !ep_template_parse(b->a, in->path, in->pos, "path", &t, b->d)) return NULL;
    return ep_template_fill(b->r, &t, run->coord, b->a);
}

static void new_run(struct binder *b, struct ep_run *run, struct ep_coord_val *coord)
{
    *run = (struct ep_run){.coord = coord, .label = ep_coords_label(b->r, coord, b->a)};
    run->input = EP_ARENA_ARRAY(b->a, const char *, b->r->ninputs + 1);
    run->input_text = EP_ARENA_ARRAY(b->a, const char *, b->r->ninputs + 1);
    for (size_t i = 0; i < b->r->ninputs; i++) {
        const struct ep_found *f = find_file(b, i, coord);
        if (f) give_file(b, run, i, f->path);
        else lack_file(run, i, wanted_path(b, run, i));
    }
}

/* Overrides of the recipe, then those of the table (later wins); a path among them changes the file. */
static void give_sets(struct binder *b, struct ep_run *run, size_t nown, const struct ep_set *own)
{
    const struct ep_recipe *r = b->r;
    size_t n = nown, nbecause = 0;
    for (size_t i = 0; i < r->noverrides; i++)
        if (ep_override_applies(r, &r->overrides[i], run->coord)) {
            n += r->overrides[i].nset;
            nbecause++;
        }
    struct ep_set *all = EP_ARENA_ARRAY(b->a, struct ep_set, n);
    run->because = EP_ARENA_ARRAY(b->a, const char *, nbecause);
    for (size_t i = 0; i < r->noverrides; i++) {
        const struct ep_override *o = &r->overrides[i];
        if (!ep_override_applies(r, o, run->coord)) continue;
        for (size_t k = 0; k < o->nset; k++) all[run->nset++] = o->set[k];
        if (o->because) run->because[run->nbecause++] = o->because;
    }
    for (size_t k = 0; k < nown; k++) all[run->nset++] = own[k];
    run->set = all;
    for (size_t i = 0; i < r->ninputs; i++)
        for (size_t k = 0; k < run->nset; k++) {
            if (strcmp(all[k].path, ep_arena_printf(b->a, "inputs.%s.path", r->inputs[i].name)) != 0) continue;
            struct ep_template t;
            if (!ep_template_parse(b->a, all[k].val->text, all[k].val->pos, "path", &t, b->d)) continue;
            const char *text = ep_template_fill(r, &t, run->coord, b->a);
            if (ep_is_file(ep_path_join(b->a, r->folder, text))) {
                give_file(b, run, i, text);
            } else {
                lack_file(run, i, text);
                ep_diag_warn(b->d, all[k].val->pos, "input %s: there is no file %s: run %s lacks it",
                             r->inputs[i].name, text, run->label);
            }
        }
}

/* ---- runs.csv ---- */

static bool read_skip(struct binder *b, const struct ep_csv_cell *cell, const char *file, bool *out)
{
    static const char *const YES[] = {"1", "true", "yes", "y", "x", NULL}, *const NO[] = {"",   "0", "false",
                                                                                          "no", "n", NULL};
    for (size_t i = 0; YES[i]; i++)
        if (!strcasecmp(cell->text, YES[i])) {
            *out = true;
            return true;
        }
    for (size_t i = 0; NO[i]; i++)
        if (!strcasecmp(cell->text, NO[i])) return true;
    ep_diag_error(b->d, (struct ep_pos){file, cell->line, cell->col}, "skip: '%s' is neither yes nor no", cell->text);
    return false;
}

/* The value of a cell knows no place but the cell's. */
static void place(struct ep_value *v, struct ep_pos pos)
{
    v->pos = pos;
    for (size_t i = 0; i < v->n; i++) {
        if (v->key_pos) v->key_pos[i] = pos;
        place(v->items[i], pos);
    }
}

static bool read_set(struct binder *b, const char *path, struct ep_pos head, const struct ep_csv_cell *cell,
                     const char *file, struct ep_set *out)
{
    if (!ep_set_target(b->r, b->a, path, head, b->d)) return false;
    const char *label = ep_arena_printf(b->a, "%s:%d:%d", file, cell->line, cell->col);
    struct ep_value *v = ep_value_from_arg(b->a, cell->text, label, b->d);
    if (!v) return false;
    *out = (struct ep_set){.path = path, .val = v, .pos = {file, cell->line, cell->col}};
    place(v, out->pos);
    return ep_set_check(b->r, b->a, out, b->d);
}

static bool read_coord(struct binder *b, size_t coord, const struct ep_csv_cell *cell, const char *file,
                       struct ep_coord_val *out)
{
    const struct ep_pos pos = {file, cell->line, cell->col};
    const char *name = b->r->coords[coord].name;
    struct ep_err e = {0};
    if (!*cell->text) {
        ep_diag_error(b->d, pos, "this row has no value of %s", name);
    } else if (!ep_coord_text(b->r, coord, cell->text, b->a, out, &e)) {
        ep_diag_error(b->d, pos, "%s: %s", name, e.msg);
    } else if (!strcmp(out->text, ".") || !strcmp(out->text, "..")) {
        ep_diag_error(b->d, pos, "%s: '%s' can't be the name of a folder", name, out->text);
    } else {
        return true;
    }
    return false;
}

static void read_row(struct binder *b, const struct ep_csv *csv, const struct ep_csv_column *col, size_t row,
                     struct ep_run *run)
{
    struct ep_coord_val *coord = EP_ARENA_ARRAY(b->a, struct ep_coord_val, b->r->ncoords + 1);
    struct ep_set *own = EP_ARENA_ARRAY(b->a, struct ep_set, csv->ncols);
    size_t nown = 0;
    bool good = true;
    for (size_t i = 0; i < csv->ncols; i++)
        if (col[i].role == EP_COL_COORD
            && !read_coord(b, col[i].index, &csv->row[row][i], csv->file, &coord[col[i].index]))
            good = false;
    if (!good) {
        b->bad = true;
        return;
    }
    new_run(b, run, coord);
    for (size_t i = 0; i < csv->ncols; i++) {
        const struct ep_csv_cell *cell = &csv->row[row][i];
        const struct ep_pos head = {csv->file, csv->head[i].line, csv->head[i].col};
        switch (col[i].role) {
        case EP_COL_COORD: break;
        case EP_COL_SKIP:
            if (!read_skip(b, cell, csv->file, &run->skip)) b->bad = true;
            break;
        case EP_COL_NOTE:
            if (*cell->text) run->note = cell->text;
            break;
        case EP_COL_SET:
            if (!*cell->text) break;
            if (read_set(b, csv->head[i].text, head, cell, csv->file, &own[nown])) nown++;
            else b->bad = true;
            break;
        case EP_COL_INPUT:
            if (*cell->text) give_file(b, run, col[i].index, cell->text);
            else lack_file(run, col[i].index, NULL);
            if (!*cell->text || ep_is_file(run->input[col[i].index])) break;
            lack_file(run, col[i].index, cell->text);
            ep_diag_warn(b->d, (struct ep_pos){csv->file, cell->line, cell->col},
                         "input %s: there is no file %s: run %s lacks it", b->r->inputs[col[i].index].name,
                         cell->text, run->label);
            break;
        }
    }
    give_sets(b, run, nown, own);
}

struct row_run { struct ep_run run; int line; };

static int compare_rows(const void *x, const void *y, void *recipe)
{
    const struct row_run *p = x, *q = y;
    int c = compare_values(recipe, p->run.coord, q->run.coord);
    return c ? c : (p->line > q->line) - (p->line < q->line);
}

static bool bind_by_table(struct binder *b, struct ep_runs *out)
{
    struct ep_csv csv;
    struct ep_csv_column *col;
    const char *file = ep_path_join(b->a, b->r->folder, b->r->runs_csv);
    if (!ep_csv_read(b->a, file, b->r->runs_pos, &csv, b->d) || !ep_csv_columns(b->r, b->a, &csv, &col, b->d))
        return false;
    if (csv.nrows == 0) {
        ep_diag_error(b->d, (struct ep_pos){csv.file, 1, 1},
                      "the table has no rows: each row below the names is a run");
        return false;
    }
    for (size_t i = 0; i < csv.ncols; i++)   /* also of columns without a value */
        if (col[i].role == EP_COL_SET
            && !ep_set_target(b->r, b->a, csv.head[i].text,
                              (struct ep_pos){csv.file, csv.head[i].line, csv.head[i].col}, b->d))
            b->bad = true;
    struct row_run *rows = EP_ARENA_ARRAY(b->a, struct row_run, csv.nrows);
    for (size_t i = 0; i < csv.nrows; i++) {
        read_row(b, &csv, col, i, &rows[i].run);
        rows[i].line = csv.row[i][0].line;
    }
    if (b->bad) return false;
    qsort_r(rows, csv.nrows, sizeof *rows, compare_rows, (void *)b->r);
    out->n = csv.nrows;
    out->v = EP_ARENA_ARRAY(b->a, struct ep_run, csv.nrows);
    for (size_t i = 0; i < csv.nrows; i++) {
        out->v[i] = rows[i].run;
        if (i == 0 || compare_values(b->r, rows[i].run.coord, rows[i - 1].run.coord)) continue;
        ep_diag_error(b->d, (struct ep_pos){csv.file, rows[i].line, 1},
                      "the rows in lines %d and %d have the same coordinates%s%s", rows[i - 1].line,
                      rows[i].line,
                      b->r->ncoords ? ": " : " (there are none: name a column in `coordinates` or `output`)",
                      rows[i].run.label);
        b->bad = true;
    }
    return !b->bad;
}

/* ---- all of them ---- */

static void find_files(struct binder *b)
{
    const struct ep_recipe *r = b->r;
    b->found = EP_ARENA_ARRAY(b->a, struct ep_founds, r->ninputs);
    b->names = EP_ARENA_ARRAY(b->a, bool *, r->ninputs);
    for (size_t i = 0; i < r->ninputs; i++) {
        struct ep_template t;
        b->names[i] = EP_ARENA_ARRAY(b->a, bool, r->ncoords + 1);
        if (!r->inputs[i].path) continue;
        if (!ep_template_parse(b->a, r->inputs[i].path, r->inputs[i].pos, "path", &t, b->d)) {
            b->bad = true;
            continue;
        }
        for (size_t c = 0; c < r->ncoords; c++) b->names[i][c] = ep_template_names(&t, r->coords[c].name);
        if (!ep_glob(r, i, b->a, &b->found[i], b->d)) b->bad = true;
    }
}

/* Inputs that no run has: all of them is an error, one is most likely a slip. */
static void check_inputs(struct binder *b, struct ep_runs *runs)
{
    const struct ep_recipe *r = b->r;
    bool any = false, reported = false;
    bool *has = EP_ARENA_ARRAY(b->a, bool, r->ninputs);
    for (size_t i = 0; i < r->ninputs; i++) {
        for (size_t k = 0; k < runs->n && !has[i]; k++) has[i] = runs->v[k].input[i] != NULL;
        any |= has[i];
    }
    for (size_t i = 0; i < r->ninputs; i++) {
        if (has[i]) continue;
        const char *why = ep_glob_why(r, i, b->a);
        if (!*why || b->found[i].n) why = b->found[i].n ? "its files fit no run" : "no row names a file that is there";
        if (any) ep_diag_warn(b->d, r->inputs[i].pos, "input %s: %s: no run has it", r->inputs[i].name, why);
        else if (!b->found[i].n) ep_diag_error(b->d, r->inputs[i].pos, "input %s: %s", r->inputs[i].name, why);
        if (!any && !b->found[i].n) reported = true;
    }
    if (!any && !reported)   /* there are files, but no values that all agree on */
        ep_diag_error(b->d, r->inputs[0].pos, "there are files for each input, but no two of them belong to one run");
    if (!any) b->bad = true;
    runs->no_files = !any && reported;
}

static void check_overrides(struct binder *b, const struct ep_runs *runs)
{
    for (size_t i = 0; i < b->r->noverrides; i++) {
        bool used = false;
        for (size_t k = 0; k < runs->n && !used; k++)
            used = ep_override_applies(b->r, &b->r->overrides[i], runs->v[k].coord);
        if (!used) ep_diag_warn(b->d, b->r->overrides[i].pos, "no run fits `when` of this override");
    }
}

/* A value of `at` that no run has: most likely a slip, and the step could never be computed. */
static void check_at(struct binder *b, const struct ep_runs *runs)
{
    for (size_t i = 0; i < b->r->nsteps; i++)
        for (size_t k = 0; k < b->r->steps[i].nat; k++) {
            const struct ep_at *at = &b->r->steps[i].at[k];
            bool used = false;
            for (size_t j = 0; j < at->n && !used; j++) {
                if (!strcmp(at->choice[j], "min") || !strcmp(at->choice[j], "max")) used = true;
                for (size_t n = 0; n < runs->n && !used; n++)
                    used = !strcmp(runs->v[n].coord[at->coord].text, at->choice[j]);
            }
            if (!used)
                ep_diag_warn(b->d, at->pos, "step %s: at: no run has %s=%s%s", b->r->steps[i].name,
                             b->r->coords[at->coord].name, at->choice[0],
                             at->n > 1 ? ", nor another of its values" : "");
        }
}

bool ep_runs_bind(const struct ep_recipe *r, struct ep_arena *a, struct ep_runs *out, struct ep_diag *d)
{
    struct binder b = {.r = r, .a = a, .d = d};
    *out = (struct ep_runs){0};
    find_files(&b);
    if (b.bad) return false;
    if (r->runs_csv) {
        if (!bind_by_table(&b, out)) return false;
    } else {
        struct tuples t = bind_by_names(&b);
        out->n = t.n;
        out->v = EP_ARENA_ARRAY(a, struct ep_run, t.n);
        for (size_t i = 0; i < t.n; i++) {
            new_run(&b, &out->v[i], t.v[i].v);
            give_sets(&b, &out->v[i], 0, NULL);
        }
        free(t.v);
    }
    check_inputs(&b, out);
    if (b.bad) return false;
    check_overrides(&b, out);
    check_at(&b, out);
    return ep_check_places(r, out, d);
}
