//! The operations of the service: the one list that routes, metrics and the OpenAPI document are
//! made of.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::{leases, routed, types};
use super::plans::{PlanAnswer, PlanQuery, SignedPlan};
use super::problem::Problem;
use super::sign::PublicKey;
use super::usage::{SizingRow, UsageAnswer, UsageReports};
use crate::plan::{PlanDocument, RunFacts};

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a caller must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Any token.
    Token,
    /// An access token with one of these scopes.
    Scope(&'static str),
    /// The token of a build.
    BuildToken,
    /// The token of a pod whose agent waits.
    PodToken,
    /// The token of a build, or an access token with this scope.
    Either(&'static str),
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Id.
    pub id: &'static str,
    /// Method.
    pub method: &'static str,
    /// Path, with parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What a caller must have.
    pub needs: Needs,
    /// Schema of the body.
    pub request: Option<SchemaOf>,
    /// Schema of the answer; none where it is text.
    pub answer: Option<SchemaOf>,
    /// Statuses of refusals.
    pub refusals: &'static [u16],
}

type Copies = std::collections::BTreeMap<String, crate::jobs::CopyState>;

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

macro_rules! operations {
    ($($id:ident $method:ident $path:literal, $needs:expr, $request:expr, $answer:expr,
        $refusals:expr, $summary:literal;)*) => {
        /// All of them.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            id: stringify!($id),
            method: stringify!($method),
            path: $path,
            summary: $summary,
            needs: $needs,
            request: $request,
            answer: $answer,
            refusals: $refusals,
        },)*];

        /// The operations by name, for the router.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "the names are the ids of the document")]
        pub enum OperationId { $(
            #[doc = $summary]
            $id,
        )* }

        impl OperationId {
            /// All, in the order of [`OPERATIONS`].
            pub const ALL: &'static [Self] = &[$(Self::$id,)*];
        }
    };
}

