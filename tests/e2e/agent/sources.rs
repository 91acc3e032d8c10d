//! Manifests from elsewhere than a directory, and the agent as a service.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::world::{HANG, Pod, World, list, until, world};

fn pod(world: &World, name: &str) -> Pod {
    world.pod(name, [world.container(name, &["term=0", "wait"])])
}

/// Answers every request with what it is told to at the time, or with an error.
fn serve(answer: &Arc<Mutex<Option<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/manifest", listener.local_addr().unwrap());
    let answer = Arc::clone(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let (status, body) = match &*answer.lock().unwrap() {
                Some(body) => ("200 OK", body.clone()),
                None => ("503 Service Unavailable", String::new()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    url
}

#[test]
fn the_pods_behind_a_url_come_and_go_and_outlive_its_server() {
    world(|world| {
        let answer = Arc::new(Mutex::new(Some(list(&[pod(world, "one"), pod(world, "two")]))));
        let url = serve(&answer);
        let flags = ["--manifests", &url, "--http-check-frequency", "50ms"];
        let agent = world.agent_with(&flags, None);
        agent.expect_running("one", "one", 0);
        agent.expect_running("two", "two", 0);
        *answer.lock().unwrap() = None;
        agent.expect_error("503 Service Unavailable");
        agent.kill();

        // Nobody says that they are not wanted: they are looked after.
        let agent = world.agent_with(&flags, None);
        agent.expect("pod default/one: Running");
        agent.expect("pod default/two: Running");
        *answer.lock().unwrap() = Some(list(&[pod(world, "two")]));
        agent.expect("pod default/one: deleted");
        *answer.lock().unwrap() = Some(list(&[]));
        agent.expect("pod default/two: deleted");
        assert_eq!((world.ledger().starts("one"), world.ledger().starts("two")), (1, 1));
        agent.stop();
    });
}

#[test]
fn standard_input_and_a_directory_are_run_together() {
    world(|world| {
        let manifest = world.write("stdin.json", &pod(world, "piped").to_json());
        world.manifests().put(&pod(world, "filed"));
        let directory = world.manifests().path("");
        let directory = directory.to_str().unwrap();
        let agent =
            world.agent_with(&["--manifests", "-", "--pod-manifest-path", directory], Some(&manifest));
        agent.expect_running("piped", "piped", 0);
        agent.expect_running("filed", "filed", 0);
        agent.stop();
        // Without its source a pod is not wanted any more.
        let agent = world.agent();
        agent.expect("pod default/piped: deleted");
        agent.clear(world);
        assert_eq!(world.ledger().starts("filed"), 1);
    });
}

#[test]
fn a_service_manager_is_told_that_the_agent_is_ready_alive_and_on_its_way_out() {
    world(|world| {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(*HANG)).unwrap();
        let told = || {
            let mut text = [0; 256];
            let length = socket.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length]).trim().to_owned()
        };
        let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
        let agent = world.agent_in(&environment);
        assert_eq!(told(), "READY=1");
        assert_eq!([told(), told()], ["WATCHDOG=1", "WATCHDOG=1"]);
        agent.stop();
        until("the last word", || (told() == "STOPPING=1").then_some(()));
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(socket.recv(&mut [0; 256]).is_err(), "nothing follows");
    });
}
