/*
 * The scenario: an NCM film on LLTO on SrTiO3 in two orientations under a cap, heated in steps.
 * Where lithium, titanium and lanthanum go, and when, follows the trend of the published
 * experiment (Nat. Commun. 15 (2024), s41467-024-52226-4: the interface with NCM(104) changes
 * visibly from 420 degC on, the one with NCM(003) from 600 degC on); the numbers themselves are
 * scenario numbers, stated in the truth file of each run. They are what an analysis of these
 * files ought to find.
 */
#include "scene.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

/* Where the atoms are, and how much of them. */
static void set_specimen(struct sim_run *r, double t, const struct sim_series *series)
{
    const struct sim_specimen *s = &series->specimen;
    bool open = r->sample == SIM_NCM104; /* lithium layers end at the interface */

    /* Lithium: at 400 degC (003) and 100 degC (104) the change is there for the first time.
     * Three tenths of what leaves the NCM are found in the LLTO of the field, the rest is not. */
    r->li_moved = open ? onset_growth(t, 60.0, 180.0, 0.45) : onset_growth(t, 350.0, 150.0, 0.35);
    double moved = r->li_moved * sim_materials[SIM_NCM].lithium_mol_l;
    r->li_ncm_mol_l = s->lithium * (sim_materials[SIM_NCM].lithium_mol_l - moved);
    r->li_llto_mol_l = s->lithium * (sim_materials[SIM_LLTO].lithium_mol_l + 0.3 * moved);

    /* Interdiffusion: (003) 2 nm at 700 degC; (104) 6 nm from 450 degC on. */
    r->profile = (enum sim_profile)s->profile;
    r->ti_depth_nm = s->no_diffusion ? 0.0
                     : open          ? 6.0 * smoothstep((t - 350.0) / 100.0)
                                     : 2.0 * smoothstep((t - 500.0) / 200.0);
    r->la_depth_nm = 0.85 * r->ti_depth_nm;
    /* the one-sided profiles leave the metals of NCM where they are */
    r->tm_depth_nm = r->profile == SIM_PROFILE_ERFC ? 0.5 * r->ti_depth_nm : 0.0;

    /* The pre-peak of (003) falls to about 0.57 at 700 degC; that of (104) stays. */
    r->prepeak = open ? 1.0 : 1.0 - 0.45 / (1.0 + exp(-(t - 640.0) / 20.0));

    r->angle_degree = isnan(s->tilt_degree) ? (open ? -4.0 : 6.0) : s->tilt_degree;
    r->step_sigma_nm = hypot(SIM_PROBE_FWHM_NM / 2.354820045, 0.25);
    r->wedge_y = 0.10;
    r->wedge_x = 0.05;
    if (s->wavy) { /* the same waves at all temperatures */
        struct sim_rng rng;
        sim_rng_seed(&rng, sim_hash_text(sim_hash(series->seed, 0x57415645u),
                                         sim_sample_names[r->sample]));
        r->wave_nm = s->wave_nm;
        r->wavelength_nm = s->wavelength_nm;
        r->wave_phase = TWO_PI * sim_uniform(&rng);
    }
    if (s->flip) {
        r->angle_degree = 180.0 - r->angle_degree;
        r->wave_phase = 0.5 * TWO_PI - r->wave_phase;
        r->wedge_x = -r->wedge_x;
    }
}

/*
 * The fields: EELS with the boundary in its middle and some 5 nm of substrate in view, EDS from
 * deep in the substrate to the cap. Between the runs the specimen drifts by about 1-2 nm, most
 * of it with temperature; between the two scans of a run by a few tenths.
 */
