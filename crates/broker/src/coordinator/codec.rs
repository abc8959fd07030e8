//! The bytes of `__consumer_offsets`, in Kafka's own formats, so that Kafka's tools can read it.
//!
//! A key begins with its version, which also says what it is the key of: 0 and 1 a committed offset, 2 a classic group.
//! A value begins with its own version. Written as Kafka 4.x writes them: offsets in version 3 (or 1, which alone
//! can say when an offset expires), groups in version 3; versions 0 to 4 are read. Numbers are big-endian; strings
//! have an int16 length (−1: null), bytes and arrays an int32. In the flexible versions (4) lengths are unsigned
//! varints plus one, 0 for null, and each structure ends with tagged fields.
//!
//! Source: `OffsetCommitKey`, `OffsetCommitValue`, `GroupMetadataKey`, `GroupMetadataValue` of Apache Kafka's
//! group coordinator.

use bytes::{Buf, BufMut};
use chronik_state::group::{GroupRecord, GroupValue, MemberValue, OffsetValue};
use thiserror::Error;

const OFFSET_KEY_VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
const GROUP_KEY_VERSION: i16 = 2;
const FLEXIBLE_VERSION: i16 = 4;

/// Why a record of the topic cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    #[error("the record has no key")]
    NoKey,
    #[error("the value has version {0}, which nobody knows")]
    ValueVersion(i16),
    #[error("the record ends within a field, or says what cannot be")]
    Malformed,
}

/// Key and value; no value for a tombstone.
pub(crate) fn encode(record: &GroupRecord) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut key = Vec::new();
    match record {
        GroupRecord::Offset { group_id, topic, partition, value } => {
            key.put_i16(*OFFSET_KEY_VERSIONS.end());
            put_string(&mut key, group_id);
            put_string(&mut key, topic);
            key.put_i32(*partition);
            (key, value.as_ref().map(encode_offset))
        }
        GroupRecord::Group { group_id, value } => {
            key.put_i16(GROUP_KEY_VERSION);
            put_string(&mut key, group_id);
            (key, value.as_ref().map(encode_group))
        }
    }
}

/// The record, or nothing if it is of a kind that this version does not know: such records are passed over, as
/// Kafka does, so that a newer node's log can be read.
pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<GroupRecord>, CodecError> {
    let mut key = Reader { rest: key.ok_or(CodecError::NoKey)?, flexible: false };
    let version = key.i16()?;
    if OFFSET_KEY_VERSIONS.contains(&version) {
        let (group_id, topic, partition) = (key.string()?, key.string()?, key.i32()?);
        let value = value.map(decode_offset).transpose()?;
        Ok(Some(GroupRecord::Offset { group_id, topic, partition, value }))
    } else if version == GROUP_KEY_VERSION {
        let group_id = key.string()?;
        Ok(Some(GroupRecord::Group { group_id, value: value.map(decode_group).transpose()? }))
    } else {
        Ok(None)
    }
}

fn encode_offset(value: &OffsetValue) -> Vec<u8> {
    let version = if value.expire_timestamp_ms.is_some() { 1 } else { 3 };
    let mut out = Vec::new();
    out.put_i16(version);
    out.put_i64(value.offset);
    if version == 3 {
        out.put_i32(value.leader_epoch);
    }
    put_string(&mut out, &value.metadata);
    out.put_i64(value.commit_timestamp_ms);
    if let Some(expire_timestamp_ms) = value.expire_timestamp_ms {
        out.put_i64(expire_timestamp_ms);
    }
    out
}

fn decode_offset(bytes: &[u8]) -> Result<OffsetValue, CodecError> {
    let (mut reader, version) = Reader::of_value(bytes)?;
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = reader.string()?;
    let commit_timestamp_ms = reader.i64()?;
    let expires = if version == 1 { reader.i64()? } else { -1 };
    let expire_timestamp_ms = (expires != -1).then_some(expires);
    Ok(OffsetValue { offset, leader_epoch, metadata, commit_timestamp_ms, expire_timestamp_ms })
}

fn encode_group(value: &GroupValue) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i16(3);
    put_string(&mut out, &value.protocol_type);
    out.put_i32(value.generation_id);
    put_nullable_string(&mut out, value.protocol_name.as_deref());
    put_nullable_string(&mut out, value.leader.as_deref());
    out.put_i64(value.state_timestamp_ms.unwrap_or(-1));
    out.put_i32(value.members.len() as i32);
    for member in &value.members {
        put_string(&mut out, &member.member_id);
        put_nullable_string(&mut out, member.group_instance_id.as_deref());
        put_string(&mut out, &member.client_id);
        put_string(&mut out, &member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(&mut out, &member.subscription);
        put_bytes(&mut out, &member.assignment);
    }
    out
}

