#!/usr/bin/env bash
# Counts per electron that nobody knows: estimated on the image, used by what follows, the same as if it had been stated.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
: "${PYTHON:=/usr/bin/python3}"

the_gain_of_an_image_reaches_the_sigmas() {
    image data/o.hspy --pixels 40,70
    "$PYTHON" - data/o.hspy <<'PY' || skip "no h5py"
import h5py, sys
with h5py.File(sys.argv[1], "r+") as f:
    name = []
    f.visititems(lambda n, o: name.append(n) if isinstance(o, h5py.Dataset) and n.endswith("/data") else None)
    f[name[0]][...] = f[name[0]][...] * 3.7
PY
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/o.hspy
  known: {path: data/o.hspy, counts_per_electron: 3.7}
output: out
steps:
  o_gain: {stage: gain, input: o}
  o_net:  {stage: background, window: [480, 525]}
  o_map:  {stage: integrate, window: [532, 560]}
  o_sum:  {stage: sum_spectrum, input: o_gain}
  s_net:  {stage: background, window: [480, 525]}
  s_map:  {stage: integrate, window: [532, 560]}
  k_net:  {stage: background, input: known, window: [480, 525]}
  k_map:  {stage: integrate, window: [532, 560]}
YAML
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_file out/o_gain.look.gain.csv
    "$PYTHON" - <<'PY' || fail "the sigmas are not those of a stated gain"
import csv, h5py, numpy, sys
g = float(next(csv.DictReader(open("out/o_gain.look.gain.csv")))["gain"])
def sigma(name):
    with h5py.File(f"out/{name}.hspy") as f:
        e = f["entry/intensity"]
        return numpy.asarray(next(e[k][()] for k in e if k.endswith("errors"))), numpy.asarray(e["flags"][()]) if "flags" in e else None
(a, flags), (b, _), (s, _) = sigma("o_map"), sigma("k_map"), sigma("s_map")
ok = abs(g / 3.7 - 1) < 0.05 and numpy.allclose(a / b, (g / 3.7) ** 0.5, rtol=1e-5)
ok &= abs(float(s.ravel()[0]) / numpy.sqrt((a.astype(float) ** 2).sum()) - 1) < 0.02
sys.exit(not ok)
PY
    # A step added later finds the gain again, without estimating it anew.
    echo '  later: {stage: integrate, input: o_net, window: [540, 550]}' >>recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_stderr_lacks 'o_gain.look'
    "$PYTHON" - <<'PY' || fail "the flags do not say that the sigma is estimated"
import h5py, sys
with h5py.File("out/later.hspy") as f:
    flags = f["entry/intensity/flags"][()]
sys.exit(not ((flags & 512) != 0).all())
PY
    # What a step looks up beforehand is a part of it: --force computes it anew, with the same bytes.
    local before
    cp out/o_gain.look.hspy look.hspy
    before=$(stamp out/o_gain.look.hspy)
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --force
    expect_rewritten "$before" out/o_gain.look.hspy
    cmp look.hspy out/o_gain.look.hspy || fail "the look made anew has other bytes"
}
story the_gain_of_an_image_reaches_the_sigmas

stories_end
