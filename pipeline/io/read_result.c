/* Results of our own: /entry/<name> groups with everything that a signal carries (result_entry.c writes them). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define WHY 512

/* Keeps what is there unless the attribute holds a finite number. */
static void number(hid_t g, const char *name, double *x)
{
    double v;
    if (ep_h5_attr_num(g, name, &v) == EP_H5_OK && isfinite(v)) *x = v;
}

static bool kind_of(hid_t g, enum ep_kind *kind)
{
    char word[32] = "";
    ep_h5_attr_text(g, "kind", word, sizeof word);
    for (unsigned b = EP_IMAGE; b <= EP_TABLE; b <<= 1)
        if (!strcmp(word, ep_kind_name((enum ep_kind)b))) {
            *kind = (enum ep_kind)b;
            return true;
        }
    return false;
}

static bool count_attr(hid_t g, const char *name, size_t *n)
{
    double v = NAN;
    number(g, name, &v);
    if (!(v >= 0 && v <= 9e15 && v == floor(v))) return false;
    *n = (size_t)v;
    return true;
}

static void read_low_noise(hid_t g, struct ep_low_noise *low)
{
    if (!count_attr(g, "low_channels", &low->end)) return;
    low->gain = NAN;
    number(g, "low_gain", &low->gain);
    number(g, "low_read_noise", &low->read_noise);
}

static void read_desc(hid_t g, struct ep_desc *d)
{
    char noise[16] = "";
    struct ep_meta *m = &d->meta;
    ep_h5_attr_text(g, "name", d->name, sizeof d->name);
    ep_h5_attr_text(g, "long_name", d->long_name, sizeof d->long_name);
    ep_h5_attr_text(g, "frame", d->frame, sizeof d->frame);
    ep_h5_attr_text(g, "noise", noise, sizeof noise);
    d->noise = !strcmp(noise, "independent") ? EP_NOISE_INDEPENDENT : !strcmp(noise, "correlated") ? EP_NOISE_CORRELATED
                                                                                                   : EP_NOISE_UNKNOWN;
    number(g, "noise_px", &d->noise_px);
    number(g, "placement_sigma", &d->placement_sigma);
    number(g, "gain", &d->gain);
    number(g, "read_noise", &d->read_noise);
    read_low_noise(g, &d->low);
    ep_h5_attr_bool(g, "deconvolved", &d->deconvolved);
    number(g, "shift_max", &d->shift_max);
    ep_h5_attr_bool(g, "gain_estimated", &d->gain_estimated);
    ep_h5_attr_bool(g, "primary", &d->primary);
    ep_h5_attr_bool(g, "quotient", &d->quotient);
    ep_h5_attr_bool(g, "shared", &d->shared);
    ep_h5_attr_text(g, "signal_type", m->signal_type, sizeof m->signal_type);
    ep_h5_attr_text(g, "title", m->title, sizeof m->title);
    number(g, "beam_energy_kev", &m->beam_energy_kev);
    number(g, "convergence_mrad", &m->convergence_mrad);
    number(g, "collection_mrad", &m->collection_mrad);
    number(g, "dwell_time_s", &m->dwell_time_s);
    number(g, "live_time_s", &m->live_time_s);
    number(g, "exposure_s", &m->exposure_s);
    number(g, "beam_current_na", &m->beam_current_na);
}

/* ---- axes ---- */

/* The vectors for viewers must say the same as the numbers, or somebody edited one of the two. */
static bool vector_agrees(hid_t g, const char *name, const struct ep_axis *a)
{
    EP_AUTO_FREE double *v = NULL;
    if (!ep_axis_vector(g, name, a->size, &v)) return false;
    double tol = 1e-6 * fabs(a->scale), last = a->offset + (double)(a->size - 1) * a->scale;
    return fabs(v[0] - a->offset) <= tol && fabs(v[a->size - 1] - last) <= tol;
}

