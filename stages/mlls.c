/* Maps of overlapping edges: columns fitted together, in every pixel.
 *
 * A pixel's counts are too few to choose shapes, so these come from the sum (mlls_look.c): each column with plural scattering put
 * back, and, where plural scattering was taken off or edges are modelled, what is left of the sum, the base: valence losses and
 * background as they were measured. A pixel is then linear: the columns, the base, and two terms by which its thickness may differ
 * from the mean's (plural scattering, and a power of the energy). One matrix serves all pixels, c = L y, and since the counts'
 * variances follow the model, the variance of each amplitude is linear in the amplitudes (numerics/eds_fit.h).
 *
 * A spectrum is its own sum: the results of its fit are written as they are.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/linalg.h"
#include "stages/mlls_plan.h"
#include "stages/pixels.h"
#include "stages/quotient.h"

#define BLOCK 64
#define THICKNESS "thickness"   /* what `per` may name beside columns */
#define SMOOTH 0.7             /* eV */
#define MOST 32                /* columns of a pixel's fit */
#define LEAST 0.1
#define ROUNDS 3               /* of a pixel's own weights, and */
#define LITTLE 0.5             /* the part of the mean pixel's variance, at its own total, that a channel has at least */

static const char *const plural_words[] = { "removed", "kept", "convolved", NULL };
static const char *const weights_words[] = { "mean", "model", NULL };
static const struct ep_param column_params[] = {
    { .name = "name", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, name), .required = true,
      .doc = "The name of the column, and of its map." },
    { .name = "edge", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, edge),
      .doc = "A modelled edge: Li_K, the M2,3 edge of a metal from Sc to Cu, as Mn_M, or a K or L edge, as O_K, Ti_L." },
    { .name = "peaks", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_colpar, peaks), .min = 1, .max = 1e5, .max_items = EP_EDGE_PEAKS,
      .doc = "Energies in eV of near-edge peaks (white lines) of a K or L edge; place, width and height of each are refined." },
    { .name = "edges", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, edges), .max_items = 8,
      .doc = "Modelled M2,3 edges of the metals of one compound, as [Mn_M, Co_M, Ni_M], that share one amplitude." },
    { .name = "tie", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_colpar, tie), .min = 1e-6, .max = 1e6, .max_items = 8,
      .doc = "Atoms of each of the edges, in their order; as many of each when left out." },
    { .name = "spectrum", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_colpar, spectrum),
      .doc = "A measured spectrum, one of `references`: another compound, or an output of a fit." },
    { .name = "learned", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, learned), .min_items = 2, .max_items = 2,
      .doc = "Two measured spectra, of `references`: the first minus the second, which is scaled to it before the edge." },
    { .name = "low_loss", .type = EP_P_TEXTS, .offset = offsetof(struct ep_mlls_colpar, low_loss), .max_items = 2,
      .doc = "The low loss of the measured spectrum, or of both, of `references`: plural scattering is taken off them." },
    EP_PARAM_END
};
const struct ep_param ep_mlls_params[] = {
    { .name = "columns", .type = EP_P_RECORDS, .offset = offsetof(struct ep_mlls_params, columns), .record = column_params,
      .record_size = sizeof(struct ep_mlls_colpar), .required = true, .min_items = 1, .max_items = 12,
      .doc = "What is fitted: each a modelled edge, edges that are tied, a measured spectrum, or a shape learned from two; the one of "
             "interest first." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, range), .unit = "eV", .required = true,
      .doc = "The energies to fit, as [46, 90] for Li K." },
    { .name = "count", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, count), .unit = "eV", .def = "[55, 65]",
      .doc = "The window whose counts, plural scattering included, state each column's amount." },
    { .name = "background", .type = EP_P_NUMBERS, .offset = offsetof(struct ep_mlls_params, background), .def = "[3, 5]", .min = 0, .max = 10,
      .min_items = 1, .max_items = EP_MLLS_EXPONENTS, .doc = "Exponents r of the background, a sum of A E^-r." },
    { .name = "plural", .type = EP_P_WORD, .offset = offsetof(struct ep_mlls_params, plural), .def = "removed", .words = plural_words,
      .doc = "Plural scattering: taken off with the low loss before the fit; fitted with what it is part of; or, for core losses beyond the low "
             "loss, put on the modelled edges by convolution with it." },
    { .name = "weights", .type = EP_P_WORD, .offset = offsetof(struct ep_mlls_params, weights), .def = "mean", .words = weights_words,
      .doc = "Weights of a pixel's fit: from the mean of the pixels, or from its own fit, repeated; for pixels that differ much." },
    { .name = "scale", .type = EP_P_WINDOW, .offset = offsetof(struct ep_mlls_params, scale), .unit = "eV",
      .doc = "Where learned shapes are nothing: the window their two spectra are scaled in; from the range's start to 1 eV before `count` when "
             "left out." },
    { .name = "per", .type = EP_P_TEXT, .offset = offsetof(struct ep_mlls_params, per),
      .doc = "The column to divide the first column's counts by, so that thickness and current cancel; or `thickness`: that of a spectrum, t/lambda "
             "times the zero-loss counts of its low loss." },
    { .name = "nonneg", .type = EP_P_BOOL, .offset = offsetof(struct ep_mlls_params, nonneg), .def = "false",
      .doc = "Let no column of a pixel be negative; such maps are flagged biased, and profile, front and collect refuse them." },
    { .name = "systematics", .type = EP_P_BOOL, .offset = offsetof(struct ep_mlls_params, systematics), .def = "true",
      .doc = "Repeat the fit of the sum with other ranges, exponents and constants of the edges, for a systematic sigma." },
    { .name = "separable", .type = EP_P_NUMBER, .offset = offsetof(struct ep_mlls_params, separable), .unit = "", .def = "0.3", .min = 0.01,
      .max = 100, .doc = "The share of a column's counts above which its systematic sigma means that it can't be separated." },
    EP_PARAM_END
};
const struct ep_port ep_mlls_ports[EP_MLLS_NPORTS] = {
    { .name = "input", .doc = "Raw counts, aligned: a spectrum image, or one spectrum.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "The low loss of the same pixels, with the zero-loss peak.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .paired = true, .max = 1 },
    { .name = "references", .doc = "The measured spectra that columns name.", .kinds = EP_SPECTRUM },
    { .name = "mask", .doc = "A map of the same pixels: the sum is that of those that are finite and not 0.", .kinds = EP_MAP, .max = 1 },
    { .name = "relative_to", .doc = "The run that `change` counts from.", .kinds = EP_MAP, .relative = true, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "<name>", EP_MAP, "counts", "Counts of each column in the window, plural scattering included." },
    { "<name>_systematic", EP_MAP, "counts", "Its systematic sigma: how far other ranges, exponents and edge constants move it." },
    { "<first>_per_<per>", EP_MAP, "", "Counts of the first column over those of `per`." },
    { "numerator", EP_MAP, "counts", "The counts that are divided." },
    { "denominator", EP_MAP, "counts", "The counts that are divided by." },
    { "covariance", EP_MAP, "counts^2", "Their covariance." },
    { "change", EP_MAP, "", "That quotient over the one of the run `relative_to` (of this sum, without such a run), minus 1." },
    { "reduced_chi_square", EP_MAP, "", "Weighted squares of the residual over what counting noise gives." },
    { "residual", EP_IMAGE, "counts", "Counts minus model, channel by channel; NaN outside of the range." },
    { "without_<name>", EP_SPECTRUM, "counts", "Of a spectrum: what it is without the column, plural scattering included." },
    { "only_<name>", EP_SPECTRUM, "counts", "Of a spectrum: the column as fitted, plural scattering included." },
    { "single_<name>", EP_SPECTRUM, "counts", "Of a spectrum: the column as fitted, without plural scattering: its shape, for fits of other runs." },
    { "plural", EP_SPECTRUM, "counts", "Of a spectrum: what plural scattering adds to it." },
};

