/* Cross sections of inner shells for energy loss, from photoionisation (xraylib) by the dipole formula. Thread-safe.
 *
 *     d sigma/dE = 4 pi a0^2 R^2/(E T') df/dE ln(1 + beta*^2/theta_E^2),    df/dE = sigma_photo / 109.76 Mb eV
 * with T' = m0 v^2/2 and theta_E = E/(2 gamma T'). beta* is the collection angle, made smaller for a convergent beam and cut
 * at the Bethe ridge sqrt(2 theta_E). R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed.
 * (Springer, 2011), sections 3.2, 3.6 and 4.5.
 *
 * K edges agree with hydrogenic sections within 10 % in windows of 50 eV and more, L2,3 of 3d metals within 10 to 45 %. The sections are of
 * single atoms: no white lines, no near-edge structure; M2,3 of 3d metals near threshold are far too small.
 */
#ifndef EP_NUMERICS_EELS_SIGMA_H
#define EP_NUMERICS_EELS_SIGMA_H
#include <stdbool.h>
#include <stddef.h>

/* keV, mrad, mrad. A convergence of NaN or 0 is a parallel beam; the other two must be known (> 0). */
struct ep_eels_optics { double beam_energy, collection, convergence; };

/* An edge: the subshells that rise together. "K", "L3", "L23" (L2 and L3), "L" (all three), "M45", "M23", "M". */
#define EP_EELS_SUBSHELLS 5
struct ep_eels_edge { int z; size_t n; int shell[EP_EELS_SUBSHELLS]; double tabulated; /* eV, the lowest binding energy */ };
/* "O", "K"; false if there is no such element or edge. */
bool ep_eels_edge_of(const char *element, const char *edge, struct ep_eels_edge *out);

/* Barn per eV and atom, at the tabulated energies; 0 below the edge. shell as in ep_xray_subshell(). */
double ep_eels_dsigma(int z, int shell, double energy_eV, const struct ep_eels_optics *o);
/* All subshells of an edge, whose lowest onset stands at `onset` eV (NaN: where the table has it). */
double ep_eels_edge_dsigma(const struct ep_eels_edge *edge, double onset, double energy_eV, const struct ep_eels_optics *o);
/* The same integrated over lo to hi eV: barn per atom. */
double ep_eels_sigma(const struct ep_eels_edge *edge, double onset, double lo, double hi, const struct ep_eels_optics *o);

/* ln(1 + beta*^2/theta_E^2): the angles' part of a section. With a convergence beyond the collection angle it is that relative to
 * the low loss counted through the same aperture. */
double ep_eels_angles(double energy_eV, const struct ep_eels_optics *o);
/* T' = m0 v^2/2 in eV, and gamma. */
double ep_eels_speed(double beam_energy_kev, double *gamma);
#endif
