#!/usr/bin/env bash
# A look at one spectrum: as text, as a picture.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

text_shows_lines_and_windows() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml sum --at 3,60
    expect_stdout_matches 'sum, pixel 3,60'
    expect_stdout_matches '\* spectrum  - fit  \+ net \(counts\)'
    expect_stdout_matches 'net.window 480 to 525 eV'
    expect_stdout_matches 'sum.window 532 to 560 eV'
    # 440 to 600 eV on 67 columns: the bars of 28 and 45 eV under it are 11.7 and 18.8 columns, to one.
    expect_stdout_matches '^ +440 +600 eV'
    local bars
    bars=$(grep -oE '=+' .stdout | awk '{ printf "%d ", length($0) }')
    [[ $bars =~ ^(11|12)\ (18|19)\ $ ]] || _fail_shown "bars of $bars columns"
    [ "$(wc -L <.stdout)" -le 80 ] || fail "wider than a terminal"
    expect_no_file out/net.hspy # results are left alone
}
story text_shows_lines_and_windows

# What is drawn is what the step computes: the net spectrum of the kept image.
picture_has_the_numbers_of_the_step() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml net --at 3,60 --to p.svg
    local what
    for what in top/spectrum top/fit top/net low/residual 'top/window 0'; do grep -q "class=\"$what\"" p.svg || fail "no $what"; done
    grep -q '>net.window 480–525 eV</text>' p.svg || fail "the window has no name"
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml net --at 3,60 --to p.png
    [ "$(head -c 4 p.png | tail -c 3)" = PNG ] || fail "not a PNG"
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml net --at 3,60 --to p.pdf --set steps.net.window=470,520
    expect_file p.pdf
    expect_no_file out/net.hspy
}
story picture_has_the_numbers_of_the_step

regions_and_spectra() {
    image data/o.hspy
    recipe 'left: {stage: region, input: sum, above: 0}' 'all: {stage: sum_spectrum, input: o}' 'all_net: {stage: background, window: [480, 525]}'
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml sum --region left
    expect_stdout_matches 'sum, left'
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml all_net
    expect_stdout_matches 'all_net, spectrum'
}
story regions_and_spectra

mistakes_are_told() {
    image data/o.hspy
    recipe
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml nett --at 0,0
    expect_stderr_matches "no step 'nett'"
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net
    expect_stderr_matches 'say which pixel: --at Y,X \(20 rows, 70 columns\)'
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net --at 20,0
    expect_stderr_matches '20 rows and 70 columns'
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net --at here
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net --at 1,1 --region r
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net --at 1,1 --to p.gif
    expect_stderr_matches 'must end in .png, .pdf or .svg'
    run_expect_exit 2 "$EELPIPE" preview recipe.yaml net --region nowhere
    expect_stderr_matches "nowhere"
}
story mistakes_are_told

stories_end