static bool read_axis(hid_t g, int k, size_t size, const char *vector, struct ep_axis *a, char *why)
{
    char key[32];
    *a = (struct ep_axis){.size = size, .offset = NAN, .scale = NAN};
    snprintf(key, sizeof key, "axis_%d_name", k);
    ep_h5_attr_text(g, key, a->name, sizeof a->name);
    snprintf(key, sizeof key, "axis_%d_unit", k);
    ep_h5_attr_text(g, key, a->unit, sizeof a->unit);
    snprintf(key, sizeof key, "axis_%d_offset", k);
    number(g, key, &a->offset);
    snprintf(key, sizeof key, "axis_%d_scale", k);
    number(g, key, &a->scale);
    if (!isfinite(a->offset) || !isfinite(a->scale) || a->scale == 0)
        return snprintf(why, WHY, "axis %d ('%s') has no offset or scale that makes sense", k, a->name), false;
    if (vector && strcmp(vector, ".") && !vector_agrees(g, vector, a))
        return snprintf(why, WHY, "axis '%s': the vector '%s' and the attributes axis_%d_* disagree", a->name, vector, k), false;
    return true;
}

static bool read_axes(hid_t g, struct ep_item *it, char *why)
{
    struct ep_desc *d = &it->d;
    double stored = NAN;
    d->spectral = d->kind == EP_IMAGE || d->kind == EP_SPECTRUM;
    int nnav = it->rank - d->spectral;
    number(g, "nnav", &stored);
    /* A signal without any axes (one pixel's value) is stored as an array of one. */
    if (stored == 0 && !d->spectral && it->rank == 1 && it->dim[0] == 1) nnav = 0;
    if (nnav < 0 || nnav > EP_MAX_NAV || (isfinite(stored) && stored != nnav) || (d->kind == EP_SPECTRUM && nnav) ||
        (d->kind == EP_PROFILE && nnav > 1))
        return snprintf(why, WHY, "a %s of %d dimensions does not fit its attributes", ep_kind_name(d->kind), it->rank), false;
    d->nnav = (size_t)nnav;
    size_t n = 0;
    char **names = ep_h5_attr_texts(g, "axes", EP_MAX_AXES, &n);
    bool ok = true;
    for (int k = 0; ok && k < nnav + d->spectral; k++) {
        struct ep_axis *a = k < nnav ? &d->nav[k] : &d->energy;
        it->role[k] = k < nnav ? k : EP_ROLE_ENERGY;
        ok = read_axis(g, k, it->dim[k], n == (size_t)it->rank ? names[k] : NULL, a, why);
    }
    ep_h5_names_free(names);
    return ok;
}

/* ---- the background model ---- */

static int word_index(hid_t g, const char *name, const char *const *words, int n)
{
    char w[24] = "";
    ep_h5_attr_text(g, name, w, sizeof w);
    for (int i = 0; i < n; i++)
        if (!strcmp(w, words[i])) return i;
    return -1;
}

/* Every number of it is used as an index or in sums: damaged ones are refused. */
static bool read_transfer(hid_t g, struct ep_transfer *t, size_t axis_size)
{
    double *const part[] = {t->k, t->zlp, t->var};
    static const char *const name[] = {"transfer", "transfer_zlp", "transfer_variance"};
    if (!count_attr(g, "transfer_group", &t->group)) return true;
    bool ok = t->group > 0 && axis_size <= EP_TRANSFER * t->group && count_attr(g, "transfer_zlp_end", &t->zlp_end);
    for (size_t i = 0; ok && i < 3; i++) {
        size_t n;
        ok = ep_h5_attr_nums(g, name[i], part[i], EP_TRANSFER, &n) == EP_H5_OK && n == EP_TRANSFER;
    }
    return ok;
}

