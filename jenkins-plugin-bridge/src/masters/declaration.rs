//! Masters that are declared over the API: what is said of one, and the file of them that `masters apply` sends.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{Labels, MasterSpec, Permission, problems_of};
use super::window::Window;
use crate::catalog::model::{Api, Identifier, Span};
use crate::catalog::read::problems_of_one;
use crate::error::Problem;

/// The format of a file of them.
pub const FORMAT: &str = "declared-masters";

/// A master that is declared over the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterDeclaration {
    /// Its name: the one of `PILOTFISH_CONTROLLER` there.
    pub name: Identifier,
    /// Address, with its context path.
    #[schemars(regex(pattern = "^https?://[^\\s]+$"))]
    pub url: String,
    /// User of the API.
    pub user: String,
    /// Which token that user has: the name of a file in the directory of `serve --master-tokens`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"))]
    pub token: String,
    /// Labels that builds may ask for.
    pub labels: Labels,
    /// Builds of the bridge at once, waiting there included. Its executors unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub capacity: Option<u32>,
    /// What the bridge may do there.
    #[serde(default)]
    pub permission: Permission,
    /// Place of the master. Builds go to a master of their own zone where one is as good as another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Identifier>,
    /// The cluster that its builds run on, for limits that hold for a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Identifier>,
    /// When it gets no new builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Window>,
    /// Time between two looks at it; 5s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_every: Option<Span>,
}

/// Marks a file of masters that are declared over the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeclaredKind {
    /// The only value.
    #[serde(rename = "declared-masters")]
    Kind,
}

/// Masters in a file, for `masters apply`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredMastersFile {
    /// Version of the file format.
    pub api: Api,
    /// `declared-masters`.
    pub kind: DeclaredKind,
    /// The masters.
    #[schemars(length(min = 1))]
    pub masters: Vec<MasterDeclaration>,
}

impl MasterDeclaration {
    /// As in the masters file, without the token.
    #[must_use]
    pub fn spec(&self) -> MasterSpec {
        let one = self.clone();
        MasterSpec {
            url: one.url,
            user: one.user,
            token_file: PathBuf::new(),
            ca_files: Vec::new(),
            proxy: None,
            labels: one.labels,
            capacity: one.capacity,
            permission: one.permission,
            zone: one.zone,
            cluster: one.cluster,
            maintenance: one.maintenance,
            look_every: one.look_every,
        }
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        // What came as JSON was not checked by the schema yet.
        let mut found = problems_of_one(FORMAT, "masters", self);
        found.extend(problems_of(&self.spec()));
        found
    }
}

impl DeclaredMastersFile {
    /// Everything that is wrong with the masters beside what the schema says.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut all = Vec::new();
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (index, master) in self.masters.iter().enumerate() {
            let at = |path: &str| format!("masters.{index}.{path}");
            let own = problems_of(&master.spec()).into_iter();
            all.extend(own.map(|one| Problem::new(at(&one.path), one.message)));
            if !names.insert(master.name.as_str()) {
                all.push(Problem::new(at("name"), format!("{} is there already", master.name)));
            }
            if !addresses.insert(master.url.trim_end_matches('/')) {
                let message = "is that of another one, too: one master has one name";
                all.push(Problem::new(at("url"), message));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::read::{typed, yaml};

    #[test]
    fn the_example_is_a_file_of_masters() {
        let text = include_str!("../../examples/declared-masters.yaml");
        let mut file: DeclaredMastersFile = typed(FORMAT, yaml(text).unwrap()).unwrap();
        assert_eq!(file.problems(), []);
        assert_eq!(file.masters[0].problems(), []);
        file.masters.push(file.masters[0].clone());
        file.masters[0].user = "a:b".to_owned();
        let paths: Vec<String> = file.problems().into_iter().map(|one| one.path).collect();
        let last = file.masters.len() - 1;
        assert_eq!(
            paths,
            [
                "masters.0.user".to_owned(),
                format!("masters.{last}.name"),
                format!("masters.{last}.url")
            ]
        );
    }

    #[test]
    fn what_came_as_json_is_held_to_the_schema() {
        let one: MasterDeclaration = serde_json::from_value(serde_json::json!({
            "name": "north", "url": "ftp://north/", "user": "me", "token": "../north", "labels": ["a b"],
            "capacity": 0
        }))
        .unwrap();
        let paths: BTreeSet<String> = one.problems().into_iter().map(|one| one.path).collect();
        let expected = ["capacity", "labels", "token", "url"].map(str::to_owned);
        assert!(
            expected.iter().all(|one| paths.iter().any(|path| path.starts_with(one))),
            "{paths:?}"
        );
    }
}
