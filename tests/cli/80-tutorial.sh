#!/usr/bin/env bash
# docs/tutorial.md: every example as it stands there, in one folder; each section is a test.
set -u
: "${EELPIPE:?the program, set by tests/run}" "${SIMULATE:?}" "${EELPIPE_ROOT:?}"

folder=$(mktemp -d "${TMPDIR:-/tmp}/tutorial-XXXXXX")
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" "$folder/work"
ln -s "$EELPIPE" "$folder/bin/eelpipe"
ln -s "$SIMULATE" "$folder/bin/simulate"
cd "$folder/work" || exit 1
PATH="$folder/bin:$PATH" python3 "$EELPIPE_ROOT/tests/cli/run_examples.py" "$EELPIPE_ROOT/docs/tutorial.md"
