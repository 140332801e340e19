/* Amounts from counts: Cliff-Lorimer percentages of X-ray lines, areal densities or ratios of core-loss edges.
 *
 * Each output is a function of the inputs at one place (pixel or bin), I_1 .. I_n and the divisors; place() gives its value and its
 * derivatives, from which sigma and the covariance of neighbouring bins follow (first order, lines independent of each other).
 * What the factors are uncertain by is the same everywhere, and stands in maps of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "pipeline/data/elements.h"
#include "pipeline/numerics/eels_sigma.h"
#include "pipeline/numerics/xray.h"
#include "stages/space.h"

#define MOST 24                    /* lines or edges */
#define BARN_NM2 1e-10

enum { PORT_INPUT, PORT_LOW, PORT_THICKNESS, PORTS };
enum basis { WEIGHT, ATOMIC };
static const char *const bases[] = { "weight", "atomic", NULL };

struct k_factor { const char *line, *of; double k, sigma; };
struct edge { const char *edge, *of; double window[2], onset, uncertainty; };
struct par { struct ep_records k_factors, edges; int basis; const char *reference; double dose_ratio; };

static const struct ep_param k_params[] = {
    { .name = "line", .type = EP_P_TEXT, .offset = offsetof(struct k_factor, line), .required = true, .doc = "The line, as Ti_Ka, or family, as Ti_K." },
    { .name = "of", .type = EP_P_TEXT, .offset = offsetof(struct k_factor, of),
      .doc = "The input that holds its counts; the one whose output has the line's name when left out." },
    { .name = "k", .type = EP_P_NUMBER, .offset = offsetof(struct k_factor, k), .unit = "", .required = true, .min = 1e-6, .max = 1e6,
      .doc = "Amount per count, relative to the other lines." },
    { .name = "sigma", .type = EP_P_NUMBER, .offset = offsetof(struct k_factor, sigma), .unit = "", .min = 0, .max = 1e6,
      .doc = "Its standard deviation." },
    EP_PARAM_END
};
static const struct ep_param edge_params[] = {
    { .name = "edge", .type = EP_P_TEXT, .offset = offsetof(struct edge, edge), .required = true,
      .doc = "The edge, as O_K, Ti_L (all of L), Mn_L23, La_M45." },
    { .name = "of", .type = EP_P_TEXT, .offset = offsetof(struct edge, of), .required = true, .doc = "The input that holds its net counts." },
    { .name = "window", .type = EP_P_WINDOW, .offset = offsetof(struct edge, window), .unit = "eV", .required = true,
      .doc = "The energies in which they were counted." },
    { .name = "onset", .type = EP_P_NUMBER, .offset = offsetof(struct edge, onset), .unit = "eV", .min = 1, .max = 30000,
      .doc = "Where the edge begins in the specimen; the tabulated onset when left out." },
    { .name = "uncertainty", .type = EP_P_NUMBER, .offset = offsetof(struct edge, uncertainty), .unit = "", .min = 0, .max = 5,
      .doc = "Relative sigma of the cross section in the window; when left out 0.1 for K, 0.25 for L and 0.5 for M edges and, in squares, "
             "the near-edge peaks that the section lacks: 10 eV for K, 30 eV for others, over the window's length from the onset." },
    EP_PARAM_END
};
static const struct ep_param params[] = {
    { .name = "k_factors", .type = EP_P_RECORDS, .offset = offsetof(struct par, k_factors), .record = k_params, .record_size = sizeof(struct k_factor),
      .max_items = MOST, .doc = "X-rays: the k-factor of each line among the inputs." },
    { .name = "basis", .type = EP_P_WORD, .offset = offsetof(struct par, basis), .def = "weight", .words = bases,
      .doc = "What k-factors are amounts of: weight, as is usual, or atoms." },
    { .name = "edges", .type = EP_P_RECORDS, .offset = offsetof(struct par, edges), .record = edge_params, .record_size = sizeof(struct edge),
      .max_items = MOST, .doc = "Energy losses: the edge and window of each input." },
    { .name = "dose_ratio", .type = EP_P_NUMBER, .offset = offsetof(struct par, dose_ratio), .unit = "", .min = 1e-9, .max = 1e9,
      .doc = "Counts of the core loss for each count of the low loss that the same electrons would give: the ratio of dwell times, which is "
             "taken from the files when left out." },
    { .name = "reference", .type = EP_P_TEXT, .offset = offsetof(struct par, reference),
      .doc = "An element of the inputs: the others are also given in atoms per atom of it." },
    EP_PARAM_END
};
#define KINDS (EP_MAP | EP_PROFILE)
static const struct ep_port ports[PORTS] = {
    { .name = "input", .doc = "Maps or profiles of net counts, one for each element.", .kinds = KINDS, .min = 1, .max = MOST },
    { .name = "low_loss", .doc = "Energy losses: the low loss integrated from before the zero-loss peak over as many eV as the edges' windows; "
                                 "areal densities need it.", .kinds = KINDS, .min = 0, .max = 1 },
    { .name = "thickness", .doc = "Energy losses: the thickness, to divide areal densities by.", .kinds = KINDS, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "<element>", EP_MAP, "at.%", "Atomic percent from X-rays; atoms per nm^2, or per nm^3 with a thickness, from energy losses." },
    { "<element>_weight", EP_MAP, "wt.%", "Weight percent, from X-rays." },
    { "<element>_systematic", EP_MAP, "at.%", "Sigma of <element> from its factor or cross section, common to all pixels." },
    { "<element>_per_<reference>", EP_MAP, "", "Atoms for each atom of the reference." },
    { "<element>_per_<reference>_systematic", EP_MAP, "", "Its sigma from the factors." },
};