fn decode_group(bytes: &[u8]) -> Result<GroupValue, CodecError> {
    let (mut reader, version) = Reader::of_value(bytes)?;
    let protocol_type = reader.string()?;
    let generation_id = reader.i32()?;
    let protocol_name = reader.nullable_string()?;
    let leader = reader.nullable_string()?;
    let state_timestamp_ms = if version >= 2 { reader.i64()? } else { -1 };
    let count = reader.count()?;
    let members = (0..count).map(|_| decode_member(&mut reader, version)).collect::<Result<_, _>>()?;
    Ok(GroupValue {
        protocol_type,
        generation_id,
        protocol_name,
        leader,
        state_timestamp_ms: (state_timestamp_ms != -1).then_some(state_timestamp_ms),
        members,
    })
}

fn decode_member(reader: &mut Reader<'_>, version: i16) -> Result<MemberValue, CodecError> {
    let member = MemberValue {
        member_id: reader.string()?,
        group_instance_id: if version >= 3 { reader.nullable_string()? } else { None },
        client_id: reader.string()?,
        client_host: reader.string()?,
        rebalance_timeout_ms: if version >= 1 { reader.i32()? } else { -1 },
        session_timeout_ms: reader.i32()?,
        subscription: reader.bytes()?,
        assignment: reader.bytes()?,
    };
    reader.skip_tagged_fields()?;
    Ok(member)
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_nullable_string(out, Some(text));
}

