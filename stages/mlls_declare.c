/* What mlls can be asked for: every mistake, and what comes out. */
#include <stdio.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "stages/mlls_plan.h"
#include "stages/pixels.h"

#define THICKNESS "thickness"   /* what `per` may name beside columns */

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

void ep_mlls_declare(struct ep_declare *d)
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
    d->scratch = (EP_MLLS_BLOCK * (ep_desc_nch(in) + EP_MLLS_MOST) + ep_desc_nch(in)) * sizeof(double);
}

void ep_mlls_want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct ep_mlls_params *par = d->par;
    const struct ep_desc *image = d->in[EP_MLLS_INPUT].v[0].d;
    (void)out;
    in[0].ch = image->kind == EP_SPECTRUM ? (struct ep_range){ 0, ep_desc_nch(image) } : ep_reach(image, par->range[0], par->range[1]);
    if (d->in[EP_MLLS_LOW].n) in[1].ch = (struct ep_range){ 0, 0 };
}
