//! What the metadata leader does for the other nodes: registers them, hears them, fences who is silent, and decides for them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use chronik_state::ids::{BrokerId, TopicId};
use chronik_state::metadata::alter_partition::{AlterError, AlterPartitions};
use chronik_state::metadata::{BrokerRegistration, ClusterStart, Decision, Image, MetadataError, Restart, SupportedFeature};
use chronik_state::partition::leader::Proposal;
use tracing::{info, warn};

use super::control::Control;
use super::founding::{endpoints, introduction};
use super::messages::*;
use crate::dispatch::{self, Connection, Reply};
use crate::metadata::SubmitError;

/// How often the leader looks for brokers that are silent.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked for partitions that another leads than is meant to.
const BALANCE_EVERY: Duration = Duration::from_secs(300);
/// How long an answer waits until every broker that is let in sees what was changed.
const SEEN_WITHIN: Duration = Duration::from_millis(1000);

/// Who this node is, and whether it knows the asker.
pub(super) async fn introduce(control: &Control, request: IntroduceRequest) -> IntroduceResponse {
    let node = control.node();
    let asker = request.from.unwrap_or_default();
    let image = control.cluster().known();
    let knows_you = image.broker(asker.node_id).is_some_and(|broker| broker.directory_id[..] == asker.directory_id[..]);
    IntroduceResponse {
        version: VERSION,
        from: Some(introduction(&node.config, control.cluster().directory_id)),
        cluster_id: node.cluster_id.clone(),
        knows_you,
    }
}

/// Gives a process its broker epoch (KIP-631).
pub(super) async fn register(control: &Control, request: RegisterRequest) -> RegisterResponse {
    let refuse = |refusal: Refusal| RegisterResponse { refusal: refusal.into(), broker_epoch: -1 };
    let Some(registration) = registration(&request) else { return refuse(Refusal::OtherCluster) };
    let node = control.node();
    if request.cluster_id != node.cluster_id {
        return refuse(Refusal::OtherCluster);
    }
    let (id, now, timeout) = (registration.id, Instant::now(), control.session_timeout());
    let is_duplicate = |image: &Image| {
        let Some(known) = image.broker(id) else { return false };
        // A directory belongs to one process at a time: the same directory in another process is a restart.
        known.incarnation_id != registration.incarnation_id
            && known.directory_id != registration.directory_id
            && control.cluster().sessions.lock().is_alive(id, known.epoch, timeout, now)
    };
    let start = ClusterStart { cluster_id: node.cluster_id.clone(), features: SupportedFeature::levels_at_birth() };
    let decided = node.metadata.submit_at(&control.reactor, |controller, offset| {
        if is_duplicate(controller.image()) {
            return Decision { records: Vec::new(), reply: Err(Refusal::Duplicate) };
        }
        let admitted = controller.admit_broker(&start, &registration, request.stopped_epoch, offset);
        Decision { records: admitted.records, reply: admitted.reply.map_err(|_| Refusal::OtherCluster) }
    });
    match decided.await {
        Ok(Ok(broker_epoch)) => {
            info!(node = id, broker_epoch, "broker registered");
            control.cluster().sessions.lock().heard(id, broker_epoch, 0, Instant::now());
            RegisterResponse { refusal: Refusal::None.into(), broker_epoch }
        }
        Ok(Err(refusal)) => refuse(refusal),
        Err(error) => refuse(refusal(&error)),
    }
}

fn registration(request: &RegisterRequest) -> Option<BrokerRegistration> {
    let from = request.from.as_ref()?;
    Some(BrokerRegistration {
        id: from.node_id,
        incarnation_id: request.incarnation_id.as_slice().try_into().ok()?,
        directory_id: from.directory_id.as_slice().try_into().ok()?,
        endpoints: endpoints(from)?,
        rack: request.rack.clone(),
        // A node whose disk is damaged does not come so far.
        restart: Restart::Crash,
        confirms_unsynced: !request.syncs_first,
        fenced: true,
    })
}

