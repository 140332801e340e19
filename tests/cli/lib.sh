# shellcheck shell=bash
# Helpers for command stories. A story is a function; `story NAME` runs it in a scratch folder of its own and prints
# "ok NAME", "not ok NAME: why" or "skip NAME: why". A story ends at its first failed expectation or failed command.
#
#   . "$(dirname "$0")/lib.sh"
#   help_names_verbs() {
#       run_expect_exit 0 "$EELPIPE" help
#       expect_stdout_matches 'run'
#   }
#   story help_names_verbs
#
# $EELPIPE, $SIMULATE, $EELPIPE_ROOT come from tests/run.
set -u
: "${EELPIPE:?the program, set by tests/run}" "${SIMULATE:?the simulator, set by tests/run}"
: "${EELPIPE_ROOT:?the project folder, set by tests/run}"

_scratch=$(mktemp -d "${TMPDIR:-/tmp}/story-XXXXXX")
trap 'rm -rf "$_scratch"' EXIT
_failed=0

story() {
    local name=$1 folder=$_scratch/$1 status
    mkdir "$folder"
    _why=$folder/.why
    (
        set -e
        cd "$folder"
        "$name"
    )
    status=$?
    case $status in
    0) echo "ok ${name//_/ }" ;;
    77) echo "skip ${name//_/ }: $(cat "$_why")" ;;
    *)
        echo "not ok ${name//_/ }: $(cat "$_why" 2>/dev/null || echo "a command ended with status $status")"
        _failed=1
        ;;
    esac
    rm -rf "$folder"
}

# At the end of each file.
stories_end() {
    exit "$_failed"
}

fail() {
    echo "$*" | tr '\n' ' ' >"$_why"
    exit 1
}

skip() {
    echo "$*" >"$_why"
    exit 77
}

# Shows what the last command said, then fails.
_fail_shown() {
    echo "--- stdout:"
    head -n 60 .stdout
    echo "--- stderr:"
    head -n 60 .stderr
    fail "$@"
}

# run CMD...: .stdout, .stderr and $status hold what came of it.
run() {
    status=0
    _said="$(basename "$1") ${*:2}"
    "$@" >.stdout 2>.stderr </dev/null || status=$?
    if grep -qE 'ERROR: (Address|Leak|Memory|Thread)Sanitizer|runtime error: ' .stderr; then
        _fail_shown "a sanitizer report from: $_said"
    fi
}

run_expect_exit() {
    local code=$1
    shift
    run "$@"
    [ "$status" -eq "$code" ] || _fail_shown "exit status $status, not $code, of: $_said"
}

# Extended regular expressions, upper and lower case alike.
expect_stdout_matches() { grep -qiE -- "$1" .stdout || _fail_shown "stdout lacks /$1/ after: $_said"; }
expect_stderr_matches() { grep -qiE -- "$1" .stderr || _fail_shown "stderr lacks /$1/ after: $_said"; }
expect_stdout_lacks() { if grep -qiE -- "$1" .stdout; then _fail_shown "stdout has /$1/ after: $_said"; fi; }
expect_stderr_lacks() { if grep -qiE -- "$1" .stderr; then _fail_shown "stderr has /$1/ after: $_said"; fi; }
expect_stdout_empty() { [ ! -s .stdout ] || _fail_shown "something on stdout after: $_said"; }

expect_file() { [ -s "$1" ] || fail "there is no $1"; }
expect_no_file() { [ ! -e "$1" ] || fail "there is a $1"; }
expect_no_temporaries() {
    local left
    left=$(find . -name '*.tmp')
    [ -z "$left" ] || fail "temporary files are left: $left"
}

# What tells whether a file was written again: a new one has another inode, an old one keeps its time.
stamp() { stat -c '%n %i %y %s' "$@"; }
expect_untouched() { # expect_untouched STAMP FILE...
    local before=$1
    shift
    [ "$before" = "$(stamp "$@")" ] || fail "written again: $*"
}
expect_rewritten() {
    local before=$1
    shift
    [ "$before" != "$(stamp "$@")" ] || fail "not written again: $*"
}

# image FILE [OPTION...]: a small core-loss image, power law 400-655 eV with an edge at 532 eV.
image() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    "$SIMULATE" powerlaw "$file" --pixels 20,70 --channels 256 --offset 400 --scale 1 --amplitude 200 \
        --reference 480 --edge-onset 532 --edge-jump 60 "$@" >.simulated 2>&1 || fail "the simulator: $(cat .simulated)"
}

# recipe [LINE...]: recipe.yaml with an input `o` at data/o.hspy and two branches; further lines are further steps.
recipe() {
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/o.hspy
output: out
steps:
  net: {stage: background, input: o, window: [480, 525]}
  sum: {stage: integrate, input: net, window: [532, 560]}
  other: {stage: background, input: o, window: [470, 520]}
YAML
    local line
    for line in "$@"; do printf '  %s\n' "$line" >>recipe.yaml; done
}
