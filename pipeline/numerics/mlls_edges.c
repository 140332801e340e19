/* Shapes of modelled edges.
 *
 * M2,3 onsets: C. C. Ahn, O. L. Krivanek, EELS Atlas (1983). Heights at the 3p-3d resonance, Mb per atom: Ti 21, Co 12 (measured
 * photoabsorption of the solids); the others by the number of empty 3d states and smoothness, to some 20 %. Li K: edge at 54.7 eV,
 * maximum near 62 eV in layered oxides (M. Saitoh et al., Phys. Chem. Chem. Phys. 20 (2018) 25052); continuum 2.5 Mb at 60 eV, falling as E^-2.2 (B. L.
 * Henke et al., At. Data Nucl. Data Tables 54 (1993) 181).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "pipeline/numerics/mlls_internal.h"
#include "pipeline/numerics/xray.h"

#define PI 3.14159265358979323846

static const struct { const char *name; enum ep_edge_shape shape; double onset, height; } models[] = {
    { "Li_K", EP_EDGE_LI_K, 54.7, 2.5 },  { "Sc_M", EP_EDGE_M23, 31.0, 22 }, { "Ti_M", EP_EDGE_M23, 36.0, 21 },
    { "V_M", EP_EDGE_M23, 39.5, 18 },     { "Cr_M", EP_EDGE_M23, 43.5, 15 }, { "Mn_M", EP_EDGE_M23, 49.0, 12 },
    { "Fe_M", EP_EDGE_M23, 54.5, 12 },    { "Co_M", EP_EDGE_M23, 60.0, 12 }, { "Ni_M", EP_EDGE_M23, 66.5, 8 },
    { "Cu_M", EP_EDGE_M23, 74.0, 5 },
};

#define TABLE_STEP 0.03      /* of ln E: up to four times the onset */
#define LEAST 45             /* eV: what is bound less belongs to the valence losses */

/* An edge that has no model of its own: K or L, from the tables. */
static bool shell_edge(const char *name, const struct ep_eels_optics *optics, struct ep_edge_model *out)
{
    char element[4] = "";
    struct ep_eels_edge edge;
    size_t n = strcspn(name, "_");
    if (n == 0 || n > 2 || strlen(name) >= sizeof out->name || (name[n + 1] != 'K' && name[n + 1] != 'L')) return false;
    memcpy(element, name, n);
    if (!ep_eels_edge_of(element, name + n + 1, &edge) || edge.tabulated < LEAST) return false;
    *out = (struct ep_edge_model){ .shape = EP_EDGE_SHELL, .onset = edge.tabulated, .height = 1, .atoms = 1, .nshell = edge.n };
    snprintf(out->name, sizeof out->name, "%s", name);
    for (size_t i = 0; i < edge.n && optics; i++) {
        double at = out->subshell[i].onset = ep_xray_edge(edge.z, edge.shell[i]);
        for (size_t k = 0; k < EP_EDGE_TABLE; k++) {
            double section = ep_eels_dsigma(edge.z, edge.shell[i], at * exp(TABLE_STEP * (double)k + 1e-5), optics);
            out->subshell[i].section[k] = log(fmax(section, 1e-300));
        }
    }
    return true;
}

bool ep_edge_model(const char *name, const struct ep_eels_optics *optics, struct ep_edge_model *out)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0) {
            *out = (struct ep_edge_model){ .shape = models[i].shape, .onset = models[i].onset, .height = models[i].height, .atoms = 1 };
            snprintf(out->name, sizeof out->name, "%s", name);
            return true;
        }
    return shell_edge(name, optics, out);
}

const char *ep_edge_model_names(void)
{
    return "Li_K, Sc_M, Ti_M, V_M, Cr_M, Mn_M, Fe_M, Co_M, Ni_M, Cu_M, and the K and L edges of all elements, as O_K, Ti_L";
}

/* ---- parameters ---------------------------------------------------------------------------------------------------- */

enum { M_WIDTH, M_DECAY, M_TAIL, M_FORM, M_SHARED };       /* then onset and height of each edge */
enum { LI_STEP, LI_WIDTH, LI_PEAK, LI_PLACE, LI_HALF, LI_FIRST, LI_FIRST_PLACE };
enum { S_ONSET, S_WIDTH, S_SLOPE, S_PEAK_WIDTH, S_PEAKS };      /* then place and height of each peak */

