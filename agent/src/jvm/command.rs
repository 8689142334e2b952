//! The command line of the JVM.

use std::borrow::Cow;
use std::path::Path;

use pilotfish_process::Environment;

use super::java::Java;
use super::{JvmError, launcher};

/// The most memory that the heap takes unless the user says otherwise. It takes as little as it can.
const HEAP: &str = "-Xmx512m";

/// Since this version file contents and names are UTF-8 whatever the locale (JEP 400).
const UTF_8_BY_DEFAULT: u32 = 18;

/// Since this version archives of classes log under another name (JEP 483).
const ARCHIVES_ARE_AOT: u32 = 24;

/// Everything that a command line is made of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) java: &'a Java,
    /// The remoting library of the controller.
    pub(crate) library: &'a Path,
    /// Our own main class; without it the library's own is started.
    pub(crate) launcher: Option<&'a Path>,
    pub(crate) classes: Classes<'a>,
    /// `JENKINS_JAVA_OPTS`: they stand behind ours, so they win.
    pub(crate) options: &'a [String],
    pub(crate) environment: &'a Environment,
    pub(crate) generation: u32,
    pub(crate) channel_name: &'a str,
    pub(crate) jar_cache: &'a Path,
}

/// The archive of classes (AppCDS), by which a JVM starts in half the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Classes<'a> {
    /// Use this one.
    Archive(&'a Path),
    /// There is none yet: write one here when the JVM ends.
    Write(&'a Path),
    /// Neither.
    Plain,
}

/// An option of the user whose log would come between the bytes of the protocol, sent to standard error.
fn off_standard_output(option: &str) -> Cow<'_, str> {
    match option {
        "-verbose:gc" | "-XX:+PrintGC" | "-Xlog" => return "-Xlog:gc:stderr".into(),
        "-XX:+PrintGCDetails" => return "-Xlog:gc*:stderr".into(),
        "-verbose" | "-verbose:class" => {
            return "-Xlog:class+load=info,class+unload=info:stderr".into();
        }
        _ => {}
    }
    // `-Xlog:[what][:[output][:[decorators][:options]]]`
    let Some(log) = option.strip_prefix("-Xlog:") else { return option.into() };
    let mut parts = log.splitn(3, ':');
    let (what, output, rest) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if matches!(what, "disable" | "help") || !matches!(output, None | Some("" | "stdout")) {
        return option.into();
    }
    match rest {
        Some(rest) => format!("-Xlog:{what}:stderr:{rest}").into(),
        None => format!("-Xlog:{what}:stderr").into(),
    }
}

impl Plan<'_> {
    /// Program and arguments.
    ///
    /// # Errors
    /// A path that cannot stand on a JVM's command line.
    pub(crate) fn arguments(&self) -> Result<Vec<String>, JvmError> {
        let mut arguments = vec![text(&self.java.binary)?.to_owned()];
        let mut add = |argument: &str| arguments.push(argument.to_owned());
        for option in [
            // Other makers' JVMs and coming versions lack some of these.
            "-XX:+IgnoreUnrecognizedVMOptions",
            // Standard output belongs to the protocol.
            "-XX:+DisplayVMOutputToStderr",
            "-Xlog:disable",
        ] {
            add(option);
        }
        // An archive of classes that does not fit is left aside without a word.
        add(if self.java.version.feature < ARCHIVES_ARE_AOT {
            "-Xlog:all=warning,cds*=off:stderr"
        } else {
            "-Xlog:all=warning,cds*=off,aot*=off:stderr"
        });
        if !self.chooses_collector() {
            add("-XX:+UseSerialGC");
        }
        for option in [
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-XX:MinHeapFreeRatio=10",
            "-XX:MaxHeapFreeRatio=30",
            HEAP,
        ] {
            add(option);
        }
        if self.launcher.is_some() {
            // A JVM that ran out of memory answers this or that and hangs in between. Its successor works.
            add("-XX:+ExitOnOutOfMemoryError");
        }
        if !self.chooses_archive() {
            match self.classes {
                Classes::Archive(path) => add(&format!("-XX:SharedArchiveFile={}", text(path)?)),
                Classes::Write(path) => add(&format!("-XX:ArchiveClassesAtExit={}", text(path)?)),
                Classes::Plain => {}
            }
        }
        add("-Djava.awt.headless=true");
        if self.java.version.feature < UTF_8_BY_DEFAULT {
            // What the native tier reports as the default charset.
            add("-Dfile.encoding=UTF-8");
        }
        for option in self.options {
            add(&off_standard_output(option));
        }
        add("-cp");
        let cache = text(self.jar_cache)?;
        match self.launcher {
            Some(launcher) => {
                add(&format!("{}:{}", entry(self.library)?, entry(launcher)?));
                let generation = self.generation.to_string();
                for word in [launcher::MAIN_CLASS, &generation, self.channel_name, cache] {
                    add(word);
                }
            }
            None => {
                add(entry(self.library)?);
                for word in [launcher::PLAIN_MAIN_CLASS, "-jar-cache", cache] {
                    add(word);
                }
            }
        }
        Ok(arguments)
    }

    /// Options of the user, those in variables that a JVM reads by itself included.
    fn given(&self) -> impl Iterator<Item = &str> {
        let variables = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];
        let variables = variables.into_iter().filter_map(|name| self.environment.get(name));
        let words = variables.flat_map(str::split_whitespace);
        self.options.iter().map(String::as_str).chain(words)
    }

    /// A JVM does not start with two collectors.
    fn chooses_collector(&self) -> bool {
        self.given().any(|option| option.starts_with("-XX:+Use") && option.ends_with("GC"))
    }

    fn chooses_archive(&self) -> bool {
        self.given().any(|option| {
            let own = ["-Xshare:", "-XX:SharedArchiveFile=", "-XX:ArchiveClassesAtExit="];
            own.iter().any(|prefix| option.starts_with(prefix)) || option.contains("SharedArchive")
        })
    }
}

