//! Secrets and certificates, and the files that they come from.

use std::fs;

use super::*;

#[test]
fn at_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        format!("@{}", path.display())
    };
    let secret = file("secret", &format!("{SECRET}\n"));
    let all = file(
        "all",
        &format!("-url\r\nhttp://c\r\n\r\n-secret\n{SECRET}\n-name\nwith space\n-webSocket\n"),
    );
    assert_eq!(run_with(&[&all], &[]).node_name, "with space");
    let configuration =
        run_with(&["-url", "http://c", "-secret", &secret, "-name", "n", "-webSocket"], &[]);
    assert_eq!(configuration.secret.expose(), SECRET);

    let two = file("two", &format!("{SECRET}\nhunter2\n"));
    let found =
        mistakes_with(&["-url", "http://c", "-secret", &two, "-name", "n", "-webSocket"], &[]);
    assert_eq!(
        found,
        [format!("-secret: {} must hold exactly one line, and it holds 2 (not shown)", &two[1..])]
    );
    let missing = mistakes_with(
        &["-url", "http://c", "-secret", "@/no/file", "-name", "n", "-webSocket"],
        &[],
    );
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].starts_with("cannot read /no/file (of -secret): "));
    let large = file("large", &"x".repeat(70_000));
    assert!(mistakes_with(&[&large], &[])[0].contains("larger than 65536 bytes"));
}

#[test]
fn certificates() {
    let directory = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["c".to_owned()]).unwrap().cert.pem();
    let pem = pem.as_str();
    let path = directory.path().join("ca.pem");
    fs::write(&path, pem).unwrap();
    let at = format!("@{}", path.display());
    let mut arguments = words(BASE);
    arguments.extend(["-cert", &at, "-cert", pem]);
    let configuration = run_with(&arguments, &[]);
    let Trust::Only(texts) = &configuration.tls.trust else { panic!() };
    assert_eq!(*texts, [pem, pem]);
    arguments.push("-noCertificateCheck");
    assert_eq!(
        mistakes_with(&arguments, &[]),
        ["-cert cannot be used with -noCertificateCheck: remove one of the two"]
    );
    assert!(mistakes("-cert ca.pem")[0].contains("@ and the path of a PEM file"));
}

#[test]
fn odd_secrets_are_warned_about_and_impossible_ones_refused() {
    let odd = run_with(&words("-url http://c -secret abc -name n -webSocket"), &[]);
    assert!(odd.warnings[0].contains("does not look like a node's secret"), "{:?}", odd.warnings);
    let bad = mistakes_with(
        &["-url", "http://c", "-secret", "hunter 2", "-name", "n", "-webSocket"],
        &[],
    );
    assert_eq!(bad.len(), 1);
    assert!(!bad[0].contains("hunter"));
}

#[test]
fn secrets_to_erase_are_found_even_in_wrong_configurations() {
    let found = |arguments: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let outcome = outcome(arguments, variables);
        assert!(outcome.result.is_err());
        outcome.secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    };
    assert_eq!(found(&["-secert", "zero", "--secret=one"], &[]), ["zero", "one"]);
    assert_eq!(found(&["-bad", "-secret", "one", "-secret", "two"], &[]), ["one", "two"]);
    assert_eq!(
        found(&["only", "-url", "x"], &[("JENKINS_SECRET", "three")]),
        ["three", "only", "three"]
    );
    let quoted = "-secret 'a'b\"c\"";
    assert_eq!(found(&["-x"], &[("REMOTING_OPTS", quoted)]), ["abc", quoted]);
}
