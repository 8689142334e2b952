//! The objects of a place for builds, from its resource alone.

use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::model::{AccessKind, BuildCluster, Keeper};
use crate::cluster::{ImageSettings, Images};
use crate::error::Problem;
use crate::operator::render::MANAGED;
use crate::pod::to_yaml;

/// The label of everything of a place, with its namespace and name.
pub const PLACE: &str = "pilotfish.io/build-cluster";
/// Name of the objects in the namespace of builds.
pub const NAME: &str = "pilotfish-builds";
/// The longest value of a label.
const LABEL: usize = 63;

/// The value of [`PLACE`].
#[must_use]
pub fn place(cluster: &BuildCluster) -> String {
    format!("{}.{}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}

/// Everything that speaks against a resource.
#[must_use]
pub fn problems(cluster: &BuildCluster) -> Vec<Problem> {
    let spec = &cluster.spec;
    let mut found = Vec::new();
    let mut add = |path: String, message: String| found.push(Problem::new(path, message));
    if place(cluster).len() > LABEL {
        add("metadata.name".into(), format!("with its namespace has more than {LABEL} characters"));
    }
    if spec.namespace.is_empty() || crate::pod::label(&spec.namespace, LABEL) != spec.namespace {
        add("spec.namespace".into(), format!("{:?} is no name of a namespace", spec.namespace));
    }
    for system in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        if spec.namespace == system {
            add("spec.namespace".into(), format!("{system} belongs to the cluster"));
        }
    }
    for (at, access) in spec.access.iter().enumerate() {
        if (access.kind == AccessKind::ServiceAccount) != access.namespace.is_some() {
            let message = "is for a service account, which needs it, and for nothing else";
            add(format!("spec.access.{at}.namespace"), message.into());
        }
    }
    for (field, all) in [("egress", &spec.network.egress), ("except", &spec.network.except)] {
        for (at, one) in all.iter().enumerate() {
            if !is_network(one) {
                let message = format!("{one:?} is no network: expected 10.0.0.0/8");
                add(format!("spec.network.{field}.{at}"), message);
            }
        }
    }
    if let Some(reference) = &spec.cluster_ref
        && !reference.api_version.contains('/')
    {
        let message = "expected group and version, as cluster.x-k8s.io/v1beta1";
        add("spec.clusterRef.apiVersion".into(), message.into());
    }
    if let Some(images) = &spec.images {
        for (at, image) in images.images.iter().enumerate() {
            if let Err(message) = crate::operator::check::pinned(image) {
                add(format!("spec.images.images.{at}"), message);
            }
        }
        let mut more = Vec::new();
        settings(cluster).inspect(|one| one.check("spec.images", &mut more));
        found.extend(more);
    }
    found
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => {
            bits.parse::<u8>().is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 })
        }
        Err(_) => false,
    }
}

/// How images are kept.
pub(super) fn settings(cluster: &BuildCluster) -> Option<ImageSettings> {
    cluster.spec.images.as_ref().map(|images| settings_of(cluster, images.keeper))
}

/// How images are kept by this keeper.
pub(super) fn settings_of(cluster: &BuildCluster, keeper: Keeper) -> ImageSettings {
    let (spec, images) = (&cluster.spec, cluster.spec.images.as_ref());
    let secrets = images.map(|images| images.secrets.clone()).unwrap_or_default();
    let size_gb = images.and_then(|images| images.size_gb);
    match keeper {
        Keeper::ImageCache => ImageSettings::ImageCache { size_gb, retention_days: None, secrets },
        Keeper::Prepull => ImageSettings::Prepull {
            namespace: spec.namespace.clone(),
            secrets,
            node_selector: spec.nodes.selector.clone(),
            tolerations: spec.nodes.tolerations.clone(),
        },
    }
}

/// Which images are kept.
pub(super) fn images(cluster: &BuildCluster) -> Images {
    let kept = cluster.spec.images.iter();
    kept.map(|kept| {
        let all = kept.images.iter().chain([&kept.agent]).cloned().collect();
        (cluster.name_any(), all)
    })
    .collect()
}

/// The namespace of builds.
#[must_use]
pub fn namespace(cluster: &BuildCluster) -> Value {
    let standard = cluster.spec.pod_security.word();
    let mut labels = labels(cluster);
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!(standard);
    }
    json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": cluster.spec.namespace, "labels": labels}})
}

fn labels(cluster: &BuildCluster) -> Value {
    json!({MANAGED.0: MANAGED.1, PLACE: place(cluster)})
}

