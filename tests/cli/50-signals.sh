#!/usr/bin/env bash
# Stopped in the middle: the exit status says so, nothing half-written stays, the next run ends in the same bytes.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# Enough work that a run on one thread can be met while it computes.
many_steps() {
    image data/o.hspy --pixels 200,200 --seed 7
    local i lines=()
    for i in 0 1 2 3 4 5 6 7; do lines+=("b$i: {stage: background, input: o, window: [$((470 + i)), 525]}"); done
    recipe "${lines[@]}"
}

# stopped_by SIGNAL CODE: sends it once (--foreground: not to the group as well; a second one means "at once"), earlier
# and earlier until a run is met.
stopped_by() {
    local signal=$1 code=$2 after
    for after in 0.8 0.4 0.2 0.1 0.05; do
        rm -rf out
        run timeout --foreground --preserve-status -s "$signal" "$after" "$EELPIPE" run recipe.yaml --threads 1
        [ "$status" -eq 0 ] && continue
        [ "$status" -eq "$code" ] || _fail_shown "exit status $status, not $code, after $signal"
        expect_no_temporaries
        return
    done
    fail "every run had ended before $signal came"
}

sigint_exits_130_and_the_next_run_goes_on() {
    many_steps
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mv out whole
    stopped_by INT 130
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local f
    for f in whole/*.hspy; do cmp "$f" "out/$(basename "$f")" || fail "$f: not the bytes of a run in one go"; done
}
story sigint_exits_130_and_the_next_run_goes_on

sigterm_exits_143() {
    many_steps
    stopped_by TERM 143
}
story sigterm_exits_143

stories_end
