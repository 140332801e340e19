#include "pipeline/data/signal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/model.h"

/* ---- axes ---- */

double ep_axis_unit_factor(const struct ep_axis *a)
{
    /* The usual units without a look-up: windows are resolved once per pixel where the axes are shifted. */
    if (a->unit[0] == '\0' || strcmp(a->unit, "eV") == 0 || strcmp(a->unit, "nm") == 0) return 1.0;
    enum ep_dim dim;
    double f;
    if (!ep_unit_lookup(a->unit, &dim, &f)) return 1.0;
    return dim == EP_DIM_ENERGY || dim == EP_DIM_LENGTH ? f : 1.0;
}

double ep_axis_at(const struct ep_axis *a, double index)
{
    return (a->offset + a->scale * index) * ep_axis_unit_factor(a);
}

/* Channels: a window's end this near to a channel's centre lies on it. Scales that went through float32 (Gatan's
 * files, and all that were converted from them) put channel 600 off by 1e-4 channel. */
#define WINDOW_TOLERANCE 1e-3

/* The smallest channel >= t, tolerance included; t may be anything. */
static double ceil_tolerant(double t)
{
    return ceil(t - WINDOW_TOLERANCE);
}

static size_t clip_index(double i, size_t size)
{
    if (!(i > 0)) return 0;
    return i >= (double)size ? size : (size_t)i;
}

/* A channel that belongs to the window but is not on the axis makes it clipped: channel i is the bin i +- 1/2, so
 * that happens where the window reaches more than half a channel beyond the outermost bin. */
struct ep_range ep_axis_window(const struct ep_axis *a, double lo, double hi, double shift, bool *clipped)
{
    double f = ep_axis_unit_factor(a), size = (double)a->size;
    double tlo = ((lo - shift) / f - a->offset) / a->scale;
    double thi = ((hi - shift) / f - a->offset) / a->scale;
    double first, end;
    if (a->scale > 0) {             /* lo <= E_i < hi: tlo <= i < thi */
        first = ceil_tolerant(tlo);
        end = ceil_tolerant(thi);
    } else {                        /* thi < i <= tlo */
        first = floor(thi + WINDOW_TOLERANCE) + 1;
        end = floor(tlo + WINDOW_TOLERANCE) + 1;
    }
    if (!(first < end)) {           /* empty, or NaN */
        if (clipped) *clipped = !(first >= 0 && end <= size);
        size_t at = clip_index(first, a->size);
        return (struct ep_range){ at, at };
    }
    if (clipped) *clipped = first < 0 || end > size;
    return (struct ep_range){ clip_index(first, a->size), clip_index(end, a->size) };
}

/* ---- descriptions ---- */

const char *ep_kind_name(enum ep_kind k)
{
    switch (k) {
    case EP_IMAGE: return "spectrum image";
    case EP_MAP: return "map";
    case EP_PROFILE: return "profile";
    case EP_SPECTRUM: return "spectrum";
    case EP_CURVE: return "curve";
    case EP_TABLE: return "table";
    case EP_FILE: return "file";
    }
    return "signal";
}

void ep_meta_init(struct ep_meta *m)
{
    memset(m, 0, sizeof *m);
    m->beam_energy_kev = m->convergence_mrad = m->collection_mrad = NAN;
    m->dwell_time_s = m->live_time_s = m->exposure_s = m->beam_current_na = NAN;
}

static const struct { const char *name; size_t size; } dtypes[] = {
    [EP_F32] = { "float32", 4 }, [EP_F64] = { "float64", 8 }, [EP_U8] = { "uint8", 1 }, [EP_U16] = { "uint16", 2 },
    [EP_U32] = { "uint32", 4 },  [EP_I8] = { "int8", 1 },     [EP_I16] = { "int16", 2 }, [EP_I32] = { "int32", 4 },
};

size_t ep_dtype_size(enum ep_dtype t)
{
    return dtypes[t].size;
}

const char *ep_dtype_name(enum ep_dtype t)
{
    return dtypes[t].name;
}

void ep_desc_init(struct ep_desc *d)
{
    memset(d, 0, sizeof *d);
    d->kind = EP_MAP;
    d->dtype = EP_F32;
    d->noise = EP_NOISE_UNKNOWN;
    d->gain = 1.0;
    ep_meta_init(&d->meta);
}

/* Navigation axes fold into ny x nx: the last is x, all before it multiply into y. */
size_t ep_desc_ny(const struct ep_desc *d)
{
    size_t n = 1;
    for (size_t i = 0; i + 1 < d->nnav; i++) n *= d->nav[i].size;
    return n;
}

size_t ep_desc_nx(const struct ep_desc *d)
{
    return d->nnav ? d->nav[d->nnav - 1].size : 1;
}

size_t ep_desc_nch(const struct ep_desc *d)
{
    return d->spectral ? d->energy.size : 1;
}

bool ep_desc_same_frame(const struct ep_desc *a, const struct ep_desc *b)
{
    return a->frame_id != 0 && a->frame_id == b->frame_id;
}

