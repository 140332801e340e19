#!/usr/bin/env bash
# Places where no result can or may be written: exit status 4, a message with the path and the reason, and what was there
# before is there afterwards. Damaged and half-written results are made again.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

PYTHON=${PEER_PYTHON:-/usr/bin/python3}
HERE=$EELPIPE_ROOT/tests/cli

two_steps() {
    image data/o.hspy "$@"
    cat >recipe.yaml <<'YAML'
eelpipe: 1
inputs:
  o: data/o.hspy
output: out
steps:
  net: {stage: background, input: o, window: [480, 525]}
  sum: {stage: integrate, input: net, window: [532, 560]}
YAML
}

# unwritten PATTERN: neither `run` nor `check` goes on.
unwritten() {
    run_expect_exit 4 timeout 20 "$EELPIPE" run recipe.yaml
    expect_stderr_matches "step net .*$1"
    expect_no_temporaries
}

# ---- something in the way ----

a_file_where_the_folder_should_be() {
    two_steps
    echo precious >out
    unwritten "can't make the folder .*out: a file of this name is in the way"
    [ "$(cat out)" = precious ] || fail "the file was changed"
}
story a_file_where_the_folder_should_be

a_folder_where_the_result_should_be() {
    two_steps
    mkdir -p out/net.hspy/inside
    unwritten 'out/net\.hspy: it is a folder'
    [ -d out/net.hspy/inside ] || fail "the folder was changed"
    run_expect_exit 4 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'out/net\.hspy: it is a folder'
}
story a_folder_where_the_result_should_be

a_pipe_where_the_result_should_be() {
    two_steps
    mkdir out
    mkfifo out/net.hspy
    unwritten 'out/net\.hspy: it is a pipe or a device'
    [ -p out/net.hspy ] || fail "the pipe is gone"
}
story a_pipe_where_the_result_should_be

a_file_of_somebody_else_is_not_replaced() {
    two_steps
    mkdir out
    echo precious >out/net.hspy
    unwritten 'out/net\.hspy: there is a file that eelpipe has not made: move it away'
    [ "$(cat out/net.hspy)" = precious ] || fail "the file was replaced"
    expect_no_file out/sum.hspy
    run_expect_exit 4 "$EELPIPE" check recipe.yaml
    mv out/net.hspy mine
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
}
story a_file_of_somebody_else_is_not_replaced

a_table_of_somebody_else_is_not_replaced() {
    two_steps
    sed -i 's/data\/o.hspy/data\/{t}.hspy/; s/^output: .*/output: "out\/{t}"/' recipe.yaml
    echo '  all: {stage: collect, input: total, over: t}' >>recipe.yaml
    sed -i 's/  sum:.*/  summed: {stage: sum_spectrum, input: o}\n  fitted: {stage: background, window: [480, 525]}\n  total: {stage: integrate, window: [532, 560]}/' recipe.yaml
    sed -i '/  net:/d' recipe.yaml
    mkdir out
    printf 'my,own\n1,2\n' >out/all.csv
    run_expect_exit 4 "$EELPIPE" check recipe.yaml
    expect_stderr_matches 'step all .*out/all\.csv: there is a file that eelpipe has not made'
    run_expect_exit 4 "$EELPIPE" run recipe.yaml
    expect_no_file out/o
    [ "$(cat out/all.csv)" = "$(printf 'my,own\n1,2')" ] || fail "the table was replaced"
    rm out/all.csv
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    cp out/all.csv ours
    # ours is made again, also where its result is gone or its columns are others
    rm out/all.hspy
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --set steps.total.window=532,570
    if cmp -s ours out/all.csv; then fail "the table is not new"; fi
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    cmp ours out/all.csv || fail "the table is not what it was"
    # somebody's notes in it
    echo '# measured twice' >>out/all.csv
    run_expect_exit 4 "$EELPIPE" run recipe.yaml --force
    expect_stderr_matches 'changed since: move it away'
    grep -q 'measured twice' out/all.csv || fail "the notes are gone"
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
}
story a_table_of_somebody_else_is_not_replaced

a_spectrum_image_is_not_replaced_by_a_stage() {
    image a.hspy
    image b.hspy --seed 2
    local before
    before=$(stamp b.hspy)
    run_expect_exit 4 "$EELPIPE" stage background a.hspy b.hspy window=480,525
    expect_stderr_matches 'b\.hspy: there is a file that eelpipe has not made'
    expect_untouched "$before" b.hspy
    run_expect_exit 0 "$EELPIPE" stage background a.hspy net.hspy window=480,525
    run_expect_exit 0 "$EELPIPE" stage background a.hspy net.hspy window=470,525
}
story a_spectrum_image_is_not_replaced_by_a_stage