/* ---- declare -------------------------------------------------------------------------------------------------------- */

static const char *place(struct ep_declare *d, size_t k, const char *key)
{
    return ep_arena_printf(d->arena, "columns (%s)%s%s", ep_mlls_colpar(d->par, k)->name, key[0] ? ": " : "", key);
}

static void check_edge(struct ep_declare *d, size_t k, const char *name, bool tied)
{
    struct ep_edge_model m;
    const struct ep_mlls_params *par = d->par;
    const struct ep_meta *meta = &d->in[EP_MLLS_INPUT].v[0].d->meta;
    bool known = ep_edge_model(name, NULL, &m);
    if (!known)
        ep_declare_error(d, "columns", "%s: there is no model of an edge '%s': there is %s; for others give a measured `spectrum`", place(d, k, ""),
                         name, ep_edge_model_names());
    else if (tied && m.shape != EP_EDGE_M23)
        ep_declare_error(d, "columns", "%s: only M2,3 edges are tied, %s is not one: give it a column of its own", place(d, k, ""), name);
    if (!known || m.shape != EP_EDGE_SHELL) {
        if (known && ep_mlls_colpar(par, k)->peaks.n)
            ep_declare_error(d, "columns", "%s: peaks are those of a modelled K or L edge; %s has its own", place(d, k, ""), name);
        return;
    }
    if (!(meta->beam_energy_kev > 0))
        ep_declare_error(d, "input", "the cross section of %s needs the beam energy: the file has none, give beam_energy at the input", name);
    if (!(meta->collection_mrad > 0))
        ep_declare_error(d, "input", "the cross section of %s needs the collection angle: the file has none, give collection_angle at the input", name);
    if (m.onset >= par->range[1])
        ep_declare_error(d, "columns", "%s: the edge begins at %g eV, behind the range, %g to %g eV", place(d, k, ""), m.onset, par->range[0], par->range[1]);
}

static void check_reference(struct ep_declare *d, size_t k, const char *label, bool low)
{
    const struct ep_mlls_params *par = d->par;
    const struct ep_items *refs = &d->in[EP_MLLS_REFERENCES];
    for (size_t i = 0; i < refs->n; i++) {
        if (strcmp(refs->v[i].label, label) != 0) continue;
        const struct ep_desc *r = refs->v[i].d;
        double lo = ep_axis_at(&r->energy, 0), hi = ep_axis_at(&r->energy, (double)r->energy.size - 1);
        if (strncmp(r->meta.signal_type, "EDS", 3) == 0) ep_declare_error(d, "references", "'%s' holds X-rays, not energy losses", label);
        else if (r->modelled && !r->deconvolved) ep_declare_error(d, "references", "'%s' is background-subtracted: give the spectrum as measured", label);
        else if (r->energy.size < 10 || !(r->energy.scale > 0)) ep_declare_error(d, "references", "'%s' has no rising energy axis", label);
        else if (!low && (lo > par->range[0] + r->energy.scale || hi < par->range[1] - 2 * r->energy.scale))
            ep_declare_error(d, "references", "'%s' is a spectrum from %g to %g eV; the range, %g to %g eV, must lie within it", label, lo, hi,
                             par->range[0], par->range[1]);
        return;
    }
    struct ep_str have = { 0 };
    for (size_t i = 0; i < refs->n; i++) ep_str_addf(&have, "%s%s", i ? ", " : "", refs->v[i].label);
    ep_declare_error(d, "columns", "%s: '%s' is not among the references%s%s: name it there, as in references: [%s]", place(d, k, ""), label,
                     refs->n ? ": " : "", have.s ? have.s : "", label);
    ep_str_free(&have);
}