bool ep_desc_same_grid(const struct ep_desc *a, const struct ep_desc *b)
{
    return ep_desc_ny(a) == ep_desc_ny(b) && ep_desc_nx(a) == ep_desc_nx(b);
}

/* ---- signals ---- */

/* n x size zeroed bytes at *p unless an allocation before failed; the bytes add up in *total. */
static bool array(void *p, size_t n, size_t size, size_t *total)
{
    size_t bytes;
    if (!ep_mul_ok(n ? n : 1, size, &bytes) || *total > SIZE_MAX - bytes) {
        *total = SIZE_MAX;
        return false;
    }
    *total += bytes;
    void *q = calloc(1, bytes);
    memcpy(p, &q, sizeof q);
    return q != NULL;
}

static bool allocate(struct ep_signal *s, size_t *total)
{
    const struct ep_desc *d = &s->d;
    size_t pixels = 1;
    for (size_t i = 0; i < d->nnav; i++)
        if (!ep_mul_ok(pixels, d->nav[i].size, &pixels)) return *total = SIZE_MAX, false;
    if (d->kind == EP_CURVE) {
        s->n = pixels;
        return array(&s->points, pixels, EP_CURVE_COLS * sizeof(double), total);
    }
    if (d->kind == EP_TABLE || d->kind == EP_FILE) {
        s->n = pixels;
        return true;
    }
    if (!ep_mul_ok(pixels, ep_desc_nch(d), &s->n)) return *total = SIZE_MAX, false;
    bool single = d->kind == EP_MAP || d->kind == EP_IMAGE;
    bool ok = single ? array(&s->f32, s->n, sizeof(float), total) : array(&s->f64, s->n, sizeof(double), total);
    if (ok && d->has_sigma)
        ok = single ? array(&s->sigma32, s->n, sizeof(float), total) : array(&s->sigma64, s->n, sizeof(double), total);
    if (ok && (d->kind == EP_MAP || d->modelled || d->shift_max > 0))
        ok = array(&s->flags, pixels, sizeof(uint32_t), total);
    if (ok && d->modelled)
        ok = array(&s->model, 1, sizeof(struct ep_model), total) &&
             array(&s->theta, pixels, EP_NTHETA * sizeof(double), total) &&
             array(&s->cmat, pixels, EP_NCMAT * sizeof(double), total);
    if (ok && d->shift_max > 0) ok = array(&s->shift, pixels, sizeof(double), total);
    return ok;
}

ep_status ep_signal_new(const struct ep_desc *d, struct ep_signal **out, struct ep_err *e)
{
    struct ep_signal *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a signal)", sizeof *s);
    s->d = *d;
    size_t total = 0;
    if (!allocate(s, &total)) {
        ep_signal_free(s);
        const char *of = d->name[0] ? d->name : "unnamed";
        if (total == SIZE_MAX) return ep_fail(e, EP_E_COMPUTE, "the %s '%s' is too large for any memory",
                                              ep_kind_name(d->kind), of);
        return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (the %s '%s')", total, ep_kind_name(d->kind), of);
    }
    *out = s;
    return EP_OK;
}

static void column_free(struct ep_column *c, size_t rows)
{
    free(c->num);
    free(c->sigma);
    if (c->text)
        for (size_t i = 0; i < rows; i++) free(c->text[i]);
    free(c->text);
}

void ep_signal_free(struct ep_signal *s)
{
    if (!s) return;
    free(s->f32);
    free(s->f64);
    free(s->sigma32);
    free(s->sigma64);
    free(s->flags);
    free(s->points);
    free(s->bytes);
    free(s->band);
    for (size_t i = 0; i < s->ncol; i++) column_free(&s->col[i], s->n);
    free(s->col);
    free(s->model);
    free(s->theta);
    free(s->cmat);
    free(s->shift);
    free(s);
}

double ep_signal_get(const struct ep_signal *s, size_t i)
{
    return s->f32 ? (double)s->f32[i] : s->f64[i];
}

double ep_signal_sigma(const struct ep_signal *s, size_t i)
{
    return s->sigma32 ? (double)s->sigma32[i] : s->sigma64 ? s->sigma64[i] : (double)NAN;
}

double ep_table_number(const struct ep_signal *t, const char *column, double *sigma)
{
    for (size_t i = 0; t && t->n == 1 && i < t->ncol; i++)
        if (!strcmp(t->col[i].name, column) && t->col[i].num) {
            if (sigma) *sigma = t->col[i].sigma ? t->col[i].sigma[0] : (double)NAN;
            return t->col[i].num[0];
        }
    return (double)NAN;
}

/* x == 0 catches -0; the one NaN is the positive quiet one. */
static double canonical(double x)
{
    return isnan(x) ? (double)NAN : x == 0 ? 0.0 : x;
}

static void canonical_f64(double *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++) v[i] = canonical(v[i]);
}

static void canonical_f32(float *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++) v[i] = isnan(v[i]) ? NAN : v[i] == 0 ? 0.0f : v[i];
}

