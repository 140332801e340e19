#!/usr/bin/env bash
# Results in the formats of others; what is in them is read by tests/peer/check_export.py.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

results() {
    image data/o.hspy
    recipe 'all: {stage: sum_spectrum, input: o}'
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
}

each_signal_in_the_format_it_is_at_home_in() {
    results
    run_expect_exit 0 "$EELPIPE" export out/sum.hspy out/all.hspy --to a/b
    local f
    for f in a/b/sum.intensity.tif a/b/sum.intensity_errors.tif a/b/all.spectrum.msa a/b/all.spectrum_errors.msa; do expect_file "$f"; done
    [ "$(head -c 4 a/b/sum.intensity.tif | od -An -tx1 | tr -d ' ')" = 49492a00 ] || fail "not a little-endian TIFF"
    grep -aq 'ImageJ=' a/b/sum.intensity.tif || fail "nothing for ImageJ in it"
    head -n 1 a/b/all.spectrum.msa | grep -q '^#FORMAT      : EMSA/MAS Spectral Data File' || fail "not EMSA/MAS"
    cp a/b/sum.intensity.tif first.tif
    run_expect_exit 0 "$EELPIPE" export out/sum.hspy --to a/b --only intensity
    cmp -s first.tif a/b/sum.intensity.tif || fail "the same map gave other bytes"
    run_expect_exit 0 "$EELPIPE" export out/sum.hspy
    expect_file out/sum.intensity.tif
    expect_no_temporaries
}
story each_signal_in_the_format_it_is_at_home_in

what_can_not_be_exported_is_said() {
    results
    run_expect_exit 2 "$EELPIPE" export
    run_expect_exit 2 "$EELPIPE" export out/sum.hspy --format gif
    expect_stderr_matches 'tiff, msa or csv'
    run_expect_exit 2 "$EELPIPE" export out/sum.hspy --only intensity --format msa
    expect_stderr_matches "'intensity' is a map: it can't be written as msa"
    run_expect_exit 1 "$EELPIPE" export data/o.hspy
    expect_stderr_matches 'holds nothing that can be written'
    run_expect_exit 3 "$EELPIPE" export nothing.hspy
    run_expect_exit 3 "$EELPIPE" export out/sum.hspy --only intensty
    expect_stderr_matches 'intensity'
    mkdir full
    touch file
    run_expect_exit 4 "$EELPIPE" export out/sum.hspy --to file/x
}
story what_can_not_be_exported_is_said

stories_end
