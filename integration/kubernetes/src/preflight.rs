//! Whether this machine can have a node.

use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use crate::process::output;

/// The programs of a node, with the packages of Debian that bring them.
const PROGRAMS: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("docker-registry", "docker-registry"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
];
/// The plugin of the network.
const BRIDGE_PLUGIN: &str = "/usr/lib/cni/bridge";
/// An interface that is made and removed to see whether the kernel has bridges.
const TRIAL: &str = "pfk8s-try";

/// Why there can be no node here, in one line; `None` where there can.
#[must_use]
pub fn why_no_node() -> Option<String> {
    let missing = missing();
    if !missing.is_empty() {
        return Some(format!("to install: apt-get install -y {}", missing.join(" ")));
    }
    denied()
}

/// The packages that are not installed.
fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into)).collect();
    let is_there = |program: &str| dirs.iter().any(|dir| dir.join(program).is_file());
    let absent = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<_> = absent.map(|(_, package)| *package).collect();
    if !Path::new(BRIDGE_PLUGIN).exists() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    packages
}

/// What the kernel, or whoever confines us, does not let us do.
fn denied() -> Option<String> {
    if !geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let namespaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "true"];
    if let Err(error) = output(Command::new("unshare").args(namespaces)) {
        return Some(format!("no namespaces: {}", first_line(&error.to_string())));
    }
    for group in ["memory", "cpu", "pids"] {
        if !has_controller(group) {
            return Some(format!("no writable control groups for {group}"));
        }
    }
    let made = output(Command::new("ip").args(["link", "add", TRIAL, "type", "bridge"]));
    if let Err(error) = made {
        return Some(format!("no bridges: {}", first_line(&error.to_string())));
    }
    let _ = output(Command::new("ip").args(["link", "del", TRIAL]));
    if let Err(error) = output(Command::new("iptables-save").args(["-t", "nat"])) {
        return Some(format!("no iptables: {}", first_line(&error.to_string())));
    }
    None
}

/// Whether a group with this controller can be made, in either version of control groups.
fn has_controller(controller: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let unified = std::fs::read_to_string(root.join("cgroup.controllers"));
    let dir = match &unified {
        Ok(all) if all.split_whitespace().any(|one| one == controller) => root.to_owned(),
        Ok(_) => return false,
        Err(_) => root.join(controller),
    };
    let trial = dir.join(TRIAL);
    std::fs::create_dir(&trial).is_ok() && std::fs::remove_dir(&trial).is_ok()
}

fn first_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}
