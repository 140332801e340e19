/* Verb preview: the spectrum of a pixel or region with a step's windows, fit, net and residual. It is how windows are chosen.
 *
 * Steps of its own are put behind those of the recipe and computed in a scratch folder: crops of what goes into the
 * step and comes out of it at one pixel (no more of the file is read than that needs), or, of a region, the sum spectrum with
 * the step's parameters applied to it. So what is seen is what the step computes, whatever stands before it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/json.h"
#include "pipeline/cli/preview.h"
#include "pipeline/io/result.h"

static const struct cli_option preview_options[] = {
    {"--at", "Y,X", "the pixel: row and column, counted from 0"},
    {"--region", "NAME", "the sum over a mask of the recipe instead, as of a step `region`"},
    {"--to", "FILE", "draw it: .png, .pdf or .svg; left out, as text"},
    {"--runs", "'COORD=X'", "of which run (default: the first)"},
    {"--set", "KEY=VALUE", "set a value of the recipe, as in steps.o_net.window=500,524"},
    {"--threads", "N", "workers"},
    {"--quiet", NULL, "only errors"},
    {"--help", NULL, "this text"},
    {NULL, NULL, NULL}};

#define SOURCE "preview_source"     /* names of the steps that are added */
#define NET "preview_net"
#define FIT "preview_fit"

/* ---- which step ---------------------------------------------------------------------------------------------- */

/* Outputs of a step that a preview can show. */
struct shown { const struct ep_step *fit, *step; const char *source, *net, *model; bool residual; };

static bool has_output(const struct ep_step *s, const char *name)
{
    for (size_t i = 0; i < s->stage->noutputs; i++)
        if (!strcmp(s->stage->outputs[i].name, name) && s->stage->outputs[i].kind == EP_IMAGE) return true;
    return false;
}

/* The step itself if it fits something, or the one whose result it takes. */
static bool find_fit(const struct ep_recipe *r, const struct ep_step *step, struct shown *out)
{
    *out = (struct shown){.step = step};
    const struct ep_step *from = step->port[0].n && step->port[0].v[0].kind == EP_REF_STEP ? &r->steps[step->port[0].v[0].index] : NULL;
    const struct ep_step *try[2] = {step, from};
    for (int i = 0; i < 2 && !out->fit; i++) {
        if (!try[i]) continue;
        bool net = has_output(try[i], "net") && has_output(try[i], "background"), residual = has_output(try[i], "residual");
        if (!net && !residual) continue;
        out->fit = try[i];
        out->net = net ? "net" : "residual";
        out->model = net ? "background" : NULL;
        out->residual = residual && !net;
    }
    const struct ep_step *first = out->fit ? out->fit : step;
    out->source = first->port[0].n ? first->port[0].v[0].text : NULL;
    return out->source != NULL;
}

static const struct ep_step *step_named(const struct ep_recipe *r, const char *name)
{
    for (size_t i = 0; i < r->nsteps; i++)
        if (!strcmp(r->steps[i].name, name)) return &r->steps[i];
    return NULL;
}

static const struct ep_node *node_of(const struct ep_graph *g, const struct ep_step *s)
{
    for (size_t i = 0; i < g->nnodes; i++)
        if (g->node[i]->s == s && !g->node[i]->is_look) return g->node[i];
    return NULL;
}

/* ---- the added steps ----------------------------------------------------------------------------------------- */

/* The recipe with more steps, as a tree; and their names, joined by commas. */
struct plan { struct ep_arena *a; struct ep_diag *d; struct ep_value *root; const char *only; };

static void put(struct plan *p, const char *path, const char *yaml)
{
    struct ep_value *v = ep_yaml_parse(p->a, yaml, strlen(yaml), "preview", p->d);
    if (v) p->root = ep_value_with(p->a, p->root, path, v);
}

static const char *crop_of(struct plan *p, const char *input, const struct ep_desc *d, const long at[2])
{
    if (d->nnav == 0) {                     /* a spectrum: all of it */
        double a = ep_axis_at(&d->energy, -0.5), b = ep_axis_at(&d->energy, (double)d->energy.size - 0.5);
        return ep_arena_printf(p->a, "{stage: crop, input: %s, energy: [%.17g, %.17g]}", input, fmin(a, b), fmax(a, b));
    }
    if (d->nnav == 1) return ep_arena_printf(p->a, "{stage: crop, input: %s, columns: [%ld, %ld], keep: true}", input, at[1], at[1] + 1);
    return ep_arena_printf(p->a, "{stage: crop, input: %s, rows: [%ld, %ld], columns: [%ld, %ld], keep: true}", input, at[0], at[0] + 1, at[1], at[1] + 1);
}

