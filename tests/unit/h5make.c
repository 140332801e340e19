#include "tests/unit/h5make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(x) assert_true((x) >= 0)

static char folder[200];

const char *mk_path(const char *name)
{
    static char path[8][256];
    static unsigned at;
    if (!folder[0]) {
        const char *in = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/eelpipe-test-XXXXXX", in && *in ? in : "/tmp");
        assert_non_null(mkdtemp(folder));
    }
    char *p = path[at++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

void mk_remove_all(void)
{
    char command[sizeof folder + 16];
    if (!folder[0]) return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    folder[0] = 0;
}

hid_t mk_file(const char *name)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t f = H5Fcreate(mk_path(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    OK(f);
    mk_text(f, "file_format", "HyperSpy");
    mk_text(f, "file_format_version", "3.1");
    return f;
}

void mk_close(hid_t file)
{
    assert_int_equal(H5Fget_obj_count(file, H5F_OBJ_ALL), 1);
    OK(H5Fclose(file));
}

hid_t mk_group(hid_t loc, const char *path)
{
    hid_t l = H5Pcreate(H5P_LINK_CREATE);
    OK(H5Pset_create_intermediate_group(l, 1));
    hid_t g = H5Gcreate2(loc, path, l, H5P_DEFAULT, H5P_DEFAULT);
    OK(g);
    H5Pclose(l);
    return g;
}

static void attr(hid_t obj, const char *name, hid_t file_type, hid_t type, int rank, hsize_t n, const void *value)
{
    hid_t space = rank ? H5Screate_simple(1, &n, NULL) : H5Screate(H5S_SCALAR);
    if (H5Aexists(obj, name) > 0) OK(H5Adelete(obj, name));
    hid_t a = H5Acreate2(obj, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    OK(a);
    OK(H5Awrite(a, type, value));
    H5Aclose(a);
    H5Sclose(space);
}

static hid_t text_type(void)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, H5T_VARIABLE);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

void mk_text(hid_t obj, const char *name, const char *value)
{
    hid_t t = text_type();
    attr(obj, name, t, t, 0, 0, &value);
    H5Tclose(t);
}

void mk_fixed(hid_t obj, const char *name, const char *value)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, strlen(value) + 1);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    attr(obj, name, t, t, 1, 1, value);
    H5Tclose(t);
}

void mk_texts(hid_t obj, const char *name, const char *const *value, size_t n)
{
    hid_t t = text_type();
    attr(obj, name, t, t, 1, n, value);
    H5Tclose(t);
}

void mk_num(hid_t obj, const char *name, double value)
{
    attr(obj, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, 0, &value);
}

void mk_nums(hid_t obj, const char *name, const double *value, size_t n)
{
    attr(obj, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, n, value);
}

void mk_int(hid_t obj, const char *name, int value)
{
    attr(obj, name, H5T_STD_I64BE, H5T_NATIVE_INT, 0, 0, &value);
}

void mk_bool(hid_t obj, const char *name, bool value)
{
    hid_t t = H5Tenum_create(H5T_NATIVE_INT8);
    int8_t v = 0;
    H5Tenum_insert(t, "FALSE", &v);
    v = 1;
    H5Tenum_insert(t, "TRUE", &v);
    v = value;
    attr(obj, name, t, t, 0, 0, &v);
    H5Tclose(t);
}

void mk_no_attr(hid_t obj, const char *name)
{
    OK(H5Adelete(obj, name));
}

void mk_data(hid_t loc, const char *name, hid_t type, int rank, const hsize_t *dim, const double *value)
{
    hid_t space = rank ? H5Screate_simple(rank, dim, NULL) : H5Screate(H5S_SCALAR);
    hid_t d = H5Dcreate2(loc, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    OK(d);
    OK(H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, value));
    H5Dclose(d);
    H5Sclose(space);
}

void mk_data_text(hid_t loc, const char *name, const char *value)
{
    hid_t t = text_type(), space = H5Screate(H5S_SCALAR);
    hid_t d = H5Dcreate2(loc, name, t, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    OK(d);
    OK(H5Dwrite(d, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, &value));
    H5Dclose(d);
    H5Sclose(space);
    H5Tclose(t);
}

/* ---- arrays ---- */

const size_t mk_size[4] = {3, 7, 10, 37};

double mk_value(size_t t, size_t y, size_t x, size_t e)
{
    return (double)((t * 41 + y * 23 + x * 57 + e * 3 + (e * x) % 5) % 121);
}

static size_t letter(char c)
{
    const char *p = strchr("tyxE", c);
    assert_true(p && c);
    return (size_t)(p - "tyxE");
}

static void write_values(hid_t d, const struct mk_array *a, int rank, const hsize_t *dim)
{
    size_t n = 1, at[4];
    for (int k = 0; k < rank; k++) n *= dim[k];
    double *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++) {
        size_t rest = i;
        memset(at, 0, sizeof at);
        for (int k = rank - 1; k >= 0; k--) {
            at[letter(a->dims[k])] = rest % dim[k];
            rest /= dim[k];
        }
        v[i] = mk_value(at[0], at[1], at[2], at[3]);
    }
    OK(H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, v));
    free(v);
}

