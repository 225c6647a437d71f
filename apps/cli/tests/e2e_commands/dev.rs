//! `althing dev` in an application's folder, and `althing test` beside it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::stage::{binary, text, until};

const TEST: &str = "
- test: PLACED
  within: 60s
  events: [{ service: acme/shop@0.1.0, event: order_placed, data: { order: t-1, email: ada@example.org } }]
  status: waiting
  branches:
    marked thanks closed: waiting(order_paid)
    marked thanks expired: waiting(order_paid)
";

const ARRIVED: &str = "
- test: an order that is paid
  within: 60s
  events:
    - service: acme/shop@0.2.0
      event: order_placed
      data: { order: t-1, email: ada@example.org, price: '25', day: '2026-01-31' }
    - { service: acme/shop@0.2.0, event: order_paid, data: { order: t-1 } }
  status: done
  branches: { marked thanks expired: done(ok) }
";

/// `althing dev`, as somebody at a keyboard has it.
pub(crate) struct Dev {
    child: Child,
    out: Arc<Mutex<String>>,
    said: Arc<Mutex<String>>,
}

fn gathered(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(&mut from);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            all.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
    text
}

impl Dev {
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("dev").arg(folder).args(options);
        Self::begin(command)
    }

    /// In a terminal, from which keys come without a line's end only if it is asked to; what it is set
    /// to afterwards is told.
    fn start_on_a_terminal(folder: &Path) -> Self {
        let dev = format!("'{}' dev '{}'; stty -a", text(&binary()), text(folder));
        let mut command = Command::new("script");
        command.args(["-qfec", &dev, "/dev/null"]).env("SHELL", "/bin/sh");
        Self::begin(command)
    }

    fn begin(mut command: Command) -> Self {
        command.env_remove("RUST_LOG");
        // A service may start a bridge by its name.
        let binaries = binary().parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", text(&binaries)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = gathered(child.stdout.take().unwrap());
        let said = gathered(child.stderr.take().unwrap());
        let mut dev = Self { child, out, said };
        // The last line of the block: everything before it is there.
        dev.shows("q quit");
        dev
    }

    /// Waits until this is on the screen.
    pub(crate) fn shows(&mut self, what: &str) {
        self.wait(what, |dev| dev.out.lock().unwrap().clone());
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }

    fn wait(&mut self, what: &str, of: impl Fn(&Self) -> String) {
        until(what, || {
            if of(self).contains(what) {
                return Some(());
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.said());
            None
        });
    }

    /// Everything that is on the screen.
    pub(crate) fn shown(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Everything that it has said beside its block of addresses.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&mut self, what: &str) {
        self.wait(what, Self::said);
    }

    pub(crate) fn quit(mut self) {
        self.press("q");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended by itself
        self.child.wait().ok();
    }
}

/// A command of the person in the folder; data and code.
pub(crate) fn althing(folder: &Path, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut command = Command::new(binary());
    command.arg("--json").args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.output().unwrap();
    let data = serde_json::from_slice(&output.stdout);
    let data = data.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (data, output.status.code())
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("orders");
    let made = Command::new(binary()).args(["app", "new", text(&folder)]).output().unwrap();
    assert!(made.status.success());
    (place, folder)
}

