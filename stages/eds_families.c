/* Which families of lines eds_lines fits, and the model that they make. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/elements.h"
#include "stages/eds_lines_plan.h"

#define BEAM_KEV 200.0             /* where the file does not say: what (scanning) transmission microscopes use */
#define LOWEST 200.0               /* eV; below is the noise peak */
#define HIGHEST 20000.0

static double beam_kev(const struct ep_desc *in)
{
    return in->meta.beam_energy_kev > 0 ? in->meta.beam_energy_kev : BEAM_KEV;
}

/* ---- one family ------------------------------------------------------------------------------------------------- */

/* "Ti_K" or "Ti_Ka": the element's number and the shell; false if it is no such name. */
static bool split_name(const char *name, int *z, char *shell)
{
    const char *u = strchr(name, '_');
    char symbol[3] = { 0 };
    if (!u || u == name || u - name > 2) return false;
    memcpy(symbol, name, (size_t)(u - name));
    *z = ep_element_z(symbol);
    *shell = u[1];
    return *z && u[1] && strchr("KLM", u[1]) && (u[2] == '\0' || (u[2] == 'a' && u[3] == '\0'));
}

static bool in_texts(const struct ep_texts *t, const char *text)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->v[i], text) == 0) return true;
    return false;
}

/* The lines that the recipe types in for this family, if any. */
static bool typed_family(const struct ep_eds_par *par, const char *name, struct ep_eds_family *f)
{
    const struct ep_eds_extra *extra = par->extra_lines.v;
    struct ep_xray_family *x = &f->x;
    double sum = 0;
    size_t top = 0;
    for (size_t i = 0; i < par->extra_lines.n; i++) {
        if (strcmp(extra[i].family, name) != 0 || x->n == EP_XRAY_LINES) continue;
        struct ep_xray_line *l = &x->line[x->n];
        *l = (struct ep_xray_line){ .energy = extra[i].energy, .weight = extra[i].weight, .subshell = 1 };
        snprintf(l->name, sizeof l->name, "%s", extra[i].name);
        if (l->weight > x->line[top].weight) top = x->n;
        sum += l->weight;
        x->n++;
    }
    if (!x->n) return false;
    for (size_t i = 0; i < x->n; i++) x->line[i].weight /= sum;
    x->line[top].alpha = true;
    x->alpha_energy = x->line[top].energy;
    x->ngroup = 1;
    int z;
    if (split_name(name, &z, &x->shell)) {
        snprintf(x->element, sizeof x->element, "%s", ep_element_symbol(z));
        snprintf(f->alpha, sizeof f->alpha, "%s_%s", x->element, x->line[top].name);
    } else {
        snprintf(f->alpha, sizeof f->alpha, "%s", name);
    }
    f->typed = true;
    return true;
}

static bool make_family(const struct ep_eds_par *par, double beam, const char *name, struct ep_eds_family *f)
{
    int z;
    char shell;
    memset(f, 0, sizeof *f);
    if (strlen(name) >= sizeof f->name) return false;
    snprintf(f->name, sizeof f->name, "%s", name);
    if (!typed_family(par, name, f)) {
        if (!split_name(name, &z, &shell) || !ep_xray_family(z, shell, beam, par->detector_thickness, &f->x)) return false;
        snprintf(f->name, sizeof f->name, "%s_%c", f->x.element, shell);
        snprintf(f->alpha, sizeof f->alpha, "%s_%ca", f->x.element, shell);
    }
    f->artefact = f->x.element[0] && in_texts(&par->artefacts, f->x.element);
    return true;
}

static void add_family(struct ep_eds_families *list, const struct ep_eds_family *f)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->v[i].name, f->name) == 0) return;
    EP_PUSH(list->v, list->n, list->cap);
    list->v[list->n - 1] = *f;
}

void ep_eds_families_free(struct ep_eds_families *f)
{
    free(f->v);
    *f = (struct ep_eds_families){ 0 };
}

/* ---- the choice ------------------------------------------------------------------------------------------------- */

