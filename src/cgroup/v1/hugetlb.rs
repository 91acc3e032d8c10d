//! Huge pages on v1: a limit of what is used, and of what is reserved, for each size.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::nothing;

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "hugetlb", settings, count: nothing, on_demand: true };

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let sizes = limits.hugepage_limits().iter().flatten();
    let both = sizes.flat_map(|size| {
        let (page, bytes) = (size.page_size(), size.limit());
        [
            Setting::new(format!("hugetlb.{page}.limit_in_bytes"), bytes),
            // A reservation that was granted cannot fail later, as a page fault would, by SIGBUS. Linux 5.7.
            Setting::optional(format!("hugetlb.{page}.rsvd.limit_in_bytes"), bytes),
        ]
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn each_size_is_limited_in_use_and_in_reserve() {
        let limits = json!({"hugepageLimits": [
            {"pageSize": "2MB", "limit": 4194304},
            {"pageSize": "1GB", "limit": 0},
        ]});
        assert_eq!(
            written(&CONTROLLER, &limits),
            "hugetlb.2MB.limit_in_bytes=4194304 hugetlb.2MB.rsvd.limit_in_bytes=4194304? \
             hugetlb.1GB.limit_in_bytes=0 hugetlb.1GB.rsvd.limit_in_bytes=0?",
        );
        assert_eq!(written(&CONTROLLER, &json!({})), "");
    }
}
