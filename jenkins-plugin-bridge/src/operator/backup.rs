//! Backups of a home, and putting one back.

use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::model::JenkinsController;
use super::render::{USER, backup_claim, labels, owned};
use super::status::{Backup, BackupKind};
use crate::pod::{of_container, of_pod};

/// Seconds for which a finished job is there to be looked at.
const KEEP_JOB: u32 = 3600;
/// Tries of a job.
const TRIES: u32 = 2;

/// Packs the home, with what every `tar` has. The archive gets its name when it is whole, and then the
/// oldest ones go.
const PACK: &str = r#"set -eu
name=$1 keep=$2
shift 2
cd /home-volume
for one in * .[!.]* ..?*; do
  case $one in lost+found | plugins) continue ;; esac
  if [ -e "$one" ] || [ -L "$one" ]; then set -- "$@" "./$one"; fi
done
[ $# -gt 0 ] || set -- .
tar -czf "/backups/$name.part" "$@"
cd /backups
mv "$name.part" "$name.tar.gz"
ls -1 | grep '\.tar\.gz$' | sort -r | tail -n "+$((keep + 1))" | while read -r old; do rm -f "$old"; done
"#;
/// Puts a home back. Nothing is removed before the archive was read to its end.
const UNPACK: &str = r#"set -eu
tar -tzf "/backups/$1.tar.gz" >/dev/null
find /home-volume -mindepth 1 -maxdepth 1 ! -name lost+found ! -name plugins -exec rm -rf {} +
tar -C /home-volume -xzf "/backups/$1.tar.gz"
"#;

/// The name of a backup that is begun at a time in seconds since 1970: names are in the order of time.
#[must_use]
pub fn name(controller: &str, now: i64) -> String {
    format!("{controller}-{now:010}")
}

/// The object that makes a backup: a job, or a snapshot.
#[must_use]
pub fn backup(controller: &JenkinsController, backup: &Backup, home: &str, image: &str) -> Value {
    match backup.kind {
        BackupKind::Snapshot => {
            let mut spec = json!({"source": {"persistentVolumeClaimName": home}});
            if let Some(class) = &controller.spec.backup.snapshot_class {
                spec["volumeSnapshotClassName"] = json!(class);
            }
            let mut metadata = owned(controller, &backup.name);
            // A snapshot outlives its master, as an archive does.
            metadata.as_object_mut().map(|all| all.remove("ownerReferences"));
            json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "metadata": metadata, "spec": spec})
        }
        BackupKind::Archive => {
            let keep = controller.spec.backup.keep.to_string();
            job(controller, &backup_job(backup), image, home, (PACK, &[&backup.name, &keep]), true)
        }
    }
}

/// The name of the job that makes an archive.
#[must_use]
pub fn backup_job(backup: &Backup) -> String {
    format!("{}-pack", backup.name)
}

/// The name of the job that puts an archive back.
#[must_use]
pub fn restore_job(backup: &Backup) -> String {
    format!("{}-unpack", backup.name)
}

/// The claim that is filled from a snapshot.
#[must_use]
pub fn restored_claim(backup: &Backup) -> String {
    format!("{}-home", backup.name)
}

/// The job that puts an archive back.
#[must_use]
pub fn restore(controller: &JenkinsController, backup: &Backup, home: &str, image: &str) -> Value {
    job(controller, &restore_job(backup), image, home, (UNPACK, &[&backup.name]), false)
}

fn job(
    controller: &JenkinsController,
    name: &str,
    image: &str,
    home: &str,
    (script, arguments): (&str, &[&str]),
    reads_only: bool,
) -> Value {
    let spec = &controller.spec;
    let owner = controller.name_any();
    let mut command = vec!["sh", "-c", script, "backup"];
    command.extend(arguments);
    // Not the labels by which the service finds the master.
    let mut own = json!(labels(&owner));
    own["app.kubernetes.io/name"] = json!("jenkins-controller-backup");
    let mut metadata = owned(controller, name);
    metadata["labels"] = own.clone();
    let secrets = spec.image_pull_secrets.iter().map(|name| json!({"name": name}));
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
        "spec": {
            "backoffLimit": TRIES - 1,
            "activeDeadlineSeconds": spec.backup.seconds,
            "ttlSecondsAfterFinished": KEEP_JOB,
            "template": {
                "metadata": {"labels": own},
                "spec": {
                    "automountServiceAccountToken": false,
                    "restartPolicy": "Never",
                    "securityContext": of_pod(USER),
                    "imagePullSecrets": secrets.collect::<Value>(),
                    "nodeSelector": spec.node_selector,
                    "tolerations": spec.tolerations.iter()
                        .map(|key| json!({"key": key, "operator": "Exists"})).collect::<Value>(),
                    "containers": [{
                        "name": "backup",
                        "image": image,
                        // What it says last is why it failed.
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "command": command,
                        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                        "securityContext": of_container(USER, None),
                        "volumeMounts": [
                            {"name": "home", "mountPath": "/home-volume", "readOnly": reads_only},
                            {"name": "backups", "mountPath": "/backups", "readOnly": !reads_only},
                        ],
                    }],
                    "volumes": [
                        {"name": "home", "persistentVolumeClaim": {"claimName": home}},
                        {"name": "backups", "persistentVolumeClaim": {"claimName": backup_claim(&owner)}},
                    ],
                },
            },
        },
    })
}
