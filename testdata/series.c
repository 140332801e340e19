/*
 * `simulate series`: for each sample and temperature a folder with the spectrum images and
 * pictures of two scans, and their truth. Threads take whole runs; a run's bytes depend on the
 * seed, its own sample and temperature, the size of the images and the options alone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "detector.h"
#include "eds.h"
#include "hspy_write.h"
#include "physics.h"
#include "rng.h"
#include "scene.h"
#include "simulate.h"
#include "spectra.h"
#include "truth.h"

/* The first SIM_RANGES are those of sim_ranges. */
enum { FILE_EDS = SIM_RANGES, FILE_HAADF_EELS, FILE_HAADF_EDS, FILE_MAPS, FILE_TEXT, RUN_FILES };
static const char *const run_files[RUN_FILES] = {
    "ll.hspy", "li.hspy", "o.hspy", "eds.hspy", "haadf_eels.hspy", "haadf_eds.hspy", "truth.h5",
    "truth.json",
};

/* Shared by the threads: `next` and HDF5 under the lock, the rest constant. */
struct job {
    const struct sim_series *series;
    const struct sim_library *library;
    pthread_mutex_t lock;
    size_t next;
    bool stop;
};

struct worker {
    struct job *job;
    struct sim_err err;
    pthread_t thread;
};

static int run_path(char *path, size_t size, const struct sim_series *series, size_t run,
                    const char *file, struct sim_err *err)
{
    int length = snprintf(path, size, "%s/%s/%dC%s%s", series->folder,
                          sim_sample_names[series->samples[run / series->ntemperatures]],
                          series->temperatures[run % series->ntemperatures],
                          file[0] != '\0' ? "/" : "", file);
    if (length < 0 || (size_t)length >= size) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", series->folder);
    }
    return SIM_OK;
}

/* ---- spectrum images ---- */

/* Draws the counts of one pixel of one range. */
static void draw(const struct sim_run *run, int range, size_t y, size_t x,
                 const double *expected, uint32_t *counts)
{
    struct sim_rng rng;
    uint64_t seed = sim_hash(sim_hash_text(run->seed, sim_ranges[range].name),
                             (uint64_t)y << 32 | x);
    sim_rng_seed(&rng, seed);
    for (size_t i = 0; i < sim_ranges[range].nchannels; i++) {
        counts[i] = (uint32_t)sim_poisson(&rng, expected[i]);
    }
}

static int render(const struct sim_library *library, const struct sim_scene *scene, double dose,
                  uint32_t *const counts[], struct sim_err *err)
{
    size_t nfine = library->low.n > library->core.n ? library->low.n : library->core.n;
    double *fine = malloc(nfine * sizeof *fine);
    double *expected = malloc(sim_ranges[SIM_RANGE_O].nchannels * sizeof *expected);
    if (fine == NULL || expected == NULL) {
        sim_fail(err, SIM_FAILED, "no memory for a spectrum");
        goto out;
    }
    for (size_t p = 0; p < scene->ny * scene->nx; p++) {
        const struct sim_column *column = &scene->column[p];
        size_t y = p / scene->nx, x = p % scene->nx;
        struct sim_mix mix;
        for (int range = 0; range < SIM_RANGES; range++) {
            const struct sim_basis *basis =
                range == SIM_RANGE_O ? &library->core : &library->low;
            double electrons = sim_electrons(column, sim_ranges[range].dwell_s, dose);
            if (range == SIM_RANGE_O) {
                sim_mix_core(column, electrons, &mix);
                sim_expected(basis, &mix, fine);
            } else if (range == SIM_RANGE_LL) {
                sim_mix_low(library, column, electrons, &mix);
                sim_expected(basis, &mix, fine);
            } else { /* the same spectrum as the low loss, exposed longer */
                double longer = sim_ranges[range].dwell_s / sim_ranges[SIM_RANGE_LL].dwell_s;
                for (size_t i = 0; i < basis->n; i++) {
                    fine[i] *= longer;
                }
            }
            sim_channels(basis, fine, &sim_ranges[range], column->zlp_ev, expected);
            draw(&scene->run, range, y, x, expected,
                 counts[range] + p * sim_ranges[range].nchannels);
        }
    }
out:
    free(fine);
    free(expected);
    return err->code;
}

/* Narrows the counts in place to two bytes when they fit. Returns the type's name. */
static const char *narrow(uint32_t *counts, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = counts[i] > largest ? counts[i] : largest;
    }
    if (largest > UINT16_MAX) {
        return "u4";
    }
    unsigned char *bytes = (unsigned char *)counts;
    for (size_t i = 0; i < n; i++) {
        uint16_t small = (uint16_t)counts[i];
        memcpy(bytes + 2 * i, &small, sizeof small); /* never ahead of what is still to be read */
    }
    return "u2";
}

