//! Finds a Java runtime and its version, without starting it where that can be avoided.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotfish_process::{Command, Environment, ErrorTarget, OutputTarget, SearchPath};
use tokio::io::AsyncReadExt as _;

use super::JvmError;
use crate::cli::JavaSettings;

/// Controllers whose remoting library runs on less are older than this agent supports.
pub(crate) const OLDEST: u32 = 11;

/// How long `java -version` may take; it needs a tenth of a second on any machine that builds.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// The `release` file of a JDK has some two kilobytes.
const MAX_RELEASE_BYTES: u64 = 64 << 10;

/// What `java -version` prints is three lines.
const MAX_PROBE_BYTES: usize = 4 << 10;

/// A version of Java.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JavaVersion {
    /// The number that people use: 8, 11, 17.
    pub(crate) feature: u32,
    /// As the runtime says it, such as `17.0.15`.
    pub(crate) text: String,
}

/// A Java runtime of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Java {
    pub(crate) binary: PathBuf,
    pub(crate) version: JavaVersion,
}

/// A place where Java may be, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    binary: PathBuf,
    /// Named on purpose for this agent: no other is taken instead.
    binding: bool,
    named_by: &'static str,
}

impl fmt::Display for JavaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JavaVersion {
    /// Reads `1.8.0_402`, `17.0.15`, `25-ea`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let first: u32 = numbers.next()?.parse().ok()?;
        let feature = if first == 1 { numbers.next()?.parse().ok()? } else { first };
        Some(Self { feature, text: text.to_owned() })
    }

    /// From the file `release` in a JDK's directory.
    fn in_release_file(text: &str) -> Option<Self> {
        let value = text.lines().find_map(|line| line.trim().strip_prefix("JAVA_VERSION="))?;
        Self::parse(value.trim().trim_matches('"'))
    }

    /// From what `java -version` prints, after lines about variables that it picked up.
    fn in_output(text: &str) -> Option<Self> {
        text.lines().filter(|line| line.contains(" version ")).find_map(|line| {
            let (_, rest) = line.split_once('"')?;
            Self::parse(rest.split_once('"')?.0)
        })
    }
}

/// The first runtime that is new enough: `JENKINS_JAVA_BIN` alone if it is set, else `JAVA_HOME`, else
/// the `java` of each directory of `PATH`.
///
/// # Errors
/// None was found, or only older ones.
pub(crate) async fn find(
    settings: &JavaSettings,
    environment: &Environment,
    needed: u32,
) -> Result<Java, JvmError> {
    let needed = needed.max(OLDEST);
    let candidates = candidates(settings, environment);
    let mut too_old: Option<Java> = None;
    let mut broken = None;
    for candidate in candidates {
        match version_of(&candidate.binary, environment).await {
            Ok(version) if version.feature >= needed => {
                return Ok(Java { binary: candidate.binary, version });
            }
            Ok(version) => {
                let found = Java { binary: candidate.binary, version };
                if too_old.as_ref().is_none_or(|old| old.version.feature < found.version.feature) {
                    too_old = Some(found);
                }
            }
            Err(problem) if candidate.binding => {
                let binary = candidate.binary.display().to_string();
                return Err(JvmError::BadJava { binary, named_by: candidate.named_by, problem });
            }
            Err(problem) => {
                tracing::debug!(binary = %candidate.binary.display(), problem, "no usable Java");
                broken.get_or_insert((candidate, problem));
            }
        }
    }
    match (too_old, broken) {
        (Some(Java { binary, version }), _) => Err(JvmError::OldJava {
            binary: binary.display().to_string(),
            version: version.text,
            needed,
        }),
        (None, Some((candidate, problem))) => Err(JvmError::BadJava {
            binary: candidate.binary.display().to_string(),
            named_by: candidate.named_by,
            problem,
        }),
        (None, None) => Err(JvmError::NoJava { needed }),
    }
}

fn candidates(settings: &JavaSettings, environment: &Environment) -> Vec<Candidate> {
    if let Some(binary) = &settings.binary {
        let binary = match binary.components().count() {
            // A bare name is looked up, as a shell does in the entry point of the Java agent.
            1 => in_path(environment, binary).into_iter().next().unwrap_or_else(|| binary.clone()),
            _ => binary.clone(),
        };
        return vec![Candidate { binary, binding: true, named_by: "JENKINS_JAVA_BIN" }];
    }
    let mut found = Vec::new();
    if let Some(home) = &settings.home {
        let binary = home.join("bin/java");
        found.push(Candidate { binary, binding: false, named_by: "JAVA_HOME" });
    }
    found.extend(in_path(environment, Path::new("java")).into_iter().map(|binary| Candidate {
        binary,
        binding: false,
        named_by: "PATH",
    }));
    found
}

fn in_path(environment: &Environment, name: &Path) -> Vec<PathBuf> {
    let directories = environment.get("PATH").unwrap_or("/usr/bin:/bin");
    std::env::split_paths(directories)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .filter(|binary| binary.is_file())
        .collect()
}

/// The version of a runtime: from the file beside it, else from itself.
async fn version_of(binary: &Path, environment: &Environment) -> Result<JavaVersion, String> {
    let path = binary.to_owned();
    let read = tokio::task::spawn_blocking(move || from_release_file(&path)).await;
    match read {
        Ok(Ok(Some(version))) => Ok(version),
        Ok(Ok(None)) => probe(binary, environment).await,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the agent is shutting down".to_owned()),
    }
}