static void set_grids(struct sim_run *r, double t, const struct sim_series *series)
{
    struct sim_grid *eels = &r->grid[SIM_SCAN_EELS], *eds = &r->grid[SIM_SCAN_EDS];
    double drift = series->specimen.drift;
    struct sim_rng rng;
    sim_rng_seed(&rng, sim_hash(r->seed, 0x4452494654u));

    *eels = (struct sim_grid){"eels", series->ny, series->nx, SIM_PIXEL_NM, 0.0, 0.0, 0.0, 0.0};
    r->point_x_nm = 0.5 * SIM_PIXEL_NM * (double)(series->nx - 1);
    r->point_y_nm = 0.5 * SIM_PIXEL_NM * (double)(series->ny - 1);
    double width = SIM_EDS_PIXEL_NM * (double)(series->eds.nx - 1);
    double height = SIM_EDS_PIXEL_NM * (double)(series->eds.ny - 1);
    double left = series->specimen.flip ? 0.59 : 0.41;
    *eds = (struct sim_grid){"eds", series->eds.ny, series->eds.nx, SIM_EDS_PIXEL_NM,
                             r->point_x_nm - left * width, r->point_y_nm - 0.5 * height - 0.7,
                             0.0, 0.0};
    r->half_x_nm = fmax(fmax(r->point_x_nm, 0.59 * width), 1.0);
    r->half_y_nm = fmax(fmax(r->point_y_nm, 0.5 * height + 0.7), 1.0);
    r->llto_nm = fmax(13.0, r->point_x_nm - 4.75);
    r->ncm_nm = fmax(26.0, r->point_x_nm + 8.0);

    double far = drift * 1.4 * (t - 25.0) / 675.0 * (r->sample == SIM_NCM104 ? -1.0 : 1.0);
    eels->shift_x_nm = 0.75 * far + drift * 0.6 * (2.0 * sim_uniform(&rng) - 1.0);
    eels->shift_y_nm = -0.65 * far + drift * 0.6 * (2.0 * sim_uniform(&rng) - 1.0);
    eds->shift_x_nm = eels->shift_x_nm + drift * 0.4 * (2.0 * sim_uniform(&rng) - 1.0);
    eds->shift_y_nm = eels->shift_y_nm + drift * 0.4 * (2.0 * sim_uniform(&rng) - 1.0);
}

/* Errors of the energy axis: up to 4 eV, 0.07 % and 4 eV of width, unless the series says. */
static void set_detector(struct sim_run *r, const struct sim_series *series)
{
    const struct sim_eds_series *e = &series->eds;
    struct sim_rng rng;
    sim_rng_seed(&rng, sim_hash(r->seed, 0x454453u));
    double offset = 4.0 * (2.0 * sim_uniform(&rng) - 1.0);
    double gain = 7e-4 * (2.0 * sim_uniform(&rng) - 1.0);
    double width = 1.0 + 3.0 * sim_uniform(&rng);
    r->detector = (struct sim_detector){
        .offset_kev = -0.2, .scale_kev = 0.01, .nchannels = 2048, .escape = 1,
        .offset_error_ev = isnan(e->offset_error_ev) ? offset : e->offset_error_ev,
        .gain_error = isnan(e->gain_error) ? gain : e->gain_error,
        .mnka_ev = SIM_EDS_NOMINAL_MNKA_EV + (isnan(e->width_error_ev) ? width : e->width_error_ev),
        .tail_share = e->tail, .tail_ev = 150.0,
    };
}