static void add_step(struct plan *p, const char *name, const char *step)
{
    put(p, ep_arena_printf(p->a, "steps.%s", name), step);
    p->only = p->only ? ep_arena_printf(p->a, "%s,%s", p->only, name) : name;
}

static void plan_pixel(struct plan *p, const struct shown *w, const struct ep_desc *d, const long at[2])
{
    add_step(p, SOURCE, crop_of(p, w->source, d, at));
    if (!w->fit) return;
    add_step(p, NET, crop_of(p, ep_arena_printf(p->a, "%s.%s", w->fit->name, w->net), d, at));
    if (w->model) add_step(p, FIT, crop_of(p, ep_arena_printf(p->a, "%s.%s", w->fit->name, w->model), d, at));
}

/* The fit's own mapping, on the sum spectrum. */
static void plan_region(struct plan *p, const struct shown *w, const char *region)
{
    struct ep_str text = {0};
    add_step(p, SOURCE, ep_arena_printf(p->a, "{stage: sum_spectrum, input: %s, mask: %s}", w->source, region));
    if (!w->fit) return;
    ep_str_add(&text, "{");
    for (size_t i = 0; i < w->fit->val->n; i++) {
        const char *key = w->fit->val->keys[i];
        if (!strcmp(key, "input") || !strcmp(key, "keep")) continue;
        ep_json_key(&text, key);
        ep_value_json(&text, w->fit->val->items[i]);
    }
    ep_json_key(&text, "input");
    ep_json_str(&text, SOURCE);
    ep_json_key(&text, "keep");
    ep_str_add(&text, "true}");
    add_step(p, NET, text.s);
    ep_str_free(&text);
}

/* ---- results -------------------------------------------------------------------------------------------------- */

static ep_status load(const struct ep_graph *g, const char *step, const char *output, struct ep_signal **out, struct ep_err *e)
{
    for (size_t i = 0; i < g->nnodes; i++) {
        const struct ep_node *n = g->node[i];
        if (strcmp(n->s->name, step) || n->is_look) continue;
        struct ep_file *f;
        size_t index;
        ep_status st = ep_file_open(n->path, &f, e);
        if (st) return st;
        st = ep_file_find(f, output, EP_IMAGE | EP_SPECTRUM, &index, e);
        if (!st) st = ep_file_load(f, index, (size_t)1 << 28, out, e);
        ep_file_close(f);
        return st;
    }
    return ep_fail(e, EP_E_COMPUTE, "%s was not computed", step);
}

/* Energies of the pixel's own axis, and values; the fit from what is left of it where the step says only that. */
static ep_status take_lines(struct cli_session *s, const struct shown *w, bool region, struct preview *p, struct ep_err *e)
{
    struct ep_signal *in = NULL, *net = NULL, *fit = NULL;
    ep_status st = load(&s->graph, SOURCE, NULL, &in, e);
    if (!st && w->fit) st = load(&s->graph, NET, region ? w->net : NULL, &net, e);
    if (!st && w->model) st = load(&s->graph, region ? NET : FIT, region ? w->model : NULL, &fit, e);
    if (!st && (in->n != ep_desc_nch(&in->d) || (net && net->n != in->n) || (fit && fit->n != in->n)))
        st = ep_fail(e, EP_E_COMPUTE, "the step changes the channels: preview one that keeps them");
    if (!st) {
        struct ep_arena *a = &s->arena;
        p->residual = w->residual;
        p->n = in->n;
        p->unit = ep_arena_strdup(a, in->d.unit[0] ? in->d.unit : "counts");
        p->x = EP_ARENA_ARRAY(a, double, in->n + 1), p->y = EP_ARENA_ARRAY(a, double, in->n + 1);
        p->fit = w->fit ? EP_ARENA_ARRAY(a, double, in->n + 1) : NULL;
        p->sigma = EP_ARENA_ARRAY(a, double, in->n + 1);
        for (size_t i = 0; i < in->n; i++) {
            p->x[i] = ep_axis_at(&in->d.energy, (double)i) + (in->shift ? in->shift[0] : 0);
            p->y[i] = ep_signal_get(in, i);
            if (p->fit) p->fit[i] = fit ? ep_signal_get(fit, i) : p->y[i] - ep_signal_get(net, i);
            p->sigma[i] = p->fit ? sqrt(fmax(0, in->d.gain * p->fit[i]) + in->d.read_noise * in->d.read_noise) : (double)NAN;
        }
    }
    ep_signal_free(in);
    ep_signal_free(net);
    ep_signal_free(fit);
    return st;
}