operations! {
    create_plan post "/v1/plans", Needs::Scope("plans:create or plans:preview"),
        Some(schema::<PlanQuery>), Some(schema::<PlanAnswer>), &[400, 401, 403, 409, 413, 422, 502, 504],
        "Makes the plan of a build, signed, or a preview. The same build gets the same plan again.";
    get_plan get "/v1/plans/{digest}", Needs::Scope("plans:read"),
        None, Some(schema::<PlanDocument>), &[401, 403, 404],
        "A plan that was made. The token of a build is good for its own plan, too.";
    evaluate_plan post "/v1/plans/{digest}/evaluate", Needs::BuildToken,
        Some(schema::<RunFacts>), Some(schema::<types::EvaluationAnswer>),
        &[400, 401, 403, 404, 413, 422],
        "Decides what the plan deferred, from facts of the running build. It is kept with the build.";
    add_events post "/v1/builds/{id}/events", Needs::BuildToken,
        Some(schema::<types::Events>), Some(schema::<types::EventsAnswer>),
        &[400, 401, 403, 404, 409, 413, 422],
        "Takes results of stages. An event that came before is not taken twice.";
    claim_build post "/v1/builds/{id}/claim", Needs::Either("plans:create for a build of the bridge"),
        Some(schema::<types::Claim>), Some(schema::<types::ClaimAnswer>), &[400, 401, 403, 404, 409, 413, 422],
        "Says who runs the build. The first one has it; another one is refused and runs nothing.";
    ask_lock post "/v1/builds/{id}/locks", Needs::BuildToken,
        Some(schema::<leases::StageQuery>), Some(schema::<leases::LockAnswer>), &[400, 401, 403, 404, 409, 413, 422],
        "Asks for the lock of a stage, over all masters, in the order of asking. Asked again it is renewed, and a build that waits keeps its place.";
    release_lock post "/v1/builds/{id}/locks/release", Needs::BuildToken,
        Some(schema::<leases::StageQuery>), Some(schema::<leases::Released>), &[400, 401, 403, 404, 413, 422],
        "Gives the lock of a stage back, or its place in the line. It ends with its stage and with its build, too.";
    pass_milestone post "/v1/builds/{id}/milestones", Needs::BuildToken,
        Some(schema::<leases::StageQuery>), Some(schema::<leases::MilestoneAnswer>), &[400, 401, 403, 404, 413, 422],
        "Passes the milestone of a stage: older builds of the job that have not are stopped. Refused where a newer one has passed it.";
    list_locks get "/v1/locks", Needs::Scope("builds:read"),
        None, Some(schema::<Vec<leases::Line>>), &[401, 403],
        "Locks with who holds them and who waits.";
    break_lock post "/v1/locks/release", Needs::Scope("builds:trigger"),
        Some(schema::<leases::BreakQuery>), Some(schema::<leases::Released>), &[400, 401, 403, 404, 413, 422],
        "Takes a lock from a build that is known to do nothing any more, for the next one.";
    get_build get "/v1/builds/{id}", Needs::Scope("builds:read"),
        None, Some(schema::<routed::AnyBuild>), &[401, 403, 404],
        "A build: of the bridge, or one that was given a plan, with its events and evaluations. The token of a build is good for its own.";
    get_catalog get "/v1/catalog", Needs::Scope("catalog:read"),
        None, Some(schema::<types::CatalogAnswer>), &[401, 403],
        "The catalog in use, and what is wrong with a newer one that could not be taken.";
    get_pipeline get "/v1/catalog/pipelines/{name}", Needs::Scope("catalog:read"),
        None, Some(schema::<types::PipelineAnswer>), &[401, 403, 404],
        "A pipeline template with the schema of its parameters.";
    get_stage get "/v1/catalog/stages/{name}", Needs::Scope("catalog:read"),
        None, Some(schema::<types::StageAnswer>), &[401, 403, 404],
        "All versions of a stage template, the newest first.";
    reload_catalog post "/v1/catalog/reload", Needs::Scope("catalog:reload"),
        None, Some(schema::<super::live::ReloadState>), &[401, 403],
        "Reads the catalog anew. A broken one is not taken.";
    take_node_out post "/v1/nodes/offline", Needs::Scope("nodes:drain"),
        Some(schema::<types::NodeQuery>), Some(schema::<types::NodeAnswer>),
        &[400, 401, 403, 404, 413, 502, 504],
        "Has the node of an agent take no more builds, because the agent goes away. Those that run go on.";
    bring_node_back post "/v1/nodes/online", Needs::Scope("nodes:drain"),
        Some(schema::<types::NodeQuery>), Some(schema::<types::NodeAnswer>),
        &[400, 401, 403, 404, 413, 502, 504],
        "Has a node take builds again that was taken out here. What a person took out stays out.";
    report_usage post "/v1/usage", Needs::Scope("usage:report"),
        Some(schema::<UsageReports>), Some(schema::<UsageAnswer>), &[400, 401, 403, 409, 413, 422],
        "Takes what stages used. Of several tries of a stage the largest peak counts.";
    get_sizing get "/v1/sizing", Needs::Scope("builds:read"),
        None, Some(schema::<Vec<SizingRow>>), &[401, 403],
        "What stages used, and what they should ask for.";
    get_masters get "/v1/masters", Needs::Scope("masters:read"),
        None, Some(schema::<Vec<types::MasterAnswer>>), &[401, 403],
        "The masters, and how each is.";
    save_master post "/v1/masters", Needs::Scope("masters:write"),
        Some(schema::<crate::masters::MasterDeclaration>), Some(schema::<types::MasterAnswer>),
        &[400, 401, 403, 409, 413, 422],
        "Declares a master, or changes what was declared of it here. Its token is named, not sent: `serve --master-tokens`.";
    remove_master post "/v1/masters/{name}/remove", Needs::Scope("masters:write"),
        None, Some(schema::<types::MasterAnswer>), &[401, 403, 404, 409],
        "Removes a master that was declared here and has no builds of the bridge. Nothing is changed at it.";
    check_master get "/v1/masters/{name}/check", Needs::Scope("masters:read"),
        None, Some(schema::<crate::masters::MasterCheck>), &[401, 403, 404, 502, 504],
        "What the user of the bridge may do at a master, and what it lacks for each degree of permission. Nothing is changed there.";
    drain_master post "/v1/masters/{name}/drain", Needs::Scope("masters:write"),
        Some(schema::<types::DrainQuery>), Some(schema::<types::MasterAnswer>), &[400, 401, 403, 404, 413],
        "Has a master get no new builds of the bridge, until it is given back. What waits there goes to others, what runs goes on.";
    resume_master post "/v1/masters/{name}/resume", Needs::Scope("masters:write"),
        None, Some(schema::<types::MasterAnswer>), &[401, 403, 404],
        "Has a master get builds again that was taken out.";
    get_labels get "/v1/labels", Needs::Scope("masters:read"),
        None, Some(schema::<Vec<crate::masters::LabelCover>>), &[401, 403],
        "The labels, and which masters can run builds of each. Fewer than two is an alert.";
    get_limits get "/v1/limits", Needs::Scope("masters:read"),
        None, Some(schema::<Vec<crate::route::LimitFill>>), &[401, 403],
        "The limits of labels, teams and clusters, and how full each is.";
    list_agents get "/v1/agents", Needs::Scope("masters:read"),
        None, Some(schema::<Vec<crate::agents::Agent>>), &[401, 403],
        "Agents on demand: those that wait, those that belong to a master, and those that have gone lately.";
    list_agent_pools get "/v1/agents/pools", Needs::Scope("masters:read"),
        None, Some(schema::<Vec<crate::agents::PoolSeen>>), &[401, 403],
        "Pools of agents on demand: the builds that wait for them, what their agents do, and why no more are started.";
    ask_as_standby post "/v1/agents/standby", Needs::PodToken,
        Some(schema::<types::StandbyQuery>), Some(schema::<types::StandbyAnswer>), &[400, 401, 413],
        "What an agent that waits is to do. It is answered when there is something, and after 20 s at the latest.";
    get_running get "/v1/running", Needs::Scope("builds:read"),
        None, Some(schema::<super::running::RunningList>), &[400, 401, 403],
        "What runs at masters that the bridge did not start; of `job`, at `master`. What masters said within the last five seconds.";
    save_job post "/v1/jobs", Needs::Scope("jobs:write"),
        Some(schema::<crate::jobs::JobSpec>), Some(schema::<routed::JobAnswer>), &[400, 401, 403, 413, 422],
        "Keeps a job. It is made on masters when it is kept in step, or with its first build there.";
    list_jobs get "/v1/jobs", Needs::Scope("jobs:read"),
        None, Some(schema::<Vec<routed::JobAnswer>>), &[401, 403],
        "The jobs, and how their copies on masters were when they were looked at last.";
    get_job get "/v1/jobs/{name}", Needs::Scope("jobs:read"),
        None, Some(schema::<routed::JobAnswer>), &[401, 403, 404],
        "A job. Slashes in its name are written %2F.";
    keep_job post "/v1/jobs/{name}/keep", Needs::Scope("jobs:write; a dry run: jobs:read"),
        Some(schema::<routed::KeepQuery>), Some(schema::<Copies>), &[400, 401, 403, 404, 413],
        "Looks at the copies of a job on masters; makes and mends them unless it is a dry run.";
    remove_job post "/v1/jobs/{name}/remove", Needs::Scope("jobs:write"),
        Some(schema::<routed::KeepQuery>), Some(schema::<Copies>), &[400, 401, 403, 404, 413],
        "Removes a job and its copies; says what it would remove if it is a dry run.";
    create_build post "/v1/builds", Needs::Scope("builds:trigger"),
        Some(schema::<routed::BuildOrder>), Some(schema::<routed::RoutedBuild>),
        &[400, 401, 403, 404, 413, 422],
        "Asks for a build, whatever master runs it. The same Idempotency-Key gives the same build.";
    list_builds get "/v1/builds", Needs::Scope("builds:read"),
        None, Some(schema::<Vec<routed::RoutedBuild>>), &[400, 401, 403],
        "The newest builds of the bridge; those of `job`, of `master`, with `number`, with `label`, in `state` (`live` for all that have not ended), with `result`, at most `limit`, asked for before `before_ms` and `before_id`.";
    stop_build post "/v1/builds/{id}/stop", Needs::Scope("builds:trigger"),
        None, Some(schema::<routed::RoutedBuild>), &[401, 403, 404, 409, 502, 504],
        "Stops a build of the bridge, wherever it is.";
    get_log get "/v1/builds/{id}/log", Needs::Scope("builds:read"),
        None, None, &[400, 401, 403, 404, 502, 504],
        "The log of a build of the bridge from the byte `offset` on, of the attempt `attempt`; with `follow=true` until its end.";
    take_hook post "/v1/hooks/{forge}", Needs::Nothing,
        None, Some(schema::<routed::HookAnswer>), &[400, 401, 404, 413, 503],
        "Takes a webhook of a forge that is declared: GitHub, GitLab or Gitea. It is signed, or has the token, of the forge's secret. The same one is taken once.";
    list_hooks get "/v1/hooks", Needs::Scope("jobs:read"),
        None, Some(schema::<Vec<routed::HookDelivery>>), &[401, 403],
        "The newest events that forges told, and what each job made of them.";
    get_audit get "/v1/audit", Needs::Scope("audit:read"),
        None, Some(schema::<Vec<super::store::AuditRow>>), &[400, 401, 403],
        "Who did what, the newest first; of `who`, at most `limit`, and older than `before_ms` and `before_id`.";
    get_outbox get "/v1/outbox", Needs::Scope("jobs:read"),
        None, Some(schema::<Vec<routed::Undelivered>>), &[401, 403],
        "Webhooks and statuses of commits that could not be delivered: those that are tried again, and those that were given up.";
    retry_outbox post "/v1/outbox/retry", Needs::Scope("jobs:write"),
        None, Some(schema::<routed::Retried>), &[401, 403],
        "Has all that could not be delivered be tried again now.";
    get_tests get "/v1/builds/{id}/tests", Needs::Scope("builds:read"),
        None, Some(schema::<crate::rest::TestReport>), &[401, 403, 404, 502, 504],
        "Test results of a build of the bridge, from the archive or from its master.";
    get_artifacts get "/v1/builds/{id}/artifacts", Needs::Scope("builds:read"),
        None, Some(schema::<routed::ArtifactList>), &[401, 403, 404, 502, 504],
        "The artefacts of a build of the bridge, from the archive or from its master.";
    get_artifact get "/v1/builds/{id}/artifacts/{number}", Needs::Scope("builds:read"),
        None, None, &[400, 401, 403, 404],
        "An artefact that is archived, by its place in the list from 0, as bytes.";
    get_keys get "/v1/keys", Needs::Token,
        None, Some(schema::<Vec<PublicKey>>), &[401],
        "The public keys that plans are signed by.";
    get_openapi get "/v1/openapi.json", Needs::Token, None, Some(schema::<Value>), &[401],
        "This document.";
    get_health get "/healthz", Needs::Nothing, None, Some(schema::<types::Health>), &[503],
        "Whether the service can do its work.";
    get_metrics get "/metrics", Needs::Scope("metrics:read"), None, None, &[401, 403],
        "Counters and gauges in the text format of Prometheus. Of jobs only their labels are in them, and nothing of parameters.";
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    // Nothing refers to what is inside the envelopes, and a shim needs to know it.
    generator.subschema_for::<SignedPlan>();
    generator.subschema_for::<types::SignedEvaluation>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = describe(operation, &problem, &mut generator);
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pilotfish bridge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Plans for builds, and what builds report back.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "access": {"type": "http", "scheme": "bearer",
                    "description": "A token of the file of tokens; `pfb_` and 43 characters."},
                "pod": {"type": "http", "scheme": "bearer",
                    "description": "The token that a pod was made with, or that of its service account."},
                "build": {"type": "http", "scheme": "bearer",
                    "description": "The token that came with the plan of a build."},
            },
        },
    })
}

