/*
 * The truth of the X-ray scan, and what both scans share: frames, layers, boundary, fronts.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eds.h"
#include "truth.h"

/* ---- truth.h5 ---- */

#define MEMBER(field) offsetof(struct sim_column, field)

static const struct {
    const char *name, *units, *long_name;
    size_t member;
} eds_maps[] = {
    {"distance_nm", "nm", "signed distance of the pixel's centre from the boundary, positive in "
                          "NCM", MEMBER(distance_nm)},
    {"thickness_nm", "nm", "thickness of the specimen", MEMBER(thickness_nm)},
    {"beam_current_na", "nA", "beam current", MEMBER(current_na)},
    {"ncm_fraction", "", "share of the beam that runs in NCM", MEMBER(ncm)},
    {"llto_fraction", "", "share of the beam that runs in LLTO", MEMBER(llto)},
    {"sto_fraction", "", "share of the beam that runs in the substrate", MEMBER(sto)},
    {"cap_fraction", "", "share of the beam that runs in the cap", MEMBER(cap)},
    {"ti_fraction", "", "titanium relative to pristine LLTO, the substrate's too", MEMBER(ti)},
    {"la_fraction", "", "lanthanum relative to pristine LLTO", MEMBER(la)},
    {"tm_fraction", "", "Mn, Co, Ni relative to pristine NCM", MEMBER(tm)},
};

static int write_member_maps(struct sim_file *file, const struct sim_scene *scene, double *map,
                             struct sim_err *err)
{
    char name[64];
    for (size_t m = 0; m < sizeof eds_maps / sizeof eds_maps[0]; m++) {
        for (size_t p = 0; p < scene->ny * scene->nx; p++) {
            memcpy(&map[p], (const char *)&scene->column[p] + eds_maps[m].member, sizeof map[p]);
        }
        snprintf(name, sizeof name, "eds/%s", eds_maps[m].name);
        if (sim_truth_map(file, name, eds_maps[m].units, eds_maps[m].long_name, scene->ny,
                          scene->nx, map, err) != SIM_OK) {
            return err->code;
        }
    }
    for (size_t p = 0; p < scene->ny * scene->nx; p++) {
        map[p] = sim_haadf_expected(&scene->column[p]);
    }
    return sim_truth_map(file, "eds/haadf_counts", "counts", "expected counts of haadf_eds.hspy, "
                         "black level included", scene->ny, scene->nx, map, err);
}

static int write_atom_maps(struct sim_file *file, const struct sim_scene *scene, double *map,
                           struct sim_err *err)
{
    char name[64];
    if (sim_truth_group(file, "eds/atoms_per_nm2", err) != SIM_OK) {
        return err->code;
    }
    for (size_t e = 0; e < SIM_ELEMENTS; e++) {
        for (size_t p = 0; p < scene->ny * scene->nx; p++) {
            double atoms[SIM_ELEMENTS];
            sim_column_atoms(&scene->column[p], atoms);
            map[p] = atoms[e];
        }
        snprintf(name, sizeof name, "eds/atoms_per_nm2/%s", sim_element_symbol[e]);
        if (sim_truth_map(file, name, "1/nm^2", "atoms of the specimen itself, without stray "
                          "signals", scene->ny, scene->nx, map, err) != SIM_OK) {
            return err->code;
        }
    }
    return SIM_OK;
}

/* What each pixel has of each response: [pixel][response], and their mean. */
static void all_units(const struct sim_truth *truth, double *units, double mean[SIM_RESPONSES])
{
    const struct sim_scene *scene = truth->eds;
    double dose = truth->series->dose * truth->series->eds.dose;
    size_t npixels = scene->ny * scene->nx;
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        mean[i] = 0.0;
    }
    for (size_t p = 0; p < npixels; p++) {
        double here[SIM_RESPONSES];
        sim_eds_units(&scene->column[p], SIM_EDS_DWELL_S, dose, here);
        for (size_t i = 0; i < SIM_RESPONSES; i++) {
            mean[i] += here[i] / (double)npixels;
        }
        if (units != NULL) {
            memcpy(units + p * SIM_RESPONSES, here, sizeof here);
        }
    }
}

