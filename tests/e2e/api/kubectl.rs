//! What a person types, and what they see.

use serde_json::json;

use super::Served;
use crate::kubectl::said::words;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: nginx, image: 'nginx:1.27', ports: [{containerPort: 80}]}
";

#[test]
fn a_pod_is_created_shown_in_every_form_and_deleted() {
    Served::each(|api| {
        assert_eq!(api.kubectl_with(&["create", "-f", "-"], POD).fine(), "pod/web created\n");
        let again = api.kubectl_with(&["create", "-f", "-"], POD).refused();
        assert!(
            again.contains("Error from server (AlreadyExists)")
                && again.contains("pods \"web\" already exists"),
            "{again}"
        );
        let table = api.kubectl("get pods").fine();
        assert_eq!(words(&table)[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
        assert_eq!(words(&table)[1][..4], ["web", "0/1", "Pending", "0"]);
        let wide = api.kubectl("get po -o wide").fine();
        let header = "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES";
        assert_eq!(words(&wide)[0].join(" "), header);
        assert_eq!(words(&wide)[1][5..], ["<none>", "node", "<none>", "<none>"]);
        assert_eq!(api.kubectl("get pod web -o name").fine(), "pod/web\n");
        assert_eq!(api.kubectl("get pod web -o jsonpath={.spec.restartPolicy}").fine(), "Always");
        assert_eq!(api.kubectl("get pods -l app=web -o custom-columns=:metadata.name").fine(), "\nweb\n");
        assert!(
            api.kubectl("get pod web -o yaml")
                .fine()
                .contains("    terminationMessagePath: /dev/termination-log\n")
        );
        assert!(api.kubectl("get pod web -o json").fine().contains("\"phase\": \"Pending\""));
        assert_eq!(api.kubectl("get pods --field-selector=status.phase=Pending -o name").fine(), "pod/web\n");
        assert_eq!(api.kubectl("get pods -A --no-headers").fine().split_whitespace().next(), Some("default"));
        assert_eq!(api.kubectl("delete pod web --force --grace-period=0").out, "pod \"web\" force deleted\n");
        let nothing = api.kubectl("get pods");
        assert_eq!((nothing.code, nothing.err.as_str()), (0, "No resources found in default namespace.\n"));
    });
}

#[test]
fn what_is_wrong_is_refused_in_the_api_servers_words() {
    Served::each(|api| {
        let none = api.kubectl("get pod nobody").refused();
        assert_eq!(none, "Error from server (NotFound): pods \"nobody\" not found\n");
        let unknown = api.kubectl("get deployments").refused();
        assert_eq!(unknown, "error: the server doesn't have a resource type \"deployments\"\n");
        let typo = POD.replace("containerPort: 80", "containerPort: 80, hostPrt: 80");
        // 1.20 creates it, and shows the server's warning.
        let told = api.kubectl_with(&["create", "-f", "-"], &typo).err;
        assert!(told.contains("unknown field \"spec.containers[0].ports[0].hostPrt\""), "{told}");
        let invalid = POD.replace("spec:", "spec:\n  restartPolicy: Sometimes");
        let told = api.kubectl_with(&["create", "-f", "-"], &invalid).refused();
        assert!(
            told.contains("The Pod \"web\" is invalid: spec.restartPolicy: Unsupported value: \"Sometimes\""),
            "{told}"
        );
    });
}

#[test]
fn what_the_server_can_do_is_discovered() {
    Served::each(|api| {
        assert_eq!(
            words(&api.kubectl("api-versions").fine()).concat(),
            [
                "authentication.k8s.io/v1",
                "authorization.k8s.io/v1",
                "events.k8s.io/v1",
                "metrics.k8s.io/v1beta1",
                "v1"
            ]
        );
        let resources = api.kubectl("api-resources --no-headers").fine();
        let kinds: Vec<&str> = words(&resources).iter().map(|line| *line.last().unwrap()).collect();
        for kind in ["ConfigMap", "Event", "Namespace", "Node", "Pod", "Secret"] {
            assert!(kinds.contains(&kind), "{resources}");
        }
        assert!(api.kubectl("version --output=json").out.contains("\"gitVersion\": \"v1.37.0+mkubelet"));
        assert_eq!(api.kubectl("get --raw /readyz").fine(), "ok");
        if !api.client.is_newer() {
            return;
        }
        let explained = api.kubectl("explain pod.spec.containers.image").fine();
        assert!(explained.contains("FIELD: image <string>"), "{explained}");
        assert!(api.kubectl("auth whoami").fine().contains("system:masters"));
    });
}

#[test]
fn config_maps_and_secrets_are_made_and_counted() {
    Served::each(|api| {
        let objects = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}}),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}, "data": {"key": "aHVudGVyMg=="},
            }),
        ];
        let objects = &objects.map(|object| object.to_string()).join("\n");
        let made = api.kubectl_with(&["apply", "-f", "-"], objects).fine();
        assert_eq!(made, "configmap/settings created\nsecret/password created\n");
        let again = api.kubectl_with(&["apply", "-f", "-"], objects).fine();
        assert_eq!(again, "configmap/settings unchanged\nsecret/password unchanged\n");
        assert_eq!(words(&api.kubectl("get cm settings --no-headers").fine())[0][..2], ["settings", "2"]);
        assert_eq!(
            words(&api.kubectl("get secret --no-headers").fine())[0][..3],
            ["password", "Opaque", "1"]
        );
        assert_eq!(api.kubectl("get secret password -o jsonpath={.data.key}").fine(), "aHVudGVyMg==");
        let names = api.kubectl("get ns -o name").fine();
        assert_eq!(
            names,
            "namespace/default\nnamespace/kube-node-lease\nnamespace/kube-public\nnamespace/kube-system\n"
        );
    });
}

