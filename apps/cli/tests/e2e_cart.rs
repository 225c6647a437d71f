//! The second main job, with real processes: nothing is shipped or mailed twice, whatever crashes.

use std::path::{Path, PathBuf};

use althing_demo::cart::{self, Plot};
use althing_demo::stage::Stage;

#[test]
fn a_shop_ships_every_paid_cart_once_whatever_is_repeated_late_or_killed() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let stage = Stage {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
        repository,
        folder: folder.path().join("cart"),
    };
    let plot = Plot { stage, carts: 500, payment_within: "PT90S".to_owned() };
    let report = cart::tell(&plot, &mut |line| println!("{line}")).unwrap();
    let text = report.text();
    assert!(report.holds(), "{text}");
}
