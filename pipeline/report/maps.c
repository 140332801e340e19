/* Maps: small pictures of every run, and their values with sigmas and flags for the script. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/json.h"
#include "pipeline/data/flags.h"
#include "pipeline/draw/chart.h"
#include "pipeline/report/parts.h"

enum { SHADES = 128, SMALL = 128 };    /* of pictures: palette entries, the first for no value; pixels across */
enum { SIGMA_BITS = 20 };              /* of a sigma: 1 + 8 + 11, one part in 4000 */

struct view { const char *title; char unit[48]; double lo, hi; bool values; struct ep_str curves; /* which curves lie over the maps */ };

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The finite values in order; NULL if memory is out. */
static float *sorted(const struct ep_signal *s, size_t *n)
{
    float *v = malloc((s->n + 1) * sizeof *v);
    *n = 0;
    for (size_t i = 0; v && i < s->n; i++)
        if (isfinite(s->f32[i])) v[(*n)++] = s->f32[i];
    if (v) qsort(v, *n, sizeof *v, by_value);
    return v;
}

/* One scale for all runs: widened by each map's values but half a percent at each end. */
static void widen(struct view *w, const struct ep_signal *s)
{
    size_t n;
    float *v = sorted(s, &n);
    if (v && n) {
        w->lo = fmin(w->lo, (double)v[n / 200]);
        w->hi = fmax(w->hi, (double)v[n - 1 - n / 200]);
    }
    free(v);
}

/* "median 12.3, 4 to 20 counts; 3 of 2016 pixels without a value" */
static void in_words(const struct ep_signal *s, const char *unit, struct ep_str *o)
{
    size_t n;
    float *v = sorted(s, &n);
    if (v && n) {
        ep_str_add(o, "median ");
        ep_html_number(o, (double)v[n / 2], NAN);
        ep_str_add(o, ", from ");
        ep_html_number(o, (double)v[0], NAN);
        ep_str_add(o, " to ");
        ep_html_number(o, (double)v[n - 1], NAN);
        ep_str_addf(o, "%s%s", *unit ? " " : "", unit);
    }
    if (n < s->n) ep_str_addf(o, "%s%zu of %zu pixels without a value", n ? "; " : "", s->n - n, s->n);
    free(v);
}

static void picture(struct ep_str *o, const struct ep_signal *s, const struct view *w)
{
    size_t ny = ep_desc_ny(&s->d), nx = ep_desc_nx(&s->d), k = ((ny > nx ? ny : nx) + SMALL - 1) / SMALL;
    size_t my = (ny + k - 1) / k, mx = (nx + k - 1) / k;
    unsigned char palette[SHADES][3], *index = ep_xcalloc(my, mx);
    palette[0][0] = palette[0][1] = palette[0][2] = 184;
    for (size_t i = 1; i < SHADES; i++) ep_colour_of(EP_VIRIDIS, (double)(i - 1) / (SHADES - 2), palette[i]);
    for (size_t y = 0; y < my; y++)
        for (size_t x = 0; x < mx; x++) {
            double sum = 0;
            size_t n = 0;
            for (size_t i = y * k; i < ny && i < (y + 1) * k; i++)
                for (size_t j = x * k; j < nx && j < (x + 1) * k; j++)
                    if (isfinite(s->f32[i * nx + j])) sum += (double)s->f32[i * nx + j], n++;
            double part = n ? (sum / (double)n - w->lo) / (w->hi - w->lo) : 0;
            if (n) index[y * mx + x] = (unsigned char)(1 + lround(fmin(1, fmax(0, part)) * (SHADES - 2)));
        }
    struct ep_str words = {0};
    in_words(s, w->unit, &words);
    ep_str_addf(o, "<img width=\"%zu\" height=\"%zu\" src=\"", mx, my);
    ep_html_png(o, my, mx, index, (const unsigned char (*)[3])palette, SHADES);
    ep_html_addf(o, "\" alt=\"%s: %s\">", w->title, words.s ? words.s : "");
    ep_str_free(&words);
    free(index);
}

static void axis(struct ep_str *j, const char *key, const struct ep_axis *a)
{
    ep_json_key(j, key);
    ep_str_add(j, "[");
    ep_json_num(j, a ? a->offset : 0);
    ep_json_sep(j);
    ep_json_num(j, a ? a->scale : 1);
    ep_json_sep(j);
    ep_json_str(j, a ? a->unit : "");
    ep_str_add(j, "]");
}

static void packed(struct ep_str *j, const char *key, const void *words, size_t n, unsigned keep)
{
    ep_json_key(j, key);
    ep_str_add(j, "\"");
    ep_html_pack(j, words, n, keep);
    ep_str_add(j, "\"");
}

