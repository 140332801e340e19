"""`white_lines` and `quantify` on the recipe docs/amounts.yaml and on measured files, against the simulator's truth and HyperSpy.

The truth of Mn L3/L2 is the ratio of the areas of the simulator's lines (testdata/physics.c, SIM_EDGE_MN_L): Lorentzians cut off by a soft
onset, 8 Mb x 2.8 eV and 7 Mb x 3.0 eV wide, weighted 2:1. Percentages are HyperSpy's Cliff-Lorimer ones of the same counts and
k-factors; it has atomic weights of its own (equal to 1e-3) and treats counts below 0.1 in its own way, which is left out. Areal
densities are those of HyperSpy's hydrogenic sections within 12 % (these are good to 10 % for K edges).
"""
import csv
import re
import shutil
from math import erfc, pi
from pathlib import Path

import h5py
import numpy as np
from pipe import data, eelpipe, real, simulate

ROOT = Path(__file__).resolve().parents[2]
LINES = ["O_K", "Ti_K", "La_L", "Mn_K", "Co_K", "Ni_K"]
FACTORS = [1.9, 1.0, 1.75, 1.1, 1.2, 1.25]


def line_area(centre, fwhm, height, onset, width):
    e = np.arange(600, 3000, 0.02)
    gate = 0.5 * np.array([erfc((onset - x) / width) for x in e])
    return (gate * height / (1 + ((e - centre) / (fwhm / 2)) ** 2)).sum() * 0.02


def true_ratio():
    text = (ROOT / "testdata" / "physics.c").read_text(encoding="utf-8")
    block = text[text.index("[SIM_EDGE_MN_L] = {"):]
    l3, l2 = re.findall(r"\{([\d.]+) / 3, ([\d.]+), ([\d.]+), [^{]*\{\{([\d.]+), ([\d.]+), ([\d.]+)\}\}", block)[:2]
    area = [float(share) * line_area(float(c), float(w), float(h), float(onset), float(soft)) for share, onset, soft, c, w, h in (l3, l2)]
    return area[0] / area[1]


def table(path):
    with open(path, encoding="utf-8", newline="") as f:
        return next(csv.DictReader(f))


def percent_of_hyperspy(folder):
    import hyperspy.api as hs
    from hyperspy.misc.eds.utils import quantification_cliff_lorimer

    counts = np.array([data(folder / "lines.hspy", name) for name in LINES], dtype=float)
    weight = quantification_cliff_lorimer(counts.reshape(len(LINES), -1), FACTORS)
    fine = (counts.reshape(len(LINES), -1) > 1).all(axis=0)
    atomic = np.array(hs.material.weight_to_atomic([w for w in 100 * weight[:, fine]], [n[: n.index("_")] for n in LINES]))
    return fine, 100 * weight[:, fine], atomic


def hydrogenic(folder):
    """Atoms of oxygen per nm^2 from the same counts: 528 to 578 eV, the edge at 532."""
    from hyperspy.misc.eels.effective_angle import effective_angle
    from hyperspy.misc.eels.hydrogenic_gos import HydrogenicGOS

    with h5py.File(folder / "o_counts.hspy", "r") as f:
        meta = f["Experiments/intensity/metadata/Acquisition_instrument/TEM"]
        kv, alpha, beta = meta.attrs["beam_energy"], meta.attrs["convergence_angle"], meta["Detector/EELS"].attrs["collection_angle"]
    gos = HydrogenicGOS("O_K")
    section = gos.integrateq(532.0, 1e-3 * effective_angle(kv, 550, alpha, beta), kv)
    e = np.arange(532.05, 578, 0.1)
    e = e[e >= section.x[0]]
    barn = section(e).sum() * 0.1
    return data(folder / "o_counts.hspy", "intensity") / data(folder / "low.hspy", "intensity") / 400 / (barn * 1e-10)


def check_amounts_on_series(folder):
    tmp = Path(folder)
    (tmp / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "amounts.yaml", tmp / "docs")
    simulate("series", tmp / "testdata" / "series", "--samples", "ncm104", "--temperatures", "25,450", "--pixels", "24,64", "--eds-pixels", "24,80")
    eelpipe("run", tmp / "docs" / "amounts.yaml", "--quiet")
    truth = true_ratio()
    assert 1.9 < truth < 2.3, truth
    rows = list(csv.DictReader(open(tmp / "out" / "amounts" / "ncm104" / "valence.csv", encoding="utf-8")))
    for run in ("25C", "450C"):
        out = tmp / "out" / "amounts" / "ncm104" / run
        whole = float(table(out / "mn_map.look.fit.csv")["ratio"])
        assert abs(whole / truth - 1) < 0.05, f"{run}: L3/L2 of the sum {whole}, truth {truth}"
        l3, l2 = data(out / "mn_map.hspy", "numerator"), data(out / "mn_map.hspy", "denominator")
        summed = l3[:, 44:].sum() / l2[:, 44:].sum()
        assert abs(summed / truth - 1) < 0.05, f"{run}: L3/L2 of the pixels' sums {summed}, truth {truth}"
        fine, weight, atomic = percent_of_hyperspy(out)
        assert fine.sum() > 50
        for i, name in enumerate(LINES):
            element = name[: name.index("_")]
            for ours, theirs, slack in ((data(out / "percent.hspy", element), atomic[i], 0.05), (data(out / "percent.hspy", f"{element}_weight"), weight[i], 0.01)):
                off = np.abs(ours.reshape(-1)[fine] - theirs).max()
                assert off < slack, f"{run} {name}: {off} percent apart"
        n, peer = data(out / "o_atoms.hspy", "O"), hydrogenic(out)
        assert np.abs(np.median(n / peer) - 1) < 0.12, f"{run}: {np.median(n / peer)} times the hydrogenic density"
        assert np.ptp(n / peer) < 1e-3
    assert len(rows) == 2 and all(abs(float(r["mn_l3_l2"]) / truth - 1) < 0.05 for r in rows), rows


def check_white_lines_of_lsmo(folder):
    """(La,Sr)MnO3, Mn3+ and Mn4+: published L3/L2 are 2 to 3; without its low loss the ratio comes out higher."""
    core, low = real("epsic-workshop/LSMO_linescan.hdf5"), real("epsic-workshop/LSMO_linescan_low_loss.hdf5")
    recipe = Path(folder) / "recipe.yaml"
    recipe.write_text(f"""eelpipe: 1
inputs: {{core: "{core}", ll: "{low}"}}
output: "{folder}/out"
steps:
  low: {{stage: sum_spectrum, input: ll}}
  net: {{stage: background, input: core, window: [590, 621]}}
  wl: {{stage: white_lines, element: Mn, search: 10, low_loss: low}}
  thick: {{stage: white_lines, input: net, element: Mn, search: 10}}
""", encoding="utf-8")
    eelpipe("run", recipe, "--quiet")
    ratio = float(table(f"{folder}/out/wl.look.fit.csv")["ratio"])
    assert 2.2 < ratio < 3.0, ratio
    assert float(table(f"{folder}/out/thick.look.fit.csv")["ratio"]) > 1.1 * ratio
    assert np.isfinite(data(f"{folder}/out/wl.hspy", "ratio")).all()
