//! Good manifests, and what becomes of them.

use std::path::PathBuf;
use std::time::Duration;

use super::{decode, decode_allowing};
use crate::pod::downward::{Bound, FieldSelector, Resource, ResourceSelector};
use crate::pod::spec::*;
use crate::pod::sysctl::Allowed;
use crate::pod::{ContainerSpec, Manifest, Pod};

fn pods(text: &str) -> Vec<Pod> {
    manifest(text).pods
}

fn manifest(text: &str) -> Manifest {
    decode(text.as_bytes(), "f").unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn keys(manifest: &str) -> Vec<String> {
    pods(manifest).iter().map(|pod| pod.key.to_string()).collect()
}

const NGINX: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: nginx
spec:
  containers:
  - name: nginx
    image: nginx:1.14
    ports:
    - containerPort: 80
";

#[test]
fn a_pod_gets_the_defaults_of_the_api_server() {
    let [pod] = <[Pod; 1]>::try_from(pods(NGINX)).unwrap();
    assert_eq!(pod.key.to_string(), "default/nginx");
    let spec = PodSpec {
        restart_policy: RestartPolicy::Always,
        termination_grace_period: Duration::from_secs(30),
        hostname: "nginx".to_owned(),
        containers: vec![ContainerSpec {
            image: "nginx:1.14".to_owned(),
            ports: vec![ContainerPort { name: None, container_port: 80, protocol: Protocol::Tcp }],
            ..crate::pod::spec::tests::container("nginx")
        }],
        ..crate::pod::spec::tests::pod_spec()
    };
    assert_eq!(pod.spec, spec);
}

#[test]
fn every_supported_field_reaches_the_model() {
    let [pod] = <[Pod; 1]>::try_from(pods(include_str!("good.yaml"))).unwrap();
    assert_eq!(pod.key.to_string(), "shop/web.example");
    assert_eq!(pod.labels["app.kubernetes.io/name"], "web");
    assert_eq!(pod.annotations["example.com/note"], "any text\nat all\n");
    let spec = &pod.spec;
    assert_eq!(spec.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(spec.termination_grace_period, Duration::from_secs(5));
    assert_eq!(spec.active_deadline, Some(Duration::from_secs(3600)));
    assert_eq!((spec.hostname.as_str(), spec.host_network), ("front", true));
    assert_eq!((spec.subdomain.as_deref(), spec.set_hostname_as_fqdn), (Some("db"), true));
    let alias = |ip: &str, names: &[&str]| HostAlias {
        ip: ip.to_owned(),
        hostnames: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let option = |name: &str, value: Option<&str>| DnsOption {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let dns_config = DnsConfig {
        nameservers: vec!["192.0.2.1".to_owned()],
        searches: vec!["a.test".to_owned(), ".".to_owned()],
        options: vec![option("ndots", Some("2")), option("edns0", None)],
    };
    assert_eq!((spec.dns_policy, &spec.dns_config), (DnsPolicy::None, &Some(dns_config)));
    assert_eq!(spec.host_aliases, [alias("10.1.2.3", &["a.remote", "b"]), alias("FE80::1", &[])]);
    assert_eq!((spec.host_pid, spec.host_ipc, spec.share_process_namespace), (true, false, false));
    assert_eq!(spec.supplemental_groups, [10, 20]);
    assert_eq!(spec.supplemental_groups_policy, SupplementalGroupsPolicy::Strict);
    assert_eq!(spec.fs_group, Some(30));
    assert_eq!(spec.fs_group_change_policy, FsGroupChangePolicy::OnRootMismatch);
    let sysctl = Sysctl { name: "kernel.shm_rmid_forced".to_owned(), value: "1".to_owned() };
    assert_eq!(spec.sysctls, [sysctl]);
    assert!(spec.host_users);
    let of_pod = Resources {
        cpu_request_millis: Some(500),
        cpu_limit_millis: Some(2000),
        memory_request: Some(64 << 20),
        memory_limit: Some(1 << 30),
        hugepage_limits: [(2 << 20, 8 << 20)].into(),
        ..Resources::default()
    };
    assert_eq!(spec.resources, of_pod);
    assert_eq!(spec.qos_class, QosClass::Burstable);
    let disk = VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None };
    let logs =
        VolumeSource::HostPath { path: PathBuf::from("/var/log/web"), kind: HostPathType::DirectoryOrCreate };
    assert_eq!(
        spec.volumes,
        [Volume { name: "data".to_owned(), source: disk }, Volume { name: "logs".to_owned(), source: logs },]
    );

    let mount = crate::pod::spec::tests::volume_mount;
    let variable = crate::pod::spec::tests::env_var;
    let from = |name: &str, source| EnvVar { value_from: Some(source), ..variable(name, "") };
    let key = |name: &str, key: &str, optional| KeySelector {
        name: name.to_owned(),
        key: key.to_owned(),
        optional,
    };
    let cpus = ResourceSelector { container: None, bound: Bound::Limit, resource: Resource::Cpu, divisor: 1 };
    let identity = Security {
        run_as_user: Some(1000),
        run_as_group: Some(1000),
        run_as_non_root: true,
        seccomp: SeccompProfile::Unconfined,
        app_armor: Some(AppArmorProfile::RuntimeDefault),
        ..crate::pod::spec::tests::container("any").security
    };
    let prepare = ContainerSpec {
        image: "dir:/srv/rootfs".to_owned(),
        command: ["sh", "-c", "echo $(GREETING) > /data/x"].map(str::to_owned).to_vec(),
        env: vec![variable("GREETING", "hello")],
        volume_mounts: vec![mount("data", "/data", false)],
        security: identity.clone(),
        ..crate::pod::spec::tests::container("prepare")
    };
    let get = HttpGet { host: None, port: 15021, path: "/".to_owned(), https: false, headers: Vec::new() };
    let proxy = ContainerSpec {
        image: "proxy:1".to_owned(),
        security: identity.clone(),
        restart_policy: Some(RestartPolicy::Always),
        liveness_probe: Some(Probe {
            handler: ProbeHandler::HttpGet(get),
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period: None,
        }),
        lifecycle: Lifecycle {
            post_start: Some(Hook::Exec(vec!["proxy".to_owned(), "ready".to_owned()])),
            pre_stop: Some(Hook::Sleep(Duration::ZERO)),
            stop_signal: Some("SIGUSR1".to_owned()),
        },
        ..crate::pod::spec::tests::container("proxy")
    };
    assert_eq!(spec.init_containers, [prepare, proxy]);

    let port = |name: &str, container_port, protocol| ContainerPort {
        name: Some(name.to_owned()),
        container_port,
        protocol,
    };
    let file = EnvFile { volume: "data".to_owned(), path: "run/vars.env".to_owned() };
    let token = FileKeySelector { file, key: "token".to_owned(), optional: true };
    let nginx = ContainerSpec {
        image: "docker.io/library/nginx".to_owned(),
        restart_policy: Some(RestartPolicy::Never),
        restart_rules: vec![
            RestartRule { action: RestartAction::Restart, exit_codes: ExitCodes::In(vec![42, 43]) },
            RestartRule {
                action: RestartAction::RestartAllContainers,
                exit_codes: ExitCodes::NotIn(vec![0]),
            },
        ],
        resize_policy: ResizePolicy { cpu_restarts: false, memory_restarts: true },
        image_pull_policy: PullPolicy::Always,
        args: ["-g", "daemon off;"].map(str::to_owned).to_vec(),
        working_dir: Some("/srv".to_owned()),
        stdin: true,
        stdin_once: true,
        tty: true,
        env: vec![
            variable("EMPTY", ""),
            variable("PORT", "80"),
            from("COLOUR", ValueSource::ConfigMapKey(key("settings", "colour", true))),
            from("PASSWORD", ValueSource::SecretKey(key("login", "password", false))),
            from("ADDRESS", ValueSource::Field(FieldSelector::PodIp)),
            from("TIER", ValueSource::Field(FieldSelector::Label("tier".to_owned()))),
            from("CPUS", ValueSource::Resource(cpus)),
            from("TOKEN", ValueSource::FileKey(token)),
        ],
        env_from: vec![
            EnvFrom {
                prefix: "APP_".to_owned(),
                kind: ObjectKind::ConfigMap,
                name: "settings".to_owned(),
                optional: false,
            },
            EnvFrom {
                prefix: String::new(),
                kind: ObjectKind::Secret,
                name: "login".to_owned(),
                optional: true,
            },
        ],
        ports: vec![port("http", 80, Protocol::Tcp), port("dns", 53, Protocol::Udp)],
        volume_mounts: vec![mount("data", "/data", true), mount("logs", "/var/log", false)],
        resources: Resources {
            cpu_request_millis: Some(500),
            cpu_limit_millis: Some(1000),
            memory_request: Some(64 << 20),
            memory_limit: Some(64 << 20),
            ephemeral_storage_request: Some(1 << 30),
            ephemeral_storage_limit: Some(2 << 30),
            hugepage_limits: [(2 << 20, 4 << 20), (1 << 30, 1 << 30)].into(),
        },
        security: Security {
            run_as_user: Some(0),
            run_as_non_root: false,
            capabilities_add: vec!["NET_BIND_SERVICE".to_owned()],
            capabilities_drop: vec!["ALL".to_owned()],
            read_only_root_filesystem: true,
            allow_privilege_escalation: false,
            seccomp: SeccompProfile::Localhost { path: PathBuf::from("web/nginx.json") },
            app_armor: Some(AppArmorProfile::Localhost { name: "k8s-nginx".to_owned() }),
            ..identity
        },
        liveness_probe: Some(Probe {
            handler: ProbeHandler::HttpGet(HttpGet {
                host: None,
                port: 80,
                path: "/healthz?full=1".to_owned(),
                https: false,
                headers: vec![("Host".to_owned(), "web.example".to_owned())],
            }),
            initial_delay: Duration::from_secs(3),
            period: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 1,
            termination_grace_period: None,
        }),
        ..crate::pod::spec::tests::container("nginx")
    };
    assert_eq!(spec.containers, [nginx]);
}

/// The Pod with this in its spec, its securityContext and its container's.
fn secured(spec: &str, pod: &str, container: &str) -> Pod {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, annotations: {{\
         container.apparmor.security.beta.kubernetes.io/noted: localhost/old}}}}, spec: {{{spec} \
         securityContext: {{{pod}}}, containers: [{{name: c, image: i, securityContext: {{{container}}}}}, \
         {{name: noted, image: i}}]}}}}"
    );
    pods(&manifest).remove(0)
}

