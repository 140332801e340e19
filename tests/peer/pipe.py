"""What the checks share: running the program, reading its results."""
import os
import subprocess
import unittest
from pathlib import Path

import h5py
import numpy as np

EELPIPE, SIMULATE = os.environ["EELPIPE"], os.environ["SIMULATE"]


def run(*argv, code=0):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stderr[-2000:]}"
    return done


def eelpipe(*argv, code=0):
    return run(EELPIPE, *argv, code=code)


def simulate(*argv):
    return run(SIMULATE, *argv)


def arrays(path):
    """Every array of a result, by its name under /entry (titles and process texts left out)."""
    found = {}
    with h5py.File(path, "r") as f:
        def visit(name, item):
            if isinstance(item, h5py.Dataset) and not name.startswith("eelpipe/") and not name.endswith("title"):
                found[name] = item[()]
        f["entry"].visititems(visit)
    return found


def same_bits(a, b, what):
    assert a.keys() == b.keys(), f"{what}: {sorted(a.keys() ^ b.keys())} in one of them only"
    for name in a:
        x, y = np.asarray(a[name]), np.asarray(b[name])
        if x.dtype == object:
            assert (x == y).all(), f"{what}: {name} differs"
            continue
        assert x.shape == y.shape and x.dtype == y.dtype, f"{what}: {name}: {x.dtype}{x.shape} against {y.dtype}{y.shape}"
        assert x.tobytes() == y.tobytes(), f"{what}: {name} differs in {(x != y).sum()} of {x.size} values"


def data(path, name):
    with h5py.File(path, "r") as f:
        return f[f"entry/{name}/data"][()]


def real(name):
    """A measured file, or the check is skipped."""
    folder = os.environ.get("EELPIPE_TEST_DATA") or str(Path(__file__).resolve().parents[3] / "shared" / "data")
    path = Path(folder) / name
    if not path.exists():
        raise unittest.SkipTest(f"no {name} in the folder of measured data")
    return path
