//! The walks of docs/walkthroughs.md: manifests of examples/, run as a person at a terminal runs them.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use crate::world::{Process, Run, example, http_get, until, world};

#[test]
fn nginx_and_a_busybox_that_sleeps_have_the_same_hostname_and_ip() {
    world(|world| {
        world.build("nginx", "nginx:1.14");
        world.build("busybox", "busybox");
        let run = world.run_manifest(&example("pod-busybox.yaml"));
        let ip = run.ip("nginx-and-busybox");
        run.expect("pod default/nginx-and-busybox: Running");
        let nginx = world.process("nginx: master process nginx -g daemon off;");
        let busybox = world.process("sleep 10000");
        for process in [&nginx, &busybox] {
            assert_eq!(inside(process, &["--uts", "hostname"]), "nginx-and-busybox\n");
            let address = inside(process, &["--net", "ip", "-4", "-oneline", "address", "show", "eth0"]);
            assert!(address.contains(&format!(" inet {ip}/")), "{address}");
        }
        // With the busybox's own programs and files.
        assert_eq!(inside(&busybox, &["--all", "hostname"]), "nginx-and-busybox\n");
        assert_eq!(inside(&busybox, &["--all", "hostname", "-i"]), format!("{ip}\n"));
        welcomes(ip);
        let page = inside(&busybox, &["--all", "wget", "-qO-", "http://localhost/"]);
        assert!(page.contains("<title>Welcome to nginx!</title>"), "{page}");
        run.stop();
    });
}

#[test]
fn a_pod_waits_in_its_init_containers_until_two_services_resolve() {
    world(|world| {
        world.build("dnsmasq", "dnsmasq");
        world.build("busybox", "busybox");
        let services = world.path("services");
        let text = fs::read_to_string(example("pod-dns.yaml")).unwrap();
        assert!(text.contains("/tmp/services\n"), "{text}");
        let manifest = text.replace("/tmp/services\n", &format!("{}\n", services.display()));
        let dns = world.run_manifest(&world.write("dns.yaml", &manifest));
        let server = dns.ip("dns").to_string();
        dns.expect("container default/dns/dnsmasq: Ready");

        let text = fs::read_to_string(example("pod-waits.yaml")).unwrap();
        assert!(text.contains("\"10.85.0.2\""), "{text}");
        let manifest = text.replace("10.85.0.2", &server);
        let run = world.run_manifest_with(&world.write("waits.yaml", &manifest), &["--logs"]);
        run.expect("container default/myapp-pod/init-myservice: Running");
        run.expect("[default/myapp-pod/init-myservice] waiting for myservice");
        let is_told = |part: &str| run.lines().iter().any(|line| line.contains(part));
        assert!(!is_told("init-mydb: Running"), "one init container after another");

        fs::write(services.join("myservice"), "10.96.0.10 myservice.default.svc.cluster.local\n").unwrap();
        run.expect("container default/myapp-pod/init-myservice: Terminated (Completed)");
        run.expect("[default/myapp-pod/init-mydb] waiting for mydb");
        assert!(!is_told("myapp-container: Running"), "one name is missing still");

        fs::write(services.join("mydb"), "10.96.0.11 mydb.default.svc.cluster.local\n").unwrap();
        run.expect("container default/myapp-pod/init-mydb: Terminated (Completed)");
        run.expect("container default/myapp-pod/myapp-container: Running");
        run.expect("[default/myapp-pod/myapp-container] The app is running!");
        run.expect("pod default/myapp-pod: Running");
        // The names were answered by the other pod.
        for line in [
            "[default/myapp-pod/init-myservice] Address: 10.96.0.10",
            "[default/myapp-pod/init-mydb] Address: 10.96.0.11",
        ] {
            run.expect(line);
        }
        run.stop();
        dns.stop();
    });
}

