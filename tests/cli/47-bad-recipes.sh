#!/usr/bin/env bash
# Recipes, lists of runs and command lines that are wrong: exit status 2 before anything is read or written, with the place,
# what is wrong with it, and what is allowed. Those made to do harm are refused at once and in little memory.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

PYTHON=${PEER_PYTHON:-/usr/bin/python3}
_image=$_scratch/o.hspy
(cd "$_scratch" && image "$_image" --pixels 4,4)

# steps [LINE...]: a recipe with the input `o` and these steps.
steps() {
    mkdir -p data
    [ -e data/o.hspy ] || cp "$_image" data/o.hspy
    printf 'eelpipe: 1\ninputs:\n  o: data/o.hspy\noutput: out\nsteps:\n' >recipe.yaml
    local line
    for line in "$@"; do printf '  %s\n' "$line" >>recipe.yaml; done
}

NET='net: {stage: background, input: o, window: [480, 525]}'

# wrong PATTERN...: `check` and `run` say all of them.
wrong() {
    local verb pattern
    for verb in check run; do
        run_expect_exit 2 timeout 20 "$EELPIPE" "$verb" recipe.yaml
        for pattern in "$@"; do expect_stderr_matches "$pattern"; done
        expect_stdout_empty
        expect_no_file out
    done
}

# wrong_step TEXT PATTERN...: the text of one step, in line 6.
wrong_step() {
    steps "$1"
    shift
    local pattern patterns=()
    for pattern in "$@"; do patterns+=("recipe\.yaml:6:[0-9]+: error: .*$pattern"); done
    wrong "${patterns[@]}"
}

# ---- windows and other values ----

a_window_outside_the_axis() { wrong_step 'net: {stage: background, input: o, window: [100, 150]}' 'step net .*100 to 150 eV reaches beyond the axis, which covers 399\.5 to 655\.5 eV'; }
story a_window_outside_the_axis
a_window_partly_outside() { wrong_step 'net: {stage: background, input: o, window: [350, 450]}' '350 to 450 eV reaches beyond the axis'; }
story a_window_partly_outside
a_window_of_less_than_3_channels() { wrong_step 'net: {stage: background, input: o, window: [480, 482]}' '480 to 482 eV holds 2 channels of 1 eV: at least 3'; }
story a_window_of_less_than_3_channels
a_window_the_wrong_way_round() { wrong_step 'net: {stage: background, input: o, window: [525, 480]}' 'the first energy must be below the second'; }
story a_window_the_wrong_way_round
a_length_for_an_energy() { wrong_step 'net: {stage: background, input: o, window: [480 nm, 525 nm]}' '"480 nm" is a length; window needs an energy in eV' '"525 nm" is a length'; }
story a_length_for_an_energy
a_unit_nobody_knows() { wrong_step 'net: {stage: background, input: o, window: [480, 525 furlong]}' 'the unit furlong is not known; window needs an energy in eV'; }
story a_unit_nobody_knows
numbers_that_are_none() {
    wrong_step 'net: {stage: background, input: o, window: [.nan, 525]}' 'a finite number is needed'
    wrong_step 'net: {stage: background, input: o, window: [480, .inf]}' 'a finite number is needed'
    wrong_step 'net: {stage: background, input: o, window: [480, 1e999]}' 'too large for a number'
}
story numbers_that_are_none
windows_that_are_none() {
    local window
    for window in abc '[480]' '[480, 500, 525]' '{a: 1}' '"480, 525"'; do
        wrong_step "net: {stage: background, input: o, window: $window}" 'a list of two energies in eV, as in \[10, 20\]'
    done
    wrong_step 'net: {stage: background, input: o, window: }' 'window is missing.*as in window'
}
story windows_that_are_none
a_key_misspelt() { wrong_step 'net: {stage: background, input: o, windw: [480, 525]}' "unknown key 'windw'.*did you mean 'window'.*allowed: window"; }
story a_key_misspelt
a_key_of_an_input_misspelt() {
    steps "$NET"
    sed -i 's/o: data.*/o: {pth: data\/o.hspy}/' recipe.yaml
    wrong "recipe\.yaml:3:7: .*unknown key 'pth' in input o: did you mean 'path'"
}
story a_key_of_an_input_misspelt
values_out_of_range() {
    steps "$NET"
    sed -i 's/o: data.*/o: {path: data\/o.hspy, counts_per_electron: -1}/' recipe.yaml
    wrong 'recipe\.yaml:3:.*counts_per_electron = -1 is out of range: allowed are'
    sed -i 's/o: {.*/o: {path: data\/o.hspy, exclude: {rows: [99]}}/' recipe.yaml
    wrong 'recipe\.yaml:3:.*row 99 is not in the image of 4 rows'
}
story values_out_of_range
a_unit_of_a_coordinate() {
    steps "$NET"
    sed -i 's/o: data.*/o: "data\/{k}.hspy"/; s/^output: out/coordinates: {q: degC}\noutput: out\/{k}/' recipe.yaml
    wrong "recipe\.yaml:4:.*coordinate 'q': no path of .inputs. has a placeholder"
}
story a_unit_of_a_coordinate

