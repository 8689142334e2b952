//! The identity provider: found, asked, and who comes back from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::keys;
use super::token::{Claims, Expected, check, find, key_id};
use crate::error::{BridgeError, Problem};
use crate::service::auth::Role;

/// The most time of one request to the provider.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of one of its answers.
const ANSWER_BYTES: usize = 1 << 20;
/// Keys are asked for again after so long, and before that no more often than [`KEYS_PAUSE`].
const KEYS_AGE: Duration = Duration::from_secs(3600);
/// A token with an unknown key has them asked for no more often than this.
const KEYS_PAUSE: Duration = Duration::from_secs(10);

/// The file about the identity provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcFile {
    /// The provider, as its ID tokens name it.
    pub issuer: String,
    /// Id of this service there.
    pub client_id: String,
    /// File with its secret; none for a public client.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Where people reach this service, as `https://bridge.example.com`.
    pub public_url: String,
    /// Scopes to ask for beside `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim with the groups.
    #[serde(default = "default_groups")]
    pub groups_claim: String,
    /// The claims of which the first one that is there names the person in pages and the audit log.
    #[serde(default = "default_names")]
    pub name_claims: Vec<String>,
    /// Groups by role. Who is in several has the highest.
    pub roles: BTreeMap<Role, BTreeSet<String>>,
    /// What people have who are in none of them; unless given they are refused.
    #[serde(default)]
    pub everybody: Option<Role>,
    /// Files with authorities to trust besides the system's.
    #[serde(default)]
    pub ca_files: Vec<PathBuf>,
}

fn default_scopes() -> Vec<String> {
    ["profile", "email", "groups"].map(str::to_owned).to_vec()
}

fn default_groups() -> String {
    "groups".to_owned()
}

fn default_names() -> Vec<String> {
    ["preferred_username", "email", "name", "sub"].map(str::to_owned).to_vec()
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It does not answer, or not as it should.
    #[error("the identity provider: {0}")]
    Provider(String),
    /// It said no.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The ID token cannot be trusted.
    #[error("the ID token is not good: {0}")]
    Token(String),
    /// The person has no role.
    #[error("{name} is in no group that may use this service")]
    NoRole {
        /// The name.
        name: String,
    },
}

/// A login that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Where the browser goes.
    pub address: String,
    /// The verifier of PKCE.
    pub verifier: String,
}

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
}

#[derive(Debug, Clone, Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

#[derive(Debug, Default)]
struct Known {
    discovered: Option<Arc<Discovered>>,
    keys: Option<(Arc<JwkSet>, Instant)>,
}

/// The identity provider.
pub struct Provider {
    file: OidcFile,
    secret: Option<Zeroizing<String>>,
    http: reqwest::Client,
    known: Mutex<Known>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.file.issuer).finish_non_exhaustive()
    }
}

