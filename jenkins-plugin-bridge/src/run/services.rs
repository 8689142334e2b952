//! Containers beside the steps of a stage: a database, a broker.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::cancel::Cancel;
use super::in_pod::services_listen;
use super::log::SharedLog;
use super::runtime::{Runtime, service_command};
use super::step::{quietly, unique};
use crate::plan::{Outcome, PlanService, PlanStage};

/// How long a service may take until it accepts connections: a database that makes its files
/// first takes some ten seconds.
const READY: Duration = Duration::from_secs(120);
/// How often the ports of a service are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How many of its last lines a service adds to the log of a stage that failed.
const LAST_LINES: &str = "50";
/// State of a socket that listens, in `/proc/net/tcp` (`TCP_LISTEN` of the kernel).
const LISTENS: &str = "0A";

/// The services of a try of a stage.
#[derive(Debug, Default)]
pub(super) struct Services {
    program: &'static str,
    /// Name of the service and of its container.
    running: Vec<(String, String)>,
    /// The container whose network all share.
    pub network: Option<String>,
    /// What went wrong at the start.
    pub trouble: Option<(Outcome, String)>,
}

impl Services {
    /// Starts the services of a stage one after the other and waits until they listen.
    pub(super) async fn start(
        runtime: Runtime,
        stage: &PlanStage,
        log: &SharedLog,
        cancel: &Cancel,
    ) -> Self {
        let mut all = Self { program: runtime.program().unwrap_or_default(), ..Self::default() };
        match runtime {
            Runtime::Local => return all,
            Runtime::Pod => {
                all.trouble = services_listen(stage, cancel).await;
                return all;
            }
            Runtime::Podman | Runtime::Docker => {}
        }
        for service in &stage.services {
            let work = all.one(runtime, service, log);
            let done = tokio::select! {
                done = work => done,
                () = cancel.cancelled() => {
                    all.trouble = Some((Outcome::Aborted, "stopped".to_owned()));
                    break;
                }
            };
            if let Err(why) = done {
                all.trouble = Some((Outcome::Failure, format!("service {}: {why}", service.name)));
                break;
            }
        }
        all
    }

    async fn one(
        &mut self,
        runtime: Runtime,
        service: &PlanService,
        log: &SharedLog,
    ) -> Result<(), String> {
        let container = format!("pilotfish-{}", unique());
        let (line, variables) =
            service_command(runtime, &container, service, self.network.as_deref());
        // Before it is there: a stop in the middle must find it.
        self.running.push((service.name.clone(), container.clone()));
        let (program, arguments) = line.split_first().map_or(("", &[][..]), |(a, b)| (a, b));
        let started = tokio::process::Command::new(program)
            .args(arguments)
            .envs(variables)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = started.await.map_err(|e| format!("cannot start {program}: {e}"))?;
        if let Ok(mut log) = log.lock() {
            log.say(&format!("--- service {} ({}) ---", service.name, service.image));
            let _ = log.write(&output.stderr);
            let _ = log.flush_line();
        }
        if !output.status.success() {
            return Err(format!("{program} run ended with {}", output.status));
        }
        // The first service holds the network, as the pause container of a pod does.
        self.network.get_or_insert_with(|| container.clone());
        match service.port {
            Some(port) => self.listens(&container, port).await,
            None => Ok(()),
        }
    }

    /// Waits until something in the network of a container listens. The kernel knows, so neither
    /// the image nor this machine needs a tool for it.
    async fn listens(&self, container: &str, port: u16) -> Result<(), String> {
        let Some(pid) = self.process(container).await else {
            return Err("it ended at once".to_owned());
        };
        let begin = Instant::now();
        while begin.elapsed() < READY {
            let tables: Vec<String> = ["tcp", "tcp6"]
                .into_iter()
                .filter_map(|table| {
                    std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok()
                })
                .collect();
            if tables.iter().any(|table| has_listener(table, port)) {
                return Ok(());
            }
            if tables.is_empty() && self.process(container).await.is_none() {
                return Err(format!("it ended before it listened at port {port}"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("it does not listen at port {port} after {} s", READY.as_secs()))
    }

    /// The first process of a container that runs.
    async fn process(&self, container: &str) -> Option<u32> {
        let output = tokio::process::Command::new(self.program)
            .args(["inspect", "--format", "{{.State.Pid}}", container])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|pid| *pid > 0)
    }

    /// Ends the services. After a failure, what they said last is put into the log.
    pub(super) async fn stop(self, failed: bool, log: &SharedLog) {
        for (service, container) in &self.running {
            if failed {
                let said = tokio::process::Command::new(self.program)
                    .args(["logs", "--tail", LAST_LINES, container])
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .output();
                let said = tokio::time::timeout(Duration::from_secs(30), said).await;
                if let (Ok(Ok(said)), Ok(mut log)) = (said, log.lock()) {
                    log.say(&format!("--- the end of what service {service} said ---"));
                    let _ = log.write(&said.stdout);
                    let _ = log.write(&said.stderr);
                    let _ = log.flush_line();
                }
            }
            quietly(self.program, &["rm", "--force", "--volumes", container]).await;
        }
    }
}

/// Whether a table of sockets, as `/proc/net/tcp` has it, has one that listens at a port.
fn has_listener(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        local.is_some_and(|local| local.ends_with(&end)) && state == Some(LISTENS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                     \u{20}  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000\n\
                     \u{20}  1: 0100007F:1F90 0100007F:1538 01 00000000:00000000 00:00000000\n";
        assert!(has_listener(table, 5432));
        assert!(!has_listener(table, 8080), "a connection is no listener");
        assert!(!has_listener("", 5432));
    }

    /// The kernel of this machine writes the table as it is read here.
    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = || std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        assert!(has_listener(&table(), port));
        drop(listener);
        assert!(!has_listener(&table(), port));
    }
}