# ---- what feeds what ----

a_circle_of_one() { wrong_step 'net: {stage: background, input: net, window: [480, 525]}' 'step net uses its own result'; }
story a_circle_of_one
a_circle_of_three() {
    steps 'a: {stage: background, input: c, window: [480, 525]}' 'b: {stage: background, input: a, window: [480, 525]}' 'c: {stage: background, input: b, window: [480, 525]}'
    wrong 'go round in a circle: a -> b -> c -> a'
}
story a_circle_of_three
a_step_named_as_an_input() { wrong_step 'o: {stage: background, input: o, window: [480, 525]}' 'step o has the name of an input'; }
story a_step_named_as_an_input
names_that_are_no_names() {
    local name
    for name in a/b .. . 1a 'a b' é ''; do wrong_step "\"$name\": {stage: background, input: o, window: [480, 525]}" 'a name is a letter, then letters, digits and _'; done
    wrong_step "$(printf 'a%.0s' {1..300}): {stage: background, input: o, window: [480, 525]}" 'at most 200 characters'
}
story names_that_are_no_names
too_many_steps() {
    steps
    "$PYTHON" -c 'for i in range(3000): print("  s%d: {stage: background, input: o, window: [480, 525]}" % i)' >>recipe.yaml
    wrong 'more than 1000'
}
story too_many_steps

# ---- runs ----

series() {
    mkdir -p data/a data/b
    local name
    for name in "$@"; do cp "$_image" "data/$name.hspy"; done
}
# series_recipe PATH OUTPUT [LINE]
series_recipe() { printf 'eelpipe: 1\ninputs: {o: "%s"}\noutput: "%s"\n%s\nsteps:\n  %s\n' "$1" "$2" "${3-}" "$NET" >recipe.yaml; }

two_results_at_one_path() {
    series x1 x2
    series_recipe 'data/{k}.hspy' out
    wrong 'recipe\.yaml:3:.*the results of the runs k=x1 and k=x2 would both go to out: .output. must tell them apart'
}
story two_results_at_one_path
a_coordinate_bound_twice() {
    series a/025C a/25C b/25C
    series_recipe 'data/{s}/{t}C.hspy' 'out/{s}/{t}' 'coordinates: {t: degC}'
    wrong 'data/a/025C\.hspy and data/a/25C\.hspy have the same coordinates: s=a, t=25'
}
story a_coordinate_bound_twice
a_name_that_can_be_read_in_two_ways() {
    series a_b_c
    series_recipe 'data/{k}_{l}.hspy' 'out/{k}/{l}'
    wrong 'data/a_b_c\.hspy can be read in two ways'
}
story a_name_that_can_be_read_in_two_ways
placeholders_that_touch() {
    series ab
    series_recipe 'data/{k}{l}.hspy' 'out/{k}/{l}'
    wrong '\{k\}\{l\} have nothing between them'
}
story placeholders_that_touch

