//! Keys in files: kept whole, private, readable by other wallets, and never overwritten.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use althing_keys::{AccountKey, KeyError, Keystore, NodeKeys, Work};
use althing_types::{Address, Name, keccak};
use tempfile::TempDir;

/// Two files of go-ethereum's tests (`accounts/keystore/testdata`): address, password, contents.
const PUBLISHED: [(&str, &str, &str); 2] = [
    (
        "0x7ef5a6135f1fd6a02593eedc869c6d41d934aef8",
        "foobar",
        r#"{"address":"7ef5a6135f1fd6a02593eedc869c6d41d934aef8","crypto":{"cipher":"aes-128-ctr",
        "ciphertext":"1d0839166e7a15b9c1333fc865d69858b22df26815ccf601b28219b6192974e1",
        "cipherparams":{"iv":"8df6caa7ff1b00c4e871f002cb7921ed"},"kdf":"scrypt",
        "kdfparams":{"dklen":32,"n":8,"p":16,"r":8,
        "salt":"e5e6ef3f4ea695f496b643ebd3f75c0aa58ef4070e90c80c5d3fb0241bf1595c"},
        "mac":"6d16dfde774845e4585357f24bce530528bc69f4f84e1e22880d34fa45c273e5"},
        "id":"950077c7-71e3-4c44-a4a1-143919141ed4","version":3}"#,
    ),
    (
        "0x45dea0fb0bba44f4fcf290bba71fd57d7117cbb8",
        "",
        r#"{"address":"45dea0fb0bba44f4fcf290bba71fd57d7117cbb8","crypto":{"cipher":"aes-128-ctr",
        "ciphertext":"b87781948a1befd247bff51ef4063f716cf6c2d3481163e9a8f42e1f9bb74145",
        "cipherparams":{"iv":"dc4926b48a105133d2f16b96833abf1e"},"kdf":"scrypt",
        "kdfparams":{"dklen":32,"n":2,"p":1,"r":8,
        "salt":"004244bbdc51cadda545b1cfa43cff9ed2ae88e08c61f1479dbb45410722f8f0"},
        "mac":"39990c1684557447940d4c69e06b1b82b2aceacb43f284df65c956daf3046b85"},
        "id":"ce541d8d-c79b-40f8-9f8c-20f59616faba","version":3}"#,
    ),
];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A keystore with one account, `ada`, whose password is `correct horse`.
fn with_ada() -> (TempDir, Keystore, Address) {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(folder.path().join("keys")).unwrap();
    let ada = keystore.create(&name("ada"), "correct horse", Work::DEVELOPMENT).unwrap();
    let address = ada.address();
    (folder, keystore, address)
}

fn replace(keystore: &Keystore, from: &str, to: &str) {
    let path = keystore.folder().join("ada.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    write_private(&path, &text.replacen(from, to, 1));
}

#[test]
fn files_of_another_wallet_open() {
    for (address, password, file) in PUBLISHED {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path()).unwrap();
        write_private(&folder.path().join("published.json"), file);
        let by_name = keystore.unlock("published", password).unwrap();
        let by_address = keystore.unlock(address, password).unwrap();
        assert_eq!(by_name.address().to_string(), address);
        assert_eq!(by_address.address(), by_name.address());
        assert_eq!(keystore.unlock(address, "another").unwrap_err().code(), "KEY-0001");
    }
}

#[test]
fn an_account_opens_by_name_and_by_address_with_its_password_only() {
    let (_folder, keystore, address) = with_ada();
    assert_eq!(keystore.list().unwrap(), [(name("ada"), address)]);
    assert_eq!(keystore.unlock("ada", "correct horse").unwrap().address(), address);
    assert_eq!(keystore.unlock(&address.to_string(), "correct horse").unwrap().address(), address);

    let error = keystore.unlock("ada", "correct horses").unwrap_err();
    assert_eq!(error.code(), "KEY-0001");
    let again = keystore.unlock("ada", "correct horse").unwrap();
    assert_eq!(again.address(), address, "a wrong password changes nothing");
}

#[test]
fn an_unknown_account_is_named_in_the_error() {
    let (_folder, keystore, _) = with_ada();
    for unknown in ["bob", "Not A Name", "../ada", "0x00000000000000000000000000000000000000aa"] {
        let error = keystore.unlock(unknown, "").unwrap_err();
        assert_eq!(error.code(), "KEY-0002");
        assert!(error.to_string().contains(unknown), "{error}");
    }
}

#[test]
fn a_taken_name_keeps_its_key() {
    let (_folder, keystore, address) = with_ada();
    let error = keystore.create(&name("ada"), "another", Work::DEVELOPMENT).unwrap_err();
    assert_eq!(error.code(), "KEY-0004");
    assert_eq!(keystore.unlock("ada", "correct horse").unwrap().address(), address);
}

#[test]
fn a_name_that_reads_as_an_address_is_refused() {
    let (_folder, keystore, address) = with_ada();
    let error = keystore.create(&name(&address.to_string()), "", Work::DEVELOPMENT).unwrap_err();
    assert_eq!(error.code(), "KEY-0004");
}