fn text(path: &Path) -> Result<&str, JvmError> {
    path.to_str().ok_or_else(|| JvmError::Path {
        path: path.display().to_string(),
        problem: "it is not UTF-8",
    })
}

fn entry(path: &Path) -> Result<&str, JvmError> {
    let entry = text(path)?;
    if entry.contains(':') {
        let problem = "a colon ends an entry of the class path";
        return Err(JvmError::Path { path: entry.to_owned(), problem });
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::super::java::JavaVersion;
    use super::*;

    fn java(version: &str) -> Java {
        let version = JavaVersion::parse(version).unwrap();
        Java { binary: "/jdk/bin/java".into(), version }
    }

    fn plan<'a>(java: &'a Java, options: &'a [String], environment: &'a Environment) -> Plan<'a> {
        Plan {
            java,
            library: Path::new("/c/remoting-1.jar"),
            launcher: Some(Path::new("/c/launcher-1.jar")),
            classes: Classes::Plain,
            options,
            environment,
            generation: 2,
            channel_name: "node 1",
            jar_cache: Path::new("/c"),
        }
    }

    #[test]
    fn logs_of_the_user_go_to_standard_error() {
        for (given, sent) in [
            ("-verbose:gc", "-Xlog:gc:stderr"),
            ("-Xlog", "-Xlog:gc:stderr"),
            ("-Xlog:gc*", "-Xlog:gc*:stderr"),
            ("-Xlog:gc*::time,level", "-Xlog:gc*:stderr:time,level"),
            ("-Xlog:gc:stdout:uptime", "-Xlog:gc:stderr:uptime"),
            ("-Xlog::stdout", "-Xlog::stderr"),
            (
                "-Xlog:gc:file=/logs/gc.txt:time:filecount=5",
                "-Xlog:gc:file=/logs/gc.txt:time:filecount=5",
            ),
            ("-Xlog:gc:gc.txt", "-Xlog:gc:gc.txt"),
            ("-Xlog:disable", "-Xlog:disable"),
            ("-Xloggc:gc.txt", "-Xloggc:gc.txt"),
            ("-Xmx2g", "-Xmx2g"),
        ] {
            assert_eq!(off_standard_output(given), sent, "{given}");
        }
    }

    #[test]
    fn the_whole_line() {
        let (java, environment) = (java("17.0.1"), Environment::new());
        let options = ["-Xmx1g".to_owned()];
        let line = plan(&java, &options, &environment).arguments().unwrap();
        insta::assert_snapshot!(line.join("\n"), @r"
        /jdk/bin/java
        -XX:+IgnoreUnrecognizedVMOptions
        -XX:+DisplayVMOutputToStderr
        -Xlog:disable
        -Xlog:all=warning,cds*=off:stderr
        -XX:+UseSerialGC
        -XX:TieredStopAtLevel=1
        -XX:-UsePerfData
        -XX:MinHeapFreeRatio=10
        -XX:MaxHeapFreeRatio=30
        -Xmx512m
        -XX:+ExitOnOutOfMemoryError
        -Djava.awt.headless=true
        -Dfile.encoding=UTF-8
        -Xmx1g
        -cp
        /c/remoting-1.jar:/c/launcher-1.jar
        pilotfish.jvm.Launcher
        2
        node 1
        /c
        ");
    }

    #[test]
    fn without_our_class_the_librarys_own_is_started() {
        let (java, environment) = (java("21"), Environment::new());
        let plan = Plan { launcher: None, ..plan(&java, &[], &environment) };
        let line = plan.arguments().unwrap();
        let class = line.iter().position(|word| word == "hudson.remoting.Launcher").unwrap();
        assert_eq!(
            line[class - 1..],
            ["/c/remoting-1.jar", line[class].as_str(), "-jar-cache", "/c"]
        );
        assert!(!line.iter().any(|word| word.contains("ExitOnOutOfMemory")));
        assert!(!line.iter().any(|word| word.contains("file.encoding")));
    }

    #[test]
    fn what_the_user_chooses_is_not_chosen_twice() {
        let java = java("21");
        let has = |line: &[String], part: &str| line.iter().any(|word| word.contains(part));
        let environment = Environment::new();
        let options = ["-XX:+UseG1GC".to_owned()];
        let line = plan(&java, &options, &environment).arguments().unwrap();
        assert!(!has(&line, "UseSerialGC") && has(&line, "UseG1GC"));

        let variables: Environment =
            [("JAVA_TOOL_OPTIONS", "-ea -XX:+UseParallelGC")].into_iter().collect();
        assert!(!has(&plan(&java, &[], &variables).arguments().unwrap(), "UseSerialGC"));

        let classes = Classes::Archive(Path::new("/c/a.jsa"));
        let options = ["-Xshare:off".to_owned()];
        let own = Plan { classes, ..plan(&java, &options, &environment) };
        assert!(!has(&own.arguments().unwrap(), "a.jsa"));
        let ours = Plan { classes, ..plan(&java, &[], &environment) };
        assert!(has(&ours.arguments().unwrap(), "-XX:SharedArchiveFile=/c/a.jsa"));
    }

    #[test]
    fn a_path_that_would_be_two_is_refused() {
        let (java, environment) = (java("21"), Environment::new());
        let library = Path::new("/a:b/remoting.jar");
        let error = Plan { library, ..plan(&java, &[], &environment) }.arguments().unwrap_err();
        assert!(error.to_string().contains("/a:b/remoting.jar"), "{error}");
        assert!(error.is_lasting());
    }
}
