//! A broker's life in the cluster: it registers, is let in, says that it lives, asks for what only the metadata leader gives, and
//! leaves in good order (KIP-631, KIP-841).

use std::rc::Rc;
use std::time::Duration;

use chronik_state::ids::LogId;
use chronik_state::metadata::ProducerIdBlock;
use chronik_state::partition::leader::{Outcome, Proposal};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Response, Status};
use tracing::{info, warn};

use super::control::{Control, Leader};
use super::{controller, rpc_timeout};
use super::founding::introduction;
use super::messages::*;
use super::waiting::Waiting;
use crate::config::SyncPolicy;
use crate::metrics::Rpc;

/// Between attempts while nobody leads, or the leader does not answer.
const PAUSE: Duration = Duration::from_millis(50);
/// Proposals that are sent together.
const PROPOSALS_TOGETHER: usize = 1000;
/// How soon after news of the metadata a heartbeat tells of it: what is applied at once is told together.
const NEWS_AFTER: Duration = Duration::from_millis(5);

/// Registers, then says every now and then that it lives.
pub(super) async fn live(control: Rc<Control>) {
    register(&control).await;
    let mut joined = control.cluster().joined();
    // The sender lives as long as the node.
    let _ = joined.wait_for(|joined| *joined).await;
    let every = control.session_timeout() / 10;
    let mut applied = control.cluster().applied.subscribe();
    loop {
        beat(&control, false).await;
        let news = async {
            let _ = applied.changed().await;
            sleep(NEWS_AFTER).await;
        };
        // With or without news.
        let _ = timeout(every, news).await;
        applied.mark_unchanged();
    }
}

async fn register(control: &Control) {
    let node = control.node();
    let request = RegisterRequest {
        version: VERSION,
        from: Some(introduction(&node.config, control.cluster().directory_id)),
        incarnation_id: control.cluster().incarnation_id.to_vec(),
        rack: control.config.rack.clone(),
        stopped_epoch: control.cluster().stopped_epoch,
        cluster_id: node.cluster_id.clone(),
        syncs_first: node.config.sync == SyncPolicy::Commit,
    };
    let mut waiting = Waiting::since(Instant::now());
    loop {
        let response = match control.leader() {
            Leader::Me => Some(controller::register(control, request.clone()).await),
            Leader::Other(mut client) => asked(control, Rpc::Register, client.register(request.clone())).await,
            Leader::Nobody => None,
        };
        match response.map(|response| response.refusal()) {
            Some(Refusal::None) => return,
            Some(Refusal::Duplicate) => {
                warn!("another process with this node's number lives in the cluster; waiting until it is not heard of any more");
                sleep(Duration::from_secs(1)).await;
            }
            Some(Refusal::OtherCluster) => {
                return node.fail(&format_args!(
                    "the other nodes belong to another cluster than this data directory, which says {}\n\n\
                     Fix: give this node the data directory of that cluster, or an empty one",
                    node.cluster_id
                ));
            }
            _ => {}
        }
        let away = control.away();
        let text = match away.is_empty() {
            true => "waiting for the nodes to elect a metadata leader".to_owned(),
            false => format!("waiting for a majority of the nodes, which elects a metadata leader: nodes {away:?} are not reached"),
        };
        if waiting.is_due(&text, Instant::now()) {
            info!("{text}");
        }
        sleep(PAUSE).await;
    }
}

/// One heartbeat; nothing if nobody heard it.
async fn beat(control: &Control, shuts_down: bool) -> Option<HeartbeatResponse> {
    let node = control.node();
    let request = HeartbeatRequest {
        version: VERSION,
        node_id: node.config.node_id,
        broker_epoch: node.metadata.broker_epoch(),
        applied_index: node.metadata.applied_index(),
        shuts_down,
    };
    let response = match control.leader() {
        Leader::Me => controller::heartbeat(control, request).await,
        // Late is as good as not at all: the next one is due.
        Leader::Other(mut client) => {
            let patience = control.session_timeout() / 3;
            let heard = async { timeout(patience, client.heartbeat(request)).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("late"))) };
            asked(control, Rpc::Heartbeat, heard).await?
        }
        Leader::Nobody => return None,
    };
    if response.refusal() == Refusal::StaleBrokerEpoch && !*node.stopping().borrow() {
        node.fail(&format_args!(
            "the cluster knows another process as node {}\n\nTwo processes were started with the same node_id.\n\nFix: stop one of them",
            node.config.node_id
        ));
    }
    Some(response)
}

