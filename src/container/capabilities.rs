//! Who the container's process is: capabilities, groups, user, no_new_privs, set in the one order that works.

use std::collections::HashSet;
use std::str::FromStr;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use oci_spec::runtime::LinuxCapabilities;

use super::failure::{Failure, Step};

/// Becomes the user, and then keeps exactly the capabilities asked for: [`change_identity`] and [`limit`].
pub fn become_user(
    uid: u32,
    gid: u32,
    groups: &[u32],
    capabilities: &LinuxCapabilities,
) -> Result<(), Failure> {
    change_identity(uid, gid, groups, capabilities)?;
    limit(capabilities)
}

/// Drops what the bounding set does not name, and becomes the user. The permitted set is still whole.
///
/// The bounding set goes first (it takes CAP_SETPCAP), the identity next (it takes CAP_SETUID and CAP_SETGID, and
/// PR_SET_KEEPCAPS lets the permitted set survive it). Inheritable and ambient sets end up empty whatever was asked for:
/// they would survive an execve (CVE-2022-24769, CVE-2022-29162).
pub fn change_identity(
    uid: u32,
    gid: u32,
    groups: &[u32],
    capabilities: &LinuxCapabilities,
) -> Result<(), Failure> {
    let bounding = translate(capabilities.bounding())?;
    for capability in caps::runtime::thread_all_supported().difference(&bounding) {
        caps::drop(None, CapSet::Bounding, *capability)
            .step(|| format!("drop {capability} from the bounding set"))?;
    }
    prctl::set_keepcaps(true).step(|| "PR_SET_KEEPCAPS")?;
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).step(|| "setgroups")?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setresgid(gid, gid, gid).step(|| format!("setresgid {gid}"))?;
    setresuid(uid, uid, uid).step(|| format!("setresuid {uid}"))?;
    prctl::set_keepcaps(false).step(|| "PR_SET_KEEPCAPS")?;

    caps::clear(None, CapSet::Ambient).step(|| "clear the ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).step(|| "clear the inheritable capabilities")
}

/// Keeps exactly the effective and permitted capabilities asked for. Takes capget(2) and capset(2), nothing else.
pub fn limit(capabilities: &LinuxCapabilities) -> Result<(), Failure> {
    let effective = translate(capabilities.effective())?;
    let permitted = translate(capabilities.permitted())?;
    // The effective set shrinks before the permitted one, of which it must stay a part.
    caps::set(None, CapSet::Effective, &effective).step(|| "set the effective capabilities")?;
    caps::set(None, CapSet::Permitted, &permitted).step(|| "set the permitted capabilities")
}

/// Puts CAP_SYS_ADMIN into effect, out of the permitted set.
pub fn raise_sys_admin() -> Result<(), Failure> {
    caps::raise(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).step(|| "raise CAP_SYS_ADMIN")
}

/// No capability in any set; the OCI configuration's own default has some.
pub fn none() -> LinuxCapabilities {
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(None)
        .set_effective(None)
        .set_permitted(None)
        .set_inheritable(None)
        .set_ambient(None);
    capabilities
}

/// Sets no_new_privs: no execve from here on grants anything (prctl(2)).
pub fn no_new_privileges() -> Result<(), Failure> {
    prctl::set_no_new_privs().step(|| "PR_SET_NO_NEW_PRIVS")
}

/// A set that is missing is empty.
fn translate(wanted: &Option<HashSet<oci_spec::runtime::Capability>>) -> Result<CapsHashSet, Failure> {
    wanted
        .iter()
        .flatten()
        .map(|capability| {
            let name = format!("CAP_{capability}");
            Capability::from_str(&name)
                .map_err(|_| Failure::new("read the capabilities", format!("unknown: {name}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_of_the_oci_configuration_has_a_name_here() {
        use oci_spec::runtime::Capability as Oci;
        let all =
            HashSet::from([Oci::Chown, Oci::DacOverride, Oci::Fsetid, Oci::Fowner, Oci::Setgid, Oci::Setuid])
                .into_iter()
                .chain([
                    Oci::Setpcap,
                    Oci::Setfcap,
                    Oci::NetBindService,
                    Oci::SysChroot,
                    Oci::Kill,
                    Oci::MacAdmin,
                ])
                .chain([Oci::CheckpointRestore, Oci::Bpf, Oci::Perfmon, Oci::AuditRead, Oci::DacReadSearch])
                .collect::<HashSet<_>>();
        let count = all.len();
        assert_eq!(translate(&Some(all)).unwrap().len(), count);
    }
}
