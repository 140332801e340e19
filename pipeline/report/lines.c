/* Profiles, spectra, tables, single values: charts with the numbers below them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/report/parts.h"

enum { POINTS = 256, COLUMNS = 9 };   /* of a spectrum's line; of a table that is shown at once */

void ep_rep_table_begin(struct ep_str *o, const char *caption)
{
    ep_html_addf(o, "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"%s\"><table><caption>%s</caption>", caption, caption);
}

void ep_rep_columns(struct ep_str *o, const char *names)
{
    ep_str_add(o, "<thead><tr>");
    for (const char *c = names; *c; c += *c == '|') {
        size_t n = strcspn(c, "|");
        ep_str_add(o, "<th scope=\"col\">");
        ep_html_textn(o, c, n);
        ep_str_add(o, "</th>");
        c += n;
    }
    ep_str_add(o, "</tr></thead><tbody>\n");
}

void ep_rep_table_end(struct ep_str *o)
{
    ep_str_add(o, "</table></div>\n");
}

static const char *with_unit(struct ep_rep *r, const char *what, const char *unit)
{
    return *unit ? ep_arena_printf(&r->arena, "%s (%s)", what, ep_rep_unit(r, unit)) : what;
}

static void output_head(struct ep_rep *r, struct ep_str *o, size_t step, const char *output, const struct ep_desc *d)
{
    ep_html_addf(o, "<section class=\"output\"><h4>%s <small>%s.%s%s%s</small></h4>\n", d->long_name[0] ? d->long_name : output,
                 r->g->recipe->steps[step].name, output, d->unit[0] ? ", " : "", ep_rep_unit(r, d->unit));
}

/* ---- profiles and spectra -------------------------------------------------------------------------------------- */

/* The mean of each `of` channels: what a line of POINTS can show. */
static struct ep_plot_line line_of(struct ep_rep *r, const struct ep_signal *s, const char *label, size_t of)
{
    const struct ep_axis *a = s->d.kind == EP_SPECTRUM ? &s->d.energy : &s->d.nav[0];
    size_t n = s->n / of;
    double *x = EP_ARENA_ARRAY(&r->arena, double, 3 * n + 1), *y = x + n, *sigma = y + n;
    for (size_t i = 0; i < n; i++) {
        double sum = 0, var = 0;
        for (size_t k = 0; k < of; k++) {
            double u = ep_signal_sigma(s, i * of + k);
            sum += ep_signal_get(s, i * of + k);
            var += u * u;
        }
        x[i] = ep_axis_at(a, (double)(i * of) + (double)(of - 1) / 2);
        y[i] = sum / (double)of;
        sigma[i] = of == 1 ? sqrt(var) : (double)NAN;
    }
    return (struct ep_plot_line){.label = label, .n = n, .x = x, .y = y, .s = sigma};
}