struct sim_run sim_run_of(enum sim_sample sample, int temperature_c,
                          const struct sim_series *series)
{
    struct sim_run r = {.sample = sample, .temperature_c = temperature_c};
    double t = temperature_c;

    r.seed = sim_hash_text(sim_hash(series->seed, SIM_VERSION), sim_sample_names[sample]);
    r.seed = sim_hash(r.seed, (uint64_t)(int64_t)temperature_c);
    set_specimen(&r, t, series);
    set_grids(&r, t, series);
    set_detector(&r, series);

    /* Lamella and microscope: thickness +-10 % between runs and some 10 % within the field (a
     * wedge left by the ion beam), current +-10 % between runs, energy axis up to +-1 eV. */
    struct sim_rng rng;
    sim_rng_seed(&rng, sim_hash(r.seed, 0x52554eu));
    r.thickness_nm = 60.0 * (1.0 + series->specimen.thickness_spread * (2.0 * sim_uniform(&rng) - 1.0));
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

/* What the probe averages at a point of the specimen, dx and dy from the boundary's point. */
static void fill_layers(const struct sim_run *run, double dx, double dy, struct sim_column *c)
{
    double angle = run->angle_degree * TWO_PI / 360.0;
    double straight = dx * cos(angle) + dy * sin(angle);
    double along = dy * cos(angle) - dx * sin(angle);
    double flat = run->step_sigma_nm, d = straight, sigma = flat;
    if (run->wave_nm > 0.0) {
        double k = TWO_PI / run->wavelength_nm, phase = k * along + run->wave_phase;
        d -= run->wave_nm * sin(phase);
        /* distances run along the mean normal: on a slope the probe is longer in them */
        sigma *= hypot(1.0, k * run->wave_nm * cos(phase));
    }
    double behind = sim_profile_share(SIM_PROFILE_ERFC, d, 0.0, sigma);
    c->distance_nm = d;
    c->sto = sim_profile_share(SIM_PROFILE_ERFC, straight + run->llto_nm, 0.0, flat);
    c->cap = sim_profile_share(SIM_PROFILE_ERFC, run->ncm_nm - straight, 0.0, flat);
    c->llto = behind * (1.0 - c->sto);
    c->ncm = fmax(1.0 - c->llto - c->sto - c->cap, 0.0);
    c->li_ncm_mol_l = c->ncm * run->li_ncm_mol_l;
    c->li_llto_mol_l = c->llto * run->li_llto_mol_l;

    /* nothing of the two films goes into the substrate or the cap */
    double films = (1.0 - c->sto) * (1.0 - c->cap);
    c->ti_llto = films * sim_profile_share(run->profile, d, run->ti_depth_nm, sigma);
    c->la = films * sim_profile_share(run->profile, d, run->la_depth_nm, sigma);
    c->tm = films * sim_profile_share(run->profile, -d, run->tm_depth_nm, sigma);
    c->ti = c->ti_llto +
            c->sto * sim_materials[SIM_STO].ti_mol_l / sim_materials[SIM_LLTO].ti_mol_l;
    c->prepeak = run->prepeak;
    c->thickness_nm = run->thickness_nm * (1.0 + run->wedge_y * dy / run->half_y_nm +
                                           run->wedge_x * dx / run->half_x_nm);
}

int sim_scene_make(struct sim_scene *scene, const struct sim_run *run, enum sim_scan scan,
                   struct sim_err *err)
{
    const struct sim_grid *g = &run->grid[scan];
    *scene = (struct sim_scene){.ny = g->ny, .nx = g->nx, .run = *run, .grid = *g};
    scene->column = calloc(g->ny * g->nx, sizeof *scene->column);
    if (scene->column == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for a scene of %zu x %zu pixels", g->ny,
                        g->nx);
    }
    for (size_t y = 0; y < g->ny; y++) {
        for (size_t x = 0; x < g->nx; x++) {
            struct sim_column *c = &scene->column[y * g->nx + x];
            double scanned = (double)(y * g->nx + x) / (double)(g->ny * g->nx) - 0.5;
            fill_layers(run,
                        g->origin_x_nm + g->pixel_nm * (double)x - g->shift_x_nm - run->point_x_nm,
                        g->origin_y_nm + g->pixel_nm * (double)y - g->shift_y_nm - run->point_y_nm,
                        c);
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

void sim_column_atoms(const struct sim_column *c, double atoms[SIM_ELEMENTS])
{
    const struct sim_material *ncm = &sim_materials[SIM_NCM], *llto = &sim_materials[SIM_LLTO];
    const struct sim_material *sto = &sim_materials[SIM_STO];
    double area = SIM_PER_NM3 * c->thickness_nm;
    memset(atoms, 0, SIM_ELEMENTS * sizeof *atoms);
    atoms[SIM_O] = area * (c->ncm * ncm->oxygen_mol_l + c->llto * llto->oxygen_mol_l +
                           c->sto * sto->oxygen_mol_l);
    atoms[SIM_TI] = area * c->ti * llto->ti_mol_l;
    atoms[SIM_LA] = area * c->la * llto->la_mol_l;
    atoms[SIM_SR] = area * c->sto * sto->sr_mol_l;
    atoms[SIM_MN] = area * c->tm * ncm->tm_mol_l / 3.0;
    atoms[SIM_CO] = atoms[SIM_NI] = atoms[SIM_MN];
    atoms[SIM_PT] = area * c->cap * SIM_CAP_PT_MOL_L;
    atoms[SIM_C] = area * c->cap * SIM_CAP_C_MOL_L;
    atoms[SIM_GA] = area * c->cap * SIM_CAP_GA_MOL_L;
}