static void check_column(struct ep_declare *d, size_t k)
{
    const struct ep_mlls_colpar *c = ep_mlls_colpar(d->par, k);
    int kinds = (c->edge != NULL) + (c->edges.n > 0) + (c->spectrum != NULL) + (c->learned.n > 0);
    if (kinds != 1) {
        ep_declare_error(d, "columns", "%s: give one of edge, edges, spectrum, learned", place(d, k, ""));
        return;
    }
    if (strlen(c->name) > 40 || strspn(c->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(c->name) || !c->name[0])
        ep_declare_error(d, "columns", "%s: a name has letters, digits and _, 40 at most", place(d, k, ""));
    for (size_t j = 0; j < k; j++)
        if (strcmp(ep_mlls_colpar(d->par, j)->name, c->name) == 0) ep_declare_error(d, "columns", "two columns are named '%s'", c->name);
    if (c->edge) check_edge(d, k, c->edge, false);
    for (size_t i = 0; i < c->edges.n; i++) check_edge(d, k, c->edges.v[i], c->edges.n > 1);
    if (c->tie.n && c->tie.n != c->edges.n)
        ep_declare_error(d, "columns", "%s: tie has %zu numbers for %zu edges", place(d, k, ""), c->tie.n, c->edges.n);
    if (c->spectrum) check_reference(d, k, c->spectrum, false);
    for (size_t i = 0; i < c->learned.n; i++) check_reference(d, k, c->learned.v[i], false);
    for (size_t i = 0; i < c->low_loss.n; i++) check_reference(d, k, c->low_loss.v[i], true);
    if (c->low_loss.n && c->low_loss.n != (c->spectrum ? 1 : c->learned.n))
        ep_declare_error(d, "columns", "%s: low_loss names %zu spectra, one is needed for each measured one", place(d, k, ""), c->low_loss.n);
    if (c->peaks.n && !c->edge) ep_declare_error(d, "columns", "%s: peaks are those of a modelled K or L edge, given as edge", place(d, k, ""));
}

/* Edges in the range that no column has; and those that no model separates. */
static void check_edges(struct ep_declare *d)
{
    const struct ep_mlls_params *par = d->par;
    struct ep_edge near[16];
    bool measured = false, titanium = false;
    for (size_t k = 0; k < par->columns.n; k++) {
        const struct ep_mlls_colpar *c = ep_mlls_colpar(par, k);
        measured |= !ep_mlls_modelled(c);
        titanium |= c->edge && strcmp(c->edge, "Ti_M") == 0;
        for (size_t i = 0; i < c->edges.n; i++) titanium |= strcmp(c->edges.v[i], "Ti_M") == 0;
    }
    if (titanium)
        ep_declare_warn(d, "columns", "Ti M is modelled: in titanates the amount of lithium then depends on the model more than on the data, and "
                                      "comes out as not_separable; give the spectrum of a titanium oxide without lithium");
    size_t n = measured ? 0 : ep_edges_within(d->elements, par->range[0], par->range[1], near, 16);
    for (size_t i = 0; i < n && i < 16; i++) {
        bool has = false;
        for (size_t k = 0; k < par->columns.n; k++) {
            const struct ep_mlls_colpar *c = ep_mlls_colpar(par, k);
            size_t len = strlen(near[i].element);
            has |= c->edge && strncmp(c->edge, near[i].element, len) == 0 && c->edge[len] == '_' && c->edge[len + 1] == near[i].shell[0];
            for (size_t j = 0; j < c->edges.n; j++)
                has |= strncmp(c->edges.v[j], near[i].element, len) == 0 && c->edges.v[j][len] == '_' && c->edges.v[j][len + 1] == near[i].shell[0];
        }
        if (!has)
            ep_declare_warn(d, "columns", "the %s %s edge (%g eV) of the recipe's elements lies within the range, and no column has it", near[i].element,
                            near[i].shell, near[i].onset);
    }
}

static void check_input(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *low)
{
    const struct ep_mlls_params *par = d->par;
    if (strncmp(in->meta.signal_type, "EDS", 3) == 0) ep_declare_error(d, "input", "the input holds X-rays, not energy losses: use eds_lines");
    if (in->deconvolved) ep_declare_error(d, "input", "plural scattering is taken off the input: give the raw counts and low_loss, the fit does that itself");
    else if (in->modelled) ep_declare_error(d, "input", "the input is background-subtracted: give the raw counts, the fit has a background of its own");
    else if (in->low.end > 0) ep_declare_error(d, "input", "the input is joined of low and core loss: give the core loss, and the low loss as low_loss");
    else if (in->gain == 0 && in->read_noise == 0)
        ep_declare_error(d, "input", "the input holds no counts (its noise is not known): give the spectra that it was made from");
    if (!(in->energy.scale > 0)) ep_declare_error(d, "input", "the energy axis runs downwards: turn it round");
    if (low && low->modelled) ep_declare_error(d, "low_loss", "the low loss is background-subtracted: give it as measured");
    if (low && !(low->energy.scale > 0)) ep_declare_error(d, "low_loss", "the energy axis runs downwards: turn it round");
    if (!low && par->plural == EP_MLLS_CONVOLVED) ep_declare_error(d, "low_loss", "edges are convolved with the low loss: give low_loss");
    if (low && par->plural == EP_MLLS_REMOVED && low->energy.scale > 0) {
        double reach = ep_axis_at(&low->energy, (double)low->energy.size - 1), first = ep_axis_at(&in->energy, 0);
        if (reach < first + 5)
            ep_declare_error(d, "plural", "the low loss ends at %g eV, the input begins at %g eV: plural scattering can't be taken off a core loss that the "
                             "low loss does not reach by 5 eV; put it on the modelled edges with plural: convolved", reach, first);
    }
    if (!low && par->plural == EP_MLLS_REMOVED) {
        bool modelled = false;
        for (size_t k = 0; k < par->columns.n; k++) modelled |= ep_mlls_modelled(ep_mlls_colpar(par, k));
        if (modelled)
            ep_declare_warn(d, "low_loss", "there is no low loss, so plural scattering stays in the spectra, and modelled edges come out wrong by tens of "
                                           "percent: give low_loss, or `pair:` at the input");
    }
}

static bool has_column(const struct ep_mlls_params *par, const char *name)
{
    for (size_t k = 0; k < par->columns.n; k++)
        if (strcmp(ep_mlls_colpar(par, k)->name, name) == 0) return true;
    return false;
}

static void declare_quotient(struct ep_declare *d, const struct ep_desc *in, const char *unit)
{
    const struct ep_mlls_params *par = d->par;
    char name[EP_NAME_LEN], square[32];
    const char *first = ep_mlls_colpar(par, 0)->name;
    snprintf(name, sizeof name, "%.24s_per_%.24s", first, par->per);
    snprintf(square, sizeof square, "%.28s^2", unit);
    struct ep_desc *o = ep_declare_map(d, name, in, "", "Quotient of counts", true);
    o->primary = o->quotient = true;
    ep_declare_map(d, "numerator", in, unit, "Counts that are divided", true);
    ep_declare_map(d, "denominator", in, unit, "Counts that are divided by", true);
    ep_declare_map(d, "covariance", in, square, "Covariance of numerator and denominator", false);
    ep_declare_map(d, "change", in, "", "Change relative to the reference run", true);
}

static void declare(struct ep_declare *d)
{
    const struct ep_mlls_params *par = d->par;
    const struct ep_desc *in = ep_declare_input(d, EP_MLLS_INPUT), *low = ep_declare_input(d, EP_MLLS_LOW);
    const struct ep_desc *mask = ep_declare_input(d, EP_MLLS_MASK);
    const char *unit = in->unit[0] ? in->unit : "counts";
    char name[EP_NAME_LEN], text[128];
    check_input(d, in, low);
    for (size_t k = 0; k < par->columns.n; k++) check_column(d, k);
    check_edges(d);
    ep_declare_window(d, "range", in, par->range, 4 * (par->columns.n + par->background.n) + 20);
    if (par->count[0] < par->range[0] || par->count[1] > par->range[1])
        ep_declare_error(d, "count", "the window %g to %g eV does not lie within the range, %g to %g eV", par->count[0], par->count[1], par->range[0],
                         par->range[1]);
    bool thickness = par->per && strcmp(par->per, THICKNESS) == 0;
    if (thickness && !(ep_mlls_plural(par, d->in) && par->plural == EP_MLLS_REMOVED)) ep_declare_error(d, "per", "the thickness is known from the low loss when plural scattering is taken off with it: give low_loss");
    else if (thickness && in->kind != EP_SPECTRUM) ep_declare_error(d, "per", "the thickness is that of a spectrum: sum a region first, or divide by a column");
    else if (par->per && !thickness && !has_column(par, par->per)) ep_declare_error(d, "per", "there is no column named '%s'", par->per);
    if (par->per && strcmp(par->per, ep_mlls_colpar(par, 0)->name) == 0)
        ep_declare_error(d, "per", "the first column is divided by another one, not by itself");
    if (!par->per && d->in[EP_MLLS_RELATIVE].n)
        ep_declare_error(d, "relative_to", "relative_to needs per: the column that says how thick the specimen is and how strong the beam");
    if (par->nonneg && in->kind == EP_SPECTRUM) ep_declare_error(d, "nonneg", "nonneg is for the pixels of an image; a spectrum's counts stay signed");
    if (mask && !ep_desc_same_grid(in, mask)) ep_declare_error(d, "mask", "the mask has other pixels than the input");

    for (size_t k = 0; k < par->columns.n; k++) {
        const char *column = ep_mlls_colpar(par, k)->name;
        snprintf(text, sizeof text, "%.40s counts %g-%g eV", column, par->count[0], par->count[1]);
        ep_declare_map(d, column, in, unit, text, true)->primary = k == 0 && !par->per;
        if (!par->systematics) continue;
        snprintf(name, sizeof name, "%.40s_systematic", column);
        snprintf(text, sizeof text, "Systematic sigma of %.40s", column);
        ep_declare_map(d, name, in, unit, text, false)->noise = EP_NOISE_UNKNOWN;
    }
    if (par->per) declare_quotient(d, in, unit);
    ep_declare_map(d, "reduced_chi_square", in, "", "Reduced chi-square of the fit", false);
    struct ep_desc *r = ep_declare_like(d, "residual", in, "Counts minus model");
    r->gain = r->read_noise = 0;
    r->noise = EP_NOISE_UNKNOWN;
    r->shift_max = 0;
    for (size_t k = 0; in->kind == EP_SPECTRUM && k < 3 * par->columns.n; k++) {
        static const char *const part[] = { "without", "only", "single" }, *const parts[] = { "Without", "Only", "Single scattering of" };
        const char *column = ep_mlls_colpar(par, k / 3)->name;
        snprintf(name, sizeof name, "%s_%.40s", part[k % 3], column);
        snprintf(text, sizeof text, "%s %.40s", parts[k % 3], column);
        ep_declare_like(d, name, in, text);
    }
    if (in->kind == EP_SPECTRUM) ep_declare_like(d, "plural", in, "Plural scattering")->noise = EP_NOISE_UNKNOWN;
    d->scratch = (BLOCK * (ep_desc_nch(in) + MOST) + ep_desc_nch(in)) * sizeof(double);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct ep_mlls_params *par = d->par;
    const struct ep_desc *image = d->in[EP_MLLS_INPUT].v[0].d;
    (void)out;
    in[0].ch = image->kind == EP_SPECTRUM ? (struct ep_range){ 0, ep_desc_nch(image) } : ep_reach(image, par->range[0], par->range[1]);
    if (d->in[EP_MLLS_LOW].n) in[1].ch = (struct ep_range){ 0, 0 };
}

/* ---- prepare -------------------------------------------------------------------------------------------------------- */

struct plan {
    const struct ep_mlls_params *par;
    size_t ncol, nch;
    struct ep_range ch;            /* fitted channels of an axis that is not shifted */
    double channel;
    struct ep_eds_solver *s;       /* of an image */
    const struct ep_signal *const *look;
    double *counts, *sigma, *cov, *systematic, *scale;     /* [ncol] of the sum; [ncol][ncol] */
    double thick;                  /* counts of the zero-loss peak on the core loss's scale times t/lambda, as the first column grows with it */
    bool *apart;
    double n, total;               /* pixels in the sum; its counts in the range */
    double reference, reference_sigma;
    size_t per;                    /* column; 0: thickness */
    uint32_t flag;
    double chi2;
    double *t;                     /* [ncol][ns + 1] variance terms */
    double *cov_t;                 /* [ns + 1] of the covariance of numerator and denominator */
    double *typical;               /* [ncol] variance of the mean pixel's amplitudes; a pixel has at least LEAST of it, at its own total */
};

static void free_plan(void *plan)
{
    struct plan *p = plan;
    if (!p) return;
    ep_eds_solver_free(p->s);
    free(p->counts);
    free(p->cov);
    free(p->apart);
    free(p->t);
    free(p->cov_t);
    free(p->typical);
    free(p);
}

static const struct ep_column *column_of(const struct ep_signal *t, const char *name, size_t rows)
{
    for (size_t i = 0; t && t->n == rows && i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0 && t->col[i].num) return &t->col[i];
    return NULL;
}

static ep_status read_look(struct plan *p, const struct ep_prepare *pr, struct ep_err *e)
{
    const struct ep_column *n, *bound, *chi2, *counts, *systematic, *scale, *single, *thick;
    bool ok = pr->nlook == EP_MLLS_NLOOK + 2 * p->ncol;
    for (size_t i = 0; ok && i < pr->nlook; i++) ok = pr->look[i] != NULL;
    if (!ok) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is missing");
    n = column_of(pr->look[EP_MLLS_FIT], "pixels", 1);
    bound = column_of(pr->look[EP_MLLS_FIT], "at_bound", 1);
    chi2 = column_of(pr->look[EP_MLLS_FIT], "reduced_chi_square", 1);
    counts = column_of(pr->look[EP_MLLS_COUNTS], "counts", p->ncol);
    systematic = column_of(pr->look[EP_MLLS_COUNTS], "systematic", p->ncol);
    scale = column_of(pr->look[EP_MLLS_COUNTS], "scale", p->ncol);
    single = column_of(pr->look[EP_MLLS_COUNTS], "single", p->ncol);
    thick = column_of(pr->look[EP_MLLS_FIT], "thickness_counts", 1);
    ok = n && *n->num > 0 && bound && chi2 && counts && counts->sigma && systematic && scale && single && thick;
    if (!ok || pr->look[EP_MLLS_SUM]->n != p->nch)
        return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is not the one that these columns need");
    p->look = (const struct ep_signal *const *)pr->look;
    p->n = *n->num;
    p->chi2 = *chi2->num;
    if (*bound->num != 0) p->flag |= EP_FLAG_AT_BOUND;
    for (size_t k = 0; k < p->ncol; k++) {
        const struct ep_column *c = column_of(pr->look[EP_MLLS_COVARIANCE], ep_mlls_colpar(p->par, k)->name, p->ncol);
        if (!c) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum has no covariance");
        p->counts[k] = counts->num[k];
        p->sigma[k] = counts->sigma[k];
        p->systematic[k] = systematic->num[k];
        p->scale[k] = scale->num[k];
        for (size_t j = 0; j < p->ncol; j++) p->cov[j * p->ncol + k] = c->num[j];
    }
    p->thick = *thick->num * counts->num[0] / single->num[0];
    for (size_t i = p->ch.first; i < p->ch.end; i++) p->total += pr->look[EP_MLLS_SUM]->f64[i];
    return EP_OK;
}

/* What the model of the sum lacks, averaged with a Gaussian of so many channels. The noise of the sum as it is would be in a column of the
 * fit: that draws amplitudes to zero, the more the fewer pixels were summed, except for these pixels themselves. */
static void smooth_residual(const double *sum, const double *model, size_t n, double width, double *out)
{
    size_t reach = (size_t)ceil(3 * width);
    for (size_t i = 0; i < n; i++) {
        double s = 0, all = 0;
        for (size_t k = i > reach ? i - reach : 0; k < n && k <= i + reach; k++) {
            double u = ((double)k - (double)i) / width, w = exp(-0.5 * u * u);
            s += w * (sum[k] - model[k]);
            all += w;
        }
        out[i] = s / all;
    }
}

/* The columns of a pixel: [n][nch of the range]. */
static size_t pixel_columns(const struct plan *p, const struct ep_desc *in, double *x)
{
    size_t n = p->ch.end - p->ch.first, k = p->ncol;
    bool modelled = false, plural = false;
    for (size_t c = 0; c < p->ncol; c++) {
        modelled |= ep_mlls_modelled(ep_mlls_colpar(p->par, c));
        memcpy(x + c * n, p->look[EP_MLLS_NLOOK + c]->f64 + p->ch.first, n * sizeof *x);
    }
    const double *sum = p->look[EP_MLLS_SUM]->f64 + p->ch.first, *extra = p->look[EP_MLLS_PLURAL]->f64 + p->ch.first;
    for (size_t i = 0; i < n; i++) plural |= extra[i] > 0;
    bool base = modelled || plural;
    if (base) {
        const double *model = p->look[EP_MLLS_MODEL]->f64 + p->ch.first;
        smooth_residual(sum, model, n, SMOOTH / p->channel, x + k * n);
        for (size_t i = 0; i < n; i++) {
            double v = model[i] + x[k * n + i];
            for (size_t c = 0; c < p->ncol; c++) v -= p->counts[c] * x[c * n + i];
            x[k * n + i] = v / p->n;
        }
        k++;
    }
    if (plural) memcpy(x + k++ * n, extra, n * sizeof *x);
    size_t powers = base ? 1 : p->par->background.n;
    for (size_t j = 0; j < powers; j++, k++) {
        double r = p->par->background.v[j] + (base && p->par->background.n == 1 ? 2 : 0);
        for (size_t i = 0; i < n; i++) x[k * n + i] = pow(ep_axis_at(&in->energy, (double)(p->ch.first + i)) / p->par->range[0], -r);
    }
    return k;
}

static ep_status make_solver(struct plan *p, const struct ep_desc *in, struct ep_err *e)
{
    size_t n = p->ch.end - p->ch.first;
    double *x = ep_xcalloc(MOST * n, sizeof *x), *var = ep_xcalloc(n, sizeof *var), *mean = ep_xcalloc(MOST, sizeof *mean);
    size_t ns = pixel_columns(p, in, x);
    const double *model = p->look[EP_MLLS_MODEL]->f64 + p->ch.first, noise2 = in->read_noise * in->read_noise;
    for (size_t i = 0; i < n; i++) var[i] = fmax(in->gain * fmax(model[i], 0) / p->n + noise2, 1e-12 * (p->total / p->n / (double)n + 1));
    for (size_t k = 0; k < p->ncol; k++) mean[k] = p->counts[k] / p->n;
    ep_status st = ep_eds_solver_of(n, ns, x, var, mean, in->gain, noise2, &p->s, e);
    free(x);
    free(var);
    free(mean);
    if (st) return st;
    p->t = ep_xcalloc(p->ncol * (ns + 1), sizeof *p->t);
    p->cov_t = ep_xcalloc(ns + 1, sizeof *p->cov_t);
    p->typical = ep_xcalloc(p->ncol, sizeof *p->typical);
    double *q = ep_xcalloc(ns, sizeof *q), *both = ep_xcalloc(ns + 1, sizeof *both);
    for (size_t k = 0; k < p->ncol; k++) {
        q[k] = 1;
        ep_eds_variance_terms(p->s, q, p->t + k * (ns + 1));
        q[k] = 0;
        for (size_t i = 0; i < n; i++) p->typical[k] += p->s->lt[i * ns + k] * p->s->lt[i * ns + k] / p->s->w[i];
    }
    q[0] = q[p->per] = 1;          /* Cov = (Var(a + b) - Var a - Var b) / 2 */
    ep_eds_variance_terms(p->s, q, both);
    for (size_t i = 0; p->per && i <= ns; i++) p->cov_t[i] = (both[i] - p->t[i] - p->t[p->per * (ns + 1) + i]) / 2;
    free(q);
    free(both);
    return st;
}

/* What `change` counts from: the quotient of the reference run's spectrum, or the mean of its pixels' quotients; else the sum's own. */
static ep_status find_reference(struct plan *p, const struct ep_prepare *pr, struct ep_err *e)
{
    const struct ep_signal *s = pr->in[EP_MLLS_RELATIVE].n ? pr->in[EP_MLLS_RELATIVE].v[0].whole : NULL;
    double sum = 0, var = 0, n = 0;
    double by = p->per ? p->counts[p->per] : p->thick;
    p->reference = p->counts[0] / by;
    for (size_t i = 0; s && i < s->n; i++) {
        double v = ep_signal_get(s, i), sigma = ep_signal_sigma(s, i);
        uint32_t flag = s->flags ? s->flags[i] : 0;
        if (!isfinite(v) || ep_fatal(flag) || (flag & EP_FLAG_LOW_DENOMINATOR)) continue;
        sum += v;
        var += isfinite(sigma) ? sigma * sigma : 0;
        n++;
    }
    if (s && n > 0) {
        p->reference = sum / n;
        p->reference_sigma = sqrt(var) / n;
        p->scale[0] = fmax(p->scale[0], fabs(p->reference * by));    /* little against the reference run is still a number */
    }
    if (s && n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel of the run that relative_to names has a value");
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *pr, void **plan, struct ep_err *e)
{
    const struct ep_desc *in = pr->in[EP_MLLS_INPUT].v[0].d;
    struct plan *p = ep_xcalloc(1, sizeof *p);
    *plan = NULL;
    p->par = pr->par;
    p->ncol = p->par->columns.n;
    p->nch = ep_desc_nch(in);
    p->channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    p->ch = ep_axis_window(&in->energy, p->par->range[0], p->par->range[1], 0, NULL);
    p->counts = ep_xcalloc(4 * p->ncol, sizeof *p->counts);
    p->sigma = p->counts + p->ncol;
    p->systematic = p->sigma + p->ncol;
    p->scale = p->systematic + p->ncol;
    p->cov = ep_xcalloc(p->ncol * p->ncol, sizeof *p->cov);
    p->apart = ep_xcalloc(p->ncol, sizeof *p->apart);
    p->flag = (in->gain_estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0) | (p->par->nonneg ? (uint32_t)EP_FLAG_BIASED : 0);
    for (size_t k = 0; p->par->per && k < p->ncol; k++)
        if (strcmp(ep_mlls_colpar(p->par, k)->name, p->par->per) == 0) p->per = k;
    ep_status st = read_look(p, pr, e);
    if (!st && p->par->per) st = find_reference(p, pr, e);
    for (size_t k = 0; !st && k < p->ncol; k++) {
        p->apart[k] = !(p->systematic[k] > p->par->separable * p->scale[k]);
        if (!p->apart[k]) p->flag |= EP_FLAG_NOT_SEPARABLE;
    }
    if (!st && in->kind != EP_SPECTRUM) st = make_solver(p, in, e);
    if (st) free_plan(p);
    else *plan = p;
    return st;
}

/* ---- apply ---------------------------------------------------------------------------------------------------------- */

/* Counts of the columns in one pixel, and all maps made of them; systematic: by which the sum's is multiplied. */
static void put_maps(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const double *c, const double *var, double cov, double systematic)
{
    size_t o = 0;
    const double nan = (double)NAN;
    uint32_t *flag = &a->flag[y * a->area.nx + x];
    for (size_t k = 0; k < p->ncol; k++) {
        bool ok = p->apart[k];
        ep_put(&a->out[o++], y, x, ok ? c[k] : nan, ok ? sqrt(var[k]) : nan);
        if (p->par->systematics) ep_put(&a->out[o++], y, x, p->systematic[k] * systematic, nan);
    }
    if (!p->par->per) return;
    double n = c[0], d = p->per ? c[p->per] : p->thick, vn = var[0], vd = p->per ? var[p->per] : 0, r = nan, sigma = nan;
    double change = nan, change_sigma = nan;
    if (!p->apart[0] || !p->apart[p->per]) n = d = vn = vd = cov = nan;
    else if (d < 3 * sqrt(vd) || d <= 0) *flag |= EP_FLAG_LOW_DENOMINATOR;
    if (d > 0) {
        r = n / d;
        sigma = ep_quotient_sigma(n, vn, d, vd, cov);
        change = r / p->reference - 1;
        change_sigma = hypot(sigma, r / p->reference * p->reference_sigma) / fabs(p->reference);
    }
    ep_put(&a->out[o++], y, x, r, sigma);
    ep_put(&a->out[o++], y, x, n, sqrt(vn));
    ep_put(&a->out[o++], y, x, d, sqrt(vd));
    ep_put(&a->out[o++], y, x, cov, nan);
    ep_put(&a->out[o++], y, x, change, change_sigma);
}

static size_t first_other(const struct plan *p)
{
    return p->ncol * (p->par->systematics ? 2 : 1) + (p->par->per ? 5 : 0);
}

/* Channel by channel: what is left of a spectrum; sigma is that of its counts. */
static void put_spectrum(const struct ep_apply *a, size_t out, const float *counts, const double *model, double factor, bool only)
{
    const struct ep_cell *o = &a->out[out], *in = &a->in[0];
    if (!o->val) return;
    for (size_t i = 0; i < o->nch; i++) {
        size_t ch = o->ch0 + i;
        double y = (double)counts[ch - in->ch0], m = factor * model[ch], v = fmax(in->d->gain * y, 0) + in->d->read_noise * in->d->read_noise;
        o->val[i] = (float)(only ? m : y - m);
        if (o->sigma) o->sigma[i] = only ? NAN : (float)sqrt(v);
    }
}

static void one_spectrum(const struct ep_apply *a, const struct plan *p)
{
    const struct ep_cell *in = &a->in[0];
    if (ep_fatal(a->flag[0])) {
        for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], 0, 0);
        return;
    }
    a->flag[0] |= p->flag;
    double *var = a->scratch;
    for (size_t k = 0; k < p->ncol; k++) var[k] = p->sigma[k] * p->sigma[k];
    put_maps(a, p, 0, 0, p->counts, var, p->per ? p->cov[p->per] : 0, 1);
    size_t o = first_other(p);
    const float *y = ep_cell_spectrum(in, 0, 0);
    ep_put(&a->out[o++], 0, 0, p->chi2, 0);
    put_spectrum(a, o++, y, p->look[EP_MLLS_MODEL]->f64, 1, false);
    for (size_t k = 0; k < p->ncol; k++) {
        const double *with = p->look[EP_MLLS_NLOOK + k]->f64, *single = p->look[EP_MLLS_NLOOK + p->ncol + k]->f64;
        put_spectrum(a, o++, y, with, p->counts[k], false);
        put_spectrum(a, o++, y, with, p->counts[k], true);
        put_spectrum(a, o++, y, single, p->counts[k] != 0 ? fabs(p->counts[k]) : 1, true);     /* a shape, of whatever height */
    }
    put_spectrum(a, o, y, p->look[EP_MLLS_PLURAL]->f64, 1, true);
}

