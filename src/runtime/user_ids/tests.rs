//! Who gets which ids, through crashes, corrupt files and a full pool.

use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The run directory of a pod that exists.
    fn pod(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("run/pods").join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn ids(&self, pool: &str) -> UserIds {
        UserIds::new(&self.directory(), pool.parse().unwrap())
    }

    fn directory(&self) -> PathBuf {
        self.dir.path().join("user-ids")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_pod_keeps_its_ids_and_no_two_pods_have_the_same() {
    let world = World::new();
    let (a, b) = (world.pod("a"), world.pod("b"));
    let ids = world.ids("65536:131072");
    assert_eq!(ids.allocate(&a).unwrap(), IdRange { first: 65_536, count: 65_536 });
    assert_eq!(ids.allocate(&b).unwrap(), IdRange { first: 131_072, count: 65_536 });
    // Another agent, or the same one after its restart.
    assert_eq!(world.ids("65536:131072").allocate(&b).unwrap().first, 131_072);
    assert_eq!(world.ids("65536:131072").allocate(&a).unwrap().first, 65_536);
}

#[test]
fn ids_that_were_released_are_given_again() {
    let world = World::new();
    let (a, b, c) = (world.pod("a"), world.pod("b"), world.pod("c"));
    let ids = world.ids("65536:131072");
    ids.release(&a).unwrap();
    ids.allocate(&a).unwrap();
    ids.allocate(&b).unwrap();
    ids.release(&a).unwrap();
    ids.release(&a).unwrap();
    assert_eq!(ids.allocate(&c).unwrap().first, 65_536);
    assert_eq!(ids.allocate(&b).unwrap().first, 131_072);
}

#[test]
fn a_full_pool_says_how_many_it_has() {
    let world = World::new();
    let ids = world.ids("131072:65536");
    ids.allocate(&world.pod("a")).unwrap();
    let error = ids.allocate(&world.pod("b")).unwrap_err();
    assert_eq!(error.to_string(), "hostUsers: false: all 1 ranges of 65536 ids from 131072 on are in use");
    // Whoever has ids keeps them.
    assert_eq!(ids.allocate(&world.pod("a")).unwrap().first, 131_072);
}

#[test]
fn ids_of_nobody_are_taken_back_and_strange_files_left_alone() {
    let world = World::new();
    let alive = world.pod("alive");
    fs::create_dir_all(world.directory()).unwrap();
    let long = format!("/{}", "x".repeat(10_000));
    let alive_text = format!("{}\n", alive.display());
    let files: [(&str, &[u8]); 7] = [
        ("65536", b"/no/such/pod\n"),
        ("131072", b""),
        ("196608", alive_text.as_bytes()),
        ("262144", b"relative/path\n"),
        ("327680", b"\xff\xfe"),
        ("393216", long.as_bytes()),
        ("note", b"x"),
    ];
    for (name, content) in files {
        fs::write(world.directory().join(name), content).unwrap();
    }
    let ids = world.ids("65536:6553600");
    assert_eq!(ids.allocate(&world.pod("new")).unwrap().first, 65_536);
    assert_eq!(world.files(), ["196608", "65536", "note"]);
    assert_eq!(ids.allocate(&alive).unwrap().first, 196_608);
}

#[test]
fn pools_that_overlap_never_give_the_same_id_twice() {
    let world = World::new();
    fs::create_dir_all(world.directory()).unwrap();
    // Of an agent with another idea of where ranges begin.
    let other = world.pod("other");
    fs::write(world.directory().join("100000"), format!("{}\n", other.display())).unwrap();
    let ids = world.ids("65536:262144");
    assert_eq!(ids.allocate(&world.pod("a")).unwrap().first, 196_608);
    assert_eq!(
        world.ids("131072:131072").allocate(&world.pod("b")).unwrap_err().to_string().split(':').count(),
        3
    );
}

#[test]
fn agents_that_share_nothing_else_share_the_hosts_ids() {
    let world = World::new();
    let firsts: Vec<u32> = std::thread::scope(|scope| {
        let agents: Vec<_> = (0..8)
            .map(|n| {
                let (ids, pod) = (world.ids("65536:524288"), world.pod(&format!("agent{n}")));
                scope.spawn(move || ids.allocate(&pod).unwrap().first)
            })
            .collect();
        agents.into_iter().map(|agent| agent.join().unwrap()).collect()
    });
    let mut sorted = firsts.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 8, "{firsts:?}");
}

#[test]
fn a_kernel_that_cannot_do_it_is_told_what_it_lacks() {
    let judge = |has, limit, release| judge_kernel(has, limit, release).map_err(|error| error.to_string());
    for release in ["5.19.0\n", "6.1.0-28-amd64\n", "6.18.44-fc\n", "10.0\n"] {
        assert_eq!(judge(true, "96365\n", release), Ok(()), "{release}");
    }
    let too_old =
        "hostUsers: false needs overlayfs on idmapped layers, Linux 5.19 or later; this is 5.15.0-91";
    assert_eq!(judge(true, "1\n", "5.15.0-91\n").unwrap_err(), too_old);
    let disabled = "hostUsers: false needs user namespaces: the sysctl user.max_user_namespaces is 0";
    assert_eq!(judge(true, "0\n", "6.1.0\n").unwrap_err(), disabled);
    let without = "hostUsers: false needs user namespaces: this kernel is built without CONFIG_USER_NS";
    assert_eq!(judge(false, "", "6.1.0\n").unwrap_err(), without);
}
