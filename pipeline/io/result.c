/* Result files: the /entry side of the layout, the order of things, the end under the final name. */
#include "pipeline/io/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/io/h5util.h"
#include "pipeline/io/h5write.h"
#include "pipeline/io/safe_write.h"

#define LAYOUT 1

struct object {
    struct ep_desc d;
    char name[EP_NAME_LEN];     /* of its group in /entry */
    bool has_sigma, has_flags;
    bool packed;
    hid_t group;                /* open while an image streams */
    struct ep_h5_image *image;  /* likewise */
};

struct ep_writer {
    struct ep_temp temp;
    struct ep_h5w h;
    hid_t file, entry;
    struct ep_arena texts;
    struct ep_record rec;       /* copies */
    struct object *obj;
    size_t n, cap;
};

/* ---- Open ----------------------------------------------------------------------------------------------- */

static const char *keep(struct ep_writer *w, const char *text)
{
    return ep_arena_strdup(&w->texts, text ? text : "");
}

static struct ep_record copy_record(struct ep_writer *w, const struct ep_record *r)
{
    return (struct ep_record){
        .step = keep(w, r->step), .stage = keep(w, r->stage), .stage_version = r->stage_version,
        .version = keep(w, r->version), .fingerprint = keep(w, r->fingerprint),
        .parameters = keep(w, r->parameters), .chain = keep(w, r->chain), .inputs = keep(w, r->inputs),
        .elements = keep(w, r->elements),
    };
}

/* V18: checksummed headers, creation order, no consistency flag. The file is ours alone until it is renamed: no HDF5
 * locks, which some network file systems refuse. SEMI makes a forgotten identifier an error of the close. */
static hid_t create_file(struct ep_writer *w)
{
    EP_AUTO_HID fapl = H5Pcreate(H5P_FILE_ACCESS);
    EP_AUTO_HID fcpl = H5Pcreate(H5P_FILE_CREATE);
    bool ready = fapl >= 0 && fcpl >= 0 && H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0
                 && H5Pset_fclose_degree(fapl, H5F_CLOSE_SEMI) >= 0 && H5Pset_file_locking(fapl, false, true) >= 0
                 && H5Pset_obj_track_times(fcpl, 0) >= 0 && H5Pset_attr_phase_change(fcpl, 128, 96) >= 0;
    hid_t f = ready ? H5Fcreate(w->temp.tmp, H5F_ACC_TRUNC, fcpl, fapl) : H5I_INVALID_HID;
    ep_h5w_ok(&w->h, f, "creating the file");
    return f;
}

static void write_process(struct ep_writer *w)
{
    struct ep_h5w *h = &w->h;
    hid_t g = ep_h5w_group(h, w->entry, "eelpipe", "NXprocess");
    ep_h5w_text(h, g, "program", "eelpipe");
    ep_h5w_text(h, g, "version", w->rec.version);
    ep_h5w_text(h, g, "step", w->rec.step);
    ep_h5w_text(h, g, "stage", w->rec.stage);
    ep_h5w_i32(h, g, "stage_version", w->rec.stage_version);
    ep_h5w_text(h, g, "fingerprint", w->rec.fingerprint);
    ep_h5w_text(h, g, "elements", w->rec.elements[0] ? w->rec.elements : NULL);
    ep_h5w_text_data(h, g, "parameters", w->rec.parameters);
    ep_h5w_text_data(h, g, "chain", w->rec.chain);
    ep_h5w_text_data(h, g, "inputs", w->rec.inputs);
    ep_h5w_done(h, &g);
}

static void write_root(struct ep_writer *w)
{
    struct ep_h5w *h = &w->h;
    ep_h5w_text(h, w->file, "NX_class", "NXroot");
    ep_h5w_text(h, w->file, "default", "entry");
    ep_h5w_text(h, w->file, "file_format", "HyperSpy");
    ep_h5w_text(h, w->file, "file_format_version", "3.1");
    ep_h5w_text(h, w->file, "creator", "eelpipe");
    ep_h5w_text(h, w->file, "creator_version", w->rec.version);
    ep_h5w_i32(h, w->file, "eelpipe_layout", LAYOUT);
    w->entry = ep_h5w_group(h, w->file, "entry", "NXentry");
    ep_h5w_text_data(h, w->entry, "title", w->rec.step);
    write_process(w);
}

ep_status ep_writer_open(const char *path, const struct ep_record *rec, struct ep_writer **out, struct ep_err *e)
{
    *out = NULL;
    struct ep_writer *w = ep_xcalloc(1, sizeof *w);
    w->file = w->entry = H5I_INVALID_HID;
    ep_status st = ep_temp_open(path, &w->temp, e);
    if (st != EP_OK) {
        free(w);
        return st;
    }
    w->rec = copy_record(w, rec);
    if (ep_h5w_open(&w->h, w->temp.path, e) == EP_OK) {
        w->file = create_file(w);
        write_root(w);
    }
    if (w->h.status != EP_OK) {
        st = w->h.status;
        ep_writer_abort(w);
        return st;
    }
    *out = w;
    return EP_OK;
}