static void put_residual(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const double *counts, const double *c, long move)
{
    const struct ep_eds_solver *s = p->s;
    const struct ep_cell *o = &a->out[first_other(p) + 1];
    if (!o->val) return;
    float *to = ep_cell_spectrum(o, y, x);
    for (size_t i = 0; i < o->nch; i++) {
        long at = (long)(o->ch0 + i) + move - (long)p->ch.first;
        double m = 0;
        bool in = at >= 0 && at < (long)s->nch;
        for (size_t k = 0; in && k < s->n; k++) m += c[k] * s->x[k * s->nch + (size_t)at];
        to[i] = in ? (float)(counts[at] - m) : NAN;
    }
}

/* Non-negative least squares from the normal equations: columns below zero are dropped, the lowest first. They are c N = b. */
static ep_status drop_negative(const struct plan *p, const double *normal, const double *c, double *out, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    double a[MOST * MOST], b[MOST];
    size_t in[MOST], n = s->n;
    for (size_t k = 0; k < n; k++) {
        in[k] = k;
        out[k] = c[k];
    }
    for (;;) {
        size_t lowest = n;
        for (size_t i = 0; i < n; i++)
            if (in[i] < p->ncol && out[in[i]] < 0 && (lowest == n || out[in[i]] < out[in[lowest]])) lowest = i;
        if (lowest == n) return EP_OK;
        out[in[lowest]] = 0;
        memmove(in + lowest, in + lowest + 1, (--n - lowest) * sizeof *in);
        for (size_t i = 0; i < n; i++) {
            double d = sqrt(normal[in[i] * s->n + in[i]]);
            b[i] = 0;
            for (size_t k = 0; k < s->n; k++) b[i] += normal[in[i] * s->n + k] * c[k] / d;
            for (size_t j = 0; j < n; j++) a[i * n + j] = normal[in[i] * s->n + in[j]] / d / sqrt(normal[in[j] * s->n + in[j]]);
        }
        ep_status st = ep_solve_spd(n, a, 1, b, e);
        if (st) return st;
        for (size_t i = 0; i < n; i++) out[in[i]] = b[i] / sqrt(normal[in[i] * s->n + in[i]]);
    }
}