static int write_count_maps(struct sim_file *file, const struct sim_truth *truth,
                            const double *units, double *map, struct sim_err *err)
{
    const struct sim_scene *scene = truth->eds;
    char name[64];
    if (sim_truth_group(file, "eds/counts", err) != SIM_OK) {
        return err->code;
    }
    for (size_t i = 0; i <= SIM_RESPONSES; i++) { /* the last: their sum */
        for (size_t p = 0; p < scene->ny * scene->nx; p++) {
            const double *here = units + p * SIM_RESPONSES;
            map[p] = 0.0;
            for (size_t k = 0; k < SIM_RESPONSES; k++) {
                const struct sim_response *r = &truth->responses->response[k];
                if (i == SIM_RESPONSES || i == k) {
                    map[p] += here[k] * (i < SIM_FAMILIES ? r->peak : r->on_axis);
                }
            }
        }
        snprintf(name, sizeof name, "eds/counts/%s",
                 i < SIM_RESPONSES ? truth->responses->response[i].name : "total");
        if (sim_truth_map(file, name, "counts",
                          i < SIM_FAMILIES ? "expected counts of all lines of the family, "
                                             "escape peaks left out, tails included"
                                           : "expected counts on the axis",
                          scene->ny, scene->nx, map, err) != SIM_OK) {
            return err->code;
        }
    }
    return SIM_OK;
}

/* The image's mean spectrum by its parts. */
static int write_spectra(struct sim_file *file, const struct sim_truth *truth,
                         const double mean[SIM_RESPONSES], double *map, struct sim_err *err)
{
    const struct sim_detector *d = &truth->responses->detector;
    char name[64];
    if (sim_truth_group(file, "spectra_eds", err) != SIM_OK) {
        return err->code;
    }
    for (size_t c = 0; c < d->nchannels; c++) {
        map[c] = d->offset_kev + d->scale_kev * (double)c;
    }
    if (sim_truth_map(file, "spectra_eds/energy_kev", "keV", "as the file's axis says", 0,
                      d->nchannels, map, err) != SIM_OK) {
        return err->code;
    }
    for (size_t i = 0; i <= SIM_RESPONSES; i++) {
        memset(map, 0, d->nchannels * sizeof *map);
        for (size_t k = 0; k < SIM_RESPONSES; k++) {
            const double *spectrum = truth->responses->response[k].spectrum;
            for (size_t c = 0; c < d->nchannels && (i == k || i == SIM_RESPONSES); c++) {
                map[c] += mean[k] * spectrum[c];
            }
        }
        snprintf(name, sizeof name, "spectra_eds/%s",
                 i < SIM_RESPONSES ? truth->responses->response[i].name : "total");
        if (sim_truth_map(file, name, "counts", "expected counts per channel, mean over the "
                          "image, with the axis' errors and escape peaks", 0, d->nchannels, map,
                          err) != SIM_OK) {
            return err->code;
        }
    }
    return SIM_OK;
}

int sim_truth_eds_maps(struct sim_file *file, const struct sim_truth *truth, struct sim_err *err)
{
    size_t npixels = truth->eds->ny * truth->eds->nx, n = truth->responses->detector.nchannels;
    double *map = malloc((npixels > n ? npixels : n) * sizeof *map);
    double *units = malloc(npixels * SIM_RESPONSES * sizeof *units), mean[SIM_RESPONSES];
    if (map == NULL || units == NULL) {
        sim_fail(err, SIM_FAILED, "no memory for the maps of %zu pixels", npixels);
        goto out;
    }
    all_units(truth, units, mean);
    if (sim_truth_group(file, "eds", err) == SIM_OK &&
        write_member_maps(file, truth->eds, map, err) == SIM_OK &&
        write_atom_maps(file, truth->eds, map, err) == SIM_OK &&
        write_count_maps(file, truth, units, map, err) == SIM_OK) {
        write_spectra(file, truth, mean, map, err);
    }
out:
    free(map);
    free(units);
    return err->code;
}

/* ---- truth.json ---- */

static void state_point(struct sim_text *t, const struct sim_run *run, enum sim_scan scan)
{
    sim_json_number(t, "point_x_nm", run->point_x_nm + run->grid[scan].shift_x_nm);
    sim_json_number(t, "point_y_nm", run->point_y_nm + run->grid[scan].shift_y_nm);
}

