//! The text of `-help` and the versions.

use std::fmt::Write as _;

use super::options::OPTIONS;
use crate::exit::Exit;

/// The version of the remoting library whose behaviour the agent has, and which it reports to the
/// controller and with `-version`.
pub const REMOTING_VERSION: &str = "3355.v388858a_47b_33";

/// Name and version of this program.
pub const PRODUCT_VERSION: &str = concat!("pilotfish-agent ", env!("CARGO_PKG_VERSION"));

/// Width of the column with option names.
const NAMES_WIDTH: usize = 34;
/// Width of the column with descriptions.
const TEXT_WIDTH: usize = 64;

/// The text of `-help`.
#[must_use]
pub fn usage() -> String {
    let mut text = String::from(
        "Usage: pilotfish-agent -url URL -secret SECRET -name NAME -webSocket [options...]\n\
         \x20      pilotfish-agent exec-server --socket PATH [--allow-uid N] [-- COMMAND]\n\
         \x20                                    serve the steps of a tool container of the agent's pod\n\
         \x20      pilotfish-agent standby --standby-url URL --standby-id ID --standby-token-file FILE\n\
         \x20                                    [options...]  wait until the bridge gives it a node\n\
         \x20      pilotfish-agent callables     print the requests that are answered natively\n\
         \x20      pilotfish-agent COMMAND       become COMMAND (one word, no leading dash)\n\n\
         A Jenkins inbound agent. Takes the options of agent.jar and the variables of the\n\
         container entry point jenkins-agent; options win over variables. Every argument\n\
         @FILE stands for the lines of the file.\n\nOptions:\n",
    );
    for spec in OPTIONS.iter().filter(|spec| !spec.ignored) {
        let mut names = spec.name.to_owned();
        if let Some(value) = spec.value {
            names = format!("{names} {value}");
        }
        let mut help = spec.help.to_owned();
        if !spec.aliases.is_empty() {
            help = format!("{help} Also: {}.", spec.aliases.join(", "));
        }
        for (at, line) in wrapped(&help).iter().enumerate() {
            let names = if at == 0 { names.as_str() } else { "" };
            let _ = writeln!(text, "  {names:<NAMES_WIDTH$} {line}");
        }
    }
    let ignored: Vec<&str> =
        OPTIONS.iter().filter(|spec| spec.ignored).map(|spec| spec.name).collect();
    let _ = writeln!(
        text,
        "\nAccepted and without effect: {}\n\n\
         Exit codes: {} normal end, {} the agent could not go on, {} wrong configuration.",
        ignored.join(" "),
        Exit::Success.code(),
        Exit::Failure.code(),
        Exit::Configuration.code(),
    );
    text
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > TEXT_WIDTH);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
