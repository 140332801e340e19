#include "pipeline/io/export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipeline/base/json.h"
#include "pipeline/base/mem.h"
#include "pipeline/io/csv.h"
#include "pipeline/io/result.h"
#include "pipeline/io/safe_write.h"
#include "pipeline/io/tiff_load.h"

const char *const ep_formats[] = {"tiff", "msa", "csv", NULL};

enum ep_format ep_format_of(enum ep_kind k)
{
    return k == EP_MAP ? EP_TIFF : k == EP_SPECTRUM ? EP_MSA : EP_CSV;
}

bool ep_format_takes(enum ep_format f, enum ep_kind k)
{
    if (f == EP_TIFF) return k == EP_MAP;
    if (f == EP_MSA) return k == EP_SPECTRUM;
    return k == EP_MAP || k == EP_SPECTRUM || k == EP_PROFILE || k == EP_TABLE || k == EP_CURVE;
}

/* ---- TIFF --------------------------------------------------------------------------------------------------- */

/* What ImageJ reads: lines key=value. A pixel i is at (i - xorigin) * width; the width of a pixel is in XResolution. */
static void describe(const struct ep_signal *s, bool sigmas, const char *fingerprint, struct ep_str *out)
{
    const struct ep_axis *x = &s->d.nav[s->d.nnav - 1], *y = s->d.nnav > 1 ? &s->d.nav[s->d.nnav - 2] : NULL;
    size_t frames = s->d.nnav == 3 ? s->d.nav[0].size : 1;
    ep_str_add(out, "ImageJ=1.53t\n");
    if (frames > 1) ep_str_addf(out, "images=%zu\nframes=%zu\n", frames, frames);
    ep_str_addf(out, "unit=%s\n", x->unit[0] ? x->unit : "pixel");
    ep_str_addf(out, "xorigin=%.9g\n", -x->offset / x->scale);
    if (y) ep_str_addf(out, "yorigin=%.9g\n", -y->offset / y->scale);
    ep_str_addf(out, "title=%s%s\nvalues=%s\n", s->d.name, sigmas ? " (standard deviation)" : "", s->d.unit);
    if (*fingerprint) ep_str_addf(out, "eelpipe=%s\n", fingerprint);
}

static bool write_frame(TIFF *t, const struct ep_signal *s, bool sigmas, size_t frame, size_t ny, size_t nx, const char *description)
{
    const struct ep_axis *x = &s->d.nav[s->d.nnav - 1], *y = s->d.nnav > 1 ? &s->d.nav[s->d.nnav - 2] : x;
    bool ok = TIFFSetField(t, TIFFTAG_IMAGEWIDTH, (uint32_t)nx) && TIFFSetField(t, TIFFTAG_IMAGELENGTH, (uint32_t)ny) &&
              TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 32) && TIFFSetField(t, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_IEEEFP) &&
              TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 1) && TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK) &&
              TIFFSetField(t, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) && TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_NONE) &&
              TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, (uint32_t)ny) && TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, RESUNIT_NONE) &&
              TIFFSetField(t, TIFFTAG_XRESOLUTION, 1 / fabs(x->scale)) && TIFFSetField(t, TIFFTAG_YRESOLUTION, 1 / fabs(y->scale)) &&
              TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION, description) && TIFFSetField(t, TIFFTAG_SOFTWARE, "eelpipe");
    float *row = ep_xcalloc(nx, sizeof *row);
    for (size_t i = 0; ok && i < ny; i++) {
        for (size_t k = 0; k < nx; k++) {
            size_t at = (frame * ny + i) * nx + k;
            row[k] = (float)(sigmas ? ep_signal_sigma(s, at) : ep_signal_get(s, at));
        }
        ok = TIFFWriteScanline(t, row, (uint32_t)i, 0) == 1;
    }
    free(row);
    return ok && TIFFWriteDirectory(t);
}

