"""Boundaries, profiles, fronts and regions of data that lacks what they need: what is said, the exit code, and that the rest is done."""
from pathlib import Path

import h5py
import numpy as np
from pipe import data, eelpipe

PX, NY, NX = 0.5, 30, 48
Y, X = np.mgrid[0:NY, 0:NX] * PX


def save(path, values):
    """A map as an image of one channel."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as f:
        f.attrs["file_format"], f.attrs["file_format_version"] = "HyperSpy", "3.1"
        g = f.create_group("Experiments/scan")
        g["data"] = np.repeat(values[:, :, None], 4, axis=2).astype("f4") / 4
        for k, (name, units, scale, size) in enumerate([("y", "nm", PX, NY), ("x", "nm", PX, NX), ("Energy loss", "eV", 1.0, 4)]):
            a = g.create_group(f"axis-{k}")
            a.attrs.update(name=name, units=units, scale=scale, offset=450.0 if k == 2 else 0.0, size=size, navigate=k < 2)
        g.create_group("metadata/Signal").attrs["signal_type"] = "EELS"


def step(at, rng, width=1.0):
    return rng.poisson(30 + 600 * 0.5 * (1 - np.tanh((X - at) / width)))


STEPS = """
  map:      {stage: integrate, input: m, window: [450, 454]}
  boundary: {stage: interface, positive: low, at: {run: 1}}
  p:        {stage: profile, input: map, along: boundary, bin: 0.5}
  f:        {stage: front, relative_to: {run: 1}}
"""


def write(tmp, steps):
    path = Path(tmp) / "recipe.yaml"
    path.write_text('eelpipe: 1\ninputs: {m: {path: "raw/{run}.hspy", frame: one, counts_per_electron: 1}}\ncoordinates: {run: px}\noutput: out/{run}\nsteps:' + steps,
                    encoding="utf-8")
    return path


def column(path, name, table="front"):
    with h5py.File(path) as f:
        v = f[f"entry/{table}/{name}"][()][0]
    return v.decode() if isinstance(v, bytes) else v


def check_maps_without_values(tmp):
    rng = np.random.default_rng(1)
    save(f"{tmp}/raw/1.hspy", step(10, rng))
    save(f"{tmp}/raw/2.hspy", np.full((NY, NX), np.nan))
    holes = step(12, rng).astype(float)
    holes[rng.random(holes.shape) < 0.3] = np.nan
    save(f"{tmp}/raw/3.hspy", holes)
    recipe = write(tmp, STEPS)
    said = eelpipe("run", recipe, "--quiet", code=1).stderr
    assert "no pixel beside the boundary has a value" in said and "run=2" in said, said
    assert not Path(f"{tmp}/out/2/p.hspy").exists() and Path(f"{tmp}/out/2/map.hspy").exists()
    d, s = column(f"{tmp}/out/3/f.hspy", "displacement"), column(f"{tmp}/out/3/f.hspy", "displacement_errors")
    assert abs(d - 2) < 4 * s < 1, (d, s)
    assert column(f"{tmp}/out/1/f.hspy", "displacement") == 0 and column(f"{tmp}/out/1/f.hspy", "displacement_errors") == 0


def check_no_interface_in_the_field(tmp):
    rng = np.random.default_rng(2)
    for run in (1, 2):
        save(f"{tmp}/raw/{run}.hspy", rng.poisson(np.full((NY, NX), 300)))
    said = eelpipe("run", write(tmp, STEPS), "--quiet", code=1).stderr
    assert "step boundary (interface), run=1: no step stands out of the noise" in said, said
    assert all(Path(f"{tmp}/out/{run}/map.hspy").exists() for run in (1, 2)), "what does not need the boundary is done"
    save(f"{tmp}/raw/1.hspy", step(-3, rng))  # its foot alone is in view
    said = eelpipe("run", write(tmp, STEPS), "--quiet", code=1).stderr
    assert "step boundary (interface)" in said, said


def check_profiles_of_few_bins(tmp):
    save(f"{tmp}/raw/1.hspy", step(12, np.random.default_rng(3)))
    one = STEPS.replace("bin: 0.5", "bin: 0.5, range: [0, 0.5]")
    said = eelpipe("run", write(tmp, one), "--quiet", code=2).stderr
    assert "the profile has 1 bins: at least 6 are needed" in said, said
    wide = STEPS.replace("bin: 0.5", "bin: 40")  # found out when it is there: four bins at most hold pixels
    done = eelpipe("run", write(tmp, wide), "--quiet", code=0)
    assert "bins have a value" in done.stderr and np.isnan(column(f"{tmp}/out/1/f.hspy", "position"))
    assert "bins have a value" in column(f"{tmp}/out/1/f.hspy", "flags")


def check_regions_without_pixels(tmp):
    save(f"{tmp}/raw/1.hspy", step(12, np.random.default_rng(4)))
    steps = STEPS + """  none: {stage: region, input: map, above: 1e6}
  q:    {stage: profile, input: map, along: boundary, mask: none}
  some: {stage: region, input: map, above: 300}
  r:    {stage: profile, input: map, along: boundary, mask: some}
