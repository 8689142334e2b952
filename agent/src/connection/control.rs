//! What ends the agent's attempts: signals, and the limits that the user set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jenkins_remoting::transport::Backoff;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::leave::Leave;
use super::state::{Event, Monitor};
use crate::callables::Context;
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

/// Which of them came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM: once the builds are over.
    Terminate,
    /// SIGINT: at once.
    Interrupt,
}

/// Whether and how long to go on.
pub(super) struct Control {
    pub(super) reconnect: Reconnect,
    stop: Stop,
    /// A signal that came and is not dealt with yet.
    asked: Option<Asked>,
    leave: Leave,
    monitor: Arc<Monitor>,
}

/// What a phase ended with when it did not get what it was for.
pub(super) enum Failed {
    /// The agent was asked to stop, and no build keeps it.
    Stopped(Exit),
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

    async fn wait(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}

impl Control {
    pub(super) fn new(
        reconnect: Reconnect,
        stop: Stop,
        drain_timeout: Duration,
        context: Arc<Context>,
    ) -> Self {
        let monitor = Arc::clone(&context.connection);
        Self { reconnect, stop, asked: None, leave: Leave::new(drain_timeout, context), monitor }
    }

    /// Tells everyone who watches the connection.
    pub(super) fn happened(&self, event: Event) {
        self.monitor.happened(event);
    }

    /// Waits until the agent has to end. May be dropped and called again.
    pub(super) async fn must_stop(&mut self) -> Exit {
        loop {
            if self.asked.is_none() {
                tokio::select! {
                    asked = self.stop.wait() => self.asked = Some(asked),
                    () = self.leave.next_look() => {}
                }
            }
            let exit = match self.asked {
                // Kept until it is dealt with: this may be dropped while it waits, and signals come once.
                Some(asked) => {
                    let exit = self.leave.asked(asked).await;
                    self.asked = None;
                    exit
                }
                None => self.leave.look().await,
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    /// Whether the agent ends with its builds.
    pub(super) fn is_leaving(&self) -> bool {
        self.leave.is_under_way()
    }

    /// Runs something that a signal may interrupt.
    pub(super) async fn unless_stopped<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failed> {
        tokio::select! {
            done = work => Ok(done),
            exit = self.must_stop() => Err(Failed::Stopped(exit)),
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
        self.sleep(spread(delay)).await
    }
}

/// A little more than the time given, up to a quarter, by chance: agents that lost their controller at the
/// same moment are not to come back at the same moment.
pub(crate) fn spread(time: Duration) -> Duration {
    let chance = uuid::Uuid::new_v4().as_bytes()[0];
    time + time.mul_f64(f64::from(chance) / 255.0 / 4.0)
}

fn bailing_out(budget: Duration) -> Failed {
    status!("Bailing out after {} seconds", budget.as_secs());
    Failed::GivenUp(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_upwards_by_a_quarter() {
        let ten = Duration::from_secs(10);
        let all: Vec<Duration> = (0..200).map(|_| spread(ten)).collect();
        assert!(all.iter().all(|one| (ten..=ten.mul_f64(1.25)).contains(one)), "{all:?}");
        assert!(all.iter().any(|one| one != &all[0]), "always the same");
        assert_eq!(spread(Duration::ZERO), Duration::ZERO);
    }
}
