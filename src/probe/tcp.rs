//! `tcpSocket`: a connection that is made and closed.

use std::time::Duration;

use tokio::time::timeout;

use super::Answer;
use super::address::Address;

/// A connection, ready to be tried again and again.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) address: Address,
    pub(crate) timeout: Duration,
}

impl Question {
    /// Asks once; takes no longer than the probe's timeout.
    pub(crate) async fn ask(&self) -> Answer {
        match timeout(self.timeout, self.address.connect()).await {
            Ok(Ok(_)) => Answer::Healthy,
            Ok(Err(reason)) => Answer::Unhealthy(reason),
            Err(_) => Answer::Unhealthy(format!("dial tcp {}: i/o timeout", self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// For an answer that comes, however slow the machine is.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn ask(host: Option<&str>, port: u16) -> Answer {
        let address = Address::new(host, LOCALHOST, port);
        Question { address, timeout: PATIENCE }.ask().await
    }

    #[tokio::test]
    async fn whoever_takes_a_connection_is_healthy() {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ask(None, port).await, Answer::Healthy);
        assert_eq!(ask(Some("localhost"), port).await, Answer::Healthy);
        drop(listener);
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(ask(None, port).await, Answer::Unhealthy(refused));
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for() {
        // A listener whose queue is full takes no more connections.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut held = Vec::new();
        loop {
            let connect = TcpStream::connect((LOCALHOST, port));
            match timeout(Duration::from_millis(200), connect).await {
                Ok(stream) => held.push(stream.unwrap()),
                Err(_) => break,
            }
        }
        let expected = format!("dial tcp 127.0.0.1:{port}: i/o timeout");
        let question =
            Question { address: Address::new(None, LOCALHOST, port), timeout: Duration::from_millis(300) };
        assert_eq!(question.ask().await, Answer::Unhealthy(expected));
    }
}
