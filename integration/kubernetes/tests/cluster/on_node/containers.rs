//! The pod of a plan, as `pilotfish-bridge pod` makes it: its steps run in their containers through the exec
//! servers, and containers do not see what is not theirs.

use std::path::Path;
use std::process::Command;

use pilotfish_kubernetes::Cluster;
use serde_json::{Value, json};

use crate::support::controller::Controller;
use crate::support::{Namespace, agent_image, cluster, given, repository};

/// Name of the agent.
const AGENT: &str = "builds-1";

/// What `pilotfish-bridge` prints, as JSON.
fn bridge(command: &str, more: &[&str]) -> Value {
    let mut bridge = Command::new(given("PILOTFISH_TEST_BRIDGE"));
    bridge.args([command, "--pipeline", "three", "--format", "json", "--catalog"]);
    bridge.arg(repository("integration/kubernetes/catalog")).args(more);
    let output = bridge.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The pod of the plan in a namespace that enforces the strictest standard, with its agent online.
struct World<'a> {
    controller: Controller,
    namespace: Namespace<'a>,
    /// From `stage/container` of the plan to the container of the pod.
    routes: Value,
    _dir: tempfile::TempDir,
}

impl<'a> World<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let namespace = Namespace::enforcing(cluster, "restricted");
        let dir = tempfile::tempdir().unwrap();
        let mut controller = Controller::start("steps", dir.path());
        for (name, key, value) in
            [("agents", AGENT, controller.secret.as_str()), ("assemble", "password", "swordfish")]
        {
            namespace.create(&json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name}, "stringData": {key: value}}));
        }
        let profile = dir.path().join("profile.yaml");
        let text = json!({
            "api": "pilotfish/v1", "kind": "pod-profile", "name": "tests",
            "agent": {
                "image": agent_image(cluster),
                "requests": {"cpu": "20m", "memory": "32Mi"},
                "controller": {"url": controller.url, "secret": "agents"},
            },
            // Files are shared although users are not.
            "users": [{"image": "localhost/tools:*", "user": 2000}],
        });
        std::fs::write(&profile, text.to_string()).unwrap();
        let list = bridge("pod", &["--profile", text_of(&profile), "--agent", AGENT]);
        let mut pod = list["items"][0].clone();
        with_secret(&mut pod, "assemble");
        namespace.create(&pod);
        let routes = &pod["metadata"]["annotations"]["pilotfish.io/containers"];
        let routes = serde_json::from_str(routes.as_str().unwrap()).unwrap();
        let online = controller.line();
        let world = Self { controller, namespace, routes, _dir: dir };
        assert_eq!(online, "online", "{}", world.told());
        world
    }

    /// What the pod and the agent have to say, when something is wrong.
    fn told(&self) -> String {
        let pods = self.namespace.kubectl(&["describe", "pods"]);
        let logs = self.namespace.kubectl(&[
            "logs",
            "--selector",
            "app.kubernetes.io/name=pilotfish-build",
            "--all-containers",
        ]);
        format!("{pods:?}\n{logs:?}")
    }

    /// Runs a step; what it said, but for the commands that the shell traces, and how it ended.
    fn step(&mut self, step: &str) -> (String, String) {
        let (said, end) = self.controller.step(step);
        let said: Vec<_> = said.into_iter().filter(|line| !line.starts_with("+ ")).collect();
        (said.join("\n"), end)
    }

    fn says(&mut self, step: &str) -> String {
        let (said, end) = self.step(step);
        assert_eq!(end, "= 0", "{step}: {said}\n{}", self.told());
        said
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Mounts a secret into one container, as a stage with credentials has it.
fn with_secret(pod: &mut Value, container: &str) {
    let spec = &mut pod["spec"];
    let volume = json!({"name": "own", "secret": {"secretName": container}});
    spec["volumes"].as_array_mut().unwrap().push(volume);
    let containers = spec["containers"].as_array_mut().unwrap();
    let one = containers.iter_mut().find(|one| one["name"] == container).unwrap();
    let mount = json!({"name": "own", "mountPath": "/run/own", "readOnly": true});
    one["volumeMounts"].as_array_mut().unwrap().push(mount);
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn the_steps_of_a_plan_run_in_their_containers_and_share_files_between_users() {
    let cluster = cluster();
    let mut world = World::new(&cluster);
    let plan = bridge("plan", &[]);
    let mut said = Vec::new();
    for stage in plan["plan"]["stages"].as_array().unwrap() {
        for step in stage["steps"].as_array().unwrap() {
            let (name, container) = (&stage["name"], &step["container"]);
            let route = format!("{}/{}", name.as_str().unwrap(), container.as_str().unwrap());
            let container = world.routes[&route].as_str().unwrap().to_owned();
            // The image of the last stage has no shell: its program is run directly.
            let verb = if name == "announce" { "exec" } else { "sh" };
            let script = step["script"].as_str().unwrap();
            said.push(world.says(&format!("{verb} {container} {script}")));
        }
    }
    assert!(said[0].starts_with("-rw-rw-r--") && said[0].contains(" 1000 "), "{}", said[0]);
    assert_eq!(said[1..], ["from prepare\nand from assemble", "done"]);
    // Users differ, and so do exit codes.
    assert_eq!(world.says("sh prepare id -u"), "1000");
    assert_eq!(world.says("sh assemble id -u"), "2000");
    assert_eq!(world.step("sh assemble echo no >&2; exit 7"), ("no".to_owned(), "= 7".to_owned()));
    let (rest, kept) = world.controller.end();
    assert!(kept, "{rest}");
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn a_container_reaches_neither_the_sockets_nor_the_secrets_of_others() {
    let cluster = cluster();
    let mut world = World::new(&cluster);
    assert_eq!(world.says("sh prepare ls /run/pilotfish/exec"), "prepare");
    assert_eq!(
        world.says("sh assemble ls /run/pilotfish/exec; cat /run/own/password"),
        "assemble\nswordfish"
    );
    for hidden in ["/run/own", "/run/pilotfish/agent", "/run/pilotfish/exec/assemble"] {
        let (said, end) = world.step(&format!("sh prepare ls {hidden}"));
        assert!(end != "= 0" && said.contains("No such file"), "{said} {end}");
    }
    // Neither by way of the processes of others: there are none to be seen.
    let seen = "ls -d /proc/[0-9]*/root/run/own /proc/[0-9]*/root/run/pilotfish/exec/assemble";
    let (said, end) = world.step(&format!("sh prepare {seen}"));
    assert!(end != "= 0" && !said.contains("\n/proc"), "{said} {end}");
    // What runs everywhere can be changed nowhere.
    for container in ["prepare", "assemble"] {
        let touch = format!("sh {container} touch /run/pilotfish/bin/pilotfish-agent");
        let (said, end) = world.step(&touch);
        assert!(end == "= 1" && said.contains("Read-only file system"), "{said} {end}");
    }
    let mounted = world.says("sh assemble ls /run/secrets 2>/dev/null || echo none");
    assert!(!mounted.contains("kubernetes.io"), "a token of a service account: {mounted}");
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn what_ends_badly_in_a_container_is_told_and_leaves_nothing() {
    let cluster = cluster();
    let mut world = World::new(&cluster);
    let script = "setsid sleep 4242 & (sleep 4243 &) ; echo up; sleep 4244";
    let (said, end) = world.step(&format!("abort prepare {script}"));
    assert!(said.contains("up") && end != "= 0", "{said} {end}");
    let left = world.says("sh prepare ps");
    assert!(!left.contains("sleep 424"), "{left}");
    // tail keeps a line without an end, in a container of 64 MiB.
    let (said, end) = world.step("sh assemble tail -n 1 /dev/zero");
    assert!(end == "= 137" && said.contains("memory"), "{said} {end}");
    assert_eq!(world.says("sh assemble echo still here"), "still here");
    let (_, end) = world.step("sh nowhere true");
    assert!(end.starts_with("! ") && end.contains("nowhere"), "{end}");
    let (_, end) = world.step("exec announce sh -c true");
    assert!(end.starts_with("! ") && end.contains("sh"), "{end}");
}
