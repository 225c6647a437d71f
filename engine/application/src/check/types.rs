//! What types the values of a file have, and what expressions may name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use althing_manifest::{AgreeBy, Event};
use althing_types::StepStatus;
use serde_json::Value as Json;

use super::{Checker, FoundEvent, KnownStep};
use crate::document::{EventUse, Measured};
use crate::expression::Expression;
use crate::file::EventText;
use crate::graph::Past;
use crate::infer::{Problem, Scope, infer};
use crate::mistake::MistakeKind;
use crate::read::place_within;
use crate::schema::{Property, Type, decimals_of};
use crate::template::{Part, Template, TemplateKind};

impl Checker<'_> {
    pub(super) fn condition(
        &mut self,
        text: &EventText,
        scope: &Scope,
    ) -> Option<Option<Expression>> {
        let Some(condition) = &text.condition else { return Some(None) };
        let found = self.infer(&condition.value, &condition.at, scope)?;
        if !matches!(found, Type::Bool | Type::Any) {
            let message =
                format!("the condition is {}, but true or false is expected", found.kind());
            self.mistake(
                MistakeKind::Input,
                condition.at.clone(),
                found.kind(),
                message,
                "compare it with something",
            );
            return None;
        }
        Some(Some(condition.value.clone()))
    }

    /// The type of an expression; `None` if it is wrong.
    pub(super) fn infer(
        &mut self,
        expression: &Expression,
        at: &Range<usize>,
        scope: &Scope,
    ) -> Option<Type> {
        let (found, problems) = infer(expression, scope);
        let is_right = problems.is_empty();
        for Problem { kind, at: byte, message, hint } in problems {
            let at = place_within(&self.file.text, at, expression.source(), byte);
            self.mistake(kind, at, "here", message, hint);
        }
        is_right.then_some(found)
    }

    /// The type of a template; `None` if an expression in it is wrong.
    pub(super) fn template(&mut self, template: &Template, scope: &Scope) -> Option<Type> {
        Some(match &template.kind {
            TemplateKind::Literal(json) => Type::of_value(json),
            TemplateKind::Secret(_) => Type::Text,
            TemplateKind::Expression(expression) => self.infer(expression, &template.at, scope)?,
            TemplateKind::Text(parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        let found = self.infer(expression, &template.at, scope)?;
                        if let Type::Maybe(_) = found {
                            self.may_be_missing(template.at.clone(), "a part of this text");
                            return None;
                        }
                    }
                }
                Type::Text
            }
            TemplateKind::List(items) => {
                let types: Vec<_> = items.iter().map(|item| self.template(item, scope)).collect();
                let types: Vec<Type> = types.into_iter().collect::<Option<_>>()?;
                Type::List(Box::new(types.into_iter().reduce(Type::or).unwrap_or(Type::Any)))
            }
            TemplateKind::Map(entries) => {
                let mut fields = BTreeMap::new();
                for (name, template) in entries {
                    let r#type = self.template(template, scope)?;
                    fields.insert(name.clone(), Property { r#type, required: true });
                }
                Type::Map(fields, false)
            }
        })
    }

    pub(super) fn may_be_missing(&mut self, at: Range<usize>, what: &str) {
        let hint = "ask first, as in: has(a.b) ? a.b : \"\", or a != null ? a.b : \"\"";
        self.mistake(
            MistakeKind::Input,
            at,
            "may be missing",
            format!("{what} may be missing"),
            hint,
        );
    }

    /// What expressions can name after `past`.
    pub(super) fn scope(&self, config: &Type, event: &Type, past: &Past) -> Scope {
        let mut scope = Scope::default();
        let text = |required| Property { r#type: Type::Text, required };
        let number = Property { r#type: Type::Number, required: true };
        let run =
            BTreeMap::from([("id".to_owned(), text(true)), ("started_at".to_owned(), number)]);
        scope.variables.insert("run".into(), Type::Map(run, false));
        scope.variables.insert("event".into(), event.clone());
        scope.variables.insert("config".into(), config.clone());
        scope
            .elsewhere
            .insert("awaited".into(), "only a step that awaits an event has `awaited`".into());
        for (index, step) in (0_u16..).zip(&self.file.steps) {
            let id = step.id.value.to_string();
            match self.known.get(usize::from(index)).filter(|_| past.possible.contains_key(&index))
            {
                Some(known) => {
                    let found = output_type(known, index, past);
                    scope.variables.insert(id, found);
                }
                None => {
                    let why = format!(
                        "`{id}` does not end before this: only what comes before is known, see `after`"
                    );
                    scope.elsewhere.insert(id, why);
                }
            }
        }
        scope
    }
}

/// The output of a step, given how it may have ended.
pub(super) fn output_type(known: &KnownStep, index: u16, past: &Past) -> Type {
    let of = |wanted: &StepStatus| match wanted {
        StepStatus::Returned(name) => {
            let status = known.statuses.iter().find(|(status, _)| status == name);
            status.map_or(Type::Any, |(_, found)| found.clone())
        }
        StepStatus::Error | StepStatus::Timeout => Type::Null,
    };
    let any = |statuses: &BTreeSet<StepStatus>| {
        statuses.iter().map(of).reduce(Type::or).unwrap_or(Type::Any)
    };
    match (past.certain.get(&index), past.possible.get(&index)) {
        (Some(statuses), _) => any(statuses),
        (None, Some(statuses)) => Type::Null.or(any(statuses)),
        (None, None) => Type::Null,
    }
}

pub(super) fn event_use(found: &FoundEvent<'_>) -> EventUse {
    let event = found.event;
    let measured = event.agree.iter().filter_map(|agree| match &agree.by {
        AgreeBy::Value(terms) => Some(Measured {
            field: agree.property.clone(),
            decimals: terms.decimals,
            is_text: matches!(property_type(event, &agree.property), Some("string")),
        }),
        AgreeBy::Ignore => None,
    });
    EventUse {
        name: found.name.clone(),
        measured: measured.collect(),
        decimals: decimals_of(&event.data),
    }
}

/// The schema of what an event carries in the end: not what its emitters need not agree on.
pub(super) fn carried(event: &Event) -> Json {
    let mut schema = event.data.clone();
    for agree in event.agree.iter().filter(|agree| matches!(agree.by, AgreeBy::Ignore)) {
        if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
            properties.remove(&agree.property);
        }
        if let Some(required) = schema.get_mut("required").and_then(Json::as_array_mut) {
            required.retain(|name| name.as_str() != Some(&agree.property));
        }
    }
    schema
}

pub(super) fn property_type<'e>(event: &'e Event, property: &str) -> Option<&'e str> {
    event.data.get("properties")?.get(property)?.get("type")?.as_str()
}
