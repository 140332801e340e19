"""The same bits whatever the threads, the layout of the file, and the way through memory or through files."""
import shutil
from pathlib import Path

from pipe import arrays, eelpipe, same_bits, simulate

IMAGE = ["--pixels", "53,150", "--channels", "300", "--offset", "440", "--scale", "0.5", "--amplitude", "40", "--edge-jump", "15", "--dtype", "f4"]
STEPS = """  ml:      {{stage: background, input: {input}, window: [480, 525], keep: [net]}}
  ml_map:  {{stage: integrate, input: {ml}, window: [530, 560]}}
  ml_norm: {{stage: integrate, input: {ml}, window: [530, 540], normalize: [545, 560]}}
  two:     {{stage: background, input: {input}, window: [480, 525], method: two_area}}
  two_map: {{stage: integrate, input: two, window: [530, 560]}}
  lcpl:    {{stage: background, input: {input}, window: [480, 525], method: lcpl}}
  lcpl_map: {{stage: integrate, input: lcpl, window: [530, 560]}}
  avg:     {{stage: background, input: {input}, window: [480, 525], average: {{fwhm: 3}}}}
  avg_map: {{stage: integrate, input: avg, window: [530, 560]}}
  sum:     {{stage: sum_spectrum, input: {input}}}
  sum_net: {{stage: background, input: sum, window: [480, 525]}}
  sum_o:   {{stage: integrate, input: sum_net, window: [530, 560]}}
  two_ch:  {{stage: rebin, input: {input}, energy: 2}}
  two_ch_net: {{stage: background, input: two_ch, window: [480, 525]}}
  two_ch_map: {{stage: integrate, input: two_ch_net, window: [530, 560]}}
  after:   {{stage: rebin, input: {ml}, energy: 2}}
  after_map: {{stage: integrate, input: after, window: [530, 560]}}
  blocks:  {{stage: rebin, input: {input}, space: [2, 3]}}
  blocks_sum: {{stage: sum_spectrum, input: blocks}}
  blocks_net: {{stage: background, input: blocks, window: [480, 525]}}
  blocks_map: {{stage: integrate, input: blocks_net, window: [530, 560]}}
  part:    {{stage: crop, input: {input}, energy: [470, 570], rows: [5, 40], columns: [10, 100]}}
  part_net: {{stage: background, input: part, window: [480, 525]}}
  part_map: {{stage: integrate, input: part_net, window: [530, 560]}}
"""


def recipe(tmp, out, image, more_inputs="", **names):
    names = {"input": "core", "ml": "ml", **names}
    path = Path(tmp) / f"{out}.yaml"
    path.write_text(f'eelpipe: 1\ninputs:\n  core: "{image}"\n{more_inputs}output: {out}\nsteps:\n' + STEPS.format(**names), encoding="utf-8")
    return path


def results(tmp, out):
    return {p.stem: p for p in Path(tmp, out).glob("*.hspy")}


def compare(tmp, a, b):
    x, y = results(tmp, a), results(tmp, b)
    assert x and x.keys() == y.keys(), f"{sorted(x.keys() ^ y.keys())} in one of {a}, {b} only"
    for step in x:
        same_bits(arrays(x[step]), arrays(y[step]), f"{a} against {b}: {step}")


def check_threads_and_memory(tmp):
    image = f"{tmp}/c.hspy"
    simulate("powerlaw", image, *IMAGE, "--layout", "chunked")
    for threads, memory in ((1, "64M"), (2, "64M"), (7, "2M")):
        out = f"t{threads}"
        eelpipe("run", recipe(tmp, out, image), "--quiet", "--threads", threads, "--memory", memory)
    for out in ("t2", "t7"):
        for step, path in results(tmp, "t1").items():
            other = results(tmp, out)[step]
            assert path.read_bytes() == other.read_bytes(), f"{step}: the file differs between 1 thread and {out}"


def check_layouts(tmp):
    for layout in ("contiguous", "chunked", "chunked11"):
        image = f"{tmp}/{layout}.hspy"
        simulate("powerlaw", image, *IMAGE, "--layout", layout, *(["--compress"] if layout == "chunked11" else []))
        eelpipe("run", recipe(tmp, f"o_{layout}", image), "--quiet")
    compare(tmp, "o_contiguous", "o_chunked")
    compare(tmp, "o_contiguous", "o_chunked11")


def check_fused_or_through_files(tmp):
    image = f"{tmp}/c.hspy"
    simulate("powerlaw", image, *IMAGE)
    eelpipe("run", recipe(tmp, "fused", image), "--quiet")
    net = f"{tmp}/fused/ml.hspy"
    eelpipe("run", recipe(tmp, "filed", image, more_inputs=f'  mlfile: {{path: "{net}", signal: net}}\n', ml="mlfile"), "--quiet")
    compare(tmp, "fused", "filed")
    eelpipe("stage", "background", image, f"{tmp}/alone.hspy", "window=480,525")
    eelpipe("stage", "integrate", f"{tmp}/alone.hspy", f"{tmp}/alone_map.hspy", "window=530,560")
    same_bits(arrays(f"{tmp}/alone_map.hspy"), arrays(f"{tmp}/fused/ml_map.hspy"), "stage by stage")


def check_two_writers(tmp):
    image = f"{tmp}/c.hspy"
    simulate("powerlaw", image, *IMAGE)
    eelpipe("run", recipe(tmp, "a", image), "--quiet")
    first = {s: p.read_bytes() for s, p in results(tmp, "a").items()}
    shutil.rmtree(f"{tmp}/a")
    eelpipe("run", recipe(tmp, "a", image), "--quiet")
    for step, path in results(tmp, "a").items():
        assert path.read_bytes() == first[step], f"{step}: written twice, two files"