static void numbers(const struct ep_plot *p, struct ep_str *o)
{
    size_t n = p->line[0].n;
    for (size_t k = 0; k < p->n; k++)
        if (p->line[k].n != n || (n && p->line[k].x[0] != p->line[0].x[0])) return;
    ep_str_add(o, "<details><summary>The numbers</summary>");
    ep_rep_table_begin(o, p->title);
    ep_html_addf(o, "<thead><tr><th scope=\"col\">%s</th>", p->x);
    for (size_t k = 0; k < p->n; k++) ep_html_addf(o, "<th scope=\"col\">%s</th>", p->line[k].label);
    ep_str_add(o, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < n; i++) {
        ep_str_add(o, "<tr><th scope=\"row\">");
        ep_html_number(o, p->line[0].x[i], NAN);
        ep_str_add(o, "</th>");
        for (size_t k = 0; k < p->n; k++) {
            ep_str_add(o, "<td class=\"n\">");
            ep_html_number(o, p->line[k].y[i], p->line[k].s[i]);
            ep_str_add(o, "</td>");
        }
        ep_str_add(o, "</tr>\n");
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
    ep_str_add(o, "</details>\n");
}

void ep_rep_lines(struct ep_rep *r, size_t step, const char *output, struct ep_str *o)
{
    struct ep_groups s = ep_rep_groups(r, step);
    bool begun = false;
    for (size_t k = 0; k < s.n; k++) {
        struct ep_plot_line *line = ep_xcalloc(s.v[k].n + 1, sizeof *line);
        size_t n = 0, of = 1;
        struct ep_desc d;
        for (size_t i = 0; i < s.v[k].n; i++) {
            struct ep_signal *m = ep_rep_load(r, s.v[k].node[i], output);
            if (m && (m->d.kind == EP_PROFILE || m->d.kind == EP_SPECTRUM) && m->d.nnav <= 1 && m->n) {
                const char *state = ep_rep_state(r, s.v[k].node[i]), *label = ep_rep_value(r, s.v[k].node[i], s.along);
                if (strcmp(state, "up to date")) label = ep_arena_printf(&r->arena, "%s, %s", label, state);
                if (m->d.kind == EP_SPECTRUM) of = (m->n + POINTS - 1) / POINTS;
                d = m->d;
                line[n++] = line_of(r, m, label, of);
            }
            ep_signal_free(m);
        }
        if (n) {
            const struct ep_axis *a = d.kind == EP_SPECTRUM ? &d.energy : &d.nav[0];
            const char *name = a->name[0] ? a->name : d.kind == EP_SPECTRUM ? "energy" : "distance";
            const char *axis_unit = d.kind == EP_SPECTRUM ? "eV" : ep_axis_unit_factor(a) != 1 ? "nm" : a->unit;
            struct ep_plot p = {.n = n, .line = line, .x = with_unit(r, name, axis_unit)};
            p.y = with_unit(r, d.long_name[0] ? d.long_name : output, d.unit);
            p.title = ep_arena_printf(&r->arena, "%s.%s%s%s, against %s", r->g->recipe->steps[step].name, output,
                                      *s.v[k].label ? ", " : "", s.v[k].label, p.x);
            p.table = d.kind == EP_PROFILE;
            if (!begun) output_head(r, o, step, output, &d);
            begun = true;
            if (*s.v[k].label) ep_html_addf(o, "<h5>%s</h5>\n", s.v[k].label);
            ep_str_add(o, "<figure class=\"chart\">");
            ep_rep_plot(o, &p);
            if (of > 1) ep_str_addf(o, "<figcaption>Each point is the mean of %zu channels.</figcaption>", of);
            else if (d.has_sigma) ep_str_add(o, "<figcaption>Bands: one sigma to either side.</figcaption>");
            if (p.table) numbers(&p, o);
            ep_str_add(o, "</figure>\n");
        }
        free(line);
    }
    if (begun) ep_str_add(o, "</section>\n");
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

static void cell(struct ep_str *o, const struct ep_column *c, size_t row)
{
    ep_str_add(o, c->is_text ? "<td>" : "<td class=\"n\">");
    if (c->is_text) {
        ep_html_text(o, c->text[row]);
    } else ep_html_number(o, c->num[row], c->sigma ? c->sigma[row] : (double)NAN);
    ep_str_add(o, "</td>");
}

static void head_cell(struct ep_rep *r, struct ep_str *o, const struct ep_column *c)
{
    ep_html_addf(o, "<th scope=\"col\">%s</th>", with_unit(r, c->name, c->unit));
}

/* The parameter `show` of the step, if its stage has one. */
static bool shown(const struct ep_node *n, const char *column, bool *any)
{
    for (const struct ep_param *p = n->stage->params; p->name && n->par; p++) {
        if (strcmp(p->name, "show") || p->type != EP_P_TEXTS) continue;
        const struct ep_texts *t = (const struct ep_texts *)(const void *)((const char *)n->par + p->offset);
        *any = t->n > 0;
        for (size_t i = 0; i < t->n; i++)
            if (!strcmp(t->v[i], column)) return true;
    }
    return false;
}

/* Tables of several runs one below the other: a column for the run, then theirs, where they are alike. */
static bool alike(const struct ep_signal *a, const struct ep_signal *b)
{
    if (a->ncol != b->ncol) return false;
    for (size_t c = 0; c < a->ncol; c++)
        if (strcmp(a->col[c].name, b->col[c].name) || a->col[c].is_text != b->col[c].is_text) return false;
    return true;
}

static void rows(struct ep_str *o, const struct ep_signal *t, const char *where, const bool *take)
{
    for (size_t i = 0; i < t->n; i++) {
        ep_str_add(o, "<tr>");
        if (where) ep_html_addf(o, "<th scope=\"row\">%s</th>", where);
        for (size_t c = 0; c < t->ncol; c++)
            if (take[c]) cell(o, &t->col[c], i);
        ep_str_add(o, "</tr>\n");
    }
}

struct tables { size_t n; struct ep_signal **t; const struct ep_node **node; };

static void print(struct ep_rep *r, struct ep_str *o, const struct tables *a, const char *caption, const bool *take)
{
    const bool several = a->n > 1 || *a->node[0]->where;
    ep_rep_table_begin(o, caption);
    for (size_t k = 0; k < a->n; k++) {
        if (k == 0 || !alike(a->t[k], a->t[k - 1])) {
            ep_str_add(o, "<thead><tr>");
            if (several) ep_str_add(o, "<th scope=\"col\">run</th>");
            for (size_t c = 0; c < a->t[k]->ncol; c++)
                if (take[c]) head_cell(r, o, &a->t[k]->col[c]);
            ep_str_add(o, "</tr></thead>\n");
        }
        const char *state = ep_rep_state(r, a->node[k]), *where = ep_rep_where(r, a->node[k]);
        if (strcmp(state, "up to date")) where = ep_arena_printf(&r->arena, "%s, %s", where, state);
        rows(o, a->t[k], several ? where : NULL, take);
    }
    ep_rep_table_end(o);
}

/* Numbers against the first column, or of tables of one row, against what was varied. */
static void table_charts(struct ep_rep *r, struct ep_str *o, const struct tables *a, const struct ep_groups *s, const bool *take,
                         size_t step)
{
    const struct ep_signal *first = a->t[0];
    bool per_run = s->along >= 0;
    if (!per_run && (first->n < 2 || first->ncol < 2 || first->col[0].is_text)) return;
    for (size_t c = per_run ? 0 : 1; c < first->ncol; c++) {
        if (!take[c] || first->col[c].is_text) continue;
        struct ep_plot_line *line = ep_xcalloc(a->n + s->n + 1, sizeof *line);
        size_t n = 0;
        for (size_t k = 0; !per_run && k < a->n; k++) { /* each table is a line */
            const struct ep_column *col = a->t[k]->col;
            if (!alike(first, a->t[k])) continue;
            line[n++] = (struct ep_plot_line){*a->node[k]->where ? ep_rep_where(r, a->node[k]) : "all", a->t[k]->n, col[0].num, col[c].num, col[c].sigma, true};
        }
        for (size_t k = 0; per_run && k < s->n; k++) { /* each group is a line, each table a point */
            double *x = EP_ARENA_ARRAY(&r->arena, double, 3 * s->v[k].n + 1), *y = x + s->v[k].n, *u = y + s->v[k].n;
            size_t m = 0;
            for (size_t i = 0; i < s->v[k].n; i++)
                for (size_t t = 0; t < a->n; t++) {
                    if (a->node[t] != s->v[k].node[i] || !alike(first, a->t[t]) || a->t[t]->n != 1) continue;
                    x[m] = ep_rep_number(a->node[t], s->along);
                    y[m] = a->t[t]->col[c].num[0];
                    u[m++] = a->t[t]->col[c].sigma ? a->t[t]->col[c].sigma[0] : (double)NAN;
                }
            if (m) line[n++] = (struct ep_plot_line){*s->v[k].label ? s->v[k].label : "all", m, x, y, u, true};
        }
        const struct ep_coord_def *along = per_run ? &r->g->recipe->coords[s->along] : NULL;
        struct ep_plot p = {.n = n, .line = line, .y = with_unit(r, first->col[c].name, first->col[c].unit)};
        p.x = along ? with_unit(r, along->name, along->unit ? along->unit : "") : with_unit(r, first->col[0].name, first->col[0].unit);
        p.title = ep_arena_printf(&r->arena, "%s: %s against %s", r->g->recipe->steps[step].name, p.y, p.x);
        if (n) {
            ep_str_add(o, "<figure class=\"chart half\">");
            ep_rep_plot(o, &p);
            ep_str_add(o, "</figure>\n");
        }
        free(line);
    }
}

/* Which columns to show at once: those that `show` names, else those with a sigma; `run` coordinates of a series always. */
static bool choose(const struct tables *a, bool *take)
{
    const struct ep_signal *t = a->t[0];
    bool any = false, all = true, named = false;
    size_t n = 0;
    for (size_t c = 0; c < t->ncol; c++) named |= shown(a->node[0], t->col[c].name, &any);
    for (size_t c = 0; c < t->ncol; c++) {
        if (named) take[c] = shown(a->node[0], t->col[c].name, &any) || (c == 0 && t->n > 1);
        else take[c] = n < COLUMNS && (t->ncol <= COLUMNS || t->col[c].sigma || c == 0);
        n += take[c];
        all &= take[c];
    }
    return all;
}

void ep_rep_table(struct ep_rep *r, size_t step, const char *output, struct ep_str *o)
{
    struct ep_groups s = ep_rep_groups(r, step);
    struct tables a = {0};
    a.t = ep_xcalloc(r->g->nnodes + 1, sizeof(struct ep_signal *));
    a.node = ep_xcalloc(r->g->nnodes + 1, sizeof(struct ep_node *));
    for (size_t k = 0; k < s.n; k++)
        for (size_t i = 0; i < s.v[k].n; i++) {
            struct ep_signal *t = ep_rep_load(r, s.v[k].node[i], output);
            if (t && t->d.kind == EP_TABLE && t->ncol) {
                a.node[a.n] = s.v[k].node[i];
                a.t[a.n++] = t;
            } else ep_signal_free(t);
        }
    if (a.n) {
        size_t most = 0;
        for (size_t k = 0; k < a.n; k++) most = a.t[k]->ncol > most ? a.t[k]->ncol : most;
        bool *take = ep_xcalloc(2 * most + 1, sizeof *take), *every = take + most;
        memset(every, 1, most);
        const char *name = ep_arena_printf(&r->arena, "%s.%s", r->g->recipe->steps[step].name, output);
        bool all = choose(&a, take);
        output_head(r, o, step, output, &a.t[0]->d);
        table_charts(r, o, &a, &s, take, step);
        print(r, o, &a, name, take);
        if (!all) {
            ep_html_addf(o, "<details><summary>All %zu columns</summary>", a.t[0]->ncol);
            print(r, o, &a, name, every);
            ep_str_add(o, "</details>\n");
        }
        ep_str_add(o, "</section>\n");
        free(take);
    }
    for (size_t k = 0; k < a.n; k++) ep_signal_free(a.t[k]);
    free(a.t);
    free(a.node);
}

/* ---- single values --------------------------------------------------------------------------------------------- */

static bool single(const struct ep_desc *d)
{
    return d && d->kind == EP_MAP && d->nnav == 0;
}

/* The single values of a step as one table of one row, so that they are shown as such tables are. */
static struct ep_signal *values_of(struct ep_rep *r, const struct ep_node *n)
{
    struct ep_err e = {0};
    struct ep_signal *t = NULL;
    for (size_t k = 0; k < n->decl.nout; k++) {
        if (!single(&n->decl.out[k])) continue;
        struct ep_signal *s = ep_rep_load(r, n, n->decl.out[k].name);
        if (s && single(&s->d) && (t || !ep_table_new("values", 1, &t, &e))) {
            double v = ep_signal_get(s, 0), u = ep_signal_sigma(s, 0);
            (void)ep_table_add(t, n->decl.out[k].name, s->d.unit, &v, s->sigma32 ? &u : NULL, NULL, &e);
        }
        ep_signal_free(s);
    }
    return t;
}

void ep_rep_values(struct ep_rep *r, size_t step, struct ep_str *o)
{
    struct ep_groups s = ep_rep_groups(r, step);
    struct tables a = {0};
    a.t = ep_xcalloc(r->g->nnodes + 1, sizeof(struct ep_signal *));
    a.node = ep_xcalloc(r->g->nnodes + 1, sizeof(struct ep_node *));
    size_t most = 0;
    for (size_t k = 0; k < s.n; k++)
        for (size_t i = 0; i < s.v[k].n; i++) {
            struct ep_signal *t = values_of(r, s.v[k].node[i]);
            if (!t) continue;
            a.node[a.n] = s.v[k].node[i];
            a.t[a.n++] = t;
            if (t->ncol > most) most = t->ncol;
        }
    if (a.n) {
        bool *take = ep_xcalloc(2 * most + 1, sizeof *take), *primary = take + most;
        memset(take, 1, most);
        for (size_t c = 0; c < a.t[0]->ncol; c++)
            for (size_t k = 0; k < a.node[0]->decl.nout; k++)
                primary[c] |= a.node[0]->decl.out[k].primary && !strcmp(a.node[0]->decl.out[k].name, a.t[0]->col[c].name);
        ep_html_addf(o, "<section class=\"output\"><h4>Values <small>%s</small></h4>\n", r->g->recipe->steps[step].name);
        table_charts(r, o, &a, &s, primary, step);
        print(r, o, &a, ep_arena_printf(&r->arena, "%s: single values", r->g->recipe->steps[step].name), take);
        ep_str_add(o, "</section>\n");
        free(take);
    }
    for (size_t k = 0; k < a.n; k++) ep_signal_free(a.t[k]);
    free(a.t);
    free(a.node);
}
