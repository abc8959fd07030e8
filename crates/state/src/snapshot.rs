//! The byte form in which machines leave their state to a checkpoint: a version byte, then variable-length integers.
//!
//! The bytes carry no checksum: whoever stores them has one. Reading checks every bound, so that bytes which are no
//! snapshot are an error and never a panic or a large allocation.

use alloc::vec::Vec;

/// Bytes that are not a snapshot this version can read; the state has to be rebuilt from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes end before the state does.
    #[error("snapshot is cut short at byte {at}")]
    CutShort { at: usize },
    /// Written by a newer version.
    #[error("snapshot has version {found}, newest known is {newest}")]
    UnknownVersion { found: u8, newest: u8 },
    /// A value that no machine would have written.
    #[error("snapshot is malformed: {what}")]
    Malformed { what: &'static str },
}

/// Writes a snapshot.
pub(crate) struct SnapshotWriter {
    bytes: Vec<u8>,
}

impl SnapshotWriter {
    pub(crate) fn new(version: u8) -> Self {
        SnapshotWriter { bytes: Vec::from([version]) }
    }

    /// Seven bits a byte, lowest first, high bit set on all but the last.
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zig-zag, so that −1 takes one byte.
    pub(crate) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what a [`SnapshotWriter`] wrote.
pub(crate) struct SnapshotReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> SnapshotReader<'a> {
    /// Opens `bytes`, which must have been written as one of the versions 1 to `newest`.
    pub(crate) fn open(bytes: &'a [u8], newest: u8) -> Result<Self, SnapshotError> {
        let mut reader = SnapshotReader { bytes, at: 0 };
        match reader.byte()? {
            0 => Err(SnapshotError::Malformed { what: "version 0" }),
            found if found > newest => Err(SnapshotError::UnknownVersion { found, newest }),
            _ => Ok(reader),
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, SnapshotError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SnapshotError::Malformed { what: "an integer of more than 64 bits" })
    }

    pub(crate) fn signed(&mut self) -> Result<i64, SnapshotError> {
        let raw = self.unsigned()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A signed integer that has to fit a narrower type.
    pub(crate) fn narrow<T: TryFrom<i64>>(&mut self) -> Result<T, SnapshotError> {
        T::try_from(self.signed()?).map_err(|_| SnapshotError::Malformed { what: "an integer out of its range" })
    }

    /// Refuses bytes behind the end.
    pub(crate) fn finish(self) -> Result<(), SnapshotError> {
        match self.at == self.bytes.len() {
            true => Ok(()),
            false => Err(SnapshotError::Malformed { what: "bytes behind the end" }),
        }
    }

    fn byte(&mut self) -> Result<u8, SnapshotError> {
        let byte = *self.bytes.get(self.at).ok_or(SnapshotError::CutShort { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_survive(values: Vec<i64>, raw: Vec<u64>) {
            let mut writer = SnapshotWriter::new(1);
            values.iter().for_each(|value| writer.signed(*value));
            raw.iter().for_each(|value| writer.unsigned(*value));
            let bytes = writer.finish();
            let mut reader = SnapshotReader::open(&bytes, 1).unwrap();
            for value in values {
                prop_assert_eq!(reader.signed().unwrap(), value);
            }
            for value in raw {
                prop_assert_eq!(reader.unsigned().unwrap(), value);
            }
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(mut reader) = SnapshotReader::open(&bytes, 3) {
                while reader.signed().is_ok() {}
            }
        }
    }

    #[test]
    fn an_integer_that_overflows_is_malformed() {
        let bytes = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let mut reader = SnapshotReader::open(&bytes, 1).unwrap();
        assert!(matches!(reader.unsigned(), Err(SnapshotError::Malformed { .. })));
    }
}
