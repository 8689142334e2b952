//! What a controller asks right after an agent connected (`SlaveComputer.setChannel`), and how it
//! keeps in touch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Datum, Node, jdk};
use jenkins_remoting::channel::{Call, Channel, Reply, Throwable};

use super::answer::{file_path, text};
use super::{Connection, Entry, Run};
use crate::files::attributes::absolutize;
use crate::logging::JavaLevel;

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.slaves.SlaveComputer$SlaveVersion", run: Run::Now(version) },
    Entry { class: "hudson.slaves.SlaveComputer$CommunicationProtocol", run: Run::Now(protocol) },
    Entry { class: "hudson.slaves.SlaveComputer$DetectOS", run: Run::Now(is_unix) },
    Entry { class: "hudson.slaves.SlaveComputer$DetectDefaultCharset", run: Run::Now(charset) },
    Entry { class: "hudson.slaves.SlaveComputer$AbsolutePath", run: Run::Now(absolute_path) },
    Entry { class: "hudson.slaves.SlaveComputer$SlaveInitializer", run: Run::Now(null) },
    Entry { class: "hudson.slaves.ChannelPinger$SetUpRemotePing", run: Run::Async(set_up_ping) },
    Entry { class: "jenkins.slaves.StandardOutputSwapper$ChannelSwapper", run: Run::Now(no) },
    Entry {
        class: "jenkins.util.SystemProperties$AgentCopier$CopySystemProperties",
        run: Run::Now(copy_system_properties),
    },
    Entry { class: "hudson.logging.LogRecorder$SetLevel", run: Run::Now(set_level) },
    Entry {
        class: "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters",
        run: Run::Now(restarters),
    },
    Entry { class: "hudson.remoting.PingThread$Ping", run: Run::Now(null) },
    Entry { class: "hudson.slaves.ConnectionActivityMonitor$PingCommand", run: Run::Now(null) },
    Entry { class: "hudson.remoting.Channel$IOSyncer", run: Run::Now(null) },
    Entry { class: "hudson.remoting.Channel$SetMaximumBytecodeLevel", run: Run::Now(null) },
    Entry { class: "hudson.remoting.PreloadJarTask", run: Run::Now(no) },
    Entry { class: "hudson.remoting.PreloadJarTask2", run: Run::Now(no) },
    Entry {
        class: "org.csanchez.jenkins.plugins.kubernetes.KubernetesSlave$SlaveDisconnector",
        run: Run::Now(stay_away),
    },
    Entry { class: "hudson.FilePath$IsUnix", run: Run::Now(is_unix) },
    Entry { class: "hudson.FilePath$GetHomeDirectory", run: Run::Now(home) },
];

fn null(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(Datum::Null)
}

fn no(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(jdk::boolean(false))
}

fn is_unix(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(jdk::boolean(cfg!(unix)))
}

fn version(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(text(connection.context.remoting_version))
}

fn protocol(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(text(connection.context.protocol))
}

/// `Charset.defaultCharset()`, which is UTF-8 since Java 18.
fn charset(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(text("UTF-8"))
}

fn absolute_path(_: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let relative: String = callable.read_field("relativePath")?;
    Ok(text(absolutize(Path::new(&relative)).to_string_lossy()))
}

fn home(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    let home = connection.context.environment.get("HOME").unwrap_or("/");
    Ok(file_path(Path::new(home)))
}

/// Which restarters work: none, since whatever started this agent restarts it.
fn restarters(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(jdk::array_list(Vec::new()))
}

fn stay_away(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    connection.context.set_stay_away();
    Ok(Datum::Null)
}

fn copy_system_properties(connection: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let properties: BTreeMap<String, Option<String>> = callable.read_field("snapshot")?;
    connection.context.keep_system_properties(properties);
    Ok(Datum::Null)
}

fn set_level(connection: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let logger: Option<String> = callable.read_field("name")?;
    let level = callable.field("level")?;
    let level =
        if level.is_null() { None } else { JavaLevel::parse(&level.read_field::<String>("name")?) };
    connection.context.logging.set_level(&logger.unwrap_or_default(), level);
    Ok(Datum::Null)
}

/// Begins to ping the controller, as often as it says.
fn set_up_ping<'a>(
    connection: &'a Connection,
    call: &'a Call,
    callable: Node<'a>,
) -> BoxFuture<'a, Reply> {
    let seconds = |field| -> Result<Duration, Throwable> {
        let seconds: i32 = callable.read_field(field)?;
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    };
    let settings = seconds("pingIntervalSeconds").and_then(|interval| {
        let timeout = seconds("pingTimeoutSeconds")?;
        Ok((interval, timeout))
    });
    async move {
        match settings {
            Ok((interval, timeout)) => {
                if !interval.is_zero() && connection.first_ping_request() {
                    tokio::spawn(ping(call.channel().clone(), interval, timeout));
                }
                Reply::null()
            }
            Err(throwable) => Reply::throw(throwable),
        }
    }
    .boxed()
}

/// Pings until the channel ends, and ends it when no answer comes (`hudson.remoting.PingThread`).
async fn ping(channel: Channel, interval: Duration, timeout: Duration) {
    // Zero means no limit, as in Java.
    let timeout = if timeout.is_zero() { Duration::MAX } else { timeout };
    loop {
        match tokio::time::timeout(timeout, channel.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                if channel.end().is_none() {
                    tracing::warn!(%error, "the controller did not answer a ping as it should");
                }
                return;
            }
            Err(_) => {
                let text = format!(
                    "the controller answered no ping for {} seconds, so the connection is taken for dead",
                    timeout.as_secs()
                );
                tracing::error!("{text}");
                channel.close(&text).await;
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = channel.ended() => return,
        }
    }
}
