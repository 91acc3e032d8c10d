//! What is shown of pods: tables, every form of output, changes as they come, descriptions.

use serde_json::{Value, json};

use super::each;
use super::said::words;
use crate::world::patient;

#[test]
fn a_pod_is_shown_in_every_form() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]).label("app", "web"));
        let ip = session.ip("web").to_string();
        let node = session.object("nodes")["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();

        let table = session.kubectl("get pods").fine();
        assert_eq!(words(&table)[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
        assert_eq!(words(&table)[1][..4], ["web", "1/1", "Running", "0"]);
        let wide = session.row("pods -o wide");
        assert_eq!(wide[5..], [&ip, &node, "<none>", "<none>"]);
        assert_eq!(session.row("pods --show-labels")[5..], ["app=web"]);
        assert_eq!(session.row("pods -L app")[5..], ["web"]);
        assert_eq!(session.row("pods -A")[..2], ["default", "web"]);

        assert_eq!(session.kubectl("get pods -o name").fine(), "pod/web\n");
        assert_eq!(session.kubectl("get pod web -o jsonpath={.status.podIP}").fine(), ip);
        let columns =
            session.kubectl("get pods -o custom-columns=WHO:.metadata.name,WHERE:.spec.nodeName").fine();
        assert_eq!(words(&columns), [vec!["WHO", "WHERE"], vec!["web", &node]]);
        let template = "get pods -o go-template={{range .items}}{{.metadata.name}}={{.status.phase}};{{end}}";
        let (get, template) = template.split_once(" -o ").unwrap();
        let said = session.kubectl_of(&[get.split(' ').collect::<Vec<_>>(), vec!["-o", template]].concat());
        assert_eq!(said.fine(), "web=Running;");

        let yaml = session.kubectl("get pod web -o yaml").fine();
        let read =
            session.kubectl_with(&["create", "-f", "-", "--dry-run=client", "-o", "json"], &yaml).fine();
        let (of_yaml, of_json): (Value, _) =
            (serde_json::from_str(&read).unwrap(), session.object("pod web"));
        assert_eq!((&of_yaml["spec"], &of_yaml["kind"]), (&of_json["spec"], &of_json["kind"]));
        assert_eq!(of_json["spec"]["nodeName"], json!(node));
        assert_eq!(of_json["spec"]["containers"][0]["terminationMessagePath"], "/dev/termination-log");

        assert_eq!(session.kubectl("get pods -l app=web -o name").fine(), "pod/web\n");
        assert_eq!(
            session.kubectl("get pods --field-selector=status.phase=Running -o name").fine(),
            "pod/web\n"
        );
        assert_eq!(session.kubectl("get pods -l app!=web").err, "No resources found in default namespace.\n");
        let all = session.kubectl("get all -o name").fine();
        assert!(all.contains("pod/web\n"), "{all}");
    });
}

#[test]
fn changes_are_shown_as_they_come() {
    each(|session| {
        session.run_pod(&session.pod("before", &["term=0", "wait"]));
        let watched = session.start("get pods --watch --no-headers");
        // From what it lists first on it misses nothing.
        watched.expect_where("the pod that is there", |line| line.starts_with("before"));
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let line = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&word| word.to_owned()).collect();
            watched.expect_where(&wanted.join(" "), move |line| {
                line.split_whitespace().take(wanted.len()).eq(wanted.iter().map(String::as_str))
            });
        };
        line(&["web", "0/1", "Pending", "0"]);
        line(&["web", "1/1", "Running", "0"]);
        session.kubectl("delete pod web").fine();
        line(&["web", "1/1", "Terminating", "0"]);
        line(&["web", "0/1", "Completed", "0"]);
        watched.kill();
        assert_eq!(session.world.ledger().ends("web"), [Some(0)]);
    });
}

/// The value behind `field:` in a description.
fn field<'a>(description: &'a str, field: &str) -> Vec<&'a str> {
    let found = description.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{field}:")));
    found.unwrap_or_else(|| panic!("{field} in {description}")).split_whitespace().collect()
}

#[test]
fn a_pod_is_described_with_its_events() {
    each(|session| {
        let container = session
            .container("web", &["term=0", "wait"])
            .with("env", json!([{"name": "GREETING", "value": "hello"}]))
            .with("ports", json!([{"containerPort": 80}]))
            .with("resources", json!({"limits": {"memory": "64Mi"}}));
        session.run_pod(&session.world.pod("web", [container]).label("app", "web").annotation("note", "n"));
        let ip = session.ip("web").to_string();
        let told = session.kubectl("describe pod web").fine();
        for (name, value) in [
            ("Name", "web"),
            ("Namespace", "default"),
            ("Labels", "app=web"),
            ("Annotations", "note: n"),
            ("Status", "Running"),
            ("IP", &ip),
            ("Image", &session.world.image()),
            ("Port", "80/TCP"),
            ("State", "Running"),
            ("Ready", "True"),
            ("Restart Count", "0"),
            ("memory", "64Mi"),
            ("GREETING", "hello"),
            ("QoS Class", "Burstable"),
        ] {
            assert_eq!(field(&told, name).join(" "), value, "{told}");
        }
        assert_eq!(field(&told, "Mounts"), [""; 0]);
        assert!(
            words(&told).iter().any(|line| line.starts_with(&["/ledger", "from", "ledger", "(rw)"])),
            "{told}"
        );
        let events = &told[told.find("Events:").unwrap()..];
        let reasons: Vec<&str> = words(events).iter().skip(3).map(|line| line[1]).collect();
        assert_eq!(reasons, ["Scheduled", "Pulled", "Created", "Started"], "{events}");
        let listed = session.kubectl("get events --no-headers").fine();
        assert_eq!(words(&listed).iter().filter(|line| line[3] == "pod/web").count(), 4, "{listed}");
    });
}

#[test]
fn a_node_and_a_namespace_are_described() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let node = session.kubectl("get nodes -o name").fine();
        let told = session.kubectl(&format!("describe {}", node.trim())).fine();
        assert_eq!(field(&told, "Unschedulable"), ["false"]);
        assert_eq!(field(&told, "pods"), ["110"]);
        assert!(words(&told).iter().any(|line| line.starts_with(&["Ready", "True"])), "{told}");
        assert!(words(&told).iter().any(|line| line.starts_with(&["default", "web"])), "{told}");
        let table = session.row("nodes");
        assert_eq!(table[1], "Ready");
        let told = session.kubectl("describe namespace default").fine();
        assert_eq!(field(&told, "Status"), ["Active"]);
    });
}

#[test]
fn events_of_a_pod_that_cannot_run_say_why() {
    each(|session| {
        assert_eq!(session.kubectl("run wrong --image=no-such-image:1").fine(), "pod/wrong created\n");
        let deadline = std::time::Instant::now() + patient(std::time::Duration::from_secs(10));
        while !["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"]
            .contains(&&*session.row("pod wrong")[2])
        {
            assert!(std::time::Instant::now() < deadline, "{:?}", session.row("pod wrong"));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let told = session.kubectl("describe pod wrong").fine();
        assert!(told.contains("Warning  Failed"), "{told}");
        let refused = session.kubectl("logs wrong").refused();
        let waits = "container \"wrong\" in pod \"wrong\" is waiting to start: ";
        assert!(
            refused.starts_with("Error from server (BadRequest): ") && refused.contains(waits),
            "{refused}"
        );
    });
}
