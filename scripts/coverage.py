#!/usr/bin/env python3
"""Which lines of pipeline/ and stages/ the tests reached: scripts/coverage.py BUILD/coverage [--least PERCENT].

Reads what gcc's --coverage left beside the objects, by gcov. Prints a line per file, the functions that were never called,
and the total; BUILD/coverage/report.txt also has the lines that were not reached.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("pipeline/", "stages/")


def gcov(note):
    """What gcov says of one object."""
    done = subprocess.run([os.environ.get("GCOV", "gcov"), "--json-format", "--stdout", str(note)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        sys.exit(f"coverage: gcov fails on {note}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[0])["files"]


def ranges(numbers):
    """[3, 4, 5, 9] -> "3-5, 9"."""
    out = []
    for n in numbers:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in out)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--least", type=float, default=0, help="fail below this percentage of lines")
    args = ap.parse_args()
    notes = sorted(n for room in ROOMS for n in (args.folder / room).rglob("*.gcno"))
    if not notes:
        sys.exit(f"coverage: no objects in {args.folder}")
    lines = collections.defaultdict(collections.Counter)  # file -> line -> count
    called = collections.defaultdict(collections.Counter)  # file -> function -> count
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for files in pool.map(gcov, [n.resolve() for n in notes]):
            for f in files:
                name = os.path.relpath(ROOT / f["file"], ROOT)
                if not name.startswith(ROOMS) or not (ROOT / name).exists():
                    continue
                for line in f["lines"]:
                    lines[name][line["line_number"]] += line["count"]
                for function in f["functions"]:
                    # Inline functions are there once for each file, others once for each kind of processor (NAME.avx2).
                    called[name][function["demangled_name"].split(".")[0]] += function["execution_count"]
    report, total, reached, never = [], 0, 0, []
    for name in sorted(lines):
        missed = sorted(n for n, count in lines[name].items() if count == 0)
        total += len(lines[name])
        reached += len(lines[name]) - len(missed)
        report.append((f"{100 * (1 - len(missed) / len(lines[name])):6.1f} %  {len(lines[name]):5}  {name}", ranges(missed)))
        never += [f"{name}: {f}" for f, count in sorted(called[name].items()) if count == 0]
    share = 100 * reached / total
    summary = f"{share:6.1f} %  {total:5}  total: {reached} of {total} lines of pipeline/ and stages/"
    for line, _ in report:
        print(line)
    if never:
        print("\nnever called:")
        for line in never:
            print(f"  {line}")
    print(f"\n{summary}")
    with open(args.folder / "report.txt", "w", encoding="utf-8") as f:
        for line, missed in report:
            f.write(line + (f"\n          not reached: {missed}" if missed else "") + "\n")
        f.write("\nnever called:\n" + "".join(f"  {line}\n" for line in never) + f"\n{summary}\n")
    print(f"lines that were not reached: {args.folder / 'report.txt'}")
    if share < args.least:
        print(f"coverage: below {args.least:g} %")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
