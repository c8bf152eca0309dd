"""Completion in the shells: each asks `PROGRAM completion words -- WORD...`, whose last word is the one to complete."""

from __future__ import annotations

_SCRIPTS = {
    "bash": """\
_PROGRAM() {
    local IFS=$'\\n'
    COMPREPLY=($(PROGRAM completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if [ "${COMP_WORDS[COMP_CWORD-1]}" = -f ]; then COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); fi
}
complete -o default -F _PROGRAM PROGRAM
""",
    "zsh": """\
#compdef PROGRAM
_PROGRAM() {
    local -a found
    found=("${(@f)$(PROGRAM completion words -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if [[ "${words[CURRENT-1]}" == -f || -z "$found" ]]; then _files; else compadd -a found; fi
}
compdef _PROGRAM PROGRAM
""",
    "fish": """\
function __PROGRAM_words
    set -l typed (commandline -opc) (commandline -ct)
    PROGRAM completion words -- $typed[2..-1] 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_words)'
""",
}


def scripts(program: str) -> dict[str, str]:
    """Shell -> what it reads once to know how."""
    return {shell: text.replace("PROGRAM", program) for shell, text in _SCRIPTS.items()}
