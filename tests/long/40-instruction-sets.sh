#!/usr/bin/env bash
# The same bits from every instruction set that the compiler can aim at and this processor has.
# shellcheck source=tests/long/lib.sh
. "$EELPIPE_ROOT/tests/long/lib.sh"

every_instruction_set() {
    every_flow 40,130 260
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mv out clones
    local name flags
    while read -r name flags; do
        [ "$name" = sse2 ] || grep -qw "$name" /proc/cpuinfo || continue
        # shellcheck disable=SC2086 # several flags
        build_variant "$PWD/$name" -O2 -DEP_NO_CLONES $flags
        run_expect_exit 0 "$name/eelpipe" run recipe.yaml --force
        same_results clones out
    done <<'SETS'
sse2
avx -mavx
avx2 -mavx2 -mfma
avx512f -mavx512f -mavx2 -mfma
SETS
}
story every_instruction_set
stories_end
