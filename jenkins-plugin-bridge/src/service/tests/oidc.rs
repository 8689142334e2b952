//! Logging in at an identity provider: one of the test's own, over HTTP, with real keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::board::{Browser, location};
use super::world::World;
use crate::rest::stub::{Reply, Stub};
use crate::service::auth::Role;
use crate::service::oidc::{OidcFile, Provider};

/// A key that is for these tests only: ring makes none of this kind.
const RSA: &str = include_str!("rsa-for-tests.pk8.base64");

/// What the provider says at its next answer, and what it was sent.
#[derive(Default)]
struct Plays {
    token: String,
    keys: Value,
    challenge: String,
    asked_for_keys: u32,
}

struct Scene {
    world: World,
    browser: Browser,
    plays: Arc<Mutex<Plays>>,
    issuer: String,
    rsa: RsaKeyPair,
    curve: EcdsaKeyPair,
    _stub: Stub,
}

/// The provider's answers; what it checks is what a provider checks (RFC 7636, 4.6).
fn play(plays: &Mutex<Plays>, path: &str, body: &str, host: &str) -> (u16, Value) {
    let mut plays = plays.lock().unwrap();
    match path {
        "/.well-known/openid-configuration" => (
            200,
            json!({
                "issuer": format!("http://{host}"),
                "authorization_endpoint": format!("http://{host}/authorize"),
                "token_endpoint": format!("http://{host}/token"),
                "jwks_uri": format!("http://{host}/keys"),
            }),
        ),
        "/keys" => {
            plays.asked_for_keys += 1;
            (200, plays.keys.clone())
        }
        "/token" => {
            let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
            let form: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
            let verifier = Sha256::digest(form["code_verifier"].as_bytes());
            let good = form["grant_type"] == "authorization_code"
                && form["code"] == "the-code"
                && form["client_id"] == "bridge"
                && form["client_secret"] == "hush"
                && form["redirect_uri"].ends_with("/login/callback")
                && URL_SAFE_NO_PAD.encode(verifier) == plays.challenge;
            if good {
                (200, json!({"access_token": "a", "token_type": "Bearer", "id_token": plays.token}))
            } else {
                (400, json!({"error": "invalid_grant", "error_description": "<b>no</b>"}))
            }
        }
        _ => (404, json!({})),
    }
}

impl Scene {
    async fn new() -> Self {
        let plays = Arc::new(Mutex::new(Plays::default()));
        let seen = Arc::clone(&plays);
        let stub = Stub::start(move |request| {
            let (status, body) =
                play(&seen, &request.path, &request.body, &request.headers["host"]);
            let source = "OpenID Connect Discovery 1.0 and RFC 6749, 5";
            Reply::assumed(
                source,
                status,
                &[("Content-Type", "application/json")],
                &body.to_string(),
            )
        })
        .await;
        let issuer = stub.url.trim_end_matches('/').to_owned();
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "hush\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let public = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let groups = |name: &str| BTreeSet::from([name.to_owned()]);
        let file = OidcFile {
            issuer: issuer.clone(),
            client_id: "bridge".into(),
            client_secret_file: Some(secret),
            public_url: public,
            scopes: vec!["profile".into()],
            groups_claim: "groups".into(),
            name_claims: vec!["email".into(), "sub".into()],
            roles: BTreeMap::from([(Role::Viewer, groups("all")), (Role::Operator, groups("ops"))]),
            everybody: None,
            ca_files: Vec::new(),
        };
        let world = World::with_login(listener, Provider::new(file).unwrap()).await;
        let rsa = STANDARD.decode(RSA.replace('\n', "")).unwrap();
        let rsa = RsaKeyPair::from_pkcs8(&rsa).unwrap();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let curve = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let curve = EcdsaKeyPair::from_pkcs8(algorithm, curve.as_ref(), &random).unwrap();
        let browser = Browser::new(&world.url);
        let scene = Self { world, browser, plays, issuer, rsa, curve, _stub: stub };
        scene.plays.lock().unwrap().keys = scene.keys();
        scene
    }