static ep_status add(struct ep_mlls *m, size_t col, const char *edge, const char *what, double mean, double sigma, double lo, double hi,
                     double doubt, struct ep_err *e)
{
    if (m->ntheta == EP_MLLS_PAR) return ep_fail(e, EP_E_COMPUTE, "too many edges: their shapes have more than %d parameters", EP_MLLS_PAR);
    struct ep_mlls_par *p = &m->par[m->ntheta++];
    *p = (struct ep_mlls_par){ .col = col, .mean = mean, .sigma = sigma, .lo = lo, .hi = hi, .doubt = doubt };
    snprintf(p->name, sizeof p->name, "%.11s %.11s", edge, what);
    return EP_OK;
}

/* Onsets of compounds differ from the tables' by some eV. Sections of K edges are known to 10 % over 50 eV, of L edges to 10 to 45 %, so their
 * slope to some tenths; it is held, since a background of powers makes up for any slope, at the amount's cost. */
static ep_status shell_parameters(struct ep_mlls *m, size_t col, const struct ep_edge_model *edge, struct ep_err *e)
{
    bool k_edge = strstr(edge->name, "_K") != NULL;
    ep_status st = add(m, col, edge->name, "onset", 0, 1.5, -6, 6, 1, e);
    if (!st) st = add(m, col, edge->name, "width", 1.5, 1, 0.3, 6, 0.5, e);
    if (!st) st = add(m, col, edge->name, "slope", 0, 0.01, -1, 1, k_edge ? 0.3 : 1, e);
    if (!st && edge->npeak) st = add(m, col, edge->name, "peak width", 1, 1, 0.2, 6, 0, e);
    for (size_t i = 0; !st && i < edge->npeak; i++) {
        char what[16];
        snprintf(what, sizeof what, "peak %u", (unsigned)(i + 1) % 10);
        st = add(m, col, edge->name, what, 0, 1, -3, 3, 0, e);
        snprintf(what, sizeof what, "height %u", (unsigned)(i + 1) % 10);
        if (!st) st = add(m, col, edge->name, what, 1, 5, 0, 100, 0, e);
    }
    return st;
}

ep_status ep_mlls_parameters(struct ep_mlls *m, struct ep_err *e)
{
    m->ntheta = 0;
    for (size_t k = 0; k < m->ncol; k++) {
        const struct ep_mlls_column *c = &m->col[k];
        ep_status st = EP_OK;
        if (c->nedge == 0) continue;
        if (c->edge[0].shape == EP_EDGE_LI_K) {
            st = add(m, k, "Li_K", "step", 57.5, 0.6, 56, 59, 0.6, e);
            if (!st) st = add(m, k, "Li_K", "width", 1.6, 0.6, 0.8, 3.5, 0.6, e);
            if (!st) st = add(m, k, "Li_K", "peak", 1, 0.4, 0.3, 2.5, 0.4, e);
            if (!st) st = add(m, k, "Li_K", "place", 61.8, 0.7, 59, 64, 0.6, e);
            if (!st) st = add(m, k, "Li_K", "half", 2.2, 0.2, 0.5, 4, 0.6, e);
            if (!st) st = add(m, k, "Li_K", "first", 0, 0.3, -1, 3, 0.3, e);
            if (!st) st = add(m, k, "Li_K", "first place", 58.5, 0.4, 57, 60, 0, e);
            if (st) return st;
            continue;
        }
        if (c->edge[0].shape == EP_EDGE_SHELL) {
            st = shell_parameters(m, k, &c->edge[0], e);
            if (st) return st;
            continue;
        }
        bool alone = c->nedge == 1;
        st = add(m, k, c->edge[0].name, "width", 1.2, 0.6, 0.5, 3, 0.6, e);
        if (!st) st = add(m, k, c->edge[0].name, "decay", alone ? 8 : 5, 3, 2, 16, 3, e);
        if (!st) st = add(m, k, c->edge[0].name, "tail", 0.1, 0.3, 0, 0.8, 0.1, e);
        if (!st) st = add(m, k, c->edge[0].name, "form", 0.7, 0.3, -0.2, 1.2, 0, e);
        for (size_t i = 0; !st && i < c->nedge; i++) {
            st = add(m, k, c->edge[i].name, "onset", 0, 0.5, -2, 2, 0.5, e);
            if (!st) st = add(m, k, c->edge[i].name, "height", 0, alone ? 1e-6 : 0.05, -1, 1, alone ? 0 : 0.2, e);
        }
        if (st) return st;
    }
    return EP_OK;
}

/* ---- shapes -------------------------------------------------------------------------------------------------------- */

static double soft_step(double e, double at, double width)
{
    return 0.5 * erfc((at - e) / width);
}

