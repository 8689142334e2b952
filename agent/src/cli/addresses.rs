//! Addresses in the TCP options: `HOST:PORT` and tunnels.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;

/// A host (name, IPv4, or IPv6 without brackets) with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: String,
    /// The port.
    pub port: NonZeroU16,
}

/// `-tunnel`: which parts of the discovered address are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Replaces the host.
    pub host: Option<String>,
    /// Replaces the port.
    pub port: Option<NonZeroU16>,
}

impl Authority {
    /// Parses `HOST:PORT`, with `[…]` around an IPv6 address.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT".to_owned();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) =
                    rest.split_once(']').ok_or("expected ] behind the IPv6 address")?;
                host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
                (host, behind.strip_prefix(':').ok_or_else(expected)?)
            }
            None => text.split_once(':').ok_or_else(expected)?,
        };
        if host.is_empty() {
            return Err("the host name is missing: expected HOST:PORT".to_owned());
        }
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c)) {
            return Err(format!("{host:?} is no host name"));
        }
        Ok(Self { host: host.to_owned(), port: parse_port(port)? })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Tunnel {
    /// Parses `HOST:PORT`, `HOST:` or `:PORT`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT, HOST: or :PORT".to_owned();
        if let Some(port) = text.strip_prefix(':') {
            return Ok(Self { host: None, port: Some(parse_port(port)?) });
        }
        if let Some(host) = text.strip_suffix(':') {
            // Any port will do to check the host.
            let host = Authority::parse(&format!("{host}:1")).map_err(|_| expected())?.host;
            return Ok(Self { host: Some(host), port: None });
        }
        let whole = Authority::parse(text).map_err(|_| expected())?;
        Ok(Self { host: Some(whole.host), port: Some(whole.port) })
    }
}

fn parse_port(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| format!("{text:?} is no port: expected a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["h:80", "h-1.example.com:50000", "10.0.0.1:1", "[::1]:65535"] {
            assert_eq!(Authority::parse(text).unwrap().to_string(), text);
        }
        for (text, part) in [
            ("h", "expected HOST:PORT"),
            (":1", "host name is missing"),
            ("h:0", "\"0\" is no port"),
            ("h:+80", "no port"),
            ("h:", "no port"),
            ("a/b:1", "no host name"),
            ("::1:1", "host name is missing"),
            ("[::g]:1", "no IPv6"),
            ("[::1]", "expected HOST:PORT"),
            ("[::1", "expected ]"),
        ] {
            let error = Authority::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn tunnels() {
        let tunnel = |text| Tunnel::parse(text).map(|t| (t.host, t.port.map(NonZeroU16::get)));
        assert_eq!(tunnel("h:1"), Ok((Some("h".to_owned()), Some(1))));
        assert_eq!(tunnel("h:"), Ok((Some("h".to_owned()), None)));
        assert_eq!(tunnel(":50000"), Ok((None, Some(50_000))));
        for text in ["", ":", "h", "h:0", "h:x", ":70000", "a:b:1"] {
            assert!(tunnel(text).is_err(), "{text}");
        }
    }
}
