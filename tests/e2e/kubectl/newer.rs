//! What kubectl has learned since 1.20: events, debugging, who I am.

use serde_json::json;

use super::each_newer;
use super::said::words;

#[test]
fn events_tell_the_life_of_a_pod() {
    each_newer(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let told = session.kubectl("events --for pod/web --no-headers").fine();
        // Those of the same second come in any order.
        let mut reasons: Vec<&str> = words(&told).iter().map(|line| line[2]).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["Created", "Pulled", "Scheduled", "Started"], "{told}");
        session.kubectl("delete pod web").fine();
        let told = session.kubectl("events --for pod/web --no-headers").fine();
        assert!(words(&told).iter().any(|line| line[1..4] == ["Normal", "Killing", "Pod/web"]), "{told}");
        assert_eq!(session.kubectl("events --types=Warning").err, "No events found in default namespace.\n");
    });
}

#[test]
fn a_debugger_looks_into_the_processes_of_a_container() {
    each_newer(|session| {
        session.world.build("busybox", "busybox");
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let debug = "debug web --profile=general --image=busybox --container=look --target=web -- cat /proc/1/cmdline";
        let said = session.kubectl(debug);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.starts_with("Targeting container \"web\"."), "{}", said.out);
        let logs = || session.kubectl("logs web -c look").out;
        crate::world::until("its words", || logs().starts_with("/bin/ledger\0web\0").then_some(()));
        let pod = session.object("pod web");
        assert_eq!(pod["spec"]["ephemeralContainers"][0]["targetContainerName"], json!("web"));
        assert_eq!(session.row("pod web")[1], "1/1");
        assert_eq!(session.world.ledger().starts("web"), 1);
    });
}

#[test]
fn whoever_has_the_kubeconfig_is_a_master() {
    each_newer(|session| {
        let told = session.kubectl("auth whoami").fine();
        assert!(words(&told).contains(&vec!["Username", "admin"]), "{told}");
        assert!(told.contains("system:masters"), "{told}");
    });
}
