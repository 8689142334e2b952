//! Our own main class for the JVM (`jvm-launcher/pilotfish/jvm/Launcher.java`), compiled with the agent.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

include!(concat!(env!("OUT_DIR"), "/launcher_classes.rs"));

/// The class to start.
pub(crate) const MAIN_CLASS: &str = "pilotfish.jvm.Launcher";

/// The main class of the controller's own library, for an agent that was built without a Java compiler.
pub(crate) const PLAIN_MAIN_CLASS: &str = "hudson.remoting.Launcher";

/// What the class exits with when it does not know the remoting library's fields.
pub(crate) const CANNOT_RENUMBER: i32 = 97;

/// How many JVMs one after the other have ids of their own, as the channel counts them.
pub(crate) const MAX_GENERATIONS: u32 = jenkins_remoting::relay::MAX_GENERATIONS;

/// How many ids the class leaves to each JVM.
#[cfg(test)]
const IDS: i32 = 0x0100_0000;

/// The jar file with the class, the same bytes in every process of one build; `None` if the agent was
/// built without a Java compiler.
pub(crate) fn jar() -> Option<Vec<u8>> {
    if CLASSES.is_empty() {
        return None;
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for (name, bytes) in CLASSES {
        zip.start_file(*name, options).ok()?;
        zip.write_all(bytes).ok()?;
    }
    Some(zip.finish().ok()?.into_inner())
}

#[cfg(test)]
#[path = "launcher_tests.rs"]
mod tests;
