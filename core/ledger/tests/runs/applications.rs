//! Deploying, pausing, replacing and removing applications, and what is rejected.

use althing_ledger::{OperationResult, Rejection, query};
use althing_types::{
    Action, Amount, Cancel, Collect, Deploy, Filter, Hash, KeySource, Operation, Outcome, Pause,
    Plan, Remove, Repeat, StepStatus, Visibility, purse,
};
use althing_workflow::NotAPlan;

use crate::common::flows::{DEPOSIT, after, all, done, returned, yields};
use crate::common::world::{answer, name};
use crate::common::{World, actor, tokens};

fn plan(world: &World) -> Plan {
    world.plan(vec![world.step_plan("one", all(&[])), world.step_plan("two", after(0))])
}

#[test]
fn applications_are_rejected_with_their_reasons() {
    let mut world = World::new(3);
    let good = plan(&world);
    let wait = world.wait_for(KeySource::Trigger(0));
    let changed = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan
    };
    let cases = [
        (changed(&|plan| plan.steps.clear()), "LED-0050"),
        (changed(&|plan| plan.steps[1].after.ends.clear()), "LED-0050"),
        (changed(&|plan| plan.steps[1].after = after(1)), "LED-0050"),
        (changed(&|plan| plan.steps[0].wait = Some(wait.clone())), "LED-0050"),
        (changed(&|plan| plan.returns.clear()), "LED-0051"),
        (changed(&|plan| plan.steps[1].after = all(&[returned(0, "late")])), "LED-0053"),
        (changed(&|plan| plan.returns[0].from.status = StepStatus::Timeout), "LED-0053"),
        (changed(&|plan| plan.trigger.filter[0].key = 1), "LED-0054"),
        (
            changed(&|plan| {
                plan.steps[1].wait = Some(wait.clone());
                let value = KeySource::Trigger(1);
                plan.steps[1].wait.as_mut().unwrap().filter = vec![Filter { key: 0, value }];
            }),
            "LED-0054",
        ),
        (
            changed(&|plan| {
                let application = Hash([1; 32]);
                plan.steps[0].action = Action::Application { application };
            }),
            "LED-0057",
        ),
        (changed(&|plan| plan.steps[0].price_max = Amount::ZERO), "LED-0029"),
        (changed(&|plan| plan.steps[0].checkers = 17), "LED-0027"),
        (changed(&|plan| plan.trigger.event.as_mut().unwrap().event = name("none")), "LED-0039"),
    ];
    for (plan, code) in cases {
        let deploy = Operation::Deploy(world.deploy_of("shop/app@1", plan.clone()));
        assert_eq!(world.chain.rejected(&world.caller, deploy), code, "{plan:?}");
    }
    let unsorted = {
        let mut deploy = world.deploy_of("shop/app@1", good.clone());
        let mut accounts = [actor(1).address(), actor(2).address()];
        accounts.sort_unstable_by(|a, b| b.cmp(a));
        deploy.terms.visibility = Visibility::Private(accounts.to_vec());
        Operation::Deploy(deploy)
    };
    assert_eq!(world.chain.rejected(&world.caller, unsorted), "LED-0051");
    let rich = Deploy { deposit: tokens(1_000_000), ..world.deploy_of("shop/app@1", good.clone()) };
    assert_eq!(world.chain.rejected(&world.caller, Operation::Deploy(rich)), "LED-0001");

    let deploy = world.deploy_of("shop/app@1", good.clone());
    world.chain.done(&world.caller, Operation::Deploy(deploy.clone()));
    assert_eq!(world.chain.rejected(&world.caller, Operation::Deploy(deploy)), "LED-0052");
    let mut other = world.deploy_of("shop/app@1", good.clone());
    other.terms.document.hash = Hash([5; 32]);
    assert_eq!(world.chain.rejected(&world.caller, Operation::Deploy(other)), "LED-0063");
    let foreign = Operation::Deploy(world.deploy_of("shop/mine@1", good));
    assert_eq!(world.chain.rejected(&world.developer, foreign), "LED-0015");
}

