/* Full disks, killed writers, folders in the way, odd names: the old file, the new one, or none. */
#include "tests/unit/io_write_help.h"

/* ---- Disks and folders ---------------------------------------------------------------------------------- */

/* In a child whose files may not grow beyond limit bytes: 0 written, 1 refused as it should be, 2 otherwise. */
static int write_limited(const char *path, size_t limit, bool text)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit r = {limit, limit};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &r);
        struct ep_err e = {0};
        char *words = calloc(1, 100000);
        ep_status st = text ? ep_write_text(path, words, 100000, &e) : write_all(path, 7, &e);
        free(words);
        if (st == EP_OK)
            _exit(0);
        bool right = st == EP_E_OUTPUT && strstr(e.msg, path) && strstr(e.msg, strerror(EFBIG));
        if (!right)
            fprintf(stderr, "limit %zu: %d: %s\n", limit, (int)st, e.msg);
        exit(right ? 1 : 2); /* not _exit: the exit handlers of libraries must not crash either */
    }
    int status;
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status))
        fail_msg("limit %zu: killed by signal %d", limit, WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct ep_err e = {0};
    assert_int_equal(mkdir(in_folder("full"), 0777), 0);
    char path[2048];
    snprintf(path, sizeof path, "%s", in_folder("full/x.hspy"));
    must(write_all(path, 7, &e), &e);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    size_t size = (size_t)st.st_size, step = size / 100 + 1;
    unlink(path);
    int refused = 0;
    for (size_t limit = 0; limit <= size + step; limit += step) {
        int got = write_limited(path, limit, false);
        if (got == 0) {
            assert_true(limit >= size);
            assert_true(complete(path, 7));
            unlink(path);
        } else {
            assert_int_equal(got, 1);
            refused++;
        }
        assert_int_equal(entries(in_folder("full")), 0);
    }
    assert_true(refused >= 99);
    assert_int_equal(write_limited(path, size, false), 0);
    /* An old result stays as it is. */
    must(write_all(path, 3, &e), &e);
    for (size_t limit = 1; limit < size; limit += size / 9)
        assert_int_equal(write_limited(path, limit, false), 1);
    assert_true(complete(path, 3));
    assert_int_equal(entries(in_folder("full")), 1);
}

static void kill_one(const char *path, unsigned microseconds)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct ep_err e = {0};
        for (int i = 0; i < 100000; i++)
            if (write_all(path, 5, &e) != EP_OK)
                break;
        _exit(9);
    }
    struct timespec t = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    nanosleep(&t, NULL);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
}

static void test_killed_writer(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_folder("killed"), 0777), 0);
    char path[2048];
    snprintf(path, sizeof path, "%s", in_folder("killed/x.hspy"));
    struct ep_err e = {0};
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    must(write_all(path, 5, &e), &e);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    unlink(path);
    /* Half of the writers may finish a file or two; how long one takes is up to the disk. */
    unsigned one = (unsigned)((t1.tv_sec - t0.tv_sec) * 1000000 + (t1.tv_nsec - t0.tv_nsec) / 1000), seed = 12345;
    int absent = 0;
    for (int i = 0; i < 40; i++) {
        seed = seed * 1103515245u + 12345u;
        kill_one(path, 100 + (seed >> 16) % 32768 * (2 * one / 1000 + 1) / 32);
        if (access(path, F_OK) == 0)
            assert_true(complete(path, 5));
        else
            absent++;
        if (i % 2)
            unlink(path);
        ep_sweep_temporaries(in_folder("killed"));
        assert_int_equal(entries(in_folder("killed")), access(path, F_OK) == 0);
    }
    assert_true(absent < 40); /* else nothing was ever tried */
}

static void test_odd_names(void **state)
{
    (void)state;
    static const char *const names[] = {"with space.hspy", "it's \"quoted\".hspy", "M\xc3\xa4rz \xe6\x9d\x90.hspy", "100%s %n.hspy",
                                        "-rf.hspy", ".hidden", "new\nline.hspy", "no extension"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ep_err e = {0};
        char name[300];
        snprintf(name, sizeof name, "odd %zu's/%s", i, names[i]);
        must(write_all(in_folder(name), 1, &e), &e);
        assert_true(complete(in_folder(name), 1));
    }
    char name[300];
    struct ep_err e = {0};
    memset(name, 'n', 255);
    name[255] = 0;
    must(write_all(in_folder(name), 1, &e), &e); /* the temporary name must not be too long */
    memset(name, 'n', 256);
    name[256] = 0;
    assert_int_equal(write_all(in_folder(name), 1, &e), EP_E_OUTPUT);
}

static void refuse_at(const char *path, const char *reason)
{
    struct ep_err e = {0};
    assert_int_equal(write_all(path, 1, &e), EP_E_OUTPUT);
    assert_non_null(strstr(e.msg, reason));
    memset(&e, 0, sizeof e);
    assert_int_equal(ep_write_text(path, "x", 1, &e), EP_E_OUTPUT);
    assert_non_null(strstr(e.msg, reason));
    assert_non_null(strstr(e.msg, folder));
}

