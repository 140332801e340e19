/* One table from the results of many runs: a row for each run, a column for each result, or for each column of a result that is
 * a table of one row. Quotients are averaged through their sums (stages/quotient.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/quotient.h"

enum missing { REFUSE, ALLOW };
static const char *const missing_words[] = { "refuse", "allow", NULL };

struct par { int missing; struct ep_texts show; };

static const struct ep_param params[] = {
    { .name = "missing", .type = EP_P_WORD, .offset = offsetof(struct par, missing), .def = "refuse", .words = missing_words,
      .doc = "What to do when a run's result could not be computed: refuse to make the table, or allow a row without values." },
    { .name = "show", .type = EP_P_TEXTS, .offset = offsetof(struct par, show),
      .doc = "The columns that `run` prints at its end, as ti_front_displacement; left out, the first with a sigma." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input",
      .doc = "The results to collect over the coordinates named by `over`: single values, tables of one row, or maps of which the mean is taken.",
      .kinds = EP_MAP | EP_TABLE, .series = true, .min = 1, .max = 0 },
};
static const struct ep_outdoc outputs[] = {
    { "table", EP_TABLE, "", "Columns: the coordinates, then each result with its sigma under its name in the recipe." },
};

/* Flags that do not speak against a pixel's value. */
#define HARMLESS (EP_FLAG_SIGMA_ESTIMATED | EP_FLAG_PARTIAL)

/* ---- labels, rows --------------------------------------------------------------------------------------------- */

static const struct ep_coord *coord_named(const struct ep_item *it, const char *name)
{
    for (size_t i = 0; i < it->ncoord; i++)
        if (strcmp(it->coord[i].name, name) == 0) return &it->coord[i];
    return NULL;
}

static bool same_coord(const struct ep_coord *a, const struct ep_coord *b)
{
    if (!a || !b) return a == b;
    return a->number && b->number ? a->num == b->num : strcmp(a->text, b->text) == 0;
}

/* Of one row: equal in all coordinates but the one that is averaged over. */
static bool same_row(const struct ep_item *a, const struct ep_item *b, const char *repeat)
{
    for (size_t i = 0; i < a->ncoord; i++)
        if (!(repeat && strcmp(a->coord[i].name, repeat) == 0) && !same_coord(&a->coord[i], coord_named(b, a->coord[i].name))) return false;
    return true;
}

/* first[k]: the item that row (or label) k appeared with first; of[i]: the row (or label) of item i. */
struct groups { size_t n, *first, *of; };

static struct groups group(const struct ep_items *in, const char *repeat, bool labels)
{
    struct groups g = { 0, ep_xcalloc(in->n + 1, sizeof(size_t)), ep_xcalloc(in->n + 1, sizeof(size_t)) };
    for (size_t i = 0; i < in->n; i++) {
        size_t k = 0;
        while (k < g.n && !(labels ? strcmp(in->v[g.first[k]].label, in->v[i].label) == 0
                                   : same_row(&in->v[g.first[k]], &in->v[i], repeat)))
            k++;
        if (k == g.n) g.first[g.n++] = i;
        g.of[i] = k;
    }
    return g;
}

static void groups_free(struct groups *g)
{
    free(g->first);
    free(g->of);
}

/* "o_net.exponent" -> "o_net_exponent", and "_scatter" behind it. False if the name is too long. */
static bool column_name(char out[EP_NAME_LEN], const char *label, const char *suffix)
{
    int n = snprintf(out, EP_NAME_LEN, "%s%s", label, suffix);
    for (char *c = out; *c; c++)
        if (*c == '.') *c = '_';
    return n >= 0 && n < EP_NAME_LEN;
}

static const struct ep_desc *desc_of(const struct ep_items *in, const struct groups *labels, size_t k, bool *maps)
{
    const struct ep_desc *d = NULL;
    *maps = false;
    for (size_t i = 0; i < in->n; i++) {
        if (labels->of[i] != k || !in->v[i].d) continue;
        if (!d) d = in->v[i].d;
        if (in->v[i].d->nnav > 0) *maps = true;
    }
    return d;
}

/* ---- declare ------------------------------------------------------------------------------------------------ */

struct names { size_t n, cap; char (*v)[EP_NAME_LEN]; };