    fn keys(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let (n, e) = (text(&public.n), text(&public.e));
        let point = self.curve.public_key().as_ref();
        json!({"keys": [
            {"kty": "RSA", "use": "sig", "kid": "r1", "alg": "RS256", "n": n, "e": e},
            {"kty": "EC", "use": "sig", "kid": "e1", "crv": "P-256",
                "x": text(&point[1..33]), "y": text(&point[33..])},
        ]})
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.curve.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            "HS256" => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush");
                ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Goes to the provider and back, with a token made from what was asked for; the status of the answer
    /// and where it leads.
    async fn log_in(&self, make: impl FnOnce(&Self, Value) -> String) -> (u16, String, String) {
        let sent = self.browser.get("/login/start?next=/builds").await;
        let asked = reqwest::Url::parse(&location(&sent)).unwrap();
        let query: BTreeMap<String, String> = asked.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"], "openid profile");
        let now = self.world.service.now();
        let claims = json!({"iss": self.issuer, "aud": "bridge", "sub": "u-1", "nonce": query["nonce"],
            "email": "ann@example.com", "groups": ["all"], "iat": now, "exp": now + 300});
        let token = make(self, claims);
        {
            let mut plays = self.plays.lock().unwrap();
            plays.token = token;
            plays.challenge.clone_from(&query["code_challenge"]);
        }
        let back = format!("/login/callback?code=the-code&state={}", query["state"]);
        let answer = self.browser.get(&back).await;
        (answer.status, location(&answer), answer.text)
    }
}

fn rs256(scene: &Scene, claims: &Value) -> String {
    scene.signed(&json!({"alg": "RS256", "kid": "r1", "typ": "JWT"}), claims)
}

#[tokio::test]
async fn people_log_in_and_get_the_role_of_their_groups() {
    let scene = Scene::new().await;
    let (status, to, _) = scene.log_in(|scene, claims| rs256(scene, &claims)).await;
    assert_eq!((status, to.as_str()), (303, "/builds"));
    let page = scene.browser.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("ann@example.com") && !page.text.contains("/audit"));
    assert_eq!(scene.browser.get("/audit").await.status, 403);
    scene.browser.forget();

    // The highest of several roles, by a key on a curve, in a list of audiences.
    let (status, ..) = scene
        .log_in(|scene, mut claims| {
            claims["groups"] = json!(["all", "ops"]);
            claims["aud"] = json!(["other", "bridge"]);
            claims["azp"] = json!("bridge");
            scene.signed(&json!({"alg": "ES256", "kid": "e1"}), &claims)
        })
        .await;
    assert_eq!(status, 303);
    let audit = scene.browser.get("/audit").await;
    assert_eq!(audit.status, 200);
    assert!(audit.text.contains("at the identity provider"));
    assert_eq!(scene.plays.lock().unwrap().asked_for_keys, 1, "keys are kept");

    scene.browser.forget();
    let (status, _, text) = scene
        .log_in(|scene, mut claims| {
            claims["groups"] = json!(["others"]);
            claims["email"] = json!("<script>x</script>");
            rs256(scene, &claims)
        })
        .await;
    assert_eq!(status, 403);
    assert!(text.contains("&lt;script&gt;x&lt;/script&gt; is in no group"), "{text}");
}

