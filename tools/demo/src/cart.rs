//! The second story: a shop's automation that must not ship twice.
//!
//! Four nodes, of which one is away all the time; nodes 1 and 2 run the shop's bridges. Carts come
//! in, some webhooks twice; most are paid; node 1 is killed twice; deliveries arrive in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::bridges::{Bridge, Technology};
use crate::cli::Cli;
use crate::network::Network;
use crate::report::Report;
use crate::stage::{Role, Stage};
use crate::wait::{Seen, wait_while_moving};

/// Where the shop, its mails and its payments run.
const HOMES: [usize; 2] = [1, 2];
/// Away from the start.
const AWAY: usize = 4;
/// The owner's node, killed twice.
const OWNER: usize = 1;

/// What the story needs.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Where it is played.
    pub stage: Stage,
    /// How many carts; a twentieth of them is never paid, a tenth is told of twice.
    pub carts: u32,
    /// How long a payment may take, instead of the seven days of the file.
    pub payment_within: String,
}

struct Scene<'a> {
    plot: &'a Plot,
    cli: Cli,
    network: Network,
    shop: Bridge,
    delivery: Bridge,
    mail: Bridge,
    chain: Bridge,
    report: Report,
    say: &'a mut dyn FnMut(&str),
    restarts: Vec<Duration>,
}

/// Tells the story and returns what it has shown; `say` gets it line by line.
///
/// # Errors
///
/// If it cannot be told to its end.
pub fn tell(plot: &Plot, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let start = Instant::now();
    say("Starting four nodes; node 4 is taken away at once.");
    let (cli, mut network) = plot.stage.open(&["--nodes", "4"])?;
    network.kill(AWAY)?;

    say(
        "Nodes 1 and 2 run the bridges: a shop, a parcel service, mails and a chain, all simulated.",
    );
    let bridge = |name: &str, folder: &str, service: &str| {
        let role = Role { name, folder, service, nodes: &HOMES };
        plot.stage.bridge((&cli, &network), role, Technology::Twin)
    };
    let shop = bridge("scripted", "examples/cart/services/shop", "acme/shop@1.0.0")?;
    let delivery = bridge("scripted", "examples/cart/services/delivery", "acme/delivery@1.0.0")?;
    let mail = bridge("email", "services/email", "althing/email@3.0.0")?;
    let chain = bridge("ethereum", "services/ethereum", "althing/ethereum@2.0.0")?;

    let report = Report::default();
    let mut scene = Scene {
        plot,
        cli,
        network,
        shop,
        delivery,
        mail,
        chain,
        report,
        say,
        restarts: Vec::new(),
    };
    scene.deploy()?;
    scene.fill_carts()?;
    scene.kill_owner()?;
    scene.pay()?;
    scene.kill_owner()?;
    scene.deliver()?;
    scene.judge()?;
    let mut report = scene.report;
    report.seconds = start.elapsed().as_secs_f64();
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(plot.stage.folder.join("report.json"), json).context("writing the report")?;
    Ok(report)
}

fn name(number: u32) -> String {
    format!("cart-{number:03}")
}

