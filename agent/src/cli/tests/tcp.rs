//! Connections without WebSocket.

use jenkins_remoting::transport::Jnlp4Options;

use super::*;

fn tcp(arguments: &str) -> (TcpEntry, Jnlp4Options) {
    let arguments = format!("{arguments} -secret {SECRET} -name n");
    let configuration = run_with(&words(&arguments), &[]);
    assert!(configuration.web_socket_options().is_none());
    assert_eq!(configuration.transport.protocol(), "JNLP4-connect");
    configuration.jnlp4_options().unwrap()
}

#[test]
fn without_web_socket_it_is_tcp() {
    let (entry, options) =
        tcp("-url http://c -url http://d -tunnel :1 -credentials u:p -noKeepAlive");
    let TcpEntry::Discover(urls) = entry else { panic!() };
    assert_eq!(
        urls.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["http://c/", "http://d/"]
    );
    assert_eq!((options.tunnel_host.as_deref(), options.tunnel_port), (None, Some(1)));
    assert_eq!(options.credentials.unwrap().expose(), "u:p");
    assert!(!options.socket.keep_alive && options.socket.user_timeout.is_some());
    assert_eq!((options.node_name.as_str(), options.secret.expose()), ("n", SECRET));
    let (_, options) = tcp("-url http://c -tunnel [::1]:2");
    assert_eq!((options.tunnel_host.as_deref(), options.tunnel_port), (Some("::1"), Some(2)));
    assert!(options.socket.keep_alive && options.is_tunnelled());
}

#[test]
fn direct_connections() {
    for option in ["-direct", "-directConnection"] {
        let (entry, options) = tcp(&format!(
            "{option} h:50000 -instanceIdentity {IDENTITY} -protocols A -protocols B"
        ));
        let TcpEntry::Direct { address, instance_identity, protocols } = entry else { panic!() };
        assert_eq!(
            (address.to_string().as_str(), protocols),
            ("h:50000", vec!["A".into(), "B".into()])
        );
        assert_eq!(instance_identity.fingerprint().len(), 47);
        assert!(!options.is_tunnelled());
    }
}
