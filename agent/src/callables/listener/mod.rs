//! Task listeners: the graphs through which a controller says where a build's log goes and what must
//! be done to each line before.
//!
//! Where the controller polls, it decorates by itself. Where the agent pushes, masking of secrets is
//! the agent's duty: a decorator that is not known exactly is an error, never written past.

mod decorate;
mod mask;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use java_object_stream::{Node, ObjectId};
use jenkins_remoting::channel::{Call, Channel, IoScope, RemoteOutput, StreamError, Throwable};
use jenkins_remoting::output_of;
use tokio::runtime::Handle;

use super::Connection;
use super::unknown::limit;
use decorate::{Decorators, Transform};
use mask::Masker;

/// Writes two objects and none of the fields that it declares (`StreamTaskListener.writeObject`).
pub(super) const STREAM_TASK_LISTENER: &str = "hudson.util.StreamTaskListener";

const PIPELINE_LOG: &str = "org.jenkinsci.plugins.workflow.log.";

/// How deep listeners may wrap each other; real ones do so five or six times.
const MAX_DEPTH: usize = 32;

/// Reads the listeners of one request. Those that share a stream of the controller share it here.
pub(super) struct Listeners {
    channel: Channel,
    scope: IoScope,
    request: i32,
    streams: HashMap<ObjectId, Arc<RemoteOutput>>,
}

/// Where a part of a build's log goes. Dropping it gives the controller's stream back.
pub(super) struct Listener {
    out: Option<Arc<RemoteOutput>>,
    decorators: Decorators,
    /// Ends the log with a line end when it is closed.
    newline_safe: bool,
    ends_with_newline: bool,
    runtime: Handle,
}

/// What a listener is, before anything of the controller is taken for it.
#[derive(Default)]
struct Plan {
    out: Option<(ObjectId, i32)>,
    /// In the order in which bytes pass them.
    transforms: Vec<Transform>,
    newline_safe: bool,
}

impl Connection {
    /// A listener of a request, whose output reaches the controller before the answer does.
    pub(super) fn listener(&self, call: &Call, node: Node<'_>) -> Result<Listener, Throwable> {
        Listeners::of(call).read(node)
    }
}

impl Listeners {
    /// For listeners that write on behalf of a request.
    pub(super) fn of(call: &Call) -> Self {
        Self::with_scope(call, call.scope().clone(), call.id())
    }

    /// For listeners that outlive their request.
    pub(super) fn detached(call: &Call, scope: IoScope) -> Self {
        Self::with_scope(call, scope, 0)
    }

    fn with_scope(call: &Call, scope: IoScope, request: i32) -> Self {
        Self { channel: call.channel().clone(), scope, request, streams: HashMap::new() }
    }

    /// Whether a listener can be read.
    ///
    /// # Errors
    /// When any part of it is not known exactly.
    pub(super) fn check(node: Node<'_>) -> Result<(), Throwable> {
        Self::plan(node, 0).map(drop)
    }

    /// Reads a listener.
    ///
    /// # Errors
    /// When any part of it is not known exactly; nothing of it has been taken then.
    pub(super) fn read(&mut self, node: Node<'_>) -> Result<Listener, Throwable> {
        let plan = Self::plan(node, 0)?;
        let out = plan.out.map(|(id, oid)| {
            let (channel, scope, request) = (&self.channel, &self.scope, self.request);
            let opened = self
                .streams
                .entry(id)
                .or_insert_with(|| Arc::new(channel.output(oid, scope.clone(), request)));
            Arc::clone(opened)
        });
        Ok(Listener {
            out,
            decorators: Decorators::new(plan.transforms),
            newline_safe: plan.newline_safe,
            ends_with_newline: true,
            runtime: Handle::current(),
        })
    }

    fn plan(node: Node<'_>, depth: usize) -> Result<Plan, Throwable> {
        if node.is_null() {
            return Ok(Plan::default());
        }
        if depth > MAX_DEPTH {
            return Err(unknown(&node.class_name().unwrap_or_default()));
        }
        let class = node.class_name().unwrap_or_default();
        if node.is_a(STREAM_TASK_LISTENER) {
            let (_, values) = node.extra(STREAM_TASK_LISTENER)?;
            return match values.first() {
                Some(stream) => Self::direct(*stream),
                None => Err(unknown(&class)),
            };
        }
        match class.as_ref() {
            "hudson.util.LogTaskListener" | "hudson.model.NullTaskListener" => Ok(Plan::default()),
            "jenkins.util.BuildListenerAdapter" => Self::plan(node.field("delegate")?, depth + 1),
            "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$Execution$NewlineSafeTaskListener" =>
            {
                let mut plan = Self::plan(node.field("delegate")?, depth + 1)?;
                plan.newline_safe = true;
                Ok(plan)
            }
            _ => match class.strip_prefix(PIPELINE_LOG) {
                Some("BufferedBuildListener$Replacement") => Self::direct(node.field("ros")?),
                Some("TaskListenerDecorator$CloseableTaskListener") => {
                    Self::plan(node.field("mainDelegate")?, depth + 1)
                }
                Some("TaskListenerDecorator$DecoratedTaskListener") => Self::decorated(node, depth),
                _ => Err(unknown(&class)),
            },
        }
    }

