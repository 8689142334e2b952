use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn pairs(environment: &Environment) -> Vec<(&str, &str)> {
    environment.iter().collect()
}

fn overridden(base: &[(&str, &str)], overrides: &[(&str, &str)]) -> Environment {
    let mut result = environment(base);
    result.override_expanding_all(&environment(overrides)).unwrap();
    result
}

/// What JDK 17 printed for `new TreeMap(String.CASE_INSENSITIVE_ORDER)` filled from
/// `System.getenv()` under `env -i` with these variables.
#[test]
fn inherited_names_differing_in_case_merge_as_in_java() {
    let system = |text: &str| {
        Environment::from_system(text.split(' ').map(|variable| {
            let (name, value) = variable.split_once('=').unwrap();
            (OsString::from(name), OsString::from(value))
        }))
    };
    let few = "PATH=/usr/bin HTTP_PROXY=A http_proxy=b Foo=1 FOO=2 foo=3 fOO=4 Path=zz _X=1 A=2";
    assert_eq!(
        pairs(&system(few)),
        [("_X", "1"), ("A", "2"), ("fOO", "1"), ("http_proxy", "A"), ("Path", "/usr/bin")]
            .into_iter()
            .collect::<Environment>()
            .iter()
            .collect::<Vec<_>>()
    );
    let more = "PATH=/usr/bin http_proxy=b HTTP_PROXY=A FOO=2 foo=3 fOO=4 Foo=1 \
                X1=1 X2=2 X3=3 X4=4 X5=5 X6=6 X7=7 X8=8";
    assert_eq!(
        pairs(&system(more))[..3],
        [("Foo", "2"), ("http_proxy", "A"), ("PATH", "/usr/bin")]
    );
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    let variables = [(OsString::from("N"), OsString::from_vec(vec![0xe9, b'x', 0xff]))];
    let environment = Environment::from_system(variables);
    assert_eq!(environment.get("n"), Some("\u{fffd}x\u{fffd}"));
}

#[test]
fn names_sort_and_match_without_case_and_keep_their_first_spelling() {
    let mut variables = environment(&[("b", "1"), ("_", "2"), ("A", "3"), ("Ärger", "4")]);
    variables.insert("B", "5");
    variables.insert("äRGER", "6");
    assert_eq!(pairs(&variables), [("_", "2"), ("A", "3"), ("b", "5"), ("Ärger", "6")]);
    assert_eq!(variables.remove("a"), Some("3".into()));
    assert!(!variables.contains("A"));
    variables.insert("a", "7");
    assert_eq!(pairs(&variables)[1], ("a", "7"));
    // One character to one, as Java compares: the sharp s and SS differ, the dotted I is an i.
    variables.insert("ß", "x");
    assert_eq!(variables.get("SS"), None);
    variables.insert("İ", "y");
    assert_eq!(variables.get("i"), Some("y"));
}

#[test]
fn expands_what_is_known_and_keeps_the_rest() {
    let variables = environment(&[("NAME", "v"), ("a.b", "dot"), ("D", "$NAME"), ("E", "")]);
    for (text, expanded) in [
        ("$NAME ${name} $name_ ${NAME}x", "v v $name_ vx"),
        ("$$NAME $$$NAME $$$$", "$NAME $v $$"),
        ("${a.b} $a.b", "dot $a.b"),
        ("$D", "$NAME"),
        ("[$E]", "[]"),
        ("$ ${ ${} ${NAME ${NA ME} $-x $ä ${ä}", "$ ${ ${} ${NAME ${NA ME} $-x $ä ${ä}"),
        ("${${NAME}}", "${v}"),
        ("ä$NAMEö", "ävö"),
        ("end$", "end$"),
        ("", ""),
    ] {
        assert_eq!(variables.expand(text).unwrap(), expanded, "for {text:?}");
    }
}