/// `bin/java` stands two levels below the file, once links such as those of Debian's alternatives are
/// followed. A script of a version manager has none.
fn from_release_file(binary: &Path) -> std::io::Result<Option<JavaVersion>> {
    let real = fs::canonicalize(binary)?;
    let Some(home) = real.parent().and_then(Path::parent) else { return Ok(None) };
    // A JRE of Java 8 lies in a directory of its JDK.
    for directory in [Some(home), home.parent()].into_iter().flatten() {
        let Ok(file) = fs::File::open(directory.join("release")) else { continue };
        let mut text = String::new();
        if file.take(MAX_RELEASE_BYTES).read_to_string(&mut text).is_ok()
            && let Some(version) = JavaVersion::in_release_file(&text)
        {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

async fn probe(binary: &Path, environment: &Environment) -> Result<JavaVersion, String> {
    let Some(path) = binary.to_str() else { return Err("its path is not UTF-8".to_owned()) };
    let command = Command::new([path, "-version"], SearchPath::of(environment))
        .environment(environment.clone())
        .stdout(OutputTarget::Piped)
        .stderr(ErrorTarget::Output);
    let work = async {
        let mut child = command.start().await.map_err(|error| error.to_string())?;
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let limit = u64::try_from(MAX_PROBE_BYTES).unwrap_or(u64::MAX);
            stdout.take(limit).read_to_end(&mut output).await.map_err(|error| error.to_string())?;
        }
        let output = String::from_utf8_lossy(&output);
        JavaVersion::in_output(&output).ok_or_else(|| {
            let line = output.lines().next().unwrap_or("nothing").trim();
            format!("`java -version` says no version but: {line}")
        })
    };
    match tokio::time::timeout(PROBE_LIMIT, work).await {
        Ok(version) => version,
        Err(_) => Err(format!("`java -version` took longer than {} s", PROBE_LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn feature(text: &str) -> Option<u32> {
        JavaVersion::parse(text).map(|version| version.feature)
    }

    /// A directory with a `java` that prints `output`, and with a release file of `release`.
    fn runtime(output: &str, release: Option<&str>) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        let java = home.path().join("bin/java");
        fs::write(&java, format!("#!/bin/sh\nprintf '%s\\n' '{output}' >&2\n")).unwrap();
        fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(version) = release {
            let text = format!("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"{version}\"\nOS_ARCH=\"y\"\n");
            fs::write(home.path().join("release"), text).unwrap();
        }
        home
    }

    fn path(directories: &[&Path]) -> Environment {
        let joined = std::env::join_paths(directories).unwrap();
        [("PATH".to_owned(), joined.into_string().unwrap())].into_iter().collect()
    }

    #[test]
    fn versions_of_all_ages_are_read() {
        assert_eq!(feature("1.8.0_402"), Some(8));
        assert_eq!(feature("17.0.15"), Some(17));
        assert_eq!(feature("25-ea"), Some(25));
        assert_eq!(feature("21"), Some(21));
        assert_eq!(feature("x"), None);
        let output =
            "Picked up JAVA_TOOL_OPTIONS: -Dversion=\"9\"\nopenjdk version \"21.0.2\" 2024-01-16\n";
        assert_eq!(JavaVersion::in_output(output).unwrap().text, "21.0.2");
    }

    #[tokio::test]
    async fn the_first_that_is_new_enough_is_taken() {
        let (old, new) = (runtime("", Some("11.0.2")), runtime("", Some("21.0.1")));
        let (old_bin, new_bin) = (old.path().join("bin"), new.path().join("bin"));
        let environment = path(&[&old_bin, &new_bin]);
        let settings = JavaSettings::default();
        let java = find(&settings, &environment, 17).await.unwrap();
        assert_eq!(java.binary, new_bin.join("java"));
        assert_eq!(find(&settings, &environment, 8).await.unwrap().version.feature, 11);

        let home = Some(new.path().to_owned());
        let settings = JavaSettings { home, ..JavaSettings::default() };
        assert_eq!(find(&settings, &path(&[&old_bin]), 8).await.unwrap().version.feature, 21);
    }

    #[tokio::test]
    async fn a_runtime_without_a_release_file_is_asked() {
        let home = runtime("openjdk version \"17.0.9\" 2023-10-17", None);
        let settings =
            JavaSettings { home: Some(home.path().to_owned()), ..JavaSettings::default() };
        let java = find(&settings, &path(&[]), 17).await.unwrap();
        assert_eq!(java.version.text, "17.0.9");
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_what_to_do() {
        let old = runtime("", Some("11.0.2"));
        let environment = path(&[&old.path().join("bin")]);
        let error = find(&JavaSettings::default(), &environment, 21).await.unwrap_err().to_string();
        assert!(error.contains("Java 11.0.2") && error.contains("Java 21 or later"), "{error}");

        let error = find(&JavaSettings::default(), &path(&[]), 17).await.unwrap_err().to_string();
        assert!(error.contains("Java 17 or later") && error.contains("full"), "{error}");

        // One that was named on purpose is not replaced by another.
        let binary = Some(PathBuf::from("/no/such/java"));
        let settings = JavaSettings { binary, ..JavaSettings::default() };
        let error = find(&settings, &environment, 11).await.unwrap_err().to_string();
        assert!(error.contains("JENKINS_JAVA_BIN") && error.contains("/no/such/java"), "{error}");

        let silent = runtime("hello", None);
        let home = Some(silent.path().to_owned());
        let settings = JavaSettings { home, ..JavaSettings::default() };
        let error = find(&settings, &path(&[]), 11).await.unwrap_err().to_string();
        assert!(error.contains("says no version but: hello"), "{error}");
    }
}