static void test_unwritable(void **state)
{
    (void)state;
    struct ep_err e = {0};
    must(ep_make_folders(in_folder("taken/deep//er/"), &e), &e);
    must(ep_make_folders(in_folder("taken/deep/er"), &e), &e);
    refuse_at(in_folder("taken/deep"), "it is a folder");
    refuse_at(in_folder("taken/"), "names a folder");
    must(ep_write_text(in_folder("file"), "x", 1, &e), &e);
    refuse_at(in_folder("file/x.hspy"), "a file of this name is in the way");
    refuse_at(in_folder("file/more/x.hspy"), "a file of this name is in the way");
    assert_int_equal(ep_make_folders("", &e), EP_E_OUTPUT);

    assert_int_equal(mkdir(in_folder("closed"), 0555), 0);
    bool root = geteuid() == 0;
    chmod(folder, 0755);
    if (root && seteuid(65534) != 0)
        skip();
    refuse_at(in_folder("closed/x.hspy"), strerror(EACCES));
    refuse_at(in_folder("closed/new/x.hspy"), strerror(EACCES));
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(entries(in_folder("closed")), 0);
}

static void assert_text(const char *path, const char *text)
{
    size_t n;
    char *t = contents(path, &n);
    assert_non_null(t);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(t, text, n);
    free(t);
}

static void test_text(void **state)
{
    (void)state;
    struct ep_err e = {0};
    char path[2048];
    snprintf(path, sizeof path, "%s", in_folder("texts/a b/log.json"));
    must(ep_write_text(path, "one\n", 4, &e), &e);
    assert_text(path, "one\n");
    assert_int_equal(write_limited(path, 4096, true), 1);
    assert_text(path, "one\n");
    must(ep_write_text(path, "", 0, &e), &e);
    assert_text(path, "");
    assert_int_equal(entries(in_folder("texts/a b")), 1);

    char here[1024], old[1024];
    assert_non_null(getcwd(old, sizeof old));
    snprintf(here, sizeof here, "%s", in_folder("texts"));
    assert_int_equal(chdir(here), 0);
    must(ep_write_text("bare.txt", "x", 1, &e), &e);
    assert_text("bare.txt", "x");
    assert_int_equal(chdir(old), 0);
}

static void put_file(const char *name, long age)
{
    FILE *f = fopen(in_folder(name), "w");
    assert_non_null(f);
    fclose(f);
    struct timespec t[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
    assert_int_equal(utimensat(AT_FDCWD, in_folder(name), t, 0), 0);
}

static void test_sweep(void **state)
{
    (void)state;
    struct ep_err e = {0};
    char host[100], name[5][300];
    assert_int_equal(mkdir(in_folder("sweep"), 0777), 0);
    gethostname(host, sizeof host);
    pid_t dead = fork();
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    snprintf(name[0], sizeof name[0], "sweep/.a.eelpipe.b.hspy.eelpipe.%s.%ld.0.tmp", host, (long)dead);
    snprintf(name[1], sizeof name[1], "sweep/.a.hspy.eelpipe.%s.%ld.0.tmp", host, (long)getpid());
    snprintf(name[2], sizeof name[2], "sweep/.a.hspy.eelpipe.else.where.%ld.0.tmp", (long)dead);
    snprintf(name[3], sizeof name[3], "sweep/.a.hspy.eelpipe.else.where.%ld.1.tmp", (long)getpid());
    snprintf(name[4], sizeof name[4], "sweep/a.hspy.eelpipe.%s.%ld.0.tmp", host, (long)dead);
    const long age[5] = {0, 0, 0, 90000, 90000};
    const bool stays[5] = {false, true, true, false, true};
    for (int i = 0; i < 5; i++)
        put_file(name[i], age[i]);
    static const char *const foreign[] = {"sweep/.eelpipe.tmp", "sweep/.x.eelpipe.tmp", "sweep/.x.eelpipe.h.1.tmp",
                                          "sweep/.x.eelpipe.h.a.1.tmp", "sweep/.x.eelpipe..1.1.tmp", "sweep/x.hspy"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        put_file(foreign[i], 90000);
    struct ep_writer *w = open_writer(in_folder("sweep/live.hspy"), &e); /* its file is locked by its writer */
    assert_non_null(w);
    ep_sweep_temporaries(in_folder("sweep"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(access(in_folder(name[i]), F_OK) == 0, stays[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_int_equal(access(in_folder(foreign[i]), F_OK), 0);
    must(ep_writer_commit(w, &e), &e);
    ep_sweep_temporaries(in_folder("no such folder"));
}

static void test_two_writers_one_place(void **state)
{
    (void)state;
    struct ep_err e = {0};
    struct ep_writer *a = open_writer(in_folder("both.hspy"), &e), *b = open_writer(in_folder("both.hspy"), &e);
    struct ep_signal *s = new_map("m", true, 1);
    must(ep_writer_put(a, s, &e), &e);
    must(ep_writer_put(b, s, &e), &e);
    must(ep_writer_commit(a, &e), &e);
    must(ep_writer_commit(b, &e), &e);
    assert_int_equal(access(in_folder("both.hspy"), F_OK), 0);
    ep_signal_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_two_writers_one_place),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
