/* Result files: the same bytes whatever the order of arrival, and the mistakes of callers. */
#include "tests/unit/io_write_help.h"

/* ---- Bytes ---------------------------------------------------------------------------------------------- */

static void test_two_writes_same_bytes(void **state)
{
    (void)state;
    struct ep_err e = {0};
    must(write_all(in_folder("one.hspy"), 1, &e), &e);
    struct timespec longer_than_a_second = {1, 100000000};
    nanosleep(&longer_than_a_second, NULL);
    must(write_all(in_folder("a folder/deeper/two.hspy"), 1, &e), &e);
    assert_same_file(in_folder("one.hspy"), in_folder("a folder/deeper/two.hspy"));
    assert_true(complete(in_folder("one.hspy"), 1));
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    must(write_all(in_folder("one.hspy"), 2, &e), &e); /* over an old one */
    assert_true(complete(in_folder("one.hspy"), 2));
}

static void test_order_of_arrival(void **state)
{
    (void)state;
    const struct ep_desc d[] = {
        image_desc(0, 50, 150, 300, EP_F32), image_desc(3, 21, 70, 20, EP_F32), image_desc(0, 0, 200, 300, EP_F32),
        image_desc(0, 0, 0, 300, EP_F32),    image_desc(0, 50, 150, 300, EP_U16), image_desc(3, 21, 70, 20, EP_I32),
        image_desc(0, 0, 200, 20, EP_U16),   image_desc(0, 1, 1, 1, EP_F32),    image_desc(0, 33, 65, 257, EP_F64),
    };
    for (size_t i = 0; i < sizeof d / sizeof *d; i++) {
        write_image(in_folder("forward.hspy"), &d[i], FORWARD);
        write_image(in_folder("backward.hspy"), &d[i], BACKWARD);
        write_image(in_folder("mixed.hspy"), &d[i], MIXED);
        check_image(in_folder("mixed.hspy"), &d[i]);
        assert_same_file(in_folder("forward.hspy"), in_folder("backward.hspy"));
        assert_same_file(in_folder("forward.hspy"), in_folder("mixed.hspy"));
    }
}

/* Two images of whole numbers stream into one file, in step and one after the other. */
static void write_two_images(const char *path, bool in_step)
{
    struct ep_err e = {0};
    struct ep_desc d[2] = {image_desc(0, 40, 70, 30, EP_U16), image_desc(0, 40, 70, 30, EP_U16)};
    strcpy(d[1].name, "more");
    struct ep_grid g = ep_grid_of(40, 70);
    struct ep_writer *w = open_writer(path, &e);
    assert_non_null(w);
    size_t h[2], n = ep_grid_count(&g);
    for (int k = 0; k < 2; k++)
        must(ep_writer_image_begin(w, &d[k], &h[k], &e), &e);
    for (size_t i = 0; i < 2 * n; i++) {
        size_t k = in_step ? i % 2 : i / n;
        write_area(w, h[k], &d[k], in_step ? i / 2 : n - 1 - i % n, false);
    }
    for (int k = 0; k < 2; k++)
        must(ep_writer_image_end(w, h[k], NULL, NULL, NULL, NULL, NULL, &e), &e);
    must(ep_writer_commit(w, &e), &e);
}

static void test_two_images_at_once(void **state)
{
    (void)state;
    write_two_images(in_folder("a.hspy"), true);
    write_two_images(in_folder("b.hspy"), false);
    assert_same_file(in_folder("a.hspy"), in_folder("b.hspy"));
}

/* What each pixel carries survives, and an image put as a whole has the bytes of one that streamed. */
static void test_whole_image_equals_streamed(void **state)
{
    (void)state;
    struct ep_err e = {0};
    struct ep_desc d = image_desc(0, 20, 70, 30, EP_F32);
    d.modelled = true;
    d.shift_max = 1;
    struct ep_signal *s;
    must(ep_signal_new(&d, &s, &e), &e);
    for (size_t i = 0; i < s->n; i++)
        s->f32[i] = (float)i;
    for (size_t i = 0; i < 20 * 70; i++)
        s->shift[i] = s->theta[3 * i] = s->cmat[3 * i + 2] = (double)i;
    s->model->nwindow = 1;
    struct ep_writer *w = open_writer(in_folder("whole.hspy"), &e);
    must(ep_writer_put(w, s, &e), &e);
    must(ep_writer_commit(w, &e), &e);
    w = open_writer(in_folder("streamed.hspy"), &e);
    size_t handle;
    must(ep_writer_image_begin(w, &d, &handle, &e), &e);
    must(ep_writer_image_area(w, handle, (struct ep_area){0, 0, 7, 70}, s->f32, &e), &e);
    must(ep_writer_image_area(w, handle, (struct ep_area){7, 0, 13, 70}, s->f32 + 7 * 70 * 30, &e), &e);
    must(ep_writer_image_end(w, handle, s->model, s->theta, s->cmat, s->shift, s->flags, &e), &e);
    must(ep_writer_commit(w, &e), &e);
    assert_same_file(in_folder("whole.hspy"), in_folder("streamed.hspy"));
    ep_signal_free(s);
}

