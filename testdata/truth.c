/*
 * The truth files: maps of what each pixel is and of what a noise-free detector would count in
 * stated windows (truth.h5), the noise-free parts of the materials' spectra, and the numbers of
 * the run with their definitions (truth.json). truth_eds.c has the X-rays and the geometry.
 */
#include "truth.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "eds.h"
#include "physics.h"

/* One map of the truth: a member of the column, or a sum over components in a window. */
enum map_kind { MAP_MEMBER, MAP_LI, MAP_O, MAP_O_PRE, MAP_O_MAIN, MAP_T_LAMBDA, MAP_T_LAMBDA_LL,
                MAP_HAADF };

struct truth_map {
    const char *name, *units, *long_name;
    enum map_kind kind;
    size_t member; /* offset of a double in struct sim_column */
};

#define MEMBER(field) MAP_MEMBER, offsetof(struct sim_column, field)

static const struct truth_map truth_maps[] = {
    {"zlp_position_ev", "eV", "energy at which the zero-loss peak stands on the file's axis; the "
                              "same for all ranges of the pixel", MEMBER(zlp_ev)},
    {"distance_nm", "nm", "signed distance of the pixel's centre from the boundary, positive in "
                          "NCM", MEMBER(distance_nm)},
    {"thickness_nm", "nm", "thickness of the specimen", MEMBER(thickness_nm)},
    {"beam_current_na", "nA", "beam current", MEMBER(current_na)},
    {"ncm_fraction", "", "share of the beam that runs in NCM", MEMBER(ncm)},
    {"llto_fraction", "", "share of the beam that runs in LLTO", MEMBER(llto)},
    {"sto_fraction", "", "share of the beam that runs in the substrate", MEMBER(sto)},
    {"li_ncm_mol_per_l", "mol/L", "lithium within NCM, averaged over the probe",
     MEMBER(li_ncm_mol_l)},
    {"li_llto_mol_per_l", "mol/L", "lithium within LLTO, averaged over the probe",
     MEMBER(li_llto_mol_l)},
    {"ti_fraction", "", "titanium relative to pristine LLTO, the substrate's too", MEMBER(ti)},
    {"la_fraction", "", "lanthanum relative to pristine LLTO", MEMBER(la)},
    {"tm_fraction", "", "Mn, Co, Ni relative to pristine NCM", MEMBER(tm)},
    {"t_over_lambda", "", "ln(I_total / I_0), all losses", MAP_T_LAMBDA, 0},
    {"t_over_lambda_in_range", "", "ln(I / I_0), I up to the end of the low-loss range",
     MAP_T_LAMBDA_LL, 0},
    {"li_k_counts", "counts", "expected Li K counts of li.hspy at 55 <= E < 65 eV of energy "
                              "loss, without background, with plural losses", MAP_LI, 0},
    {"o_k_counts", "counts", "expected O K counts of o.hspy at 530 <= E < 560 eV of energy loss, "
                             "without background, with plural losses", MAP_O, 0},
    {"o_k_prepeak_counts", "counts", "the same at 527 <= E < 532 eV", MAP_O_PRE, 0},
    {"o_k_main_counts", "counts", "the same at 536 <= E < 546 eV", MAP_O_MAIN, 0},
    {"haadf_counts", "counts", "expected counts of haadf_eels.hspy, black level included",
     MAP_HAADF, 0},
};

_Static_assert(sizeof truth_maps / sizeof truth_maps[0] == SIM_TRUTH_MAPS,
               "truth.h states another number of maps");

static double o_counts(const struct sim_library *library, const struct sim_mix *mix,
                       size_t window)
{
    return sim_expected_window(&library->core, mix, SIM_CORE_O_PRE, window) +
           sim_expected_window(&library->core, mix, SIM_CORE_O_NCM, window) +
           sim_expected_window(&library->core, mix, SIM_CORE_O_LLTO, window) +
           sim_expected_window(&library->core, mix, SIM_CORE_O_STO, window);
}