static double peak(double e, double at, double half)
{
    double u = (e - at) / half;
    return 1 / (1 + u * u);
}

/* Egerton 3.2, without the convergence correction; the constant factor is left out. */
static double dipole(const struct ep_mlls *m, double e)
{
    const double rest = 510.99895;
    double gamma = 1 + m->beam_kev / rest, t = 0.5e3 * rest * (1 - 1 / (gamma * gamma)), theta = e / (2 * gamma * t);
    double beta = fmin(1e-3 * m->collection_mrad, sqrt(2 * theta));
    return log1p(beta * beta / (theta * theta)) / e;
}

/* The section of a subshell at energy e; below its onset that at the onset. Near it, the tables' single atoms are flatter than solids: there the
 * power of higher energies (1.3 to 1.7 times the onset) goes on, and the table is the other form. */
#define NEAR 9
#define FAR 17
static double section(const struct ep_mlls *m, const struct ep_edge_model *edge, size_t i, double e)
{
    const double *table = edge->subshell[i].section;
    double at = log(fmax(e / edge->subshell[i].onset, 1)) / TABLE_STEP;
    if (!m->tabulated && at < NEAR) return exp(table[NEAR] + (at - NEAR) * (table[FAR] - table[NEAR]) / (FAR - NEAR));
    size_t k = at < EP_EDGE_TABLE - 2 ? (size_t)at : EP_EDGE_TABLE - 2;
    return exp(table[k] + (at - (double)k) * (table[k + 1] - table[k]));
}

static double shell(const struct ep_mlls *m, const struct ep_edge_model *edge, const double *t, double e)
{
    double sum = 0, width = t[S_WIDTH], half = t[S_PEAK_WIDTH];
    for (size_t i = 0; i < edge->nshell; i++) {
        double on = edge->subshell[i].onset + t[S_ONSET];
        if (e > on - 5 * width) sum += section(m, edge, i, e - t[S_ONSET]) * soft_step(e, on, width);
    }
    sum *= pow(e / edge->onset, t[S_SLOPE]);
    for (size_t i = 0; i < edge->npeak; i++) {
        double at = edge->peak[i] + t[S_PEAKS + 2 * i];
        for (size_t k = 0; e > at - 8 * half && k < edge->nshell; k++)
            sum += t[S_PEAKS + 2 * i + 1] * section(m, edge, k, edge->peak[i]) * soft_step(e, at - 3 * half, 2 * half) * peak(e, at, half);
    }
    return sum;
}

double ep_mlls_onset(const struct ep_mlls_column *c)
{
    double least = INFINITY;
    for (size_t i = 0; i < c->nedge; i++) least = fmin(least, c->edge[i].onset);
    return least;
}

double ep_mlls_edge(const struct ep_mlls *m, const struct ep_mlls_column *c, const double *t, double e)
{
    if (e < 1) return 0;
    if (c->edge[0].shape == EP_EDGE_SHELL) return shell(m, &c->edge[0], t, e);
    double mb = 0;
    if (c->edge[0].shape == EP_EDGE_LI_K) {
        double at = t[LI_STEP];
        if (e < at - 12) return 0;
        mb = 2.5 * soft_step(e, at, t[LI_WIDTH]) * pow(e / 57.5, -2.2);
        mb += soft_step(e, at - 2.8, 0.9) * (2.2 * t[LI_PEAK] * peak(e, t[LI_PLACE], t[LI_HALF]) + 0.6 * peak(e, at + 11, 4) +
                                             2.2 * t[LI_FIRST] * peak(e, t[LI_FIRST_PLACE], 0.8));
    } else {
        for (size_t i = 0; i < c->nedge; i++) {
            double on = c->edge[i].onset + t[M_SHARED + 2 * i], h = c->edge[i].height * c->edge[i].atoms * exp(t[M_SHARED + 2 * i + 1]);
            if (e < on - 5 * t[M_WIDTH]) continue;
            double along = c->nedge > 1 ? 2 * (double)i / (double)(c->nedge - 1) - 1 : 0;
            double d = t[M_DECAY] * (1 + m->slant * along), core = t[M_FORM] * peak(e, on + 0.3 * d, 0.6 * d) + (1 - t[M_FORM]) * exp(-fmax(e - on, 0) / d);
            mb += h * soft_step(e, on, t[M_WIDTH]) * ((1 - t[M_TAIL]) * core + t[M_TAIL] * pow(e / on, -2.2));
        }
    }
    return mb * dipole(m, e);
}
