//! USER as images and manifests write it, against the databases of an image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

/// Puts something where /etc/passwd should be.
type Make = fn(&Path);

const PASSWD_TEXT: &str = "\
# a comment: and: 1: 2
root:x:0:0:root:/root:/bin/sh
nginx:x:101:102:nginx,,,:/var/cache/nginx:/sbin/nologin
nginx:x:0:0:a second one:/:/bin/sh
1000:x:0:0:a number for a name:/evil:/bin/sh
app:x:1000:1000::/home/app:/bin/sh
toor:x:0:7:another root:/toor:/bin/sh
wrapped:x:4294967296:0::/:/bin/sh
minus:x:-1:0::/:/bin/sh
empty:x::0::/:/bin/sh
badgroup:x:1001:many::/:/bin/sh
homeless:x:1002:1002
short:x:1
_apt:x:42:65534::relative:/bin/sh
";

const GROUP_TEXT: &str = "\
root:x:0:
www:x:33:app,nginx
adm:x:4:someone,nginx,else
nginxes:x:5:nginx2,xnginx
102:x:0:
again:x:33:nginx
overflow:x:4294967296:homeless
";

fn container(passwd: Option<&str>, group: Option<&str>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    for (file, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        if let Some(text) = text {
            fs::write(root.path().join(file), text).unwrap();
        }
    }
    root
}

fn image(user: &str) -> UserRequest {
    UserRequest { image_user: user.to_owned(), ..UserRequest::default() }
}

