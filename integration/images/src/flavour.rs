//! The flavours of the images, and what is in each.

use clap::ValueEnum;

use crate::archive::{Config, architecture};
use crate::layer::Layer;

/// The user of all images, and its group.
pub const USER: u64 = 1000;
/// The program of the agent in all images for agents.
const AGENT: &str = "usr/local/bin/jenkins-agent";
/// A zip file without entries, which every reader of jars accepts.
const EMPTY_JAR: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Why it is there, for who looks into the image.
const ABOUT_JAR: &str = "agent.jar is empty: the agent is /usr/local/bin/jenkins-agent and needs no jar.\n\
     It is here for versions of the kubernetes plugin whose agent injection copies it by name.\n";

/// Which image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flavour {
    /// The agent with all that the official image has, and Java
    Full,
    /// The agent with Java
    Jre,
    /// The agent with busybox
    Static,
    /// The service
    Bridge,
}

/// The files of this machine that go into images.
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// The agent, or the bridge for its flavour.
    pub own: &'a std::path::Path,
    /// A static busybox, and the names that it answers to; only for [`Flavour::Static`].
    pub busybox: Option<(&'a std::path::Path, &'a [String])>,
}

impl Flavour {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Jre => "jre",
            Self::Static => "static",
            Self::Bridge => "bridge",
        }
    }

    /// The name of its image without registry and tag, and what follows the version in the tag.
    #[must_use]
    pub fn image(self) -> (&'static str, &'static str) {
        match self {
            Self::Full => ("pilotfish-agent", ""),
            Self::Jre => ("pilotfish-agent", "-jre"),
            Self::Static => ("pilotfish-agent", "-static"),
            Self::Bridge => ("pilotfish-bridge", ""),
        }
    }

    /// The crate whose program it has.
    #[must_use]
    pub fn crate_name(self) -> &'static str {
        if self == Self::Bridge { "pilotfish-bridge" } else { "pilotfish-agent" }
    }

    /// The packages of Debian below our own layer; `None` where there is no Debian below.
    #[must_use]
    pub fn packages(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Full => Some(&[
                "apt",
                "ca-certificates",
                "curl",
                "fontconfig",
                "git",
                "git-lfs",
                "less",
                "netbase",
                "openjdk-21-jre-headless",
                "openssh-client",
                "patch",
                "tzdata",
            ]),
            Self::Jre => Some(&["ca-certificates", "openjdk-21-jre-headless", "tzdata"]),
            Self::Static | Self::Bridge => None,
        }
    }

    /// How it starts.
    #[must_use]
    pub fn config(self, version: &str, revision: &str) -> Config {
        let (title, entry, home) = match self {
            Self::Bridge => ("pilotfish-bridge", "/usr/local/bin/pilotfish-bridge", STATE),
            _ => ("pilotfish-agent", "/usr/local/bin/jenkins-agent", "/home/jenkins"),
        };
        let mut environment = vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "LANG=C.UTF-8".to_owned(),
            "TZ=Etc/UTC".to_owned(),
        ];
        if self != Self::Bridge {
            environment.push("AGENT_WORKDIR=/home/jenkins/agent".to_owned());
            environment.push("USER=jenkins".to_owned());
        }
        if self.packages().is_some() {
            environment.push(format!("JAVA_HOME={JAVA_HOME}"));
        }
        let labels = [("title", title), ("version", version), ("revision", revision)];
        let labels = labels
            .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()));
        let serve = (self == Self::Bridge).then(|| "serve".to_owned());
        Config {
            user: Some(format!("{USER}:{USER}")),
            env: environment,
            entrypoint: vec![entry.to_owned()],
            cmd: serve.into_iter().collect(),
            working_dir: Some(home.to_owned()),
            labels: labels.into(),
        }
    }

    /// Our own files.
    #[must_use]
    pub fn layer(self, programs: Programs<'_>) -> Layer {
        let mut layer = Layer::new().directory("tmp", 0o1777, 0);
        if self.packages().is_none() {
            layer = accounts(layer);
        }
        if let Some((busybox, names)) = programs.busybox {
            layer = busybox_layer(layer, busybox, names);
        }
        if self == Self::Bridge {
            return layer.copy("usr/local/bin/pilotfish-bridge", 0o755, programs.own).directory(
                STATE.trim_start_matches('/'),
                0o755,
                USER,
            );
        }
        if self.packages().is_some() {
            layer = layer.link(JAVA_HOME.trim_start_matches('/'), &java());
        }
        layer
            .copy(AGENT, 0o755, programs.own)
            .link("usr/local/bin/jenkins-slave", "jenkins-agent")
            .link("usr/local/bin/pilotfish-agent", "jenkins-agent")
            .directory("usr/share/jenkins", 0o755, 0)
            .file("usr/share/jenkins/README", 0o644, ABOUT_JAR)
            .file("usr/share/jenkins/agent.jar", 0o644, EMPTY_JAR)
            .directory("home/jenkins", 0o755, USER)
            .directory("home/jenkins/.jenkins", 0o755, USER)
            .directory("home/jenkins/agent", 0o755, USER)
    }
}

/// Where the bridge starts, and may write: its database, unless another one is named.
const STATE: &str = "/var/lib/pilotfish";

/// Where Java is on every machine, whatever Debian calls its directory.
const JAVA_HOME: &str = "/usr/local/java";

/// Debian's directory for it, seen from its neighbours.
fn java() -> String {
    format!("../lib/jvm/java-21-openjdk-{}", architecture())
}

/// The accounts of an image without Debian.
#[must_use]
pub fn accounts(layer: Layer) -> Layer {
    let users = "root:x:0:0:root:/root:/bin/sh\n\
                 jenkins:x:1000:1000:Jenkins user:/home/jenkins:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
    let groups = "root:x:0:\njenkins:x:1000:\nnogroup:x:65534:\n";
    layer.file("etc/passwd", 0o644, users).file("etc/group", 0o644, groups)
}

/// A static busybox under all of its names.
#[must_use]
pub fn busybox_layer(layer: Layer, busybox: &std::path::Path, names: &[String]) -> Layer {
    let layer = layer.copy("bin/busybox", 0o755, busybox);
    let links = names.iter().filter(|name| *name != "busybox");
    links.fold(layer, |layer, name| layer.link(&format!("bin/{name}"), "busybox"))
}
