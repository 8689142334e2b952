//! Judges what came: answers, statuses, refusals, streams, and what is only complete at the end.

use tokio::time::Instant;

use super::{ASK_AGAIN, Sent, Session};
use crate::compare;
use crate::error::ReplayError;
use crate::mapping;
use crate::plan::{self, Fate, Step};
use crate::tasks;
use crate::wire::Command;

impl Session<'_> {
    pub(super) async fn judge_answer(
        &mut self,
        index: usize,
        request: i32,
    ) -> Result<(), ReplayError> {
        let number = plan::number(self.recording, index);
        let expected = plan::bytes(self.recording, index);
        let Some(known) = self.plan.requests.get(&request) else { return Ok(()) };
        let Some(arrived) = self.answers.get(&request) else { return Ok(()) };
        let mut actual = arrived.bytes.clone();
        if known.call.callable.ends_with("$StatusCheck") {
            match self.judge_status(number, request, expected, &actual).await? {
                Some(other) => actual = other,
                None => return Ok(()),
            }
        }
        let asked = plan::bytes(self.recording, known.sent);
        let span = self.span_of(Some(request));
        let differences = self.with_context(&known.call.callable, asked, span, |context| {
            compare::answer(context, expected, &actual)
        });
        let title = match &known.call.path {
            Some(path) => format!("answer to {} on {path}", known.call.callable),
            None => format!("answer to {}", known.call.callable),
        };
        self.report.compared(number, &title, differences, Some((expected, &actual)));
        let recorded_io = match self.plan.commands.get(&index) {
            Some(Command::Response { last_io, .. }) => *last_io,
            _ => 0,
        };
        self.ledger.check_barrier(known, recorded_io, self.plan);
        Ok(())
    }

    /// Judges a status: the answer to compare, or nothing when it was judged here.
    async fn judge_status(
        &mut self,
        number: Option<u32>,
        request: i32,
        expected: &[u8],
        actual: &[u8],
    ) -> Result<Option<Vec<u8>>, ReplayError> {
        let Some(known) = self.plan.requests.get(&request) else { return Ok(None) };
        let task = self.plan.tasks.iter().find(|task| tasks::is_status(known, &task.directory));
        match (tasks::status(expected), tasks::status(actual), task) {
            // Still running in the recording, done here: fair only if the script may have been faster.
            (Some(None), Some(Some(status)), Some(task)) => {
                let since = self.answers.get(&request).zip(self.sent.get(&task.launch));
                let elapsed =
                    since.map_or(0.0, |(answer, launch)| (answer.at - launch.at).as_secs_f64());
                if task.script.contains("sleep") && elapsed < task.runs_for {
                    let title = format!(
                        "{}: status {status} after {elapsed:.2} s, but its script runs for {:.2} s at least",
                        task.directory, task.runs_for
                    );
                    self.report.fail(number, title);
                }
                self.final_status.insert(task.directory.clone(), status);
                self.report.compared(number, "status", Vec::new(), None);
                Ok(None)
            }
            (Some(Some(wanted)), Some(None), Some(task)) => {
                let directory = task.directory.clone();
                let answer = self.ask_again(request, known.sent).await?;
                if let Some(early) = self.final_status.get(&directory)
                    && *early != wanted
                {
                    self.report.fail(
                        number,
                        format!("{directory}: status {early} before, expected {wanted}"),
                    );
                }
                Ok(Some(mapping::with_int(&answer, "id", request)?))
            }
            (Some(Some(wanted)), Some(Some(_)), Some(task)) => {
                if let Some(early) = self.final_status.get(&task.directory)
                    && *early != wanted
                {
                    let title =
                        format!("{}: status {early} before, expected {wanted}", task.directory);
                    self.report.fail(number, title);
                }
                Ok(Some(actual.to_vec()))
            }
            _ => Ok(Some(actual.to_vec())),
        }
    }

    /// Asks for a status again until there is one, as a controller does: this machine may be slower.
    async fn ask_again(&mut self, request: i32, index: usize) -> Result<Vec<u8>, ReplayError> {
        let recorded = self.mapping.controller_command(plan::bytes(self.recording, index), None)?;
        let deadline = Instant::now() + self.settings.patience;
        while Instant::now() < deadline {
            self.wait_until(Instant::now() + ASK_AGAIN).await?;
            self.own_id += 1;
            let id = self.own_id;
            self.sent
                .insert(id, Sent { at: Instant::now(), time: self.facts.now(self.now_recorded) });
            self.link.send(&mapping::with_int(&recorded, "id", id)?).await?;
            self.wait_for(None, format!("the status again (request {id})"), |this| {
                this.answers.contains_key(&id)
            })
            .await?;
            if let Some(answer) = self.answers.get(&id)
                && !tasks::still_running(&answer.bytes)
            {
                return Ok(answer.bytes.clone());
            }
        }
        Err(ReplayError::Session(format!("request {request}: the task does not end")))
    }

    pub(super) fn judge_refusal(&mut self, index: usize, request: i32) {
        let number = plan::number(self.recording, index);
        let (Some(known), Some(arrived)) =
            (self.plan.requests.get(&request), self.answers.get(&request))
        else {
            return;
        };
        let class = known.call.callable.clone();
        let differences = compare::refusal(&class, &arrived.bytes);
        if differences.is_empty() {
            self.report.refused.push(class.clone());
        }
        let bytes = arrived.bytes.clone();
        let expected = plan::bytes(self.recording, index);
        self.report.compared(
            number,
            &format!("refusal of {class}"),
            differences,
            Some((expected, &bytes)),
        );
    }

    /// Judges a stream that was closed: how, and what came on it.
    pub(super) fn judge_end(&mut self, oid: i32, bytes: &[u8]) {
        let Some(index) = self.plan.ends.get(&oid).copied() else {
            self.report.fail(
                None,
                format!(
                    "stream {oid} of the controller was closed; the recorded agent only dropped it"
                ),
            );
            return;
        };
        let number = plan::number(self.recording, index);
        let expected = plan::bytes(self.recording, index);
        let span = self.span_of(None);
        let differences =
            self.with_context("", &[], span, |context| compare::end(context, expected, bytes));
        self.report.compared(number, "end of a stream", differences, Some((expected, bytes)));
        if let Some(group) = self.plan.groups.iter().position(|group| group.sinks == [oid]) {
            self.judge_group(group);
        }
    }

    fn judge_group(&mut self, index: usize) {
        let plan = self.plan;
        let Some(group) = plan.groups.get(index) else { return };
        if let Some(judged) = self.judged_groups.get_mut(index) {
            *judged = true;
        }
        let actual = self.ledger.group(index);
        let span = self.span_of(None);
        let differences = self.with_context("", &[], span, |context| {
            compare::stream(
                context,
                &group.title,
                group.script.as_deref(),
                &group.expected,
                &actual,
            )
        });
        self.report.compared(None, &group.title, differences, None);
    }

    /// Judges what is only complete at the end.
    pub(super) fn judge_rest(&mut self) {
        let closed = self.plan.steps.iter().any(|step| matches!(step, Step::CloseSocket));
        for id in self.open_requests() {
            // A request that the recorded agent, too, had not answered when the connection was closed.
            if !closed {
                let callable =
                    self.plan.requests.get(&id).map(|request| request.call.callable.clone());
                self.report.fail(
                    None,
                    format!("request {id} ({}) was not answered", callable.unwrap_or_default()),
                );
            }
        }
        let unanswered: Vec<_> = self
            .plan
            .requests
            .values()
            .filter(|request| request.answered.is_none() && request.fate == Fate::Sent)
            .map(|request| (request.call.id, request.call.callable.clone()))
            .collect();
        for (id, callable) in unanswered {
            self.judge_unrecorded(id, &callable);
        }
        if self.pongs < self.pings {
            self.report.fail(
                None,
                format!("{} of {} WebSocket pings were answered", self.pongs, self.pings),
            );
        }
        for missing in self.missing_agent_requests() {
            self.report.fail(None, format!("the agent never sent {missing}"));
        }
        for index in 0..self.plan.groups.len() {
            if self.judged_groups.get(index) == Some(&false) {
                self.judge_group(index);
            }
        }
        let plan = self.plan;
        self.ledger.finish(plan);
    }

    /// An answer that came after the recording's end: compared with one to the same callable.
    fn judge_unrecorded(&mut self, id: i32, callable: &str) {
        let Some(arrived) = self.answers.get(&id) else { return };
        let bytes = arrived.bytes.clone();
        let like = self
            .plan
            .requests
            .values()
            .filter(|request| request.call.callable == callable)
            .find_map(|request| request.answered);
        let Some(index) = like else {
            let refused = !compare::is_result(&bytes);
            if refused {
                self.report.fail(None, format!("the answer to {callable} is an exception"));
            }
            return;
        };
        let expected =
            mapping::with_int(plan::bytes(self.recording, index), "id", id).unwrap_or_default();
        let span = self.span_of(Some(id));
        let differences = self.with_context(callable, &[], span, |context| {
            compare::answer(context, &expected, &bytes)
        });
        self.report.compared(
            plan::number(self.recording, index),
            &format!("late answer to {callable}"),
            differences,
            Some((&expected, &bytes)),
        );
    }
}
