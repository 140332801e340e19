/* HyperSpy's HDF5: /Experiments/<title>/{data, axis-i, metadata}, file_format_version 2.0 and later. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/file_private.h"

#define WHY 512

/* ---- metadata ---- */

static enum ep_h5_got text_at(hid_t meta, const char *group, const char *name, char *out, size_t cap)
{
    EP_AUTO_HID g = meta < 0 ? H5I_INVALID_HID : ep_h5_group(meta, group);
    return g < 0 ? EP_H5_ABSENT : ep_h5_attr_text(g, name, out, cap);
}

/* A positive number below one of two instrument groups; NAN elsewhere. Zero is how "not known" is often written. */
static double number_at(hid_t meta, const char *below, const char *name)
{
    static const char *const roots[] = {"Acquisition_instrument/TEM", "Acquisition_instrument/SEM"};
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        double x;
        snprintf(path, sizeof path, "%s%s", roots[i], below);
        EP_AUTO_HID g = meta < 0 ? H5I_INVALID_HID : ep_h5_group(meta, path);
        if (g >= 0 && ep_h5_attr_num(g, name, &x) == EP_H5_OK && isfinite(x) && x > 0) return x;
    }
    return NAN;
}

static double first_known(double a, double b)
{
    return isnan(a) ? b : a;
}

static void read_meta(hid_t meta, struct ep_desc *d)
{
    struct ep_meta *m = &d->meta;
    text_at(meta, "Signal", "signal_type", m->signal_type, sizeof m->signal_type);
    text_at(meta, "General", "title", m->title, sizeof m->title);
    m->beam_energy_kev = number_at(meta, "", "beam_energy");
    m->convergence_mrad = number_at(meta, "", "convergence_angle");
    m->beam_current_na = number_at(meta, "", "beam_current");
    m->collection_mrad = number_at(meta, "/Detector/EELS", "collection_angle");
    m->dwell_time_s = first_known(number_at(meta, "/Detector/EELS", "dwell_time"), number_at(meta, "", "dwell_time"));
    m->exposure_s = first_known(number_at(meta, "/Detector/EELS", "exposure"), number_at(meta, "", "exposure"));
    m->live_time_s = number_at(meta, "/Detector/EDS", "live_time");
}

/* "Intensity (Counts)" -> unit "counts", long name as it stands. Spectra of a known technique are counts unless
 * they say something else. */
static void read_quantity(hid_t meta, struct ep_desc *d)
{
    char q[sizeof d->long_name] = "";
    text_at(meta, "Signal", "quantity", q, sizeof q);
    ep_h5_copy_text(d->long_name, sizeof d->long_name, q);
    char *open = strrchr(q, '('), *close = strrchr(q, ')');
    if (open && close && close > open + 1) {
        *close = 0;
        ep_h5_copy_text(d->unit, sizeof d->unit, open + 1);
        if (!strcasecmp(d->unit, "counts")) memcpy(d->unit, "counts", 7);
    } else if (d->spectral && d->meta.signal_type[0]) {
        memcpy(d->unit, "counts", 7);
    }
}

/* ---- axes ---- */

static bool read_vector_axis(hid_t g, size_t size, struct ep_axis *a, char *why)
{
    EP_AUTO_FREE double *v = NULL;
    if (!ep_axis_vector(g, "axis", size, &v)) return snprintf(why, WHY, "axis '%s': its coordinates do not match the data", a->name), false;
    if (!ep_axis_from_vector(a, v, size))
        return snprintf(why, WHY, "axis '%s' is not uniform; interpolate it on a uniform axis in HyperSpy", a->name), false;
    return true;
}

/* Reads a number that may be absent; false if it is there and is no finite number. */
static bool axis_number(hid_t g, const char *key, double *x, bool *present)
{
    enum ep_h5_got got = ep_h5_attr_num(g, key, x);
    *present = got == EP_H5_OK;
    return got == EP_H5_ABSENT || (got == EP_H5_OK && isfinite(*x));
}

