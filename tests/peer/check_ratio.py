"""`ratio` and `edge_ratio` against HyperSpy, on measured files.

A ratio of two windows of HyperSpy's net spectrum (remove_background(fast=True), the integrals divided in double precision) is
ours with `method: two_area`. Each sum agrees to 1e-5 of the counts of its window (check_two_area.py says why), so a
ratio may differ by those two errors and the rounding of a float32 map. Windows begin and end on channels.
"""
from pathlib import Path

import numpy as np
from pipe import data, eelpipe, real

# file, fit window, numerator, denominator (eV)
CASES = {
    "lsmo O": ("epsic-workshop/LSMO_linescan.hdf5", (480.0, 523.0), (526.0, 532.0), (536.0, 546.0)),
    "lsmo Mn": ("exspy-demos/LSMO_linescan.hspy", (590.0, 632.0), (636.0, 648.0), (648.0, 660.0)),
    "la_mn_o_on_ti_oxide O": ("converted/la_mn_o_on_ti_oxide_si.hspy", (495.0, 525.0), (527.0, 532.0), (536.0, 546.0)),
}


def window(spectrum, w):
    return np.atleast_1d(spectrum.isig[w[0]:w[1]].data.sum(-1, dtype=np.float64))


def peer(path, fit, above, below):
    import hyperspy.api as hs

    s = hs.load(str(path), reader="hspy")
    s = s[0] if isinstance(s, list) else s
    s.set_signal_type("EELS")
    net = s.remove_background(signal_range=fit, background_type="PowerLaw", fast=True, show_progressbar=False)
    return [window(x, w) for x in (net, s) for w in (above, below)]


def run(tmp, path, step):
    recipe = Path(tmp) / "recipe.yaml"
    recipe.write_text(f"""eelpipe: 1
inputs: {{core: "{path}"}}
output: "{tmp}/out"
steps:
{step}
""", encoding="utf-8")
    eelpipe("run", recipe, "--quiet")


def agree(ours, theirs, slack, what):
    assert ours.shape == theirs.shape, f"{what}: {ours.shape} against {theirs.shape}"
    off = np.abs(ours - theirs) / slack
    assert np.isfinite(ours).all() and off.max() <= 1, f"{what}: {off.max():.2f} times what rounding allows"


def compare(tmp, name):
    file, fit, above, below = CASES[name]
    path = real(file)
    n, d, raw_n, raw_d = peer(path, fit, above, below)
    run(tmp, path, f"""  net: {{stage: background, input: core, method: two_area, window: [{fit[0]}, {fit[1]}]}}
  q: {{stage: ratio, numerator: [{above[0]}, {above[1]}], denominator: [{below[0]}, {below[1]}]}}
  jump: {{stage: edge_ratio, input: core, pre: [{fit[1] - 10}, {fit[1]}], post: [{above[0]}, {above[1]}]}}""")
    out = f"{tmp}/out/q.hspy"
    agree(data(out, "numerator"), n, 1e-5 * raw_n, "numerator")
    agree(data(out, "denominator"), d, 1e-5 * raw_d, "denominator")
    strong = d > 0.05 * raw_d        # where the denominator is more than rounding
    assert strong.mean() > 0.2, "the edge is hardly anywhere"
    slack = (1e-5 * raw_n + np.abs(n / d) * 1e-5 * raw_d) / np.abs(d) + 1e-6
    agree(data(out, "ratio")[strong], (n / d)[strong], slack[strong], "ratio")
    jump = data(f"{tmp}/out/jump.hspy", "edge_ratio")
    _, _, post, pre = peer(path, fit, above, (fit[1] - 10, fit[1]))
    agree(jump, post / pre, 1e-5 * np.abs(post / pre), "edge_ratio")


def check_lsmo_o(tmp):
    compare(tmp, "lsmo O")


def check_lsmo_mn(tmp):
    compare(tmp, "lsmo Mn")


def check_layer_o(tmp):
    compare(tmp, "la_mn_o_on_ti_oxide O")
