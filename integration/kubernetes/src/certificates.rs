//! The cluster's own authority, what it signs, and the files with which its parts log in.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::error::Error;
use crate::state::{API_PORT, LOOPBACK, NODE, NODE_ADDRESS, State};

/// How long a cluster can live; it is meant for an hour.
const VALID: Duration = Duration::days(30);

/// Somebody with a certificate: file name, common name, organisation.
struct Holder(&'static str, &'static str, Option<&'static str>);

const CLIENTS: [Holder; 6] = [
    Holder("admin", "pilotfish-admin", Some("system:masters")),
    Holder("apiserver-kubelet", "kube-apiserver-kubelet-client", Some("system:masters")),
    Holder("controller-manager", "system:kube-controller-manager", None),
    Holder("scheduler", "system:kube-scheduler", None),
    Holder("proxy", "system:kube-proxy", None),
    Holder("kubelet", "system:node:pilotfish-node", Some("system:nodes")),
];

/// Makes all certificates and kubeconfig files, the former once.
///
/// # Errors
/// Files that cannot be written.
pub(crate) fn make(state: &State, address: &str) -> Result<(), Error> {
    if !state.path("pki/ca.crt").exists() {
        certificates(state)?;
    }
    for name in ["controller-manager", "scheduler", "proxy", "kubelet"] {
        let path = state.path(format!("conf/{name}.kubeconfig"));
        kubeconfig(state, name, address, &path)?;
    }
    kubeconfig(state, "admin", address, &state.kubeconfig())
}

fn certificates(state: &State) -> Result<(), Error> {
    let key = KeyPair::generate()?;
    let mut params = named("pilotfish-ca", None)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&key)?;
    secret(&state.path("pki/ca.key"), &key.serialize_pem())?;
    let issuer = Issuer::new(params, key);
    // Tokens of service accounts.
    let tokens = KeyPair::generate()?;
    secret(&state.path("pki/tokens.key"), &tokens.serialize_pem())?;
    secret(&state.path("pki/tokens.pub"), &tokens.public_key_pem())?;
    let kubernetes = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let addresses = [NODE_ADDRESS, LOOPBACK, "10.96.0.1"];
    let server = Holder("apiserver", "kube-apiserver", None);
    sign(state, &issuer, &server, &kubernetes, &addresses)?;
    for client in &CLIENTS {
        let serves = client.0 == "kubelet";
        let (names, addresses): (&[_], &[_]) =
            if serves { (&[NODE], &[NODE_ADDRESS]) } else { (&[], &[]) };
        sign(state, &issuer, client, names, addresses)?;
    }
    // Last, since it tells that all of them are there.
    secret(&state.path("pki/ca.crt"), &authority.pem())
}

fn named(name: &str, organisation: Option<&str>) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        subject.push(DnType::OrganizationName, organisation);
    }
    params.distinguished_name = subject;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + VALID;
    Ok(params)
}

fn sign(
    state: &State,
    issuer: &Issuer<'_, KeyPair>,
    holder: &Holder,
    names: &[&str],
    addresses: &[&str],
) -> Result<(), Error> {
    let Holder(file, name, organisation) = holder;
    let mut params = named(name, *organisation)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for name in names {
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    let addresses = addresses.iter().filter_map(|one| one.parse::<IpAddr>().ok());
    params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    secret(&state.path(format!("pki/{file}.crt")), &certificate.pem())?;
    secret(&state.path(format!("pki/{file}.key")), &key.serialize_pem())
}

/// Writes a kubeconfig file with the certificate and the key in it.
fn kubeconfig(state: &State, name: &str, address: &str, path: &Path) -> Result<(), Error> {
    let data = |file: &str| {
        let path = state.path(format!("pki/{file}"));
        fs::read(&path).map(|bytes| BASE64.encode(bytes)).map_err(Error::at(&path))
    };
    let server = format!("https://{address}:{API_PORT}");
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "pilotfish",
        "clusters": [{"name": "pilotfish", "cluster": {
            "server": server, "certificate-authority-data": data("ca.crt")?}}],
        "users": [{"name": "pilotfish", "user": {
            "client-certificate-data": data(&format!("{name}.crt"))?,
            "client-key-data": data(&format!("{name}.key"))?}}],
        "contexts": [{"name": "pilotfish", "context": {
            "cluster": "pilotfish", "user": "pilotfish"}}],
    });
    secret(path, &text.to_string())
}

/// Writes a file that only this user reads.
fn secret(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::at(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::at(path))
}
