"""What `eelpipe export` writes, read by others: TIFF by tifffile and Pillow, EMSA/MAS by HyperSpy, CSV by Python.

Values are compared bit by bit: float32 goes into a TIFF as it is, and texts hold the shortest number that reads back to the same double.
"""
import csv
import unittest
from pathlib import Path

import h5py
import numpy as np
from pipe import eelpipe, simulate

RECIPE = """
eelpipe: 1
inputs: {o: "data/{sample}/{temperature}C/o.hspy", eds: "data/{sample}/{temperature}C/eds.hspy"}
coordinates: {temperature: degC}
output: out
steps:
  net:      {stage: background, input: o, window: [495, 524]}
  map:      {stage: integrate, input: net, window: [528, 560]}
  sum:      {stage: sum_spectrum, input: o}
  sum_net:  {stage: background, input: sum, window: [495, 524]}
  lines:    {stage: eds_lines, input: eds, elements: [Ti, La, Mn, Co, Ni, O, Sr]}
  boundary: {stage: interface, input: lines.La_L, positive: low}
  profile:  {stage: profile, input: lines.Ti_K, shared: lines.Ti_K_shared, along: boundary, bin: 1}
"""


def made(tmp):
    """The folder of results, each exported into tmp/ex."""
    out = tmp / "out"
    if not out.exists():
        simulate("series", tmp / "data", "--samples", "ncm003", "--temperatures", "25", "--pixels", "24,64")
        (tmp / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        eelpipe("run", tmp / "recipe.yaml", "--quiet")
        for name in ("map", "sum_net", "profile", "boundary"):
            eelpipe("export", out / f"{name}.hspy", "--to", tmp / "ex", "--quiet")
    return out


def group(path, name):
    with h5py.File(path) as f:
        g = f["entry"][name]
        axes = [(g.attrs[f"axis_{k}_offset"], g.attrs[f"axis_{k}_scale"]) for k in range(g["data"].ndim)]
        return g["data"][()], g["data_errors"][()], axes


def check_tiff_has_the_same_floats(tmp):
    out = made(Path(tmp))
    try:
        import tifffile
        from PIL import Image
    except ImportError as e:
        raise unittest.SkipTest(f"{e.name} is not installed") from e
    values, errors, axes = group(out / "map.hspy", "intensity")
    for suffix, want in (("", values), ("_errors", errors)):
        path = Path(tmp) / "ex" / f"map.intensity{suffix}.tif"
        got = tifffile.imread(path)
        assert got.dtype == np.float32 and got.shape == want.shape
        assert got.tobytes() == want.astype(np.float32).tobytes(), path
        with Image.open(path) as im:
            assert im.mode == "F" and np.array_equal(np.array(im), want, equal_nan=True)
    with tifffile.TiffFile(Path(tmp) / "ex" / "map.intensity.tif") as f:
        assert f.is_imagej
        page, about = f.pages[0], f.imagej_metadata
        num, den = page.tags["XResolution"].value
        (y0, dy), (x0, dx) = axes
        assert abs(den / num / dx - 1) < 1e-6 and page.tags["ResolutionUnit"].value == 1
        num, den = page.tags["YResolution"].value
        assert abs(den / num / dy - 1) < 1e-6
        assert about["unit"] == "nm" and abs(-about["xorigin"] * dx - x0) < 1e-5 and abs(-about["yorigin"] * dy - y0) < 1e-5


def check_msa_read_by_hyperspy(tmp):
    out = made(Path(tmp))
    import hyperspy.api as hs
    values, errors, axes = group(out / "sum_net.hspy", "net")
    for suffix, want in (("", values), ("_errors", errors)):
        s = hs.load(str(Path(tmp) / "ex" / f"sum_net.net{suffix}.msa"))
        assert s.data.shape == want.shape
        assert np.array_equal(np.asarray(s.data, dtype=want.dtype), want, equal_nan=True)
        axis = s.axes_manager.signal_axes[0]
        assert axis.units == "eV" and (axis.offset, axis.scale) == axes[0]
        assert s.metadata.Acquisition_instrument.TEM.beam_energy == 200
        assert s.metadata.Signal.signal_type == "EELS"


def check_csv_of_profiles_and_curves(tmp):
    out = made(Path(tmp))
    values, errors, axes = group(out / "profile.hspy", "profile")
    with open(Path(tmp) / "ex" / "profile.profile.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    assert rows[0] == ["distance (nm)", "value (counts)", "value sigma (counts)"]
    table = np.array([[float(x or "nan") for x in r] for r in rows[1:]])
    assert np.array_equal(table[:, 1], values, equal_nan=True) and np.array_equal(table[:, 2], errors, equal_nan=True)
    assert np.allclose(table[:, 0], axes[0][0] + axes[0][1] * np.arange(len(values)), rtol=0, atol=1e-9)
    with h5py.File(out / "boundary.hspy") as f:
        points = f["entry"]["boundary"]["data"][()]
    with open(Path(tmp) / "ex" / "boundary.boundary.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    assert rows[0][:2] == ["y (nm)", "x (nm)"]
    assert np.array_equal(np.array(rows[1:], dtype=float), points)
    eelpipe("export", out / "map.hspy", "--format", "csv", "--only", "intensity", "--to", tmp, "--quiet")
    values, errors, axes = group(out / "map.hspy", "intensity")
    with open(Path(tmp) / "map.intensity.csv", encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    assert len(rows) == 1 + values.size and rows[0][0].endswith("(nm)")
    got = np.array([float(r[2] or "nan") for r in rows[1:]], dtype=np.float32).reshape(values.shape)
    assert np.array_equal(got, values, equal_nan=True)
