//! Requests that a controller sends, made by hand: file callables and launches.

use java_object_stream::{Class, Datum, Field, Object, Plain, encode};

static FILE_PATH: Class =
    Class::new("hudson.FilePath", 1).fields(&[Field::string("remote")]).with_write_method();
static WRAPPER: Class = Class::new("hudson.FilePath$FileCallableWrapper", 1).fields(&[
    Field::reference("callable", "Lhudson/FilePath$FileCallable;"),
    Field::reference("filePath", "Lhudson/FilePath;"),
]);
static WRITE: Class = Class::new("hudson.FilePath$Write", 1)
    .fields(&[Field::string("content"), Field::string("encoding")]);
static RENAME: Class = Class::new("hudson.FilePath$RenameTo", 1)
    .fields(&[Field::reference("target", "Lhudson/FilePath;")]);
static TEXT_FILE: Class = Class::new("hudson.FilePath$CreateTextTempFile", 1).fields(&[
    Field::bool("inThisDirectory"),
    Field::string("contents"),
    Field::string("prefix"),
    Field::string("suffix"),
]);
static LAUNCH: Class = Class::new("hudson.Launcher$RemoteLaunchCallable", 1).fields(&[
    Field::bool("quiet"),
    Field::bool("reverseStderr"),
    Field::bool("reverseStdin"),
    Field::bool("reverseStdout"),
    Field::reference("cmd", "Ljava/util/List;"),
    Field::reference("env", "[Ljava/lang/String;"),
    Field::reference(
        "envVarsFilterRuleWrapper",
        "Ljenkins/tasks/filters/EnvVarsFilterRuleWrapper;",
    ),
    Field::reference("err", "Ljava/io/OutputStream;"),
    Field::reference("in", "Ljava/io/InputStream;"),
    Field::reference("listener", "Lhudson/model/TaskListener;"),
    Field::reference("masks", "[Z"),
    Field::reference("out", "Ljava/io/OutputStream;"),
    Field::reference("stdoutListener", "Lhudson/model/TaskListener;"),
    Field::string("workDir"),
]);

static KILL: Class = Class::new("hudson.Launcher$RemoteLauncher$KillTask", 1)
    .fields(&[Field::reference("modelEnvVars", "Ljava/util/Map;")]);
static SINGLETON_MAP: Class =
    Class::new("java.util.Collections$SingletonMap", -6_979_724_477_215_052_911).fields(&[
        Field::reference("k", "Ljava/lang/Object;"),
        Field::reference("v", "Ljava/lang/Object;"),
    ]);

/// A path of the agent's node: the zero says that it lies there.
fn file_path(path: &str) -> Datum {
    Object::new(&FILE_PATH).with("remote", path.to_owned()).block(&FILE_PATH, [0]).into()
}

fn payload(callable: Object) -> Vec<u8> {
    encode(&Datum::from(callable), &mut Plain).unwrap()
}

/// A file callable without fields, of any class.
pub fn on_file(class: &str, path: &str) -> Vec<u8> {
    // A class lives as long as the program, and this program is a test.
    let class: &'static Class = Box::leak(Box::new(Class::new(Box::leak(class.into()), 1)));
    wrapped(Object::new(class), path)
}

fn wrapped(callable: Object, path: &str) -> Vec<u8> {
    payload(Object::new(&WRAPPER).with("callable", callable).with("filePath", file_path(path)))
}

pub fn write(path: &str, content: &str) -> Vec<u8> {
    wrapped(Object::new(&WRITE).with("content", content.to_owned()), path)
}

pub fn rename(path: &str, target: &str) -> Vec<u8> {
    wrapped(Object::new(&RENAME).with("target", file_path(target)), path)
}

pub fn temporary_file(path: &str) -> Vec<u8> {
    let callable = Object::new(&TEXT_FILE)
        .with("inThisDirectory", false)
        .with("contents", "echo hello")
        .with("prefix", "jenkins")
        .with("suffix", ".sh");
    wrapped(callable, path)
}

/// A launch whose output nobody reads.
pub fn launch(command: &[&str], environment: &[&str], directory: &str) -> Vec<u8> {
    payload(launching(command, environment, directory).with("reverseStdout", true))
}

/// A launch whose output goes to a stream of the controller.
pub fn launch_to(stream: i32, command: &[&str]) -> Vec<u8> {
    payload(launching(command, &[], "/").with("out", jenkins_remoting::output_datum(stream)))
}

fn launching(command: &[&str], environment: &[&str], directory: &str) -> Object {
    let texts = |all: &[&str]| all.iter().map(|one| Datum::from((*one).to_owned())).collect();
    let environment = Datum::Array(&java_object_stream::jdk::STRING_ARRAY, texts(environment));
    Object::new(&LAUNCH)
        .with("quiet", true)
        .with("cmd", java_object_stream::jdk::array_list(texts(command)))
        .with("env", environment)
        .with("workDir", directory.to_owned())
}

/// The end of what has this variable, as a Pipeline sends it at the end of a `node` block.
pub fn kill(name: &str, value: &str) -> Vec<u8> {
    let variables =
        Object::new(&SINGLETON_MAP).with("k", name.to_owned()).with("v", value.to_owned());
    payload(Object::new(&KILL).with("modelEnvVars", variables))
}
