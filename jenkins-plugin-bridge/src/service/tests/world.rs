//! A service with a small catalog, on a port of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::archive::Archive;
use crate::cluster::Clusters;
use crate::forges::Forges;
use crate::masters::{Registry, TokenDirectory};
use crate::rest::Client;
use crate::service::auth::{AccessToken, AccessTokens, Role, Scope};
use crate::service::live::LiveCatalog;
use crate::service::oidc::Provider;
use crate::service::server::{Limits, Server, TlsFiles};
use crate::service::sign::KeyRing;
use crate::service::state::{Service, ServiceOptions};
use crate::service::store::Store;

pub const SHIM: &str = "pfb_shim";
pub const SHIM_2: &str = "pfb_shim-of-another-controller";
pub const PREVIEW: &str = "pfb_preview";
pub const READER: &str = "pfb_reader";
pub const AGENT: &str = "pfb_agent";
pub const OPERATOR: &str = "pfb_operator";
pub const VIEWER: &str = "pfb_role-viewer";
pub const BUILDER: &str = "pfb_role-builder";
pub const BOSS: &str = "pfb_role-operator";

pub const PIPELINE: &str = "\
api: pilotfish/v1
kind: pipeline
name: service
version: 1.0.0
description: Builds and deploys a service.
parameters:
  type: object
  properties:
    stack: {type: string, enum: [go, rust], description: Stack.}
    deploy: {type: boolean, default: false, description: Whether it is deployed.}
  required: [stack]
stages:
  - {name: build, uses: make}
  - {name: docs, uses: make, when: 'changed_files.exists(f, f.startsWith(\"docs/\"))'}
  - {name: deploy, uses: make, when: params.deploy, lock: {resource: production}, milestone: true}
";

const FILES: [(&str, &str); 4] = [
    (
        "catalog.yaml",
        "api: pilotfish/v1\nkind: catalog\nname: test\nversion: 1.0.0\ndescription: For tests.\n",
    ),
    ("service.yaml", PIPELINE),
    (
        "make.yaml",
        "\
api: pilotfish/v1
kind: stage
name: make
version: 1.0.0
description: Calls make.
timeout: 10m
containers:
  - name: main
    image: busybox:1.37
    requests: {cpu: 100m, memory: 64Mi}
outputs:
  version: {description: What was made., optional: true, pattern: '^[^ ]*[^#]+$'}
steps:
  - {script: make \"$PILOTFISH_OUTPUTS\"}
",
    ),
    (
        "bindings.yaml",
        "\
api: pilotfish/v1
kind: bindings
rules:
  - name: go
    match: {controller: main, folder: go}
    pipeline: service
  - name: release
    match: {controller: second, folder: rel}
    pipeline: service
  - name: recorded
    match: {controller: main, folder: team-a}
    pipeline: service
    parameters: {deploy: RUN_SONAR}
    set: {stack: go}
",
    ),
];

pub struct World {
    pub service: Arc<Service>,
    pub url: String,
    directory: TempDir,
    http: reqwest::Client,
}

/// What the service knows beside its catalog.
#[derive(Default)]
struct Around {
    controllers: BTreeMap<String, Client>,
    masters: Arc<Registry>,
    clusters: Clusters,
    forges: Arc<Forges>,
    login: Option<Provider>,
    archive: Option<Archive>,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub json: Value,
}

impl Reply {
    /// The body of a success.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.json);
        self.json
    }
}

fn token(text: &str, scopes: &[Scope], controller: Option<&str>) -> AccessToken {
    let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
    let (_, made) = AccessTokens::make(text, scopes, controller.map(str::to_owned)).unwrap();
    let sha256 = crate::plan::digest_of(text)["sha256:".len()..].to_owned();
    AccessToken { sha256, ..made }
}

fn role(text: &str, role: Role) -> AccessToken {
    AccessToken { role: Some(role), ..token(text, &[], None) }
}

