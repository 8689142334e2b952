//! A pod of this machine: servers that are PID 1 of namespaces of their own, where each sees its own socket
//! alone.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::agent::{Agent, options};
use crate::support::controller::Controller;
use crate::support::eventually;

/// What a container sees of the pod: its own socket, and nothing of the other sockets.
const CONTAINER: &str = "mount --make-rprivate / && mkdir -p \"$POD/.own\" && mount --bind \"$POD/exec/$NAME\" \"$POD/.own\" \
     && mount -t tmpfs none \"$POD/exec\" && mkdir \"$POD/exec/$NAME\" && mount --move \"$POD/.own\" \"$POD/exec/$NAME\" \
     && eval \"$ENTER\" && exec \"$AGENT\" exec-server --socket \"$POD/exec/$NAME/socket\"";

/// A pod: a directory that all of its containers share, and the servers.
pub struct Pod {
    pub directory: tempfile::TempDir,
    pub containers: Vec<Child>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        for container in &mut self.containers {
            let _ = container.kill();
            let _ = container.wait();
        }
    }
}

impl Pod {
    /// One with these containers; `None` where this user may make no namespaces.
    pub async fn start(names: &[&str]) -> Option<Self> {
        Self::start_after("true", names).await
    }

    /// The same; each does something before it becomes a server.
    pub async fn start_after(enter: &str, names: &[&str]) -> Option<Self> {
        let may = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: this user may not make mount and process namespaces");
            return None;
        }
        let mut pod = Self { directory: tempfile::tempdir().unwrap(), containers: Vec::new() };
        for name in names {
            fs::create_dir_all(pod.path("exec").join(name)).unwrap();
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-ec"])
                .arg(CONTAINER)
                .env_clear()
                .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
                .env("HOME", format!("/home/of/{name}"))
                .env("POD", pod.directory.path())
                .env("NAME", name)
                .env("ENTER", enter)
                .env("AGENT", env!("CARGO_BIN_EXE_pilotfish-agent"))
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            pod.containers.push(command.spawn().unwrap());
            // The next one makes a directory of the same name.
            let socket = pod.path("exec").join(name).join("socket");
            eventually("the server listens", || socket.exists()).await;
        }
        Some(pod)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The number of the server of the container that was started first, as this process sees it.
    pub fn first_server(&self) -> Pid {
        only_child(self.containers[0].id())
    }

    pub fn agent(&self, controller: &Controller) -> Agent {
        self.agent_with(controller, &[])
    }

    /// The agent, in a container of its own too: it sees no process of another one.
    pub fn agent_with(&self, controller: &Controller, more: &[&str]) -> Agent {
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "env"])
            .arg(format!("PILOTFISH_EXEC_SOCKETS={}", self.path("exec").display()))
            .arg("HOME=/home/of/agent")
            .arg(env!("CARGO_BIN_EXE_pilotfish-agent"))
            .args(options(&controller.url))
            .args(more)
            .arg("-workDir")
            .arg(self.path("work"));
        Agent::spawn(command)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// Ends an agent of a pod, builds or not.
pub async fn stop(agent: Agent) {
    kill_process(only_child(agent.id()), Signal::INT).unwrap();
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
}

/// What `unshare` started, which takes no signals itself.
fn only_child(unshare: u32) -> Pid {
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    let children = fs::read_to_string(children).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}
