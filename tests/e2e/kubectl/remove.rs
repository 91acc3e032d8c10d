//! delete and wait, of pods and of namespaces with all that is in them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::each;
use crate::world::{patient, until};

#[test]
fn a_pod_is_deleted_gracefully_and_gone_when_kubectl_says_so() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        assert!(session.kubectl("delete pod web").fine().starts_with("pod \"web\" deleted"));
        assert_eq!(session.world.ledger().ends("web"), [Some(0)], "it had its SIGTERM");
        let again = session.kubectl("delete pod web").refused();
        assert_eq!(again, "Error from server (NotFound): pods \"web\" not found\n");
        assert_eq!(session.kubectl("delete pod web --ignore-not-found").fine(), "");
        until("nothing of it", || session.world.pod_uids().is_empty().then_some(()));
    });
}

#[test]
fn a_deaf_pod_has_the_grace_period_that_is_asked_for() {
    each(|session| {
        let deaf = |name: &str, grace| {
            session.run_pod(&session.pod(name, &["term=ignore", "wait"]).grace(grace));
        };
        deaf("slow", 100);
        let begun = Instant::now();
        session.kubectl("delete pod slow --grace-period=2").fine();
        let took = begun.elapsed();
        assert!((Duration::from_secs(2)..patient(Duration::from_secs(8))).contains(&took), "{took:?}");
        assert_eq!(session.world.ledger().ends("slow"), [None], "killed");

        // The API forgets it at once; the node gives it what its spec says.
        deaf("now", 2);
        let said = session.kubectl("delete pod now --force --grace-period=0");
        assert_eq!(
            (said.code, &*said.out.replace(" from default namespace", "")),
            (0, "pod \"now\" force deleted\n")
        );
        assert!(
            said.err.to_lowercase().starts_with("warning: immediate deletion does not wait"),
            "{}",
            said.err
        );
        until("its processes to be gone", || session.world.processes_of("now").is_empty().then_some(()));

        deaf("shorter", 100);
        session.kubectl("delete pod shorter --wait=false").fine();
        assert_eq!(session.row("pod shorter")[2], "Terminating");
        // A second order may only shorten it.
        session.kubectl("delete pod shorter --grace-period=1").fine();
        assert_eq!(session.world.ledger().ends("shorter"), [None]);
    });
}

#[test]
fn all_pods_or_those_with_a_label_are_deleted_at_once() {
    each(|session| {
        for name in ["a", "b", "c"] {
            let group = if name == "c" { "other" } else { "same" };
            session.create(&session.pod(name, &["term=0", "wait"]).label("group", group));
        }
        let waited = session.kubectl("wait --for=condition=Ready pods --all --timeout=60s").fine();
        assert_eq!(waited.lines().count(), 3, "{waited}");
        let deleted = session.kubectl("delete pods -l group=same").fine();
        assert_eq!(deleted.lines().count(), 2, "{deleted}");
        assert_eq!(session.kubectl("get pods -o name").fine(), "pod/c\n");
        let deleted = session.kubectl("delete pods --all").fine();
        assert!(deleted.starts_with("pod \"c\" deleted"), "{deleted}");
        let nothing = session.kubectl("get pods");
        assert_eq!((nothing.code, &*nothing.err), (0, "No resources found in default namespace.\n"));
        assert_eq!(session.kubectl("delete pods --all").out, "No resources found\n");
        for name in ["a", "b", "c"] {
            assert_eq!(session.world.ledger().ends(name), [Some(0)]);
        }
    });
}

#[test]
fn kubectl_waits_for_a_condition_and_for_the_end() {
    each(|session| {
        let probe = json!({"exec": {"command": ["ls", "/ledger/ready"]}, "periodSeconds": 1});
        let container = session.container("web", &["term=ignore", "wait"]).with("readinessProbe", probe);
        session.create(&session.world.pod("web", [container]).grace(3));
        let refused = session.kubectl("wait --for=condition=Ready pod/web --timeout=1s").refused();
        assert_eq!(refused, "error: timed out waiting for the condition on pods/web\n");
        session.world.touch("ready");
        let met = session.kubectl("wait --for=condition=Ready pod/web --timeout=60s").fine();
        assert_eq!(met, "pod/web condition met\n");
        session.kubectl("delete pod web --wait=false").fine();
        let gone = session.kubectl("wait --for=delete pod/web --timeout=60s").fine();
        assert_eq!(gone, "pod/web condition met\n");
        assert!(session.kubectl("get pods -o name").fine().is_empty());
    });
}

#[test]
fn a_namespace_goes_with_its_pods_after_their_end() {
    each(|session| {
        let space =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}).to_string();
        assert_eq!(session.kubectl_with(&["create", "-f", "-"], &space).fine(), "namespace/team created\n");
        let pod = session.pod("web", &["term=0", "wait"]).to_json();
        session.kubectl_with(&["-n", "team", "create", "-f", "-"], &pod).fine();
        session.kubectl("-n team wait --for=condition=Ready pod/web --timeout=60s").fine();
        assert_eq!(session.row("pods -A")[..2], ["team", "web"]);
        assert_eq!(session.row("namespace team")[..2], ["team", "Active"]);
        assert!(session.kubectl("delete namespace team").fine().starts_with("namespace \"team\" deleted"));
        assert_eq!(session.world.ledger().ends("web"), [Some(0)], "gracefully");
        assert_eq!(
            session.kubectl("get namespace team").refused(),
            "Error from server (NotFound): namespaces \"team\" not found\n"
        );
        let refused = session.kubectl_with(&["-n", "team", "create", "-f", "-"], &pod).refused();
        assert!(
            refused.contains("(NotFound)") && refused.contains("namespaces \"team\" not found"),
            "{refused}"
        );
        let refused = session.kubectl("delete namespace default").refused();
        let told = "(Forbidden): namespaces \"default\" is forbidden: this namespace may not be deleted";
        assert!(refused.contains(told), "{refused}");
    });
}
