//! Who may do what: access tokens of people and controllers, and tokens of single builds.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;

/// Starts an access token, so that scanners for leaked secrets find it.
const ACCESS_PREFIX: &str = "pfb_";
/// Starts a token of a build.
const BUILD_PREFIX: &str = "pft1.";
/// Bytes of chance in an access token.
const ACCESS_BYTES: usize = 32;
/// The most bytes of a token of any kind. Names of jobs are in it.
const TOKEN_BYTES: usize = 8192;

/// What a token is good for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scope {
    /// Plans for builds of its controller. What the shim has.
    #[serde(rename = "plans:create")]
    PlansCreate,
    /// Plans that no build runs, for anybody who wants to see what would happen.
    #[serde(rename = "plans:preview")]
    PlansPreview,
    /// Plans that were made.
    #[serde(rename = "plans:read")]
    PlansRead,
    /// Builds and what they reported.
    #[serde(rename = "builds:read")]
    BuildsRead,
    /// The catalog.
    #[serde(rename = "catalog:read")]
    CatalogRead,
    /// Reading the catalog anew.
    #[serde(rename = "catalog:reload")]
    CatalogReload,
    /// Nodes of its controller, taken out while their agents go away. What agents have.
    #[serde(rename = "nodes:drain")]
    NodesDrain,
    /// What stages used. What agents have.
    #[serde(rename = "usage:report")]
    UsageReport,
    /// Masters and labels.
    #[serde(rename = "masters:read")]
    MastersRead,
    /// Masters, taken out and given back.
    #[serde(rename = "masters:write")]
    MastersWrite,
    /// Jobs.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Jobs, made and changed here and on masters.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Builds of the bridge, started and stopped.
    #[serde(rename = "builds:trigger")]
    BuildsTrigger,
    /// Who did what.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Counters and gauges, for Prometheus.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PlansCreate,
        Self::PlansPreview,
        Self::PlansRead,
        Self::BuildsRead,
        Self::CatalogRead,
        Self::CatalogReload,
        Self::NodesDrain,
        Self::UsageReport,
        Self::MastersRead,
        Self::MastersWrite,
        Self::JobsRead,
        Self::JobsWrite,
        Self::BuildsTrigger,
        Self::AuditRead,
        Self::MetricsRead,
    ];

    /// As it is written in files and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlansCreate => "plans:create",
            Self::PlansPreview => "plans:preview",
            Self::PlansRead => "plans:read",
            Self::BuildsRead => "builds:read",
            Self::CatalogRead => "catalog:read",
            Self::CatalogReload => "catalog:reload",
            Self::NodesDrain => "nodes:drain",
            Self::UsageReport => "usage:report",
            Self::MastersRead => "masters:read",
            Self::MastersWrite => "masters:write",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::BuildsTrigger => "builds:trigger",
            Self::AuditRead => "audit:read",
            Self::MetricsRead => "metrics:read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a person may do. Each includes the ones before it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees masters, jobs, builds, plans and the catalog.
    Viewer,
    /// Starts and stops builds.
    Builder,
    /// Changes jobs, here and on masters; takes masters out; sees who did what.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Builder, Self::Operator];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Builder => "builder",
            Self::Operator => "operator",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    /// What it is good for.
    #[must_use]
    pub fn scopes(self) -> BTreeSet<Scope> {
        use Scope::{
            AuditRead, BuildsRead, BuildsTrigger, CatalogRead, CatalogReload, JobsRead, JobsWrite,
            MastersRead, MastersWrite, MetricsRead, PlansPreview, PlansRead,
        };
        let mut all = BTreeSet::from([
            PlansRead,
            BuildsRead,
            CatalogRead,
            MastersRead,
            JobsRead,
            MetricsRead,
        ]);
        if self >= Self::Builder {
            all.extend([BuildsTrigger, PlansPreview]);
        }
        if self >= Self::Operator {
            all.extend([JobsWrite, MastersWrite, CatalogReload, AuditRead]);
        }
        all
    }
}

/// An access token as it is kept: its digest, never itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// Whose it is, for logs.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<Scope>,
    /// What it is good for, as the role of a person; beside `scopes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The one controller that it is good for. Needed for `plans:create` and `nodes:drain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// When it ends, in seconds since 1970; never where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Requests a second; what the service gives all tokens where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
}

impl AccessToken {
    /// Whether it is good for something.
    #[must_use]
    pub fn can(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.role.is_some_and(|role| role.scopes().contains(&scope))
    }

