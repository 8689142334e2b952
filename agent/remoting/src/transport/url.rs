//! Controller addresses: root URL, host and port, redirect targets.

use std::fmt;

use http::Uri;

/// A host and port, and whether to speak TLS there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Whether the scheme is `https`.
    pub secure: bool,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The value of the `Host` header: without the port if it is that of the scheme.
    pub(crate) fn host_header(&self) -> String {
        let authority = self.authority();
        let default_port = if self.secure { ":443" } else { ":80" };
        authority.strip_suffix(default_port).unwrap_or(&authority).to_owned()
    }
}

/// The address of a controller, as given with `-url`: scheme, host, port and a path that ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RootUrl {
    endpoint: Endpoint,
    path: String,
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL at all.
    #[error(
        "`{url}` is not a URL; give the controller's address such as https://jenkins.example.com/"
    )]
    Invalid {
        /// What was given, without credentials.
        url: String,
    },
    /// A scheme other than http and https.
    #[error(
        "`{url}` does not begin with http:// or https://; give the controller's address as in a browser"
    )]
    Scheme {
        /// What was given, without credentials.
        url: String,
    },
    /// User name or password in the URL.
    #[error(
        "the URL contains a user name or password, which an agent does not use; remove it \
         (a proxy that wants credentials can be given a header with -webSocketHeader)"
    )]
    Credentials,
}

impl RootUrl {
    /// Reads a root URL. A missing `/` at the end is added; query and fragment are dropped; `ws` and `wss` count
    /// as `http` and `https`.
    ///
    /// # Errors
    /// Anything that is not an absolute `http` or `https` URL, or has credentials in it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (endpoint, mut path) = parse_absolute(text.trim())?;
        if let Some(at) = path.find('?') {
            path.truncate(at);
        }
        if !path.ends_with('/') {
            path.push('/');
        }
        Ok(Self { endpoint, path })
    }

    /// Where to connect.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The target below the root, such as `login`.
    pub(crate) fn join(&self, relative: &str) -> Target {
        Target {
            endpoint: self.endpoint.clone(),
            path_and_query: format!("{}{relative}", self.path),
        }
    }
}

impl fmt::Display for RootUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.join(""))
    }
}

/// One resource: endpoint, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) path_and_query: String,
}

impl Target {
    /// The target a `Location` header names, seen from this one.
    pub(crate) fn redirect(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.trim();
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.endpoint.secure { "https" } else { "http" };
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        // A scheme ends at the first ':' that comes before any '/', '?'.
        let before_path = location.split(['/', '?']).next().unwrap_or_default();
        if before_path.contains(':') {
            return Self::parse(location);
        }
        let base = self.path_and_query.split('?').next().unwrap_or_default();
        let joined = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') || location.is_empty() {
            format!("{base}{location}")
        } else {
            let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
            format!("{folder}{location}")
        };
        Self::parse(&format!("{scheme}://{}{}", self.endpoint.authority(), without_dots(&joined)))
    }

    /// Reads an absolute `http` or `https` URL without credentials.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let (endpoint, path_and_query) = parse_absolute(text)?;
        Ok(Self { endpoint, path_and_query })
    }
}

impl fmt::Display for Target {
    /// Without the query: it may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.endpoint.secure { "https" } else { "http" };
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.endpoint.host_header())
    }
}

/// Resolves `.` and `..` in the path (RFC 3986, 5.2.4).
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(at) => path_and_query.split_at(at),
        None => (path_and_query, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// The port in `host:port`, or the default if there is none; `None` if it is not a port.
///
/// `http::Uri` itself takes a number that is too large for "no port".
pub(super) fn port_of(authority: &str, default: u16) -> Option<u16> {
    match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        None | Some((_, "")) => Some(default),
        Some((_, port)) => port.parse().ok().filter(|port| *port != 0),
    }
}

fn parse_absolute(text: &str) -> Result<(Endpoint, String), UrlError> {
    // Before anything is shown: never repeat credentials in an error.
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    if authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(UrlError::Credentials);
    }
    let shown =
        || text.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect::<String>();
    let invalid = || UrlError::Invalid { url: shown() };
    let uri: Uri = text.split('#').next().unwrap_or_default().parse().map_err(|_| invalid())?;
    let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "ws") => false,
        Some("https" | "wss") => true,
        _ => return Err(UrlError::Scheme { url: shown() }),
    };
    let host = uri.host().ok_or_else(invalid)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(invalid());
    }
    let authority = uri.authority().ok_or_else(invalid)?;
    let port = port_of(authority.as_str(), if secure { 443 } else { 80 }).ok_or_else(invalid)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((Endpoint { secure, host: host.to_owned(), port }, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_urls() {
        for (given, shown, authority) in [
            ("http://c", "http://c/", "c:80"),
            (
                " https://c.example:8443/jenkins ",
                "https://c.example:8443/jenkins/",
                "c.example:8443",
            ),
            ("https://c:443/a/?x=1#y", "https://c/a/", "c:443"),
            ("http://[::1]:8080/", "http://[::1]:8080/", "[::1]:8080"),
            ("wss://c", "https://c/", "c:443"),
            ("HTTP://C", "http://C/", "C:80"),
        ] {
            let url = RootUrl::parse(given).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.endpoint().authority().as_str()),
                (shown, authority)
            );
        }
        assert_eq!(RootUrl::parse("http://[::1]").unwrap().endpoint().host, "::1");
    }

    #[test]
    fn bad_root_urls() {
        for bad in [
            "",
            "c:8080",
            "/x",
            "ftp://c/",
            "http://",
            "http://c:99999/",
            "http://c:0/",
            "http://a b/",
        ] {
            assert!(RootUrl::parse(bad).is_err(), "{bad}");
        }
        let error = RootUrl::parse("https://me:hunter2@c/").unwrap_err();
        assert_eq!(error, UrlError::Credentials);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn redirects() {
        let from = RootUrl::parse("https://c/jenkins").unwrap().join("login?x=1");
        for (location, expected) in [
            ("http://d:81/e?f#g", "http://d:81/e?f"),
            ("//d/e", "https://d:443/e"),
            ("/e?f=http://g", "https://c:443/e?f=http://g"),
            ("e", "https://c:443/jenkins/e"),
            ("../e/./f/..", "https://c:443/e/"),
            ("?q", "https://c:443/jenkins/login?q"),
        ] {
            let to = from.redirect(location).unwrap();
            let scheme = if to.endpoint.secure { "https" } else { "http" };
            assert_eq!(
                format!("{scheme}://{}{}", to.endpoint.authority(), to.path_and_query),
                expected
            );
        }
        assert!(from.redirect("javascript:alert(1)").is_err());
    }
}
