#!/usr/bin/env bash
# Completion in bash: the function is called as bash would call it.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=completions/eelpipe.bash
. "$EELPIPE_ROOT/completions/eelpipe.bash"
compopt() { :; } # there is no readline here

# offers LINE: what is offered behind it, one a line in .offered. Bash splits words at blanks and at `=`.
offers() {
    local line=$1
    # shellcheck disable=SC2034 # COMP_* are read by the completion
    COMP_LINE=$line COMP_POINT=${#line}
    read -ra COMP_WORDS <<<"${line//=/ = }"
    [[ $line == *[\ ] ]] && COMP_WORDS+=("")
    COMP_WORDS[0]=$EELPIPE
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _eelpipe
    printf '%s\n' "${COMPREPLY[@]+"${COMPREPLY[@]}"}" | sort >.offered
}
expect_offers() { # expect_offers LINE WORD...: exactly these
    offers "$1"
    local said="$1"
    shift
    printf '%s\n' "$@" | sort >.expected
    cmp -s .expected .offered || fail "behind '$said': $(tr '\n' ' ' <.offered), not $*"
}
expect_offered() { # expect_offered LINE WORD...: these among others
    offers "$1"
    local said="$1" word
    shift
    for word in "$@"; do grep -qxF -- "$word" .offered || fail "behind '$said' there is no $word: $(tr '\n' ' ' <.offered)"; done
}

verbs_and_options() {
    expect_offered 'eelpipe ' run plan status check stage stages info help
    expect_offers 'eelpipe stat' status
    expect_offered 'eelpipe run --' --only --from --runs --set --threads --dry-run
    expect_offers 'eelpipe run --dr' --dry-run
}
story verbs_and_options

stages_and_their_parameters() {
    touch in.hspy notes.txt ll.hspy
    mkdir more
    expect_offered 'eelpipe stage ' background integrate align
    expect_offers 'eelpipe stages backg' background
    expect_offered 'eelpipe help ' background run
    expect_offered 'eelpipe stage background in.hspy net.hspy ' window= method= average= in.hspy more
    expect_offers 'eelpipe stage background in.hspy net.hspy win' window= windows=
    expect_offers 'eelpipe stage background in.hspy net.hspy method=' ml two_area log_ls exponential lcpl
    expect_offers 'eelpipe stage background in.hspy net.hspy method=lo' log_ls
    expect_offers 'eelpipe stage align in.hspy out.hspy low' low_loss=
    expect_offers 'eelpipe stage align in.hspy out.hspy low_loss=l' ll.hspy
    expect_offers 'eelpipe info ' in.hspy ll.hspy more
}
story stages_and_their_parameters

steps_of_the_recipe_at_hand() {
    recipe
    cat >config.yaml <<'YAML'
eelpipe: 1
inputs:
    ll: data/{sample}/ll.hspy
    o:
        path: data/{sample}/{temperature}C.hspy
        pair: ll
coordinates: {temperature: degC}
output: out/{sample}/{temperature}
steps:
    # a comment: not a step
    first:
        stage: align
        input: o
    second: {stage: background, window: [480, 525]}

    third_one : {stage: integrate, window: [532, 560]}
YAML
    expect_offers 'eelpipe run --only ' first second third_one
    expect_offers 'eelpipe run recipe.yaml --only ' net sum other
    expect_offers 'eelpipe run recipe.yaml --from o' other
    expect_offers 'eelpipe plan --runs ' sample= temperature=
    expect_offers 'eelpipe run --set steps.' steps.first. steps.second. steps.third_one.
    expect_offers 'eelpipe run --set steps.third_one.' steps.third_one.normalize= steps.third_one.window=
    expect_offers 'eelpipe run --only=th' third_one
    expect_offers 'eelpipe run --from=' first second third_one
    expect_offers 'eelpipe run --set inputs.' inputs.ll. inputs.o.
    expect_offered 'eelpipe run --set inputs.o.' inputs.o.energy_offset=
    expect_offers 'eelpipe run ' config.yaml recipe.yaml
    rm config.yaml
    expect_offers 'eelpipe run --only ' ''
}
story steps_of_the_recipe_at_hand

# A real shell on a terminal of its own: what it types behind a Tab.
in_a_real_shell() {
    touch in.hspy
    recipe
    "${PEER_PYTHON:-/usr/bin/python3}" - "$EELPIPE" "$EELPIPE_ROOT/completions/eelpipe.bash" >typed <<'PY' || skip "there is no terminal to be had"
import os, pty, select, sys, time
program, completion = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PS1="$ ", PATH=os.path.dirname(os.path.abspath(program)) + ":" + os.environ["PATH"])
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])

def said(until):
    text, end = b"", time.monotonic() + 10
    while until not in text and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            text += os.read(fd, 65536)
    return text

said(b"$ ")
os.write(fd, (". '%s'; echo rea''dy\n" % completion).encode())
said(b"ready")
for line in ("eelpipe stat", "eelpipe stage backg", "eelpipe stage background in.hspy net.hspy met", "eelpipe run recipe.yaml --only oth",
             "eelpipe run rec", "eelpipe stages edge_r"):
    # The line as bash completes it becomes the words of an echo.
    os.write(fd, line.encode() + b"\t\x01echo \x05; echo do''ne\n")
    for part in said(b"\ndone").decode(errors="replace").splitlines():
        if part.startswith("eelpipe "):
            print(part.rstrip())
PY
    local line
    for line in 'eelpipe status' 'eelpipe stage background' 'eelpipe stage background in.hspy net.hspy method=' 'eelpipe run recipe.yaml --only other' \
        'eelpipe run recipe.yaml' 'eelpipe stages edge_ratio'; do
        grep -qxF -- "$line" typed || { cat typed; fail "bash does not complete to: $line"; }
    done
}
story in_a_real_shell

every_option_of_every_verb_is_offered() {
    local verb option
    for verb in $(_eelpipe_verbs "$EELPIPE"); do
        for option in $("$EELPIPE" help "$verb" | grep -oE '^  --[a-z-]+'); do expect_offered "eelpipe $verb --" "$option"; done
    done
}
story every_option_of_every_verb_is_offered

stories_end
