//! Which AppArmor profile a container gets: from what its manifest asks for, and what the node's kernel has loaded.
//!
//! mkubelet loads no profiles. That is up to the node's owner, as with a kubelet; the source of the default one is
//! `apparmor/mkubelet-default`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::pod::spec::{AppArmorProfile, Security};

/// What `RuntimeDefault` stands for.
const DEFAULT: &str = "mkubelet-default";

/// What the kernel calls the want of a profile.
const UNCONFINED: &str = "unconfined";

/// AppArmor as the node has it at one moment: profiles come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppArmor {
    /// The kernel has it not, or was booted without it.
    Disabled,
    /// The names of the profiles that are loaded, or why nobody knows.
    Enabled(Result<BTreeSet<String>, String>),
}

/// A profile that was asked for cannot be had: the container must not start. In the kubelet's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Cannot enforce AppArmor: {0}")]
pub struct Unenforceable(String);

impl AppArmor {
    /// Asks the kernel.
    pub fn of_host() -> Self {
        Self::read(Path::new("/sys"))
    }

    fn read(sys: &Path) -> Self {
        let enabled = fs::read_to_string(sys.join("module/apparmor/parameters/enabled"));
        if enabled.is_ok_and(|enabled| enabled.trim() == "Y") {
            let profiles = sys.join("kernel/security/apparmor/profiles");
            let list = fs::read_to_string(&profiles);
            let list = list.map_err(|error| format!("read {}: {error}", profiles.display()));
            Self::Enabled(list.map(|list| names(&list)))
        } else {
            Self::Disabled
        }
    }

    /// The profile for a container; `None` where the kernel is not to be asked for any.
    ///
    /// To be unconfined takes a word to the kernel, too: else a profile of the node that goes with the path of a program would
    /// go with the program of that path in a container. Privileged containers have no default profile, as with containerd.
    pub fn profile(&self, security: &Security) -> Result<Option<String>, Unenforceable> {
        use AppArmorProfile::{Localhost, RuntimeDefault, Unconfined};
        let Self::Enabled(loaded) = self else {
            return match security.app_armor {
                None | Some(Unconfined) => Ok(None),
                Some(RuntimeDefault | Localhost { .. }) => {
                    Err(Unenforceable("AppArmor is not enabled on the host".to_owned()))
                }
            };
        };
        let loaded = |name: &str| match loaded {
            Ok(loaded) if loaded.contains(name) => Ok(name.to_owned()),
            Ok(_) => Err(Unenforceable(format!("profile {name:?} is not loaded"))),
            Err(why) => Err(Unenforceable(format!("whether profile {name:?} is loaded is not known: {why}"))),
        };
        let unconfined = UNCONFINED.to_owned();
        match &security.app_armor {
            Some(Localhost { name }) => loaded(name),
            Some(Unconfined) => Ok(unconfined),
            None | Some(RuntimeDefault) if security.privileged => Ok(unconfined),
            Some(RuntimeDefault) => loaded(DEFAULT),
            None => Ok(loaded(DEFAULT).unwrap_or(unconfined)),
        }
        .map(Some)
    }
}