# csv_says PATTERN: a list of runs from stdin.
csv_says() {
    mkdir -p data
    cp "$_image" data/o.hspy
    cat >runs.csv
    printf 'eelpipe: 1\ninputs: {o: }\nruns: runs.csv\noutput: "out/{k}"\nsteps:\n  %s\n' "$NET" >recipe.yaml
    wrong "$1"
}
lists_of_runs() {
    printf 'o,k\ndata/o.hspy,1\ndata/o.hspy,1\n' | csv_says 'runs\.csv:3:1: error: the rows in lines 2 and 3 have the same coordinates: k=1'
    printf 'o,k\ndata/o.hspy\n' | csv_says 'runs\.csv:2:1: .*1 cells, the first has 2'
    printf 'o,k\ndata/o.hspy,..\n' | csv_says "'\.\.' can't be the name of a folder"
    printf '' | csv_says 'empty'
    printf 'o,k\n"data' | csv_says 'a quote is opened and not closed'
    printf 'o,k\ndata/o.hspy,\0\n' | csv_says 'runs\.csv'
    head -c 20M /dev/zero | csv_says 'runs\.csv is longer than 16 MiB'
    sed -i 's/runs: runs.csv/runs: none.csv/' recipe.yaml
    wrong "none\.csv can't be opened"
    sed -i 's/runs: none.csv/runs: data/' recipe.yaml
    wrong "data can't be read: is a directory"
}
story lists_of_runs

# ---- what is no recipe ----

# no_recipe PATTERN: recipe.yaml comes from stdin.
no_recipe() {
    cat >recipe.yaml
    wrong "$1"
}
texts_that_are_no_recipes() {
    printf '' | no_recipe 'the recipe is empty: it needs .eelpipe: 1.'
    printf '# nothing\n' | no_recipe 'the recipe is empty'
    printf 'hello\n' | no_recipe 'this is no recipe'
    printf -- '- a\n' | no_recipe 'this is no recipe'
    printf 'a: 1\n' | no_recipe 'version of the recipe language is missing'
    printf 'eelpipe: 2\n' | no_recipe 'this program reads version 1'
    printf 'eelpipe: 1\n' | no_recipe 'inputs is missing.*as in'
    printf 'eelpipe: 1\ninputs: {o: x}\noutput: out\nsteps: {}\n' | no_recipe 'steps is empty'
    printf 'eelpipe: 1\ninputs: [x]\noutput: [out]\nsteps: [a]\n' | no_recipe 'steps is a list: it needs a mapping'
}
story texts_that_are_no_recipes
bytes_that_are_no_text() {
    steps "$NET"
    cp recipe.yaml good.yaml
    sed 's/out/\xfct/' good.yaml | no_recipe 'not plain UTF-8 text'
    sed 's/net/n\x1bt/' good.yaml | no_recipe 'control characters'
    tr 'n' '\0' <good.yaml | no_recipe 'control characters'
    head -c 4096 "$_image" | no_recipe 'not plain UTF-8 text'
    { printf '\xff\xfe' && sed 's/./&\x00/g' good.yaml; } | no_recipe 'recipe\.yaml:[0-9]+'
}
story bytes_that_are_no_text
yaml_of_other_kinds() {
    wrong_step 'net: !!python/object:os.system {stage: background}' 'the tag .* is not known'
    wrong_step 'net: {<<: {stage: background}, input: o, window: [480, 525]}' 'merging.*is not YAML 1\.2'
    wrong_step 'net: *nothing' '\*nothing names nothing'
    wrong_step 'net: &a [*a]' 'within the very value'
    steps "$NET" '--- {a: 1}'
    sed -i 's/^  ---/---/' recipe.yaml
    wrong 'a second document'
}
story yaml_of_other_kinds

recipes_that_are_no_files() {
    mkdir folder
    mkfifo pipe
    ln -s nowhere dangling
    ln -s loop loop
    local pair
    for pair in 'folder:is a directory' 'pipe:the recipe is empty' 'dangling:no such file' 'loop:too many levels' 'none.yaml:no such file' '/dev/null:the recipe is empty' \
        '/dev/zero:longer than 16 MiB'; do
        run_expect_exit 2 timeout 20 "$EELPIPE" run "${pair%%:*}"
        expect_stderr_matches "${pair%%:*}.*${pair#*:}"
    done
    run_expect_exit 2 "$EELPIPE" run
    expect_stderr_matches 'config\.yaml.*no such file'
}
story recipes_that_are_no_files

# ---- made to do harm ----

