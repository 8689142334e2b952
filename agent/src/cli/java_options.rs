//! System properties that people put into `JAVA_OPTS` and that have a meaning for a native agent.

/// The system properties among the options of a JVM.
#[derive(Debug)]
pub(super) struct SystemProperties<'a>(&'a [String]);

impl<'a> SystemProperties<'a> {
    pub(super) fn of(options: &'a [String]) -> Self {
        Self(options)
    }

    /// The value of `-Dname=value`; the last one wins, as for the JVM. Empty values count as not set.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find_map(|option| {
            let (key, value) = option.strip_prefix("-D")?.split_once('=')?;
            (key == name && !value.is_empty()).then_some(value)
        })
    }

    /// `http.proxyHost` and `http.proxyPort`, or their twins for https, as `host:port`.
    pub(super) fn proxy(&self, scheme: &str, default_port: &str) -> Option<String> {
        let host = self.get(&format!("{scheme}.proxyHost"))?;
        let port = self.get(&format!("{scheme}.proxyPort")).unwrap_or(default_port);
        Some(format!("{host}:{port}"))
    }

    /// `http.nonProxyHosts` in the notation of `no_proxy`: `a|*.b` is `a,.b` there.
    pub(super) fn no_proxy(&self) -> Option<String> {
        let hosts = self.get("http.nonProxyHosts")?.split('|');
        let hosts: Vec<&str> = hosts.map(|host| host.strip_prefix('*').unwrap_or(host)).collect();
        Some(hosts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proxies() {
        let options = [
            "-Xmx64m",
            "-Dhttp.proxyHost=old",
            "-Dhttp.proxyHost=p",
            "-Dhttp.proxyPort=3128",
            "-Dhttps.proxyHost=s",
            "-Dhttp.nonProxyHosts=localhost|*.corp",
            "-DproxyCredentials=u:p",
            "-Dempty=",
        ]
        .map(str::to_owned);
        let properties = SystemProperties::of(&options);
        assert_eq!(properties.proxy("http", "80").as_deref(), Some("p:3128"));
        assert_eq!(properties.proxy("https", "443").as_deref(), Some("s:443"));
        assert_eq!(properties.proxy("ftp", "21"), None);
        assert_eq!(properties.no_proxy().as_deref(), Some("localhost,.corp"));
        assert_eq!(properties.get("proxyCredentials"), Some("u:p"));
        assert_eq!(properties.get("empty"), None);
    }
}