/// The names in a list of `NAME (MODE)`, a profile a line. A name may have spaces and parentheses in it.
fn names(list: &str) -> BTreeSet<String> {
    list.lines().filter_map(|line| line.rsplit_once(" (")).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    fn enabled(profiles: &[&str]) -> AppArmor {
        AppArmor::Enabled(Ok(profiles.iter().map(|&name| name.to_owned()).collect()))
    }

    fn localhost() -> Option<AppArmorProfile> {
        Some(AppArmorProfile::Localhost { name: "web".to_owned() })
    }

    #[test]
    fn a_profile_is_what_was_asked_for_or_an_error() {
        use AppArmorProfile::{RuntimeDefault, Unconfined};
        let off = Err("Cannot enforce AppArmor: AppArmor is not enabled on the host");
        let no_web = Err("Cannot enforce AppArmor: profile \"web\" is not loaded");
        let no_default = Err("Cannot enforce AppArmor: profile \"mkubelet-default\" is not loaded");
        let unknown = AppArmor::Enabled(Err("EIO".to_owned()));
        let no_idea = Err("Cannot enforce AppArmor: whether profile \"web\" is loaded is not known: EIO");
        let unconfined = Ok(Some("unconfined"));

        // What is asked for; by a privileged container; what comes of it.
        type Case = (Option<AppArmorProfile>, bool, Result<Option<&'static str>, &'static str>);
        let nodes: [(AppArmor, Vec<Case>); 4] = [
            (
                AppArmor::Disabled,
                vec![
                    (None, false, Ok(None)),
                    (Some(Unconfined), false, Ok(None)),
                    (Some(RuntimeDefault), false, off),
                    (Some(RuntimeDefault), true, off),
                    (localhost(), false, off),
                ],
            ),
            (
                enabled(&["webs", "mkubelet"]),
                vec![
                    (None, false, unconfined),
                    (Some(Unconfined), false, unconfined),
                    (Some(RuntimeDefault), false, no_default),
                    (localhost(), false, no_web),
                    (localhost(), true, no_web),
                ],
            ),
            (
                enabled(&["web", "mkubelet-default"]),
                vec![
                    (None, false, Ok(Some("mkubelet-default"))),
                    (None, true, unconfined),
                    (Some(Unconfined), false, unconfined),
                    (Some(RuntimeDefault), false, Ok(Some("mkubelet-default"))),
                    (Some(RuntimeDefault), true, unconfined),
                    (localhost(), false, Ok(Some("web"))),
                    (localhost(), true, Ok(Some("web"))),
                ],
            ),
            (unknown, vec![(None, false, unconfined), (localhost(), false, no_idea)]),
        ];
        for (node, cases) in nodes {
            for (app_armor, privileged, expected) in cases {
                let mut security =
                    fixture::pod(RestartPolicy::Always, &[], &["a"]).spec.containers[0].security.clone();
                let case = format!("{app_armor:?} privileged: {privileged} {node:?}");
                security.app_armor = app_armor;
                security.privileged = privileged;
                let found = node.profile(&security).map_err(|error| error.to_string());
                assert_eq!(
                    found,
                    expected.map(|name| name.map(str::to_owned)).map_err(str::to_owned),
                    "{case}"
                );
            }
        }
    }

    #[test]
    fn the_kernels_list_is_read_to_the_letter() {
        for (list, expected) in [
            ("", &[][..]),
            ("web (enforce)\n/usr/bin/man (complain)\n", &["/usr/bin/man", "web"]),
            ("a b (c) (kill)\nman//filter (unconfined)\n", &["a b (c)", "man//filter"]),
            (":lxd://web (enforce)\n", &[":lxd://web"]),
            ("web\n", &[]),
        ] {
            assert_eq!(names(list), expected.iter().map(|&name| name.to_owned()).collect(), "{list:?}");
        }
    }

    #[test]
    fn apparmor_is_on_when_the_kernel_says_so() {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(AppArmor::read(sys.path()), AppArmor::Disabled);
        write("kernel/security/apparmor/profiles", "web (enforce)\n");
        write("module/apparmor/parameters/enabled", "N\n");
        assert_eq!(AppArmor::read(sys.path()), AppArmor::Disabled);
        write("module/apparmor/parameters/enabled", "Y\n");
        assert_eq!(AppArmor::read(sys.path()), enabled(&["web"]));
        fs::remove_dir_all(sys.path().join("kernel")).unwrap();
        let AppArmor::Enabled(Err(why)) = AppArmor::read(sys.path()) else { panic!("the list is not there") };
        assert!(why.ends_with("apparmor/profiles: No such file or directory (os error 2)"), "{why}");
    }
}
