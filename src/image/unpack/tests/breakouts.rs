//! The cases of containerd's `TestBreakouts` (pkg/archive/tar_test.go), by their names: what becomes of each here.
//!
//! What containerd puts into the directory beforehand is a lower layer here. The verdict is containerd's but where a row says why not.

use super::*;

/// What becomes of an archive.
enum Verdict {
    /// It is refused, with an error that says this.
    Refused(&'static str),
    /// It becomes these, and nothing else.
    Becomes(Vec<(String, String)>),
    /// Likewise, and two of them are one file.
    Links([&'static str; 2], Vec<(String, String)>),
}

struct Case {
    name: &'static str,
    lower: Option<Tar>,
    archive: Tar,
    verdict: Verdict,
}

fn case(name: &'static str, archive: Tar, verdict: Verdict) -> Case {
    Case { name, lower: None, archive, verdict }
}

fn on(name: &'static str, lower: Tar, archive: Tar, verdict: Verdict) -> Case {
    Case { lower: Some(lower), ..case(name, archive, verdict) }
}

/// An entry each: `etc/`, `etc/passwd = text`, `localetc -> /target`.
fn entries(all: &[&str]) -> Vec<(String, String)> {
    let one = |entry: &&str| {
        let (name, text) = match (entry.strip_suffix('/'), entry.split_once(" = "), entry.split_once(' ')) {
            (_, Some(file), _) => file,
            (_, None, Some(link)) => link,
            (Some(directory), ..) => (directory, "directory"),
            _ => panic!("{entry}"),
        };
        (name.to_owned(), text.to_owned())
    };
    all.iter().map(one).collect()
}

fn becomes(all: &[&str]) -> Verdict {
    Verdict::Becomes(entries(all))
}

fn links(same: [&'static str; 2], all: &[&str]) -> Verdict {
    Verdict::Links(same, entries(all))
}

fn etc() -> Tar {
    Tar::new().entry("etc", EntryType::Directory, "", b"", 0o770)
}

fn passwd() -> Tar {
    etc().file("/etc/passwd", "inside")
}

fn symlinks() -> Vec<Case> {
    vec![
        case(
            "SymlinkAbsolute",
            etc().symlink("localetc", "/etc").file("/localetc/unbroken", "unbroken"),
            becomes(&["etc/", "localetc -> /etc", "etc/unbroken = unbroken"]),
        ),
        case(
            "SymlinkUpAndOut",
            etc().dir("dummy").symlink("localetc", "/dummy/../etc").file("/localetc/unbroken", "unbroken"),
            becomes(&["etc/", "dummy/", "localetc -> /dummy/../etc", "etc/unbroken = unbroken"]),
        ),
        case(
            "SymlinkMultipleAbsolute",
            etc()
                .dir("dummy")
                .symlink("/dummy/etc", "/etc")
                .symlink("localetc", "/dummy/etc")
                .file("/dummy/etc/unbroken", "unbroken"),
            becomes(&[
                "etc/",
                "dummy/",
                "dummy/etc -> /etc",
                "localetc -> /dummy/etc",
                "etc/unbroken = unbroken",
            ]),
        ),
        case(
            "SymlinkMultipleRelative",
            etc()
                .dir("dummy")
                .symlink("/dummy/etc", "/etc")
                .symlink("localetc", "./dummy/etc")
                .file("/dummy/etc/unbroken", "unbroken"),
            becomes(&[
                "etc/",
                "dummy/",
                "dummy/etc -> /etc",
                "localetc -> ./dummy/etc",
                "etc/unbroken = unbroken",
            ]),
        ),
        case(
            "SymlinkEmptyFile",
            etc().file("etc/emptied", "notempty").symlink("localetc", "/etc").file("/localetc/emptied", ""),
            becomes(&["etc/", "localetc -> /etc", "etc/emptied = "]),
        ),
        // The three that follow: a name with `..`, or without any, is no name of an image.
        case(
            "SymlinkParentDirectory",
            passwd().symlink("..", "/etc/").link("localpasswd", "/etc/passwd"),
            Verdict::Refused("'..' in its name"),
        ),
        case(
            "SymlinkEmptyFilename",
            passwd().symlink("", "/etc/").link("localpasswd", "/etc/passwd"),
            Verdict::Refused("it stands for the layer's root, and is not a directory"),
        ),
        case(
            "SymlinkParentRelative",
            passwd().symlink("localetc/sub/..", "/etc/").link("/localetc/localpasswd", "/etc/passwd"),
            Verdict::Refused("'..' in its name"),
        ),
        case(
            "SymlinkSlashEnded",
            passwd().dir("localetc/").link("/localetc/localpasswd", "/etc/passwd"),
            links(
                ["localetc/localpasswd", "etc/passwd"],
                &["etc/", "etc/passwd = inside", "localetc/", "localetc/localpasswd = inside"],
            ),
        ),
        on(
            "SymlinkOverrideDirectory",
            passwd().dir("localetc"),
            Tar::new().symlink("localetc", "/etc").link("/localetc/localpasswd", "/etc/passwd"),
            links(
                ["etc/localpasswd", "etc/passwd"],
                &["localetc -> /etc", "etc/", "etc/passwd = inside", "etc/localpasswd = inside"],
            ),
        ),
        on(
            "SymlinkOverrideDirectoryRelative",
            passwd().dir("localetc"),
            Tar::new().symlink("localetc", "../../etc").link("/localetc/localpasswd", "/etc/passwd"),
            links(
                ["etc/localpasswd", "etc/passwd"],
                &["localetc -> ../../etc", "etc/", "etc/passwd = inside", "etc/localpasswd = inside"],
            ),
        ),
        case(
            "SymlinkOverridePath",
            Tar::new()
                .dir("foo")
                .dir("foo/tmp")
                .file("foo/tmp/breakout", "012")
                .symlink("foo", "/")
                .file("foo/tmp/breakout", "345")
                .dir("foo")
                .dir("foo/tmp")
                .file("foo/tmp/breakout", "678"),
            becomes(&["foo/", "foo/tmp/", "foo/tmp/breakout = 678", "tmp/", "tmp/breakout = 345"]),
        ),
    ]
}

fn directories() -> Vec<Case> {
    vec![
        on(
            "DirectoryOverrideSymlink",
            passwd().symlink("localetc", "/etc"),
            Tar::new().dir("/localetc/").link("/localetc/localpasswd", "/etc/passwd"),
            links(
                ["localetc/localpasswd", "etc/passwd"],
                &["localetc/", "localetc/localpasswd = inside", "etc/", "etc/passwd = inside"],
            ),
        ),
        on(
            "DirectoryOverrideSymlinkAndHardlink",
            passwd().symlink("localetc", "etc").link("/localetc/localpasswd", "/etc/passwd"),
            Tar::new().dir("/localetc/").file("/localetc/localpasswd", "different"),
            becomes(&["localetc/", "localetc/localpasswd = different"]),
        ),
    ]
}

fn hard_links(outside: &str) -> Vec<Case> {
    let local = |target: &str, archive: Tar| {
        let mut all = entries(&["etc/", "etc/passwd = inside", "localpasswd = inside"]);
        all.push(("localetc".to_owned(), format!("-> {target}")));
        (archive, Verdict::Links(["localpasswd", "etc/passwd"], all))
    };
    let through = |name: &'static str, target: &str| {
        let archive = passwd().symlink("localetc", target).link("localpasswd", "/localetc/passwd");
        let (archive, verdict) = local(target, archive);
        case(name, archive, verdict)
    };
    let below = |name: &'static str, archive: Tar, target: &str, more: &[&str]| {
        let mut all = entries(&["etc/", "etc/passwd = inside", "breakouts/", "breakouts/mypasswd = inside"]);
        all.push(("breakouts/d1".to_owned(), format!("-> {target}")));
        all.extend(entries(more));
        let archive =
            archive.symlink("breakouts/d1", target).link("breakouts/mypasswd", "/breakouts/d1/passwd");
        case(name, archive, Verdict::Links(["breakouts/mypasswd", "etc/passwd"], all))
    };
    let symlinked = |name: &'static str, target: &str| {
        let mut all = entries(&["etc/", "etc/passwd = inside"]);
        all.extend(["passwdlink", "localpasswd"].map(|name| (name.to_owned(), format!("-> {target}"))));
        let archive = passwd().symlink("passwdlink", target).link("localpasswd", "/passwdlink");
        case(name, archive, Verdict::Links(["localpasswd", "passwdlink"], all))
    };
    let direct =
        links(["localpasswd", "etc/passwd"], &["etc/", "etc/passwd = inside", "localpasswd = inside"]);
    // A directory on the way that is missing is made, as for any entry.
    let mut up_and_out = through("HardlinkRelativeUpAndOut", "upandout/../../../etc");
    if let Verdict::Links(_, all) = &mut up_and_out.verdict {
        all.extend(entries(&["upandout/"]));
    }
    vec![
        below("HardlinkRelative", passwd().dir("breakouts"), "../../etc", &[]),
        below(
            "HardlinkDownAndOut",
            passwd().dir("breakouts").dir("downandout"),
            "../downandout/../../etc",
            &["downandout/"],
        ),
        through("HardlinkAbsolute", "/etc"),
        through("HardlinkRelativeLong", "../../../../../../../etc"),
        up_and_out,
        // `..` in a name, here the target's, is no name of an image.
        case(
            "HardlinkDirectRelative",
            passwd().link("localpasswd", "../../../../../etc/passwd"),
            Verdict::Refused("'..' in its name"),
        ),
        case("HardlinkDirectAbsolute", passwd().link("localpasswd", "/etc/passwd"), direct),
        case(
            "HardlinkSymlinkBeforeCreateTarget",
            etc()
                .symlink("localpasswd", "/etc/passwd")
                .link("localpasswd-dup", "localpasswd")
                .file("/etc/passwd", "after"),
            links(
                ["localpasswd", "localpasswd-dup"],
                &[
                    "etc/",
                    "etc/passwd = after",
                    "localpasswd -> /etc/passwd",
                    "localpasswd-dup -> /etc/passwd",
                ],
            ),
        ),
        symlinked("HardlinkSymlinkRelative", "../../../../../etc/passwd"),
        symlinked("HardlinkSymlinkAbsolute", "/etc/passwd"),
        // The names are of files outside, which stay as they are; inside they are made.
        case(
            "HardlinkSymlinkChmod",
            Tar::new()
                .symlink(&format!("{outside}/other"), &format!("{outside}/canary"))
                .link("sketchylink", &format!("{outside}/other")),
            {
                let target = format!("-> {outside}/canary");
                let all = tree_of(outside, &[("sketchylink", &target)], "other", &target);
                Verdict::Becomes(
                    all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
                )
            },
        ),
    ]
}

fn whiteouts() -> Vec<Case> {
    let of_no_name = |name, entry| {
        on(name, passwd(), Tar::new().file(entry, ""), Verdict::Refused("a whiteout of no name"))
    };
    vec![
        of_no_name("WhiteoutRootParent", ".wh..."),
        of_no_name("WhiteoutParent", "etc/.wh..."),
        of_no_name("WhiteoutRoot", ".wh.."),
        of_no_name("WhiteoutCurrentDirectory", "etc/.wh.."),
        on(
            "WhiteoutSymlink",
            passwd().symlink("localetc", "/etc"),
            Tar::new().file(".wh.localetc", ""),
            becomes(&["localetc = whiteout"]),
        ),
        on(
            "WhiteoutSymlinkPath",
            passwd().file("etc/whitedout", "").symlink("localetc", "/etc"),
            Tar::new().file("localetc/.wh.whitedout", ""),
            becomes(&["etc/", "etc/whitedout = whiteout"]),
        ),
        on(
            "WhiteoutDirectoryName",
            passwd().file("etc/whitedout", "").symlink("localetc", "/etc"),
            Tar::new().file(".wh.etc/somefile", "non-empty"),
            becomes(&[".wh.etc/", ".wh.etc/somefile = non-empty"]),
        ),
        // Hides nothing. The directory on the way is made, as for any entry.
        on(
            "WhiteoutDeadSymlinkParent",
            passwd().symlink("localetc", "/dne"),
            Tar::new().file("localetc/.wh.etc", ""),
            becomes(&["dne/"]),
        ),
        // A name with `..` is no name of an image.
        on(
            "WhiteoutRelativePath",
            passwd().symlink("localetc", "/dne"),
            Tar::new().file("dne/../.wh.etc", ""),
            Verdict::Refused("'..' in its name"),
        ),
    ]
}

#[test]
fn no_archive_of_containerds_tests_breaks_out() {
    if !is_root("no_archive_of_containerds_tests_breaks_out") {
        return;
    }
    let mut count = 0;
    for part in [symlinks, directories, whiteouts] {
        count += part().into_iter().map(|case| play(Layers::new(), case)).count();
    }
    for number in 0.. {
        // Its files outside are named in the archives.
        let layers = Layers::new();
        let Some(case) = hard_links(&layers.outside()).into_iter().nth(number) else { break };
        play(layers, case);
        count += 1;
    }
    assert_eq!(count, 34);
}

/// That nothing outside changes is checked by each [`Layers::add`].
fn play(mut layers: Layers, case: Case) {
    let Case { name, lower, archive, verdict } = case;
    println!("{name}");
    if let Some(lower) = lower {
        layers.add(lower).unwrap();
    }
    match (layers.add(archive), verdict) {
        (Err(error), Verdict::Refused(reason)) => assert!(line(&error).contains(reason), "{name}: {error:?}"),
        (Ok(path), Verdict::Becomes(all)) => assert_eq!(tree(&path), all.into_iter().collect(), "{name}"),
        (Ok(path), Verdict::Links(same, all)) => {
            assert_eq!(tree(&path), all.into_iter().collect(), "{name}");
            let [one, other] = same.map(|name| path.join(name).symlink_metadata().unwrap().ino());
            assert_eq!(one, other, "{name}: {same:?}");
        }
        (result, _) => panic!("{name}: {result:?}"),
    }
}
