"""profile of spectrum images in a recipe: sums against numpy, and what is fitted to them against the truth."""
import json
from pathlib import Path

import h5py
import numpy as np
from pipe import data, eelpipe

PX, NY, NX, NCH = 0.5, 24, 40, 160
ENERGY = 440 + 1.0 * np.arange(NCH)


def mean_counts():
    """A power law everywhere, an edge at 532 eV whose height is a step of x with a pre-peak of its own."""
    y, x = np.mgrid[0:NY, 0:NX] * PX
    share = 1 / (1 + np.exp(-(x + 0.15 * y - 11) / 0.8))
    background = 60 * (ENERGY / 500.0) ** -2.8
    edge = np.where(ENERGY >= 536, 14.0, np.where(ENERGY >= 530, 5.0, 0.0))
    return background[None, None, :] + share[:, :, None] * edge[None, None, :], share


def save(path, counts):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as f:
        f.attrs["file_format"], f.attrs["file_format_version"] = "HyperSpy", "3.1"
        g = f.create_group("Experiments/scan")
        g["data"] = counts
        for k, (name, units, scale, offset, size) in enumerate([("y", "nm", PX, 0.0, NY), ("x", "nm", PX, 0.0, NX), ("Energy loss", "eV", 1.0, 440.0, NCH)]):
            a = g.create_group(f"axis-{k}")
            a.attrs.update(name=name, units=units, scale=scale, offset=offset, size=size, navigate=k < 2)
        m = g.create_group("metadata")
        m.create_group("General").attrs["title"] = "simulated"
        m.create_group("Signal").attrs["signal_type"] = "EELS"
        g.create_group("original_metadata")
        g.create_group("learning_results")


RECIPE = """eelpipe: 1
inputs: {o: {path: "raw/{seed}.hspy", counts_per_electron: 1}, edge: {path: raw/edge.hspy}}
coordinates: {seed: px}
output: out/{seed}
steps:
  jump:     {stage: integrate, input: edge, window: [536, 560]}
  boundary: {stage: interface, input: jump}
  p:        {stage: profile, input: o, along: boundary, bin: 0.8, range: [-8, 8]}
  net:      {stage: background, window: [450, 528]}
  map:      {stage: integrate, window: [530, 560]}
  ratio:    {stage: ratio, input: net, numerator: [530, 536], denominator: [536, 560]}
  edge_front: {stage: front, input: map, normalize: p.pixels, model: erf, threshold: 0.5}
"""


def check_sums_and_fits(tmp):
    mean, share = mean_counts()
    rng = np.random.default_rng(5)
    raw = {seed: rng.poisson(mean).astype("u2") for seed in range(30)}
    for seed, counts in raw.items():
        save(f"{tmp}/raw/{seed}.hspy", counts)
    save(f"{tmp}/raw/edge.hspy", np.broadcast_to((1e4 * share)[:, :, None], mean.shape).astype("f4"))
    recipe = Path(tmp) / "recipe.yaml"
    recipe.write_text(RECIPE.replace(', edge: {path: raw/edge.hspy}', ', edge: {path: raw/edge.hspy, frame: scan}').replace(
        "counts_per_electron: 1}", "counts_per_electron: 1, frame: scan}"), encoding="utf-8")
    eelpipe("run", recipe, "--quiet")
    distance = data(f"{tmp}/out/boundary.hspy", "distance").astype(float)
    bins = np.floor(distance / 0.8 + 10 + 1e-9).astype(int)
    ends = data(f"{tmp}/out/boundary.hspy", "boundary")[[0, -1], :2]  # pixels past the ends of the boundary do not count
    y, x = np.mgrid[0:NY, 0:NX] * PX
    along = ((y - ends[0, 0]) * (ends[1, 0] - ends[0, 0]) + (x - ends[0, 1]) * (ends[1, 1] - ends[0, 1])) / ((ends[1] - ends[0]) ** 2).sum()
    bins[(along < 0) | (along > 1)] = -1
    window = (ENERGY >= 530) & (ENERGY < 560)
    pulls, ratios, middles = [], [], []
    for seed, counts in raw.items():
        out = f"{tmp}/out/{seed}"
        spectra, pixels = data(f"{out}/p.hspy", "spectra"), data(f"{out}/p.hspy", "pixels")
        assert spectra.shape == (20, NCH)
        for k in range(20):
            inside = bins == k
            assert pixels[k] == inside.sum(), (k, pixels[k], inside.sum())
            if inside.any():
                assert np.array_equal(spectra[k], counts[inside].sum(0).astype("f4")), "sums of counts, each pixel whole in one bin"
        with h5py.File(f"{out}/map.hspy") as f:
            value, sigma = f["entry/intensity/data"][()], f["entry/intensity/data_errors"][()]
        with h5py.File(f"{out}/ratio.hspy") as f:
            q, sq = f["entry/ratio/data"][()], f["entry/ratio/data_errors"][()]
        for k in range(20):
            inside = bins == k
            if inside.sum() < 5:
                continue
            net = (mean[inside][:, window] - (60 * (ENERGY[window] / 500.0) ** -2.8)).sum()
            pulls.append((value[k] - net) / sigma[k])
            if share[inside].mean() > 0.5:
                ratios.append((q[k] - 5 * 6 / (14 * 24)) / sq[k])
        with h5py.File(f"{out}/edge_front.hspy") as f:
            t = f["entry/front"]
            middles.append((t["position"][()][0], t["position_errors"][()][0]))
    # independent bins: the counts of intervals that hold the truth are binomial; 4 standard deviations
    for name, p in (("map", np.array(pulls)), ("ratio", np.array(ratios))):
        inside, slack = (abs(p) < 1).mean(), 4 * np.sqrt(0.683 * 0.317 / len(p))
        assert abs(inside - 0.683) < slack, f"{name}: {inside:.3f} of {len(p)} within one sigma"
        assert abs(p.mean()) < 4 / np.sqrt(len(p)) and 0.9 < p.std() < 1.1, f"{name}: pulls {p.mean():.3f} +- {p.std():.3f}"
    middles = np.array(middles)  # the boundary was drawn through the middle of the same step
    assert abs(middles[:, 0].mean()) < 0.05 and 0.6 < (middles[:, 0].std() / middles[:, 1].mean()) < 1.4, middles
    nodes = json.loads(eelpipe("plan", recipe, "--json").stdout)["nodes"]
    assert not any(n["compute"] for n in nodes)


def check_one_step_at_a_time(tmp):
    """Through files and in one go: the same bits, also when the profile is read back."""
    mean, share = mean_counts()
    save(f"{tmp}/raw/0.hspy", np.random.default_rng(6).poisson(mean).astype("u2"))
    save(f"{tmp}/raw/edge.hspy", np.broadcast_to((1e4 * share)[:, :, None], mean.shape).astype("f4"))
    recipe = Path(tmp) / "recipe.yaml"
    recipe.write_text(RECIPE.replace("raw/edge.hspy}", "raw/edge.hspy, frame: scan}").replace("electron: 1}", "electron: 1, frame: scan}"), encoding="utf-8")
    eelpipe("run", recipe, "--quiet", "--threads", "1")
    whole = {n: Path(f"{tmp}/out/0/{n}.hspy").read_bytes() for n in ("p", "map", "ratio", "edge_front")}
    for n in ("map", "ratio", "edge_front"):
        Path(f"{tmp}/out/0/{n}.hspy").unlink()
    for n in ("map", "ratio", "edge_front"):
        eelpipe("run", recipe, "--quiet", "--only", n)
    for n, was in whole.items():
        assert Path(f"{tmp}/out/0/{n}.hspy").read_bytes() == was, n
