#!/usr/bin/env python3
"""Damages a file at random places, again and again, and runs a command on it: whatever was hit, the command must end by
itself, with one of the exit codes that are agreed on. mutate.py SECONDS ROUNDS CODES FILE -- COMMAND..."""
import collections
import os
import random
import subprocess
import sys
import time

seconds, rounds, agreed, victim = float(sys.argv[1]), int(sys.argv[2]), [int(c) for c in sys.argv[3].split(",")], sys.argv[4]
command = sys.argv[6:]
whole = open(victim, "rb").read()
dice = random.Random(len(whole))
codes = collections.Counter()
# A sanitizer that ends our own process must not look like an agreed code; what the HDF5 library loses on its way out of an
# error is not ours.
env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0:exitcode=99",
           UBSAN_OPTIONS=os.environ.get("UBSAN_OPTIONS", "") + ":exitcode=99")
end = time.monotonic() + seconds
for n in range(rounds):
    bad = bytearray(whole)
    for _ in range(dice.choice((1, 2, 4, 16))):
        at = dice.randrange(len(bad))
        bad[at] = dice.choice((dice.randrange(256), 0, 255, bad[at] ^ 1 << dice.randrange(8)))
    if dice.random() < 0.1:
        del bad[dice.randrange(len(bad)):]
    with open(victim, "wb") as f:
        f.write(bad)
    try:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=40, env=env)
    except subprocess.TimeoutExpired:
        sys.exit(f"round {n}: no end after 40 s")
    if code.returncode not in agreed or b"runtime error: " in code.stderr:
        sys.exit(f"round {n}: exit status {code.returncode}: {code.stderr.decode(errors='replace')[-1500:]}")
    codes[code.returncode] += 1
    if time.monotonic() > end:
        break
with open(victim, "wb") as f:
    f.write(whole)
print(f"{sum(codes.values())} rounds: {dict(codes)}")
