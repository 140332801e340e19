/* Which runs a panel shows, and what they are called. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/io/csv.h"
#include "stages/figure_plan.h"

static bool shared_by(const struct ep_item *it, size_t k)
{
    return it->shared >> k & 1;
}

static bool same(const struct ep_coord *a, const struct ep_coord *b)
{
    return a->number && b->number ? a->num == b->num : strcmp(a->text, b->text) == 0;
}

/* ---- selection ---------------------------------------------------------------------------------------------- */

/* "temperature=25": the length of the name, 0 without "=". */
static size_t name_length(const char *text)
{
    const char *eq = strchr(text, '=');
    return eq ? (size_t)(eq - text) : 0;
}

static bool chooses(const char *text, const struct ep_coord *c)
{
    size_t n = name_length(text);
    double x;
    if (!n || strlen(c->name) != n || strncmp(text, c->name, n)) return false;
    return c->number && ep_parse_number(text + n + 1, &x) ? x == c->num : strcmp(text + n + 1, c->text) == 0;
}

/* Conditions on one coordinate are alternatives; without any all values are shown. */
static bool wanted(const struct ep_panel_par *p, const struct ep_coord *c)
{
    bool asked = false;
    for (size_t i = 0; i < p->where.n; i++) {
        size_t n = name_length(p->where.v[i]);
        asked |= strlen(c->name) == n && !strncmp(p->where.v[i], c->name, n);
        if (chooses(p->where.v[i], c)) return true;
    }
    return !asked;
}

static int by_value(const void *a, const void *b)
{
    const struct ep_coord *x = *(const struct ep_coord *const *)a, *y = *(const struct ep_coord *const *)b;
    if (x->number && y->number) return x->num < y->num ? -1 : x->num > y->num;
    return strcmp(x->text, y->text);
}

bool ep_figure_has_run(const struct ep_items *in, const char *where)
{
    for (size_t k = 0; k < in->n; k++)
        for (size_t c = 0; c < in->v[k].ncoord; c++)
            if (!shared_by(&in->v[k], c) && chooses(where, &in->v[k].coord[c])) return true;
    return false;
}

/* The value that a condition names, of a run that is not there: its place stays empty, but has its name. */
static const struct ep_coord *absent(const struct ep_coord *like, const char *where, struct ep_arena *a)
{
    struct ep_coord *c = EP_ARENA_NEW(a, struct ep_coord);
    *c = *like;
    c->text = where + name_length(where) + 1;
    if (like->number && !ep_parse_number(c->text, &c->num)) return NULL;
    return c;
}

static struct ep_values values_of(const struct ep_items *in, const struct ep_panel_par *p, size_t k, struct ep_arena *a)
{
    const struct ep_coord *like = &in->v[0].coord[k];
    const char *unit = like->unit ? like->unit : "";
    struct ep_values out = {like->name, unit, like->number, 0, EP_ARENA_ARRAY(a, const struct ep_coord *, in->n + p->where.n + 1)};
    for (size_t i = 0; i < in->n; i++) {
        const struct ep_coord *c = &in->v[i].coord[k];
        bool again = shared_by(&in->v[i], k) || !wanted(p, c);
        for (size_t j = 0; j < out.n && !again; j++) again = same(out.v[j], c);
        if (!again) out.v[out.n++] = c;
    }
    for (size_t i = 0; i < p->where.n; i++) {
        bool mine = name_length(p->where.v[i]) == strlen(like->name) && !strncmp(p->where.v[i], like->name, strlen(like->name));
        const struct ep_coord *c = mine && !ep_figure_has_run(in, p->where.v[i]) ? absent(like, p->where.v[i], a) : NULL;
        if (c) out.v[out.n++] = c;
    }
    qsort(out.v, out.n, sizeof *out.v, by_value);
    return out;
}

static const char *check_where(const struct ep_items *in, const struct ep_panel_par *p, struct ep_arena *a)
{
    for (size_t i = 0; i < p->where.n; i++) {
        bool found = false;
        double x;
        for (size_t c = 0; in->n && c < in->v[0].ncoord && !found; c++) {
            const struct ep_coord *q = &in->v[0].coord[c];
            size_t n = name_length(p->where.v[i]);
            found = n && n == strlen(q->name) && !strncmp(p->where.v[i], q->name, n) && (!q->number || ep_parse_number(p->where.v[i] + n + 1, &x));
        }
        if (!found)
            return ep_arena_printf(a, "where: '%s' chooses nothing: write coordinate=value, of a coordinate that `over` names", p->where.v[i]);
    }
    return NULL;
}

