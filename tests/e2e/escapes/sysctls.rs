//! Kernel parameters that smuggle another one in, or reach the node's (CVE-2022-0811).

use serde_json::{Value, json};

use super::attack;

fn refused(fields: &[(&str, Value)], sysctl: &Value, field: &str) {
    attack(|world, _| {
        let mut pod = world.pod("smuggler", [world.container("a", &["wait"])]);
        for (name, value) in fields {
            pod = pod.spec(name, value.clone());
        }
        let pod = pod.spec("securityContext", json!({"sysctls": [sysctl]}));
        // Even where everything of the kind is allowed.
        let ended = world.run_with(&pod, &["--allowed-unsafe-sysctls", "net.*,kernel.shm*"]).wait().code(1);
        let told = ended.stderr.join("\n");
        assert!(told.contains(&format!(" spec.securityContext.sysctls[0].{field}: ")), "{sysctl}: {told}");
        assert_eq!(world.ledger().starts("a"), 0, "{sysctl}");
    });
}

#[test]
fn a_value_with_more_than_a_value_in_it_is_refused() {
    for value in ["0\nkernel.core_pattern=|/evil", "0+kernel.core_pattern=|/evil", "1=1", "1\r", "1\0"] {
        refused(&[], &json!({"name": "net.ipv4.tcp_syncookies", "value": value}), "value");
    }
}

#[test]
fn a_name_that_leaves_its_directory_or_its_namespace_is_refused() {
    for name in [
        "net.ipv4.../../kernel.core_pattern",
        "net/../kernel/core_pattern",
        "net..ipv4",
        "/proc/sys/kernel/core_pattern",
        "net.ipv4.tcp_syncookies\n",
        "net.ipv4.tcp_syncookies=1+kernel.core_pattern",
        "kernel.core_pattern",
        "kernel.shmx_core_pattern/../core_pattern",
        "fs.suid_dumpable",
        "vm.overcommit_memory",
        "",
    ] {
        refused(&[], &json!({"name": name, "value": "1"}), "name");
    }
}

#[test]
fn a_parameter_of_a_namespace_that_is_the_nodes_is_refused() {
    let sysctl = json!({"name": "net.ipv4.tcp_syncookies", "value": "0"});
    refused(&[("hostNetwork", json!(true))], &sysctl, "name");
    let sysctl = json!({"name": "kernel.shm_rmid_forced", "value": "1"});
    refused(&[("hostIPC", json!(true))], &sysctl, "name");
}
