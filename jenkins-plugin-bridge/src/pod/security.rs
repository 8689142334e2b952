//! What the containers of a pod may do, and which Pod Security Standard that asks of a namespace.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, SeccompProfile, SecurityContext,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a builder needs to unpack files of other owners and to become other users in `RUN`. All
/// are among those that the baseline standard allows.
const KANIKO_CAPABILITIES: [&str; 8] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETFCAP", "SETGID", "SETUID"];

/// A Pod Security Standard of Kubernetes, the strictest first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// No root, no capabilities, no host.
    #[default]
    Restricted,
    /// Root with few capabilities, no host.
    Baseline,
    /// Anything.
    Privileged,
}

/// What builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    /// Unpacks layers over its own root directory: root, no privilege.
    Kaniko,
    /// Rootless, in a user namespace.
    BuildKit,
    /// Rootless, in a user namespace.
    Buildah,
}

/// As whom a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub user: i64,
    pub group: i64,
}

impl PodSecurity {
    /// The word of the label `pod-security.kubernetes.io/enforce`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
            Self::Privileged => "privileged",
        }
    }
}

impl Builder {
    /// The builder that is among the programs of a container.
    pub fn of(tools: &[String]) -> Option<Self> {
        tools.iter().find_map(|tool| match tool.rsplit('/').next() {
            Some("executor") if tool.contains("kaniko") => Some(Self::Kaniko),
            Some("buildctl-daemonless.sh" | "buildkitd") => Some(Self::BuildKit),
            Some("buildah") => Some(Self::Buildah),
            _ => None,
        })
    }

    /// The standard that a namespace may enforce at most.
    pub fn security(self) -> PodSecurity {
        match self {
            Self::Kaniko => PodSecurity::Baseline,
            // Both make a user namespace, which the default seccomp profile of containerd does
            // not let them, and the baseline standard has no other.
            Self::BuildKit | Self::Buildah => PodSecurity::Privileged,
        }
    }

    /// Why it asks for that.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Kaniko => "kaniko unpacks the layers of the image as root",
            Self::BuildKit => {
                "rootless BuildKit makes a user namespace, which needs an unconfined seccomp profile"
            }
            Self::Buildah => {
                "Buildah makes a user namespace, which needs an unconfined seccomp profile"
            }
        }
    }

    /// Whether it makes a user namespace.
    pub fn needs_user_namespace(self) -> bool {
        self != Self::Kaniko
    }

    /// Variables without which it does not work in a pod.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Kaniko => &[],
            // A sandbox of its own for processes would need an unmasked /proc.
            Self::BuildKit => &[("BUILDKITD_FLAGS", "--oci-worker-no-process-sandbox")],
            // Overlay mounts need a device that a pod does not have.
            Self::Buildah => &[("BUILDAH_ISOLATION", "chroot"), ("STORAGE_DRIVER", "vfs")],
        }
    }
}

fn seccomp(kind: &str) -> Option<SeccompProfile> {
    Some(SeccompProfile { type_: kind.to_owned(), ..SeccompProfile::default() })
}

/// The security of the pod as a whole: one group for all files, so that containers of different
/// users can read and write each other's.
pub(crate) fn of_pod(identity: Identity) -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(identity.group),
        // A large cache is not walked through again at each start.
        fs_group_change_policy: Some("OnRootMismatch".into()),
        run_as_group: Some(identity.group),
        run_as_non_root: Some(true),
        run_as_user: Some(identity.user),
        seccomp_profile: seccomp("RuntimeDefault"),
        ..PodSecurityContext::default()
    }
}

/// The security of a container that runs as this user, or that builds images.
pub(crate) fn of_container(identity: Identity, builder: Option<Builder>) -> SecurityContext {
    let drop_all = |add: &[&str]| {
        Some(Capabilities {
            add: (!add.is_empty()).then(|| add.iter().map(|one| (*one).to_owned()).collect()),
            drop: Some(vec!["ALL".into()]),
        })
    };
    let plain = SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: drop_all(&[]),
        run_as_group: Some(identity.group),
        run_as_non_root: Some(identity.user != 0),
        run_as_user: Some(identity.user),
        ..SecurityContext::default()
    };
    match builder {
        None => plain,
        Some(Builder::Kaniko) => SecurityContext {
            capabilities: drop_all(&KANIKO_CAPABILITIES),
            run_as_group: Some(0),
            run_as_non_root: Some(false),
            run_as_user: Some(0),
            ..plain
        },
        Some(Builder::BuildKit | Builder::Buildah) => SecurityContext {
            // newuidmap and newgidmap are setuid programs.
            allow_privilege_escalation: Some(true),
            app_armor_profile: Some(AppArmorProfile {
                type_: "Unconfined".into(),
                ..AppArmorProfile::default()
            }),
            capabilities: None,
            run_as_user: Some(user_of(identity, builder)),
            run_as_non_root: Some(true),
            seccomp_profile: seccomp("Unconfined"),
            ..plain
        },
    }
}

/// The user that a container runs as.
pub(super) fn user_of(identity: Identity, builder: Option<Builder>) -> i64 {
    match builder {
        None => identity.user,
        Some(Builder::Kaniko) => 0,
        // The images have subordinate ids for this user only.
        Some(Builder::BuildKit | Builder::Buildah) => 1000,
    }
}