/* Every call of the interface begins here: the error of this call, and none after one that failed. */
static bool usable(struct ep_writer *w, struct ep_err *e)
{
    w->h.err = e;
    if (w->h.status != EP_OK)
        ep_fail(e, w->h.status, "can't write %s: an earlier write to it failed", w->temp.path);
    return w->h.status == EP_OK;
}

static ep_status refuse(struct ep_writer *w, const char *name, const char *why)
{
    return w->h.status = ep_fail(w->h.err, EP_E_COMPUTE, "writing %s: signal '%s': %s", w->temp.path, name, why);
}

/* ---- Objects -------------------------------------------------------------------------------------------- */

/* The group of a new object: two outputs whose names differ only in what NeXus does not allow get different ones. */
static bool choose_name(struct ep_writer *w, const char *wanted, char name[EP_NAME_LEN])
{
    ep_h5w_safe_name(name, wanted, "signal");
    bool taken = true;
    for (int tries = 0; taken && tries < 1000; tries++) {
        taken = !strcmp(name, "title") || !strcmp(name, "eelpipe");
        for (size_t i = 0; i < w->n; i++) {
            if (!strcmp(w->obj[i].d.name, wanted))
                return false;
            taken = taken || !strcmp(w->obj[i].name, name);
        }
        if (taken)
            ep_h5w_next_name(name);
    }
    return !taken;
}

/* A new object with its group, described; NULL when something failed. */
static struct object *begin(struct ep_writer *w, const struct ep_desc *d)
{
    char name[EP_NAME_LEN];
    if (!choose_name(w, d->name, name)) {
        refuse(w, d->name, "another signal of the file has this name");
        return NULL;
    }
    if (d->nnav > EP_MAX_NAV) {
        refuse(w, d->name, "too many axes");
        return NULL;
    }
    EP_PUSH(w->obj, w->n, w->cap);
    struct object *o = &w->obj[w->n - 1];
    o->d = *d;
    memcpy(o->name, name, sizeof name);
    o->group = ep_h5w_group(&w->h, w->entry, o->name, "NXdata");
    ep_h5w_describe(&w->h, o->group, d, o->name);
    return w->h.status == EP_OK ? o : NULL;
}

/* ---- Images --------------------------------------------------------------------------------------------- */

/* Integers (imported counts) are packed. The chunks of packed images take their places as they are written: of two
 * that stream at once, only the first is. */
static bool may_pack(const struct ep_writer *w, const struct ep_desc *d)
{
    if (d->dtype == EP_F32 || d->dtype == EP_F64)
        return false;
    for (size_t i = 0; i < w->n; i++)
        if (w->obj[i].image && w->obj[i].packed)
            return false;
    return true;
}

static struct object *image_begin(struct ep_writer *w, const struct ep_desc *d)
{
    if (!d->spectral || d->energy.size == 0 || ep_desc_ny(d) == 0 || ep_desc_nx(d) == 0) {
        refuse(w, d->name, "an image without pixels or channels");
        return NULL;
    }
    struct object *o = begin(w, d);
    if (!o)
        return NULL;
    o->packed = may_pack(w, d);
    o->image = ep_h5_image_new(&w->h, o->group, "data", d, o->packed);
    ep_h5w_label_data(&w->h, ep_h5_image_dataset(o->image), d, "spectrum");
    ep_h5w_nxdata(&w->h, o->group, &o->d);
    return o;
}

ep_status ep_writer_image_begin(struct ep_writer *w, const struct ep_desc *d, size_t *handle, struct ep_err *e)
{
    *handle = 0;
    if (!usable(w, e))
        return w->h.status;
    if (image_begin(w, d))
        *handle = w->n - 1;
    return w->h.status;
}

static struct object *open_image(struct ep_writer *w, size_t handle)
{
    if (handle < w->n && w->obj[handle].image)
        return &w->obj[handle];
    refuse(w, "?", "no such image is open");
    return NULL;
}

ep_status ep_writer_image_area(struct ep_writer *w, size_t handle, struct ep_area a, const float *val, struct ep_err *e)
{
    if (!usable(w, e))
        return w->h.status;
    struct object *o = open_image(w, handle);
    if (o)
        ep_h5_image_area(&w->h, o->image, a, (struct ep_h5w_values){.f32 = val});
    return w->h.status;
}

static void image_end(struct ep_h5w *h, struct object *o)
{
    ep_h5_image_end(h, o->image, o->group);
    o->image = NULL;
}