/* What is left of x after writing it as t and reading it back. Integers are rounded to nearest and saturate; NaN stays. */
static double as_stored(double x, enum ep_dtype t)
{
    static const struct { double lo, hi; } range[] = {
        [EP_U8] = { 0, 255 },     [EP_U16] = { 0, 65535 },      [EP_U32] = { 0, 4294967295.0 },
        [EP_I8] = { -128, 127 },  [EP_I16] = { -32768, 32767 }, [EP_I32] = { -2147483648.0, 2147483647.0 },
    };
    if (t == EP_F64 || isnan(x)) return x;
    if (t == EP_F32) return (double)(fabs(x) > (double)FLT_MAX && isfinite(x) ? copysignf(INFINITY, (float)copysign(1, x))
                                                                              : (float)x);
    if (x < range[t].lo) return range[t].lo;
    if (x > range[t].hi) return range[t].hi;
    return rint(x);
}

void ep_signal_canonical(struct ep_signal *s)
{
    size_t pixels = ep_desc_ny(&s->d) * ep_desc_nx(&s->d);
    if (s->f32 && s->d.dtype != EP_F32 && s->d.dtype != EP_F64)
        for (size_t i = 0; i < s->n; i++) s->f32[i] = (float)as_stored((double)s->f32[i], s->d.dtype);
    if (s->f64 && s->d.dtype != EP_F64)
        for (size_t i = 0; i < s->n; i++) s->f64[i] = as_stored(s->f64[i], s->d.dtype);
    if (s->sigma64 && s->d.dtype == EP_F32)
        for (size_t i = 0; i < s->n; i++) s->sigma64[i] = as_stored(s->sigma64[i], EP_F32);
    canonical_f32(s->f32, s->n);
    canonical_f64(s->f64, s->n);
    canonical_f32(s->sigma32, s->n);
    canonical_f64(s->sigma64, s->n);
    canonical_f64(s->points, EP_CURVE_COLS * s->n);
    canonical_f64(s->band, s->nband * s->n);
    if (s->theta) canonical_f64(s->theta, EP_NTHETA * pixels);
    if (s->cmat) canonical_f64(s->cmat, EP_NCMAT * pixels);
    if (s->shift) canonical_f64(s->shift, pixels);
    for (size_t i = 0; i < s->ncol; i++) {
        canonical_f64(s->col[i].num, s->n);
        canonical_f64(s->col[i].sigma, s->n);
    }
}

/* ---- tables ---- */

ep_status ep_bytes_new(const char *name, char *bytes, size_t n, struct ep_signal **out, struct ep_err *e)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_FILE;
    strncpy(d.name, name, sizeof d.name - 1);
    ep_status st = ep_signal_new(&d, out, e);
    if (st) {
        free(bytes);
        return st;
    }
    (*out)->bytes = bytes;
    (*out)->n = n;
    return EP_OK;
}

ep_status ep_table_new(const char *name, size_t rows, struct ep_signal **out, struct ep_err *e)
{
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_TABLE;
    d.dtype = EP_F64;
    strncpy(d.name, name, sizeof d.name - 1);
    ep_status st = ep_signal_new(&d, out, e);
    if (st == EP_OK) (*out)->n = rows;
    return st;
}

static bool fill_column(struct ep_column *c, size_t rows, const double *num, const double *sigma, const char *const *text,
                        size_t *total)
{
    if (text) {
        if (!array(&c->text, rows, sizeof *c->text, total)) return false;
        for (size_t i = 0; i < rows; i++) {
            c->text[i] = strdup(text[i] ? text[i] : "");
            if (!c->text[i]) return false;
        }
        return true;
    }
    if (!array(&c->num, rows, sizeof *c->num, total)) return false;
    for (size_t i = 0; i < rows; i++) c->num[i] = num ? num[i] : (double)NAN;
    if (!sigma) return true;
    if (!array(&c->sigma, rows, sizeof *c->sigma, total)) return false;
    memcpy(c->sigma, sigma, rows * sizeof *sigma);
    return true;
}

ep_status ep_table_add(struct ep_signal *t, const char *name, const char *unit, const double *num, const double *sigma,
                       const char *const *text, struct ep_err *e)
{
    if (strlen(name) >= sizeof t->col->name)
        return ep_fail(e, EP_E_COMPUTE, "table '%s': the column name '%s' is longer than %zu bytes", t->d.name, name,
                       sizeof t->col->name - 1);
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0)
            return ep_fail(e, EP_E_COMPUTE, "table '%s' has two columns named '%s'", t->d.name, name);
    struct ep_column *all = realloc(t->col, (t->ncol + 1) * sizeof *all);
    if (!all) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (table '%s')", (t->ncol + 1) * sizeof *all, t->d.name);
    t->col = all;
    struct ep_column *c = &all[t->ncol];
    memset(c, 0, sizeof *c);
    strncpy(c->name, name, sizeof c->name - 1);
    strncpy(c->unit, unit ? unit : "", sizeof c->unit - 1);
    c->is_text = text != NULL;
    size_t total = 0;
    if (!fill_column(c, t->n, num, sigma, text, &total)) {
        column_free(c, c->text ? t->n : 0);
        return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (column '%s' of table '%s')", total, name, t->d.name);
    }
    t->ncol++;
    return EP_OK;
}
