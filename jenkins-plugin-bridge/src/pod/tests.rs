//! Pods of plans: what is printed, what is refused, what holds of every pod.

mod amounts;
mod profiles;
mod properties;
mod refused;
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
        id: None,
        agent: Some("builds-1"),
        sizes: None,
        through_plugin: false,
        runner: None,
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
                mounts.iter().filter(|one| one.mount_path.starts_with(SOCKETS)).collect();
            let [socket] = sockets.as_slice() else { panic!("{sockets:?}") };
            assert_eq!(socket.mount_path, format!("{}/{}", SOCKETS, tool.name));
            assert!(seen.insert((socket.name.clone(), socket.sub_path.clone())), "{socket:?}");
            let program = mounts.iter().find(|one| one.mount_path == volumes::PROGRAMS).unwrap();
            assert_eq!(program.read_only, Some(true));
            let path = format!("{}/{}/socket", SOCKETS, tool.name);
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
fn the_name_tells_builds_apart_and_is_one_of_kubernetes() {
    let document = plan_of("- {name: one, uses: test}");
    let name = |build: &str| {
        let request = PodRequest {
            plan: &document.plan,
            digest: &document.digest,
            profile: &Profile::default(),
            build,
            id: None,
            agent: None,
            sizes: None,
            through_plugin: false,
            runner: None,
        };
        render(&request).map(|pod| pod.pod.metadata.name.unwrap())
    };
    assert!(name("shop/main#12").unwrap().starts_with("p-shop-main-12-"));
    assert_ne!(name("shop/main#12").unwrap(), name("shop-main-12").unwrap());
    let long = name(&"Ünï/".repeat(60)).unwrap();
    assert!(long.len() <= 63 && DnsLabel(long.clone()).0 == label(&long, 63));
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
            id: None,
            agent,
            sizes: None,
            through_plugin: false,
            runner: None,
        };
        render(&request).err().map(|error| error.to_string())
    };
    assert_eq!(with(Some("agent-1")), None);
    assert!(with(None).unwrap().contains("name the agent"));
    assert!(with(Some("../x")).unwrap().contains("no key of a secret"));
}

#[test]
fn a_pod_that_executes_its_plan_has_the_plan_where_no_tool_sees_it() {
    let document = example_plan("library-matrix");
    let mut profile = example_profile("ordinary");
    profile.agent.controller = None;
    let rendered = render(&PodRequest {
        plan: &document.plan,
        digest: &document.digest,
        profile: &profile,
        build: "run-1",
        id: None,
        agent: None,
        sizes: None,
        through_plugin: false,
        runner: Some("pilotfish-bridge:1"),
    })
    .unwrap();
    let spec = spec(&rendered);
    let runner = spec.containers.last().unwrap();
    assert_eq!(runner.name, AGENT, "the others have started when it starts");
    assert_eq!(runner.image.as_deref(), Some(profile.agent.image.as_str()), "its tools");
    let volume = spec.volumes.iter().flatten().find(|one| one.name == "pilotfish-plan").unwrap();
    insta::assert_json_snapshot!(json!({
        "command": runner.command,
        "mounts": runner.volume_mounts,
        "inject": spec.init_containers.as_ref().unwrap()[1],
        "plan": volume,
    }));
    let secret = rendered.pod.metadata.name.clone();
    let made = volume.secret.as_ref().and_then(|one| one.secret_name.clone());
    assert_eq!(made, secret, "the Secret that is made for it");
    for tool in spec.containers.iter().filter(|one| one.name != AGENT) {
        let mounts = tool.volume_mounts.as_deref().unwrap_or_default();
        let theirs = ["pilotfish-plan", "pilotfish-runner"];
        assert!(mounts.iter().all(|one| !theirs.contains(&one.name.as_str())), "{}", tool.name);
    }
}
