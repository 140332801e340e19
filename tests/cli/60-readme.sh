#!/usr/bin/env bash
# What README.md shows, as it stands there.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# The first yaml block is a whole recipe.
readme_recipe() {
    awk '/^```yaml/ { on = 1; next } /^```/ && on { exit } on' "$EELPIPE_ROOT/README.md" >recipe.yaml
    grep -q '^eelpipe: 1' recipe.yaml || fail "README.md has no recipe"
}

commands_on_a_file_of_ones_own() {
    image mydata.hspy
    readme_recipe
    local line words n=0
    while read -r line; do
        read -ra words <<<"${line%% #*}"
        run_expect_exit 0 "$EELPIPE" "${words[@]:1}"
        n=$((n + 1))
    done < <(grep '^    build/eelpipe ' "$EELPIPE_ROOT/README.md" | grep -v -- --runs)
    [ "$n" -ge 6 ] || fail "only $n commands found in README.md"
    expect_file net.hspy
    expect_file oxygen.hspy
    expect_file out/net.hspy
    expect_file out/oxygen.hspy
}
story commands_on_a_file_of_ones_own

a_series_by_placeholders() {
    readme_recipe
    sed -i -e 's|mydata.hspy.*|beamtime/{sample}/{temperature}C/core.hspy|' \
        -e 's|^output: .*|coordinates: {temperature: degC}\noutput: out/{sample}/{temperature}C|' recipe.yaml
    image beamtime/a/25C/core.hspy
    image beamtime/a/400C/core.hspy --seed 2
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --runs 'temperature>=400'
    expect_file out/a/400C/oxygen.hspy
    expect_no_file out/a/25C/oxygen.hspy
}
story a_series_by_placeholders

exit_codes_are_those_of_help() {
    local code
    run_expect_exit 0 "$EELPIPE" help
    for code in 0 1 2 3 4 130 143; do expect_stdout_matches "\\b$code\\b"; done
}
story exit_codes_are_those_of_help

stories_end
