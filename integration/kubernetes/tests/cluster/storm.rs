//! Two hundred builds at once on nodes that only pretend: what the bridge asks of the API server.
//!
//! The bridge is a service account with no more rights than it needs, so that the API server's
//! audit log tells its calls from those of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pilotfish_bridge::cluster::{Cluster, ClusterSettings, Until, tidy_pods, watch_pods};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::account::Account;
use crate::support::storm::{pods, rights_of_the_bridge};
use crate::support::{Namespace, cluster};

/// How many builds come at once.
const PODS: usize = 200;
/// How long nothing may be asked when nothing happens. A loop that looks would look more often.
const IDLE: Duration = Duration::from_secs(12);

/// Calls by verb and kind.
type Calls = BTreeMap<String, usize>;

/// What the account has asked for, by the API server's own record. Each call has one line, a watch
/// one at its begin and one at its end.
fn calls(cluster: &pilotfish_kubernetes::Cluster, account: &Account) -> Calls {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let mut calls = Calls::new();
    // The last line may be half written.
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for call in lines.filter(|call| call["user"]["username"] == account.user) {
        let (verb, kind) = (call["verb"].as_str().unwrap(), &call["objectRef"]["resource"]);
        if verb == "watch" && call["stage"] == "ResponseComplete" {
            continue;
        }
        *calls.entry(format!("{verb} {}", kind.as_str().unwrap())).or_default() += 1;
    }
    calls
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn two_hundred_pods_at_once_cost_few_calls_each_and_none_when_they_run() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let account = Account::new(&namespace, "bridge", &rights_of_the_bridge());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let kubeconfig = Some(account.kubeconfig.clone());
        let settings = ClusterSettings { kubeconfig, ..ClusterSettings::default() };
        let bridge = Cluster::connect("storm", &settings).await.unwrap();
        let (sender, mut seen) = unbounded_channel();
        let watched = Some(namespace.name.clone());
        let watch = tokio::spawn(watch_pods(bridge.clone(), watched, move |one| {
            let _ = sender.send(one);
        }));

        // There is no node for them yet, as when an autoscaler has to make some.
        let made = join_all(pods(&namespace.name, PODS).iter().map(|pod| bridge.create(pod))).await;
        let made: Vec<_> = made.into_iter().map(|pod| Arc::new(pod.unwrap())).collect();
        let follow = made.iter().map(|pod| {
            let (bridge, pod) = (bridge.clone(), Arc::clone(pod));
            tokio::spawn(async move { bridge.follow(&pod, Until::Connected, |_, _| {}).await })
        });
        let follow: Vec<_> = follow.collect();
        let nodes = cluster.fake_nodes(4).unwrap();
        for followed in join_all(follow).await {
            let followed = followed.unwrap().unwrap();
            assert_eq!(followed.failure, None);
            assert!(followed.phases.connected_ms.is_some(), "{followed:?}");
        }
        for _ in 0..PODS {
            let one = seen.recv().await.unwrap();
            assert_eq!(one.failure, None);
            assert!(one.node.is_some_and(|node| node.starts_with("fake-")));
        }

        let storm = calls(&cluster, &account);
        // A pod and its budget are made, and each is looked at by the one who follows it.
        assert_eq!(storm["create pods"], PODS);
        assert_eq!(storm["create poddisruptionbudgets"], PODS);
        // One list and one watch of the service, and a few for a pod that is followed by itself.
        let all: usize = storm.values().sum();
        assert!(storm["watch pods"] <= PODS + 5, "{storm:#?}");
        assert!(all <= 7 * PODS + 20, "{all}: {storm:#?}");

        // Not an event that could be awaited: that there is none is what is asked.
        tokio::time::sleep(IDLE).await;
        assert_eq!(calls(&cluster, &account), storm, "calls while nothing happens");
        assert!(!watch.is_finished());
        watch.abort();

        // What has ended is removed, and nothing else.
        let (sender, mut removed) = unbounded_channel();
        let watched = Some(namespace.name.clone());
        let tidy = tokio::spawn(tidy_pods(bridge, watched, Duration::ZERO, move |name| {
            let _ = sender.send(name.to_owned());
        }));
        let mut ended: Vec<_> =
            made[..3].iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        for name in &ended {
            let status = json!({"status": {"phase": "Succeeded"}}).to_string();
            let patch = ["patch", "pod", name, "--subresource=status", "--patch", &status];
            namespace.kubectl(&patch).unwrap();
        }
        let mut gone =
            [removed.recv().await, removed.recv().await, removed.recv().await].map(Option::unwrap);
        gone.sort();
        ended.sort();
        assert_eq!(gone[..], ended);
        let now = calls(&cluster, &account);
        assert_eq!(now["delete pods"], 3);
        assert_eq!(now["list pods"], storm["list pods"] + 1);
        assert_eq!(now["watch pods"], storm["watch pods"] + 1);
        tidy.abort();
        drop(nodes);
    });
}
