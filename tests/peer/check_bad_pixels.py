"""No pixel decides for another: bad pixels are NaN with a flag, every other pixel keeps its bits."""
import h5py
import numpy as np
from pipe import arrays, eelpipe, simulate

FLAG = {"no_counts": 1 << 0, "not_finite": 1 << 5}
BAD = {(3, 4): "zero", (7, 20): "nan", (12, 33): "negative", (20, 1): "inf"}


def spoil(path):
    with h5py.File(path, "r+") as f:
        d = f[next(n for n in walk(f) if n.endswith("/data"))]
        cube = d[()]
        for (y, x), what in BAD.items():
            if what == "zero":
                cube[y, x] = 0
            elif what == "negative":
                cube[y, x] = -np.abs(cube[y, x]) - 1
            else:
                cube[y, x, 200] = np.nan if what == "nan" else np.inf
        d[...] = cube


def walk(f):
    names = []
    f.visit(names.append)
    return names


def check_planted_pixels(tmp):
    for name in ("clean", "spoilt"):
        image = f"{tmp}/{name}.hspy"
        simulate("powerlaw", image, "--pixels", "24,40", "--channels", "400", "--offset", "440", "--scale", "0.25", "--amplitude", "100",
                 "--dtype", "f4", "--layout", "chunked")
        if name == "spoilt":
            spoil(image)
    for method in ("ml", "two_area", "log_ls", "exponential"):
        for name in ("clean", "spoilt"):
            recipe = f"{tmp}/{name}.yaml"
            with open(recipe, "w", encoding="utf-8") as f:
                f.write(f"""eelpipe: 1
inputs: {{core: {name}.hspy}}
output: out_{name}_{method}
steps:
  net: {{stage: background, input: core, window: [480, 525], method: {method}, keep: true}}
  map: {{stage: integrate, window: [530, 535]}}
""")
            eelpipe("run", recipe, "--quiet")
        for step in ("net", "map"):
            clean = arrays(f"{tmp}/out_clean_{method}/{step}.hspy")
            spoilt = arrays(f"{tmp}/out_spoilt_{method}/{step}.hspy")
            for key, x in clean.items():
                y = spoilt[key]
                if x.shape[:2] != (24, 40):
                    continue
                good = np.ones((24, 40), bool)
                for (py, px) in BAD:
                    good[py, px] = False
                assert x[good].tobytes() == y[good].tobytes(), f"{method} {step} {key}: another pixel changed"
                for (py, px), what in BAD.items():
                    if key.endswith("flags"):
                        want = FLAG["no_counts"] if what in ("zero", "negative") else FLAG["not_finite"]
                        assert y[py, px] & want, f"{method} {step} {key}: {what} pixel has flags {y[py, px]}"
                    elif key.endswith(("data", "data_errors")):
                        assert np.isnan(y[py, px]).all(), f"{method} {step} {key}: {what} pixel is {np.ravel(y[py, px])[0]}"
