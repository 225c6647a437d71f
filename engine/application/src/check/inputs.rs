//! Whether a step gives its task what the task takes.

use std::ops::Range;

use althing_manifest::read::choose;
use althing_manifest::schema;
use serde_json::{Map, Value as Json};

use super::Checker;
use crate::file::StepText;
use crate::infer::Scope;
use crate::mistake::MistakeKind;
use crate::read::map_of;
use crate::schema::{Type, required};
use crate::template::{Template, TemplateKind};

impl Checker<'_> {
    pub(super) fn with(
        &mut self,
        text: &StepText,
        inputs: &Json,
        scope: &Scope,
    ) -> Option<Template> {
        let empty = Map::new();
        let object = inputs.as_object().unwrap_or(&empty);
        let properties = object.get("properties").and_then(Json::as_object).unwrap_or(&empty);
        let closed = object.get("additionalProperties") == Some(&Json::Bool(false));
        let action = &text.action.value;
        let mut is_right = true;
        for (name, template) in &text.with {
            let Some(schema) = properties.get(&name.value) else {
                if closed {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    let hint = if known.is_empty() {
                        "it takes nothing".to_owned()
                    } else {
                        choose(&name.value, &known)
                    };
                    let message = format!("`{action}` takes no `{}`", name.value);
                    self.mistake(MistakeKind::Input, name.at.clone(), "unknown", message, hint);
                    is_right = false;
                }
                is_right &= self.template(template, scope).is_some();
                continue;
            };
            is_right &= self
                .value(template, schema, inputs, scope, &format!("`{}` of `{action}`", name.value))
                .is_some();
        }
        for missing in required(object) {
            if text.with.iter().all(|(name, _)| name.value != missing) {
                let kind =
                    properties.get(missing).map_or("any value", |schema| Type::of(schema).kind());
                self.mistake(
                    MistakeKind::Input,
                    text.with_at.clone(),
                    format!("`{missing}` is missing"),
                    format!("`{action}` needs the input `{missing}`"),
                    format!("add `{missing}` to `with`: {kind}"),
                );
                is_right = false;
            }
        }
        if !is_right {
            return None;
        }
        let entries =
            text.with.iter().map(|(name, template)| (name.value.clone(), template.clone()));
        Some(Template::of(map_of(entries.collect())))
    }

    /// Whether a value fits a schema, as far as can be known.
    pub(super) fn value(
        &mut self,
        template: &Template,
        schema: &Json,
        root: &Json,
        scope: &Scope,
        what: &str,
    ) -> Option<()> {
        if let TemplateKind::Literal(json) = &template.kind {
            return match validate(schema, root, json) {
                Ok(()) => Some(()),
                Err(reason) => {
                    self.does_not_fit(
                        template.at.clone(),
                        format!("{what} does not fit: {reason}"),
                        schema,
                    );
                    None
                }
            };
        }
        let found = self.template(template, scope)?;
        let wanted = Type::of(&with_definitions(schema, root));
        if let Type::Maybe(_) = found
            && !matches!(wanted, Type::Any | Type::Maybe(_))
        {
            self.may_be_missing(template.at.clone(), what);
            return None;
        }
        if !found.fits(&wanted) {
            let message = format!("{what} is {}, but {} is given", wanted.kind(), found.kind());
            self.does_not_fit(template.at.clone(), message, schema);
            return None;
        }
        Some(())
    }

    fn does_not_fit(&mut self, at: Range<usize>, message: String, schema: &Json) {
        let hint = match Type::of(schema) {
            Type::Text | Type::Decimal => {
                "string(x) makes a text of anything; a literal number wants quotes"
            }
            Type::Number => "number(x) reads a number from a text",
            _ => "`althing service show` prints the schemas of a service",
        };
        self.mistake(MistakeKind::Input, at, "does not fit", message, hint);
    }
}

/// Whether a known value satisfies a part of a schema.
pub(super) fn validate(part: &Json, root: &Json, value: &Json) -> Result<(), String> {
    let validator =
        schema::compile(&with_definitions(part, root)).map_err(|error| error.to_string())?;
    validator.validate(value).map_err(|error| error.to_string().chars().take(200).collect())
}

/// A part of a schema that can be used without the rest.
pub(super) fn with_definitions(part: &Json, root: &Json) -> Json {
    let mut part = part.clone();
    if let (Some(map), Some(definitions)) = (part.as_object_mut(), root.get("$defs")) {
        map.insert("$defs".into(), definitions.clone());
    }
    part
}
