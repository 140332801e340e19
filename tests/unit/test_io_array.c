/* Arrays chunk by chunk, against HDF5's own reading of the same files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipeline/io/file.h"
#include "pipeline/io/h5array.h"
#include "pipeline/io/h5util.h"

enum { RANK = 3, NY = 37, NX = 50, NE = 3, N = NY * NX * NE };
static const hsize_t dim[RANK] = {NY, NX, NE}, chunk[RANK] = {16, 16, NE};

static uint32_t dice(uint32_t *x, uint32_t n)
{
    *x = *x * 1664525 + 1013904223;
    return (*x >> 8) % n;
}

static hid_t new_file(char path[64])
{
    snprintf(path, 64, "/tmp/test_io_array-%ld.h5", (long)getpid());
    hid_t f = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(f >= 0);
    return f;
}

static hid_t new_array(hid_t file, hid_t type, bool chunked, bool shuffle, bool deflate, bool sum, double fill)
{
    EP_AUTO_HID space = H5Screate_simple(RANK, dim, NULL);
    EP_AUTO_HID p = H5Pcreate(H5P_DATASET_CREATE);
    if (chunked) assert_true(H5Pset_chunk(p, RANK, chunk) >= 0);
    if (shuffle) assert_true(H5Pset_shuffle(p) >= 0);
    if (deflate) assert_true(H5Pset_deflate(p, 1) >= 0);
    if (sum) assert_true(H5Pset_fletcher32(p) >= 0);
    if (fill != 0) assert_true(H5Pset_fill_value(p, H5T_NATIVE_DOUBLE, &fill) >= 0);
    hid_t d = H5Dcreate2(file, "a", type, space, H5P_DEFAULT, p, H5P_DEFAULT);
    assert_true(d >= 0);
    return d;
}

static void by_hdf5(hid_t d, hid_t type, const hsize_t *start, const hsize_t *count, void *out)
{
    EP_AUTO_HID file = H5Dget_space(d);
    EP_AUTO_HID mem = H5Screate_simple(RANK, count, NULL);
    assert_true(H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0);
    assert_true(H5Dread(d, type, mem, file, H5P_DEFAULT, out) >= 0);
}

/* Slabs at random places, as each type of the memory. */
static void compare(hid_t d, uint32_t *x)
{
    const hid_t types[] = {H5T_NATIVE_DOUBLE, H5T_NATIVE_FLOAT, H5T_NATIVE_UINT32};
    static double want[N], got[N];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct ep_h5_array *a = ep_h5_array_open(d, types[t]);
        assert_non_null(a);
        for (int k = 0; k < 40; k++) {
            hsize_t start[RANK], count[RANK];
            size_t n = 1;
            for (int i = 0; i < RANK; i++) {
                start[i] = dice(x, (uint32_t)dim[i]);
                count[i] = 1 + dice(x, (uint32_t)(dim[i] - start[i]));
                n *= count[i];
            }
            by_hdf5(d, types[t], start, count, want);
            assert_true(ep_h5_array_read(a, start, count, got));
            assert_memory_equal(got, want, n * H5Tget_size(types[t]));
        }
        const hsize_t beyond[RANK] = {NY - 1, 0, 0}, two[RANK] = {2, 1, 1};
        if (H5Dget_storage_size(d) > 0) assert_false(ep_h5_array_read(a, beyond, two, got));
        ep_h5_array_close(a);
    }
}

static void slabs_are_those_of_hdf5(void **unused)
{
    (void)unused;
    const hid_t files[] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_U32LE, H5T_IEEE_F32BE, H5T_STD_U16BE, H5T_STD_I8LE};
    static double values[N];
    uint32_t x = 7;
    char path[64];
    ep_hdf5_init();
    for (int i = 0; i < N; i++) values[i] = dice(&x, 100);
    for (size_t t = 0; t < sizeof files / sizeof *files; t++)
        for (int how = 0; how < 16; how++) {
            if (!(how & 1) && how) continue;   /* filters need chunks */
            hid_t f = new_file(path), d = new_array(f, files[t], how & 1, how & 2, how & 4, how & 8, 0);
            assert_true(H5Dwrite(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
            compare(d, &x);
            H5Dclose(d);
            H5Fclose(f);
        }
    unlink(path);
}

static void what_was_never_written_is_the_fill_value(void **unused)
{
    (void)unused;
    static unsigned char one[16 * 16 * NE * 4];
    const hsize_t second[RANK] = {0, 16, 0};
    char path[64];
    uint32_t x = 3;
    ep_hdf5_init();
    for (int fill = 0; fill < 2; fill++) {
        hid_t f = new_file(path), d = new_array(f, H5T_STD_U32LE, true, false, false, false, fill ? 42 : 0);
        memset(one, 5, sizeof one);
        assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 0, second, sizeof one, one) >= 0);
        compare(d, &x);
        H5Dclose(d);
        H5Fclose(f);
    }
    unlink(path);
}

static void what_is_written_hdf5_reads(void **unused)
{
    (void)unused;
    static float values[N], back[N];
    const hsize_t start[RANK] = {0};
    uint32_t x = 11;
    char path[64];
    ep_hdf5_init();
    for (int i = 0; i < N; i++) values[i] = (float)dice(&x, 1000) / 7;
    hid_t f = new_file(path), d = new_array(f, H5T_IEEE_F32LE, true, false, false, true, 0);
    assert_true(ep_h5_array_write(d, RANK, dim, chunk, sizeof *values, values) >= 0);
    by_hdf5(d, H5T_NATIVE_FLOAT, start, dim, back);
    assert_memory_equal(back, values, sizeof values);
    compare(d, &x);
    H5Dclose(d);
    H5Fclose(f);
    unlink(path);
}

/* Too little, too much, a wrong sum, no stream at all. */
static void damaged_chunks_are_refused(void **unused)
{
    (void)unused;
    static unsigned char bytes[16 * 16 * NE * 4 + 8];
    static double out[N];
    const hsize_t at[RANK] = {16, 16, 0};
    char path[64];
    ep_hdf5_init();
    const size_t whole = 16 * 16 * NE * 4, sizes[] = {3, 8, whole - 4, whole, whole + 8};
    for (int packed = 0; packed < 2; packed++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            hid_t f = new_file(path), d = new_array(f, H5T_IEEE_F32LE, true, false, packed, !packed, 0);
            memset(bytes, 0x5a, sizeof bytes);
            assert_true(H5Dwrite_chunk(d, H5P_DEFAULT, 0, at, sizes[k], bytes) >= 0);
            struct ep_h5_array *a = ep_h5_array_open(d, H5T_NATIVE_FLOAT);
            assert_non_null(a);
            assert_false(ep_h5_array_read_all(a, out));
            ep_h5_array_close(a);
            H5Dclose(d);
            H5Fclose(f);
        }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slabs_are_those_of_hdf5),
        cmocka_unit_test(what_was_never_written_is_the_fill_value),
        cmocka_unit_test(what_is_written_hdf5_reads),
        cmocka_unit_test(damaged_chunks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