# not_over_the_input WORD...: the output names the input in some way.
not_over_the_input() {
    local before
    before=$(stamp data/o.hspy)
    run_expect_exit 2 "$EELPIPE" "$@"
    expect_stderr_matches 'is the input itself|over an input'
    expect_untouched "$before" data/o.hspy
}

the_input_itself_is_never_the_output() {
    image data/o.hspy
    cp data/o.hspy whole.hspy
    ln data/o.hspy data/same.hspy
    ln -s o.hspy data/link.hspy
    ln -s data linked
    local out
    for out in data/o.hspy data/../data/o.hspy data/same.hspy data/link.hspy linked/o.hspy; do
        not_over_the_input stage background data/o.hspy "$out" window=480,525
        not_over_the_input stage background "data/o.hspy#$(signal_name)" "$out" window=480,525
    done
    [ -L data/link.hspy ] || fail "the link is gone"
    cmp data/o.hspy whole.hspy || fail "the input was changed"
}
signal_name() { "$EELPIPE" info --json data/o.hspy | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["signals"][0]["name"])'; }
story the_input_itself_is_never_the_output

a_recipe_never_writes_over_its_inputs() {
    image data/o.hspy
    ln -s data linked
    ln -s o.hspy data/link.hspy
    local output step
    for output in data ./data linked; do
        for step in o link; do
            printf 'eelpipe: 1\ninputs: {raw: data/o.hspy}\noutput: %s\nsteps:\n  %s: {stage: background, input: raw, window: [480, 525]}\n' "$output" "$step" >recipe.yaml
            not_over_the_input check recipe.yaml
            not_over_the_input run recipe.yaml
        done
    done
    [ -L data/link.hspy ] || fail "the link is gone"
}
story a_recipe_never_writes_over_its_inputs

outputs_that_are_no_files() {
    image in.hspy
    local out
    for out in /dev/full /dev/null . "" "$(printf 'a%.0s' {1..300}).hspy" /proc/none.hspy; do
        run_expect_exit 4 "$EELPIPE" stage background in.hspy "$out" window=480,525
        expect_stderr_matches "can't write"
    done
    for out in /dev/null /dev/full; do [ -c "$out" ] || fail "the device $out is gone"; done
}
story outputs_that_are_no_files

# ---- no room, no permission ----

a_read_only_folder() {
    [ "$(id -u)" -eq 0 ] || skip "only root can try as somebody else"
    command -v setpriv >/dev/null || skip "there is no setpriv"
    two_steps
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    chmod 711 "$_scratch" .
    chmod -R a+rX .
    local as="setpriv --reuid=65534 --regid=65534 --clear-groups" before
    # shellcheck disable=SC2086
    run $as "$EELPIPE" version
    [ "$status" -eq 0 ] || skip "the program can't be run by somebody else here"
    before=$(stamp out/net.hspy out/sum.hspy)
    # what is up to date needs no writing
    # shellcheck disable=SC2086
    run_expect_exit 0 $as "$EELPIPE" run "$PWD/recipe.yaml"
    # shellcheck disable=SC2086
    run_expect_exit 4 $as "$EELPIPE" run "$PWD/recipe.yaml" --set steps.net.window=470,525
    expect_stderr_matches "can't write .*out/net\.hspy: permission denied"
    expect_untouched "$before" out/net.hspy out/sum.hspy
}
story a_read_only_folder

# A disk of its own, of $1; skips where that is not allowed.
disk() {
    mkdir -p out
    mount -t tmpfs -o "size=$1" tmpfs out 2>.mounting || skip "no disk can be mounted here: $(head -n 1 .mounting)"
    trap 'umount "$PWD/out" 2>/dev/null' EXIT
}

a_read_only_disk() {
    two_steps
    disk 2m
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mount -o remount,ro "$PWD/out"
    run_expect_exit 4 "$EELPIPE" run recipe.yaml --set steps.net.window=470,525
    expect_stderr_matches "out/net\.hspy: read-only file system"
    run_expect_exit 0 "$EELPIPE" status recipe.yaml
    expect_stdout_matches 'done +done'
}
story a_read_only_disk

