//! The codec against the bytes Kafka itself writes: every vector decodes and comes back byte for byte.

use crate::support::{VECTOR_COUNT, round_trip_of, vectors};

#[test]
fn every_vector_comes_back_byte_for_byte() {
    let Some(vectors) = vectors() else { return };
    let mut same = 0;
    for vector in &vectors {
        let round_trip =
            round_trip_of(&vector.message).unwrap_or_else(|| panic!("no message {} in the codec", vector.message));
        let bytes = round_trip(vector.bytes.clone(), vector.version)
            .unwrap_or_else(|error| panic!("{} v{} {}: {error}", vector.message, vector.version, vector.name));
        assert_eq!(bytes, vector.bytes, "{} v{} {}", vector.message, vector.version, vector.name);
        same += 1;
    }
    assert_eq!(same, VECTOR_COUNT);
}