    fn all_scopes(&self) -> BTreeSet<Scope> {
        let role = self.role.map(Role::scopes).unwrap_or_default();
        self.scopes.union(&role).copied().collect()
    }
}

/// All access tokens.
#[derive(Debug, Default)]
pub struct AccessTokens(HashMap<String, AccessToken>);

/// SHA-256 in hexadecimal digits.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text that nobody can guess; nothing where the system has no randomness.
pub fn new_secret(prefix: &str) -> Option<String> {
    let mut bytes = [0; ACCESS_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

impl AccessTokens {
    /// Checks the tokens of a file.
    ///
    /// # Errors
    /// What is wrong, with the name of the token.
    pub fn new(tokens: Vec<AccessToken>) -> Result<Self, String> {
        let mut all = HashMap::new();
        for token in tokens {
            let name = token.name.clone();
            let is_digest = token.sha256.len() == 64
                && token.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_digest {
                return Err(format!("token {name}: `sha256` takes 64 small hexadecimal digits"));
            }
            for scope in [Scope::PlansCreate, Scope::NodesDrain] {
                if token.scopes.contains(&scope) && token.controller.is_none() {
                    return Err(format!("token {name}: with {scope} it needs a `controller`"));
                }
            }
            if token.scopes.is_empty() && token.role.is_none() {
                return Err(format!("token {name}: give it `scopes` or a `role`"));
            }
            if token.requests_per_second == Some(0) {
                return Err(format!("token {name}: `requests_per_second` is at least 1"));
            }
            if all.insert(token.sha256.clone(), token).is_some() {
                return Err(format!("token {name}: the same token stands twice"));
            }
        }
        Ok(Self(all))
    }

    /// Makes a token: the text for its holder, and what is kept.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn make(
        name: &str,
        scopes: BTreeSet<Scope>,
        controller: Option<String>,
    ) -> Result<(String, AccessToken), String> {
        let text = new_secret(ACCESS_PREFIX).ok_or_else(|| "no randomness".to_owned())?;
        let sha256 = sha256_hex(&text);
        let name = name.to_owned();
        Ok((
            text,
            AccessToken {
                name,
                sha256,
                scopes,
                role: None,
                controller,
                expires_at: None,
                requests_per_second: None,
            },
        ))
    }

    /// A token by its text.
    #[must_use]
    pub fn find(&self, text: &str, now: u64) -> Option<&AccessToken> {
        // Looked up by digest: how long that takes says nothing about the token.
        self.by_digest(&sha256_hex(text), now)
    }

    /// A token by its digest, for a session that stands for it.
    #[must_use]
    pub fn by_digest(&self, sha256: &str, now: u64) -> Option<&AccessToken> {
        let token = self.0.get(sha256)?;
        token.expires_at.is_none_or(|end| now < end).then_some(token)
    }
}

/// What a token of a build says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildClaims {
    /// Id of the build.
    #[serde(rename = "b")]
    pub build: String,
    /// Digest of its plan.
    #[serde(rename = "d")]
    pub digest: String,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    pub expires_at: u64,
}

/// Makes and checks tokens of builds. Nothing of them is kept: what they say is authenticated
/// (HMAC-SHA-256) by keys that all replicas derive from the signing keys.
pub struct BuildTokens(Vec<hmac::Key>);

impl fmt::Debug for BuildTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BuildTokens")
    }
}

impl BuildTokens {
    /// The first key makes tokens, all of them are accepted.
    #[must_use]
    pub fn new(keys: Vec<hmac::Key>) -> Self {
        Self(keys)
    }

