#!/usr/bin/env bash
# Draws the pictures of docs/gallery.md: of the simulated series, into docs/gallery/.
# usage: scripts/gallery.sh PROGRAM BUILD
set -eu
program=$1 build=$2/gallery to=docs/gallery
"$program" run config.yaml --only composition --quiet --set "output=$build/{sample}/{temperature}C" --set steps.composition.dpi=150
"$program" run "$to/gallery.yaml" --quiet --set "output=../../$build/{sample}/{temperature}C" --only elements,fronts
"$program" preview config.yaml o_ratio --to "$build/preview.png" --quiet
for name in composition elements fronts preview; do cp "$build/$name.png" "$to/$name.png"; done