ep_status ep_writer_image_end(struct ep_writer *w, size_t handle, const struct ep_model *model, const double *theta,
                              const double *cmat, const double *shift, const uint32_t *flag, struct ep_err *e)
{
    if (!usable(w, e))
        return w->h.status;
    struct object *o = open_image(w, handle);
    if (!o)
        return w->h.status;
    image_end(&w->h, o);
    ep_h5w_carried(&w->h, o->group, &o->d, model, theta, cmat, shift, flag);
    o->has_flags = flag != NULL;
    ep_h5w_done(&w->h, &o->group);
    return w->h.status;
}

/* ---- Whole signals -------------------------------------------------------------------------------------- */

static void put_image_errors(struct ep_h5w *h, struct object *o, struct ep_h5w_values sigma)
{
    struct ep_desc d = o->d;
    d.dtype = sigma.f32 || d.dtype == EP_F32 ? EP_F32 : EP_F64;
    struct ep_h5_image *m = ep_h5_image_new(h, o->group, "data_errors", &d, false);
    ep_h5w_text(h, ep_h5_image_dataset(m), "units", d.unit);
    if (m)
        ep_h5_image_area(h, m, (struct ep_area){0, 0, ep_desc_ny(&d), ep_desc_nx(&d)}, sigma);
    ep_h5_image_end(h, m, H5I_INVALID_HID);
    o->has_sigma = true;
}

static void put_image(struct ep_writer *w, const struct ep_signal *s)
{
    struct object *o = image_begin(w, &s->d);
    if (!o)
        return;
    struct ep_h5w *h = &w->h;
    struct ep_area all = {0, 0, ep_desc_ny(&s->d), ep_desc_nx(&s->d)};
    if (o->image)
        ep_h5_image_area(h, o->image, all, (struct ep_h5w_values){.f32 = s->f32, .f64 = s->f64});
    image_end(h, o);
    if (s->sigma32 || s->sigma64)
        put_image_errors(h, o, (struct ep_h5w_values){.f32 = s->sigma32, .f64 = s->sigma64});
    ep_h5w_carried(h, o->group, &o->d, s->model, s->theta, s->cmat, s->shift, s->flags);
    o->has_flags = s->flags != NULL;
    ep_h5w_done(h, &o->group);
}

/* Splitting pixels between the bins of a profile correlates them: covariance of bin i with bin i + 1 + k. */
static void put_band(struct ep_h5w *h, struct object *o, const struct ep_signal *s)
{
    char unit[80];
    const hsize_t dim[2] = {s->n, s->nband};
    hid_t d = ep_h5w_array(h, o->group, "data_band", EP_F64, 2, dim, (struct ep_h5w_values){.f64 = s->band}, true);
    snprintf(unit, sizeof unit, "(%s)^2", s->d.unit);
    ep_h5w_text(h, d, "units", s->d.unit[0] ? unit : "");
    ep_h5w_text(h, d, "long_name", "Covariance with the following bins");
    ep_h5w_done(h, &d);
    ep_h5w_i32(h, o->group, "band", (int32_t)s->nband);
}

/* Maps, profiles, spectra. */
static void put_array(struct ep_writer *w, const struct ep_signal *s)
{
    struct object *o = begin(w, &s->d);
    if (!o)
        return;
    struct ep_h5w *h = &w->h;
    hsize_t dim[EP_MAX_AXES];
    const struct ep_axis *axis[EP_MAX_AXES];
    int rank = ep_h5w_shape(&s->d, dim, axis);
    struct ep_h5w_values v = {.f32 = s->f32, .f64 = s->f64}, sigma = {.f32 = s->sigma32, .f64 = s->sigma64};
    hid_t d = ep_h5w_array(h, o->group, "data", s->d.dtype, rank, dim, v, true);
    ep_h5w_label_data(h, d, &s->d, rank >= 2 ? "image" : "spectrum");
    ep_h5w_done(h, &d);
    if (sigma.f32 || sigma.f64) {
        enum ep_dtype t = sigma.f32 || s->d.dtype == EP_F32 ? EP_F32 : EP_F64;
        d = ep_h5w_array(h, o->group, "data_errors", t, rank, dim, sigma, true);
        ep_h5w_text(h, d, "units", s->d.unit);
        ep_h5w_done(h, &d);
        o->has_sigma = true;
    }
    if (s->nband && s->d.kind == EP_PROFILE)
        put_band(h, o, s);
    ep_h5w_carried(h, o->group, &o->d, s->model, s->theta, s->cmat, s->shift, s->flags);
    o->has_flags = s->flags != NULL;
    ep_h5w_nxdata(h, o->group, &o->d);
    ep_h5w_done(h, &o->group);
}

