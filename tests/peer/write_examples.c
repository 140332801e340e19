/* Writes one result file of each kind into a folder, for check_result_layout.py to read with other programs.
 * Every value is a function of its place that the script computes, too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model.h"
#include "pipeline/io/file.h"
#include "pipeline/io/result.h"

static struct ep_err err;

static void must(ep_status st)
{
    if (st == EP_OK)
        return;
    fprintf(stderr, "write_examples: %s\n", err.msg);
    _Exit(1);
}

static struct ep_axis axis(const char *name, const char *unit, double offset, double scale, size_t size)
{
    struct ep_axis a = {.offset = offset, .scale = scale, .size = size};
    snprintf(a.name, sizeof a.name, "%s", name);
    snprintf(a.unit, sizeof a.unit, "%s", unit);
    return a;
}

static struct ep_desc desc(const char *name, enum ep_kind kind, const char *long_name, const char *unit)
{
    struct ep_desc d;
    ep_desc_init(&d);
    snprintf(d.name, sizeof d.name, "%s", name);
    snprintf(d.long_name, sizeof d.long_name, "%s", long_name);
    snprintf(d.unit, sizeof d.unit, "%s", unit);
    d.kind = kind;
    d.noise = EP_NOISE_INDEPENDENT;
    d.dtype = kind == EP_MAP || kind == EP_IMAGE ? EP_F32 : EP_F64;
    return d;
}

static void navigation(struct ep_desc *d, size_t ny, size_t nx)
{
    if (ny)
        d->nav[d->nnav++] = axis("y", "nm", 1.5, 0.5, ny);
    d->nav[d->nnav++] = axis("x", "nm", -2, 0.25, nx);
}

static void eels(struct ep_desc *d, size_t n)
{
    d->spectral = true;
    d->energy = axis("Energy loss", "eV", 500, 0.3, n);
    strcpy(d->meta.signal_type, "EELS");
    d->meta.beam_energy_kev = 200;
    d->meta.convergence_mrad = 25;
    d->meta.collection_mrad = 40;
    d->meta.dwell_time_s = 0.01;
}

static struct ep_writer *begin(const char *folder, const char *step)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.hspy", folder, step);
    struct ep_record rec = {
        .step = step, .stage = "example", .stage_version = 3, .version = "0.0.0",
        .fingerprint = "00112233445566778899aabbccddeeff", .parameters = "{\"window\":[505,524]}",
        .chain = "[]", .inputs = "[{\"port\":\"input\",\"fingerprint\":\"ff\"}]", .elements = "Li O Ti"};
    struct ep_writer *w;
    must(ep_writer_open(path, &rec, &w, &err));
    return w;
}

/* A net image in areas, with its model, flags and shifts. */
static void net_image(const char *folder)
{
    struct ep_desc d = desc("net", EP_IMAGE, "Net intensity", "counts");
    navigation(&d, 21, 70);
    eels(&d, 300);
    d.primary = d.modelled = true;
    d.shift_max = 2;
    strcpy(d.meta.title, "Grain \xc3\xa9tude \"7\"");
    struct ep_writer *w = begin(folder, "image");
    size_t handle, nch = 300;
    must(ep_writer_image_begin(w, &d, &handle, &err));
    struct ep_grid g = ep_grid_of(21, 70);
    float *val = ep_xmalloc(EP_CELL_NY * EP_CELL_NX * nch * sizeof *val);
    for (size_t c = ep_grid_count(&g); c-- > 0;) {
        struct ep_area a = ep_grid_cell(&g, c);
        for (size_t y = 0, i = 0; y < a.ny; y++)
            for (size_t x = 0; x < a.nx; x++)
                for (size_t k = 0; k < nch; k++)
                    val[i++] = (float)((a.y0 + y) * 1000 + (a.x0 + x) * 10) + (float)k / 8;
        must(ep_writer_image_area(w, handle, a, val, &err));
    }
    free(val);
    size_t n = 21 * 70;
    struct ep_model m = {.form = EP_MODEL_POWER, .method = EP_FIT_ML, .nwindow = 2, .window = {{505, 510}, {515, 524}},
                         .e_ref = 512, .gain = 1, .axis = d.energy, .bin = 1};
    double *theta = ep_xcalloc(n * EP_NTHETA, sizeof *theta), *cmat = ep_xcalloc(n * EP_NCMAT, sizeof *cmat);
    double *shift = ep_xcalloc(n, sizeof *shift);
    uint32_t *flag = ep_xcalloc(n, sizeof *flag);
    for (size_t i = 0; i < n; i++) {
        shift[i] = (double)i / 1000;
        theta[i * EP_NTHETA] = (double)i;
        flag[i] = i == 5 ? EP_FLAG_MASKED : 0;
    }
    must(ep_writer_image_end(w, handle, &m, theta, cmat, shift, flag, &err));
    free(theta);
    free(cmat);
    free(shift);
    free(flag);
    must(ep_writer_commit(w, &err));
}

