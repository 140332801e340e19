#!/usr/bin/env bash
# Pages of stages, manual and help: as fresh as the program, and whole.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

stage_names() { "$EELPIPE" stages | awk '/^[a-z]/ { print $1 }'; }

# Of the hand-written part: what stands below "## $2", up to the next heading, without blank lines.
section_of() { awk -v head="## $2" '$0 == head { on = 1; next } /^## / { on = 0 } on && NF' "$1"; }

generated_parts_are_fresh() {
    mkdir docs
    cp -r "$EELPIPE_ROOT/docs/stages" "$EELPIPE_ROOT/docs/eelpipe.1" docs/
    run_expect_exit 0 bash "$EELPIPE_ROOT/scripts/docs.sh" "$EELPIPE" docs
    local old
    old=$(diff -rq docs/stages "$EELPIPE_ROOT/docs/stages"; diff -q docs/eelpipe.1 "$EELPIPE_ROOT/docs/eelpipe.1") ||
        fail "old, run \`make docs\`: $old"
}
story generated_parts_are_fresh

every_stage_has_a_page_with_all_sections() {
    local name page section lacking=
    for name in $(stage_names); do
        page=$EELPIPE_ROOT/docs/stages/$name.md
        [ -s "$page" ] || { lacking+=" $name (no page)"; continue; }
        for section in 'What it does' 'When to use it' 'Which window to choose' 'What it does to the sigmas' 'Reference'; do
            [ -n "$(section_of "$page" "$section")" ] || lacking+=" $name ($section)"
        done
    done
    [ -z "$lacking" ] || fail "still to be written in docs/stages/:$lacking"
    for page in "$EELPIPE_ROOT"/docs/stages/*.md; do
        name=$(basename "$page" .md)
        [ "$name" = README ] || stage_names | grep -qx "$name" || fail "docs/stages/$name.md is of no stage"
    done
}
story every_stage_has_a_page_with_all_sections

every_stage_has_a_test() {
    local name
    for name in $(stage_names); do
        grep -qE "\"$name\"|stage: $name\\b" "$EELPIPE_ROOT"/tests/unit/test_*.c "$EELPIPE_ROOT"/tests/peer/check_*.py ||
            fail "no unit test and no peer check names the stage $name"
    done
}
story every_stage_has_a_test

# The steps that a page shows are put behind those that it may refer to, on the simulated series.
examples_of_pages_are_right() {
    "$SIMULATE" series data --temperatures 25,300 --pixels 16,48 --samples ncm003 >.simulated 2>&1 || fail "the simulator"
    local name stage line
    stage_names >stages
    # Steps whose stage, or whose input's stage, is not there.
    grep -v '^#' "$EELPIPE_ROOT/tests/cli/before-examples.yaml" | while read -r line; do
        stage=${line#*stage: }
        if ! grep -qx "${stage%%[,\}]*}" stages || { [ -s absent ] && grep -qwf absent <<<"${line#*:}"; }; then echo "${line%%:*}" >>absent; fi
    done
    touch absent
    for name in $(stage_names); do
        section_of "$EELPIPE_ROOT/docs/stages/$name.md" 'What it does' |
            awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' >example
        [ -s example ] || fail "docs/stages/$name.md shows no step"
        grep -q "stage: $name\\b" example || fail "docs/stages/$name.md shows another stage"
        ! grep -qwf absent example || continue
        {
            cat <<'YAML'
eelpipe: 1
inputs:
  ll: data/{sample}/{temperature}C/ll.hspy
  li: {path: "data/{sample}/{temperature}C/li.hspy", pair: ll}
  o:  {path: "data/{sample}/{temperature}C/o.hspy", pair: ll}
  eds: data/{sample}/{temperature}C/eds.hspy
coordinates: {temperature: degC}
output: out/{sample}/{temperature}C
steps:
YAML
            grep -v '^#' "$EELPIPE_ROOT/tests/cli/before-examples.yaml" | while read -r line; do
                grep -q "^${line%%:*}:" example || grep -qxF "${line%%:*}" absent || echo "  $line"
            done
            sed 's/^/  /' example
        } >recipe.yaml
        run "$EELPIPE" check recipe.yaml
        [ "$status" -eq 0 ] || { cat recipe.yaml; _fail_shown "the example of docs/stages/$name.md"; }
    done
}
story examples_of_pages_are_right

links_lead_somewhere() {
    local page target
    for page in "$EELPIPE_ROOT"/*.md "$EELPIPE_ROOT"/docs/*.md "$EELPIPE_ROOT"/docs/stages/*.md; do
        while read -r target; do
            case $target in http*) continue ;; esac
            [ -e "$(dirname "$page")/${target%%#*}" ] || fail "${page#"$EELPIPE_ROOT"/} leads to $target, which is not there"
        done < <(grep -oE '\]\([^)#][^)]*\)' "$page" | sed -E 's/^\]\(|\)$//g')
    done
}
story links_lead_somewhere

the_manual_has_every_verb_and_option() {
    local verb option manual=$EELPIPE_ROOT/docs/eelpipe.1
    for verb in $("$EELPIPE" help | awk '/^Exit codes/ { exit } /^  [a-z]+ / { print $1 }'); do
        awk -v head=".SS eelpipe $verb" 'index($0, head) == 1 { on = 1; print; next } /^\.S[SH]/ { on = 0 } on' "$manual" >section
        [ -s section ] || fail "eelpipe.1 lacks the verb $verb"
        for option in $("$EELPIPE" help "$verb" | awk '$1 ~ /^--/ { print $1 }'); do
            sed 's/\\-/-/g' section | grep -qE "^\.B $option( |\$)" || fail "eelpipe.1 lacks $verb $option"
        done
    done
    local code
    for code in 0 1 2 3 4 130 143; do grep -qE "^\.BR? .*\b$code\b" "$manual" || fail "eelpipe.1 lacks the exit code $code"; done
    if command -v groff >/dev/null; then
        run_expect_exit 0 groff -man -Tutf8 -ww "$manual"
        [ ! -s .stderr ] || _fail_shown "groff warns of eelpipe.1"
    fi
}
story the_manual_has_every_verb_and_option

help_fits_one_screen() {
    run_expect_exit 0 "$EELPIPE" help
    local lines columns
    lines=$(wc -l <.stdout) columns=$(wc -L <.stdout)
    ((lines <= 24 && columns <= 80)) || _fail_shown "help has $lines lines of up to $columns columns, a screen 24 of 80"
}
story help_fits_one_screen

stories_end
