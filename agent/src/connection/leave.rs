//! The agent on its way out: from the first SIGTERM until no build keeps it any more.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use pilotfish_process::Killer;
use tokio::time::{Instant, sleep};

use super::control::{Asked, status};
use crate::callables::Context;
use crate::exit::Exit;

/// How often it is looked whether builds still run.
const LOOK: Duration = Duration::from_millis(250);

/// How long before its end the agent tells the builds that it interrupts: their logs are pushed or polled
/// in this time, if at all.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How builds and the agent end.
pub(super) struct Leave {
    timeout: Duration,
    context: Arc<Context>,
    under_way: Option<UnderWay>,
}

/// Since the first SIGTERM.
struct UnderWay {
    deadline: Instant,
    told: bool,
}

impl Leave {
    pub(super) fn new(timeout: Duration, context: Arc<Context>) -> Self {
        Self { timeout, context, under_way: None }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Waits until it is time to [`look`](Self::look); for ever before the first signal.
    pub(super) async fn next_look(&self) {
        match &self.under_way {
            Some(under_way) => {
                let left = under_way.deadline.saturating_duration_since(Instant::now());
                sleep(LOOK.min(left)).await;
            }
            None => future::pending().await,
        }
    }

    /// A signal came: how the agent ends, if it does so now.
    pub(super) async fn asked(&mut self, asked: Asked) -> Option<Exit> {
        let running = self.running().await;
        match (asked, &self.under_way) {
            (_, Some(_)) => {
                if running.is_empty() {
                    return Some(Exit::Success);
                }
                tracing::warn!(
                    "a second signal: the agent ends at once; interrupted: {}",
                    listed(&running)
                );
                self.tell("to stop for the second time").await;
                Some(Exit::Forced)
            }
            (Asked::Interrupt, None) => Some(Exit::Success),
            (Asked::Terminate, None) if running.is_empty() => Some(Exit::Success),
            (Asked::Terminate, None) if self.timeout.is_zero() => {
                tracing::warn!(
                    "SIGTERM: the agent ends at once; interrupted: {}",
                    listed(&running)
                );
                self.tell("to stop (SIGTERM), at once (--drain-timeout is 0)").await;
                Some(Exit::Interrupted)
            }
            (Asked::Terminate, None) => {
                self.context.drain.begin();
                if let Some(bridge) = self.context.bridge.clone() {
                    // Nothing waits for it: builds go on meanwhile, and others are refused here too.
                    tokio::spawn(async move { bridge.take_node_out().await });
                }
                let deadline = Instant::now() + self.timeout;
                self.under_way = Some(UnderWay { deadline, told: false });
                status!(
                    "Draining: SIGTERM came while {} run(s); other builds are refused; the agent ends with the last \
                     build, or after {} s (--drain-timeout), or at once with a second signal",
                    listed(&running),
                    self.timeout.as_secs_f32()
                );
                None
            }
        }
    }

    /// Looks whether builds still run and whether there is time left: how the agent ends, if it does so now.
    pub(super) async fn look(&mut self) -> Option<Exit> {
        let running = self.running().await;
        let under_way = self.under_way.as_mut()?;
        if running.is_empty() {
            status!("Drained: no build runs any more");
            return Some(Exit::Success);
        }
        let now = Instant::now();
        if !under_way.told && now + LAST_WORDS >= under_way.deadline {
            under_way.told = true;
            let waited = self.timeout.as_secs_f32();
            self.tell(&format!(
                "to stop (SIGTERM), and has waited {waited} s for this build (--drain-timeout)"
            ))
            .await;
        }
        if now < self.under_way.as_ref()?.deadline {
            return None;
        }
        tracing::warn!("the time to drain is over; interrupted: {}", listed(&running));
        Some(Exit::Interrupted)
    }

    /// Tells the builds in their logs that they are interrupted. Processes whose output is a stream are ended,
    /// which they would be by the end of that stream, so that their line is the last one in it.
    async fn tell(&self, why: &str) {
        let line = format!(
            "[pilotfish] This node was told {why}. The agent leaves now. Where its container ends with it, \
             so does this step."
        );
        let memory = Arc::clone(&self.context.memory);
        let streams = tokio::task::spawn_blocking(move || memory.tell_running(&line)).await;
        for cookie in streams.unwrap_or_default() {
            let killer = Killer::new().wait(LAST_WORDS / 2);
            tokio::spawn(async move {
                let _ = killer.kill_matching([("HUDSON_COOKIE", cookie)]).await;
            });
        }
    }

    /// The builds that run.
    async fn running(&self) -> Vec<String> {
        let memory = Arc::clone(&self.context.memory);
        let with_steps = tokio::task::spawn_blocking(move || memory.running()).await;
        self.context.drain.running(&with_steps.unwrap_or_default())
    }
}

fn listed(builds: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = builds.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if builds.len() > SHOWN {
        text.push_str(&format!(" and {} more", builds.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn a_long_list_is_cut() {
        let builds: Vec<String> = (1..=7).map(|number| format!("a #{number}")).collect();
        assert_eq!(listed(&builds[..2]), "a #1, a #2");
        assert_eq!(listed(&builds), "a #1, a #2, a #3, a #4, a #5 and 2 more");
    }
}