#[test]
fn files_are_private_and_show_neither_secret_nor_password() {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(folder.path().join("keys")).unwrap();
    let secret = keccak(&[b"known"]);
    let key = AccountKey::from_bytes(&secret.0).unwrap();
    keystore.add(&name("ada"), &key, "correct horse", Work::DEVELOPMENT).unwrap();
    let path = keystore.folder().join("ada.json");
    assert_eq!((mode(keystore.folder()), mode(&path)), (0o700, 0o600));
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains(&secret.to_string()[2..]) && !text.contains("correct horse"));
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let (_folder, keystore, _) = with_ada();
    let path = keystore.folder().join("ada.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(keystore.unlock("ada", "correct horse").unwrap_err().code(), "KEY-0005");
    assert_eq!(keystore.list().unwrap_err().code(), "KEY-0005");
}

#[test]
fn corrupt_files_are_told_from_wrong_passwords() {
    for (from, to) in [
        ("\"version\": 3", "\"version\": 4"),
        ("aes-128-ctr", "aes-256-ctr"),
        ("\"kdf\": \"scrypt\"", "\"kdf\": \"argon2\""),
        ("\"n\": 2048", "\"n\": 2047"),
        ("\"n\": 2048", "\"n\": 1"),
        // 2^60: would take all memory there is.
        ("\"n\": 2048", "\"n\": 1152921504606846976"),
        ("\"r\": 8", "\"r\": 0"),
        ("\"p\": 1", "\"p\": 4000000000"),
        ("\"dklen\": 32", "\"dklen\": 16"),
        ("\"iv\": \"", "\"iv\": \"00"),
        ("\"salt\": \"", "\"salt\": \"zz"),
        ("\"mac\": \"", "\"mac\": \"00"),
        ("\"ciphertext\": \"", "\"ciphertext\": \"00"),
        ("{", "["),
    ] {
        let (_folder, keystore, _) = with_ada();
        replace(&keystore, from, to);
        let error = keystore.unlock("ada", "correct horse").unwrap_err();
        assert_eq!(error.code(), "KEY-0003", "{from} -> {to}: {error}");
    }
}

/// The format's mac does not cover the iv: without the check another key would come out.
#[test]
fn a_changed_iv_is_found_by_the_address() {
    let (_folder, keystore, _) = with_ada();
    let text = fs::read_to_string(keystore.folder().join("ada.json")).unwrap();
    let start = text.find("\"iv\": \"").unwrap() + 7;
    let digit = &text[start..=start];
    let other = if digit == "0" { "1" } else { "0" };
    replace(&keystore, &format!("\"iv\": \"{digit}"), &format!("\"iv\": \"{other}"));
    assert_eq!(keystore.unlock("ada", "correct horse").unwrap_err().code(), "KEY-0003");
}

#[test]
fn other_files_in_the_folder_are_no_accounts() {
    let (_folder, keystore, address) = with_ada();
    fs::write(keystore.folder().join("README.md"), "not a key").unwrap();
    assert_eq!(keystore.list().unwrap(), [(name("ada"), address)]);
}

#[test]
fn an_oversized_file_is_refused() {
    let (_folder, keystore, _) = with_ada();
    write_private(&keystore.folder().join("ada.json"), &" ".repeat(1 << 20));
    assert_eq!(keystore.unlock("ada", "").unwrap_err().code(), "KEY-0003");
}

#[test]
fn a_nodes_keys_read_back_as_they_were_created() {
    let folder = tempfile::tempdir().unwrap();
    let created = NodeKeys::load_or_create(folder.path()).unwrap();
    let loaded = NodeKeys::load_or_create(folder.path()).unwrap();
    assert_eq!(created.account.address(), loaded.account.address());
    assert_eq!(*created.endpoint, *loaded.endpoint);
    assert_eq!(created.beacon.key(), loaded.beacon.key());
    assert_eq!(mode(&NodeKeys::path(folder.path())), 0o600);
}

#[test]
fn a_nodes_keys_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let created = NodeKeys::create(folder.path()).unwrap();
    assert_eq!(NodeKeys::create(folder.path()).unwrap_err().code(), "KEY-0004");
    let loaded = NodeKeys::load(folder.path()).unwrap();
    assert_eq!(created.account.address(), loaded.account.address());
}

#[test]
fn a_nodes_keys_that_others_can_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    NodeKeys::create(folder.path()).unwrap();
    let path = NodeKeys::path(folder.path());
    for open in [0o644, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = NodeKeys::load_or_create(folder.path()).unwrap_err();
        assert!(matches!(error, KeyError::Permissions { mode, .. } if mode == open));
    }
}

#[test]
fn a_damaged_node_key_is_reported_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    NodeKeys::create(folder.path()).unwrap();
    let path = NodeKeys::path(folder.path());
    let whole = fs::read_to_string(&path).unwrap();
    for damaged in [
        whole[..whole.len() / 2].to_owned(),
        String::new(),
        whole.replace("\"version\": 1", "\"version\": 2"),
        whole.replace("\"account\": \"", "\"account\": \"zz"),
        whole.replace("\"account\"", "\"acount\""),
    ] {
        write_private(&path, &damaged);
        assert_eq!(NodeKeys::load_or_create(folder.path()).unwrap_err().code(), "KEY-0003");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn an_absent_node_key_is_an_error_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(NodeKeys::load(folder.path()).unwrap_err().code(), "KEY-0006");
}

#[test]
fn every_code_has_a_page_with_its_three_sections() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for code in ["KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004", "KEY-0005", "KEY-0006"] {
        let page = fs::read_to_string(pages.join(format!("{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        for section in ["## What happened", "## Why", "## What to do"] {
            assert!(page.contains(section), "{code}: {section}");
        }
    }
}
