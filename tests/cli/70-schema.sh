#!/usr/bin/env bash
# The verb schema; tests/peer/check_schema.py holds what it prints against an independent validator.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

the_checked_in_schema_is_the_one_of_the_tables() {
    run_expect_exit 0 "$EELPIPE" schema
    diff "$EELPIPE_ROOT/schemas/recipe.schema.json" .stdout >.differs ||
        { head -n 40 .differs; fail "schemas/recipe.schema.json is old: eelpipe schema > schemas/recipe.schema.json"; }
}
story the_checked_in_schema_is_the_one_of_the_tables

the_schema_knows_every_stage() {
    run_expect_exit 0 "$EELPIPE" stages
    local stages name
    mapfile -t stages < <(grep -oE '^[a-z_]+' .stdout) # long summaries go on in the next line
    [ "${#stages[@]}" -ge 7 ] || fail "only ${#stages[@]} stages are listed"
    run_expect_exit 0 "$EELPIPE" schema
    for name in "${stages[@]}"; do expect_stdout_matches "\"stage_$name\": \{"; done
}
story the_schema_knows_every_stage

a_recipe_as_json_with_values_set() {
    recipe 'words: {stage: integrate, input: net, window: ["0.5 keV", 6e2]}   # O, N'
    run_expect_exit 0 "$EELPIPE" schema --recipe recipe.yaml --set steps.net.window=470,525
    cat >expected <<'JSON'
{"eelpipe":1,"inputs":{"o":"data/o.hspy"},"output":"out","steps":{"net":{"stage":"background","input":"o","window":[470,525]},"sum":{"stage":"integrate","input":"net","window":[532,560]},"other":{"stage":"background","input":"o","window":[470,520]},"words":{"stage":"integrate","input":"net","window":["0.5 keV",600]}}}
JSON
    cmp -s expected .stdout || _fail_shown "not the JSON that was expected"
    run_expect_exit 0 "$EELPIPE" schema --recipe=recipe.yaml
    expect_stdout_matches '"window":\[480,525\]'
}
story a_recipe_as_json_with_values_set

a_recipe_that_is_wrong_has_json_all_the_same() {
    recipe 'wrong: {stage: nothing, windw: [1, 2]}'
    run_expect_exit 0 "$EELPIPE" schema --recipe recipe.yaml
    expect_stdout_matches '"wrong":\{"stage":"nothing","windw":\[1,2\]\}'
}
story a_recipe_that_is_wrong_has_json_all_the_same

what_is_no_yaml_has_none() {
    recipe 'net: {stage: background}'
    run_expect_exit 2 "$EELPIPE" schema --recipe recipe.yaml
    expect_stdout_empty
    expect_stderr_matches 'recipe\.yaml:9:.*net'
    run_expect_exit 2 "$EELPIPE" schema --recipe nowhere.yaml
    expect_stderr_matches 'nowhere\.yaml'
}
story what_is_no_yaml_has_none

wrong_words_exit_2() {
    recipe
    run_expect_exit 2 "$EELPIPE" schema --recipe
    expect_stderr_matches '--recipe needs'
    run_expect_exit 2 "$EELPIPE" schema recipe.yaml
    expect_stderr_matches '--recipe'
    run_expect_exit 2 "$EELPIPE" schema --set steps.net.window=1,2
    run_expect_exit 2 "$EELPIPE" schema --recipe recipe.yaml --set steps.nte.window=1,2
    expect_stderr_matches 'did you mean .?net'
    expect_stdout_empty
}
story wrong_words_exit_2

stories_end
