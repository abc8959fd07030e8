//! Pieces of messages that are written by hand, in the old and the flexible form.

use bytes::{BufMut, BytesMut};

/// A writer for one version's form.
pub(crate) struct Writer<'a> {
    pub(crate) buffer: &'a mut BytesMut,
    pub(crate) flexible: bool,
}

impl Writer<'_> {
    pub(crate) fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    /// The length of an array or of bytes; `None` is null.
    pub(crate) fn nullable_length(&mut self, length: Option<usize>) {
        match (self.flexible, length) {
            (true, None) => self.unsigned_varint(0),
            (true, Some(length)) => self.unsigned_varint(wire_length(length) as u32 + 1),
            (false, None) => self.buffer.put_i32(-1),
            (false, Some(length)) => self.buffer.put_i32(wire_length(length)),
        }
    }

    pub(crate) fn length(&mut self, length: usize) {
        self.nullable_length(Some(length));
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// A string; longer ones than the protocol can carry are cut at a character.
    pub(crate) fn nullable_string(&mut self, value: Option<&str>) {
        let value = value.map(|text| &text[..text.floor_char_boundary(i16::MAX as usize)]);
        match (self.flexible, value) {
            (true, None) => self.unsigned_varint(0),
            (true, Some(text)) => self.unsigned_varint(text.len() as u32 + 1),
            (false, None) => self.buffer.put_i16(-1),
            (false, Some(text)) => self.buffer.put_i16(text.len() as i16),
        }
        self.buffer.put_slice(value.unwrap_or_default().as_bytes());
    }

    /// The end of a structure that carries no tagged field.
    pub(crate) fn no_tags(&mut self) {
        if self.flexible {
            self.buffer.put_u8(0);
        }
    }

    /// The end of a structure with tagged fields, given in the order of their numbers. Their payloads are staged in
    /// `write`, because the length stands before them.
    pub(crate) fn tags(&mut self, fields: &[(u32, bytes::Bytes)]) {
        if !self.flexible {
            return;
        }
        self.unsigned_varint(fields.len() as u32);
        for (tag, payload) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(wire_length(payload.len()) as u32);
            self.buffer.put_slice(payload);
        }
    }
}

/// Lengths come from memory this node allocated, far below what the wire can say.
fn wire_length(length: usize) -> i32 {
    i32::try_from(length).expect("a length beyond 2 GiB was never allocated")
}
