"""Isolated X-ray lines against HyperSpy's windows (get_lines_intensity), on measured files.

HyperSpy sums a window around the line and subtracts a line drawn through two background windows; we fit the peak. Both have
counting errors, ours and those of the windows, which share most counts: differences are expected to be below the two sigmas
added in squares. Windows are wide enough for the whole peak (3 widths) and lie clear of other lines.
"""
from pathlib import Path

import h5py
import numpy as np
from pipe import eelpipe, real

# file, elements, artefacts
FILES = {
    "core_shell": ("nist-tutorial/core_shell.hspy", "[Fe, Pt]", "[Cu, C, O, Si]"),
    "sio2": ("epsic-workshop/SiO2 EDS Spectrum Image.hspy", "[O, Si]", "[Cu, C]"),
    "fept": ("exspy/EDS_TEM_FePt_nanoparticles.hspy", "[Fe, Pt]", "[Cu, C, O, Si]"),
}
# line: window, background windows (keV of the file's axis)
WINDOWS = {
    "Fe_Ka": ((6.18, 6.62), (5.70, 5.90, 6.66, 6.76)),
    "Cu_Ka": ((7.80, 8.28), (7.50, 7.70, 8.50, 8.64)),
    "Cu_Ka of sio2": ((7.84, 8.34), (7.40, 7.70, 8.45, 8.65)),
}


def ours(tmp, file, elements, artefacts, lines):
    recipe = Path(tmp) / "recipe.yaml"
    recipe.write_text(f"""eelpipe: 1
inputs: {{eds: "{file}"}}
output: "{tmp}/out"
steps:
  lines: {{stage: eds_lines, input: eds, elements: {elements}, artefacts: {artefacts}}}
""", encoding="utf-8")
    eelpipe("run", recipe, "--quiet")
    with h5py.File(f"{tmp}/out/lines.hspy", "r") as f:
        found = {}
        for line in lines:
            group = f[f"entry/{line}"]
            sigma = next(group[k][()] for k in group if k.endswith("errors"))
            found[line] = (np.atleast_1d(group["data"][()]), np.atleast_1d(sigma))
    return found


def windows(signal, window, background):
    """HyperSpy's net counts and their variance."""
    net = signal.get_lines_intensity(background_windows=[list(background)], integration_windows=[list(window)])[0].data
    width = [signal.isig[a:b].data.shape[-1] for a, b in (window, background[:2], background[2:])]
    sums = [signal.isig[a:b].data.sum(axis=-1).astype(float) for a, b in (window, background[:2], background[2:])]
    var = sums[0] + sum((width[0] / 2 / n) ** 2 * s for n, s in zip(width[1:], sums[1:]))
    return np.atleast_1d(net).astype(float), np.atleast_1d(var)


def compare(tmp, name, lines):
    import hyperspy.api as hs

    file, elements, artefacts = FILES[name]
    path = real(file)
    signal = hs.load(str(path), reader="hspy")
    signal = signal[0] if isinstance(signal, list) else signal
    signal.set_signal_type("EDS_TEM")
    maps = ours(tmp, path, elements, artefacts, lines)
    for line in lines:
        window, background = WINDOWS.get(f"{line} of {name}", WINDOWS[line])
        signal.set_elements([line.split("_")[0]])
        signal.set_lines([line])
        net, var = windows(signal, window, background)
        value, sigma = maps[line]
        assert value.shape == net.shape, f"{line}: {value.shape} against {net.shape}"
        difference = (value.sum() - net.sum()) / np.sqrt(var.sum() + (sigma**2).sum())
        print(f"  {name} {line}: {value.sum():.0f} +- {np.sqrt((sigma**2).sum()):.0f}, HyperSpy {net.sum():.0f} +- "
              f"{np.sqrt(var.sum()):.0f}; {difference:+.2f} sigma")
        assert abs(difference) < 2, f"{line}: {value.sum():.0f} against {net.sum():.0f}, {difference:+.2f} sigma"
        if value.size > 1:
            z = (value - net) / np.sqrt(np.maximum(var, 1) + sigma**2)
            assert np.sqrt((z**2).mean()) < 1, f"{line}: pixels differ by {np.sqrt((z ** 2).mean()):.2f} sigma rms"


def check_core_shell(tmp):
    compare(tmp, "core_shell", ["Fe_Ka", "Cu_Ka"])


def check_sio2(tmp):
    compare(tmp, "sio2", ["Cu_Ka"])


def check_spectrum(tmp):
    compare(tmp, "fept", ["Fe_Ka", "Cu_Ka"])
