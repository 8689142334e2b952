//! How an image was made, as an in-toto statement with SLSA's provenance v1.

use serde_json::{Value, json};

use crate::debian::Source;
use crate::flavour::Flavour;

/// What the statement is about.
#[derive(Debug)]
pub struct Made<'a> {
    /// Name of the image.
    pub image: &'a str,
    /// Digest of its manifest.
    pub digest: &'a str,
    /// Which flavour.
    pub flavour: Flavour,
    /// The commit of this repository.
    pub revision: &'a str,
    /// Digest of our program in it.
    pub program: &'a str,
    /// Where its Debian came from, where it has one.
    pub debian: Option<&'a Source>,
    /// The time of everything in it, in seconds since 1970.
    pub epoch: u64,
}

/// The statement. Who publishes the image signs it; here is no key.
#[must_use]
pub fn statement(made: &Made<'_>) -> Value {
    let repository = env!("CARGO_PKG_REPOSITORY");
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let mut dependencies = vec![
        json!({"uri": format!("git+{repository}"), "digest": {"gitCommit": made.revision}}),
        json!({"name": made.flavour.crate_name(), "digest": {"sha256": hex(made.program)}}),
    ];
    // Its packages and their versions are in the list of contents.
    dependencies.extend(made.debian.map(
        |source| json!({"name": "debian", "uri": format!("{}#{}", source.mirror, source.suite)}),
    ));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": made.image, "digest": {"sha256": hex(made.digest)}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{repository}/tree/main/integration/images"),
                "externalParameters": {
                    "flavour": made.flavour.name(),
                    "packages": made.flavour.packages(),
                },
                "internalParameters": {"SOURCE_DATE_EPOCH": made.epoch},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {"builder": {
                "id": format!("{repository}/integration/images"),
                "version": {"pilotfish-images": env!("CARGO_PKG_VERSION")},
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_names_the_image_and_what_it_is_made_of() {
        let debian =
            Source { suite: "trixie".into(), mirror: "http://deb.debian.org/debian".into() };
        let made = Made {
            image: "pilotfish-agent:1",
            digest: "sha256:aa",
            flavour: Flavour::Jre,
            revision: "c0ffee",
            program: "sha256:bb",
            debian: Some(&debian),
            epoch: 1,
        };
        let statement = statement(&made);
        assert_eq!(statement["subject"][0]["digest"]["sha256"], "aa");
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["resolvedDependencies"][0]["digest"]["gitCommit"], "c0ffee");
        assert_eq!(definition["resolvedDependencies"][1]["digest"]["sha256"], "bb");
        assert_eq!(
            definition["resolvedDependencies"][2]["uri"],
            "http://deb.debian.org/debian#trixie"
        );
    }
}
