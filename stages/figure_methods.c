/* What was done to all that a figure shows, in words for the Methods section: read from the chain that every result carries. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stages/figure_plan.h"
#include "stages/registry.h"

struct link { const struct ep_value *v; const char *stage; size_t nout; struct ep_hash *out; };   /* hash of each of its outputs */
struct chain { size_t n; struct link *v; const struct ep_value *figure; };

static const char *text_of(const struct ep_value *map, const char *key)
{
    const struct ep_value *v = ep_value_get(map, key);
    return v && v->text ? v->text : "";
}

/* Outputs are named in inputs by the hash of "<fingerprint>.<output>". */
static void read_chain(struct ep_arena *a, const struct ep_value *list, struct chain *c)
{
    c->v = EP_ARENA_ARRAY(a, struct link, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct ep_value *outs = ep_value_get(list->items[i], "outputs");
        struct link *l = &c->v[c->n++];
        *l = (struct link){list->items[i], text_of(list->items[i], "stage"), outs ? outs->n : 0, NULL};
        l->out = EP_ARENA_ARRAY(a, struct ep_hash, l->nout + 1);
        for (size_t k = 0; k < l->nout; k++)
            l->out[k] = ep_hash_text(ep_arena_printf(a, "%s.%s", text_of(l->v, "fingerprint"), outs->items[k]->text));
    }
    if (c->n) c->figure = c->v[c->n - 1].v;
}

static const struct link *made_by(const struct chain *c, const char *hash)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->v[i].nout; k++)
            if (!strcmp(c->v[i].out[k].hex, hash)) return &c->v[i];
    return NULL;
}

/* ---- parameters --------------------------------------------------------------------------------------------- */

static void add_value(struct ep_str *s, const struct ep_param *q, const struct ep_value *v)
{
    bool window = v->kind == EP_V_LIST && v->n == 2 && (q->type == EP_P_WINDOW || q->type == EP_P_WINDOWS) && v->items[0]->kind == EP_V_NUMBER;
    if (window) ep_str_addf(s, "%s\u2013%s", v->items[0]->text, v->items[1]->text);
    else if (v->kind == EP_V_LIST)
        for (size_t i = 0; i < v->n; i++) {
            ep_str_add(s, i ? ", " : "");
            add_value(s, q, v->items[i]);
        }
    else if (v->kind == EP_V_MAP) {
        ep_str_add(s, "(");
        for (size_t i = 0; i < v->n; i++) {
            ep_str_addf(s, "%s%s ", i ? ", " : "", v->keys[i]);
            add_value(s, q, v->items[i]);
        }
        ep_str_add(s, ")");
    } else ep_str_add(s, v->text);
}

/* "window 505–524 eV, method ml": what is set; a list of nothing and null say nothing. */
static void add_parameters(struct ep_str *s, const struct link *l)
{
    const struct ep_stage *st = ep_stage_find(l->stage);
    const struct ep_value *par = ep_value_get(l->v, "parameters");
    bool any = false;
    for (const struct ep_param *q = st ? st->params : NULL; q && q->name; q++) {
        const struct ep_value *v = ep_value_get(par, q->name);
        if (!v || v->kind == EP_V_NULL || (v->kind == EP_V_LIST && v->n == 0)) continue;
        ep_str_addf(s, "%s%s ", any ? ", " : " (", q->name);
        add_value(s, q, v);
        if (q->unit && *q->unit) ep_str_addf(s, " %s", q->unit);
        any = true;
    }
    if (any) ep_str_add(s, ")");
}

/* "integrate (window 55–65 eV) of background (...) of the raw data": along first inputs. */
static void add_story(struct ep_str *s, const struct chain *c, const struct link *l, unsigned depth)
{
    ep_str_add(s, l->stage);
    add_parameters(s, l);
    const struct ep_value *in = ep_value_get(l->v, "inputs");
    const struct link *from = in && in->n ? made_by(c, text_of(in->items[0], "fingerprint")) : NULL;
    ep_str_add(s, " of ");
    if (from && depth < 64) add_story(s, c, from, depth + 1);
    else ep_str_add(s, "the data as taken");
}

/* ---- results ------------------------------------------------------------------------------------------------ */