/* Where alpha lines may lie. */
static void limits(const struct ep_eds_par *par, const struct ep_desc *in, double lim[2])
{
    double e0 = ep_axis_at(&in->energy, 0), e1 = ep_axis_at(&in->energy, (double)in->energy.size - 1);
    lim[0] = fmax(fmin(e0, e1), LOWEST);
    lim[1] = fmin(fmax(e0, e1), fmin(HIGHEST, beam_kev(in) * 1000));
    if (isnan(par->range[0])) return;
    lim[0] = par->range[0];
    lim[1] = par->range[1];
}

static bool within(const struct ep_eds_family *f, const double lim[2])
{
    return f->x.alpha_energy >= lim[0] && f->x.alpha_energy < lim[1];
}

/* "Ti" for "ti" or "TI". */
static bool respell(const char *text, char out[3])
{
    size_t n = strlen(text);
    if (n < 1 || n > 2) return false;
    out[0] = (char)(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 32 : text[0]);
    out[1] = (char)(n == 2 && text[1] >= 'A' && text[1] <= 'Z' ? text[1] + 32 : text[1]);
    out[2] = '\0';
    return ep_element_z(out) != 0;
}

static bool is_element(struct ep_declare *d, const char *param, const char *text)
{
    char right[3];
    if (ep_element_z(text)) return true;
    if (respell(text, right)) ep_declare_error(d, param, "'%s' is not an element: did you mean %s?", text, right);
    else ep_declare_error(d, param, "'%s' is not the symbol of an element, as in Ti", text);
    return false;
}

/* All families of an element that have their alpha line where it can be seen. */
static size_t add_element(const struct ep_eds_par *par, const struct ep_desc *in, const char *symbol, const double lim[2],
                          struct ep_eds_families *out)
{
    size_t found = 0;
    for (const char *shell = "KLM"; *shell; shell++) {
        struct ep_eds_family f;
        char name[8];
        snprintf(name, sizeof name, "%.2s_%c", symbol, *shell);
        if (!make_family(par, beam_kev(in), name, &f) || !within(&f, lim)) continue;
        add_family(out, &f);
        found++;
    }
    return found;
}

static void choose_named(struct ep_declare *d, const struct ep_desc *in, const double lim[2], struct ep_eds_families *out)
{
    const struct ep_eds_par *par = d->par;
    for (size_t i = 0; i < par->lines.n; i++) {
        struct ep_eds_family f;
        const char *name = par->lines.v[i];
        if (!make_family(par, beam_kev(in), name, &f))
            ep_declare_error(d, "lines", "'%s' is not a family of lines that a beam of %g keV excites: give an element and K, L or M, as in "
                             "Ti_K", name, beam_kev(in));
        else if (!within(&f, lim))
            ep_declare_error(d, "lines", "%s has its strongest line at %g eV, outside of %g to %g eV", name, f.x.alpha_energy, lim[0], lim[1]);
        else add_family(out, &f);
    }
}

static void choose_elements(struct ep_declare *d, const struct ep_desc *in, const double lim[2], struct ep_eds_families *out)
{
    const struct ep_eds_par *par = d->par;
    bool any = par->elements.n || (d->elements && d->elements[0]) || par->extra_lines.n;
    if (!any)
        ep_declare_error(d, NULL, "elements is missing: which elements' lines to fit, as in elements: [O, Ti, La] (here, or once for the "
                                  "whole recipe)");
    for (size_t i = 0; i < par->elements.n; i++)
        if (is_element(d, "elements", par->elements.v[i]) && !add_element(par, in, par->elements.v[i], lim, out))
            ep_declare_warn(d, "elements", "%s has no lines between %g and %g eV that can be fitted", par->elements.v[i], lim[0], lim[1]);
    for (size_t i = 0; !par->elements.n && d->elements && d->elements[i]; i++)
        if (ep_element_z(d->elements[i])) add_element(par, in, d->elements[i], lim, out);
}

static void check_extra(struct ep_declare *d, const double lim[2])
{
    const struct ep_eds_par *par = d->par;
    const struct ep_eds_extra *x = par->extra_lines.v;
    for (size_t i = 0; i < par->extra_lines.n; i++) {
        if (strlen(x[i].family) >= EP_EDS_NAME - 8 || strlen(x[i].name) > 10 || !x[i].family[0] || !x[i].name[0] ||
            strpbrk(x[i].family, "./ ") || strpbrk(x[i].name, "./ "))
            ep_declare_error(d, "extra_lines", "'%s' in '%s': give short names without blanks, points and slashes, as in name: Ma, family: "
                             "La_M", x[i].name, x[i].family);
        else if (x[i].energy < lim[0] || x[i].energy >= lim[1])
            ep_declare_warn(d, "extra_lines", "the line %s of %s at %g eV lies outside of %g to %g eV", x[i].name, x[i].family, x[i].energy,
                            lim[0], lim[1]);
    }
}