# modest PATTERN: refused within 5 s and 100 MB (a sanitizer has memory needs of its own); the message is short.
modest() {
    local most=100000
    case $EELPIPE in *sanitize*) most=1000000 ;; esac
    run_expect_exit 2 timeout 5 "$PYTHON" -c '
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)' "$EELPIPE" check recipe.yaml
    expect_stderr_matches "$1"
    [ "$(tail -n 1 .stdout)" -lt "$most" ] || fail "it took $(tail -n 1 .stdout) kB"
    [ "$(wc -c <.stderr)" -lt 100000 ] || fail "a message of $(wc -c <.stderr) bytes"
    expect_no_file out
}
# made PYTHON: recipe.yaml from a Python expression that gives text.
made() { "$PYTHON" -c "import sys; sys.stdout.write($1)" >recipe.yaml; }

nested_deeply() {
    made '"a: " + "[" * 100000'
    modest 'recipe\.yaml:1:[0-9]+: .*nested more than 64 deep'
    made '"a: " + "{a: " * 100000'
    modest 'nested more than 64 deep'
    made '"".join(" " * i + "a:\n" for i in range(2000))'
    modest 'nested more than 64 deep'
    made '"a: " + "[" * 63 + "]" * 63'
    modest 'version'
}
story nested_deeply
aliases_that_expand() {
    made '"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join("a%d: &a%d [%s]\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 10)) for i in range(1, 12))'
    modest 'more than 200000 values, aliases followed'
    made '"a0: &a0 " + "x" * 100000 + "\n" + "".join("a%d: &a%d [%s]\n" % (i, i, ",".join(["*a%d" % (i - 1)] * 10)) for i in range(1, 12))'
    modest 'aliases followed'
}
story aliases_that_expand
a_hundred_megabytes() {
    made '"a: " + "x" * (100 << 20)'
    modest 'recipe\.yaml is longer than 16 MiB'
    made '"# comment\n" * (10 << 20)'
    modest 'recipe\.yaml is longer than 16 MiB'
    rm recipe.yaml
    truncate -s 100G recipe.yaml 2>/dev/null || truncate -s 200M recipe.yaml
    modest 'recipe\.yaml is longer than 16 MiB'
}
story a_hundred_megabytes
very_many_and_very_long() {
    made '"".join("k%d: 1\n" % i for i in range(500000))'
    modest 'more than 200000 values|more than 8 MiB'
    made '"eelpipe: 1\n? " + "k" * 200000 + "\n: 1\n"'
    modest 'recipe\.yaml:'
    made '"eelpipe: 1\ninputs: {o: x}\noutput: out\nsteps: {net: {stage: " + "b" * 3000000 + ", input: o}}\n"'
    modest 'there is no stage'
    made '"eelpipe: 1\ninputs: {o: x}\noutput: out\nsteps:\n" + "".join("  s%d: {stage: bckground, input: o, wndow: 1}\n" % i for i in range(900))'
    modest 'not shown'
}
story very_many_and_very_long

# ---- command lines ----

wrong_words() {
    steps "$NET"
    while IFS='|' read -r words pattern; do
        # shellcheck disable=SC2086
        run_expect_exit 2 "$EELPIPE" $words
        expect_stderr_matches "$pattern"
        expect_no_file out
    done <<'WORDS'
rnu recipe.yaml|unknown verb 'rnu': did you mean 'run'
run --nothing recipe.yaml|--nothing
run recipe.yaml other.yaml|one too many
run recipe.yaml --set steps.net.windw=1,2|unknown key 'windw'.*did you mean 'window'
run recipe.yaml --set nonsense|--set
run recipe.yaml --set eelpipe=2|reads version 1
run recipe.yaml --only nte|the recipe has no step 'nte': did you mean 'net'
run recipe.yaml --runs k>>4|--runs
run recipe.yaml --memory lots|--memory takes a size
run recipe.yaml --threads none|--threads
stage|name a stage
stage backgruond data/o.hspy n.hspy|there is no stage 'backgruond': did you mean 'background'
stage background data/o.hspy|needs an input file and an output file
stage background data/o.hspy n.hspy window=480|a list of two energies
stage background data/o.hspy n.hspy window=480,482|holds 2 channels of 1 eV: at least 3
stage background data/o.hspy n.hspy window=480nm,525nm|is a length
stage background data/o.hspy n.hspy window=480,525 window=470,525|window is given twice
stage background data/o.hspy n.hspy window=480,525 at=3|at= is for recipes
stage background data/o.hspy n.hspy|window is missing
info|name a file
WORDS
    expect_no_file n.hspy
}
story wrong_words

stories_end
