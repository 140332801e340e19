#!/usr/bin/env bash
# What fails in a run fails alone: everything else is done and kept, and the exit status is 1.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# A sum over a region without pixels shares its pass with steps that can be computed.
a_step_that_cannot_end_its_sums_fails_alone() {
    image data/o.hspy
    recipe 'none: {stage: sum_spectrum, input: o, band_of: sum, band: [1.0e+30, 2.0e+30]}' \
        'none_net: {stage: background, input: none, window: [480, 525]}' \
        'some: {stage: sum_spectrum, input: o, band_of: sum, band: [-1.0e+30, 1.0e+30]}' \
        'some_net: {stage: background, input: some, window: [480, 525]}'
    run_expect_exit 1 "$EELPIPE" run recipe.yaml
    expect_stderr_matches 'none \(sum_spectrum\).*no pixel is left: all are masked'
    expect_stderr_matches 'none_net.*needs .*none.*which failed'
    expect_stderr_lacks 'some.*fail'
    expect_stderr_matches '1 failed, 1 could not be started'
    local f
    for f in net sum other some some_net; do expect_file "out/$f.hspy"; done
    expect_no_file out/none.hspy
    expect_no_file out/none_net.hspy
    expect_no_temporaries
    run_expect_exit 0 "$EELPIPE" plan recipe.yaml
    expect_stdout_matches '^2 to compute'
}
story a_step_that_cannot_end_its_sums_fails_alone

stories_end