/* Runs whose parameters differ (overrides) tell different stories: each is told, with the run of the first that has it. */
static void tell_result(struct ep_str *s, const struct chain *c, const struct ep_items *in, const char *label, const struct ep_value *inputs)
{
    struct ep_str told[8] = {{0}};
    size_t n = 0;
    for (size_t i = 0; i < in->n && i < inputs->n && n < 8; i++) {
        if (strcmp(in->v[i].label, label) || in->v[i].missing) continue;
        const struct link *l = made_by(c, text_of(inputs->items[i], "fingerprint"));
        struct ep_str one = {0};
        bool again = false;
        if (l) add_story(&one, c, l, 0);
        else ep_str_add(&one, "the data as taken");
        for (size_t k = 0; k < n && !again; k++) again = !strcmp(told[k].s, one.s);
        if (again) {
            ep_str_free(&one);
            continue;
        }
        for (size_t k = 0; n && k < in->v[i].ncoord; k++)
            ep_str_addf(s, "%s%s %s", k ? ", " : "; with other parameters from ", in->v[i].coord[k].name, in->v[i].coord[k].text);
        ep_str_addf(s, "%s%s", n ? " on: " : "", one.s);
        told[n++] = one;
    }
    for (size_t k = 0; k < n; k++) ep_str_free(&told[k]);
    if (!n) ep_str_add(s, "not available");
}

static void tell_division(struct ep_str *s, const struct ep_panel_par *p)
{
    if (isnan(p->normalize[0])) ep_str_add(s, ". Each spectrum is divided by its largest value in view");
    else ep_str_addf(s, ". Each spectrum is divided by its mean from %g to %g eV", p->normalize[0], p->normalize[1]);
    if (p->stack > 0) ep_str_addf(s, " and shifted by %g of that above the one before", p->stack);
}

static void tell_panel(struct ep_str *s, const struct chain *c, const struct ep_items *in, const struct ep_panel_par *p, size_t i,
                       const struct ep_value *inputs)
{
    char letter[8];
    ep_figure_letter(i, letter);
    ep_str_addf(s, "Panel %s: ", letter);
    for (size_t k = 0; k < p->show.n; k++) {
        ep_str_addf(s, "%s%s is ", k ? ". " : "", p->show.v[k]);
        tell_result(s, c, in, p->show.v[k], inputs);
    }
    if (p->kind == EP_PANEL_MAPS) ep_str_add(s, ". Colours span ");
    for (size_t k = 0; p->kind == EP_PANEL_MAPS && k < p->range.n; k++) ep_str_addf(s, "%s%g to %g", k ? ", " : "", p->range.w[k][0], p->range.w[k][1]);
    if (p->kind == EP_PANEL_MAPS) {
        if (p->range.n < p->show.n) ep_str_addf(s, "%sall values but 0.5 %% at each end", p->range.n ? " and, of the other scales, " : "");
        ep_str_add(s, "; pixels without a value are grey");
    }
    if (p->kind == EP_PANEL_SPECTRA) tell_division(s, p);
    if (p->bands && (p->kind == EP_PANEL_PROFILES || p->kind == EP_PANEL_SPECTRA)) ep_str_add(s, ". Bands are one standard deviation");
    if (p->kind == EP_PANEL_VALUES) ep_str_add(s, ". Error bars are one standard deviation");
    if (p->fronts.n) ep_str_add(s, ". Fronts: "), tell_result(s, c, in, p->fronts.v[0], inputs);
    ep_str_add(s, ".\n");
}

static void tell_stages(struct ep_str *s, const struct chain *c)
{
    ep_str_add(s, "Steps used: ");
    size_t told = 0;
    for (size_t i = 0; i + 1 < c->n; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++) again |= !strcmp(c->v[k].stage, c->v[i].stage);
        const struct ep_stage *st = ep_stage_find(c->v[i].stage);
        if (again || !st) continue;
        ep_str_addf(s, "%s%s, version %s (%s)", told++ ? "; " : "", st->name, text_of(c->v[i].v, "version"), st->reference);
    }
    ep_str_add(s, ".\n");
}

void ep_figure_methods(const struct ep_figure_par *par, const struct ep_prepare *p, struct ep_str *out)
{
    struct ep_arena a = {0};
    struct ep_diag d = {0};
    struct chain c = {0};
    const struct ep_value *list = p->chain ? ep_yaml_parse(&a, p->chain, strlen(p->chain), "chain", &d) : NULL;
    if (list && list->kind == EP_V_LIST) read_chain(&a, list, &c);
    ep_str_addf(out, "The data were evaluated with eelpipe %s; every standard deviation is propagated from counting statistics. ", p->version ? p->version : "");
    ep_str_addf(out, "Fingerprint of the figure: %s.\n", p->fingerprint ? p->fingerprint : "none");
    const struct ep_value *inputs = c.figure ? ep_value_get(c.figure, "inputs") : NULL;
    const struct ep_panel_par *panel = par->panels.v;
    for (size_t i = 0; inputs && i < par->panels.n; i++) tell_panel(out, &c, &p->in[0], &panel[i], i, inputs);
    if (c.n) tell_stages(out, &c);
    ep_diag_free(&d);
    ep_arena_free(&a);
}
