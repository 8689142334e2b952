//! Access keys: from files, from the environment, or for the identity of a pod.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use rusty_s3::Credentials;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::answer::{Element, Refusal};
use crate::forges::secret;
use crate::rest::causes;

/// How long keys of files are taken as they are. A mounted Secret changes about as fast.
const FRESH: Duration = Duration::from_secs(60);
/// The same for keys of a session, which are good for an hour.
const SESSION: Duration = Duration::from_secs(1800);
/// The most time for a session.
const REQUEST: Duration = Duration::from_secs(15);
/// The most bytes of an answer that has a session.
const ANSWER_BYTES: usize = 64 << 10;

/// Where access keys come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Files, read again when they may have changed.
    Files {
        /// With the id.
        access: PathBuf,
        /// With the secret.
        secret: PathBuf,
        /// With the token of a session.
        session: Option<PathBuf>,
    },
    /// `AWS_ACCESS_KEY_ID` and what belongs to it.
    Environment,
    /// The identity of a pod, for which there are keys of a session (`AssumeRoleWithWebIdentity`).
    Identity {
        /// The role.
        role: String,
        /// File with the token that says who this is. It is renewed by somebody else.
        token: PathBuf,
        /// What the session is called.
        session: String,
        /// Where there are sessions.
        service: String,
    },
}

/// The access keys that are used now.
pub struct Keys {
    source: Source,
    http: reqwest::Client,
    known: Mutex<Option<(Arc<Credentials>, Instant)>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys from this source.
    pub fn new(source: Source, http: reqwest::Client) -> Self {
        Self { source, http, known: Mutex::default() }
    }

    /// The keys.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn current(&self) -> Result<Arc<Credentials>, String> {
        let mut known = self.known.lock().await;
        let fresh = if matches!(self.source, Source::Identity { .. }) { SESSION } else { FRESH };
        if let Some((keys, read)) = &*known
            && read.elapsed() < fresh
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.read().await?);
        *known = Some((Arc::clone(&keys), Instant::now()));
        Ok(keys)
    }

    /// The keys in place of those that were refused; nothing where there are no others.
    pub async fn others(&self, refused: &Credentials) -> Option<Arc<Credentials>> {
        *self.known.lock().await = None;
        self.current().await.ok().filter(|keys| **keys != *refused)
    }

    async fn read(&self) -> Result<Credentials, String> {
        match &self.source {
            Source::Files { access, secret: file, session } => {
                let (access, key) = (secret(access)?, secret(file)?);
                let session = session.as_ref().map(secret).transpose()?;
                Ok(match session {
                    Some(session) => {
                        Credentials::new_with_token(access.trim(), key.trim(), session.trim())
                    }
                    None => Credentials::new(access.trim(), key.trim()),
                })
            }
            Source::Environment => Credentials::from_env().ok_or_else(|| NONE.to_owned()),
            Source::Identity { role, token, session, service } => {
                let token = identity(token)?;
                let form = [
                    ("Action", "AssumeRoleWithWebIdentity"),
                    ("Version", "2011-06-15"),
                    ("RoleArn", role),
                    ("RoleSessionName", session),
                    ("WebIdentityToken", token.trim()),
                ];
                let session = self.session(service, &form).await;
                session.map_err(|reason| {
                    format!("no session for the role {role} at {service}: {reason}")
                })
            }
        }
    }

    async fn session(&self, service: &str, form: &[(&str, &str)]) -> Result<Credentials, String> {
        let url = Url::parse(service).map_err(|error| error.to_string())?;
        let mut query = url.clone();
        query.query_pairs_mut().clear().extend_pairs(form);
        let body = query.query().unwrap_or_default().to_owned();
        let request = self.http.post(url).timeout(REQUEST).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let mut response = request.send().await.map_err(|error| causes(&error))?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(piece) = response.chunk().await.map_err(|error| causes(&error))? {
            if body.len() + piece.len() > ANSWER_BYTES {
                return Err("its answer is too long".to_owned());
            }
            body.extend_from_slice(&piece);
        }
        let read = Element::read(&body)?;
        if !response.status().is_success() {
            // `ErrorResponse` has what a refusal of S3 is.
            let error = read.all("Error").next().unwrap_or(&read);
            let refusal = Refusal {
                status: response.status().as_u16(),
                code: error.get("Code").chars().take(100).collect(),
                message: error.get("Message").chars().take(200).collect(),
                ..Refusal::default()
            };
            return Err(format!("{} ({}): {}", refusal.code, refusal.status, refusal.message));
        }
        let keys =
            read.all("AssumeRoleWithWebIdentityResult").flat_map(|one| one.all("Credentials"));
        let keys = keys.last().ok_or("its answer has no keys")?;
        let [access, key, token] =
            ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| keys.get(name));
        Ok(Credentials::new_with_token(access, key, token))
    }
}

