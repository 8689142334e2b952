//! Steps and containers of a stage: what no parameter changes is made when the pipeline is prepared, and
//! shared by all plans.

use std::sync::Arc;

use super::condition::Condition;
use super::environment::MAX_VARIABLE;
use super::fill::{is_image, patch_resources};
use super::model::{PlanContainer, PlanStep};
use super::template::has_placeholder;
use crate::catalog::model::{
    Container, ContainerPatch, Environment, Span, StageEntry, StageTemplate, Step,
};

/// A step, those of layers at an extension point included.
#[derive(Debug)]
pub(crate) struct PreparedStep {
    pub step: Step,
    pub condition: Option<Condition>,
    made: Option<Made>,
}

/// A step as it is where all conditions of its list are true.
#[derive(Debug)]
struct Made {
    number: usize,
    step: Arc<PlanStep>,
}

/// The lists of steps of a stage.
#[derive(Debug)]
pub(crate) struct PreparedSteps {
    pub steps: Vec<PreparedStep>,
    pub rehearsal: Vec<PreparedStep>,
    /// `always`, `success`, `failure`, `aborted`.
    pub post: [Vec<PreparedStep>; 4],
}

impl PreparedSteps {
    /// Puts the steps of an entry into those of its template. `condition` compiles the condition of a
    /// step.
    pub fn new(
        template: &StageTemplate,
        entry: &StageEntry,
        mut condition: impl FnMut(&Step) -> Option<Condition>,
    ) -> Self {
        let mut list = |steps: &[Step], container: Option<&str>| -> Vec<PreparedStep> {
            let all = steps.iter().flat_map(|step| match &step.extension {
                Some(point) => entry.extensions.get(point).map_or(&[][..], Vec::as_slice),
                None => std::slice::from_ref(step),
            });
            all.enumerate()
                .map(|(index, step)| PreparedStep {
                    step: step.clone(),
                    condition: condition(step),
                    made: Made::new(step, index + 1, container),
                })
                .collect()
        };
        let first = template.containers.first().map(|one| one.name.as_str());
        let steps = list(&template.steps, first);
        let own = steps.first().and_then(|one| one.step.container.as_ref());
        let own = own.map(|name| name.as_str().to_owned());
        let own = own.as_deref().or(first);
        Self {
            rehearsal: list(&template.rehearsal, own),
            post: template.post.lists().map(|(_, steps)| list(steps, own)),
            steps,
        }
    }
}

impl PreparedStep {
    /// The step with this number in its list and this container, unless parameters are in it.
    pub fn made(&self, number: usize, container: Option<&str>) -> Option<Arc<PlanStep>> {
        let made = self.made.as_ref()?;
        let is_same = (self.step.name.is_some() || made.number == number)
            && (self.step.container.is_some() || made.step.container.as_deref() == container);
        is_same.then(|| Arc::clone(&made.step))
    }
}

impl Made {
    fn new(step: &Step, number: usize, container: Option<&str>) -> Option<Self> {
        let script = step.script.as_ref().filter(|text| is_plain(text))?;
        let environment = plain(&step.environment)?;
        let step = planned(step, number, container, script.clone(), environment);
        Some(Self { number, step: Arc::new(step) })
    }
}

/// A step of a plan.
pub(super) fn planned(
    step: &Step,
    number: usize,
    container: Option<&str>,
    script: String,
    environment: Environment,
) -> PlanStep {
    PlanStep {
        name: step.name.clone().unwrap_or_else(|| format!("step {number}")),
        shell: step.shell,
        container: step.container.as_ref().map(|one| one.as_str()).or(container).map(str::to_owned),
        environment,
        script,
        timeout_seconds: step.timeout.as_ref().map(Span::seconds),
    }
}

/// A container of a plan. `environment` is its own and that of the patch.
pub(super) fn planned_container(
    one: &Container,
    patch: Option<&ContainerPatch>,
    image: String,
    environment: Environment,
) -> PlanContainer {
    let mut planned = PlanContainer {
        name: one.name.to_string(),
        image,
        requests: one.requests.clone(),
        limits: one.limits.clone(),
        environment,
        caches: one.caches.clone(),
        tools: one.tools.clone(),
    };
    if let Some(patch) = patch {
        patch_resources(&mut planned.requests, &patch.requests);
        patch_resources(&mut planned.limits, &patch.limits);
    }
    planned
}

/// The container, unless parameters are in it or something is wrong with it.
pub(super) fn made_container(
    one: &Container,
    patch: Option<&ContainerPatch>,
) -> Option<Arc<PlanContainer>> {
    let image = patch.and_then(|patch| patch.image.as_ref()).unwrap_or(&one.image);
    let mut environment = plain(&one.environment)?;
    if let Some(patch) = patch {
        environment.extend(plain(&patch.environment)?);
    }
    let is_made = is_plain(image) && is_image(image);
    is_made.then(|| Arc::new(planned_container(one, patch, image.clone(), environment)))
}

/// Whether a text is the same in every plan, and one that a plan may have.
fn is_plain(text: &str) -> bool {
    !has_placeholder(text)
        && text.len() <= MAX_VARIABLE
        && memchr::memchr(0, text.as_bytes()).is_none()
}

fn plain(all: &Environment) -> Option<Environment> {
    all.values().all(|text| is_plain(text)).then(|| all.clone())
}