static double truth_value(const struct sim_library *library, const struct truth_map *map,
                          const struct sim_column *column, double dose)
{
    struct sim_mix mix;
    double electrons, all = 0.0;
    switch (map->kind) {
    case MAP_MEMBER: {
        double value;
        memcpy(&value, (const char *)column + map->member, sizeof value);
        return value;
    }
    case MAP_LI:
        electrons = sim_electrons(column, sim_ranges[SIM_RANGE_LI].dwell_s, dose);
        sim_mix_low(library, column, electrons, &mix);
        return sim_expected_window(&library->low, &mix, SIM_LOW_LI_NCM, SIM_LOW_WINDOW_LI) +
               sim_expected_window(&library->low, &mix, SIM_LOW_LI_LLTO, SIM_LOW_WINDOW_LI);
    case MAP_O:
    case MAP_O_PRE:
    case MAP_O_MAIN:
        electrons = sim_electrons(column, sim_ranges[SIM_RANGE_O].dwell_s, dose);
        sim_mix_core(column, electrons, &mix);
        return o_counts(library, &mix,
                        map->kind == MAP_O ? SIM_CORE_WINDOW_O
                        : map->kind == MAP_O_PRE ? SIM_CORE_WINDOW_PRE : SIM_CORE_WINDOW_MAIN);
    case MAP_T_LAMBDA:
        return sim_t_over_lambda(library, column);
    case MAP_T_LAMBDA_LL:
        sim_mix_low(library, column, 1.0, &mix);
        for (size_t i = 0; i < library->low.ncomponents; i++) {
            all += sim_expected_window(&library->low, &mix, i, SIM_LOW_WINDOW_ALL);
        }
        /* all = I_range with I_total = total; I_0 = total exp(-t/lambda) */
        double total = mix.amplitude[SIM_LOW_NCM] + mix.amplitude[SIM_LOW_LLTO] +
                       mix.amplitude[SIM_LOW_STO];
        for (size_t i = SIM_LOW_TM_M; i < SIM_LOW_COMPONENTS; i++) {
            total += mix.amplitude[i] * library->low.component[i].area;
        }
        return sim_t_over_lambda(library, column) + log(all / total);
    case MAP_HAADF:
        return sim_haadf_expected(column);
    }
    return 0.0;
}

void sim_truth_evaluate(const struct sim_library *library, const struct sim_scene *scene,
                        double dose, double *maps)
{
    size_t npixels = scene->ny * scene->nx;
    for (size_t m = 0; m < SIM_TRUTH_MAPS; m++) {
        for (size_t p = 0; p < npixels; p++) {
            maps[m * npixels + p] = truth_value(library, &truth_maps[m], &scene->column[p], dose);
        }
    }
}

/* A column deep inside one material, as grown, at the run's mean thickness and current. */
static struct sim_column pristine_column(const struct sim_run *run, enum sim_host host)
{
    bool ncm = host == SIM_NCM, llto = host == SIM_LLTO;
    return (struct sim_column){
        .distance_nm = ncm ? 1e3 : -1e3, .ncm = ncm ? 1.0 : 0.0, .llto = llto ? 1.0 : 0.0,
        .sto = host == SIM_STO ? 1.0 : 0.0,
        .li_ncm_mol_l = ncm ? sim_materials[SIM_NCM].lithium_mol_l : 0.0,
        .li_llto_mol_l = llto ? sim_materials[SIM_LLTO].lithium_mol_l : 0.0,
        .ti_llto = llto ? 1.0 : 0.0, .la = llto ? 1.0 : 0.0, .tm = ncm ? 1.0 : 0.0,
        .prepeak = 1.0, .thickness_nm = run->thickness_nm, .current_na = run->current_na,
    };
}

