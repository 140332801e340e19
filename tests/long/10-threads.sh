#!/usr/bin/env bash
# Threads do not race: the whole engine under ThreadSanitizer.
# shellcheck source=tests/long/lib.sh
. "$EELPIPE_ROOT/tests/long/lib.sh"

no_data_race() {
    every_flow 60,150 260
    build_variant "$PWD/tsan" -fsanitize=thread -DEP_NO_CLONES -O1
    export TSAN_OPTIONS=halt_on_error=0:exitcode=66
    run_expect_exit 0 tsan/eelpipe run recipe.yaml --threads 4
    run_expect_exit 0 tsan/eelpipe run recipe.yaml --threads 7 --memory 1M --force
}
story no_data_race
stories_end
