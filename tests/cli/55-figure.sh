#!/usr/bin/env bash
# Figures: files beside a result, drawn again only when something has changed.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# Two temperatures, of which one lacks the second input.
series() {
    image data/25C/o.hspy
    image data/400C/o.hspy --seed 2
    image data/25C/p.hspy --seed 3
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs: {o: "data/{temperature}C/o.hspy", p: "data/{temperature}C/p.hspy"}
coordinates: {temperature: degC}
output: out/{temperature}C
steps:
  net: {stage: background, input: o, window: [480, 525]}
  sum: {stage: integrate, input: net, window: [532, 560]}
  q_net: {stage: background, input: p, window: [480, 525]}
  q: {stage: integrate, input: q_net, window: [532, 560]}
  total: {stage: sum_spectrum, input: o}
  fig:
    stage: figure
    over: temperature
    width: 88
    panels:
      - {kind: maps, show: [sum, q], labels: [one, two]}
      - {kind: spectra, show: total, energy: [450, 600]}
YAML
}
files=(out/fig.pdf out/fig.svg out/fig.png out/fig.a.csv out/fig.b.csv out/fig.methods.txt out/fig.hspy)

drawn_once() {
    series
    run_expect_exit 1 "$EELPIPE" run recipe.yaml # p of 400 degC is not there: an empty place
    local before f
    for f in "${files[@]}"; do expect_file "$f"; done
    expect_no_temporaries
    grep -q '>no data</text>' out/fig.svg || fail "the missing map leaves no empty place"
    grep -q '>400 °C</text>' out/fig.svg || fail "the empty place has no name"
    before=$(stamp "${files[@]}")
    run "$EELPIPE" run recipe.yaml
    expect_untouched "$before" "${files[@]}"
    run "$EELPIPE" status recipe.yaml
    expect_stdout_matches 'fig'
}
story drawn_once

what_changed_or_went_is_drawn_again() {
    series
    run "$EELPIPE" run recipe.yaml
    local before step
    before=$(stamp out/fig.pdf) step=$(stamp out/25C/sum.hspy)
    cp out/fig.pdf first.pdf
    rm out/fig.svg
    run "$EELPIPE" plan recipe.yaml
    expect_stdout_matches 'fig\.svg is not there'
    run "$EELPIPE" run recipe.yaml
    expect_file out/fig.svg
    cmp -s out/fig.pdf first.pdf || fail "the same input gave other bytes"
    echo edited >>out/fig.a.csv
    run "$EELPIPE" plan recipe.yaml
    expect_stdout_matches 'fig\.a\.csv is not as it was written'
    run_expect_exit 4 "$EELPIPE" run recipe.yaml # what somebody edited is never replaced
    expect_stderr_matches 'fig\.a\.csv: .*changed since: move it away'
    mv out/fig.a.csv mine.csv
    run "$EELPIPE" run recipe.yaml
    expect_file out/fig.a.csv
    sed -i 's/width: 88/width: 178/' recipe.yaml
    run "$EELPIPE" plan recipe.yaml
    expect_stdout_matches 'width changed: 88 -> 178'
    run "$EELPIPE" run recipe.yaml
    expect_rewritten "$before" out/fig.pdf
    expect_untouched "$step" out/25C/sum.hspy
    sed -i "s/labels: \[one, two\]/labels: [one, another]/" recipe.yaml # far inside the list of panels: only that place is shown
    run "$EELPIPE" plan recipe.yaml
    expect_stdout_matches 'fig +panels changed:'
    expect_stdout_matches '\.\.\."two"'
}
story what_changed_or_went_is_drawn_again

methods_tell_every_window() {
    series
    sed -i 's/^steps:/overrides:\n  - {when: {temperature: 400}, set: {steps.net.window: [470, 520]}, because: drift}\n&/' recipe.yaml
    run "$EELPIPE" run recipe.yaml
    grep -q 'sum is integrate (window 532–560 eV) of background (window 480–525 eV' out/fig.methods.txt || fail "$(cat out/fig.methods.txt)"
    grep -q 'with other parameters from temperature 400 on: integrate (window 532–560 eV) of background (window 470–520 eV' out/fig.methods.txt ||
        fail "the override is not told: $(cat out/fig.methods.txt)"
    grep -q 'background, version [0-9]' out/fig.methods.txt || fail "no versions: $(cat out/fig.methods.txt)"
}
story methods_tell_every_window

text_of_the_pdf_is_text() {
    command -v pdftotext >/dev/null || skip "pdftotext is not installed (Debian: poppler-utils)"
    series
    run "$EELPIPE" run recipe.yaml
    pdftotext out/fig.pdf text
    local word
    for word in 'Energy loss (eV)' '400 °C' 'no data' 'one' 'two'; do grep -q "$word" text || fail "the PDF lacks '$word': $(cat text)"; done
}
story text_of_the_pdf_is_text

mistakes_in_panels_have_a_place() {
    series
    sed -i 's/show: total,/show: totl,/' recipe.yaml
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches "recipe.yaml:17:.*panels: show: there is no input or step 'totl': did you mean 'total'"
    sed -i -e 's/show: totl,/show: sum.intensty,/' recipe.yaml
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches "no output 'intensty'"
    sed -i -e 's/show: sum.intensty,/show: fig,/' recipe.yaml
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'uses its own result'
}
story mistakes_in_panels_have_a_place

gallery_recipe_is_right() {
    "$SIMULATE" series data --temperatures 25,700 --pixels 16,48 --samples ncm003,ncm104 >.simulated 2>&1 || fail "the simulator"
    sed 's|../../testdata/series|data|; s|../../build/gallery|out|' "$EELPIPE_ROOT/docs/gallery/gallery.yaml" >gallery.yaml
    run_expect_exit 0 "$EELPIPE" check gallery.yaml
    local name
    for name in composition elements fronts preview; do expect_file "$EELPIPE_ROOT/docs/gallery/$name.png"; done
}
story gallery_recipe_is_right

stories_end