#[test]
fn dev_tells_where_everything_is_deploys_what_changes_and_listens_to_its_keys() {
    let (_place, folder) = folder();
    let mut dev = Dev::start(&folder, &[]);
    let block = dev.out.lock().unwrap().clone();
    for part in [
        "Althing network of 1 nodes",
        "node 1  http://127.0.0.1:",
        "application 0x",
        "acme/shop@0.1.0   http://127.0.0.1:",
        "program.log",
    ] {
        assert!(block.contains(part), "{part:?} is not in\n{block}");
    }
    dev.says("published acme/shop@0.1.0");
    dev.says("deployed dev/orders@0.1.0");

    dev.press("r");
    dev.says("no event has been sent yet: press e");
    dev.press("e");
    dev.says("sent order_placed 0x");
    dev.press("r");
    until("two samples", || {
        (dev.said().matches("sent order_placed 0x").count() == 2).then_some(())
    });
    until("two runs", || {
        let (runs, _) = althing(&folder, &["run", "list", "--status", "waiting"]);
        (runs.as_array().unwrap().len() == 2).then_some(())
    });
    dev.press("o");
    dev.says("   acme/shop@0.1.0");

    // Changed, with a mistake, and back again.
    let file = folder.join("app.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let closed = "  - id: closed\n    do: shop.mark\n    with: { order: \"${ event.order }\", status: closed }\n";
    assert!(before.contains(closed), "{before}");
    fs::write(&file, before.replace(closed, &closed.replace("closed", "archived"))).unwrap();
    dev.says("deployed again: +archived -closed");
    fs::write(&file, before.replace("thanks.timeout", "thanks.late")).unwrap();
    dev.says("`thanks` never ends with `late`");
    fs::write(&file, &before).unwrap();
    dev.says("deployed again: +closed -archived");
    let (applications, _) = althing(&folder, &["app", "list", "--mine"]);
    let active = |it: &&Value| it["state"] == "active";
    assert_eq!(applications.as_array().unwrap().iter().filter(active).count(), 1);

    // A service's program is started again when its file changes.
    let program = folder.join("services/shop/program.py");
    let source = fs::read_to_string(&program).unwrap();
    fs::write(&program, source.replace("\"order\", task", "\"parcel\", task")).unwrap();
    until("the new program at work", || {
        dev.press("e");
        let log = folder.join(".althing/programs/shop/program.log");
        fs::read_to_string(log).unwrap_or_default().contains("parcel sample").then_some(())
    });

    // What is expected of a run, met and not met.
    let test = folder.join("golden.yaml");
    fs::write(&test, TEST.replace("PLACED", "an order waits")).unwrap();
    let (came, code) = althing(&folder, &["test", text(&test)]);
    assert_eq!((&came[0]["passed"], code), (&true.into(), Some(0)), "{came}");
    let wrong = TEST
        .replace("60s", "2s")
        .replace("thanks closed: waiting(order_paid)", "thanks closed: done(ok)");
    fs::write(&test, wrong).unwrap();
    let told = "branch marked thanks closed is waiting(order_paid), and done(ok) was expected";
    until("a run that has come as far as it can when its time is over", || {
        let (came, code) = althing(&folder, &["test", text(&test)]);
        assert_eq!((&came[0]["passed"], code), (&false.into(), Some(1)), "{came}");
        (came[0]["differences"] == serde_json::json!([told])).then_some(())
    });
    dev.quit();

    for (options, code) in [(["--liar", "7"], "CLI-0008"), (["--nodes", "2"], "CLI-0009")] {
        let mut command = Command::new(binary());
        let output = command.arg("dev").arg(&folder).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(code), "{options:?}: {said}");
    }
}

#[test]
fn a_new_version_of_a_service_is_taken_up_and_samples_satisfy_its_schemas() {
    let (_place, folder) = folder();
    let mut dev = Dev::start(&folder, &[]);
    // One at a time: two would watch, publish and deploy the same things.
    let mut second = Command::new(binary());
    let second = second.arg("dev").arg(&folder).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("error[CLI-0048]"), "{said}");
    let second = Command::new(binary()).arg("dev").arg(&folder).arg("--fresh").output().unwrap();
    assert!(!second.status.success(), "it would throw away what is in use");

    let manifest = folder.join("services/shop/service.yml");
    let before = fs::read_to_string(&manifest).unwrap();
    let placed = "    data: { order: string, email: string }\n    keys: [order]";
    assert!(before.contains(placed), "{before}");
    let bill = "{ type: string, pattern: \"^[0-9]{4}-[0-9]{2}-[0-9]{2}$\" }";
    let richer = format!(
        "    data: {{ order: string, email: string, price: decimal, day: {bill} }}\n    id: order\n    keys: [order]"
    );
    let (one, two) =
        ("      ok: { order: string }\n", "      ok: { order: string }\n      gone: {}\n");
    assert!(before.contains(one), "{before}");
    let newer = before.replace("@0.1.0", "@0.2.0").replace(placed, &richer).replace(one, two);
    fs::write(&manifest, newer).unwrap();
    dev.says("published acme/shop@0.2.0; acme/shop@0.1.0 has no program any more");
    dev.says("deployed again: ~closed ~expired ~marked ~thanks ~when");
    dev.press("e");
    dev.says("sent order_placed 0x");
    // An event that names its occurrences itself is another one when it is sent again.
    dev.press("r");
    until("two runs of the new version", || {
        let (runs, _) = althing(&folder, &["run", "list", "--status", "waiting"]);
        (runs.as_array().unwrap().len() == 2).then_some(())
    });

    // A branch that ends with a step's main status has arrived, although others of it are handled.
    let file = folder.join("app.yaml");
    let before = fs::read_to_string(&file).unwrap();
    let closed = "  - id: closed\n    do: shop.mark\n    with: { order: \"${ event.order }\", status: closed }\n";
    let handled = "after: { any: [thanks.timeout, thanks.gone] }";
    assert!(before.contains(closed) && before.contains("after: thanks.timeout"), "{before}");
    let shorter = before.replace(closed, "").replace("after: thanks.timeout", handled);
    fs::write(&file, shorter).unwrap();
    dev.says("deployed again: ~expired -closed");
    let test = folder.join("golden.yaml");
    fs::write(&test, ARRIVED).unwrap();
    let (came, code) = althing(&folder, &["test", text(&test)]);
    assert_eq!((&came[0]["passed"], code), (&true.into(), Some(0)), "{came}");

    // What `when` asks of its event is so in a sample.
    let before = fs::read_to_string(&file).unwrap();
    let picky = "when: { event: shop.order_placed, where: { order: this-one } }";
    fs::write(&file, before.replace("when: shop.order_placed", picky)).unwrap();
    dev.says("deployed again: ~when");
    dev.press("e");
    dev.says("\"order\":\"this-one\"");
    until("a run of the application that asks for one order", || {
        let (runs, _) = althing(&folder, &["run", "list"]);
        (runs.as_array().unwrap().len() == 4).then_some(())
    });
    dev.quit();
}

