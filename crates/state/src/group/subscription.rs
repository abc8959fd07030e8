//! The topics of a consumer's subscription: the one part of members' metadata that the coordinator looks into.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};

/// Topics of `ConsumerProtocolSubscription`: `int16 version, int32 count, count × (int16 length, name), …`.
/// Later versions only add behind this. None if the bytes are something else.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let (version, mut rest) = split_i16(metadata)?;
    let count;
    (count, rest) = split_i32(rest)?;
    if version < 0 || count < 0 {
        return None;
    }
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let length;
        (length, rest) = split_i16(rest)?;
        let name = rest.get(..usize::try_from(length).ok()?)?;
        rest = &rest[name.len()..];
        topics.insert(core::str::from_utf8(name).ok()?.to_string());
    }
    Some(topics)
}

fn split_i16(bytes: &[u8]) -> Option<(i16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((i16::from_be_bytes(*head), rest))
}

fn split_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((i32::from_be_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_topics_of_any_version() {
        let bytes = [0, 3, 0, 0, 0, 2, 0, 1, b'b', 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 9, 9];
        assert_eq!(subscribed_topics(&bytes), Some(BTreeSet::from(["a".into(), "b".into()])));
    }

    #[test]
    fn what_is_no_subscription_says_nothing() {
        for bytes in [&b""[..], b"\0", b"\0\0\0\0\0\x01", b"\0\0\x7f\xff\xff\xff\0\0", b"\0\0\0\0\0\x01\xff\xff", b"\0\0\xff\0\0\0"] {
            assert_eq!(subscribed_topics(bytes), None, "{bytes:?}");
        }
    }
}
