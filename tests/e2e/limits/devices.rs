//! Which devices a container may make and open.

use serde_json::json;

use crate::world::world;

#[test]
fn a_device_file_can_be_made_and_only_an_allowed_one_opened() {
    world(|world| {
        let files = [
            ("c:1:5", "/tmp/zero", None),
            ("c:1:11", "/tmp/kmsg", Some("EPERM")),
            ("c:1:11", "/dev/kmsg", Some("EPERM")),
            ("c:10:200", "/dev/tun", Some("EPERM")),
            ("b:8:0", "/tmp/disk", Some("EPERM")),
        ];
        let make = |(device, path, _): &(&str, &str, _)| format!("mknod={device}:{path}");
        let steps = files.iter().flat_map(|file| [make(file), format!("read={}", file.1)]);
        let steps: Vec<String> = steps.collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let container = world.container("a", &steps).security(json!({"capabilities": {"add": ["MKNOD"]}}));
        world.run(&world.pod("devices", [container]).restart_policy("Never")).wait().success();
        for file in files {
            world.answer("a", &make(&file)).unwrap();
            let read = world.answer("a", &format!("read={}", file.1));
            assert_eq!(read.err().as_deref(), file.2, "{}", file.1);
        }
    });
}

#[test]
fn without_mknod_no_device_file_can_be_made_and_none_of_the_image_opened() {
    world(|world| {
        let device = world.path("image/zero");
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        nix::sys::stat::mknod(&device, kind, mode, nix::sys::stat::makedev(1, 5)).unwrap();
        let container = world.container("a", &["mknod=c:1:5:/tmp/zero", "read=/zero"]);
        world.run(&world.pod("devices", [container]).restart_policy("Never")).wait().success();
        assert_eq!(world.answer("a", "mknod=c:1:5:/tmp/zero"), Err("EPERM".into()));
        assert_eq!(world.answer("a", "read=/zero"), Err("EACCES".into()));
    });
}