/* ---- what is asked for ------------------------------------------------------------------------------------------ */

/* atoms: per count; rel: sigma of it, if known; soft: X-rays below 1 keV. */
struct line { char element[4]; int z; size_t item; double atoms, rel; bool known, soft; };
enum what { AMOUNT, MASS, SYSTEMATIC, RATIO, RATIO_SYSTEMATIC };
struct made { enum what what; size_t line; };
struct plan {
    size_t n, ref, nmade;          /* ref = n: none */
    struct line line[MOST];
    bool eels;
    struct made made[5 * MOST];
};

/* Of the inputs the one that is meant: by the recipe's words, or by the name of the output. n: none. */
static size_t item_named(const struct ep_items *in, const char *name)
{
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->v[i].label, name) == 0) return i;
    for (size_t i = 0; i < in->n; i++)
        if (strcmp(in->v[i].d->name, name) == 0) return i;
    return in->n;
}

static void element_of(const char *name, char out[4])
{
    size_t n = strcspn(name, "_");
    snprintf(out, 4, "%.*s", (int)(n < 3 ? n : 3), name);
}

static void fail_at(struct ep_declare *d, const char *param, const char *fmt, const char *a, const char *b)
{
    if (d) ep_declare_error(d, param, fmt, a, b);
}

static bool add_line(struct ep_declare *d, const struct ep_items *in, const char *param, const char *name, const char *of, struct plan *p)
{
    struct line *l = &p->line[p->n];
    element_of(name, l->element);
    l->z = ep_element_z(l->element);
    l->item = item_named(in, of ? of : name);
    if (!l->z) fail_at(d, param, "'%s' does not begin with an element, as Ti_K does%s", name, "");
    if (l->item == in->n) fail_at(d, param, "there is no input '%s' for %s", of ? of : name, name);
    if (!l->z || l->item == in->n) return false;
    for (size_t i = 0; i < p->n; i++) {
        if (p->line[i].z == l->z) fail_at(d, param, "%s is given twice: choose one line or edge of it%s", l->element, "");
        if (p->line[i].item == l->item) fail_at(d, param, "the input '%s' is used twice, by %s as well", in->v[l->item].label, name);
        if (p->line[i].z == l->z || p->line[i].item == l->item) return false;
    }
    p->n++;
    return true;
}

