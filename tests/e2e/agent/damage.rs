//! Files of the state that are damaged while no agent lives: the next one sets aside what it cannot trust, runs its pods, and serves its API.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::world::{World, http_get, until, world_in_memory};

/// What happens to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 8] = [
    ("emptied", Vec::clear),
    ("cut to a half", |bytes| bytes.truncate(bytes.len() / 2)),
    ("cut by a byte", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
    ("a bit of its first byte flipped", |bytes| flip(bytes, |_| 0)),
    ("a bit in its middle flipped", |bytes| flip(bytes, |length| length / 2)),
    ("a bit of its last byte but one flipped", |bytes| flip(bytes, |length| length.saturating_sub(2))),
    ("zeros", |bytes| bytes.fill(0)),
    ("bytes that are no text", |bytes| bytes.fill(0xff)),
];

fn flip(bytes: &mut [u8], which: fn(usize) -> usize) {
    let at = which(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 4;
    }
}

/// Every file that an agent keeps, for a world with one pod.
fn files(world: &World) -> Vec<PathBuf> {
    let uid = &world.pod_uids()[0];
    let (root, run) = (world.root_dir(), world.run_dir());
    let of_pod = ["journal", "probes.json", "conditions.json", "owner.lock"];
    let mut files: Vec<PathBuf> = of_pod.iter().map(|name| run.join("pods").join(uid).join(name)).collect();
    files.push(root.join("pods").join(uid).join("pod.json"));
    files.extend(["agent.lock", "boot_id"].map(|name| run.join(name)));
    files.extend(fs::read_dir(run.join("ipam")).unwrap().map(|entry| entry.unwrap().path()));
    files.extend(["objects.redb", "revisions.json"].map(|name| root.join("store").join(name)));
    files.push(root.join("images/index.json"));
    files
}

#[test]
fn no_damaged_file_keeps_an_agent_from_its_pods() {
    world_in_memory(|world| {
        world.import(&world.path("image"), "damaged");
        let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1});
        let container = world.container("a", &["term=0", "serve=80", "wait"]).image("damaged");
        let container = container.with("readinessProbe", probe.clone()).with("startupProbe", probe);
        world.manifests().put(&world.pod("hurt", [container]));
        let mut agent = world.agent();
        agent.expect("pod default/hurt: Running");
        let names: Vec<String> = {
            until("all files to be there", || files(world).iter().all(|file| file.exists()).then_some(()));
            files(world).iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        for (index, name) in names.iter().enumerate() {
            for (damage, damaged) in DAMAGES {
                let whole = until(&format!("{name} to be there again"), || {
                    // An address has another name when it was given anew.
                    let path = files(world).into_iter().nth(index)?;
                    Some((fs::read(&path).ok()?, path))
                });
                agent.kill();
                let (mut bytes, path) = whole;
                println!("{}, {damage}", path.display());
                damaged(&mut bytes);
                fs::write(&path, &bytes).unwrap();
                agent = world.agent();
                agent.expect("pod default/hurt: Running");
                let ready = || world.container_status("a").filter(|status| status["ready"] == true);
                until(&format!("the pod to be ready, {name}: {damage}"), ready);
                let ip = agent.ip("hurt");
                assert_eq!(http_get(ip, 80, "/").1, "a", "{name}: {damage}");
                assert_eq!(world.pod_uids().len(), 1, "{name}: {damage}");
                if name == "index.json" {
                    // Somebody has looked at it, and imports again.
                    drop(fs::remove_file(world.root_dir().join("images/index.json.bad")));
                    world.import(&world.path("image"), "damaged");
                }
            }
        }
        agent.clear(world);
    });
}