static ep_status export_tiff(const struct ep_signal *s, bool sigmas, const char *fingerprint, const char *path, struct ep_err *e)
{
    struct ep_temp temp;
    if (s->d.nnav == 0) return ep_fail(e, EP_E_COMPUTE, "'%s' is a single value: write it as csv", s->d.name);
    size_t frames = s->d.nnav == 3 ? s->d.nav[0].size : 1, ny = ep_desc_ny(&s->d) / frames, nx = ep_desc_nx(&s->d);
    if (s->n > (size_t)1 << 29) return ep_fail(e, EP_E_COMPUTE, "'%s' has %zu pixels, more than a TIFF of 4 GB holds", s->d.name, s->n);
    ep_status st = ep_tiff_ready(e);
    if (!st) st = ep_temp_open(path, &temp, e);
    if (st) return st;
    struct ep_str text = {0};
    describe(s, sigmas, fingerprint, &text);
    int fd = dup(temp.fd);
    TIFF *t = fd < 0 ? NULL : TIFFFdOpen(fd, path, "w");
    bool ok = t != NULL;
    for (size_t k = 0; ok && k < frames; k++) ok = write_frame(t, s, sigmas, k, ny, nx, text.s);
    if (t) TIFFClose(t);
    else if (fd >= 0) close(fd);
    ep_str_free(&text);
    if (ok) return ep_temp_commit(&temp, e);
    ep_temp_abort(&temp);
    return ep_fail(e, EP_E_OUTPUT, "can't write %s: the disk is full, or libtiff refuses it", path);
}

/* ---- EMSA/MAS ----------------------------------------------------------------------------------------------- */

static void number_line(struct ep_str *o, const char *key, double v)
{
    if (!isfinite(v)) return;
    ep_str_addf(o, "#%-12s: ", key);
    ep_json_num(o, v);
    ep_str_add(o, "\r\n");
}

/* One line of at most 64 characters of ASCII, as the standard has it. */
static void text_line(struct ep_str *o, const char *key, const char *text)
{
    ep_str_addf(o, "#%-12s: ", key);
    for (size_t i = 0, n = 0; text[i] && n < 64; i++) {
        if (((unsigned char)text[i] & 0xC0) == 0x80) continue;
        char c = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
        ep_str_addn(o, &c, 1);
        n++;
    }
    ep_str_add(o, "\r\n");
}

