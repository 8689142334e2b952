//! The signals that do not end the agent by themselves.
//!
//! | signal | what happens | a Java agent |
//! |---|---|---|
//! | SIGTERM, SIGINT | the connection's business: it drains or ends | ends |
//! | SIGHUP | the same as SIGTERM; ignored if it was ignored at the start (`nohup`) | ends |
//! | SIGQUIT | a line about memory and children in the log | a thread dump |
//! | SIGUSR1, SIGUSR2 | a line in the log | ends (USR1 belongs to the JVM) |
//! | SIGPIPE | nothing: writes fail instead | nothing |
//!
//! None is sent on to builds: an agent has many, and which one a signal meant nobody can say. They are
//! ended as Jenkins does it, by their cookies. As PID 1 the agent needs these handlers all the more:
//! the kernel drops signals for PID 1 that have none.
//!
//! An agent that was given a command as its only argument passes signals on to it; see
//! [`pilotfish_process::run_as_init`].

use std::sync::Arc;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::memory::Memory;

/// Handles these signals until the runtime ends. Must be called within it.
pub fn handle(memory: &Arc<Memory>) {
    if !is_ignored(Signal::HUP) {
        on(SignalKind::hangup(), || {
            tracing::info!("SIGHUP: the same as SIGTERM");
            super::end_this_process();
        });
    }
    let memory = Arc::clone(memory);
    on(SignalKind::quit(), move || {
        let children = pilotfish_process::processes().map_or(0, |all| {
            all.iter().filter(|process| process.parent == std::process::id()).count()
        });
        tracing::info!(
            "SIGQUIT: {children} child processes; memory of the container: {:?}",
            memory.state()
        );
    });
    for (kind, name) in
        [(SignalKind::user_defined1(), "SIGUSR1"), (SignalKind::user_defined2(), "SIGUSR2")]
    {
        on(kind, move || tracing::info!("{name}: nothing to do; SIGTERM ends the agent"));
    }
}

fn on(kind: SignalKind, act: impl Fn() + Send + 'static) {
    match signal(kind) {
        Ok(mut stream) => {
            tokio::spawn(async move {
                while next(&mut stream).await {
                    act();
                }
            });
        }
        Err(error) => tracing::warn!("a signal cannot be handled: {error}"),
    }
}

async fn next(stream: &mut Stream) -> bool {
    stream.recv().await.is_some()
}

/// Whether a signal was ignored when this process started, which whoever started it wanted.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_mask(&status).is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

fn ignored_mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_mask("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_mask("SigIgn:\tx\n"), None);
        assert!(is_ignored(Signal::PIPE), "the standard library does that");
        assert!(!is_ignored(Signal::TERM));
    }
}
