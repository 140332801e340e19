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

#define PI 3.14159265358979323846

static const struct ep_edge_model models[] = {
    { "Li_K", EP_EDGE_LI_K, 54.7, 2.5, 1 },  { "Sc_M", EP_EDGE_M23, 31.0, 22, 1 }, { "Ti_M", EP_EDGE_M23, 36.0, 21, 1 },
    { "V_M", EP_EDGE_M23, 39.5, 18, 1 },     { "Cr_M", EP_EDGE_M23, 43.5, 15, 1 }, { "Mn_M", EP_EDGE_M23, 49.0, 12, 1 },
    { "Fe_M", EP_EDGE_M23, 54.5, 12, 1 },    { "Co_M", EP_EDGE_M23, 60.0, 12, 1 }, { "Ni_M", EP_EDGE_M23, 66.5, 8, 1 },
    { "Cu_M", EP_EDGE_M23, 74.0, 5, 1 },
};

bool ep_edge_model(const char *name, struct ep_edge_model *out)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0) {
            *out = models[i];
            return true;
        }
    return false;
}

const char *ep_edge_model_names(void)
{
    return "Li_K, and Sc_M, Ti_M, V_M, Cr_M, Mn_M, Fe_M, Co_M, Ni_M, Cu_M";
}

/* ---- parameters ---------------------------------------------------------------------------------------------------- */

enum { M_WIDTH, M_DECAY, M_TAIL, M_SHARED };       /* then onset and height of each edge */
enum { LI_STEP, LI_WIDTH, LI_PEAK };

static ep_status add(struct ep_mlls *m, size_t col, const char *edge, const char *what, double mean, double sigma, double lo, double hi,
                     double doubt, struct ep_err *e)
{
    if (m->ntheta == EP_MLLS_PAR) return ep_fail(e, EP_E_COMPUTE, "too many edges: their shapes have more than %d parameters", EP_MLLS_PAR);
    struct ep_mlls_par *p = &m->par[m->ntheta++];
    *p = (struct ep_mlls_par){ .col = col, .mean = mean, .sigma = sigma, .lo = lo, .hi = hi, .doubt = doubt };
    snprintf(p->name, sizeof p->name, "%s %s", edge, what);
    return EP_OK;
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
            if (st) return st;
            continue;
        }
        bool alone = c->nedge == 1;
        st = add(m, k, c->edge[0].name, "width", 1.2, 0.6, 0.5, 3, 0.6, e);
        if (!st) st = add(m, k, c->edge[0].name, "decay", alone ? 8 : 5, 3, 2, 16, 3, e);
        if (!st) st = add(m, k, c->edge[0].name, "tail", 0.1, 0.3, 0, 0.8, 0.1, e);
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

double ep_mlls_onset(const struct ep_mlls_column *c)
{
    double least = INFINITY;
    for (size_t i = 0; i < c->nedge; i++) least = fmin(least, c->edge[i].onset);
    return least;
}

double ep_mlls_edge(const struct ep_mlls *m, const struct ep_mlls_column *c, const double *t, double e)
{
    if (e < 1) return 0;
    double mb = 0;
    if (c->edge[0].shape == EP_EDGE_LI_K) {
        double at = t[LI_STEP];
        if (e < at - 12) return 0;
        mb = 2.5 * soft_step(e, at, t[LI_WIDTH]) * pow(e / 57.5, -2.2);
        mb += soft_step(e, at - 2.8, 0.9) * (2.2 * t[LI_PEAK] * peak(e, at + 4.3, 2.2) + 0.6 * peak(e, at + 11, 4));
    } else {
        for (size_t i = 0; i < c->nedge; i++) {
            double on = c->edge[i].onset + t[M_SHARED + 2 * i], h = c->edge[i].height * c->edge[i].atoms * exp(t[M_SHARED + 2 * i + 1]);
            if (e < on - 5 * t[M_WIDTH]) continue;
            double d = t[M_DECAY], core = m->resonance ? peak(e, on + 0.3 * d, 0.6 * d) : exp(-fmax(e - on, 0) / d);
            mb += h * soft_step(e, on, t[M_WIDTH]) * ((1 - t[M_TAIL]) * core + t[M_TAIL] * pow(e / on, -2.2));
        }
    }
    return mb * dipole(m, e);
}
