/* Shapes of a step across a boundary: the share S(u) of the high plateau that is left at distance u, falling from 1 to 0.
 *
 *   erf        S = erfc((u - c)/w)/2, w = sqrt(2) sigma: a sharp step seen with a Gaussian probe, or diffusion in both
 *              directions from a thin couple (J. Crank, The Mathematics of Diffusion, 2nd ed., Oxford 1975, section 2.2).
 *   erfc       1 up to c, erfc((u - c)/L) behind it (constant concentration at the surface: Crank, section 3.3), seen with a
 *              Gaussian probe. c + s|N1| + sigma N2 (N1, N2 normal, s = L/sqrt 2) has this tail: a skew normal, whose distribution
 *              is Phi(z) - 2 T(z, s/sigma), T Owen's function (A. Azzalini, Scand. J. Statist. 12 (1985) 171).
 *              s < 0: the tail reaches into the high side.
 *   jump_erfc  a sharp step to a fraction, and an erfc tail behind it from the same boundary: limited solubility.
 *   two_step   two erf steps with a plateau between them: an interphase.
 */
#ifndef EP_NUMERICS_STEP_CURVE_H
#define EP_NUMERICS_STEP_CURVE_H
#include <stddef.h>

enum ep_step_model { EP_STEP_ERF, EP_STEP_ONE_SIDED, EP_STEP_JUMP, EP_STEP_TWO, EP_STEP_MODELS };
extern const char *const ep_step_names[EP_STEP_MODELS];

/* erf: c, ln w. one_sided, jump: c, s, ln sigma. two_step: c1, c2, ln w1, ln w2. */
#define EP_STEP_SHAPE 4
size_t ep_step_shape(enum ep_step_model m);           /* how many of them */

/* Owen's T(h, a) = (1/2 pi) integral from 0 to a of exp(-h^2 (1 + x^2)/2)/(1 + x^2), to 1e-12. */
double ep_owen_t(double h, double a);
/* The parts of S at u: one, or the two of jump_erfc (jump, tail) and two_step; each edge blurred by a Gaussian of variance blur. */
void ep_step_parts(enum ep_step_model m, const double *shape, double blur, double u, double part[2]);
#endif
