#!/usr/bin/env bash
# CONTRIBUTING.md, "How to add a stage": followed to the letter in a copy of the tree.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

the_example_of_a_new_stage_builds_and_runs() {
    local built=${EELPIPE_BUILD:-$EELPIPE_ROOT/build}
    [[ $EELPIPE -ef $built/eelpipe && -e $built/sanitize/libeelpipe.a ]] || skip "only where the ordinary build is tested"
    mkdir -p tree/build
    (cd "$EELPIPE_ROOT" && cp -a Makefile CONTRIBUTING.md pipeline stages tests scripts testdata/*.[ch] "$OLDPWD/tree" 2>/dev/null)
    mkdir tree/testdata
    mv tree/*.[ch] tree/testdata/
    # With the objects that are there, so that only what is new is compiled.
    cp -a "$built/release" "$built/sanitize" tree/build/
    cd tree
    awk '/^<!-- file: / { file = $3; next }
         /^```/ { if (on) { on = 0; close(file); file = "" } else if (file) on = 1; next }
         on { print >file }' CONTRIBUTING.md
    [[ -s stages/scale.c && -s tests/unit/test_scale.c ]] || fail "CONTRIBUTING.md has no example"
    awk '/^<!-- registry -->/ { next_one = 1; next } /^```/ { if (on) exit; on = next_one; next } on' CONTRIBUTING.md >register
    bash -e register
    grep -q 'X(scale)' stages/registry.c || fail "not registered"
    local cc
    cc=$(cut -d' ' -f1 build/release/flags)
    run_expect_exit 0 env -u MAKELEVEL -u MAKEFLAGS make CC="$cc" JOBS=2 build/eelpipe build/sanitize/tests/test_scale build/sanitize/tests/test_stages
    [ "$(grep -c '^  CC' .stdout)" -le 12 ] || _fail_shown "nearly everything was compiled again"
    run_expect_exit 0 build/sanitize/tests/test_scale
    run_expect_exit 0 build/sanitize/tests/test_stages
    image in.hspy
    run_expect_exit 0 build/eelpipe stage integrate in.hspy sum.hspy window=532,560
    run_expect_exit 0 build/eelpipe stage scale sum.hspy doubled.hspy factor=2
    expect_file doubled.hspy
    run_expect_exit 2 build/eelpipe stage scale sum.hspy nothing.hspy factor=0
    expect_stderr_matches 'times zero'
    run_expect_exit 0 build/eelpipe stages scale
    expect_stdout_matches 'factor'
}
story the_example_of_a_new_stage_builds_and_runs

stories_end
