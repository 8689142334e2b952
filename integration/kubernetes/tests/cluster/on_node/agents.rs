//! Agents in pods that really run.

use pilotfish_kubernetes::{BUSYBOX, SCRATCH};
use serde_json::{Value, json};

use crate::support::controller::{Controller, ROOT};
use crate::support::{Namespace, agent_image, cluster};

/// A pod as the kubernetes plugin makes it with `agentInjection: true`: the agent is copied into an
/// image of the user's and started there.
fn injected(image: &str, agent_image: &str, controller: &Controller) -> Value {
    let name = "k-inject-1";
    let variables = [
        ("JENKINS_SECRET", controller.secret.as_str()),
        ("JENKINS_AGENT_NAME", name),
        ("JENKINS_AGENT_FILE", "/jenkins-agent/agent.jar"),
        ("JENKINS_WEB_SOCKET", "true"),
        ("REMOTING_OPTS", "-noReconnectAfter 1d"),
        ("JENKINS_NAME", name),
        ("JENKINS_AGENT_WORKDIR", ROOT),
        ("JENKINS_URL", &controller.url),
    ];
    let copy = "cp $(command -v jenkins-agent) /jenkins-agent/jenkins-agent;cp -R /usr/share/jenkins/. /jenkins-agent";
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"jenkins": "slave"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "restartPolicy": "Never",
            "initContainers": [{
                "name": "set-up-jenkins-agent",
                "image": agent_image,
                "command": ["/bin/sh", "-c", copy],
                "volumeMounts": [{"name": "jenkins-agent", "mountPath": "/jenkins-agent"}],
            }],
            "containers": [{
                "name": "maven",
                "image": image,
                "command": ["/jenkins-agent/jenkins-agent"],
                "env": variables.map(|(name, value)| json!({"name": name, "value": value})),
                "volumeMounts": [
                    {"name": "jenkins-agent", "mountPath": "/jenkins-agent", "readOnly": true},
                    {"name": "workspace-volume", "mountPath": ROOT},
                ],
                "workingDir": ROOT,
            }],
            "volumes": [
                {"name": "workspace-volume", "emptyDir": {}},
                {"name": "jenkins-agent", "emptyDir": {}},
            ],
        },
    })
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn an_agent_that_is_injected_into_a_plain_busybox_builds() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "privileged");
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start("demo", dir.path());
    namespace.create(&injected(BUSYBOX, &agent_image(&cluster), &controller));
    let (said, passed) = controller.end();
    let log = || namespace.kubectl(&["logs", "k-inject-1", "--all-containers"]);
    assert!(passed && said.contains("Finished: SUCCESS"), "{said}\n{:?}", log());
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn an_agent_that_is_injected_into_an_image_with_a_single_program_runs_that_program() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "privileged");
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start("steps", dir.path());
    namespace.create(&injected(SCRATCH, &agent_image(&cluster), &controller));
    assert_eq!(controller.line(), "online");
    let (said, end) = controller.step("exec - /echo from nothing");
    assert_eq!((said.join("\n").as_str(), end.as_str()), ("from nothing", "= 0"));
    // There is no shell, and the step says so.
    let (said, end) = controller.step("exec - sh -c true");
    assert!(end.starts_with("! ") && end.contains("sh"), "{said:?} {end}");
    let (rest, kept) = controller.end();
    assert!(kept, "{rest}");
}
