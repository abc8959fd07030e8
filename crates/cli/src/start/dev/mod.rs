//! `start --dev`: a whole cluster on this machine, each node a process of its own with its log under its number, gone with its
//! data when this process ends.

mod nodes;
mod place;
mod plan;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{NodeArguments, OldFlags, StartArguments};
use crate::cluster::{self, Look};
use crate::config;
use crate::config::problem::{Code, Problem};
use crate::exit::Exit;
use crate::print::{self, Column, aligned};
use crate::version::VERSION;
use nodes::Nodes;
use place::{NoPlace, Place};
use plan::Plan;

/// Between looks whether all nodes serve.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs the cluster until it is told to stop, or none of its nodes is left.
pub(crate) fn run(arguments: &StartArguments, old: &OldFlags) -> Exit {
    let plan = match Plan::of(arguments, old) {
        Ok(plan) => plan,
        Err(problem) => return refuse(vec![problem], Exit::Configuration),
    };
    let place = match Place::make(arguments.node.data_dir.as_deref(), arguments.dev.keep, &plan.file()) {
        Ok(place) => place,
        Err(NoPlace::Io(error)) => {
            let problem = Problem::error(Code::Start, format!("no place for the data: {error}"));
            return refuse(vec![problem.fix("name one: --data-dir DIR")], Exit::Failed);
        }
        Err(NoPlace::Taken(what)) => {
            let problem = Problem::error(Code::Start, what).why("what is there would be lost");
            return refuse(vec![problem.fix("name another directory: --data-dir DIR")], Exit::Configuration);
        }
    };
    // What is wrong with the file is said once, not by every node.
    let first = NodeArguments { config: Some(place.file()), ..NodeArguments::default() };
    let node_id = [("CHRONIK_NODE_ID".to_owned(), "1".to_owned())];
    let exit = match config::load(&first, &OldFlags::default(), &node_id) {
        Err(problems) => refuse(problems, Exit::Configuration),
        Ok(_) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(live(&plan, &place, arguments)),
            Err(error) => refuse(vec![system(&error)], Exit::Failed),
        },
    };
    place.leave();
    exit
}

async fn live(plan: &Plan, place: &Place, arguments: &StartArguments) -> Exit {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [mut interrupt, mut terminate, mut hangup] = match signals {
        [Ok(interrupt), Ok(terminate), Ok(hangup)] => [interrupt, terminate, hangup],
        [Err(error), ..] | [_, Err(error), _] | [.., Err(error)] => return refuse(vec![system(&error)], Exit::Failed),
    };
    let mut nodes = match Nodes::start(plan, place, arguments.node.log_level.as_deref()) {
        Ok(nodes) => nodes,
        Err(error) => return refuse(vec![system(&error)], Exit::Failed),
    };
    let mut is_up = false;
    let exit = loop {
        tokio::select! {
            look = all_up(plan), if !is_up => {
                is_up = true;
                print::remark(&card(plan, place, &nodes, &look));
            }
            (id, ended) = nodes.ended() => {
                print::remark(&format!("node {id} has ended: {ended}"));
                if !is_up || nodes.none_left() {
                    break Exit::Failed;
                }
                print::remark(&format!("the others go on; to have it back: {}", plan.command_line(id, place)));
            }
            _ = interrupt.recv() => break Exit::Done,
            _ = terminate.recv() => break Exit::Done,
            // The terminal was closed.
            _ = hangup.recv() => break Exit::Done,
        }
    };
    // What is thrown away need not be put in order.
    if !place.is_kept() {
        nodes.kill();
    } else {
        nodes.ask_to_stop();
    }
    while !nodes.none_left() {
        tokio::select! {
            _ = nodes.ended() => {}
            _ = interrupt.recv() => nodes.kill(),
            _ = terminate.recv() => nodes.kill(),
        }
    }
    exit
}

/// Returns when every node serves, and the cluster says that it is well.
async fn all_up(plan: &Plan) -> Look {
    loop {
        if let Some(look) =
            cluster::look(&plan.addresses()).await.filter(|look| look.is_healthy && look.nodes_up == plan.nodes.len())
        {
            return look;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn card(plan: &Plan, place: &Place, nodes: &Nodes, look: &Look) -> String {
    let mut columns = vec![Column::right("NODE"), Column::left("KAFKA"), Column::left("WAL"), Column::left("RAFT")];
    let has_http = plan.nodes.iter().all(|node| node.http.is_some());
    columns.extend(has_http.then(|| Column::left("HTTP")));
    columns.extend([Column::right("PID"), Column::left("DATA")]);
    let rows = plan.nodes.iter().map(|node| {
        let mut row = vec![node.id.to_string(), node.kafka.clone(), node.wal.clone(), node.raft.clone()];
        row.extend(node.http.clone());
        row.extend([nodes.pid(node.id), place.of_node(node.id).display().to_string()]);
        row
    });
    let first = &plan.nodes[0].kafka;
    let mut text =
        format!("Chronik {VERSION}  cluster of {} on this machine, {}\n\n", plan.nodes.len(), look.cluster_id);
    text.push_str(&aligned(&columns, &rows.collect::<Vec<_>>()));
    let all = plan.addresses().join(",");
    for (name, value) in [
        ("data", place.fate()),
        ("status", format!("chronik-server cluster status -b {all}")),
        ("try", format!("echo hello | kcat -b {first} -t greetings -P")),
        ("", format!("kcat -b {first} -t greetings -C -e")),
        ("break", format!("kill -9 {}, and produce on", nodes.pid(1))),
        ("stop", "Ctrl-C".to_owned()),
    ] {
        text.push_str(&format!("\n  {name:<7} {value}"));
    }
    text.push('\n');
    text
}

fn refuse(problems: Vec<Problem>, exit: Exit) -> Exit {
    print::problems(&problems);
    exit
}

fn system(error: &std::io::Error) -> Problem {
    Problem::error(Code::Start, format!("the system refused a process, or its event queue: {error}"))
        .fix("look at the limits of this machine (ulimit -u, ulimit -n)")
}
