//! The port with real clients, over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

use axum::Extension;
use axum::routing::any;
use jiff::Timestamp;
use reqwest::{Certificate, Client, Identity};

use super::*;
use crate::api::auth::{MASTERS, Tokens, User, gate};

/// A port whose handler says who asks.
struct Served {
    address: SocketAddr,
    directory: tempfile::TempDir,
}

async fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path(), Timestamp::now()).unwrap();
    let port = Port::open("127.0.0.1:0".parse().unwrap(), "node", authority).await.unwrap();
    let address = port.address().unwrap();
    let whoever = |Extension(user): Extension<User>| async move { user.name };
    let router = gate::guard(Router::new().fallback(any(whoever)), Arc::new(Tokens::default()));
    tokio::spawn(port.serve(router));
    Served { address, directory }
}

impl Served {
    fn authority(&self) -> Authority {
        Authority::open(self.directory.path(), Timestamp::now()).unwrap()
    }

    fn client(&self, identity: Option<Identity>) -> Client {
        let _ = ring::default_provider().install_default();
        let authority = Certificate::from_pem(self.authority().certificate_pem().as_bytes()).unwrap();
        let builder = Client::builder().tls_certs_only([authority]).no_proxy();
        match identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        }
        .build()
        .unwrap()
    }

    async fn asked(&self, client: &Client) -> Result<(u16, String), reqwest::Error> {
        let response = client.get(format!("https://{}/api", self.address)).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

fn identity(authority: &Authority, group: &str) -> Identity {
    let issued = authority.issue_client("admin", group, Timestamp::now()).unwrap();
    Identity::from_pem(format!("{}{}", issued.key_pem(), issued.certificate_pem()).as_bytes()).unwrap()
}

#[tokio::test]
async fn a_client_with_a_certificate_of_the_authority_is_its_user() {
    let served = served().await;
    let client = served.client(Some(identity(&served.authority(), MASTERS)));
    assert_eq!(served.asked(&client).await.unwrap(), (200, "admin".to_owned()));
}

#[tokio::test]
async fn a_client_without_one_is_anonymous() {
    let served = served().await;
    assert_eq!(served.asked(&served.client(None)).await.unwrap().0, 403);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_let_in() {
    let served = served().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::open(elsewhere.path(), Timestamp::now()).unwrap();
    let client = served.client(Some(identity(&other, MASTERS)));
    assert!(served.asked(&client).await.is_err());
}

#[tokio::test]
async fn a_client_of_another_authority_does_not_trust_the_server() {
    let (served, other) = (served().await, served().await);
    assert!(served.asked(&other.client(None)).await.is_err());
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_hung_up_on() {
    let served = served().await;
    let address = served.address;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(b"GET /api HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert!(!answer.await.unwrap().contains("HTTP"), "nothing is told in the clear");
}
