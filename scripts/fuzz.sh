#!/usr/bin/env bash
# Runs each fuzzer for its share of the time, from the stored corpus on; status 1 on a finding, which is left in
# FOLDER/findings/. What is new and interesting is kept in FOLDER/corpus/ between runs, the stored corpus is not changed.
# usage: scripts/fuzz.sh FOLDER SECONDS NAME...
set -u
folder=$1 seconds=$2
shift 2
mkdir -p "$folder/findings"
bad=0
for name in "$@"; do
    mkdir -p "$folder/corpus/$name"
    echo "fuzz: $name, $((seconds / $#)) s"
    "$folder/tests/fuzz/fuzz_$name" -max_total_time=$((seconds / $# > 0 ? seconds / $# : 1)) -timeout=10 -rss_limit_mb=2048 \
        -max_len=16384 -print_final_stats=1 -artifact_prefix="$folder/findings/$name-" "$folder/corpus/$name" \
        "tests/fuzz/corpus/$name" >"$folder/$name.log" 2>&1 || {
        bad=1
        tail -n 60 "$folder/$name.log"
        echo "fuzz: $name failed; all it said is in $folder/$name.log"
    }
    grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added)' "$folder/$name.log"
done
exit "$bad"
