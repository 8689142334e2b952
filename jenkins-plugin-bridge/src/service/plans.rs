//! From a request to a plan: who may ask for it, what is known of the build, what comes back.

mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use serde_json::{Value, json};

use super::auth::{BuildClaims, Caller, Scope};
use super::live::Loaded;
use super::made::Made;
use super::pods;
use super::problem::Problem;
use super::sign::PLAN_TYPE;
use super::state::{Service, StoredPlan};
use super::store::BuildRow;
use crate::agents::Wanted;
use crate::canonical::to_canonical_json;
use crate::catalog::model::{Identifier, JobRecord, Level, PlanFacts};
use crate::error::BridgeError;
use crate::jobs::JobSpec;
use crate::plan::binding::{bind, override_layer};
use crate::plan::{PlanRequest, Selection};
use crate::rest::JobName;

pub use types::{BindingReport, BuildGrant, BuildPod, PlanAnswer, PlanQuery, SignedPlan};

/// Format of what is signed.
const SIGNED_FORMAT: &str = "pilotfish/signed-plan/v1";
/// The most characters of a name.
const NAME_CHARACTERS: usize = 1_000;

/// What a query asks for, checked.
enum Asked {
    Build { job: JobRecord, number: i64, started_ms: i64 },
    Job { job: JobRecord },
    Pipeline { name: String },
}

/// Answers a query.
///
/// # Errors
/// [`Problem`].
pub async fn answer(
    service: &Service,
    caller: &Caller,
    query: PlanQuery,
) -> Result<PlanAnswer, Problem> {
    let asked = check(service, caller, &query).await?;
    if let (Asked::Build { job, number, started_ms }, Some(digest)) = (&asked, &query.digest) {
        let plan = started_for(service, job, digest).await?;
        return grant(service, Ok((plan, None)), job, *number, *started_ms).await;
    }
    let made = make(service, &asked, &query);
    if made.is_err() {
        service.metrics.refused.fetch_add(1, Relaxed);
    }
    match asked {
        Asked::Build { job, number, started_ms } => {
            grant(service, made, &job, number, started_ms).await
        }
        Asked::Job { .. } | Asked::Pipeline { .. } => {
            let (plan, binding) = made?;
            let controller = plan.plan.job.as_ref().map_or("", |job| &job.controller);
            if !service.is_known(&plan.digest) {
                let now = service.now_signed();
                service.store.save_plan(&plan.digest, controller, &plan.text, now).await?;
                service.remember(Arc::clone(&plan));
            }
            Ok(PlanAnswer {
                digest: plan.digest.clone(),
                binding,
                build: None,
                signed: None,
                plan: Some(plan.plan.clone()),
            })
        }
    }
}

/// A token that is bound to a controller speaks for that one only.
fn of_controller(caller: &Caller, scope: Scope, controller: &str) -> Result<(), Problem> {
    match &caller.access(scope)?.controller {
        Some(own) if own != controller => Err(Problem::forbidden(format!(
            "this token is for the controller {own}; it was used for another one"
        ))),
        _ => Ok(()),
    }
}

async fn check(service: &Service, caller: &Caller, query: &PlanQuery) -> Result<Asked, Problem> {
    let names = [&query.controller, &query.job, &query.pipeline, &query.team];
    if names.into_iter().flatten().any(|name| name.chars().count() > NAME_CHARACTERS) {
        return Err(Problem::malformed(format!(
            "a name has more than {NAME_CHARACTERS} characters"
        )));
    }
    match (&query.controller, &query.job, &query.pipeline) {
        (None, None, Some(name)) => {
            caller.access(Scope::PlansPreview)?;
            if query.build.is_some() {
                return Err(Problem::malformed("`build` needs `controller` and `job`"));
            }
            Ok(Asked::Pipeline { name: name.clone() })
        }
        (Some(controller), Some(job), None) => {
            let name =
                JobName::parse(job).map_err(|error| Problem::malformed(error.to_string()))?;
            let Some(number) = query.build else {
                of_controller(caller, Scope::PlansPreview, controller)?;
                let job = record(query, controller, &name, query.parameters.clone());
                return Ok(Asked::Job { job });
            };
            of_controller(caller, Scope::PlansCreate, controller)?;
            let job = match (&query.parameters, &query.digest) {
                (given, Some(_)) => record(query, controller, &name, given.clone()),
                (Some(given), None) => record(query, controller, &name, Some(given.clone())),
                (None, None) => read(service, query, controller, &name, number).await?,
            };
            let started_ms = i64::try_from(query.started_ms.unwrap_or(0))
                .map_err(|_| Problem::malformed("`started_ms` is too large"))?;
            Ok(Asked::Build { job, number: i64::from(number), started_ms })
        }
        _ => Err(Problem::malformed(
            "give either `controller` and `job` (and `build`), or `pipeline`",
        )),
    }
}

