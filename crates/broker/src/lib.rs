//! Accepts Kafka connections and runs the tasks of a node.
