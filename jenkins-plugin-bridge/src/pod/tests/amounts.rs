//! What pods ask for.

use super::*;

#[test]
fn stages_at_the_same_time_add_up_and_others_take_the_largest() {
    let both = pod(&plan_of(TWO_AT_ONCE), &Profile::default());
    // 2 × 1Gi at once, 2Gi after that.
    assert_eq!(requests(&both, "tool"), json!({"cpu": "1", "memory": "2Gi"}));
    // The last stage sets no limit for it.
    assert_eq!(limits(&both, "tool"), json!(null));
    assert_eq!(requests(&both, "db"), json!({"cpu": "500m", "memory": "512Mi"}));
    assert_eq!(limits(&both, "db"), json!({"memory": "1Gi"}));
    let after = plan_of("- {name: one, uses: test}\n- {name: two, uses: test}");
    let after = pod(&after, &Profile::default());
    assert_eq!(requests(&after, "tool"), json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(limits(&after, "tool"), json!({"cpu": "2", "memory": "2Gi"}));
    let annotation = |pod: &RenderedPod| {
        pod.pod.metadata.annotations.as_ref().unwrap().get("pilotfish.io/shared").cloned()
    };
    assert_eq!(annotation(&both).as_deref(), Some("tool,db"));
    assert_eq!(annotation(&after), None);
}

#[test]
fn a_matrix_counts_as_many_as_run_at_once() {
    let matrix = |most: &str| {
        let text =
            format!("- {{name: grid, uses: test, matrix: {{axes: {{v: [1, 2, 3]}}{most}}}}}");
        requests(&pod(&plan_of(&text), &Profile::default()), "tool")
    };
    assert_eq!(matrix(""), json!({"cpu": "1500m", "memory": "3Gi"}));
    assert_eq!(matrix(", max_parallel: 2"), json!({"cpu": "1", "memory": "2Gi"}));
    assert_eq!(matrix(", max_parallel: 1"), json!({"cpu": "500m", "memory": "1Gi"}));
}

#[test]
fn skipped_stages_need_nothing_and_undecided_ones_do() {
    let text = "- {name: one, uses: test, when: 'false'}\n- {name: pack, uses: package, when: \"any_match(changed_files, '**')\"}";
    let pod = pod(&plan_of(text), &Profile::default());
    let names: Vec<&str> = containers(&pod).into_keys().collect();
    assert_eq!(names, ["jnlp", "pilotfish-inject", "plain", "tool"]);
    assert_eq!(pod.routes["pack/tool"], "tool");
    assert_eq!(pod.routes.len(), 2);
}

#[test]
fn a_pod_may_ask_as_a_whole_for_less() {
    let mut profile = Profile { requests: RequestStyle::Pod, ..Profile::default() };
    let document = plan_of(TWO_AT_ONCE);
    let pod_wide = pod(&document, &profile);
    let whole = spec(&pod_wide).resources.as_ref().unwrap().requests.clone().unwrap();
    // cpu: both stages (2 × 750m) and the agent; memory: the last stage's 3Gi, the agent, and two
    // exec servers.
    assert_eq!(json!(whole), json!({"cpu": "1600m", "memory": "3144Mi"}));
    profile.requests = RequestStyle::PerContainer;
    assert_eq!(spec(&pod(&document, &profile)).resources, None);
}