#[test]
fn a_rejection_says_which_rule_a_plan_breaks() {
    let mut world = World::new(3);
    let mut plan = plan(&world);
    plan.steps[1].id = name("one");
    let deploy = Operation::Deploy(world.deploy_of("shop/app@1", plan));
    let expected = Rejection::NotAPlan { fault: NotAPlan::SameName { step: 1 } };
    assert_eq!(world.chain.rejection(&world.caller, deploy), expected);
}

#[test]
fn only_the_owner_has_its_way_with_an_application_and_its_runs() {
    let mut world = World::new(3);
    let plan = plan(&world);
    let application = world.deployed("shop/app@1", plan);
    let run = world.started(1);
    let nobodys = Hash([7; 32]);
    let operations = |application, run| {
        [
            Operation::Pause(Pause { application, paused: true }),
            Operation::Remove(Remove { application }),
            Operation::Collect(Collect { application, amount: tokens(1) }),
            Operation::Repeat(Repeat { run, step: 0 }),
            Operation::Cancel(Cancel { run }),
        ]
    };
    for operation in operations(application, run) {
        assert_eq!(world.chain.rejected(&world.developer, operation), "LED-0058");
    }
    let codes = ["LED-0057", "LED-0057", "LED-0057", "LED-0060", "LED-0060"];
    for (operation, code) in operations(nobodys, nobodys).into_iter().zip(codes) {
        assert_eq!(world.chain.rejected(&world.caller, operation), code);
    }
    let too_much = Operation::Collect(Collect { application, amount: tokens(2_000) });
    assert_eq!(world.chain.rejected(&world.caller, too_much), "LED-0001");
    let early = Operation::Repeat(Repeat { run, step: 0 });
    assert_eq!(world.chain.rejected(&world.caller, early), "LED-0061");

    world.chain.done(&world.caller, Operation::Remove(Remove { application }));
    for operation in operations(application, run).into_iter().take(2) {
        assert_eq!(world.chain.rejected(&world.caller, operation), "LED-0059");
    }
}

#[test]
fn a_private_application_is_used_by_its_owner_alone() {
    let mut world = World::new(3);
    let mut deploy = world.deploy_of("shop/inner@1", plan(&world));
    deploy.terms.visibility = Visibility::Private(vec![]);
    deploy.terms.plan.trigger.event = None;
    deploy.terms.plan.trigger.filter.clear();
    let OperationResult::Created(application) =
        world.chain.send(&world.caller, Operation::Deploy(deploy))
    else {
        panic!("not deployed")
    };
    let mut using = plan(&world);
    using.steps[0].action = Action::Application { application };
    using.steps[1].after = all(&[returned(0, "good")]);
    using.returns[0].from = returned(1, "done");
    let foreign = Operation::Deploy(world.deploy_of("other/outer@1", using.clone()));
    assert_eq!(world.chain.rejected(&world.developer, foreign), "LED-0056");
    world.deployed("shop/outer@1", using);
}

#[test]
fn a_paused_application_starts_no_runs_and_its_runs_go_on() {
    let mut world = World::new(3);
    let plan = plan(&world);
    let application = world.deployed("shop/app@1", plan);
    let pause = |paused| Operation::Pause(Pause { application, paused });
    let run = world.started(1);
    world.chain.done(&world.caller, pause(true));
    world.event(2, "\"start\"");
    assert_eq!(world.open_runs().len(), 1);
    assert_eq!(world.work(|_| done()), [0, 1]);
    assert!(world.run_record(&run).run.end.is_some());
    world.chain.done(&world.caller, pause(false));
    world.event(3, "\"start\"");
    assert_eq!(world.open_runs().len(), 1);
}