impl Provider {
    /// Reads the file about it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, BridgeError> {
        let failed = |message: String| BridgeError::Input { path: path.to_owned(), message };
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let file: OidcFile =
            serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))?;
        Self::new(file)
    }

    /// Puts it together.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn new(file: OidcFile) -> Result<Self, BridgeError> {
        let problems = problems(&file);
        if !problems.is_empty() {
            return Err(BridgeError::Plan(problems));
        }
        let secret = file.client_secret_file.as_deref().map(read_secret).transpose()?;
        let tls = crate::rest::tls_client_config(&file.ca_files)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| {
                BridgeError::Plan(vec![Problem::new("ca_files", error.to_string())])
            })?;
        keys::install();
        Ok(Self { file, secret, http, known: Mutex::default() })
    }

    /// Where people reach this service.
    #[must_use]
    pub fn public_url(&self) -> &str {
        self.file.public_url.trim_end_matches('/')
    }

    fn redirect(&self) -> String {
        format!("{}/login/callback", self.public_url())
    }

    /// Begins a login.
    ///
    /// # Errors
    /// [`OidcError::Provider`].
    pub async fn begin(
        &self,
        state: &str,
        nonce: &str,
        verifier: String,
    ) -> Result<Begun, OidcError> {
        let discovered = self.discovered().await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut scopes = vec!["openid".to_owned()];
        scopes.extend(self.file.scopes.iter().filter(|one| *one != "openid").cloned());
        let mut address = reqwest::Url::parse(&discovered.authorization_endpoint)
            .map_err(|error| OidcError::Provider(format!("its address to log in: {error}")))?;
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.file.client_id)
            .append_pair("redirect_uri", &self.redirect())
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Begun { address: address.into(), verifier })
    }

    /// Ends a login: who that is.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn finish(
        &self,
        code: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<Person, OidcError> {
        let discovered = self.discovered().await?;
        let redirect = self.redirect();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", verifier),
            ("client_id", self.file.client_id.as_str()),
        ];
        if let Some(secret) = &self.secret {
            form.push(("client_secret", secret.as_str()));
        }
        let body = reqwest::Url::parse_with_params("http://form/", &form)
            .map_err(|error| OidcError::Provider(error.to_string()))?;
        let request = self
            .http
            .post(&discovered.token_endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body.query().unwrap_or_default().to_owned());
        let answer: TokenAnswer = answer(request).await?;
        let claims = self.checked(&discovered, &answer.id_token, nonce).await?;
        self.person(&claims)
    }

    async fn checked(
        &self,
        discovered: &Discovered,
        token: &str,
        nonce: &str,
    ) -> Result<Claims, OidcError> {
        let id = key_id(token)?;
        let expected =
            Expected { issuer: &self.file.issuer, client_id: &self.file.client_id, nonce };
        let set = self.keys(discovered, KEYS_AGE).await?;
        if let Some(key) = find(&set, id.as_deref()) {
            return check(token, key, &expected);
        }
        // The provider has changed its keys.
        let set = self.keys(discovered, KEYS_PAUSE).await?;
        let key = find(&set, id.as_deref()).ok_or_else(|| {
            OidcError::Token("it is signed by a key that the provider does not have".to_owned())
        })?;
        check(token, key, &expected)
    }

    fn person(&self, claims: &Claims) -> Result<Person, OidcError> {
        let said = |claim: &String| match claim.as_str() {
            "sub" => Some(claims.sub.clone()),
            other => claims.more.get(other)?.as_str().map(str::to_owned),
        };
        let name = self.file.name_claims.iter().find_map(said).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| claims.sub.clone());
        let groups: BTreeSet<&str> = match claims.more.get(&self.file.groups_claim) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
            _ => BTreeSet::new(),
        };
        let role = self.file.roles.iter().rev().find_map(|(role, own)| {
            own.iter().any(|group| groups.contains(group.as_str())).then_some(*role)
        });
        match role.max(self.file.everybody) {
            Some(role) => Ok(Person { name, role }),
            None => Err(OidcError::NoRole { name }),
        }
    }

    async fn discovered(&self) -> Result<Arc<Discovered>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(discovered) = &known.discovered {
            return Ok(Arc::clone(discovered));
        }
        let issuer = self.file.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let found: Discovered = answer(self.http.get(address)).await?;
        if found.issuer != self.file.issuer {
            return Err(OidcError::Provider(format!(
                "it calls itself {:?}; the file says {:?}",
                found.issuer, self.file.issuer
            )));
        }
        for address in [&found.authorization_endpoint, &found.token_endpoint, &found.jwks_uri] {
            if !is_safe(address) {
                return Err(OidcError::Provider(format!("{address:?} is no address of HTTPS")));
            }
        }
        let found = Arc::new(found);
        known.discovered = Some(Arc::clone(&found));
        Ok(found)
    }

    /// The keys, no older than that.
    async fn keys(&self, discovered: &Discovered, age: Duration) -> Result<Arc<JwkSet>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some((keys, since)) = &known.keys
            && since.elapsed() < age
        {
            return Ok(Arc::clone(keys));
        }
        let keys: Arc<JwkSet> = Arc::new(answer(self.http.get(&discovered.jwks_uri)).await?);
        known.keys = Some((Arc::clone(&keys), Instant::now()));
        Ok(keys)
    }
}

/// Whether nobody listens on the way: HTTPS, or this machine.
fn is_safe(address: &str) -> bool {
    reqwest::Url::parse(address).is_ok_and(|url| {
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.scheme() == "https" || (url.scheme() == "http" && local)
    })
}

fn problems(file: &OidcFile) -> Vec<Problem> {
    let mut all = Vec::new();
    for (path, address) in [("issuer", &file.issuer), ("public_url", &file.public_url)] {
        if !is_safe(address) {
            let message =
                format!("{address:?} is refused: expected an address that begins with https://");
            all.push(Problem::new(path, message));
        }
    }
    if file.client_id.is_empty() {
        all.push(Problem::new("client_id", "it is empty"));
    }
    if file.roles.values().all(BTreeSet::is_empty) && file.everybody.is_none() {
        let message = "nobody would have a role: name groups for viewer, builder or operator";
        all.push(Problem::new("roles", message));
    }
    all
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, BridgeError> {
    let failed = |message: String| BridgeError::Input { path: path.to_owned(), message };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
    let secret = text.trim();
    if secret.is_empty() {
        Err(failed("it is empty".to_owned()))
    } else {
        Ok(Zeroizing::new(secret.to_owned()))
    }
}

/// Sends a request and reads its answer, which is JSON of a bounded size.
async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, OidcError> {
    // The address of an error may hold a code.
    let failed = |error: reqwest::Error| OidcError::Provider(error.without_url().to_string());
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.map_err(failed)?);
        if bytes.len() > ANSWER_BYTES {
            let words = format!("an answer has more than {ANSWER_BYTES} bytes");
            return Err(OidcError::Provider(words));
        }
    }
    if !status.is_success() {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
            #[serde(default)]
            error_description: String,
        }
        return Err(match serde_json::from_slice::<Refusal>(&bytes) {
            Ok(Refusal { error, error_description }) => {
                OidcError::Refused(format!("{error} {error_description}").trim().to_owned())
            }
            Err(_) => OidcError::Provider(format!("it answered {status}")),
        });
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| OidcError::Provider(format!("its answer is not as it should be: {error}")))
}