/// A broker lives. It is let in once it has applied its own registration; it may stop once others lead in its place.
pub(super) async fn heartbeat(control: &Control, request: HeartbeatRequest) -> HeartbeatResponse {
    let refuse = |refusal: Refusal| HeartbeatResponse { refusal: refusal.into(), ..HeartbeatResponse::default() };
    let (id, epoch) = (request.node_id, request.broker_epoch);
    if !control.cluster().leads() {
        return refuse(Refusal::NotController);
    }
    let node = control.node();
    let image = control.cluster().known();
    let Some(broker) = image.broker(id).filter(|broker| broker.epoch == epoch).cloned() else {
        return refuse(Refusal::StaleBrokerEpoch);
    };
    control.cluster().sessions.lock().heard(id, epoch, request.applied_index, Instant::now());
    control.cluster().heard.notify_waiters();
    let metadata = &node.metadata;
    let done = if request.shuts_down && !broker.shutting_down {
        info!(node = id, "broker shuts down: others lead from now on");
        metadata.submit(&control.reactor, |controller| controller.shut_down_broker(id, epoch)).await
    } else if broker.fenced && !request.shuts_down && knows_itself(request.applied_index, epoch) {
        info!(node = id, "broker let in");
        metadata.submit(&control.reactor, |controller| controller.unfence_broker(id, epoch)).await
    } else {
        Ok(Ok(()))
    };
    match done {
        Err(error) => refuse(refusal(&error)),
        Ok(Err(_)) => refuse(Refusal::StaleBrokerEpoch),
        Ok(Ok(())) => {
            let image = control.cluster().known();
            let may_stop = request.shuts_down && metadata.may_stop(id).await;
            let fenced = image.broker(id).is_none_or(|broker| broker.fenced);
            HeartbeatResponse { refusal: Refusal::None.into(), fenced, may_stop }
        }
    }
}

/// A broker's epoch is the place of its registration in the metadata log.
fn knows_itself(applied_index: u64, broker_epoch: i64) -> bool {
    crate::metadata::offset_of(applied_index) >= broker_epoch
}

/// Fences brokers that have been silent for too long.
pub(super) async fn watch_sessions(control: Rc<Control>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let before = Instant::now();
        looks.tick().await;
        if !control.cluster().leads() {
            continue;
        }
        let now = Instant::now();
        let own = control.node().config.node_id;
        let image = control.cluster().known();
        let silent = {
            let mut sessions = control.cluster().sessions.lock();
            if now.duration_since(before) > 5 * LOOK_EVERY {
                // This process did not run itself: what the others said in that time is still to be read.
                sessions.forgive();
            }
            sessions.silent(&image, control.session_timeout(), now)
        };
        for (id, epoch) in silent.into_iter().filter(|(id, _)| *id != own) {
            warn!(node = id, timeout_ms = control.config.session_timeout_ms, "broker not heard of: fenced");
            fence(&control, id, epoch).await;
        }
    }
}

/// Gives leaderships back to the replicas that were meant to have them, every now and then.
pub(super) async fn balance(control: Rc<Control>) {
    let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + BALANCE_EVERY, BALANCE_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if !control.cluster().leads() {
            continue;
        }
        match control.node().metadata.submit(&control.reactor, |controller| controller.rebalance_leaders()).await {
            Ok(0) => {}
            Ok(partitions) => info!(partitions, "preferred replicas lead again"),
            // Tried again at the next look.
            Err(error) => warn!("preferred replicas not elected: {error}"),
        }
    }
}

/// The process behind a broker is gone for certain: nobody listens where it did.
pub(super) async fn process_ended(control: &Control, id: BrokerId) {
    let image = control.cluster().known();
    let Some(broker) = image.broker(id).filter(|broker| !broker.fenced) else { return };
    warn!(node = id, "broker has ended: fenced");
    fence(control, id, broker.epoch).await;
}

async fn fence(control: &Control, id: BrokerId, epoch: i64) {
    control.cluster().sessions.lock().lost(id);
    let fenced = control.node().metadata.submit(&control.reactor, |controller| controller.fence_broker(id, epoch)).await;
    if let Err(error) = fenced {
        // Tried again at the next look.
        warn!(node = id, "broker not fenced: {error}");
    }
}

/// Leaders ask for other in-sync sets.
pub(super) async fn alter_partitions(control: &Control, request: AlterPartitionsRequest) -> AlterPartitionsResponse {
    let refuse = |refusal: Refusal| AlterPartitionsResponse { refusal: refusal.into(), outcomes: Vec::new() };
    let Some(proposals) = request.proposals.iter().map(proposal).collect::<Option<Vec<_>>>() else {
        return refuse(Refusal::StaleBrokerEpoch);
    };
    let command = AlterPartitions { broker_id: request.node_id, broker_epoch: request.broker_epoch, proposals };
    let metadata = &control.node().metadata;
    match metadata.submit(&control.reactor, |controller| controller.alter_partitions(&command)).await {
        Ok(Ok(replies)) => {
            let outcomes = replies.iter().map(|reply| outcome(reply.as_ref().err()).into()).collect();
            AlterPartitionsResponse { refusal: Refusal::None.into(), outcomes }
        }
        Ok(Err(_)) => refuse(Refusal::StaleBrokerEpoch),
        Err(error) => refuse(refusal(&error)),
    }
}