/* All that a run's files are written from. */
struct products {
    struct sim_scene eels, eds;
    struct sim_responses responses;
    uint32_t *counts[SIM_RANGES + 1]; /* the last: X-rays */
    uint16_t *haadf[SIM_SCANS];
    double *maps;
};

static void describe(const struct sim_series *series, const struct products *p, int file,
                     struct sim_image *image)
{
    bool eels = file < SIM_RANGES || file == FILE_HAADF_EELS;
    const struct sim_grid *grid = eels ? &p->eels.grid : &p->eds.grid;
    *image = (struct sim_image){
        .kind = file < SIM_RANGES ? SIM_KIND_EELS
                : file == FILE_EDS ? SIM_KIND_EDS : SIM_KIND_PICTURE,
        .ny = grid->ny, .nx = grid->nx, .pixel_nm = grid->pixel_nm, .y0_nm = grid->origin_y_nm,
        .x0_nm = grid->origin_x_nm, .layout = SIM_CHUNKED, .compress = true,
        .current_na = p->eels.run.current_na, .beam_kev = SIM_BEAM_KEV,
        .convergence_mrad = SIM_CONVERGENCE_MRAD, .collection_mrad = SIM_COLLECTION_MRAD,
        .mnka_ev = SIM_EDS_NOMINAL_MNKA_EV, .elevation_degree = SIM_EDS_ELEVATION_DEGREE,
        .seed = series->seed,
    };
    if (file < SIM_RANGES) {
        image->nchannels = sim_ranges[file].nchannels;
        image->offset_ev = sim_ranges[file].offset_ev;
        image->scale_ev = sim_ranges[file].scale_ev;
        image->dwell_s = sim_ranges[file].dwell_s * series->dose;
    } else if (file == FILE_EDS) {
        image->nchannels = p->responses.detector.nchannels;
        image->offset_ev = 1e3 * p->responses.detector.offset_kev;
        image->scale_ev = 1e3 * p->responses.detector.scale_kev;
        image->dwell_s = SIM_EDS_DWELL_S * series->dose * series->eds.dose;
    }
}

static int write_image(const struct sim_series *series, const struct products *p, int file,
                       const char *path, const char *dtype, struct sim_err *err)
{
    const struct sim_run *run = &p->eels.run;
    struct sim_image image;
    struct sim_file out;
    char title[80];
    describe(series, p, file, &image);
    snprintf(title, sizeof title, "%s %d degC %s", sim_sample_names[run->sample],
             run->temperature_c, file < SIM_RANGES ? sim_ranges[file].title
                                 : file == FILE_EDS ? "EDS"
                                 : file == FILE_HAADF_EELS ? "HAADF of EELS" : "HAADF of EDS");
    image.path = path;
    image.title = title;
    image.dtype = dtype;
    const void *values = file <= FILE_EDS ? (const void *)p->counts[file]
                                          : p->haadf[file - FILE_HAADF_EELS];
    if (sim_image_create(&out, &image, err) != SIM_OK) {
        return err->code;
    }
    if (sim_image_rows(&out, 0, image.ny, values, err) != SIM_OK) {
        sim_file_abandon(&out);
        return err->code;
    }
    return sim_file_finish(&out, err);
}

/* ---- runs ---- */

static int write_run(struct job *job, struct products *p, size_t run, struct sim_err *err)
{
    const struct sim_series *series = job->series;
    const struct sim_truth truth = {series, job->library, &p->eels, &p->eds, &p->responses};
    const char *dtype[FILE_MAPS] = {"u2", "u2", "u2", "u2", "u2", "u2"};
    char path[4096];
    for (int file = 0; file <= FILE_EDS; file++) {
        struct sim_image image;
        describe(series, p, file, &image);
        dtype[file] = narrow(p->counts[file], image.ny * image.nx * image.nchannels);
    }
    pthread_mutex_lock(&job->lock);
    for (int file = 0; file < FILE_MAPS && err->code == SIM_OK; file++) {
        if (run_path(path, sizeof path, series, run, run_files[file], err) == SIM_OK) {
            write_image(series, p, file, path, dtype[file], err);
        }
    }
    if (err->code == SIM_OK &&
        run_path(path, sizeof path, series, run, run_files[FILE_MAPS], err) == SIM_OK) {
        sim_truth_write_maps(&truth, path, p->maps, err);
    }
    pthread_mutex_unlock(&job->lock);
    if (err->code == SIM_OK &&
        run_path(path, sizeof path, series, run, run_files[FILE_TEXT], err) == SIM_OK) {
        sim_truth_write_text(&truth, path, err);
    }
    return err->code;
}