void sim_truth_state_geometry(struct sim_text *t, const struct sim_run *run)
{
    sim_json_open(t, "frames", '{');
    sim_json_text(t, "definition", "x and y of a file's axes = coordinates on the specimen + "
                  "shift; the shift is drift, and stands in no file; all EELS files of a run "
                  "and haadf_eels.hspy share one frame, eds.hspy and haadf_eds.hspy another");
    for (int scan = 0; scan < SIM_SCANS; scan++) {
        const struct sim_grid *g = &run->grid[scan];
        sim_json_open(t, g->name, '{');
        sim_json_number(t, "ny", (double)g->ny);
        sim_json_number(t, "nx", (double)g->nx);
        sim_json_number(t, "pixel_nm", g->pixel_nm);
        sim_json_number(t, "origin_x_nm", g->origin_x_nm);
        sim_json_number(t, "origin_y_nm", g->origin_y_nm);
        sim_json_number(t, "shift_x_nm", g->shift_x_nm);
        sim_json_number(t, "shift_y_nm", g->shift_y_nm);
        sim_json_close(t, '}');
    }
    sim_json_close(t, '}');
    sim_json_open(t, "boundary", '{');
    sim_json_text(t, "definition", "straight: a line through the point, distance = (x - point_x) "
                  "cos(angle) + (y - point_y) sin(angle), x and y on the axes of the EELS files; "
                  "wavy: amplitude sin(2 pi along / wavelength + phase) is taken off, along = "
                  "(y - point_y) cos(angle) - (x - point_x) sin(angle), so distances run along "
                  "the mean normal, and step_sigma grows with the slope by hypot(1, slope); "
                  "positive in NCM");
    sim_json_text(t, "shape", run->wave_nm > 0.0 ? "wavy" : "straight");
    state_point(t, run, SIM_SCAN_EELS);
    sim_json_number(t, "angle_degree", run->angle_degree);
    sim_json_number(t, "step_sigma_nm", run->step_sigma_nm);
    sim_json_number(t, "probe_fwhm_nm", SIM_PROBE_FWHM_NM);
    if (run->wave_nm > 0.0) {
        sim_json_number(t, "amplitude_nm", run->wave_nm);
        sim_json_number(t, "wavelength_nm", run->wavelength_nm);
        sim_json_number(t, "phase", run->wave_phase);
    }
    sim_json_open(t, "in_eds_frame", '{');
    state_point(t, run, SIM_SCAN_EDS);
    sim_json_close(t, '}');
    sim_json_close(t, '}');
    sim_json_open(t, "layers", '{');
    sim_json_text(t, "definition", "along the boundary's mean normal: SrTiO3 substrate up to "
                  "-llto_nm, LLTO up to the boundary, NCM up to ncm_nm, then the cap; the two "
                  "outer interfaces are straight, and nothing diffuses through them");
    sim_json_number(t, "llto_nm", run->llto_nm);
    sim_json_number(t, "ncm_nm", run->ncm_nm);
    sim_json_close(t, '}');
}

void sim_truth_state_fronts(struct sim_text *t, const struct sim_run *run)
{
    static const struct {
        const char *element;
        int into_ncm;
    } species[] = {{"Ti", 1}, {"La", 1}, {"Mn", 0}, {"Co", 0}, {"Ni", 0}};
    sim_json_open(t, "fronts", '{');
    sim_json_text(t, "definition", "position: signed distance from the boundary, positive into "
                  "NCM, at which the noise-free profile of the element, broadened by the probe "
                  "(a Gaussian of step_sigma_nm), is at 10 % between its two plateaus: 0.1 of the "
                  "plateau in LLTO for Ti and La, 0.1 of the plateau in NCM for Mn, Co, Ni; "
                  "undiffused: the same for the profile of a sharp boundary; displacement: the "
                  "difference of the two; unblurred: the position without the probe. No "
                  "broadening by pixels or bins is in them: a pixel is its centre");
    for (size_t i = 0; i < sizeof species / sizeof species[0]; i++) {
        int into = species[i].into_ncm;
        double sign = into ? 1.0 : -1.0, sigma = run->step_sigma_nm;
        double depth = !into ? run->tm_depth_nm : i == 0 ? run->ti_depth_nm : run->la_depth_nm;
        double here = sign * sim_profile_position(run->profile, depth, sigma, 0.1);
        double sharp = sign * sim_profile_position(run->profile, 0.0, sigma, 0.1);
        sim_json_open(t, species[i].element, '{');
        sim_json_number(t, "position_nm", here);
        sim_json_number(t, "undiffused_position_nm", sharp);
        sim_json_number(t, "displacement_nm", here - sharp);
        sim_json_number(t, "unblurred_position_nm", sign * depth + 0.0);
        sim_json_close(t, '}');
    }
    sim_json_close(t, '}');
}

void sim_truth_state_detector(struct sim_text *t, const struct sim_detector *d)
{
    sim_json_text(t, "axis_definition", "a line of energy E stands at E (1 + gain_error) + "
                  "offset_error_ev on the file's axis; a channel is a bin, its energy is that of "
                  "its centre; FWHM^2 = noise^2 + 2.3548^2 * 0.115 * 3.64 eV * E, "
                  "mnka_fwhm_ev^2 at 5898.75 eV");
    sim_json_number(t, "offset_kev", d->offset_kev);
    sim_json_number(t, "scale_kev", d->scale_kev);
    sim_json_number(t, "channels", (double)d->nchannels);
    sim_json_number(t, "offset_error_ev", d->offset_error_ev);
    sim_json_number(t, "gain_error", d->gain_error);
    sim_json_number(t, "mnka_fwhm_ev", d->mnka_ev);
    sim_json_number(t, "mnka_fwhm_stated_ev", SIM_EDS_NOMINAL_MNKA_EV);
    sim_json_number(t, "noise_fwhm_ev", sim_detector_fwhm_ev(d, 0.0));
    sim_json_number(t, "tail_share", d->tail_share);
    sim_json_number(t, "tail_ev", d->tail_ev);
}