fn record(
    query: &PlanQuery,
    controller: &str,
    job: &JobName,
    parameters: Option<BTreeMap<String, Value>>,
) -> JobRecord {
    JobRecord {
        controller: controller.to_owned(),
        job: job.as_str().to_owned(),
        labels: query.labels.clone(),
        parameters: parameters.unwrap_or_default(),
        facts: query.facts.clone(),
    }
}

/// Reads the parameters of a running build from its controller.
async fn read(
    service: &Service,
    query: &PlanQuery,
    controller: &str,
    job: &JobName,
    number: u32,
) -> Result<JobRecord, Problem> {
    let client = service.controller(controller).ok_or_else(|| {
        Problem::malformed(format!(
            "`parameters` are missing, and this service may not read the controller {controller}; \
             send them, or add it to the file of controllers"
        ))
    })?;
    let build = client.build(job, u64::from(number)).await?;
    let mut record = build.record(controller, query.labels.clone(), None);
    let cause = record.facts.cause.take();
    record.facts = query.facts.clone();
    record.facts.cause = record.facts.cause.or(cause);
    Ok(record)
}

/// The plan that a build was started for. A plan of another job is not there for it.
async fn started_for(
    service: &Service,
    job: &JobRecord,
    digest: &str,
) -> Result<Arc<StoredPlan>, Problem> {
    let plan = service.plan(digest).await?.ok_or_else(|| Problem::missing("plan"))?;
    let own = |of: &crate::plan::JobName| of.controller == job.controller && of.name == job.job;
    if plan.plan.job.as_ref().is_some_and(own) { Ok(plan) } else { Err(Problem::missing("plan")) }
}

/// Everything that an answer depends on beside the catalog. The number of the build is not in it.
#[derive(Serialize)]
struct Question<'q> {
    job: Option<&'q JobRecord>,
    pipeline: Option<&'q str>,
    team: Option<&'q str>,
    parameters: Option<&'q BTreeMap<String, Value>>,
    facts: Option<&'q PlanFacts>,
    overrides: &'q BTreeMap<String, Value>,
}

/// The digest of a question: its text may be as long as a request.
fn question(asked: &Asked, query: &PlanQuery) -> Option<String> {
    let overrides = &query.overrides;
    let question = match asked {
        Asked::Build { job, .. } | Asked::Job { job } => Question {
            job: Some(job),
            pipeline: None,
            team: None,
            parameters: None,
            facts: None,
            overrides,
        },
        Asked::Pipeline { name } => Question {
            job: None,
            pipeline: Some(name),
            team: query.team.as_deref(),
            parameters: query.parameters.as_ref(),
            facts: Some(&query.facts),
            overrides,
        },
    };
    to_canonical_json(&question).ok().map(|text| crate::plan::digest_of(&text))
}

/// The plan of a question: one that was made of the same catalog before, or a new one.
fn make(service: &Service, asked: &Asked, query: &PlanQuery) -> Result<Made, BridgeError> {
    let loaded = service.catalog.current();
    let question = question(asked, query);
    if let Some(made) = question.as_deref().and_then(|question| loaded.made.get(question)) {
        service.metrics.found.fetch_add(1, Relaxed);
        return Ok(made);
    }
    let made = make_anew(service, &loaded, asked, query)?;
    if let Some(question) = question {
        loaded.made.keep(question, made.clone());
    }
    Ok(made)
}