/// What to do where there is no access key.
const NONE: &str = "no access key: give access_key_file and secret_key_file, or set AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY";

/// The token of an identity, which is longer than a secret of a person.
fn identity(file: &Path) -> Result<Zeroizing<String>, String> {
    crate::rest::read_token(file).map_err(|error| error.to_string())
}

impl Source {
    /// What variables say.
    pub fn of_variables(region: &str, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let role = variable("AWS_ROLE_ARN").zip(variable("AWS_WEB_IDENTITY_TOKEN_FILE"));
        match (variable("AWS_ACCESS_KEY_ID"), role) {
            (None, Some((role, token))) => Self::Identity {
                role,
                token: token.into(),
                session: variable("AWS_ROLE_SESSION_NAME").unwrap_or("pilotfish-bridge".to_owned()),
                service: variable("AWS_ENDPOINT_URL_STS").unwrap_or_else(|| {
                    let end = if region.starts_with("cn-") { ".cn" } else { "" };
                    format!("https://sts.{region}.amazonaws.com{end}/")
                }),
            },
            _ => Self::Environment,
        }
    }

    /// What is wrong with it, with the field that it is about.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let read = |field, file: &PathBuf| secret(file).err().map(|message| (field, message));
        match self {
            Self::Files { access, secret, session } => [
                read("access_key_file", access),
                read("secret_key_file", secret),
                session.as_ref().and_then(|file| read("session_token_file", file)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Self::Environment if Credentials::from_env().is_none() => {
                vec![("access_key_file", NONE.to_owned())]
            }
            Self::Environment => Vec::new(),
            Self::Identity { token, .. } => identity(token)
                .err()
                .map(|message| {
                    ("access_key_file", format!("AWS_WEB_IDENTITY_TOKEN_FILE: {message}"))
                })
                .into_iter()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::stub::{Reply, Stub};

    fn identity_at(service: &str, token: &Path) -> Source {
        let token = token.display().to_string();
        let source = Source::of_variables("eu-west-1", |name| match name {
            "AWS_ROLE_ARN" => Some("arn:aws:iam::1:role/ci".to_owned()),
            "AWS_WEB_IDENTITY_TOKEN_FILE" => Some(token.clone()),
            "AWS_ENDPOINT_URL_STS" => Some(service.to_owned()).filter(|text| !text.is_empty()),
            _ => None,
        });
        assert!(matches!(source, Source::Identity { .. }));
        source
    }

    #[tokio::test]
    async fn a_pod_has_keys_of_a_session() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        assert_eq!(identity_at("", &token).problems().len(), 1);
        std::fs::write(&token, "eyJ.a+b\n").unwrap();
        let Source::Identity { service, .. } = identity_at("", &token) else { unreachable!() };
        assert_eq!(service, "https://sts.eu-west-1.amazonaws.com/");
        // As in the reference of the operation.
        let answer = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
            <AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s\
            </SecretAccessKey><AccessKeyId>ASIA</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>\
            </AssumeRoleWithWebIdentityResponse>";
        let refusal = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>\
            <Message>Token expired</Message></Error></ErrorResponse>";
        let stub = Stub::start(move |request| {
            assert!(request.body.contains("&WebIdentityToken=eyJ.a%2Bb"), "{}", request.body);
            let (status, body) = if request.path == "/no" { (400, refusal) } else { (200, answer) };
            Reply::assumed("sts.amazonaws.com", status, &[], body)
        })
        .await;
        let http = super::super::client::http(&[]).unwrap();
        let keys = Keys::new(identity_at(&stub.url, &token), http.clone());
        let read = keys.current().await.unwrap();
        assert_eq!((read.key(), read.secret(), read.token()), ("ASIA", "s", Some("t")));
        assert!(keys.others(&read).await.is_none());
        assert_eq!(stub.requests().len(), 2);
        assert!(!format!("{keys:?}{read:?}").contains("eyJ"));
        let keys = Keys::new(identity_at(&format!("{}no", stub.url), &token), http);
        let error = keys.current().await.unwrap_err();
        assert!(error.ends_with("ExpiredTokenException (400): Token expired"), "{error}");
    }
}
