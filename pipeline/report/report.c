/* The page: its head, its sections, and what of the values fits. */
#include "pipeline/base/mem.h"
#include "pipeline/report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/data/flags.h"
#include "pipeline/draw/colour.h"
#include "pipeline/engine/graph_parts.h"
#include "pipeline/io/file.h"
#include "pipeline/report/parts.h"

#define MARK "<meta name=\"generator\" content=\"eelpipe report\">"
#define LIMIT 4800000

/* One output of a step over all its runs; or all its single values (output ""). A figure or a series shows it, or another output of its
 * step; measured: it has sigmas; passed: the step's results go on to other steps. */
struct block { size_t step; const char *output; enum ep_kind kind; int rank; bool measured, shown, beside, passed; struct ep_str html; bool left_out; };
struct blocks { size_t n, cap; struct block *v; };

/* ---- which outputs --------------------------------------------------------------------------------------------- */

static struct block *block_of(struct blocks *b, size_t step, const char *output)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].step == step && !strcmp(b->v[i].output, output)) return &b->v[i];
    EP_PUSH(b->v, b->n, b->cap);
    b->v[b->n - 1].step = step;
    b->v[b->n - 1].output = output;
    b->v[b->n - 1].rank = 2;
    return &b->v[b->n - 1];
}

/* Rank -1: what figures and series show, 0: what a step is for, 1: what other steps use, 2: what else there is. */
static void add_outputs(struct blocks *b, const struct ep_node *n)
{
    for (size_t k = 0; k < n->decl.nout; k++) {
        const struct ep_desc *d = &n->decl.out[k];
        if (d->kind == EP_IMAGE || d->kind == EP_FILE || d->kind == EP_CURVE) continue;
        bool value = d->kind == EP_MAP && d->nnav == 0;
        struct block *x = block_of(b, n->step, value ? "" : d->name);
        x->kind = d->kind;
        x->measured |= d->has_sigma && !value;
        if (d->primary || value) x->rank = 0;
    }
}

static bool block_named(const struct blocks *b, size_t step, const char *output)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].step == step && !strcmp(b->v[i].output, output)) return true;
    return false;
}

/* A figure or a series shows what a recipe is for; beside an output that others use, one that is merely the first of its step stands back. */
static void add_use(struct blocks *b, const struct ep_node *from, const char *name, bool shown)
{
    for (size_t k = 0; k < b->n; k++) {
        struct block *x = &b->v[k];
        if (x->step != from->step) continue;
        x->passed |= !shown;
        bool value = !*x->output && !block_named(b, from->step, name);      /* one of its single values */
        if (!value && strcmp(x->output, name)) x->beside |= shown;
        else x->shown |= shown, x->rank = x->rank > 1 ? 1 : x->rank;
    }
}

static void add_uses(struct blocks *b, const struct ep_node *n)
{
    for (size_t p = 0; n->item && p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_node *from = n->item[p][i].node;
            if (!from || from->is_look || from->step == n->step || n->item[p][i].out >= from->decl.nout) continue;
            add_use(b, from, from->decl.out[n->item[p][i].out].name, n->s->nover > 0);
        }
}

static struct blocks find_blocks(const struct ep_graph *g)
{
    struct blocks b = {0};
    for (size_t i = 0; i < g->nnodes; i++)
        if (ep_rep_asked(g->node[i])) add_outputs(&b, g->node[i]);
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->node[i]->asked) add_uses(&b, g->node[i]);
    for (size_t i = 0; i < b.n; i++) b.v[i].rank = b.v[i].shown ? -1 : b.v[i].beside && b.v[i].rank == 0 ? 1 : b.v[i].rank;
    return b;
}

static void fill(struct ep_rep *r, struct block *x, bool values)
{
    if (!*x->output) ep_rep_values(r, x->step, &x->html);
    else if (x->kind == EP_MAP) ep_rep_maps(r, x->step, x->output, values, &x->html);
    else if (x->kind == EP_TABLE) ep_rep_table(r, x->step, x->output, &x->html);
    else ep_rep_lines(r, x->step, x->output, &x->html);
}

static bool fits(struct ep_rep *r, struct block *x, bool values, size_t used, size_t room)
{
    if (used > room) return false;
    fill(r, x, values);
    if (x->html.n <= room - used) return true;
    ep_str_free(&x->html);
    return false;
}

