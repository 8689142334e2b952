//! The node: containerd with runc, a registry, kubelet and kube-proxy.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Pid;

use crate::Cluster;
use crate::error::Error;
use crate::images;
use crate::process::{began, end, end_all, output, start, wait};
use crate::state::{NODE, State};

/// What kubelet makes outside of its directory, whatever its configuration says.
const ELSEWHERE: [&str; 2] = ["/var/lib/kubelet", "/var/log/containers"];
/// The list of those that were not there before.
const MADE: &str = "made";

/// Starts containerd and the registry, and gives the former the images of the tests.
pub(crate) fn start_runtime(cluster: &Cluster) -> Result<(), Error> {
    let state = cluster.state();
    let config =
        state.configure("conf/containerd.toml", include_str!("../config/containerd.toml"))?;
    state
        .configure("cni/net.d/10-pilotfish.conflist", include_str!("../config/network.conflist"))?;
    let hosts = format!("certs.d/{}/hosts.toml", crate::state::REGISTRY);
    state.configure(&hosts, include_str!("../config/hosts.toml"))?;
    start(state, "containerd", Command::new("containerd").arg("--config").arg(config))?;
    let registry =
        state.configure("conf/registry.yaml", include_str!("../config/registry.yaml"))?;
    start(state, "registry", Command::new("docker-registry").arg("serve").arg(registry))?;
    wait(state, "containerd", 60, &["containerd"], || containerd(state, &["version"]).is_ok())?;
    for image in images::write(&state.path("images"))? {
        import(state, &image)?;
    }
    Ok(())
}

/// Starts kubelet and kube-proxy and waits until the node takes pods.
pub(crate) fn start_node(cluster: &Cluster) -> Result<(), Error> {
    let state = cluster.state();
    keep_in_mind(state)?;
    let config = state.configure("conf/kubelet.yaml", include_str!("../config/kubelet.yaml"))?;
    let mut kubelet = cluster.part("kubelet");
    kubelet.arg("--config").arg(config);
    kubelet.arg("--kubeconfig").arg(state.path("conf/kubelet.kubeconfig"));
    kubelet.arg("--root-dir").arg(state.path("kubelet"));
    kubelet.arg("--cert-dir").arg(state.path("run"));
    kubelet.args(["--hostname-override", NODE, "--node-ip", crate::state::NODE_ADDRESS]);
    start(state, "kubelet", &mut kubelet)?;
    let config = state.configure("conf/proxy.yaml", include_str!("../config/proxy.yaml"))?;
    start(state, "kube-proxy", cluster.part("kube-proxy").arg("--config").arg(config))?;
    let needs = ["kube-apiserver", "kubelet", "containerd", "kube-proxy"];
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    wait(state, "the node Ready", 120, &needs, || {
        let told = cluster.kubectl(&["get", "node", NODE, "--output", ready]);
        told.is_ok_and(|told| told == "True")
    })
}

/// Ends kubelet and kube-proxy, then all containers, then containerd, and removes what they leave.
pub(crate) fn stop(state: &State) -> Result<(), Error> {
    end(state, &["kubelet", "kube-proxy"]);
    if state.containerd().exists() {
        stop_containers(state);
    }
    end(state, &["containerd", "registry"]);
    end_all(&shims(state));
    unmount(state)?;
    remove_cgroups(Path::new("/sys/fs/cgroup"));
    remove_made(state)
}

/// The client of containerd.
pub(crate) fn containerd(state: &State, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(state.containerd()).args(["--namespace", "k8s.io"]);
    output(command.args(arguments))
}

/// Gives containerd an image.
pub(crate) fn import(state: &State, archive: &Path) -> Result<(), Error> {
    let archive = archive.display().to_string();
    containerd(state, &["images", "import", "--no-unpack", &archive]).map(drop)
}

fn stop_containers(state: &State) {
    // Nothing of this is needed when containerd has already ended; then its shims are, below.
    let listed = |what: &str| containerd(state, &[what, "ls", "--quiet"]).unwrap_or_default();
    for task in listed("tasks").lines() {
        let _ = containerd(state, &["tasks", "rm", "--force", task]);
    }
    for container in listed("containers").lines() {
        let _ = containerd(state, &["containers", "rm", container]);
    }
}

/// The shims of our containerd; their command lines name its socket.
fn shims(state: &State) -> Vec<(Pid, u64)> {
    let socket = state.containerd().display().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if !line.contains("containerd-shim") || !line.contains(&socket) {
            continue;
        }
        let id = process.file_name().to_string_lossy().parse::<u32>().ok();
        let both = id.and_then(|id| Pid::from_raw(id.try_into().ok()?).zip(began(id)));
        found.extend(both);
    }
    found
}

/// Unmounts what is below the state directory, the innermost first.
fn unmount(state: &State) -> Result<(), Error> {
    let path = Path::new("/proc/self/mounts");
    let text = fs::read_to_string(path).map_err(Error::at(path))?;
    let mut points: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    points.retain(|point| Path::new(point).starts_with(state.dir()));
    points.sort_unstable();
    for point in points.iter().rev() {
        output(Command::new("umount").args(["--lazy", point]))?;
    }
    Ok(())
}

/// Removes the control groups of pods, in every hierarchy, the innermost first.
fn remove_cgroups(root: &Path) {
    for hierarchy in std::iter::once(root.to_owned()).chain(subdirectories(root)) {
        let pods = hierarchy.join("kubepods");
        if pods.is_dir() {
            remove_tree(&pods);
        }
    }
}

fn remove_tree(group: &Path) {
    for inner in subdirectories(group) {
        remove_tree(&inner);
    }
    let _ = fs::remove_dir(group);
}

fn subdirectories(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}

/// Writes down what will be new on this machine.
fn keep_in_mind(state: &State) -> Result<(), Error> {
    let list = state.path(MADE);
    if list.exists() {
        return Ok(());
    }
    let new = ELSEWHERE.iter().filter(|path| !Path::new(path).exists());
    let text: String = new.map(|path| format!("{path}\n")).collect();
    fs::write(&list, text).map_err(Error::at(&list))
}

/// Removes what is new on this machine.
fn remove_made(state: &State) -> Result<(), Error> {
    let text = fs::read_to_string(state.path(MADE)).unwrap_or_default();
    for path in text.lines().map(Path::new).filter(|path| path.exists()) {
        fs::remove_dir_all(path).map_err(Error::at(path))?;
    }
    Ok(())
}