#[test]
fn overriding_removes_extends_and_replaces() {
    let mut variables = environment(&[("PATH", "/bin"), ("GONE", "x"), ("KEEP", "k")]);
    let overrides = environment(&[
        ("gone", ""),
        ("path+JDK", "/jdk"),
        ("NEW+X", "n"),
        ("+odd", "o"),
        ("A+", "a"),
    ]);
    variables.override_all(&overrides);
    assert_eq!(
        pairs(&variables),
        [("+odd", "o"), ("A", "a"), ("KEEP", "k"), ("NEW", "n"), ("PATH", "/jdk:/bin")]
    );
}

#[test]
fn overrides_apply_after_those_they_refer_to() {
    let result = overridden(
        &[("PATH", "/bin"), ("HOME", "/root")],
        &[("A", "$B/a"), ("B", "${c}/b"), ("C", "$HOME/c"), ("PATH+X", "$A"), ("PATH+Y", "$$y")],
    );
    assert_eq!(result.get("A"), Some("/root/c/b/a"));
    assert_eq!(result.get("PATH"), Some("$y:/root/c/b/a:/bin"));
}

/// The withEnv of a recorded build: `GREETING=hi $HOME ${PATH} $$`, an empty value, `PATH+EXTRA`.
#[test]
fn expands_the_overrides_of_a_recorded_build() {
    let result = overridden(
        &[("HOME", "/home/jenkins"), ("PATH", "/usr/bin:/bin"), ("EMPTY", "inherited")],
        &[("GREETING", "hi $HOME ${PATH} $$"), ("EMPTY", ""), ("PATH+EXTRA", "/extra")],
    );
    assert_eq!(result.get("greeting"), Some("hi /home/jenkins /usr/bin:/bin $"));
    assert_eq!(result.get("EMPTY"), None);
    assert_eq!(result.get("PATH"), Some("/extra:/usr/bin:/bin"));
}

#[test]
fn a_variable_may_extend_itself() {
    let result = overridden(&[("PATH", "/bin")], &[("path", "/x:${Path}"), ("NEW", "$NEW:x")]);
    assert_eq!(pairs(&result), [("NEW", "$NEW:x"), ("PATH", "/x:/bin")]);
}

#[test]
fn a_cycle_is_cut_at_the_variable_that_has_a_value() {
    let result = overridden(
        &[("PATH", "/usr/bin")],
        &[("PATH1", "/usr/local/bin:${PATH}"), ("PATH", "/opt/bin:${PATH1}")],
    );
    assert_eq!(result.get("PATH1"), Some("/usr/local/bin:/usr/bin"));
    assert_eq!(result.get("PATH"), Some("/opt/bin:/usr/local/bin:/usr/bin"));
}

#[test]
fn a_cycle_of_new_variables_is_cut_at_the_first() {
    let result = overridden(&[], &[("A", "a$B"), ("B", "b$C"), ("C", "c$A"), ("D", "$A")]);
    assert_eq!(pairs(&result), [("A", "abc$A"), ("B", "bc$A"), ("C", "c$A"), ("D", "abc$A")]);
}

#[test]
fn overlapping_cycles_end() {
    let names: Vec<String> = (0..30).map(|i| format!("V{i}")).collect();
    let all: String = names.iter().map(|name| format!("${name}")).collect();
    let overrides: Environment = names.iter().map(|name| (name, &all[..40])).collect();
    let mut result = Environment::new();
    result.override_expanding_all(&overrides).unwrap();
    assert_eq!(result.len(), 30);
}

#[test]
fn a_long_chain_of_references_does_not_exhaust_the_stack() {
    let count = 50_000;
    let overrides: Environment = (0..count)
        .map(|i| {
            (
                format!("V{i:05}"),
                if i + 1 < count { format!("$V{:05}", i + 1) } else { "end".into() },
            )
        })
        .collect();
    let mut result = Environment::new();
    result.override_expanding_all(&overrides).unwrap();
    assert_eq!(result.get("V00000"), Some("end"));
}

