//! Scripts that are fine, and scripts that are not.

use super::*;

fn kinds(script: &str) -> Vec<(FindingKind, String)> {
    findings(script).into_iter().map(|one| (one.kind, one.text)).collect()
}

#[test]
fn quoted_scripts_are_fine() {
    for script in [
        "composer install --working-dir \"$DIR\"",
        "A=$B; C=$(date)\nexport D=\"$A\"",
        "if [ \"$X\" = 'a $b' ]; then echo \"${X:-none}\"; fi",
        "case $X in a|b) echo yes;; *) echo \"$X\";; esac",
        "x=\"$(case \"$X\" in a) echo 1;; esac)\"",
        "set -- ${OPT:+--opt \"$OPT\"} \"$@\"",
        "cat <<EOF\n$X $(date) it's\nEOF\necho \"$Y\"",
        "cat <<'EOF'\n$X `\nEOF",
        "[[ $X == y* ]] && echo ok # $not $(checked",
        "echo $? ${#X} $#",
        "n=$((n + 1)); printf '%s\\n' \"$n\"",
        "while IFS= read -r line; do printf '%s\\n' \"$line\"; done < \"$FILE\" >&2",
        "ssh -p 22 -- \"$HOST\" 'cat > /tmp/x' < \"$FILE\"",
        "sh -c 'echo \"$1\"' sh \"$X\"",
        "awk -v x=\"$X\" '{print $1, x}' \"$FILE\"",
        "sed -e 's/a/b/' \"$FILE\" 2>&1 | tee -a \"$LOG\"",
        "f() { echo \"$1\"; }\nf a",
        "python3 -m pytest \"$DIR\"",
        "echo it\\'s; echo \"a \\\"$X\\\" b\"",
    ] {
        let found: Vec<_> = kinds(script)
            .into_iter()
            .filter(|(kind, _)| *kind != FindingKind::Arithmetic)
            .collect();
        assert!(found.is_empty(), "{script}\n{found:?}");
    }
}

#[test]
fn unquoted_expansions_are_found() {
    use FindingKind::Unquoted;
    for (script, text) in [
        ("echo $X", "$X"),
        ("rm -rf ${DIR}/x", "${DIR}"),
        ("for f in $(ls); do :; done", "$(ls)"),
        ("echo `id -u`", "`id -u`"),
        ("[ $X = y ]", "$X"),
        ("export A=$B", "$B"),
        ("echo \"$A\"$B", "$B"),
        ("set -- ${OPT:+--opt $OPT}", "$OPT"),
        ("x=\"$(cat $FILE)\"", "$FILE"),
        ("echo ${A:-$B}", "${A:-$B}"),
        ("cmd > $OUT", "$OUT"),
        ("echo $*", "$*"),
        ("if test $X; then :; fi", "$X"),
        ("cat <<EOF\n$(cat $F)\nEOF", "$F"),
    ] {
        assert_eq!(kinds(script), [(Unquoted, text.to_owned())], "{script}");
    }
}

#[test]
fn values_as_code_are_found() {
    use FindingKind::{Eval, Indirect};
    for (script, kind) in [
        ("eval \"$X\"", Eval),
        ("command eval echo", Eval),
        ("A=1 eval x", Eval),
        ("echo \"${!X}\"", Eval),
        ("sh -c \"echo $X\"", Indirect),
        ("bash -euc \"$X\"", Indirect),
        ("env -i bash -c \"$X\"", Indirect),
        ("find . -exec sh -c \"$X\" ';'", Indirect),
        ("python3 -c \"print('$X')\"", Indirect),
        ("node -e \"$X\"", Indirect),
        ("ssh \"$HOST\" \"cd $DIR\"", Indirect),
        ("ssh -i key -p \"$PORT\" host ls \"$DIR\"", Indirect),
        (". \"$FILE\"", Indirect),
        ("source \"$FILE\"", Indirect),
        ("sed \"s/a/$X/\" f", Indirect),
        ("awk \"/$X/\" f", Indirect),
        ("trap \"rm $X\" EXIT", Indirect),
        ("x=\"$(eval echo hi)\"", Eval),
    ] {
        let found = kinds(script);
        assert_eq!(found.len(), 1, "{script}: {found:?}");
        assert_eq!(found[0].0, kind, "{script}: {found:?}");
    }
}

#[test]
fn arithmetic_names_and_lines_are_told() {
    let found = findings("a\nb\necho \"$(( PAGES * 2 ))\"\n");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].text.as_str()), (3, "PAGES"));
}

#[test]
fn broken_scripts_end() {
    for script in ["echo \"a", "echo 'a", "x=$(", "`", "${a", "cat <<E\nx", "$((1"] {
        assert_eq!(
            kinds(script).last().map(|one| one.0),
            Some(FindingKind::Unreadable),
            "{script}"
        );
    }
    let deep = "$(".repeat(100_000);
    assert!(!findings(&deep).is_empty());
}

proptest::proptest! {
    #[test]
    fn no_script_makes_it_panic(script in "[\\$\\(\\)`'\"{}<>|&;# \\\\\na-zE!@*:+-]{0,80}") {
        let _ = findings(&script);
    }
}