static double variance(const struct plan *p, const double *t, const double *c)
{
    const struct ep_eds_solver *s = p->s;
    double v = s->noise2 * t[s->n];
    for (size_t k = 0; k < s->n; k++) v += s->gain * c[k] * t[k];
    return v;
}

/* The fit of a pixel: amplitudes, variances of the columns', covariance of numerator and denominator. */
struct pixel { double c[MOST], var[MOST], cov, chi2; };

/* share: of the mean pixel's counts. */
static ep_status mean_weights(const struct plan *p, const double *c, double share, double squares, struct pixel *q, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    memcpy(q->c, c, s->n * sizeof *c);
    ep_status st = p->par->nonneg ? drop_negative(p, s->normal, c, q->c, e) : EP_OK;
    for (size_t k = 0; k < p->ncol; k++)
        q->var[k] = fmax(variance(p, p->t + k * (s->n + 1), q->c), LEAST * share * p->typical[k]);
    q->cov = p->per ? variance(p, p->cov_t, q->c) : 0;
    double expected = s->noise2 * s->expected0, rest = squares;
    for (size_t k = 0; k < s->n; k++) {
        double nc = 0;
        for (size_t j = 0; j < s->n; j++) nc += s->normal[k * s->n + j] * q->c[j];
        rest -= q->c[k] * nc;
        expected += s->gain * q->c[k] * s->expected[k];
    }
    q->chi2 = expected > 0 ? rest / expected : (double)NAN;
    return st;
}

