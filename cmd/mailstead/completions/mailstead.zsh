#compdef mailstead
# Completion of mailstead for zsh. Put it into a folder of fpath as _mailstead, or: source <(mailstead completion zsh)
_mailstead() {
    local -a found
    found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == :files ]]; then
        _files
        return
    fi
    [[ -n ${found[1]} ]] || return 1
    found=("${(@)found//:/\\:}")
    found=("${(@)found//$'\t'/:}")
    _describe -V mailstead found
}
if [[ $funcstack[1] == _mailstead ]]; then
    _mailstead "$@"
else
    compdef _mailstead mailstead
fi
