//! The objects of a master, from its resource alone.
//!
//! What needs a restart is a [`Revision`]: it is kept as it was rendered, so that an upgrade that fails is
//! put back exactly. Service, ingress and claims are changed in place.

use std::collections::BTreeMap;

use kube::{Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::model::{JenkinsController, Storage};
use crate::pod::{Identity, of_container, of_pod};
use crate::text::canonical_json;

/// The label of objects of one master.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// What all masters have.
pub const NAMED: (&str, &str) = ("app.kubernetes.io/name", "jenkins-controller");
/// Who made an object.
pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "pilotfish-operator");
/// The annotation with the revision of a StatefulSet and its pods.
pub const REVISION: &str = "pilotfish.io/revision";
/// Where the home is, as in the official image.
const HOME: &str = "/var/jenkins_home";
/// Name of the port of people.
pub const PORT: u16 = 8080;
/// The port of agents that use neither WebSocket nor a tunnel.
const AGENT_PORT: u16 = 50_000;
/// User and group of the official image.
pub(super) const USER: Identity = Identity { user: 1000, group: 1000 };
/// How long it may take to stop, in seconds: it writes its queue and its builds.
const STOP: u32 = 120;
/// Where the configuration is mounted.
const CONFIGURATION: &str = "/run/jenkins/configuration";
/// Where the list of plugins is mounted.
const PLUGINS: &str = "/run/jenkins/plugins";

/// What a master runs as: kept until no upgrade can be put back to it any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Ten digits of what it is made of.
    pub name: String,
    /// The StatefulSet. Its replicas and the claim of the home are those of the moment.
    pub stateful_set: Value,
    /// Configuration and list of plugins.
    pub config_map: Value,
}

/// The name of the claim of a home, as long as no snapshot took its place.
#[must_use]
pub fn home_claim(name: &str) -> String {
    format!("{name}-home")
}

/// The name of the claim of backups.
#[must_use]
pub fn backup_claim(name: &str) -> String {
    format!("{name}-backups")
}

/// Labels of the objects of a master.
#[must_use]
pub fn labels(name: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (NAMED.0, NAMED.1.to_owned()),
        (INSTANCE, name.to_owned()),
        (MANAGED.0, MANAGED.1.to_owned()),
    ])
}

/// The metadata of an object that goes with its master.
pub(super) fn owned(controller: &JenkinsController, name: &str) -> Value {
    let mut metadata = kept(controller, name);
    metadata["ownerReferences"] = json!([controller.controller_owner_ref(&())]);
    metadata
}

/// The metadata of an object that stays when its master goes.
fn kept(controller: &JenkinsController, name: &str) -> Value {
    json!({"name": name, "namespace": controller.namespace(),
        "labels": labels(&controller.name_any())})
}

impl Revision {
    /// The revision that a resource asks for.
    #[must_use]
    pub fn of(controller: &JenkinsController) -> Self {
        let owner = controller.name_any();
        let data = files(controller);
        let template = template(controller, "", "");
        let text = canonical_json(&json!({"data": data, "template": template}));
        let digest = Sha256::digest(text.as_bytes());
        let name: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        let object = format!("{owner}-{name}");
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": owned(controller, &object), "immutable": true, "data": data,
        });
        let mut metadata = owned(controller, &owner);
        metadata["annotations"] = json!({REVISION: name});
        let stateful_set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata,
            "spec": {
                "replicas": 1,
                "serviceName": owner,
                // A pod that does not get ready is not waited for when it is to go.
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {NAMED.0: NAMED.1, INSTANCE: owner}},
                "template": self::template(controller, &object, &name),
            },
        });
        Self { name, stateful_set, config_map }
    }

    /// The StatefulSet with so many pods, on this home.
    #[must_use]
    pub fn placed(&self, replicas: u32, home: &str) -> Value {
        let mut set = self.stateful_set.clone();
        set["spec"]["replicas"] = json!(replicas);
        let volumes = set["spec"]["template"]["spec"]["volumes"].as_array_mut();
        for volume in volumes.into_iter().flatten().filter(|one| one["name"] == "home") {
            volume["persistentVolumeClaim"] = json!({"claimName": home});
        }
        set
    }

    /// The image of the master.
    #[must_use]
    pub fn image(&self) -> &str {
        let spec = &self.stateful_set["spec"]["template"]["spec"];
        spec["containers"][0]["image"].as_str().unwrap_or_default()
    }

    /// The object that keeps it.
    #[must_use]
    pub fn object(&self, controller: &JenkinsController) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": owned(controller, &format!("{}-{}", controller.name_any(), self.name)),
            // A number is asked for; their order is in the status of the resource.
            "revision": controller.metadata.generation.unwrap_or(0),
            "data": self,
        })
    }
}

