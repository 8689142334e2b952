//! Tests of what needs no cluster.

use serde_json::{Value, json};

use super::model::BuildCluster;
use super::render::{images, namespace, objects, problems, profile, settings};
use crate::pod::{Profile, to_yaml};

fn place(spec: Value) -> BuildCluster {
    let object = json!({
        "apiVersion": "pilotfish.io/v1alpha1", "kind": "BuildCluster",
        "metadata": {"name": "frankfurt", "namespace": "ci", "generation": 1, "uid": "1"},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn whole() -> BuildCluster {
    let text = include_str!("../../../examples/operator/build-cluster.yaml");
    let value: Value = serde_saphyr::from_str(text).unwrap();
    place(value["spec"].clone())
}

#[test]
fn a_place_is_these_objects() {
    let place = whole();
    assert_eq!(problems(&place), []);
    let mut all = vec![namespace(&place)];
    all.extend(objects(&place));
    all.push(profile(&place));
    all.extend(settings(&place).unwrap().objects(&images(&place), "pilotfish-agent:0.1.0"));
    let text: String = all.iter().map(|one| format!("---\n{}", to_yaml(one))).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn its_pod_profile_is_one() {
    for place in [whole(), place(json!({"namespace": "builds"}))] {
        let object = profile(&place);
        let text = object["data"]["frankfurt.yaml"].as_str().unwrap();
        let read = Profile::read("frankfurt.yaml", text).unwrap();
        assert_eq!(read.namespace.unwrap().0, "builds");
    }
}

#[test]
fn everything_that_is_wrong_with_a_place_is_said_at_once() {
    let wrong = place(json!({
        "namespace": "kube-system", "clusterRef": {"apiVersion": "v1", "kind": "Cluster", "name": "a"},
        "access": [{"kind": "ServiceAccount", "name": "a"}, {"kind": "User", "name": "b", "namespace": "c"}],
        "network": {"egress": ["10.0.0.0/33", "internet"], "except": ["::1"]},
        "images": {"keeper": "image-cache", "agent": "a:1", "images": ["busybox"], "sizeGb": 1},
    }));
    let lines: Vec<String> = problems(&wrong).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_exception_stands_only_where_it_is_inside() {
    let place = place(json!({"namespace": "builds",
        "network": {"egress": ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8"], "except": ["10.1.0.0/16", "fd00::1/128"]}}));
    let all = objects(&place);
    let egress =
        all.iter().find(|one| one["metadata"]["name"] == "pilotfish-builds-egress").unwrap();
    let blocks = egress["spec"]["egress"][0]["to"].as_array().unwrap();
    let blocks: Vec<&Value> = blocks.iter().map(|one| &one["ipBlock"]).collect();
    assert_eq!(*blocks[0], json!({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}));
    assert_eq!(*blocks[1], json!({"cidr": "0.0.0.0/0", "except": ["10.1.0.0/16"]}));
    assert_eq!(*blocks[2], json!({"cidr": "fd00::/8", "except": ["fd00::1/128"]}));
}

#[test]
fn no_network_is_no_way_out_but_to_name_servers() {
    let all = objects(&place(json!({"namespace": "builds", "network": {"egress": []}})));
    let egress =
        all.iter().find(|one| one["metadata"]["name"] == "pilotfish-builds-egress").unwrap();
    let ways = egress["spec"]["egress"].as_array().unwrap();
    assert_eq!(ways.len(), 1);
    assert_eq!(ways[0]["ports"][0]["port"], 53);
}
