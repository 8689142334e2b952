//! What the controller's own pages ask of an agent: its log, environment, properties and threads.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Class, Datum, Field, Node, Object, jdk};
use jenkins_remoting::channel::{Call, Reply, Throwable};

use super::answer::text;
use super::monitors::{os_arch, os_name};
use super::{Connection, Entry, Job, Run};
use crate::logging::{JavaLevel, Record};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.EnvVars$GetEnvVars", run: Run::Now(env_vars) },
    Entry {
        class: "hudson.slaves.SlaveComputer$ListFullEnvironment",
        run: Run::Now(full_environment),
    },
    Entry { class: "hudson.slaves.SlaveComputer$SlaveLogFetcher", run: Run::Now(log) },
    Entry { class: "hudson.slaves.SlaveComputer$LoadingCount", run: Run::Now(zero_int) },
    Entry {
        class: "hudson.slaves.SlaveComputer$LoadingPrefetchCacheCount",
        run: Run::Now(zero_int),
    },
    Entry { class: "hudson.slaves.SlaveComputer$LoadingTime", run: Run::Now(zero_long) },
    Entry { class: "hudson.model.Computer$ListPossibleNames", run: Run::Blocking(possible_names) },
    Entry { class: "hudson.model.Computer$GetFallbackName", run: Run::Now(no_name) },
    Entry { class: "hudson.model.Computer$DumpExportTableTask", run: Run::Async(export_table) },
    Entry {
        class: "hudson.util.RemotingDiagnostics$GetSystemProperties",
        run: Run::Now(properties),
    },
    Entry { class: "hudson.util.RemotingDiagnostics$GetThreadDump", run: Run::Blocking(threads) },
];

static PLATFORM: Class = Class::enumeration("hudson.Platform");
static ENV_VARS: Class = Class::new("hudson.EnvVars", 4_320_331_661_987_259_022)
    .fields(&[Field::reference("platform", "Lhudson/Platform;")])
    .extends(&jdk::TREE_MAP);
static LEVEL: Class = Class::new("java.util.logging.Level", -8_176_160_795_706_313_070).fields(&[
    Field::int("value"),
    Field::string("name"),
    Field::string("resourceBundleName"),
]);
static LOG_RECORD: Class = Class::new("java.util.logging.LogRecord", 5_372_048_053_134_512_534)
    .fields(&[
        Field::long("millis"),
        Field::int("nanoAdjustment"),
        Field::long("sequenceNumber"),
        Field::int("threadID"),
        Field::reference("level", "Ljava/util/logging/Level;"),
        Field::string("loggerName"),
        Field::string("message"),
        Field::string("resourceBundleName"),
        Field::string("sourceClassName"),
        Field::string("sourceMethodName"),
        Field::reference("thrown", "Ljava/lang/Throwable;"),
    ])
    .with_write_method();

fn entries<'e>(variables: impl Iterator<Item = (&'e str, &'e str)>) -> Vec<(Datum, Datum)> {
    variables.map(|(name, value)| (text(name), text(value))).collect()
}

/// The environment that the controller takes as the base for builds of this node. It keeps it for the
/// whole connection. The agent's own secret is not in it, unlike that of a Java agent.
fn env_vars(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    let variables = entries(connection.context.environment.iter());
    let comparator = Object::new(&jdk::CASE_INSENSITIVE);
    let map = jdk::tree_map(&ENV_VARS, Some(comparator), variables);
    Ok(map.with("platform", Datum::Enum(&PLATFORM, "UNIX")).into())
}

/// The same, sorted by the code points of the names.
fn full_environment(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    let sorted: BTreeMap<&str, &str> = connection.context.environment.iter().collect();
    Ok(jdk::tree_map(&jdk::TREE_MAP, None, entries(sorted.into_iter())).into())
}

fn zero_int(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(jdk::integer(0))
}

fn zero_long(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(jdk::long(0))
}

/// The last records of the agent's log, the newest first.
fn log(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    let records = connection.context.logging.ring().newest_first();
    // Java numbers records as they are made; only the order matters to whoever reads them.
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    Ok(jdk::array_list((0..count).rev().zip(records).map(log_record).collect()))
}

