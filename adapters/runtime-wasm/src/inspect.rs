//! What a component must and must not have, seen from its type alone.

use althing_work::Refusal;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

use crate::announced;

/// Largest component in bytes.
pub const COMPONENT_BYTES_MAX: usize = 32 << 20;

pub(crate) const HOST: &str = "althing:service/host@0.1.0";
pub(crate) const CHANCE: &str = "althing:service/chance@0.1.0";
const HANDLER: &str = "althing:service/handler@0.1.0";

const MAGIC: &[u8] = b"\0asm";
const VERSION_OF_MODULES: &[u8] = &[1, 0, 0, 0];
const VERSION_OF_COMPONENTS: &[u8] = &[0x0d, 0, 1, 0];

/// The functions of the handler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exports {
    pub(crate) task: ComponentExportIndex,
    pub(crate) verify: ComponentExportIndex,
}

/// Looks at the first bytes: cheap, and says what the file is if it is no component.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes: bytes.len(), bytes_max: COMPONENT_BYTES_MAX });
    }
    let (magic, rest) = bytes.split_at_checked(4).unwrap_or((bytes, &[]));
    let version = rest.get(..4).unwrap_or(rest);
    let reason = match (magic, version) {
        (MAGIC, VERSION_OF_COMPONENTS) if announced::is_plausible(bytes) => return Ok(()),
        (MAGIC, VERSION_OF_COMPONENTS) => "a section announces more entries than it has bytes",
        (MAGIC, VERSION_OF_MODULES) => "it is a core module",
        (MAGIC, _) => "it is WebAssembly of an unknown version",
        _ => "it is no WebAssembly at all",
    };
    Err(Refusal::NotAComponent { reason: reason.into() })
}

/// Checks imports and exports; `chance_allowed` if some task is checked by a method.
pub(crate) fn check_type(
    engine: &Engine,
    component: &Component,
    chance_allowed: bool,
) -> Result<Exports, Refusal> {
    let component_type = component.component_type();
    for (import, _) in component_type.imports(engine) {
        match import {
            HOST => {}
            CHANCE if chance_allowed => {}
            CHANCE => return Err(Refusal::ChanceWithoutMethod),
            _ => {
                return Err(Refusal::ForbiddenImport {
                    import: import.chars().take(200).collect(),
                });
            }
        }
    }
    let missing =
        |function: &str| Refusal::MissingExport { export: format!("{HANDLER}{function}") };
    let (handler, handler_index) =
        component.get_export(None, HANDLER).ok_or_else(|| missing(""))?;
    let ComponentItem::ComponentInstance(_) = handler else { return Err(missing("")) };
    let function = |name: &str, fits: fn(&ComponentFunc) -> bool| match component
        .get_export(Some(&handler_index), name)
    {
        Some((ComponentItem::ComponentFunc(function), index)) if fits(&function) => Ok(index),
        _ => Err(missing(&format!("#{name}"))),
    };
    Ok(Exports { task: function("task", is_task)?, verify: function("verify", is_verify)? })
}

fn is_bytes(value: &Type) -> bool {
    matches!(value, Type::List(list) if list.ty() == Type::U8)
}

fn takes(function: &ComponentFunc, expected: &[fn(&Type) -> bool]) -> bool {
    let found: Vec<Type> = function.params().map(|(_, value)| value).collect();
    found.len() == expected.len() && expected.iter().zip(&found).all(|(fits, value)| fits(value))
}

fn is_string(value: &Type) -> bool {
    *value == Type::String
}

fn is_task(function: &ComponentFunc) -> bool {
    let results: Vec<Type> = function.results().collect();
    let [Type::Result(result)] = &results[..] else { return false };
    let is_outcome = match result.ok() {
        Some(Type::Record(outcome)) => {
            let fields: Vec<_> =
                outcome.fields().map(|field| (field.name.to_owned(), field.ty)).collect();
            matches!(&fields[..], [(status, Type::String), (outputs, bytes)]
                if status == "status" && outputs == "outputs" && is_bytes(bytes))
        }
        _ => false,
    };
    is_outcome && result.err() == Some(Type::String) && takes(function, &[is_string, is_bytes])
}

fn is_verify(function: &ComponentFunc) -> bool {
    let results: Vec<Type> = function.results().collect();
    let [Type::Variant(verdict)] = &results[..] else { return false };
    let cases: Vec<_> = verdict.cases().map(|case| (case.name.to_owned(), case.ty)).collect();
    let is_verdict = matches!(&cases[..], [(valid, None), (invalid, Some(Type::String))]
        if valid == "valid" && invalid == "invalid");
    is_verdict && takes(function, &[is_string, is_bytes, is_string, is_bytes])
}
