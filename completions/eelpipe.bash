# shellcheck shell=bash
# Completion of eelpipe's verbs, options, stages, parameters, and the steps and inputs of the recipe at hand. All names
# come from the program's own help and from the recipe as text; only the options of inputs stand here.

# The words of the command line so far, with what bash splits at `=` put together again: in words, cur, cword.
_eelpipe_words() {
    local i word glue=0
    words=() cword=0
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]-}
        if ((i > 0)) && { [[ $word == "="* ]] || ((glue)); }; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        glue=0
        [[ $word == *"=" ]] && glue=1
    done
    cword=$((${#words[@]} - 1))
    cur=${words[cword]}
}

_eelpipe_verbs() { "$1" help 2>/dev/null | awk '/^Exit codes/ { exit } /^  [a-z]+ / { print $1 }'; }
_eelpipe_stages() { "$1" stages 2>/dev/null | awk '/^[a-z]/ { print $1 }'; }
_eelpipe_options() { "$1" help "$2" 2>/dev/null | awk '$1 ~ /^--/ { print $1 }'; }

# _eelpipe_table PROGRAM STAGE: its keys, one a line: "par NAME", "in NAME", "word NAME CHOICE".
_eelpipe_table() {
    "$1" stages "$2" --markdown 2>/dev/null | awk -F ' *[|] *' '
        /^[|] [a-z]+ [|]/ { part = $2 }
        !/^[|] `[a-z_0-9]+` / { next }
        { gsub(/`/, "", $2) }
        part == "input" && $2 != "input" { print "in", $2 }
        part == "parameter" {
            print "par", $2
            if (sub(/^one of /, "", $3)) {
                sub(/, (default|required).*/, "", $3)
                n = split($3, choice, /, */)
                for (i = 1; i <= n; i++) print "word", $2, choice[i]
            }
            else if ($3 ~ /^true/) { print "word", $2, "true"; print "word", $2, "false" }
        }'
}

# The recipe among the words, or config.yaml.
_eelpipe_recipe() {
    local i
    for ((i = 2; i < cword; i++)); do
        case ${words[i]} in
        *.yaml | *.yml) [[ -r ${words[i]} ]] && { echo "${words[i]}"; return; } ;;
        esac
    done
    [[ ! -r config.yaml ]] || echo config.yaml
}

# _eelpipe_keys RECIPE SECTION: "NAME STAGE" of what stands one level below a top-level key (STAGE: of steps).
_eelpipe_keys() {
    awk -v section="$2" '
        /^[A-Za-z]/ { on = index($0, section ":") == 1; depth = 0; next }
        !on || /^ *(#|$)/ { next }
        match($0, /^ +/) {
            if (!depth) depth = RLENGTH
            if (RLENGTH == depth && match($0, /[A-Za-z_][A-Za-z0-9_]* *:/)) {
                if (name) print name, stage
                name = substr($0, RSTART, RLENGTH)
                sub(/ *:$/, "", name)
                stage = ""
            }
            if (match($0, /stage: *[a-z_0-9]+/)) {
                stage = substr($0, RSTART, RLENGTH)
                sub(/stage: */, "", stage)
            }
        }
        END { if (name) print name, stage }' "$1"
}

# Candidates, one a line on stdin, that begin with $1, into COMPREPLY. $2: what bash has already (up to the last `=`).
_eelpipe_reply() {
    local word have=
    [[ $COMP_WORDBREAKS == *"="* && $1 == *"="* ]] && have=${1%=*}=
    while IFS= read -r word; do
        [[ $word == "$1"* ]] && COMPREPLY+=("${word#"$have"}")
    done
    # Something is to be typed behind "window=" or "steps.net.".
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=.] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

# What an option may be given, one a line.
_eelpipe_values() {
    local recipe
    recipe=$(_eelpipe_recipe)
    [[ -n $recipe ]] || return
    case $1 in
    --only | --from) _eelpipe_keys "$recipe" steps | awk '{ print $1 }' ;;
    --runs) grep -o '{[A-Za-z_][A-Za-z0-9_]*}' "$recipe" | tr -d '{}' | sort -u | sed 's/$/=/' ;;
    esac
}

# _eelpipe_files GLOB...: folders, and files that match; $cur may be "low_loss=FILE".
_eelpipe_files() {
    local path start=$cur pattern
    compopt -o filenames 2>/dev/null
    start=${start##*=}
    while IFS= read -r path; do
        if [[ -d $path ]]; then
            COMPREPLY+=("$path")
            continue
        fi
        for pattern in "$@"; do
            # shellcheck disable=SC2053 # a pattern
            [[ $path == $pattern ]] && COMPREPLY+=("$path") && break
        done
    done < <(compgen -f -- "$start")
    return 0
}

# What --set takes: steps.NAME.PARAMETER=, inputs.NAME.OPTION=, output=
_eelpipe_set() {
    local program=$1 recipe name stage
    recipe=$(_eelpipe_recipe)
    [[ $cur == *"="* || -z $recipe ]] && return
    {
        echo output=
        while read -r name stage; do
            if [[ $cur == "steps.$name."* && -n $stage ]]; then
                _eelpipe_table "$program" "$stage" | awk -v p="steps.$name." '$1 == "par" { print p $2 "=" }'
            else
                echo "steps.$name."
            fi
        done < <(_eelpipe_keys "$recipe" steps)
        while read -r name stage; do
            if [[ $cur == "inputs.$name."* ]]; then
                for stage in path counts_per_electron read_noise energy_offset beam_energy collection_angle convergence_angle; do
                    echo "inputs.$name.$stage="
                done
            else
                echo "inputs.$name."
            fi
        done < <(_eelpipe_keys "$recipe" inputs)
    } | sort -u
}

_eelpipe_stage() {
    local program=$1 stage=${words[2]-}
    if ((cword == 2)); then
        _eelpipe_reply "$cur" < <(_eelpipe_stages "$program")
    elif [[ $cur == *"="* ]]; then
        local key=${cur%%=*} table
        table=$(_eelpipe_table "$program" "$stage")
        if grep -qx "in $key" <<<"$table"; then
            _eelpipe_files '*.hspy' '*.h5' '*.hdf5'
        else
            _eelpipe_reply "$cur" < <(awk -v k="$key" '$1 == "word" && $2 == k { print k "=" $3 }' <<<"$table")
        fi
    else
        _eelpipe_reply "$cur" < <(_eelpipe_table "$program" "$stage" | awk '$1 != "word" { print $2 "=" }')
        _eelpipe_files '*.hspy' '*.h5' '*.hdf5'
        # Of file names bash would write the `=` as `\=`.
        ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *"=" ]] && compopt +o filenames -o nospace 2>/dev/null
        return 0
    fi
}

_eelpipe() {
    local words cword cur prev verb program=${COMP_WORDS[0]} recipe
    COMPREPLY=()
    _eelpipe_words
    program=${program/#\~/$HOME}
    verb=${words[1]-}
    if ((cword == 1)); then
        _eelpipe_reply "$cur" < <(_eelpipe_verbs "$program")
        return
    fi
    prev=${words[cword - 1]}
    case $prev in
    --only | --from | --runs)
        _eelpipe_reply "$cur" < <(_eelpipe_values "$prev")
        return
        ;;
    --set)
        _eelpipe_reply "$cur" < <(_eelpipe_set "$program")
        return
        ;;
    --recipe)
        _eelpipe_files '*.yaml' '*.yml'
        return
        ;;
    --to)
        _eelpipe_files '*'
        return
        ;;
    --threads | --memory | --limit) return ;;
    esac
    if [[ $cur == --*=* ]]; then
        _eelpipe_reply "$cur" < <(_eelpipe_values "${cur%%=*}" | sed "s/^/${cur%%=*}=/")
        return
    fi
    if [[ $cur == -* ]]; then
        _eelpipe_reply "$cur" < <(_eelpipe_options "$program" "$verb")
        return
    fi
    case $verb in
    stage) _eelpipe_stage "$program" ;;
    stages) _eelpipe_reply "$cur" < <(_eelpipe_stages "$program") ;;
    help) _eelpipe_reply "$cur" < <(_eelpipe_verbs "$program"; _eelpipe_stages "$program") ;;
    info) _eelpipe_files '*.hspy' '*.h5' '*.hdf5' ;;
    version | schema) ;;
    preview | vary)
        recipe=$(_eelpipe_recipe)
        if [[ -n $recipe && $recipe == "$prev" ]]; then
            _eelpipe_reply "$cur" < <(_eelpipe_keys "$recipe" steps | awk '{ print $1 }')
        else
            _eelpipe_files '*.yaml' '*.yml'
        fi
        ;;
    import | export) _eelpipe_files '*' ;;
    *) _eelpipe_files '*.yaml' '*.yml' ;;
    esac
}
complete -F _eelpipe eelpipe