fn describe(operation: &Operation, problem: &Schema, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let good = match operation.answer {
        Some(schema) => json!({
            "description": "Done.",
            "content": {"application/json": {"schema": schema(generator)}},
        }),
        None => json!({
            "description": "Done.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }),
    };
    responses.insert("200".to_owned(), good);
    // Whoever has a token has a rate, and any request may meet a busy database.
    let always: &[u16] = if operation.needs == Needs::Nothing { &[] } else { &[429, 503] };
    for status in operation.refusals.iter().chain(always) {
        responses.insert(
            status.to_string(),
            json!({
                "description": match *status {
                    429 => "Too many requests with this token; `Retry-After` says when to go on.",
                    503 => "Not now; `Retry-After` says when to try again.",
                    _ => "Refused; the body says why.",
                },
                "content": {"application/problem+json": {"schema": problem}},
            }),
        );
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    });
    let (security, note) = match operation.needs {
        Needs::Nothing => (json!([]), None),
        Needs::Token => {
            (json!([{"access": []}, {"build": []}]), Some("Needs any token.".to_owned()))
        }
        Needs::Scope(scopes) => {
            (json!([{"access": []}]), Some(format!("Needs the scope {scopes}.")))
        }
        Needs::Either(scope) => (
            json!([{"build": []}, {"access": []}]),
            Some(format!("Needs the token of the build, or the scope {scope}.")),
        ),
        Needs::PodToken => {
            (json!([{"pod": []}]), Some("Needs the token of the agent's own pod.".to_owned()))
        }
        Needs::BuildToken => {
            (json!([{"build": []}]), Some("Needs the token of the build.".to_owned()))
        }
    };
    described["security"] = security;
    if let Some(note) = note {
        described["description"] = Value::from(note);
    }
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if let Some(schema) = operation.request {
        described["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schema(generator)}},
        });
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A new one for each request; the same one for each further try of it.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }));
    }
    if !parameters.is_empty() {
        described["parameters"] = Value::from(parameters);
    }
    described
}