bool ep_figure_runs(const struct ep_items *in, const struct ep_panel_par *p, struct ep_arena *a, struct ep_runs_shown *out, const char **why)
{
    size_t ncoord = in->n ? in->v[0].ncoord : 0, along = ncoord;
    memset(out, 0, sizeof *out);
    out->nrows = 1;
    *why = check_where(in, p, a);
    if (*why) return false;
    for (size_t k = 0; k < ncoord; k++) {
        const struct ep_coord *c = &in->v[0].coord[k];
        if (p->along ? !strcmp(p->along, c->name) : c->number || (along == ncoord && k + 1 == ncoord)) along = k;
    }
    if (p->along && along == ncoord) {
        *why = ep_arena_printf(a, "along: `over` names no coordinate '%s'", p->along);
        return false;
    }
    if (ncoord > EP_FIGURE_COORDS) {
        *why = ep_arena_printf(a, "at most %d coordinates can be collected in a figure", EP_FIGURE_COORDS);
        return false;
    }
    for (size_t k = 0; k < ncoord; k++) {
        struct ep_values v = values_of(in, p, k, a);
        if (k == along) out->along = v;
        else if (v.n) out->nrows *= v.n, out->other[out->nother++] = v;
    }
    return true;
}

const struct ep_coord *ep_figure_other(const struct ep_runs_shown *r, size_t row, size_t k)
{
    for (size_t i = r->nother; i-- > k + 1;) row /= r->other[i].n;
    return r->other[k].v[row % r->other[k].n];
}

static bool fits(const struct ep_item *it, const struct ep_coord *want)
{
    for (size_t k = 0; want && k < it->ncoord; k++)
        if (!strcmp(it->coord[k].name, want->name)) return shared_by(it, k) || same(&it->coord[k], want);
    return true;
}

const struct ep_item *ep_figure_item(const struct ep_items *in, const char *label, const struct ep_runs_shown *r, size_t row,
                                     const struct ep_coord *along)
{
    for (size_t i = 0; label && i < in->n; i++) {
        const struct ep_item *it = &in->v[i];
        bool ok = !strcmp(it->label, label) && fits(it, along);
        for (size_t k = 0; ok && k < r->nother; k++) ok = fits(it, ep_figure_other(r, row, k));
        if (ok) return it->missing || !it->whole ? NULL : it;
    }
    return NULL;
}

static bool among(const struct ep_values *v, const struct ep_coord *c)
{
    for (size_t i = 0; i < v->n; i++)
        if (same(v->v[i], c)) return true;
    return v->n == 0;
}