/* The most wanted first. A seventh of the room is kept for maps whose values are too much: they are there as pictures. Of the least
 * wanted maps, the first that does not fit ends the search for room: there may be hundreds. */
static void fill_blocks(struct ep_rep *r, struct blocks *b, size_t room)
{
    size_t used = 0;
    bool full = false;
    for (int rank = -1; rank < 3; rank++)
        for (size_t i = 0; i < b->n; i++) {
            struct block *x = &b->v[i];
            if (x->rank != rank) continue;
            bool map = *x->output && x->kind == EP_MAP, there = !(map && full) && fits(r, x, true, used, map ? room - room / 7 : room);
            if (!there && map && rank < 2) there = fits(r, x, false, used, room);
            full |= !there && map && rank == 2;
            x->left_out = !there;
            used += x->html.n;
            r->tally.left_out += !there;
        }
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static bool whole_file(const char *path, struct ep_str *out)
{
    char part[65536];
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    for (size_t n; out->n < (size_t)1 << 26 && (n = fread(part, 1, sizeof part, f)) > 0;) ep_str_addn(out, part, n);
    bool ok = !ferror(f) && feof(f) && out->n;
    fclose(f);
    return ok;
}

static char *beside(const struct ep_node *n, const char *name)
{
    for (size_t k = 0; k < n->decl.nout; k++)
        if (n->decl.out[k].kind == EP_FILE && !strcmp(n->decl.out[k].name, name)) return ep_node_beside(n, k);
    return NULL;
}

/* A picture drawn by a step, as SVG (in an <img>: no script of it runs) or PNG. */
static bool figure(struct ep_rep *r, const struct ep_node *n, struct ep_str *o)
{
    static const char *const forms[][2] = {{"svg", "image/svg+xml"}, {"png", "image/png"}};
    struct ep_str bytes = {0};
    const char *type = NULL, *state = ep_rep_state(r, n);
    for (size_t k = 0; !type && k < 2; k++) {
        char *path = beside(n, forms[k][0]);
        if (path && whole_file(path, &bytes)) type = forms[k][1];
        else ep_str_free(&bytes);
        free(path);
    }
    if (type) {
        ep_html_addf(o, "<figure><img class=\"figure\" alt=\"Figure %s%s%s; its numbers stand in the tables and maps of the steps it is drawn from\" "
                     "src=\"data:%s;base64,", n->name, *n->where ? ", " : "", n->where, type);
        ep_html_base64(o, bytes.s, bytes.n);
        ep_html_addf(o, "\"><figcaption>%s%s%s%s%s</figcaption></figure>\n", n->name, *n->where ? ", " : "", *n->where ? ep_rep_where(r, n) : "",
                     strcmp(state, "up to date") ? ": " : "", strcmp(state, "up to date") ? state : "");
    }
    ep_str_free(&bytes);
    char *path = beside(n, "methods.txt");
    if (path && whole_file(path, &bytes)) ep_html_addf(o, "<details><summary>Methods</summary><pre tabindex=\"0\">%s</pre></details>\n", bytes.s);
    ep_str_free(&bytes);
    free(path);
    return type != NULL;
}

void ep_rep_figures(struct ep_rep *r, struct ep_str *o)
{
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *n = r->g->node[i];
        if (ep_rep_asked(n) && (n->state == EP_NODE_DONE || n->state == EP_NODE_STALE)) (void)figure(r, n, o);
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static void left_out(struct ep_str *o, const struct blocks *b, size_t step)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].step == step && b->v[i].left_out)
            ep_html_addf(o, n++ ? ", <code>%s</code>" : "<p class=\"note\">Not in this page, to keep it small; the result files have them: <code>%s</code>", b->v[i].output);
    if (n) ep_str_add(o, ".</p>\n");
}

/* Series first: the tables that `collect` and `onset` make of many runs. */
static bool is_summary(const struct ep_rep *r, size_t step)
{
    const struct ep_step *s = &r->g->recipe->steps[step];
    return s->nover > 0;
}

/* What the recipe ends in, and its maps of what was measured. */
static bool on_paper(const struct ep_rep *r, const struct block *x)
{
    return x->shown || (x->rank == 0 && is_summary(r, x->step)) || (x->rank == 0 && (!x->passed || (x->kind == EP_MAP && x->measured)));
}

