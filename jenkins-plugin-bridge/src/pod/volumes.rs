//! The volumes of a pod and where its containers see them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EphemeralVolumeSource, HostPathVolumeSource, KeyToPath,
    PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, PersistentVolumeClaimVolumeSource,
    SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::PodRequest;
use super::containers::{Contained, Containers, Role, label};
use super::flavour::Traits;
use super::profile::{Profile, Storage, StorageType};
use super::security::Builder;

/// Home directory of the agent's image, and of all containers.
pub(super) const HOME: &str = "/home/jenkins";
/// The workspace, the same path in all containers: the work directory of the agent.
pub(crate) const WORKSPACE: &str = "/home/jenkins/agent";
/// Everything of ours in a container.
const OWN: &str = "/run/pilotfish";
/// Where the program of the agent is.
pub(super) const PROGRAMS: &str = "/run/pilotfish/bin";
/// Where the sockets of the exec servers are, a directory for each container.
pub(crate) const SOCKETS: &str = "/run/pilotfish/exec";
/// Where the credentials of the registry are, as `DOCKER_CONFIG` wants them.
pub(super) const REGISTRY: &str = "/run/pilotfish/registry";
/// Where this program is in a pod that executes its plan by itself.
pub(super) const RUNNER: &str = "/run/pilotfish/runner";
/// Where the plan of such a pod is, and the secrets of its stages. Only what executes it sees them.
pub(super) const HANDOVER: &str = "/run/pilotfish/plan";
/// Where the secret of the agent is.
pub(super) const AGENT_SECRET: &str = "/run/pilotfish/agent";
/// Not `workspace-volume`: the kubernetes plugin has an empty directory of that name in every pod
/// that it makes, and its own wins (`PodTemplateUtils.combineVolumes`). It mounts that only where
/// nothing is at the working directory (`DefaultWorkspaceVolume`), and ours is.
const WORKSPACE_VOLUME: &str = "pilotfish-workspace";
const PROGRAM_VOLUME: &str = "pilotfish-bin";
const SOCKET_VOLUME: &str = "pilotfish-exec";
const HOME_VOLUME: &str = "pilotfish-home";
const REGISTRY_VOLUME: &str = "pilotfish-registry";
const SECRET_VOLUME: &str = "pilotfish-agent";
const RUNNER_VOLUME: &str = "pilotfish-runner";
const HANDOVER_VOLUME: &str = "pilotfish-plan";
/// Room for the program, a few times its size.
const PROGRAM_SIZE: &str = "64Mi";
/// The same for this program, which has a few times the size of the agent's.
const RUNNER_SIZE: &str = "256Mi";
/// Read by user and group: the group is that of the pod.
const SECRET_MODE: i32 = 0o440;
/// The longest name of a volume, in bytes.
const MAX_NAME: usize = 63;

/// The volumes of a pod.
#[derive(Debug)]
pub(super) struct Volumes<'a> {
    profile: &'a Profile,
    traits: &'static Traits,
    pod: &'a str,
    /// Names of volumes by names of caches.
    caches: BTreeMap<&'a str, String>,
    /// A container builds images with the credentials of the profile.
    registry: bool,
    /// The agent whose secret is mounted.
    agent: Option<&'a str>,
    /// The pod executes its plan by itself.
    runner: bool,
    sockets: Vec<&'a str>,
}

impl<'a> Volumes<'a> {
    /// The volumes that the containers of a pod need.
    pub fn of(
        profile: &'a Profile,
        containers: &'a Containers,
        pod: &'a str,
        request: &PodRequest<'a>,
    ) -> Self {
        let mut caches: BTreeMap<&str, String> = BTreeMap::new();
        for cache in containers.all.iter().flat_map(|one| &one.need.caches) {
            if caches.contains_key(cache.name.as_str()) {
                continue;
            }
            let mut name = format!("cache-{}", label(cache.name.as_str(), MAX_NAME - 10));
            // Names that are equal once they are cut.
            if caches.values().any(|one| *one == name) {
                name = format!("{name}-{}", caches.len());
            }
            caches.insert(cache.name.as_str(), name);
        }
        let sockets = containers.of_role(Role::Tool).map(|(_, one)| one.name.as_str()).collect();
        let registry = containers.all.iter().any(|one| takes_registry(profile, one));
        let runner = request.runner.is_some();
        let agent = profile.agent.controller.as_ref().and(request.agent).filter(|_| !runner);
        let traits = profile.flavour.traits();
        Self { profile, traits, pod, caches, registry, agent, runner, sockets }
    }