/// What is in the namespace of builds.
#[must_use]
pub fn objects(cluster: &BuildCluster) -> Vec<Value> {
    let spec = &cluster.spec;
    let object = |version: &str, kind: &str, name: &str, mut rest: Value| {
        rest["apiVersion"] = json!(version);
        rest["kind"] = json!(kind);
        rest["metadata"] =
            json!({"name": name, "namespace": spec.namespace, "labels": labels(cluster)});
        rest
    };
    let network = "networking.k8s.io/v1";
    let egress: Value = spec
        .network
        .egress
        .iter()
        .map(|one| {
            let v6 = one.contains(':');
            // An exception has to be inside of its network; the API server says which is not.
            let except: Vec<&String> = spec
                .network
                .except
                .iter()
                .filter(|except| {
                    except.contains(':') == v6 && (one.ends_with("/0") || inside(except, one))
                })
                .collect();
            let mut block = json!({"cidr": one});
            if !except.is_empty() {
                block["except"] = json!(except);
            }
            json!({"ipBlock": block})
        })
        .collect();
    let dns = json!([{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]);
    let mut ways = vec![json!({"ports": dns, "to": [{"namespaceSelector": {
        "matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]})];
    // A rule to nowhere would be one to everywhere.
    if !spec.network.egress.is_empty() {
        ways.insert(0, json!({"to": egress}));
    }
    let mut all = vec![
        // One policy closes everything, the other one opens what builds need.
        object(
            network,
            "NetworkPolicy",
            &format!("{NAME}-closed"),
            json!({"spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
        ),
        object(
            network,
            "NetworkPolicy",
            &format!("{NAME}-egress"),
            json!({"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": ways}}),
        ),
        object(
            "rbac.authorization.k8s.io/v1",
            "Role",
            NAME,
            json!({"rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
                {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
                {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["create"]},
            ]}),
        ),
    ];
    let subjects: Vec<Value> = spec
        .access
        .iter()
        .map(|one| match one.kind {
            AccessKind::ServiceAccount => {
                json!({"kind": "ServiceAccount", "name": one.name, "namespace": one.namespace})
            }
            kind => {
                json!({"kind": kind, "name": one.name, "apiGroup": "rbac.authorization.k8s.io"})
            }
        })
        .collect();
    all.push(object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        NAME,
        json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": subjects}),
    ));
    if !spec.quota.is_empty() {
        all.push(object("v1", "ResourceQuota", NAME, json!({"spec": {"hard": spec.quota}})));
    }
    let limits = &spec.limits;
    let mut limit = json!({"type": "Container"});
    for (key, amounts) in [
        ("defaultRequest", &limits.default_requests),
        ("default", &limits.default_limits),
        ("max", &limits.most),
    ] {
        if !amounts.is_empty() {
            limit[key] = json!(amounts);
        }
    }
    if limit.as_object().is_some_and(|one| one.len() > 1) {
        all.push(object("v1", "LimitRange", NAME, json!({"spec": {"limits": [limit]}})));
    }
    all
}

/// Whether a network is inside of another one, by the bits that they have in common.
fn inside(inner: &str, outer: &str) -> bool {
    let read = |text: &str| -> Option<(u128, u32, u32)> {
        let (address, bits) = text.split_once('/')?;
        Some(match address.parse().ok()? {
            std::net::IpAddr::V4(one) => (u128::from(one.to_bits()), 32, bits.parse().ok()?),
            std::net::IpAddr::V6(one) => (one.to_bits(), 128, bits.parse().ok()?),
        })
    };
    let (Some((inner, width, bits)), Some((outer, _, most))) = (read(inner), read(outer)) else {
        return false;
    };
    let shift = width.saturating_sub(most);
    bits > most && inner.checked_shr(shift) == outer.checked_shr(shift)
}

/// Name of the ConfigMap with the pod profile.
#[must_use]
pub fn profile_name(cluster: &BuildCluster) -> String {
    format!("{}-pod-profile", cluster.name_any())
}

/// The pod profile of this place, for the bridge's file of clusters.
#[must_use]
pub fn profile(cluster: &BuildCluster) -> Value {
    let (spec, name) = (&cluster.spec, cluster.name_any());
    let mut profile = json!({
        "api": "pilotfish/v1", "kind": "pod-profile", "name": name, "cluster": name,
        "namespace": spec.namespace, "flavour": spec.nodes.flavour, "pod_security": spec.pod_security,
    });
    if let Some(images) = &spec.images {
        profile["agent"] = json!({"image": images.agent});
    }
    if !spec.nodes.selector.is_empty() {
        profile["node_selector"] = json!(spec.nodes.selector);
    }
    if !spec.nodes.tolerations.is_empty() {
        let all = spec.nodes.tolerations.iter();
        profile["tolerations"] = all.map(|key| json!({"key": key})).collect();
    }
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": profile_name(cluster), "namespace": cluster.namespace(), "labels": labels(cluster),
            "ownerReferences": [kube::Resource::controller_owner_ref(cluster, &())],
        },
        "data": {format!("{name}.yaml"): to_yaml(&profile)},
    })
}
