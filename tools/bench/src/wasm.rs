//! What the sandbox adds to a call: schemas, limits and a fresh instance, against the bare function.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use althing_manifest::{Manifest, ServiceFile};
use althing_runtime_wasm::WasmRuntime;
use althing_types::Name;
use althing_work::Runtime as _;
use anyhow::{Context as _, Result, ensure};
use wasmtime::component::{Component, ComponentType, Lift, Linker, TypedFunc};
use wasmtime::{Engine, Store};

use crate::cost::{self, Cost};
use crate::figure::{Bar, Figure, number};
use crate::stage::Stage;

/// A service of the repository, from whose root the benchmark is run.
const SERVICE: &str = "examples/invoice";
const CALLS: u32 = 500;
const STARTS: u32 = 20;

/// As the component model passes it.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Outcome {
    status: String,
    #[expect(dead_code, reason = "lifted, as the runtime lifts it")]
    outputs: Vec<u8>,
}

type Answer = (Result<Outcome, String>,);
type Task = TypedFunc<(&'static str, &'static [u8]), Answer>;

/// wasmtime as its manual begins: no fuel, no interruption, no limits.
struct Direct {
    engine: Engine,
    component: Component,
    linker: Linker<()>,
}

impl Direct {
    fn new(component: &[u8]) -> Result<Self> {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        let mut host = linker.instance("althing:service/host@0.1.0")?;
        host.func_wrap("log", |_, (message,): (String,)| {
            drop(message);
            Ok(())
        })?;
        let component = Component::new(&engine, component)?;
        Ok(Self { engine, component, linker })
    }

    fn instance(&self) -> Result<(Store<()>, Task)> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.linker.instantiate(&mut store, &self.component)?;
        let handler = instance
            .get_export_index(&mut store, None, "althing:service/handler@0.1.0")
            .context("the service exports its handler")?;
        let task = instance
            .get_export_index(&mut store, Some(&handler), "task")
            .context("the handler has tasks")?;
        let task = instance.get_typed_func(&mut store, task)?;
        Ok((store, task))
    }
}

fn call(store: &mut Store<()>, task: &Task, input: &'static [u8]) -> Result<()> {
    let (answer,) = task.call(store, ("total", input))?;
    let outcome = answer.ok().context("the service gave up")?;
    ensure!(outcome.status == "ok", "the service answered {}", outcome.status);
    Ok(())
}

/// The service, built from source, and its manifest.
pub(crate) fn service() -> Result<(Vec<u8>, Manifest)> {
    let folder = Path::new(SERVICE);
    let component = althing_guests::build(folder)?;
    let file = folder.join("service.yml");
    let text =
        fs::read_to_string(&file).context("the benchmark is run in the repository's root")?;
    let manifest = ServiceFile::parse("service.yml", &text)?.into_manifest(&component);
    Ok((component, manifest))
}

/// A runtime with an empty memory, and the cache that others have left in the folder.
fn runtime(folder: &Path) -> Result<WasmRuntime> {
    Ok(WasmRuntime::open(folder, Arc::new(|_: &mut [u8]| false))?)
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let (component, manifest) = service()?;
    let (id, total): (_, Name) = (manifest.id(), "total".parse()?);
    let input: &'static [u8] =
        br#"{"csv":"item,quantity,unit_price\nbolt,2,3.50\n","name":"a.csv"}"#;
    let folder = stage.empty("wasm")?;
    let sandbox = runtime(&folder)?;
    let compile = cost::of_thread(|| sandbox.prepare(&id, &component, &manifest));

    let ran = sandbox.task(&id, &total, input);
    ensure!(ran.result.as_ref().is_ok_and(|r| r.status.as_str() == "ok"), "it ended with {ran:?}");
    let through = cost::of_each(CALLS, || drop(black_box(sandbox.task(&id, &total, input))));

    let direct = Direct::new(&component)?;
    let (mut store, task) = direct.instance()?;
    call(&mut store, &task, input)?;
    let mut failed = false;
    let warm = cost::of_each(CALLS, || failed |= call(&mut store, &task, input).is_err());
    let fresh = cost::of_each(CALLS, || {
        let called = direct.instance().and_then(|(mut store, task)| call(&mut store, &task, input));
        failed |= called.is_err();
    });
    ensure!(!failed, "a direct call failed");

    let loaded = cold_start(&folder, &component, &manifest)?;
    Ok(vec![
        Figure::new("a task through the sandbox", through.wall_us, "µs")
            .cpu(through.cpu_us, "µs")
            .against("the same function on a warm instance, wasmtime alone", warm.wall_us)
            .note(format!(
                "wasmtime alone with a fresh instance for each call: {} µs",
                number(fresh.wall_us)
            )),
        Figure::new("what the sandbox adds to a warm call", through.wall_us - warm.wall_us, "µs")
            .cpu(through.cpu_us - warm.cpu_us, "µs")
            .bar(Bar::AtMost(100.0)),
        Figure::new("cold start from the cache", loaded.wall_us / 1e3, "ms")
            .cpu(loaded.cpu_us / 1e3, "ms")
            .against("compiling it", compile.wall_us / 1e3)
            .bar(Bar::AtMost(1.0)),
    ])
}

/// A service becomes ready in a runtime that has not seen it, from compiled code on disk.
fn cold_start(folder: &Path, component: &[u8], manifest: &Manifest) -> Result<Cost> {
    let (id, sandbox) = (manifest.id(), runtime(folder)?);
    let mut failed = false;
    let with_forgetting = cost::of_each(STARTS, || {
        sandbox.forget(&id);
        failed |= sandbox.prepare(&id, component, manifest).is_err();
    });
    ensure!(!failed, "the service could not be prepared");
    Ok(with_forgetting)
}
