//! An application from its first file to its end: `app`, `event`, `run`, `explain`, `service connect`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::program::Program;
use crate::stage::{Stage, text, until};

const SHOP: &str = "acme/shop@0.1.0";
const APP: &str = "acme/orders@0.1.0";
/// What nobody has.
const NOTHING: &str = "0xabababababababababababababababababababababababababababababababab";

/// The folder that `app new` makes, on a network whose node offers the service in it.
struct Orders {
    stage: Stage,
    folder: PathBuf,
    program: Program,
    /// Whether the program answers with what its service does not declare.
    broken: Arc<AtomicBool>,
}

impl Orders {
    fn new() -> Self {
        let stage = Stage::new();
        let folder = stage.place("orders");
        let broken = Arc::new(AtomicBool::new(false));
        let is_broken = Arc::clone(&broken);
        let program = Program::start(move |posted| {
            let order = posted.body["data"]["input"]["order"].clone();
            let output = if is_broken.load(Ordering::SeqCst) {
                json!({ "sold": true })
            } else {
                json!({ "order": order })
            };
            (200, json!({ "status": "ok", "output": output }))
        });
        Self { stage, folder, program, broken }
    }

    fn path(&self) -> &str {
        text(&self.folder)
    }

    /// Publishes, offers and connects the service of the folder.
    fn connect(&self) -> Value {
        let service = self.folder.join("services/shop");
        let offer = ["service", "offer", SHOP, "--stake", "100", "--term", "30d", "--dev-nodes"];
        self.stage.run(&["service", "publish", text(&service)]);
        self.stage.run(&offer);
        self.stage.run(&["service", "connect", SHOP, "--url", &self.program.url])
    }

    /// Posts an event and waits until it counts; gives its key.
    fn event(&self, event: &str, id: &str, order: &str) -> String {
        let data = json!({ "order": order, "email": "ada@example.org" });
        let data = if event == "order_paid" { json!({ "order": order }) } else { data };
        let emit = ["event", "emit", SHOP, event, &data.to_string(), "--id", id, "--wait", "60s"];
        let told = self.stage.run(&emit);
        assert_eq!(told["occurrence"]["state"], "valid", "{told}");
        assert_eq!(told["observed"]["duplicate"], false, "{told}");
        told["observed"]["event"].as_str().unwrap().to_owned()
    }

