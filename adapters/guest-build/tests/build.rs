//! Guests are built from source, and only the sources decide the bytes.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &target);
            }
        } else if !entry.file_type().unwrap().is_symlink() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The examples and the SDK in a folder of their own.
fn sources_in(folder: &Path) -> PathBuf {
    copy(&repository().join("examples"), &folder.join("examples"));
    copy(&repository().join("sdk/rust"), &folder.join("sdk/rust"));
    folder.join("examples/invoice")
}

#[test]
fn two_folders_give_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = althing_guests::build(&repository().join("examples/invoice")).unwrap();
    for folder in [one.path(), other.path().join("a longer path/somewhere").as_path()] {
        let there = althing_guests::build(&sources_in(folder)).unwrap();
        assert!(here == there, "{} gives other bytes", folder.display());
        let text = String::from_utf8_lossy(&there);
        assert!(!text.contains(folder.to_str().unwrap()), "the module names its folder");
        assert!(!text.contains("/home/") && !text.contains(env!("CARGO_MANIFEST_DIR")));
    }
}

#[test]
fn a_crate_that_does_not_build_says_what_the_compiler_said() {
    let folder = tempfile::tempdir().unwrap();
    let guest = sources_in(folder.path());
    fs::write(guest.join("src/lib.rs"), "fn broken( {").unwrap();
    let error = althing_guests::build(&guest).unwrap_err();
    assert!(format!("{error:#}").contains("unclosed delimiter"), "{error:#}");
}

#[test]
fn a_module_without_a_world_is_no_service() {
    let error = althing_guests::componentize(b"\0asm\x01\0\0\0").unwrap_err();
    assert!(format!("{error:#}").contains("althing_sdk::service!"), "{error:#}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = althing_guests::build(Path::new("no/such/guest")).unwrap_err();
    assert!(error.to_string().contains("no/such/guest"), "{error:#}");
}
