//! The table of fields, and files that are read by it.

use std::collections::HashSet;

use serde_json::json;

use super::*;

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

fn read(rest: &str) -> Result<Settings, String> {
    Settings::read(format!("{HEAD}{rest}").as_bytes(), "k.yaml").map_err(|problems| problems.to_string())
}

/// The flags that a file stands for.
fn flags(rest: &str) -> Vec<String> {
    let settings = read(rest).unwrap();
    let flag = |setting: &Setting| {
        setting.values().into_iter().map(|value| format!("--{}={value}", setting.flag)).collect::<Vec<_>>()
    };
    settings.iter().flat_map(flag).collect()
}

#[test]
fn every_field_is_there_once() {
    let mut seen = HashSet::new();
    for field in FIELDS {
        assert!(seen.insert(field.path), "{} is there twice", field.path);
        assert!(
            !FIELDS.iter().any(|other| other.path.starts_with(&format!("{}.", field.path))),
            "{}",
            field.path
        );
    }
}

#[test]
fn what_is_always_so_is_a_value_of_its_field() {
    for field in FIELDS {
        let Meaning::Always(same) = field.meaning else { continue };
        for value in same {
            let text = match field.kind {
                kind::Kind::Text => format!("{value:?}"),
                kind::Kind::Texts => format!("[{value}]"),
                _ => (*value).to_owned(),
            };
            let nested = field.path.split('.').rev().fold(text, |inner, name| format!("{{{name}: {inner}}}"));
            assert_eq!(read(&nested[1..nested.len() - 1]).err(), None, "{}", field.path);
        }
    }
}

#[test]
fn a_field_stands_for_a_flag() {
    for (text, expected) in [
        ("staticPodPath: /m\nstaticPodURL: http://h/p", &["--manifests=/m", "--manifests=http://h/p"][..]),
        ("staticPodURLHeader: {A: [b, c]}", &["--manifest-url-header=A:b", "--manifest-url-header=A:c"]),
        ("maxPods: 7\npodPidsLimit: 0", &["--max-pods=7", "--pod-max-pids=0"]),
        ("logging: {format: json, verbosity: 4}", &["--logging-format=json", "--v=4"]),
        ("clusterDNS: [10.0.0.1, 10.0.0.2]", &["--cluster-dns=10.0.0.1", "--cluster-dns=10.0.0.2"]),
        ("fileCheckFrequency: 1m30s", &["--file-check-frequency=1m30s"]),
        (
            "shutdownGracePeriod: 30s\nshutdownGracePeriodCriticalPods: 10s",
            &["--shutdown-grace-period=30s", "--shutdown-grace-period-critical-pods=10s"],
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: -7, shutdownGracePeriodSeconds: 5}, {priority: 9}]",
            &["--shutdown-grace-period-by-pod-priority=-7=5,9=0"],
        ),
        ("shutdownGracePeriodByPodPriority: []", &[]),
        ("fileCheckFrequency: 0s\nmaxPods: 0\nclusterDomain: ''\nstaticPodPath:", &[]),
        ("resolvConf: /run/systemd/resolve/resolv.conf\nmemorySwap: {}\ncpuCFSQuotaPeriod: 0.1s", &[]),
    ] {
        assert_eq!(flags(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        ("maxPods: many", "k.yaml:3:10: maxPods: expected number, got string"),
        ("maxPodz: 7", "k.yaml:3:1: maxPodz: unknown field \"maxPodz\", did you mean \"maxPods\"?"),
        (
            "logging: {fromat: json}",
            "k.yaml:3:11: logging.fromat: unknown field \"fromat\", did you mean \"format\"?",
        ),
        ("logging: json", "k.yaml:3:10: logging: expected object, got string"),
        ("maxPods: 1\nmaxPods: 2", "k.yaml:4:1: maxPods: duplicate key \"maxPods\""),
        (
            "fileCheckFrequency: soon",
            "k.yaml:3:21: fileCheckFrequency: Invalid value: \"soon\": must be a time such as 1m30s",
        ),
        (
            "shutdownGracePeriodByPodPriority: {priority: 1}",
            "k.yaml:3:35: shutdownGracePeriodByPodPriority: expected array, got object",
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: 1, seconds: 2}]",
            "k.yaml:3:50: shutdownGracePeriodByPodPriority: unknown field \"seconds\"",
        ),
        (
            "shutdownGracePeriodByPodPriority: [{priority: high}]",
            "k.yaml:3:47: shutdownGracePeriodByPodPriority: expected number, got string",
        ),
        ("systemReserved: {cpu: 1}", "k.yaml:3:23: systemReserved: expected string, got number"),
        ("readOnlyPort: 10255", "k.yaml:3:1: readOnlyPort: not supported by this version of mkubelet"),
        (
            "memorySwap: {swapBehavior: LimitedSwap}",
            "k.yaml:3:28: memorySwap.swapBehavior: Unsupported value: \"LimitedSwap\": supported values: \"NoSwap\"",
        ),
        ("---\nkind: Pod", "k.yaml:4:1: there may be one document in the file"),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
    let of = |text: &str| Settings::read(text.as_bytes(), "k").map_err(|problems| problems.to_string());
    assert_eq!(of("").unwrap_err(), "k: no KubeletConfiguration in the file");
    assert_eq!(of("7").unwrap_err(), "k:1:1: expected object, got number");
    assert_eq!(
        of(r#"{"kind": "Pod"}"#).unwrap_err(),
        "k:1:1: apiVersion: Required value\nk:1:10: kind: Unsupported value: supported values: \"KubeletConfiguration\""
    );
}

#[test]
fn what_kubeadm_writes_is_understood_and_what_means_nothing_here_is_named() {
    let settings = read(
        "authentication:\n  anonymous: {enabled: false}\n  webhook: {cacheTTL: 0s, enabled: true}\n  x509: {clientCAFile: /pki/ca.crt}\n\
         authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}\n\
         cgroupDriver: systemd\nclusterDNS: [10.96.0.10]\nclusterDomain: cluster.local\ncontainerRuntimeEndpoint: ''\n\
         cpuManagerReconcilePeriod: 0s\ncrashLoopBackOff: {}\nevictionPressureTransitionPeriod: 0s\nfileCheckFrequency: 0s\n\
         healthzBindAddress: 127.0.0.1\nhealthzPort: 10248\nhttpCheckFrequency: 0s\nimageMaximumGCAge: 0s\nimageMinimumGCAge: 0s\n\
         logging: {flushFrequency: 0, options: {json: {infoBufferSize: '0'}, text: {infoBufferSize: '0'}}, verbosity: 0}\n\
         memorySwap: {}\nnodeStatusReportFrequency: 0s\nnodeStatusUpdateFrequency: 0s\nrotateCertificates: true\n\
         runtimeRequestTimeout: 0s\nshutdownGracePeriod: 0s\nshutdownGracePeriodCriticalPods: 0s\nstaticPodPath: /etc/kubernetes/manifests\n\
         streamingConnectionIdleTimeout: 0s\nsyncFrequency: 0s\nvolumeStatsAggPeriod: 0s\n",
    );
    let settings = settings.unwrap();
    let named: Vec<&str> = settings.warnings.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(
        named,
        [
            "authentication.webhook.enabled",
            "authentication.x509.clientCAFile",
            "authorization.mode",
            "cgroupDriver",
            "healthzBindAddress",
            "healthzPort",
            "rotateCertificates",
        ]
    );
    let flags: Vec<&str> = settings.iter().map(|setting| setting.flag).collect();
    assert_eq!(flags, ["manifests", "cluster-domain", "cluster-dns"]);
}

#[test]
fn a_later_file_overrides_an_earlier_one_field_by_field() {
    let mut settings = read("maxPods: 7\nclusterDNS: [10.0.0.1]").unwrap();
    settings.override_with(read("maxPods: 8\nclusterDomain: b").unwrap());
    let flags: Vec<_> = settings.iter().map(|one| (one.flag, one.values().join(","))).collect();
    let expected = [("cluster-dns", "10.0.0.1"), ("max-pods", "8"), ("cluster-domain", "b")];
    assert_eq!(flags, expected.map(|(flag, value)| (flag, value.to_owned())));
    let mut map = Words::Map([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned())].into());
    map.override_with(Words::Map([("b".to_owned(), "2".to_owned())].into()));
    let below = kind::Kind::Map("<");
    assert_eq!(map.values(below), ["a<1,b<2"]);
    assert_eq!(below.json(&map.values(below)), json!({"a": "1", "b": "2"}));
}

