# Completion of tunesmith for fish: tunesmith completion fish > ~/.config/fish/completions/tunesmith.fish

function __tunesmith_replies
    set -l words (commandline -opc)
    set -g __tunesmith_found ($words[1] completion fish -- $words (commandline -ct) 2>/dev/null)
    test (count $__tunesmith_found) -gt 0
end

# Where there is no reply, fish completes file names.
complete -c tunesmith -n __tunesmith_replies -f -a '$__tunesmith_found'