/* Every window in eV among the parameters of a step. */
static void add_windows(struct cli_session *s, const struct ep_step *step, bool fit, struct preview *p)
{
    const struct ep_node *n = node_of(&s->graph, step);
    for (const struct ep_param *q = n ? step->stage->params : NULL; q && q->name; q++) {
        const void *at = (const char *)n->par + q->offset;
        const struct ep_windows *all = at;
        const double(*w)[2] = q->type == EP_P_WINDOW ? at : q->type == EP_P_WINDOWS ? (const void *)all->w : NULL;
        if (!w || !q->unit || strcmp(q->unit, "eV")) continue;
        size_t count = q->type == EP_P_WINDOWS ? all->n : isfinite(w[0][0]) && isfinite(w[0][1]);
        const char *name = ep_arena_printf(&s->arena, "%s.%s", step->name, q->name);
        bool fitted = fit && (!strncmp(q->name, "window", 6) || !strcmp(q->name, "range"));      /* not what is counted, or fitted by itself */
        for (size_t i = 0; i < count && p->nwindow < PREVIEW_WINDOWS; i++)
            p->window[p->nwindow++] = (struct preview_window){name, w[i][0], w[i][1], fitted};
    }
}

/* ---- the verb ------------------------------------------------------------------------------------------------- */

static bool parse_pixel(const char *text, long at[2])
{
    char *end;
    at[0] = strtol(text, &end, 10);
    if (*end != ',' || end == text) return false;
    const char *second = end + 1;
    at[1] = strtol(second, &end, 10);
    return end != second && !*end && at[0] >= 0 && at[1] >= 0;
}

static int check_pixel(struct cli *c, const char *step, const char *source, const struct ep_desc *d, const char *asked, const long at[2])
{
    size_t ny = d->nnav > 1 ? ep_desc_ny(d) : 1, nx = ep_desc_nx(d);
    if (d->nnav == 0) {
        if (asked) ep_log_warn(&c->log, "--at %s is not used: step %s works on one spectrum, %s", asked, step, source);
        return 0;
    }
    if (!asked) return cli_usage(&cli_preview, "say which pixel: --at Y,X (%zu rows, %zu columns), or --region NAME", ny, nx);
    if (d->nnav == 3) return cli_usage(&cli_preview, "step %s works on a series of frames: only single ones can be looked at", step);
    if ((size_t)at[0] < ny && (size_t)at[1] < nx) return 0;
    return cli_usage(&cli_preview, "--at %s: the image has %zu rows and %zu columns", asked, ny, nx);
}

static int tell(struct cli *c, const struct preview *p, const char *to)
{
    struct ep_str out = {0};
    struct ep_err e = {0};
    ep_status st = EP_OK;
    if (!to) preview_text(p, 78, 20, &out);
    else st = preview_draw(p, to, &out, &e);
    if (!to) fputs(out.s, stdout);
    else if (!st) st = ep_write_text(to, out.s, out.n, &e);
    ep_str_free(&out);
    if (st) ep_log_error(&c->log, "%s", e.msg);
    else if (to) ep_log_info(&c->log, "%s", to);
    return st == EP_OK ? EXIT_DONE : st == EP_E_OUTPUT ? EXIT_OUTPUT : st == EP_E_RECIPE ? EXIT_USAGE : EXIT_SOME_FAILED;
}

