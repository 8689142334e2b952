//! Pods of plans: what is printed, what is refused, what holds of every pod.

mod properties;
mod units;

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::catalog::model::Identifier;
use crate::catalog::shipped;
use crate::catalog::source::Files;
use crate::plan::{PlanDocument, PlanRequest, Prepared, Selection};

const CATALOG: &str = "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n";

/// Two stages with a database at the same time, then one with another image.
const STAGES: [&str; 3] = [
    r#"
api: pilotfish/v1
kind: stage
name: test
version: 1.0.0
description: d
containers:
  - {name: tool, image: 'tool:1', requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: '2', memory: 2Gi}, caches: [{name: deps, path: /tmp/deps}], environment: {CI: 'yes'}}
services:
  - {name: db, image: 'postgres:17', requests: {cpu: 250m, memory: 256Mi}, limits: {memory: 512Mi}, environment: {POSTGRES_PASSWORD: 'a$(b)c', POSTGRES_DB: 'on'}, port: 5432}
steps: [{name: a, script: 'true'}]
timeout: 10m
retry: {attempts: 3, delay: 10s}
"#,
    r#"
api: pilotfish/v1
kind: stage
name: package
version: 1.0.0
description: d
containers:
  - {name: tool, image: 'other:2', requests: {cpu: '1', memory: 3Gi, ephemeral-storage: 2Gi}}
  - {name: plain, image: 'tool:1', requests: {cpu: 100m, memory: 2Gi}, caches: [{name: deps, path: /tmp/deps}]}
steps: [{name: a, script: 'true'}, {name: b, container: plain, script: 'true'}]
timeout: 5m
"#,
    r#"
api: pilotfish/v1
kind: stage
name: build
version: 1.0.0
description: d
parameters: {type: object, properties: {tool: {enum: [kaniko, buildkit, buildah], default: kaniko}}}
containers:
  - {name: kaniko, image: 'kaniko:1', requests: {cpu: '1', memory: 4Gi}, tools: [/kaniko/executor]}
  - {name: buildkit, image: 'buildkit:1', requests: {cpu: '1', memory: 4Gi}, tools: [buildctl-daemonless.sh]}
  - {name: buildah, image: 'buildah:1', requests: {cpu: '1', memory: 4Gi}, tools: [buildah]}
steps:
  - {name: a, when: params.tool == 'kaniko', container: kaniko, script: 'true'}
  - {name: b, when: params.tool == 'buildkit', container: buildkit, script: 'true'}
  - {name: c, when: params.tool == 'buildah', container: buildah, script: 'true'}
timeout: 5m
"#,
];

/// The plan of a pipeline over the stages above.
fn plan_of(stages: &str) -> PlanDocument {
    let mut files = Files::default();
    files.0.insert("catalog.yaml".into(), CATALOG.into());
    for (index, text) in STAGES.iter().enumerate() {
        files.0.insert(format!("s{index}.yaml"), (*text).into());
    }
    let pipeline = format!(
        "api: pilotfish/v1\nkind: pipeline\nname: p\nversion: 1.0.0\ndescription: d\nstages:\n{stages}\n"
    );
    files.0.insert("p.yaml".into(), pipeline);
    let catalog = Catalog::from_files(&files).unwrap();
    let prepared = Prepared::new(&catalog, "p", &Selection::default()).unwrap();
    prepared.plan(&PlanRequest::default()).unwrap().into_document()
}

fn example_plan(name: &str) -> PlanDocument {
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    let example = &catalog.examples[name].value;
    let pipeline = example.pipeline.as_str();
    let prepared = Prepared::new(&catalog, pipeline, &Selection::default()).unwrap();
    let request = PlanRequest {
        parameters: example.parameters.clone(),
        facts: example.facts.clone(),
        ..PlanRequest::default()
    };
    prepared.plan(&request).unwrap().into_document()
}

fn example_profile(name: &str) -> Profile {
    let path = format!("examples/profiles/{name}.yaml");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
    Profile::read(&path, &text).unwrap()
}

fn try_pod(document: &PlanDocument, profile: &Profile) -> Result<RenderedPod, BridgeError> {
    render(&PodRequest {
        plan: &document.plan,
        digest: &document.digest,
        profile,
        build: "shop/main#12",
        agent: Some("builds-1"),
    })
}

fn pod(document: &PlanDocument, profile: &Profile) -> RenderedPod {
    try_pod(document, profile).unwrap_or_else(|error| panic!("{error}"))
}

fn refusals(document: &PlanDocument, profile: &Profile) -> Vec<String> {
    let error = try_pod(document, profile).err();
    error.iter().flat_map(BridgeError::problems).map(ToString::to_string).collect()
}

