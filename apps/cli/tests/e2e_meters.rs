//! The third main job, with real processes: five meters, one truth.

use std::path::{Path, PathBuf};

use althing_demo::meters::{self, Plot};
use althing_demo::stage::Stage;

#[test]
fn meters_that_jitter_agree_on_one_event_a_session_and_the_drifting_one_pays() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let stage = Stage {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
        repository,
        folder: folder.path().join("meters"),
    };
    let report =
        meters::tell(&Plot { stage, sessions: 1000 }, &mut |line| println!("{line}")).unwrap();
    let text = report.text();
    assert!(report.holds(), "{text}");
}
