/* One signal as its NXdata group says it: attributes for the reader, axis vectors and labels for viewers, and what each
 * pixel carries beside its values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/flags.h"
#include "pipeline/data/model.h"
#include "pipeline/io/h5util.h"
#include "pipeline/io/h5write.h"

/* ---- Names ---------------------------------------------------------------------------------------------- */

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* A name that NeXus allows: [A-Za-z][A-Za-z0-9_]*. */
void ep_h5w_safe_name(char out[EP_NAME_LEN], const char *name, const char *otherwise)
{
    size_t n = 0;
    for (const char *c = name; *c && n + 1 < EP_NAME_LEN; c++)
        if (((unsigned char)*c & 0xC0) != 0x80) /* one character, one sign */
            out[n++] = letter(*c) || (*c >= '0' && *c <= '9') ? *c : '_';
    out[n] = 0;
    if (!letter(out[0]))
        snprintf(out, EP_NAME_LEN, "%s", otherwise);
}

void ep_h5w_next_name(char name[EP_NAME_LEN])
{
    size_t n = strlen(name);
    if (n + 1 < EP_NAME_LEN) {
        name[n] = '_';
        name[n + 1] = 0;
    } else {
        name[n - 1] = name[n - 1] >= 'a' && name[n - 1] < 'z' ? (char)(name[n - 1] + 1) : 'a';
    }
}

/* Names of the axis vectors in the NXdata group; they share it with the members named here. */
static void axis_names(const struct ep_desc *d, int rank, char names[EP_MAX_AXES][EP_NAME_LEN])
{
    static const char *const taken[] = {"data", "data_errors", "data_band", "flags", "title", "shift", "covariance"};
    for (int k = 0; k < rank; k++) {
        bool energy = d->spectral && k == rank - 1;
        ep_h5w_safe_name(names[k], energy ? "energy" : ep_h5w_nav_name(d, (size_t)k), "axis");
        for (bool clash = true; clash;) {
            clash = !energy && !strcmp(names[k], "energy") && d->spectral;
            for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
                clash = clash || !strcmp(names[k], taken[i]);
            for (int i = 0; i < k; i++)
                clash = clash || !strcmp(names[k], names[i]);
            if (clash)
                ep_h5w_next_name(names[k]);
        }
    }
}

/* ---- Attributes and axes -------------------------------------------------------------------------------- */

static const char *noise_word(enum ep_noise_kind k)
{
    return k == EP_NOISE_INDEPENDENT ? "independent" : k == EP_NOISE_CORRELATED ? "correlated" : "unknown";
}

static void write_low_noise(struct ep_h5w *h, hid_t g, const struct ep_low_noise *low)
{
    if (!low->end)
        return;
    ep_h5w_i64(h, g, "low_channels", (int64_t)low->end);
    ep_h5w_num(h, g, "low_gain", low->gain);
    ep_h5w_num(h, g, "low_read_noise", low->read_noise);
}

/* What is known of a signal, as attributes of its group: the reader's side of struct ep_desc. */
void ep_h5w_describe(struct ep_h5w *h, hid_t g, const struct ep_desc *d, const char *group_name)
{
    ep_h5w_text(h, g, "kind", ep_kind_name(d->kind));
    ep_h5w_text(h, g, "name", strcmp(d->name, group_name) ? d->name : NULL);
    ep_h5w_text(h, g, "long_name", d->long_name[0] ? d->long_name : NULL);
    ep_h5w_bool(h, g, "primary", d->primary);
    ep_h5w_num(h, g, "gain", d->gain);
    ep_h5w_num(h, g, "read_noise", d->read_noise);
    write_low_noise(h, g, &d->low);
    if (d->deconvolved)
        ep_h5w_bool(h, g, "deconvolved", true);
    ep_h5w_bool(h, g, "gain_estimated", d->gain_estimated);
    if (d->quotient)
        ep_h5w_bool(h, g, "quotient", true);
    if (d->shared)
        ep_h5w_bool(h, g, "shared", true);
    ep_h5w_text(h, g, "noise", noise_word(d->noise));
    ep_h5w_num(h, g, "noise_px", d->noise_px);
    if (d->placement_sigma > 0)
        ep_h5w_num(h, g, "placement_sigma", d->placement_sigma);
    ep_h5w_text(h, g, "frame", d->frame);
    ep_h5w_num(h, g, "shift_max", d->shift_max);
    ep_h5w_text(h, g, "signal_type", d->meta.signal_type);
    ep_h5w_text(h, g, "title", d->meta.title[0] ? d->meta.title : NULL);
    ep_h5w_num(h, g, "beam_energy_kev", d->meta.beam_energy_kev);
    ep_h5w_num(h, g, "convergence_mrad", d->meta.convergence_mrad);
    ep_h5w_num(h, g, "collection_mrad", d->meta.collection_mrad);
    ep_h5w_num(h, g, "dwell_time_s", d->meta.dwell_time_s);
    ep_h5w_num(h, g, "live_time_s", d->meta.live_time_s);
    ep_h5w_num(h, g, "exposure_s", d->meta.exposure_s);
    ep_h5w_num(h, g, "beam_current_na", d->meta.beam_current_na);
    ep_h5w_i32(h, g, "nnav", (int32_t)d->nnav);
    for (int k = 0; k < (int)d->nnav + d->spectral; k++) {
        const struct ep_axis *a = k < (int)d->nnav ? &d->nav[k] : &d->energy;
        char name[24];
        snprintf(name, sizeof name, "axis_%d_name", k);
        ep_h5w_text(h, g, name, a->name);
        snprintf(name, sizeof name, "axis_%d_unit", k);
        ep_h5w_text(h, g, name, a->unit);
        snprintf(name, sizeof name, "axis_%d_offset", k);
        ep_h5w_num(h, g, name, a->offset);
        snprintf(name, sizeof name, "axis_%d_scale", k);
        ep_h5w_num(h, g, name, a->scale);
    }
}