static void take_name(struct ep_declare *d, struct names *all, const char *label, const char *suffix)
{
    char name[EP_NAME_LEN];
    if (!column_name(name, label, suffix)) ep_declare_error(d, "input", "the column name %s%s is longer than %d bytes", label, suffix, EP_NAME_LEN - 1);
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->v[i], name) == 0) ep_declare_error(d, "input", "two columns of the table would be named '%s'", name);
    EP_PUSH(all->v, all->n, all->cap);
    memcpy(all->v[all->n - 1], name, sizeof name);
}

static void check_names(struct ep_declare *d, const struct ep_items *in, const struct groups *labels)
{
    struct names all = { 0 };
    for (size_t i = 0; in->n && i < in->v[0].ncoord; i++)
        if (!(d->repeat && strcmp(in->v[0].coord[i].name, d->repeat) == 0)) take_name(d, &all, in->v[0].coord[i].name, "");
    if (d->repeat) take_name(d, &all, "repeats", "");
    for (size_t k = 0; k < labels->n; k++) {
        const char *label = in->v[labels->first[k]].label;
        bool maps;
        const struct ep_desc *a = desc_of(in, labels, k, &maps);
        if (a && a->kind == EP_TABLE) continue;       /* its columns are known when it is there */
        take_name(d, &all, label, "");
        if (maps) take_name(d, &all, label, "_pixels");
        if (d->repeat) take_name(d, &all, label, "_scatter");
    }
    free(all.v);
}

static void declare(struct ep_declare *d)
{
    const struct ep_items *in = &d->in[0];
    struct groups labels = group(in, d->repeat, true);
    bool coordinates = true;
    for (size_t i = 0; i < in->n; i++) {
        coordinates &= in->v[i].ncoord == in->v[0].ncoord;
        for (size_t c = 0; c < in->v[i].ncoord; c++) coordinates &= coord_named(&in->v[0], in->v[i].coord[c].name) != NULL;
    }
    if (!coordinates) ep_declare_error(d, "input", "the inputs do not have the same coordinates: collect them in steps of their own");
    if (d->repeat && in->n && !coord_named(&in->v[0], d->repeat))
        ep_declare_error(d, "repeat", "repeat names %s, which is not among the coordinates that are collected", d->repeat);
    for (size_t i = 0; i < in->n; i++) {
        bool maps;
        const struct ep_desc *a = in->v[i].d, *b = desc_of(in, &labels, labels.of[i], &maps);
        if (a && a->kind != b->kind)
            ep_declare_error(d, "input", "%s is a %s in one run and a %s in another", in->v[i].label, ep_kind_name(b->kind), ep_kind_name(a->kind));
        if (a && strcmp(a->unit, b->unit) != 0)
            ep_declare_error(d, "input", "%s is in '%s' in one run and in '%s' in another", in->v[i].label, b->unit, a->unit);
    }
    check_names(d, in, &labels);
    groups_free(&labels);
    struct ep_desc *o = ep_declare_output(d, "table", EP_TABLE);
    o->primary = true;
    strncpy(o->long_name, "Collected results", sizeof o->long_name - 1);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* Of a quotient also the sums that it was made of. */
struct value { double v, sigma, pixels; bool quotient; double num, den, var_num, var_den, cov; };

/* "ratio" and "numerator" -> "ratio.numerator"; "x.ratio" -> "x.numerator" where the output itself is named. */
static const struct ep_item *part_of(const struct ep_items *in, const struct ep_item *it, const char *name)
{
    char label[2 * EP_NAME_LEN + 2];
    size_t n = strlen(it->label), own = strlen(it->d->name);
    bool named = n > own && it->label[n - own - 1] == '.' && strcmp(it->label + n - own, it->d->name) == 0;
    if (snprintf(label, sizeof label, "%.*s.%s", (int)(named ? n - own - 1 : n), it->label, name) >= (int)sizeof label) return NULL;
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->v[i].label, label) == 0 && in->v[i].whole && in->v[i].whole->n == it->whole->n && same_row(it, &in->v[i], NULL))
            return &in->v[i];
    return NULL;
}

/* Beside "lines.Ti_K" the map "lines.Ti_K_shared", of the error that its pixels share. */
static const struct ep_item *shared_of(const struct ep_items *in, const struct ep_item *it)
{
    char name[EP_NAME_LEN + 8];
    snprintf(name, sizeof name, "%s_shared", it->d->name);
    return part_of(in, it, name);
}

