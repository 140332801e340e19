#!/usr/bin/env bash
# One filter by itself.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

background_then_integrate_by_hand() {
    image in.hspy
    run_expect_exit 0 "$EELPIPE" stage background in.hspy net.hspy window=480,525
    expect_file net.hspy
    run_expect_exit 0 "$EELPIPE" stage integrate net.hspy sum.hspy window=532,560
    expect_file sum.hspy
    expect_no_temporaries
}
story background_then_integrate_by_hand

info_tells_axes_and_origin() {
    image in.hspy
    run_expect_exit 0 "$EELPIPE" info in.hspy
    expect_stdout_matches '256'
    expect_stdout_matches 'eV'
    run_expect_exit 0 "$EELPIPE" stage background in.hspy net.hspy window=480,525
    run_expect_exit 0 "$EELPIPE" info net.hspy
    expect_stdout_matches 'background'
    expect_stdout_matches '480'
}
story info_tells_axes_and_origin

same_input_gives_same_bytes() {
    image in.hspy
    mkdir a b
    run_expect_exit 0 "$EELPIPE" stage background in.hspy a/net.hspy window=480,525
    run_expect_exit 0 "$EELPIPE" stage background in.hspy b/net.hspy window=480,525
    cmp a/net.hspy b/net.hspy || fail "two equal runs differ"
}
story same_input_gives_same_bytes

units_may_be_written() {
    image in.hspy
    run_expect_exit 0 "$EELPIPE" stage background in.hspy a.hspy window=480,525
    run_expect_exit 0 "$EELPIPE" stage background in.hspy b.hspy 'window=["0.48 keV", "525 eV"]'
    expect_file b.hspy
}
story units_may_be_written

all_wrong_parameters_are_named_at_once() {
    image in.hspy
    run_expect_exit 2 "$EELPIPE" stage background in.hspy out.hspy windw=480,525 method=mll
    expect_stderr_matches 'windw'
    expect_stderr_matches 'did you mean .?window'
    expect_stderr_matches 'mll'
    expect_no_file out.hspy
}
story all_wrong_parameters_are_named_at_once

window_outside_the_axis_exits_2() {
    image in.hspy
    run_expect_exit 2 "$EELPIPE" stage background in.hspy out.hspy window=100,150
    expect_stderr_matches '100 to 150 eV.*axis'
    expect_no_file out.hspy
}
story window_outside_the_axis_exits_2

missing_input_exits_3() {
    run_expect_exit 3 "$EELPIPE" stage background nowhere.hspy out.hspy window=480,525
    expect_stderr_matches 'nowhere\.hspy'
    expect_no_file out.hspy
}
story missing_input_exits_3

input_that_is_not_hdf5_exits_3() {
    echo "this is no HDF5" >in.hspy
    run_expect_exit 3 "$EELPIPE" stage background in.hspy out.hspy window=480,525
    expect_stderr_matches 'in\.hspy'
    expect_no_file out.hspy
}
story input_that_is_not_hdf5_exits_3

cut_input_exits_3() {
    image whole.hspy
    local bytes
    bytes=$(stat -c %s whole.hspy)
    local share
    for share in 10 50 90; do
        head -c $((bytes * share / 100)) whole.hspy >in.hspy
        run_expect_exit 3 "$EELPIPE" stage background in.hspy out.hspy window=480,525
        expect_no_file out.hspy
        expect_no_temporaries
    done
}
story cut_input_exits_3

unwritable_output_exits_4() {
    image in.hspy
    echo "a file, no folder" >blocked
    run_expect_exit 4 "$EELPIPE" stage background in.hspy blocked/out.hspy window=480,525
    expect_stderr_matches 'blocked'
}
story unwritable_output_exits_4

the_input_is_never_overwritten() {
    image in.hspy
    local before
    before=$(stamp in.hspy)
    run "$EELPIPE" stage background in.hspy in.hspy window=480,525
    [ "$status" -ne 0 ] || fail "it wrote over its input"
    expect_untouched "$before" in.hspy
}
story the_input_is_never_overwritten

stories_end
