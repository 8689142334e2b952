//! The pod of an agent that waits: one container, which runs `pilotfish-agent standby`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, Pod, ProjectedVolumeSource, SecretVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};

use super::{PodRequest, Profile, render};
use crate::catalog::model::PlanFacts;
use crate::error::BridgeError;
use crate::plan::{Plan, PlanFormat, PlanPost};

/// Where the pod finds its token.
const TOKEN_DIRECTORY: &str = "/run/pilotfish/standby";
/// The file in it.
pub(crate) const TOKEN_FILE: &str = "token";
/// Name of the volume.
const TOKEN_VOLUME: &str = "standby-token";
/// Seconds that the token of a service account holds; the kubelet renews it in time.
const TOKEN_SECONDS: i64 = 3600;
/// The value of `app.kubernetes.io/name`.
const NAME: &str = "pilotfish-agent";
/// The label with the owner.
pub(crate) const OWNER: &str = "pilotfish.io/agents-of";
/// The label with the pool.
pub(crate) const POOL: &str = "pilotfish.io/pool";
/// The annotation with the id of the agent.
pub(crate) const AGENT_ID: &str = "pilotfish.io/agent-id";

/// How the pod gets its token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TokenSource<'a> {
    /// From the Secret of this name.
    Secret(&'a str),
    /// From its service account, for this audience.
    ServiceAccount(&'a str),
}

/// The pod of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgentPod<'a> {
    /// What its cluster gives.
    pub profile: &'a Profile,
    /// Its name.
    pub name: &'a str,
    /// Id of the agent.
    pub id: &'a str,
    /// Whose it is.
    pub owner: &'a str,
    /// Name of its pool.
    pub pool: &'a str,
    /// Where it finds the bridge.
    pub bridge: &'a str,
    /// Seconds that it lives at most.
    pub life_seconds: u64,
    /// How it gets its token.
    pub token: TokenSource<'a>,
}

fn empty_plan(pool: &str) -> Plan {
    Plan {
        format: PlanFormat::V1,
        catalog: "agents".to_owned(),
        pipeline: pool.to_owned(),
        version: "1.0.0".to_owned(),
        layers: Vec::new(),
        rule: None,
        job: None,
        parameters: BTreeMap::new(),
        facts: PlanFacts::default(),
        needs: Vec::new(),
        timeout_seconds: None,
        stages: Vec::new(),
        post: PlanPost::default(),
    }
}

impl AgentPod<'_> {
    /// The pod.
    ///
    /// # Errors
    /// [`BridgeError::Plan`] with every reason why the profile cannot give it.
    pub fn render(&self) -> Result<Pod, BridgeError> {
        // The pod of a plan without stages has the agent and nothing else.
        let plan = empty_plan(self.pool);
        let mut pod = render(&PodRequest {
            plan: &plan,
            digest: "",
            profile: self.profile,
            build: self.id,
            id: None,
            agent: None,
            sizes: None,
            through_plugin: true,
            runner: None,
        })?
        .pod;
        pod.metadata.name = Some(self.name.to_owned());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.remove("pilotfish.io/build");
        labels.remove("pilotfish.io/pipeline");
        labels.insert("app.kubernetes.io/name".to_owned(), NAME.to_owned());
        labels.insert(OWNER.to_owned(), self.owner.to_owned());
        labels.insert(POOL.to_owned(), super::label(self.pool, 63));
        let annotations = pod.metadata.annotations.get_or_insert_default();
        for name in ["pilotfish.io/build", "pilotfish.io/plan", "pilotfish.io/containers"] {
            annotations.remove(name);
        }
        annotations.insert(AGENT_ID.to_owned(), self.id.to_owned());
        let Some(spec) = &mut pod.spec else { return Ok(pod) };
        spec.active_deadline_seconds = Some(i64::try_from(self.life_seconds).unwrap_or(i64::MAX));
        // Nothing needs its program but itself.
        spec.init_containers = None;
        for spread in spec.topology_spread_constraints.iter_mut().flatten() {
            let selector = spread.label_selector.get_or_insert_default();
            let own = ("app.kubernetes.io/name".to_owned(), NAME.to_owned());
            selector.match_labels = Some(BTreeMap::from([own]));
        }
        spec.volumes.get_or_insert_default().push(self.volume());
        for container in spec.containers.iter_mut().filter(|one| one.name == super::AGENT) {
            container.command = Some(vec![super::PROGRAM_SOURCE.to_owned(), "standby".to_owned()]);
            let variables = container.env.get_or_insert_default();
            variables.retain(|one| one.name != "PILOTFISH_BUILD");
            let token = format!("{TOKEN_DIRECTORY}/{TOKEN_FILE}");
            for (name, value) in [
                ("PILOTFISH_STANDBY_URL", self.bridge),
                ("PILOTFISH_STANDBY_ID", self.id),
                ("PILOTFISH_STANDBY_TOKEN_FILE", &token),
            ] {
                variables.push(EnvVar {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                    value_from: None,
                });
            }
            container.volume_mounts.get_or_insert_default().push(VolumeMount {
                name: TOKEN_VOLUME.to_owned(),
                mount_path: TOKEN_DIRECTORY.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
        }
        Ok(pod)
    }

    fn volume(&self) -> Volume {
        // The group of the pod reads it.
        let mode = Some(0o440);
        let mut volume = Volume { name: TOKEN_VOLUME.to_owned(), ..Volume::default() };
        match self.token {
            TokenSource::Secret(name) => {
                volume.secret = Some(SecretVolumeSource {
                    default_mode: mode,
                    secret_name: Some(name.to_owned()),
                    ..SecretVolumeSource::default()
                });
            }
            TokenSource::ServiceAccount(audience) => {
                let token = ServiceAccountTokenProjection {
                    audience: Some(audience.to_owned()),
                    expiration_seconds: Some(TOKEN_SECONDS),
                    path: TOKEN_FILE.to_owned(),
                };
                volume.projected = Some(ProjectedVolumeSource {
                    default_mode: mode,
                    sources: Some(vec![VolumeProjection {
                        service_account_token: Some(token),
                        ..VolumeProjection::default()
                    }]),
                });
            }
        }
        volume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_of_an_agent_that_waits() {
        let profile = Profile::default();
        let mut one = AgentPod {
            profile: &profile,
            name: "pilotfish-linux-0123456789abcdef",
            id: "0123456789abcdef",
            owner: "pilotfish",
            pool: "linux",
            bridge: "https://bridge.example.com",
            life_seconds: 3600,
            token: TokenSource::Secret("pilotfish-linux-0123456789abcdef"),
        };
        insta::assert_snapshot!(super::super::yaml::document(
            &serde_json::to_value(one.render().unwrap()).unwrap()
        ));
        one.token = TokenSource::ServiceAccount("pilotfish-bridge");
        let pod = one.render().unwrap();
        let volume = pod.spec.unwrap().volumes.unwrap().pop().unwrap();
        let token = volume.projected.unwrap().sources.unwrap().pop().unwrap();
        assert_eq!(token.service_account_token.unwrap().audience.unwrap(), "pilotfish-bridge");
    }
}
