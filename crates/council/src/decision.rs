//! Several metadata records as bytes: what one decision came to, and what a snapshot holds.

use chronik_state::metadata::Image;
use chronik_state::metadata::record::Record;

use crate::codec::{self, CodecError};

/// Each record behind its length (4 bytes).
pub fn encode(records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut bytes = Vec::new();
    for record in records {
        bytes.clear();
        codec::encode(record, &mut bytes);
        payload.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        payload.extend_from_slice(&bytes);
    }
    payload
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`CodecError`]: it is not that, or of a later version.
pub fn decode(mut payload: &[u8]) -> Result<Vec<Record>, CodecError> {
    let mut records = Vec::new();
    while let Some((length, rest)) = payload.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let bytes = rest.get(..length).ok_or_else(|| CodecError::Malformed("a record is cut short".to_owned()))?;
        records.push(codec::decode(bytes)?);
        payload = &rest[length..];
    }
    match payload.is_empty() {
        true => Ok(records),
        false => Err(CodecError::Malformed("there are bytes behind the last record".to_owned())),
    }
}

/// What a snapshot's records come to.
///
/// # Errors
/// As [`decode`].
pub fn image(payload: &[u8]) -> Result<Image, CodecError> {
    let mut image = Image::default();
    decode(payload)?.iter().for_each(|record| image.apply(record));
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronik_state::metadata::record::{ClusterRecord, ProducerIdsRecord};

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let records = vec![
            Record::Cluster(ClusterRecord { cluster_id: "c".into() }),
            Record::ProducerIds(ProducerIdsRecord { broker_id: -1, next: 7 }),
        ];
        let payload = encode(&records);
        assert_eq!(decode(&payload), Ok(records));
        assert_eq!(decode(&[]), Ok(vec![]));
        for length in 1..payload.len() {
            // Cut between records it is shorter, cut anywhere else it is refused.
            assert!(decode(&payload[..length]).map_or(true, |cut| cut.len() == 1), "cut to {length}");
        }
    }
}
