//! What ends the agent's attempts: signals, and the limits that the user set.

use std::time::{Duration, Instant};

use jenkins_remoting::transport::Backoff;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Reconnect;
use crate::exit::Exit;

/// A line as the Java agent's console listener prints it.
macro_rules! status {
    ($($argument:tt)*) => {
        tracing::info!(target: "hudson.remoting.Launcher$CuiListener", method = "status", $($argument)*)
    };
}
pub(super) use status;

/// Signals that ask the agent to end.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// Whether and how long to go on.
pub(super) struct Control {
    pub(super) reconnect: Reconnect,
    pub(super) stop: Stop,
}

/// What a phase ended with when it did not get what it was for.
pub(super) enum Failed {
    /// The agent was asked to stop.
    Stopped,
    /// Time is up, or trying again cannot help.
    GivenUp(Exit),
}

impl Stop {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Control {
    /// Runs something that a signal may interrupt.
    pub(super) async fn unless_stopped<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failed> {
        tokio::select! {
            done = work => Ok(done),
            () = self.stop.wait() => Err(Failed::Stopped),
        }
    }

    /// Sleeps, unless a signal comes.
    pub(super) async fn sleep(&mut self, time: Duration) -> Result<(), Failed> {
        self.unless_stopped(tokio::time::sleep(time)).await
    }

    /// Fails if attempts that began then have taken longer than the user allows.
    pub(super) fn check_budget(&self, began: Instant) -> Result<(), Failed> {
        match self.reconnect {
            Reconnect::GiveUpAfter(budget) if began.elapsed() > budget => Err(bailing_out(budget)),
            _ => Ok(()),
        }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(match self.reconnect {
            Reconnect::GiveUpAfter(budget) => Some(budget),
            // As with the Java agent, the first connection is tried for ever even without reconnects.
            Reconnect::Always | Reconnect::Never => None,
        })
    }

    /// Waits before the next attempt; fails when time is up.
    pub(super) async fn pause(&mut self, backoff: &mut Backoff) -> Result<(), Failed> {
        let Some(delay) = backoff.next_delay() else {
            return Err(bailing_out(backoff.budget().unwrap_or_default()));
        };
        status!("Waiting {} second(s) before retry", delay.as_secs());
        self.sleep(delay).await
    }
}

fn bailing_out(budget: Duration) -> Failed {
    status!("Bailing out after {} seconds", budget.as_secs());
    Failed::GivenUp(Exit::Success)
}