    /// All volumes.
    pub fn all(&self) -> Vec<Volume> {
        let mut all = vec![empty(PROGRAM_VOLUME, Some(PROGRAM_SIZE))];
        if self.traits.sub_paths {
            all.extend((!self.sockets.is_empty()).then(|| empty(SOCKET_VOLUME, None)));
            all.extend((!self.sockets.is_empty()).then(|| empty(HOME_VOLUME, None)));
        } else {
            all.extend(self.sockets.iter().map(|one| empty(&socket_volume(one), None)));
        }
        all.push(volume(WORKSPACE_VOLUME, &self.profile.workspace));
        for (cache, name) in &self.caches {
            all.push(volume(name, self.profile.cache(cache)));
        }
        if let Some(secret) = self.profile.registry_secret.as_ref().filter(|_| self.registry) {
            all.push(secret_file(REGISTRY_VOLUME, &secret.0, ".dockerconfigjson", "config.json"));
        }
        if let (Some(controller), Some(agent)) = (&self.profile.agent.controller, self.agent) {
            all.push(secret_file(SECRET_VOLUME, &controller.secret.0, agent, "secret"));
        }
        if self.runner {
            all.push(empty(RUNNER_VOLUME, Some(RUNNER_SIZE)));
            // Made when the pod is there, which owns it; the kubelet waits for it.
            let secret = SecretVolumeSource {
                default_mode: Some(SECRET_MODE),
                secret_name: Some(self.pod.to_owned()),
                ..SecretVolumeSource::default()
            };
            let name = HANDOVER_VOLUME.to_owned();
            all.push(Volume { name, secret: Some(secret), ..Volume::default() });
        }
        all
    }

    /// What the init container that brings this program sees.
    pub fn of_inject_runner(&self) -> Vec<VolumeMount> {
        vec![mount(RUNNER_VOLUME, RUNNER)]
    }

    /// What the init container sees.
    pub fn of_inject(&self) -> Vec<VolumeMount> {
        vec![mount(PROGRAM_VOLUME, PROGRAMS)]
    }

    /// What the agent's container sees: all sockets.
    pub fn of_agent(&self) -> Vec<VolumeMount> {
        let mut all = vec![self.workspace()];
        if self.traits.sub_paths {
            all.extend((!self.sockets.is_empty()).then(|| mount(SOCKET_VOLUME, SOCKETS)));
        } else {
            let one = |name: &&str| mount(&socket_volume(name), &format!("{SOCKETS}/{name}"));
            all.extend(self.sockets.iter().map(one));
        }
        if self.agent.is_some() {
            all.push(read_only(mount(SECRET_VOLUME, AGENT_SECRET)));
        }
        if self.runner {
            all.push(read_only(mount(RUNNER_VOLUME, RUNNER)));
            all.push(read_only(mount(HANDOVER_VOLUME, HANDOVER)));
        }
        all
    }

    /// What the container of a tool sees: its own socket only.
    pub fn of_tool(&self, container: &Contained) -> Vec<VolumeMount> {
        let name = &container.name;
        let directory = format!("{SOCKETS}/{name}");
        let mut all = Vec::new();
        // Outer directories first: not every runtime puts mounts in order.
        if self.has_home(container) {
            all.push(part(mount(HOME_VOLUME, HOME), name));
        }
        all.push(self.workspace());
        all.push(read_only(mount(PROGRAM_VOLUME, PROGRAMS)));
        if self.traits.sub_paths {
            all.push(part(mount(SOCKET_VOLUME, &directory), name));
        } else {
            all.push(mount(&socket_volume(name), &directory));
        }
        for cache in &container.need.caches {
            if let Some(volume) = self.caches.get(cache.name.as_str()) {
                let storage = self.profile.cache(cache.name.as_str());
                let one = mount(volume, cache.path.trim_end_matches('/'));
                all.push(match storage.kind {
                    StorageType::Claim => {
                        part(one, storage.path.as_deref().unwrap_or(cache.name.as_str()))
                    }
                    _ => one,
                });
            }
        }
        if takes_registry(self.profile, container) {
            all.push(read_only(mount(REGISTRY_VOLUME, REGISTRY)));
        }
        all
    }