/// Requests carry no strings longer than an int16 can say, and member ids are cut to fit where they are made.
fn put_nullable_string(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return out.put_i16(-1) };
    let length = i16::try_from(text.len()).expect("a string that came over the wire has an int16 length");
    out.put_i16(length);
    out.put_slice(text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// Reads one structure in the encoding of its version.
struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn of_value(bytes: &'a [u8]) -> Result<(Self, i16), CodecError> {
        let mut reader = Reader { rest: bytes, flexible: false };
        let version = reader.i16()?;
        if !(0..=FLEXIBLE_VERSION).contains(&version) {
            return Err(CodecError::ValueVersion(version));
        }
        reader.flexible = version >= FLEXIBLE_VERSION;
        Ok((reader, version))
    }

    fn i16(&mut self) -> Result<i16, CodecError> {
        self.rest.try_get_i16().map_err(|_| CodecError::Malformed)
    }

    fn i32(&mut self) -> Result<i32, CodecError> {
        self.rest.try_get_i32().map_err(|_| CodecError::Malformed)
    }

    fn i64(&mut self) -> Result<i64, CodecError> {
        self.rest.try_get_i64().map_err(|_| CodecError::Malformed)
    }

    fn string(&mut self) -> Result<String, CodecError> {
        self.nullable_string()?.ok_or(CodecError::Malformed)
    }

    fn nullable_string(&mut self) -> Result<Option<String>, CodecError> {
        let length = if self.flexible { self.compact_length()? } else { i32::from(self.i16()?) };
        if length < 0 {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| CodecError::Malformed)?;
        Ok(Some(text.to_owned()))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, CodecError> {
        let length = if self.flexible { self.compact_length()? } else { self.i32()? };
        Ok(self.take(length)?.to_vec())
    }

    /// Of an array; no more than could possibly be there.
    fn count(&mut self) -> Result<usize, CodecError> {
        let count = if self.flexible { self.compact_length()? } else { self.i32()? };
        usize::try_from(count).ok().filter(|count| *count <= self.rest.len()).ok_or(CodecError::Malformed)
    }

    fn skip_tagged_fields(&mut self) -> Result<(), CodecError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            self.take(i32::try_from(length).map_err(|_| CodecError::Malformed)?)?;
        }
        Ok(())
    }

    fn take(&mut self, length: i32) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(length).map_err(|_| CodecError::Malformed)?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn compact_length(&mut self) -> Result<i32, CodecError> {
        i32::try_from(i64::from(self.unsigned_varint()?) - 1).map_err(|_| CodecError::Malformed)
    }

    fn unsigned_varint(&mut self) -> Result<u32, CodecError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(expire_timestamp_ms: Option<i64>) -> GroupRecord {
        let leader_epoch = if expire_timestamp_ms.is_some() { -1 } else { 7 };
        let metadata = "m".to_owned();
        let value = OffsetValue { offset: 42, leader_epoch, metadata, commit_timestamp_ms: 1_000, expire_timestamp_ms };
        GroupRecord::Offset { group_id: "g".into(), topic: "t".into(), partition: 3, value: Some(value) }
    }

    fn group() -> GroupRecord {
        let member = |name: &str, group_instance_id: Option<&str>| MemberValue {
            member_id: name.into(),
            group_instance_id: group_instance_id.map(String::from),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 2,
            session_timeout_ms: 3,
            subscription: vec![4],
            assignment: vec![],
        };
        let value = GroupValue {
            protocol_type: "consumer".into(),
            generation_id: 5,
            protocol_name: Some("range".into()),
            leader: Some("a".into()),
            state_timestamp_ms: Some(6),
            members: vec![member("a", None), member("b", Some("i"))],
        };
        GroupRecord::Group { group_id: "g".into(), value: Some(value) }
    }

    fn round_trip(record: &GroupRecord) -> GroupRecord {
        let (key, value) = encode(record);
        decode(Some(&key), value.as_deref()).unwrap().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let empty = GroupValue {
            protocol_type: String::new(),
            generation_id: 0,
            protocol_name: None,
            leader: None,
            state_timestamp_ms: None,
            members: vec![],
        };
        for record in [
            offset(None),
            offset(Some(9)),
            group(),
            GroupRecord::Group { group_id: "g".into(), value: Some(empty) },
            GroupRecord::Group { group_id: "g".into(), value: None },
            GroupRecord::Offset { group_id: "g".into(), topic: "t".into(), partition: 3, value: None },
        ] {
            assert_eq!(round_trip(&record), record);
        }
    }

    /// What Kafka 4.3's own `OffsetCommitValue` writes of [`offset`], in each version.
    const OFFSETS: [&str; 5] = [
        "0000000000000000002a00016d00000000000003e8",
        "0001000000000000002a00016d00000000000003e80000000000000009",
        "0002000000000000002a00016d00000000000003e8",
        "0003000000000000002a0000000700016d00000000000003e8",
        "0004000000000000002a00000007026d00000000000003e800",
    ];

    /// What Kafka 4.3's own `GroupMetadataValue` writes of [`group`], in each version.
    const GROUPS: [&str; 5] = [
        concat!(
            "00000008636f6e73756d657200000005000572616e676500016100000002000161000163000a2f3132372e302e302e31",
            "00000003000000010400000000000162000163000a2f3132372e302e302e3100000003000000010400000000",
        ),
        concat!(
            "00010008636f6e73756d657200000005000572616e676500016100000002000161000163000a2f3132372e302e302e31",
            "0000000200000003000000010400000000000162000163000a2f3132372e302e302e3100000002000000030000000104",
            "00000000",
        ),
        concat!(
            "00020008636f6e73756d657200000005000572616e6765000161000000000000000600000002000161000163000a2f31",
            "32372e302e302e310000000200000003000000010400000000000162000163000a2f3132372e302e302e310000000200",
            "000003000000010400000000",
        ),
        concat!(
            "00030008636f6e73756d657200000005000572616e6765000161000000000000000600000002000161ffff000163000a",
            "2f3132372e302e302e310000000200000003000000010400000000000162000169000163000a2f3132372e302e302e31",
            "0000000200000003000000010400000000",
        ),
        concat!(
            "000409636f6e73756d6572000000050672616e6765026100000000000000060302610002630b2f3132372e302e302e31",
            "0000000200000003020401000262026902630b2f3132372e302e302e3100000002000000030204010000",
        ),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn bytes_are_those_that_kafka_writes() {
        let (key, value) = encode(&offset(None));
        assert_eq!((key, value.unwrap()), (bytes("000100016700017400000003"), bytes(OFFSETS[3])));
        assert_eq!(encode(&offset(Some(9))).1.unwrap(), bytes(OFFSETS[1]));
        let (key, value) = encode(&group());
        assert_eq!((key, value.unwrap()), (bytes("0002000167"), bytes(GROUPS[3])));
    }

    #[test]
    fn every_version_that_kafka_wrote_is_read() {
        for (version, hex) in OFFSETS.into_iter().enumerate() {
            let mut expected = offset((version == 1).then_some(9));
            if let (GroupRecord::Offset { value: Some(value), .. }, 0..3) = (&mut expected, version) {
                value.leader_epoch = -1;
            }
            assert_eq!(decode(Some(&bytes("000100016700017400000003")), Some(&bytes(hex))), Ok(Some(expected)));
        }
        for (version, hex) in GROUPS.into_iter().enumerate() {
            let mut expected = group();
            let GroupRecord::Group { value: Some(value), .. } = &mut expected else { unreachable!() };
            value.state_timestamp_ms = value.state_timestamp_ms.filter(|_| version >= 2);
            for member in &mut value.members {
                member.group_instance_id.take_if(|_| version < 3);
                member.rebalance_timeout_ms = if version >= 1 { 2 } else { -1 };
            }
            assert_eq!(decode(Some(&bytes("0002000167")), Some(&bytes(hex))), Ok(Some(expected)), "version {version}");
        }
    }

    /// Fields that a newer node adds to the flexible version are passed over.
    #[test]
    fn tagged_fields_are_passed_over() {
        let mut value = bytes(OFFSETS[4]);
        *value.last_mut().unwrap() = 1;
        value.extend([5, 2, 9, 9]);
        assert_eq!(decode(Some(&bytes("000100016700017400000003")), Some(&value)), Ok(Some(offset(None))));
    }

    #[test]
    fn what_nobody_knows_is_passed_over_and_damage_is_told() {
        assert_eq!(decode(Some(b"\0\x63\x01"), Some(b"x")), Ok(None));
        assert_eq!(decode(None, None), Err(CodecError::NoKey));
        assert_eq!(decode(Some(b"\0\x02\0\x01g"), Some(b"\0\x05")), Err(CodecError::ValueVersion(5)));
        for record in [offset(None), group()] {
            let (key, value) = encode(&record);
            let value = value.unwrap();
            for length in 0..value.len() {
                assert!(decode(Some(&key), Some(&value[..length])).is_err());
            }
            for length in 0..key.len() {
                assert!(decode(Some(&key[..length]), Some(&value)).is_err());
            }
        }
    }
}