    fn direct(stream: Node<'_>) -> Result<Plan, Throwable> {
        let oid = output_of(stream)?;
        let id = stream.id().ok_or_else(|| unknown("null"))?;
        Ok(Plan { out: Some((id, oid)), ..Plan::default() })
    }

    /// The first decorator of the list is next to the delegate, so bytes pass it last
    /// (`DecoratedTaskListener.getLogger`).
    fn decorated(node: Node<'_>, depth: usize) -> Result<Plan, Throwable> {
        let mut plan = Self::plan(node.field("delegate")?, depth + 1)?;
        let mut transforms = Vec::new();
        for decorator in node.field("decorators")?.elements()?.into_iter().rev() {
            decorator_transforms(decorator, &mut transforms, depth + 1)?;
        }
        transforms.append(&mut plan.transforms);
        Ok(Plan { transforms, ..plan })
    }
}

fn decorator_transforms(
    node: Node<'_>,
    transforms: &mut Vec<Transform>,
    depth: usize,
) -> Result<(), Throwable> {
    let class = node.class_name().unwrap_or_default();
    match class.as_ref() {
        _ if depth > MAX_DEPTH => Err(unknown(&class)),
        "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$MergedTaskListenerDecorator" => {
            // `original.decorate(subsequent.decorate(logger))`: bytes pass the original first.
            decorator_transforms(node.field("original")?, transforms, depth + 1)?;
            decorator_transforms(node.field("subsequent")?, transforms, depth + 1)
        }
        "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$ConsoleLogFilterAdapter" => {
            decorator_transforms(node.field("filter")?, transforms, depth + 1)
        }
        "hudson.plugins.timestamper.pipeline.GlobalDecorator" => {
            transforms.push(Transform::Timestamp);
            Ok(())
        }
        "org.jenkinsci.plugins.credentialsbinding.impl.BindingStep$Filter" => {
            transforms.push(Transform::Mask(masker(node)?));
            Ok(())
        }
        _ => Err(unknown(&class)),
    }
}

/// The filter of `withCredentials`. Its pattern is a `hudson.util.Secret`, which travels in clear.
fn masker(filter: Node<'_>) -> Result<Masker, Throwable> {
    let charset: Option<String> = filter.read_field("charsetName")?;
    let pattern = filter.field("pattern")?;
    let value: String = pattern.read_field("value")?;
    let masker = Masker::parse(&value, charset.as_deref().unwrap_or("UTF-8"));
    masker.ok_or_else(|| {
        limit(
            "mask the credentials of this build, whose pattern is of a form that it does not know",
        )
    })
}

fn unknown(class: &str) -> Throwable {
    limit(&format!("write to the build log through {class}"))
}

impl Listener {
    /// Writes to the log, through its decorators. These hold an unfinished line back.
    ///
    /// # Errors
    /// When the controller takes no more, or the channel ended.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let Some(out) = &self.out else { return Ok(()) };
        if let Some(last) = bytes.last() {
            self.ends_with_newline = *last == b'\n';
        }
        let decorated = self.decorators.decorate(bytes);
        if decorated.is_empty() { Ok(()) } else { out.write(Bytes::from(decorated)).await }
    }

    /// Waits until the controller has taken all that was written, and returns how many of the bytes
    /// written are still held back because their line is not finished.
    ///
    /// # Errors
    /// When the controller takes no more, or the channel ended.
    pub(super) async fn settle(&mut self) -> Result<usize, StreamError> {
        if let Some(out) = &self.out {
            out.acknowledged().await?;
        }
        Ok(self.decorators.held())
    }

    /// Writes what is held back and flushes the log.
    ///
    /// # Errors
    /// When the controller takes no more, or the channel ended.
    pub(super) async fn finish(&mut self) -> Result<(), StreamError> {
        if self.newline_safe && !self.ends_with_newline {
            self.write(b"\n").await?;
        }
        let Some(out) = &self.out else { return Ok(()) };
        let rest = self.decorators.finish();
        if !rest.is_empty() {
            out.write(Bytes::from(rest)).await?;
        }
        out.flush().await
    }

    /// [`Listener::write`] on a thread that may block.
    ///
    /// # Errors
    /// When the controller takes no more, or the channel ended.
    pub(super) fn write_blocking(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.write(bytes))
    }

    /// [`Listener::finish`] on a thread that may block.
    ///
    /// # Errors
    /// When the controller takes no more, or the channel ended.
    pub(super) fn finish_blocking(&mut self) -> Result<(), StreamError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.finish())
    }
}
