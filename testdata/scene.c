/*
 * The scenario: an NCM film on LLTO in two orientations, heated in steps. Where lithium,
 * titanium and lanthanum go, and when, follows the trend of the published experiment (Nat.
 * Commun. 15 (2024), s41467-024-52226-4: the interface with NCM(104) changes visibly from 420
 * degC on, the one with NCM(003) from 600 degC on); the numbers themselves are scenario
 * numbers, stated in the truth file of each run. They are what an analysis of these files
 * ought to find.
 */
#include "scene.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "physics.h"
#include "rng.h"

#define TWO_PI 6.283185307179586

const char *const sim_sample_names[SIM_SAMPLES] = {"ncm003", "ncm104"};

static double smoothstep(double u)
{
    u = fmin(fmax(u, 0.0), 1.0);
    return u * u * (3.0 - 2.0 * u);
}

/* Zero up to `from`, then approaching `most` exponentially. */
static double onset_growth(double t, double from, double scale, double most)
{
    return t <= from ? 0.0 : most * (1.0 - exp(-(t - from) / scale));
}

struct sim_run sim_run_of(enum sim_sample sample, int temperature_c, uint64_t seed, size_t ny,
                          size_t nx)
{
    struct sim_run r = {.sample = sample, .temperature_c = temperature_c};
    double t = temperature_c;
    bool open = sample == SIM_NCM104; /* lithium layers end at the interface */

    r.seed = sim_hash_text(sim_hash(seed, SIM_VERSION), sim_sample_names[sample]);
    r.seed = sim_hash(r.seed, (uint64_t)(int64_t)temperature_c);
    struct sim_rng rng;
    sim_rng_seed(&rng, sim_hash(r.seed, 0x52554eu));

    r.angle_degree = open ? -4.0 : 6.0;
    r.point_x_nm = 0.5 * SIM_PIXEL_NM * (double)(nx - 1);
    r.point_y_nm = 0.5 * SIM_PIXEL_NM * (double)(ny - 1);
    r.step_sigma_nm = hypot(SIM_PROBE_FWHM_NM / 2.354820045, 0.25);

    /* Lithium: at 400 degC (003) and 100 degC (104) the change is there for the first time.
     * Three tenths of what leaves the NCM are found in the LLTO of the field, the rest is not. */
    r.li_moved = open ? onset_growth(t, 60.0, 180.0, 0.45) : onset_growth(t, 350.0, 150.0, 0.35);
    double moved = r.li_moved * sim_materials[SIM_NCM].lithium_mol_l;
    r.li_ncm_mol_l = sim_materials[SIM_NCM].lithium_mol_l - moved;
    r.li_llto_mol_l = sim_materials[SIM_LLTO].lithium_mol_l + 0.3 * moved;

    /* Interdiffusion: (003) 2 nm at 700 degC; (104) 6 nm from 450 degC on. */
    r.ti_depth_nm = open ? 6.0 * smoothstep((t - 350.0) / 100.0)
                         : 2.0 * smoothstep((t - 500.0) / 200.0);
    r.la_depth_nm = 0.9 * r.ti_depth_nm;
    r.tm_depth_nm = 0.5 * r.ti_depth_nm;

    /* The pre-peak of (003) falls to about 0.57 at 700 degC; that of (104) stays. */
    r.prepeak = open ? 1.0 : 1.0 - 0.45 / (1.0 + exp(-(t - 640.0) / 20.0));

    /* Lamella and microscope: thickness +-10 % between runs and +-10 % within the field (a wedge
     * left by the ion beam), current +-10 % between runs, energy axis up to +-1 eV. */
    r.thickness_nm = 60.0 * (1.0 + 0.10 * (2.0 * sim_uniform(&rng) - 1.0));
    r.wedge_y = 0.08;
    r.wedge_x = 0.02;
    r.current_na = 0.1 * (1.0 + 0.10 * (2.0 * sim_uniform(&rng) - 1.0));
    r.current_fall = 0.01;
    r.zlp_offset_ev = 2.0 * sim_uniform(&rng) - 1.0;
    r.zlp_ramp_ev = 0.4 + 0.2 * sim_uniform(&rng);
    r.zlp_wave_ev = 0.2 + 0.2 * sim_uniform(&rng);
    r.zlp_wave_periods = 1.0 + 1.5 * sim_uniform(&rng);
    r.zlp_wave_phase = TWO_PI * sim_uniform(&rng);
    r.zlp_jitter_ev = 0.02;
    return r;
}

/*
 * Share of a species that belongs to the far side, at distance d from the boundary, for equal
 * diffusion into both sides: 0.5 erfc(d / length), blurred by the probe. Its 10 % point without
 * blurring is 0.9062 length.
 */
static double interdiffused(double d_nm, double depth_nm, double sigma_nm)
{
    double length = depth_nm / 0.906193802;
    double share = 0.5 * erfc(d_nm / sqrt(length * length + 2.0 * sigma_nm * sigma_nm));
    return share < 1e-9 ? 0.0 : share > 1.0 - 1e-9 ? 1.0 : share; /* far away: nothing to render */
}

int sim_scene_make(struct sim_scene *scene, const struct sim_run *run, size_t ny, size_t nx,
                   struct sim_err *err)
{
    *scene = (struct sim_scene){.ny = ny, .nx = nx, .run = *run};
    scene->column = calloc(ny * nx, sizeof *scene->column);
    if (scene->column == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for a scene of %zu x %zu pixels", ny, nx);
    }
    double angle = run->angle_degree * TWO_PI / 360.0;
    double half_x = fmax(run->point_x_nm, 1e-9), half_y = fmax(run->point_y_nm, 1e-9);
    for (size_t y = 0; y < ny; y++) {
        for (size_t x = 0; x < nx; x++) {
            struct sim_column *c = &scene->column[y * nx + x];
            double dx = SIM_PIXEL_NM * (double)x - run->point_x_nm;
            double dy = SIM_PIXEL_NM * (double)y - run->point_y_nm;
            double d = dx * cos(angle) + dy * sin(angle);
            double scanned = (double)(y * nx + x) / (double)(ny * nx) - 0.5;

            c->distance_nm = d;
            c->ncm = interdiffused(-d, 0.0, run->step_sigma_nm);
            c->li_ncm_mol_l = c->ncm * run->li_ncm_mol_l;
            c->li_llto_mol_l = (1.0 - c->ncm) * run->li_llto_mol_l;
            c->ti = interdiffused(d, run->ti_depth_nm, run->step_sigma_nm);
            c->la = interdiffused(d, run->la_depth_nm, run->step_sigma_nm);
            c->tm = interdiffused(-d, run->tm_depth_nm, run->step_sigma_nm);
            c->prepeak = run->prepeak;
            c->thickness_nm = run->thickness_nm *
                              (1.0 + run->wedge_y * dy / half_y + run->wedge_x * dx / half_x);
            c->current_na = run->current_na * (1.0 - run->current_fall * scanned);

            struct sim_rng rng;
            sim_rng_seed(&rng, sim_hash(sim_hash(run->seed, 0x5a4c50u), (uint64_t)y << 32 | x));
            c->zlp_ev = run->zlp_offset_ev + run->zlp_ramp_ev * scanned +
                        run->zlp_wave_ev * sin(TWO_PI * run->zlp_wave_periods * scanned +
                                               run->zlp_wave_phase) +
                        run->zlp_jitter_ev * sim_normal(&rng);
        }
    }
    return SIM_OK;
}

void sim_scene_free(struct sim_scene *scene)
{
    free(scene->column);
    scene->column = NULL;
}
