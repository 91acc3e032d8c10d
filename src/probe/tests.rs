//! A probe of each kind from its start to its verdict.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::*;
use crate::pod::spec::tests::probe;
use crate::pod::spec::{Grpc, HttpGet, TcpSocket};
use crate::runtime::fake::Fake;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn target(kind: Kind, handler: ProbeHandler) -> Target {
    Target {
        names: Names::default(),
        container_id: "c0".to_owned(),
        kind,
        probe: probe(handler),
        pod_ip: LOCALHOST,
        started_at: Timestamp::now(),
        resumed: false,
    }
}

fn runtime() -> Arc<Fake> {
    Arc::new(Fake::new(mpsc::unbounded_channel().0))
}

#[tokio::test]
async fn every_kind_of_question_is_put_and_its_verdict_bears_its_name() {
    // Listens, and never says anything.
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let get = HttpGet { host: None, port, path: "/".to_owned(), https: false, headers: Vec::new() };
    for (handler, expected) in [
        (ProbeHandler::Exec(words("true")), None),
        (ProbeHandler::Exec(words("false no luck")), Some("no luck".to_owned())),
        (
            ProbeHandler::Exec(words("hang on")),
            Some("command timed out: \"hang on\" timed out after 1s".to_owned()),
        ),
        (ProbeHandler::TcpSocket(TcpSocket { host: None, port }), None),
        (
            ProbeHandler::Grpc(Grpc { port, service: String::new() }),
            Some("timeout: health rpc did not complete within 1s".to_owned()),
        ),
        (
            ProbeHandler::HttpGet(get),
            Some(format!(
                "Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )),
        ),
    ] {
        let (sender, mut verdicts) = mpsc::channel(1);
        let _probe = Prober::default().spawn(target(Kind::Startup, handler.clone()), &runtime(), sender);
        let outcome = expected.map_or(Outcome::Success, |message| Outcome::Failure { message });
        let expected = Verdict { container_id: "c0".to_owned(), kind: Kind::Startup, outcome };
        assert_eq!(verdicts.recv().await, Some(expected), "{handler:?}");
        assert_eq!(verdicts.recv().await, None, "it was the last one");
    }
}

#[tokio::test]
async fn a_probe_stops_when_it_is_dropped() {
    let (sender, mut verdicts) = mpsc::channel(1);
    let target = target(Kind::Liveness, ProbeHandler::Exec(vec!["true".to_owned()]));
    let waiting = Probe { initial_delay: Duration::from_secs(3600), ..target.probe.clone() };
    drop(Prober::default().spawn(Target { probe: waiting, ..target }, &runtime(), sender));
    assert_eq!(verdicts.recv().await, None, "all senders are gone");
}

#[test]
fn durations_are_printed_as_go_does() {
    for (millis, expected) in [(300, "300ms"), (1000, "1s"), (90_000, "1m30s"), (60_000, "1m0s")] {
        assert_eq!(go_duration(Duration::from_millis(millis)), expected);
    }
}
