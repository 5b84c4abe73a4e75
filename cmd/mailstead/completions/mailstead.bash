# Completion of mailstead for bash. Put it into bash-completion's folder, or: source <(mailstead completion bash)
_mailstead() {
    local line="${COMP_LINE:0:COMP_POINT}" cut found
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    # bash takes a word apart at = and @ and completes the last piece only.
    cut="${words[-1]%"${COMP_WORDS[COMP_CWORD]}"}"
    COMPREPLY=()
    while IFS=$'\t' read -r found _; do
        if [[ $found == :files ]]; then
            compopt -o default 2>/dev/null
            return
        fi
        COMPREPLY+=("${found#"$cut"}")
    done < <("$1" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _mailstead mailstead
