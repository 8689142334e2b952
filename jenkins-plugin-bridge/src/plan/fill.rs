//! Filling the placeholders of a stage, and checking what comes out.

use std::sync::Arc;

use super::condition::{Facts, Verdict};
use super::environment::{MAX_VARIABLE, is_forbidden};
use super::fixed::{PreparedStep, planned, planned_container};
use super::model::{PlanContainer, PlanStep};
use super::template::{Scope, has_placeholder};
use crate::catalog::model::{Container, ContainerPatch, Environment, Resources};
use crate::error::Problem;

/// Fills texts for one stage and keeps what is wrong.
pub(super) struct Filler<'a, 'f> {
    pub facts: &'a Facts<'f>,
    pub own: Scope<'a>,
    pub outer: Scope<'a>,
    pub id: &'a str,
    pub problems: &'a mut Vec<Problem>,
}

impl Filler<'_, '_> {
    pub fn problem(&mut self, part: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(format!("stages.{}.{part}", self.id), message));
    }

    fn filled(&mut self, part: &str, result: Result<String, String>) -> String {
        match result {
            Ok(text) => {
                if memchr::memchr(0, text.as_bytes()).is_some() || text.len() > MAX_VARIABLE {
                    self.problem(part, "the text has a NUL character or is over 96 KiB");
                }
                text
            }
            Err(message) => {
                self.problem(part, message);
                String::new()
            }
        }
    }

    pub fn text(&mut self, part: &str, text: &str) -> String {
        let result = self.own.text(text);
        self.filled(part, result)
    }

    pub fn outer_text(&mut self, part: &str, text: &str) -> String {
        let result = self.outer.text(text);
        self.filled(part, result)
    }

    pub fn environment(&mut self, part: &str, all: &Environment) -> Environment {
        all.iter()
            .map(|(name, value)| {
                self.check_name(part, name, value);
                (name.clone(), self.text(part, value))
            })
            .collect()
    }

    pub fn outer_environment(&mut self, all: &Environment) -> Environment {
        all.iter()
            .map(|(name, value)| {
                self.check_name("environment", name, value);
                (name.clone(), self.outer_text("environment", value))
            })
            .collect()
    }

    fn check_name(&mut self, part: &str, name: &str, value: &str) {
        if has_placeholder(value) && is_forbidden(name) {
            self.problem(
                part,
                format!("variable `{name}` steers programs and cannot be bound to a parameter"),
            );
        }
    }

    pub fn container(&mut self, one: &Container, patch: Option<&ContainerPatch>) -> PlanContainer {
        let mut environment = self.environment("containers.environment", &one.environment);
        let image = match patch.and_then(|patch| patch.image.as_ref()) {
            Some(image) => self.outer_text("containers.image", image),
            None => self.text("containers.image", &one.image),
        };
        if !is_image(&image) {
            let message = format!(
                "{image:?} is no name of an image: expected the form registry/name:tag or …@sha256:…"
            );
            self.problem("containers.image", message);
        }
        if let Some(patch) = patch {
            environment.extend(self.outer_environment(&patch.environment));
        }
        planned_container(one, patch, image, environment)
    }

    pub fn step(
        &mut self,
        list: &str,
        number: usize,
        one: &PreparedStep,
        container: Option<&str>,
    ) -> Option<Arc<PlanStep>> {
        if let Some(condition) = &one.condition {
            match condition.evaluate(self.facts, self.own.matrix) {
                Ok(Verdict::True) => {}
                Ok(Verdict::False) => return None,
                Ok(Verdict::Unknown) => {
                    let message = "conditions of steps are decided when the plan is made: put it at the stage";
                    self.problem(list, message);
                }
                Err(message) => self.problem(list, message),
            }
        }
        if let Some(made) = one.made(number, container) {
            return Some(made);
        }
        let step = &one.step;
        let script = self.text(list, step.script.as_ref()?);
        let environment = self.environment(list, &step.environment);
        Some(Arc::new(planned(step, number, container, script, environment)))
    }
}

/// Whether a text can be an image: what could be an option of a container tool cannot.
pub(super) fn is_image(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 512
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c))
}

pub(super) fn patch_resources(target: &mut Resources, patch: &Resources) {
    let set = |target: &mut Option<_>, patch: &Option<_>| {
        if patch.is_some() {
            target.clone_from(patch);
        }
    };
    set(&mut target.cpu, &patch.cpu);
    set(&mut target.memory, &patch.memory);
    set(&mut target.ephemeral_storage, &patch.ephemeral_storage);
}