#[test]
fn what_is_in_force_can_be_read_again() {
    let values = |_: &Field, flag: &str| match flag {
        "max-pods" => vec!["7".to_owned()],
        "logging-format" => vec!["json".to_owned()],
        "manifest-url-header" => vec!["A:b".to_owned(), "A:c".to_owned()],
        "cluster-dns" => vec!["10.0.0.1".to_owned()],
        "shutdown-grace-period-by-pod-priority" => vec!["-7=5,9=0".to_owned()],
        _ => Vec::new(),
    };
    let whole = in_force(values);
    assert_eq!(whole["maxPods"], 7);
    assert_eq!(whole["logging"], json!({"format": "json"}));
    assert_eq!(whole["staticPodURLHeader"], json!({"A": ["b", "c"]}));
    assert_eq!(whole["clusterDNS"], json!(["10.0.0.1"]));
    assert_eq!(whole["enableServer"], true);
    assert_eq!(
        whole["shutdownGracePeriodByPodPriority"],
        json!([
            {"priority": -7, "shutdownGracePeriodSeconds": 5},
            {"priority": 9, "shutdownGracePeriodSeconds": 0},
        ])
    );
    let read = Settings::read(whole.to_string().as_bytes(), "k").unwrap();
    let flags: Vec<&str> = read.iter().map(|setting| setting.flag).collect();
    assert_eq!(
        flags,
        [
            "manifest-url-header",
            "cluster-dns",
            "max-pods",
            "logging-format",
            "shutdown-grace-period-by-pod-priority"
        ]
    );
    assert_eq!(read.warnings, []);
}