"""
    said = eelpipe("run", write(tmp, steps), "--quiet", code=1).stderr
    assert "no pixel belongs to the region: of 1440 with a value none meets all that is given" in said, said
    assert "needs step none" in said and not Path(f"{tmp}/out/1/q.hspy").exists()
    assert np.isfinite(data(f"{tmp}/out/1/r.hspy", "profile")).any(), "the rest is done"


def check_wave_seen_in_part(tmp):
    """Pixels beside the ends of the boundary that was seen do not count, and the front is that of the rest."""
    rng = np.random.default_rng(5)
    wave = 12 + np.sin(2 * np.pi * Y / 10)
    cold = rng.poisson(30 + 600 * 0.5 * (1 - np.tanh((X - wave) / 0.8))).astype(float)
    cold[(Y <= 4) | (Y >= 12)] = np.nan
    save(f"{tmp}/raw/1.hspy", cold)
    hot = rng.poisson(30 + 600 * 0.5 * (1 - np.tanh((X - wave - 3) / 0.8))).astype(float)
    hot[(Y <= 1.5) | (Y >= 14)] = 1e5  # whatever lies beyond the ends, seen along a normal that may be a few degrees off
    save(f"{tmp}/raw/2.hspy", hot)
    eelpipe("run", write(tmp, STEPS.replace("positive: low", "positive: low, curve: smooth")), "--quiet")
    ends = data(f"{tmp}/out/1/boundary.hspy", "boundary")[[0, -1], 0]
    assert 3 < ends.min() < 5.5 and 10.5 < ends.max() < 13, ends
    assert data(f"{tmp}/out/2/p.hspy", "profile").max() < 1e4
    d, s = column(f"{tmp}/out/2/f.hspy", "displacement"), column(f"{tmp}/out/2/f.hspy", "displacement_errors")
    assert abs(d - 3) < 0.2 and s < 0.2, (d, s)


def check_fronts_by_lines(tmp):
    rng = np.random.default_rng(6)
    save(f"{tmp}/raw/1.hspy", step(12, rng))
    hot = step(15, rng).astype(float)
    hot[:8] = 30  # no step there
    save(f"{tmp}/raw/2.hspy", hot)
    steps = STEPS + "  lines: {stage: front, input: map, along: boundary, width: 1.5, relative_to: {run: 1}}\n"
    eelpipe("run", write(tmp, steps), "--quiet")
    with h5py.File(f"{tmp}/out/2/lines.hspy") as f:
        t = {k: v[()] for k, v in f["entry/lines"].items()}
        curve = f["entry/curve/data"][()]
    has = np.isfinite(t["position"])
    assert 0 < has.sum() < len(has) and len(curve) == has.sum()
    assert all(text for text, h in zip(t["flags"], has) if not h), "a line without a front says why"
    pulls = (t["displacement"][has] - 3) / t["displacement_errors"][has]
    assert abs(pulls).max() < 4 and (pulls**2).mean() < 2.5, pulls
    assert abs(curve[:, 1] - 15).max() < 1.5 and curve[:, 0].min() > 3, "in the map's own positions"
    whole = column(f"{tmp}/out/1/f.hspy", "position"), column(f"{tmp}/out/1/f.hspy", "position_errors")
    with h5py.File(f"{tmp}/out/1/lines.hspy") as f:
        p, s = f["entry/lines/position"][()], f["entry/lines/position_errors"][()]
        assert (f["entry/lines/displacement"][()] == 0).all()
    mean, sigma = (p / s**2).sum() / (1 / s**2).sum(), (1 / s**2).sum() ** -0.5
    assert abs(mean - whole[0]) < 2 * np.hypot(sigma, whole[1]), "lines and profile tell the same"
    said = eelpipe("check", write(tmp, STEPS + "  c: {stage: front, input: map}\n"), code=2).stderr
    assert "the fronts of a map need along" in said
