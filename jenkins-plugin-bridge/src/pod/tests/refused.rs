//! What is refused, and in which words.

use super::*;

#[test]
fn builders_in_user_namespaces_are_refused_where_there_are_none() {
    for builder in ["buildkit", "buildah"] {
        let text = format!("- {{name: image, uses: build, with: {{tool: {builder}}}}}");
        let document = plan_of(&text);
        let baseline = Profile { pod_security: PodSecurity::Baseline, ..Profile::default() };
        assert!(refusals(&document, &baseline)[0].contains("privileged"));
        let anything = Profile { pod_security: PodSecurity::Privileged, ..Profile::default() };
        let pod = pod(&document, &anything);
        let security = containers(&pod)[builder].security_context.clone().unwrap();
        assert_eq!(security.seccomp_profile.unwrap().type_, "Unconfined");
        assert_eq!(security.run_as_user, Some(1000));
        for flavour in [Flavour::Eci, Flavour::Fargate, Flavour::Aci, Flavour::VirtualKubelet] {
            let profile = Profile { flavour, ..anything.clone() };
            let refused = refusals(&document, &profile);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(refused[0].contains("user namespaces") && refused[0].contains("kaniko"));
        }
    }
}

#[test]
fn everything_that_speaks_against_a_pod_is_said_at_once() {
    let mut document = plan_of(
        "- {name: both, parallel: [{name: one, uses: test}, {name: two, uses: test}]}\n- {name: image, uses: build}",
    );
    // What a catalog's lint would have found: plans also come from elsewhere.
    let mut count = 0;
    change(&mut document.plan.stages, &mut |stage| {
        count += 1;
        match stage.name.as_str() {
            "one" => edit(stage, |stage| {
                stage["services"][0]["port"] = json!(10_250);
                stage["containers"][0]["caches"][0]["path"] = json!("/run/pilotfish/bin");
            }),
            "two" => edit(stage, |stage| {
                stage["services"][0]["image"] = json!("mysql:8");
                stage["services"][0]["port"] = json!(10_250);
                let container = &mut stage["containers"][0];
                container["limits"]["memory"] = json!("1Mi");
                container["image"] = json!("bare:1");
                let cache = container["caches"][0].clone();
                container["caches"] = json!([cache, cache]);
            }),
            _ => {}
        }
    });
    assert_eq!(count, 3);
    let most = crate::catalog::model::Resources {
        cpu: crate::catalog::model::Quantity::new("1500m").ok(),
        ..Default::default()
    };
    let profile = Profile { flavour: Flavour::Eci, most, ..Profile::default() };
    insta::assert_snapshot!(refusals(&document, &profile).join("\n"));
}

#[test]
fn serverless_instances_take_so_many_containers_and_no_more() {
    let stages: Vec<String> = (0..20).map(|v| format!("- {{name: s{v}, uses: package}}")).collect();
    let mut document = plan_of(&stages.join("\n"));
    let mut number = 0;
    change(&mut document.plan.stages, &mut |stage| {
        edit(stage, |stage| stage["containers"][0]["image"] = json!(format!("image:{number}")));
        number += 1;
    });
    let refused = refusals(&document, &example_profile("eci"));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("23 containers") && refused[0].contains("20 at most"));
    assert!(refusals(&document, &Profile::default()).is_empty());
}