#[test]
fn the_containers_word_wins_over_the_pods() {
    let plain = || crate::pod::spec::tests::container("c").security;
    let all = "runAsUser: 1, runAsGroup: 2, runAsNonRoot: true, seccompProfile: {type: Unconfined}, \
               appArmorProfile: {type: Unconfined}";
    let of_pod = || Security {
        run_as_user: Some(1),
        run_as_group: Some(2),
        run_as_non_root: true,
        seccomp: SeccompProfile::Unconfined,
        app_armor: Some(AppArmorProfile::Unconfined),
        ..plain()
    };
    for (spec, pod, container, expected) in [
        ("", "", "", plain()),
        ("", all, "", of_pod()),
        (
            "",
            all,
            "runAsUser: 0, runAsNonRoot: false",
            Security { run_as_user: Some(0), run_as_non_root: false, ..of_pod() },
        ),
        ("", all, "runAsGroup: 7", Security { run_as_group: Some(7), ..of_pod() }),
        (
            "",
            all,
            "seccompProfile: {type: RuntimeDefault}, appArmorProfile: {type: RuntimeDefault}",
            Security {
                seccomp: SeccompProfile::RuntimeDefault,
                app_armor: Some(AppArmorProfile::RuntimeDefault),
                ..of_pod()
            },
        ),
        (
            "",
            "",
            "privileged: true",
            Security { privileged: true, seccomp: SeccompProfile::Unconfined, ..plain() },
        ),
        (
            "",
            "seccompProfile: {type: RuntimeDefault}",
            "privileged: true, seccompProfile: {type: Localhost, localhostProfile: x}",
            Security { privileged: true, seccomp: SeccompProfile::Unconfined, ..plain() },
        ),
        (
            "",
            "",
            "allowPrivilegeEscalation: false",
            Security { allow_privilege_escalation: false, ..plain() },
        ),
        (
            "hostUsers: false,",
            "",
            "procMount: Unmasked",
            Security { proc_mount: ProcMount::Unmasked, ..plain() },
        ),
        ("", "", "procMount: ''", plain()),
        (
            "",
            "",
            "capabilities: {add: [net_admin, Sys_Time], drop: [All]}",
            Security {
                capabilities_add: ["NET_ADMIN", "SYS_TIME"].map(str::to_owned).to_vec(),
                capabilities_drop: vec!["ALL".to_owned()],
                ..plain()
            },
        ),
    ] {
        assert_eq!(
            secured(spec, pod, container).spec.containers[0].security,
            expected,
            "{pod} | {container}"
        );
    }
}

