#!/usr/bin/env bash
# The default recipe on a short series: what it prints, what it does when parts are missing or bad, how far its numbers move.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:=/usr/bin/python3}"

made=$_scratch/made
mkdir -p "$made"
(cd "$made" && "$SIMULATE" series testdata/series --samples ncm104 --temperatures 25,400,700 >/dev/null 2>&1 && cp "$EELPIPE_ROOT/config.yaml" . &&
    "$EELPIPE" run --quiet >/dev/null 2>&1)

# A copy of the series and its results: of 400 degC files of its own, all others linked.
series() {
    mkdir -p testdata/series/ncm104
    ln -s "$made"/testdata/series/ncm104/{25C,700C} testdata/series/ncm104/
    cp -r "$made/testdata/series/ncm104/400C" testdata/series/ncm104/
    cp -r "$made/out" "$made/config.yaml" .
}

a_run_ends_with_the_tables_and_the_simulator_knows_the_truth() {
    series
    run_expect_exit 0 "$EELPIPE" run
    expect_stdout_matches '^fronts \[sample=ncm104\]'
    expect_stdout_matches 'temperature \(degC\) +o_bulk +o_near +ncm_change +llto_change +ti_front_displacement \(nm\)'
    expect_stdout_matches ' 700 +0\.15[0-9]+ \+- 0\.000[0-9]+ '
    run_expect_exit 0 "$EELPIPE" run --quiet
    expect_stdout_empty
    run_expect_exit 0 "$SIMULATE" compare out testdata/series
    expect_stdout_matches '^ncm104: found, sigma, true'
    expect_stdout_matches '^ +400 \| +0\.15'
    # Fourteen oxygen ratios, positions and displacements: two sigmas hold all but one of them, or more.
    "$PYTHON" - .stdout <<'PY' || fail "the table and the truth are apart: $(tail -n 2 .stdout)"
import re, sys
n, one, two = map(int, re.search(r"Of (\d+) numbers (\d+) are within one sigma of the truth, (\d+)", open(sys.argv[1]).read()).groups())
sys.exit(not (n == 16 and two >= 14 and one >= 6))
PY
    run_expect_exit 2 "$SIMULATE" compare nowhere testdata/series
    expect_stderr_matches "can't read nowhere/ncm104/fronts.csv"
}
story a_run_ends_with_the_tables_and_the_simulator_knows_the_truth

# Lithium per volume: the run's thickness and current differ, the amount is the truth's within what cross section and mean free path are known to
# (10 % each); between runs of one sample, where those cancel, within 3 % of the pristine amount.
lithium_per_volume() {
    "$PYTHON" - "$made" <<'PY' || fail "see above"
import h5py, sys
def maps(path, *names):
    with h5py.File(path) as f:
        return [f[n][()] for n in names]
share, true_of = {}, {}
for t in (25, 400, 700):
    folder = f"{sys.argv[1]}/%s/ncm104/{t}C/"
    (atoms,) = maps(folder % "out" + "li_atoms.hspy", "Experiments/Li/data")
    llto, ncm, flto, fncm = maps(folder % "testdata/series" + "truth.h5", "li_llto_mol_per_l", "li_ncm_mol_per_l", "llto_fraction", "ncm_fraction")
    true = (llto * flto + ncm * fncm) * 0.60221
    for name, at in (("NCM", (slice(None), slice(50, 72))), ("LLTO", (slice(None), slice(16, 28)))):
        true_of[name, t] = true[at].mean()
        share[name, t] = atoms[at].mean() / true_of[name, t]
        assert abs(share[name, t] - 1) < 0.2, (name, t, share[name, t])
for t in (400, 700):
    assert abs(share["NCM", t] / share["NCM", 25] - 1) * true_of["NCM", t] / true_of["NCM", 25] < 0.03, share
PY
}
story lithium_per_volume

# The rest stays as it was computed, the table goes on without the front of that temperature.
expect_rest() {
    expect_stdout_matches ' 400 +0\.15[0-9 .+-]+ - +-$'
    expect_stdout_matches ' 700 +0\.15[0-9 .+-]+ \+- [0-9.]+$'
    expect_file out/ncm104/fronts.csv
    [ "$(wc -l <out/ncm104/fronts.csv)" -eq 4 ] || fail "fronts.csv has not three rows"
}

a_temperature_without_x_rays() {
    series
    rm testdata/series/ncm104/400C/eds.hspy
    run_expect_exit 1 "$EELPIPE" run
    expect_stderr_matches 'lines \(eds_lines\), .*temperature=400: input eds is missing for this run: there is no file testdata/series/ncm104/400C/eds.hspy'
    expect_rest
    expect_stderr_matches 'nor can what needs it: .*ti_front'
}
story a_temperature_without_x_rays

a_temperature_with_damaged_x_rays() {
    series
    head -c 100000 "$made/testdata/series/ncm104/400C/eds.hspy" >testdata/series/ncm104/400C/eds.hspy
    run_expect_exit 1 "$EELPIPE" run
    expect_stderr_matches "input eds can't be read: .*400C/eds.hspy: damaged or incomplete"
    expect_rest
}
story a_temperature_with_damaged_x_rays

a_temperature_that_is_not_there() {
    series
    rm -r testdata/series/ncm104/400C
    run_expect_exit 0 "$EELPIPE" run
    expect_stdout_lacks '^ +400 '
    expect_stdout_matches '^ +700 +0\.15'
}
story a_temperature_that_is_not_there

