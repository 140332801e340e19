/* Figures for publication: panels of maps, spectra, profiles and values on one page, drawn to PDF, SVG and PNG. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/figure_plan.h"

static const char *const kind_words[] = { "maps", "spectra", "profiles", "values", NULL };
static const char *const share_words[] = { "result", "all", "row", NULL };
static const char *const letter_words[] = { "lower", "upper", "none", NULL };
static const char *const formats[] = { "pdf", "svg", "png", NULL };

#define AT(m) .offset = offsetof(struct ep_panel_par, m)
static const struct ep_param panel_params[] = {
    { .name = "kind", .type = EP_P_WORD, AT(kind), .words = kind_words, .required = true,
      .doc = "A montage of maps, spectra one above the other, profiles with bands of one sigma, or values against a coordinate." },
    { .name = "show", .type = EP_P_TEXTS, AT(show), .port = "input", .required = true, .min_items = 1, .max_items = 12,
      .doc = "The results to show, by their names in the recipe: rows of a montage, lines of a chart." },
    { .name = "where", .type = EP_P_TEXTS, AT(where), .max_items = 100,
      .doc = "Which runs to show, as coordinate=value; several of one coordinate are alternatives; left out, all." },
    { .name = "along", .type = EP_P_TEXT, AT(along),
      .doc = "The coordinate along the columns of a montage, the lines of a chart, the x axis of values; left out, the one that is a number." },
    { .name = "span", .type = EP_P_NUMBER, AT(span), .unit = "", .def = "1", .min = 0.05, .max = 1,
      .doc = "The panel's part of the figure's width; panels fill rows from left to right." },
    { .name = "height", .type = EP_P_NUMBER, AT(height), .unit = "mm", .min = 1e-6, .max = 400,
      .doc = "The height of the panel; left out, that of its maps, or three quarters of a chart's width (at most 60 mm)." },
    { .name = "title", .type = EP_P_TEXT, AT(title), .doc = "A title beside the letter." },
    { .name = "labels", .type = EP_P_TEXTS, AT(labels), .max_items = 12, .doc = "What to call each result of show." },
    { .name = "label", .type = EP_P_TEXT, AT(label), .doc = "What the colour bar, or the y axis, shows; the unit is added." },
    { .name = "range", .type = EP_P_WINDOWS, AT(range), .max_items = 12,
      .doc = "The ends of the y axis, or of the colour scales in turn, as [[0, 3000], [0, 160]]; left out, and for scales that follow, from the data: of "
             "maps all values but half a percent at each end." },
    { .name = "share", .type = EP_P_WORD, AT(share), .def = "result", .words = share_words,
      .doc = "Which maps share a colour scale: those of one result, all, or those of one row." },
    { .name = "colours", .type = EP_P_TEXTS, AT(colours), .max_items = 12,
      .doc = "Colour maps, one for each scale in turn: viridis, magma, cividis, grey, or coolwarm for what has a sign; left out, viridis." },
    { .name = "boundary", .type = EP_P_TEXT, AT(boundary), .port = "input", .doc = "A curve (of `interface`) to draw over maps, dotted white." },
    { .name = "fronts", .type = EP_P_TEXTS, AT(fronts), .port = "input", .max_items = 12,
      .doc = "Fronts (of `front`), one for all results or one for each: dotted yellow over maps, dashed in profiles." },
    { .name = "shift", .type = EP_P_TEXT, AT(shift), .port = "input",
      .doc = "The shift (of `register`) that takes each map to the frame of the boundary." },
    { .name = "scale_bar", .type = EP_P_NUMBER, AT(scale_bar), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The length of the scale bar; left out, a round length of up to a third of a map." },
    { .name = "column", .type = EP_P_TEXT, AT(column), .doc = "The column of tables that values are taken from." },
    { .name = "energy", .type = EP_P_WINDOW, AT(energy), .unit = "eV", .doc = "The energies of spectra to show; left out, all." },
    { .name = "distance", .type = EP_P_WINDOW, AT(distance), .unit = "nm", .doc = "The distances of profiles to show; left out, all." },
    { .name = "windows", .type = EP_P_WINDOWS, AT(windows), .unit = "eV", .max_items = 6, .doc = "Windows to shade behind spectra." },
    { .name = "normalize", .type = EP_P_WINDOW, AT(normalize), .unit = "eV",
      .doc = "The window by whose mean each spectrum is divided; left out, by its largest value in view." },
    { .name = "bands", .type = EP_P_BOOL, AT(bands), .def = "true", .doc = "Bands of one sigma to either side of spectra and profiles, where it is known." },
    { .name = "stack", .type = EP_P_NUMBER, AT(stack), .unit = "", .def = "0.3", .max = 10,
      .doc = "How far each spectrum is shifted above the one before, in units of what it was divided by." },
    EP_PARAM_END
};
#undef AT
#define AT(m) .offset = offsetof(struct ep_figure_par, m)
static const struct ep_param params[] = {
    { .name = "panels", .type = EP_P_RECORDS, AT(panels), .record = panel_params, .record_size = sizeof(struct ep_panel_par), .required = true,
      .min_items = 1, .max_items = 52, .doc = "The panels, in the order of their letters." },
    { .name = "width", .type = EP_P_NUMBER, AT(width), .unit = "mm", .def = "178", .min = 1e-6, .max = 1000,
      .doc = "Of the figure: 85 to 90 for one column of most journals, 170 to 180 for two." },
    { .name = "font", .type = EP_P_TEXT, AT(font), .def = "Liberation Sans", .doc = "The typeface; where it is not installed, Arial, Helvetica, DejaVu Sans." },
    { .name = "font_size", .type = EP_P_NUMBER, AT(font_size), .unit = "", .def = "7", .min = 3, .max = 40,
      .doc = "Of text, in points; letters of panels are larger." },
    { .name = "dpi", .type = EP_P_NUMBER, AT(dpi), .unit = "", .def = "300", .min = 50, .max = 1200, .doc = "Dots per inch of the PNG." },
    { .name = "formats", .type = EP_P_TEXTS, AT(formats), .def = "[pdf, svg, png]", .min_items = 1, .max_items = 3,
      .doc = "The files to draw: pdf, svg, png." },
    { .name = "letters", .type = EP_P_WORD, AT(letters), .def = "lower", .words = letter_words, .doc = "Letters of panels." },
    { .name = "names", .type = EP_P_TEXTS, AT(names), .max_items = 100,
      .doc = "What to call values of coordinates and results, as value=name: [\"ncm003=NCM (003)\"]." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "All results that panels name; it need not be written.", .kinds = EP_MAP | EP_PROFILE | EP_SPECTRUM | EP_CURVE | EP_TABLE,
      .series = true, .min = 0, .max = 0 },
};
static const struct ep_outdoc outputs[] = {
    { "pdf", EP_FILE, "", "Lines and text as such, fonts embedded: <step>.pdf." },
    { "svg", EP_FILE, "", "For editing, text is text: <step>.svg." },
    { "png", EP_FILE, "", "The page as pixels, with its size in it: <step>.png." },
    { "<panel>.csv", EP_FILE, "", "The source data of each panel: <step>.<letter>.csv." },
    { "methods.txt", EP_FILE, "", "Every step, window, model and version behind the figure, for the Methods section: <step>.methods.txt." },
};

/* ---- declare ------------------------------------------------------------------------------------------------ */

