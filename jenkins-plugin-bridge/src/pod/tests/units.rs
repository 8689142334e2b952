//! The parts of a pod one by one: YAML, names, amounts, deadlines.

use serde_json::{Value, json};

use super::super::containers::label;
use super::super::requests::written;
use super::super::{deadline, volumes, yaml};
use super::plan_of;
use crate::catalog::read;

#[test]
fn yaml_is_read_back_as_it_was_written() {
    let value = json!({
        "apiVersion": "v1",
        "empty": {}, "none": [], "nothing": null, "yes": true, "count": 12,
        "list": [{"name": "b", "a": [["x", "y"], []], "z": {"q": "1"}}, "plain", {"k": {}}],
        "words": ["yes", "No", "on", "~", "null", "1.0", "0x1F", "1e3", "2001-01-01", "-", "a: b",
            "a #b", "", " ", "=", "<<", "'", "\"", "a\nb", "\u{85}\u{2028}\u{7f}\u{feff}", "é", "*a", "&a",
            "!a", "%a", "@a", "`a", "{a", "[a", "|", ">", "y", "N", "012", "1_000", "12:30:45"],
    });
    let text = yaml::document(&value);
    assert_eq!(read::yaml(&text).unwrap(), value, "{text}");
    for quoted in ["\"yes\"", "\"No\"", "\"on\"", "\"y\"", "\"N\"", "\"1.0\"", "\"12:30:45\""] {
        assert!(text.contains(&format!("- {quoted}\n")), "{quoted} in {text}");
    }
    let item: Value = json!([{"a": 1, "name": "nn"}]);
    assert_eq!(yaml::document(&item), "- name: nn\n  a: 1\n");
}

#[test]
fn labels_are_those_of_dns() {
    assert_eq!(label("Shop/Main #12", 63), "shop-main-12");
    assert_eq!(label("a-----", 63), "a");
    assert_eq!(label("ab-cd", 3), "ab");
    assert_eq!(label("§", 63), "x");
}

#[test]
fn amounts_are_written_as_people_do() {
    assert_eq!(written("cpu", 1500), "1500m");
    assert_eq!(written("cpu", 2000), "2");
    assert_eq!(written("memory", 1000 << 30), "1Gi");
    assert_eq!(written("memory", 1536 * (1000 << 20)), "1536Mi");
    assert_eq!(written("memory", 1_000_000_001), "1000001");
    assert_eq!(written("memory", u128::MAX), "no limit");
}

#[test]
fn the_deadline_is_the_longest_way_through_the_plan() {
    let longest = |text: &str| deadline::longest(&plan_of(text).plan);
    // Three tries of ten minutes, and waits of 10 s and 20 s.
    let test = 3 * 600 + 30;
    assert_eq!(longest("- {name: one, uses: test}"), Some(test));
    assert_eq!(longest("- {name: a, uses: test}\n- {name: b, uses: package}"), Some(test + 300));
    let both = "- {name: p, parallel: [{name: a, uses: test}, {name: b, uses: package}]}";
    assert_eq!(longest(both), Some(test));
    // Three places' work of five minutes each over two places, and the longest behind it.
    let grid = "- {name: g, uses: package, matrix: {axes: {v: [1, 2, 3]}, max_parallel: 2}}";
    assert_eq!(longest(grid), Some(750));
    assert_eq!(longest("- {name: a, uses: test, lock: {resource: r}}"), None);
    assert_eq!(longest("- {name: a, uses: test, approval: {message: m}}"), None);
    let asked = "- {name: a, uses: package, approval: {message: m, timeout: 1h}}";
    assert_eq!(longest(asked), Some(3900));
    assert_eq!(longest("- {name: a, uses: test, lock: {resource: r}}\ntimeout: 2h"), Some(7200));
    let end = "- {name: a, uses: package}\npost: {always: [{name: z, uses: package}], success: [{name: s, uses: package}], failure: [{name: f, uses: test}]}";
    assert_eq!(longest(end), Some(300 + test + 300));
}

#[test]
fn caches_stay_out_of_the_way() {
    for fine in ["/tmp/m2", "/home/jenkins/.m2", "/runner", "/homes", "/a/"] {
        assert_eq!(volumes::no_place(fine), None, "{fine}");
    }
    for wrong in [
        "",
        "/",
        "m2",
        "/a/../b",
        "/a//b",
        "/a:b",
        "/run",
        "/run/pilotfish",
        "/run/pilotfish/x",
        "/home",
        "/home/jenkins",
        "/home/jenkins/",
        "/home/jenkins/agent",
        "/home/jenkins/agent/c",
    ] {
        assert!(volumes::no_place(wrong).is_some(), "{wrong}");
    }
}