/* Variances of a pixel's channels by its model; where that says little, a part of the mean pixel's: at some counts, models follow noise, and
 * weights after them would make it look small. */
static void model_variances(const struct plan *p, const double *c, double least, double *v)
{
    const struct ep_eds_solver *s = p->s;
    for (size_t i = 0; i < s->nch; i++) {
        double m = 0;
        for (size_t k = 0; k < s->n; k++) m += c[k] * s->x[k * s->nch + i];
        v[i] = fmax(s->gain * m, least * fmax(1 / s->w[i] - s->noise2, 0)) + s->noise2 + 1e-12 / s->w[i];
    }
}

/* Weights from the pixel's own model, found again a few times: the likelihood's maximum of Poisson counts. v: room for a spectrum. The inverse
 * of the normal equations then is the covariance. */
static ep_status model_weights(const struct plan *p, const double *y, const double *c, double share, double *v, struct pixel *q, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    size_t n = s->n;
    double normal[MOST * MOST], inv[MOST * MOST], b[MOST], scale[MOST], positive[MOST];
    memcpy(q->c, c, n * sizeof *c);
    for (int round = 0; round < ROUNDS; round++) {
        model_variances(p, q->c, LITTLE * share, v);
        for (size_t k = 0; k < n; k++) {
            const double *xk = s->x + k * s->nch;
            b[k] = 0;
            for (size_t i = 0; i < s->nch; i++) b[k] += xk[i] * y[i] / v[i];
            for (size_t j = 0; j <= k; j++) {
                double sum = 0;
                for (size_t i = 0; i < s->nch; i++) sum += xk[i] * s->x[j * s->nch + i] / v[i];
                normal[k * n + j] = normal[j * n + k] = sum;
            }
            scale[k] = 1 / sqrt(normal[k * n + k]);
        }
        for (size_t k = 0; k < n * n; k++) inv[k] = normal[k] * scale[k / n] * scale[k % n];
        ep_status st = ep_invert_spd(n, inv, e);
        if (st) return st;
        for (size_t k = 0; k < n * n; k++) inv[k] *= scale[k / n] * scale[k % n];
        for (size_t k = 0; k < n; k++) {
            q->c[k] = 0;
            for (size_t j = 0; j < n; j++) q->c[k] += inv[k * n + j] * b[j];
        }
    }
    for (size_t k = 0; k < p->ncol; k++) q->var[k] = inv[k * n + k];
    q->cov = p->per ? inv[p->per] : 0;
    ep_status st = p->par->nonneg ? drop_negative(p, normal, q->c, positive, e) : EP_OK;
    if (!st && p->par->nonneg) memcpy(q->c, positive, n * sizeof *positive);
    q->chi2 = 0;
    for (size_t i = 0; i < s->nch; i++) {
        double r = y[i];
        for (size_t k = 0; k < n; k++) r -= q->c[k] * s->x[k * s->nch + i];
        q->chi2 += r * r / v[i] / (double)(s->nch - n);
    }
    return st;
}