void ep_eds_choose(struct ep_declare *d, const struct ep_desc *in, struct ep_eds_families *out)
{
    const struct ep_eds_par *par = d->par;
    const struct ep_eds_extra *x = par->extra_lines.v;
    double lim[2];
    size_t before = d->diag->nerrors;
    limits(par, in, lim);
    check_extra(d, lim);
    if (d->diag->nerrors > before) return;
    if (par->lines.n) choose_named(d, in, lim, out);
    else choose_elements(d, in, lim, out);
    for (size_t i = 0; i < par->artefacts.n; i++)
        if (is_element(d, "artefacts", par->artefacts.v[i]) && !par->lines.n) add_element(par, in, par->artefacts.v[i], lim, out);
    for (size_t i = 0; i < par->extra_lines.n; i++) {
        struct ep_eds_family f;
        if (make_family(par, beam_kev(in), x[i].family, &f) && within(&f, lim)) add_family(out, &f);
    }
    if (out->n == 0 && d->diag->nerrors == before)
        ep_declare_error(d, par->lines.n ? "lines" : "elements", "no line of these elements lies between %g and %g eV", lim[0], lim[1]);
}

void ep_eds_chosen(const struct ep_prepare *p, const struct ep_desc *in, struct ep_eds_families *out)
{
    for (size_t i = 0; i < p->nout; i++) {
        struct ep_eds_family f;
        /* "Ti_Ka" makes Ti_K as well: only names that are a family's own count. */
        if (p->out[i].kind == EP_MAP && make_family(p->par, beam_kev(in), p->out[i].name, &f) && strcmp(f.name, p->out[i].name) == 0)
            add_family(out, &f);
    }
}

/* From 130 eV (two peak widths) below the lowest alpha line, so that lines of elements that nobody named stay out where they
 * can, to 1.5 keV above the highest line, so that the background is known there. */
void ep_eds_range(const struct ep_eds_par *par, const struct ep_desc *in, const struct ep_eds_families *f, double range[2])
{
    const double below = 130, above = 1500, faint = 0.01;
    double lim[2], lo = INFINITY, hi = 0;
    limits(par, in, lim);
    memcpy(range, lim, sizeof lim);
    if (!isnan(par->range[0])) return;
    for (size_t i = 0; i < f->n; i++) {
        lo = fmin(lo, f->v[i].x.alpha_energy);
        for (size_t k = 0; k < f->v[i].x.n; k++)
            if (f->v[i].x.line[k].weight > faint) hi = fmax(hi, f->v[i].x.line[k].energy);
    }
    range[0] = fmax(lim[0], lo - below);
    range[1] = fmin(lim[1], hi + above);
}

/* ---- the model -------------------------------------------------------------------------------------------------- */

/* One column, or one for each subshell that has lines: column of each line; the number of columns. */
static size_t columns_of(const struct ep_xray_family *x, bool free_subshells, size_t *column)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) {
        size_t k = 0;
        while (k < i && free_subshells && x->line[k].subshell != x->line[i].subshell) k++;
        column[i] = i == 0 || (free_subshells && k == i) ? n++ : column[k];
    }
    return n;
}

/* In each column, the group of the first line stays; the others' ratios to it may be corrected: number and uncertainty. */
static size_t number_groups(const struct ep_xray_family *x, const size_t *column, int first, int *group, double *prior)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) {
        size_t k = 0, lead = 0;
        while (column[lead] != column[i]) lead++;
        while (k < i && (x->line[k].group != x->line[i].group || column[k] != column[i])) k++;
        if (x->line[i].group == x->line[lead].group) {
            group[i] = -1;
        } else if (k < i) {
            group[i] = group[k];
        } else {
            prior[n] = x->prior[x->line[i].group];
            group[i] = first + (int)n++;
        }
    }
    return n;
}