static void msa_text(const struct ep_signal *s, bool sigmas, const char *fingerprint, struct ep_str *o)
{
    const struct ep_meta *m = &s->d.meta;
    bool eds = !strncmp(m->signal_type, "EDS", 3);
    char title[192];
    snprintf(title, sizeof title, "%s%s", m->title[0] ? m->title : s->d.name, sigmas ? " (standard deviation)" : "");
    text_line(o, "FORMAT", "EMSA/MAS Spectral Data File");
    text_line(o, "VERSION", "1.0");
    text_line(o, "TITLE", title);
    text_line(o, "DATE", "");
    text_line(o, "TIME", "");
    text_line(o, "OWNER", "");
    number_line(o, "NPOINTS", (double)s->n);
    number_line(o, "NCOLUMNS", 1);
    text_line(o, "XUNITS", s->d.energy.unit);
    text_line(o, "YUNITS", s->d.unit);
    text_line(o, "DATATYPE", "Y");
    number_line(o, "XPERCHAN", s->d.energy.scale);
    number_line(o, "OFFSET", s->d.energy.offset);
    text_line(o, "XLABEL", s->d.energy.name[0] ? s->d.energy.name : "Energy");
    text_line(o, "YLABEL", sigmas ? "Standard deviation" : "Intensity");
    text_line(o, "SIGNALTYPE", eds ? "EDS" : "ELS");
    number_line(o, "BEAMKV   -kV", m->beam_energy_kev);
    number_line(o, "CONVANGLE-mR", m->convergence_mrad);
    number_line(o, "COLLANGLE-mR", m->collection_mrad);
    number_line(o, "PROBECUR -nA", m->beam_current_na);
    number_line(o, eds ? "LIVETIME  -s" : "INTEGTIME-ms", eds ? m->live_time_s : m->exposure_s * 1000);
    if (*fingerprint) text_line(o, "COMMENT", fingerprint);
    text_line(o, "SPECTRUM", "Spectral Data Starts Here");
    for (size_t i = 0; i < s->n; i++) {
        double v = sigmas ? ep_signal_sigma(s, i) : ep_signal_get(s, i);
        if (isfinite(v)) ep_json_num(o, v);
        else ep_str_add(o, "nan");
        ep_str_add(o, ",\r\n");
    }
    text_line(o, "ENDOFDATA", "");
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static ep_status as_table(const struct ep_signal *s, struct ep_signal **out, struct ep_err *e)
{
    ep_status st = ep_table_new(s->d.name, s->n, out, e);
    double *v = ep_xcalloc(2 * s->n + 1, sizeof *v), *sigma = v + s->n;
    size_t inner = s->n;
    size_t naxis = s->d.nnav + s->d.spectral;
    for (size_t k = 0; !st && k < naxis; k++) {
        const struct ep_axis *a = k < s->d.nnav ? &s->d.nav[k] : &s->d.energy;
        char name[EP_NAME_LEN];
        snprintf(name, sizeof name, "%s", a->name[0] ? a->name : "axis");
        if (k && !strcmp(name, (*out)->col[k - 1].name)) snprintf(name, sizeof name, "axis %zu", k);
        inner /= a->size;
        for (size_t i = 0; i < s->n; i++) v[i] = a->offset + (double)(i / inner % a->size) * a->scale;
        st = ep_table_add(*out, name, a->unit, v, NULL, NULL, e);
    }
    bool has_sigma = s->d.has_sigma && s->n && (s->sigma32 || s->sigma64);
    for (size_t i = 0; i < s->n; i++) {
        v[i] = ep_signal_get(s, i);
        if (has_sigma) sigma[i] = ep_signal_sigma(s, i);
    }
    if (!st) st = ep_table_add(*out, "value", s->d.unit, v, has_sigma ? sigma : NULL, NULL, e);
    free(v);
    return st;
}

static ep_status curve_table(const struct ep_signal *s, struct ep_signal **out, struct ep_err *e)
{
    static const char *const names[EP_CURVE_COLS] = {"y", "x", "normal y", "normal x", "sigma"};
    ep_status st = ep_table_new(s->d.name, s->n, out, e);
    double *v = ep_xcalloc(s->n + 1, sizeof *v);
    for (size_t k = 0; !st && k < EP_CURVE_COLS; k++) {
        for (size_t i = 0; i < s->n; i++) v[i] = s->points[i * EP_CURVE_COLS + k];
        st = ep_table_add(*out, names[k], k == 2 || k == 3 ? "" : "nm", v, NULL, NULL, e);
    }
    free(v);
    return st;
}

static ep_status csv_text(const struct ep_signal *s, struct ep_str *out, struct ep_err *e)
{
    struct ep_signal *t = NULL;
    ep_status st = EP_OK;
    if (s->d.kind == EP_CURVE) st = curve_table(s, &t, e);
    else if (s->d.kind != EP_TABLE) st = as_table(s, &t, e);
    if (!st) ep_table_csv(t ? t : s, out);
    ep_signal_free(t);
    return st;
}

/* ------------------------------------------------------------------------------------------------------------- */

ep_status ep_export(const struct ep_signal *s, enum ep_format f, bool sigmas, const char *fingerprint, const char *path, struct ep_err *e)
{
    struct ep_str text = {0};
    ep_status st = EP_OK;
    if (!ep_format_takes(f, s->d.kind))
        return ep_fail(e, EP_E_COMPUTE, "'%s' is a %s: it can't be written as %s", s->d.name, ep_kind_name(s->d.kind), ep_formats[f]);
    if (f == EP_TIFF) return export_tiff(s, sigmas, fingerprint, path, e);
    if (f == EP_MSA) msa_text(s, sigmas, fingerprint, &text);
    else st = csv_text(s, &text, e);
    if (!st) st = ep_write_text(path, text.s ? text.s : "", text.n, e);
    ep_str_free(&text);
    return st;
}
