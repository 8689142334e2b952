//! What a plan needs of its master.

use super::model::Needs;
use crate::plan::{DecisionState, Plan, PlanNode};

impl Needs {
    /// Credentials that are not optional, and the plugins without which the library runs nothing of the plan: those
    /// that `Plans.used` of the library has no way around. Stages that are skipped need nothing.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut needs = Self::default();
        for node in plan.nodes() {
            let PlanNode::Stage(stage) = node else { continue };
            if stage.decision.state == DecisionState::Skipped {
                continue;
            }
            if stage.approval.is_some() {
                needs.plugins.insert("pipeline-input-step".to_owned());
            }
            if !stage.credentials.is_empty() {
                needs.plugins.insert("credentials-binding".to_owned());
            }
            let required = stage.credentials.iter().filter(|one| !one.optional);
            needs.credentials.extend(required.map(|one| one.id.to_string()));
        }
        needs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::catalog::Catalog;
    use crate::catalog::source::Files;
    use crate::plan::{PlanRequest, Prepared, Selection};

    const STAGE: &str = "api: pilotfish/v1\nkind: stage\nname: work\nversion: 1.0.0\ndescription: d\n\
        credentials: [{id: registry, type: secret-text, variable: TOKEN, optional: true}]\n\
        steps: [{script: 'true'}]\n";

    /// What a plan with these stages needs.
    fn needs(stages: &str) -> (Vec<String>, Vec<String>) {
        let mut files = Files::default();
        let head = |kind: &str, name: &str| {
            format!(
                "api: pilotfish/v1\nkind: {kind}\nname: {name}\nversion: 1.0.0\ndescription: d\n"
            )
        };
        files.0.insert("catalog.yaml".into(), head("catalog", "c"));
        files.0.insert("work.yaml".into(), STAGE.into());
        let must = STAGE.replace("name: work", "name: push").replace(", optional: true", "");
        files.0.insert("push.yaml".into(), must);
        let plain = head("stage", "plain") + "steps: [{script: 'true'}]\n";
        files.0.insert("plain.yaml".into(), plain);
        files.0.insert("p.yaml".into(), head("pipeline", "p") + "owners: us\nstages:\n" + stages);
        let catalog = Catalog::from_files(&files).unwrap();
        let request = PlanRequest {
            parameters: serde_json::from_value(json!({})).unwrap(),
            ..PlanRequest::default()
        };
        let prepared = Prepared::new(&catalog, "p", &Selection::default()).unwrap();
        let needs = Needs::of(&prepared.plan(&request).unwrap());
        let list = |of: BTreeSet<String>| of.into_iter().collect();
        (list(needs.credentials), list(needs.plugins))
    }

    #[test]
    fn what_the_library_cannot_go_without_is_needed_of_a_master() {
        let none = (vec![], vec![]);
        assert_eq!(needs("  - {name: a, uses: plain, lock: {resource: x}}\n"), none);
        let gate = "  - {name: a, uses: plain, approval: {message: 'Go?'}}\n";
        assert_eq!(needs(gate), (vec![], vec!["pipeline-input-step".into()]));
        assert_eq!(needs(&gate.replace("approval", "when: 'false', approval")), none);
        // The library binds what is there of those that are optional, and the plugin does that.
        let binding = vec!["credentials-binding".to_owned()];
        assert_eq!(needs("  - {name: a, uses: work}\n"), (vec![], binding.clone()));
        let both = (vec!["registry".to_owned()], binding);
        assert_eq!(needs("  - {name: a, uses: push}\n  - {name: b, uses: plain}\n"), both);
    }
}
