//! What happens to a callable that no handler knows when there is to be no JVM: a Java exception that
//! says so. The channel and the build's other steps go on.

use java_object_stream::Node;
use jenkins_remoting::channel::{Call, Throwable};
use jenkins_remoting::{input_of, output_of, proxy_of};

use super::Context;
use crate::jvm::{JvmError, explain};

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
            "the controller sent a callable that only a JVM can run; the step that needs it fails, as \
             --jvm=never says"
        );
    }
    Throwable::io(message(shown))
}

fn message(class: &str) -> String {
    explain(class, &JvmError::Never.to_string())
}

/// Something of a known request that only a JVM can do. The request is relayed if there may be one, so
/// nothing of it may have been taken before.
pub(crate) fn limit(what: &str) -> Throwable {
    Throwable::io(format!("the agent cannot {what} without a JVM: {}", JvmError::Never))
        .beyond_this_side()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_class_the_plugin_and_what_to_do() {
        let class = "hudson.tasks.junit.JUnitParser$DirectParseResultCallable";
        assert_eq!(
            message(class),
            "hudson.tasks.junit.JUnitParser$DirectParseResultCallable (JUnit plugin) needs a JVM on the \
             agent: --jvm=never forbids the agent to start a JVM: remove it, and install Java on the node"
        );
        assert!(limit("do this").is_beyond_this_side());
    }
}
