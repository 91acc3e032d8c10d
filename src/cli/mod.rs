//! The command line: clap types, and one function per subcommand.

mod agent;
mod apply;
mod attach;
mod client;
mod completion;
mod config_file;
mod console;
mod copy;
mod create;
mod debug;
mod delete;
mod describe;
mod edit;
mod events;
mod exec;
mod get;
mod image;
mod json_path;
mod kubeconfig;
mod label;
mod log;
mod logs;
mod node_flags;
mod object_events;
mod patch;
mod port_forward;
mod print;
mod pulls;
mod run;
mod service;
mod stats;
mod switches;
mod top;
mod trace;
mod verbs;
mod wait;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ipnet::Ipv4Net;

use crate::config::user_id_pool::UserIdPool;
use crate::config::{self, Config, CredentialProviders, Layout};
use crate::container::spec::LogLimits;
use crate::pod::sysctl::Allowed;

/// Runs Kubernetes Pods on this machine: no containerd, no runc.
#[derive(Debug, Parser)]
#[command(name = "mkubelet", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the pods of a manifest until all their containers have ended; with --image or --detach, has the agent run them.
    ///
    /// Ctrl-C ends them gracefully, a second Ctrl-C at once. The exit status is that of the first container that failed.
    ///
    /// With --image the agent runs a pod of this name with one container, as `kubectl run` has it; with --detach it runs the pods of manifests.
    Run(run::Arguments),
    /// Runs the pods of a directory for as long as it has them; they outlive the agent.
    ///
    /// A manifest that is changed, removed or added takes effect at once. SIGTERM ends the agent and leaves its pods running.
    Agent(Box<agent::Arguments>),
    /// Keeps images on this machine.
    #[command(subcommand)]
    Image(image::Command),
    #[command(flatten)]
    Verb(verbs::Verb),
    /// Shows what the containers that run use.
    Stats(stats::Arguments),
    /// Prints what kubectl needs to drive this node.
    ///
    /// The client certificate in it is good for a year and may do everything: keep it as you keep a password.
    Kubeconfig(kubeconfig::Arguments),
    /// Prints a script that completes command lines in a shell.
    Completion(completion::Completion),
    /// Writes the manual pages.
    Man(completion::Man),
}

/// What every subcommand understands, before or after its name.
#[derive(Debug, Args)]
struct Flags {
    /// Directory for images and for what pods keep on disk.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_ROOT_DIR",
        value_name = "DIR",
        default_value = "/var/lib/mkubelet"
    )]
    root_dir: PathBuf,
    /// Directory for sockets and what else is gone at reboot.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_RUN_DIR",
        value_name = "DIR",
        default_value = "/run/mkubelet"
    )]
    run_dir: PathBuf,
    /// Directory for the containers' logs.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_LOG_DIR",
        value_name = "DIR",
        default_value = "/var/log/pods"
    )]
    log_dir: PathBuf,
    /// Directory for links to the containers' logs, where log collectors look [default: `containers` beside --log-dir].
    #[arg(long, global = true, env = "MKUBELET_LOG_LINKS_DIR", value_name = "DIR")]
    log_links_dir: Option<PathBuf>,
    /// Size of a container's log file, as a quantity such as 10Mi: then the next one is begun. Below 0: never.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_CONTAINER_LOG_MAX_SIZE",
        value_name = "QUANTITY",
        default_value = "10Mi",
        allow_hyphen_values = true
    )]
    container_log_max_size: String,
    /// Files of a container's log, with the one that is written to.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_CONTAINER_LOG_MAX_FILES",
        value_name = "NUMBER",
        default_value_t = config::LOG_LIMITS.max_files,
        value_parser = clap::value_parser!(u32).range(2..)
    )]
    container_log_max_files: u32,
    /// Addresses for pods; the first is the bridge's.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_POD_CIDR",
        value_name = "CIDR",
        default_value = "10.85.0.0/16"
    )]
    pod_cidr: Ipv4Net,
    /// Name of the bridge that connects the pods.
    #[arg(long, global = true, env = "MKUBELET_BRIDGE", value_name = "NAME", default_value = "mkubelet0")]
    bridge: String,
    /// Control group for pods to be made in; made when missing, removed when empty [default: the group that systemd
    /// delegated, else the root].
    #[arg(long, global = true, env = "MKUBELET_CGROUP_ROOT", value_name = "GROUP")]
    cgroup_root: Option<PathBuf>,
    /// Processes and threads that a pod may have; -1 is any number.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_POD_MAX_PIDS",
        value_name = "NUMBER",
        default_value_t = config::POD_MAX_PIDS,
        value_parser = config::pod_max_pids,
        allow_negative_numbers = true
    )]
    pod_max_pids: i64,
    /// Kernel parameters that pods may set beyond the safe ones; a name that ends with * stands for all that begin so.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_ALLOWED_UNSAFE_SYSCTLS",
        value_name = "NAME,...",
        value_delimiter = ','
    )]
    allowed_unsafe_sysctls: Vec<String>,
    /// User and group ids of the host for pods with `hostUsers: false`, 65536 for each.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_USER_IDS",
        value_name = "FIRST:COUNT",
        default_value = "65536:7208960"
    )]
    user_ids: UserIdPool,
    /// Directory that says how registries are reached, as containerd has it: mirrors, authorities and http in HOST/hosts.toml.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_REGISTRY_HOSTS",
        value_name = "DIR",
        default_value = config::REGISTRY_HOSTS
    )]
    registry_hosts: PathBuf,
    /// A CredentialProviderConfig (kubelet.config.k8s.io/v1), or a directory of them: plugins that are asked for registries' credentials.
    #[arg(long, global = true, env = "MKUBELET_IMAGE_CREDENTIAL_PROVIDER_CONFIG", value_name = "FILE|DIR")]
    image_credential_provider_config: Option<PathBuf>,
    /// Directory of the plugins' programs.
    #[arg(long, global = true, env = "MKUBELET_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR", value_name = "DIR")]
    image_credential_provider_bin_dir: Option<PathBuf>,
    /// Domain of the cluster's services: a pod with a subdomain is NAME.SUBDOMAIN.NAMESPACE.svc.DOMAIN.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = config::CLUSTER_DOMAIN,
        value_parser = config::cluster_domain
    )]
    cluster_domain: String,
    /// Addresses of the cluster's name service, for pods whose dnsPolicy asks for it; without any, such pods have the node's.
    #[arg(
        long,
        global = true,
        env = "MKUBELET_CLUSTER_DNS",
        value_name = "ADDRESS,...",
        value_delimiter = ','
    )]
    cluster_dns: Vec<IpAddr>,
}