#[test]
fn annotations_of_apparmor_become_the_field() {
    let old = AppArmorProfile::Localhost { name: "old".to_owned() };
    for of_pod in ["", "appArmorProfile: {type: Unconfined}"] {
        assert_eq!(secured("", of_pod, "").spec.containers[1].security.app_armor, Some(old.clone()));
    }
}

#[test]
fn a_node_can_allow_unsafe_kernel_parameters() {
    let manifest = NGINX.replace(
        "spec:\n",
        "spec:\n  hostUsers: false\n  securityContext: {sysctls: [{name: net/core/somaxconn, value: '1024'}]}\n",
    );
    let allowed = Allowed::with_unsafe(["net.core.*"]).unwrap();
    assert!(decode(manifest.as_bytes(), "f").is_err());
    let pods = decode_allowing(manifest.as_bytes(), "f", &allowed).unwrap().pods;
    assert_eq!(pods[0].spec.sysctls[0].name, "net.core.somaxconn");
    assert!(!pods[0].spec.host_users);
}

#[test]
fn resources_of_the_pod_decide_its_class_and_default_to_its_containers() {
    let spec = |of_pod: &str, of_container: &str| {
        let manifest = NGINX
            .replace("spec:\n", &format!("spec:\n  resources: {of_pod}\n"))
            .replace("    ports:\n", &format!("    resources: {of_container}\n    ports:\n"));
        let spec = pods(&manifest).remove(0).spec;
        let Resources { cpu_request_millis: cpu, memory_request: memory, .. } = spec.resources;
        (spec.qos_class, cpu, memory)
    };
    let mebibytes = |number: u64| Some(number << 20);
    for (of_pod, of_container, expected) in [
        ("{}", "{}", (QosClass::BestEffort, None, None)),
        ("{limits: {cpu: 1, memory: 1Gi}}", "{}", (QosClass::Guaranteed, Some(1000), mebibytes(1024))),
        (
            "{limits: {cpu: 1, memory: 1Gi}}",
            "{requests: {cpu: 100m}}",
            (QosClass::Burstable, Some(100), mebibytes(1024)),
        ),
        ("{requests: {cpu: 1}}", "{limits: {cpu: 1, memory: 1Gi}}", (QosClass::Burstable, Some(1000), None)),
        ("{limits: {cpu: 1}}", "{requests: {memory: 1Mi}}", (QosClass::Burstable, Some(1000), mebibytes(1))),
        (
            "{requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}",
            "{}",
            (QosClass::Guaranteed, Some(1000), mebibytes(1024)),
        ),
    ] {
        assert_eq!(spec(of_pod, of_container), expected, "{of_pod} {of_container}");
    }
}