static void add_k_factors(struct ep_declare *d, const struct par *par, const struct ep_items *in, struct plan *p)
{
    const struct k_factor *k = par->k_factors.v;
    for (size_t i = 0; i < par->k_factors.n && p->n < MOST; i++) {
        if (!add_line(d, in, "k_factors", k[i].line, k[i].of, p)) continue;
        struct line *l = &p->line[p->n - 1];
        l->atoms = par->basis == WEIGHT ? k[i].k / ep_xray_weight(l->z) : k[i].k;
        const char *shell = strchr(k[i].line, '_');
        l->soft = shell && l->z <= (shell[1] == 'K' ? 10 : shell[1] == 'L' ? 29 : 60);
        l->known = !isnan(k[i].sigma);
        l->rel = l->known ? k[i].sigma / k[i].k : 0;
    }
}

static double onset_of(const struct edge *e, const char *element, const char *edge, const struct ep_eels_edge *x)
{
    const char *const one[] = { element, NULL };
    struct ep_edge found[8];
    size_t n = ep_edges_within(one, 0, 1e5, found, 8);
    if (!isnan(e->onset)) return e->onset;
    for (size_t i = 0; i < n && i < 8; i++)         /* L stands for L3, M45 for M5: the lowest of them */
        if (found[i].shell[0] == edge[0] && fabs(found[i].onset - x->tabulated) < 0.1 * x->tabulated) return found[i].onset;
    return x->tabulated;
}

/* Near-edge peaks and white lines hold as many eV of continuum beyond what single atoms have there. */
static double near_edge(char shell)
{
    return shell == 'K' ? 10 : 30;
}

/* Relative sigma of the section in a window that holds so many eV of the edge; more than NEAR_MOST of it by near-edge peaks is worth a warning. */
#define NEAR_MOST 0.25
static double usual_uncertainty(struct ep_declare *d, const char *edge, char shell, double length)
{
    double near = near_edge(shell) / length;
    if (d && near > NEAR_MOST)
        ep_declare_warn(d, "edges", "the window holds %.0f eV of %s: peaks near the edge, which cross sections of atoms lack, can add %.0f %% to so "
                        "little; take %.0f eV or more where no other edge comes before, or a specimen of known composition, and give uncertainty",
                        length, edge, 100 * near, near_edge(shell) / 0.1);
    return hypot(shell == 'K' ? 0.1 : shell == 'L' ? 0.25 : 0.5, near);
}

static void add_edges(struct ep_declare *d, const struct par *par, const struct ep_items *in, struct plan *p)
{
    const struct edge *e = par->edges.v;
    for (size_t i = 0; i < par->edges.n && p->n < MOST; i++) {
        struct ep_eels_edge x;
        if (!add_line(d, in, "edges", e[i].edge, e[i].of, p)) continue;
        struct line *l = &p->line[p->n - 1];
        const char *shell = strchr(e[i].edge, '_');
        if (!shell || !ep_eels_edge_of(l->element, shell + 1, &x)) {
            fail_at(d, "edges", "'%s' is no edge: write O_K, Ti_L, Mn_L23, La_M45%s", e[i].edge, "");
            continue;
        }
        const struct ep_meta *m = &in->v[l->item].d->meta;
        const struct ep_eels_optics o = { m->beam_energy_kev, m->collection_mrad, m->convergence_mrad };
        if (!(o.beam_energy > 0) || !(o.collection > 0)) {
            fail_at(d, "input", "the beam energy or the collection angle of '%s' is not known%s: give beam_energy and collection_angle with the input "
                    "of the recipe", in->v[l->item].label, "");
            continue;
        }
        double onset = onset_of(&e[i], l->element, shell + 1, &x), barn = ep_eels_sigma(&x, onset, e[i].window[0], e[i].window[1], &o);
        if (!(barn > 0)) {
            if (d) ep_declare_error(d, "edges", "the window %g to %g eV ends before the onset of %s (%g eV)", e[i].window[0], e[i].window[1], e[i].edge, onset);
            continue;
        }
        if (d && shell[1] == 'M' && onset < 120)
            ep_declare_warn(d, "edges", "%s lies so low that its cross section is that of a resonance, which the tables lack: its amount can come out "
                            "several times too large", e[i].edge);
        l->atoms = 1 / (barn * BARN_NM2);
        l->known = true;
        l->rel = e[i].uncertainty;
        if (isnan(l->rel)) l->rel = usual_uncertainty(d, e[i].edge, shell[1], e[i].window[1] - fmax(onset, e[i].window[0]));
    }
}