/* The item of a result behind *i that a panel draws (runs NULL: of any run), NULL after the last. */
static const struct ep_item *next_item(const struct ep_items *in, const char *label, const struct ep_runs_shown *runs, size_t *i)
{
    while (label && *i < in->n) {
        const struct ep_item *it = &in->v[(*i)++];
        if (it->d && !strcmp(it->label, label) && (!runs || ep_figure_shows(runs, it))) return it;
    }
    return NULL;
}

/* " (sample ncm003, temperature 400)": of which run a mistake is; nothing for what all runs share. */
static const char *of_run(struct ep_declare *d, const struct ep_item *it)
{
    struct ep_str s = { 0 };
    for (size_t k = 0; k < it->ncoord; k++)
        if (!(it->shared >> k & 1)) ep_str_addf(&s, "%s%s %s", s.n ? ", " : " (", it->coord[k].name, it->coord[k].text);
    if (s.n) ep_str_add(&s, ")");
    const char *text = ep_arena_strdup(d->arena, s.s ? s.s : "");
    ep_str_free(&s);
    return text;
}

static void need_kind(struct ep_declare *d, const char *key, const char *label, unsigned kinds, const char *what)
{
    size_t i = 0;
    const struct ep_item *it = next_item(&d->in[0], label, NULL, &i);
    if (it && !(it->d->kind & kinds)) ep_declare_error(d, "panels", "%s: '%s' is a %s: %s is needed", key, label, ep_kind_name(it->d->kind), what);
}