    /// The run that an event started, as soon as it has this status.
    fn run(&self, event: &str, status: &str) -> Value {
        until(&format!("a run of {event} that is {status}"), || {
            let runs = self.stage.run(&["run", "list", "--app", APP]);
            let runs = runs.as_array().unwrap();
            runs.iter().find(|run| run["event"] == event && run["status"] == status).cloned()
        })
    }
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[test]
fn an_application_lives_from_its_first_file_to_its_removal() {
    let orders = Orders::new();
    let application = made_and_deployed(&orders);
    events_start_runs(&orders);
    a_paused_application_starts_none(&orders);
    runs_are_repeated_and_cancelled(&orders);
    a_run_is_begun_anew(&orders);
    many_runs_are_repeated_no_faster_than_asked_and_each_once(&orders);
    the_next_version_says_what_it_changes(&orders);
    its_owner_alone_has_its_money(&orders, &application);
    removed(&orders, &application);
    orders.stage.stop();
}

/// `app new`, `check`, `deploy`, `list`, `show` and `service connect`; gives the application's id.
fn made_and_deployed(orders: &Orders) -> String {
    let (stage, path) = (&orders.stage, orders.path());
    let made = stage.run(&["app", "new", path]);
    assert_eq!(made["application"], "orders");
    stage.fails(&["app", "new", path], "CLI-0023");

    stage.fails(&["app", "check", path], "APP-0014");
    stage.fails(&["app", "deploy", path, "--namespace", "acme"], "APP-0014");
    stage.fails(&["service", "connect", SHOP, "--url", "http://127.0.0.1:1"], "API-0004");
    let connection = orders.connect();
    assert!(connection["secret"].as_str().unwrap().starts_with("whsec_"));
    stage.fails(&["service", "connect", SHOP, "--url", "ftp://x"], "PRG-0001");
    stage.fails(&["service", "connect", SHOP, "--url", "http://x", "--dev-node", "7"], "CLI-0022");

    let here = stage.run(&["app", "check", "--offline", path]);
    let checked = stage.run(&["app", "check", path]);
    assert_eq!(checked["application"], "orders@0.1.0");
    assert_eq!(checked["document"], here["document"], "a node and a folder tell the same services");

    let deploy = ["app", "deploy", path, "--namespace", "acme", "--deposit"];
    stage.fails(&[&deploy[..], &["9999999"]].concat(), "LED-0001");
    let deployed = stage.run(&[&deploy[..], &["20"]].concat());
    assert_eq!((&deployed["application"], &deployed["replaces"]), (&APP.into(), &Value::Null));
    assert!(deployed["transaction"].is_object());
    let again = stage.run(&[&deploy[..], &["20"]].concat());
    assert_eq!((&again["id"], &again["transaction"]), (&deployed["id"], &Value::Null));

    let listed = stage.run(&["app", "list", "--mine"]);
    assert_eq!(
        (listed[0]["id"].clone(), listed.as_array().unwrap().len()),
        (again["id"].clone(), 1)
    );
    assert!(stage.told(&["app", "list"]).0.contains(APP));
    let shown = stage.run(&["app", "show", APP]);
    assert_eq!((&shown["state"], &shown["deposit"]), (&"active".into(), &"20".into()));
    let told = stage.told(&["app", "show", APP]).0;
    for part in
        ["order_placed of acme/shop@0.1.0", "mark of acme/shop@0.1.0", "marked.ok", "for 7d"]
    {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    stage.fails(&["app", "show", "acme/none@1.0.0"], "API-0004");
    id(&deployed).to_owned()
}

/// `app deploy` beside the version before.
fn the_next_version_says_what_it_changes(orders: &Orders) {
    let stage = &orders.stage;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.yaml");
    let text =
        std::fs::read_to_string(std::path::Path::new(orders.path()).join("app.yaml")).unwrap();
    let next = text.replace("version: 0.1.0", "version: 0.2.0");
    let next = next.replacen(
        "- id: marked\n",
        "- id: marked\n    nodes: { labels: { region: north } }\n",
        1,
    );
    assert_eq!(next.lines().count(), text.lines().count() + 1, "{next}");
    std::fs::write(&file, next).unwrap();
    let told = stage.told(&["app", "deploy", file.to_str().unwrap(), "--namespace", "acme"]).0;
    for part in [
        "what changes against acme/orders@0.1.0",
        "was  trusted: one node is believed; ",
        "is   trusted: one node is believed, chosen by labels; ",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    assert_eq!(told.matches("was  ").count(), 1, "one step has changed\n{told}");
    stage.run(&["app", "remove", "acme/orders@0.2.0"]);
}

/// `event emit`, `list`, `show`; `run list`, `show`, `follow`; `explain`.
fn events_start_runs(orders: &Orders) {
    let stage = &orders.stage;
    let placed = orders.event("order_placed", "placed-1", "o-1");
    let data = r#"{"order": "o-1", "email": "ada@example.org"}"#;
    let again = stage.run(&["event", "emit", SHOP, "order_placed", data, "--id", "placed-1"]);
    assert_eq!(
        (&again["observed"]["event"], &again["observed"]["duplicate"]),
        (&placed.as_str().into(), &true.into())
    );
    stage.fails(&["event", "emit", SHOP, "order_placed", r#"{"order": 7}"#], "MAN-0034");
    stage.fails(&["event", "emit", SHOP, "order_lost", "{}"], "API-0004");
    stage.fails(
        &["event", "emit", SHOP, "order_paid", r#"{"order":"o"}"#, "--token", "x"],
        "API-0014",
    );

    let listed = stage.run(&["event", "list", "--service", SHOP, "--event", "order_placed"]);
    assert_eq!((&listed[0]["key"], listed.as_array().unwrap().len()), (&placed.as_str().into(), 1));
    assert!(
        stage.told(&["event", "list", "--state", "valid"]).0.contains("order_placed of acme/shop")
    );
    assert_eq!(stage.run(&["event", "show", &placed])["state"], "valid");
    assert!(stage.told(&["event", "show", &placed]).0.contains("agrees"));
    stage.fails(&["event", "show", NOTHING], "API-0004");
    stage.fails(&["event", "list", "--state", "lost"], "CLI-0013");

    let run = orders.run(&placed, "waiting");
    let (picture, _) = stage.told(&["run", "show", id(&run)]);
    for part in
        ["✓ marked", "└─ ◷ thanks", "├─ · closed", "waits for order_paid of acme/shop@0.1.0"]
    {
        assert!(picture.contains(part), "{part:?} is not in\n{picture}");
    }
    assert_eq!(stage.run(&["run", "show", id(&run)])["branches"][0]["status"], "waiting");
    stage.fails(&["run", "show", NOTHING], "API-0004");
    assert!(stage.told(&["run", "list", "--status", "waiting"]).0.contains(id(&run)));
    stage.fails(&["run", "list", "--app", "acme/none@1.0.0"], "API-0004");
    let told = stage.told(&["explain", id(&run)]).0;
    assert!(told.contains("thanks waits for order_paid of acme/shop@0.1.0"), "{told}");
    let told = stage.told(&["explain", &placed]).0;
    assert!(told.contains("is valid: its service trusts one emitter"), "{told}");
    stage.fails(&["explain", NOTHING], "API-0004");

    stage.fails(&["run", "follow", id(&run), "--timeout", "1ms"], "CLI-0036");
    let following = stage.spawn(&["run", "follow", id(&run)]);
    orders.event("order_paid", "paid-1", "o-1");
    let ended = following.finish();
    assert_eq!((&ended["id"], &ended["status"]), (&run["id"], &"done".into()));
    let marks: Vec<Value> = orders
        .program
        .posted()
        .iter()
        .map(|it| it.body["data"]["input"]["status"].clone())
        .collect();
    assert_eq!(marks, ["placed", "paid", "closed"]);
}

/// `app pause` and `--resume`.
fn a_paused_application_starts_none(orders: &Orders) {
    let stage = &orders.stage;
    stage.run(&["app", "pause", APP]);
    assert_eq!(stage.run(&["app", "show", APP])["state"], "paused");
    let unheard = orders.event("order_placed", "placed-2", "o-2");
    stage.run(&["app", "pause", APP, "--resume"]);
    let heard = orders.event("order_placed", "placed-3", "o-3");
    orders.run(&heard, "waiting");
    // The later event's run is there, so the earlier event has none.
    let runs = stage.run(&["run", "list", "--app", APP]);
    assert!(runs.as_array().unwrap().iter().all(|run| run["event"] != unheard.as_str()), "{runs}");
    stage.fails(&["app", "pause", "acme/none@1.0.0"], "API-0004");
}

/// `run retry` and `cancel`.
fn runs_are_repeated_and_cancelled(orders: &Orders) {
    let stage = &orders.stage;
    orders.broken.store(true, Ordering::SeqCst);
    let event = orders.event("order_placed", "placed-4", "o-4");
    let failed = orders.run(&event, "failed");
    assert!(stage.told(&["run", "show", id(&failed)]).0.contains("✗ marked"));
    let told = stage.told(&["explain", id(&failed)]).0;
    for part in
        ["the service returned what it does not declare", "`althing run retry` repeats the step"]
    {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    stage.fails(&["run", "retry", id(&failed), "--step", "packed"], "CLI-0030");
    stage.fails(&["run", "retry", id(&failed), "--step", "thanks"], "LED-0061");
    orders.broken.store(false, Ordering::SeqCst);
    stage.run(&["run", "retry", id(&failed)]);
    let repeated = orders.run(&event, "waiting");
    assert_eq!((&repeated["id"], &repeated["steps"][0]["attempts"]), (&failed["id"], &2.into()));
    stage.fails(&["run", "retry", id(&failed)], "CLI-0031");

    stage.run(&["run", "cancel", id(&failed)]);
    let cancelled = stage.run(&["run", "follow", id(&failed)]);
    assert_eq!(cancelled["status"], "cancelled");
    stage.fails(&["run", "cancel", id(&failed)], "LED-0060");
    stepped_through(stage, &cancelled);
}

/// `run retry --from-start`: another run, which does everything again.
fn a_run_is_begun_anew(orders: &Orders) {
    let stage = &orders.stage;
    let event = orders.event("order_placed", "placed-5", "o-5");
    let first = orders.run(&event, "waiting");
    let marks = || {
        orders
            .program
            .posted()
            .iter()
            .filter(|it| it.body["data"]["input"]["order"] == "o-5")
            .count()
    };
    assert_eq!(marks(), 1);
    let conflict = ["run", "retry", id(&first), "--from-start", "--step", "thanks"];
    assert_eq!(stage.error(&conflict)["code"], "CLI-0013");
    stage.run(&["run", "retry", id(&first), "--from-start"]);
    let second = orders.run(&event, "waiting");
    assert_ne!(first["id"], second["id"]);
    assert_eq!(stage.run(&["run", "show", id(&first)])["status"], "cancelled");
    assert_eq!(marks(), 2, "what was done outside is done again");
    stage.fails(&["run", "retry", id(&first), "--from-start"], "LED-0060");
    let history = stage.run(&["run", "history", id(&second)]);
    assert_eq!(history["agrees"], true, "{history}");
    stage.run(&["run", "cancel", id(&second)]);
}

/// `run history` and `run show --at`: the run as it was after each of its blocks.
fn stepped_through(stage: &Stage, run: &Value) {
    let history = stage.run(&["run", "history", id(run)]);
    assert_eq!(history["agrees"], true, "{history}");
    let moments = history["moments"].as_array().unwrap();
    let changes = |step: &str| -> Vec<(u64, Value)> {
        let of = |moment: &Value| {
            let height = moment["height"].as_u64().unwrap();
            let changes = moment["changes"].as_array().unwrap().clone();
            changes.into_iter().map(move |change| (height, change)).collect::<Vec<_>>()
        };
        moments.iter().flat_map(of).filter(|(_, change)| change["step"] == step).collect()
    };
    let at = |height: u64| {
        let run = stage.run(&["run", "show", id(run), "--at", &height.to_string()]);
        (run["status"].as_str().unwrap().to_owned(), run["steps"][0]["phase"].clone())
    };
    let began = changes("began");
    let (started, failed) = (changes("started")[0].0, changes("failed")[0].0);
    assert_eq!(at(started), ("running".to_owned(), "working".into()));
    assert_eq!(at(failed), ("failed".to_owned(), "ended".into()));
    // It was repeated, and came to wait; then it was cancelled.
    let repeated = began.iter().find(|(height, _)| *height > failed).unwrap().0;
    assert_eq!(at(repeated).0, "running");
    let waiting = changes("waiting").last().unwrap().0;
    assert_eq!(at(waiting).0, "waiting");
    assert_eq!(at(changes("ended")[0].0).0, "cancelled");
    let shown = stage.run(&["run", "show", id(run)]);
    let last = changes("ended")[0].0.to_string();
    let played = stage.run(&["run", "show", id(run), "--at", &last]);
    assert_eq!(played["branches"], shown["branches"], "the same at its end");
    stage.fails(&["run", "show", id(run), "--at", "1"], "API-0004");
    stage.fails(&["run", "history", NOTHING], "API-0004");
    assert!(stage.told(&["run", "history", id(run)]).0.contains("as the ledger has it"));
}

/// `run retry --app`: in two goes, as one that was ended and begun again.
fn many_runs_are_repeated_no_faster_than_asked_and_each_once(orders: &Orders) {
    const COUNT: usize = 9;
    let stage = &orders.stage;
    orders.broken.store(true, Ordering::SeqCst);
    let id = |number: usize| format!("many-{number}");
    let events: Vec<String> = (0..COUNT)
        .map(|number| orders.event("order_placed", &id(number), &format!("many-o-{number}")))
        .collect();
    for event in &events {
        orders.run(event, "failed");
    }
    let retry = ["run", "retry", "--app", APP];
    stage.fails(&[&retry[..], &["--status", "done"]].concat(), "CLI-0042");
    stage.fails(&[&retry[..], &["--rate", "fast"]].concat(), "CLI-0013");
    let would = stage.run(&[&retry[..], &["--dry-run"]].concat());
    assert_eq!((&would["asked"], &would["repeated"]), (&COUNT.into(), &0.into()), "{would}");
    let other = stage.run(&[&retry[..], &["--step", "thanks"]].concat());
    assert_eq!((&other["repeated"], &other["nothing"]), (&0.into(), &COUNT.into()), "{other}");

    orders.broken.store(false, Ordering::SeqCst);
    let attempts = |event: &String| orders.run(event, "waiting")["steps"][0]["attempts"].clone();
    // Two at once, the third after a second.
    let first = stage.run(&[&retry[..], &["--rate", "2/s", "--limit", "3"]].concat());
    assert_eq!((&first["repeated"], &first["more"]), (&3.into(), &true.into()), "{first}");
    assert!(first["took_ms"].as_u64().unwrap() >= 1_000, "{first}");
    let rest = stage.run(&[&retry[..], &["--rate", "50/s"]].concat());
    assert_eq!((&rest["repeated"], &rest["refused"]), (&(COUNT - 3).into(), &json!({})), "{rest}");
    for event in &events {
        assert_eq!(attempts(event), 2, "each is repeated once");
    }
    let again = stage.run(&[&retry[..], &["--rate", "50/s"]].concat());
    assert_eq!((&again["runs"], &again["repeated"]), (&0.into(), &0.into()), "{again}");
    let runs = stage.run(&["run", "list", "--app", APP, "--status", "waiting"]);
    for run in runs.as_array().unwrap().iter().filter(|run| events.contains(&text_of(run))) {
        stage.run(&["run", "cancel", run["id"].as_str().unwrap()]);
    }
}

fn text_of(run: &Value) -> String {
    run["event"].as_str().unwrap_or_default().to_owned()
}

/// `app deposit`, of the owner and of somebody else.
fn its_owner_alone_has_its_money(orders: &Orders, application: &str) {
    let stage = &orders.stage;
    let deposit =
        || stage.run(&["app", "show", APP])["deposit"].as_str().unwrap().parse::<f64>().unwrap();
    let before = deposit();
    stage.run(&["app", "deposit", APP, "5"]);
    stage.run(&["app", "deposit", APP, "2", "--take"]);
    assert!((deposit() - before - 3.0).abs() < 1e-6, "{} after {before}", deposit());
    stage.fails(&["app", "deposit", APP, "1000", "--take"], "LED-0001");
    stage.fails(&["app", "deposit", APP, "0"], "LED-0002");

    let password = stage.place("password");
    std::fs::write(&password, "secret").unwrap();
    let bob = ["--account", "bob", "--password-file", text(&password)];
    let made = stage.run(&[&bob[..], &["account", "new", "bob", "--light"]].concat());
    stage.run(&["transfer", made["address"].as_str().unwrap(), "10"]);
    stage.fails(&[&bob[..], &["app", "pause", application]].concat(), "LED-0058");
    // A private application is nobody else's to see, but whom its owner lets.
    let look = [&bob[..], &["app", "show", APP]].concat();
    stage.fails(&look, "API-0004");
    let address = made["address"].as_str().unwrap();
    stage.run(&["app", "grant", APP, address]);
    assert_eq!(stage.run(&look)["id"], application);
    assert!(
        !stage
            .run(&[&bob[..], &["run", "list", "--app", APP]].concat())
            .as_array()
            .unwrap()
            .is_empty()
    );
    stage.fails(&[&bob[..], &["app", "grant", application, address]].concat(), "LED-0058");
    stage.run(&["app", "revoke", APP, address]);
    stage.fails(&look, "API-0004");
    stage.fails(&["app", "grant", APP, "nobody"], "CLI-0007");
}

/// `app remove`: the rest of the deposit returns when the last run has ended.
fn removed(orders: &Orders, application: &str) {
    let stage = &orders.stage;
    stage.run(&["app", "remove", application]);
    assert_eq!(stage.run(&["app", "show", application])["state"], "removed");
    stage.fails(&["app", "remove", application], "LED-0059");
    let open = stage.run(&["run", "list", "--app", application, "--status", "waiting"]);
    for run in open.as_array().unwrap() {
        stage.run(&["run", "cancel", id(run)]);
    }
    // It stays known, so that its runs can be explained, and can be deployed again as it was.
    assert_eq!(stage.run(&["app", "show", application])["deposit"], "0");
    let deploy = ["app", "deploy", orders.path(), "--namespace", "acme"];
    let again = stage.run(&deploy);
    assert_eq!((&again["id"], again["transaction"].is_object()), (&application.into(), true));
    assert_eq!(stage.run(&["app", "show", APP])["state"], "active");
    stage.run(&["service", "connect", SHOP, "--disconnect"]);
    stage.fails(&["service", "connect", SHOP, "--disconnect"], "API-0004");
    stage.fails(&["event", "emit", SHOP, "order_paid", r#"{"order": "o"}"#], "CLI-0033");
}
