//! The file about a bucket.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::model::Api;
use crate::declared;
use crate::error::{BridgeError, Problem};

/// Marks a file about an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ArchiveKind {
    /// The only value.
    #[serde(rename = "archive")]
    Kind,
}

/// Where what builds left behind is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFile {
    /// Version of the file format.
    pub api: Api,
    /// `archive`.
    pub kind: ArchiveKind,
    /// A bucket of S3, or of what speaks as it does.
    pub s3: BucketSpec,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// Address of the service without the bucket, as `https://s3.example.com`.
    #[schemars(regex(pattern = "^https?://[^\\s?#@]+$"))]
    pub endpoint: String,
    /// Region that requests are signed for.
    #[serde(default = "region")]
    #[schemars(regex(pattern = "^[a-z0-9-]{1,64}$"))]
    pub region: String,
    /// Name of the bucket, of 3 to 63 letters, digits, dots and hyphens. It has to be there.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$"))]
    pub bucket: String,
    /// What the names of all objects begin with; a slash is put behind it.
    #[serde(default = "prefix")]
    #[schemars(regex(pattern = "^[A-Za-z0-9._/-]{0,200}$"))]
    pub prefix: String,
    /// How the bucket stands in addresses.
    #[serde(default)]
    pub addressing: Addressing,
    /// File with the id of the access key. Without it: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    /// AWS_SESSION_TOKEN; else AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_file: Option<PathBuf>,
    /// File with the secret of the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_file: Option<PathBuf>,
    /// File with the token of a session, where the access key is one of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_file: Option<PathBuf>,
    /// PEM files with authorities to trust besides the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<PathBuf>,
}

/// How a bucket stands in addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// In the path: `https://s3.example.com/bucket/…`.
    #[default]
    Path,
    /// In the name of the host: `https://bucket.s3.example.com/…`.
    VirtualHost,
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn prefix() -> String {
    "pilotfish".to_owned()
}

impl ArchiveFile {
    /// Reads a file about an archive.
    ///
    /// # Errors
    /// [`BridgeError::Archive`] with everything that is wrong, or [`BridgeError::Input`] where it cannot be
    /// read at all.
    pub fn load(file: &Path) -> Result<Self, BridgeError> {
        Self::read(&file.display().to_string(), &declared::text_of(file)?)
    }

    /// Reads the text of a file about an archive; `file` is its name in messages.
    ///
    /// # Errors
    /// [`BridgeError::Archive`] with everything that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, BridgeError> {
        declared::read("archive", file, text, problems, BridgeError::Archive)
    }
}

/// What a schema cannot say.
fn problems(file: &ArchiveFile) -> Vec<Problem> {
    let spec = &file.s3;
    let mut found = Vec::new();
    let mut add = |field: &str, message: &str| {
        found.push(Problem::new(format!("s3.{field}"), message));
    };
    let parts: Vec<&str> = spec.prefix.trim_end_matches('/').split('/').collect();
    // Such parts are resolved in addresses as in paths.
    if !spec.prefix.is_empty() && parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        add("prefix", "expected parts with a slash between them, none of them empty, `.` or `..`");
    }
    match (&spec.access_key_file, &spec.secret_key_file) {
        (Some(_), None) => add("secret_key_file", "is missing: an access key has a secret, too"),
        (None, Some(_)) => add("access_key_file", "is missing: whose secret is it?"),
        (None, None) if spec.session_token_file.is_some() => {
            add("session_token_file", "needs access_key_file and secret_key_file, too");
        }
        _ => {}
    }
    if spec.addressing == Addressing::VirtualHost
        && spec.bucket.contains('.')
        && spec.endpoint.starts_with("https:")
    {
        let message = "certificates do not match a bucket with a dot in its name: expected `path`";
        add("addressing", message);
    }
    found
}
