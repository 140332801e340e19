/* What the axes of an array mean: the same rules for HyperSpy's files and for NXdata. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pipeline/io/file_private.h"

enum { MOST_CHANNELS = 1 << 24 }; /* detectors have thousands; what is beyond is a slip or damage, and would take all memory */

static bool has_dim(const struct ep_raw_axis *ax, enum ep_dim dim)
{
    enum ep_dim d;
    double f;
    return ax->a.unit[0] && ep_unit_lookup(ax->a.unit, &d, &f) && d == dim;
}

static bool spectroscopic(const struct ep_item *it)
{
    return !strncmp(it->d.meta.signal_type, "EELS", 4) || !strncmp(it->d.meta.signal_type, "EDS", 3);
}

/* Sets navigation axes in the order of the array; the rest is energy. */
static bool settle(struct ep_item *it, const struct ep_raw_axis *ax, enum ep_kind kind, int energy, char *why, size_t cap)
{
    struct ep_desc *d = &it->d;
    size_t nav = 0;
    if (it->rank - (energy >= 0) > EP_MAX_NAV) {
        snprintf(why, cap, "has %d navigation axes; at most %d are supported", it->rank - (energy >= 0), EP_MAX_NAV);
        return false;
    }
    for (int k = 0; k < it->rank; k++) {
        it->role[k] = k == energy ? EP_ROLE_ENERGY : (int)nav;
        if (k == energy) d->energy = ax[k].a;
        else d->nav[nav++] = ax[k].a;
    }
    d->nnav = nav;
    d->spectral = energy >= 0;
    d->kind = kind;
    if (energy >= 0 && !ax[energy].has_scale) {
        snprintf(why, cap, "its energy axis '%s' has no scale; calibrate it in HyperSpy (s.axes_manager[-1].scale)", ax[energy].a.name);
        return false;
    }
    if (energy >= 0 && it->dim[energy] > MOST_CHANNELS) {
        snprintf(why, cap, "its energy axis '%s' has %zu channels; at most %d are supported", ax[energy].a.name, it->dim[energy], MOST_CHANNELS);
        return false;
    }
    return true;
}

static bool settle_spectral(struct ep_item *it, const struct ep_raw_axis *ax, int energy, char *why, size_t cap)
{
    return settle(it, ax, it->rank == 1 ? EP_SPECTRUM : EP_IMAGE, energy, why, cap);
}

/* One signal axis and no energy unit anywhere. */
static bool settle_one_signal_axis(struct ep_item *it, const struct ep_raw_axis *ax, int k, char *why, size_t cap)
{
    if (it->rank == 1 && (has_dim(&ax[k], EP_DIM_LENGTH) || !spectroscopic(it))) return settle(it, ax, EP_PROFILE, -1, why, cap);
    if (!ax[k].a.unit[0]) return settle_spectral(it, ax, k, why, cap);
    snprintf(why, cap, "its signal axis '%s' is in '%s', which is not an energy; set the axis's units to eV or keV", ax[k].a.name,
             ax[k].a.unit);
    return false;
}

bool ep_item_classify(struct ep_item *it, const struct ep_raw_axis *ax, enum ep_layout_hint hint, char *why, size_t cap)
{
    int r = it->rank, nenergy = 0, nsignal = 0, energy = -1, signal = -1;
    bool flags = true, sig[EP_MAX_AXES] = {false};

    for (int k = 0; k < r; k++) {
        flags = flags && ax[k].has_navigate;
        if (has_dim(&ax[k], EP_DIM_ENERGY)) nenergy++, energy = k;
    }
    for (int k = 0; k < r; k++) {
        if (flags) sig[k] = !ax[k].navigate;
        else if (hint == EP_HINT_SPECTRUM) sig[k] = k == r - 1;
        else if (hint == EP_HINT_IMAGE) sig[k] = k >= r - 2;
        else sig[k] = nenergy ? k == energy : r == 1;
        if (sig[k]) nsignal++, signal = k;
    }
    if (nenergy == 1) {
        /* The unit says what the flag may not: stacks of energy slices have their energy as a navigation axis. But if the one
         * signal axis has no unit that speaks against it, the flag may well be right. */
        if (nsignal == 1 && signal != energy && !has_dim(&ax[signal], EP_DIM_LENGTH)) {
            snprintf(why, cap, "axis '%s' is in %s but axis '%s' is marked as the signal axis; set the units of both, or "
                     "transpose it in HyperSpy", ax[energy].a.name, ax[energy].a.unit, ax[signal].a.name);
            return false;
        }
        return settle_spectral(it, ax, energy, why, cap);
    }
    if (nenergy > 1) {
        if (flags && nsignal == 1 && has_dim(&ax[signal], EP_DIM_ENERGY)) return settle_spectral(it, ax, signal, why, cap);
        snprintf(why, cap, "%d of its axes are energies and it does not say which is the spectral one; mark one as the signal axis in HyperSpy", nenergy);
        return false;
    }
    if (nsignal == 1) return settle_one_signal_axis(it, ax, signal, why, cap);
    if (nsignal == 2) return settle(it, ax, EP_MAP, -1, why, cap);
    if (nsignal == 0 && flags) return settle(it, ax, r == 1 ? EP_PROFILE : EP_MAP, -1, why, cap);
    if (nsignal == 0) {
        bool lengths = true; /* NXdata without a word on its meaning, all in nm: a map */
        for (int k = 0; k < r; k++) lengths = lengths && has_dim(&ax[k], EP_DIM_LENGTH);
        if (lengths) return settle(it, ax, EP_MAP, -1, why, cap);
        snprintf(why, cap, "nothing tells which of its axes is the energy; set the unit of one to eV or keV");
        return false;
    }
    snprintf(why, cap, "%d of its axes are marked as signal axes; spectra have one, maps two", nsignal);
    return false;
}

bool ep_axis_from_vector(struct ep_axis *a, const double *v, size_t n)
{
    a->size = n;
    a->offset = v[0];
    if (n == 1) return a->scale = 1, isfinite(v[0]);
    a->scale = (v[n - 1] - v[0]) / (double)(n - 1);
    if (!isfinite(a->offset) || !isfinite(a->scale) || a->scale == 0) return false;
    /* Vectors are often float32: allow their rounding at the larger end, and a thousandth of a step. */
    double big = fmax(fabs(v[0]), fabs(v[n - 1])), tol = fmin(1e-3 * fabs(a->scale) + 2e-7 * big, 0.05 * fabs(a->scale));
    for (size_t i = 0; i < n; i++)
        if (!(fabs(v[i] - (a->offset + (double)i * a->scale)) <= tol)) return false;
    return true;
}

bool ep_axis_vector(hid_t group, const char *name, size_t n, double **v)
{
    *v = NULL;
    EP_AUTO_HID d = ep_h5_dataset(group, name);
    size_t dim, total;
    int rank;
    if (d < 0 || !ep_h5_dims(d, 1, &rank, &dim, &total) || dim != n) return false;
    double *x = calloc(n, sizeof *x);
    if (x && ep_h5_data_read(group, name, H5T_NATIVE_DOUBLE, n, x) == EP_H5_OK) {
        *v = x;
        return true;
    }
    free(x);
    return false;
}
