/* What fuzzing of files found worth keeping, read again: nothing may crash, leak or hang. */
#include "tests/unit/fuzz_replay.h"

#define LLVMFuzzerTestOneInput fuzz_file
#include "tests/fuzz/fuzz_file.c"

static void files(void **unused)
{
    (void)unused;
    replay("file", fuzz_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(files) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