/// The files of a revision.
fn files(controller: &JenkinsController) -> BTreeMap<String, String> {
    let spec = &controller.spec;
    let mut files: BTreeMap<String, String> = spec
        .configuration
        .iter()
        .map(|(name, text)| (format!("configuration.{name}"), text.clone()))
        .collect();
    if !spec.plugins.is_empty() {
        let lines = spec.plugins.iter().map(|(name, version)| format!("{name}:{version}\n"));
        files.insert("plugins.txt".into(), lines.collect());
    }
    files
}

fn template(controller: &JenkinsController, config_map: &str, revision: &str) -> Value {
    let (spec, name) = (&controller.spec, controller.name_any());
    let mut pod = json!({
        "automountServiceAccountToken": spec.service_account.is_some(),
        "containers": [container(controller)],
        "enableServiceLinks": false,
        "securityContext": of_pod(USER),
        "terminationGracePeriodSeconds": STOP,
        // Two masters of a label on one node go with it.
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {NAMED.0: NAMED.1}},
        }],
        "volumes": volumes(controller, config_map),
    });
    if !spec.plugins.is_empty() {
        pod["initContainers"] = json!([plugins(controller)]);
    }
    let named = |all: &[String]| all.iter().map(|name| json!({"name": name})).collect::<Value>();
    let optional = [
        ("serviceAccountName", json!(spec.service_account)),
        ("imagePullSecrets", named(&spec.image_pull_secrets)),
        ("nodeSelector", json!(spec.node_selector)),
        (
            "tolerations",
            spec.tolerations.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect(),
        ),
    ];
    for (key, value) in optional {
        let is_empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !is_empty {
            pod[key] = value;
        }
    }
    let mut all = json!(labels(&name));
    // A label of builds may have characters that values of labels of Kubernetes have not, but not keys.
    for label in spec.labels.iter().filter(|label| is_key(label)) {
        all[format!("label.pilotfish.io/{label}")] = json!("true");
    }
    json!({"metadata": {"labels": all, "annotations": {REVISION: revision}}, "spec": pod})
}

/// Whether a label can be the name of a label of Kubernetes.
fn is_key(label: &str) -> bool {
    let ends = |one: Option<char>| one.is_some_and(|one| one.is_ascii_alphanumeric());
    label.len() <= 63 && ends(label.chars().next()) && ends(label.chars().last())
}

fn container(controller: &JenkinsController) -> Value {
    let spec = &controller.spec;
    let mut environment = vec![json!({"name": "JENKINS_HOME", "value": HOME})];
    let mut java = vec!["-Djenkins.install.runSetupWizard=false"];
    java.extend(spec.java_options.as_deref());
    environment.push(json!({"name": "JAVA_OPTS", "value": java.join(" ")}));
    if !spec.prefix.is_empty() {
        let value = format!("--prefix={}", spec.prefix);
        environment.push(json!({"name": "JENKINS_OPTS", "value": value}));
    }
    if !spec.configuration.is_empty() {
        environment.push(json!({"name": "CASC_JENKINS_CONFIG", "value": CONFIGURATION}));
    }
    // The name that the library step of its jobs gives to the bridge.
    environment.push(json!({"name": "PILOTFISH_CONTROLLER", "value": controller.name_any()}));
    let mut mounts = vec![
        json!({"name": "home", "mountPath": HOME}),
        json!({"name": "temporary", "mountPath": "/tmp"}),
    ];
    if !spec.plugins.is_empty() {
        mounts.push(json!({"name": "plugins", "mountPath": format!("{HOME}/plugins")}));
    }
    if !spec.configuration.is_empty() {
        mounts.push(json!({"name": "configuration", "mountPath": CONFIGURATION, "readOnly": true}));
    }
    let login = json!({"path": format!("{}/login", spec.prefix), "port": "http"});
    let (period, start) = (spec.health.period_seconds, spec.health.start_seconds);
    let probe = |period: u32, failures: u32| {
        json!({"httpGet": login, "periodSeconds": period, "timeoutSeconds": 5,
            "failureThreshold": failures})
    };
    let mut requests = json!({"cpu": "1", "memory": "2Gi"});
    for (key, value) in &spec.resources.requests {
        requests[key] = json!(value);
    }
    let mut resources = json!({"requests": requests});
    if !spec.resources.limits.is_empty() {
        resources["limits"] = json!(spec.resources.limits);
    }
    let from = spec.secrets.iter().map(|name| json!({"secretRef": {"name": name}}));
    let mut container = json!({
        "name": "jenkins",
        "image": spec.image,
        "env": environment,
        "ports": [
            {"name": "http", "containerPort": PORT},
            {"name": "agents", "containerPort": AGENT_PORT},
        ],
        "resources": resources,
        "securityContext": of_container(USER, None),
        "volumeMounts": mounts,
        "startupProbe": probe(period, start.div_ceil(period.max(1)).max(1)),
        "readinessProbe": probe(period, 3),
        // One that hangs is started again after a minute and a half: a long pause of Java is no end.
        "livenessProbe": probe(15, 6),
    });
    if !spec.secrets.is_empty() {
        container["envFrom"] = from.collect();
    }
    container
}

