#!/usr/bin/env bash
# Style and static checks. Tools that are not installed are named and left out; exit status 1 on findings.
# ANALYZER=1 adds gcc's -fanalyzer (slow).
set -u
cd "$(dirname "$0")/.." || exit 1

mapfile -t code < <(find pipeline stages testdata tests -name '*.c' -not -path '*/series/*' | sort)
mapfile -t headers < <(find pipeline stages testdata tests -name '*.h' -not -path '*/series/*' | sort)
mapfile -t shell < <(find .ci/run scripts tests/cli completions -type f \( -name '*.sh' -o -name '*.bash' -o -path .ci/run \) | sort)
mapfile -t python < <({ echo tests/run; find tests bench testdata scripts -name '*.py'; } | sort)
bad=0

have() {
    command -v "$1" >/dev/null 2>&1 && return 0
    echo "lint: $1 is not installed: left out"
    return 1
}
finding() { # finding TITLE TEXT: counts when the text is not empty
    [ -z "$2" ] && return
    printf 'lint: %s\n%s\n' "$1" "$2"
    bad=1
}

finding "tabs or trailing blanks" "$(grep -nP '\t|[ \t]+$' "${code[@]}" "${headers[@]}" | head -20)"
# A text may be as long as it is (messages that tests expect, summaries), and a row of a test's table stands on one line.
finding "lines over 160 columns" "$(grep -nE '^.{161,}' "${code[@]}" "${headers[@]}" | grep -vE '"[^"]{60,}"|^tests/[^:]*:[0-9]*: *[{"]' | cut -c1-100 | head -20)"
finding "no include guard" "$(grep -L '^#ifndef [A-Z0-9_]*_H$' "${headers[@]}")"

if have shellcheck; then finding shellcheck "$(shellcheck -x "${shell[@]}" 2>&1)"; fi
if have python3; then
    finding python "$(python3 - "${python[@]}" 2>&1 <<'PY'
import ast, sys
for path in sys.argv[1:]:
    try:
        ast.parse(open(path, encoding="utf-8").read(), path)
    except SyntaxError as e:
        print(f"{path}:{e.lineno}: {e.msg}")
PY
)"
fi
# Left out: what the compiler and the sanitizer build see better (leaks, uninitialised values), and two checks that
# stumble over __typeof__ and macros. In xray.c it does not see that the second condition bounds the index.
if have cppcheck; then
    finding cppcheck "$(cppcheck -q -j "$(nproc)" --std=c11 -I. --enable=warning,portability --inline-suppr \
        --suppress=missingInclude --suppress=missingIncludeSystem --suppress=memleak --suppress=uninitvar \
        --suppress=legacyUninitvar --suppress=assignBoolToPointer --suppress=incorrectLogicOperator \
        --suppress=arrayIndexThenCheck --suppress=arrayIndexOutOfBoundsCond:pipeline/numerics/xray.c --suppress='nullPointer:tests/*' --suppress='invalidFunctionArg:tests/*' \
        --template='{file}:{line}: {severity}: {message} [{id}]' "${code[@]}" 2>&1)"
fi
if [ -n "${ANALYZER:-}" ]; then
    for f in "${code[@]}"; do
        case "$f" in tests/*) continue ;; esac
        # shellcheck disable=SC2046 # flags are words
        finding "gcc -fanalyzer, $f" "$(gcc -std=c17 -D_GNU_SOURCE -I. -O1 -fanalyzer -fsyntax-only \
            $(pkg-config --cflags hdf5-serial openblas lapacke fftw3 pangocairo libtiff-4 yaml-0.1 libdeflate libxxhash libxrl) "$f" 2>&1)"
    done
fi
if have clang-format; then
    n=0
    for f in "${code[@]}"; do n=$((n + $(clang-format "$f" | diff - "$f" | grep -c '^>'))); done
    echo "lint: clang-format would change $n lines (for information)"
fi
[ "$bad" -eq 0 ] && echo "lint: nothing found"
exit "$bad"