/* Everything the outputs need; mistakes go to d (may be NULL). */
static void plan_of(struct ep_declare *d, const struct par *par, const struct ep_items *ports_in, struct plan *p)
{
    const struct ep_items *in = &ports_in[PORT_INPUT];
    *p = (struct plan){ .eels = par->edges.n > 0 };
    if (p->eels) add_edges(d, par, in, p);
    else add_k_factors(d, par, in, p);
    p->ref = p->n;
    for (size_t i = 0; par->reference && i < p->n; i++)
        if (strcmp(p->line[i].element, par->reference) == 0) p->ref = i;
    bool absolute = !p->eels || ports_in[PORT_LOW].n;
    for (size_t i = 0; i < p->n; i++) {
        bool ratio = p->ref < p->n && i != p->ref, known = false;
        for (size_t k = 0; k < p->n; k++) known = known || p->line[k].known;
        const bool make[] = { absolute, absolute && !p->eels, absolute && known, ratio, ratio && known };
        for (int w = AMOUNT; w <= RATIO_SYSTEMATIC; w++)
            if (make[w]) p->made[p->nmade++] = (struct made){ (enum what)w, i };
    }
}

/* ---- declare ---------------------------------------------------------------------------------------------------- */

static void check_places(struct ep_declare *d)
{
    const struct ep_item *first = &d->in[PORT_INPUT].v[0];
    for (size_t k = 0; k < PORTS; k++)
        for (size_t i = 0; i < d->in[k].n; i++) {
            const struct ep_item *it = &d->in[k].v[i];
            if (it == first) continue;
            if (it->d->kind != first->d->kind)
                ep_declare_error(d, ports[k].name, "'%s' is a %s, '%s' is a %s: all must be of one kind", it->label, ep_kind_name(it->d->kind),
                                 first->label, ep_kind_name(first->d->kind));
            else ep_declare_same_places(d, ports[k].name, it->label, it->d, first->label, first->d);
        }
}

static void check_lines(struct ep_declare *d, const struct plan *p)
{
    for (size_t i = 0; i < d->in[PORT_INPUT].n; i++) {
        bool used = false;
        for (size_t k = 0; k < p->n; k++) used = used || p->line[k].item == i;
        if (!used && !d->diag->nerrors)
            ep_declare_error(d, p->eels ? "edges" : "k_factors", "nothing is said about the input '%s': name its %s", d->in[PORT_INPUT].v[i].label,
                             p->eels ? "edge and window" : "line and k-factor");
    }
    for (size_t i = 0; !p->eels && i < p->n; i++)
        if (p->line[i].soft)
            ep_declare_warn(d, "k_factors", "absorption in the specimen is not corrected: of %s's lines below 1 keV 50 nm of an oxide keep back 10 to "
                            "35 %%, by its composition; read gradients of %s with care, and take k-factors from a film as thick",
                            p->line[i].element, p->line[i].element);
}

static double dose_ratio(const struct par *par, const struct ep_items *in)
{
    if (!isnan(par->dose_ratio)) return par->dose_ratio;
    const struct ep_meta *core = &in[PORT_INPUT].v[0].d->meta, *low = &in[PORT_LOW].v[0].d->meta;
    if (core->dwell_time_s > 0 && low->dwell_time_s > 0) return core->dwell_time_s / low->dwell_time_s;
    return core->exposure_s / low->exposure_s;
}