/* The counts of one pixel on the channels of the fit, and by how many channels it is moved to them. */
static uint32_t take_pixel(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, double *row, long *move, double *squares, double *total)
{
    const struct ep_cell *in = &a->in[0];
    double shift = in->shift ? in->shift[ep_in_at(in, y, x)] : 0, sum = 0, all = 0, m = rint(shift / p->channel);
    if (!(fabs(m) < 1e6)) return EP_FLAG_OFF_AXIS;
    *move = (long)m;
    long first = (long)p->ch.first - *move;
    if (first < (long)in->ch0 || first + (long)p->s->nch > (long)(in->ch0 + in->nch)) return EP_FLAG_OFF_AXIS;
    const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)) + ((size_t)first - in->ch0);
    for (size_t i = 0; i < p->s->nch; i++) {
        row[i] = (double)v[i];
        sum += p->s->w[i] * row[i] * row[i];
        all += row[i];
    }
    *squares = sum;
    *total = all;
    if (isfinite(sum)) return 0;
    memset(row, 0, p->s->nch * sizeof *row);
    return EP_FLAG_NOT_FINITE;
}

/* Pixels x0 .. x1-1 of row y of the image, all of one block; each has its place in it by its column in the image. */
static ep_status do_block(const struct ep_apply *a, const struct plan *p, size_t y, size_t x0, size_t x1, struct ep_err *e)
{
    size_t nch = p->s->nch, n = p->s->n, oy = y - a->area.y0;
    double *counts = a->scratch, *product = counts + BLOCK * nch, squares[BLOCK], total[BLOCK];
    long move[BLOCK];
    memset(counts, 0, BLOCK * nch * sizeof *counts);
    for (size_t x = x0; x < x1; x++) {
        uint32_t *flag = &a->flag[oy * a->area.nx + x - a->area.x0];
        size_t b = x % BLOCK;
        if (ep_fatal(*flag)) continue;
        *flag |= p->flag | take_pixel(a, p, y, x, counts + b * nch, &move[b], &squares[b], &total[b]);
    }
    ep_matmul(BLOCK, n, nch, counts, p->s->lt, product);
    for (size_t x = x0; x < x1; x++) {
        size_t ox = x - a->area.x0, b = x % BLOCK;
        struct pixel q;
        if (ep_fatal(a->flag[oy * a->area.nx + ox])) {
            for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], oy, ox);
            continue;
        }
        double share = fmax(total[b] * p->n / p->total, 1e-3);
        ep_status st = p->par->weights == EP_MLLS_MEAN ? mean_weights(p, product + b * n, share, squares[b], &q, e)
                                                       : model_weights(p, counts + b * nch, product + b * n, share, product + BLOCK * n, &q, e);
        if (st) return st;
        put_maps(a, p, oy, ox, q.c, q.var, q.cov, total[b] / p->total);
        ep_put(&a->out[first_other(p)], oy, ox, q.chi2, 0);
        put_residual(a, p, oy, ox, counts + b * nch, q.c, move[b]);
    }
    return EP_OK;
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    const struct plan *p = a->plan;
    size_t end = a->area.x0 + a->area.nx;
    if (!p->s) {
        one_spectrum(a, p);
        return EP_OK;
    }
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < end;) {
            size_t next = (x / BLOCK + 1) * BLOCK;
            if (next > end) next = end;
            ep_status st = do_block(a, p, y, x, next, e);
            if (st) return st;
            x = next;
        }
    return EP_OK;
}

