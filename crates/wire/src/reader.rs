//! A cursor over a frame for what is read by hand. Every length is checked against the bytes that are there.

use std::ops::Range;

use kafka_wire_core::DecodeError;

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        self.array()
    }

    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let offset = self.position;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            let low = u32::from(byte & 0x7f);
            if shift == 28 && low > 0x0f {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::MalformedVarint { offset })
    }

    /// The length of an array, in the old or the compact form. A count that the rest of the frame cannot hold, at
    /// `element_bytes` for the smallest element, is refused here, so that callers may reserve from it.
    pub(crate) fn array_len(&mut self, flexible: bool, element_bytes: usize) -> Result<usize, DecodeError> {
        let offset = self.position;
        let count = self.length("array", flexible)?.ok_or(DecodeError::NullNotAllowed { kind: "array", offset })?;
        let remaining = self.bytes.len() - self.position;
        if count.saturating_mul(element_bytes) > remaining {
            return Err(DecodeError::CountExceedsFrame { kind: "array", count, remaining, offset });
        }
        Ok(count)
    }

    pub(crate) fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Range<usize>>, DecodeError> {
        self.length("bytes", flexible)?.map(|length| self.take(length)).transpose()
    }

    /// A nullable string in the old form (`i16` length).
    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let range = self.nullable_text(false)?;
        Ok(range.map(|range| text(&self.bytes[range])))
    }

    /// Where a nullable string stands; its bytes are UTF-8.
    pub(crate) fn nullable_text(&mut self, flexible: bool) -> Result<Option<Range<usize>>, DecodeError> {
        let offset = self.position;
        let length = if flexible {
            self.length("string", true)?
        } else {
            match self.i16()? {
                -1 => None,
                length if length < 0 => {
                    return Err(DecodeError::NegativeLength { kind: "string", length: length.into(), offset });
                }
                length => Some(length as usize),
            }
        };
        length.map(|length| self.utf8(length)).transpose()
    }

    /// Where a string stands that may not be null; its bytes are UTF-8.
    pub(crate) fn text(&mut self, flexible: bool) -> Result<Range<usize>, DecodeError> {
        let offset = self.position;
        self.nullable_text(flexible)?.ok_or(DecodeError::NullNotAllowed { kind: "string", offset })
    }

    /// Steps over tagged fields; their order is held to what the protocol says.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        let mut previous = None;
        for _ in 0..count {
            let offset = self.position;
            let current = self.unsigned_varint()?;
            if let Some(previous) = previous.filter(|previous| current <= *previous) {
                return Err(DecodeError::TaggedFieldOrder { previous, current, offset });
            }
            previous = Some(current);
            let length = self.unsigned_varint()? as usize;
            self.take(length)?;
        }
        Ok(())
    }

    fn utf8(&mut self, length: usize) -> Result<Range<usize>, DecodeError> {
        let offset = self.position;
        let range = self.take(length)?;
        match std::str::from_utf8(&self.bytes[range.clone()]) {
            Ok(_) => Ok(range),
            Err(error) => Err(DecodeError::InvalidUtf8 { offset, valid_up_to: error.valid_up_to() }),
        }
    }

    fn length(&mut self, kind: &'static str, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let offset = self.position;
        if flexible {
            return Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize));
        }
        match self.i32()? {
            -1 => Ok(None),
            length if length < 0 => Err(DecodeError::NegativeLength { kind, length: length.into(), offset }),
            length => Ok(Some(length as usize)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let range = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, DecodeError> {
        let remaining = self.bytes.len() - self.position;
        if length > remaining {
            return Err(DecodeError::UnexpectedEnd { offset: self.position, needed: length, remaining });
        }
        let start = self.position;
        self.position += length;
        Ok(start..self.position)
    }
}

/// Text that a [`Reader`] has already checked.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("checked when the frame was read")
}