/* Noise-free parts of the spectra of the materials, on the file's axis without shift. */
static int write_parts(struct sim_file *file, const struct sim_library *library,
                       const struct sim_run *run, double dose, int range, struct sim_err *err)
{
    const struct sim_range *r = &sim_ranges[range];
    const struct sim_basis *basis = range == SIM_RANGE_O ? &library->core : &library->low;
    double *fine = malloc(basis->n * sizeof *fine);
    double *values = malloc(r->nchannels * sizeof *values);
    char name[96];
    if (fine == NULL || values == NULL) {
        sim_fail(err, SIM_FAILED, "no memory for a spectrum");
        goto out;
    }
    snprintf(name, sizeof name, "spectra_%s", r->name);
    if (sim_truth_group(file, name, err) != SIM_OK) {
        goto out;
    }
    for (size_t i = 0; i < r->nchannels; i++) {
        values[i] = r->offset_ev + r->scale_ev * (double)i;
    }
    snprintf(name, sizeof name, "spectra_%s/energy_ev", r->name);
    if (sim_truth_map(file, name, "eV", "energy loss", 0, r->nchannels, values, err) != SIM_OK) {
        goto out;
    }
    for (int host = 0; host < SIM_HOSTS; host++) {
        struct sim_column column = pristine_column(run, (enum sim_host)host);
        double electrons = sim_electrons(&column, r->dwell_s, dose);
        struct sim_mix mix, part;
        if (range == SIM_RANGE_O) {
            sim_mix_core(&column, electrons, &mix);
        } else {
            sim_mix_low(library, &column, electrons, &mix);
        }
        for (size_t i = 0; i < basis->ncomponents; i++) {
            if (mix.amplitude[i] <= 0.0) {
                continue;
            }
            part = (struct sim_mix){.tau = {mix.tau[0], mix.tau[1], mix.tau[2]}};
            part.amplitude[i] = mix.amplitude[i];
            sim_expected(basis, &part, fine);
            sim_channels(basis, fine, r, 0.0, values);
            snprintf(name, sizeof name, "spectra_%s/in_%s_%s", r->name, sim_materials[host].name,
                     basis->component[i].name);
            if (sim_truth_map(file, name, "counts", "expected counts per channel, as grown, mean "
                              "thickness and current of the run, no energy shift",
                              0, r->nchannels, values, err) != SIM_OK) {
                goto out;
            }
        }
    }
out:
    free(fine);
    free(values);
    return err->code;
}

int sim_truth_write_maps(const struct sim_truth *truth, const char *path, const double *maps,
                         struct sim_err *err)
{
    const struct sim_scene *scene = truth->eels;
    size_t npixels = scene->ny * scene->nx;
    struct sim_file file;
    if (sim_truth_create(&file, path, err) != SIM_OK) {
        return err->code;
    }
    for (size_t m = 0; m < SIM_TRUTH_MAPS && err->code == SIM_OK; m++) {
        sim_truth_map(&file, truth_maps[m].name, truth_maps[m].units, truth_maps[m].long_name,
                      scene->ny, scene->nx, maps + m * npixels, err);
    }
    for (int range = 0; range < SIM_RANGES && err->code == SIM_OK; range++) {
        write_parts(&file, truth->library, &scene->run, truth->series->dose, range, err);
    }
    if (err->code != SIM_OK || sim_truth_eds_maps(&file, truth, err) != SIM_OK) {
        sim_file_abandon(&file);
        return err->code;
    }
    return sim_file_finish(&file, err);
}

static void state_lithium(struct sim_text *t, const struct sim_run *run)
{
    sim_json_open(t, "lithium", '{');
    sim_json_text(t, "definition", "concentration on each side, constant up to the boundary, "
                  "then blurred by step_sigma_nm; a scenario");
    sim_json_number(t, "ncm_mol_per_l", run->li_ncm_mol_l);
    sim_json_number(t, "llto_mol_per_l", run->li_llto_mol_l);
    sim_json_number(t, "ncm_as_grown_mol_per_l", sim_materials[SIM_NCM].lithium_mol_l);
    sim_json_number(t, "llto_as_grown_mol_per_l", sim_materials[SIM_LLTO].lithium_mol_l);
    sim_json_number(t, "share_moved_out_of_ncm", run->li_moved);
    sim_json_close(t, '}');
}

