//! Completion of metric names behind `flyball query`: what the shells' scripts get beside the generated part. Pure.
//!
//! The shell asks `flyball query --complete TEXT`, with the flags for the cluster that stand before, and gets the texts that
//! TEXT may be continued to.

use clap_complete::Shell;

/// What comes behind the generated script of a shell; nothing for shells without it.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        _ => "",
    }
}

/// What stands before the last word of a query, and that word, which may be the beginning of a metric's name.
pub(super) fn last_word(text: &str) -> (&str, &str) {
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let start = text
        .rfind(|letter| !in_name(letter))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    text.split_at(start)
}

const BASH: &str = r#"
_flyball_with_metrics() {
    _flyball "$@"
    [[ "${COMP_WORDS[1]}" == query ]] || return 0
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" cluster=() index
    [[ "${current}" != -* && "${previous}" != -* ]] || return 0
    for ((index = 2; index < COMP_CWORD; index++)); do
        case "${COMP_WORDS[index]}" in
            --kubeconfig|--context|--namespace|-n) cluster+=("${COMP_WORDS[index]}" "${COMP_WORDS[index+1]}") ;;
        esac
    done
    local IFS=$'\n'
    COMPREPLY+=($("${COMP_WORDS[0]}" query "${cluster[@]}" --complete "${current#[\'\"]}" 2>/dev/null))
}

complete -F _flyball_with_metrics -o nosort -o bashdefault -o default flyball
"#;

const ZSH: &str = r#"
_flyball_with_metrics() {
    if [[ "${words[2]}" == query && "${PREFIX}" != -* ]]; then
        local -a names
        names=("${(@f)$(flyball query --complete "${(Q)PREFIX}" 2>/dev/null)}")
        compadd -a names
    fi
    _flyball "$@"
}

if (( $+functions[compdef] )); then
    compdef _flyball_with_metrics flyball
fi
"#;

const FISH: &str = r#"
complete -c flyball -n "__fish_seen_subcommand_from query" -f -a "(flyball query --complete (commandline -ct) 2>/dev/null)"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_completed() {
        for (text, before, word) in [
            ("cont", "", "cont"),
            ("sum(rate(cont", "sum(rate(", "cont"),
            ("a + b:c_1", "a + ", "b:c_1"),
            ("ä", "ä", ""),
            ("", "", ""),
            ("up{", "up{", ""),
        ] {
            assert_eq!(last_word(text), (before, word));
        }
    }
}
