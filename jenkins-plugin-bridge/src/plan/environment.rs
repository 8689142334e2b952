//! How parameters reach scripts: as environment variables, and which names and values may.

use std::collections::BTreeMap;

use serde_json::Value;

use super::property::Property;
use super::template::value_text;

/// The most bytes of a value in a variable. Linux takes 128 KiB for `NAME=value`; the rest is
/// room for the name and for what a tool may put in front.
pub const MAX_VARIABLE: usize = 96 * 1024;
/// The most bytes of all variables of a stage. Linux takes a quarter of the stack, 2 MiB by
/// default, for variables and arguments together.
pub const MAX_ENVIRONMENT: usize = 1024 * 1024;

/// Names that steer programs, in upper case.
const FORBIDDEN: &[&str] = &[
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "PS1",
    "PS2",
    "PS4",
    "CDPATH",
    "GLOBIGNORE",
    "PROMPT_COMMAND",
    "TMPDIR",
    "TMP",
    "TEMP",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "USER",
    "LOGNAME",
    "PWD",
    "OLDPWD",
    "TERM",
    "TERMINFO",
    "LOCPATH",
    "NLSPATH",
    "LANG",
    "LANGUAGE",
    "GCONV_PATH",
    "HOSTALIASES",
    "RES_OPTIONS",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "PERLLIB",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JAVA_OPTS",
    "JAVA_HOME",
    "CLASSPATH",
    "MAVEN_OPTS",
    "MAVEN_ARGS",
    "MAVEN_CONFIG",
    "GRADLE_OPTS",
    "GRADLE_USER_HOME",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "GOFLAGS",
    "GOPATH",
    "GOROOT",
    "GOENV",
    "GOPROXY",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOPRIVATE",
    "GOINSECURE",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "MAKEFLAGS",
    "KUBECONFIG",
    "LESSOPEN",
    "LESSCLOSE",
    "LESS",
    "CURL_HOME",
    "CURL_CA_BUNDLE",
    "WGETRC",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "FTP_PROXY",
    "BUILD_ID",
    "BUILD_NUMBER",
    "BUILD_TAG",
    "BUILD_URL",
    "BUILD_DISPLAY_NAME",
    "JOB_NAME",
    "JOB_URL",
    "WORKSPACE",
    "NODE_NAME",
    "NODE_LABELS",
    "EXECUTOR_NUMBER",
    "CI",
];

/// Beginnings of names that steer programs, in upper case.
const FORBIDDEN_PREFIXES: &[&str] = &[
    "LD_",
    "DYLD_",
    "GIT_",
    "JENKINS_",
    "HUDSON_",
    "PILOTFISH_",
    "MATRIX_",
    "LC_",
    "SSH_",
    "RSYNC_",
    "DOCKER_",
    "HELM_",
    "SUDO_",
    "NPM_",
    "YARN_",
    "PIP_",
    "COMPOSER_",
    "CARGO_",
    "RUSTUP_",
    "MALLOC_",
    "XDG_",
    "AWS_",
    "SONAR_SCANNER_",
    "BASH_FUNC_",
    "GLIBC_",
];

/// Whether a variable of this name steers programs, so that no parameter may be bound to it.
#[must_use]
pub fn is_forbidden(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // PYTHONPATH and its kin, but not PYTHON_VERSION.
    let python = upper
        .strip_prefix("PYTHON")
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()));
    python
        || FORBIDDEN.contains(&upper.as_str())
        || FORBIDDEN_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

/// Whether a text can be the name of a variable.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
        && name.len() <= 128
}

/// The variable of a parameter: `x-env`, or its name in upper case.
#[must_use]
pub fn variable_of(parameter: &str, schema: &Value) -> String {
    match schema.get("x-env").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => parameter.to_ascii_uppercase().replace('-', "_"),
    }
}

/// Whether the value of a parameter is passed as a file.
#[must_use]
pub fn is_file(schema: &Value) -> bool {
    schema.get("x-pass").and_then(Value::as_str) == Some("file")
}

/// Where values go: variables with their text, and variables with the path of a file of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// Text by variable.
    pub variables: BTreeMap<String, String>,
    /// Text of files by variable.
    pub files: BTreeMap<String, String>,
}

/// The text of a value in a variable.
#[must_use]
pub fn variable_text(schema: &Value, value: &Value) -> String {
    match (value, schema.get("x-format").and_then(Value::as_str)) {
        (Value::Bool(is), _) => is.to_string(),
        (Value::Array(items), Some("lines")) => {
            items.iter().map(|one| format!("{}\n", value_text(one))).collect()
        }
        _ => value_text(value),
    }
}

impl Bound {
    /// Puts a parameter where its schema says.
    pub fn add(&mut self, parameter: &Property, value: &Value) {
        let target = if parameter.is_file { &mut self.files } else { &mut self.variables };
        target.insert(parameter.variable.clone(), parameter.text(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_steer_programs_are_forbidden_whatever_their_case() {
        for name in [
            "PATH",
            "path",
            "LD_PRELOAD",
            "Ld_Library_Path",
            "BASH_ENV",
            "ENV",
            "IFS",
            "GIT_SSH_COMMAND",
            "JENKINS_URL",
            "PILOTFISH_STAGE",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "pythonstartup",
            "_JAVA_OPTIONS",
            "http_proxy",
            "SSH_AUTH_SOCK",
            "MATRIX_PHP",
        ] {
            assert!(is_forbidden(name), "{name}");
        }
        for name in ["PYTHON_VERSION", "REPOSITORY", "BRANCH", "PHP_VERSION", "PATHS", "GITHUB"] {
            assert!(!is_forbidden(name), "{name}");
        }
    }
}