fn make_anew(
    service: &Service,
    loaded: &Loaded,
    asked: &Asked,
    query: &PlanQuery,
) -> Result<Made, BridgeError> {
    let started = Instant::now();
    let (plan, binding) = match asked {
        Asked::Build { job, .. } | Asked::Job { job } => {
            let binding = bind(&loaded.catalog, job)?;
            let selection = Selection {
                team: binding.rule.team.as_ref().map(Identifier::as_str),
                job: Some(job),
                overrides: override_layer(Some(binding.rule), &query.overrides)?,
            };
            let plan = loaded.prepared(binding.rule.pipeline.as_str(), &selection)?.plan(
                &PlanRequest {
                    parameters: binding.parameters,
                    read_text: true,
                    facts: job.facts.clone(),
                    job: Some((job.controller.clone(), job.job.clone())),
                    rule: Some(binding.rule.name.to_string()),
                },
            )?;
            let report = BindingReport {
                rule: binding.rule.name.to_string(),
                unmapped: binding.unmapped,
                origins: binding.origins,
            };
            (plan, Some(report))
        }
        Asked::Pipeline { name } => {
            let selection = Selection {
                team: query.team.as_deref(),
                job: None,
                overrides: override_layer(None, &query.overrides)?,
            };
            let plan = loaded.prepared(name, &selection)?.plan(&PlanRequest {
                parameters: query.parameters.clone().unwrap_or_default(),
                read_text: true,
                facts: query.facts.clone(),
                job: None,
                rule: None,
            })?;
            (plan, None)
        }
    };
    let text = plan.canonical();
    let digest = crate::plan::digest_of(&text);
    service.metrics.planned(started.elapsed());
    let controller = plan.job.as_ref().map_or(String::new(), |job| job.controller.clone());
    let plan = StoredPlan { digest, controller, text, plan };
    Ok((Arc::new(plan), binding))
}

/// Gives a build its plan. A build that has one keeps it: a controller that restarts in the middle
/// of a build asks again, and must go on with the stages that it began with.
async fn grant(
    service: &Service,
    made: Result<Made, BridgeError>,
    job: &JobRecord,
    number: i64,
    started_ms: i64,
) -> Result<PlanAnswer, Problem> {
    let (made, binding) = match made {
        Ok((plan, binding)) => (Some(plan), binding),
        Err(error) => {
            let known =
                service.store.find_build(&job.controller, &job.job, number, started_ms).await?;
            let Some(known) = known else { return Err(error.into()) };
            return signed_again(service, known, None, None).await;
        }
    };
    let Some(made) = made else { return Err(Problem::missing("plan")) };
    let row = BuildRow {
        id: new_token("b-")?,
        controller: job.controller.clone(),
        job: job.job.clone(),
        number,
        started_ms,
        digest: made.digest.clone(),
        created_at: service.now_signed(),
    };
    // A build that the cluster cannot have is refused before it is one.
    let pod = pods::of_build(service, &row, &made.plan).await?;
    let body = (!service.is_known(&made.digest)).then(|| Arc::clone(&made));
    let kept = service.store.save_build(&row, body).await?;
    service.remember(Arc::clone(&made));
    if kept.id == row.id {
        service.metrics.builds.fetch_add(1, Relaxed);
        wish_agent(service, &kept).await?;
        return signed(service, kept, &made, pod, binding, false);
    }
    // What says how the plan came about is true of this plan only.
    let same = kept.digest == made.digest;
    signed_again(service, kept, same.then_some(made), binding.filter(|_| same)).await
}

/// The answer to a build that has its plan, and keeps it.
async fn signed_again(
    service: &Service,
    row: BuildRow,
    plan: Option<Arc<StoredPlan>>,
    binding: Option<BindingReport>,
) -> Result<PlanAnswer, Problem> {
    let plan = match plan {
        Some(plan) => plan,
        None => service.plan(&row.digest).await?.ok_or_else(|| Problem::missing("plan"))?,
    };
    let pod = pods::of_build(service, &row, &plan.plan).await?;
    wish_agent(service, &row).await?;
    signed(service, row, &plan, pod, binding, true)
}

/// The agent that a build is to have, where it gets one on demand.
fn own_agent(service: &Service, row: &BuildRow) -> Option<Wanted> {
    service.agents.setup()?.own_agent(&row.controller, &row.id)
}

/// Has the build get an agent on demand. A build that got no answer asks again, and one that has had its
/// agent is known by that.
async fn wish_agent(service: &Service, row: &BuildRow) -> Result<(), Problem> {
    let Some(wish) = own_agent(service, row) else { return Ok(()) };
    service.store.wish_agent(&wish, service.now_ms()).await?;
    service.agents.wake.notify_one();
    Ok(())
}

