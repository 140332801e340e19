"""`background` (two_area) and `integrate` against HyperSpy's remove_background(fast=True) and integrate1D, on measured files.

Tolerance: 1e-5 of the counts summed in the window, in every pixel. HyperSpy works in the file's float32 and we round
the net spectrum to float32 once; both are far below it. Integration windows begin and end on channels: elsewhere
HyperSpy takes the nearest channel and we take those whose centre lies inside.
"""
from pathlib import Path

import numpy as np
from pipe import data, eelpipe, real

# file, fit window, integration window (eV)
CASES = {
    "la_mn_o_on_ti_oxide Ti": ("converted/la_mn_o_on_ti_oxide_si.hspy", (400.0, 445.0), (455.0, 475.0)),
    "la_mn_o_on_ti_oxide O": ("converted/la_mn_o_on_ti_oxide_si.hspy", (495.0, 525.0), (530.0, 560.0)),
    "la_mn_o_on_ti_oxide La": ("converted/la_mn_o_on_ti_oxide_si.hspy", (780.0, 825.0), (830.0, 855.0)),
    "tio2 O": ("converted/tio2_core_100.hspy", (500.0, 526.0), (528.2, 560.0)),
    "bn B": ("converted/bn_core_100.hspy", (150.0, 184.0), (188.0, 220.0)),
    "lsmo O": ("epsic-workshop/LSMO_linescan.hdf5", (480.0, 523.0), (526.0, 560.0)),
    "lsmo Mn": ("exspy-demos/LSMO_linescan.hspy", (590.0, 632.0), (636.0, 660.0)),
}


def peer(path, fit, window):
    import hyperspy.api as hs

    s = hs.load(str(path), reader="hspy")
    s = s[0] if isinstance(s, list) else s
    s.set_signal_type("EELS")
    counts = s.isig[window[0]:window[1]].integrate1D(-1).data
    net = s.remove_background(signal_range=fit, background_type="PowerLaw", fast=True, show_progressbar=False)
    return np.atleast_1d(net.isig[window[0]:window[1]].integrate1D(-1).data), np.atleast_1d(counts)


def compare(tmp, name):
    file, fit, window = CASES[name]
    path = real(file)
    recipe = Path(tmp) / "recipe.yaml"
    recipe.write_text(f"""eelpipe: 1
inputs: {{core: "{path}"}}
output: "{tmp}/out"
steps:
  net: {{stage: background, input: core, method: two_area, window: [{fit[0]}, {fit[1]}]}}
  map: {{stage: integrate, window: [{window[0]}, {window[1]}]}}
""", encoding="utf-8")
    eelpipe("run", recipe, "--quiet")
    ours = data(f"{tmp}/out/map.hspy", "intensity")
    theirs, counts = peer(path, fit, window)
    assert ours.shape == theirs.shape, f"{ours.shape} against {theirs.shape}"
    bad = ~np.isfinite(theirs)
    off = np.abs(ours - theirs)[~bad] / np.abs(counts)[~bad]
    assert np.isfinite(ours[~bad]).all(), "we have no value where HyperSpy has one"
    assert off.max() <= 1e-5, f"largest difference {off.max():.2e} of the counts"


def check_layer_ti(tmp):
    compare(tmp, "la_mn_o_on_ti_oxide Ti")


def check_layer_o(tmp):
    compare(tmp, "la_mn_o_on_ti_oxide O")


def check_layer_la(tmp):
    compare(tmp, "la_mn_o_on_ti_oxide La")


def check_tio2_o(tmp):
    compare(tmp, "tio2 O")


def check_bn_b(tmp):
    compare(tmp, "bn B")


def check_lsmo_o(tmp):
    compare(tmp, "lsmo O")


def check_lsmo_mn(tmp):
    compare(tmp, "lsmo Mn")


