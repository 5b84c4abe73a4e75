# Completion of mailstead for fish. Put it into fish's folder of completions, or: mailstead completion fish | source
function __mailstead_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete -- $words[2..] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c mailstead -f -a '(__mailstead_complete)'