#[test]
fn what_kubectl_run_prints_is_a_pod() {
    let manifest = "\
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  labels:
    run: nginx
  name: nginx
spec:
  containers:
  - image: nginx
    name: nginx
    ports:
    - containerPort: 80
    resources: {}
  dnsPolicy: ClusterFirst
  restartPolicy: Always
status: {}
";
    assert_eq!(keys(manifest), ["default/nginx"]);
}

#[test]
fn json_lists_and_several_documents_are_read() {
    let pod = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
        )
    };
    let (a, b) = (pod("a"), pod("b"));
    let bare = b.replacen(r#""apiVersion":"v1","kind":"Pod","#, "", 1);
    for manifest in [
        format!("{a}\n---\n{b}"),
        format!("---\n# first\n{a}\n---\n---\n{b}\n...\n"),
        format!(r#"{{"apiVersion":"v1","kind":"List","items":[{a},{b}]}}"#),
        format!(
            r#"{{"apiVersion":"v1","kind":"List","metadata":{{"resourceVersion":""}},"items":[{a},{b}]}}"#
        ),
        format!(r#"{{"apiVersion":"v1","kind":"PodList","items":[{a},{bare}]}}"#),
        format!("\u{feff}{a}\r\n---\r\n{b}\r\n"),
    ] {
        assert_eq!(keys(&manifest), ["default/a", "default/b"]);
    }
}

#[test]
fn anchors_and_merges_are_followed() {
    let manifest = "\
apiVersion: v1
kind: Pod
metadata: {name: &name web, labels: {app: *name}}
spec:
  initContainers:
  - &base {name: first, image: nginx, env: [{name: A, value: a}]}
  containers:
  - <<: *base
    name: second
";
    let pods = pods(manifest);
    assert_eq!(pods[0].labels["app"], "web");
    let [first, second] = [&pods[0].spec.init_containers[0], &pods[0].spec.containers[0]];
    assert_eq!((&first.env, &first.image), (&second.env, &second.image));
}

#[test]
fn the_uid_depends_on_what_is_asked_alone() {
    let uid = |manifest: &str| pods(manifest)[0].uid.to_string();
    let plain = uid(NGINX);
    // Spelt out: a release that changes it would replace every pod that runs.
    assert_eq!(plain, "09379358-b2bb-880d-b7f5-f365e87a0fcb");
    let same = [
        format!("# a comment\n{NGINX}"),
        NGINX.replace("nginx:1.14", "\"nginx:1.14\""),
        NGINX.replace("spec:\n", "spec:\n  restartPolicy: Always\n  terminationGracePeriodSeconds: 30\n"),
        NGINX.replace("  name: nginx\nspec", "  name: nginx\n  namespace: default\n  labels: {a: b}\nspec"),
    ];
    for manifest in same {
        assert_eq!(uid(&manifest), plain, "{manifest}");
    }
    let other = [
        NGINX.replace("1.14", "1.15"),
        NGINX.replacen("name: nginx", "name: nginx2", 1),
        NGINX.replace("  name: nginx\nspec", "  name: nginx\n  namespace: other\nspec"),
        NGINX.replace("containerPort: 80", "containerPort: 81"),
    ];
    for manifest in other {
        assert_ne!(uid(&manifest), plain, "{manifest}");
    }
    let given = NGINX.replacen("  name: nginx\n", "  name: nginx\n  uid: 6f1d7a2e-0d1c\n", 1);
    assert_eq!(uid(&given), "6f1d7a2e-0d1c");
}

#[test]
fn the_host_name_is_cut_to_what_the_kernel_takes() {
    let name = format!("{}.bcd", "a".repeat(62));
    let manifest = NGINX.replacen("name: nginx", &format!("name: {name}"), 1);
    assert_eq!(pods(&manifest)[0].spec.hostname, "a".repeat(62));
}

#[test]
fn a_host_name_in_the_place_of_all_others_is_without_a_domain() {
    let longest = format!("{}.b", "a".repeat(62));
    let too_long = format!("{}.bc", "a".repeat(61));
    for (fields, hostname, subdomain) in [
        ("hostname: a, subdomain: b", "a", Some("b")),
        ("subdomain: b", "web", Some("b")),
        ("hostname: '', subdomain: ''", "web", None),
        ("hostname: a, subdomain: b, hostnameOverride: c.example", "c.example", None),
        // A kubelet cuts what the API server allows.
        (&format!("hostnameOverride: {longest}"), longest.strip_suffix(".b").unwrap(), None),
        (&format!("hostnameOverride: {too_long}"), too_long.strip_suffix('c').unwrap(), None),
    ] {
        let head =
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: i}]";
        let spec = &pods(&format!("{head}, {fields}}}}}"))[0].spec;
        assert_eq!((spec.hostname.as_str(), spec.subdomain.as_deref()), (hostname, subdomain), "{fields}");
    }
}