fn proposal(message: &InSyncProposal) -> Option<(TopicId, i32, Proposal)> {
    let proposal = Proposal {
        leader_epoch: message.leader_epoch,
        partition_epoch: message.partition_epoch,
        in_sync: message.in_sync.iter().map(|member| (member.node_id, member.broker_epoch)).collect(),
    };
    Some((TopicId(message.topic_id.as_slice().try_into().ok()?), message.partition, proposal))
}

fn outcome(error: Option<&AlterError>) -> Altered {
    match error {
        // Agreed: the record comes to the leader as to everybody.
        None => Altered::SeeMetadata,
        Some(AlterError::UnknownPartition | AlterError::FencedLeaderEpoch | AlterError::InvalidUpdateVersion) => {
            Altered::SeeMetadata
        }
        Some(AlterError::Behind) => Altered::AskAgain,
        Some(AlterError::Invalid | AlterError::IneligibleReplica(_)) => Altered::Refused,
    }
}

/// Gives a broker a block of producer ids.
pub(super) async fn allocate_producer_ids(
    control: &Control,
    request: AllocateProducerIdsRequest,
) -> AllocateProducerIdsResponse {
    let refuse = |refusal: Refusal| AllocateProducerIdsResponse { refusal: refusal.into(), first: -1, count: 0 };
    let (id, epoch) = (request.node_id, request.broker_epoch);
    let metadata = &control.node().metadata;
    match metadata.submit(&control.reactor, |controller| controller.allocate_producer_ids(id, epoch)).await {
        Ok(Ok(block)) => {
            AllocateProducerIdsResponse { refusal: Refusal::None.into(), first: block.first, count: block.count }
        }
        Ok(Err(MetadataError::StaleBrokerEpoch(_) | MetadataError::BrokerIdNotRegistered(_))) => {
            refuse(Refusal::StaleBrokerEpoch)
        }
        Ok(Err(_)) => refuse(Refusal::NotCommitted),
        Err(error) => refuse(refusal(&error)),
    }
}

/// Serves a client's request that came to another node.
pub(super) async fn forwarded(control: &Control, request: ForwardRequest) -> ForwardResponse {
    let refuse = |refusal: Refusal| ForwardResponse { refusal: refusal.into(), ..ForwardResponse::default() };
    if !control.cluster().leads() {
        return refuse(Refusal::NotController);
    }
    let nowhere = ([0, 0, 0, 0], 0).into();
    let mut connection = Connection::new(nowhere, nowhere);
    // Served by whoever leads: it is not passed on twice.
    match dispatch::serve_here(&control.reactor, &mut connection, request.frame).await {
        Ok(Reply::Bytes(frame)) => {
            // As for a client of this node's own: who is answered may ask any broker.
            until_seen(control.node(), control.cluster()).await;
            let applied_index = control.node().metadata.applied_index();
            ForwardResponse { refusal: Refusal::None.into(), frame, applied_index }
        }
        Ok(Reply::Runs(_)) | Err(_) => refuse(Refusal::NotCommitted),
    }
}

/// Returns once every broker that is let in sees what has been changed up to now, or after a second.
pub(crate) async fn until_seen(node: &crate::node::Node, cluster: &super::Cluster) {
    let index = node.metadata.applied_index();
    let seen = async {
        loop {
            let heard = cluster.heard.notified();
            let mut heard = std::pin::pin!(heard);
            // Before looking: a heartbeat in between must not be missed.
            heard.as_mut().enable();
            if cluster.sessions.lock().all_applied(&cluster.known(), node.config.node_id, index) {
                return;
            }
            heard.await;
        }
    };
    // One that is slow to hear does not hold up the answer for ever: what it answers is old, as it may be of any node.
    let _ = tokio::time::timeout(SEEN_WITHIN, seen).await;
}

fn refusal(error: &SubmitError) -> Refusal {
    match error {
        SubmitError::NotController | SubmitError::Lost => Refusal::NotController,
        SubmitError::Busy(_) | SubmitError::TimedOut | SubmitError::NodeStops => Refusal::NotCommitted,
    }
}