static void step_section(struct ep_rep *r, const struct blocks *b, size_t step, struct ep_str *o)
{
    const struct ep_step *s = &r->g->recipe->steps[step];
    size_t n = 0, bad = 0, content = 0;
    bool drawn = false;
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *m = r->g->node[i];
        if (m->step != step || !ep_rep_asked(m)) continue;
        n++;
        for (size_t k = 0; k < m->decl.nout; k++) drawn |= m->decl.out[k].kind == EP_FILE;
        bad += strcmp(ep_rep_state(r, m), "up to date") != 0;
    }
    bool shown = bad > 0;
    for (size_t i = 0; i < b->n; i++) shown |= b->v[i].step == step && on_paper(r, &b->v[i]) && b->v[i].html.n;
    ep_html_addf(o, "<section class=\"%s\" id=\"step-%zu\"><h3>%s <small>%s</small></h3><p>%s</p>\n",
                 shown ? "step" : "step detail", step, s->name, s->stage->name, s->stage->summary);
    if (bad) ep_html_addf(o, "<p class=\"bad\">%zu of %zu results of this step are not as the recipe asks: <a href=\"#states\">which, and why</a>.</p>\n", bad, n);
    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i].step != step) continue;
        if (b->v[i].html.n) ep_str_addf(o, "<div class=\"%s\">\n", on_paper(r, &b->v[i]) ? "primary" : "detail");
        ep_str_addn(o, b->v[i].html.s ? b->v[i].html.s : "", b->v[i].html.n);
        if (b->v[i].html.n) ep_str_add(o, "</div>\n");
        content += b->v[i].html.n + b->v[i].left_out;
    }
    left_out(o, b, step);
    if (drawn) ep_str_add(o, "<p class=\"note\">Drawn above, under Figures.</p>\n");
    else if (!content && n) ep_str_add(o, "<p class=\"note\">Nothing to be shown as numbers: spectrum images pass on to later steps, curves and pictures stand in files.</p>\n");
    ep_str_add(o, "</section>\n");
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