#[test]
fn objects_stand_beside_the_pods_that_use_them() {
    let text = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: blue, empty: }
binaryData: {blob: AP8Q}
immutable: true
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: login}
  data:
    user: |
      YWRt
      aW4=
    password: b2xk
  stringData: {password: new}
- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: SecretList, items: [{metadata: {name: more}, type: example.com/mine}]}
";
    let Manifest { pods, objects, .. } = manifest(text);
    assert_eq!(pods.len(), 1);
    let settings = objects.config_map("shop", "settings").unwrap();
    let data = [("colour", "blue"), ("empty", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(settings.data, data.into());
    assert_eq!((&settings.binary_data["blob"][..], settings.immutable), (&[0, 255, 16][..], true));
    let login = objects.secret("default", "login").unwrap();
    assert_eq!((&login.data["user"][..], &login.data["password"][..]), (&b"admin"[..], &b"new"[..]));
    assert_eq!(login.kind, "Opaque");
    assert_eq!(objects.secret("default", "more").unwrap().kind, "example.com/mine");
    assert!(objects.config_map("default", "settings").is_none() && objects.secret("shop", "login").is_none());
}

#[test]
fn a_volume_of_which_only_the_name_is_given_is_an_empty_dir() {
    let volumes = |volume: &str| {
        let text = NGINX.replace("spec:\n", &format!("spec:\n  volumes: [{volume}]\n"));
        pods(&text).remove(0).spec.volumes
    };
    assert_eq!(volumes("{name: a}"), volumes("{name: a, emptyDir: {}}"));
}

#[test]
fn an_annotation_lets_probes_ask_more_often_than_once_a_second() {
    for (value, expected) in [("\"250\"", [250, 250]), ("a=20", [20, 10_000]), ("\"700,b=30\"", [700, 30])] {
        let probe = "readinessProbe: {exec: {command: [x]}}";
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, annotations: {{mkubelet.dev/probe-period-ms: {value}}}}}, \
             spec: {{containers: [{{name: a, image: i, {probe}}}, {{name: b, image: i, {probe}}}]}}}}"
        );
        let [pod] = <[Pod; 1]>::try_from(pods(&manifest)).unwrap();
        let periods =
            pod.spec.containers.iter().map(|c| c.readiness_probe.as_ref().unwrap().period.as_millis());
        assert_eq!(periods.collect::<Vec<_>>(), expected, "{value}");
    }
}