static int allocate(struct products *p, struct sim_err *err)
{
    size_t neels = p->eels.ny * p->eels.nx, neds = p->eds.ny * p->eds.nx;
    bool complete = true;
    for (int range = 0; range < SIM_RANGES; range++) {
        p->counts[range] = malloc(neels * sim_ranges[range].nchannels * sizeof *p->counts[range]);
        complete = complete && p->counts[range] != NULL;
    }
    p->counts[FILE_EDS] = calloc(neds * p->responses.detector.nchannels,
                                 sizeof *p->counts[FILE_EDS]);
    p->haadf[SIM_SCAN_EELS] = malloc(neels * sizeof *p->haadf[SIM_SCAN_EELS]);
    p->haadf[SIM_SCAN_EDS] = malloc(neds * sizeof *p->haadf[SIM_SCAN_EDS]);
    p->maps = malloc(SIM_TRUTH_MAPS * neels * sizeof *p->maps);
    complete = complete && p->counts[FILE_EDS] != NULL && p->haadf[SIM_SCAN_EELS] != NULL &&
               p->haadf[SIM_SCAN_EDS] != NULL && p->maps != NULL;
    return complete ? SIM_OK
                    : sim_fail(err, SIM_FAILED, "no memory for a run of %zu and %zu pixels",
                               neels, neds);
}

static int make_run(struct job *job, size_t run, struct sim_err *err)
{
    const struct sim_series *series = job->series;
    struct sim_run numbers = sim_run_of(
        (enum sim_sample)series->samples[run / series->ntemperatures],
        series->temperatures[run % series->ntemperatures], series);
    struct products p;
    char path[4096];

    memset(&p, 0, sizeof p);
    if (run_path(path, sizeof path, series, run, "", err) == SIM_OK &&
        sim_make_folder(path, err) == SIM_OK &&
        sim_scene_make(&p.eels, &numbers, SIM_SCAN_EELS, err) == SIM_OK &&
        sim_scene_make(&p.eds, &numbers, SIM_SCAN_EDS, err) == SIM_OK &&
        sim_responses_make(&p.responses, &numbers.detector, err) == SIM_OK &&
        allocate(&p, err) == SIM_OK) {
        sim_truth_evaluate(job->library, &p.eels, series->dose, p.maps);
        sim_eds_render(&p.responses, &p.eds, series->dose * series->eds.dose,
                       p.counts[FILE_EDS]);
        sim_haadf_render(&p.eels, p.haadf[SIM_SCAN_EELS]);
        sim_haadf_render(&p.eds, p.haadf[SIM_SCAN_EDS]);
        if (render(job->library, &p.eels, series->dose, p.counts, err) == SIM_OK) {
            write_run(job, &p, run, err);
        }
    }
    for (int file = 0; file <= FILE_EDS; file++) {
        free(p.counts[file]);
    }
    for (int scan = 0; scan < SIM_SCANS; scan++) {
        free(p.haadf[scan]);
    }
    free(p.maps);
    sim_responses_free(&p.responses);
    sim_scene_free(&p.eels);
    sim_scene_free(&p.eds);
    return err->code;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct job *job = worker->job;
    size_t nruns = job->series->nsamples * job->series->ntemperatures;
    for (;;) {
        pthread_mutex_lock(&job->lock);
        size_t run = job->next;
        bool more = run < nruns && !job->stop;
        if (more) {
            job->next++;
        }
        pthread_mutex_unlock(&job->lock);
        if (!more) {
            return NULL;
        }
        if (make_run(job, run, &worker->err) != SIM_OK) {
            pthread_mutex_lock(&job->lock);
            job->stop = true;
            pthread_mutex_unlock(&job->lock);
            return NULL;
        }
    }
}

static int run_workers(struct job *job, struct sim_err *err)
{
    enum { MAX_WORKERS = 64 };
    struct worker workers[MAX_WORKERS];
    unsigned wanted = job->series->threads < MAX_WORKERS ? job->series->threads : MAX_WORKERS;
    unsigned started = 0;
    for (; started < wanted; started++) {
        workers[started] = (struct worker){.job = job};
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0) {
            break; /* those that run do all the work */
        }
    }
    if (started == 0) {
        return sim_fail(err, SIM_FAILED, "can't start a thread");
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].err.code != SIM_OK) {
            sim_fail(err, workers[i].err.code, "%s", workers[i].err.text);
        }
    }
    return err->code;
}

