"""align, splice, deconvolve and integrate on the simulated dual EELS, against what is true there; fused and file by file; any threads."""
from pathlib import Path

import h5py
import numpy as np
from check_schema import described
from pipe import arrays, eelpipe, same_bits, simulate

RECIPE = """eelpipe: 1
inputs:
  ll: "{tmp}/s/{{sample}}/{{temperature}}C/ll.hspy"
  li: {{path: "{tmp}/s/{{sample}}/{{temperature}}C/li.hspy", pair: ll}}
coordinates: {{temperature: degC}}
output: "{tmp}/{out}"
steps:
  t:       {{stage: thickness, input: ll, mean_free_path: 100}}
  aligned: {{stage: align, input: li, keep: {keep}}}
  spliced: {{stage: splice, input: aligned.aligned, low_loss: aligned.low_loss, keep: {keep}}}
  single:  {{stage: deconvolve, input: spliced, keep: {keep}}}
  binned:  {{stage: rebin, input: single, energy: 2, keep: {keep}}}
  part:    {{stage: crop, input: binned, energy: [40, 90], keep: {keep}}}
  li_k:    {{stage: integrate, input: part, window: [55, 65]}}
  same:    {{stage: integrate, input: single, window: [55, 65]}}
  joined:  {{stage: integrate, input: spliced, window: [28, 40]}}
  net:     {{stage: background, input: aligned.aligned, window: [75, 90], keep: {keep}}}
  edge:    {{stage: deconvolve, input: net, low_loss: aligned.low_loss, method: ratio, keep: {keep}}}
  edge_n:  {{stage: integrate, input: edge, window: [100, 110]}}
  total:   {{stage: sum_spectrum, input: spliced}}
  total_1: {{stage: deconvolve, input: total}}
"""


def series(tmp):
    simulate("series", f"{tmp}/s", "--samples", "ncm003", "--temperatures", "25", "--pixels", "18,70")
    return h5py.File(f"{tmp}/s/ncm003/25C/truth.h5")


def run(tmp, out, keep, *options):
    recipe = Path(tmp) / f"{out}.yaml"
    recipe.write_text(RECIPE.format(tmp=tmp, out=out, keep=keep), encoding="utf-8")
    eelpipe("run", recipe, "--quiet", *options)
    return Path(tmp) / out


def check_against_truth(tmp):
    truth = series(tmp)
    out = run(tmp, "out", "false")
    t = arrays(out / "t.hspy")
    off = t["t_over_lambda/data"] - truth["t_over_lambda"][()]
    # Losses below the end of the zero-loss peak count as elastic, and the tail is a power law through edges: 1 % of t/lambda.
    assert abs(off.mean()) < 0.01 * truth["t_over_lambda"][()].mean(), off.mean()
    assert np.abs(off - off.mean()).max() < 0.02
    r = arrays(out / "spliced.hspy")
    pull = (r["ratio/data"][0, 0] - 16) / r["ratio/data_errors"][0, 0]
    assert abs(pull) < 4, f"exposure ratio {r['ratio/data'][0, 0]}, {pull:.1f} sigma from 16"


def check_fused_and_by_files(tmp):
    """Sigmas come from what files carry, too: noise of joined parts, response of the deconvolution, covariance of a background."""
    series(tmp)
    fused, kept = run(tmp, "out", "false"), run(tmp, "kept", "true")
    one = run(tmp, "one", "true", "--threads", "1")
    for name in ("li_k", "same", "joined", "edge_n", "total_1", "t"):
        same_bits(arrays(fused / f"{name}.hspy"), arrays(kept / f"{name}.hspy"), f"{name}, fused and kept")
    for name in ("spliced", "single", "part", "net", "edge"):
        same_bits(arrays(kept / f"{name}.hspy"), arrays(one / f"{name}.hspy"), f"{name}, one thread")
    steps = {"li_k": ("part", "integrate window=55,65"), "same": ("single", "integrate window=55,65"),
             "joined": ("spliced", "integrate window=28,40"), "edge_n": ("edge", "integrate window=100,110"),
             "total_1": ("total", "deconvolve")}
    for name, (source, words) in steps.items():
        stage, *par = words.split()
        again = Path(tmp) / f"{name}_again.hspy"
        eelpipe("stage", stage, kept / f"{source}.hspy", again, *par)
        same_bits(arrays(fused / f"{name}.hspy"), arrays(again), f"{name} from the file of {source}")
    whole, part = arrays(fused / "same.hspy"), arrays(fused / "li_k.hspy")
    # In a shifted pixel a window on channels twice as wide may have one of a hundred more or less at each end.
    np.testing.assert_allclose(whole["intensity/data"], part["intensity/data"], rtol=0.03)
    np.testing.assert_allclose(whole["intensity/data_errors"], part["intensity/data_errors"], rtol=0.03)
    described(kept.rglob("*.hspy"), 12)
