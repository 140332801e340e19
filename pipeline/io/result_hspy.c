/* /Experiments: the same arrays, by hard links, as HyperSpy 1.7 and 2 expect them (docs: the file layout). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5util.h"
#include "pipeline/io/h5write.h"
#include "pipeline/io/result.h"

/* One signal of the view. */
struct experiment {
    const struct ep_desc *d;
    const char *source, *array; /* group in /entry, dataset in it */
    char name[2 * EP_NAME_LEN], title[192], quantity[192];
    bool spectrum;              /* the values are counts over energy: HyperSpy's EELS and EDS classes */
};

static const char *energy_name(const struct ep_desc *d)
{
    if (!strcmp(d->meta.signal_type, "EELS"))
        return "Energy loss";
    if (!strncmp(d->meta.signal_type, "EDS", 3))
        return "Energy";
    return d->energy.name[0] ? d->energy.name : "Energy";
}

/* axis may be NULL: the one value of a signal without axes. */
static void write_axis(struct ep_h5w *h, hid_t exp, int k, const struct ep_axis *axis, size_t size, const char *name,
                       bool navigate, bool binned)
{
    char group[16];
    snprintf(group, sizeof group, "axis-%d", k);
    hid_t g = ep_h5w_group(h, exp, group, NULL);
    ep_h5w_text(h, g, "_type", "UniformDataAxis");
    ep_h5w_text(h, g, "name", name);
    ep_h5w_text(h, g, "units", axis && axis->unit[0] ? axis->unit : NULL);
    ep_h5w_num(h, g, "scale", axis ? axis->scale : 1);
    ep_h5w_num(h, g, "offset", axis ? axis->offset : 0);
    ep_h5w_i64(h, g, "size", (int64_t)size);
    ep_h5w_bool(h, g, "navigate", navigate);
    ep_h5w_bool(h, g, "is_binned", binned);
    ep_h5w_done(h, &g);
}

/* Spectra: energy is the signal axis. Maps: the last two axes are; profiles: their one axis is. */
static void write_axes(struct ep_h5w *h, hid_t exp, const struct ep_desc *d)
{
    hsize_t dim[EP_MAX_AXES];
    const struct ep_axis *axis[EP_MAX_AXES];
    int rank = ep_h5w_shape(d, dim, axis), first_signal = d->spectral ? rank - 1 : rank > 2 ? rank - 2 : 0;
    for (int k = 0; k < rank; k++) {
        bool energy = d->spectral && k == rank - 1;
        const char *name = energy ? energy_name(d) : axis[k] ? ep_h5w_nav_name(d, (size_t)k) : "value";
        write_axis(h, exp, k, axis[k], (size_t)dim[k], name, k < first_signal, energy);
    }
}

static void write_instrument(struct ep_h5w *h, hid_t metadata, const struct ep_meta *m)
{
    bool eds = !strncmp(m->signal_type, "EDS", 3);
    bool detector = !isnan(m->collection_mrad) || !isnan(m->dwell_time_s) || !isnan(m->exposure_s) || !isnan(m->live_time_s);
    if (isnan(m->beam_energy_kev) && isnan(m->convergence_mrad) && isnan(m->beam_current_na) && !detector)
        return;
    hid_t instrument = ep_h5w_group(h, metadata, "Acquisition_instrument", NULL);
    hid_t tem = ep_h5w_group(h, instrument, "TEM", NULL);
    ep_h5w_num(h, tem, "beam_energy", m->beam_energy_kev);
    ep_h5w_num(h, tem, "convergence_angle", m->convergence_mrad);
    ep_h5w_num(h, tem, "beam_current", m->beam_current_na);
    if (detector) {
        hid_t detectors = ep_h5w_group(h, tem, "Detector", NULL);
        hid_t g = ep_h5w_group(h, detectors, eds ? "EDS" : "EELS", NULL);
        ep_h5w_num(h, g, "collection_angle", m->collection_mrad);
        ep_h5w_num(h, g, "dwell_time", m->dwell_time_s);
        ep_h5w_num(h, g, "exposure", m->exposure_s);
        ep_h5w_num(h, g, "live_time", m->live_time_s);
        ep_h5w_done(h, &g);
        ep_h5w_done(h, &detectors);
    }
    ep_h5w_done(h, &tem);
    ep_h5w_done(h, &instrument);
}

/* "Li O Ti" as HyperSpy's list. */
static void write_elements(struct ep_h5w *h, hid_t metadata, const char *elements)
{
    char *copy = ep_xstrdup(elements ? elements : "");
    const char *list[128];
    size_t n = 0;
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ,", &rest); word && n < 128; word = strtok_r(NULL, " ,", &rest))
        list[n++] = word;
    if (n > 0) {
        hid_t sample = ep_h5w_group(h, metadata, "Sample", NULL);
        hid_t d = ep_h5w_texts_data(h, sample, "_list_elements", list, n);
        ep_h5w_done(h, &d);
        ep_h5w_done(h, &sample);
    }
    free(copy);
}

