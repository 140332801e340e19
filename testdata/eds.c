/*
 * X-rays of a thin film: photons = electrons * solid angle / 4 pi * atoms per area * cross
 * section of the line * efficiency. Absorption and fluorescence within the film are left out (60
 * nm: below 1 % except for C and O). Each kind of photon is Poisson by itself; a photon's channel
 * is drawn from the response of its kind, which is the same as one Poisson number per channel.
 *
 * HAADF: Z^1.7 per atom, linear in thickness (S. J. Pennycook, Ultramicroscopy 30 (1989) 58 has
 * nearly Z^2; screening makes it less). Exponent, gain, black level and noise: scenario.
 */
#include "eds.h"

#include <math.h>

#include "physics.h"
#include "spectra.h"

#define PI 3.14159265358979323846
#define BARN_NM2 1e-10
#define NOISE_COUNTS_PER_S 40.0

/* Scenario: 4 nm of carbon from contamination, gallium of some 10^15 per cm^2 and a trace of
 * redeposited platinum from the ion beam; copper (grid) and silicon (chip) by stray electrons. */
const double sim_eds_stray_atoms[SIM_ELEMENTS] = {
    [SIM_C] = 400.0, [SIM_SI] = 25.0, [SIM_CU] = 90.0, [SIM_GA] = 20.0, [SIM_PT] = 2.0,
};

void sim_eds_units(const struct sim_column *column, double dwell_s, double dose,
                   double units[SIM_RESPONSES])
{
    double atoms[SIM_ELEMENTS], z2 = 0.0;
    sim_column_atoms(column, atoms);
    for (size_t e = 0; e < SIM_ELEMENTS; e++) {
        atoms[e] += sim_eds_stray_atoms[e];
        z2 += atoms[e] * sim_element_z[e] * sim_element_z[e];
    }
    double per_barn = sim_electrons(column, dwell_s, dose) * SIM_EDS_SOLID_ANGLE_SR / (4.0 * PI) *
                      BARN_NM2;
    for (size_t f = 0; f < SIM_FAMILIES; f++) {
        units[f] = per_barn * atoms[sim_families[f].element];
    }
    units[SIM_BREMSSTRAHLUNG] = per_barn * z2;
    units[SIM_NOISE_PEAK] = NOISE_COUNTS_PER_S * dwell_s * dose;
}

void sim_eds_render(const struct sim_responses *responses, const struct sim_scene *scene,
                    double dose, uint32_t *counts)
{
    size_t n = responses->detector.nchannels;
    uint64_t seed = sim_hash_text(scene->run.seed, "eds");
    for (size_t p = 0; p < scene->ny * scene->nx; p++) {
        double units[SIM_RESPONSES];
        struct sim_rng rng;
        sim_rng_seed(&rng, sim_hash(seed, (uint64_t)(p / scene->nx) << 32 | p % scene->nx));
        sim_eds_units(&scene->column[p], SIM_EDS_DWELL_S, dose, units);
        for (size_t i = 0; i < SIM_RESPONSES; i++) {
            double mean = units[i] * responses->response[i].on_axis;
            sim_response_draw(responses, i, sim_poisson(&rng, mean), &rng, counts + p * n);
        }
    }
}

double sim_haadf_expected(const struct sim_column *column)
{
    double atoms[SIM_ELEMENTS], signal = 0.0;
    sim_column_atoms(column, atoms);
    for (size_t e = 0; e < SIM_ELEMENTS; e++) {
        signal += atoms[e] * pow(sim_element_z[e], SIM_HAADF_EXPONENT);
    }
    double lithium = SIM_PER_NM3 * column->thickness_nm *
                     (column->li_ncm_mol_l + column->li_llto_mol_l);
    signal += lithium * pow(3.0, SIM_HAADF_EXPONENT);
    return SIM_HAADF_BLACK + SIM_HAADF_GAIN * column->current_na * signal;
}

void sim_haadf_render(const struct sim_scene *scene, uint16_t *counts)
{
    uint64_t seed = sim_hash_text(sim_hash_text(scene->run.seed, "haadf"), scene->grid.name);
    for (size_t p = 0; p < scene->ny * scene->nx; p++) {
        struct sim_rng rng;
        sim_rng_seed(&rng, sim_hash(seed, (uint64_t)(p / scene->nx) << 32 | p % scene->nx));
        double signal = sim_haadf_expected(&scene->column[p]) - SIM_HAADF_BLACK;
        double value = rint(SIM_HAADF_BLACK + (double)sim_poisson(&rng, signal) +
                            SIM_HAADF_READ_NOISE * sim_normal(&rng));
        counts[p] = (uint16_t)fmin(fmax(value, 0.0), 65535.0);
    }
}