/* ---- Mistakes of the caller ----------------------------------------------------------------------------- */

static void test_areas_must_cover(void **state)
{
    (void)state;
    struct ep_desc d = image_desc(0, 20, 30, 4, EP_F32);
    float *v = cell_values(&d, (struct ep_area){0, 0, 20, 30}, false);
    static const struct { struct ep_area first, second; const char *word; } cases[] = {
        {{0, 0, 20, 10}, {0, 10, 20, 19}, "never came"},
        {{0, 0, 20, 30}, {3, 3, 1, 1}, "twice"},
        {{0, 0, 20, 30}, {10, 0, 11, 1}, "beyond"},
        {{0, 0, 20, 30}, {0, 30, 1, 1}, "beyond"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ep_err e = {0};
        size_t handle;
        struct ep_writer *w = open_writer(in_folder("covered.hspy"), &e);
        must(ep_writer_image_begin(w, &d, &handle, &e), &e);
        ep_writer_image_area(w, handle, cases[i].first, v, &e);
        ep_writer_image_area(w, handle, cases[i].second, v, &e);
        ep_writer_image_end(w, handle, NULL, NULL, NULL, NULL, NULL, &e);
        assert_int_not_equal(ep_writer_commit(w, &e), EP_OK);
        assert_non_null(strstr(e.msg, cases[i].word));
        assert_int_not_equal(access(in_folder("covered.hspy"), F_OK), 0);
    }
    struct ep_err e = {0};
    size_t handle;
    struct ep_writer *w = open_writer(in_folder("covered.hspy"), &e);
    must(ep_writer_image_begin(w, &d, &handle, &e), &e);
    assert_int_equal(ep_writer_commit(w, &e), EP_E_COMPUTE);
    assert_non_null(strstr(e.msg, "not ended"));
    free(v);
}

static void test_names_are_unique(void **state)
{
    (void)state;
    struct ep_err e = {0};
    struct ep_signal *a = new_map("Ti Ka", false, 0), *b = new_map("Ti/Ka", false, 0);
    struct ep_signal *c = new_map("title", false, 0), *d = new_map("Ti_Ka_errors", true, 0);
    struct ep_writer *w = open_writer(in_folder("names.hspy"), &e);
    must(ep_writer_put(w, a, &e), &e);
    must(ep_writer_put(w, b, &e), &e);
    must(ep_writer_put(w, c, &e), &e);
    must(ep_writer_put(w, d, &e), &e);
    must(ep_writer_commit(w, &e), &e);
    hid_t f = H5Fopen(in_folder("names.hspy"), H5F_ACC_RDONLY, H5P_DEFAULT);
    static const char *const there[] = {"/entry/Ti_Ka", "/entry/Ti_Ka_", "/entry/title_", "/Experiments/Ti_Ka_errors",
                                        "/Experiments/Ti_Ka_errors_", "/Experiments/Ti_Ka__flags"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        assert_true(H5Lexists(f, there[i], H5P_DEFAULT) > 0);
    H5Fclose(f);

    w = open_writer(in_folder("names.hspy"), &e);
    must(ep_writer_put(w, a, &e), &e);
    assert_int_equal(ep_writer_put(w, a, &e), EP_E_COMPUTE);
    ep_writer_abort(w);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    ep_signal_free(a);
    ep_signal_free(b);
    ep_signal_free(c);
    ep_signal_free(d);
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    struct ep_err e = {0};
    assert_int_equal(mkdir(in_folder("aborted"), 0777), 0);
    struct ep_desc d = image_desc(0, 20, 30, 4, EP_U16);
    size_t handle;
    struct ep_writer *w = open_writer(in_folder("aborted/x.hspy"), &e);
    must(ep_writer_image_begin(w, &d, &handle, &e), &e);
    write_area(w, handle, &d, 1, false);
    ep_writer_abort(w);
    ep_writer_abort(NULL);
    assert_int_equal(entries(in_folder("aborted")), 0);
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static void test_empty_table(void **state)
{
    (void)state;
    struct ep_err e = {0};
    struct ep_signal *t;
    must(ep_table_new("fronts", 0, &t, &e), &e);
    must(ep_table_add(t, "front", "nm", NULL, NULL, NULL, &e), &e);
    struct ep_writer *w = open_writer(in_folder("empty.hspy"), &e);
    must(ep_writer_put(w, t, &e), &e);
    must(ep_writer_commit(w, &e), &e);
    ep_signal_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_writes_same_bytes),
        cmocka_unit_test(test_order_of_arrival),
        cmocka_unit_test(test_two_images_at_once),
        cmocka_unit_test(test_whole_image_equals_streamed),
        cmocka_unit_test(test_areas_must_cover),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_abort_leaves_nothing),
        cmocka_unit_test(test_empty_table),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