static void divide(struct value *v)
{
    v->v = v->den > 0 ? v->num / v->den : (double)NAN;
    v->sigma = v->den > 0 ? ep_quotient_sigma(v->num, v->var_num, v->den, v->var_den, v->cov) : (double)NAN;
}

/* Sums over all pixels that have them, however small: leaving out small denominators would be a choice by value. */
static ep_status measure_quotient(const struct ep_items *in, const struct ep_item *it, struct value *out, struct ep_err *e)
{
    const struct ep_item *num = part_of(in, it, "numerator"), *den = part_of(in, it, "denominator"), *cov = part_of(in, it, "covariance");
    if (!num || !den || !cov)
        return ep_fail(e, EP_E_COMPUTE, "a mean of ratios is biased, and %s would be averaged here: put sum_spectrum before background and "
                       "ratio, or add its numerator, denominator and covariance to the inputs of collect, which then divides their sums", it->label);
    out->quotient = true;
    for (size_t i = 0; i < it->whole->n; i++) {
        uint32_t flag = it->whole->flags ? it->whole->flags[i] : 0;
        double a = ep_signal_get(num->whole, i), b = ep_signal_get(den->whole, i);
        if (ep_fatal(flag) || !isfinite(a) || !isfinite(b)) continue;
        out->num += a;
        out->den += b;
        out->var_num += pow(ep_signal_sigma(num->whole, i), 2);
        out->var_den += pow(ep_signal_sigma(den->whole, i), 2);
        out->cov += ep_signal_get(cov->whole, i);
        out->pixels += 1;
    }
    divide(out);
    if (it->whole->n > 1 && it->d->noise != EP_NOISE_INDEPENDENT) out->var_num = out->sigma = (double)NAN;
    return EP_OK;
}

/* A single value as it is; of a map the mean over its pixels that have a value and no flag. A quotient that is averaged, over
 * pixels or over repeats, by its sums. */
static ep_status measure(const struct ep_items *in, const struct ep_item *it, bool repeat, struct value *out, struct ep_err *e)
{
    const struct ep_signal *s = it->whole;
    *out = (struct value){ .v = (double)NAN, .sigma = (double)NAN };
    if (!s) return EP_OK;
    if (s->d.kind == EP_TABLE) {
        if (s->n != 1)
            return ep_fail(e, EP_E_COMPUTE, "%s is a table of %zu rows: tables of one row are collected, such as a front's", it->label, s->n);
        out->v = 0;
        return EP_OK;
    }
    if (s->d.quotient && (s->n > 1 || repeat)) return measure_quotient(in, it, out, e);
    const struct ep_item *with = s->d.shared && s->n > 1 ? shared_of(in, it) : NULL;
    double sum = 0, var = 0, n = 0, shared = s->d.shared && s->n > 1 && !with ? (double)NAN : 0;
    for (size_t i = 0; i < s->n; i++) {
        uint32_t flag = s->flags ? s->flags[i] : 0;
        double v = ep_signal_get(s, i), sigma = ep_signal_sigma(s, i);
        if (flag & EP_FLAG_BIASED)
            return ep_fail(e, EP_E_COMPUTE, "%s was made by a non-negative fit: averages of it are biased and are not collected", it->label);
        if (!isfinite(v) || (s->d.nnav > 0 ? (flag & ~(uint32_t)HARMLESS) != 0 : ep_fatal(flag))) continue;
        sum += v;
        var += sigma * sigma;
        if (with) shared += ep_signal_get(with->whole, i);
        n += 1;
    }
    if (n == 0) return EP_OK;
    out->v = sum / n;
    out->pixels = n;
    if (s->d.nnav == 0 || s->n == 1 || s->d.noise == EP_NOISE_INDEPENDENT) out->sigma = sqrt(var + shared * shared) / n;
    return EP_OK;
}

static const char *run_name(const struct ep_item *it, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < it->ncoord && n < size; i++) {
        const char *unit = it->coord[i].unit ? it->coord[i].unit : "";
        int k = snprintf(text + n, size - n, "%s%s=%s%s%s", i ? ", " : "", it->coord[i].name, it->coord[i].text, *unit ? " " : "", unit);
        n += k > 0 ? (size_t)k : 0;
    }
    return text;
}