fn spec(pod: &RenderedPod) -> &PodSpec {
    pod.pod.spec.as_ref().unwrap()
}

/// All containers, those that start first first.
fn containers(pod: &RenderedPod) -> BTreeMap<&str, &Container> {
    let spec = spec(pod);
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers).map(|one| (one.name.as_str(), one)).collect()
}

fn requests(pod: &RenderedPod, name: &str) -> Value {
    json!(containers(pod)[name].resources.as_ref().unwrap().requests)
}

fn limits(pod: &RenderedPod, name: &str) -> Value {
    json!(containers(pod)[name].resources.as_ref().unwrap().limits)
}

const TWO_AT_ONCE: &str = "- {name: both, parallel: [{name: one, uses: test}, {name: two, uses: test}]}\n- {name: pack, uses: package}";

#[test]
fn a_pod_with_services_and_shared_containers() {
    let pod = pod(&plan_of(TWO_AT_ONCE), &Profile::default());
    insta::assert_snapshot!(pod.to_yaml());
    insta::assert_json_snapshot!(pod.notes);
}

#[test]
fn shipped_pipelines_on_their_nodes() {
    for (example, profile) in [
        ("gradle-service", "ordinary"),
        ("node-frontend", "spot"),
        ("gradle-service", "eci"),
        ("python-service", "fargate"),
        ("library-matrix", "aci"),
    ] {
        let pod = pod(&example_plan(example), &example_profile(profile));
        insta::assert_snapshot!(format!("pod-{example}-on-{profile}"), pod.to_yaml());
    }
}

/// Every example of the shipped catalog has a pod wherever images may be built.
#[test]
fn every_shipped_pipeline_has_a_pod_that_is_read_back() {
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    for name in catalog.examples.keys() {
        let document = example_plan(name);
        // BuildKit, which one of them builds with, needs a namespace that enforces nothing.
        let pod_security = PodSecurity::Privileged;
        let profile = Profile { pod_security, ..example_profile("ordinary") };
        let pod = pod(&document, &profile);
        properties::check(&document, &profile, &pod).unwrap();
    }
}