#[test]
fn every_kind_of_volume_and_mount_reaches_the_model() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: c
    image: i
    volumeMounts:
    - {name: memory, mountPath: /a, subPath: x/y, mountPropagation: HostToContainer}
    - {name: config, mountPath: /b, subPathExpr: $(X), readOnly: true, recursiveReadOnly: IfPossible}
  volumes:
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: disk, emptyDir: {sizeLimit: 1.5Gi}}
  - {name: boundless, emptyDir: {sizeLimit: 0}}
  - {name: config, configMap: {name: settings}}
  - {name: secret, secret: {secretName: login, defaultMode: 0400, optional: true, items: [{key: k, path: ./a//b, mode: 0o600}]}}
  - {name: image, image: {reference: files}}
  - name: self
    downwardAPI:
      defaultMode: 292
      items:
      - {path: all, fieldRef: {fieldPath: metadata.annotations}}
      - {path: one, fieldRef: {fieldPath: \"metadata.labels['example.com/tier']\"}}
  - name: both
    projected:
      sources:
      - configMap: {name: settings}
      - downwardAPI: {items: [{path: cpu, mode: 0, resourceFieldRef: {containerName: c, resource: limits.cpu, divisor: 1m}}]}
      - downwardAPI: {items: [{path: huge, resourceFieldRef: {containerName: c, resource: requests.hugepages-2Mi, divisor: 1Mi}}]}
";
    let spec = pods(text).remove(0).spec;
    let whole = |name: &str| ObjectProjection { name: name.to_owned(), items: Vec::new(), optional: false };
    let login = ObjectProjection {
        items: vec![KeyToPath { key: "k".to_owned(), path: "a/b".into(), mode: Some(0o600) }],
        optional: true,
        ..whole("login")
    };
    let field = |path: &str, selector| DownwardFile {
        path: path.into(),
        content: DownwardContent::Field(selector),
        mode: None,
    };
    let resource = |path: &str, mode, bound, resource, divisor| {
        let container = Some("c".parse().unwrap());
        let selector = ResourceSelector { container, bound, resource, divisor };
        let content = DownwardContent::Resource(selector);
        Projection::DownwardApi(vec![DownwardFile { path: path.into(), content, mode }])
    };
    let files = |sources, default_mode| VolumeSource::Projected { sources, default_mode };
    let expected = [
        ("memory", VolumeSource::EmptyDir { medium: Medium::Memory, size_limit: Some(1 << 20) }),
        ("disk", VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: Some(3 << 29) }),
        ("boundless", VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None }),
        ("config", files(vec![Projection::ConfigMap(whole("settings"))], 0o644)),
        ("secret", files(vec![Projection::Secret(login)], 0o400)),
        ("image", VolumeSource::Image { reference: "files".to_owned(), pull_policy: PullPolicy::Always }),
        (
            "self",
            files(
                vec![Projection::DownwardApi(vec![
                    field("all", FieldSelector::Annotations),
                    field("one", FieldSelector::Label("example.com/tier".to_owned())),
                ])],
                0o444,
            ),
        ),
        (
            "both",
            files(
                vec![
                    Projection::ConfigMap(whole("settings")),
                    resource("cpu", Some(0), Bound::Limit, Resource::Cpu, 1),
                    resource("huge", None, Bound::Request, Resource::HugePages(2 << 20), 1 << 20),
                ],
                0o644,
            ),
        ),
    ];
    let expected = expected.map(|(name, source)| Volume { name: name.to_owned(), source });
    assert_eq!(spec.volumes, expected);

    let mounts = &spec.containers[0].volume_mounts;
    assert_eq!(mounts[0].sub_path, Some(SubPath::Plain("x/y".to_owned())));
    assert_eq!(mounts[0].propagation, MountPropagation::HostToContainer);
    assert_eq!(mounts[1].sub_path, Some(SubPath::Expr("$(X)".to_owned())));
    assert_eq!(mounts[1].recursive_read_only, RecursiveReadOnly::IfPossible);
    assert!(mounts[1].read_only);
}
