//! The part of the options that says how to reach the controller.

use jenkins_remoting::transport::{InstanceIdentity, PostTarget, RootUrl, Secret, UrlError};

use super::Resolver;
use crate::bridge::BridgeOptions;
use crate::cli::addresses::{Authority, Tunnel};
use crate::cli::arguments::Word;
use crate::cli::configuration::{Header, TcpEntry, TcpOptions, Transport};
use crate::cli::mistake::Mistake;
use crate::cli::options::Opt;
use crate::observe::Collector;

/// Headers of the WebSocket request that the agent sets itself.
const OWN_HEADERS: [&str; 6] = [
    "node-name",
    "secret-key",
    "x-remoting-capability",
    "connection-cookie",
    "connection",
    "upgrade",
];

impl Resolver<'_> {
    /// The transport, if everything about it is right.
    pub(super) fn transport(&mut self) -> Option<Transport> {
        if !self.is_inbound() {
            self.mistakes.push(Mistake::NotInbound);
            return None;
        }
        if let Some(word) = self.given.last(Opt::JnlpUrl) {
            self.mistakes.push(Mistake::NotInThisVersion {
                option: Opt::JnlpUrl.name(),
                origin: word.origin.clone(),
                instead: instead_of_jnlp(&word.text),
            });
            return None;
        }
        let urls = self.urls();
        if !self.given.has(Opt::Url)
            && !self.given.has(Opt::Direct)
            && !self.has_mistake_about(Opt::Url)
        {
            self.mistakes.push(Mistake::Missing {
                what: "the controller's URL",
                how: "add -url URL or set JENKINS_URL",
            });
        }
        let headers = self.headers();
        let tcp = self.tcp_options(&urls);
        if self.given.has(Opt::WebSocket) {
            if let ([_, second, ..], true) = (self.given.all(Opt::Url), urls.len() > 1) {
                self.bad(
                    Opt::Url,
                    second,
                    "with -webSocket only one URL is allowed: remove the others",
                );
            }
            return urls.into_iter().next().map(|url| Transport::WebSocket { url, headers });
        }
        tcp.map(Transport::Tcp)
    }

    fn urls(&mut self) -> Vec<RootUrl> {
        let mut urls = Vec::new();
        for word in self.given.all(Opt::Url) {
            match RootUrl::parse(&word.text).map_err(|error| error.to_string()) {
                Ok(url) if urls.contains(&url) => {}
                Ok(url) => urls.push(url),
                Err(problem) => self.bad(Opt::Url, word, problem),
            }
        }
        urls
    }

    /// The headers of the WebSocket request.
    fn headers(&mut self) -> Vec<Header> {
        let mut headers = Vec::new();
        for word in self.given.all(Opt::WebSocketHeader) {
            headers.extend(self.header(Opt::WebSocketHeader, word));
        }
        headers
    }

    /// Where spans go, if anywhere.
    pub(super) fn collector(&mut self) -> Option<Collector> {
        let mut headers = Vec::new();
        for word in self.given.all(Opt::OtlpHeader) {
            headers.extend(self.header(Opt::OtlpHeader, word));
        }
        let endpoint = self.parsed(Opt::OtlpEndpoint, |text| {
            PostTarget::root(text).map_err(|error| match error {
                UrlError::Credentials => "the URL contains a user name or password: give them in a header, with \
                                          --otlp-header"
                    .to_owned(),
                _ => "this is no URL of a collector (not shown): give one as https://collector.example.com:4318"
                    .to_owned(),
            })
        })?;
        Some(Collector { endpoint, headers })
    }

    /// Whom to ask to take the node out, if anybody. What is missing of it is told by its options' needs.
    pub(super) fn bridge(&mut self) -> Option<BridgeOptions> {
        let url = self.parsed(Opt::BridgeUrl, |text| {
            PostTarget::root(text).map_err(|_| {
                "this is no URL of a bridge: give one as https://bridge.example.com:8090".to_owned()
            })
        });
        let token = self.parsed(Opt::BridgeToken, |text| {
            match !text.is_empty() && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
                true => Ok(Secret::new(text)),
                false => {
                    Err("this is no token (not shown): it has characters that none has".to_owned())
                }
            }
        });
        let controller = self.parsed(Opt::BridgeController, |text| match text {
            "" => Err("the name is empty".to_owned()),
            _ => Ok(text.to_owned()),
        });
        Some(BridgeOptions { url: url?, token: token?, controller: controller? })
    }

    /// One header of an option.
    fn header(&mut self, option: Opt, word: &Word) -> Option<Header> {
        let Some((name, value)) = word.text.split_once('=') else {
            self.bad(option, word, "expected NAME=VALUE (not shown): add the =");
            return None;
        };
        let lower = name.to_ascii_lowercase();
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        {
            self.bad(option, word, "the part before the = is no HTTP header name");
        } else if option == Opt::WebSocketHeader
            && (OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("sec-websocket-"))
        {
            let problem = format!("the agent sets the header {name} itself: remove it");
            self.bad(option, word, problem);
        } else if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            let problem =
                format!("the value of {name} has characters that no header may have (not shown)");
            self.bad(option, word, problem);
        } else {
            return Some(Header { name: name.to_owned(), value: Secret::new(value) });
        }
        None
    }

    fn tcp_options(&mut self, urls: &[RootUrl]) -> Option<TcpOptions> {
        let tunnel = self.parsed(Opt::Tunnel, Tunnel::parse);
        let credentials = self.pair(Opt::Credentials);
        let address = self.parsed(Opt::Direct, Authority::parse);
        let identity = self.parsed(Opt::InstanceIdentity, instance_identity);
        let protocols = self.given.all(Opt::Protocols);
        let entry = match (address, identity) {
            (Some(address), Some(instance_identity)) => TcpEntry::Direct {
                address,
                instance_identity,
                protocols: protocols.iter().map(|word| word.text.clone()).collect(),
            },
            _ if !urls.is_empty() => TcpEntry::Discover(urls.to_vec()),
            _ => return None,
        };
        Some(TcpOptions {
            entry,
            tunnel,
            credentials,
            keep_alive: !self.given.has(Opt::NoKeepAlive),
        })
    }
}

fn instance_identity(text: &str) -> Result<InstanceIdentity, String> {
    InstanceIdentity::parse(text).map_err(|problem| {
        format!(
            "expected the base64 text of the controller's X-Instance-Identity header: {problem}"
        )
    })
}

/// What replaces `-jnlpUrl ROOT/computer/NAME/jenkins-agent.jnlp`.
fn instead_of_jnlp(url: &str) -> String {
    let parts = url.split_once("/computer/").and_then(|(root, rest)| {
        Some((root, rest.split_once('/').map(|(name, _)| name).filter(|name| !name.is_empty())?))
    });
    match parts {
        // A %-encoded name would have to be decoded, which a person does more safely.
        Some((root, name)) if !name.contains('%') && !root.contains('@') => {
            format!("use -url {root}/ -name {name} -webSocket with -secret")
        }
        _ => "use -url with the controller's root URL, -name, -secret and -webSocket".to_owned(),
    }
}
