//! Several who change a store at the same time, and what one leaves who was killed.

use super::*;

#[test]
fn two_imports_at_the_same_time_both_count() {
    if !is_root("two_imports_at_the_same_time_both_count") {
        return;
    }
    let node = Node::new();
    let sources: Vec<PathBuf> = (0..4)
        .map(|n| {
            let own = Tar::new().dir("./").file("own", &n.to_string()).finish();
            node.layout(&format!("l{n}"), &[hello(), own])
        })
        .collect();
    std::thread::scope(|scope| {
        for (n, source) in sources.iter().enumerate() {
            // A store each: the lock is the file's, as between processes.
            let node = &node;
            scope.spawn(move || node.store().import(source, &format!("app:{n}")).unwrap());
            scope.spawn(move || node.store().resolve(&format!("oci:{}", source.display())).unwrap());
        }
    });
    assert_eq!(node.store().list().unwrap().len(), 8);
    assert_eq!(node.content(), [1 + 4 * 3, 5, 0]);
    for n in 0..4 {
        let image = node.store().resolve(&format!("app:{n}")).unwrap();
        assert_eq!(text(&image, "own"), n.to_string());
    }
}

#[test]
fn a_layer_that_is_being_unpacked_holds_nobody_up_but_those_who_want_it() {
    if !is_root("a_layer_that_is_being_unpacked_holds_nobody_up_but_those_who_want_it") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    store.import(&node.layout("there", &[hello()]), "there").unwrap();
    let large = Tar::new().dir("./").file("large", "large").finish();
    let chain_id = Digest::of(
        &[Digest::of(&hello()).to_string(), Digest::of(&large).to_string()].join(" ").into_bytes(),
    );
    let lock = node.path("images/unpacking").join(format!("{}.lock", chain_id.hex()));
    // As another process has it that unpacks it.
    let unpacking = super::super::durable::lock(&lock).unwrap();
    let source = node.layout("large", &[hello(), large]);
    std::thread::scope(|scope| {
        let wanted = scope.spawn(|| node.store().import(&source, "large").unwrap());
        let other = node.layout("other", &[hello(), Tar::new().dir("./").file("other", "").finish()]);
        for _ in 0..3 {
            assert_eq!(text(&store.resolve("there").unwrap(), "etc/hello"), "hello");
            store.import(&other, "other").unwrap();
            store.resolve(&format!("oci:{}", other.display())).unwrap();
            store.remove("other").unwrap();
            store.remove(&format!("oci:{}", other.display())).unwrap();
        }
        assert!(!wanted.is_finished());
        assert_eq!(store.list().unwrap().len(), 1);
        drop(unpacking);
        wanted.join().unwrap();
    });
    assert_eq!(text(&store.resolve("large").unwrap(), "large"), "large");
    assert_eq!(node.content(), [3 + 3, 2, 0]);
    assert_eq!(fs::read_dir(node.path("images/unpacking")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(node.path("images/downloads")).unwrap().count(), 0);
}

#[test]
fn an_import_that_was_killed_leaves_no_half_a_layer_in_use() {
    if !is_root("an_import_that_was_killed_leaves_no_half_a_layer_in_use") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    // As after a kill at its worst: half a layer, half a blob, half an index.
    let half = node.path("images/unpacking").join(Digest::of(&hello()).hex());
    fs::create_dir_all(half.join("etc")).unwrap();
    fs::write(half.join("etc/half"), "").unwrap();
    fs::write(node.path("images/ingest/blob"), "half").unwrap();
    fs::write(node.path("images/ingest/index.json"), "{").unwrap();
    assert_eq!(store.list().unwrap(), []);

    store.import(&node.layout("a", &[hello()]), "a").unwrap();
    let image = store.resolve("a").unwrap();
    assert!(!image.layers[0].join("etc/half").exists());
    assert_eq!(node.content(), [3, 1, 0]);

    // A layer that somebody removed comes back out of its blob.
    fs::remove_dir_all(&image.layers[0]).unwrap();
    assert_eq!(text(&store.resolve("a").unwrap(), "etc/hello"), "hello");
}
