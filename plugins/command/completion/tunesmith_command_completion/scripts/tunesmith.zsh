#compdef tunesmith
# Completion of tunesmith for zsh. In ~/.zshrc: source <(tunesmith completion zsh)
# Or save it as _tunesmith in a folder of $fpath.

_tunesmith() {
    local -a open closed
    local line value shown
    for line in "${(@f)$("${words[1]/#\~/$HOME}" completion zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        value=${line%%$'\t'*}
        shown="${value//:/\\:}:${line#*$'\t'}"
        case $value in
            '') ;;
            *[=./]) open+=("$shown") ;;
            *) closed+=("$shown") ;;
        esac
    done
    if (( $#open + $#closed == 0 )); then
        compset -P '*='
        _files
        return
    fi
    (( $#open )) && _describe -t open '' open -S ''
    (( $#closed )) && _describe -t closed '' closed
    return 0
}

if [[ $funcstack[1] == _tunesmith ]]; then
    _tunesmith "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _tunesmith tunesmith
fi