hid_t mk_array(hid_t loc, const char *name, const struct mk_array *a)
{
    int rank = (int)strlen(a->dims);
    hsize_t dim[4];
    for (int k = 0; k < rank; k++) dim[k] = mk_size[letter(a->dims[k])];
    hid_t space = H5Screate_simple(rank, dim, NULL), p = H5Pcreate(H5P_DATASET_CREATE);
    if (a->chunk[0]) OK(H5Pset_chunk(p, rank, a->chunk));
    if (a->how & MK_COMPACT) OK(H5Pset_layout(p, H5D_COMPACT));
    if (a->how & MK_SHUFFLE) OK(H5Pset_shuffle(p));
    if (a->how & MK_GZIP) OK(H5Pset_deflate(p, 4));
    if (a->how & MK_FLETCHER) OK(H5Pset_fletcher32(p));
    if (a->how & MK_EMPTY) OK(H5Pset_fill_value(p, H5T_NATIVE_DOUBLE, &a->fill));
    hid_t d = H5Dcreate2(loc, name, a->type, space, H5P_DEFAULT, p, H5P_DEFAULT);
    OK(d);
    if (!(a->how & MK_EMPTY)) write_values(d, a, rank, dim);
    H5Pclose(p);
    H5Sclose(space);
    return d;
}

hid_t mk_experiment(hid_t file, const char *name, const struct mk_array *a)
{
    char path[128];
    snprintf(path, sizeof path, "/Experiments/%s", name);
    hid_t g = mk_group(file, path);
    H5Dclose(mk_array(g, "data", a));
    for (int k = 0; a->dims[k]; k++) {
        size_t c = letter(a->dims[k]);
        snprintf(path, sizeof path, "axis-%d", k);
        hid_t x = mk_group(g, path);
        mk_text(x, "name", c == 3 ? "Energy loss" : c == 0 ? "time" : c == 1 ? "y" : "x");
        mk_text(x, "units", c == 3 ? "eV" : c == 0 ? "s" : "nm");
        mk_num(x, "offset", c == 3 ? 400 : 0);
        mk_num(x, "scale", 0.25 * (double)(c + 1));
        mk_int(x, "size", (int)mk_size[c]);
        mk_bool(x, "navigate", c != 3);
        H5Gclose(x);
    }
    H5Gclose(mk_group(g, "original_metadata"));
    hid_t m = mk_group(g, "metadata/Signal");
    mk_text(m, "signal_type", "EELS");
    H5Gclose(m);
    m = mk_group(g, "metadata/General");
    mk_text(m, "title", name);
    H5Gclose(m);
    return g;
}
