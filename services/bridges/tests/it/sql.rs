//! Databases: SQLite, and a PostgreSQL server that the test starts.

use serde_json::{Value, json};

use crate::node::{Bridge, Inbox};
use crate::postgres::{Certified, Postgres};
use crate::way::Way;

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
    let server = Postgres::start(folder.path(), None);
    let inbox = Inbox::open(0);
    let config = json!({
        "url": server.url(),
        "create": ORDERS,
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

const ORDERS: &str =
    "CREATE TABLE IF NOT EXISTS orders (id SERIAL PRIMARY KEY, customer TEXT, total INTEGER)";

#[test]
fn postgresql_is_spoken_with_as_safely_as_its_address_asks() {
    let folder = tempfile::tempdir().unwrap();
    let good = Certified::new("localhost");
    let server = Postgres::start(folder.path(), Some(&good));
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &good.authority).unwrap();
    let trusted = format!("sslmode=verify-full&sslrootcert={}", roots.display());
    let inbox = Inbox::open(0);

    let of_this = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let modes =
        [("sslmode=disable", false), ("", true), ("sslmode=require", true), (&*trusted, true)];
    for (mode, encrypted) in modes {
        let url = format!("{}?{mode}", server.address("localhost"));
        let config = json!({ "url": url, "create": ORDERS, "tables": ["orders"] });
        let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
        let (_, said) = bridge.task("query", &format!("how {mode}"), json!({ "sql": of_this }));
        assert_eq!(said["output"]["rows"], json!([{ "ssl": encrypted }]), "{mode}: {said}");
    }

    let foreign = folder.path().join("foreign.pem");
    std::fs::write(&foreign, Certified::new("localhost").authority).unwrap();
    let refusals = [
        // Authorities that browsers trust have not signed it, nor has another one; or it is not its name.
        ("localhost", "sslmode=verify-full".to_owned()),
        ("localhost", format!("sslmode=verify-full&sslrootcert={}", foreign.display())),
        ("127.0.0.1", trusted),
    ];
    for (host, mode) in refusals {
        let url = format!("{}?{mode}", server.address(host));
        let config = json!({ "url": url, "tables": ["orders"] });
        let said = Bridge::refused("sql", folder.path(), &config, &inbox);
        assert!(said.contains("SQL-0002"), "{host} {mode}: {said}");
    }
}

#[test]
fn a_postgresql_without_tls_is_refused_where_tls_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(folder.path(), None);
    let inbox = Inbox::open(0);
    let url = |mode: &str| format!("{}?sslmode={mode}", server.address("localhost"));
    for mode in ["require", "verify-full"] {
        let config = json!({ "url": url(mode), "tables": ["orders"] });
        let said = Bridge::refused("sql", folder.path(), &config, &inbox);
        assert!(said.contains("SQL-0001"), "{mode}: {said}");
    }
    let config = json!({ "url": url("prefer"), "create": ORDERS, "tables": ["orders"] });
    let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
    let row = json!({ "table": "orders", "row": { "customer": "ada" } });
    assert_eq!(bridge.task("insert", "k", row).0, 200, "it does without where it may");
}

#[test]
fn a_connection_that_fell_silent_is_left_and_the_row_is_inserted_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(folder.path(), None);
    let way = Way::open(server.port);
    let inbox = Inbox::open(0);
    let url = format!("postgres://althing@127.0.0.1:{}/postgres", way.port);
    let config = json!({ "url": url, "create": ORDERS, "tables": ["orders"] });
    let bridge = Bridge::start("sql", folder.path(), &config, &inbox, false);
    let row = |name: &str| json!({ "table": "orders", "row": { "customer": name } });
    assert_eq!(bridge.task("insert", "k1", row("ada")).0, 200);

    way.fall_silent();
    let (code, said) = bridge.task("insert", "k2", row("bob"));
    assert_eq!(code, 503, "the node is to ask again: {said}");
    assert_eq!(bridge.task("insert", "k2", row("bob")).0, 200);
    let names = json!({ "sql": "SELECT customer FROM orders ORDER BY id" });
    let (_, found) = bridge.task("query", "q", names);
    let expected = json!([{ "customer": "ada" }, { "customer": "bob" }]);
    assert_eq!(found["output"]["rows"], expected, "{found}");
}
