//! What is thrown away, and what stays.

use super::super::Pruned;
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
