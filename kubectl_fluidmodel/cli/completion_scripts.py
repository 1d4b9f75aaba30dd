"""Scripts that shells run on TAB after `kubectl-fluidmodel`; they call the hidden `__complete`."""

from __future__ import annotations

BASH = r"""# bash completion for kubectl-fluidmodel
_kubectl_fluidmodel() {
    local line="${COMP_LINE:0:COMP_POINT}" current value head name about directive=4 width=0 index
    local -a words names=() abouts=()
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"
    while IFS=$'\t' read -r name about; do
        if [[ $name == :[0-9]* ]]; then
            directive="${name#:}"
        else
            names+=("$name") abouts+=("$about")
            ((${#name} > width)) && width=${#name}
        fi
    done < <("$1" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    if ((directive == 0)); then
        compopt -o default
        return
    fi
    # readline replaces only the text after the last colon or equals sign
    value="$current"
    [[ $current == -*=* ]] && value="${current#*=}"
    head=""
    [[ $COMP_WORDBREAKS == *:* && $value == *[:=]* ]] && head="${value%"${value##*[:=]}"}"
    for index in "${!names[@]}"; do
        name="${names[index]#"$head"}"
        # add descriptions to a list of candidates; menus (37, 42) would insert them
        if ((${#names[@]} > 1 && COMP_TYPE != 37 && COMP_TYPE != 42)) && [[ -n ${abouts[index]} ]]
        then
            printf -v name '%-*s  (%s)' "$((width - ${#head}))" "$name" "${abouts[index]}"
            name="${name:0:${COLUMNS:-80}}"
        fi
        COMPREPLY+=("$name")
    done
}
complete -o nosort -F _kubectl_fluidmodel kubectl-fluidmodel 2>/dev/null ||
    complete -F _kubectl_fluidmodel kubectl-fluidmodel
"""

ZSH = r"""#compdef kubectl-fluidmodel
_kubectl-fluidmodel() {
    local line name directive
    local -a lines candidates
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    directive="${lines[-1]}"
    lines[-1]=()
    [[ $PREFIX == -*=* ]] && compset -P '*='
    if [[ $directive == ':0' ]]; then
        _files
        return
    fi
    for line in "${lines[@]}"; do
        name="${line%%$'\t'*}"
        candidates+=("${name//:/\\:}${${line#$name}/$'\t'/:}")
    done
    _describe -V 'kubectl fluidmodel' candidates
}
if [[ ${funcstack[1]} == _kubectl-fluidmodel ]]; then
    _kubectl-fluidmodel "$@"
else
    compdef _kubectl-fluidmodel kubectl-fluidmodel
fi
"""

FISH = r"""# fish completion for kubectl-fluidmodel
function __kubectl_fluidmodel_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    test (count $lines) -gt 0; or return
    set -l directive $lines[-1]
    set -e lines[-1]
    set -l flag (string match -r -- '^-[^=]*=' $current)
    if test "$directive" = ':0'
        for path in (__fish_complete_path (string replace -- "$flag" '' "$current"))
            echo "$flag$path"
        end
        return
    end
    for line in $lines
        echo "$flag$line"
    end
end
complete -c kubectl-fluidmodel -f -k -a '(__kubectl_fluidmodel_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