static void check_kinds(struct ep_declare *d, const struct ep_panel_par *p)
{
    static const struct { unsigned kinds; const char *what; } needed[] = {
        { EP_MAP, "a map" }, { EP_SPECTRUM, "a spectrum" }, { EP_PROFILE, "a profile" }, { EP_MAP | EP_TABLE, "a single value or a table" },
    };
    for (size_t k = 0; k < p->show.n; k++) {
        size_t i = 0;
        const struct ep_item *it = next_item(&d->in[0], p->show.v[k], NULL, &i);
        need_kind(d, "show", p->show.v[k], needed[p->kind].kinds, needed[p->kind].what);
        if (!it || it->d->kind != EP_MAP) continue;
        if (p->kind == EP_PANEL_VALUES && it->d->nnav > 0)
            ep_declare_error(d, "panels", "show: '%s' is a map of many pixels: a value against a coordinate needs one for each run, as from a sum spectrum or `region`",
                             p->show.v[k]);
        if (p->kind == EP_PANEL_MAPS && it->d->nnav != 1 && it->d->nnav != 2)
            ep_declare_error(d, "panels", "show: '%s' has no pixels side by side: it can't be drawn as a map", p->show.v[k]);
    }
    need_kind(d, "boundary", p->boundary, EP_CURVE, "a curve, as from `interface`,");
    need_kind(d, "shift", p->shift, EP_TABLE, "the table of a step `register`");
    for (size_t k = 0; k < p->fronts.n; k++) need_kind(d, "fronts", p->fronts.v[k], EP_TABLE, "the table of a step `front`");
}

/* Of the same run, as far as neither is that of several. */
static bool one_run(const struct ep_item *a, const struct ep_item *b)
{
    for (size_t k = 0; k < a->ncoord; k++)
        if (!((a->shared | b->shared) >> k & 1) && strcmp(a->coord[k].text, b->coord[k].text)) return false;
    return true;
}

/* Curves over maps of another scan would lie anywhere. One run of each result is told of, not all. */
static void check_frames(struct ep_declare *d, const struct ep_panel_par *p, const struct ep_runs_shown *runs)
{
    for (size_t k = 0; p->boundary && !p->shift && k < p->show.n; k++) {
        const struct ep_item *map, *curve, *other = NULL;
        for (size_t i = 0; !other && (map = next_item(&d->in[0], p->show.v[k], runs, &i));)
            for (size_t j = 0; !other && (curve = next_item(&d->in[0], p->boundary, runs, &j));)
                if (one_run(map, curve) && !ep_desc_same_frame(curve->d, map->d)) other = map;
        if (other)
            ep_declare_error(d, "panels", "boundary: '%s' and '%s'%s are of different scans, so that their positions need not agree: give `shift`, a step "
                             "`register`, or both inputs the same `frame:` if they do", p->boundary, p->show.v[k], of_run(d, other));
    }
}

