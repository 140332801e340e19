"""A series of runs: `at`, `over`, `repeat`, overrides, runs.csv, runs that lack an input; numbers against numpy."""
import csv
import json
from pathlib import Path

import h5py
import numpy as np
from pipe import data, eelpipe, simulate

TEMPERATURES = (25, 100, 300)


def image(path, seed, jump=30, size="20,30"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    simulate("powerlaw", path, "--pixels", size, "--channels", "300", "--offset", "440", "--scale", "0.5", "--amplitude", "60",
             "--edge-jump", jump, "--seed", seed, "--exponent-step", "0.5")


def counts(path):
    with h5py.File(path, "r") as f:
        group = f["Experiments"][next(iter(f["Experiments"]))]
        return group["data"][()].astype(float), group["axis-2"].attrs["offset"] + np.arange(group["data"].shape[2]) * group["axis-2"].attrs["scale"]


def write(tmp, text, name="recipe.yaml"):
    path = Path(tmp) / name
    path.write_text("eelpipe: 1\n" + text, encoding="utf-8")
    return path


def check_at_and_over(tmp):
    for k, t in enumerate(TEMPERATURES):
        image(f"{tmp}/raw/s1/{t:03d}C.hspy", seed=k + 1)
    raw, energy = counts(f"{tmp}/raw/s1/025C.hspy")
    limit = int(np.median(raw[:, :, (energy >= 445) & (energy < 585)].sum(2)))
    recipe = write(tmp, """
inputs: {o: "raw/{sample}/{temperature}C.hspy"}
coordinates: {temperature: degC}
output: out/{sample}/{temperature}
steps:
  total: {stage: integrate, input: o, window: [445, 585]}
  first: {stage: integrate, input: o, window: [445, 585], at: {temperature: min}}
  dark:  {stage: sum_spectrum, input: o, band_of: first, band: [0, LIMIT]}
  dark_counts: {stage: integrate, window: [530, 560]}
  table: {stage: collect, input: [dark_counts, total], over: temperature}
""".replace("LIMIT", str(limit)))
    eelpipe("run", recipe, "--quiet")
    first = data(f"{tmp}/out/s1/25/first.hspy", "intensity")
    assert not Path(f"{tmp}/out/s1/100/first.hspy").exists(), "`at` computes the step for one run alone"
    mask = (first >= 0) & (first < limit)
    assert 0 < mask.sum() < mask.size, "the band must split the image for this check to mean anything"
    for t in TEMPERATURES:
        raw, _ = counts(f"{tmp}/raw/s1/{t:03d}C.hspy")
        ours = data(f"{tmp}/out/s1/{t}/dark.hspy", "spectrum")
        assert np.array_equal(ours, raw[mask].sum(0)), f"{t}: sums of counts are exact in double"
    with h5py.File(f"{tmp}/out/s1/table.hspy") as f:
        table = {k: v[()] for k, v in f["entry/table"].items()}
    assert list(table["temperature"]) == list(TEMPERATURES)
    for row, t in enumerate(TEMPERATURES):
        raw, energy = counts(f"{tmp}/raw/s1/{t:03d}C.hspy")
        window = (energy >= 530) & (energy < 560)
        expect = raw[mask][:, window].sum()
        assert table["dark_counts"][row] == np.float32(expect)
        assert np.isclose(table["dark_counts_errors"][row], np.sqrt(expect), rtol=1e-6), "counts: sigma is the root"
    # a second run does nothing; the first run's mask file is what everything hangs on
    nodes = json.loads(eelpipe("plan", recipe, "--json").stdout)["nodes"]
    assert not any(n["compute"] for n in nodes)


def check_at_outside_the_selection(tmp):
    for k, t in enumerate(TEMPERATURES):
        image(f"{tmp}/raw/{t}.hspy", seed=k + 1)
    recipe = write(tmp, """
inputs: {o: "raw/{temperature}.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}
steps:
  first: {stage: integrate, input: o, window: [445, 585], at: {temperature: [20, min]}}
  sum:   {stage: sum_spectrum, input: o, band_of: first, band: [0, 1e9]}
""")
    eelpipe("run", recipe, "--quiet", "--runs", "temperature=300")
    assert Path(f"{tmp}/out/25/first.hspy").exists() and Path(f"{tmp}/out/300/sum.hspy").exists()
    assert not Path(f"{tmp}/out/100/sum.hspy").exists()


def check_repeat(tmp):
    for t in (25, 100):
        for scan in (1, 2, 3):
            image(f"{tmp}/raw/{t}_{scan}.hspy", seed=10 * t + scan)
    recipe = write(tmp, """
inputs: {o: "raw/{temperature}_{scan}.hspy"}
coordinates: {temperature: degC, scan: ""}
output: out/{temperature}/{scan}
steps:
  sum:   {stage: sum_spectrum, input: o}
  total: {stage: integrate, window: [530, 560]}
  table: {stage: collect, input: total, over: [temperature, scan], repeat: scan}
""".replace('scan: ""', "scan: px"))
    eelpipe("run", recipe, "--quiet")
    with h5py.File(f"{tmp}/out/table.hspy") as f:
        table = {k: v[()] for k, v in f["entry/table"].items()}
    assert list(table["temperature"]) == [25, 100]
    for row, t in enumerate((25, 100)):
        values = np.array([data(f"{tmp}/out/{t}/{s}/total.hspy", "intensity").ravel()[0] for s in (1, 2, 3)], float)
        assert np.isclose(table["total"][row], values.mean(), rtol=1e-7)
        assert np.isclose(table["total_errors"][row], np.sqrt(values.sum()) / 3, rtol=1e-5)
        assert np.isclose(table["total_scatter"][row], values.std(ddof=1) / np.sqrt(3), rtol=1e-6)


def check_overrides(tmp):
    for t in TEMPERATURES:
        image(f"{tmp}/raw/{t}.hspy", seed=t)
    recipe = write(tmp, """
inputs: {o: "raw/{temperature}.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}
overrides:
  - {when: {temperature: 300}, set: {inputs.o.energy_offset: -2.0, steps.map.window: [532, 562]}, because: high tension reset}
steps:
  map: {stage: integrate, input: o, window: [530, 560]}
""")
    eelpipe("run", recipe, "--quiet")
    for t in TEMPERATURES:
        raw, energy = counts(f"{tmp}/raw/{t}.hspy")
        if t == 300:
            energy = energy - 2
        lo = 532 if t == 300 else 530
        expect = raw[:, :, (energy >= lo) & (energy < lo + 30)].sum(2)
        assert np.array_equal(data(f"{tmp}/out/{t}/map.hspy", "intensity"), expect.astype("f4")), t
    log = next(Path(f"{tmp}/out/.eelpipe/log").glob("*.log")).read_text()
    assert "high tension reset" in log


def check_runs_csv(tmp):
    for name in ("scan a", "b,c", "d"):
        image(f"{tmp}/raw/{name}.hspy", seed=len(name))
    with open(f"{tmp}/runs.csv", "w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["temperature", "o", "skip", "note", "steps.map.window"])
        rows.writerow(["25", "raw/scan a.hspy", "", "", ""])
        rows.writerow(["100", "raw/b,c.hspy", "", "the good one", "[535, 560]"])
        rows.writerow(["200", "raw/d.hspy", "true", "drifted", ""])
    recipe = write(tmp, """
runs: runs.csv
inputs: {o: {counts_per_electron: 1}}
coordinates: {temperature: degC}
output: out/{temperature}
steps:
  map: {stage: integrate, input: o, window: [530, 560]}
""")
    eelpipe("run", recipe, "--quiet")
    assert not Path(f"{tmp}/out/200").exists()
    raw, energy = counts(f"{tmp}/raw/b,c.hspy")
    assert np.array_equal(data(f"{tmp}/out/100/map.hspy", "intensity"), raw[:, :, (energy >= 535) & (energy < 560)].sum(2).astype("f4"))


def check_run_that_lacks_an_input(tmp):
    for t in TEMPERATURES:
        image(f"{tmp}/raw/{t}.o.hspy", seed=t)
        if t != 100:
            image(f"{tmp}/raw/{t}.li.hspy", seed=t + 1)
    recipe = write(tmp, """
inputs: {o: "raw/{temperature}.o.hspy", li: "raw/{temperature}.li.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}
steps:
  o_map:  {stage: integrate, input: o, window: [530, 560]}
  li_map: {stage: integrate, input: li, window: [530, 560]}
  li_sum: {stage: sum_spectrum, input: li}
  li_total: {stage: integrate, window: [530, 560]}
  refused: {stage: collect, input: li_total, over: temperature}
  allowed: {stage: collect, input: li_total, over: temperature, missing: allow}
""")
    said = eelpipe("run", recipe, code=1).stderr
    assert "li" in said and "missing" in said
    assert Path(f"{tmp}/out/100/o_map.hspy").exists() and not Path(f"{tmp}/out/100/li_map.hspy").exists()
    assert not Path(f"{tmp}/out/refused.hspy").exists(), "an incomplete series writes no result unless the recipe allows it"
    with h5py.File(f"{tmp}/out/allowed.hspy") as f:
        total = f["entry/table/li_total"][()]
    assert np.isnan(total[1]) and np.isfinite(total[[0, 2]]).all()


def check_vary(tmp):
    for t in TEMPERATURES:
        image(f"{tmp}/raw/{t}.hspy", seed=t)
    recipe = write(tmp, """
inputs: {o: "raw/{temperature}.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}
steps:
  sum:   {stage: sum_spectrum, input: o}
  net:   {stage: background, window: [480, 525]}
  total: {stage: integrate, window: [530, 560]}
  table: {stage: collect, input: total, over: temperature}
""")
    rows = list(csv.reader(eelpipe("vary", recipe, "net", "window=+-2").stdout.splitlines()))
    assert rows[0] == ["number", "value", "sigma", "shift window-2", "shift window+2", "systematic sigma"]
    assert len(rows) == 1 + len(TEMPERATURES)
    for row, t in zip(rows[1:], TEMPERATURES):
        here = data(f"{tmp}/out/{t}/total.hspy", "intensity").ravel()[0]
        assert np.isclose(float(row[1]), here, rtol=1e-6)
        shifts = []
        for k in (0, 1):
            moved = data(f"{tmp}/out/.eelpipe/vary/{k}/{t}/total.hspy", "intensity").ravel()[0]
            shifts.append(moved - here)
            assert np.isclose(float(row[3 + k]), shifts[-1], rtol=1e-3, atol=1)
        assert np.isclose(float(row[5]), (max(0, *shifts) - min(0, *shifts)) / 2, rtol=1e-3, atol=1)
    assert Path(f"{tmp}/out/vary_net.csv").exists()


def check_mean_spectrum_knows_its_noise(tmp):
    """A mean of n spectra has 1/n of the variance: later steps use it, through memory and through files alike."""
    image(f"{tmp}/o.hspy", seed=3)
    recipe = write(tmp, """
inputs: {o: o.hspy}
output: out
steps:
  mean:  {stage: sum_spectrum, input: o, statistic: mean}
  net:   {stage: background, window: [480, 525]}
  total: {stage: integrate, window: [530, 560]}
  sum:   {stage: sum_spectrum, input: o}
  sum_net: {stage: background, window: [480, 525]}
  sum_total: {stage: integrate, window: [530, 560]}
""")
    eelpipe("run", recipe, "--quiet")
    with h5py.File(f"{tmp}/out/total.hspy") as f, h5py.File(f"{tmp}/out/sum_total.hspy") as g:
        m, s = f["entry/intensity"], g["entry/intensity"]
        n = 20 * 30
        assert np.isclose(m["data"][0] * n, s["data"][0], rtol=1e-4)
        assert np.isclose(m["data_errors"][0] * n, s["data_errors"][0], rtol=1e-3)


def check_one_scan_is_one_frame(tmp):
    """Maps of one scan share their frame without a word in the recipe; those of another scan need one."""
    for t in (25, 100):
        image(f"{tmp}/raw/{t}.hspy", seed=t)
    text = """
inputs: {o: "raw/{temperature}.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}
steps:
  net:      {stage: background, input: o, window: [480, 525]}
  map:      {stage: integrate, window: [530, 560]}
  raw_map:  {stage: integrate, input: o, window: [450, 480]}
  boundary: {stage: interface, input: raw_map}
  along:    {stage: profile, input: map, along: boundary}
"""
    eelpipe("check", write(tmp, text))
    said = eelpipe("check", write(tmp, text.replace("input: raw_map}", "input: raw_map, at: {temperature: min}}")), code=2).stderr
    assert "register" in said and "frame" in said
