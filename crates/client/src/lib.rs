//! Outgoing Kafka connections, for the command line and the tests.
