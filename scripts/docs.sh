#!/usr/bin/env bash
# Writes what the program knows of itself into the docs: the generated part of each stage's page, FOLDER/stages/NAME.md,
# the list FOLDER/stages/README.md, and the verbs and options of FOLDER/eelpipe.1. What stands outside the marks is
# written by hand and stays; a page that is not there yet is begun with empty sections.
# usage: scripts/docs.sh PROGRAM FOLDER
set -eu
program=$1 folder=$2/stages manual=$2/eelpipe.1
first='<!-- generated: '
last='<!-- end of the generated part -->'
sections=('What it does' 'When to use it' 'Which window to choose' 'What it does to the sigmas' 'Reference')

mkdir -p "$folder"
new=$(mktemp)
page=$(mktemp)
trap 'rm -f "$new" "$page"' EXIT

# Only what has changed is written, so that make and editors see no new times.
settle() {
    cmp -s "$1" "$2" || cat "$1" >"$2"
}

names=()
while read -r name; do names+=("$name"); done < <("$program" stages | awk '/^[a-z]/ { print $1 }')
for name in "${names[@]}"; do
    "$program" stages "$name" --markdown >"$new"
    if [ -e "$folder/$name.md" ]; then
        awk -v first="$first" -v last="$last" -v new="$new" '
            index($0, first) == 1 { while ((getline line < new) > 0) print line; skip = 1 }
            !skip
            index($0, last) == 1 { skip = 0 }' "$folder/$name.md" >"$page"
        grep -qF "$last" "$page" || { echo "docs: $folder/$name.md lacks the marks of its generated part" >&2; exit 1; }
    else
        cat "$new" >"$page"
        for section in "${sections[@]}"; do printf '\n## %s\n' "$section" >>"$page"; done
        echo "docs: $folder/$name.md is new: its sections are still to be written" >&2
    fi
    settle "$page" "$folder/$name.md"
done

{
    # shellcheck disable=SC2016 # Markdown
    printf '# Stages\n\nWritten by `make docs`. `eelpipe stages NAME` says the same on a terminal.\n\n| stage | |\n|---|---|\n'
    for name in "${names[@]}"; do printf '| [%s](%s.md) | %s |\n' "$name" "$name" "$("$program" stages "$name" --markdown | sed -n 4p)"; done
} >"$page"
settle "$page" "$folder/README.md"

# Verbs and options in roff: `eelpipe help VERB` has them as "  --option ARG   what it does".
verbs() {
    "$program" help | awk '/^Exit codes/ { exit } /^  [a-z]+ / { print $1 }' | while read -r verb; do
        "$program" help "$verb" | sed -e 's/\\/\\e/g' -e 's/-/\\-/g' | awk '
            NR == 1 { sub(/ +$/, ""); print ".SS " $0; next }
            NR == 2 { sub(/^ +/, ""); print; next }
            match($0, /  +[^ ]/) && sub(/^  /, "") {
                split($0, part, /   */)
                what = substr($0, length(part[1]) + 1)
                sub(/^ +/, "", what)
                printf ".TP\n.B %s\n%s\n", part[1], what
            }'
    done
}
verbs >"$new"
awk -v new="$new" '
    /^\.\\" generated/ { print; while ((getline line < new) > 0) print line; skip = 1 }
    /^\.\\" end of the generated part/ { skip = 0 }
    !skip' "$manual" >"$page"
settle "$page" "$manual"
