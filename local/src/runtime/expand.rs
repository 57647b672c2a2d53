//! `$(NAME)` references in commands, arguments and environment values. Pure.
//!
//! Follows kubernetes/kubernetes `third_party/forked/golang/expansion`: an unknown name stays as written, `$$` is a
//! dollar sign, so `$$(NAME)` is never expanded.

/// The text with known references replaced.
pub fn expand<'a>(text: &str, get: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|open| open.split_once(')'));
        match reference {
            Some((name, tail)) => {
                match get(name) {
                    Some(value) => expanded.push_str(value),
                    None => {
                        expanded.push_str("$(");
                        expanded.push_str(name);
                        expanded.push(')');
                    }
                }
                rest = tail;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_cases() {
        let get = |name: &str| match name {
            "VAR_A" => Some("A"),
            "VAR_EMPTY" => Some(""),
            _ => None,
        };
        for (input, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_A)___", "___A___"),
            ("$(VAR_A)$(VAR_A)", "AA"),
            ("$(VAR_EMPTY)", ""),
            ("$(VAR_DNE)", "$(VAR_DNE)"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$VAR_A", "$VAR_A"),
            ("f000-$$(VAR_A", "f000-$(VAR_A"),
            ("$(VAR_A", "$(VAR_A"),
            ("$", "$"),
            ("$()", "$()"),
            ("ä$(VAR_A)ö", "äAö"),
        ] {
            assert_eq!(expand(input, get), expected, "{input}");
        }
    }
}
