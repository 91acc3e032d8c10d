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
        // Of the pod alone: a host whose disk is nearly full is told of by itself.
        let warnings = session.kubectl("events --types=Warning --for pod/web");
        assert_eq!(warnings.err, "No events found in default namespace.\n");
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

/// kubectl sends both pods as protobuf.
#[test]
fn kubectl_debugs_a_copy_of_a_pod_and_the_node() {
    each_newer(|session| {
        session.world.build("busybox", "busybox");
        let sleeper = session.container("web", &[]).command(&["sleep", "1000"]);
        session.run_pod(&session.world.pod("web", [sleeper]).grace(1).label("app", "web"));
        let copy = "debug web --profile=general --copy-to=copy --image=busybox --container=look --share-processes \
                    --image-pull-policy=IfNotPresent -- sleep 1000";
        assert_eq!(session.kubectl(copy).done(), "");
        session.kubectl("wait pod/copy --for=condition=Ready --timeout=60s").fine();
        let [pod, copy] = ["pod web", "pod copy"].map(|which| session.object(which)["spec"].clone());
        assert_eq!(copy["shareProcessNamespace"], true);
        let of = |spec: &serde_json::Value, field: &str| spec["containers"][0][field].clone();
        for field in ["name", "image", "command", "env", "volumeMounts", "resources"] {
            assert_eq!(of(&copy, field), of(&pod, field), "{field}");
        }
        assert_eq!(copy["containers"][1]["command"], json!(["sleep", "1000"]));

        let node = session.kubectl("get nodes -o name").fine();
        let debug = format!("debug {} --profile=general --image=busybox -- ls /host", node.trim());
        let said = session.kubectl(&debug).fine();
        let name = words(&said)[0][3].to_owned();
        assert!(name.starts_with("node-debugger-"), "{said}");
        let phase = || session.object(&format!("pod {name}"))["status"]["phase"] == "Succeeded";
        crate::world::until("the files of the node", || phase().then_some(()));
        assert!(session.kubectl(&format!("logs {name}")).fine().lines().any(|file| file == "etc"));
    });
}
