//! The main job, with real processes: what `cargo xtask demo` tells, asserted.

use std::path::{Path, PathBuf};

use althing_demo::story::{self, Stage};

#[test]
fn strangers_compute_others_check_and_liars_are_caught() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
        service: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/invoice"),
        folder: folder.path().join("demo"),
        invoices: 200,
    };
    let report = story::tell(&stage, &mut |line| println!("{line}")).unwrap();
    println!("{}", report.text());
    assert!(report.holds());
}