fn tokens() -> AccessTokens {
    use Scope::{
        BuildsRead, BuildsTrigger, CatalogRead, CatalogReload, JobsRead, JobsWrite, MastersRead,
        MetricsRead, NodesDrain, PlansCreate, PlansPreview, PlansRead, UsageReport,
    };
    AccessTokens::new(vec![
        token(SHIM, &[PlansCreate], Some("main")),
        token(SHIM_2, &[PlansCreate, PlansRead, BuildsRead], Some("second")),
        token(PREVIEW, &[PlansPreview], None),
        token(AGENT, &[NodesDrain, UsageReport], Some("main")),
        token(OPERATOR, &[MastersRead, JobsRead, JobsWrite, BuildsTrigger, BuildsRead], None),
        role(VIEWER, Role::Viewer),
        role(BUILDER, Role::Builder),
        role(BOSS, Role::Operator),
        token(READER, &[PlansRead, BuildsRead, CatalogRead, CatalogReload, MetricsRead], None),
    ])
    .unwrap()
}

pub fn client() -> reqwest::Client {
    client_that_trusts(&[])
}

pub fn client_that_trusts(ca_files: &[std::path::PathBuf]) -> reqwest::Client {
    let tls = crate::rest::tls_client_config(ca_files).unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

impl World {
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        Self::start(directory, &url, None, |_| {}).await
    }

    pub async fn on(database: &str) -> Self {
        Self::start(tempfile::tempdir().unwrap(), database, None, |_| {}).await
    }

    /// With a controller that may be read.
    pub async fn with_controller(client: Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        let controllers = BTreeMap::from([("main".to_owned(), client)]);
        let around = Around { controllers, ..Around::default() };
        Self::start_in(directory, &url, None, around, |_| {}).await
    }

    /// With masters, on a database.
    pub async fn on_with_masters(database: &str, masters: Arc<Registry>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let around = Around { masters, ..Around::default() };
        Self::start_in(directory, database, None, around, |_| {}).await
    }

    /// With an identity provider, reached at a port that has to be known before.
    pub async fn with_login(listener: std::net::TcpListener, login: Provider) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        let address = listener.local_addr().unwrap();
        drop(listener);
        let around = Around { login: Some(login), ..Around::default() };
        Self::start_at(address, directory, &url, None, around, |_| {}).await
    }

    /// With masters.
    pub async fn with_masters(masters: Arc<Registry>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        let around = Around { masters, ..Around::default() };
        Self::start_in(directory, &url, None, around, |_| {}).await
    }

    /// With masters and a forge, on a database or on SQLite.
    pub async fn with_masters_and_forges(
        database: Option<&str>,
        masters: Arc<Registry>,
        forges: impl FnOnce(&Path) -> Arc<Forges>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        let forges = forges(directory.path());
        let around = Around { masters, forges, ..Around::default() };
        Self::start_in(directory, database.unwrap_or(&file), None, around, |_| {}).await
    }

    /// With masters and an archive that keeps so many bytes of artefacts.
    pub async fn with_archive(masters: Arc<Registry>, artifact_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keep = std::time::Duration::from_secs(86_400);
        let archive =
            Archive::open(&directory.path().join("archive"), keep, artifact_bytes).unwrap();
        Self::with_this_archive(directory, masters, archive).await
    }

    /// With masters and an archive.
    pub async fn with_this_archive(
        directory: TempDir,
        masters: Arc<Registry>,
        archive: Archive,
    ) -> Self {
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        let around = Around { masters, archive: Some(archive), ..Around::default() };
        Self::start_in(directory, &url, None, around, |_| {}).await
    }

    pub async fn start(
        directory: TempDir,
        database: &str,
        tls: Option<Arc<TlsFiles>>,
        change: impl FnOnce(&mut ServiceOptions),
    ) -> Self {
        Self::start_in(directory, database, tls, Around::default(), change).await
    }

    /// With builds of the controller `main` in pods of a profile.
    pub async fn with_pods(profile: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("state.db").display());
        std::fs::write(directory.path().join("profile.yaml"), profile).unwrap();
        let file = directory.path().join("clusters.yaml");
        std::fs::write(
            &file,
            "api: pilotfish/v1\nkind: clusters\nprofiles: [profile.yaml]\ncontrollers: {main: fast}\n",
        )
        .unwrap();
        let clusters = Clusters::read(&file).unwrap();
        let around = Around { clusters, ..Around::default() };
        Self::start_in(directory, &url, None, around, |_| {}).await
    }

    /// With builds of the controller `main` in pods of a cluster at this address.
    pub async fn with_cluster(server: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let url = format!("sqlite:{}?mode=rwc", path("state.db").display());
        let kubeconfig = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
        let profile = "api: pilotfish/v1\nkind: pod-profile\nname: fast\ncluster: c\nnamespace: builds\n\
             agent: {controller: {url: 'https://ci.example.com/', secret: agents}}\n";
        let clusters = "api: pilotfish/v1\nkind: clusters\nclusters: {c: {kubeconfig: kubeconfig}}\n\
             profiles: [profile.yaml]\ncontrollers: {main: fast}\n";
        std::fs::write(path("kubeconfig"), kubeconfig.to_string()).unwrap();
        std::fs::write(path("profile.yaml"), profile).unwrap();
        std::fs::write(path("clusters.yaml"), clusters).unwrap();
        let clusters = Clusters::read(&path("clusters.yaml")).unwrap();
        let around = Around { clusters, ..Around::default() };
        Self::start_in(directory, &url, None, around, |_| {}).await
    }

    async fn start_in(
        directory: TempDir,
        database: &str,
        tls: Option<Arc<TlsFiles>>,
        around: Around,
        change: impl FnOnce(&mut ServiceOptions),
    ) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        Self::start_at(address, directory, database, tls, around, change).await
    }

    async fn start_at(
        address: std::net::SocketAddr,
        directory: TempDir,
        database: &str,
        tls: Option<Arc<TlsFiles>>,
        around: Around,
        change: impl FnOnce(&mut ServiceOptions),
    ) -> Self {
        let catalog = directory.path().join("catalog");
        std::fs::create_dir(&catalog).unwrap();
        for (name, text) in FILES {
            std::fs::write(catalog.join(name), text).unwrap();
        }
        let catalog = LiveCatalog::open(&catalog).unwrap();
        let key = directory.path().join("key.pem");
        std::fs::write(&key, KeyRing::make().unwrap().as_bytes()).unwrap();
        let keys = KeyRing::read(&[key]).unwrap();
        let store = Store::open(database).await.unwrap();
        let mut options = ServiceOptions::default();
        change(&mut options);
        let service = Service::new(catalog, store, tokens(), keys, around.controllers, options);
        let service = service.with_masters(around.masters).with_clusters(around.clusters);
        let service = service
            .with_forges(around.forges)
            .with_login(around.login)
            .with_archive(around.archive)
            .with_master_tokens(Some(TokenDirectory::open(directory.path()).unwrap()));
        let service = Arc::new(service);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server =
            Server::bind(address, Arc::clone(&service), tls, Limits::default()).await.unwrap();
        let url = format!("{scheme}://localhost:{}", server.address().unwrap().port());
        tokio::spawn(server.run(std::future::pending()));
        Self { service, url, directory, http: client() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Changes a file of the catalog.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join("catalog").join(name), text).unwrap();
    }

    pub async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(self.http.get(format!("{}{path}", self.url)), token).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.send(self.request(path, body), token).await
    }

    pub async fn post_with_key(&self, path: &str, token: &str, body: &Value, key: &str) -> Reply {
        self.send(self.request(path, body).header("Idempotency-Key", key), token).await
    }

    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    pub async fn send(&self, request: reqwest::RequestBuilder, token: &str) -> Reply {
        let request = match token {
            "" => request,
            token => request.header("Authorization", format!("Bearer {token}")),
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let body = response.bytes().await.unwrap();
        Reply {
            status,
            content_type,
            retry_after,
            json: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    pub async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(READER);
        request.send().await.unwrap().text().await.unwrap()
    }
}