#[test]
fn doubling_expansions_are_refused() {
    let overrides: Environment = (0..60)
        .map(|i| (format!("V{i:02}"), format!("${{V{0:02}}}${{V{0:02}}}xxxx", i + 1)))
        .collect();
    let error = Environment::new().override_expanding_all(&overrides).unwrap_err();
    assert!(matches!(error, ProcessError::ExpansionTooLarge { limit: MAX_EXPANDED_BYTES, .. }));

    let big = "x".repeat(MAX_EXPANDED_BYTES);
    let many: Environment = (0..20).map(|i| (format!("V{i}"), big.as_str())).collect();
    let error = Environment::new().override_expanding_all(&many).unwrap_err();
    assert!(matches!(error, ProcessError::ExpansionTooLarge { limit: MAX_ENVIRONMENT_BYTES, .. }));
}

#[test]
fn override_lines_split_at_the_first_equals_sign() {
    let parsed = Environment::from_overrides(["A=b=c", "E=", "=x"]).unwrap();
    assert_eq!(pairs(&parsed), [("", "x"), ("A", "b=c"), ("E", "")]);
    assert!(matches!(
        Environment::from_overrides(["A=1", "SECRET"]),
        Err(ProcessError::InvalidOverride { index: 1 })
    ));
}

#[test]
fn debug_output_has_no_values() {
    assert_eq!(format!("{:?}", environment(&[("TOKEN", "s3cret")])), "{\"TOKEN\"}");
}

/// The rule as core writes it: replace, from left to right, what the expression finds.
fn model_expand(text: &str, resolve: impl Fn(&str) -> Option<String>) -> String {
    let chars: Vec<char> = text.chars().collect();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let run = |from: usize, ok: &dyn Fn(char) -> bool| {
            chars[from..].iter().take_while(|&&c| ok(c)).collect::<String>()
        };
        let (name, length) = match (chars[at], chars.get(at + 1)) {
            ('$', Some('$')) => {
                out.push('$');
                at += 2;
                continue;
            }
            ('$', Some('{')) => {
                let name = run(at + 2, &|c| word(c) || c == '.');
                let closed = chars.get(at + 2 + name.len()) == Some(&'}');
                if closed { (name.clone(), name.len() + 3) } else { (String::new(), 0) }
            }
            ('$', Some(_)) => {
                let name = run(at + 1, &word);
                (name.clone(), name.len() + 1)
            }
            _ => (String::new(), 0),
        };
        if name.is_empty() {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let kept: String = chars[at..at + length].iter().collect();
        out.push_str(&resolve(&name).unwrap_or(kept));
        at += length;
    }
    out
}

proptest! {
    #[test]
    fn expansion_agrees_with_its_definition(text in "[$${}A-C_.ä\\x00 ]{0,40}") {
        let variables = environment(&[("A", "1"), ("B_", "$A"), ("c.c", "ö")]);
        let expected = model_expand(&text, |name| variables.get(name).map(str::to_owned));
        prop_assert_eq!(variables.expand(&text).unwrap(), expected);
    }

    #[test]
    fn any_text_expands_without_panic(text in any::<String>(), name in any::<String>()) {
        let mut variables = environment(&[("A", "1")]);
        variables.insert(name.as_str(), text.as_str());
        let _ = variables.expand(&text);
        prop_assert_eq!(variables.get(&name), Some(text.as_str()));
    }

    #[test]
    fn every_override_is_applied(
        overrides in prop::collection::vec(("[A-Ea-e+]{1,3}", "[$A-Ea-e{}]{1,8}"), 0..12)
    ) {
        let overrides: Environment = overrides.into_iter().collect();
        let mut result = environment(&[("A", "base")]);
        result.override_expanding_all(&overrides).unwrap();
        for (name, _) in overrides.iter() {
            let real = name.find('+').filter(|&plus| plus > 0).map_or(name, |plus| &name[..plus]);
            prop_assert!(result.contains(real), "{} is missing", real);
        }
    }
}