void sim_truth_state_families(struct sim_text *t, const struct sim_responses *responses,
                              const double units[SIM_RESPONSES])
{
    sim_json_text(t, "families_definition", "counts: expected, in all lines of the family, "
                  "escape peaks left out and tails included, the mean of the pixels; "
                  "alpha_share: of them, those of the alpha line; escape_share: counts in escape "
                  "peaks over counts; share: of a line, of counts; subshell: of the vacancy, "
                  "counted from the innermost listed (K; L1 L2 L3; M3 M4 M5)");
    sim_json_open(t, "families", '{');
    for (size_t f = 0; f < SIM_FAMILIES; f++) {
        const struct sim_family *family = &sim_families[f];
        const struct sim_response *r = &responses->response[f];
        double barn[SIM_MAX_LINES];
        if (units[f] <= 0.0) {
            continue;
        }
        sim_line_barn(family, barn);
        sim_json_open(t, family->name, '{');
        sim_json_number(t, "counts", units[f] * r->peak);
        sim_json_text(t, "alpha", family->alpha);
        sim_json_number(t, "alpha_share", r->alpha / r->peak);
        sim_json_number(t, "escape_share", r->escape / r->peak);
        sim_json_open(t, "lines", '[');
        for (size_t i = 0; i < sim_family_lines(family); i++) {
            double kev = family->line[i].kev;
            double counted = barn[i] * sim_detector_efficiency(kev) *
                             (1.0 - sim_detector_escape(&responses->detector, kev));
            sim_json_open(t, NULL, '{');
            sim_json_text(t, "name", family->line[i].name);
            sim_json_number(t, "kev", kev);
            sim_json_number(t, "share", counted / r->peak);
            sim_json_number(t, "subshell", family->line[i].subshell);
            sim_json_close(t, '}');
        }
        sim_json_close(t, ']');
        sim_json_close(t, '}');
    }
    sim_json_close(t, '}');
    sim_json_number(t, "bremsstrahlung_counts",
                    units[SIM_BREMSSTRAHLUNG] * responses->response[SIM_BREMSSTRAHLUNG].on_axis);
    sim_json_number(t, "noise_peak_counts",
                    units[SIM_NOISE_PEAK] * responses->response[SIM_NOISE_PEAK].on_axis);
}

void sim_truth_state_eds(struct sim_text *t, const struct sim_truth *truth)
{
    double dose = truth->series->dose * truth->series->eds.dose;
    double mean[SIM_RESPONSES], total = 0.0;
    all_units(truth, NULL, mean);
    for (size_t i = 0; i < SIM_RESPONSES; i++) {
        total += mean[i] * truth->responses->response[i].on_axis;
    }
    sim_json_open(t, "eds", '{');
    sim_json_number(t, "dose_factor", dose);
    sim_json_number(t, "live_time_s", SIM_EDS_DWELL_S * dose);
    sim_json_number(t, "counts_per_pixel", total);
    sim_truth_state_detector(t, &truth->responses->detector);
    sim_truth_state_families(t, truth->responses, mean);
    sim_json_open(t, "stray_atoms_per_nm2", '{');
    for (size_t e = 0; e < SIM_ELEMENTS; e++) {
        if (sim_eds_stray_atoms[e] > 0.0) {
            sim_json_number(t, sim_element_symbol[e], sim_eds_stray_atoms[e]);
        }
    }
    sim_json_close(t, '}');
    sim_json_close(t, '}');
    sim_json_open(t, "haadf", '{');
    sim_json_text(t, "definition", "expected counts = black_level + gain current_na sum over atoms "
                  "per nm^2 of Z^exponent, the specimen's own and lithium; Poisson noise on what "
                  "is above the black level, Gaussian read noise, rounded");
    sim_json_number(t, "black_level", SIM_HAADF_BLACK);
    sim_json_number(t, "gain", SIM_HAADF_GAIN);
    sim_json_number(t, "exponent", SIM_HAADF_EXPONENT);
    sim_json_number(t, "read_noise", SIM_HAADF_READ_NOISE);
    sim_json_close(t, '}');
}
