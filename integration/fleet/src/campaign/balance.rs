//! One address for several replicas, as a balancer in front of them has it: each connection goes to the next
//! one that takes it.

use tokio::net::{TcpListener, TcpStream};

/// Passes connections on until it is dropped. Where no replica takes one it is closed.
pub(super) async fn balance(listener: TcpListener, ports: Vec<u16>) {
    let mut turn = 0_usize;
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        turn = turn.wrapping_add(1);
        let mut order = ports.clone();
        order.rotate_left(turn % ports.len().max(1));
        tokio::spawn(async move {
            for port in order {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await {
                    pass(near, far).await;
                    return;
                }
            }
        });
    }
}

async fn pass(mut near: TcpStream, mut far: TcpStream) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    // A replica that is killed ends the connection, and whoever had it comes again.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