static void declare_output(struct ep_declare *d, const struct plan *p, const struct made *m)
{
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT);
    const char *el = p->line[m->line].element, *ref = p->ref < p->n ? p->line[p->ref].element : "", *unit = "at.%", *text = "Atomic fraction of";
    const struct ep_desc *t = ep_declare_input(d, PORT_THICKNESS);
    if (p->eels) {
        unit = !t ? "nm^-2" : strcmp(t->unit, "nm") == 0 ? "nm^-3" : "nm^-2";
        text = !t ? "Areal density of" : strcmp(t->unit, "nm") == 0 ? "Density of" : "Areal density per thickness unit of";
    }
    char name[EP_NAME_LEN], long_name[96];
    switch (m->what) {
    case AMOUNT: snprintf(name, sizeof name, "%s", el); break;
    case MASS: snprintf(name, sizeof name, "%s_weight", el); unit = "wt.%"; text = "Weight fraction of"; break;
    case SYSTEMATIC: snprintf(name, sizeof name, "%s_systematic", el); break;
    case RATIO: snprintf(name, sizeof name, "%s_per_%s", el, ref); unit = ""; text = "Atoms per atom of"; break;
    default: snprintf(name, sizeof name, "%s_per_%s_systematic", el, ref); unit = ""; text = "Atoms per atom of"; break;
    }
    bool ratio = m->what >= RATIO, systematic = m->what == SYSTEMATIC || m->what == RATIO_SYSTEMATIC;
    snprintf(long_name, sizeof long_name, "%s%s %s%s%s", systematic ? "Systematic sigma: " : "", text, ratio ? ref : el, ratio ? ": " : "", ratio ? el : "");
    struct ep_desc *o = ep_declare_like(d, name, in, long_name);
    snprintf(o->unit, sizeof o->unit, "%s", unit);
    o->has_sigma = !systematic;
    o->quotient = o->modelled = false;
    o->primary = m == p->made;
    if (systematic) o->noise = EP_NOISE_UNKNOWN;
    for (size_t k = 0; k < PORTS && !systematic; k++)
        for (size_t i = 0; i < d->in[k].n; i++)
            if (d->in[k].v[i].d->noise > o->noise) o->noise = d->in[k].v[i].d->noise, o->noise_px = d->in[k].v[i].d->noise_px;
}