#[tokio::test]
async fn a_token_that_is_not_good_lets_nobody_in() {
    let scene = Scene::new().await;
    type Make = Box<dyn FnOnce(&Scene, Value) -> String>;
    let changed = |change: fn(&mut Value)| -> Make {
        Box::new(move |scene: &Scene, mut claims: Value| {
            change(&mut claims);
            rs256(scene, &claims)
        })
    };
    let cases: Vec<(&str, Make)> = vec![
        ("InvalidAudience", changed(|claims| claims["aud"] = json!("another"))),
        (
            "missing field `aud`",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ),
        ("InvalidIssuer", changed(|claims| claims["iss"] = json!("https://evil.example"))),
        (
            "ExpiredSignature",
            changed(|claims| claims["exp"] = json!(claims["iat"].as_u64().unwrap() - 3600)),
        ),
        (
            "Missing required claim: exp",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ),
        (
            "ImmatureSignature",
            changed(|claims| claims["nbf"] = json!(claims["iat"].as_u64().unwrap() + 3600)),
        ),
        ("nonce is that of another login", changed(|claims| claims["nonce"] = json!("guessed"))),
        (
            "nonce is that of another login",
            changed(|claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ),
        (
            "another client",
            changed(|claims| {
                claims["aud"] = json!(["bridge", "other"]);
                claims["azp"] = json!("other");
            }),
        ),
        ("another client", changed(|claims| claims["aud"] = json!(["bridge", "other"]))),
        (
            "InvalidSignature",
            Box::new(|scene, claims| {
                let good = rs256(scene, &claims);
                let (rest, signature) = good.rsplit_once('.').unwrap();
                let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
                bytes[7] ^= 1;
                format!("{rest}.{}", URL_SAFE_NO_PAD.encode(bytes))
            }),
        ),
        // Claims of one token with the signature of another.
        (
            "InvalidSignature",
            Box::new(|scene, mut claims| {
                let good = rs256(scene, &claims);
                claims["groups"] = json!(["ops"]);
                let other = rs256(scene, &claims);
                let (head, _) = other.rsplit_once('.').unwrap();
                format!("{head}.{}", good.rsplit_once('.').unwrap().1)
            }),
        ),
        // The secret of the client is no key, and nothing is no signature.
        (
            "it is signed by HS256",
            Box::new(|scene, claims| scene.signed(&json!({"alg": "HS256", "kid": "r1"}), &claims)),
        ),
        (
            "the ID token is not good",
            Box::new(|scene, claims| scene.signed(&json!({"alg": "none", "kid": "r1"}), &claims)),
        ),
        (
            "the ID token is not good",
            Box::new(|scene, claims| scene.signed(&json!({"alg": "ES256", "kid": "r1"}), &claims)),
        ),
        (
            "a key that the provider does not have",
            Box::new(|scene, claims| {
                scene.signed(&json!({"alg": "RS256", "kid": "other"}), &claims)
            }),
        ),
        ("the ID token is not good", Box::new(|_, _| "not.a.token".to_owned())),
        ("the ID token is not good", Box::new(|_, _| "x".repeat(100_000))),
    ];
    for (index, (why, make)) in cases.into_iter().enumerate() {
        let (status, to, text) = scene.log_in(make).await;
        assert_eq!((status, to.as_str()), (401, ""), "{index}: {text}");
        assert!(text.contains(why), "{index}: {why}: {text}");
        assert_eq!(scene.browser.get("/").await.status, 303, "{index}: nobody is logged in");
    }
}

#[tokio::test]
async fn only_the_browser_that_began_a_login_ends_it() {
    let scene = Scene::new().await;
    let sent = scene.browser.get("/login/start").await;
    let asked = reqwest::Url::parse(&location(&sent)).unwrap();
    let query: BTreeMap<String, String> = asked.query_pairs().into_owned().collect();
    let now = scene.world.service.now();
    let claims = json!({"iss": scene.issuer, "aud": "bridge", "sub": "u", "nonce": query["nonce"],
        "groups": ["all"], "exp": now + 300});
    {
        let mut plays = scene.plays.lock().unwrap();
        plays.token = rs256(&scene, &claims);
        plays.challenge.clone_from(&query["code_challenge"]);
    }
    let back = format!("/login/callback?code=the-code&state={}", query["state"]);
    // Somebody else's browser, which was sent the address.
    let other = Browser::new(&scene.world.url);
    assert_eq!(other.get(&back).await.status, 400);
    // Another state; and the login is gone with the first try.
    assert_eq!(scene.browser.get("/login/callback?code=the-code&state=x").await.status, 400);
    assert_eq!(scene.browser.get(&back).await.status, 400);
    // What the provider refuses is told, and is only text.
    scene.browser.get("/login/start").await;
    let (status, _, text) = scene
        .log_in(|scene, claims| {
            scene.plays.lock().unwrap().challenge = String::new();
            rs256(scene, &claims)
        })
        .await;
    assert_eq!(status, 303, "{text}");
    scene.browser.forget();
    let sent = scene.browser.get("/login/start").await;
    let asked = reqwest::Url::parse(&location(&sent)).unwrap();
    let state = asked.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let answer = scene.browser.get(&format!("/login/callback?code=stolen&state={state}")).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.text.contains("invalid_grant &lt;b&gt;no&lt;&#x2f;b&gt;")
            || answer.text.contains("invalid_grant &lt;b&gt;no&lt;/b&gt;"),
        "{}",
        answer.text
    );
}

#[test]
fn a_file_that_lets_secrets_be_read_on_the_way_is_refused() {
    let text = "{issuer: 'http://id.example.com', client_id: '', public_url: 'ftp://x', roles: {viewer: []}}";
    let file: OidcFile = serde_saphyr::from_str(text).unwrap();
    let error = Provider::new(file).unwrap_err();
    assert_eq!(error.problems().len(), 4, "{error}");
}
