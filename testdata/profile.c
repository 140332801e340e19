/*
 * Profiles of diffusion, blurred in closed form where there is one.
 */
#include "profile.h"

#include <math.h>

#define ROOT2 1.41421356237309505

const char *const sim_profile_names[SIM_PROFILES] = {"erfc", "one-sided", "interphase"};
const char *const sim_profile_texts[SIM_PROFILES] = {
    "0.5 erfc(d / L), L = depth / 0.9062",
    "1 for d < 0, erfc(d / L) for d > 0, L = depth / 1.1631",
    "1 for d < 0, 0.225 erfc((d - w) / s) for d > 0, s = min(0.6, 0.3 depth), w = depth - 0.5407 s",
};

/* Falls from 1 to 0 at `at`, over a length and a blur. */
static double step(double d, double at, double length, double sigma)
{
    double width = sqrt(length * length + 2.0 * sigma * sigma);
    return width > 0.0 ? 0.5 * erfc((d - at) / width) : d < at ? 1.0 : d > at ? 0.0 : 0.5;
}

/* Gaussian average of erfc(x / length) over x > 0, Simpson's rule over +-6 sigma cut at x = 0:
 * no part straddles the kink. */
static double one_sided(double d, double length, double sigma)
{
    if (sigma <= 0.0) {
        return d < 0.0 ? 1.0 : erfc(d / length);
    }
    enum { PARTS = 64 };
    double from = fmax(d - 6.0 * sigma, 0.0), to = d + 6.0 * sigma, sum = 0.0;
    double width = (to - from) / PARTS;
    for (int i = 0; to > from && i <= PARTS; i++) {
        double x = from + width * i, u = (x - d) / sigma;
        double weight = i == 0 || i == PARTS ? 1.0 : i % 2 == 1 ? 4.0 : 2.0;
        sum += weight * width / 3.0 * erfc(x / length) * exp(-0.5 * u * u);
    }
    return step(d, 0.0, 0.0, sigma) + sum / (sigma * 2.50662827463100050);
}

double sim_profile_share(enum sim_profile profile, double d_nm, double depth_nm,
                         double sigma_nm)
{
    double share = 0.0;
    if (depth_nm <= 0.0) {
        share = step(d_nm, 0.0, 0.0, sigma_nm);
    } else if (profile == SIM_PROFILE_ERFC) {
        share = step(d_nm, 0.0, depth_nm / 0.906193802, sigma_nm);
    } else if (profile == SIM_PROFILE_ONE_SIDED) {
        share = one_sided(d_nm, depth_nm / 1.163087154, sigma_nm);
    } else {
        double soft = fmin(0.6, 0.3 * depth_nm);
        share = 0.55 * step(d_nm, 0.0, 0.0, sigma_nm) +
                0.45 * step(d_nm, depth_nm - 0.540731 * soft, soft, sigma_nm);
    }
    return share < 1e-9 ? 0.0 : share > 1.0 - 1e-9 ? 1.0 : share; /* far away: nothing to render */
}

double sim_profile_position(enum sim_profile profile, double depth_nm, double sigma_nm,
                            double fraction)
{
    double low = -10.0 * sigma_nm - 2.0 * depth_nm - 1.0;
    double high = 10.0 * sigma_nm + 4.0 * depth_nm + 1.0;
    for (int i = 0; i < 200; i++) {
        double middle = 0.5 * (low + high);
        if (sim_profile_share(profile, middle, depth_nm, sigma_nm) > fraction) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return 0.5 * (low + high);
}
