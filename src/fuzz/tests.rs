//! The corpus as ordinary tests: what was found once stays found.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::*;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names(path: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_can_be_fuzzed_and_has_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(folder("fuzz_targets")), targets);
    assert_eq!(names(folder("corpus")), targets);
}

/// Names the file that a failure is about, then lets it fail.
fn replay(name: &str) {
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(folder("corpus").join(name)).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "a corpus of {} is none", inputs.len());
    for input in inputs {
        println!("{}", input.display());
        run(name, &fs::read(&input).unwrap());
    }
}

macro_rules! replayed {
    ($($test:ident: $target:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            replay($target);
        })+
    };
}

replayed! {
    any_archive_is_read_in_bounds_and_alike_however_it_is_skipped: "archive",
    any_image_is_refused_or_checked_and_never_steers_the_runtime: "image",
    any_journal_is_understood_up_to_a_line_or_set_aside: "journal",
    any_layer_changes_nothing_outside_of_its_directory: "layer",
    any_log_yields_bounded_lines_however_it_is_cut: "log",
    any_manifest_is_pods_with_safe_names_or_problems_of_one_line: "manifest",
    any_object_in_protobuf_is_refused_or_one_in_proportion_to_its_bytes: "protobuf",
    any_stream_is_the_same_frames_however_it_is_cut: "protocol",
    any_quantity_is_exact_or_refused: "quantity",
    any_image_name_is_normal_or_refused: "reference",
    any_seccomp_profile_is_a_program_that_ends_or_refused: "seccomp",
    any_client_of_spdy_is_understood_alike_however_it_is_cut_and_left_in_the_end: "spdy",
    any_user_is_one_identity_and_root_only_when_it_is_literally_asked_for: "user",
}
