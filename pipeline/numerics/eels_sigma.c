#include "pipeline/numerics/eels_sigma.h"

#include <math.h>
#include <string.h>
#include "pipeline/data/elements.h"
#include "pipeline/numerics/xray.h"

#define REST_EV 510998.95
#define RYDBERG 13.605693
#define BOHR2_BARN 2.8002852e7        /* a0^2 */
#define PHOTO_BARN_EV 1.0976e8        /* sigma_photo of df/dE = 1 per eV */
#define PI 3.14159265358979323846

double ep_eels_speed(double beam_energy_kev, double *gamma)
{
    double g = 1 + beam_energy_kev * 1000 / REST_EV;
    if (gamma) *gamma = g;
    return REST_EV * (1 - 1 / (g * g)) / 2;
}

/* Directions of the beam fill a disc of radius alpha, each loses electrons into 1/(theta^2 + theta_E^2), a disc of radius beta collects:
 * the mean over the beam in closed form, all angles squared. Tends to ln(1 + b/t) for a parallel beam. */
static double convergent(double a, double b, double t)
{
    double e1 = sqrt((a + b + t) * (a + b + t) - 4 * a * b) - a - b - t;
    double e2 = 2 * b * log((sqrt((a + t - b) * (a + t - b) + 4 * b * t) + a + t - b) / (2 * t));
    double e3 = 2 * a * log((sqrt((b + t - a) * (b + t - a) + 4 * a * t) + b + t - a) / (2 * t));
    return (e1 + e2 + e3) / (2 * a) * fmax(1, a / b);     /* unscattered electrons miss a smaller aperture as well */
}

double ep_eels_angles(double energy_eV, const struct ep_eels_optics *o)
{
    const double least = 0.01;        /* mrad: below, the closed form loses its digits and the beam is as good as parallel */
    double gamma, speed = ep_eels_speed(o->beam_energy, &gamma), theta = energy_eV / (2 * gamma * speed);
    double beta = o->collection * 1e-3, alpha = o->convergence * 1e-3;
    double l = o->convergence > least ? convergent(alpha * alpha, beta * beta, theta * theta) : log1p(beta * beta / (theta * theta));
    return fmin(l, log1p(2 / theta));
}

/* Of so many barn of photoionisation. */
static double of_photo(double photo, double energy_eV, const struct ep_eels_optics *o)
{
    if (!(photo > 0)) return 0;
    return 4 * PI * BOHR2_BARN * RYDBERG * RYDBERG / (energy_eV * ep_eels_speed(o->beam_energy, NULL)) * photo / PHOTO_BARN_EV *
           ep_eels_angles(energy_eV, o);
}

double ep_eels_dsigma(int z, int shell, double energy_eV, const struct ep_eels_optics *o)
{
    return of_photo(ep_xray_photo(z, shell, energy_eV), energy_eV, o);
}

bool ep_eels_edge_of(const char *element, const char *edge, struct ep_eels_edge *out)
{
    static const char *const names[][1 + EP_EELS_SUBSHELLS] = {
        { "L", "L1", "L2", "L3" }, { "L23", "L2", "L3" }, { "M", "M1", "M2", "M3", "M4", "M5" }, { "M23", "M2", "M3" }, { "M45", "M4", "M5" },
    };
    *out = (struct ep_eels_edge){ .z = ep_element_z(element) };
    const char *const *parts = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], edge) == 0) parts = names[i] + 1;
    const char *const single[EP_EELS_SUBSHELLS] = { edge };
    if (!parts) parts = single;
    for (size_t i = 0; i < EP_EELS_SUBSHELLS && parts[i] && out->z; i++) {
        int shell = ep_xray_subshell(parts[i]);
        double at = shell < 0 ? 0 : ep_xray_edge(out->z, shell);
        if (!(at > 0)) continue;
        out->shell[out->n++] = shell;
        if (out->n == 1 || at < out->tabulated) out->tabulated = at;
    }
    return out->n > 0;
}

double ep_eels_edge_dsigma(const struct ep_eels_edge *edge, double onset, double energy_eV, const struct ep_eels_optics *o)
{
    double photo = 0, table = isnan(onset) ? energy_eV : energy_eV - onset + edge->tabulated;
    for (size_t i = 0; i < edge->n; i++) photo += ep_xray_photo(edge->z, edge->shell[i], table);
    return of_photo(photo, energy_eV, o);
}

/* Midpoints of 0.1 eV or less: the sections are smooth between edges. */
double ep_eels_sigma(const struct ep_eels_edge *edge, double onset, double lo, double hi, const struct ep_eels_optics *o)
{
    if (!(hi > lo)) return 0;
    double start = isnan(onset) ? edge->tabulated : onset, sum = 0;
    if (lo < start) lo = fmin(start, hi);
    size_t n = (size_t)ceil((hi - lo) / 0.1);
    for (size_t i = 0; i < n; i++) sum += ep_eels_edge_dsigma(edge, onset, lo + ((double)i + 0.5) * (hi - lo) / (double)n, o);
    return n ? sum * (hi - lo) / (double)n : 0;
}