#[test]
fn a_pod_whose_liveness_probe_fails_heals_itself_at_the_same_ip() {
    world(|world| {
        world.build("busybox", "busybox");
        let manifest = fs::read_to_string(example("pod-liveness.yaml")).unwrap();
        assert!(manifest.contains("sleep 30;"), "{manifest}");
        let sooner = world.write("liveness.yaml", &manifest.replace("sleep 30;", "sleep 3;"));
        let run = world.run_manifest_with(&sooner, &["--logs"]);
        let ip = run.ip("liveness");
        run.expect("container default/liveness/liveness: Ready");
        run.expect("container default/liveness/liveness: Not ready");
        run.expect_error("Liveness probe failed");
        // The shell, PID 1, has no handler for SIGTERM.
        run.expect("container default/liveness/liveness: Terminated (Error, exit code 137)");
        run.expect("container default/liveness/liveness: Running (restart 1)");
        let says = format!("[default/liveness/liveness] healthy at {ip}");
        until("its second address", || {
            (run.lines().iter().filter(|line| **line == says).count() == 2).then_some(())
        });
        run.stop();
    });
}

#[test]
fn nginx_that_is_ended_from_inside_by_a_hook_is_back_at_the_same_ip() {
    world(|world| {
        world.build("nginx", "nginx:1.14");
        world.build("busybox", "busybox");
        let run = world.run_manifest(&example("pod-nginx-quits.yaml"));
        let ip = run.ip("nginx-quits");
        run.expect("container default/nginx-quits/nginx: Running");
        welcomes(ip);
        // Not 137: PID 1 cannot be killed from inside. nginx ends with 0 on SIGQUIT.
        run.expect("container default/nginx-quits/nginx: Terminated (Completed)");
        run.expect("container default/nginx-quits/nginx: Running (restart 1)");
        welcomes(ip);
        ends_after_one_restart(run);
    });
}

#[test]
fn nginx_that_is_killed_by_a_sibling_is_back_at_the_same_ip() {
    world(|world| {
        world.build("nginx", "nginx:1.14");
        world.build("busybox", "busybox");
        let run = world.run_manifest_with(&example("pod-nginx-killed.yaml"), &["--logs"]);
        let ip = run.ip("nginx-killed");
        run.expect("container default/nginx-killed/nginx: Running");
        welcomes(ip);
        run.expect_prefix("[default/nginx-killed/killer] kill -KILL ");
        run.expect("container default/nginx-killed/nginx: Terminated (Error, exit code 137)");
        // Which can listen on port 80 again only if the workers went with their master.
        run.expect("container default/nginx-killed/nginx: Running (restart 1)");
        welcomes(ip);
        world.process("sleep 10000");
        ends_after_one_restart(run);
    });
}

#[test]
fn a_pod_whose_containers_end_with_0_succeeds_and_so_does_run() {
    world(|world| {
        world.build("busybox", "busybox");
        let run = world.run_manifest_with(&example("pod-succeeds.yaml"), &["--logs"]);
        run.wait()
            .success()
            .printed("[default/succeeds/sum] 5050")
            .printed("container default/succeeds/sum: Terminated (Completed)")
            .printed("container default/succeeds/nap: Terminated (Completed)")
            .printed("pod default/succeeds: Succeeded")
            .printed("pod default/succeeds: deleted");
    });
}

#[test]
fn a_pod_one_of_whose_containers_fails_is_failed_and_run_ends_with_its_exit_code() {
    world(|world| {
        world.build("busybox", "busybox");
        let run = world.run_manifest_with(&example("pod-fails.yaml"), &["--logs"]);
        run.wait()
            .code(3)
            .printed("[default/fails/check] no data")
            .printed("container default/fails/check: Terminated (Error, exit code 3)")
            .printed("container default/fails/nap: Terminated (Completed)")
            .printed("pod default/fails: Failed")
            .printed("pod default/fails: deleted");
    });
}

fn welcomes(ip: Ipv4Addr) {
    let (status, page) = http_get(ip, 80, "/");
    assert!(status.ends_with("200 OK"), "{status}");
    assert!(page.contains("<title>Welcome to nginx!</title>"), "{page}");
}

/// The address was told once, and so was one restart of one container.
fn ends_after_one_restart(run: Run) {
    let ended = run.stop();
    let count = |part: &str| ended.stdout.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count(": IP "), count("(restart ")), (1, 1), "{}", ended.transcript());
}

/// Runs a program in namespaces of a process, as `nsenter` takes them.
fn inside(process: &Process, words: &[&str]) -> String {
    let output =
        Command::new("nsenter").args(["--target", &process.pid.to_string()]).args(words).output().unwrap();
    assert!(output.status.success(), "nsenter {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
