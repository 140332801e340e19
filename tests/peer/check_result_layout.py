#!/usr/bin/python3
"""Opens what write_examples.c wrote with HyperSpy and h5py, and follows the way viewers take to the default plot.

usage: check_result_layout.py FOLDER     (prints "PASS name" or "FAIL name: why"; exit code 1 if anything failed)
"""
import logging
import os
import sys
import traceback
import warnings

warnings.simplefilter("ignore")
import h5py
import numpy as np
import hyperspy.api as hs
from hyperspy.signals import EDSTEMSpectrum, EELSSpectrum, Signal1D, Signal2D


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError("%s: %r instead of %r" % (what, found, wanted))


def same(found, wanted, what):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted), err_msg=what)


def load(folder, step):
    """The file's signals, eager; their values are compared with the lazy ones on the way."""
    path = os.path.join(folder, step + ".hspy")
    eager, lazy = hs.load(path), hs.load(path, lazy=True)
    eager = eager if isinstance(eager, list) else [eager]
    lazy = lazy if isinstance(lazy, list) else [lazy]
    expect(len(lazy), len(eager), "number of lazy signals")
    for e, z in zip(eager, lazy):
        expect(z._lazy, True, "lazy")
        expect(type(z).__name__, "Lazy" + type(e).__name__, "lazy class")
        same(z.data.compute(), e.data, "lazy values")
        expect([a.scale for a in z.axes_manager._axes], [a.scale for a in e.axes_manager._axes], "lazy axes")
    lazy[0].close_file()
    return eager


def axes(signal):
    """(name, units, offset, scale, size, navigate, binned) of each array dimension."""
    return [(a.name, str(a.units), a.offset, a.scale, a.size, bool(a.navigate), bool(a.is_binned))
            for a in signal.axes_manager._axes]


def only(signals, kind):
    expect(len(signals), 1, "signals")
    expect(type(signals[0]), kind, "class")
    return signals[0]


Y, X = ("y", "nm", 1.5, 0.5), ("x", "nm", -2.0, 0.25)


def check_image(folder):
    s = only(load(folder, "image"), EELSSpectrum)
    expect(axes(s), [Y + (21, True, False), X + (70, True, False), ("Energy loss", "eV", 500, 0.3, 300, False, True)], "axes")
    y, x, k = np.ogrid[:21, :70, :300]
    same(s.data, (y * 1000 + x * 10 + k / 8).astype("f4"), "values")
    expect(s.data.dtype, np.dtype("<f4"), "type")
    m = s.metadata
    expect(m.General.title, "Grain \u00e9tude \"7\"", "title")
    expect(m.Acquisition_instrument.TEM.beam_energy, 200, "beam energy")
    expect(m.Acquisition_instrument.TEM.convergence_angle, 25, "convergence")
    expect(m.Acquisition_instrument.TEM.Detector.EELS.collection_angle, 40, "collection")
    expect(m.Acquisition_instrument.TEM.Detector.EELS.dwell_time, 0.01, "dwell")
    expect(sorted(m.Sample.elements), ["Li", "O", "Ti"], "elements")
    expect(m.Signal.quantity, "Net intensity (counts)", "quantity")
    own = s.original_metadata.eelpipe
    expect((own.entry, own.step, own.fingerprint[:4]), ("/entry/net", "image", "0011"), "origin")
    expect(s.isig[510.0:520.0].axes_manager[-1].size, 34, "slice by energy")


def check_image_attachments(folder):
    with h5py.File(folder + "/image.hspy", "r") as f:
        g = f["entry/net"]
        expect(dict((k, g.attrs[k]) for k in ("kind", "noise", "signal_type", "shift_max", "nnav")),
               {"kind": "spectrum image", "noise": "independent", "signal_type": "EELS", "shift_max": 2, "nnav": 2}, "attributes")
        expect(bool(g.attrs["primary"]), True, "primary")
        expect("exposure_s" in g.attrs, False, "unknown exposure is absent")
        n = np.arange(21 * 70).reshape(21, 70)
        same(g["shift"], n / 1000, "shift")
        expect(g["shift"].attrs["units"], "eV", "unit of the shift")
        c = g["covariance"]
        expect((c.attrs["form"], c.attrs["method"]), ("power", "ml"), "model")
        same(c.attrs["windows"], [[505, 510], [515, 524]], "windows")
        same(c["theta"][..., 0], n, "theta")
        expect(c["cmat"].shape, (21, 70, 3), "cmat")
        flags = g["flags"]
        expect(flags.dtype, np.dtype("<u4"), "flags")
        masked = dict(zip(flags.attrs["flag_meanings"].split(), flags.attrs["flag_masks"]))["masked"]
        same(flags[...] == masked, n == 5, "flag")
        same(g["energy"], 500 + 0.3 * np.arange(300), "energy vector")
        expect(g["data"].chunks, (16, 16, 150), "chunks")
        expect(g["data"].id.get_create_plist().get_nfilters(), 0, "filters")