const struct ep_stage ep_stage_mlls = {
    .name = "mlls",
    .summary = "Fits overlapping edges together: lithium among the M edges of metals, plural scattering taken off.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), sections 3.2, 4.1, 4.5; D. W. "
                 "Johnson, J. C. H. Spence, J. Phys. D 7 (1974) 771 (Fourier-log).",
    .method = "First the sum of the pixels is fitted: plural scattering, known from the low loss, is taken off (Fourier-log), and columns plus powers of the "
              "energy are fitted to single scattering by least squares, with weights from the mean spectrum. Columns are measured spectra, shapes "
              "learned as the difference of two, or modelled edges whose onsets, widths and decays are refined within stated bounds; edges of one "
              "compound share one amplitude. The fit is then repeated with other ranges, exponents and edge constants: how far amounts move is their "
              "systematic sigma, and where that exceeds `separable` times the amount (and a tenth of the other columns) the map has no value and "
              "the flag not_separable. Then every pixel is a signed linear fit of the columns, of what is left of the sum, and of two terms for "
              "its thickness. Sigma is counting noise; errors of shapes are common to all pixels and stand in the systematic. Counts are those of "
              "the window `count`, plural scattering included. A spectrum (of a region) is fitted in full, and gives `without_Li` and `only_Li`, "
              "which serve as columns of a fit of pixels. Measured shapes count as exact.",
    .version = 2,
    .params = ep_mlls_params, .params_size = sizeof(struct ep_mlls_params),
    .ports = ep_mlls_ports, .nports = EP_MLLS_NPORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &ep_mlls_look,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free_plan, .apply = apply,
};