/* What a line shows must be on its axis: otherwise the chart stays empty, or is divided by something else. False after a mistake. */
static bool in_view(struct ep_declare *d, const struct ep_panel_par *p, const struct ep_item *it)
{
    bool spectra = p->kind == EP_PANEL_SPECTRA;
    const double *view = spectra ? p->energy : p->distance;
    const char *unit = spectra ? "eV" : "nm";
    if (it->d->kind != (spectra ? EP_SPECTRUM : EP_PROFILE)) return true;
    const struct ep_axis *axis = spectra ? &it->d->energy : &it->d->nav[0];
    double a = ep_axis_at(axis, 0), b = ep_axis_at(axis, (double)axis->size - 1), lo = fmin(a, b), hi = fmax(a, b);
    if (!isnan(view[0]) && (view[1] < lo || view[0] > hi)) {
        ep_declare_error(d, "panels", "%s: '%s'%s has nothing from %g to %g %s: its axis covers %g to %g %s", spectra ? "energy" : "distance",
                         it->label, of_run(d, it), view[0], view[1], unit, lo, hi, unit);
        return false;
    }
    if (!isnan(view[0])) lo = fmax(lo, view[0]), hi = fmin(hi, view[1]);
    double step = fabs(b - a) / fmax(1, (double)axis->size - 1);
    if (!spectra || isnan(p->normalize[0]) || (p->normalize[0] >= lo - step && p->normalize[1] <= hi + step)) return true;
    ep_declare_error(d, "panels", "normalize: the window %g to %g eV does not lie within what is shown of '%s'%s, %g to %g eV",
                     p->normalize[0], p->normalize[1], it->label, of_run(d, it), lo, hi);
    return false;
}

static void check_views(struct ep_declare *d, const struct ep_panel_par *p, const struct ep_runs_shown *runs)
{
    for (size_t k = 0; k < p->show.n; k++) {
        const struct ep_item *it;
        for (size_t i = 0; (it = next_item(&d->in[0], p->show.v[k], runs, &i)) && in_view(d, p, it);) continue;
    }
}

/* Numbers of different units on one axis, or in one colour, would be told by one of them. */
static void check_units(struct ep_declare *d, const struct ep_panel_par *p, const struct ep_runs_shown *runs)
{
    const struct ep_item *first = NULL, *it;
    if (p->kind == EP_PANEL_SPECTRA || (p->kind == EP_PANEL_MAPS && p->share != EP_SHARE_ALL)) return;
    for (size_t k = 0; k < p->show.n; k++)
        for (size_t i = 0; (it = next_item(&d->in[0], p->show.v[k], runs, &i));) {
            if (it->d->kind == EP_TABLE) continue;
            if (!first) first = it;
            if (!strcmp(first->d->unit, it->d->unit)) continue;
            ep_declare_error(d, "panels", "show: '%s'%s is in %s and '%s'%s in %s: they can't share a scale: %s", first->label, of_run(d, first),
                             *first->d->unit ? first->d->unit : "no unit", it->label, of_run(d, it), *it->d->unit ? it->d->unit : "no unit",
                             p->kind == EP_PANEL_MAPS ? "leave out `share: all`" : "give each a panel");
            return;
        }
}

static void check_panel(struct ep_declare *d, const struct ep_panel_par *p)
{
    struct ep_runs_shown runs;
    const char *why;
    bool bound = ep_figure_runs(&d->in[0], p, d->arena, &runs, &why);
    if (!bound) ep_declare_error(d, "panels", "%s", why);
    for (size_t i = 0; i < p->where.n; i++)
        if (!ep_figure_has_run(&d->in[0], p->where.v[i]))
            ep_declare_warn(d, "panels", "where: no run has '%s': its places in the figure stay empty", p->where.v[i]);
    check_kinds(d, p);
    if (bound && p->kind == EP_PANEL_MAPS) check_frames(d, p, &runs);
    if (bound && (p->kind == EP_PANEL_SPECTRA || p->kind == EP_PANEL_PROFILES)) check_views(d, p, &runs);
    if (bound) check_units(d, p, &runs);
    if (p->fronts.n && p->kind == EP_PANEL_MAPS && !p->boundary)
        ep_declare_error(d, "panels", "fronts: a front over a map is counted from a boundary: name it as `boundary:`");
    if (p->kind == EP_PANEL_VALUES && !runs.along.number)
        ep_declare_error(d, "panels", "along: values are shown against a coordinate that is a number: give it a unit in `coordinates`, and name it in `over`");
    for (size_t k = 0; p->kind == EP_PANEL_VALUES && !p->column && k < p->show.n; k++) {
        size_t i = 0;
        const struct ep_item *it = next_item(&d->in[0], p->show.v[k], NULL, &i);
        if (it && it->d->kind == EP_TABLE) ep_declare_error(d, "panels", "column: '%s' is a table: say which of its columns to show", p->show.v[k]);
    }
    for (size_t k = 0; k < p->colours.n; k++) {
        bool known = false;
        for (size_t i = 0; ep_colour_maps[i]; i++) known |= !strcmp(ep_colour_maps[i], p->colours.v[k]);
        if (!known) ep_declare_error(d, "panels", "colours: there is no colour map '%s'; there are viridis, magma, cividis, coolwarm, grey", p->colours.v[k]);
    }
    if (p->kind != EP_PANEL_MAPS && p->range.n > 1) ep_declare_error(d, "panels", "range: a chart has one y axis: give one pair");
    if (p->height < 5) ep_declare_error(d, "panels", "height: %g mm is too low for a panel: give 5 mm or more", p->height);
}