impl Flags {
    fn api_socket(&self) -> PathBuf {
        Layout::new(&self.root_dir, &self.run_dir, &self.log_dir).api_socket()
    }

    fn config(self) -> anyhow::Result<Config> {
        let directories = [self.root_dir.as_path(), &self.run_dir, &self.log_dir];
        let config = Config::new(directories, self.pod_cidr, self.bridge, self.cgroup_root.as_deref())?;
        let config = match &self.log_links_dir {
            Some(directory) => config.with_log_links(directory)?,
            None => config,
        };
        let max_bytes = config::log_max_bytes(&self.container_log_max_size);
        let max_bytes = max_bytes.map_err(|error| anyhow::anyhow!("--container-log-max-size: {error}"))?;
        let max_files = self.container_log_max_files;
        let credential_providers =
            match (self.image_credential_provider_config, self.image_credential_provider_bin_dir) {
                (Some(config), Some(bin_dir)) => Some(CredentialProviders { config, bin_dir }),
                (None, None) => None,
                _ => anyhow::bail!(
                    "--image-credential-provider-config and --image-credential-provider-bin-dir go together"
                ),
            };
        let unsafe_sysctls = self.allowed_unsafe_sysctls.iter().map(String::as_str);
        let sysctls = Allowed::with_unsafe(unsafe_sysctls)?;
        Ok(Config {
            sysctls,
            pod_max_pids: self.pod_max_pids,
            user_ids: self.user_ids,
            cluster_domain: self.cluster_domain,
            cluster_dns: self.cluster_dns,
            registry_hosts: self.registry_hosts,
            credential_providers,
            log_limits: max_bytes.map(|max_bytes| LogLimits { max_bytes, max_files }),
            ..config
        })
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    if let Some(code) = crate::image::unpack_layer() {
        return code;
    }
    let fail = |error: anyhow::Error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    };
    match completion::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return fail(error),
    }
    let (Cli { flags, command }, warnings) = match config_file::parse(std::env::args_os().collect()) {
        Ok(parsed) => parsed,
        Err(error) => {
            log::start(&log::Flags::default());
            return fail(error);
        }
    };
    match &command {
        Command::Agent(arguments) => log::start(&arguments.log),
        _ => log::start(&log::Flags::default()),
    }
    warnings.iter().for_each(|warning| complain(warning));
    carry_out(flags, command).unwrap_or_else(fail)
}

fn carry_out(flags: Flags, command: Command) -> anyhow::Result<ExitCode> {
    let socket = flags.api_socket();
    // What works on the node itself is root's; a verb is for whoever may open the socket.
    let config = || {
        let config = flags.config()?;
        anyhow::ensure!(nix::unistd::geteuid().is_root(), "must run as root");
        Ok(config)
    };
    match command {
        Command::Verb(verb) => verbs::run(verb, &socket),
        Command::Completion(arguments) => completion::completion(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Man(arguments) => completion::man(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Run(arguments) => run::run(arguments, &socket, config),
        Command::Agent(arguments) => agent::run(config()?, &arguments).map(|()| ExitCode::SUCCESS),
        Command::Image(command) => image::run(&config()?, command).map(|()| ExitCode::SUCCESS),
        Command::Stats(arguments) => stats::run(&config()?, &arguments).map(|()| ExitCode::SUCCESS),
        Command::Kubeconfig(arguments) => {
            kubeconfig::run(&config()?, &arguments).and_then(|text| say(&text)).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// Prints; a reader that went away has read enough.
fn say(text: &str) -> anyhow::Result<()> {
    say_bytes(text.as_bytes())
}

/// Likewise what may be no text.
fn say_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells an error on stderr, a line for each of its lines.
fn complain(text: &str) {
    text.lines().for_each(log::say);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_number_of_a_pods_processes_is_4096_or_as_asked() {
        let limit = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.flags.pod_max_pids).ok();
        for (flag, expected) in
            [("", Some(4096)), (" --pod-max-pids 100", Some(100)), (" --pod-max-pids -1", Some(-1))]
        {
            assert_eq!(limit(&format!("mkubelet run x.yaml{flag}")), expected, "{flag}");
        }
        for bad in ["0", "-2", "many", ""] {
            assert_eq!(limit(&format!("mkubelet run x.yaml --pod-max-pids={bad}")), None, "{bad}");
        }
    }

    #[test]
    fn global_flags_are_taken_before_and_after_the_subcommand() {
        for line in [
            "mkubelet --bridge br7 run x.yaml",
            "mkubelet run x.yaml --bridge br7",
            "mkubelet image list --bridge br7",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.flags.bridge, "br7", "{line}");
        }
    }
}
