//! Proxy settings: which proxy, with which credentials, and for which hosts none.
//!
//! Nothing here reads the environment: whoever starts the agent decides which variables apply.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::secret::Secret;
use super::url::{Endpoint, port_of};

/// Proxies by the scheme of the controller's URL, and the hosts reached without them.
#[derive(Debug, Clone, Default)]
pub struct ProxyOptions {
    /// For `http` URLs.
    pub http: Option<Proxy>,
    /// For `https` URLs.
    pub https: Option<Proxy>,
    /// Hosts reached directly.
    pub no_proxy: NoProxy,
}

impl ProxyOptions {
    /// The proxy to use for an endpoint.
    #[must_use]
    pub fn select(&self, endpoint: &Endpoint) -> Option<&Proxy> {
        let proxy = if endpoint.secure { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.no_proxy.matches(&endpoint.host))
    }
}

/// An HTTP or HTTPS proxy that tunnels with `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    endpoint: Endpoint,
    credentials: Option<(String, Secret)>,
}

/// A proxy address that cannot be used. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the proxy address {problem}; give it as host:port, http://host:port or https://host:port")]
pub struct ProxyUrlError {
    problem: &'static str,
}

impl Proxy {
    /// A proxy without credentials. `secure` means TLS to the proxy itself.
    #[must_use]
    pub fn new(secure: bool, host: impl Into<String>, port: u16) -> Self {
        Self { endpoint: Endpoint { secure, host: host.into(), port }, credentials: None }
    }

    /// Reads `[http[s]://][user[:password]@]host[:port][/]`. Without a scheme it is `http`; without a port that
    /// of the scheme. User and password may be percent-encoded.
    ///
    /// # Errors
    /// Another scheme, no host, or a bad port.
    pub fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let fail = |problem| Err(ProxyUrlError { problem });
        let text = text.trim();
        let (secure, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return fail("has a scheme other than http and https"),
        };
        // The last '@': a password may contain one that was not encoded; hosts cannot.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let Ok(authority) = authority.parse::<http::uri::Authority>() else {
            return fail("is not a host and port");
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return fail("has no host");
        }
        let Some(port) = port_of(authority.as_str(), if secure { 443 } else { 80 }) else {
            return fail("has a bad port");
        };
        let mut proxy = Self::new(secure, host, port);
        if let Some(credentials) = credentials {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            proxy = proxy.with_credentials(percent_decode(user), percent_decode(password));
        }
        Ok(proxy)
    }

    /// The same proxy with a user name and password (`-proxyCredentials`), sent as `Proxy-Authorization: Basic`.
    #[must_use]
    pub fn with_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.credentials = Some((user.into(), Secret::new(password)));
        self
    }

    /// Where the proxy is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn authorization(&self) -> Option<Secret> {
        let (user, password) = self.credentials.as_ref()?;
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))))
    }
}

impl fmt::Display for Proxy {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.endpoint.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.endpoint.authority())
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(16 * high + low));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The hosts of a `no_proxy` list, with the meaning the Java agent gives it (`hudson.remoting.NoProxyEvaluator`):
/// entries separated by `,` (or by `|` if there is no comma); addresses match exactly, `a.b.c.d/n` whole networks,
/// anything else the end of the host name (a leading `.` or `*.` is dropped, and `ample.com` matches
/// `example.com`). `localhost` and loopback addresses are always direct. Beyond the Java agent: IPv6 networks,
/// letter case does not matter, and a lone `*` means every host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    all: bool,
    networks: Vec<(IpAddr, u8)>,
    suffixes: Vec<String>,
}

impl NoProxy {
    /// Reads a list. Every text is valid.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let separator = if list.contains(',') { ',' } else { '|' };
        let mut result = Self::default();
        for entry in list.split(separator) {
            let entry = entry.trim();
            let entry = entry.strip_prefix('.').unwrap_or(entry);
            let entry = entry.strip_prefix("*.").unwrap_or(entry);
            let address =
                entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
            if entry.is_empty() {
                continue;
            } else if entry == "*" {
                result.all = true;
            } else if let Ok(address) = address.parse::<IpAddr>() {
                result.networks.push((address, width(address)));
            } else if let Some(network) = parse_network(entry) {
                result.networks.push(network);
            } else {
                result.suffixes.push(entry.to_ascii_lowercase());
            }
        }
        result
    }

    /// Whether a host is reached without a proxy. IPv6 addresses come without brackets.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        if self.all || host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return address.is_loopback()
                || self.networks.iter().any(|(network, bits)| contains(*network, *bits, address));
        }
        let host = host.to_ascii_lowercase();
        self.suffixes.iter().any(|suffix| host.ends_with(suffix.as_str()))
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn parse_network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = entry.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= width(address)).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    // Both as 128-bit numbers aligned to the left, so that one shift compares the prefixes.
    let left = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let same_family = network.is_ipv4() == address.is_ipv4();
    same_family
        && (left(network) ^ left(address)).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_addresses() {
        for (text, shown, authorization) in [
            ("proxy", "http://proxy:80", None),
            ("proxy:3128", "http://proxy:3128", None),
            ("http://proxy:3128/", "http://proxy:3128", None),
            ("HTTPS://proxy", "https://proxy:443", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            ("http://[::1]", "http://[::1]:80", None),
            ("http://user:p%40ss%@proxy:1", "http://proxy:1", Some("user:p@ss%")),
            ("me:a@b@proxy", "http://proxy:80", Some("me:a@b")),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown);
            let expected = authorization.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
            assert_eq!(proxy.authorization().map(|value| value.expose().to_owned()), expected);
            assert!(!format!("{proxy:?}").contains("ss%"));
        }
        for bad in ["", "http://", "socks5://p", "p:0", "p:99999", "p:x", "a b:1", "http://:80"] {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_proxy_lists() {
        let list = NoProxy::parse(
            " .example.com, *.corp.test ,10.0.0.0/8,192.168.7.1,fd00::/16,[::2],ample.org,",
        );
        for direct in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "example.com",
            "a.EXAMPLE.com",
            "x.corp.test",
            "10.255.1.2",
            "192.168.7.1",
            "fd00::7",
            "::2",
            "myexample.com",
            "example.org",
        ] {
            assert!(list.matches(direct), "{direct}");
        }
        for proxied in
            ["example.com.evil", "11.0.0.1", "192.168.7.2", "fd01::1", "10.0.0.0.test", "other"]
        {
            assert!(!list.matches(proxied), "{proxied}");
        }
        assert!(NoProxy::parse("a.test|b.test").matches("x.b.test"));
        assert!(NoProxy::parse("0.0.0.0/0").matches("8.8.8.8"));
        assert!(!NoProxy::parse("0.0.0.0/0").matches("2001:db8::1"));
        assert!(NoProxy::parse("*").matches("anything"));
        assert!(!NoProxy::parse("").matches("anything"));
    }

    #[test]
    fn selection_follows_the_scheme() {
        let options = ProxyOptions {
            http: Some(Proxy::new(false, "plain", 1)),
            https: Some(Proxy::new(false, "tls", 2)),
            no_proxy: NoProxy::parse("direct.test"),
        };
        let endpoint = |secure, host: &str| Endpoint { secure, host: host.into(), port: 1 };
        let chosen = |endpoint: &Endpoint| {
            options.select(endpoint).map(|proxy| proxy.endpoint().host.clone())
        };
        assert_eq!(chosen(&endpoint(false, "c")).as_deref(), Some("plain"));
        assert_eq!(chosen(&endpoint(true, "c")).as_deref(), Some("tls"));
        assert_eq!(chosen(&endpoint(true, "direct.test")), None);
    }
}