static ep_status make_model(struct ep_eds_setup *s, const struct ep_eds_par *par, const struct ep_desc *in, struct ep_err *e)
{
    struct ep_eds_line *line = NULL;
    double *prior = NULL;
    size_t nline = 0, cap = 0, ngroup = 0, gcap = 0, ncol = 0;
    for (size_t i = 0; i < s->f.n; i++) {
        struct ep_eds_family *f = &s->f.v[i];
        size_t column[EP_XRAY_LINES];
        int group[EP_XRAY_LINES];
        double uncertain[EP_XRAY_LINES];
        f->column = ncol;
        f->ncolumn = columns_of(&f->x, par->free_subshells && !f->typed, column);
        size_t groups = number_groups(&f->x, column, (int)ngroup, group, uncertain);
        for (size_t k = 0; k < f->x.n; k++) {
            EP_PUSH(line, nline, cap);
            line[nline - 1] = (struct ep_eds_line){ .energy = f->x.line[k].energy, .weight = f->x.line[k].weight,
                .escape = par->escape ? ep_xray_escape(f->x.line[k].energy) : 0, .column = ncol + column[k], .group = group[k] };
        }
        for (size_t g = 0; g < groups; g++) {
            EP_PUSH(prior, ngroup, gcap);
            prior[ngroup - 1] = uncertain[g];
        }
        ncol += f->ncolumn;
    }
    s->of_family = ep_xcalloc(nline + 1, sizeof *s->of_family);
    s->of_line = ep_xcalloc(nline + 1, sizeof *s->of_line);
    for (size_t i = 0, at = 0; i < s->f.n; i++)
        for (size_t k = 0; k < s->f.v[i].x.n; k++, at++) {
            s->of_family[at] = i;
            s->of_line[at] = k;
        }
    double step = in->energy.scale * ep_axis_unit_factor(&in->energy), none = 0;
    double first = ep_axis_at(&in->energy, (double)s->ch.first) - step / 2;
    ep_status st = ep_eds_new(s->ch.end - s->ch.first, first, step, nline, line, ncol, ngroup, prior ? prior : &none, par->resolution,
                              par->detector_thickness, &s->m, e);
    free(line);
    free(prior);
    return st;
}

ep_status ep_eds_setup_new(const struct ep_prepare *p, struct ep_eds_setup **out, struct ep_err *e)
{
    const struct ep_desc *in = p->in[0].v[0].d;
    struct ep_eds_setup *s = ep_xcalloc(1, sizeof *s);
    double range[2];
    *out = NULL;
    ep_eds_chosen(p, in, &s->f);
    ep_eds_range(p->par, in, &s->f, range);
    s->ch = ep_axis_window(&in->energy, range[0], range[1], 0, NULL);
    ep_status st = make_model(s, p->par, in, e);
    if (st) ep_eds_setup_free(s);
    else *out = s;
    return st;
}

void ep_eds_setup_free(struct ep_eds_setup *s)
{
    if (!s) return;
    ep_eds_families_free(&s->f);
    ep_eds_free(s->m);
    free(s->of_family);
    free(s->of_line);
    free(s);
}

void ep_eds_share(const struct ep_eds_setup *s, size_t family, bool alpha, const double *theta, double *q)
{
    memset(q, 0, s->m->ncol * sizeof *q);
    for (size_t k = 0; k < s->m->nline; k++) {
        const struct ep_eds_line *l = &s->m->line[k];
        if (s->of_family[k] != family || (alpha && !s->f.v[family].x.line[s->of_line[k]].alpha)) continue;
        q[l->column] += l->weight * (l->group >= 0 ? 1 + theta[EP_EDS_SHAPE + l->group] : 1);
    }
}

void ep_eds_column_name(const struct ep_eds_setup *s, size_t column, char out[EP_EDS_NAME])
{
    for (size_t k = 0; k < s->m->nline; k++) {
        if (s->m->line[k].column != column) continue;
        const struct ep_eds_family *f = &s->f.v[s->of_family[k]];
        if (f->ncolumn > 1) snprintf(out, EP_EDS_NAME, "%.16s%d", f->name, f->x.line[s->of_line[k]].subshell);
        else snprintf(out, EP_EDS_NAME, "%s", f->name);
        return;
    }
    out[0] = '\0';
}
