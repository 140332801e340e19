/*
 * `simulate series`: for each sample and temperature a folder with three spectrum images and
 * their truth. Threads take whole runs; a run's bytes depend on the seed, its own sample and
 * temperature and the size of the image alone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hspy_write.h"
#include "physics.h"
#include "rng.h"
#include "scene.h"
#include "simulate.h"
#include "spectra.h"
#include "truth.h"

enum { RUN_FILES = 5 };
static const char *const run_files[RUN_FILES] = {"ll.hspy", "li.hspy", "o.hspy", "truth.h5",
                                                 "truth.json"};

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
                  uint32_t *counts[SIM_RANGES], struct sim_err *err)
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
                sim_mix_core(library, column, electrons, &mix);
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

static int write_image(const struct sim_series *series, const struct sim_scene *scene, int range,
                       const char *path, const char *dtype, const void *counts,
                       struct sim_err *err)
{
    const struct sim_range *r = &sim_ranges[range];
    char title[80];
    snprintf(title, sizeof title, "%s %d degC %s", sim_sample_names[scene->run.sample],
             scene->run.temperature_c, r->title);
    struct sim_image image = {
        .path = path, .title = title, .ny = scene->ny, .nx = scene->nx,
        .nchannels = r->nchannels, .pixel_nm = SIM_PIXEL_NM, .offset_ev = r->offset_ev,
        .scale_ev = r->scale_ev, .dtype = dtype, .layout = SIM_CHUNKED, .compress = true,
        .dwell_s = r->dwell_s * series->dose, .current_na = scene->run.current_na,
        .beam_kev = SIM_BEAM_KEV, .convergence_mrad = SIM_CONVERGENCE_MRAD,
        .collection_mrad = SIM_COLLECTION_MRAD, .seed = series->seed,
    };
    struct sim_file file;
    if (sim_image_create(&file, &image, err) != SIM_OK) {
        return err->code;
    }
    if (sim_image_rows(&file, 0, scene->ny, counts, err) != SIM_OK) {
        sim_file_abandon(&file);
        return err->code;
    }
    return sim_file_finish(&file, err);
}

/* ---- runs ---- */

static int write_run(struct job *job, const struct sim_scene *scene, size_t run,
                     uint32_t *counts[SIM_RANGES], double *maps, struct sim_err *err)
{
    const struct sim_series *series = job->series;
    const char *dtype[SIM_RANGES];
    char path[4096];
    for (int range = 0; range < SIM_RANGES; range++) {
        dtype[range] = narrow(counts[range],
                              scene->ny * scene->nx * sim_ranges[range].nchannels);
    }
    pthread_mutex_lock(&job->lock);
    for (int range = 0; range < SIM_RANGES && err->code == SIM_OK; range++) {
        if (run_path(path, sizeof path, series, run, run_files[range], err) == SIM_OK) {
            write_image(series, scene, range, path, dtype[range], counts[range], err);
        }
    }
    if (err->code == SIM_OK &&
        run_path(path, sizeof path, series, run, "truth.h5", err) == SIM_OK) {
        sim_truth_write_maps(series, job->library, scene, path, maps, err);
    }
    pthread_mutex_unlock(&job->lock);
    if (err->code == SIM_OK &&
        run_path(path, sizeof path, series, run, "truth.json", err) == SIM_OK) {
        sim_truth_write_text(series, job->library, scene, path, err);
    }
    return err->code;
}

static int make_run(struct job *job, size_t run, struct sim_err *err)
{
    const struct sim_series *series = job->series;
    size_t npixels = series->ny * series->nx;
    struct sim_run numbers = sim_run_of(
        (enum sim_sample)series->samples[run / series->ntemperatures],
        series->temperatures[run % series->ntemperatures], series->seed, series->ny, series->nx);
    struct sim_scene scene = {.column = NULL};
    uint32_t *counts[SIM_RANGES] = {NULL, NULL, NULL};
    double *maps = NULL;
    char path[4096];

    if (run_path(path, sizeof path, series, run, "", err) != SIM_OK ||
        sim_make_folder(path, err) != SIM_OK ||
        sim_scene_make(&scene, &numbers, series->ny, series->nx, err) != SIM_OK) {
        goto out;
    }
    maps = malloc(SIM_TRUTH_MAPS * npixels * sizeof *maps);
    bool complete = maps != NULL;
    for (int range = 0; range < SIM_RANGES; range++) {
        counts[range] = malloc(npixels * sim_ranges[range].nchannels * sizeof *counts[range]);
        complete = complete && counts[range] != NULL;
    }
    if (!complete) {
        sim_fail(err, SIM_FAILED, "no memory for a run of %zu pixels", npixels);
        goto out;
    }
    sim_truth_evaluate(job->library, &scene, series->dose, maps);
    if (render(job->library, &scene, series->dose, counts, err) == SIM_OK) {
        write_run(job, &scene, run, counts, maps, err);
    }
out:
    for (int range = 0; range < SIM_RANGES; range++) {
        free(counts[range]);
    }
    free(maps);
    sim_scene_free(&scene);
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
    int n = snprintf(stamp, size, "simulate series\nversion %d\nseed %llu\npixels %zu,%zu\n"
                     "dose %.17g\nruns", SIM_VERSION, (unsigned long long)series->seed,
                     series->ny, series->nx, series->dose);
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
