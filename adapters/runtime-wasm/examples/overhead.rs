//! What the runtime adds to a call of wasmtime, and how fast a service starts from the cache.
//!
//! Prints one JSON object; every number is the median, in microseconds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use althing_manifest::ServiceFile;
use althing_runtime_wasm::WasmRuntime;
use althing_types::Name;
use althing_work::Runtime as _;
use wasmtime::component::{Component, ComponentType, Lift, Linker};
use wasmtime::{Config, Engine, Store};

const CALLS: usize = 2000;
const STARTS: usize = 100;
const INPUT: &[u8] = br#"{"csv":"item,quantity,unit_price\nPen,3,1.10\n","name":"a"}"#;

type Failed = Box<dyn std::error::Error>;

#[derive(ComponentType, Lift)]
#[component(record)]
struct Outcome {
    status: String,
    outputs: Vec<u8>,
}

fn main() -> Result<(), Failed> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/invoice");
    // Bench machines may bring the component along, built earlier.
    let component = match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(file) => std::fs::read(file)?,
        None => althing_guests::build(&example)?,
    };
    let text = std::fs::read_to_string(example.join("service.yml"))?;
    let manifest = ServiceFile::parse("service.yml", &text)?.into_manifest(&component);
    let (id, task) = (manifest.id(), "total".parse::<Name>()?);

    let folder = tempfile::tempdir()?;
    let open = || WasmRuntime::open(folder.path(), Arc::new(|_: &mut [u8]| false));
    let runtime = open()?;
    let first = Instant::now();
    runtime.prepare(&id, &component, &manifest)?;
    let compile_us = micros(first);
    let ours = median(CALLS, || {
        assert!(runtime.task(&id, &task, INPUT).result.is_ok());
    });
    let restarted = open()?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        restarted.forget(&id);
        let started = Instant::now();
        restarted.prepare(&id, &component, &manifest)?;
        starts.push(micros(started));
    }
    let cold_start = middle(starts);
    let direct = direct(&component)?;
    let report = serde_json::json!({
        "direct_call_us": direct.0,
        "direct_warm_call_us": direct.1,
        "our_call_us": ours,
        "overhead_us": ours - direct.0,
        "cold_start_from_cache_us": cold_start,
        "compile_us": compile_us,
        "component_bytes": component.len(),
    });
    #[expect(clippy::print_stdout, reason = "the report is this program's data")]
    {
        println!("{report}");
    }
    Ok(())
}

/// The same call with wasmtime as it comes: a fresh instance each, and one that stays warm.
fn direct(component: &[u8]) -> Result<(f64, f64), Failed> {
    let engine = Engine::new(&Config::new())?;
    let component = Component::new(&engine, component)?;
    let linker = Linker::<()>::new(&engine);
    let instance = linker.instantiate_pre(&component)?;
    let handler = component.get_export_index(None, "althing:service/handler@0.1.0");
    let handler = handler.ok_or("the component has no handler")?;
    let task = component.get_export_index(Some(&handler), "task").ok_or("no task")?;
    let call = |store: &mut Store<()>, instance: &wasmtime::component::Instance| {
        let task = instance
            .get_typed_func::<(&str, &[u8]), (Result<Outcome, String>,)>(&mut *store, &task)?;
        let (result,) = task.call(store, ("total", INPUT))?;
        let outcome = result.map_err(wasmtime::Error::msg)?;
        assert!(outcome.status == "ok" && !outcome.outputs.is_empty());
        Ok::<_, wasmtime::Error>(())
    };
    let mut failed = None;
    let fresh = median(CALLS, || {
        let mut store = Store::new(&engine, ());
        let done = instance.instantiate(&mut store).and_then(|it| call(&mut store, &it));
        failed = failed.take().or_else(|| done.err());
    });
    let mut store = Store::new(&engine, ());
    let kept = instance.instantiate(&mut store)?;
    let warm = median(CALLS, || {
        let done = call(&mut store, &kept);
        failed = failed.take().or_else(|| done.err());
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok((fresh, warm)),
    }
}

fn median(times: usize, mut run: impl FnMut()) -> f64 {
    let measure = |_| {
        let started = Instant::now();
        run();
        micros(started)
    };
    middle((0..times).map(measure).collect())
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
