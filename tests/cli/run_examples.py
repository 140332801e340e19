#!/usr/bin/env python3
"""Runs what a Markdown page shows: run_examples.py PAGE, in the current folder; prints ok/not ok for each section.

A block after `<!-- file: NAME -->` is written to NAME. `sh` blocks are run by bash and have to end with status 0, or with
that of `sh exit=N`. `python` blocks are run by $PEER_PYTHON. Each line of a `text` block has to stand, in this order, in
what the block before it printed (blanks count as one).
"""
import os
import re
import subprocess
import sys


def blocks(page):
    """(section, file name or None, language, line, text) of each fenced block."""
    section, name, fence, start, lines = "the beginning", None, None, 0, []
    for number, line in enumerate(page.splitlines(), 1):
        if fence is not None:
            if line.startswith("```"):
                yield section, name, fence, start, "\n".join(lines) + "\n"
                fence, name = None, None
            else:
                lines.append(line)
        elif line.startswith("```"):
            fence, start, lines = line[3:].strip(), number, []
        elif line.startswith("## "):
            section = line[3:].strip()
        elif m := re.match(r"<!-- file: (\S+) -->", line):
            name = m.group(1)
        elif line.strip():
            name = None


def squeeze(text):
    return re.sub(r"[ \t]+", " ", text)


def run(argv, status, where):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != status:
        raise AssertionError(f"{where} ended with status {done.returncode}, not {status}: {done.stdout[-2000:]}")
    return done.stdout


def expect(shown, said, where):
    at = 0
    said = squeeze(said)
    for line in shown.splitlines():
        found = said.find(squeeze(line.strip()), at)
        if found < 0:
            raise AssertionError(f"{where} has \"{line.strip()}\", which was not printed (in this order): {said[-2000:]}")
        at = found + 1


def main():
    path = sys.argv[1]
    page = open(path, encoding="utf-8").read()
    why, said, failed, current = None, "", False, None

    def verdict():
        if current is not None:
            word = current.replace(":", "").lower()
            print(f"not ok {word}: {why}" if why else f"ok {word}", flush=True)

    for section, name, fence, number, text in blocks(page):
        if section != current:
            verdict()
            current, why = section, None
        if why:
            continue
        language = fence.split()[0] if fence else ""
        where = f"line {number}"
        try:
            if name:
                with open(name, "w", encoding="utf-8") as f:
                    f.write(text)
            elif language == "sh":
                status = int(m.group(1)) if (m := re.search(r"exit=(\d+)", fence)) else 0
                said = run(["bash", "-e", "-c", text], status, where)
            elif language == "python":
                said = run([os.environ.get("PEER_PYTHON", "/usr/bin/python3"), "-c", text], 0, where)
            elif language == "text":
                expect(text, said, where)
        except (AssertionError, OSError) as e:
            why, failed = " ".join(str(e).split()), True
    verdict()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
