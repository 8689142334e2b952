//! The class in a real JVM, with a library that has the parts of the remoting library that it reaches for.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::*;

/// What the class finds in every remoting library: names and types as there, and just enough in them to
/// see what was set.
const LIBRARY: &[(&str, &str)] = &[
    (
        "Request",
        "abstract class Request { private static int nextId; static int next() { return nextId; } }",
    ),
    ("ExportTable", "class ExportTable { private int iota = 2; int next() { return iota; } }"),
    ("JarCache", "public abstract class JarCache {}"),
    (
        "FileSystemJarCache",
        "public class FileSystemJarCache extends JarCache { final java.io.File root; \
         public FileSystemJarCache(java.io.File root, boolean touch) { this.root = root; } \
         public String toString() { return root.getPath(); } }",
    ),
    (
        "StandardOutputStream",
        "public class StandardOutputStream extends java.io.FileOutputStream { \
         StandardOutputStream() { super(java.io.FileDescriptor.out); } }",
    ),
    (
        "Channel",
        "public class Channel { public enum Mode { BINARY, TEXT } \
         private final ExportTable exportedObjects = new ExportTable(); \
         private final java.util.concurrent.atomic.AtomicInteger ioId = new java.util.concurrent.atomic.AtomicInteger(); \
         volatile int seen = -1; java.io.PrintStream out; String built; Thread reader; \
         public void join() throws Exception { reader.join(); \
         out.println(built + \" seen=\" + seen + \" requests=\" + Request.next() + \" exports=\" + exportedObjects.next() + \" io=\" + ioId.get()); out.flush(); } \
         int exports() { return exportedObjects.next(); } }",
    ),
    (
        "ChannelBuilder",
        "public class ChannelBuilder { String text; java.util.TreeMap<String, Object> properties = new java.util.TreeMap<>(); \
         public ChannelBuilder(String name, java.util.concurrent.ExecutorService executor) { text = name; } \
         public ChannelBuilder withJarCache(JarCache cache) { text += \" \" + cache; return this; } \
         public ChannelBuilder withMode(Channel.Mode mode) { text += \" \" + mode; return this; } \
         public ChannelBuilder withProperty(Object key, Object value) { properties.put(key.toString(), value); return this; } \
         public Channel build(java.io.InputStream in, java.io.OutputStream out) throws java.io.IOException { \
         Channel channel = new Channel(); channel.built = text + \" greeting=\" + in.read() + \" \" + properties.get(\"agent\"); \
         channel.out = new java.io.PrintStream(out); System.out.println(\"print\"); \
         channel.reader = new Thread(() -> { try { in.read(); channel.seen = channel.exports(); } catch (java.io.IOException e) { } }); \
         channel.reader.start(); return channel; } }",
    ),
];

/// Compiles the library, with changes to its sources.
fn compile(directory: &Path, change: (&str, &str)) {
    let mut files = Vec::new();
    for (name, source) in LIBRARY {
        let file = directory.join(format!("{name}.java"));
        let source = source.replace(change.0, change.1);
        std::fs::write(&file, format!("package hudson.remoting; {source}")).unwrap();
        files.push(file);
    }
    let output = Command::new("javac").arg("-d").arg(directory).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the class, with two bytes of input: a greeting and a command.
fn start(directory: &Path, generation: &str) -> Output {
    let jar_file = directory.join("launcher.jar");
    std::fs::write(&jar_file, jar().unwrap()).unwrap();
    let class_path = format!("{}:{}", directory.display(), jar_file.display());
    let mut child = Command::new("java")
        .args(["-cp", &class_path, MAIN_CLASS, generation, "node 1", "/cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A JVM that ends before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(&[7, 8]);
    child.wait_with_output().unwrap()
}

#[test]
fn the_jar_holds_the_class_and_is_always_the_same() {
    let Some(jar) = jar() else { return assert!(CLASSES.is_empty()) };
    assert_eq!(Some(&jar), super::jar().as_ref());
    let mut zip = zip::ZipArchive::new(Cursor::new(jar)).unwrap();
    let path = format!("{}.class", MAIN_CLASS.replace('.', "/"));
    assert!(zip.by_name(&path).is_ok());
}

#[test]
fn ids_of_the_last_generation_stay_below_ours() {
    let last = jenkins_remoting::relay::first_id(MAX_GENERATIONS - 1);
    assert_eq!(last.checked_add(IDS), Some(jenkins_remoting::channel::NATIVE_BASE));
}

#[test]
fn each_generation_has_ids_of_its_own_before_it_reads_a_command() {
    if CLASSES.is_empty() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    compile(directory.path(), ("", ""));
    for (generation, first) in [("0", 0), ("1", IDS), ("63", 63 * IDS)] {
        let output = start(directory.path(), generation);
        // What the library prints does not meet the protocol.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "print\n");
        let exports = first + 2;
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!(
                "node 1 /cache BINARY greeting=7 true seen={exports} requests={first} exports={exports} \
                 io={first}\n"
            )
        );
        assert!(output.status.success());
    }
}

#[test]
fn a_library_without_the_counters_is_left_alone_after_the_first_jvm() {
    if CLASSES.is_empty() {
        return;
    }
    // The first is set before the channel is built, the second after.
    for change in [("nextId", "nextNumber"), ("ioId", "ids")] {
        let directory = tempfile::tempdir().unwrap();
        compile(directory.path(), change);
        let output = start(directory.path(), "1");
        assert_eq!(output.status.code(), Some(CANNOT_RENUMBER), "{change:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("NoSuchFieldException"), "{errors}");
    }
}
