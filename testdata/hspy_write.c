/*
 * The layout that HyperSpy 1.7 and 2 both load: file format 3.1, axes as groups of attributes,
 * `navigate` as the enum that h5py takes for a bool. No time stamps: the same data give the same
 * bytes.
 */
#include "hspy_write.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

struct dtype {
    const char *name;
    hid_t memory, little, big;
    double largest;
    size_t size;
};

static bool find_dtype(const char *text, struct dtype *found, bool *big)
{
    /* not a static table: the identifiers are variables of the HDF5 library */
    const struct dtype types[] = {
        {"f4", H5T_NATIVE_FLOAT, H5T_IEEE_F32LE, H5T_IEEE_F32BE, 16777216.0, 4},
        {"f8", H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, H5T_IEEE_F64BE, 9007199254740992.0, 8},
        {"u1", H5T_NATIVE_UINT8, H5T_STD_U8LE, H5T_STD_U8BE, 255.0, 1},
        {"i1", H5T_NATIVE_INT8, H5T_STD_I8LE, H5T_STD_I8BE, 127.0, 1},
        {"u2", H5T_NATIVE_UINT16, H5T_STD_U16LE, H5T_STD_U16BE, 65535.0, 2},
        {"i2", H5T_NATIVE_INT16, H5T_STD_I16LE, H5T_STD_I16BE, 32767.0, 2},
        {"u4", H5T_NATIVE_UINT32, H5T_STD_U32LE, H5T_STD_U32BE, 4294967295.0, 4},
        {"i4", H5T_NATIVE_INT32, H5T_STD_I32LE, H5T_STD_I32BE, 2147483647.0, 4},
    };
    *big = text[0] == '>';
    const char *name = text[0] == '>' || text[0] == '<' ? text + 1 : text;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name, types[i].name) == 0) {
            *found = types[i];
            return true;
        }
    }
    return false;
}

bool sim_dtype_known(const char *dtype)
{
    struct dtype type;
    bool big;
    return find_dtype(dtype, &type, &big);
}

double sim_dtype_largest(const char *dtype)
{
    struct dtype type;
    bool big;
    return find_dtype(dtype, &type, &big) ? type.largest : 0.0;
}

size_t sim_dtype_size(const char *dtype)
{
    struct dtype type;
    bool big;
    return find_dtype(dtype, &type, &big) ? type.size : 0;
}

#define STORE(type, convert)                                   \
    do {                                                       \
        type *to = (type *)target;                             \
        for (size_t i = 0; i < n; i++) {                       \
            to[i] = (type)convert(line[i]);                    \
        }                                                      \
    } while (0)

void sim_store(const char *dtype, const double *line, size_t n, void *target)
{
    const char *name = dtype[0] == '>' || dtype[0] == '<' ? dtype + 1 : dtype;
    int size = name[1] - '0';
    if (name[0] == 'f' && size == 4) {
        STORE(float, );
    } else if (name[0] == 'f') {
        STORE(double, );
    } else if (name[0] == 'u' && size == 1) {
        STORE(uint8_t, rint);
    } else if (name[0] == 'u' && size == 2) {
        STORE(uint16_t, rint);
    } else if (name[0] == 'u') {
        STORE(uint32_t, rint);
    } else if (size == 1) {
        STORE(int8_t, rint);
    } else if (size == 2) {
        STORE(int16_t, rint);
    } else {
        STORE(int32_t, rint);
    }
}

void sim_hdf5_start(void)
{
    /* after a failed close the library would crash in its own atexit handler */
    H5dont_atexit();
}

/* ---- attributes: each returns false on any failure ---- */

static bool write_attribute(hid_t object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute =
        space < 0 ? -1 : H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    if (attribute >= 0) {
        ok = H5Aclose(attribute) >= 0 && ok;
    }
    if (space >= 0) {
        ok = H5Sclose(space) >= 0 && ok;
    }
    return ok;
}

static bool put_text(hid_t object, const char *name, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) {
        return false;
    }
    bool ok = H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
              write_attribute(object, name, type, &value);
    return H5Tclose(type) >= 0 && ok;
}

static bool put_bool(hid_t object, const char *name, bool value)
{
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    if (type < 0) {
        return false;
    }
    signed char no = 0, yes = 1, stored = value ? 1 : 0;
    bool ok = H5Tenum_insert(type, "FALSE", &no) >= 0 && H5Tenum_insert(type, "TRUE", &yes) >= 0 &&
              write_attribute(object, name, type, &stored);
    return H5Tclose(type) >= 0 && ok;
}