static void add_values(struct ep_str *j, const struct ep_signal *s, const char *label, const char *state)
{
    const struct ep_desc *d = &s->d;
    bool flagged = false;
    for (size_t i = 0; s->flags && i < s->n; i++) flagged |= s->flags[i] != 0;
    ep_json_sep(j);
    ep_str_add(j, "{");
    ep_json_key(j, "label");
    ep_json_str(j, label);
    ep_json_key(j, "state");
    ep_json_str(j, state);
    ep_json_key(j, "ny");
    ep_json_num(j, (double)ep_desc_ny(d));
    ep_json_key(j, "nx");
    ep_json_num(j, (double)ep_desc_nx(d));
    axis(j, "y", d->nnav > 1 ? &d->nav[d->nnav - 2] : NULL);
    axis(j, "x", &d->nav[d->nnav - 1]);
    packed(j, "v", s->f32, s->n, 32);
    if (s->sigma32) packed(j, "s", s->sigma32, s->n, SIGMA_BITS);
    if (flagged) packed(j, "f", s->flags, s->n, 32);
    ep_str_add(j, "}");
}

static void group(struct ep_rep *r, const struct ep_group *g, int along, const char *output, struct view *w, struct ep_str *o)
{
    struct ep_str j = {0};
    const char *what = w->title;
    ep_html_addf(o, "<div class=\"maps\" role=\"group\" aria-label=\"%s%s%s\">", what, *g->label ? ", " : "", g->label);
    if (*g->label) ep_html_addf(o, "<h5>%s</h5>", g->label);
    ep_str_add(o, "<ul class=\"small\">");
    ep_str_add(&j, "{");
    ep_json_key(&j, "title");
    ep_json_str(&j, what);
    ep_json_key(&j, "group");
    ep_json_str(&j, g->label);
    ep_json_key(&j, "along");
    ep_json_str(&j, along < 0 ? "run" : r->g->recipe->coords[along].name);
    ep_json_key(&j, "unit");
    ep_json_str(&j, w->unit);
    ep_json_key(&j, "lo");
    ep_json_num(&j, w->lo);
    ep_json_key(&j, "hi");
    ep_json_num(&j, w->hi);
    ep_json_key(&j, "runs");
    ep_str_add(&j, "[");
    for (size_t k = 0; k < g->n; k++) {
        struct ep_signal *s = ep_rep_load(r, g->node[k], output);
        const char *label = ep_rep_value(r, g->node[k], along), *state = ep_rep_state(r, g->node[k]);
        bool map = s && s->d.kind == EP_MAP && s->d.nnav && s->n;
        bool late = strcmp(state, "up to date") != 0;
        w->title = ep_arena_printf(&r->arena, "%s, %s%s%s", what, g->label, *g->label ? ", " : "", label);
        ep_str_add(o, "<li>");
        if (map) {
            ep_str_add(o, "<span class=\"pic\">");
            picture(o, s, w);
            ep_rep_overlays(r, g->node[k], s, o, &w->curves);
            ep_str_add(o, "</span>");
        } else ep_str_add(o, "<span class=\"none\">no map</span>");
        ep_html_addf(o, "<span>%s%s%s</span></li>", label, late ? ", " : "", late ? state : "");
        if (map && w->values) add_values(&j, s, label, late ? state : "");
        ep_signal_free(s);
    }
    ep_str_add(&j, "]}");
    ep_str_add(o, "</ul>");
    if (w->values) {
        ep_str_add(o, "<script type=\"application/json\">");
        ep_html_json(o, &j);
        ep_str_add(o, "</script>");
    }
    ep_str_add(o, "</div>\n");
    ep_str_free(&j);
    w->title = what;
}

static void scale_bar(struct ep_str *o, const struct view *w)
{
    unsigned char index[SHADES - 1], palette[SHADES][3] = {{0}};
    for (size_t i = 0; i < SHADES - 1; i++) {
        index[i] = (unsigned char)(i + 1);
        ep_colour_of(EP_VIRIDIS, (double)i / (SHADES - 2), palette[i + 1]);
    }
    ep_str_add(o, "<p class=\"scale\">");
    ep_html_number(o, w->lo, NAN);
    ep_str_add(o, " <img alt=\"dark to light\" src=\"");
    ep_html_png(o, 1, SHADES - 1, index, (const unsigned char (*)[3])palette, SHADES);
    ep_str_add(o, "\"> ");
    ep_html_number(o, w->hi, NAN);
    ep_html_addf(o, " %s <span class=\"gap\"></span> no value</p>\n", w->unit);
}