static void put_curve(struct ep_writer *w, const struct ep_signal *s)
{
    struct object *o = begin(w, &s->d);
    if (!o)
        return;
    struct ep_h5w *h = &w->h;
    static const char *const no_axes[] = {".", "."};
    const hsize_t dim[2] = {s->n, EP_CURVE_COLS};
    hid_t d = ep_h5w_array(h, o->group, "data", EP_F64, 2, dim, (struct ep_h5w_values){.f64 = s->points}, true);
    ep_h5w_label_data(h, d, &s->d, NULL);
    ep_h5w_done(h, &d);
    ep_h5w_text(h, o->group, "columns", "y x normal_y normal_x sigma");
    ep_h5w_text(h, o->group, "signal", "data");
    ep_h5w_texts(h, o->group, "axes", no_axes, 2);
    ep_h5w_text_data(h, o->group, "title", s->d.name);
    ep_h5w_done(h, &o->group);
}

ep_status ep_writer_put(struct ep_writer *w, const struct ep_signal *s, struct ep_err *e)
{
    if (!usable(w, e))
        return w->h.status;
    switch (s->d.kind) {
    case EP_IMAGE: put_image(w, s); break;
    case EP_CURVE: put_curve(w, s); break;
    case EP_TABLE: {
        struct object *o = begin(w, &s->d);
        if (o) {
            ep_h5w_table(&w->h, o->group, s);
            ep_h5w_done(&w->h, &o->group);
        }
        break;
    }
    case EP_MAP:
    case EP_PROFILE:
    case EP_SPECTRUM: put_array(w, s); break;
    case EP_FILE: refuse(w, s->d.name, "a file stands beside a result, not in it"); break;
    }
    return w->h.status;
}

/* ---- The end -------------------------------------------------------------------------------------------- */

/* What viewers open on: the primary signal, else the first that is a picture, else the first. */
static const struct object *default_object(const struct ep_writer *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->obj[i].d.primary)
            return &w->obj[i];
    for (size_t i = 0; i < w->n; i++)
        if (!(w->obj[i].d.kind & (EP_TABLE | EP_CURVE)))
            return &w->obj[i];
    return w->n ? &w->obj[0] : NULL;
}

/* Tables and curves have no counterpart in HyperSpy. */
static void write_hspy(struct ep_writer *w)
{
    struct ep_h5_view *view = ep_xcalloc(w->n + 1, sizeof *view);
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct object *o = &w->obj[i];
        if (!(o->d.kind & (EP_TABLE | EP_CURVE)))
            view[n++] = (struct ep_h5_view){&o->d, o->name, o->has_sigma, o->has_flags};
    }
    ep_h5w_hspy(&w->h, w->file, &w->rec, view, n);
    free(view);
}

static void writer_free(struct ep_writer *w)
{
    ep_h5w_close(&w->h);
    ep_arena_free(&w->texts);
    free(w->obj);
    free(w);
}

ep_status ep_writer_commit(struct ep_writer *w, struct ep_err *e)
{
    ep_status st = EP_OK;
    if (usable(w, e))
        for (size_t i = 0; i < w->n; i++)
            if (w->obj[i].image) {
                refuse(w, w->obj[i].d.name, "the image was not ended");
                break;
            }
    const struct object *first = default_object(w);
    if (first)
        ep_h5w_text(&w->h, w->entry, "default", first->name);
    if (w->h.status == EP_OK)
        write_hspy(w);
    ep_h5w_done(&w->h, &w->entry);
    if (w->h.status == EP_OK)
        ep_h5w_ok(&w->h, H5Fflush(w->file, H5F_SCOPE_LOCAL), "flushing");
    if (w->h.status == EP_OK)
        ep_h5w_done(&w->h, &w->file);
    st = w->h.status;
    if (st != EP_OK) {
        ep_writer_abort(w);
        return st;
    }
    st = ep_temp_commit(&w->temp, e);
    writer_free(w);
    return st;
}

/* After a failed write HDF5 can't close what is open: its identifiers stay behind until the process ends (main leaves
 * by _exit). Closing is tried all the same, in the order that HDF5 wants. */
void ep_writer_abort(struct ep_writer *w)
{
    if (!w)
        return;
    struct ep_err ignored = {0};
    w->h.err = &ignored;
    if (w->h.status == EP_OK)
        w->h.status = EP_E_STOPPED;
    for (size_t i = 0; i < w->n; i++) {
        image_end(&w->h, &w->obj[i]);
        ep_h5w_done(&w->h, &w->obj[i].group);
    }
    ep_h5w_done(&w->h, &w->entry);
    ep_h5w_done(&w->h, &w->file);
    ep_temp_abort(&w->temp);
    writer_free(w);
}
