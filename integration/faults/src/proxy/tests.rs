use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A proxy, and both ends of a connection through it.
async fn through() -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(0, listener.local_addr().unwrap()).unwrap();
    let mut opened = proxy.opened();
    let agent = TcpStream::connect(proxy.address()).await.unwrap();
    let (controller, _) = listener.accept().await.unwrap();
    opened.wait_for(|count| *count == 1).await.unwrap();
    (proxy, agent, controller)
}

async fn receive<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    tokio::time::timeout(SOON, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

/// What is left to read, and how it ends.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await.unwrap();
    (bytes, end.map(drop))
}

fn is_reset(end: &io::Result<()>) -> bool {
    end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

fn flow(from_agent: Flow, from_controller: Flow) -> Order {
    Order::Flow { from_agent, from_controller }
}

#[tokio::test]
async fn bytes_and_ends_pass() {
    let (_proxy, mut agent, mut controller) = through().await;
    agent.write_all(b"up").await.unwrap();
    assert_eq!(&receive::<2>(&mut controller).await, b"up");
    controller.write_all(b"down").await.unwrap();
    drop(controller);
    let (bytes, end) = rest(&mut agent).await;
    assert!(bytes == b"down" && end.is_ok(), "{end:?}");
}

#[tokio::test]
async fn a_cut_is_an_end_and_a_reset_is_none() {
    let (proxy, mut agent, mut controller) = through().await;
    assert_eq!(proxy.order(Order::Cut), 1);
    assert!(rest(&mut agent).await.1.is_ok() && rest(&mut controller).await.1.is_ok());
    let (proxy, mut agent, mut controller) = through().await;
    assert_eq!(proxy.order(Order::Reset), 1);
    assert!(is_reset(&rest(&mut agent).await.1) && is_reset(&rest(&mut controller).await.1));
    assert!(proxy.ended(SOON).await);
    assert_eq!(proxy.order(Order::Reset), 0, "none is left");
}

#[tokio::test]
async fn exactly_so_many_bytes_pass_before_the_reset() {
    let (proxy, mut agent, mut controller) = through().await;
    proxy.order(flow(Flow::Last(70_000), Flow::Pass));
    let sending = tokio::spawn(async move {
        let _ = agent.write_all(&vec![7; 200_000]).await;
        rest(&mut agent).await
    });
    let mut bytes = vec![0; 70_000];
    tokio::time::timeout(SOON, controller.read_exact(&mut bytes)).await.unwrap().unwrap();
    let (more, end) = rest(&mut controller).await;
    assert!(more.is_empty() && is_reset(&end), "{} more, {end:?}", more.len());
    assert!(is_reset(&sending.await.unwrap().1));
}

#[tokio::test]
async fn what_was_stalled_comes_whole() {
    let (proxy, mut agent, mut controller) = through().await;
    proxy.order(flow(Flow::Stall, Flow::Pass));
    agent.write_all(b"late").await.unwrap();
    // The other direction shows that the proxy has had its time.
    controller.write_all(b"now").await.unwrap();
    assert_eq!(&receive::<3>(&mut agent).await, b"now");
    let nothing = controller.try_read(&mut [0; 8]);
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    proxy.order(flow(Flow::Pass, Flow::Pass));
    assert_eq!(&receive::<4>(&mut controller).await, b"late");
}

#[tokio::test]
async fn slow_bytes_come_in_order() {
    for slow in [Flow::Delay(Duration::from_millis(2)), Flow::Throttle(400_000)] {
        let (proxy, mut agent, mut controller) = through().await;
        proxy.order(flow(Flow::Pass, slow));
        let sent: Vec<u8> = (0..60_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let sending = tokio::spawn(async move { controller.write_all(&copy).await });
        let mut got = vec![0; sent.len()];
        tokio::time::timeout(SOON, agent.read_exact(&mut got)).await.unwrap().unwrap();
        assert!(got == sent, "{slow:?}");
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_half_open_connection_tells_nobody() {
    let (proxy, mut agent, mut controller) = through().await;
    proxy.order(flow(Flow::Swallow, Flow::Pass));
    agent.write_all(b"lost").await.unwrap();
    controller.write_all(b"heard").await.unwrap();
    assert_eq!(&receive::<5>(&mut agent).await, b"heard");
    let nothing = controller.try_read(&mut [0; 8]);
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    // It has its last order: nothing brings it back.
    assert_eq!(proxy.order(flow(Flow::Pass, Flow::Pass)), 0);
    drop(agent);
    let (bytes, end) = rest(&mut controller).await;
    assert!(bytes.is_empty() && is_reset(&end), "reset once the time is over: {end:?}");
}

#[tokio::test]
async fn a_new_connection_comes_while_the_old_one_counts() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(0, listener.local_addr().unwrap()).unwrap();
    let mut opened = proxy.opened();
    let mut agent = TcpStream::connect(proxy.address()).await.unwrap();
    let (old, _) = listener.accept().await.unwrap();
    opened.wait_for(|count| *count == 1).await.unwrap();
    proxy.order(Order::ResetAgent(Duration::from_secs(60)));
    assert!(is_reset(&rest(&mut agent).await.1));
    let mut agent = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut new, _) = listener.accept().await.unwrap();
    agent.write_all(b"again").await.unwrap();
    assert_eq!(&receive::<5>(&mut new).await, b"again");
    let nothing = old.try_read(&mut [0; 8]);
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn connections_are_refused_for_a_time() {
    let (proxy, mut agent, mut controller) = through().await;
    proxy.refuse().await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    agent.write_all(b"on").await.unwrap();
    assert_eq!(&receive::<2>(&mut controller).await, b"on");
    proxy.listen_again().await.unwrap();
    TcpStream::connect(proxy.address()).await.unwrap();
}