static ep_status refuse_missing(const struct ep_items *in, struct ep_err *e)
{
    struct ep_str s = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < in->n; i++) {
        char name[256];
        if (!in->v[i].missing) continue;
        if (n++ < 6) ep_str_addf(&s, "%s%s of %s", n > 1 ? "; " : "", in->v[i].label, run_name(&in->v[i], name, sizeof name));
    }
    ep_status st = EP_OK;
    if (n > 6) ep_str_addf(&s, "; and %zu more", n - 6);
    if (n > 0)
        st = ep_fail(e, EP_E_COMPUTE, "%zu result%s missing: %s. `missing: allow` makes the table without %s", n, n == 1 ? " is" : "s are", s.s,
                     n == 1 ? "it" : "them");
    ep_str_free(&s);
    return st;
}

static ep_status add_coordinates(struct ep_signal *t, const struct ep_items *in, const struct groups *rows, const char *repeat,
                                 struct ep_err *e)
{
    double *num = ep_xcalloc(rows->n + 1, sizeof *num);
    const char **text = ep_xcalloc(rows->n + 1, sizeof *text);
    ep_status st = EP_OK;
    for (size_t c = 0; !st && in->n && c < in->v[0].ncoord; c++) {
        const struct ep_coord *like = &in->v[0].coord[c];
        if (repeat && strcmp(like->name, repeat) == 0) continue;
        for (size_t r = 0; r < rows->n; r++) {
            const struct ep_coord *q = coord_named(&in->v[rows->first[r]], like->name);
            num[r] = q ? q->num : (double)NAN;
            text[r] = q ? q->text : "";
        }
        st = ep_table_add(t, like->name, like->unit, num, NULL, like->number ? NULL : text, e);
    }
    free(num);
    free(text);
    return st;
}

/* One column under construction, over the rows. */
struct column { double *v, *sigma, *pixels, *scatter; };

/* Mean of what the runs of one row gave (quotients: of their sums), its counting sigma, and the standard error from the scatter. */
static void fill_row(const struct value *val, const struct ep_items *in, const struct groups *rows, const struct groups *labels,
                     size_t row, size_t label, struct column *c)
{
    double n = 0, sum = 0, var = 0, dev = 0;
    struct value all = { 0 };
    c->pixels[row] = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < in->n; i++) {
            if (rows->of[i] != row || labels->of[i] != label || !isfinite(val[i].v)) continue;
            if (pass == 1) {
                dev += (val[i].v - sum / n) * (val[i].v - sum / n);
                continue;
            }
            n += 1;
            sum += val[i].v;
            var += val[i].sigma * val[i].sigma;
            c->pixels[row] += val[i].pixels;
            all.quotient = val[i].quotient;
            all.num += val[i].num, all.den += val[i].den;
            all.var_num += val[i].var_num, all.var_den += val[i].var_den, all.cov += val[i].cov;
        }
    c->v[row] = n > 0 ? sum / n : (double)NAN;
    c->sigma[row] = n > 0 ? sqrt(var) / n : (double)NAN;
    if (all.quotient) {
        divide(&all);
        c->v[row] = all.v, c->sigma[row] = all.sigma;
    }
    c->scatter[row] = n > 1 ? sqrt(dev / (n - 1) / n) : (double)NAN;
}

static ep_status add_label(struct ep_signal *t, const struct ep_items *in, const struct value *val, const struct groups *rows,
                           const struct groups *labels, size_t k, bool repeat, struct ep_err *e)
{
    char name[EP_NAME_LEN];
    const char *label = in->v[labels->first[k]].label;
    bool maps, sigma = false;
    const struct ep_desc *d = desc_of(in, labels, k, &maps);
    const char *unit = d ? d->unit : "";
    double *room = ep_xcalloc(4 * rows->n + 1, sizeof *room);
    struct column c = { room, room + rows->n, room + 2 * rows->n, room + 3 * rows->n };
    for (size_t r = 0; r < rows->n; r++) fill_row(val, in, rows, labels, r, k, &c);
    for (size_t i = 0; i < in->n; i++) sigma |= labels->of[i] == k && in->v[i].d && in->v[i].d->has_sigma;
    column_name(name, label, "");
    ep_status st = ep_table_add(t, name, unit, c.v, sigma ? c.sigma : NULL, NULL, e);
    column_name(name, label, "_pixels");
    if (!st && maps) st = ep_table_add(t, name, "", c.pixels, NULL, NULL, e);
    column_name(name, label, "_scatter");
    if (!st && repeat) st = ep_table_add(t, name, unit, c.scatter, NULL, NULL, e);
    free(room);
    return st;
}