a_full_disk_costs_no_result() {
    two_steps
    disk 2m
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    cp out/net.hspy net.before
    cp out/sum.hspy sum.before
    local left
    for left in 0 8 32 64; do
        rm -f out/filler
        head -c 2M /dev/zero >out/filler 2>/dev/null || true
        [ "$left" -eq 0 ] || truncate -s "-${left}K" out/filler
        run_expect_exit 4 "$EELPIPE" run recipe.yaml --set steps.net.window=470,525
        expect_stderr_matches "step net .*out/net\.hspy: no space left on device"
        cmp out/net.hspy net.before || fail "the old result of net is gone"
        cmp out/sum.hspy sum.before || fail "the old result of sum is gone"
        expect_no_temporaries
    done
    rm out/filler
    run_expect_exit 0 "$EELPIPE" run recipe.yaml --set steps.net.window=470,525
    expect_no_temporaries
}
story a_full_disk_costs_no_result

# The same where nothing can be mounted: the size of files is limited.
a_limit_on_file_sizes_costs_no_result() {
    two_steps
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local before blocks
    before=$(stamp out/net.hspy out/sum.hspy)
    for blocks in 1 8 30; do
        # shellcheck disable=SC2016
        run_expect_exit 4 bash -c 'ulimit -f "$1"; shift; exec "$@"' - "$blocks" "$EELPIPE" run recipe.yaml --set steps.net.window=470,525
        expect_stderr_matches "can't write .*out/net\.hspy: file too large"
        expect_untouched "$before" out/net.hspy out/sum.hspy
        expect_no_temporaries
    done
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_untouched "$before" out/net.hspy out/sum.hspy
}
story a_limit_on_file_sizes_costs_no_result

# ---- what old runs have left ----

damaged_results_are_made_again() {
    two_steps
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mv out whole
    local share step bytes
    for share in 0 1 50 99; do
        rm -rf out
        cp -r whole out
        for step in net sum; do
            bytes=$(stat -c %s "whole/$step.hspy")
            truncate -s $((bytes * share / 100)) "out/$step.hspy"
        done
        run_expect_exit 0 "$EELPIPE" run recipe.yaml
        for step in net sum; do cmp "out/$step.hspy" "whole/$step.hspy" || fail "$step: not made again after a cut to $share percent"; done
    done
}
story damaged_results_are_made_again