/* The recipe again, with the added steps, in the scratch folder. */
static int compute(struct cli *c, const struct cli_args *args, const struct plan *q, const char *folder, const char *run, const struct shown *w,
                   struct preview *p)
{
    struct cli_session s;
    struct cli_args more = {.threads = args->threads, .runs = *run ? run : NULL, .operand = args->operand, .n = 1, .only = q->only};
    struct ep_str text = {0};
    memset(&s, 0, sizeof s);
    s.told = true;                 /* warnings: by the recipe as it stands */
    s.graph.by_time = true;        /* one pixel of a large file must not cost a reading of all of it */
    ep_value_json(&text, q->root);
    s.recipe = ep_recipe_from_text(&s.arena, ep_arena_strdup(&s.arena, text.s), text.n, args->operand[0], folder, 0, NULL, &s.diag);
    ep_str_free(&text);
    enum ep_log_level level = c->log.level;
    if (level == EP_LOG_NORMAL) c->log.level = EP_LOG_QUIET;
    int code = s.recipe ? cli_open_recipe(c, &s, &more, false) : EXIT_USAGE;
    if (!s.recipe) ep_diag_print(&s.diag, stderr);
    if (!code) code = cli_execute(c, &s, &more, "preview");
    c->log.level = level;
    struct ep_err e = {0};
    struct shown here = *w;
    if (!code) here.step = step_named(s.recipe, w->step->name), here.fit = w->fit ? step_named(s.recipe, w->fit->name) : NULL;
    if (!code && take_lines(&s, &here, args->region != NULL, p, &e)) {
        ep_log_error(&c->log, "%s", e.msg);
        code = EXIT_SOME_FAILED;
    }
    if (!code) code = tell(c, p, args->to);
    cli_close(&s);
    return code;
}

/* With results in the scratch folder. */
static struct ep_value *copy_of_root(struct cli_session *s)
{
    const char *output = strchr(cli_scratch_output(s, "preview"), '=') + 1;
    struct ep_value *v = ep_yaml_parse(&s->arena, output, strlen(output), "preview", &s->diag);
    return ep_value_with(&s->arena, s->recipe->root, "output", v);
}

static int preview(struct cli *c, const struct cli_args *args)
{
    struct cli_session s;
    struct cli_args plain = {.threads = args->threads, .runs = args->runs, .operand = args->operand, .n = 1, .nset = args->nset, .set = args->set};
    const char *name = args->operand[1];
    long at[2] = {0, 0};
    if (args->at && !parse_pixel(args->at, at)) return cli_usage(&cli_preview, "--at takes a row and a column, as in --at 3,12, not '%s'", args->at);
    int code = cli_open(c, &s, args->operand[0], &plain, true);
    const struct ep_step *step = code ? NULL : step_named(s.recipe, name);
    if (!code && !step) code = cli_usage(&cli_preview, "the recipe has no step '%s'", name);
    struct shown w = {0};
    if (!code && !find_fit(s.recipe, step, &w)) code = cli_usage(&cli_preview, "step %s has no spectra to look at", name);
    const struct ep_node *n = code ? NULL : node_of(&s.graph, w.fit ? w.fit : step);
    const struct ep_desc *d = n && n->item && n->nitem[0] ? n->item_store[0][0].d : NULL;
    const char *why = n && n->err.code ? n->err.msg : "";
    if (!code && (!d || !d->spectral)) code = cli_usage(&cli_preview, "step %s has no spectra to look at%s%s", name, *why ? ": " : "", why);
    if (!code && !args->region) code = check_pixel(c, name, w.source, d, args->at, at);
    if (!code) {
        struct plan q = {.a = &s.arena, .d = &s.diag, .root = copy_of_root(&s)};
        struct preview p = {0};
        if (args->region) plan_region(&q, &w, args->region);
        else plan_pixel(&q, &w, d, at);
        add_windows(&s, step, step == w.fit, &p);
        if (w.fit && w.fit != step) add_windows(&s, w.fit, true, &p);
        const char *what = args->region;
        if (!what) what = d->nnav ? ep_arena_printf(&s.arena, "pixel %s", args->at) : ep_arena_printf(&s.arena, "spectrum %s", w.source);
        p.title = ep_arena_printf(&s.arena, "%s, %s%s", name, what, n->where[0] ? ep_arena_printf(&s.arena, " (%s)", n->where) : "");
        code = compute(c, args, &q, s.recipe->folder, n->run->label, &w, &p);
    }
    cli_close(&s);
    return code;
}

static int preview_verb(struct cli *c, size_t n, char **words)
{
    struct ep_arena a = {0};
    struct cli_args args;
    int code = EXIT_USAGE;
    if (cli_parse(c, &cli_preview, n, words, &a, &args)) {
        if (args.help) code = EXIT_DONE;
        else if (args.n != 2) code = cli_usage(&cli_preview, "it needs a recipe and a step: eelpipe preview config.yaml o_net --at 3,12");
        else if (args.at && args.region) code = cli_usage(&cli_preview, "--at or --region, not both");
        else code = preview(c, &args);
    }
    ep_arena_free(&a);
    return code;
}

const struct cli_verb cli_preview = {"preview", "RECIPE STEP", "The spectrum, windows, fit and net of a step at one pixel.", preview_options, preview_verb};