static void state_diffusion(struct sim_text *t, const struct sim_run *run)
{
    sim_json_open(t, "interdiffusion", '{');
    sim_json_text(t, "definition", "fraction of what comes from LLTO: the profile of d, the "
                  "distance as of the boundary, then blurred by step_sigma_nm; depth = distance "
                  "from the boundary at which the unblurred fraction is 0.1; Mn, Co, Ni: "
                  "0.5 erfc(-d / L), L = depth / 0.9062; a scenario");
    sim_json_text(t, "profile", sim_profile_names[run->profile]);
    sim_json_text(t, "profile_formula", sim_profile_texts[run->profile]);
    sim_json_number(t, "ti_depth_nm", run->ti_depth_nm);
    sim_json_number(t, "la_depth_nm", run->la_depth_nm);
    sim_json_number(t, "tm_depth_nm", run->tm_depth_nm);
    sim_json_close(t, '}');
}

static void state_specimen(struct sim_text *t, const struct sim_library *library,
                           const struct sim_run *run)
{
    sim_json_open(t, "thickness", '{');
    sim_json_text(t, "definition", "nm; t = centre (1 + wedge_y v / half_y + wedge_x u / half_x), "
                  "v and u the distances in y and x from the boundary's point");
    sim_json_number(t, "centre_nm", run->thickness_nm);
    sim_json_number(t, "half_y_nm", run->half_y_nm);
    sim_json_number(t, "half_x_nm", run->half_x_nm);
    sim_json_number(t, "wedge_y", run->wedge_y);
    sim_json_number(t, "wedge_x", run->wedge_x);
    sim_json_open(t, "t_over_lambda_at_centre", '{');
    for (int host = 0; host < SIM_HOSTS; host++) {
        struct sim_column column = pristine_column(run, (enum sim_host)host);
        sim_json_number(t, sim_materials[host].name, sim_t_over_lambda(library, &column));
    }
    sim_json_close(t, '}');
    sim_json_open(t, "mean_free_path_nm", '{');
    for (int host = 0; host < SIM_HOSTS; host++) {
        sim_json_number(t, sim_materials[host].name, sim_mean_free_path_nm((enum sim_host)host));
    }
    sim_json_close(t, '}');
    sim_json_close(t, '}');
}

static void state_microscope(struct sim_text *t, const struct sim_series *series,
                             const struct sim_run *run)
{
    sim_json_open(t, "microscope", '{');
    sim_json_number(t, "beam_energy_kev", SIM_BEAM_KEV);
    sim_json_number(t, "convergence_angle_mrad", SIM_CONVERGENCE_MRAD);
    sim_json_number(t, "collection_angle_mrad", SIM_COLLECTION_MRAD);
    sim_json_number(t, "zlp_fwhm_ev", SIM_ZLP_FWHM_EV);
    sim_json_number(t, "beam_current_na", run->current_na);
    sim_json_number(t, "beam_current_fall", run->current_fall);
    sim_json_number(t, "counts_per_electron", 1.0);
    sim_json_number(t, "pixel_nm", SIM_PIXEL_NM);
    sim_json_close(t, '}');
    sim_json_open(t, "zlp", '{');
    sim_json_text(t, "definition", "position of the zero-loss peak on the axis of every EELS "
                  "file of the run: offset + ramp s + wave sin(2 pi periods s + phase) + jitter * "
                  "normal, s = scanned share of the pixels - 0.5; pixel by pixel in truth.h5");
    sim_json_number(t, "offset_ev", run->zlp_offset_ev);
    sim_json_number(t, "ramp_ev", run->zlp_ramp_ev);
    sim_json_number(t, "wave_ev", run->zlp_wave_ev);
    sim_json_number(t, "wave_periods", run->zlp_wave_periods);
    sim_json_number(t, "wave_phase", run->zlp_wave_phase);
    sim_json_number(t, "jitter_ev", run->zlp_jitter_ev);
    sim_json_close(t, '}');
    sim_json_open(t, "files", '{');
    for (int range = 0; range < SIM_RANGES; range++) {
        const struct sim_range *r = &sim_ranges[range];
        struct sim_column column = {.current_na = run->current_na};
        double electrons = sim_electrons(&column, r->dwell_s, series->dose);
        char name[16];
        snprintf(name, sizeof name, "%s.hspy", r->name);
        sim_json_open(t, name, '{');
        sim_json_number(t, "offset_ev", r->offset_ev);
        sim_json_number(t, "scale_ev", r->scale_ev);
        sim_json_number(t, "channels", (double)r->nchannels);
        sim_json_number(t, "dwell_s", r->dwell_s * series->dose);
        sim_json_number(t, "electrons_per_pixel", electrons);
        sim_json_number(t, "dose_electrons_per_nm2", electrons / (SIM_PIXEL_NM * SIM_PIXEL_NM));
        sim_json_close(t, '}');
    }
    sim_json_close(t, '}');
}

