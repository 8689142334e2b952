//! Profiles as they are read.

use super::*;

#[test]
fn mistakes_in_a_profile_are_told_at_once() {
    let unknown = "api: pilotfish/v1\nkind: pod-profile\nname: p\nflavor: eci\nworkspace: {typ: claim}\npod_security: strict\n";
    let wrong = r#"
api: pilotfish/v1
kind: pod-profile
name: p
flavour: fargate
agent: {image: 'a b', requests: {memory: 2Gi}, limits: {memory: 1Gi}}
user: 0
users: [{image: '[', user: 0}]
workspace: {type: host-path, path: /var/run, size: 1Gi}
caches:
  a: {type: claim, path: ../b}
  b: {type: ephemeral}
  c: {type: host-path, path: /data/docker.sock}
labels: {'a b': ok, 'pilotfish.io/x': 'y', fine: 'not fine'}
tolerations: [{key: 'UPPER.example/x'}]
topology: [{key: zone, max_skew: 1}, {key: zone, max_skew: 2}]
deadline: {start: 1h, most: 10m}
"#;
    let told = |text: &str| Profile::read("p.yaml", text).unwrap_err().to_string();
    insta::assert_snapshot!(format!("{}\n{}", told(unknown), told(wrong)));
}

#[test]
fn all_example_profiles_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/profiles");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".yaml").unwrap();
        assert_eq!(example_profile(name).name, Identifier::new(name).unwrap());
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn the_default_profile_is_what_an_empty_file_gives() {
    let text = "api: pilotfish/v1\nkind: pod-profile\nname: default\n";
    assert_eq!(Profile::read("p.yaml", text).unwrap(), Profile::default());
}
