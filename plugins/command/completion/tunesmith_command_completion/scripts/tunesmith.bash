# Completion of tunesmith for bash. In ~/.bashrc: source <(tunesmith completion bash)

_tunesmith() {
    local reply
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("$reply")
    done < <(COMP_WORDBREAKS="$COMP_WORDBREAKS" "${1/#\~/$HOME}" completion bash -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# Without a reply bash completes file names.
complete -o bashdefault -o default -F _tunesmith tunesmith