# Not a number anywhere in the image that places the scans: what needs the place of that run fails, and says why.
a_map_of_nan() {
    series
    "$PYTHON" - testdata/series/ncm104/400C/haadf_eds.hspy <<'PY' || skip "no h5py"
import h5py, numpy, sys
with h5py.File(sys.argv[1], "r+") as f:
    name = []
    f.visititems(lambda n, o: name.append(n) if isinstance(o, h5py.Dataset) and n.endswith("/data") else None)
    shape = f[name[0]].shape
    del f[name[0]]
    f[name[0]] = numpy.full(shape, numpy.nan, "f4")
PY
    run_expect_exit 1 "$EELPIPE" run
    expect_stderr_matches 'drift \(register\), sample=ncm104, temperature=400: .*(no|finite|value)'
    expect_rest
}
story a_map_of_nan

the_plan_has_one_pass_for_each_image_and_level() {
    series
    rm -r out
    run_expect_exit 0 "$EELPIPE" plan
    expect_stdout_matches '^level 0: one pass over li, ll, o$'
    expect_stdout_matches '^level 1: one pass over li, ll, o$'
    expect_stdout_matches '^    bulk_sum +not computed yet; needs all of bulk first'
    expect_stdout_matches '^level 1: one pass over eds$'
    expect_stdout_matches '^    lines +not computed yet; needs its look at the whole image first'
    expect_stdout_matches '^    for 3 runs: sample=ncm104, temperature=25, 400, 700$'
    expect_stdout_matches '^    ti_front +not computed yet; needs all of ti, the run it is relative'
    grep '^level' .stdout | sort -snk2,2 | cmp -s - <(grep '^level' .stdout) || _fail_shown "the levels are not in order"
    # Steps on results in memory, of one level and the same runs, are told in one block.
    awk '/^level/ { block = "" } /^    [^ ]/ { block = block $1 " " } /for 3 runs/ && block ~ /o_boundary bulk near for/ { found = 1 } END { exit !found }' \
        .stdout || _fail_shown "o_boundary, bulk and near are not one block"
    [ "$(grep -c 'one pass over eds$' .stdout)" -eq 2 ] || _fail_shown "the X-ray images are read more than once in a level"
    # Level 0, and level 1 of the coldest run and of the others: theirs needs less.
    [ "$(grep -cE 'one pass over .*\<o\>' .stdout)" -eq 3 ] || _fail_shown "the oxygen images are read more than once in a level"
}
story the_plan_has_one_pass_for_each_image_and_level

# A window, a threshold (that the recipe leaves at its default) and a region: each moves its own numbers and no others.
windows_thresholds_and_regions_are_varied() {
    series
    rm -r testdata/series/ncm104/400C
    run_expect_exit 0 "$EELPIPE" vary config.yaml bulk_net window=+-2 --quiet
    expect_stdout_matches '^number,value,sigma,"shift window-2","shift window\+2",systematic sigma'
    expect_stdout_matches 'fronts \[sample=ncm104\]\.o_bulk temperature=700",0\.15'
    expect_stdout_lacks 'o_near|front_position'
    run_expect_exit 0 "$EELPIPE" vary config.yaml ti_front threshold=+-0.02 --quiet
    # 6 nm of depth: the 8 % point lies 0.4 to 0.8 nm ahead of the 10 % point of an erfc.
    expect_stdout_matches 'ti_front_displacement temperature=700",5\.[0-9]+,[0-9.]+,0\.[4-7][0-9]+,-0\.[3-6]'
    expect_stdout_lacks 'o_bulk|la_front'
    run_expect_exit 0 "$EELPIPE" vary config.yaml near band=1,5 --quiet
    expect_stdout_matches 'o_near temperature=700"'
    expect_stdout_lacks 'o_bulk|ti_front|la_front'
}
story windows_thresholds_and_regions_are_varied

# Four steps of one pass that stream a spectrum, and read the same file whole as a reference: it stays open. What the recipe says of an input
# (here its energy) holds for references as well, so that a spectrum is its own reference only where neither is moved.
a_spectrum_is_input_and_reference_at_once() {
    image data/o.hspy --pixels 8,8
    run_expect_exit 0 "$EELPIPE" stage sum_spectrum data/o.hspy n.hspy
    run_expect_exit 0 "$EELPIPE" stage sum_spectrum data/o.hspy f.hspy
    local kept='plural: kept, systematics: false, range: [500, 560], count: [530, 560]'
    cat >recipe.yaml <<YAML
eelpipe: 1
inputs:
  n: n.hspy
  f: f.hspy
  moved: {path: f.hspy, energy_offset: 6}
output: out
steps:
  a: {stage: mlls, input: n, references: [n], $kept, columns: [{name: A, spectrum: n}]}
  b: {stage: mlls, input: f, references: [n], $kept, columns: [{name: A, spectrum: n}]}
  c: {stage: mlls, input: n, references: [f], $kept, columns: [{name: A, spectrum: f}]}
  d: {stage: mlls, input: f, references: [moved], $kept, columns: [{name: A, spectrum: moved}]}
YAML
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    "$PYTHON" - <<'PY' || fail "a spectrum is not its own reference, or its energy_offset is not that of the recipe"
import h5py, sys
chi = {}
for step in "abcd":
    with h5py.File(f"out/{step}.hspy") as f:
        chi[step] = float(f["entry/reduced_chi_square/data"][()].ravel()[0])
print(chi)
sys.exit(not (max(chi[s] for s in "abc") < 1e-6 and chi["d"] > 1))
PY
}
story a_spectrum_is_input_and_reference_at_once

stories_end