#[test]
fn what_kubectl_generates_it_sends_in_protobuf() {
    Served::each(|api| {
        for (line, made) in [
            ("create configmap c --from-literal=a=1 --from-literal=b=x=y", "configmap/c created\n"),
            ("create secret generic s --from-literal=password=hunter2", "secret/s created\n"),
            ("create secret docker-registry r --docker-username=u --docker-password=p", "secret/r created\n"),
            ("create namespace n", "namespace/n created\n"),
        ] {
            assert_eq!(api.kubectl(line).fine(), made, "{line}");
        }
        assert_eq!(api.kubectl("get cm c -o jsonpath={.data}").fine(), r#"{"a":"1","b":"x=y"}"#);
        assert_eq!(
            api.kubectl("get secret s -o jsonpath={.type},{.data.password}").fine(),
            "Opaque,aHVudGVyMg=="
        );
        assert_eq!(api.kubectl("get secret r -o jsonpath={.type}").fine(), "kubernetes.io/dockerconfigjson");
        assert_eq!(api.kubectl("get ns n -o jsonpath={.status.phase}").fine(), "Active");
        let again = api.kubectl("create configmap c").refused();
        assert!(again.ends_with("configmaps \"c\" already exists\n"), "{again}");
        assert_eq!(api.kubectl("auth can-i create pods").fine(), "yes\n");
        assert_eq!(api.kubectl("auth can-i get /healthz").fine(), "yes\n");
    });
}

#[test]
fn whoever_asks_as_somebody_else_may_do_what_those_may() {
    Served::each(|api| {
        assert_eq!(
            api.kubectl("get pods --as x").refused(),
            "Error from server (Forbidden): pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the \
             namespace \"default\"\n"
        );
        assert_eq!(api.kubectl("get pods --as x --as-group system:masters -o name").fine(), "");
        assert_eq!(api.kubectl("auth can-i create pods --as x").out, "no\n");
        assert_eq!(api.kubectl("auth can-i get /api --as x").fine(), "yes\n");
        assert!(api.kubectl("version --as x").out.contains("mkubelet"));
        let all = api.kubectl("auth can-i --list --no-headers").fine();
        assert!(words(&all).contains(&vec!["*.*", "[]", "[]", "[*]"]), "{all}");
        let few = api.kubectl("auth can-i --list --no-headers --as x").fine();
        assert!(
            !few.contains("*.*") && few.contains("selfsubjectrulesreviews.authorization.k8s.io"),
            "{few}"
        );
        if api.client.is_newer() {
            let told = api.kubectl("auth whoami --as x --as-group g --as-uid 7").fine();
            assert_eq!(
                words(&told),
                [
                    vec!["ATTRIBUTE", "VALUE"],
                    vec!["Username", "x"],
                    vec!["UID", "7"],
                    vec!["Groups", "[g", "system:authenticated]"]
                ]
            );
        }
    });
}

#[test]
fn kernel_parameters_are_those_that_the_node_allows() {
    Served::each(|api| {
        let pod = |name: &str| {
            POD.replace(
                "spec:",
                &format!("spec:\n  securityContext: {{sysctls: [{{name: {name}, value: '1024'}}]}}"),
            )
        };
        let made = api.kubectl_with(&["create", "-f", "-"], &pod("net.core.somaxconn")).fine();
        assert_eq!(made, "pod/web created\n");
        let refused = api.kubectl_with(&["create", "-f", "-"], &pod("net.core.rmem_default")).refused();
        assert!(refused.contains("net.core.rmem_default"), "{refused}");
    });
}

#[test]
fn that_a_pod_has_a_node_is_an_event_in_both_groups() {
    Served::each(|api| {
        if !api.client.is_newer() {
            return;
        }
        assert_eq!(api.kubectl_with(&["create", "-f", "-"], POD).fine(), "pod/web created\n");
        let events = api.kubectl("events --no-headers").fine();
        let line = words(&events)[0].join(" ");
        assert!(
            line.ends_with("Normal Scheduled Pod/web Successfully assigned default/web to node"),
            "{events}"
        );
        let told = "jsonpath={.items[0].note}|{.items[0].regarding.name}|{.items[0].reportingController}";
        let newer = api.kubectl_with(&["get", "events.v1.events.k8s.io", "-o", told], "").fine();
        assert_eq!(newer, "Successfully assigned default/web to node|web|default-scheduler");
        let described = api.kubectl("describe pod web").fine();
        assert!(
            described.contains("default-scheduler  Successfully assigned default/web to node"),
            "{described}"
        );
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "mine"}, "type": "Normal",
            "eventTime": "2026-01-01T12:00:00.000000Z", "reason": "Tested", "action": "Test", "note": "by hand",
            "reportingController": "example.com/me", "reportingInstance": "me-1",
            "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "default"},
        });
        let made = api.kubectl_with(&["create", "-f", "-"], &event.to_string()).fine();
        assert_eq!(made, "event.events.k8s.io/mine created\n");
        assert_eq!(api.kubectl("get events mine -o jsonpath={.message}").fine(), "by hand");
        let deleted = api.kubectl("delete events.v1.events.k8s.io mine").fine();
        assert!(deleted.starts_with("event.events.k8s.io \"mine\" deleted"), "{deleted}");
        assert!(api.kubectl("get events mine").refused().contains("NotFound"));
    });
}