/* ---- the stamp ---- */

static int make_stamp(const struct sim_series *series, char *stamp, size_t size)
{
    const struct sim_specimen *s = &series->specimen;
    const struct sim_eds_series *e = &series->eds;
    char other[96] = "";
    if (s->lithium != 1.0 || s->thickness_spread != 0.1) {
        snprintf(other, sizeof other, " lithium %.17g thickness %.17g", s->lithium,
                 s->thickness_spread);
    }
    int n = snprintf(stamp, size,
                     "simulate series\nversion %d\nseed %llu\npixels %zu,%zu\ndose %.17g\n"
                     "eds %zu,%zu dose %.17g offset %.17g gain %.17g width %.17g tail %.17g\n"
                     "profile %s waves %.17g,%.17g tilt %.17g drift %.17g%s%s%s\nruns",
                     SIM_VERSION, (unsigned long long)series->seed, series->ny, series->nx,
                     series->dose, e->ny, e->nx, e->dose, e->offset_error_ev, e->gain_error,
                     e->width_error_ev, e->tail, sim_profile_names[s->profile],
                     s->wavy ? s->wave_nm : 0.0, s->wavy ? s->wavelength_nm : 0.0,
                     s->tilt_degree, s->drift, s->no_diffusion ? " no diffusion" : "",
                     s->flip ? " flipped" : "", other);
    for (size_t i = 0; i < series->nsamples && n < (int)size; i++) {
        n += snprintf(stamp + n, size - (size_t)n, " %s", sim_sample_names[series->samples[i]]);
    }
    for (size_t i = 0; i < series->ntemperatures && n < (int)size; i++) {
        n += snprintf(stamp + n, size - (size_t)n, " %d", series->temperatures[i]);
    }
    if (n < (int)size) {
        n += snprintf(stamp + n, size - (size_t)n, "\n");
    }
    return n < (int)size;
}

static bool up_to_date(const struct sim_series *series, const char *stamp_path, const char *stamp)
{
    char found[2048], path[4096];
    struct sim_err ignored = {.code = SIM_OK};
    FILE *file = fopen(stamp_path, "r");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    found[length] = '\0';
    if (strcmp(found, stamp) != 0) {
        return false;
    }
    for (size_t run = 0; run < series->nsamples * series->ntemperatures; run++) {
        for (size_t i = 0; i < RUN_FILES; i++) {
            if (run_path(path, sizeof path, series, run, run_files[i], &ignored) != SIM_OK ||
                access(path, R_OK) != 0) {
                return false;
            }
        }
    }
    return true;
}

static int write_stamp(const char *path, const char *stamp, struct sim_err *err)
{
    struct sim_text text;
    if (sim_text_open(&text, path, err) != SIM_OK) {
        return err->code;
    }
    fputs(stamp, text.stream);
    return sim_text_close(&text, err);
}

int sim_series(const struct sim_series *series, struct sim_err *err)
{
    char stamp[2048], stamp_path[4096];
    if (!make_stamp(series, stamp, sizeof stamp) ||
        snprintf(stamp_path, sizeof stamp_path, "%s/.stamp", series->folder) >=
            (int)sizeof stamp_path) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", series->folder);
    }
    if (series->if_missing && up_to_date(series, stamp_path, stamp)) {
        return SIM_OK;
    }
    if (sim_make_folder(series->folder, err) != SIM_OK) {
        return err->code;
    }
    /* a series that is being made again must not look finished */
    if (unlink(stamp_path) != 0 && errno != ENOENT) {
        return sim_fail(err, SIM_OUTPUT, "can't remove %s: %s", stamp_path, strerror(errno));
    }
    struct sim_library *library = malloc(sizeof *library);
    if (library == NULL) {
        return sim_fail(err, SIM_FAILED, "no memory for the spectra");
    }
    if (sim_library_make(library, err) != SIM_OK) {
        free(library);
        return err->code;
    }
    struct job job = {.series = series, .library = library};
    if (pthread_mutex_init(&job.lock, NULL) != 0) {
        sim_fail(err, SIM_FAILED, "can't make a lock");
    } else {
        if (run_workers(&job, err) == SIM_OK) {
            write_stamp(stamp_path, stamp, err);
        }
        pthread_mutex_destroy(&job.lock);
    }
    sim_library_free(library);
    free(library);
    return err->code;
}