/// Leaves in good order: others lead first, the metadata and the partitions.
pub(super) async fn leave(control: &Control) {
    let patience = Duration::from_millis(control.config.leadership_transfer_timeout_ms);
    let deadline = Instant::now() + patience;
    loop {
        match beat(control, true).await {
            Some(response) if response.may_stop => break,
            _ if Instant::now() >= deadline => {
                warn!(timeout_ms = control.config.leadership_transfer_timeout_ms, "others did not take the lead in time");
                break;
            }
            _ => sleep(PAUSE).await,
        }
    }
    if !control.config.enable_leadership_transfer {
        return;
    }
    while control.cluster().leads() && Instant::now() < deadline {
        control
            .attend(|council| {
                let own = council.member.id();
                let mut others = council.member.matched();
                others.retain(|(id, _)| *id != own);
                // The one that lacks least.
                if let Some((id, _)) = others.into_iter().max_by_key(|(_, matched)| *matched) {
                    council.member.transfer_leadership(id);
                }
            })
            .await;
        sleep(PAUSE).await;
    }
}

/// Takes the leaders' proposals to the metadata leader, and what it says back to them.
pub(super) async fn propose_in_sync(control: Rc<Control>) {
    let Some(mut proposals) = control.node().replication.proposals() else { return };
    let mut together = Vec::new();
    while proposals.recv_many(&mut together, PROPOSALS_TOGETHER).await > 0 {
        let taken = std::mem::take(&mut together);
        let outcomes = ask_for_in_sync(&control, &taken).await;
        for (at, (id, proposal)) in taken.iter().enumerate() {
            let outcome = outcomes.as_ref().and_then(|outcomes| outcomes.get(at)).and_then(|outcome| match outcome {
                Altered::Refused => Some(Outcome::Refused),
                Altered::SeeMetadata => Some(Outcome::Outdated),
                Altered::AskAgain => None,
            });
            if let Some(partition) = control.node().partitions.partition(*id) {
                partition.on_outcome(proposal.partition_epoch, outcome);
            }
        }
    }
}

async fn ask_for_in_sync(control: &Control, proposals: &[(LogId, Proposal)]) -> Option<Vec<Altered>> {
    let node = control.node();
    let request = AlterPartitionsRequest {
        version: VERSION,
        node_id: node.config.node_id,
        broker_epoch: node.metadata.broker_epoch(),
        proposals: proposals.iter().map(|(id, proposal)| message(*id, proposal)).collect(),
    };
    let response = match control.leader() {
        Leader::Me => controller::alter_partitions(control, request).await,
        Leader::Other(mut client) => asked(control, Rpc::AlterPartitions, client.alter_partitions(request)).await?,
        Leader::Nobody => return None,
    };
    let outcomes = response.outcomes.iter().map(|outcome| Altered::try_from(*outcome).unwrap_or(Altered::AskAgain)).collect();
    (response.refusal() == Refusal::None).then_some(outcomes)
}

fn message(id: LogId, proposal: &Proposal) -> InSyncProposal {
    let members = proposal.in_sync.iter().map(|(node_id, broker_epoch)| InSyncMember { node_id: *node_id, broker_epoch: *broker_epoch });
    InSyncProposal {
        topic_id: id.topic.0.to_vec(),
        partition: id.partition,
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        in_sync: members.collect(),
    }
}

/// A client's request for whoever leads. Nothing if nobody answered.
pub(super) async fn forward(control: &Control, request: ForwardRequest) -> Option<ForwardResponse> {
    match control.leader() {
        Leader::Me => Some(controller::forwarded(control, request).await),
        Leader::Other(mut client) => asked(control, Rpc::Forward, client.forward(request)).await,
        Leader::Nobody => None,
    }
}

/// A block of producer ids, as soon as somebody who leads gives one.
pub(super) async fn allocate_producer_ids(control: &Control) -> Option<ProducerIdBlock> {
    let node = control.node();
    let deadline = Instant::now() + rpc_timeout(&control.config);
    while Instant::now() < deadline {
        let request = AllocateProducerIdsRequest {
            version: VERSION,
            node_id: node.config.node_id,
            broker_epoch: node.metadata.broker_epoch(),
        };
        let response = match control.leader() {
            Leader::Me => Some(controller::allocate_producer_ids(control, request).await),
            Leader::Other(mut client) => asked(control, Rpc::AllocateProducerIds, client.allocate_producer_ids(request)).await,
            Leader::Nobody => None,
        };
        match response {
            Some(response) if response.refusal() == Refusal::None => {
                return Some(ProducerIdBlock { first: response.first, count: response.count });
            }
            _ => sleep(PAUSE).await,
        }
    }
    None
}

/// The answer of another node, if it gave one.
async fn asked<A>(control: &Control, rpc: Rpc, call: impl Future<Output = Result<Response<A>, Status>>) -> Option<A> {
    let began = Instant::now();
    let response = call.await;
    control.node().metrics.rpc(rpc, began.elapsed(), &response);
    response.map(Response::into_inner).map_err(|status| tracing::debug!(%status, "the metadata leader did not answer")).ok()
}