static bool read_axis(hid_t exp, int k, size_t dim, struct ep_raw_axis *ax, char *why)
{
    char path[24], type[32] = "";
    double size = (double)dim;
    bool has;
    snprintf(path, sizeof path, "axis-%d", k);
    ax->a = (struct ep_axis){.offset = 0, .scale = 1, .size = dim};
    memcpy(ax->a.name, path, strlen(path) + 1);
    EP_AUTO_HID g = ep_h5_group(exp, path);
    if (g < 0) return snprintf(why, WHY, "it has no group axis-%d for dimension %d of its data: load it in HyperSpy and save it again", k, k), false;
    ep_h5_attr_text(g, "name", ax->a.name, sizeof ax->a.name);
    ep_h5_attr_text(g, "units", ax->a.unit, sizeof ax->a.unit);
    ep_h5_attr_text(g, "_type", type, sizeof type);
    ax->has_navigate = ep_h5_attr_bool(g, "navigate", &ax->navigate) == EP_H5_OK;
    if (!strcmp(type, "FunctionalDataAxis"))
        return snprintf(why, WHY, "axis '%s' is given by a formula; convert it to a uniform axis in HyperSpy", ax->a.name), false;
    if (ep_h5_is_dataset(g, "axis")) {
        ax->has_scale = true;
        return read_vector_axis(g, dim, &ax->a, why);
    }
    if (!axis_number(g, "size", &size, &has) || size != (double)dim)
        return snprintf(why, WHY, "axis '%s' (axis-%d): its size is %g but the data have %zu: load it in HyperSpy and save it again", ax->a.name, k, size, dim), false;
    if (!axis_number(g, "offset", &ax->a.offset, &has))
        return snprintf(why, WHY, "axis '%s' (axis-%d): its offset is not a finite number: calibrate it in HyperSpy and save it again", ax->a.name, k), false;
    if (!axis_number(g, "scale", &ax->a.scale, &ax->has_scale) || ax->a.scale == 0)
        return snprintf(why, WHY, "axis '%s' (axis-%d): its scale must be a finite number other than 0: calibrate it in HyperSpy and save it again", ax->a.name, k), false;
    if (ax->a.offset == 0) ax->a.offset = 0; /* -0 */
    return true;
}

/* ---- experiments ---- */

static bool describe(struct ep_file *f, struct ep_item *it, hid_t exp, bool *foreign, char *why)
{
    struct ep_raw_axis ax[EP_MAX_AXES] = {0};
    char record_by[16] = "";
    EP_AUTO_FREE char *data = NULL;
    struct ep_str p = {0};

    ep_str_addf(&p, "%s/data", it->group);
    data = p.s;
    if (!ep_item_dataset(f, it, data, foreign, why, WHY)) return false;
    *foreign = false;
    EP_AUTO_HID meta = ep_h5_group(exp, "metadata");
    read_meta(meta, &it->d);
    for (int k = 0; k < it->rank; k++)
        if (!read_axis(exp, k, it->dim[k], &ax[k], why)) return false;
    text_at(meta, "Signal", "record_by", record_by, sizeof record_by);
    enum ep_layout_hint hint = !strcmp(record_by, "spectrum") ? EP_HINT_SPECTRUM
                             : !strcmp(record_by, "image")    ? EP_HINT_IMAGE : EP_HINT_NONE;
    if (!ep_item_classify(it, ax, hint, why, WHY)) return false;
    read_quantity(meta, &it->d);
    /* Counts as a detector gives them. */
    if (it->d.spectral) it->d.noise = EP_NOISE_INDEPENDENT;
    return true;
}

/* "3.1" or 3.1; false if older than 2.0 or not a version. */
static bool version_ok(const struct ep_file *f, char *text, size_t cap)
{
    double v;
    int major;
    ep_h5_copy_text(text, cap, "none");
    if (ep_h5_attr_text(f->id, "file_format_version", text, cap) == EP_H5_OK) return sscanf(text, "%d", &major) == 1 && major >= 2;
    if (ep_h5_attr_num(f->id, "file_format_version", &v) != EP_H5_OK) return false;
    snprintf(text, cap, "%g", v);
    return v >= 2;
}

ep_status ep_walk_hyperspy(struct ep_file *f, struct ep_err *e)
{
    char version[16];
    size_t n = 0;
    if (!version_ok(f, version, sizeof version))
        return ep_fail(e, EP_E_INPUT, "%s: HyperSpy file of format version %s; 2.0 and later can be read: load and save it with a newer "
                       "HyperSpy", f->path, version);
    EP_AUTO_HID all = ep_h5_group(f->id, "/Experiments");
    char **names = all < 0 ? NULL : ep_h5_children(all, EP_MAX_SIGNALS, &n);
    if (!names) return ep_fail(e, EP_E_INPUT, "%s: /Experiments can't be read (damaged file?)", f->path);
    for (size_t i = 0; i < n; i++) {
        EP_AUTO_HID exp = ep_h5_group(all, names[i]);
        if (exp < 0 || H5Lexists(exp, "data", H5P_DEFAULT) <= 0) continue; /* HyperSpy skips these too */
        struct ep_str path = {0};
        char why[WHY] = "";
        bool foreign = false;
        ep_str_addf(&path, "/Experiments/%s", names[i]);
        struct ep_item *it = ep_file_add(f, EP_FROM_HYPERSPY, path.s);
        ep_str_free(&path);
        if (!describe(f, it, exp, &foreign, why)) ep_file_refuse(f, foreign, why);
    }
    ep_h5_names_free(names);
    return EP_OK;
}