fn signed(
    service: &Service,
    row: BuildRow,
    plan: &StoredPlan,
    pod: Option<BuildPod>,
    binding: Option<BindingReport>,
    is_known: bool,
) -> Result<PlanAnswer, Problem> {
    let issued_at = service.now();
    let expires_at = issued_at + service.options.plan_lifetime.as_secs();
    let claims = BuildClaims { build: row.id.clone(), digest: row.digest.clone(), expires_at };
    let token = service
        .build_tokens
        .make(&claims)
        .ok_or_else(|| Problem::unavailable("no token can be made"))?;
    // The plan is put in as the text that the digest is of: it is not written anew for each build.
    let mut payload = json!({
        "build": row.id, "controller": row.controller, "digest": row.digest,
        "expires_at": expires_at, "format": SIGNED_FORMAT, "issued_at": issued_at,
        "job": row.job, "number": row.number,
    });
    if let Some(wish) = own_agent(service, &row) {
        payload["label"] = Value::from(wish.label);
    }
    let mut payload = payload.to_string();
    payload.pop();
    payload.push_str(",\"plan\":");
    payload.push_str(&plan.text);
    if let Some(pod) = pod {
        let pod = to_canonical_json(&pod).map_err(|error| Problem::internal(&error))?;
        payload.push_str(",\"pod\":");
        payload.push_str(&pod);
    }
    payload.push('}');
    Ok(PlanAnswer {
        digest: row.digest,
        binding,
        build: Some(BuildGrant { id: row.id, token, expires_at, is_known }),
        signed: Some(service.keys.sign(PLAN_TYPE, payload.as_bytes())),
        plan: None,
    })
}

/// A name that is hard to guess: this beginning and 22 characters.
pub(crate) fn new_token(prefix: &str) -> Result<String, Problem> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Problem::unavailable("the system has no randomness"))?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

impl Service {
    /// The plan of a build of the bridge at one of the masters. It is kept, so that the build finds it by
    /// its digest.
    ///
    /// # Errors
    /// [`Problem`]: what is wrong with the parameters, or with the catalog.
    pub async fn plan_of_job(
        &self,
        controller: &str,
        job: &JobSpec,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<StoredPlan>, Problem> {
        let plan = self.drafted_plan(controller, job, parameters)?;
        if !self.is_known(&plan.digest) {
            let now = self.now_signed();
            self.store.save_plan(&plan.digest, controller, &plan.text, now).await?;
            self.remember(Arc::clone(&plan));
        }
        Ok(plan)
    }

    /// The same without keeping it: what a build needs is asked before it is known where it runs.
    ///
    /// # Errors
    /// [`Problem`], as [`Self::plan_of_job`].
    pub fn drafted_plan(
        &self,
        controller: &str,
        job: &JobSpec,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<StoredPlan>, Problem> {
        let parameters: BTreeMap<String, Value> = parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect();
        let loaded = self.catalog.current();
        // A team shares masters fairly whether or not the catalog has layers for it.
        let has_layer = |team: &&str| {
            let mut layers = loaded.catalog.layers.iter().map(|one| &one.value);
            layers.any(|one| one.level == Level::Team && one.name.as_str() == *team)
        };
        let team = job.team.as_ref().map(Identifier::as_str).filter(has_layer);
        let pipeline = job.pipeline.as_str();
        let asked = (controller, &job.name, pipeline, team, &parameters);
        let question = to_canonical_json(&asked).ok().map(|text| crate::plan::digest_of(&text));
        let known = question.as_deref().and_then(|question| loaded.made.get(question));
        Ok(match known {
            Some((plan, _)) => plan,
            None => {
                let record = JobRecord {
                    controller: controller.to_owned(),
                    job: job.name.clone(),
                    labels: job.labels.iter().map(|label| label.0.clone()).collect(),
                    parameters: parameters.clone(),
                    facts: PlanFacts::default(),
                };
                let selection = Selection { team, job: Some(&record), ..Selection::default() };
                let plan = loaded.prepared(pipeline, &selection)?.plan(&PlanRequest {
                    parameters,
                    read_text: true,
                    facts: PlanFacts::default(),
                    job: Some((controller.to_owned(), job.name.clone())),
                    rule: None,
                })?;
                let text = plan.canonical();
                let digest = crate::plan::digest_of(&text);
                let controller = controller.to_owned();
                let plan = Arc::new(StoredPlan { digest, controller, text, plan });
                if let Some(question) = question {
                    loaded.made.keep(question, (Arc::clone(&plan), None));
                }
                plan
            }
        })
    }
}
