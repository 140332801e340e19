#!/usr/bin/env python3
"""Times whole processes, from a spectrum image on disk to a net map on disk: the program against HyperSpy.

A 256 x 256 x 1024 float32 image: contiguous, in chunks as HyperSpy saves it without compression, and as it saves by
default (gzip: then inflating is most of the work, for both). Each round runs every
contender once, in turn, each into a new place; the first round warms the file cache and is not counted. A recipe of
background + integrate is what both do; HyperSpy's is two_area (its formula), ml is the program's default and does more.
Peak memory is the largest resident set of the process. Not part of the tests: numbers of one machine at one moment.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIT, WINDOW = (480, 525), (532, 582)
RECIPE = """\
eelpipe: 1
inputs:
  core: {image}
output: {output}
steps:
  net: {{stage: background, input: core, window: [{fit[0]}, {fit[1]}], method: {method}}}
  sum: {{stage: integrate, input: net, window: [{window[0]}, {window[1]}]}}
"""


def timed(argv):
    """Seconds of wall clock and peak resident MiB of one process; its output is shown only when it fails."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            sys.exit(f"bench: {' '.join(map(str, argv))} ended with {child.returncode}:\n"
                     + said.read().decode("utf-8", "replace"))
    return seconds, usage.ru_maxrss / 1024


def simulate(program, path, layout, side, channels):
    layout, *gzip = layout.split()
    timed([program, "powerlaw", path, "--pixels", f"{side},{side}", "--channels", channels, "--layout", layout,
           *(["--compress"] if gzip else []), "--offset", 400, "--scale", 0.25, "--reference", 480, "--amplitude", 300, "--edge-onset", 532,
           "--edge-jump", 90])


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.processor())
    return f"{model}, {len(os.sched_getaffinity(0))} processors, {platform.system()} {platform.release()}"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default="build")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--side", type=int, default=256)
    ap.add_argument("--channels", type=int, default=1024)
    ap.add_argument("--threads", type=int, default=0, help="of the program; 0: its own choice")
    ap.add_argument("--folder", help="where the images go (default: a temporary folder)")
    ap.add_argument("--peer-python", default=os.environ.get("PEER_PYTHON", "/usr/bin/python3"))
    args = ap.parse_args()
    eelpipe, simulator = ROOT / args.build / "eelpipe", ROOT / args.build / "simulate"

    folder = Path(tempfile.mkdtemp(prefix="eelpipe-bench-", dir=args.folder))
    try:
        peer = subprocess.run([args.peer_python, "-W", "ignore", "-c", "import hyperspy; print(hyperspy.__version__)"],
                              capture_output=True, text=True, check=False)
        peer_version = peer.stdout.strip().splitlines()[-1] if peer.returncode == 0 else None
        print(f"machine: {machine()}")
        print(f"image: {args.side} x {args.side} x {args.channels} float32, "
              f"{args.side ** 2 * args.channels * 4 / 2 ** 20:.0f} MiB; {args.rounds} rounds after one to warm up")
        print(f"peer: HyperSpy {peer_version}" if peer_version else "peer: HyperSpy is not here, left out")
        for layout in ("contiguous", "hyperspy", "hyperspy gzip"):
            image = folder / f"{layout.replace(' ', '-')}.hspy"
            simulate(simulator, image, layout, args.side, args.channels)
            compare(args, eelpipe, peer_version, folder, layout, image)
            image.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(args, eelpipe, peer_version, folder, layout, image):
    threads = ["--threads", args.threads] if args.threads else []

    def recipe(method):
        def run(place):
            path = place / "recipe.yaml"
            path.write_text(RECIPE.format(image=image, output=place / "out", fit=FIT, window=WINDOW, method=method))
            return timed([eelpipe, "run", path, "--quiet", *threads])
        return run

    def stage(place):
        return timed([eelpipe, "stage", "background", image, place / "net.hspy", f"window={FIT[0]},{FIT[1]}"])

    def hyperspy(place):
        return timed([args.peer_python, ROOT / "bench/hyperspy_peer.py", image, place / "sum.hspy", *FIT, *WINDOW])

    contenders = {"run, two_area": recipe("two_area"), "run, ml": recipe("ml"),
                  "stage background (writes the net image)": stage}
    if peer_version:
        contenders["HyperSpy"] = hyperspy
        start = "import hyperspy.api as hs; hs.load; hs.signals.EELSSpectrum"
        contenders["HyperSpy's start alone"] = lambda _: timed([args.peer_python, "-W", "ignore", "-c", start])
    results = {name: [] for name in contenders}
    for turn in range(args.rounds + 1):
        for name, contender in contenders.items():
            place = Path(tempfile.mkdtemp(dir=folder))
            result = contender(place)
            shutil.rmtree(place)
            if turn > 0:
                results[name].append(result)
    print(f"\n{layout}\n  {'':40} {'min s':>8} {'median s':>9} {'peak MiB':>9}  HyperSpy's median / this")
    peer_median = statistics.median(s for s, _ in results["HyperSpy"]) if peer_version else None
    for name, got in results.items():
        seconds = [s for s, _ in got]
        ratio = f"{peer_median / statistics.median(seconds):8.1f}" if peer_median and "HyperSpy" not in name else ""
        print(f"  {name:40} {min(seconds):8.3f} {statistics.median(seconds):9.3f} {max(m for _, m in got):9.0f}  {ratio}")


if __name__ == "__main__":
    main()