static bool read_model(hid_t group, struct ep_item *it, char *why)
{
    static const char *const forms[] = {"power", "exponential", "two_powers", "counts"};
    static const char *const methods[] = {"ml", "two_area", "log_ls", "wls", "ml_averaged"};
    EP_AUTO_HID g = ep_h5_group(group, "covariance");
    if (g < 0) return true;
    struct ep_model *m = ep_xcalloc(1, sizeof *m);
    it->model = m;
    it->d.modelled = true;
    int form = word_index(g, "form", forms, 4), method = word_index(g, "method", methods, 5);
    size_t n = 0, last;
    bool ok = form >= 0 && method >= 0;
    m->form = ok ? (enum ep_model_form)form : EP_MODEL_POWER;
    m->method = ok ? (enum ep_model_method)method : EP_FIT_ML;
    ok = ok && ep_h5_attr_nums(g, "windows", &m->window[0][0], 2 * EP_MAX_WINDOWS, &n) != EP_H5_BAD && n % 2 == 0;
    m->nwindow = n / 2;
    ok = ok && ep_h5_attr_nums(g, "r", m->r, 2, &n) != EP_H5_BAD && ep_h5_attr_nums(g, "mean_theta", m->mean_theta, 2, &n) != EP_H5_BAD;
    m->e_ref = m->axis.scale = m->axis.offset = NAN;
    m->gain = 1;
    number(g, "e_ref", &m->e_ref);
    number(g, "own_weight", &m->own_weight);
    number(g, "gain", &m->gain);
    number(g, "read_noise", &m->read_noise);
    ep_h5_attr_text(g, "axis_name", m->axis.name, sizeof m->axis.name);
    ep_h5_attr_text(g, "axis_unit", m->axis.unit, sizeof m->axis.unit);
    number(g, "axis_offset", &m->axis.offset);
    number(g, "axis_scale", &m->axis.scale);
    ok = ok && count_attr(g, "axis_size", &m->axis.size) && count_attr(g, "bin", &m->bin) && count_attr(g, "first", &m->first);
    ok = ok && m->e_ref > 0 && isfinite(m->axis.offset) && isfinite(m->axis.scale) && m->axis.scale != 0 && m->bin > 0;
    read_low_noise(g, &m->low);
    ok = ok && read_transfer(g, &m->transfer, m->axis.size) && (m->form != EP_MODEL_COUNTS || m->transfer.group > 0);
    ok = ok && (m->transfer.group > 0) == it->d.deconvolved;
    /* Channels of the image must lie on the native axis. */
    ok = ok && ep_mul_ok(m->bin, it->d.energy.size, &last) && last <= m->axis.size && m->first <= m->axis.size - last;
    if (!ok) snprintf(why, WHY, "its group covariance is damaged or of a newer eelpipe");
    return ok;
}

/* ---- groups ---- */

static bool same_shape(hid_t group, const char *name, const struct ep_item *it)
{
    EP_AUTO_HID d = ep_h5_dataset(group, name);
    size_t dim[EP_MAX_AXES], total;
    int rank;
    if (d < 0 || !ep_h5_dims(d, EP_MAX_AXES, &rank, dim, &total)) return false;
    return rank == it->rank && !memcmp(dim, it->dim, (size_t)rank * sizeof *dim);
}

/* The attribute and the dataset of a profile's covariances must say the same. */
static bool read_band(hid_t g, struct ep_item *it, char *why)
{
    double n = 0;
    size_t dim[EP_MAX_AXES], total;
    int rank;
    number(g, "band", &n);
    EP_AUTO_HID d = ep_h5_dataset(g, "data_band");
    if (d < 0 && n == 0) return true;
    if (d < 0 || !ep_h5_dims(d, EP_MAX_AXES, &rank, dim, &total) || rank != 2 || dim[0] != it->dim[0] || (double)dim[1] != n)
        return snprintf(why, WHY, "data_band is missing or does not fit the data"), false;
    it->nband = dim[1];
    return true;
}