static void declare(struct ep_declare *d)
{
    const struct par *par = d->par;
    struct plan p;
    if (!par->k_factors.n == !par->edges.n) {
        ep_declare_error(d, NULL, "give k_factors for maps of X-ray lines, or edges for maps of core losses");
        return;
    }
    check_places(d);
    plan_of(d, par, d->in, &p);
    check_lines(d, &p);
    if (par->reference && p.ref == p.n && p.n)
        ep_declare_error(d, "reference", "'%s' is none of the elements that are given", par->reference);
    if (p.eels && !d->in[PORT_LOW].n && !par->reference)
        ep_declare_error(d, "low_loss", "areal densities need low_loss, the counts of the low loss; without it give reference, for ratios of elements");
    if (!p.eels && (d->in[PORT_LOW].n || d->in[PORT_THICKNESS].n))
        ep_declare_error(d, d->in[PORT_LOW].n ? "low_loss" : "thickness", "X-ray lines are quantified by each other: low_loss and thickness belong to edges");
    if (p.eels && d->in[PORT_LOW].n && !(dose_ratio(par, d->in) > 0))
        ep_declare_error(d, "dose_ratio", "the dwell times of core and low loss are not in the files: give dose_ratio, that of the core loss divided by that "
                         "of the low loss");
    if (d->diag->nerrors) return;
    for (size_t i = 0; i < p.nmade; i++) declare_output(d, &p, &p.made[i]);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* What stands at one place: counts, low loss, thickness, and their variances. */
struct place { double v[MOST + 2], var[MOST + 2]; uint32_t flag; };

/* Value of an output and its derivatives by the inputs [n + 2]. */
static double value(const struct plan *p, const struct made *m, const struct place *at, double *d)
{
    size_t n = p->n, l = m->line;
    double f[MOST], sum = 0;
    for (size_t i = 0; i < n; i++) {
        f[i] = p->line[i].atoms * (m->what == MASS ? ep_xray_weight(p->line[i].z) : 1);
        sum += f[i] * at->v[i];
    }
    for (size_t i = 0; i < n + 2; i++) d[i] = 0;
    if (m->what >= RATIO) {
        double below = f[p->ref] * at->v[p->ref], r = f[l] * at->v[l] / below;
        d[l] = f[l] / below;
        d[p->ref] = -r / at->v[p->ref];
        return below > 0 ? m->what == RATIO ? r : fabs(r) * hypot(p->line[l].rel, p->line[p->ref].rel) : (double)NAN;
    }
    if (p->eels) {
        double by = at->v[n] * at->v[n + 1], v = f[l] * at->v[l] / by;
        d[l] = f[l] / by;
        d[n] = -v / at->v[n];
        d[n + 1] = -v / at->v[n + 1];
        return at->v[n] > 0 && at->v[n + 1] > 0 ? m->what == AMOUNT ? v : fabs(v) * p->line[l].rel : (double)NAN;
    }
    double x = f[l] * at->v[l] / sum, systematic = 0;
    for (size_t i = 0; i < n; i++) {
        d[i] = 100 * f[i] * ((i == l) - x) / sum;
        double by_factor = d[i] * at->v[i] * p->line[i].rel;
        systematic += by_factor * by_factor;
    }
    return sum > 0 ? m->what == SYSTEMATIC ? sqrt(systematic) : 100 * x : (double)NAN;
}

/* Whether what is divided by is above its noise. */
static bool low_denominator(const struct plan *p, const struct place *at)
{
    size_t n = p->n;
    double sum = 0, var = 0;
    bool low = false;
    for (size_t i = 0; i < n; i++) {
        sum += p->line[i].atoms * at->v[i];
        var += p->line[i].atoms * p->line[i].atoms * at->var[i];
    }
    if (!p->eels) return !(sum > 0) || sum < 3 * sqrt(var);
    for (size_t k = n; k < n + 2; k++) low = low || !(at->v[k] > 0) || at->v[k] < 3 * sqrt(at->var[k]);
    return low || (p->ref < n && (!(at->v[p->ref] > 0) || at->v[p->ref] < 3 * sqrt(at->var[p->ref])));
}

static void read_one(const struct ep_signal *s, size_t i, double scale, struct place *at, size_t k)
{
    double sigma = s->sigma32 || s->sigma64 ? ep_signal_sigma(s, i) : 0;
    at->v[k] = scale * ep_signal_get(s, i);
    at->var[k] = scale * scale * sigma * sigma;
    if (s->flags) at->flag |= s->flags[i];
    if (!isfinite(at->v[k]) && !ep_fatal(at->flag)) at->flag |= EP_FLAG_NOT_FINITE;
}

/* Covariance of neighbouring bins of profiles: of line k at bins i and i + 1 + m. */
static double band_of(const struct ep_signal *s, size_t i, size_t m)
{
    return s->band && m < s->nband ? s->band[i * s->nband + m] : 0;
}

struct inputs { const struct ep_signal *s[MOST + 2]; double scale[MOST + 2]; size_t n; };

static ep_status put_band(const struct inputs *in, const double *grad, struct ep_signal *o, struct ep_err *e)
{
    size_t width = 0;
    for (size_t k = 0; k < in->n; k++)
        if (in->s[k] && in->s[k]->band && in->s[k]->nband > width) width = in->s[k]->nband;
    if (width == 0) return EP_OK;
    o->band = calloc(o->n * width, sizeof *o->band);
    if (!o->band) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (covariances of a profile)", o->n * width * sizeof *o->band);
    o->nband = width;
    for (size_t i = 0; i < o->n; i++)
        for (size_t m = 0; m < width && i + m + 1 < o->n; m++) {
            double c = 0;
            for (size_t k = 0; k < in->n; k++)
                if (in->s[k]) c += grad[i * in->n + k] * grad[(i + m + 1) * in->n + k] * in->scale[k] * in->scale[k] * band_of(in->s[k], i, m);
            o->band[i * width + m] = isfinite(c) ? c : 0;
        }
    return EP_OK;
}

static ep_status make(const struct plan *p, const struct made *m, const struct inputs *in, struct ep_signal *o, struct ep_err *e)
{
    double *grad = calloc(o->n * in->n, sizeof *grad);
    if (!o->flags) o->flags = calloc(o->n ? o->n : 1, sizeof *o->flags);
    if (!grad || !o->flags) {
        free(grad);
        return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (derivatives)", o->n * in->n * sizeof *grad);
    }
    for (size_t i = 0; i < o->n; i++) {
        struct place at = { .flag = 0 };
        double *d = grad + i * in->n, var = 0;
        at.v[p->n] = at.v[p->n + 1] = 1;
        for (size_t k = 0; k < in->n; k++)
            if (in->s[k]) read_one(in->s[k], i, in->scale[k], &at, k);
        double v = ep_fatal(at.flag) ? (double)NAN : value(p, m, &at, d);
        for (size_t k = 0; k < in->n; k++) var += d[k] * d[k] * at.var[k];
        if (!ep_fatal(at.flag) && low_denominator(p, &at)) at.flag |= EP_FLAG_LOW_DENOMINATOR;
        double sigma = isnan(v) ? v : sqrt(var);
        o->flags[i] = at.flag;
        if (o->f32) o->f32[i] = (float)v;
        else o->f64[i] = v;
        if (o->sigma32) o->sigma32[i] = (float)sigma;
        if (o->sigma64) o->sigma64[i] = sigma;
    }
    ep_status st = o->d.kind == EP_PROFILE && o->sigma64 ? put_band(in, grad, o, e) : EP_OK;
    free(grad);
    return st;
}

static ep_status whole(const void *plan, const struct ep_prepare *prep, struct ep_signal **out, struct ep_err *e)
{
    (void)plan;
    struct plan p;
    struct inputs in = { .n = 0 };
    plan_of(NULL, prep->par, prep->in, &p);
    in.n = p.n + 2;
    for (size_t k = 0; k < p.n; k++) in.s[k] = prep->in[PORT_INPUT].v[p.line[k].item].whole, in.scale[k] = 1;
    if (prep->in[PORT_LOW].n) in.s[p.n] = prep->in[PORT_LOW].v[0].whole, in.scale[p.n] = dose_ratio(prep->par, prep->in);
    if (prep->in[PORT_THICKNESS].n) in.s[p.n + 1] = prep->in[PORT_THICKNESS].v[0].whole, in.scale[p.n + 1] = 1;
    ep_status st = p.nmade == prep->nout ? EP_OK : ep_fail(e, EP_E_COMPUTE, "the outputs are not those that were declared");
    for (size_t i = 0; i < prep->nout && !st; i++)
        if (out[i]) st = make(&p, &p.made[i], &in, out[i], e);
    return st;
}

const struct ep_stage ep_stage_quantify = {
    .name = "quantify",
    .summary = "Turns counts of X-ray lines or core-loss edges into amounts: percent, atoms per area, or ratios.",
    .reference = "G. Cliff, G. W. Lorimer, J. Microsc. 103 (1975) 203; R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd "
                 "ed. (Springer, 2011), section 4.5.",
    .method = "X-rays: counts times k-factors, divided by their sum over the elements that are given: what is not among them does not count. "
              "Absorption is not corrected: of O K an oxide of 50 nm keeps back 10 to 35 %, so O comes out low and all else high. Energy losses: N = I_k / (I_low sigma), with I_low the low loss in a window as wide as the "
              "edge's (then most plural scattering cancels) and sigma from photoionisation and the dipole formula, without white lines or peaks near the "
              "edge: right within 10 % for K and 25 % for L edges, and peaks add to that 20 % of O K in 50 eV, 10 % in 100 eV. Sigma holds the errors of the counts, taken as independent between lines; what factors and cross "
              "sections are uncertain by is common to all pixels and stands beside it as <element>_systematic. The mean of percentages of "
              "few counts is biased: for a profile or a region average the counts first and quantify those.",
    .version = 2,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = PORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .whole = whole,
};
