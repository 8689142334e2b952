//! What is in an image, as SPDX 2.3 (the software bill of materials).

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::archive::created;
use crate::debian::output;
use crate::error::Error;

/// A package of Debian or a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `deb` or `cargo`.
    kind: &'static str,
    name: String,
    version: String,
    /// An SPDX expression, where it is known.
    licence: Option<String>,
    /// The package's processor, where it has one.
    architecture: Option<String>,
}

impl Package {
    fn url(&self) -> String {
        let Self { kind, name, version, architecture, .. } = self;
        // `+` and `:` of Debian's versions have a meaning in addresses.
        let version = version.replace('+', "%2B").replace(':', "%3A");
        match architecture {
            Some(one) => format!("pkg:deb/debian/{name}@{version}?arch={one}"),
            None => format!("pkg:{kind}/{name}@{version}"),
        }
    }
}

/// The installed packages that Debian's status file lists.
#[must_use]
pub fn debian(status: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let field = |name: &str| {
            let found = paragraph.lines().find_map(|line| line.strip_prefix(name));
            found.map(|value| value.trim().to_owned())
        };
        let installed = field("Status:")?.ends_with(" installed");
        installed.then_some(Package {
            kind: "deb",
            name: field("Package:")?,
            version: field("Version:")?,
            licence: None,
            architecture: field("Architecture:"),
        })
    };
    status.split("\n\n").filter_map(package).collect()
}

/// The crates that are linked into a program of the workspace, as cargo resolves them.
///
/// # Errors
/// What cargo says.
pub fn crates(root: &Path, program: &str) -> Result<Vec<Package>, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["tree", "--locked", "--package", program]);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe"]);
    command.args(["--format", "{p}\t{l}"]);
    let mut all: Vec<Package> = output(&mut command)?.lines().filter_map(of_cargo).collect();
    all.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    all.dedup();
    Ok(all)
}

/// `name v1.2.3 (source)`, a tab, and the licence.
fn of_cargo(line: &str) -> Option<Package> {
    let (what, licence) = line.split_once('\t')?;
    let mut words = what.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // Old packages write a slash for OR.
    let licence = licence.trim().replace(" / ", "/").replace('/', " OR ");
    Some(Package {
        kind: "cargo",
        name: name.to_owned(),
        version: version.to_owned(),
        licence: (!licence.is_empty()).then_some(licence),
        architecture: None,
    })
}

/// The document about an image with this digest.
#[must_use]
pub fn document(image: &str, digest: &str, epoch: u64, packages: &[Package]) -> Value {
    let described = |(index, one): (usize, &Package)| {
        let licence = one.licence.as_deref().unwrap_or("NOASSERTION");
        json!({
            "SPDXID": format!("SPDXRef-{index}"),
            "name": one.name,
            "versionInfo": one.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": licence,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": one.url(),
            }],
        })
    };
    let whole = json!({
        "SPDXID": "SPDXRef-image",
        "name": image,
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{
            "algorithm": "SHA256",
            "checksumValue": digest.trim_start_matches("sha256:"),
        }],
    });
    let related = |kind: &str, from: &str, to: String| json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
    let contained =
        (0..packages.len()).map(|at| related("CONTAINS", "SPDXRef-image", format!("SPDXRef-{at}")));
    let describes = related("DESCRIBES", "SPDXRef-DOCUMENT", "SPDXRef-image".to_owned());
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image,
        "documentNamespace": format!(
            "{}/images/{}",
            env!("CARGO_PKG_REPOSITORY"),
            digest.trim_start_matches("sha256:")
        ),
        "creationInfo": {
            "created": created(epoch),
            "creators": [concat!("Tool: pilotfish-images-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": std::iter::once(whole)
            .chain(packages.iter().enumerate().map(described))
            .collect::<Vec<_>>(),
        "relationships": std::iter::once(describes).chain(contained).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_are_not_listed() {
        let status = "Package: git\nStatus: install ok installed\nArchitecture: amd64\n\
                      Version: 1:2.47.3-0+deb13u1\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let all = debian(status);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].url(), "pkg:deb/debian/git@1%3A2.47.3-0%2Bdeb13u1?arch=amd64");
    }

    #[test]
    fn crates_are_read_from_cargos_tree() {
        let found = of_cargo("ring v0.17.14\tApache-2.0 AND ISC").unwrap();
        assert_eq!(found.url(), "pkg:cargo/ring@0.17.14");
        assert_eq!(found.licence.as_deref(), Some("Apache-2.0 AND ISC"));
        let old = of_cargo("fnv v1.0.7\tApache-2.0 / MIT").unwrap();
        assert_eq!(old.licence.as_deref(), Some("Apache-2.0 OR MIT"));
        assert!(of_cargo("").is_none());
    }

    #[test]
    fn every_package_is_contained_in_the_image() {
        let crates = [of_cargo("ring v0.17.14\tISC").unwrap()];
        let all = document("pilotfish-agent:1", "sha256:abc", 0, &crates);
        assert_eq!(all["packages"][1]["name"], "ring");
        assert_eq!(all["relationships"][1]["relatedSpdxElement"], all["packages"][1]["SPDXID"]);
        assert_eq!(all["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    }
}
