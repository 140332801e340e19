#!/usr/bin/env bash
# A look at one spectrum: as text, as a picture.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:=/usr/bin/python3}"

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

# Of a large file only what the pixel needs is read: everything outside the cell of 16 x 64 pixels that it lies in is damaged,
# and still its spectrum is shown, with the counts that the file had; `run` on the same file fails.
far_pixels_are_not_read() {
    image data/o.hspy --pixels 80,200 --compress
    recipe
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml net --at 37,70 --to before.svg
    "$PYTHON" - data/o.hspy <<'PY' || skip "no h5py"
import h5py, sys
with h5py.File(sys.argv[1]) as f:
    name = []
    f.visititems(lambda n, o: name.append(n) if isinstance(o, h5py.Dataset) and n.endswith("/data") else None)
    d = f[name[0]].id
    all = [d.get_chunk_info(i) for i in range(d.get_num_chunks())]
    far = [c for c in all if not (32 <= c.chunk_offset[0] < 48 and 64 <= c.chunk_offset[1] < 128)]
    assert len(all) == 5 * 13 and len(far) == len(all) - 4, (len(all), len(far))
with open(sys.argv[1], "r+b") as f:
    for c in far:
        f.seek(c.byte_offset)
        f.write(b"\xff" * min(64, c.size))
PY
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml net --at 37,70 --to after.svg
    cmp before.svg after.svg || fail "another spectrum"
    run "$EELPIPE" preview recipe.yaml net --at 37,140
    [ "$status" -ne 0 ] || fail "a damaged pixel was shown"
    run "$EELPIPE" run recipe.yaml
    [ "$status" -ne 0 ] || fail "a damaged file was read"
}
story far_pixels_are_not_read

regions_and_spectra() {
    image data/o.hspy
    recipe 'left: {stage: region, input: sum, above: 0}' 'all: {stage: sum_spectrum, input: o}' 'all_net: {stage: background, window: [480, 525]}'
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml sum --region left
    expect_stdout_matches 'sum, left'
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml all_net
    expect_stdout_matches 'all_net, spectrum all'
    expect_stderr_lacks 'not used'
    run_expect_exit 0 "$EELPIPE" preview recipe.yaml all_net --at 3,60
    expect_stderr_matches '--at 3,60 is not used: step all_net works on one spectrum, all'
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