#[test]
fn a_terminal_gives_each_key_at_once_and_is_as_before_when_it_ends() {
    let (_place, folder) = folder();
    let mut dev = Dev::start_on_a_terminal(&folder);
    dev.press("r");
    dev.shows("no event has been sent yet: press e");
    dev.press("e");
    dev.shows("sent order_placed 0x");
    dev.press("xo");
    dev.shows("   acme/shop@0.1.0");
    dev.press("r");
    until("two samples", || {
        let out = dev.out.lock().unwrap().clone();
        (out.matches("sent order_placed 0x").count() == 2).then_some(())
    });
    dev.press("q");
    let status = dev.child.wait().unwrap();
    assert!(status.success(), "{status}");
    until("the terminal's settings", || {
        let out = dev.out.lock().unwrap().clone();
        let (_, settings) = out.rsplit_once("speed ")?;
        let set = |name: &str| settings.split([' ', ';', '\r', '\n']).any(|it| it == name);
        set("iexten").then(|| assert!(set("icanon") && set("echo"), "{settings}"))
    });
}

#[test]
fn with_fast_time_a_wait_of_days_ends_in_seconds() {
    let (_place, folder) = folder();
    let mut dev = Dev::start(&folder, &["--fast-time"]);
    dev.press("e");
    dev.says("skipped 604");
    let run = until("the end of the run", || {
        let (runs, _) = althing(&folder, &["run", "list", "--status", "done"]);
        runs.get(0).cloned()
    });
    let (started, ended) = (run["started_at"].as_u64().unwrap(), run["ended_at"].as_u64().unwrap());
    assert!(ended - started > 7 * 86_400_000, "{run}");
    let expired = run["branches"].as_array().unwrap().iter().find(|it| it["steps"][2] == "expired");
    assert_eq!(expired.unwrap()["status"], "done", "{run}");
    // The file of tests that comes with a new application holds.
    let (came, code) = althing(&folder, &["test"]);
    assert_eq!(code, Some(0), "{came}");

    // The hours between two attempts are a wait like any other.
    let (program, file) = (folder.join("services/shop/program.py"), folder.join("app.yaml"));
    let source = fs::read_to_string(&program).unwrap();
    fs::write(&program, source.replace("\"status\": \"ok\"", "\"status\": \"lost\"")).unwrap();
    let source = fs::read_to_string(&file).unwrap();
    let first = "status: placed }\n";
    assert!(source.contains(first), "{source}");
    let again = format!("{first}    retry: {{ max: 1, backoff: PT6H }}\n");
    fs::write(&file, source.replacen(first, &again, 1)).unwrap();
    dev.says("deployed again: ~marked");
    until("an attempt of the new program", || {
        dev.press("e");
        let (runs, _) = althing(&folder, &["run", "list", "--status", "running"]);
        let rests = |run: &Value| run["steps"][0]["phase"] == "resting";
        runs.as_array().unwrap().iter().any(rests).then_some(())
    });
    dev.says("skipped 21");
    let run = until("the second attempt, hours later", || {
        let (runs, _) = althing(&folder, &["run", "list", "--status", "failed"]);
        runs.get(0).cloned()
    });
    assert_eq!(run["steps"][0]["attempts"], 2, "{run}");
    dev.quit();
}