    /// Makes a token.
    #[must_use]
    pub fn make(&self, claims: &BuildClaims) -> Option<String> {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?);
        let tag = hmac::sign(self.0.first()?, payload.as_bytes());
        Some(format!("{BUILD_PREFIX}{payload}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    fn check(&self, text: &str, now: u64) -> Result<BuildClaims, Problem> {
        let bad = || Problem::unauthorised("this token of a build is not valid");
        let (payload, tag) = text
            .strip_prefix(BUILD_PREFIX)
            .and_then(|rest| rest.split_once('.'))
            .ok_or_else(bad)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| bad())?;
        if !self.0.iter().any(|key| hmac::verify(key, payload.as_bytes(), &tag).is_ok()) {
            return Err(bad());
        }
        let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| bad())?;
        let claims: BuildClaims = serde_json::from_slice(&claims).map_err(|_| bad())?;
        if now >= claims.expires_at {
            let detail = "this token of a build has ended; ask for the plan again to get another";
            return Err(Problem::unauthorised(detail));
        }
        Ok(claims)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Caller {
    /// Somebody with an access token.
    Access(AccessToken),
    /// A build.
    Build(BuildClaims),
}

impl Caller {
    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// 401.
    pub fn of(
        header: Option<&str>,
        access: &AccessTokens,
        builds: &BuildTokens,
        now: u64,
    ) -> Result<Self, Problem> {
        let text = header
            .filter(|text| text.len() <= TOKEN_BYTES)
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| Problem::unauthorised("send `Authorization: Bearer` with a token"))?;
        if text.starts_with(BUILD_PREFIX) {
            return builds.check(text, now).map(Self::Build);
        }
        access
            .find(text, now)
            .cloned()
            .map(Self::Access)
            .ok_or_else(|| Problem::unauthorised("this token is not known, or has ended"))
    }

    /// The access token, if it is good for something.
    ///
    /// # Errors
    /// 403.
    pub fn access(&self, scope: Scope) -> Result<&AccessToken, Problem> {
        match self {
            Self::Access(token) if token.can(scope) => Ok(token),
            Self::Access(token) => Err(Problem::forbidden(format!(
                "it needs the scope {scope}; the token {} has {}",
                token.name,
                token.all_scopes().iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ")
            ))),
            Self::Build(_) => Err(Problem::forbidden(
                "the token of a build is for its own claim, events and evaluations only",
            )),
        }
    }

    /// The build of the token.
    ///
    /// # Errors
    /// 403.
    pub fn build(&self) -> Result<&BuildClaims, Problem> {
        match self {
            Self::Build(claims) => Ok(claims),
            Self::Access(_) => Err(Problem::forbidden(
                "only the token that came with the plan of a build is good for this",
            )),
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Access(token) => token.name.clone(),
            Self::Build(claims) => format!("build {}", claims.build),
        }
    }

    /// Whose idempotency keys these are.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Access(token) => format!("token {}", token.sha256),
            Self::Build(claims) => format!("build {}", claims.build),
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn claims(expires_at: u64) -> BuildClaims {
        BuildClaims { build: "b1".into(), digest: "sha256:00".into(), expires_at }
    }

    fn tokens(secret: u8) -> BuildTokens {
        BuildTokens::new(vec![hmac::Key::new(hmac::HMAC_SHA256, &[secret; 32])])
    }

    fn caller(header: &str, access: &AccessTokens, now: u64) -> Result<Caller, Problem> {
        Caller::of(Some(header), access, &tokens(1), now)
    }

    #[test]
    fn tokens_of_builds_end_and_cannot_be_changed() {
        let access = AccessTokens::default();
        let text = tokens(1).make(&claims(100)).unwrap();
        let bearer = format!("Bearer {text}");
        assert_eq!(caller(&bearer, &access, 99), Ok(Caller::Build(claims(100))));
        assert_eq!(caller(&bearer, &access, 100).unwrap_err().status, 401);
        let other = tokens(2).make(&claims(100)).unwrap();
        assert!(caller(&format!("Bearer {other}"), &access, 1).is_err());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(caller(&format!("Bearer {changed}"), &access, 1).is_err(), "{at}");
        }
    }

    #[test]
    fn access_tokens_are_kept_as_digests() {
        let scopes = BTreeSet::from([Scope::PlansCreate]);
        assert!(
            AccessTokens::new(vec![AccessTokens::make("a", scopes.clone(), None).unwrap().1])
                .is_err()
        );
        let (text, mut kept) = AccessTokens::make("a", scopes, Some("main".into())).unwrap();
        assert!(!format!("{kept:?}").contains(&text[4..]));
        kept.expires_at = Some(10);
        let all = AccessTokens::new(vec![kept]).unwrap();
        let bearer = format!("bearer {text}");
        let found = caller(&bearer, &all, 9).unwrap();
        assert!(found.access(Scope::PlansCreate).is_ok());
        assert_eq!(found.access(Scope::CatalogRead).unwrap_err().status, 403);
        assert!(found.build().is_err());
        assert_eq!(caller(&bearer, &all, 10).unwrap_err().status, 401);
        for bad in ["", "Bearer", "Basic x", "Bearer pfb_x", "Bearer pft1.", "Bearer pft1.a.b"] {
            assert_eq!(caller(bad, &all, 1).unwrap_err().status, 401, "{bad}");
        }
    }
}
