//! The chart, by the real Helm.

use std::path::PathBuf;
use std::process::Command;

use super::account::Account;
use super::{Namespace, given, repository};

/// Name of the release, and of what it installs.
pub const RELEASE: &str = "pilotfish-bridge";

fn chart() -> PathBuf {
    repository("integration/charts/pilotfish-bridge")
}

/// Helm in a namespace; it must succeed.
pub fn helm(namespace: &Namespace<'_>, arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut helm = Command::new(given("PILOTFISH_TEST_HELM"));
    helm.args(arguments).args(["--namespace", &namespace.name]);
    helm.env("KUBECONFIG", namespace.cluster.state().kubeconfig());
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, dir.path());
    }
    let output = helm.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = || {
        let pods = namespace.kubectl(&["describe", "pods"]).unwrap_or_default();
        let logs =
            namespace.kubectl(&["logs", "--selector", "app.kubernetes.io/name=pilotfish-bridge"]);
        format!("{pods}\n{}", logs.unwrap_or_default())
    };
    assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stderr), told());
    text(&output.stdout)
}

/// A command of Helm on the chart, with values of its `ci` directory and some more.
pub fn on_chart(
    namespace: &Namespace<'_>,
    command: &[&str],
    values: &str,
    more: &[String],
) -> String {
    let (chart, values) = (chart(), chart().join("ci").join(values));
    let mut arguments = command.to_vec();
    arguments.push(chart.to_str().unwrap());
    arguments.extend(["--values", values.to_str().unwrap()]);
    arguments.extend(more.iter().map(String::as_str));
    helm(namespace, &arguments)
}

/// The account of the service, with the rights that the chart gives it with these values, and no others.
pub fn account_of_the_bridge(namespace: &Namespace<'_>, settings: &[String]) -> Account {
    // Helm asks no server here.
    let mut more = vec!["--kube-version=1.34.4".to_owned()];
    more.extend(settings.iter().map(|one| format!("--set={one}")));
    let template = ["template", RELEASE, "--show-only=templates/rbac.yaml"];
    let roles = on_chart(namespace, &template, "sqlite.yaml", &more);
    namespace.apply(&[], &roles).unwrap();
    Account::of(namespace, RELEASE)
}
