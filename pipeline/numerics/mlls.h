/* Overlapping edges of one spectrum, fitted together.
 *
 * Single scattering is modelled as columns (measured shapes, or edges with a shape of a few parameters) plus powers of the energy; what
 * plural scattering adds is known from the low loss (losses.h) and taken off first. Amplitudes are linear, the edges' shapes
 * are refined by variable projection, held near what is known of them by priors.
 *
 * Modelled edges, cross section by the dipole formula from a photoabsorption in Mb:
 *   M2,3 of Sc to Cu   height soft_step(onset, width) ((1 - tail) core + tail (E/onset)^-2.2), its core between exp(-(E - onset)/decay) and a
 *                      Lorentzian 0.3 decay behind the onset, by its form, 0 to 1; edges of one column share width, decay, tail and form, and
 *                      keep the ratio of height times atoms; onsets move by 0.5 eV, heights by 5 %
 *   Li K               soft_step(step, width) 2.5 Mb, with a peak near 62 eV, one 11 eV behind the step, and a sharp one before them near
 *                      58.5 eV, which is none where nothing says so; places, heights and widths of peaks are refined
 *   K, L of any        the section of eels_sigma.h, each subshell on a soft step, times (E/onset)^slope; near the onset continued as a power, or
 *                      as tabulated (the other form); with near-edge peaks where they are named, each a Lorentzian on a soft step, of
 *                      a height relative to the section at its energy
 */
#ifndef EP_NUMERICS_MLLS_H
#define EP_NUMERICS_MLLS_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"
#include "pipeline/numerics/eels_sigma.h"
#include "pipeline/numerics/losses.h"

#define EP_EDGE_PEAKS 4
#define EP_EDGE_TABLE 48                       /* energies, even in ln E, at which a section is tabulated */
enum ep_edge_shape { EP_EDGE_LI_K, EP_EDGE_M23, EP_EDGE_SHELL };
struct ep_edge_model {
    char name[12];
    enum ep_edge_shape shape;
    double onset, height, atoms;
    size_t nshell, npeak;
    struct { double onset, section[EP_EDGE_TABLE]; } subshell[EP_EELS_SUBSHELLS];    /* ln of the section, ln E from that of the onset */
    double peak[EP_EDGE_PEAKS];                /* eV: near-edge peaks, for the caller to fill in */
};
/* "Li_K", "Mn_M", "O_K", "Ti_L": false when there is no model of that edge. atoms is 1. optics may be NULL, when only to ask. */
bool ep_edge_model(const char *name, const struct ep_eels_optics *optics, struct ep_edge_model *out);
/* The names that there are, for messages. */
const char *ep_edge_model_names(void);

struct ep_mlls_column {
    size_t nedge; struct ep_edge_model *edge;  /* modelled, or */
    const double *shape;                       /* [nch] single scattering as measured; NaN where it is not known */
};
#define EP_MLLS_PAR 24                         /* shape parameters at most */
#define EP_MLLS_EXPONENTS 4
struct ep_mlls {
    size_t nch; double first, step;            /* the axis, eV, rising */
    size_t ncol; const struct ep_mlls_column *col;
    size_t nexp; double exponent[EP_MLLS_EXPONENTS];
    struct ep_mlls_range { size_t first, end; } fit, count;   /* channels that are fitted, that amplitudes are counted over */
    const struct ep_losses *plural;            /* NULL: the spectrum is fitted as it is */
    bool convolve;                             /* plural scattering is not taken off: modelled edges have it */
    double beam_kev, collection_mrad;
    bool tabulated;                            /* sections of K and L edges as in the tables, for systematics */
    double slant;                              /* of the decays of tied edges: the last is longer by this part, the first shorter */
    size_t ntheta;                             /* by ep_mlls_parameters() */
    struct ep_mlls_par { char name[24]; size_t col; double mean, sigma, lo, hi, doubt; } par[EP_MLLS_PAR];   /* doubt: for systematics */
};
/* Fills ntheta and par; fails when there are too many. */
ep_status ep_mlls_parameters(struct ep_mlls *m, struct ep_err *e);

struct ep_mlls_fit {
    double theta[EP_MLLS_PAR], theta_sigma[EP_MLLS_PAR];
    double *c;                    /* [ncol + nexp] */
    double *counts, *cov;         /* [ncol] in the window, plural scattering included; [ncol][ncol] noise */
    double *correlation;          /* [ncol + nexp][ncol + nexp] */
    double *column;               /* [ncol][nch] per count in the window, plural scattering included; 0 outside of what is known */
    double *single;               /* the same without plural scattering */
    double *thick;                /* [ncol] counts in the window of single scattering, per count with plural scattering */
    double *back, *plural, *model;/* [nch] powers; what plural scattering adds; all. NaN off the fitted channels */
    double chi2; size_t dof;
    bool at_bound;
};
struct ep_mlls_noise { double gain, noise2, low_gain, low_noise2; };   /* variance gain*counts + noise2, per channel, of both spectra */
/* start: theta to begin with, or NULL. cov NULL in a quick fit (of a variant), as are column, back, plural and model. low: the counts
 * that m->plural was made of; may be NULL. */
ep_status ep_mlls_fit(const struct ep_mlls *m, const double *y, const struct ep_mlls_noise *noise, const struct ep_counts *low,
                      const double *start, bool quick, struct ep_mlls_fit **out, struct ep_err *e);
void ep_mlls_fit_free(struct ep_mlls_fit *f);
#endif