static void write_metadata(struct ep_h5w *h, hid_t exp, const struct experiment *x, const struct ep_record *rec)
{
    hid_t metadata = ep_h5w_group(h, exp, "metadata", NULL);
    hid_t general = ep_h5w_group(h, metadata, "General", NULL);
    ep_h5w_text(h, general, "title", x->title);
    ep_h5w_done(h, &general);
    hid_t signal = ep_h5w_group(h, metadata, "Signal", NULL);
    /* HyperSpy looks the class up by this: a map of type EELS does not exist. */
    ep_h5w_text(h, signal, "signal_type", x->spectrum ? x->d->meta.signal_type : "");
    ep_h5w_text(h, signal, "quantity", x->quantity);
    ep_h5w_done(h, &signal);
    write_instrument(h, metadata, &x->d->meta);
    write_elements(h, metadata, rec->elements);
    ep_h5w_done(h, &metadata);

    char entry[2 * EP_NAME_LEN];
    snprintf(entry, sizeof entry, "/entry/%s", x->source);
    hid_t original = ep_h5w_group(h, exp, "original_metadata", NULL);
    hid_t own = ep_h5w_group(h, original, "eelpipe", NULL);
    ep_h5w_text(h, own, "entry", entry);
    ep_h5w_text(h, own, "program", "eelpipe");
    ep_h5w_text(h, own, "version", rec->version);
    ep_h5w_text(h, own, "step", rec->step);
    ep_h5w_text(h, own, "stage", rec->stage);
    ep_h5w_text(h, own, "fingerprint", rec->fingerprint);
    ep_h5w_text(h, own, "parameters", rec->parameters);
    ep_h5w_done(h, &own);
    ep_h5w_done(h, &original);
}

static void write_experiment(struct ep_h5w *h, hid_t file, hid_t all, struct experiment *x, const struct ep_record *rec)
{
    if (h->status != EP_OK)
        return;
    /* An output may be called "net_errors": the errors of "net" make way. */
    while (strlen(x->name) + 2 < sizeof x->name && H5Lexists(all, x->name, H5P_DEFAULT) > 0)
        strcat(x->name, "_");
    hid_t exp = ep_h5w_group(h, all, x->name, NULL);
    char from[3 * EP_NAME_LEN];
    snprintf(from, sizeof from, "/entry/%s/%s", x->source, x->array);
    if (h->status == EP_OK)
        ep_h5w_ok(h, H5Lcreate_hard(file, from, exp, "data", H5P_DEFAULT, H5P_DEFAULT), from);
    write_axes(h, exp, x->d);
    write_metadata(h, exp, x, rec);
    ep_h5w_done(h, &exp);
}

/* A signal of the view, its errors, its flags. Errors of spectra are no counts, flags no spectra at all. */
static void write_signal(struct ep_h5w *h, hid_t file, hid_t all, const struct ep_h5_view *v, const struct ep_record *rec)
{
    const struct ep_desc *d = v->d;
    struct experiment x = {.d = d, .source = v->name, .array = "data", .spectrum = d->spectral};
    const char *title = d->spectral && d->meta.title[0] ? d->meta.title : d->name;
    snprintf(x.name, sizeof x.name, "%s", v->name);
    snprintf(x.title, sizeof x.title, "%s", title);
    ep_h5w_label(x.quantity, sizeof x.quantity, d->long_name[0] ? d->long_name : d->name, d->unit);
    write_experiment(h, file, all, &x, rec);
    x.spectrum = false;
    if (v->has_sigma) {
        x.array = "data_errors";
        snprintf(x.name, sizeof x.name, "%s_errors", v->name);
        snprintf(x.title, sizeof x.title, "%s (standard deviation)", title);
        ep_h5w_label(x.quantity, sizeof x.quantity, "Standard deviation", d->unit);
        write_experiment(h, file, all, &x, rec);
    }
    if (v->has_flags && d->kind == EP_MAP) {
        x.array = "flags";
        snprintf(x.name, sizeof x.name, "%s_flags", v->name);
        snprintf(x.title, sizeof x.title, "%s (flags)", title);
        snprintf(x.quantity, sizeof x.quantity, "Flags");
        write_experiment(h, file, all, &x, rec);
    }
}

void ep_h5w_hspy(struct ep_h5w *h, hid_t file, const struct ep_record *rec, const struct ep_h5_view *view, size_t n)
{
    hid_t all = ep_h5w_group(h, file, "Experiments", NULL);
    for (int primary = 1; primary >= 0; primary--)
        for (size_t i = 0; i < n && h->status == EP_OK; i++)
            if (view[i].d->primary == (bool)primary)
                write_signal(h, file, all, &view[i], rec);
    ep_h5w_done(h, &all);
}
