//! What the keys of an event are compared with, and who says what that is.

use althing_manifest::Event;
use althing_manifest::read::choose;
use althing_types::{Action, StepStatus, YIELDS_MAX};
use serde_json::{Map, Value as Json};

use super::Checker;
use super::inputs::validate;
use crate::document::{Where, WhereValue};
use crate::expression::{Expression, Meter, Value, Variables};
use crate::file::{EventText, Placed};
use crate::graph::Past;
use crate::infer::Scope;
use crate::mistake::MistakeKind;
use crate::schema::Type;
use crate::template::{Part, Template, TemplateKind};

impl Checker<'_> {
    /// Keys of the first event: nothing has happened yet that they could be compared with.
    pub(super) fn constant_keys(
        &mut self,
        text: &EventText,
        event: &Event,
        config: &Map<String, Json>,
    ) -> Option<Vec<Where>> {
        let mut filter = Vec::new();
        for (name, template) in &text.keys {
            let key = self.key(name, event)?;
            let value = self.constant(template, config)?;
            let Some(value) = value else {
                self.mistake(
                    MistakeKind::Unknowable,
                    template.at.clone(),
                    "not known yet",
                    "the keys of the first event are compared with what is known when the application is deployed",
                    "compare it with a literal or with `config`, or put the comparison into `if`",
                );
                return None;
            };
            self.key_fits(&value, event, name, template)?;
            filter.push(Where { key, value: WhereValue::Constant(value) });
        }
        Some(filter)
    }

    pub(super) fn wait_keys(
        &mut self,
        text: &EventText,
        event: &Event,
        scope: &Scope,
        past: &Past,
        config: &Map<String, Json>,
        trigger_keys: &[String],
    ) -> Option<Vec<Where>> {
        let (mut filter, mut constants) = (Vec::new(), Vec::new());
        for (name, template) in &text.keys {
            let key = self.key(name, event)?;
            if let Some(value) = self.constant(template, config)? {
                self.key_fits(&value, event, name, template)?;
                constants.push(Where { key, value: WhereValue::Constant(value) });
                continue;
            }
            let expression = self.one_expression(template)?;
            let found = self.infer(&expression, &template.at, scope)?;
            let wanted = event.data.get("properties").and_then(|all| all.get(&name.value));
            let wanted = wanted.map_or(Type::Any, Type::of);
            if !found.clone().present().fits(&wanted) {
                let message = format!(
                    "the key `{}` is {}, but it is compared with {}",
                    name.value,
                    wanted.kind(),
                    found.kind()
                );
                self.mistake(
                    MistakeKind::Input,
                    template.at.clone(),
                    found.kind(),
                    message,
                    "compare like with like",
                );
                return None;
            }
            let own_key = match expression.path().as_deref() {
                Some(["event", own]) => trigger_keys.iter().position(|key| key == own),
                _ => None,
            };
            let value = match own_key.and_then(|key| u8::try_from(key).ok()) {
                Some(key) => WhereValue::Trigger(key),
                None => self.yielded(&expression, template, past)?,
            };
            filter.push(Where { key, value });
        }
        // The first key is the index: one that tells runs apart makes a better one than a constant.
        filter.extend(constants);
        Some(filter)
    }

    fn key(&mut self, name: &Placed<String>, event: &Event) -> Option<u8> {
        let position = event.keys.iter().position(|key| *key == name.value);
        if position.is_none() {
            let known: Vec<&str> = event.keys.iter().map(String::as_str).collect();
            let hint = if known.is_empty() {
                "it has no keys: put the comparison into `if`".to_owned()
            } else {
                format!("{}; other comparisons go into `if`", choose(&name.value, &known))
            };
            let message = format!("`{}` is not found by `{}`", event.name, name.value);
            self.mistake(MistakeKind::UnknownKeyOfEvent, name.at.clone(), "no key", message, hint);
        }
        position.and_then(|key| u8::try_from(key).ok())
    }

    fn key_fits(
        &mut self,
        value: &Json,
        event: &Event,
        name: &Placed<String>,
        template: &Template,
    ) -> Option<()> {
        let schema = event.data.get("properties").and_then(|all| all.get(&name.value))?;
        let Err(reason) = validate(schema, &event.data, value) else { return Some(()) };
        let message = format!("no `{}` has such a `{}`: {reason}", event.name, name.value);
        self.mistake(
            MistakeKind::Input,
            template.at.clone(),
            "never",
            message,
            "compare it with what it can be",
        );
        None
    }

    /// The value, if it is known when the application is deployed.
    fn constant(
        &mut self,
        template: &Template,
        config: &Map<String, Json>,
    ) -> Option<Option<Json>> {
        let mut names = Vec::new();
        template.expressions(&mut |expression| {
            names.extend(expression.variables().into_iter().map(|(name, _)| name));
        });
        if names.iter().any(|name| *name != "config") {
            return Some(None);
        }
        let mut variables = Variables::default();
        let mut meter = Meter::full();
        let value = Value::from_json(&Json::Object(config.clone()), None).and_then(|config| {
            variables.set("config", config);
            template.evaluate(&variables, &mut meter)?.to_json(&mut meter)
        });
        match value {
            Ok(value) => Some(Some(value)),
            Err(failure) => {
                let message = format!("this has no value: {failure}");
                self.mistake(
                    MistakeKind::Config,
                    template.at.clone(),
                    "no value",
                    message,
                    "look at `config`",
                );
                None
            }
        }
    }

    /// A text with expressions in it is one expression too.
    fn one_expression(&mut self, template: &Template) -> Option<Expression> {
        match &template.kind {
            TemplateKind::Expression(expression) => return Some(expression.clone()),
            TemplateKind::Text(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => Json::from(text.as_str()).to_string(),
                        Part::Expression(expression) => format!("string({})", expression.source()),
                    })
                    .collect();
                if let Ok(expression) = Expression::parse(&parts.join(" + ")) {
                    return Some(expression);
                }
            }
            TemplateKind::Literal(_)
            | TemplateKind::List(_)
            | TemplateKind::Map(_)
            | TemplateKind::Secret(_) => {}
        }
        self.mistake(
            MistakeKind::Expression,
            template.at.clone(),
            "no expression",
            "a key is compared with one expression or one literal",
            "write it like where: { id: \"${ event.id }\" }",
        );
        None
    }

    /// Lets an earlier step carry the key in its sealed result.
    fn yielded(
        &mut self,
        expression: &Expression,
        template: &Template,
        past: &Past,
    ) -> Option<WhereValue> {
        let names = expression.variables();
        let file = self.file;
        let used: Vec<u16> = (0_u16..)
            .zip(&file.steps)
            .filter(|(_, step)| names.iter().any(|(name, _)| *name == step.id.value.as_str()))
            .map(|(index, _)| index)
            .collect();
        let knows = |index: u16, past: &Past| {
            let statuses = past.certain.get(&index);
            statuses.is_some_and(|all| {
                all.iter().all(|status| matches!(status, StepStatus::Returned(_)))
            })
        };
        let by = past.certain.keys().copied().find(|candidate| {
            let is_task = self
                .steps
                .get(usize::from(*candidate))
                .is_some_and(|step| matches!(step.action, Action::Task { .. }));
            let before = self.pasts.get(usize::from(*candidate));
            let all_known = used
                .iter()
                .all(|step| step == candidate || before.is_some_and(|before| knows(*step, before)));
            is_task && all_known && knows(*candidate, past)
        });
        let Some((by, step)) = by.and_then(|by| Some((by, self.steps.get_mut(usize::from(by))?)))
        else {
            self.mistake(
                MistakeKind::Unknowable,
                template.at.clone(),
                "nobody knows it",
                "no task that has certainly returned before this step knows what the key must be",
                "let the step come after one whose output it is compared with",
            );
            return None;
        };
        let position = step.yields.iter().position(|known| known.source() == expression.source());
        let index = position.unwrap_or(step.yields.len());
        if index >= YIELDS_MAX {
            let message = format!("too many keys come from `{}`", step.id);
            let hint = format!("at most {YIELDS_MAX} are allowed");
            self.mistake(MistakeKind::Count, template.at.clone(), "one too many", message, hint);
            return None;
        }
        if position.is_none() {
            step.yields.push(expression.clone());
        }
        Some(WhereValue::Yielded { step: by, index: u8::try_from(index).ok()? })
    }
}
