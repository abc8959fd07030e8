//! Who may do what. There are no access rules: everyone may do everything, and clients that ask are told so (KIP-430).

/// Bit of an operation in a set of operations: Kafka's number of it (`AclOperation`).
const fn operation(code: u32) -> i32 {
    1 << code
}

const READ: i32 = operation(3);
const WRITE: i32 = operation(4);
const CREATE: i32 = operation(5);
const DELETE: i32 = operation(6);
const ALTER: i32 = operation(7);
const DESCRIBE: i32 = operation(8);
const CLUSTER_ACTION: i32 = operation(9);
const DESCRIBE_CONFIGS: i32 = operation(10);
const ALTER_CONFIGS: i32 = operation(11);
const IDEMPOTENT_WRITE: i32 = operation(12);

/// Stands where a client did not ask.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// What there is to be done with a topic.
pub(crate) const TOPIC_OPERATIONS: i32 =
    READ | WRITE | CREATE | DELETE | ALTER | DESCRIBE | DESCRIBE_CONFIGS | ALTER_CONFIGS;

/// What there is to be done with the cluster.
pub(crate) const CLUSTER_OPERATIONS: i32 =
    CREATE | ALTER | DESCRIBE | CLUSTER_ACTION | DESCRIBE_CONFIGS | ALTER_CONFIGS | IDEMPOTENT_WRITE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_those_of_kafka() {
        // As Apache Kafka 4.3 without an authorizer answers.
        assert_eq!((TOPIC_OPERATIONS, CLUSTER_OPERATIONS), (3576, 8096));
    }
}