#[test]
fn stages_at_the_same_time_add_up_and_others_take_the_largest() {
    let both = pod(&plan_of(TWO_AT_ONCE), &Profile::default());
    // 2 × 1Gi at once, 2Gi after that.
    assert_eq!(requests(&both, "tool"), json!({"cpu": "1", "memory": "2Gi"}));
    // The last stage sets no limit for it.
    assert_eq!(limits(&both, "tool"), json!(null));
    assert_eq!(requests(&both, "db"), json!({"cpu": "500m", "memory": "512Mi"}));
    assert_eq!(limits(&both, "db"), json!({"memory": "1Gi"}));
    let after = plan_of("- {name: one, uses: test}\n- {name: two, uses: test}");
    let after = pod(&after, &Profile::default());
    assert_eq!(requests(&after, "tool"), json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(limits(&after, "tool"), json!({"cpu": "2", "memory": "2Gi"}));
    let annotation = |pod: &RenderedPod| {
        pod.pod.metadata.annotations.as_ref().unwrap().get("pilotfish.io/shared").cloned()
    };
    assert_eq!(annotation(&both).as_deref(), Some("tool,db"));
    assert_eq!(annotation(&after), None);
}

#[test]
fn a_matrix_counts_as_many_as_run_at_once() {
    let matrix = |most: &str| {
        let text =
            format!("- {{name: grid, uses: test, matrix: {{axes: {{v: [1, 2, 3]}}{most}}}}}");
        requests(&pod(&plan_of(&text), &Profile::default()), "tool")
    };
    assert_eq!(matrix(""), json!({"cpu": "1500m", "memory": "3Gi"}));
    assert_eq!(matrix(", max_parallel: 2"), json!({"cpu": "1", "memory": "2Gi"}));
    assert_eq!(matrix(", max_parallel: 1"), json!({"cpu": "500m", "memory": "1Gi"}));
}

#[test]
fn skipped_stages_need_nothing_and_undecided_ones_do() {
    let text = "- {name: one, uses: test, when: 'false'}\n- {name: pack, uses: package, when: \"any_match(changed_files, '**')\"}";
    let pod = pod(&plan_of(text), &Profile::default());
    let names: Vec<&str> = containers(&pod).into_keys().collect();
    assert_eq!(names, ["jnlp", "pilotfish-inject", "plain", "tool"]);
    assert_eq!(pod.routes["pack/tool"], "tool");
    assert_eq!(pod.routes.len(), 2);
}

#[test]
fn a_pod_may_ask_as_a_whole_for_less() {
    let mut profile = Profile { requests: RequestStyle::Pod, ..Profile::default() };
    let document = plan_of(TWO_AT_ONCE);
    let pod_wide = pod(&document, &profile);
    let whole = spec(&pod_wide).resources.as_ref().unwrap().requests.clone().unwrap();
    // cpu: both stages (2 × 750m) and the agent; memory: the last stage's 3Gi, the agent, and two
    // exec servers.
    assert_eq!(json!(whole), json!({"cpu": "1600m", "memory": "3144Mi"}));
    profile.requests = RequestStyle::PerContainer;
    assert_eq!(spec(&pod(&document, &profile)).resources, None);
}

#[test]
fn each_container_sees_its_own_socket_and_a_program_that_it_cannot_change() {
    for name in ["ordinary", "aci"] {
        let pod = pod(&example_plan("library-matrix"), &example_profile(name));
        let tools: Vec<&Container> = spec(&pod)
            .containers
            .iter()
            .filter(|one| one.command.iter().flatten().any(|word| word == "exec-server"))
            .collect();
        assert!(tools.len() > 1, "{name}");
        let mut seen = std::collections::BTreeSet::new();
        for tool in tools {
            let mounts = tool.volume_mounts.as_ref().unwrap();
            let sockets: Vec<_> =
                mounts.iter().filter(|one| one.mount_path.starts_with(volumes::SOCKETS)).collect();
            let [socket] = sockets.as_slice() else { panic!("{sockets:?}") };
            assert_eq!(socket.mount_path, format!("{}/{}", volumes::SOCKETS, tool.name));
            assert!(seen.insert((socket.name.clone(), socket.sub_path.clone())), "{socket:?}");
            let program = mounts.iter().find(|one| one.mount_path == volumes::PROGRAMS).unwrap();
            assert_eq!(program.read_only, Some(true));
            let path = format!("{}/{}/socket", volumes::SOCKETS, tool.name);
            assert!(tool.command.as_ref().unwrap().contains(&path));
        }
    }
}

#[test]
fn the_secret_of_the_agent_is_a_file_and_no_token_is_mounted() {
    let pod = pod(&example_plan("library-matrix"), &example_profile("ordinary"));
    assert_eq!(spec(&pod).automount_service_account_token, Some(false));
    let all = containers(&pod);
    let with_secret = all.values().filter(|one| {
        one.volume_mounts.iter().flatten().any(|mount| mount.name == "pilotfish-agent")
    });
    assert_eq!(with_secret.map(|one| one.name.as_str()).collect::<Vec<_>>(), ["jnlp"]);
    for one in all.values() {
        for variable in one.env.iter().flatten() {
            assert!(variable.value_from.is_none(), "{}: {}", one.name, variable.name);
            assert_ne!(variable.name, "JENKINS_SECRET");
        }
    }
}

#[test]
fn an_image_build_needs_root_in_its_own_container_only() {
    let document = plan_of("- {name: one, uses: test}\n- {name: image, uses: build}");
    let restricted = refusals(&document, &Profile::default());
    assert_eq!(
        restricted,
        [
            "image: its container kaniko needs a namespace that enforces baseline at most, and that of the profile default enforces restricted: kaniko unpacks the layers of the image as root"
        ]
    );
    let profile = Profile {
        pod_security: PodSecurity::Baseline,
        registry_secret: Some(DnsName("push".into())),
        ..Profile::default()
    };
    let pod = pod(&document, &profile);
    for (name, one) in containers(&pod) {
        let security = one.security_context.as_ref().unwrap();
        let root = security.run_as_user == Some(0);
        assert_eq!(root, name == "kaniko", "{name}");
        assert_eq!(security.privileged, None);
        assert_eq!(security.allow_privilege_escalation, Some(false));
        let credentials = one.env.iter().flatten().any(|one| one.name == "DOCKER_CONFIG");
        assert_eq!(credentials, name == "kaniko", "{name}");
    }
    for volume in spec(&pod).volumes.iter().flatten() {
        assert_eq!(volume.host_path, None);
    }
}

#[test]
fn builders_in_user_namespaces_are_refused_where_there_are_none() {
    for builder in ["buildkit", "buildah"] {
        let text = format!("- {{name: image, uses: build, with: {{tool: {builder}}}}}");
        let document = plan_of(&text);
        let baseline = Profile { pod_security: PodSecurity::Baseline, ..Profile::default() };
        assert!(refusals(&document, &baseline)[0].contains("privileged"));
        let anything = Profile { pod_security: PodSecurity::Privileged, ..Profile::default() };
        let pod = pod(&document, &anything);
        let security = containers(&pod)[builder].security_context.clone().unwrap();
        assert_eq!(security.seccomp_profile.unwrap().type_, "Unconfined");
        assert_eq!(security.run_as_user, Some(1000));
        for flavour in [Flavour::Eci, Flavour::Fargate, Flavour::Aci, Flavour::VirtualKubelet] {
            let profile = Profile { flavour, ..anything.clone() };
            let refused = refusals(&document, &profile);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(refused[0].contains("user namespaces") && refused[0].contains("kaniko"));
        }
    }
}

#[test]
fn everything_that_speaks_against_a_pod_is_said_at_once() {
    let mut document = plan_of(
        "- {name: both, parallel: [{name: one, uses: test}, {name: two, uses: test}]}\n- {name: image, uses: build}",
    );
    // What a catalog's lint would have found: plans also come from elsewhere.
    let mut count = 0;
    change(&mut document.plan.stages, &mut |stage| {
        count += 1;
        match stage.name.as_str() {
            "one" => edit(stage, |stage| {
                stage["services"][0]["port"] = json!(10_250);
                stage["containers"][0]["caches"][0]["path"] = json!("/run/pilotfish/bin");
            }),
            "two" => edit(stage, |stage| {
                stage["services"][0]["image"] = json!("mysql:8");
                stage["services"][0]["port"] = json!(10_250);
                let container = &mut stage["containers"][0];
                container["limits"]["memory"] = json!("1Mi");
                container["image"] = json!("bare:1");
                let cache = container["caches"][0].clone();
                container["caches"] = json!([cache, cache]);
            }),
            _ => {}
        }
    });
    assert_eq!(count, 3);
    let most = crate::catalog::model::Resources {
        cpu: crate::catalog::model::Quantity::new("1500m").ok(),
        ..Default::default()
    };
    let profile = Profile { flavour: Flavour::Eci, most, ..Profile::default() };
    insta::assert_snapshot!(refusals(&document, &profile).join("\n"));
}

fn change(
    nodes: &mut [crate::plan::PlanNode],
    visit: &mut impl FnMut(&mut crate::plan::PlanStage),
) {
    for node in nodes {
        match node {
            crate::plan::PlanNode::Stage(stage) => visit(stage),
            crate::plan::PlanNode::Parallel(group) | crate::plan::PlanNode::Sequence(group) => {
                change(&mut group.nodes, visit);
            }
        }
    }
}

/// Changes a stage as one would its JSON.
fn edit(stage: &mut crate::plan::PlanStage, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::to_value(&*stage).unwrap();
    change(&mut value);
    *stage = serde_json::from_value(value).unwrap();
}

#[test]
fn serverless_instances_take_so_many_containers_and_no_more() {
    let stages: Vec<String> = (0..20).map(|v| format!("- {{name: s{v}, uses: package}}")).collect();
    let mut document = plan_of(&stages.join("\n"));
    let mut number = 0;
    change(&mut document.plan.stages, &mut |stage| {
        edit(stage, |stage| stage["containers"][0]["image"] = json!(format!("image:{number}")));
        number += 1;
    });
    let refused = refusals(&document, &example_profile("eci"));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("23 containers") && refused[0].contains("20 at most"));
    assert!(refusals(&document, &Profile::default()).is_empty());
}

