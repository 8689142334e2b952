//! Images of tests, given to the node.

use std::path::Path;
use std::process::Command;

use pilotfish_images::{Config, Flavour, Image, Layer, Programs};
use pilotfish_kubernetes::Cluster;

use super::given;

/// Where Debian puts a busybox that needs no library.
pub const BUSYBOX: &str = "/bin/busybox";

/// Makes an image of one layer and gives it to the node.
pub fn give(cluster: &Cluster, name: &str, config: Config, layer: &Layer) {
    let mut image = Image::new(config, 0);
    image.layer("pilotfish-kubernetes", |writer| layer.write_to(writer, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    image.write(&archive, name).unwrap();
    cluster.import(&archive).unwrap();
}

/// The names of what busybox can do.
pub fn applets() -> Vec<String> {
    let names = Command::new(BUSYBOX).arg("--list").output().unwrap();
    String::from_utf8(names.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The agent's image with the authority of the cluster's certificates in it, as of a company that has its own.
pub fn agent_that_trusts_the_cluster(cluster: &Cluster) -> String {
    const NAME: &str = "localhost/agent-with-authority:1";
    const AUTHORITY: &str = "etc/authority.pem";
    let (agent, applets) = (given("PILOTFISH_TEST_AGENT"), applets());
    let busybox = Some((Path::new(BUSYBOX), applets.as_slice()));
    let authority = std::fs::read(cluster.state().path("pki/ca.crt")).unwrap();
    let layer = Flavour::Static.layer(Programs { own: &agent, busybox });
    let mut config = Flavour::Static.config("test", "test");
    config.env.push(format!("SSL_CERT_FILE=/{AUTHORITY}"));
    give(cluster, NAME, config, &layer.file(AUTHORITY, 0o644, authority));
    NAME.to_owned()
}