void ep_h5w_label_data(struct ep_h5w *h, hid_t data, const struct ep_desc *d, const char *interpretation)
{
    char label[192];
    ep_h5w_label(label, sizeof label, d->long_name[0] ? d->long_name : d->name, d->unit);
    ep_h5w_text(h, data, "units", d->unit);
    ep_h5w_text(h, data, "long_name", label);
    ep_h5w_text(h, data, "interpretation", interpretation);
}

static void write_axis_vector(struct ep_h5w *h, hid_t g, const char *name, const struct ep_axis *a, const char *title)
{
    double *v = ep_xmalloc((a->size ? a->size : 1) * sizeof *v);
    for (size_t i = 0; i < a->size; i++)
        v[i] = a->offset + (double)i * a->scale;
    hsize_t dim = a->size;
    hid_t d = ep_h5w_array(h, g, name, EP_F64, 1, &dim, (struct ep_h5w_values){.f64 = v}, true);
    free(v);
    char label[EP_NAME_LEN + 32];
    ep_h5w_label(label, sizeof label, title, a->unit);
    ep_h5w_text(h, d, "units", a->unit);
    ep_h5w_text(h, d, "long_name", label);
    ep_h5w_done(h, &d);
}

/* What makes the group a plot: signal, axes with their vectors, a title. */
void ep_h5w_nxdata(struct ep_h5w *h, hid_t group, const struct ep_desc *d)
{
    hsize_t dim[EP_MAX_AXES];
    const struct ep_axis *axis[EP_MAX_AXES];
    char names[EP_MAX_AXES][EP_NAME_LEN];
    const char *list[EP_MAX_AXES];
    int rank = ep_h5w_shape(d, dim, axis);
    if (axis[0])
        axis_names(d, rank, names);
    for (int k = 0; k < rank; k++)
        list[k] = axis[k] ? names[k] : ".";
    ep_h5w_text(h, group, "signal", "data");
    ep_h5w_texts(h, group, "axes", list, (size_t)rank);
    for (int k = 0; k < rank && axis[k]; k++) {
        bool energy = d->spectral && k == rank - 1;
        char indices[EP_NAME_LEN + 10];
        snprintf(indices, sizeof indices, "%s_indices", names[k]);
        ep_h5w_i32(h, group, indices, k);
        const char *title = !energy ? ep_h5w_nav_name(d, (size_t)k)
                            : !strcmp(d->meta.signal_type, "EELS") ? "Energy loss" : "Energy";
        write_axis_vector(h, group, names[k], axis[k], title);
    }
    ep_h5w_text_data(h, group, "title", d->spectral && d->meta.title[0] ? d->meta.title : d->name);
}

/* The shape of what goes with each pixel: the navigation axes, then `more` numbers (0: one). */
static int pixel_shape(const struct ep_desc *d, size_t more, hsize_t dim[EP_MAX_NAV + 1])
{
    int rank = 0;
    for (size_t k = 0; k < d->nnav; k++)
        dim[rank++] = d->nav[k].size;
    if (more || !rank)
        dim[rank++] = more ? more : 1;
    return rank;
}