/* ---- columns of tables ---------------------------------------------------------------------------------------- */

static const struct ep_column *column_of(const struct ep_item *it, const char *name)
{
    for (size_t i = 0; it->whole && i < it->whole->ncol; i++)
        if (strcmp(it->whole->col[i].name, name) == 0) return &it->whole->col[i];
    return NULL;
}

/* The texts of the runs of one row: each once. */
static void fill_texts(const struct ep_items *in, const struct groups *rows, const struct groups *labels, size_t row, size_t label,
                       const char *name, struct ep_str *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct ep_column *c = rows->of[i] == row && labels->of[i] == label ? column_of(&in->v[i], name) : NULL;
        bool again = !c || !c->is_text || !c->text[0] || !c->text[0][0];
        for (size_t k = 0; k < i && !again; k++) {
            const struct ep_column *b = rows->of[k] == row && labels->of[k] == label ? column_of(&in->v[k], name) : NULL;
            again = b && b->is_text && b->text[0] && strcmp(b->text[0], c->text[0]) == 0;
        }
        if (!again) ep_str_addf(out, "%s%s", out->n ? "; " : "", c->text[0]);
    }
}

static ep_status add_texts(struct ep_signal *t, const struct ep_items *in, const struct groups *rows, const struct groups *labels, size_t k,
                           const struct ep_column *c, const char *name, struct ep_err *e)
{
    struct ep_str *s = ep_xcalloc(rows->n + 1, sizeof *s);
    const char **text = ep_xcalloc(rows->n + 1, sizeof *text);
    for (size_t r = 0; r < rows->n; r++) {
        fill_texts(in, rows, labels, r, k, c->name, &s[r]);
        text[r] = s[r].s ? s[r].s : "";
    }
    ep_status st = ep_table_add(t, name, c->unit, NULL, NULL, text, e);
    for (size_t r = 0; r < rows->n; r++) ep_str_free(&s[r]);
    free(s);
    free(text);
    return st;
}

static ep_status add_numbers(struct ep_signal *t, const struct ep_items *in, const struct groups *rows, const struct groups *labels, size_t k,
                             const struct ep_column *c, const char *name, bool repeat, struct ep_err *e)
{
    struct value *val = ep_xcalloc(in->n + 1, sizeof *val);
    double *room = ep_xcalloc(4 * rows->n + 1, sizeof *room);
    struct column made = { room, room + rows->n, room + 2 * rows->n, room + 3 * rows->n };
    bool sigma = false;
    char longer[EP_NAME_LEN];
    ep_status st = EP_OK;
    for (size_t i = 0; i < in->n; i++) {
        val[i] = (struct value){ .v = (double)NAN, .sigma = (double)NAN };
        const struct ep_column *q = labels->of[i] == k ? column_of(&in->v[i], c->name) : NULL;
        if (!q || q->is_text) continue;
        if (strcmp(q->unit, c->unit) != 0)
            st = ep_fail(e, EP_E_COMPUTE, "%s.%s is in '%s' in one run and in '%s' in another", in->v[i].label, c->name, c->unit, q->unit);
        val[i].v = q->num[0];
        if (q->sigma) val[i].sigma = q->sigma[0], sigma = true;
    }
    for (size_t r = 0; r < rows->n; r++) fill_row(val, in, rows, labels, r, k, &made);
    if (!st) st = ep_table_add(t, name, c->unit, made.v, sigma ? made.sigma : NULL, NULL, e);
    if (!st && repeat && sigma) {
        if (!column_name(longer, name, "_scatter")) st = ep_fail(e, EP_E_COMPUTE, "the column name %s_scatter is longer than %d bytes", name, EP_NAME_LEN - 1);
        else st = ep_table_add(t, longer, c->unit, made.scatter, NULL, NULL, e);
    }
    free(val);
    free(room);
    return st;
}

