/*
 * How a species stands across the boundary: its share against the distance from the boundary,
 * before and after the probe has blurred it, and where it passes a fraction.
 */
#ifndef SIM_PROFILE_H
#define SIM_PROFILE_H

/* All profiles go from 1 far behind the boundary to 0 far ahead of it, and have their 10 % point
 * at `depth` before blurring. Depth 0 is a step. */
enum sim_profile {
    SIM_PROFILE_ERFC,       /* 0.5 erfc(d / L): equal diffusion into both sides */
    SIM_PROFILE_ONE_SIDED,  /* 1 behind the boundary, erfc(d / L) ahead of it */
    SIM_PROFILE_INTERPHASE, /* a step to 0.45, a layer, a soft second step */
    SIM_PROFILES
};

extern const char *const sim_profile_names[SIM_PROFILES];
extern const char *const sim_profile_texts[SIM_PROFILES];

/* The share at distance d, blurred by a Gaussian of sigma (which may be 0). */
double sim_profile_share(enum sim_profile profile, double d_nm, double depth_nm,
                         double sigma_nm);

/* Where the blurred share is `fraction`, 0 < fraction < 0.45. */
double sim_profile_position(enum sim_profile profile, double depth_nm, double sigma_nm,
                            double fraction);

#endif