bool ep_figure_shows(const struct ep_runs_shown *r, const struct ep_item *it)
{
    for (size_t k = 0; k < it->ncoord; k++) {
        const struct ep_coord *c = &it->coord[k];
        if (shared_by(it, k)) continue;
        if (r->along.name && !strcmp(r->along.name, c->name) && !among(&r->along, c)) return false;
        for (size_t i = 0; i < r->nother; i++)
            if (!strcmp(r->other[i].name, c->name) && !among(&r->other[i], c)) return false;
    }
    return true;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* What `names` ("ncm003=NCM (003)") calls a text, or the text. */
static const char *called(const struct ep_panel *p, const char *text)
{
    for (size_t i = 0; i < p->fig->names.n; i++) {
        size_t n = name_length(p->fig->names.v[i]);
        if (n == strlen(text) && !strncmp(p->fig->names.v[i], text, n)) return p->fig->names.v[i] + n + 1;
    }
    return text;
}

const char *ep_figure_value(const struct ep_panel *p, const struct ep_coord *c)
{
    char unit[64];
    ep_unit_text(c->unit ? c->unit : "", 0, unit, sizeof unit);
    if (!c->number) return called(p, c->text);
    return ep_arena_printf(&p->page->arena, "%s%s%s%s", c->num < 0 ? "\u2212" : "", c->text + (c->num < 0 && c->text[0] == '-'), *unit ? " " : "", unit);
}

const char *ep_figure_result(const struct ep_panel *p, size_t k)
{
    return k < p->par->labels.n ? p->par->labels.v[k] : called(p, p->par->show.v[k]);
}

const char *ep_figure_row(const struct ep_panel *p, size_t show, size_t row)
{
    struct ep_str s = {0};
    for (size_t k = 0; k < p->runs.nother; k++)
        if (p->runs.other[k].n > 1) ep_str_addf(&s, "%s%s", s.n ? ", " : "", ep_figure_value(p, ep_figure_other(&p->runs, row, k)));
    if (show == SIZE_MAX) (void)0;
    else if (p->par->show.n > 1 || (p->par->labels.n && p->par->kind == EP_PANEL_MAPS)) ep_str_addf(&s, "%s%s", s.n ? ", " : "", ep_figure_result(p, show));
    const char *text = ep_arena_strdup(&p->page->arena, s.s ? s.s : "");
    ep_str_free(&s);
    return text;
}

void ep_figure_letter(size_t i, char out[8])
{
    if (i < 26) snprintf(out, 8, "%c", (char)('a' + i));
    else snprintf(out, 8, "%c%c", (char)('a' + i / 26 - 1), (char)('a' + i % 26));
}

const char *ep_figure_name(const struct ep_panel *p, const char *what)
{
    return ep_arena_printf(&p->page->arena, "%s/%s", p->letter, what);
}

struct ep_heading ep_figure_heading(struct ep_panel *p, double width)
{
    double font = p->style.font, line = 1.2 * font;
    struct ep_heading h = {.indent = p->fig->letters < 2 ? 1.9 * font : 0};
    bool keyed = p->par->kind == EP_PANEL_MAPS && p->par->boundary;
    const char *title = p->par->title ? p->par->title : "";
    double words = ep_text_width(p->page, title, font, false), key = keyed ? ep_figure_overlay_key(p, 0, 0, false) : 0;
    bool below = keyed && words > 0 && words > width - h.indent - key - font;
    h.key = key;
    h.n = ep_text_wrap(p->page, title, font, false, width - h.indent, sizeof h.line / sizeof *h.line, h.line);
    h.key_down = below ? line * (double)h.n : 0;
    size_t lines = h.n + below > 0 ? h.n + below : keyed || p->par->kind != EP_PANEL_MAPS;
    h.height = lines ? 1.5 * font + line * (double)(lines - 1) : 0;
    return h;
}

void ep_figure_draw_heading(struct ep_panel *p)
{
    struct ep_heading h = ep_figure_heading(p, p->box.w);
    double size = 1.2 * p->style.font, base = p->box.y + 0.75 * size;
    char text[8];
    snprintf(text, sizeof text, "%s", p->letter);
    for (char *c = text; p->fig->letters == 1 && *c; c++) *c = (char)(*c - 'a' + 'A');
    const char *name = ep_figure_name(p, "letter");
    if (p->fig->letters < 2) ep_page_text(p->page, name, p->box.x, base, text, size, EP_START)->bold = true;
    for (size_t i = 0; i < h.n; i++)
        ep_page_text(p->page, ep_figure_name(p, "title"), p->box.x + h.indent, base + size * (double)i, h.line[i], p->style.font, EP_START);
    if (h.key > 0) ep_figure_overlay_key(p, p->box.x + p->box.w, p->box.y + h.key_down, true);
}

/* ---- source data -------------------------------------------------------------------------------------------- */

static void add_name(struct ep_str *s, const struct ep_values *v)
{
    struct ep_str text = {0};
    ep_str_addf(&text, "%s%s%s%s", v->name, *v->unit ? " (" : "", v->unit, *v->unit ? ")" : "");
    ep_str_add(s, ",");
    ep_csv_text(s, text.s);
    ep_str_free(&text);
}

void ep_figure_csv_head(struct ep_panel *p, const char *columns)
{
    ep_str_add(p->csv, "result");
    for (size_t k = 0; k < p->runs.nother; k++) add_name(p->csv, &p->runs.other[k]);
    if (p->runs.along.n) add_name(p->csv, &p->runs.along);
    ep_str_addf(p->csv, ",%s\n", columns);
}

void ep_figure_csv_run(struct ep_panel *p, size_t show, size_t row, const struct ep_coord *along)
{
    ep_csv_text(p->csv, p->par->show.v[show]);
    for (size_t k = 0; k < p->runs.nother; k++) {
        ep_str_add(p->csv, ",");
        ep_csv_text(p->csv, ep_figure_other(&p->runs, row, k)->text);
    }
    if (!p->runs.along.n) return;
    ep_str_add(p->csv, ",");
    if (along) ep_csv_text(p->csv, along->text);
}

void ep_figure_csv_numbers(struct ep_panel *p, size_t n, const double *v)
{
    for (size_t i = 0; i < n; i++) {
        ep_str_add(p->csv, ",");
        ep_csv_number(p->csv, v[i]);
    }
    ep_str_add(p->csv, "\n");
}