static bool put_number(hid_t object, const char *name, double value)
{
    return write_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
}

static bool put_integer(hid_t object, const char *name, int64_t value)
{
    return write_attribute(object, name, H5T_NATIVE_INT64, &value);
}

/* A group without time stamps, its members in order of creation. Negative on failure. */
static hid_t new_group(hid_t parent, const char *name)
{
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    if (creation < 0) {
        return -1;
    }
    hid_t group = -1;
    if (H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0) {
        group = H5Gcreate2(parent, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    }
    H5Pclose(creation);
    return group;
}

static bool close_group(hid_t group)
{
    return group >= 0 && H5Gclose(group) >= 0;
}

static bool put_axis(hid_t experiment, int index, const char *name, const char *units,
                     double scale, double offset, size_t size, bool navigate)
{
    char group_name[16];
    snprintf(group_name, sizeof group_name, "axis-%d", index);
    hid_t group = new_group(experiment, group_name);
    if (group < 0) {
        return false;
    }
    bool ok = put_text(group, "_type", "UniformDataAxis") && put_text(group, "name", name) &&
              put_text(group, "units", units) && put_number(group, "scale", scale) &&
              put_number(group, "offset", offset) && put_integer(group, "size", (int64_t)size) &&
              put_bool(group, "navigate", navigate) && put_bool(group, "is_binned", index == 2);
    return close_group(group) && ok;
}

/* Closes in reverse order, whether all were made or not. */
static bool close_groups(const hid_t *groups, size_t n)
{
    bool ok = true;
    while (n > 0) {
        ok = close_group(groups[--n]) && ok;
    }
    return ok;
}

static bool put_eels(hid_t detector, const struct sim_image *image)
{
    hid_t eels = new_group(detector, "EELS");
    bool ok = eels >= 0 && put_number(eels, "collection_angle", image->collection_mrad);
    ok = ok && (image->dwell_s <= 0.0 || put_number(eels, "dwell_time", image->dwell_s));
    return close_group(eels) && ok;
}

static bool put_eds(hid_t tem, hid_t detector, const struct sim_image *image)
{
    hid_t stage = new_group(tem, "Stage");
    hid_t eds = stage < 0 ? -1 : new_group(detector, "EDS");
    bool ok = eds >= 0 && put_number(stage, "tilt_alpha", 0.0) &&
              put_text(eds, "detector_type", "SDD") &&
              put_number(eds, "energy_resolution_MnKa", image->mnka_ev) &&
              put_number(eds, "elevation_angle", image->elevation_degree) &&
              put_number(eds, "azimuth_angle", 45.0);
    ok = ok && (image->dwell_s <= 0.0 || (put_number(eds, "live_time", image->dwell_s) &&
                                          put_number(eds, "real_time", 1.1 * image->dwell_s)));
    ok = close_group(eds) && ok;
    return close_group(stage) && ok;
}

static bool put_metadata(hid_t experiment, const struct sim_image *image)
{
    static const char *const types[] = {"EELS", "EDS_TEM", ""};
    hid_t metadata = new_group(experiment, "metadata");
    hid_t general = metadata < 0 ? -1 : new_group(metadata, "General");
    hid_t signal = metadata < 0 ? -1 : new_group(metadata, "Signal");
    hid_t instrument = metadata < 0 ? -1 : new_group(metadata, "Acquisition_instrument");
    hid_t tem = instrument < 0 ? -1 : new_group(instrument, "TEM");
    hid_t detector = tem < 0 ? -1 : new_group(tem, "Detector");
    bool ok = general >= 0 && signal >= 0 && detector >= 0;
    ok = ok && put_text(general, "title", image->title);
    ok = ok && put_text(signal, "signal_type", types[image->kind]);
    ok = ok && put_text(signal, "quantity", "Intensity (counts)");
    ok = ok && put_number(tem, "beam_energy", image->beam_kev);
    ok = ok && put_number(tem, "convergence_angle", image->convergence_mrad);
    ok = ok && (image->current_na <= 0.0 || put_number(tem, "beam_current", image->current_na));
    ok = ok && (image->kind != SIM_KIND_EELS || put_eels(detector, image));
    ok = ok && (image->kind != SIM_KIND_EDS || put_eds(tem, detector, image));
    const hid_t groups[] = {metadata, general, signal, instrument, tem, detector};
    ok = close_groups(groups, sizeof groups / sizeof groups[0]) && ok;
    hid_t original = new_group(experiment, "original_metadata");
    hid_t simulated = original < 0 ? -1 : new_group(original, "simulate");
    ok = ok && simulated >= 0 && put_integer(simulated, "version", SIM_VERSION) &&
         put_integer(simulated, "seed", (int64_t)image->seed);
    ok = close_group(simulated) && ok;
    return close_group(original) && ok;
}

static bool put_axes(hid_t experiment, const struct sim_image *image)
{
    double nm = image->pixel_nm, ev = image->kind == SIM_KIND_EDS ? 1e3 : 1.0;
    bool navigate = image->kind != SIM_KIND_PICTURE;
    bool ok = put_axis(experiment, 0, "y", "nm", nm, image->y0_nm, image->ny, navigate) &&
              put_axis(experiment, 1, "x", "nm", nm, image->x0_nm, image->nx, navigate);
    return ok && (!navigate ||
                  put_axis(experiment, 2, ev > 1.0 ? "Energy" : "Energy loss",
                           ev > 1.0 ? "keV" : "eV", image->scale_ev / ev, image->offset_ev / ev,
                           image->nchannels, false));
}

/* ---- files ---- */

static int open_temporary(struct sim_file *file, const char *path, struct sim_err *err)
{
    *file = (struct sim_file){.file = -1, .dataset = -1, .memory_type = -1};
    if (snprintf(file->path, sizeof file->path, "%s", path) >= (int)sizeof file->path) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", path);
    }
    snprintf(file->temporary, sizeof file->temporary, "%s.tmp.%ld", path, (long)getpid());
    /* the setting is one of each thread: messages come from here, not from the library */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (creation >= 0 && access >= 0 && H5Pset_obj_track_times(creation, false) >= 0 &&
        H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0) {
        file->file = H5Fcreate(file->temporary, H5F_ACC_TRUNC, creation, access);
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    if (file->file < 0) {
        return sim_fail(err, SIM_OUTPUT, "can't create %s", file->temporary);
    }
    return SIM_OK;
}

static int rank_of(const struct sim_image *image)
{
    return image->kind == SIM_KIND_PICTURE ? 2 : 3;
}

static bool set_layout(hid_t creation, const struct sim_image *image, size_t type_size)
{
    if (H5Pset_obj_track_times(creation, false) < 0) {
        return false;
    }
    if (image->layout == SIM_CONTIGUOUS) {
        return H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0;
    }
    hsize_t chunk[3] = {image->ny < 16 ? image->ny : 16, image->nx < 16 ? image->nx : 16,
                        image->nchannels < 256 ? image->nchannels : 256};
    if (image->layout == SIM_CHUNKED_PIXEL) {
        chunk[0] = chunk[1] = 1;
        chunk[2] = image->nchannels;
    }
    if (image->layout == SIM_CHUNKED_HYPERSPY) { /* whole spectra, square, up to a megabyte (get_signal_chunks of 1.7) */
        double pixels = 1e6 / ((double)image->nchannels * (double)type_size);
        hsize_t side = pixels < 1 ? 1 : (hsize_t)sqrt(pixels);
        chunk[0] = side < image->ny ? side : image->ny;
        chunk[1] = side < image->nx ? side : image->nx;
        chunk[2] = image->nchannels;
    }
    bool ok = H5Pset_chunk(creation, rank_of(image), chunk) >= 0 &&
              H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0;
    if (image->compress || image->layout == SIM_CHUNKED_HYPERSPY) {
        ok = ok && H5Pset_shuffle(creation) >= 0;
    }
    if (image->compress) {
        ok = ok && H5Pset_deflate(creation, image->layout == SIM_CHUNKED_HYPERSPY ? 4 : 1) >= 0;
    }
    return ok;
}

static hid_t new_image_dataset(hid_t group, const struct sim_image *image,
                               const struct dtype *type, bool big)
{
    hid_t dataset = -1;
    hsize_t shape[3] = {image->ny, image->nx, image->nchannels};
    hid_t space = H5Screate_simple(rank_of(image), shape, NULL);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && creation >= 0 && set_layout(creation, image, H5Tget_size(type->little))) {
        dataset = H5Dcreate2(group, "data", big ? type->big : type->little, space, H5P_DEFAULT,
                             creation, H5P_DEFAULT);
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return dataset;
}

int sim_image_create(struct sim_file *file, const struct sim_image *image, struct sim_err *err)
{
    struct dtype type;
    bool big;
    if (!find_dtype(image->dtype, &type, &big)) {
        return sim_fail(err, SIM_USAGE, "unknown type \"%s\"", image->dtype);
    }
    if (open_temporary(file, image->path, err) != SIM_OK) {
        return err->code;
    }
    file->memory_type = type.memory;
    hid_t experiments = new_group(file->file, "Experiments");
    hid_t experiment = experiments < 0 ? -1 : new_group(experiments, image->title);
    bool ok = experiment >= 0 && put_text(file->file, "file_format", "HyperSpy") &&
              put_text(file->file, "file_format_version", "3.1");
    if (ok) {
        file->dataset = new_image_dataset(experiment, image, &type, big);
        ok = file->dataset >= 0;
    }
    ok = ok && put_axes(experiment, image);
    ok = ok && put_metadata(experiment, image);
    ok = close_group(experiment) && ok;
    ok = close_group(experiments) && ok;
    if (!ok) {
        sim_file_abandon(file);
        return sim_fail(err, SIM_OUTPUT, "can't write %s", image->path);
    }
    return SIM_OK;
}

int sim_image_rows(struct sim_file *file, size_t y0, size_t ny, const void *values,
                   struct sim_err *err)
{
    bool ok = false;
    hid_t memory = -1;
    hid_t space = H5Dget_space(file->dataset);
    hsize_t shape[3] = {0, 0, 0};
    int rank = space < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    if ((rank == 2 || rank == 3) && H5Sget_simple_extent_dims(space, shape, NULL) == rank) {
        hsize_t start[3] = {y0, 0, 0}, count[3] = {ny, shape[1], shape[2]};
        memory = H5Screate_simple(rank, count, NULL);
        ok = memory >= 0 &&
             H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
             H5Dwrite(file->dataset, file->memory_type, memory, space, H5P_DEFAULT, values) >= 0;
    }
    if (memory >= 0) {
        H5Sclose(memory);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return ok ? SIM_OK : sim_fail(err, SIM_OUTPUT, "can't write rows of %s", file->path);
}

int sim_truth_create(struct sim_file *file, const char *path, struct sim_err *err)
{
    return open_temporary(file, path, err);
}

int sim_truth_group(struct sim_file *file, const char *name, struct sim_err *err)
{
    return close_group(new_group(file->file, name))
               ? SIM_OK
               : sim_fail(err, SIM_OUTPUT, "can't write %s of %s", name, file->path);
}

int sim_truth_map(struct sim_file *file, const char *name, const char *units,
                  const char *long_name, size_t ny, size_t nx, const double *values,
                  struct sim_err *err)
{
    hsize_t shape[2] = {ny, nx};
    hid_t space = ny == 0 ? H5Screate_simple(1, shape + 1, NULL) : H5Screate_simple(2, shape, NULL);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = -1;
    if (space >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0) {
        dataset = H5Dcreate2(file->file, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, creation,
                             H5P_DEFAULT);
    }
    bool ok = dataset >= 0 &&
              H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0 &&
              put_text(dataset, "units", units) && put_text(dataset, "long_name", long_name);
    if (dataset >= 0) {
        ok = H5Dclose(dataset) >= 0 && ok;
    }
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return ok ? SIM_OK : sim_fail(err, SIM_OUTPUT, "can't write %s of %s", name, file->path);
}

int sim_file_finish(struct sim_file *file, struct sim_err *err)
{
    bool ok = true;
    if (file->dataset >= 0) {
        ok = H5Dclose(file->dataset) >= 0;
        file->dataset = -1;
    }
    ok = H5Fclose(file->file) >= 0 && ok;
    file->file = -1;
    if (ok && rename(file->temporary, file->path) != 0) {
        ok = false;
    }
    if (!ok) {
        unlink(file->temporary);
        return sim_fail(err, SIM_OUTPUT, "can't finish %s", file->path);
    }
    return SIM_OK;
}

void sim_file_abandon(struct sim_file *file)
{
    if (file->dataset >= 0) {
        H5Dclose(file->dataset);
        file->dataset = -1;
    }
    if (file->file >= 0) {
        H5Fclose(file->file);
        file->file = -1;
        unlink(file->temporary);
    }
}
