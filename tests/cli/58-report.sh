#!/usr/bin/env bash
# The report as a command: where it goes, what it says, what it leaves alone. tests/peer/check_report.py reads the page.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

one_page_beside_the_results() {
    image data/o.hspy
    recipe
    run_expect_exit 1 "$EELPIPE" report recipe.yaml
    expect_stderr_matches 'no results to report of yet: .eelpipe run recipe.yaml. makes them'
    expect_no_file out/report.html
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --quiet
    run_expect_exit 0 "$EELPIPE" report recipe.yaml
    expect_stdout_matches '^report: .*out/report.html$'
    grep -q 'All 3 results are there and up to date' out/report.html || fail "the page does not say that all is there"
    local before
    before=$(md5sum <out/report.html)
    run_expect_exit 0 "$EELPIPE" report recipe.yaml --quiet
    expect_stdout_empty
    [ "$before" = "$(md5sum <out/report.html)" ] || fail "other bytes"
    expect_no_temporaries
    run_expect_exit 0 "$EELPIPE" status recipe.yaml
    expect_stdout_matches 'all 3 done|done +done'
}
story one_page_beside_the_results

# A page in a folder that can't be written, or on a full disk, leaves the one before.
the_old_page_stays() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --quiet
    run_expect_exit 0 "$EELPIPE" report recipe.yaml --to page.html
    local before
    before=$(stamp page.html)
    (
        ulimit -f 8 # blocks of 1024 bytes: less than a page
        run_expect_exit 4 "$EELPIPE" report recipe.yaml --to page.html
        expect_stderr_matches "can't write page.html"
    )
    expect_untouched "$before" page.html
    expect_no_temporaries
    echo mine >mine.html
    run_expect_exit 4 "$EELPIPE" report recipe.yaml --to mine.html
    expect_stderr_matches 'no report of eelpipe'
    [ "$(cat mine.html)" = mine ] || fail "a file of the user's was written over"
    run_expect_exit 4 "$EELPIPE" report recipe.yaml --to data
    run_expect_exit 4 "$EELPIPE" report recipe.yaml --to data/o.hspy/page.html
}
story the_old_page_stays

damage_is_told_and_survived() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --quiet
    truncate -s 3000 out/sum.hspy
    rm out/other.hspy
    run_expect_exit 1 "$EELPIPE" report recipe.yaml --to page.html
    expect_stderr_matches "1 result can't be read"
    expect_stderr_matches '1 result is not there'
    grep -q 'Of 3 results' page.html || fail "the page does not count"
}
story damage_is_told_and_survived

mistakes_are_told() {
    image data/o.hspy
    recipe
    run_expect_exit 2 "$EELPIPE" report recipe.yaml another.yaml
    expect_stderr_matches 'one recipe at a time'
    run_expect_exit 2 "$EELPIPE" report recipe.yaml --limit lots
    expect_stderr_matches 'a size such as 20M'
    run_expect_exit 2 "$EELPIPE" report nowhere.yaml
    run_expect_exit 2 "$EELPIPE" report recipe.yaml --set steps.net.windw=1,2
}
story mistakes_are_told

stories_end
