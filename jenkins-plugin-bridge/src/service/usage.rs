//! What stages used: taken from agents, and what follows for their requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Caller, Scope};
use super::problem::Problem;
use super::state::Service;
use super::store::{Store, StoreError, UsageRow};
use crate::pod::Profile;
use crate::pod::sizing::{Recommended, Sample, Sizes, SizingSettings, percentile_95};

/// The most reports of one request.
const REPORTS: usize = 1_000;
/// The most characters of a name.
const NAME_CHARACTERS: usize = 253;
/// The most seconds that a report may speak of: a year.
const SECONDS: f64 = 366.0 * 24.0 * 3600.0;
/// The most builds of a stage that count for a recommendation: what was long ago is no guide.
const BUILDS: usize = 200;

/// What stages used.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageReports {
    /// One for each stage and container.
    #[schemars(length(min = 1, max = 1000))]
    pub reports: Vec<UsageReport>,
}

/// What a stage used in a container.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageReport {
    /// Id of the build (`PILOTFISH_BUILD`).
    pub build: String,
    /// Id of the stage (`PILOTFISH_STAGE`).
    pub stage: String,
    /// Name of the container in the pod.
    pub container: String,
    /// How long its processes ran.
    pub seconds: f64,
    /// Time of processors.
    pub cpu_seconds: f64,
    /// The most memory.
    pub peak_memory_bytes: u64,
    /// Other stages ran in the container at the same time: whose it was is not known.
    pub shared: bool,
}

/// What became of reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UsageAnswer {
    /// How many came in.
    pub received: usize,
    /// How many were kept. Others speak of builds or stages that are not known here.
    pub kept: usize,
}

/// What a stage of a job used, and what it should ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SizingRow {
    /// Name of the controller.
    pub controller: String,
    /// Full name of the job.
    pub job: String,
    /// Id of the stage.
    pub stage: String,
    /// Name of the container in the pod.
    pub container: String,
    /// Builds that count: the last 200 in which the stage had the container for itself.
    pub builds: usize,
    /// The memory that 95 of 100 builds did not exceed, in bytes.
    pub p95_memory_bytes: u64,
    /// What it should ask for; nothing while there are too few builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Recommended>,
}

/// Takes reports.
///
/// # Errors
/// A [`Problem`].
pub(super) async fn take(
    service: &Service,
    caller: &Caller,
    reports: &UsageReports,
) -> Result<UsageAnswer, Problem> {
    let own = caller.access(Scope::UsageReport)?.controller.as_deref();
    let all = &reports.reports;
    if all.is_empty() || all.len() > REPORTS {
        return Err(Problem::malformed(format!("send 1 to {REPORTS} reports")));
    }
    for (index, one) in all.iter().enumerate() {
        let named = [&one.build, &one.stage, &one.container];
        let fits = |name: &&String| (1..=NAME_CHARACTERS).contains(&name.chars().count());
        let times = [one.seconds, one.cpu_seconds];
        if !named.iter().all(fits) || !times.iter().all(|it| (0.0..=SECONDS).contains(it)) {
            return Err(Problem::malformed(format!(
                "report {index}: names have 1 to {NAME_CHARACTERS} characters, times are seconds up to a year"
            )));
        }
    }
    let mut stages: HashMap<&str, Option<BTreeSet<String>>> = HashMap::new();
    let mut kept = 0;
    for one in all {
        let known = match stages.get(one.build.as_str()) {
            Some(known) => known.clone(),
            None => {
                let found = stages_of(service, &one.build, own).await?;
                stages.insert(&one.build, found.clone());
                found
            }
        };
        if !known.is_some_and(|stages| stages.contains(&one.stage)) {
            continue;
        }
        let row = UsageRow {
            build: one.build.clone(),
            stage: one.stage.clone(),
            container: one.container.clone(),
            sample: Sample {
                wall_ms: millis(one.seconds),
                cpu_ms: millis(one.cpu_seconds),
                peak_bytes: one.peak_memory_bytes,
            },
            shared: one.shared,
        };
        kept += usize::from(service.store.save_usage(&row, service.now_signed()).await?);
    }
    Ok(UsageAnswer { received: all.len(), kept })
}

/// Ids of the stages of a build, where it is one of this controller.
async fn stages_of(
    service: &Service,
    build: &str,
    own: Option<&str>,
) -> Result<Option<BTreeSet<String>>, Problem> {
    let Some(row) = service.store.build(build).await? else { return Ok(None) };
    if own.is_some_and(|own| own != row.controller) {
        return Ok(None);
    }
    let plan = service.plan(&row.digest).await?;
    Ok(plan.map(|plan| plan.plan.nodes().into_iter().map(|node| node.id().to_owned()).collect()))
}

/// Seconds that were checked, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded and not negative"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

/// What stages used and should ask for, by job, stage and container.
///
/// # Errors
/// [`StoreError`].
pub async fn sizing(
    store: &Store,
    settings: &SizingSettings,
    of: Option<(&str, &str)>,
) -> Result<Vec<SizingRow>, StoreError> {
    type Key = (String, String, String, String);
    let mut all: BTreeMap<Key, Vec<Sample>> = BTreeMap::new();
    for row in store.used(of).await? {
        let samples = all.entry((row.controller, row.job, row.stage, row.container)).or_default();
        if samples.len() < BUILDS {
            samples.push(row.sample);
        }
    }
    let rows = all.into_iter().map(|((controller, job, stage, container), samples)| SizingRow {
        controller,
        job,
        stage,
        container,
        builds: samples.len(),
        p95_memory_bytes: percentile_95(samples.iter().map(|one| one.peak_bytes).collect()),
        recommended: settings.recommend(&samples),
    });
    Ok(rows.collect())
}

/// What the stages of a job ask for in its pods, where the profile says so.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn sizes_of(
    service: &Service,
    profile: &Profile,
    controller: &str,
    job: &str,
) -> Result<Sizes, StoreError> {
    if !profile.sizing.apply {
        return Ok(Sizes::new());
    }
    let rows = sizing(&service.store, &profile.sizing, Some((controller, job))).await?;
    let sized = rows
        .into_iter()
        .filter_map(|row| Some((format!("{}/{}", row.stage, row.container), row.recommended?)));
    Ok(sized.collect())
}
