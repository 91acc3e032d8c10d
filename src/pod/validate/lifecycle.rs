//! `lifecycle`: hooks and the stop signal.

use k8s_openapi::api::core::v1 as k8s;

use super::container::Surroundings;
use super::handler;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{Hook, Lifecycle};

/// What Kubernetes allows as a stop signal on Linux, in the order in which the API server names them.
const STOP_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The lifecycle of a container that has these ports.
pub(super) fn check(
    lifecycle: &k8s::Lifecycle,
    declared: &[k8s::ContainerPort],
    pod: &Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Lifecycle {
    let mut hook = |name: &'static str, hook: &Option<k8s::LifecycleHandler>| {
        let hook = hook.as_ref()?;
        check_hook(hook, declared, pod.grace_seconds, &path.field(name), document)
    };
    let post_start = hook("postStart", &lifecycle.post_start);
    let pre_stop = hook("preStop", &lifecycle.pre_stop);
    let stop_signal = lifecycle.stop_signal.clone();
    if let Some(signal) = &stop_signal {
        let path = path.field("stopSignal");
        if !pod.has_os {
            document.forbidden(&path, "may not be set for containers with empty `spec.os.name`");
        } else if !STOP_SIGNALS.contains(&signal.as_str()) {
            document.unsupported(&path, signal, &STOP_SIGNALS);
        }
    }
    Lifecycle { post_start, pre_stop, stop_signal }
}

/// The one thing that a hook does.
fn check_hook(
    hook: &k8s::LifecycleHandler,
    declared: &[k8s::ContainerPort],
    grace_seconds: i64,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Hook> {
    handler::check_one(&[], path, document);
    if let Some(exec) = &hook.exec {
        return handler::exec(exec, &path.field("exec"), document).map(Hook::Exec);
    }
    if let Some(get) = &hook.http_get {
        let get = handler::http_get(get, declared, &path.field("httpGet"), document);
        return get.map(Hook::HttpGet);
    }
    if let Some(socket) = &hook.tcp_socket {
        let socket = handler::tcp_socket(socket, declared, &path.field("tcpSocket"), document);
        return socket.map(Hook::TcpSocket);
    }
    let duration = handler::sleep(hook.sleep.as_ref()?, grace_seconds, &path.field("sleep"), document);
    duration.map(Hook::Sleep)
}