static void declare(struct ep_declare *d)
{
    const struct ep_figure_par *par = d->par;
    const struct ep_panel_par *p = par->panels.v;
    if (par->width < 30) ep_declare_error(d, "width", "%g mm is too narrow for a figure: give 30 mm or more", par->width);
    for (size_t i = 0; i < par->formats.n; i++) {
        bool known = false;
        for (size_t k = 0; formats[k]; k++) known |= !strcmp(formats[k], par->formats.v[i]);
        if (known) ep_declare_output(d, par->formats.v[i], EP_FILE);
        else ep_declare_error(d, "formats", "'%s' can't be drawn: pdf, svg and png can", par->formats.v[i]);
    }
    for (size_t i = 0; i < par->panels.n; i++) {
        char letter[8], name[16];
        ep_figure_letter(i, letter);
        snprintf(name, sizeof name, "%s.csv", letter);
        ep_declare_output(d, name, EP_FILE);
        check_panel(d, &p[i]);
    }
    ep_declare_output(d, "methods.txt", EP_FILE);
}

/* ---- layout ------------------------------------------------------------------------------------------------- */

#define MARGIN 1.0         /* points around the page */
#define BETWEEN 8.0        /* between panels */

/* Panels from `first` on that stand in one row: until their parts exceed the width. */
static size_t row_end(const struct ep_panel_par *p, size_t n, size_t first)
{
    double used = 0;
    size_t i = first;
    while (i < n && (i == first || used + p[i].span <= 1 + 1e-6)) used += p[i++].span;
    return i;
}

static double natural_height(struct ep_panel *q, double width)
{
    if (isfinite(q->par->height)) return q->par->height * EP_PT_PER_MM;
    if (q->par->kind == EP_PANEL_MAPS) return ep_figure_maps_height(q, width);
    return ep_figure_chart_height(q, width);
}

/* Widths by parts, one height for a row: that of its tallest maps, or of its charts. Returns the height of the page. */
static double lay_out(struct ep_panel *panel, size_t n, const struct ep_panel_par *p, double width)
{
    double y = MARGIN;
    for (size_t first = 0, end; first < n; first = end) {
        end = row_end(p, n, first);
        double x = MARGIN, height = 0, head = 0, free_width = width - 2 * MARGIN - BETWEEN * (double)(end - first - 1);
        for (size_t i = first; i < end; i++) head = fmax(head, ep_figure_heading(&panel[i], free_width * p[i].span).height);
        for (size_t i = first; i < end; i++) {
            double w = free_width * p[i].span;
            panel[i].head = head;
            panel[i].box = (struct ep_box){x, y, w, 0};
            height = fmax(height, natural_height(&panel[i], w));
            x += w + BETWEEN;
        }
        for (size_t i = first; i < end; i++) panel[i].box.h = height;
        y += height + BETWEEN;
    }
    return y - BETWEEN + MARGIN;
}

