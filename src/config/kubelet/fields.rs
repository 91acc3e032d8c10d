//! What becomes of each field of a KubeletConfiguration: the one table that the file is read by, and `/configz` written by.
//!
//! Source: `k8s.io/kubelet/config/v1beta1/types.go` and `k8s.io/component-base/logs/api/v1/types.go` of v1.37.

use super::kind::Kind::{self, *};

/// A field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, such as `logging.format`.
    pub path: &'static str,
    /// What may be written there.
    pub kind: Kind,
    /// What it does.
    pub meaning: Meaning,
}

/// What a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The same as this flag, which wins when it is given.
    Flag(&'static str),
    /// This node always does as these values say, which come to the same here; any other is refused.
    Always(&'static [&'static str]),
    /// Nothing: what it is about does not exist here.
    Nothing(&'static str),
    /// It would do something that this node does not do, and is refused.
    Refused,
}

use Meaning::{Always, Flag, Nothing, Refused};

/// Every field, in the order of the type.
pub static FIELDS: &[Field] = &[
    field("enableServer", Bool, Always(&["true"])),
    field("staticPodPath", Text, Flag("manifests")),
    field("podLogsDir", Text, Flag("log-dir")),
    field("syncFrequency", Duration, Nothing(EVENTS)),
    field("fileCheckFrequency", Duration, Flag("file-check-frequency")),
    field("httpCheckFrequency", Duration, Flag("http-check-frequency")),
    field("staticPodURL", Text, Flag("manifests")),
    field("staticPodURLHeader", Headers, Flag("manifest-url-header")),
    field("address", Text, Flag("address")),
    field("port", Number, Flag("port")),
    field("readOnlyPort", Number, Refused),
    field("tlsCertFile", Text, Refused),
    field("tlsPrivateKeyFile", Text, Refused),
    field("tlsCipherSuites", Texts, Refused),
    field("tlsCurvePreferences", Texts, Refused),
    field("tlsMinVersion", Text, Always(&["VersionTLS12"])),
    field("rotateCertificates", Bool, Nothing(AUTHORITY)),
    field("serverTLSBootstrap", Bool, Nothing(AUTHORITY)),
    field("authentication.x509.clientCAFile", Text, Nothing(AUTHORITY)),
    field("authentication.webhook.enabled", Bool, Nothing(AUTHORITY)),
    field("authentication.webhook.cacheTTL", Duration, Nothing(AUTHORITY)),
    field("authentication.anonymous.enabled", Bool, Always(&["false"])),
    field("authorization.mode", Text, Nothing(AUTHORITY)),
    field("authorization.webhook.cacheAuthorizedTTL", Duration, Nothing(AUTHORITY)),
    field("authorization.webhook.cacheUnauthorizedTTL", Duration, Nothing(AUTHORITY)),
    field("registryPullQPS", Count, Flag("registry-qps")),
    field("registryBurst", Number, Flag("registry-burst")),
    field("imagePullCredentialsVerificationPolicy", Text, Always(&["NeverVerifyPreloadedImages"])),
    field("preloadedImagesVerificationAllowlist", Texts, Refused),
    field("eventRecordQPS", Count, Nothing("events are told as they happen, repeated ones together")),
    field("eventBurst", Number, Nothing("events are told as they happen, repeated ones together")),
    field("enableDebuggingHandlers", Bool, Always(&["true"])),
    field("enableContentionProfiling", Bool, Nothing(GO)),
    field("healthzPort", Count, Nothing("health is told by the API, on its socket and its port")),
    field("healthzBindAddress", Text, Nothing("health is told by the API, on its socket and its port")),
    field("oomScoreAdj", Count, Nothing("the agent's own score is its service manager's to set")),
    field("clusterDomain", Text, Flag("cluster-domain")),
    field("clusterDNS", Texts, Flag("cluster-dns")),
    field(
        "streamingConnectionIdleTimeout",
        Duration,
        Nothing("a connection is closed when either end of it goes"),
    ),
    field("nodeStatusUpdateFrequency", Duration, Nothing(EVENTS)),
    field("nodeStatusReportFrequency", Duration, Always(&["5m"])),
    field("nodeLeaseDurationSeconds", Number, Nothing("there are no leases")),
    field("imageMinimumGCAge", Duration, Flag("minimum-image-ttl-duration")),
    field("imageMaximumGCAge", Duration, Flag("image-maximum-gc-age")),
    field("imageGCHighThresholdPercent", Count, Flag("image-gc-high-threshold")),
    field("imageGCLowThresholdPercent", Count, Flag("image-gc-low-threshold")),
    field(
        "volumeStatsAggPeriod",
        Duration,
        Nothing("volumes are measured when somebody asks, and where they have limits"),
    ),
    field("kubeletCgroups", Text, Refused),
    field("systemCgroups", Text, Refused),
    field("cgroupRoot", Text, Flag("cgroup-root")),
    field("cgroupsPerQOS", Bool, Always(&["true"])),
    field(
        "cgroupDriver",
        Text,
        Nothing(
            "control groups are made in the kernel's file system, below the group that systemd delegates",
        ),
    ),
    field("cpuManagerPolicy", Text, Always(&["none"])),
    field("singleProcessOOMKill", Bool, Refused),
    field("cpuManagerPolicyOptions", Map("="), Refused),
    field("cpuManagerReconcilePeriod", Duration, Nothing("processors are given to no container alone")),
    field("memoryManagerPolicy", Text, Always(&["None"])),
    field("topologyManagerPolicy", Text, Always(&["none"])),
    field("topologyManagerScope", Text, Always(&["container"])),
    field("topologyManagerPolicyOptions", Map("="), Refused),
    field("qosReserved", Map("="), Refused),
    field("runtimeRequestTimeout", Duration, Always(&["2m"])),
    field("hairpinMode", Text, Nothing("a pod reaches itself through its own address in any case")),
    field("maxPods", Number, Flag("max-pods")),
    field("podCIDR", Text, Flag("pod-cidr")),
    field("podPidsLimit", Count, Flag("pod-max-pids")),
    field("resolvConf", Text, Always(&["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"])),
    field("runOnce", Bool, Always(&["false"])),
    field("cpuCFSQuota", Bool, Always(&["true"])),
    field("cpuCFSQuotaPeriod", Duration, Always(&["100ms"])),
    field("nodeStatusMaxImages", Count, Flag("node-status-max-images")),
    field("maxOpenFiles", Number, Nothing("the agent's limit is its service manager's to set")),
    field("contentType", Text, Nothing(CLUSTER)),
    field("kubeAPIQPS", Count, Nothing(CLUSTER)),
    field("kubeAPIBurst", Number, Nothing(CLUSTER)),
    field("serializeImagePulls", Bool, Flag("serialize-image-pulls")),
    field("maxParallelImagePulls", Count, Flag("max-parallel-image-pulls")),
    field("evictionHard", Map("<"), Flag("eviction-hard")),
    field("evictionSoft", Map("<"), Flag("eviction-soft")),
    field("evictionSoftGracePeriod", Map("="), Flag("eviction-soft-grace-period")),
    field("evictionPressureTransitionPeriod", Duration, Flag("eviction-pressure-transition-period")),
    field("evictionMaxPodGracePeriod", Number, Flag("eviction-max-pod-grace-period")),
    field("evictionMinimumReclaim", Map("="), Flag("eviction-minimum-reclaim")),
    field("mergeDefaultEvictionSettings", Bool, Refused),
    field("podsPerCore", Number, Refused),
    field("enableControllerAttachDetach", Bool, Nothing("no volume is attached by a controller")),
    field("protectKernelDefaults", Bool, Always(&["false"])),
    field("makeIPTablesUtilChains", Bool, Nothing(NFTABLES)),
    field("iptablesMasqueradeBit", Count, Nothing(NFTABLES)),
    field("iptablesDropBit", Count, Nothing(NFTABLES)),
    field("featureGates", Any, Nothing("there are no feature gates")),
    field("failSwapOn", Bool, Always(&["false"])),
    field("memorySwap.swapBehavior", Text, Always(&["NoSwap"])),
    field("containerLogMaxSize", Text, Flag("container-log-max-size")),
    field("containerLogMaxFiles", Count, Flag("container-log-max-files")),
    field("containerLogMaxWorkers", Count, Nothing(ROTATION)),
    field("containerLogMonitorInterval", Duration, Nothing(ROTATION)),
    field("configMapAndSecretChangeDetectionStrategy", Text, Always(&["Watch"])),
    field("systemReserved", Map("="), Flag("system-reserved")),
    field("kubeReserved", Map("="), Flag("kube-reserved")),
    field("reservedSystemCPUs", Text, Refused),
    field("showHiddenMetricsForVersion", Text, Nothing("no metric is hidden")),
    field("systemReservedCgroup", Text, Refused),
    field("kubeReservedCgroup", Text, Refused),
    field("enforceNodeAllocatable", Texts, Always(&["pods"])),
    field("allowedUnsafeSysctls", Texts, Flag("allowed-unsafe-sysctls")),
    field("defaultPodSysctls", Map("="), Refused),
    field("volumePluginDir", Text, Nothing("there are no volume plugins")),
    field("providerID", Text, Refused),
    field("kernelMemcgNotification", Bool, Nothing(EVENTS)),
    field("logging.format", Text, Flag("logging-format")),
    field("logging.flushFrequency", Any, Nothing("lines are written as they happen")),
    field("logging.verbosity", Number, Flag("v")),
    field("logging.vmodule", Any, Refused),
    field("logging.options", Any, Nothing("lines are written as they happen")),
    field("enableSystemLogHandler", Bool, Always(&["false"])),
    field("enableSystemLogQuery", Bool, Always(&["false"])),
    field("shutdownGracePeriod", Duration, Flag("shutdown-grace-period")),
    field("shutdownGracePeriodCriticalPods", Duration, Flag("shutdown-grace-period-critical-pods")),
    field(
        "shutdownGracePeriodByPodPriority",
        Pairs(["priority", "shutdownGracePeriodSeconds"]),
        Flag("shutdown-grace-period-by-pod-priority"),
    ),
    field("crashLoopBackOff.maxContainerRestartPeriod", Duration, Always(&["5m"])),
    field("reservedMemory", Any, Refused),
    field("enableProfilingHandler", Bool, Nothing(GO)),
    field("enableDebugFlagsHandler", Bool, Nothing(GO)),
    field("seccompDefault", Bool, Always(&["true"])),
    field("memoryThrottlingFactor", Any, Nothing("memory is limited, and never throttled before")),
    field("memoryReservationPolicy", Text, Always(&["None"])),
    field("registerWithTaints", Any, Refused),
    field("registerNode", Bool, Always(&["true"])),
    field("tracing", Any, Refused),
    field("localStorageCapacityIsolation", Bool, Always(&["true"])),
    field("containerRuntimeEndpoint", Text, Nothing(RUNTIME)),
    field("imageServiceEndpoint", Text, Nothing(RUNTIME)),
    field("failCgroupV1", Bool, Always(&["false"])),
    field("userNamespaces.idsPerPod", Count, Always(&["65536"])),
];

const AUTHORITY: &str = "the API knows its own authority's certificates and the tokens of --token-auth-file";
const CLUSTER: &str = "the API server is this very process";
const EVENTS: &str = "what changes is acted upon when it changes";
const GO: &str = "it is about Go's runtime";
const NFTABLES: &str = "rules are nftables', in a table of its own";
const ROTATION: &str = "whoever writes a log rotates it, at once";
const RUNTIME: &str = "this node runs containers itself";

const fn field(path: &'static str, kind: Kind, meaning: Meaning) -> Field {
    Field { path, kind, meaning }
}
