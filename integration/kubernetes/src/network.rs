//! The bridge with the node's address, the switches of the kernel, and what the cluster leaves in both.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::process::output;
use crate::state::{INTERFACE, NODE_ADDRESS, State};

/// What kubelet and kube-proxy turn. Their values are kept, and put back at the end.
const SWITCHES: [&str; 9] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    "net/ipv4/vs/conntrack",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];
/// Where kube-proxy and kubelet add chains.
const TABLES: [&str; 3] = ["nat", "filter", "mangle"];

/// Makes the bridge.
pub(crate) fn up(state: &State) -> Result<(), Error> {
    if interface().exists() {
        // Ours, of a start that did not get to its end?
        if state.path("bridge").exists() {
            return Ok(());
        }
        return Err(Error::Busy { interface: INTERFACE });
    }
    keep_switches(state)?;
    ip(&["link", "add", INTERFACE, "type", "bridge"])?;
    let mark = state.path("bridge");
    fs::write(&mark, INTERFACE).map_err(Error::at(&mark))?;
    ip(&["addr", "add", &format!("{NODE_ADDRESS}/24"), "dev", INTERFACE])?;
    ip(&["link", "set", INTERFACE, "up"])?;
    let forward = switch("net/ipv4/ip_forward");
    fs::write(&forward, "1").map_err(Error::at(&forward))
}

/// Removes the bridge and the chains, and turns the switches back.
pub(crate) fn down(state: &State) -> Result<(), Error> {
    if !state.path("bridge").exists() {
        return Ok(());
    }
    for program in ["iptables", "ip6tables"] {
        for table in TABLES {
            remove_chains(program, table)?;
        }
    }
    if interface().exists() {
        ip(&["link", "del", INTERFACE])?;
    }
    for name in SWITCHES {
        let kept = state.path("switches").join(name.replace('/', "."));
        if let Ok(value) = fs::read_to_string(&kept) {
            let path = switch(name);
            if fs::read_to_string(&path).ok().as_ref() != Some(&value) {
                fs::write(&path, value).map_err(Error::at(&path))?;
            }
        }
    }
    let mark = state.path("bridge");
    fs::remove_file(&mark).map_err(Error::at(&mark))
}

fn keep_switches(state: &State) -> Result<(), Error> {
    let dir = state.path("switches");
    fs::create_dir_all(&dir).map_err(Error::at(&dir))?;
    for name in SWITCHES {
        // Not every kernel has all of them.
        if let Ok(value) = fs::read_to_string(switch(name)) {
            let kept = dir.join(name.replace('/', "."));
            fs::write(&kept, value).map_err(Error::at(&kept))?;
        }
    }
    Ok(())
}

fn switch(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn interface() -> PathBuf {
    Path::new("/sys/class/net").join(INTERFACE)
}

pub(crate) fn ip(arguments: &[&str]) -> Result<(), Error> {
    output(Command::new("ip").args(arguments)).map(drop)
}

/// Takes the rules and chains of Kubernetes out of a table, and leaves all others as they are.
fn remove_chains(program: &str, table: &str) -> Result<(), Error> {
    let save = output(Command::new(format!("{program}-save")).args(["-t", table]));
    // A machine without IPv6 has no tables for it.
    let Some(kept) = save.ok().as_deref().and_then(without_kubernetes) else { return Ok(()) };
    let name = format!("{program}-restore");
    let failed = |why: String| Error::Program { program: name.clone(), why };
    let mut restore = Command::new(&name);
    let child = restore.args(["-T", table]).stdin(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(kept.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}

/// The rules without those of Kubernetes; `None` when there are none of them.
fn without_kubernetes(rules: &str) -> Option<String> {
    let of_kubernetes = |line: &&str| line.contains("KUBE-");
    rules.lines().any(|line| of_kubernetes(&line)).then(|| {
        let kept = rules.lines().filter(|line| !of_kubernetes(line));
        kept.map(|line| format!("{line}\n")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_of_kubernetes_are_taken_out() {
        let rules = "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
                     -A PREROUTING -j KUBE-SERVICES\n-A PREROUTING -p tcp -j DOCKER\nCOMMIT\n";
        let kept = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DOCKER\nCOMMIT\n";
        assert_eq!(without_kubernetes(rules).as_deref(), Some(kept));
        assert_eq!(without_kubernetes(kept), None);
    }
}
