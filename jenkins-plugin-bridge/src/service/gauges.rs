//! How masters, labels and builds are now, in the text format of Prometheus: what an alert is made of.

use std::fmt::Write as _;

use super::metrics::head;
use super::state::Service;
use super::store::StoreError;
use crate::route::BuildState;

/// A value with what it is of: names and texts of labels.
type Sample<'s> = (Vec<(&'s str, &'s str)>, f64);

/// Writes the samples of one gauge or counter.
fn write(text: &mut String, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
    let name = format!("pilotfish_bridge_{name}");
    head(text, &name, kind, help);
    for (labels, value) in samples {
        let labels: Vec<String> =
            labels.iter().map(|(key, of)| format!("{key}=\"{}\"", escaped(of))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// Text between quotes, as the format has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Service {
    /// Gauges of masters, labels, builds, copies of jobs and undelivered messages. Requests to masters are those of this
    /// process; all else is the same whichever replica is asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gauges(&self) -> Result<String, StoreError> {
        let mut text = String::new();
        self.masters_now(&mut text);
        let cover = self.label_cover().await?;
        let ready: Vec<Sample<'_>> = cover
            .iter()
            .map(|one| (vec![("label", one.label.as_str())], count(one.ready.len())))
            .collect();
        let help = "Masters that can run builds of a label in use; fewer than two is an alert.";
        write(&mut text, "label_masters_ready", "gauge", help, &ready);
        let live = self.store.live_counts().await?;
        let of = |state: BuildState| live.iter().find(|one| one.state == state);
        let states: Vec<Sample<'_>> = BuildState::ALL
            .into_iter()
            .filter(|state| *state != BuildState::Finished)
            .map(|state| {
                (vec![("state", state.as_str())], of(state).map_or(0.0, |one| whole(one.builds)))
            })
            .collect();
        write(
            &mut text,
            "live_builds",
            "gauge",
            "Builds of the bridge that have not ended.",
            &states,
        );
        let now = self.now_ms();
        let oldest = of(BuildState::Waiting).map_or(0, |one| (now - one.oldest_ms).max(0));
        let help = "How long the oldest build that waits for a master has waited.";
        write(
            &mut text,
            "oldest_waiting_seconds",
            "gauge",
            help,
            &[(vec![], whole(oldest) / 1000.0)],
        );
        let copies = self.store.copy_counts().await?;
        let copies: Vec<Sample<'_>> = ["same", "missing", "drifted", "foreign", "failed"]
            .into_iter()
            .map(|state| {
                let found = copies.iter().find(|(known, _)| known == state);
                (vec![("state", state)], found.map_or(0.0, |(_, copies)| whole(*copies)))
            })
            .collect();
        let help = "Copies of jobs on masters, as they were when they were looked at last.";
        write(&mut text, "job_copies", "gauge", help, &copies);
        let (again, given_up) = self.store.undelivered_counts().await?;
        let undelivered = [("again", again), ("given-up", given_up)];
        let undelivered: Vec<Sample<'_>> = undelivered
            .into_iter()
            .map(|(state, messages)| (vec![("state", state)], whole(messages)))
            .collect();
        let help = "Webhooks and statuses of commits that could not be delivered.";
        write(&mut text, "undelivered_reports", "gauge", help, &undelivered);
        Ok(text)
    }

    fn masters_now(&self, text: &mut String) {
        let (now, masters) = (self.now_signed(), self.masters.all());
        let states: Vec<_> = masters.iter().map(|one| (one, one.state())).collect();
        // One that has never answered has said nothing of itself.
        let mut each =
            |name: &str, kind: &str, help: &str, value: &dyn Fn(usize) -> Option<f64>| {
                let samples: Vec<Sample<'_>> = states
                    .iter()
                    .enumerate()
                    .filter_map(|(at, (one, _))| {
                        Some((vec![("master", one.name.as_str())], value(at)?))
                    })
                    .collect();
                write(text, name, kind, help, &samples);
            };
        let is = |yes: bool| Some(if yes { 1.0 } else { 0.0 });
        let help = "1 for a master that is given builds.";
        each("master_ready", "gauge", help, &|at| is(states[at].0.refusal(now).is_none()));
        let seen = |at: usize| Some(&states[at].1).filter(|state| state.answered_ms > 0);
        each("master_executors", "gauge", "Executors of a master that are online.", &|at| {
            seen(at).map(|state| f64::from(state.seen.executors))
        });
        each("master_busy_executors", "gauge", "Those that run something.", &|at| {
            seen(at).map(|state| f64::from(state.seen.busy))
        });
        each("master_queue", "gauge", "Items in the queue of a master.", &|at| {
            seen(at).map(|state| f64::from(state.seen.queue))
        });
        each("master_answer_seconds", "gauge", "How long answers of a master take.", &|at| {
            seen(at).map(|state| exact(state.latency_ms) / 1000.0)
        });
        let help = "REST requests of this process to a master.";
        each("master_requests_total", "counter", help, &|at| Some(exact(states[at].0.calls())));
    }
}

fn count(of: usize) -> f64 {
    exact(u64::try_from(of).unwrap_or(u64::MAX))
}

fn whole(of: i64) -> f64 {
    exact(u64::try_from(of).unwrap_or(0))
}

/// A number of the kind that the format has; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "nothing here counts so far")]
fn exact(of: u64) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_between_quotes_whatever_they_have() {
        let mut text = String::new();
        let odd = "a\"b\\c\nd";
        write(&mut text, "x", "gauge", "Help.", &[(vec![("label", odd), ("state", "y")], 2.0)]);
        assert_eq!(
            text,
            "# HELP pilotfish_bridge_x Help.\n# TYPE pilotfish_bridge_x gauge\n\
             pilotfish_bridge_x{label=\"a\\\"b\\\\c\\nd\",state=\"y\"} 2\n"
        );
    }
}
