/* Where everything comes from: states, runs and what differs in them, the recipe, results back to raw files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/report/parts.h"

/* ---- what is there and what is not ----------------------------------------------------------------------------- */

static const char *const states[] = {"up to date", "out of date", "not computed", "can't be computed", "unreadable"};
enum { STATES = sizeof states / sizeof *states };

static size_t state_of(struct ep_rep *r, const struct ep_node *n)
{
    const char *word = ep_rep_state(r, n);
    size_t k = 0;
    while (k + 1 < STATES && strcmp(states[k], word)) k++;
    return k;
}

static void why(struct ep_str *o, const struct ep_node *n)
{
    if (n->state == EP_NODE_BLOCKED && !n->cause && n->err.msg[0]) ep_html_text(o, n->err.msg);
    else ep_html_text(o, n->reason);
}

void ep_rep_states(struct ep_rep *r, struct ep_str *o)
{
    size_t count[STATES] = {0}, all = 0;
    for (size_t i = 0; i < r->g->nnodes; i++) {
        if (!ep_rep_asked(r->g->node[i])) continue;
        count[state_of(r, r->g->node[i])]++;
        all++;
    }
    r->tally.shown = count[0] + count[1];
    r->tally.stale = count[1];
    r->tally.absent = count[2] + count[3];
    r->tally.unreadable = count[4];
    if (count[0] == all) {
        ep_html_addf(o, "<p class=\"good\">All %zu results are there and up to date.</p>\n", all);
        return;
    }
    ep_html_addf(o, "<p class=\"bad\">Of %zu results", all);
    for (size_t k = 0, n = 0; k < STATES; k++)
        if (count[k]) ep_html_addf(o, "%s %zu %s %s", n++ ? "," : "", count[k], count[k] == 1 ? "is" : "are", states[k]);
    ep_str_add(o, ".</p>\n");
    ep_rep_table_begin(o, "Results that are not as the recipe asks. Those out of date are shown as they are, and say so; `eelpipe run` computes what it can.");
    ep_rep_columns(o, "step|run|state|why");
    for (size_t i = 0; i < r->g->nnodes; i++) {
        const struct ep_node *n = r->g->node[i];
        if (!ep_rep_asked(n) || !state_of(r, n)) continue;
        ep_html_addf(o, "<tr><th scope=\"row\">%s</th><td>%s</td><td>%s</td><td>", n->name, ep_rep_where(r, n), ep_rep_state(r, n));
        why(o, n);
        ep_str_add(o, "</td></tr>\n");
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

static void sets(struct ep_str *o, size_t n, const struct ep_set *set)
{
    for (size_t k = 0; k < n; k++) {
        struct ep_str v = {0};
        ep_value_json(&v, set[k].val);
        ep_html_addf(o, k ? "<br><code>%s: %s</code>" : "<code>%s: %s</code>", set[k].path, v.s);
        ep_str_free(&v);
    }
}

static void overrides(struct ep_rep *r, struct ep_str *o)
{
    const struct ep_recipe *q = r->g->recipe;
    if (!q->noverrides) {
        ep_str_add(o, "<p>The recipe overrides nothing in single runs.</p>\n");
        return;
    }
    ep_rep_table_begin(o, "Overrides: what differs in single runs, and why");
    ep_rep_columns(o, "when|set|because");
    for (size_t i = 0; i < q->noverrides; i++) {
        const struct ep_override *v = &q->overrides[i];
        ep_str_add(o, "<tr><td>");
        for (size_t k = 0; k < v->nwhen; k++) ep_html_addf(o, "%s%s = %s", k ? ", " : "", q->coords[v->when[k].coord].name, v->when[k].text);
        ep_str_add(o, "</td><td>");
        sets(o, v->nset, v->set);
        ep_html_addf(o, "</td><td>%s</td></tr>\n", v->because ? v->because : "(no reason is given)");
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

void ep_rep_runs(struct ep_rep *r, struct ep_str *o)
{
    const struct ep_recipe *q = r->g->recipe;
    overrides(r, o);
    if (r->o->nset) ep_str_add(o, "<p>The command line has changed, against the recipe below:</p><ul>");
    for (size_t i = 0; i < r->o->nset; i++) ep_html_addf(o, "<li><code>%s</code></li>", r->o->set[i]);
    if (r->o->nset) ep_str_add(o, "</ul>\n");
    ep_rep_table_begin(o, "Runs: one binding of the coordinates each");
    ep_rep_columns(o, "run|inputs it lacks|set for it|note");
    for (size_t k = 0; k < r->g->runs->n; k++) {
        const struct ep_run *run = &r->g->runs->v[k];
        size_t lacks = 0;
        ep_html_addf(o, "<tr><th scope=\"row\">%s</th><td>", *run->label ? run->label : "the only one");
        for (size_t i = 0; i < q->ninputs; i++)
            if (!run->input[i]) ep_html_addf(o, "%s%s", lacks++ ? ", " : "", q->inputs[i].name);
        ep_str_add(o, "</td><td>");
        sets(o, run->nset, run->set);
        for (size_t i = 0; i < run->nbecause; i++) ep_html_addf(o, "<br>because: %s", run->because[i]);
        ep_html_addf(o, "</td><td>%s%s%s</td></tr>\n", run->skip ? "skipped" : "", run->skip && run->note ? ": " : "",
                     run->note ? run->note : "");
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

/* ---- the recipe ------------------------------------------------------------------------------------------------ */

void ep_rep_recipe(struct ep_rep *r, struct ep_str *o)
{
    const struct ep_recipe *q = r->g->recipe;
    ep_str_add(o, "<pre tabindex=\"0\">");
    ep_html_textn(o, q->text, q->text_len);
    ep_str_add(o, "</pre>\n");
    if (!r->g->diag->nwarnings) return;
    ep_html_addf(o, "<h3>What `check` warns of</h3><ul>\n");
    for (size_t i = 0; i < r->g->diag->n; i++) {
        const struct ep_diag_item *d = &r->g->diag->items[i];
        if (!d->warning) continue;
        ep_str_add(o, "<li>");
        if (d->pos.line) ep_html_addf(o, "line %d, column %d: ", d->pos.line, d->pos.col);
        ep_html_addf(o, "%s</li>\n", d->msg);
    }
    ep_str_add(o, "</ul>\n");
}

/* ---- results back to raw files ---------------------------------------------------------------------------------- */

static size_t node_id(const struct ep_graph *g, const struct ep_node *n)
{
    size_t i = 0;
    while (i < g->nnodes && g->node[i] != n) i++;
    return i;
}

static size_t raw_id(const struct ep_graph *g, const struct ep_raw *w)
{
    size_t i = 0;
    while (i < g->nraws && g->raw[i] != w) i++;
    return i;
}

static void inputs(struct ep_rep *r, struct ep_str *o, const struct ep_node *n)
{
    size_t seen = 0;
    for (size_t p = 0; n->item && p < n->stage->nports; p++)
        for (size_t i = 0; i < n->nitem[p]; i++) {
            const struct ep_source_ref *s = &n->item[p][i];
            if (!s->node && !s->raw) continue;
            size_t id = s->node ? node_id(r->g, s->node) : raw_id(r->g, s->raw);
            ep_html_addf(o, "%s<a href=\"#%s%zu\">%s</a>", seen++ ? ", " : "", s->node ? "r" : "f", id, s->label);
        }
    if (n->look) ep_html_addf(o, "%s<a href=\"#r%zu\">%s</a>", seen ? ", " : "", node_id(r->g, n->look), n->look->name);
}

static void node_row(struct ep_rep *r, struct ep_str *o, size_t i)
{
    const struct ep_node *n = r->g->node[i];
    const struct ep_made *made = ep_rep_made(r, n);
    ep_html_addf(o, "<tr id=\"r%zu\"><th scope=\"row\">%s</th><td>%s</td><td>", i, n->name, ep_rep_where(r, n));
    if (made) ep_html_addf(o, "<code>%s</code></td><td><code class=\"hash\">%s</code>", ep_rep_path(r, n->path), made->fingerprint);
    else ep_html_addf(o, "%s</td><td>", ep_rep_state(r, n));
    if (made && strcmp(made->fingerprint, n->fingerprint.hex))
        ep_html_addf(o, " out of date; now wanted: <code class=\"hash\">%s</code>", n->fingerprint.hex);
    if (made && strcmp(made->version, r->o->version)) ep_html_addf(o, " (eelpipe %s)", made->version);
    ep_str_add(o, "</td><td>");
    inputs(r, o, n);
    ep_str_add(o, "</td></tr>\n");
}

static void results(struct ep_rep *r, struct ep_str *o)
{
    ep_rep_table_begin(o, "Results. The fingerprint of a result covers the stage and its version, all parameters, and the fingerprints of its inputs.");
    ep_rep_columns(o, "step|run|file|fingerprint|made from");
    for (size_t i = 0; i < r->g->nnodes; i++) node_row(r, o, i);
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

static void raws(struct ep_rep *r, struct ep_str *o)
{
    ep_rep_table_begin(o, "Raw files. The content fingerprint covers the dataset's header, the axes and metadata that are read, and the stored values; it is XXH3-128.");
    ep_rep_columns(o, "file|signal|content|with the recipe's options|options");
    for (size_t i = 0; i < r->g->nraws; i++) {
        const struct ep_raw *w = r->g->raw[i];
        struct ep_str par = {0};
        struct ep_input_par options = w->par;
        options.path = ep_rep_path(r, w->path);
        ep_params_json(&par, ep_input_params, &options);
        ep_html_addf(o, "<tr id=\"f%zu\"><th scope=\"row\"><code>%s</code></th><td>%s</td>", i, ep_rep_path(r, w->path),
                     w->signal ? w->signal : w->d.name);
        if (w->err.code) ep_html_addf(o, "<td colspan=\"2\">%s</td>", w->err.msg);
        else ep_html_addf(o, "<td><code class=\"hash\">%s</code></td><td><code class=\"hash\">%s</code></td>", w->content.hex, w->fingerprint.hex);
        ep_html_addf(o, "<td><code class=\"json\">%s</code></td></tr>\n", par.s);
        ep_str_free(&par);
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

/* The parameters of each step: once where all runs have the same. */
static void parameters(struct ep_rep *r, struct ep_str *o)
{
    ep_rep_table_begin(o, "Parameters, defaults included, as this recipe asks for them");
    ep_rep_columns(o, "step|stage|runs|parameters");
    for (size_t step = 0; step < r->g->recipe->nsteps; step++) {
        struct ep_groups s = ep_rep_groups(r, step);
        size_t n = 0, total = 0;
        for (size_t k = 0; k < s.n; k++) total += s.v[k].n;
        struct { char *json; struct ep_str where; size_t runs; } *kind = ep_xcalloc(total + 1, sizeof *kind);
        for (size_t k = 0; k < s.n; k++)
            for (size_t i = 0; i < s.v[k].n; i++) {
                struct ep_str par = {0};
                size_t m = 0;
                if (s.v[k].node[i]->par) ep_params_json(&par, s.v[k].node[i]->stage->params, s.v[k].node[i]->par);
                else ep_str_add(&par, "not known");
                while (m < n && strcmp(kind[m].json, par.s)) m++;
                if (m == n) kind[n++].json = ep_arena_strdup(&r->arena, par.s);
                ep_str_addf(&kind[m].where, "%s%s", kind[m].runs++ ? "; " : "", ep_rep_where(r, s.v[k].node[i]));
                ep_str_free(&par);
            }
        const struct ep_step *q = &r->g->recipe->steps[step];
        for (size_t m = 0; m < n; m++) {
            ep_html_addf(o, "<tr><th scope=\"row\">%s</th><td>%s, version %d</td>", q->name, q->stage->name, (int)q->stage->version);
            ep_html_addf(o, "<td>%s</td><td><code class=\"json\">%s</code></td></tr>\n", n == 1 ? "all" : kind[m].where.s, kind[m].json);
        }
        for (size_t m = 0; m < n; m++) ep_str_free(&kind[m].where);
        free(kind);
    }
    ep_str_add(o, "</tbody>");
    ep_rep_table_end(o);
}

void ep_rep_origin(struct ep_rep *r, struct ep_str *o)
{
    ep_html_addf(o, "<p>From each result the links lead back to what it was made from, down to the raw files. Made by eelpipe %s.</p>\n", r->o->version);
    ep_str_add(o, "<h3>Parameters</h3>");
    parameters(r, o);
    ep_str_add(o, "<h3>Raw files</h3>");
    raws(r, o);
    ep_str_add(o, "<h3>Results</h3>");
    results(r, o);
}