def check_maps(folder):
    s = load(folder, "maps")
    expect([type(x) for x in s], [Signal2D] * 6, "classes")
    expect([x.metadata.General.title for x in s],
           [n + t for n in ("li_k", "exponent") for t in ("", " (standard deviation)", " (flags)")], "titles, primary first")
    i = np.arange(108).reshape(9, 12)
    same(s[0].data, np.where(i == 3, np.nan, i / 2).astype("f4"), "values")
    same(s[1].data, (i / 10).astype("f4"), "sigma")
    same(s[2].data, np.where(i == 3, 2, 0), "flags")
    for x in s:
        expect(axes(x), [Y + (9, False, False), X + (12, False, False)], "axes")
    expect(s[0].metadata.Acquisition_instrument.TEM.beam_energy, 200, "beam energy")


def check_number(folder):
    s = load(folder, "number")
    expect([type(x) for x in s], [Signal1D] * 3, "classes")
    same(s[0].data, [0], "value")
    with h5py.File(folder + "/number.hspy", "r") as f:
        g = f["entry/total"]
        expect((g.attrs["nnav"], g["data"].shape, g["flags"].shape), (0, (1,), (1,)), "shape")


def check_line_map(folder):
    s = load(folder, "line_map")
    expect([type(x) for x in s], [Signal1D] * 3, "classes")
    expect(axes(s[0]), [X + (12, False, False)], "axes")


def check_profile(folder):
    s = load(folder, "profile")
    expect([type(x) for x in s], [Signal1D] * 2, "classes")
    expect(axes(s[0]), [("distance", "nm", -10, 0.5, 41, False, False)], "axes")
    same(s[0].data, 3.0 * np.arange(41), "values")
    same(s[1].data, np.full(41, 0.5), "sigma")
    expect(s[0].metadata.Signal.quantity, "Ti fraction", "quantity without a unit")


def check_spectrum(folder):
    s = load(folder, "spectrum")
    expect([type(x) for x in s], [EELSSpectrum, Signal1D], "classes")
    expect(axes(s[0]), [("Energy loss", "eV", 500, 0.3, 41, False, True)], "axes")
    same(s[0].data, 3.0 * np.arange(41), "values")


def check_line_scan(folder):
    s = only(load(folder, "line_scan"), EELSSpectrum)
    expect(axes(s), [X + (130, True, False), ("Energy loss", "eV", 500, 0.3, 50, False, True)], "axes")
    same(s.data.ravel(), np.arange(130 * 50) % 250, "values")


def check_eds(folder):
    s = only(load(folder, "eds"), EDSTEMSpectrum)
    expect(axes(s), [Y + (18, True, False), X + (19, True, False), ("Energy", "keV", -0.2, 0.01, 700, False, True)], "axes")
    expect(s.data.dtype, np.dtype("<u2"), "type")
    same(s.data.ravel(), np.arange(18 * 19 * 700) % 250, "values")
    expect(s.metadata.Acquisition_instrument.TEM.Detector.EDS.live_time, 12.5, "live time")


def check_series(folder):
    s = only(load(folder, "series"), EELSSpectrum)
    expect(axes(s), [("time", "s", 0, 30, 3, True, False), Y + (10, True, False), X + (20, True, False),
                     ("Energy loss", "eV", 500, 0.3, 30, False, True)], "axes")
    same(s.data.ravel(), np.arange(3 * 10 * 20 * 30) % 250, "values")