impl Scene<'_> {
    fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    /// Carts that are never paid: every twentieth.
    fn unpaid(&self) -> BTreeSet<String> {
        (0..self.plot.carts).filter(|number| number % 20 == 7).map(name).collect()
    }

    fn deploy(&mut self) -> Result<()> {
        let file = self.plot.stage.repository.join("examples/cart/app.yaml");
        let text = std::fs::read_to_string(&file).context("reading the application")?;
        let text = text.replace("timeout: P7D", &format!("timeout: {}", self.plot.payment_within));
        let file = self.plot.stage.folder.join("app.yaml");
        std::fs::write(&file, text)?;
        let file = file.to_str().context("the folder's path is not text")?;
        self.cli.run(&["app", "check", file])?;
        self.cli.run(&["app", "deploy", file, "--namespace", "acme", "--deposit", "1000"])?;
        self.say("The application is checked and deployed.");
        Ok(())
    }

    fn fill_carts(&mut self) -> Result<()> {
        let mut repeated = 0;
        for number in 0..self.plot.carts {
            let cart = name(number);
            let data =
                json!({ "cart": cart, "email": format!("{cart}@example.org"), "price": "25" });
            let webhook = json!({ "type": "cart_item_added", "id": cart, "data": data });
            self.shop.tell("/emit", &webhook)?;
            if number % 10 == 3 {
                let told = self.shop.tell("/emit", &webhook)?;
                repeated += u32::from(told["duplicate"] == json!(true));
            }
        }
        let carts = self.plot.carts;
        self.say(&format!("{carts} carts are filled; {repeated} webhooks came twice."));
        Ok(())
    }

    /// `kill -9` of the owner's node, and how long it takes until it answers again.
    fn kill_owner(&mut self) -> Result<()> {
        self.network.kill(OWNER)?;
        let took = self.network.restart(&self.cli, OWNER)?;
        self.restarts.push(took);
        self.say(&format!("kill -9 of the owner's node: back after {:.2} s.", took.as_secs_f64()));
        Ok(())
    }

    /// Pays every cart as soon as the shop shows where, but for the unpaid ones.
    fn pay(&mut self) -> Result<()> {
        let unpaid = self.unpaid();
        let mut shown = BTreeSet::new();
        let carts = usize::try_from(self.plot.carts)?;
        let (shop, chain) = (&self.shop, &self.chain);
        wait_while_moving("all carts' addresses", || {
            for done in shop.shown("/done")? {
                let input = &done["done"]["input"];
                let cart = input["cart"].as_str().unwrap_or_default().to_owned();
                let status = input["status"].as_str().unwrap_or_default();
                let Some(address) = status.strip_prefix("pay to ") else { continue };
                if shown.insert(cart.clone()) && !unpaid.contains(&cart) {
                    let paid =
                        json!({ "to": address, "amount": "25", "tx": format!("tx of {cart}") });
                    chain.tell("/pay", &paid)?;
                }
            }
            Ok(if shown.len() == carts { Seen::There(()) } else { Seen::SoFar(shown.len()) })
        })?;
        let (paid, left) = (carts - unpaid.len(), unpaid.len());
        self.say(&format!("{paid} carts are paid, {left} never are."));
        Ok(())
    }

    /// Waits for the parcels, then lets their news come in an order of its own.
    fn deliver(&mut self) -> Result<()> {
        let expected = usize::try_from(self.plot.carts)? - self.unpaid().len();
        let delivery = &self.delivery;
        let mut parcels = wait_while_moving("all parcels", || {
            let done = delivery.shown("/done")?;
            Ok(if done.len() >= expected { Seen::There(done) } else { Seen::SoFar(done.len()) })
        })?;
        // Any order, the same whenever the story is told.
        parcels.sort_by_key(|done| {
            let key = done["key"].as_str().unwrap_or_default();
            key.chars().rev().collect::<String>()
        });
        for (number, done) in parcels.iter().enumerate() {
            let parcel = &done["done"]["output"]["parcel"];
            let received = json!({
                "type": "received", "id": parcel, "data": { "parcel": parcel, "eta": "tomorrow" },
            });
            let delivered =
                json!({ "type": "delivered", "id": parcel, "data": { "parcel": parcel } });
            // Every second one is delivered before anybody heard that it was received.
            let news = if number % 2 == 0 { [received, delivered] } else { [delivered, received] };
            for event in &news {
                self.delivery.tell("/emit", event)?;
            }
        }
        self.say(&format!("{} parcels are delivered, their news shuffled.", parcels.len()));
        Ok(())
    }

    fn judge(&mut self) -> Result<()> {
        let carts = usize::try_from(self.plot.carts)?;
        let (unpaid, cli) = (self.unpaid(), &self.cli);
        let limit = (carts + 10).to_string();
        let runs = wait_while_moving("the end of all runs", || {
            let runs = cli.run(&["run", "list", "--limit", &limit])?;
            let runs = runs.as_array().context("a list of runs")?.clone();
            let ended = runs.iter().filter(|run| !run["ended_at"].is_null()).count();
            let steps = runs.iter().filter_map(|run| run["steps"].as_array()).flatten();
            let steps = steps.filter(|step| step["phase"] == "ended").count();
            Ok(if ended == carts { Seen::There(runs) } else { Seen::SoFar(ended + steps) })
        })?;
        let step = |run: &Value, id: &str| -> Option<Value> {
            run["steps"].as_array()?.iter().find(|step| step["id"] == id).cloned()
        };
        let ended_with = |id: &str, status: &str| {
            runs.iter()
                .filter(|run| {
                    step(run, id).is_some_and(|step| ending(&step).as_deref() == Some(status))
                })
                .count()
        };
        let paid = carts - unpaid.len();
        let (finished, late) = (ended_with("paid", "ok"), ended_with("processing", "timeout"));
        let expired = ended_with("expired", "ok");
        let report = &mut self.report;
        report.claim("every cart has exactly one run", runs.len() == carts, runs.len().to_string());
        report.claim(
            "every paid cart is delivered and marked paid",
            finished == paid,
            format!("{finished} of {paid}"),
        );
        report.claim(
            "every unpaid cart ends with `timeout` and is marked expired",
            late == unpaid.len() && expired == unpaid.len(),
            format!("{late} timed out, {expired} marked, of {}", unpaid.len()),
        );
        let told = |run: &&Value| branches_are_told(run, &step);
        let branches = runs.iter().filter(told).count();
        report.claim(
            "every branch of every run says how it is: one done, the others not taken",
            branches == carts,
            format!("{branches} of {carts}"),
        );

        let mut shipped: BTreeMap<String, usize> = BTreeMap::new();
        for done in self.delivery.shown("/done")? {
            let cart = done["done"]["input"]["cart"].as_str().unwrap_or_default().to_owned();
            *shipped.entry(cart).or_default() += 1;
        }
        let once = shipped.values().all(|times| *times == 1);
        let right = shipped.len() == paid && shipped.keys().all(|cart| !unpaid.contains(cart));
        report.claim(
            "exactly the paid carts are shipped, each once",
            once && right,
            format!("{} shipped", shipped.len()),
        );
        let mails = self.mail.shown("/mails")?;
        let mut sent: BTreeMap<(String, String), usize> = BTreeMap::new();
        for mail in &mails {
            let text = |name: &str| mail[name].as_str().unwrap_or_default().to_owned();
            *sent.entry((text("to"), text("subject"))).or_default() += 1;
        }
        let twice = sent.values().filter(|times| **times > 1).count();
        report.claim(
            "no mail goes out twice, and none is missing",
            twice == 0 && sent.len() == 2 * paid,
            format!("{} mails, {twice} repeated", mails.len()),
        );
        let slowest = self.restarts.iter().max().copied().unwrap_or_default();
        report.claim(
            "the owner's node is back within 2 s after kill -9",
            slowest <= Duration::from_secs(2),
            format!("{:.2} s", slowest.as_secs_f64()),
        );
        Ok(())
    }
}

/// Whether the one branch that a cart took is done, and every other is said not to be taken.
fn branches_are_told(run: &Value, step: &dyn Fn(&Value, &str) -> Option<Value>) -> bool {
    let late = step(run, "processing").and_then(|step| ending(&step));
    let taken = if late.as_deref() == Some("timeout") { "expired" } else { "paid" };
    let told = |branch: &Value| {
        let last = branch["steps"].as_array().and_then(|steps| steps.last());
        let expected = if last.is_some_and(|last| last == taken) { "done" } else { "not_taken" };
        branch["status"] == expected
    };
    let branches = run["branches"].as_array();
    run["status"] == "done"
        && branches.is_some_and(|branches| branches.len() == 2 && branches.iter().all(told))
}

/// How a step has ended, if it has.
fn ending(step: &Value) -> Option<String> {
    if step["phase"] != "ended" {
        return None;
    }
    let status = &step["status"];
    status.as_str().or_else(|| status["returned"].as_str()).map(str::to_owned)
}
