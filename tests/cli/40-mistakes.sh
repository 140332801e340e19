#!/usr/bin/env bash
# Wrong recipes, unreadable inputs, unwritable outputs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

all_mistakes_of_a_recipe_are_reported_at_once() {
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/o.hspy
output: out
outptu: elsewhere
steps:
  net: {stage: backgroud, input: o, window: [480, 525]}
  sum: {stage: integrate, input: o, windw: [532, 560]}
  late: {stage: integrate, input: nte, window: [532, 560]}
YAML
    local verb
    for verb in check run; do
        run_expect_exit 2 "$EELPIPE" "$verb" recipe.yaml
        expect_stderr_matches 'recipe\.yaml:5:1\b.*outptu'
        expect_stderr_matches 'did you mean .?output'
        expect_stderr_matches 'recipe\.yaml:7:[0-9]+\b.*backgroud'
        expect_stderr_matches 'did you mean .?background'
        expect_stderr_matches 'recipe\.yaml:8:[0-9]+\b.*windw'
        expect_stderr_matches 'did you mean .?window'
        expect_stderr_matches 'recipe\.yaml:9:[0-9]+\b.*nte'
        expect_no_file out
    done
}
story all_mistakes_of_a_recipe_are_reported_at_once

yaml_that_does_not_parse_exits_2() {
    printf 'eelpipe: 1\nsteps: {net: [1, 2\n' >recipe.yaml
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'recipe\.yaml:[0-9]+'
}
story yaml_that_does_not_parse_exits_2

duplicate_keys_exit_2() {
    image data/o.hspy
    recipe 'net: {stage: background, input: o, window: [470, 520]}'
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'recipe\.yaml:9:.*net'
}
story duplicate_keys_exit_2

a_cycle_names_its_members() {
    image data/o.hspy
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/o.hspy
output: out
steps:
  first: {stage: background, input: second, window: [480, 525]}
  second: {stage: background, input: first, window: [480, 525]}
YAML
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'first.*second|second.*first'
}
story a_cycle_names_its_members

windows_off_the_axis_are_found_by_check() {
    image data/o.hspy
    recipe 'far: {stage: integrate, input: o, window: [900, 950]}'
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'recipe\.yaml:9:'
    expect_no_file out/net.hspy
}
story windows_off_the_axis_are_found_by_check

a_good_recipe_checks() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" check recipe.yaml
    expect_no_file out
}
story a_good_recipe_checks

missing_recipe_exits_2() {
    run_expect_exit 2 "$EELPIPE" run nowhere.yaml
    expect_stderr_matches 'nowhere\.yaml'
}
story missing_recipe_exits_2

missing_input_exits_3() {
    recipe
    run_expect_exit 3 "$EELPIPE" run recipe.yaml
    expect_stderr_matches 'data/o\.hspy'
    expect_no_file out/net.hspy
}
story missing_input_exits_3

unreadable_input_exits_3() {
    mkdir data
    echo "this is no HDF5" >data/o.hspy
    recipe
    run_expect_exit 3 "$EELPIPE" run recipe.yaml
    expect_stderr_matches 'data/o\.hspy'
    expect_no_file out/net.hspy
}
story unreadable_input_exits_3

one_unreadable_file_of_a_series_exits_1_and_the_rest_is_done() {
    image data/a.hspy
    echo "this is no HDF5" >data/b.hspy
    image data/c.hspy --seed 2
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/{sample}.hspy
output: out/{sample}
steps:
  net: {stage: background, input: o, window: [480, 525]}
YAML
    run_expect_exit 1 "$EELPIPE" run recipe.yaml
    expect_stderr_matches 'b\.hspy'
    expect_file out/a/net.hspy
    expect_file out/c/net.hspy
    expect_no_file out/b/net.hspy
}
story one_unreadable_file_of_a_series_exits_1_and_the_rest_is_done

unwritable_output_exits_4() {
    image data/o.hspy
    recipe
    echo "a file, no folder" >blocked
    sed -i 's/^output: .*/output: blocked\/out/' recipe.yaml
    run_expect_exit 4 "$EELPIPE" run recipe.yaml
    expect_stderr_matches 'blocked'
}
story unwritable_output_exits_4

stories_end
