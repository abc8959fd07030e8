//! Kafka bytes: the codec behind one facade, the table of APIs and versions, bounded decoding.
