# shellcheck shell=bash
# What the long stories share: a recipe that touches every way data flow.
# shellcheck source=tests/cli/lib.sh
. "$EELPIPE_ROOT/tests/cli/lib.sh"

every_flow() { # every_flow PIXELS CHANNELS
    "$SIMULATE" powerlaw o.hspy --pixels "$1" --channels "$2" --offset 440 --scale 0.5 --amplitude 40 --edge-jump 15 --layout chunked11 --compress
    cat >recipe.yaml <<'RECIPE'
eelpipe: 1
inputs: {o: o.hspy}
output: out
steps:
  ml:       {stage: background, input: o, window: [480, 525], keep: [net]}
  ml_map:   {stage: integrate, window: [530, 560]}
  two:      {stage: background, input: o, window: [480, 525], method: two_area}
  two_map:  {stage: integrate, window: [530, 560]}
  log:      {stage: background, input: o, window: [480, 525], method: log_ls}
  expo:     {stage: background, input: o, window: [480, 525], method: exponential}
  lcpl:     {stage: background, input: o, window: [480, 525], method: lcpl}
  lcpl_map: {stage: integrate, window: [530, 560]}
  avg:      {stage: background, input: o, window: [480, 525], average: {fwhm: 3}}
  avg_map:  {stage: integrate, window: [530, 560]}
  sum:      {stage: sum_spectrum, input: o}
  sum_net:  {stage: background, window: [480, 525]}
  sum_o:    {stage: integrate, window: [530, 560]}
  blocks:   {stage: rebin, input: o, space: [2, 3]}
  blocks_sum: {stage: sum_spectrum, input: blocks}
  part:     {stage: crop, input: o, rows: [5, 20], energy: [470, 570]}
  dark:     {stage: sum_spectrum, input: o, band_of: ml_map, band: [-1e9, 1e9]}
RECIPE
}

# build_variant FOLDER CFLAGS...: the program with other flags, in a folder of its own.
build_variant() {
    local folder=$1
    shift
    make -s -C "$EELPIPE_ROOT" BUILD="$folder" CFLAGS="$*" WERROR= "$folder/eelpipe" >make.log 2>&1 || fail "no build with $*: $(tail -n 3 make.log)"
}

same_results() { # same_results FOLDER FOLDER
    local f
    for f in "$1"/*.hspy; do cmp -s "$f" "$2/$(basename "$f")" || fail "$f and its twin in $2 differ"; done
}