static bool describe_array(struct ep_file *f, struct ep_item *it, hid_t g, char *why)
{
    struct ep_str path = {0};
    bool foreign;
    ep_str_addf(&path, "%s/data", it->group);
    EP_AUTO_FREE char *data = path.s;
    if (!ep_item_dataset(f, it, data, &foreign, why, WHY)) return false;
    EP_AUTO_HID set = ep_h5_dataset(f->id, data);
    ep_h5_attr_text(set, "units", it->d.unit, sizeof it->d.unit);
    if (it->d.kind == EP_CURVE) {
        if (it->rank != 2 || it->dim[1] != EP_CURVE_COLS)
            return snprintf(why, WHY, "a curve is an array of n x %d", EP_CURVE_COLS), false;
        it->d.nnav = 1;
        it->d.nav[0] = (struct ep_axis){.scale = 1, .size = it->dim[0]};
        return true;
    }
    if (!read_axes(g, it, why)) return false;
    if (it->d.spectral && !read_model(g, it, why)) return false;
    if (it->d.kind == EP_PROFILE && !read_band(g, it, why)) return false;
    it->has_flags = ep_h5_is_dataset(g, "flags");
    it->has_shift = it->d.spectral && ep_h5_is_dataset(g, "shift");
    if (it->d.kind == EP_IMAGE && it->d.shift_max > 0 && !it->has_shift)
        return snprintf(why, WHY, "its dataset shift is missing"), false;
    if (ep_h5_is_dataset(g, "data_errors")) {
        if (!same_shape(g, "data_errors", it)) return snprintf(why, WHY, "data and data_errors differ in shape"), false;
        it->d.has_sigma = true;
        ep_h5_copy_text(it->errors, sizeof it->errors, "data_errors");
    }
    return true;
}

static void describe(struct ep_file *f, hid_t entry, const char *name)
{
    char why[WHY] = "", class[16] = "";
    EP_AUTO_HID g = ep_h5_group(entry, name);
    enum ep_kind kind;
    if (g < 0 || ep_h5_attr_text(g, "NX_class", class, sizeof class) != EP_H5_OK || strcmp(class, "NXdata")) return;
    struct ep_str path = {0};
    ep_str_addf(&path, "/entry/%s", name);
    struct ep_item *it = ep_file_add(f, EP_FROM_RESULT, path.s);
    ep_str_free(&path);
    if (!kind_of(g, &kind)) {
        ep_file_refuse(f, false, "of a kind this program does not know; a newer eelpipe wrote it");
        return;
    }
    it->d.kind = kind;
    read_desc(g, &it->d);
    if (kind != EP_TABLE && !describe_array(f, it, g, why)) ep_file_refuse(f, false, why);
    else if (kind == EP_TABLE) it->d.dtype = EP_F64;
}

/* ---- the file ---- */

static void read_origin(struct ep_file *f, hid_t entry)
{
    EP_AUTO_HID g = ep_h5_group(entry, "eelpipe");
    if (g < 0) return;
    static const char *const attrs[] = {"program", "version", "step", "stage", "fingerprint"};
    static const char *const sets[] = {"parameters", "chain", "inputs"};
    for (size_t i = 0; i < 5; i++) f->origin_text[i] = ep_h5_attr_string(g, attrs[i]);
    for (size_t i = 0; i < 3; i++) f->origin_text[5 + i] = ep_h5_data_string(g, sets[i]);
    const char *t[8];
    for (size_t i = 0; i < 8; i++) t[i] = f->origin_text[i] ? f->origin_text[i] : "";
    f->origin = (struct ep_origin){t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]};
}

ep_status ep_walk_result(struct ep_file *f, struct ep_err *e)
{
    size_t n = 0;
    EP_AUTO_HID entry = ep_h5_group(f->id, "/entry");
    char **names = entry < 0 ? NULL : ep_h5_children(entry, EP_MAX_SIGNALS, &n);
    if (!names) return ep_fail(e, EP_E_INPUT, "%s: a result without /entry (damaged?)", f->path);
    read_origin(f, entry);
    for (size_t i = 0; i < n; i++) describe(f, entry, names[i]);
    ep_h5_names_free(names);
    return EP_OK;
}
