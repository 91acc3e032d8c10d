//! What is thrown away, and what stays.

use super::super::Pruned;
use super::super::collect::Kept;
use super::*;

fn names(pruned: &Pruned) -> Vec<&str> {
    pruned.images.iter().map(|image| image.reference.as_str()).collect()
}

#[test]
fn what_no_pod_needs_goes_and_a_dry_run_says_the_same_and_removes_nothing() {
    if !is_root("what_no_pod_needs_goes_and_a_dry_run_says_the_same_and_removes_nothing") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let large = Tar::new().file("large", &"x".repeat(1 << 20)).finish();
    store.import(&node.layout("a", &[hello(), large]), "a").unwrap();
    store.import(&node.layout("b", &[hello()]), "b").unwrap();
    node.pod("u1", "web", "b");
    fs::write(node.path("images/ingest/left"), "x").unwrap();
    assert_eq!(node.content(), [6, 2, 1]);

    let dry = store.prune(false, true).unwrap();
    assert_eq!((names(&dry), dry.blobs, dry.layers), (vec![], 0, 0));
    assert_eq!(node.content(), [6, 2, 1]);
    assert_eq!(store.prune(false, false).unwrap(), dry);
    assert_eq!(node.content(), [6, 2, 0]);

    let dry = store.prune(true, true).unwrap();
    assert_eq!((names(&dry), dry.blobs, dry.layers), (vec!["docker.io/library/a:latest"], 3, 1));
    assert!(dry.freed >= 1 << 20, "{}", dry.freed);
    assert_eq!(node.content(), [6, 2, 0]);
    assert_eq!(store.prune(true, false).unwrap(), dry);
    assert_eq!(node.content(), [3, 1, 0]);
    assert_eq!(text(&store.resolve("b").unwrap(), "etc/hello"), "hello");
}

#[test]
fn an_image_whose_name_has_moved_on_goes_when_its_last_pod_has() {
    if !is_root("an_image_whose_name_has_moved_on_goes_when_its_last_pod_has") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    node.pod("u1", "web", "a");
    store.import(&node.layout("old", &[hello()]), "a").unwrap();
    store.import(&node.layout("new", &[Tar::new().dir("./").finish()]), "a").unwrap();
    assert_eq!(names(&store.prune(true, false).unwrap()), Vec::<&str>::new());
    fs::remove_dir_all(node.path("pods")).unwrap();
    let pruned = store.prune(false, false).unwrap();
    assert_eq!((names(&pruned), pruned.images[0].replaced), (vec!["docker.io/library/a:latest"], true));
    assert_eq!(node.content(), [3, 1, 0]);
}

#[test]
fn nothing_goes_while_names_are_lost() {
    if !is_root("nothing_goes_while_names_are_lost") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    store.import(&node.layout("a", &[hello()]), "a").unwrap();
    fs::write(node.path("images/index.json.bad"), "{").unwrap();
    for dry_run in [true, false] {
        let error = store.prune(true, dry_run).unwrap_err().to_string();
        assert!(error.contains("index.json.bad"), "{error}");
        assert_eq!(node.content(), [3, 1, 0]);
    }
}

#[test]
fn the_last_use_of_an_image_is_remembered_and_what_a_pod_needs_is_not_collected() {
    if !is_root("the_last_use_of_an_image_is_remembered_and_what_a_pod_needs_is_not_collected") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let kept = |store: &Store, named: &[String]| {
        let all = store.kept(named).unwrap();
        let text = |kept: &Kept| format!("{} {} {}", kept.names.join("+"), kept.in_use, kept.is_pinned);
        (all.iter().map(text).collect::<Vec<_>>(), all)
    };
    let source = format!("oci:{}", node.layout("a", &[hello()]).display());
    store.resolve(&source).unwrap();
    let (told, all) = kept(&store, &[]);
    assert_eq!(told, [format!("{source} false false")]);
    let (image, used) = (&all[0].image, all[0].last_used);

    // Nobody used it for an hour, whoever looks: then a container starts from it, and then a pod names it.
    let blob = node.path("images/blobs/sha256").join(image.strip_prefix("sha256:").unwrap());
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let age = || fs::File::open(&blob).unwrap().set_modified(old).unwrap();
    age();
    for store in [&store, &node.store()] {
        let seconds = used.duration_since(kept(store, &[]).1[0].last_used).as_secs();
        assert!((3500..=3700).contains(&seconds), "{seconds}");
    }
    store.resolve(&source).unwrap();
    assert!(kept(&store, &[]).1[0].last_used >= used);
    age();
    node.pod("u1", "web", &source);
    let (told, all) = kept(&store, &[]);
    assert_eq!(told, [format!("{source} true false")]);
    assert!(all[0].last_used >= used);
    assert_eq!(store.collect(image, &[]).unwrap(), None);
    fs::remove_dir_all(node.path("pods")).unwrap();
    // A pod that is wanted, and has no record yet.
    assert_eq!(kept(&store, std::slice::from_ref(&source)).0, [format!("{source} true false")]);
    assert_eq!(store.collect(image, std::slice::from_ref(&source)).unwrap(), None);
    assert_eq!(node.content(), [3, 1, 0]);
    assert!(store.collect(image, &[]).unwrap().is_some_and(|freed| freed > 0));
    assert_eq!(node.content(), [0, 0, 0]);
    assert_eq!(store.collect(image, &[]).unwrap(), None);
}

#[test]
fn an_image_with_two_names_is_needed_when_one_is_and_pinned_when_it_was_imported() {
    if !is_root("an_image_with_two_names_is_needed_when_one_is_and_pinned_when_it_was_imported") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let layout = node.layout("a", &[hello()]);
    store.import(&layout, "one:1").unwrap();
    store.import(&layout, "two:1").unwrap();
    node.pod("u1", "web", "two:1");
    let all = store.kept(&[]).unwrap();
    let names = ["docker.io/library/one:1", "docker.io/library/two:1"];
    assert_eq!((all.len(), &all[0].names[..]), (1, &names.map(str::to_owned)[..]));
    assert!(all[0].in_use && all[0].is_pinned);
    assert_eq!(store.collect(&all[0].image, &[]).unwrap(), None);
    assert_eq!(store.list().unwrap().len(), 2);
}
