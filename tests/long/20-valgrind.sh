#!/usr/bin/env bash
# No byte is used before it is set, none is lost.
# shellcheck source=tests/long/lib.sh
. "$EELPIPE_ROOT/tests/long/lib.sh"

no_memory_error() {
    command -v valgrind >/dev/null || skip "valgrind is not installed"
    every_flow 30,70 260
    build_variant "$PWD/plain" -DEP_NO_CLONES -O1 # valgrind does not know every instruction of the clones
    run_expect_exit 0 valgrind --quiet --error-exitcode=77 --leak-check=full --errors-for-leak-kinds=definite --trace-children=no \
        plain/eelpipe run recipe.yaml --threads 2
}
story no_memory_error
stories_end
