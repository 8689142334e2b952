//! The chart: what a real API server says to what it renders, and the service and the operator that it
//! installs on a real node.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::chart::{RELEASE, helm, on_chart};
use crate::support::front::Front;
use crate::support::masters::{
    comes, definitions, image, json_of, master, remove_volumes, secrets, volumes,
};
use crate::support::{Namespace, bridge_image, cluster, repository};

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn the_api_server_takes_what_the_chart_renders() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let own = ["watchPods", "makePods", "makeAgents", "keepImages"];
    let own: Vec<String> =
        own.iter().map(|key| format!("--set=rbac.{key}={{{}}}", namespace.name)).collect();
    for (values, kind) in [("sqlite.yaml", "StatefulSet"), ("everything.yaml", "Deployment")] {
        on_chart(&namespace, &["lint", "--strict"], values, &own);
        // Helm asks no server here.
        let own = [&own[..], &["--kube-version=1.34.4".to_owned()]].concat();
        let text = on_chart(&namespace, &["template", RELEASE], values, &own);
        let taken = namespace.apply(&["--dry-run=server", "--output=json"], &text);
        let list: Value = serde_json::from_str(&taken.unwrap()).unwrap();
        let items = list["items"].as_array().unwrap();
        let running: Vec<&Value> =
            items.iter().filter(|one| one["spec"]["template"].is_object()).collect();
        assert!(running.iter().any(|one| one["kind"] == kind), "{values}");
        for one in running {
            // The namespace takes the pods, too, whose account is not there in a dry run.
            let mut spec = one["spec"]["template"]["spec"].clone();
            for account in ["serviceAccount", "serviceAccountName"] {
                spec[account] = json!("default");
            }
            // Nor are the volumes that a StatefulSet has made.
            let made = one["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
            let made = made.map(|claim| json!({"name": claim["metadata"]["name"], "emptyDir": {}}));
            let made: Vec<Value> = made.collect();
            spec["volumes"].as_array_mut().into_iter().for_each(|all| all.extend(made.clone()));
            let pod =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
            namespace.apply(&["--dry-run=server"], &pod.to_string()).unwrap();
        }
    }
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn the_chart_installs_the_service_and_the_operator() {
    let cluster = cluster();
    if !cluster.has_node() {
        return;
    }
    let namespace = Namespace::enforcing(&cluster, "restricted");
    definitions(&cluster);
    bridge_image(&cluster);
    image(&cluster);
    volumes(&namespace, 3);
    secrets(&namespace);
    let mut front = Front::new(&[], &[]);
    for (name, key, file) in
        [("signing", "signing.pem", "key.pem"), ("tokens", "tokens.yaml", "tokens.yaml")]
    {
        let from = format!("--from-file={key}={}", front.path(file).display());
        namespace.kubectl(&["create", "secret", "generic", name, &from]).unwrap();
    }
    let from = format!("--from-file={}", repository("integration/kubernetes/catalog").display());
    namespace.kubectl(&["create", "configmap", "catalog", &from]).unwrap();
    let settings = [
        "image.pullPolicy=Never".to_owned(),
        format!("database.sqlite.storageClass={}", namespace.name),
        "database.sqlite.size=1Gi".to_owned(),
        "operator.enabled=true".to_owned(),
        "operator.replicas=2".to_owned(),
        format!("operator.namespace={}", namespace.name),
        "mastersFromCluster.enabled=true".to_owned(),
        format!("mastersFromCluster.namespace={}", namespace.name),
        "mastersFromCluster.secrets={bridge}".to_owned(),
    ];
    let settings: Vec<String> = settings.iter().map(|one| format!("--set={one}")).collect();
    let install = ["install", "--wait", "--timeout=120s", RELEASE];
    let notes = on_chart(&namespace, &install, "sqlite.yaml", &settings);
    assert!(notes.contains("It has one replica on SQLite."), "{notes}");
    // It answers through its service.
    let path =
        format!("/api/v1/namespaces/{}/services/{RELEASE}:bridge/proxy/healthz", namespace.name);
    let health: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path]).unwrap()).unwrap();
    assert_eq!(health["status"], "ok", "{health}");
    // The roles of the operator are enough to make masters and to let one go.
    master(&namespace, "north");
    master(&namespace, "south");
    for name in ["north", "south"] {
        comes(&namespace, name, ".status.phase", "Running");
    }
    let lease = json_of(&namespace, &["get", "lease", "pilotfish-operator"]);
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.starts_with("pilotfish-bridge-operator-"), "{holder}");
    // The service has them by the names of their Services, which nobody knows where there is no DNS.
    let service = json_of(&namespace, &["get", "service", RELEASE]);
    front.url = format!("http://{}", service["spec"]["clusterIP"].as_str().unwrap());
    let declared = front.until("/v1/masters", Path::new(""), |all| {
        all[0]["name"] == "north" && all[1]["name"] == "south"
    });
    let own = format!("http://north.{}.svc:8080/", namespace.name);
    assert_eq!(declared[0]["url"], own.as_str(), "{declared}");
    namespace.kubectl(&["delete", "jenkinscontroller", "south", "--timeout=60s"]).unwrap();

    // What is left when all of it is removed goes on, and can be deleted without an operator.
    let first = json_of(&namespace, &["get", "pod", "north-0"])["metadata"]["uid"].clone();
    helm(&namespace, &["uninstall", RELEASE, "--wait", "--timeout=180s"]);
    // The operator is gone before its marks are; the service may still be ending.
    let operators = ["get", "pods", "--selector", "app.kubernetes.io/component=operator"];
    let operators = json_of(&namespace, &operators);
    assert!(operators["items"].as_array().unwrap().is_empty(), "{operators:#}");
    let pod = json_of(&namespace, &["get", "pod", "north-0"]);
    assert_eq!(pod["metadata"]["uid"], first);
    assert!(pod["metadata"]["deletionTimestamp"].is_null(), "{pod:#}");
    let left = json_of(&namespace, &["get", "jenkinscontroller", "north"]);
    assert!(left["metadata"]["finalizers"].is_null(), "{left:#}");
    namespace.kubectl(&["delete", "jenkinscontroller", "north", "--timeout=30s"]).unwrap();
    namespace.kubectl(&["wait", "--for=delete", "pod/north-0", "--timeout=60s"]).unwrap();
    remove_volumes(&namespace, 3);
}
