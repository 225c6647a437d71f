//! The service whose tasks have effects outside of the network, what it observes there, and the
//! applications over it.

use std::sync::LazyLock;

use althing_application::{ApplicationFile, Catalogue, Compiled};
use althing_manifest::{Event, Manifest, Schemas, ServiceFile};
use althing_types::{
    Alias, Amount, ApplicationTerms, Deploy, EndpointId, Hash, Observe, Visibility, application_id,
    event_key, purse,
};
use serde_json::{Value as Json, json};

use crate::setting::{self, user_key};

/// Sends a parcel; checkers look whether it was sent.
pub const SHIP: &str = "ship";
/// Sends a mail; every member of a committee asks for it.
pub const MAIL: &str = "mail";

/// Somebody ordered.
pub const ORDERED: &str = "ordered";
/// Somebody paid for an order.
pub const PAID: &str = "paid";
/// A parcel arrived; one emitter is believed.
pub const DELIVERED: &str = "delivered";
/// A meter was read, on each emitter a little differently.
pub const METERED: &str = "metered";
/// A webhook came; one emitter is believed.
pub const HOOKED: &str = "hooked";

/// How far readings of a meter may be apart, in hundredths.
pub const TOLERANCE: i64 = 50;
/// How far an honest reading is from the truth at most, in hundredths.
pub const JITTER: i64 = 10;

const MANIFEST: &str = "
service: acme/shop@1.0.0
summary: For simulations.
runtime: native
stake_min: 100
tasks:
  ship:
    verification: method
    price: 1
    limits: { time_ms: 400 }
    inputs: { order: string, price: string }
    statuses:
      shipped: { parcel: string }
  mail:
    verification: deterministic
    price: 1
    limits: { time_ms: 400 }
    inputs: { to: string, what: string }
    statuses:
      sent: { message: string }
events:
  ordered:
    data: { order: string, amount: integer }
    id: order
    keys: [order]
    window_ms: 6000
    price: 0.1
  paid:
    data: { payment: string, order: string, amount: integer }
    id: payment
    keys: [order]
    window_ms: 6000
  delivered:
    data: { parcel: string }
    id: parcel
    keys: [parcel]
    emitters: 1
    window_ms: 6000
  metered:
    data: { session: string, wh: number }
    id: session
    window_ms: 6000
    agree:
      wh: { within: \"0.5\", decimals: 2 }
    price: 0.1
  hooked:
    data: { gift: string }
    id: gift
    emitters: 1
    window_ms: 6000
";

static SERVICE: LazyLock<(Manifest, Schemas)> = LazyLock::new(|| {
    let file = ServiceFile::parse("service.yml", MANIFEST).expect("the manifest has no mistake");
    let manifest = file.into_manifest(b"");
    let schemas = Schemas::compile(&manifest).expect("the manifest's schemas are schemas");
    (manifest, schemas)
});

/// The manifest.
#[must_use]
pub fn manifest() -> &'static Manifest {
    &SERVICE.0
}

/// What an emitter tells the ledger of data that it sees, and the bytes that it keeps.
#[must_use]
pub fn observation(event: &str, data: &Json) -> (Observe, Vec<u8>) {
    let (manifest, schemas) = &*SERVICE;
    let declared = declared(event);
    declared
        .split(schemas, manifest.id(), "", data)
        .expect("what is observed here satisfies its schema")
}

fn declared(event: &str) -> &'static Event {
    let name = event.parse().expect("the events' names are names");
    SERVICE.0.event(&name).expect("the events are declared")
}

/// Names an observed occurrence.
#[must_use]
pub fn key_of(observe: &Observe) -> Hash {
    event_key(&observe.service, &observe.event, &observe.id)
}

/// What a parcel is called.
#[must_use]
pub fn parcel(order: &str) -> String {
    format!("parcel of {order}")
}

/// What a task of the service returns for an input: its status and its output.
#[must_use]
pub fn done(task: &str, input: &Json) -> Option<(&'static str, Json)> {
    let text = |name: &str| input.get(name).and_then(Json::as_str);
    match task {
        SHIP => Some(("shipped", json!({ "parcel": parcel(text("order")?) }))),
        MAIL => Some(("sent", json!({ "message": format!("{}: {}", text("to")?, text("what")?) }))),
        _ => None,
    }
}