/// Fetches the plugins into an empty directory, so that those that are not listed are not there.
fn plugins(controller: &JenkinsController) -> Value {
    json!({
        "name": "plugins",
        "image": controller.spec.image,
        "command": ["jenkins-plugin-cli"],
        "args": [
            "--plugin-file", format!("{PLUGINS}/plugins.txt"),
            "--plugin-download-directory", format!("{HOME}/plugins"),
            // What others need is taken as it is listed.
            "--latest", "false",
        ],
        "env": [{"name": "CACHE_DIR", "value": "/tmp/cache"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": of_container(USER, None),
        "volumeMounts": [
            {"name": "plugins", "mountPath": format!("{HOME}/plugins")},
            {"name": "plugin-list", "mountPath": PLUGINS, "readOnly": true},
            {"name": "temporary", "mountPath": "/tmp"},
        ],
    })
}

fn volumes(controller: &JenkinsController, config_map: &str) -> Value {
    let spec = &controller.spec;
    let mut volumes = vec![
        json!({"name": "home", "persistentVolumeClaim": {"claimName": ""}}),
        json!({"name": "temporary", "emptyDir": {}}),
    ];
    if !spec.plugins.is_empty() {
        let items = json!([{"key": "plugins.txt", "path": "plugins.txt"}]);
        volumes.push(json!({"name": "plugins", "emptyDir": {}}));
        volumes.push(
            json!({"name": "plugin-list", "configMap": {"name": config_map, "items": items}}),
        );
    }
    if !spec.configuration.is_empty() {
        let items = spec.configuration.keys();
        let items: Value =
            items.map(|one| json!({"key": format!("configuration.{one}"), "path": one})).collect();
        volumes.push(
            json!({"name": "configuration", "configMap": {"name": config_map, "items": items}}),
        );
    }
    Value::from(volumes)
}

/// The objects that are changed in place: claim, service, ingress.
#[must_use]
pub fn surroundings(controller: &JenkinsController) -> Vec<Value> {
    let (spec, name) = (&controller.spec, controller.name_any());
    let mut all = vec![
        claim(controller, &home_claim(&name), &spec.storage, None),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": owned(controller, &name),
            "spec": {
                "selector": {NAMED.0: NAMED.1, INSTANCE: name},
                "ports": [
                    {"name": "http", "port": PORT, "targetPort": "http"},
                    {"name": "agents", "port": AGENT_PORT, "targetPort": "agents"},
                ],
            },
        }),
    ];
    if let Some(ingress) = &spec.ingress {
        let path = if spec.prefix.is_empty() { "/" } else { &spec.prefix };
        let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
        let mut object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": owned(controller, &name),
            "spec": {"rules": [{"host": ingress.host, "http": {"paths": [
                {"path": path, "pathType": "Prefix", "backend": backend}]}}]},
        });
        object["metadata"]["annotations"] = json!(ingress.annotations);
        if let Some(class) = &ingress.class {
            object["spec"]["ingressClassName"] = json!(class);
        }
        if let Some(secret) = &ingress.tls_secret {
            object["spec"]["tls"] = json!([{"hosts": [ingress.host], "secretName": secret}]);
        }
        all.push(object);
    }
    all
}

/// A claim, filled from a snapshot where one is named. It stays when its master goes.
#[must_use]
pub fn claim(
    controller: &JenkinsController,
    name: &str,
    storage: &Storage,
    snapshot: Option<&str>,
) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    });
    if let Some(class) = &storage.class {
        spec["storageClassName"] = json!(class);
    }
    if let Some(snapshot) = snapshot {
        spec["dataSource"] = json!({"apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot", "name": snapshot});
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": kept(controller, name), "spec": spec})
}
