//! Shows an application.

use althing_api::ApplicationKey;
use althing_api::wire::{Action, Application, End, Join, Plan, StepPlan, Visibility};
use althing_types::Amount;
use anyhow::Result;
use clap::Args;

use crate::duration::Span;
use crate::home::Home;
use crate::names::Names;
use crate::output::{Output, table};
use crate::services::ServiceNames;

/// Show an application: its steps, its deposit and its runs.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
}

impl Show {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let application = client.application(&self.app)?;
        let (names, services) = (Names::of(home), ServiceNames::new(&client));
        output.print(&application, |application| text(application, &names, &services))
    }
}

fn text(application: &Application, names: &Names, services: &ServiceNames<'_>) -> String {
    let terms = &application.terms;
    let seen = match &terms.visibility {
        Visibility::Public => "everybody".to_owned(),
        Visibility::Private(grantees) => {
            let grantees = grantees.iter().map(|grantee| names.full(grantee));
            std::iter::once("its owner".to_owned()).chain(grantees).collect::<Vec<_>>().join(", ")
        }
    };
    let plan = &terms.plan;
    let when = plan.trigger.event.as_ref().map_or_else(
        || "used as a task".to_owned(),
        |event| {
            let only = if plan.trigger.filter.is_empty() { "" } else { ", with given keys" };
            let condition = if plan.trigger.conditional { ", on a condition" } else { "" };
            format!("{}{only}{condition}", services.event(event))
        },
    );
    let mut text = format!(
        "{}\n  id        {}\n  owner     {}\n  state     {}, since block {}\n  seen by   {seen}\n  when      {when}\n  \
         deposit   {}, in {}\n  spent     {}\n  runs      {} open of {}\n",
        terms.alias,
        application.id,
        names.full(&application.owner),
        application.state,
        application.deployed,
        application.deposit,
        application.purse,
        application.spent,
        application.open,
        application.runs,
    );
    if application.missed > 0 {
        text.push_str(&format!(
            "  missed    {} events: as many runs were open as may be\n",
            application.missed
        ));
    }
    for end in &plan.returns {
        text.push_str(&format!("  returns   {} from {}\n", end.name, named(plan, &end.from)));
    }
    let rows: Vec<Vec<String>> = plan.steps.iter().map(|step| row(plan, step, services)).collect();
    text.push('\n');
    text + &table(&["step", "does", "after", "waits for", "checkers", "at most"], &rows)
}

fn row(plan: &Plan, step: &StepPlan, services: &ServiceNames<'_>) -> Vec<String> {
    let action = match &step.action {
        Action::Task { service, task } => format!("{task} of {}", services.service(service)),
        Action::Application { application } => format!("application {application}"),
    };
    let ends: Vec<String> = step.after.ends.iter().map(|end| named(plan, end)).collect();
    let joined = match (ends.len(), step.after.mode) {
        (0, _) => "the event".to_owned(),
        (_, Join::All) => ends.join(" and "),
        (_, Join::Any) => ends.join(" or "),
    };
    let wait = step.wait.as_ref().map_or_else(
        || "-".to_owned(),
        |wait| match wait.timeout_ms {
            0 => services.event(&wait.event),
            ms => format!("{}, for {}", services.event(&wait.event), Span { ms }),
        },
    );
    vec![
        step.id.to_string(),
        action,
        joined,
        wait,
        step.checkers.to_string(),
        // The most that can be said stands for a file that says nothing.
        if step.price_max.0 == Amount::from_base_units(u128::MAX) {
            "any price".to_owned()
        } else {
            step.price_max.to_string()
        },
    ]
}

fn named(plan: &Plan, end: &End) -> String {
    let step = plan.steps.get(usize::from(end.step));
    format!("{}.{}", step.map_or("?", |step| step.id.as_str()), end.status)
}
