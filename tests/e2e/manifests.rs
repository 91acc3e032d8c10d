//! Manifests that cannot be accepted: every problem is told, with its place, and nothing is started.

use crate::world::{patient, world};

/// What the file says, and the lines that are printed for it, each after `mkubelet: FILE:`.
struct Case {
    about: &'static str,
    manifest: &'static str,
    problems: &'static [&'static str],
}

macro_rules! label {
    () => {
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    };
}

macro_rules! subdomain {
    () => {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    };
}

const CASES: &[Case] = &[
    Case { about: "an empty file", manifest: "", problems: &[" no Pod in the file"] },
    Case {
        about: "YAML that is none",
        manifest: r#"kind: Pod
metadata: [name
"#,
        problems: &["3:1: invalid YAML: while parsing a flow sequence, expected ',' or ']'"],
    },
    Case {
        about: "another kind",
        manifest: r#"apiVersion: v1
kind: Service
metadata: {name: web}
"#,
        problems: &[
            r#"2:7: kind: Unsupported value: "Service": supported values: "ConfigMap", "ConfigMapList", "List", "Pod", "PodList", "Secret", "SecretList""#,
        ],
    },
    Case {
        about: "another version",
        manifest: r#"apiVersion: v2
kind: Pod
metadata: {name: web}
spec: {containers: [{name: a, image: i}]}
"#,
        problems: &[r#"1:13: apiVersion: Unsupported value: "v2": supported values: "v1""#],
    },
    Case {
        about: "a field that is misspelt",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartpolicy: Never
  containers:
  - name: a
    image: i
    comand: [x]
"#,
        problems: &[
            r#"5:3: spec.restartpolicy: unknown field "restartpolicy", did you mean "restartPolicy"?"#,
            r#"9:5: spec.containers[0].comand: unknown field "comand", did you mean "command"?"#,
        ],
    },
    Case {
        about: "a field of another type",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    ports:
    - containerPort: eighty
"#,
        problems: &["9:22: spec.containers[0].ports[0].containerPort: cannot unmarshal string into int32"],
    },
    Case {
        about: "the same field twice",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    image: j
"#,
        problems: &[r#"8:5: spec.containers[0].image: duplicate key "image""#],
    },
    Case {
        about: "no name",
        manifest: r#"apiVersion: v1
kind: Pod
spec:
  containers:
  - name: a
    image: i
"#,
        problems: &["1:1: metadata.name: Required value: name or generateName is required"],
    },
    Case {
        about: "a name that would leave its directory",
        manifest: r#"apiVersion: v1
kind: Pod
metadata:
  name: ../../etc
spec:
  containers:
  - name: a
    image: i
"#,
        problems: &[concat!(r#"4:9: metadata.name: Invalid value: "../../etc": "#, subdomain!())],
    },
    Case {
        about: "a uid that would leave its directory",
        manifest: r#"apiVersion: v1
kind: Pod
metadata:
  name: web
  uid: ../x
spec:
  containers:
  - name: a
    image: i
"#,
        problems: &[concat!(r#"5:8: metadata.uid: Invalid value: "../x": "#, label!())],
    },
    Case {
        about: "no container",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers: []
"#,
        problems: &["5:15: spec.containers: Required value"],
    },
    Case {
        about: "a container without name and image",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - command: [x]
"#,
        problems: &[
            "6:5: spec.containers[0].name: Required value",
            "6:5: spec.containers[0].image: Required value",
        ],
    },
    Case {
        about: "two containers of one name",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  initContainers:
  - name: a
    image: i
  containers:
  - name: a
    image: i
"#,
        problems: &[r#"6:11: spec.initContainers[0].name: Duplicate value: "a""#],
    },
    Case {
        about: "a container name in capitals",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: Web
    image: i
"#,
        problems: &[concat!(r#"6:11: spec.containers[0].name: Invalid value: "Web": "#, label!())],
    },
    Case {
        about: "a restart policy that does not exist",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Sometimes
  containers:
  - name: a
    image: i
"#,
        problems: &[
            r#"5:18: spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
        ],
    },
    Case {
        about: "ports out of range",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    ports:
    - containerPort: 0
    - containerPort: 65536
"#,
        problems: &[
            "9:22: spec.containers[0].ports[0].containerPort: Required value",
            "10:22: spec.containers[0].ports[1].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
        ],
    },
    Case {
        about: "a mount of a volume that is not there",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    volumeMounts:
    - name: data
      mountPath: /data
"#,
        problems: &[r#"9:13: spec.containers[0].volumeMounts[0].name: Not found: "data""#],
    },
    Case {
        about: "two mounts at one place",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: a
    image: i
    volumeMounts:
    - {name: v, mountPath: /v}
    - {name: v, mountPath: /v}
"#,
        problems: &[
            r#"11:28: spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique"#,
        ],
    },
    Case {
        about: "a volume with two kinds",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes:
  - {name: two, emptyDir: {}, hostPath: {path: /x}}
  containers:
  - name: a
    image: i
"#,
        problems: &["6:41: spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    },
    Case {
        about: "a hostPath that climbs",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes:
  - name: v
    hostPath: {path: /data/../../etc}
  containers:
  - name: a
    image: i
"#,
        problems: &[
            r#"7:22: spec.volumes[0].hostPath.path: Invalid value: "/data/../../etc": must not contain '..'"#,
        ],
    },
    Case {
        about: "a negative grace period",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: -1
  containers:
  - name: a
    image: i
"#,
        problems: &[
            "5:34: spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    },
    Case {
        about: "a quantity that is none, and a request above its limit",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    resources: {limits: {memory: 1Gib}}
  - name: b
    image: i
    resources: {limits: {cpu: 1}, requests: {cpu: 1500m}}
"#,
        problems: &[
            r#"8:34: spec.containers[0].resources.limits[memory]: Invalid value: "1Gib": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#,
            r#"11:51: spec.containers[1].resources.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1"#,
        ],
    },
    Case {
        about: "a user out of range",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  securityContext: {runAsUser: 4294967296}
  containers:
  - name: a
    image: i
    securityContext: {runAsUser: -1}
"#,
        problems: &[
            "5:32: spec.securityContext.runAsUser: Invalid value: 4294967296: must be between 0 and 2147483647, inclusive",
            "9:34: spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    },
    Case {
        about: "a capability that does not exist",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    securityContext:
      capabilities: {add: [FLY]}
"#,
        problems: &[
            r#"9:28: spec.containers[0].securityContext.capabilities.add[0]: Invalid value: "FLY": is not the name of a capability"#,
        ],
    },
    Case {
        about: "a probe without a question, and one on a port that has no name",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    livenessProbe: {periodSeconds: 1}
  - name: b
    image: i
    livenessProbe: {httpGet: {port: no_name}}
"#,
        problems: &[
            "8:20: spec.containers[0].livenessProbe: Required value: must specify a handler type",
            r#"11:37: spec.containers[1].livenessProbe.httpGet.port: Invalid value: "no_name": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"#,
        ],
    },
    Case {
        about: "fields that are not supported yet",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  runtimeClassName: r
  readinessGates: [{conditionType: a/b}]
  volumes:
  - name: v
    nfs: {server: s, path: /p}
  containers:
  - name: a
    image: i
    volumeDevices: [{name: v, devicePath: /dev/x}]
    securityContext: {seLinuxOptions: {level: s0}}
"#,
        problems: &[
            "5:3: spec.runtimeClassName: not supported by this version of mkubelet",
            "6:3: spec.readinessGates: not supported by this version of mkubelet",
            "9:5: spec.volumes[0].nfs: not supported by this version of mkubelet",
            "13:5: spec.containers[0].volumeDevices: not supported by this version of mkubelet",
            "14:23: spec.containers[0].securityContext.seLinuxOptions: not supported by this version of mkubelet",
        ],
    },
    Case {
        about: "an environment variable without a name",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: a
    image: i
    env:
    - {name: '', value: x}
    - {name: 'A=B', value: x}
"#,
        problems: &[
            "9:14: spec.containers[0].env[0].name: Required value",
            r#"10:14: spec.containers[0].env[1].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than '='"#,
        ],
    },
    Case {
        about: "the second of two documents",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {containers: [{name: a, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec: {containers: [{name: A, image: i}]}
"#,
        problems: &[concat!(r#"9:28: spec.containers[0].name: Invalid value: "A": "#, label!())],
    },
    Case {
        about: "the same pod twice",
        manifest: r#"apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {containers: [{name: a, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {containers: [{name: b, image: i}]}
"#,
        problems: &[r#"8:18: metadata.name: Duplicate value: "default/one""#],
    },
    Case {
        about: "bytes that are not text",
        manifest: "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\0b\"}\nspec: {containers: [{name: a, image: i}]}\n",
        problems: &[concat!(r#"3:18: metadata.name: Invalid value: "a\0b": "#, subdomain!())],
    },
];

#[test]
fn each_bad_manifest_gives_its_exact_errors_and_starts_nothing() {
    world(|world| {
        let mut wrong = Vec::new();
        for case in CASES {
            let path = world.write("pod.yaml", case.manifest);
            let output = world.output(&["run", path.to_str().unwrap()]);
            let prefix = format!("mkubelet: {}:", path.display());
            let stderr = String::from_utf8(output.stderr).unwrap();
            let told: Vec<&str> =
                stderr.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect();
            if told != case.problems || output.status.code() != Some(1) || !output.stdout.is_empty() {
                wrong.push(format!("{} ({}):\n{}", case.about, output.status, told.join("\n")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

#[test]
fn what_is_no_manifest_at_all_is_refused_at_once() {
    world(|world| {
        let fifo = world.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(world.path("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
        std::fs::write(world.path("deep.yaml"), "[".repeat(100_000)).unwrap();
        std::fs::write(world.path("bomb.yaml"), bomb()).unwrap();
        std::fs::File::create(world.path("huge.yaml")).unwrap().set_len(5 << 30).unwrap();
        let own = ["fifo", "binary.yaml", "deep.yaml", "bomb.yaml", "huge.yaml", "ledger", "absent.yaml"];
        let mut paths: Vec<String> = own.iter().map(|name| world.path(name).display().to_string()).collect();
        paths.extend(["/dev/zero".to_owned(), "/dev/null".to_owned()]);
        for path in paths {
            let began = std::time::Instant::now();
            let output = world.output(&["run", &path]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{path}: {stderr}");
            assert!(
                stderr.starts_with("mkubelet: ") && stderr.contains(&path) && stderr.len() < 4096,
                "{path}: {stderr}"
            );
            assert!(
                began.elapsed() < patient(std::time::Duration::from_secs(10)),
                "{path} took {:?}",
                began.elapsed()
            );
        }
    });
}

/// Nine levels of nine aliases each: small to write, large to expand.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text
}

#[test]
fn one_bad_pod_of_a_file_keeps_the_good_ones_from_starting() {
    world(|world| {
        let good = world.pod("good", [world.container("a", &[])]);
        let bad = world.pod("bad", [world.container("BAD", &[])]);
        let manifest = world.write("list.json", &crate::world::list(&[good, bad]));
        let output = world.output(&["run", manifest.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(world.ledger().starts("a"), 0);
    });
}