fn log_record((sequence, record): (i64, Record)) -> Datum {
    let since = record.time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Its writeObject ends with its version, 1.0, and the number of parameters, -1 for none.
    let mut block = vec![1, 0];
    block.extend((-1_i32).to_be_bytes());
    Object::new(&LOG_RECORD)
        .with("millis", i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        .with("nanoAdjustment", i32::try_from(since.subsec_nanos() % 1_000_000).unwrap_or(0))
        .with("sequenceNumber", sequence)
        .with("threadID", 1)
        .with("level", level(record.level))
        .with("loggerName", record.logger.clone())
        .with("message", record.text())
        .with("sourceClassName", record.logger)
        .block(&LOG_RECORD, block)
        .into()
}

fn level(level: JavaLevel) -> Object {
    Object::new(&LEVEL)
        .with("value", level.value())
        .with("name", level.name().unwrap_or("INFO"))
        .with("resourceBundleName", "sun.util.logging.resources.logging")
}

/// `host.name`, a system property that administrators may set on a Java agent.
fn no_name(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(Datum::Null)
}

/// The IPv4 addresses that are not loopback ones.
fn possible_names(_: &Connection, _: &Call, _: Node<'_>) -> Result<Job, Throwable> {
    Ok(Box::new(|_| {
        let trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        Ok(jdk::array_list(local_addresses(&trie).into_iter().map(text).collect()))
    }))
}

/// The local addresses of the kernel's routing trie: a line with an address comes before the line
/// that calls it a local host.
fn local_addresses(trie: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = "";
    for line in trie.lines() {
        if line.contains("/32 host LOCAL") {
            let local = !last.starts_with("127.") && !found.iter().any(|known| known == last);
            if local && last.parse::<std::net::Ipv4Addr>().is_ok() {
                found.push(last.to_owned());
            }
        } else if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address.trim();
        }
    }
    found
}

fn export_table<'a>(_: &'a Connection, call: &'a Call, _: Node<'a>) -> BoxFuture<'a, Reply> {
    let channel = call.channel();
    let traffic = channel.traffic();
    let table = format!(
        "exported objects and streams: {}\nrunning requests: {}\ncommands in: {} ({} bytes)\n\
         commands out: {} ({} bytes)\n",
        channel.exported(),
        channel.running(),
        traffic.commands_in,
        traffic.bytes_in,
        traffic.commands_out,
        traffic.bytes_out,
    );
    async move { Reply::value(text(table)) }.boxed()
}

/// What a page of system properties can show of a program that is not Java.
fn properties(connection: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    let context = &connection.context;
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (user, home) = account(&passwd, rustix::process::getuid().as_raw());
    let home = home.or_else(|| context.environment.get("HOME")).unwrap_or("?").to_owned();
    let directory = std::env::current_dir().unwrap_or_default();
    let properties: BTreeMap<&str, String> = BTreeMap::from([
        ("file.encoding", "UTF-8".to_owned()),
        ("file.separator", "/".to_owned()),
        ("java.io.tmpdir", context.temporary.to_string_lossy().into_owned()),
        ("line.separator", "\n".to_owned()),
        ("os.arch", os_arch().to_owned()),
        ("os.name", os_name().to_owned()),
        ("os.version", rustix::system::uname().release().to_string_lossy().into_owned()),
        ("path.separator", ":".to_owned()),
        ("pilotfish.remoting.version", context.remoting_version.to_owned()),
        ("pilotfish.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("user.dir", directory.to_string_lossy().into_owned()),
        ("user.home", home),
        ("user.name", user.unwrap_or("?").to_owned()),
    ]);
    let pairs = properties.iter().map(|(name, value)| (*name, value.as_str()));
    Ok(jdk::tree_map(&jdk::TREE_MAP, None, entries(pairs)).into())
}

/// Name and home of a user, as Java's `user.name` and `user.home` have them: a service has no `USER` in its environment.
fn account(passwd: &str, uid: u32) -> (Option<&str>, Option<&str>) {
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let mine = fields.get(2)?.parse() == Ok(uid);
        mine.then_some((*fields.first()?, *fields.get(5)?))
    });
    entry.map_or((None, None), |(name, home)| {
        (Some(name), Some(home).filter(|home| !home.is_empty()))
    })
}

fn threads(_: &Connection, _: &Call, _: Node<'_>) -> Result<Job, Throwable> {
    Ok(Box::new(|_| {
        let mut threads = Vec::new();
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        for task in tasks {
            let id = task.file_name().to_string_lossy().into_owned();
            let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("");
            let name = format!("{} ({id})", read("comm").trim_end());
            let dump = format!("\"{name}\" state={}\n", state.trim());
            threads.push((text(name), text(dump)));
        }
        Ok(jdk::hash_map(threads))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbad\njenkins:x:1000:1000::/home/jenkins:/bin/sh\nbare:x:7:7:::\n";
        assert_eq!(account(passwd, 1000), (Some("jenkins"), Some("/home/jenkins")));
        assert_eq!(account(passwd, 7), (Some("bare"), None));
        assert_eq!(account(passwd, 10), (None, None));
    }

    #[test]
    fn local_addresses_are_found_once_and_without_loopback() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     \
                    |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                    Local:\n     |-- 10.0.0.7\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), ["10.0.0.7"]);
    }
}
