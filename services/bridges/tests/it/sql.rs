//! Databases: SQLite, and a PostgreSQL server that the test starts.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::node::{Bridge, Inbox, wait_for};

fn used(bridge: &Bridge, inbox: &Inbox, query: &str, parameters: &Value) {
    let row = json!({ "customer": "ada", "total": 25 });
    let insert = json!({ "table": "orders", "row": row });
    let (code, first) = bridge.task("insert", "k1", insert.clone());
    assert_eq!((code, &first["status"]), (200, &json!("ok")), "{first}");
    assert_eq!(bridge.task("insert", "k1", insert.clone()).1, first, "a key inserts once");

    let (_, found) = bridge.task("query", "q1", json!({ "sql": query, "parameters": parameters }));
    assert_eq!(found["output"]["rows"], json!([{ "customer": "ada", "total": 25 }]), "{found}");
    for bad in ["DELETE FROM orders", "SELECT FROM WHERE"] {
        let (_, refused) = bridge.task("query", &format!("bad {bad}"), json!({ "sql": bad }));
        assert_eq!(refused["status"], "rejected", "{bad}: {refused}");
    }
    let foreign = json!({ "table": "secrets", "row": row });
    assert_eq!(bridge.task("insert", "k2", foreign).1["status"], "rejected");
    let sneaky = json!({ "table": "orders", "row": { "total) VALUES (1); --": 1 } });
    assert_eq!(bridge.task("insert", "k3", sneaky).1["status"], "rejected");

    let verify = json!({ "key": "k1", "input": insert, "status": "ok", "output": first["output"] });
    assert_eq!(bridge.post("althing.verify", "insert", &verify).1["valid"], json!(true));
    let mut forged = verify.clone();
    forged["output"]["key"] = json!("never");
    let (_, judged) = bridge.post("althing.verify", "insert", &forged);
    assert_eq!(judged["valid"], json!(false));
    // Another row that is there and unchanged is no answer to this input.
    for (at, wrong) in [("/input/row/customer", json!("eve")), ("/output/id", json!(77))] {
        let mut lie = verify.clone();
        *lie.pointer_mut(at).unwrap() = wrong;
        let (_, judged) = bridge.post("althing.verify", "insert", &lie);
        assert_eq!(judged["valid"], json!(false), "{at}");
    }

    let events = inbox.wait(1);
    assert_eq!(
        (&events[0]["type"], &events[0]["data"]["row"]["customer"]),
        (&json!("row"), &json!("ada"))
    );
}

#[test]
fn sqlite_inserts_once_queries_watches_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let file = folder.path().join("shop.db");
    let config = json!({
        "url": format!("sqlite:{}", file.display()),
        "create": "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, total INTEGER)",
        "tables": ["orders"], "watch": ["orders"],
    });
    let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
    let query = "SELECT customer, total FROM orders WHERE customer = ?1";
    used(&bridge, &inbox, query, &json!(["ada"]));
}

#[test]
fn no_query_of_a_stranger_changes_the_connection_leaves_the_file_or_holds_it_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({
        "url": format!("sqlite:{}", folder.path().join("shop.db").display()),
        "create": "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT)",
        "tables": ["orders"],
    });
    let other = folder.path().join("other.db");
    std::fs::write(&other, "").unwrap();
    let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
    let ask = |key: &str, sql: &str| bridge.task("query", key, json!({ "sql": sql })).1;
    let statements = [
        "BEGIN".to_owned(),
        "SAVEPOINT s".to_owned(),
        format!("ATTACH DATABASE '{}' AS other", other.display()),
        format!("ATTACH DATABASE '{}' AS made", folder.path().join("made.db").display()),
        format!("VACUUM INTO '{}'", folder.path().join("made.db").display()),
        "PRAGMA synchronous = OFF".to_owned(),
        "SELECT zeroblob(900000000)".to_owned(),
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
            .to_owned(),
    ];
    for statement in &statements {
        let said = ask(statement, statement);
        assert_eq!(said["status"], "rejected", "{statement}: {said}");
    }
    assert!(!folder.path().join("made.db").exists());
    assert_eq!(ask("p", "PRAGMA synchronous")["status"], "ok");
    let row = json!({ "table": "orders", "row": { "customer": "ada" } });
    let (code, answer) = bridge.task("insert", "i", row);
    assert_eq!((code, &answer["status"]), (200, &json!("ok")), "{answer}");
    assert_eq!(
        ask("q", "SELECT customer FROM orders")["output"]["rows"],
        json!([{ "customer": "ada" }])
    );
}

#[test]
fn postgresql_inserts_once_queries_watches_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(folder.path());
    let inbox = Inbox::open(0);
    let config = json!({
        "url": server.url(),
        "create": "CREATE TABLE IF NOT EXISTS orders (id SERIAL PRIMARY KEY, customer TEXT, total INTEGER)",
        "tables": ["orders"], "watch": ["orders"],
    });
    let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
    let query =
        "SELECT customer, total FROM orders WHERE customer = (SELECT p->>0 FROM parameters)";
    used(&bridge, &inbox, query, &json!(["ada"]));
    // The server goes away, and the node is to try again.
    drop(server);
    let row = json!({ "table": "orders", "row": { "customer": "bob", "total": 1 } });
    assert_eq!(bridge.task("insert", "k9", row).0, 503);
}

struct Postgres {
    child: Child,
    folder: PathBuf,
}

impl Postgres {
    fn start(folder: &Path) -> Self {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let programs = programs();
        let data = folder.join("postgres");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The server refuses to be root.
        let user = id("-u");
        let nobody = (user == 0).then(|| (id_of("nobody", "-u"), id_of("nobody", "-g")));
        if let Some((user, group)) = nobody {
            chown(&data, Some(user), Some(group)).unwrap();
        }
        let run = |name: &str| {
            let mut command = Command::new(programs.join(name));
            if let Some((user, group)) = nobody {
                command.uid(user).gid(group);
            }
            command.current_dir(&data).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = run("initdb")
            .args(["--auth=trust", "--username=althing", "--no-sync", "-D"])
            .arg(data.join("data"))
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let child = run("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(&data)
            .arg("-D")
            .arg(data.join("data"))
            .spawn()
            .unwrap();
        wait_for(|| data.join(".s.PGSQL.5432").exists().then_some(()));
        wait_for(|| {
            let ready = run("pg_isready").arg("-h").arg(&data).status().unwrap();
            ready.success().then_some(())
        });
        Self { child, folder: data }
    }

    fn url(&self) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://althing@{host}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("ALTHING_POSTGRES") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("initdb").is_file())
        .expect("PostgreSQL is not installed: run `cargo xtask peers`")
}

fn id(which: &str) -> u32 {
    let output = Command::new("id").arg(which).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn id_of(name: &str, which: &str) -> u32 {
    let output = Command::new("id").args([which, name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