    /// Whether the container has a home directory of ours: users that no image knows have none.
    /// kaniko keeps its own, which it clears between the stages of an image.
    pub fn has_home(&self, container: &Contained) -> bool {
        self.traits.sub_paths && container.need.builder != Some(Builder::Kaniko)
    }

    fn workspace(&self) -> VolumeMount {
        let storage = &self.profile.workspace;
        let one = mount(WORKSPACE_VOLUME, WORKSPACE);
        match storage.kind {
            // A claim and a directory of a node are there for other builds too.
            StorageType::Claim => {
                let directory = storage.path.as_deref().unwrap_or("workspace");
                part(one, &format!("{directory}/{}", self.pod))
            }
            StorageType::HostPath => part(one, self.pod),
            StorageType::EmptyDir | StorageType::Ephemeral => one,
        }
    }
}

/// Whether a container gets the credentials of the profile's registry.
pub(super) fn takes_registry(profile: &Profile, container: &Contained) -> bool {
    profile.registry_secret.is_some()
        && container.need.builder.is_some()
        && !container.brings_credentials
}

/// Why a container cannot have a directory at this path, if it cannot.
pub(super) fn no_place(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    let holds = |outer: &str, inner: &str| {
        inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    let usual = path.starts_with('/')
        && !path.contains(':')
        && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if !usual {
        Some("expected an absolute path without `.`, `..` and `:`")
    } else if holds(OWN, path) || holds(path, OWN) {
        Some("Pilotfish keeps its own files there")
    } else if holds(WORKSPACE, path) || holds(path, HOME) {
        Some("the workspace and the home directory are there")
    } else {
        None
    }
}

fn socket_volume(container: &str) -> String {
    format!("exec-{}", label(container, MAX_NAME - 5))
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn read_only(one: VolumeMount) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..one }
}

fn part(one: VolumeMount, path: &str) -> VolumeMount {
    VolumeMount { sub_path: Some(path.to_owned()), ..one }
}

fn empty(name: &str, size: Option<&str>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: None,
            size_limit: size.map(|size| Quantity(size.to_owned())),
        }),
        ..Volume::default()
    }
}

fn secret_file(name: &str, secret: &str, key: &str, file: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            default_mode: Some(SECRET_MODE),
            items: Some(vec![KeyToPath { key: key.to_owned(), path: file.to_owned(), mode: None }]),
            secret_name: Some(secret.to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn volume(name: &str, storage: &Storage) -> Volume {
    let size = storage.size.as_ref().map(|size| Quantity(size.to_string()));
    let mut volume = Volume { name: name.to_owned(), ..Volume::default() };
    match storage.kind {
        StorageType::EmptyDir => {
            let medium = storage.memory.then(|| "Memory".to_owned());
            volume.empty_dir = Some(EmptyDirVolumeSource { medium, size_limit: size });
        }
        StorageType::Claim => {
            volume.persistent_volume_claim = Some(PersistentVolumeClaimVolumeSource {
                claim_name: storage.claim.as_ref().map_or_else(String::new, |one| one.0.clone()),
                read_only: None,
            });
        }
        StorageType::Ephemeral => {
            let requests = size.map(|size| BTreeMap::from([("storage".to_owned(), size)]));
            let spec = PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".into()]),
                resources: Some(VolumeResourceRequirements { limits: None, requests }),
                storage_class_name: storage.class.as_ref().map(|one| one.0.clone()),
                ..PersistentVolumeClaimSpec::default()
            };
            volume.ephemeral = Some(EphemeralVolumeSource {
                volume_claim_template: Some(PersistentVolumeClaimTemplate { metadata: None, spec }),
            });
        }
        StorageType::HostPath => {
            volume.host_path = Some(HostPathVolumeSource {
                path: storage.path.clone().unwrap_or_default(),
                type_: Some("DirectoryOrCreate".into()),
            });
        }
    }
    volume
}
