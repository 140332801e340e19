#!/usr/bin/env python3
"""Runs all checks against other programs (HyperSpy, h5py) in one process: importing HyperSpy takes seconds.

A check is a function `check_*` of a module tests/peer/check_*.py. It takes nothing, or one argument: the path of a
scratch folder of its own. Checks of modules in FILLED_BY share a folder that a program made from tests/peer/*.c has
filled. A check fails by any exception, and is skipped by raising unittest.SkipTest("why"). The program and the
simulator are $EELPIPE and $SIMULATE; real data, where there is any, lies in $EELPIPE_TEST_DATA.

Prints PASS NAME, FAIL NAME: why, or SKIPPED NAME: why. Arguments: names (or parts of names) to run alone.
"""
import importlib.util
import inspect
import logging
import os
import subprocess
import sys
import tempfile
import traceback
import unittest
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILLED_BY = {"check_result_layout": "write_examples"}


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def one_line(error):
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


def run(name, check, shared):
    """Runs one check; returns whether it did not fail."""
    try:
        with tempfile.TemporaryDirectory() as own:
            check(*[shared or own][: len(inspect.signature(check).parameters)])
    except unittest.SkipTest as why:
        print(f"SKIPPED {name}: {why}", flush=True)
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        traceback.print_exc(file=sys.stdout)
        print(f"FAIL {name}: {one_line(error)}", flush=True)
        return False
    print(f"PASS {name}", flush=True)
    return True


def run_module(path, wanted, folder):
    """Runs the checks of one module in the order in which they stand; returns whether none failed."""
    try:
        module = load(path)
        shared = None
        if path.stem in FILLED_BY:
            shared = os.path.join(folder, path.stem)
            os.mkdir(shared)
            subprocess.run([os.path.join(os.environ["EELPIPE_PEER_BIN"], FILLED_BY[path.stem]), shared], check=True)
    except unittest.SkipTest as why:
        print(f"SKIPPED {path.stem}: {why}", flush=True)
        return True
    except Exception as error:  # noqa: BLE001
        traceback.print_exc(file=sys.stdout)
        print(f"FAIL {path.stem}: {one_line(error)}", flush=True)
        return False
    good = True
    checks = [(n, f) for n, f in vars(module).items()
              if n.startswith("check_") and inspect.isfunction(f) and f.__module__ == module.__name__]
    for function, check in sorted(checks, key=lambda c: c[1].__code__.co_firstlineno):
        name = f"{path.stem[6:]} {function[6:]}".replace("_", " ")
        if not wanted or any(w in name or w in function for w in wanted):
            good = run(name, check, shared) and good
    return good


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(HERE))  # checks may share helper modules that lie here
    for variable in ("EELPIPE", "SIMULATE", "EELPIPE_PEER_BIN"):
        if not os.environ.get(variable):
            sys.exit(f"run_all.py: {variable} is not set; tests/run sets it")
    with tempfile.TemporaryDirectory() as folder:
        results = [run_module(path, sys.argv[1:], folder) for path in sorted(HERE.glob("check_*.py"))]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