/// How most steps of the applications are checked and tried again; `CHECKERS` is a number.
const RETRIED: &str = "verify: CHECKERS
    retry: { max: 2, backoff: PT1S }";

/// Orders that are paid, shipped, delivered, or not.
const ORDERS: &str = "
app: orders
version: 1.0.0
services: { shop: acme/shop@1, sim: acme/simulated@1 }
when: { event: shop.ordered, if: \"${ event.amount > 0 }\" }
then:
  - id: price
    do: sim.total
    with: { order: \"${ event.order }\", amount: \"${ event.amount }\" }
    RETRIED
  - id: parcel
    await: { event: shop.paid, where: { order: \"${ event.order }\" }, if: \"${ awaited.amount >= event.amount }\", timeout: PT12S }
    do: shop.ship
    with: { order: \"${ event.order }\", price: \"${ price.of }\" }
    RETRIED
  - id: arrived
    await: { event: shop.delivered, where: { parcel: \"${ parcel.parcel }\" }, timeout: PT12S }
    do: shop.mail
    with: { to: \"${ event.order }\", what: \"arrived: ${ parcel.parcel }\" }
    RETRIED
  - id: expired
    after: parcel.timeout
    do: shop.mail
    with: { to: \"${ event.order }\", what: expired }
    RETRIED
  - id: trouble
    after: { any: [price.error, parcel.error] }
    do: shop.mail
    with: { to: \"${ event.order }\", what: trouble }
    verify: CHECKERS
";

/// Readings that are billed; a step that always fails, and one that never has time enough.
const METERS: &str = "
app: meters
version: 1.0.0
services: { shop: acme/shop@1, sim: acme/simulated@1 }
when: shop.metered
then:
  - id: bill
    do: sim.total
    with: { session: \"${ event.session }\", wh: \"${ event.wh }\" }
    RETRIED
  - id: broken
    do: sim.fails
    with: { bill: \"${ bill.of }\" }
    verify: CHECKERS
    retry: { max: 1, backoff: PT1S }
  - id: hasty
    after: bill
    do: sim.total
    with: { again: \"${ bill.of }\" }
    verify: CHECKERS
    timeout: PT0.5S
  - id: mended
    after: [broken.error, hasty.timeout]
    do: sim.factor
    with: { bill: \"${ bill.of }\" }
    RETRIED
";

/// Used as a task by [`GIFTS`], and tried again if it fails: it has effects outside before a step that
/// nobody repeats, and says which run it is.
const PACK: &str = "
app: pack
version: 1.0.0
visibility: public
services: { shop: acme/shop@1, sim: acme/simulated@1 }
when: { inputs: { gift: string } }
then:
  - id: weigh
    do: sim.total
    with: { gift: \"${ event.gift }\" }
    verify: CHECKERS
    retry: { max: 1, backoff: PT1S }
  - id: label
    do: shop.mail
    with: { to: \"${ event.gift }\", what: \"label: ${ weigh.of }\" }
    RETRIED
  - id: tape
    do: shop.ship
    with: { order: \"${ event.gift }\", price: \"${ label.message }: ${ run.id } ${ run.started_at }\" }
    verify: CHECKERS
returns:
  packed: { from: tape, data: { seal: \"${ weigh.of }\" } }
";

/// Uses another application; two branches, a step that joins them, and one after any of them that reads
/// whichever has ended.
const GIFTS: &str = "
app: gifts
version: 1.0.0
services: { shop: acme/shop@1, sim: acme/simulated@1, pack: user2/pack@1 }
when: shop.hooked
then:
  - id: box
    do: pack
    with: { gift: \"${ event.gift }\" }
    retry: { max: 2, backoff: PT1S }
  - id: card
    do: sim.total
    with: { seal: \"${ box.seal }\" }
    RETRIED
  - id: ribbon
    after: box
    do: sim.factor
    with: { seal: \"${ box.seal }\" }
    RETRIED
  - id: note
    after: [card, ribbon]
    do: shop.mail
    with: { to: \"${ event.gift }\", what: \"packed: ${ box.seal }\" }
    RETRIED
  - id: first
    after: { any: [card, ribbon] }
    do: shop.mail
    with:
      to: \"${ event.gift }\"
      what: \"first: ${ card != null ? card.of : '-' } ${ ribbon != null ? ribbon.of : '-' }\"
    RETRIED
";

/// Deployed with money for a few runs only.
const POOR: &str = "
app: poor
version: 1.0.0
services: { shop: acme/shop@1, sim: acme/simulated@1 }
when: shop.hooked
then:
  - id: first
    do: sim.total
    with: { gift: \"${ event.gift }\" }
    RETRIED
  - id: second
    do: shop.mail
    with: { to: \"${ event.gift }\", what: \"poor: ${ first.of }\" }
    RETRIED
";

/// An application that a user deploys.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Names it on the ledger.
    pub id: Hash,
    /// The user.
    pub owner: u64,
    /// Its name among people.
    pub alias: Alias,
    /// Its document and plan.
    pub compiled: Compiled,
    /// What it is deployed with.
    pub deposit: Amount,
    /// Whether that is enough for everything that can happen.
    pub lasts: bool,
}

impl Deployment {
    /// The operation that deploys it; `home` has the document.
    #[must_use]
    pub fn deploy(&self, home: EndpointId) -> Deploy {
        let public = !self.compiled.plan().returns.is_empty();
        Deploy {
            terms: ApplicationTerms {
                alias: self.alias.clone(),
                document: self.compiled.blob(),
                home,
                visibility: if public {
                    Visibility::Public
                } else {
                    Visibility::Private(Vec::new())
                },
                plan: self.compiled.plan().clone(),
            }
            .into(),
            deposit: self.deposit,
            replaces: None,
        }
    }

    /// The account of its deposit.
    #[must_use]
    pub fn purse(&self) -> althing_types::Address {
        purse(&self.id)
    }
}

/// All applications, each after those that it uses; every step asks for this many checkers.
#[must_use]
pub fn deployments(checkers: u16) -> Vec<Deployment> {
    let rich = Amount::from_tokens(50_000);
    let few = Amount::from_tokens(7 * (u64::from(checkers) + 1));
    let mut catalogue = Catalogue::default();
    catalogue.add_service(manifest().clone());
    catalogue.add_service(setting::manifest());
    let mut deployments = Vec::new();
    let files = [
        (1, ORDERS, rich, true),
        (3, METERS, rich, true),
        (2, PACK, rich, true),
        (2, GIFTS, rich, true),
        (3, POOR, few, false),
    ];
    for (owner, text, deposit, lasts) in files {
        let text = text.replace("RETRIED", RETRIED).replace("CHECKERS", &checkers.to_string());
        let file = ApplicationFile::parse("app.yaml", &text).expect("the files have no mistakes");
        let alias = format!("user{owner}/{}@1.0.0", name_in(&text));
        let alias: Alias = alias.parse().expect("the names are aliases");
        let compiled = file.check(&catalogue, &serde_json::Map::new());
        let compiled = compiled.expect("the files fit their services").compiled;
        let id = application_id(&user_key(owner).address(), &compiled.blob().hash);
        if let Some(interface) = compiled.parsed().interface() {
            catalogue.add_application(alias.clone(), id, interface);
        }
        deployments.push(Deployment { id, owner, alias, compiled, deposit, lasts });
    }
    deployments
}

fn name_in(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("app: ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_and_the_applications_have_no_mistakes() {
        assert_eq!(manifest().tasks.len(), 2);
        let deployments = deployments(2);
        assert_eq!(deployments.len(), 5);
        for deployment in deployments {
            assert!(!deployment.compiled.plan().steps.is_empty());
        }
    }

    #[test]
    fn readings_within_their_jitter_are_one_event() {
        let (one, _) = observation(METERED, &json!({ "session": "s", "wh": 12.05 }));
        let (other, _) = observation(METERED, &json!({ "session": "s", "wh": 11.95 }));
        assert_eq!((key_of(&one), one.data), (key_of(&other), other.data));
        assert_eq!(one.measured, [1205]);
    }
}