/* What a ratio of region sums deep in each material ought to be. */
static void state_oxygen(struct sim_text *t, const struct sim_library *library,
                         const struct sim_run *run)
{
    sim_json_open(t, "o_k_ratio", '{');
    sim_json_text(t, "definition", "expected O K counts at 527 <= E < 532 eV over those at 536 <= "
                  "E < 546 eV of energy loss, far from the boundary, without background and "
                  "other edges, plural losses included");
    for (int host = 0; host < SIM_HOSTS; host++) {
        struct sim_column column = pristine_column(run, (enum sim_host)host);
        struct sim_mix mix;
        column.prepeak = run->prepeak;
        sim_mix_core(&column, 1.0, &mix);
        sim_json_number(t, sim_materials[host].name,
                        o_counts(library, &mix, SIM_CORE_WINDOW_PRE) /
                            o_counts(library, &mix, SIM_CORE_WINDOW_MAIN));
    }
    sim_json_number(t, "ncm_prepeak_relative_to_as_grown", run->prepeak);
    sim_json_close(t, '}');
    sim_json_open(t, "o_background", '{');
    sim_json_text(t, "definition", "probability per eV and nm of thickness at 500 eV, times "
                  "(E / 500 eV)^-exponent; no plural losses");
    for (int host = 0; host < SIM_HOSTS; host++) {
        sim_json_open(t, sim_materials[host].name, '{');
        sim_json_number(t, "per_ev_nm_at_500_ev", sim_materials[host].background_per_nm_ev);
        sim_json_number(t, "exponent", sim_materials[host].background_exponent);
        sim_json_close(t, '}');
    }
    sim_json_close(t, '}');
}

int sim_truth_write_text(const struct sim_truth *truth, const char *path, struct sim_err *err)
{
    const struct sim_run *run = &truth->eels->run;
    const struct sim_series *series = truth->series;
    struct sim_text t;
    if (sim_text_open(&t, path, err) != SIM_OK) {
        return err->code;
    }
    sim_json_open(&t, NULL, '{');
    sim_json_text(&t, "program", "simulate series");
    sim_json_number(&t, "version", SIM_VERSION);
    sim_json_number(&t, "seed", (double)series->seed);
    sim_json_text(&t, "sample", sim_sample_names[run->sample]);
    sim_json_number(&t, "temperature_degc", run->temperature_c);
    sim_json_number(&t, "ny", (double)truth->eels->ny);
    sim_json_number(&t, "nx", (double)truth->eels->nx);
    sim_json_number(&t, "dose_factor", series->dose);
    sim_truth_state_geometry(&t, run);
    sim_truth_state_fronts(&t, run);
    state_lithium(&t, run);
    state_diffusion(&t, run);
    state_oxygen(&t, truth->library, run);
    state_specimen(&t, truth->library, run);
    state_microscope(&t, series, run);
    sim_truth_state_eds(&t, truth);
    sim_json_open(&t, "maps_of_truth_h5", '{');
    for (size_t m = 0; m < SIM_TRUTH_MAPS; m++) {
        sim_json_text(&t, truth_maps[m].name, truth_maps[m].long_name);
    }
    sim_json_close(&t, '}');
    sim_json_close(&t, '}');
    return sim_text_close(&t, err);
}