#[test]
fn a_pod_of_another_scheduler_waits_until_it_is_bound() {
    Served::each(|api| {
        let pod = POD.replace("spec:", "spec:\n  schedulerName: mine");
        assert_eq!(api.kubectl_with(&["create", "-f", "-"], &pod).fine(), "pod/web created\n");
        assert_eq!(api.kubectl("get pod web -o jsonpath={.status.phase}{.spec.nodeName}").fine(), "Pending");
        let bind = |path: &str, name: &str, target: &str| {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "annotations": {"by": "mine"}},
                "target": {"apiVersion": "v1", "kind": target, "name": "node"},
            });
            let path = format!("/api/v1/namespaces/default/{path}");
            api.kubectl_with(&["create", "--raw", &path, "-f", "-"], &binding.to_string())
        };
        let refused = bind("bindings", "web", "Pod").refused();
        assert!(refused.contains("target.kind: Unsupported value: \"Pod\""), "{refused}");
        assert!(bind("pods/web/binding", "other", "Node").refused().contains("name in URL does not match"));
        assert!(bind("bindings", "nobody", "Node").refused().contains("pods \"nobody\" not found"));
        assert!(bind("bindings", "web", "Node").fine().contains("\"status\":\"Success\""));
        let shown = "get pod web -o jsonpath={.spec.nodeName},{.metadata.annotations.by},{.status.conditions[0].type}";
        assert_eq!(api.kubectl(shown).fine(), "node,mine,PodScheduled");
        let again = bind("pods/web/binding", "web", "Node").refused();
        assert!(again.contains("pod web is already assigned to node \"node\""), "{again}");
    });
}

#[test]
fn a_pod_of_another_node_is_taken_and_stays_pending() {
    Served::each(|api| {
        let pod = POD.replace("spec:", "spec:\n  nodeName: elsewhere");
        assert_eq!(api.kubectl_with(&["create", "-f", "-"], &pod).fine(), "pod/web created\n");
        assert_eq!(
            api.kubectl("get pod web -o jsonpath={.status.phase},{.spec.nodeName},{.status.conditions}")
                .fine(),
            "Pending,elsewhere,"
        );
    });
}