#[test]
fn the_name_tells_builds_apart_and_is_one_of_kubernetes() {
    let document = plan_of("- {name: one, uses: test}");
    let name = |build: &str| {
        let request = PodRequest {
            plan: &document.plan,
            digest: &document.digest,
            profile: &Profile::default(),
            build,
            agent: None,
        };
        render(&request).map(|pod| pod.pod.metadata.name.unwrap())
    };
    assert!(name("shop/main#12").unwrap().starts_with("p-shop-main-12-"));
    assert_ne!(name("shop/main#12").unwrap(), name("shop-main-12").unwrap());
    let long = name(&"Ünï/".repeat(60)).unwrap();
    assert!(long.len() <= 63 && DnsLabel(long.clone()).0 == containers::label(&long, 63));
    for wrong in ["", "a\nb", &"x".repeat(513)] {
        assert!(name(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_profile_with_a_controller_asks_for_the_agent() {
    let document = plan_of("- {name: one, uses: test}");
    let profile = example_profile("ordinary");
    let with = |agent: Option<&str>| {
        let request = PodRequest {
            plan: &document.plan,
            digest: &document.digest,
            profile: &profile,
            build: "b",
            agent,
        };
        render(&request).err().map(|error| error.to_string())
    };
    assert_eq!(with(Some("agent-1")), None);
    assert!(with(None).unwrap().contains("name the agent"));
    assert!(with(Some("../x")).unwrap().contains("no key of a secret"));
}

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