/* A map with sigma and flags: data[i] = i/2, sigma = i/10, pixel 3 failed. */
static void put_map(struct ep_writer *w, const char *name, size_t ny, size_t nx, bool primary)
{
    struct ep_desc d = desc(name, EP_MAP, "Net counts", "counts");
    if (nx)
        navigation(&d, ny, nx);
    d.has_sigma = true;
    d.primary = primary;
    d.meta.beam_energy_kev = 200;
    strcpy(d.meta.signal_type, "EELS");
    struct ep_signal *s;
    must(ep_signal_new(&d, &s, &err));
    for (size_t i = 0; i < s->n; i++) {
        s->f32[i] = i == 3 ? NAN : (float)i / 2;
        s->sigma32[i] = (float)i / 10;
        s->flags[i] = i == 3 ? EP_FLAG_FIT_FAILED : 0;
    }
    must(ep_writer_put(w, s, &err));
    ep_signal_free(s);
}

static void put_line(struct ep_writer *w, const char *name, enum ep_kind kind)
{
    struct ep_desc d = desc(name, kind, kind == EP_PROFILE ? "Ti fraction" : "Sum", kind == EP_PROFILE ? "" : "counts");
    if (kind == EP_PROFILE)
        d.nav[d.nnav++] = axis("distance", "nm", -10, 0.5, 41);
    else
        eels(&d, 41);
    d.has_sigma = d.primary = true;
    struct ep_signal *s;
    must(ep_signal_new(&d, &s, &err));
    for (size_t i = 0; i < s->n; i++) {
        s->f64[i] = (double)i * 3;
        s->sigma64[i] = 0.5;
    }
    must(ep_writer_put(w, s, &err));
    ep_signal_free(s);
}

static void put_table(struct ep_writer *w)
{
    static const double t[] = {25, 400, 700}, front[] = {1.5, NAN, 4}, sigma[] = {0.1, NAN, 0.3}, width[] = {2, 3, 4};
    static const char *const sample[] = {"A", "", "\xc3\xa9 \"b\""};
    struct ep_signal *s;
    must(ep_table_new("fronts", 3, &s, &err));
    s->d.primary = true;
    must(ep_table_add(s, "sample", "", NULL, NULL, sample, &err));
    must(ep_table_add(s, "temperature", "degC", t, NULL, NULL, &err));
    must(ep_table_add(s, "front_position", "nm", front, sigma, NULL, &err));
    must(ep_table_add(s, "width", "nm", width, NULL, NULL, &err));
    must(ep_writer_put(w, s, &err));
    ep_signal_free(s);
}

static void put_curve(struct ep_writer *w)
{
    struct ep_desc d = desc("boundary", EP_CURVE, "Boundary", "nm");
    d.nav[d.nnav++] = axis("point", "", 0, 1, 7);
    struct ep_signal *s;
    must(ep_signal_new(&d, &s, &err));
    for (size_t i = 0; i < 7 * EP_CURVE_COLS; i++)
        s->points[i] = (double)i;
    must(ep_writer_put(w, s, &err));
    ep_signal_free(s);
}

/* An image of whole numbers in memory; data[i] = i mod 250. */
static void put_image(struct ep_writer *w, struct ep_desc *d)
{
    struct ep_signal *s;
    must(ep_signal_new(d, &s, &err));
    for (size_t i = 0; i < s->n; i++)
        s->f32[i] = (float)(i % 250);
    must(ep_writer_put(w, s, &err));
    ep_signal_free(s);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    const char *to = argv[1];
    ep_hdf5_init();
    net_image(to);

    struct ep_writer *w = begin(to, "maps");
    put_map(w, "exponent", 9, 12, false);
    put_map(w, "li_k", 9, 12, true);
    must(ep_writer_commit(w, &err));

    w = begin(to, "number"); /* a map without any axis */
    put_map(w, "total", 0, 0, true);
    must(ep_writer_commit(w, &err));

    w = begin(to, "line_map");
    put_map(w, "li_k", 0, 12, true);
    must(ep_writer_commit(w, &err));

    w = begin(to, "profile");
    put_line(w, "ti", EP_PROFILE);
    must(ep_writer_commit(w, &err));

    w = begin(to, "spectrum");
    put_line(w, "sum", EP_SPECTRUM);
    must(ep_writer_commit(w, &err));

    w = begin(to, "table");
    put_table(w);
    must(ep_writer_commit(w, &err));

    w = begin(to, "boundary");
    put_curve(w);
    put_map(w, "distance", 9, 12, true);
    must(ep_writer_commit(w, &err));

    struct ep_desc line = desc("net", EP_IMAGE, "Net intensity", "counts");
    navigation(&line, 0, 130);
    eels(&line, 50);
    line.primary = true;
    w = begin(to, "line_scan");
    put_image(w, &line);
    must(ep_writer_commit(w, &err));

    struct ep_desc eds = desc("eds", EP_IMAGE, "Intensity", "counts");
    navigation(&eds, 18, 19);
    eds.spectral = eds.primary = true;
    eds.dtype = EP_U16;
    eds.energy = axis("Energy", "keV", -0.2, 0.01, 700);
    strcpy(eds.meta.signal_type, "EDS_TEM");
    eds.meta.beam_energy_kev = 200;
    eds.meta.live_time_s = 12.5;
    w = begin(to, "eds");
    put_image(w, &eds);
    must(ep_writer_commit(w, &err));

    struct ep_desc series = desc("net", EP_IMAGE, "Net intensity", "counts");
    series.nav[series.nnav++] = axis("time", "s", 0, 30, 3);
    navigation(&series, 10, 20);
    eels(&series, 30);
    series.primary = true;
    w = begin(to, "series");
    put_image(w, &series);
    must(ep_writer_commit(w, &err));
    return 0;
}