void ep_rep_maps(struct ep_rep *r, size_t step, const char *output, bool values, struct ep_str *o)
{
    struct ep_groups s = ep_rep_groups(r, step);
    struct view w = {.lo = INFINITY, .hi = -INFINITY, .title = output, .values = values};
    const char *unit = "";
    for (size_t k = 0; k < s.n; k++)
        for (size_t i = 0; i < s.v[k].n; i++) {
            struct ep_signal *m = ep_rep_load(r, s.v[k].node[i], output);
            if (m && m->d.kind == EP_MAP && m->d.nnav) {
                widen(&w, m);
                unit = ep_rep_unit(r, m->d.unit);
                if (m->d.long_name[0]) w.title = ep_arena_strdup(&r->arena, m->d.long_name);
            }
            ep_signal_free(m);
        }
    if (!(w.lo <= w.hi)) w.lo = 0, w.hi = 1;
    if (w.lo == w.hi) w.hi = w.lo + fmax(1e-6, fabs(w.lo) * 1e-3);
    snprintf(w.unit, sizeof w.unit, "%s", unit);
    ep_html_addf(o, "<section class=\"output\"><h4>%s <small>%s.%s%s%s</small></h4>", w.title,
                 r->g->recipe->steps[step].name, output, *unit ? ", " : "", unit);
    scale_bar(o, &w);
    if (!values) ep_str_add(o, "<p class=\"note\">The values of these maps are not in this page, to keep it small; the result files have them.</p>\n");
    for (size_t k = 0; k < s.n; k++) group(r, &s.v[k], s.along, output, &w, o);
    if (w.curves.n) ep_html_addf(o, "<p class=\"scale\">Over the maps: %s.</p>\n", w.curves.s);
    ep_str_free(&w.curves);
    ep_str_add(o, "</section>\n");
}

/* ---- flags of all steps --------------------------------------------------------------------------------------- */

struct count { size_t pixels, flagged[EP_NFLAGS], silent; };

/* A pixel counts once, however many maps of the result have it flagged; those without value or flag are counted too. */
static struct count count_node(struct ep_rep *r, const struct ep_node *n)
{
    struct count c = {0};
    uint32_t *any = NULL;
    struct ep_file *f = ep_rep_file(r, n);
    for (size_t k = 0; f && k < n->decl.nout; k++) {
        struct ep_signal *s = n->decl.out[k].kind == EP_MAP ? ep_rep_load(r, n, n->decl.out[k].name) : NULL;
        if (s && s->flags && (!c.pixels || s->n == c.pixels)) {
            if (!any) any = calloc(s->n + 1, sizeof *any);
            c.pixels = s->n;
            for (size_t i = 0; any && i < s->n; i++) {
                any[i] |= s->flags[i];
                if (n->decl.out[k].primary && isnan(s->f32[i]) && !s->flags[i]) c.silent++;
            }
        }
        ep_signal_free(s);
    }
    for (size_t i = 0; any && i < c.pixels; i++)
        for (size_t b = 0; b < EP_NFLAGS; b++) c.flagged[b] += (any[i] & ep_flag_infos[b].bit) != 0;
    free(any);
    return c;
}

static void flag_row(struct ep_rep *r, const struct ep_groups *s, const struct count *c, size_t b, const char *word, const char *doc,
                     size_t step, struct ep_str *o)
{
    size_t flagged = 0, pixels = 0, at = 0;
    struct ep_str where = {0};
    for (size_t k = 0; k < s->n; k++)
        for (size_t i = 0; i < s->v[k].n; i++, at++) {
            size_t n = b < EP_NFLAGS ? c[at].flagged[b] : c[at].silent;
            pixels += c[at].pixels;
            flagged += n;
            if (n) ep_str_addf(&where, "%s%s: %zu", where.n ? "; " : "", ep_rep_where(r, s->v[k].node[i]), n);
        }
    if (flagged) {
        ep_html_addf(o, "<tr><th scope=\"row\"><a href=\"#step-%zu\">%s</a></th><td><code>%s</code> %s</td>", step,
                     r->g->recipe->steps[step].name, word, doc);
        ep_html_addf(o, "<td class=\"n\">%zu of %zu</td><td>%s</td></tr>\n", flagged, pixels, where.s);
    }
    ep_str_free(&where);
}

void ep_rep_flags(struct ep_rep *r, struct ep_str *o)
{
    struct ep_str rows = {0};
    for (size_t step = 0; step < r->g->recipe->nsteps; step++) {
        struct ep_groups s = ep_rep_groups(r, step);
        size_t n = 0;
        struct count *c = ep_xcalloc(r->g->nnodes + 1, sizeof *c);
        for (size_t k = 0; k < s.n; k++)
            for (size_t i = 0; i < s.v[k].n; i++) c[n++] = count_node(r, s.v[k].node[i]);
        for (size_t b = 0; b < EP_NFLAGS; b++) flag_row(r, &s, c, b, ep_flag_infos[b].word, ep_flag_infos[b].doc, step, &rows);
        flag_row(r, &s, c, EP_NFLAGS, "", "no value, and no flag that says why", step, &rows);
        free(c);
    }
    if (rows.n) {
        ep_rep_table_begin(o, "Pixels that carry a flag, per step. A pixel's flags go on to what is made of it.");
        ep_rep_columns(o, "step|flag|pixels|where");
        ep_str_addn(o, rows.s, rows.n);
        ep_str_add(o, "</tbody>");
        ep_rep_table_end(o);
    } else ep_str_add(o, "<p>No pixel of any map carries a flag.</p>\n");
    ep_str_free(&rows);
}
