//! etcd, the API server, the controller manager and the scheduler.

use std::net::TcpStream;
use std::process::Command;

use crate::Cluster;
use crate::error::Error;
use crate::process::{start, wait};
use crate::state::{API_PORT, LOOPBACK, NODE_ADDRESS};

/// Where etcd listens, apart from the usual port, which may be taken.
const ETCD: &str = "127.0.0.1:22379";
/// Where it would listen for others of its kind.
const ETCD_PEERS: &str = "http://127.0.0.1:22380";
/// The API server writes its address into a service, and no address of the loopback network may
/// stand there. Without a node nobody uses it: one of a network for documentation.
const NOWHERE: &str = "192.0.2.1";

/// Starts etcd and the API server; [`wait_for_it`] waits for them.
pub(crate) fn start_servers(cluster: &Cluster) -> Result<(), Error> {
    let state = cluster.state();
    let mut etcd = cluster.part("etcd");
    etcd.args(["--name", "pilotfish", "--unsafe-no-fsync", "--log-level", "warn"]);
    etcd.arg("--data-dir").arg(state.path("etcd"));
    let url = format!("http://{ETCD}");
    etcd.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    etcd.args(["--listen-peer-urls", ETCD_PEERS, "--initial-advertise-peer-urls", ETCD_PEERS]);
    etcd.arg("--initial-cluster").arg(format!("pilotfish={ETCD_PEERS}"));
    start(state, "etcd", &mut etcd)?;
    wait(state, "etcd listening", 60, &["etcd"], || TcpStream::connect(ETCD).is_ok())?;
    let audit = state.configure("conf/audit.yaml", include_str!("../config/audit.yaml"))?;
    let mut server = api_server(cluster, &url);
    server.arg(format!("--audit-policy-file={}", audit.display()));
    server.arg(format!("--audit-log-path={}", cluster.audit_log().display()));
    start(state, "kube-apiserver", &mut server)
}

fn api_server(cluster: &Cluster, etcd: &str) -> Command {
    let file = |name: &str| cluster.state().path(format!("pki/{name}")).display().to_string();
    let (address, advertised) = match cluster.has_node() {
        true => (NODE_ADDRESS, NODE_ADDRESS),
        false => (LOOPBACK, NOWHERE),
    };
    let mut command = cluster.part("kube-apiserver");
    let options = [
        ("etcd-servers", etcd.to_owned()),
        ("bind-address", address.to_owned()),
        ("advertise-address", advertised.to_owned()),
        ("secure-port", API_PORT.to_string()),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("client-ca-file", file("ca.crt")),
        ("cert-dir", cluster.state().path("run").display().to_string()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
        ("service-account-key-file", file("tokens.pub")),
        ("service-account-signing-key-file", file("tokens.key")),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("kubelet-client-certificate", file("apiserver-kubelet.crt")),
        ("kubelet-client-key", file("apiserver-kubelet.key")),
        ("kubelet-certificate-authority", file("ca.crt")),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
    ];
    command.args(options.map(|(name, value)| format!("--{name}={value}")));
    command
}

/// Waits for the API server and starts what lives on it.
pub(crate) fn wait_for_it(cluster: &Cluster) -> Result<(), Error> {
    let state = cluster.state();
    let needs = ["etcd", "kube-apiserver"];
    wait(state, "the API server's /readyz", 180, &needs, || {
        cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok()
    })?;
    let pki = |name: &str| state.path(format!("pki/{name}")).display().to_string();
    let mut manager = on_api(cluster, "kube-controller-manager", "controller-manager");
    manager.arg("--use-service-account-credentials").args([
        format!("--service-account-private-key-file={}", pki("tokens.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--flex-volume-plugin-dir={}", state.path("run/volumeplugins").display()),
        // Two noisy processors may keep a node from telling that it lives.
        "--node-monitor-grace-period=60s".to_owned(),
    ]);
    start(state, "kube-controller-manager", &mut manager)?;
    let mut scheduler = on_api(cluster, "kube-scheduler", "scheduler");
    start(state, "kube-scheduler", &mut scheduler)
}

/// A part that logs in at the API server and asks it who others are.
fn on_api(cluster: &Cluster, name: &str, file: &str) -> Command {
    let config = cluster.state().path(format!("conf/{file}.kubeconfig")).display().to_string();
    let mut command = cluster.part(name);
    command.args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    command.arg(format!("--cert-dir={}", cluster.state().path("run").display()));
    command.args(
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|option| format!("--{option}={config}")),
    );
    command
}

/// Waits for the first thing that pods need of the controller manager.
pub(crate) fn wait_for_accounts(cluster: &Cluster) -> Result<(), Error> {
    let needs = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    wait(cluster.state(), "the default service account", 60, &needs, || {
        cluster.kubectl(&["get", "serviceaccount", "default"]).is_ok()
    })
}
