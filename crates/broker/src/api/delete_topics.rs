//! DeleteTopics (key 20). Versions 1 to 6; by name, from version 6 on by name or id (KIP-516).
//!
//! Each topic for itself. Its partitions stop serving before the answer, and their files go; a topic of the same name may be
//! created at once and is another one. What is named twice is INVALID_REQUEST, answered once. With `delete.topic.enable`
//! off everything is TOPIC_DELETION_DISABLED (INVALID_REQUEST before version 3).
//!
//! Errors: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INVALID_REQUEST, TOPIC_DELETION_DISABLED. Texts from version 5 on
//! (KIP-599).

use std::collections::BTreeSet;
use std::sync::Arc;

use chronik_state::ids::TopicId;
use chronik_state::metadata::{Topic, TopicKey};
use chronik_wire::messages::delete_topics_response::DeletableTopicResult;
use chronik_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use chronik_wire::{ErrorCode, StrBytes, Uuid, message};

use crate::dispatch::errors::Failure;
use crate::dispatch::table::serves;
use crate::dispatch::{BadRequest, Reply, Request};

serves!(DeleteTopics);

async fn handle(request: Request<'_>) -> Result<Reply, BadRequest> {
    let body: DeleteTopicsRequest = request.decode()?;
    let asked = asked(&body, request.version());
    let keys: Vec<TopicKey> = asked.iter().filter_map(|topic| topic.key().ok()).collect();
    let mut deleted = delete(&request, &keys).await.into_iter();
    let mut answered = BTreeSet::new();
    let mut responses = Vec::with_capacity(asked.len());
    for topic in &asked {
        let result = topic.key().and_then(|_| deleted.next().expect("one result a key"));
        if topic.key().is_err() || answered.insert((topic.name.clone(), topic.id)) {
            responses.push(topic.response(result, request.version()));
        }
    }
    request.reply(&message!(DeleteTopicsResponse { responses }))
}

/// A topic as the request has it.
struct Asked {
    name: Option<StrBytes>,
    id: TopicId,
}

impl Asked {
    fn key(&self) -> Result<TopicKey, Failure> {
        let refused = |text: &str| Err(Failure { code: ErrorCode::InvalidRequest, message: Some(text.to_owned()) });
        match &self.name {
            None if self.id.is_zero() => refused("Neither topic name nor id were specified."),
            None => Ok(TopicKey::Id(self.id)),
            Some(name) if self.id.is_zero() => Ok(TopicKey::Name(name.as_str().to_owned())),
            Some(_) => refused("You may not specify both topic name and topic id."),
        }
    }

    fn response(&self, result: Result<Arc<Topic>, Failure>, version: i16) -> DeletableTopicResult {
        let mut response = message!(DeletableTopicResult { name: self.name.clone() });
        if version >= 6 {
            response.topic_id = Uuid::from_bytes(self.id.0);
        }
        match result {
            Ok(topic) => {
                response.name = Some(StrBytes::from(&*topic.name));
                if version >= 6 {
                    response.topic_id = Uuid::from_bytes(topic.id.0);
                }
            }
            Err(failure) => {
                response.error_code = failure.code.code();
                response.error_message = failure.message.filter(|_| version >= 5).map(StrBytes::from);
            }
        }
        response
    }
}

fn asked(body: &DeleteTopicsRequest, version: i16) -> Vec<Asked> {
    match version {
        ..6 => body.topic_names.iter().map(|name| Asked { name: Some(name.clone()), id: TopicId::ZERO }).collect(),
        _ => body
            .topics
            .iter()
            .map(|topic| Asked { name: topic.name.clone(), id: TopicId(topic.topic_id.to_bytes()) })
            .collect(),
    }
}

async fn delete(request: &Request<'_>, keys: &[TopicKey]) -> Vec<Result<Arc<Topic>, Failure>> {
    let refused = |failure: Failure| keys.iter().map(|_| Err(failure.clone())).collect();
    if !request.node().settings.delete_topics {
        let text = "Topic deletion is disabled.".to_owned();
        let code = if request.version() < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return refused(Failure { code, message: Some(text) });
    }
    let metadata = &request.node().metadata;
    match metadata.submit(request.reactor, |controller| controller.delete_topics(keys)).await {
        Ok(results) => results.into_iter().map(|result| result.map_err(Failure::from)).collect(),
        Err(error) => refused(Failure::from(error)),
    }
}
