/* What fuzzing of recipes and arguments found worth keeping, read again: nothing may crash, leak or hang. */
#include "tests/unit/fuzz_replay.h"

#define LLVMFuzzerTestOneInput fuzz_recipe
#include "tests/fuzz/fuzz_recipe.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_args
int fuzz_args(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_args.c"

static void recipes(void **unused)
{
    (void)unused;
    replay("recipe", fuzz_recipe);
}
static void arguments(void **unused)
{
    (void)unused;
    replay("args", fuzz_args);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(recipes), cmocka_unit_test(arguments) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