/* The columns of a table of one row, each as <label>_<column>, in the order in which they are met. */
static ep_status add_table(struct ep_signal *t, const struct ep_items *in, const struct groups *rows, const struct groups *labels, size_t k,
                           bool repeat, struct ep_err *e)
{
    ep_status st = EP_OK;
    for (size_t i = 0; !st && i < in->n; i++) {
        if (labels->of[i] != k || !in->v[i].whole) continue;
        for (size_t q = 0; !st && q < in->v[i].whole->ncol; q++) {
            const struct ep_column *c = &in->v[i].whole->col[q];
            char suffix[EP_NAME_LEN + 1], name[EP_NAME_LEN];
            bool done = false;
            for (size_t b = 0; b < i && !done; b++) done = labels->of[b] == k && column_of(&in->v[b], c->name);
            if (done) continue;
            snprintf(suffix, sizeof suffix, "_%s", c->name);
            if (!column_name(name, in->v[i].label, suffix))
                st = ep_fail(e, EP_E_COMPUTE, "the column name %s%s is longer than %d bytes", in->v[i].label, suffix, EP_NAME_LEN - 1);
            else st = c->is_text ? add_texts(t, in, rows, labels, k, c, name, e) : add_numbers(t, in, rows, labels, k, c, name, repeat, e);
        }
    }
    return st;
}

/* How many runs of each row gave a value. */
static ep_status add_repeats(struct ep_signal *t, const struct ep_items *in, const struct value *val, const struct groups *rows,
                             const char *repeat, struct ep_err *e)
{
    double *n = ep_xcalloc(rows->n + 1, sizeof *n);
    for (size_t i = 0; i < in->n; i++) {
        bool counted = !isfinite(val[i].v);
        for (size_t k = 0; k < i && !counted; k++)        /* another input of the same run */
            counted = isfinite(val[k].v) && rows->of[k] == rows->of[i] &&
                      same_coord(coord_named(&in->v[k], repeat), coord_named(&in->v[i], repeat));
        if (!counted) n[rows->of[i]] += 1;
    }
    ep_status st = ep_table_add(t, "repeats", "", n, NULL, NULL, e);
    free(n);
    return st;
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct ep_items *in = &p->in[0];
    const struct par *par = p->par;
    ep_status st = par->missing == REFUSE ? refuse_missing(in, e) : EP_OK;
    if (st) return st;
    struct groups rows = group(in, p->repeat, false), labels = group(in, p->repeat, true);
    struct value *val = ep_xcalloc(in->n + 1, sizeof *val);
    struct ep_signal *t = NULL;
    for (size_t i = 0; !st && i < in->n; i++) st = measure(in, &in->v[i], p->repeat != NULL, &val[i], e);
    if (!st) st = ep_table_new(p->out[0].name, rows.n, &t, e);
    if (!st) st = add_coordinates(t, in, &rows, p->repeat, e);
    if (!st && p->repeat) st = add_repeats(t, in, val, &rows, p->repeat, e);
    for (size_t k = 0; !st && k < labels.n; k++) {
        bool maps;
        const struct ep_desc *d = desc_of(in, &labels, k, &maps);
        if (d && d->kind == EP_TABLE) st = add_table(t, in, &rows, &labels, k, p->repeat != NULL, e);
        else st = add_label(t, in, val, &rows, &labels, k, p->repeat != NULL, e);
    }
    if (st) ep_signal_free(t);
    else out[0] = t;
    free(val);
    groups_free(&rows);
    groups_free(&labels);
    return st;
}

const struct ep_stage ep_stage_collect = {
    .name = "collect",
    .summary = "Collects results of many runs in one table.",
    .reference = "Propagation of independent errors; no publication.",
    .method = "Each run becomes a row: its coordinates, then every input under its name in the recipe (a dot becomes an underscore). A "
              "single value is taken with its sigma. A table of one row gives a column for each of its own, <input>_<column>. Of a map "
              "the mean over the pixels that have a value and no flag is taken, with their number; its sigma is that of independent "
              "pixels, and left out where the noise of pixels is not independent. With `repeat` runs that differ in that coordinate "
              "alone are averaged: sigma from counting, and beside it the standard error from the scatter of the repeats, which should "
              "agree with it. A ratio is never averaged itself: with its numerator, denominator and covariance among the inputs their "
              "sums are divided, without them a ratio of many pixels is refused. The mean of a map whose pixels share errors (eds_lines) has a "
              "sigma only if that part is among the inputs too, as lines.Ti_K_shared beside lines.Ti_K.",
    .version = 3,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
