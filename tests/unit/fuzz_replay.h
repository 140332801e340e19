/* Runs a fuzz target on its stored corpus. Header only. */
#ifndef TESTS_UNIT_FUZZ_REPLAY_H
#define TESTS_UNIT_FUZZ_REPLAY_H
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Tests run in the project's folder. */
static void replay(const char *name, int (*target)(const uint8_t *, size_t))
{
    char path[600];
    static uint8_t bytes[1 << 16];
    size_t n = 0;
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s", name);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", name, f->d_name);
        FILE *in = fopen(path, "rb");
        assert_non_null(in);
        size_t size = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        fprintf(stderr, "%s\n", path);      /* the last one named is the one that crashed */
        uint8_t *own = malloc(size ? size : 1);      /* of its exact size, so that reading beyond it is seen */
        assert_non_null(own);
        memcpy(own, bytes, size);
        target(own, size);
        free(own);
        n++;
    }
    closedir(d);
    assert_true(n >= 10);
}
#endif
