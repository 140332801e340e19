#!/usr/bin/env bash
# Killed at random moments, many times over: what stands under a final name is whole, and the end is the same.
# shellcheck source=tests/long/lib.sh
. "$EELPIPE_ROOT/tests/long/lib.sh"

killed_forty_times() {
    every_flow 160,200 300
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --threads 1
    mv out whole
    local i f
    for i in $(seq 40); do
        (timeout -s KILL "0.$((RANDOM % 60 + 10))" "$EELPIPE" run recipe.yaml --threads 1 --quiet) >.stdout 2>.stderr || [ $? -eq 137 ]
        for f in out/*.hspy; do
            [ -e "$f" ] || continue
            cmp -s "$f" "whole/$(basename "$f")" || fail "$f after kill $i is not the file of a run in one go"
        done
        [ $((i % 8)) -ne 0 ] || rm -rf out
    done
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    same_results whole out
    expect_no_temporaries
}
story killed_forty_times
stories_end