/* Outputs of a step mostly have the same flags: then all of them link to the array that was written first. */
static void write_flags(struct ep_h5w *h, hid_t group, const struct ep_desc *desc, const uint32_t *flags)
{
    struct ep_h5w_flags *first = &h->flags;
    hsize_t dim[EP_MAX_NAV + 1] = {0};
    int rank = pixel_shape(desc, 0, dim);
    size_t n = 1;
    for (int k = 0; k < rank; k++) n *= (size_t)dim[k];
    XXH128_hash_t hash = XXH3_128bits(flags, n * sizeof *flags);
    if (first->path[0] && first->rank == rank && memcmp(first->dim, dim, sizeof dim) == 0 && XXH128_isEqual(first->hash, hash)) {
        if (h->status == EP_OK)
            ep_h5w_ok(h, H5Lcreate_hard(group, first->path, group, "flags", H5P_DEFAULT, H5P_DEFAULT), "flags");
        return;
    }
    uint32_t masks[EP_NFLAGS];
    struct ep_str words = {0};
    for (size_t i = 0; i < EP_NFLAGS; i++) {
        masks[i] = ep_flag_infos[i].bit;
        ep_str_addf(&words, "%s%s", i ? " " : "", ep_flag_infos[i].word);
    }
    hid_t d = ep_h5w_array(h, group, "flags", EP_U32, rank, dim, (struct ep_h5w_values){.u32 = flags}, true);
    ep_h5w_u32s(h, d, "flag_masks", masks, EP_NFLAGS);
    ep_h5w_text(h, d, "flag_meanings", words.s);
    ssize_t len = h->status == EP_OK && !first->path[0] ? H5Iget_name(d, first->path, sizeof first->path) : 0;
    if (len >= (ssize_t)sizeof first->path) first->path[0] = 0;
    if (len > 0) {
        first->hash = hash;
        first->rank = rank;
        memcpy(first->dim, dim, sizeof dim);
    }
    ep_h5w_done(h, &d);
    ep_str_free(&words);
}

static void write_pixel_numbers(struct ep_h5w *h, hid_t g, const struct ep_desc *desc, const char *name,
                                const char *unit, const double *v, size_t each)
{
    hsize_t dim[EP_MAX_NAV + 1];
    int rank = pixel_shape(desc, each, dim);
    /* Fitted doubles do not shrink. */
    hid_t d = ep_h5w_array(h, g, name, EP_F64, rank, dim, (struct ep_h5w_values){.f64 = v}, false);
    ep_h5w_text(h, d, "units", unit);
    ep_h5w_done(h, &d);
}

static void write_covariance(struct ep_h5w *h, hid_t group, const struct ep_desc *desc, const struct ep_model *m,
                             const double *theta, const double *cmat)
{
    static const char *const forms[] = {
        [EP_MODEL_POWER] = "power", [EP_MODEL_EXPONENTIAL] = "exponential", [EP_MODEL_TWO_POWERS] = "two_powers",
        [EP_MODEL_COUNTS] = "counts"};
    static const char *const methods[] = {
        [EP_FIT_ML] = "ml", [EP_FIT_TWO_AREA] = "two_area", [EP_FIT_LOG_LS] = "log_ls", [EP_FIT_WLS] = "wls",
        [EP_FIT_ML_AVERAGED] = "ml_averaged"};
    hid_t g = ep_h5w_group(h, group, "covariance", "NXcollection");
    ep_h5w_text(h, g, "form", forms[m->form]);
    ep_h5w_text(h, g, "method", methods[m->method]);
    if (m->nwindow)
        ep_h5w_nums(h, g, "windows", &m->window[0][0], m->nwindow, 2);
    ep_h5w_num(h, g, "e_ref", m->e_ref);
    ep_h5w_nums(h, g, "r", m->r, 2, 0);
    ep_h5w_nums(h, g, "mean_theta", m->mean_theta, 2, 0);
    ep_h5w_num(h, g, "own_weight", m->own_weight);
    ep_h5w_num(h, g, "gain", m->gain);
    ep_h5w_num(h, g, "read_noise", m->read_noise);
    write_low_noise(h, g, &m->low);
    if (m->transfer.group) {
        ep_h5w_i64(h, g, "transfer_group", (int64_t)m->transfer.group);
        ep_h5w_i64(h, g, "transfer_zlp_end", (int64_t)m->transfer.zlp_end);
        ep_h5w_nums(h, g, "transfer", m->transfer.k, EP_TRANSFER, 0);
        ep_h5w_nums(h, g, "transfer_zlp", m->transfer.zlp, EP_TRANSFER, 0);
        ep_h5w_nums(h, g, "transfer_variance", m->transfer.var, EP_TRANSFER, 0);
    }
    ep_h5w_text(h, g, "axis_name", m->axis.name);
    ep_h5w_text(h, g, "axis_unit", m->axis.unit);
    ep_h5w_num(h, g, "axis_offset", m->axis.offset);
    ep_h5w_num(h, g, "axis_scale", m->axis.scale);
    ep_h5w_i64(h, g, "axis_size", (int64_t)m->axis.size);
    ep_h5w_i64(h, g, "bin", (int64_t)m->bin);
    ep_h5w_i64(h, g, "first", (int64_t)m->first);
    write_pixel_numbers(h, g, desc, "theta", NULL, theta, EP_NTHETA);
    write_pixel_numbers(h, g, desc, "cmat", NULL, cmat, EP_NCMAT);
    ep_h5w_done(h, &g);
}

/* What each pixel carries beside its values. */
void ep_h5w_carried(struct ep_h5w *h, hid_t group, const struct ep_desc *desc, const struct ep_model *model,
                    const double *theta, const double *cmat, const double *shift, const uint32_t *flags)
{
    if (flags)
        write_flags(h, group, desc, flags);
    if (shift)
        write_pixel_numbers(h, group, desc, "shift", "eV", shift, 0);
    if (model && theta && cmat)
        write_covariance(h, group, desc, model, theta, cmat);
}