def check_table(folder):
    with h5py.File(folder + "/table.hspy", "r") as f:
        g = f["entry/fronts"]
        expect(list(g.attrs["columns"]), ["sample", "temperature", "front_position", "width"], "columns")
        expect((g.attrs["signal"], list(g.attrs["axes"]), list(g.attrs["auxiliary_signals"])),
               ("front_position", ["temperature"], ["width"]), "plot")
        expect([v.decode() for v in g["sample"]], ["A", "", "\u00e9 \"b\""], "texts")
        same(g["front_position"], [1.5, np.nan, 4], "values")
        same(g["front_position_errors"], [0.1, np.nan, 0.3], "sigma")
        expect(g["temperature"].attrs["units"], "degC", "unit")
        expect(list(f["Experiments"]), [], "not in the HyperSpy view")


def check_curve(folder):
    s = load(folder, "boundary")
    expect([x.metadata.General.title for x in s][0], "distance", "HyperSpy sees the map")
    with h5py.File(folder + "/boundary.hspy", "r") as f:
        g = f["entry/boundary"]
        expect((g.attrs["kind"], g["data"].attrs["units"]), ("curve", "nm"), "curve")
        same(g["data"], np.arange(35.0).reshape(7, 5), "points")


def check_links(folder):
    """Every array once: the HyperSpy view is made of hard links."""
    names = sorted(os.listdir(folder))
    for name in names:
        with h5py.File(os.path.join(folder, name), "r") as f:
            for exp, g in f["Experiments"].items():
                entry = f[g["original_metadata/eelpipe"].attrs["entry"]]
                twin = [d for d in ("data", "data_errors", "flags") if d in entry and entry[d] == g["data"]]
                expect(len(twin), 1, "%s: twin of %s" % (name, exp))
                expect(g["data"].chunks is not None, True, "%s: %s is chunked" % (name, exp))


def check_default_plot(folder):
    """root@default -> entry@default -> signal, axes of the right length, errors of the right shape."""
    wanted = {"image": "net", "maps": "li_k", "number": "total", "line_map": "li_k", "profile": "ti", "spectrum": "sum",
              "table": "fronts", "boundary": "distance", "line_scan": "net", "eds": "eds", "series": "net"}
    for step, default in wanted.items():
        with h5py.File("%s/%s.hspy" % (folder, step), "r") as f:
            expect((f.attrs["NX_class"], f.attrs["eelpipe_layout"]), ("NXroot", 1), step)
            entry = f[f.attrs["default"]]
            expect((entry.attrs["NX_class"], entry.attrs["default"]), ("NXentry", default), step)
            g = entry[entry.attrs["default"]]
            expect(g.attrs["NX_class"], "NXdata", step)
            data = g[g.attrs["signal"]]
            for k, a in enumerate(g.attrs.get("axes", [])):
                if a != ".":
                    expect((g[a].shape, g.attrs[a + "_indices"]), ((data.shape[k],), k), step + ": axis " + a)
                    expect("units" in g[a].attrs, True, step + ": unit of " + a)
            errors = g.attrs["signal"] + "_errors"
            if errors in g:
                expect(g[errors].shape, data.shape, step + ": errors")
            expect(isinstance(data.attrs["units"], str), True, step + ": units")


def check_origin(folder):
    with h5py.File(folder + "/maps.hspy", "r") as f:
        g = f["entry/eelpipe"]
        expect([str(g.attrs[k]) for k in ("program", "version", "step", "stage", "stage_version")],
               ["eelpipe", "0.0.0", "maps", "example", "3"], "program, step")
        expect(g["parameters"][()].decode(), '{"window":[505,524]}', "parameters")
        expect(f["entry/title"][()].decode(), "maps", "title")
        expect(f["entry/li_k"].attrs["gain_estimated"].dtype, np.dtype("bool"), "booleans are h5py's")


def main(folder):
    logging.disable(logging.CRITICAL)
    failed = 0
    for name, check in list(globals().items()):
        if not name.startswith("check_"):
            continue
        try:
            check(folder)
            print("PASS " + name)
        except Exception as e:
            failed += 1
            where = traceback.extract_tb(e.__traceback__)[1]
            print("FAIL %s: line %d: %s" % (name, where.lineno, " ".join(str(e).split())[:400]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
