"""`thickness` and `deconvolve` against HyperSpy.

t/lambda is compared on measured low losses with the zero-loss peak cut at the same distance above it: HyperSpy cuts at a channel, we
at a fraction of one from the peak's centre, which is not the highest channel; so I0 may differ by the counts of two channels there.
Mean free paths are HyperSpy's to rounding. Fourier-log is compared on the simulated low loss, by windows of 5 eV: the simulated peak has
feet and the methods treat what is lost in noise differently, so windows agree to 0.3 % of all losses.
"""
from pathlib import Path

import h5py
import numpy as np
from pipe import data, eelpipe, real, simulate

END = 5.0


def load(path):
    import hyperspy.api as hs

    hs.set_log_level("ERROR")
    s = hs.load(str(path), reader="hspy") if str(path).endswith("hdf5") else hs.load(str(path))
    s.set_signal_type("EELS")
    return s


def compare(tmp, name, file):
    s = load(real(file))
    s.save(f"{tmp}/{name}.hspy")
    eelpipe("stage", "thickness", f"{tmp}/{name}.hspy", f"{tmp}/t.hspy", "tail=none", f"zlp_end={END}")
    ours = np.atleast_1d(data(f"{tmp}/t.hspy", "t_over_lambda"))
    axis = s.axes_manager.signal_axes[0]
    theirs, slack = np.empty(ours.size), np.empty(ours.size)
    for i, spectrum in enumerate([s] if s.data.ndim == 1 else list(s)):
        counts = np.asarray(spectrum.data, dtype=float).ravel()
        cut = axis.offset + axis.scale * counts.argmax() + END
        zero = spectrum.estimate_elastic_scattering_intensity(threshold=cut)
        theirs[i] = np.log(counts.sum() / float(np.asarray(zero.data).ravel()[0]))
        at = int(round((cut - axis.offset) / axis.scale))
        slack[i] = 2 * counts[at - 2:at + 3].max() / counts[:at].sum()
    off = np.abs(ours.ravel() - theirs) / slack
    assert np.isfinite(ours).all() and off.max() <= 1, f"{name}: {off.max():.2f} times the slack, {ours.ravel()[:3]} against {theirs[:3]}"
    assert slack.max() < 0.02


def check_lsmo(tmp):
    compare(tmp, "lsmo", "epsic-workshop/LSMO_linescan_low_loss.hdf5")


def check_titania(tmp):
    compare(tmp, "tio2", "eelsmodel/T3_B3_region1/SI_LL.dm3")


def check_boron_nitride(tmp):
    compare(tmp, "bn", "eelsmodel/T3_A3_region1/LL_SI.dm3")


def check_strontium_titanate(tmp):
    compare(tmp, "sto", "eelsmodel/SrTiO3_example/ll.dm3")


def check_exspy_low_loss(tmp):
    compare(tmp, "exspy", "exspy/lowloss_spectrum.msa")


def check_mean_free_path(tmp):
    simulate("series", f"{tmp}/s", "--samples", "ncm003", "--temperatures", "25")
    low = next(Path(f"{tmp}/s").rglob("ll.hspy"))
    s = load(low)
    eelpipe("stage", "thickness", low, f"{tmp}/t.hspy", "density=4.7", "tail=none", "zlp_end=4")
    with h5py.File(f"{tmp}/t.hspy") as f:
        ours = f["entry/thickness/data"][()] / f["entry/t_over_lambda/data"][()]
    one = s.inav[0, 0]
    theirs = one.estimate_thickness(threshold=4.0, density=4.7).data / one.estimate_thickness(threshold=4.0).data
    np.testing.assert_allclose(ours, float(np.ravel(theirs)[0]), rtol=2e-6)


def check_fourier_log(tmp):
    simulate("series", f"{tmp}/s", "--samples", "ncm003", "--temperatures", "25")
    low = next(Path(f"{tmp}/s").rglob("ll.hspy"))
    raw = load(low)
    total = raw.sum()                       # one spectrum: both know what to do with noise then
    total.save(f"{tmp}/sum.hspy")
    eelpipe("stage", "deconvolve", f"{tmp}/sum.hspy", f"{tmp}/single.hspy", "zlp_end=3.5")
    ours = data(f"{tmp}/single.hspy", "single")
    axis = total.axes_manager.signal_axes[0]
    energy = axis.axis
    counts = total.data.astype(float)
    cut = energy[counts.argmax()] + 3.5
    zlp = total.deepcopy()
    zlp.data = np.where(energy < cut, counts, 0.0)
    zlp = zlp.isig[:cut]
    total.change_dtype("float64")
    theirs = total.fourier_log_deconvolution(zlp, add_zlp=False, crop=False).data
    losses = counts[energy >= cut].sum()
    for e in np.arange(5, 75, 5.0):
        w = (energy >= e) & (energy < e + 5)
        off = abs(ours[w].sum() - theirs[:energy.size][w].sum()) / losses
        assert off < 3e-3, f"{e} eV: {ours[w].sum():.0f} against {theirs[:energy.size][w].sum():.0f}, {off:.1e} of all losses"