ep_status ep_figure_draw(const struct ep_figure_par *par, const struct ep_prepare *p, struct ep_page **out, struct ep_str *csv, struct ep_err *e)
{
    const struct ep_panel_par *pp = par->panels.v;
    size_t n = par->panels.n;
    double width = par->width * EP_PT_PER_MM;
    ep_status st = ep_draw_ready(e);
    if (st) return st;
    struct ep_str font = { 0 };
    ep_str_addf(&font, "%s, Arial, Helvetica, DejaVu Sans", par->font);
    struct ep_page *page = *out = ep_page_new(width, 0, font.s);
    ep_str_free(&font);
    if (p->fingerprint) page->subject = ep_arena_printf(&page->arena, "eelpipe %s, fingerprint %s", p->version, p->fingerprint);
    struct ep_panel *panel = ep_xcalloc(n + 1, sizeof *panel);
    for (size_t i = 0; i < n; i++) {
        const char *why;
        panel[i] = (struct ep_panel){ .fig = par, .par = &pp[i], .in = &p->in[0], .page = page, .csv = &csv[i], .style = { par->font_size, 0.5, 0.9 } };
        ep_figure_letter(i, panel[i].letter);
        if (!st && !ep_figure_runs(&p->in[0], &pp[i], &page->arena, &panel[i].runs, &why)) st = ep_fail(e, EP_E_COMPUTE, "%s", why);
    }
    if (!st) page->h = lay_out(panel, n, pp, width);
    for (size_t i = 0; !st && i < n; i++)
        if (pp[i].kind == EP_PANEL_MAPS) ep_figure_maps(&panel[i]);
        else ep_figure_chart(&panel[i]);
    free(panel);
    return st;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static ep_status put(struct ep_signal **out, const char *name, struct ep_str *bytes, struct ep_err *e)
{
    ep_str_add(bytes, "");                   /* of nothing, an empty file */
    ep_status st = ep_bytes_new(name, bytes->s, bytes->n, out, e);
    *bytes = (struct ep_str){ 0 };
    return st;
}

static ep_status write_page(const struct ep_page *page, const char *format, double dpi, struct ep_str *bytes, struct ep_err *e)
{
    if (!strcmp(format, "pdf")) return ep_page_pdf(page, bytes, e);
    if (!strcmp(format, "svg")) return ep_page_svg(page, bytes, e);
    return ep_page_png(page, dpi, bytes, e);
}

static ep_status whole(const void *plan, const struct ep_prepare *p, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    const struct ep_figure_par *par = p->par;
    size_t n = par->panels.n, nf = par->formats.n;
    struct ep_page *page = NULL;
    struct ep_str *csv = ep_xcalloc(n + 1, sizeof *csv), bytes = { 0 };
    ep_status st = ep_figure_draw(par, p, &page, csv, e);
    for (size_t i = 0; !st && i < nf; i++) {
        st = write_page(page, par->formats.v[i], par->dpi, &bytes, e);
        if (!st) st = put(&out[i], p->out[i].name, &bytes, e);
    }
    for (size_t i = 0; !st && i < n; i++) st = put(&out[nf + i], p->out[nf + i].name, &csv[i], e);
    if (!st) ep_figure_methods(par, p, &bytes);
    if (!st) st = put(&out[nf + n], p->out[nf + n].name, &bytes, e);
    for (size_t i = 0; i < n; i++) ep_str_free(&csv[i]);
    ep_str_free(&bytes);
    free(csv);
    ep_page_free(page);
    return st;
}

const struct ep_stage ep_stage_figure = {
    .name = "figure",
    .summary = "Draws maps, spectra, profiles and values of many runs as a figure for publication.",
    .reference = "S. van der Walt, N. Smith (viridis, magma, 2015); J. R. Nunez et al., PLoS ONE 13 (2018) e0199239 (cividis); K. Moreland, ISVC 2009 (coolwarm); "
                 "M. Okabe, K. Ito, Color Universal Design (2002).",
    .method = "The panels fill rows of the figure's width, each with its letter. Maps of one result share a colour scale, so that what looks brighter is more; "
              "pixels without a value are grey, and the pointed end of a colour bar says that values lie beyond it. Lines over maps are drawn from the same "
              "numbers that the tables hold. A run whose result is missing leaves an empty place with its name. One description is drawn to PDF, SVG and PNG: text stays "
              "text, and the same results give the same bytes. Beside the figure stand the numbers of each panel (CSV) and a paragraph for the Methods section. "
              "Who wants to edit a drawing should move it elsewhere: a changed file is out of date, and never replaced.",
    .version = 2,
    .params = params, .params_size = sizeof(struct ep_figure_par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
