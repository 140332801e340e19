#!/usr/bin/env bash
# A recipe: computed once, then only what has changed.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run_then_run_again_does_nothing() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local results=(out/net.hspy out/sum.hspy out/other.hspy) before f
    for f in "${results[@]}"; do expect_file "$f"; done
    expect_no_temporaries
    before=$(stamp "${results[@]}")
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_untouched "$before" "${results[@]}"
}
story run_then_run_again_does_nothing

changed_window_reruns_its_branch_alone() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local net sum other
    net=$(stamp out/net.hspy) sum=$(stamp out/sum.hspy) other=$(stamp out/other.hspy)
    sed -i 's/\[480, 525\]/[482, 525]/' recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_rewritten "$net" out/net.hspy
    expect_rewritten "$sum" out/sum.hspy
    expect_untouched "$other" out/other.hspy
}
story changed_window_reruns_its_branch_alone

changed_last_step_reruns_it_alone() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local rest sum
    rest=$(stamp out/net.hspy out/other.hspy) sum=$(stamp out/sum.hspy)
    sed -i 's/\[532, 560\]/[533, 560]/' recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_untouched "$rest" out/net.hspy out/other.hspy
    expect_rewritten "$sum" out/sum.hspy
}
story changed_last_step_reruns_it_alone

comments_and_written_defaults_rerun_nothing() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local before
    before=$(stamp out/*.hspy)
    sed -i -e '1i # a comment' -e 's/\[480, 525\]/[480.0, "0.525 keV"], method: ml/' recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_untouched "$before" out/*.hspy
}
story comments_and_written_defaults_rerun_nothing

touched_input_reruns_nothing() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local before
    before=$(stamp out/*.hspy)
    touch data/o.hspy
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_untouched "$before" out/*.hspy
}
story touched_input_reruns_nothing

changed_input_reruns_all() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local net sum other
    net=$(stamp out/net.hspy) sum=$(stamp out/sum.hspy) other=$(stamp out/other.hspy)
    image data/o.hspy --seed 2
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_rewritten "$net" out/net.hspy
    expect_rewritten "$sum" out/sum.hspy
    expect_rewritten "$other" out/other.hspy
}
story changed_input_reruns_all

deleted_and_damaged_results_are_made_again() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    cp -r out first
    rm out/sum.hspy
    head -c 1000 first/other.hspy >out/other.hspy
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local f
    for f in net sum other; do cmp "first/$f.hspy" "out/$f.hspy" || fail "$f.hspy is not what it was"; done
}
story deleted_and_damaged_results_are_made_again

dry_run_writes_nothing() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --dry-run
    expect_no_file out/net.hspy
    run_expect_exit 0 "$EELPIPE" plan recipe.yaml
    expect_stdout_matches 'net'
    expect_no_file out/net.hspy
}
story dry_run_writes_nothing

only_makes_one_branch() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --only sum
    expect_file out/sum.hspy
    expect_no_file out/other.hspy
}
story only_makes_one_branch

set_overrides_the_recipe() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local net other
    net=$(stamp out/net.hspy) other=$(stamp out/other.hspy)
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --set steps.net.window=482,525
    expect_rewritten "$net" out/net.hspy
    expect_untouched "$other" out/other.hspy
}
story set_overrides_the_recipe

force_makes_the_same_bytes_again() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local before
    before=$(stamp out/net.hspy)
    cp -r out first
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --force
    expect_rewritten "$before" out/net.hspy
    local f
    for f in net sum other; do cmp "first/$f.hspy" "out/$f.hspy" || fail "$f.hspy differs"; done
}
story force_makes_the_same_bytes_again

threads_and_memory_do_not_change_a_bit() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --threads 1
    mv out one
    local f
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --threads 7
    for f in net sum other; do cmp "one/$f.hspy" "out/$f.hspy" || fail "$f.hspy: 7 threads differ from 1"; done
    rm -r out
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --threads 2 --memory 1M
    for f in net sum other; do cmp "one/$f.hspy" "out/$f.hspy" || fail "$f.hspy: little memory differs from much"; done
}
story threads_and_memory_do_not_change_a_bit

one_run_for_each_file_of_a_series() {
    image data/a/25C.hspy --seed 3
    image data/a/300C.hspy --seed 4
    image data/b/25C.hspy --seed 5
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/{sample}/{temperature}C.hspy
coordinates: {temperature: degC}
output: out/{sample}/{temperature}C
steps:
  net: {stage: background, input: o, window: [480, 525]}
  sum: {stage: integrate, input: net, window: [532, 560]}
YAML
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_file out/a/25C/sum.hspy
    expect_file out/a/300C/sum.hspy
    expect_file out/b/25C/sum.hspy
    rm -r out
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --runs 'temperature>=100'
    expect_file out/a/300C/sum.hspy
    expect_no_file out/a/25C/sum.hspy
}
story one_run_for_each_file_of_a_series

status_tells_done_from_missing() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" status recipe.yaml
    expect_stdout_matches 'missing'
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    run_expect_exit 0 "$EELPIPE" status recipe.yaml
    expect_stdout_matches 'done'
    expect_stdout_lacks 'missing'
}
story status_tells_done_from_missing

json_is_json() {
    image data/o.hspy
    recipe
    local verb
    for verb in status plan; do
        run_expect_exit 0 "$EELPIPE" "$verb" recipe.yaml --json
        python3 -m json.tool .stdout >/dev/null || fail "$verb --json is not JSON"
    done
    run_expect_exit 0 "$EELPIPE" info data/o.hspy --json
    python3 -m json.tool .stdout >/dev/null || fail "info --json is not JSON"
}
story json_is_json

quiet_says_nothing_when_all_is_well() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --quiet
    [ ! -s .stderr ] || fail "--quiet, and yet: $(head -n 3 .stderr)"
}
story quiet_says_nothing_when_all_is_well

stories_end
