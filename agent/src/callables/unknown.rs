//! What happens to a callable that no handler knows: a Java exception that says so. The channel and
//! the build's other steps go on.

use java_object_stream::Node;
use jenkins_remoting::channel::{Call, Throwable};
use jenkins_remoting::{input_of, output_of, proxy_of};

use super::Context;

/// Gives back what a refused request brought along, as a JVM would once it has collected it: streams
/// and proxies of the controller would otherwise stay in its export table for ever.
pub(crate) fn give_back(call: &Call, request: Node<'_>) {
    let channel = call.channel();
    for node in request.graph().objects() {
        if let Ok(oid) = output_of(node) {
            drop(call.output(oid));
        } else if let Ok(reference) = input_of(node) {
            drop(channel.input(reference));
        } else if let Some(reference) = proxy_of(node).filter(|_| !is_class_loader(node)) {
            drop(channel.proxy(reference));
        }
    }
}

/// The controller counts references to its class loaders too, and must never see the last of them go:
/// it would forget the loader that its next request, or our answer, names.
fn is_class_loader(node: Node<'_>) -> bool {
    let interfaces = node.proxy_interfaces().unwrap_or_default();
    interfaces.iter().any(|name| name == "hudson.remoting.RemoteClassLoader$IClassLoader")
}

/// Refuses a callable, counts it, and logs it once a class.
pub(crate) fn refuse(context: &Context, class: &str) -> Throwable {
    let shown = if class.is_empty() { "of an unreadable class" } else { class };
    if context.statistics.unknown(class) {
        tracing::warn!(
            class = shown,
            "the controller sent a callable that only a JVM can run; the step that needs it fails"
        );
    }
    Throwable::io(message(shown))
}

fn message(class: &str) -> String {
    format!(
        "this agent has no JVM and cannot run {class}{}: run the step on a node with the Java agent",
        plugin(class).map_or_else(String::new, |plugin| format!(" (of the {plugin})")),
    )
}

/// The plugin that a class most likely belongs to, for those that most builds meet.
fn plugin(class: &str) -> Option<&'static str> {
    const PLUGINS: [(&str, &str); 9] = [
        ("org.jenkinsci.plugins.gitclient.", "git client plugin"),
        ("hudson.plugins.git.", "git plugin"),
        ("hudson.tasks.junit.", "JUnit plugin"),
        ("io.jenkins.plugins.coverage.", "coverage plugin"),
        ("io.jenkins.plugins.analysis.", "warnings plugin"),
        ("hudson.maven.", "Maven integration plugin"),
        ("org.jenkinsci.plugins.docker.", "Docker Pipeline plugin"),
        ("hudson.scm.", "Subversion plugin"),
        ("hudson.util.RemotingDiagnostics$Script", "script console"),
    ];
    PLUGINS.iter().find(|(prefix, _)| class.starts_with(prefix)).map(|(_, plugin)| *plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_class_the_plugin_and_what_to_do() {
        let class = "hudson.tasks.junit.JUnitParser$DirectParseResultCallable";
        assert_eq!(
            message(class),
            "this agent has no JVM and cannot run hudson.tasks.junit.JUnitParser$DirectParseResultCallable \
             (of the JUnit plugin): run the step on a node with the Java agent"
        );
        assert!(!message("com.example.Thing").contains("(of"));
    }
}