#[test]
fn a_new_version_takes_the_name_and_running_runs_stay_on_their_plan() {
    let mut world = World::new(3);
    let first = plan(&world);
    let old = world.deployed("shop/app@1", first.clone());
    let run = world.started(1);
    let mut deploy = world.deploy_of("shop/app@1", world.plan(vec![first.steps[0].clone()]));
    deploy.terms.document.hash = Hash([5; 32]);
    deploy.replaces = Some(old);
    let OperationResult::Created(new) = world.chain.send(&world.caller, Operation::Deploy(deploy))
    else {
        panic!("not deployed")
    };
    let alias = "shop/app@1".parse().unwrap();
    assert_eq!(query::application_alias(&world.chain.state, &alias).unwrap(), Some(new));
    assert_eq!(world.run_record(&world.open_runs()[0].id).application, old);
    world.event(2, "\"start\"");
    let applications: Vec<Hash> = world.open_runs().iter().map(|run| run.application).collect();
    assert_eq!(applications.len(), 2, "the old one listens no longer");
    world.work(|_| done());
    assert_eq!(world.run_record(&run).run.steps.len(), 2);
    let listed = query::applications(&world.chain.state, None, 10).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(world.chain.account(&purse(&new)).balance.saturating_sub(DEPOSIT), Amount::ZERO);
}

#[test]
fn what_was_replaced_or_removed_can_be_deployed_again_as_it_was() {
    let mut world = World::new(3);
    let first = world.deploy_of("shop/app@1", plan(&world));
    let mut second =
        world.deploy_of("shop/app@1", world.plan(vec![first.terms.plan.steps[0].clone()]));
    second.terms.document.hash = Hash([5; 32]);
    let created = |world: &mut World, deploy: &Deploy, replaces: Option<Hash>| {
        let deploy = Operation::Deploy(Deploy { replaces, ..deploy.clone() });
        match world.chain.send(&world.caller, deploy) {
            OperationResult::Created(id) => id,
            other => panic!("not deployed: {other:?}"),
        }
    };
    let old = created(&mut world, &first, None);
    let new = created(&mut world, &second, Some(old));
    // Back again, in place of the new one.
    assert_eq!(created(&mut world, &first, Some(new)), old);
    let run = world.started(1);
    assert_eq!(world.run_record(&run).application, old);
    let alias = "shop/app@1".parse().unwrap();
    assert_eq!(query::application_alias(&world.chain.state, &alias).unwrap(), Some(old));
    let balance = |world: &World| world.chain.account(&purse(&old)).balance;
    assert!(balance(&world) > DEPOSIT, "a second deposit");

    // What listens is not deployed twice; under one document there is one plan.
    let again = Operation::Deploy(first.clone());
    assert_eq!(world.chain.rejected(&world.caller, again), "LED-0052");
    world.chain.done(&world.caller, Operation::Remove(Remove { application: old }));
    let mut lie = first.clone();
    lie.terms.plan = second.terms.plan;
    assert_eq!(world.chain.rejected(&world.caller, Operation::Deploy(lie)), "LED-0052");

    // While its last run goes on, and after that.
    assert_eq!(created(&mut world, &first, None), old);
    world.chain.done(&world.caller, Operation::Remove(Remove { application: old }));
    world.work(|_| done());
    assert_eq!(balance(&world), Amount::ZERO);
    assert_eq!(created(&mut world, &first, None), old);
    assert_eq!(balance(&world), DEPOSIT);
    let run = world.started(2);
    assert_eq!(world.run_record(&run).application, old);
}

#[test]
fn a_result_declines_and_carries_keys_only_where_that_was_asked_for() {
    let mut world = World::new(1);
    let execution = world.call_and_draw(world.compute(0));
    let node = world.nodes[0].clone();
    for outcome in [Outcome::Declined, yields(&["1"])] {
        let operation = answer(&execution, outcome.clone());
        assert_eq!(world.chain.rejected(&node, operation), "LED-0062", "{outcome:?}");
    }

    let plan = plan(&world);
    world.deployed("shop/app@1", plan);
    let run = world.started(1);
    world.chain.done(&node, answer(&execution, done()));
    world.chain.wait(1);
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let step = query::executions(&world.chain.state, None, 1).unwrap().remove(0);
    let operation = answer(&step, yields(&many));
    assert_eq!(world.chain.rejected(&node, operation), "LED-0062");
    // Keys that the plan does not ask for fail the attempt; nobody is fined for an agreed result.
    world.chain.done(&node, answer(&step, yields(&["1"])));
    assert_eq!(world.run_record(&run).run.ending(0).unwrap().status, StepStatus::Error);
}