/// `uid gid groups home`, or the error.
fn verdict(root: &TempDir, request: &UserRequest) -> String {
    match resolve(&Root::open(root.path()).unwrap(), request) {
        Ok(Identity { uid, gid, groups, home }) => {
            format!("{uid} {gid} {groups:?} {}", home.unwrap_or_else(|| "-".to_owned()))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_user_of_an_image_is_looked_up_in_the_containers_files() {
    let root = container(Some(PASSWD_TEXT), Some(GROUP_TEXT));
    for (user, expected) in [
        ("", "0 0 [0] /root"),
        ("0", "0 0 [0] /root"),
        ("00", "0 0 [0] /root"),
        ("root", "0 0 [0] /root"),
        ("nginx", "101 102 [102, 33, 4] /var/cache/nginx"),
        ("101", "101 102 [102, 33, 4] /var/cache/nginx"),
        ("nginx:www", "101 33 [33, 4] /var/cache/nginx"),
        ("nginx:7", "101 7 [7, 33, 4] /var/cache/nginx"),
        ("1000", "1000 1000 [1000, 33] /home/app"),
        ("1000:1000", "1000 1000 [1000, 33] /home/app"),
        ("1000:www", "1000 33 [33] /home/app"),
        ("5000", "5000 0 [0] -"),
        ("5000:6000", "5000 6000 [6000] -"),
        ("5000:102", "5000 102 [102] -"),
        ("2147483647:2147483647", "2147483647 2147483647 [2147483647] -"),
        ("_apt", "42 65534 [65534] -"),
    ] {
        assert_eq!(verdict(&root, &image(user)), expected, "{user:?}");
    }
}

#[test]
fn what_is_no_user_is_an_error_that_says_why() {
    let root = container(Some(PASSWD_TEXT), Some(GROUP_TEXT));
    for user in [
        "-1", "+1", "0x0", " 1", "1 ", "1:", ":1", ":", "a:b:c", "1:2:3", "1000:-1", "1.5", "1e3", "a b",
        "ä", "a\0", "a\n", "1a",
    ] {
        assert_eq!(verdict(&root, &image(user)), format!("invalid user {user:?}"), "{user:?}");
    }
    for (user, expected) in [
        ("2147483648", "uid 2147483648 is not between 0 and 2147483647"),
        ("4294967295", "uid 4294967295 is not between 0 and 2147483647"),
        ("4294967296", "uid 4294967296 is not between 0 and 2147483647"),
        ("99999999999999999999999", "uid 99999999999999999999999 is not between 0 and 2147483647"),
        ("0:4294967296", "gid 4294967296 is not between 0 and 2147483647"),
        ("nobody", "user \"nobody\" is not in the container's /etc/passwd"),
        ("short", "user \"short\" is not in the container's /etc/passwd"),
        ("nginx:nobody", "group \"nobody\" is not in the container's /etc/group"),
        ("wrapped", "uid 4294967296 is not between 0 and 2147483647"),
        ("minus", "uid of \"minus\" is not a number in the container's /etc/passwd"),
        ("empty", "uid of \"empty\" is not a number in the container's /etc/passwd"),
        ("badgroup", "gid of \"badgroup\" is not a number in the container's /etc/passwd"),
        ("homeless", "gid 4294967296 is not between 0 and 2147483647"),
    ] {
        assert_eq!(verdict(&root, &image(user)), expected, "{user:?}");
    }
}

#[test]
fn the_pods_word_wins_over_the_images() {
    let root = container(Some(PASSWD_TEXT), Some(GROUP_TEXT));
    let ask = |user: &str, uid, gid, groups: &[u32]| UserRequest {
        uid,
        gid,
        supplemental_groups: groups.to_vec(),
        ..image(user)
    };
    for (request, expected) in [
        (ask("nginx:www", Some(1000), None, &[]), "1000 1000 [1000, 33] /home/app"),
        (ask("-1", Some(5000), None, &[]), "5000 0 [0] -"),
        (ask("nginx:www", None, Some(9), &[]), "101 9 [9, 33, 4] /var/cache/nginx"),
        (ask("nginx:nobody", None, Some(9), &[]), "101 9 [9, 33, 4] /var/cache/nginx"),
        (ask("", None, None, &[7, 8, 7, 0]), "0 0 [0, 7, 8] /root"),
        (
            UserRequest { strict_groups: true, ..ask("nginx:www", None, Some(9), &[5]) },
            "101 9 [9, 5] /var/cache/nginx",
        ),
        (UserRequest { strict_groups: true, ..image("nginx:www") }, "101 33 [33] /var/cache/nginx"),
        (ask("", Some(u32::MAX), None, &[]), "uid 4294967295 is not between 0 and 2147483647"),
        (ask("", None, Some(u32::MAX), &[]), "gid 4294967295 is not between 0 and 2147483647"),
        (ask("", None, None, &[u32::MAX]), "gid 4294967295 is not between 0 and 2147483647"),
    ] {
        assert_eq!(verdict(&root, &request), expected, "{request:?}");
    }
}

#[test]
fn non_root_refuses_root_and_whoever_might_be_root() {
    let root = container(Some(PASSWD_TEXT), Some(GROUP_TEXT));
    let by_image = "container has runAsNonRoot and image will run as root";
    let by_name = |name: &str| {
        format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )
    };
    for (user, uid, expected) in [
        ("", None, by_image.to_owned()),
        ("0", None, by_image.to_owned()),
        ("00", None, by_image.to_owned()),
        ("0:1000", None, by_image.to_owned()),
        ("root", None, by_name("root")),
        ("toor", None, by_name("toor")),
        ("nginx", None, by_name("nginx")),
        ("nginx:www", None, by_name("nginx")),
        ("1000", Some(0), "container's runAsUser breaks non-root policy".to_owned()),
        ("1000", None, "1000 1000 [1000, 33] /home/app".to_owned()),
        ("root", Some(1000), "1000 1000 [1000, 33] /home/app".to_owned()),
        ("4294967296", None, "uid 4294967296 is not between 0 and 2147483647".to_owned()),
        ("-1", None, "invalid user \"-1\"".to_owned()),
    ] {
        let request = UserRequest { uid, non_root: true, ..image(user) };
        assert_eq!(verdict(&root, &request), expected, "{user:?} {uid:?}");
    }
}

#[test]
fn missing_files_matter_to_names_alone() {
    let root = container(None, None);
    assert_eq!(verdict(&root, &image("")), "0 0 [0] -");
    assert_eq!(verdict(&root, &image("1000:1000")), "1000 1000 [1000] -");
    assert_eq!(verdict(&root, &image("nginx")), "user \"nginx\" is not in the container's /etc/passwd");
    assert_eq!(verdict(&root, &image("1:www")), "group \"www\" is not in the container's /etc/group");
}

#[test]
fn hostile_files_are_an_error_at_once() {
    let started = Instant::now();
    let cases: [(&str, Make); 8] = [
        ("the container's /etc/passwd is not a regular file", |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("the container's /etc/passwd is not a regular file", |path| fs::create_dir(path).unwrap()),
        ("the container's /etc/passwd is not a regular file", |path| {
            std::os::unix::net::UnixListener::bind(path).unwrap();
        }),
        ("open the container's /etc/passwd", |path| symlink("passwd", path).unwrap()),
        ("the container's /etc/passwd is longer than 1 MiB", |path| {
            fs::File::create(path).unwrap().set_len(5 << 30).unwrap();
        }),
        ("the container's /etc/passwd is longer than 1 MiB", |path| {
            fs::write(path, "a:x:1:1\n".repeat(1 << 20)).unwrap()
        }),
        ("1000 0 [0] -", |path| fs::write(path, vec![0xff; 1 << 20]).unwrap()),
        ("1000 0 [0] -", |path| fs::write(path, vec![b':'; 1 << 20]).unwrap()),
    ];
    for (expected, make) in cases {
        let root = container(None, None);
        make(&root.path().join("etc/passwd"));
        assert_eq!(verdict(&root, &image("1000")), expected);
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_link_never_leads_out_of_the_container() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("passwd"), "app:x:1:1::/host:/bin/sh\n").unwrap();
    let root = container(None, None);
    symlink(outside.path().join("passwd"), root.path().join("etc/passwd")).unwrap();
    assert_eq!(verdict(&root, &image("1")), "1 0 [0] -");
    fs::write(root.path().join("real"), "app:x:1:1::/inside:/bin/sh\n").unwrap();
    fs::remove_file(root.path().join("etc/passwd")).unwrap();
    symlink("/real", root.path().join("etc/passwd")).unwrap();
    assert_eq!(verdict(&root, &image("1")), "1 1 [1] /inside");
}

#[test]
fn more_groups_than_the_kernel_takes_are_an_error() {
    let groups: String = (0..70_000).map(|gid| format!("g::{gid}:a\n")).collect();
    let root = container(Some("a:x:1:1\n"), Some(&groups));
    assert_eq!(verdict(&root, &image("1")), "user is in more than 65536 groups");
}