# Damages the values of one array: a bit of a chunk, or with `short` a packed chunk that unpacks to too little.
damage() { # damage FILE DATASET bit|short
    "$PYTHON" - "$@" <<'PY'
import sys, zlib
import h5py
path, name, how = sys.argv[1:]
with h5py.File(path, "r+") as f:
    d = f[name]
    if how == "short":
        d.id.write_direct_chunk((0,) * d.ndim, zlib.compress(bytes(8)))
    chunk = d.id.get_chunk_info(0)
if how == "bit":
    with open(path, "r+b") as f:
        f.seek(chunk.byte_offset + chunk.size // 2)
        byte = f.read(1)[0]
        f.seek(-1, 1)
        f.write(bytes([byte ^ 16]))
PY
}

# A disk that forgets a bit must not change a number.
damaged_values_are_noticed() {
    "$PYTHON" -c 'import h5py' 2>/dev/null || skip "there is no h5py"
    image data/o.hspy
    recipe 'smoothed: {stage: smooth, input: sum, fwhm: 2 px}'
    sed -i 's/525\]}/525], keep: true}/' recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mv out whole
    local victim what
    for victim in 'sum intensity/data smoothed' 'sum intensity/data_errors smoothed' 'sum intensity/flags smoothed short' 'net net/data sum' \
        'net net/flags sum short' 'net net/covariance/theta sum' 'net net/covariance/cmat sum'; do
        read -r -a what <<<"$victim"
        rm -rf out
        cp -r whole out
        damage "out/${what[0]}.hspy" "entry/${what[1]}" "${what[3]-bit}"
        rm "out/${what[2]}.hspy"
        run_expect_exit 1 "$EELPIPE" run recipe.yaml
        expect_stderr_matches "step ${what[2]} .*out/${what[0]}\.hspy: .*damaged result: delete the file and run again"
        expect_no_file "out/${what[2]}.hspy"
        rm "out/${what[0]}.hspy"
        run_expect_exit 0 "$EELPIPE" run recipe.yaml
        cmp "out/${what[2]}.hspy" "whole/${what[2]}.hspy" || fail "${what[2]} differs from what it was"
    done
}
story damaged_values_are_noticed

results_damaged_at_random_places() {
    "$PYTHON" -c '' 2>/dev/null || skip "there is no Python"
    two_steps --pixels 4,4
    sed -i 's/525\]}/525], keep: true}/' recipe.yaml
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    # sum is made again from the damaged net
    "$PYTHON" "$HERE/mutate.py" 5 120 0,1,2,3,4 out/net.hspy -- sh -c "rm -f out/sum.hspy; exec '$EELPIPE' run recipe.yaml" >.mutated 2>&1 || fail "$(tail -n 5 .mutated)"
    expect_no_temporaries
}
story results_damaged_at_random_places

killed_in_the_middle() {
    image data/o.hspy --pixels 120,120 --seed 7
    local i lines=() after met=0
    for i in 0 1 2 3 4 5; do lines+=("b$i: {stage: background, input: o, window: [$((470 + i)), 525]}"); done
    recipe "${lines[@]}"
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    mv out whole
    for after in 0.4 0.2 0.1 0.05 0.03; do
        rm -rf out
        run timeout --foreground -s KILL "$after" "$EELPIPE" run recipe.yaml --threads 1
        [ "$status" -eq 0 ] || met=1
        run_expect_exit 0 "$EELPIPE" run recipe.yaml
        expect_no_temporaries
        for i in whole/*.hspy; do cmp "$i" "out/$(basename "$i")" || fail "$i: not the bytes of a run in one go"; done
    done
    [ "$met" -eq 1 ] || fail "every run had ended before it was killed"
}
story killed_in_the_middle

# Also beside what is remembered of inputs, and when there is nothing to compute.
what_a_killed_run_left_is_removed() {
    image data/o.hspy
    recipe
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    local dead folder
    bash -c 'echo $$' >dead
    dead=$(cat dead)
    mkdir -p out/.eelpipe/inputs # for small inputs nothing is remembered
    for folder in out out/.eelpipe/inputs; do touch "$folder/.x.eelpipe.$(uname -n).$dead.0.tmp"; done
    run_expect_exit 0 "$EELPIPE" run recipe.yaml
    expect_no_temporaries
}
story what_a_killed_run_left_is_removed

# ---- names ----

names_with_anything_in_them() {
    image in.hspy
    run_expect_exit 0 "$EELPIPE" stage background in.hspy whole.hspy window=480,525
    local name n=0
    for name in 'a b' "it's" 'say "so"' $'two\nlines' 'größe Å µ' '{sample}' '}{' '# no comment' 'key: value' '100%s%n' '*' "\$HOME" '-dash' '\back' 'x=y'; do
        mkdir "f $name"
        cp in.hspy "f $name/in $name.hspy"
        run_expect_exit 0 "$EELPIPE" stage background "f $name/in $name.hspy" "f $name/net $name.hspy" window=480,525
        expect_file "f $name/net $name.hspy"
        run_expect_exit 0 "$EELPIPE" info "f $name/net $name.hspy"
        run_expect_exit 3 "$EELPIPE" stage background "f $name/none.hspy" "f $name/other.hspy" window=480,525
        expect_no_file "f $name/other.hspy"
        n=$((n + 1))
    done
    expect_no_temporaries
}
story names_with_anything_in_them

a_recipe_among_odd_names() {
    local folder="it's {a} \"folder\" größe #1" sample
    mkdir "$folder"
    for sample in 'a b' "it's" $'two\nlines' 'größe' '{x}' '#1' 'k: v'; do image "$folder/data/$sample.hspy" --pixels 4,4; done
    cat >"$folder/recipe.yaml" <<'YAML'
eelpipe: 1
inputs:
  o: "data/{sample}.hspy"
output: "out {{all}}/{sample}"
steps:
  net: {stage: background, input: o, window: [480, 525]}
YAML
    run_expect_exit 0 "$EELPIPE" run "$folder/recipe.yaml"
    for sample in 'a b' "it's" $'two\nlines' 'größe' '{x}' '#1' 'k: v'; do expect_file "$folder/out {all}/$sample/net.hspy"; done
    run_expect_exit 0 "$EELPIPE" run "$folder/recipe.yaml"
    expect_stderr_matches '0 computed, 7 up to date'
    run_expect_exit 0 "$EELPIPE" status "$folder/recipe.yaml"
}
story a_recipe_among_odd_names

stories_end