static void head(struct ep_rep *r, struct ep_str *o)
{
    ep_str_add(o, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" MARK "\n");
    ep_str_add(o, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; script-src ");
    ep_html_sha256(o, ep_rep_script, ep_rep_script_size);
    ep_str_add(o, "; style-src ");
    ep_html_sha256(o, ep_rep_style, ep_rep_style_size);
    ep_str_add(o, "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    ep_html_addf(o, "<title>%s – eelpipe</title>\n<style>", ep_base_name(r->g->recipe->path));
    ep_str_addn(o, ep_rep_style, ep_rep_style_size);
    ep_str_add(o, "</style>\n</head>\n");
}

static void colours(struct ep_str *o)
{
    unsigned char rgb[256][3];
    for (int i = 0; i < 256; i++) ep_colour_of(EP_VIRIDIS, i / 255.0, rgb[i]);
    ep_str_add(o, "<script type=\"application/json\" id=\"page\">{\"colours\":\"");
    ep_html_base64(o, rgb, sizeof rgb);
    ep_str_add(o, "\",\"flags\":[");
    for (size_t i = 0; i < EP_NFLAGS; i++)
        ep_str_addf(o, "%s[%u,\"%s\",\"%s\"]", i ? "," : "", (unsigned)ep_flag_infos[i].bit, ep_flag_infos[i].word, ep_flag_infos[i].doc);
    ep_str_add(o, "]}</script>\n");
}

static void navigation(struct ep_rep *r, struct ep_str *o, bool figures)
{
    ep_str_add(o, "<nav aria-label=\"Sections\"><ul>");
    if (figures) ep_str_add(o, "<li><a href=\"#figures\">Figures</a></li>");
    ep_str_add(o, "<li><a href=\"#summary\">Series</a></li><li><a href=\"#steps\">Steps</a></li><li><a href=\"#flags\">Flags</a></li>"
                  "<li><a href=\"#runs\">Runs and overrides</a></li><li><a href=\"#recipe\">Recipe</a></li>"
                  "<li><a href=\"#origin\">Where it comes from</a></li></ul>\n<p>Steps: ");
    for (size_t i = 0; i < r->g->recipe->nsteps; i++)
        ep_html_addf(o, "%s<a href=\"#step-%zu\">%s</a>", i ? ", " : "", i, r->g->recipe->steps[i].name);
    ep_str_add(o, "</p></nav>\n");
}

static void section(struct ep_str *o, const char *id, const char *title, const struct ep_str *body)
{
    ep_html_addf(o, "<section id=\"%s\"><h2>%s</h2>\n", id, title);
    ep_str_addn(o, body->s ? body->s : "", body->n);
    ep_str_add(o, "</section>\n");
}

void ep_report_html(const struct ep_graph *g, const struct ep_report_opts *opts, struct ep_str *out, struct ep_report_tally *t)
{
    struct ep_rep r = {.g = g, .o = opts, .made = ep_xcalloc(g->nnodes + 1, sizeof(struct ep_made))};
    struct ep_str states = {0}, figures = {0}, series = {0}, steps = {0}, flags = {0}, runs = {0}, recipe = {0}, origin = {0};
    size_t limit = opts->limit ? opts->limit : LIMIT, asked = 0;
    ep_rep_flags(&r, &flags); /* opens most results, step by step */
    ep_rep_states(&r, &states);
    ep_rep_figures(&r, &figures);
    ep_rep_runs(&r, &runs);
    ep_rep_recipe(&r, &recipe);
    ep_rep_origin(&r, &origin);
    struct blocks b = find_blocks(g);
    size_t fixed = states.n + figures.n + flags.n + runs.n + recipe.n + origin.n + 30000 + 600 * g->recipe->nsteps;
    fill_blocks(&r, &b, limit > fixed ? limit - fixed : 0);
    for (size_t i = 0; i < g->recipe->nsteps; i++) step_section(&r, &b, i, is_summary(&r, i) ? &series : &steps);
    for (size_t k = 0; k < g->runs->n; k++) asked += !g->runs->v[k].skip;

    head(&r, out);
    ep_html_addf(out, "<body>\n<a class=\"skip\" href=\"#main\">To the results</a>\n<header><h1>%s</h1>\n<p>%zu runs, %zu steps; eelpipe %s.</p>\n",
                 ep_base_name(g->recipe->path), asked, g->recipe->nsteps, opts->version);
    ep_str_add(out, "<div id=\"states\">");
    ep_str_addn(out, states.s ? states.s : "", states.n);
    ep_str_add(out, "</div>\n");
    navigation(&r, out, figures.n > 0);
    ep_str_add(out, "<p class=\"paper\">Printed: what the recipe ends in, of maps the run that was chosen. Everything else, with all fingerprints, stands in the page.</p>\n</header>\n"
                    "<main id=\"main\">\n");
    if (figures.n) section(out, "figures", "Figures", &figures);
    if (!series.n) ep_str_add(&series, "<p class=\"note\">No step of the recipe collects over runs.</p>\n");
    section(out, "summary", "Series", &series);
    section(out, "steps", "Steps", &steps);
    section(out, "flags", "Flags", &flags);
    section(out, "runs", "Runs and overrides", &runs);
    section(out, "recipe", "Recipe", &recipe);
    section(out, "origin", "Where it comes from", &origin);
    ep_str_add(out, "</main>\n");
    colours(out);
    ep_str_add(out, "<script>");
    ep_str_addn(out, ep_rep_script, ep_rep_script_size);
    ep_str_add(out, "</script>\n</body>\n</html>\n");

    struct ep_str *all[] = {&states, &figures, &series, &steps, &flags, &runs, &recipe, &origin};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ep_str_free(all[i]);
    for (size_t i = 0; i < b.n; i++) ep_str_free(&b.v[i].html);
    free(b.v);
    *t = r.tally;
    ep_rep_close(&r);
    ep_arena_free(&r.arena);
    free(r.made);
}

ep_status ep_report_may_replace(const char *path, struct ep_err *e)
{
    char start[512] = "";
    FILE *f = fopen(path, "rb");
    if (!f) return errno == ENOENT || errno == ENOTDIR ? EP_OK : ep_fail(e, EP_E_OUTPUT, "can't write %s: %s", path, strerror(errno));
    size_t n = fread(start, 1, sizeof start - 1, f);
    bool bad = ferror(f);
    fclose(f);
    if (!bad && (n == 0 || strstr(start, MARK))) return EP_OK;
    return ep_fail(e, EP_E_OUTPUT, "can't write %s: there is something that is no report of eelpipe: move it away, or write elsewhere with --to", path);
}
