#!/usr/bin/env bash
# What a newcomer types first.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

version_names_program_and_libraries() {
    run_expect_exit 0 "$EELPIPE" version
    expect_stdout_matches '^eelpipe [0-9]+\.[0-9]+\.[0-9]+'
    expect_stdout_matches 'hdf5'
}
story version_names_program_and_libraries

help_lists_the_verbs_on_stdout() {
    run_expect_exit 0 "$EELPIPE" help
    local verb
    for verb in run plan status check stage stages info version; do expect_stdout_matches "\\b$verb\\b"; done
}
story help_lists_the_verbs_on_stdout

unknown_verb_exits_2() {
    run_expect_exit 2 "$EELPIPE" stgaes
    expect_stdout_empty
    expect_stderr_matches 'stgaes'
}
story unknown_verb_exits_2

unknown_option_exits_2() {
    run_expect_exit 2 "$EELPIPE" run --no-such-option
    expect_stderr_matches 'no-such-option'
}
story unknown_option_exits_2

stages_lists_every_stage() {
    run_expect_exit 0 "$EELPIPE" stages
    local file name
    for file in "$EELPIPE_ROOT"/stages/*.c; do
        name=$(basename "$file" .c)
        [ "$name" = registry ] && continue
        [[ $name != *_look ]] || continue # private: run by its stage
        # Files that hold no stage of their own (shared pieces) declare none.
        grep -qE "\\.name = \"$name\"" "$file" || continue
        expect_stdout_matches "^ *$name\\b"
    done
    expect_stdout_matches '^ *background\b'
}
story stages_lists_every_stage

stages_background_tells_parameters_units_and_reference() {
    run_expect_exit 0 "$EELPIPE" stages background
    expect_stdout_matches '\bwindow\b'
    expect_stdout_matches '\beV\b'
    expect_stdout_matches '\bmethod\b'
    expect_stdout_matches 'two_area'
    expect_stdout_matches 'default'
}
story stages_background_tells_parameters_units_and_reference

# Also in a pipe, where the width of a terminal is not known.
stages_fit_80_columns() {
    local name
    for name in "" $("$EELPIPE" stages | awk '/^[a-z]/ { print $1 }'); do
        # shellcheck disable=SC2086 # no name is no word
        run_expect_exit 0 "$EELPIPE" stages $name
        ! LC_ALL=C.UTF-8 grep -nE '^.{81}' .stdout || fail "stages $name is wider than 80 columns"
    done
}
story stages_fit_80_columns

a_misspelt_stage_is_suggested() {
    run_expect_exit 2 "$EELPIPE" stages backgroud
    expect_stderr_matches 'did you mean .?background'
}
story a_misspelt_stage_is_suggested

full_stdout_is_an_error() {
    [ -w /dev/full ] || skip "there is no /dev/full"
    local status=0
    "$EELPIPE" stages >/dev/full 2>.stderr || status=$?
    [ "$status" -eq 4 ] || fail "exit status $status, not 4, when stdout is full"
}
story full_stdout_is_an_error

stories_end
