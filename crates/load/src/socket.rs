//! A connection that never waits: whole frames out of what came, and what could not be sent yet kept for later.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

/// Longest answer that is read; a longer one is taken for nonsense.
const ANSWER_BYTES_MAX: usize = 1 << 30;
const FIRST_BUFFER: usize = 16 << 10;

/// A connection to a broker, and the bytes that came by it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    input: Vec<u8>,
    /// What of `input` came and was not yet taken.
    unread: Range<usize>,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Socket> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Socket { stream, address, input: vec![0; FIRST_BUFFER], unread: 0..0 })
    }

    /// Reads once. True if there may be more.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        self.make_room();
        let room = self.input.len() - self.unread.end;
        loop {
            return match self.stream.read(&mut self.input[self.unread.end..]) {
                Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker closed it")),
                Ok(bytes) => {
                    self.unread.end += bytes;
                    Ok(bytes == room)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// The next whole answer without its length, if there is one. `None` in the inner place: a length that makes no sense.
    pub(crate) fn next_answer(&mut self) -> Option<Option<&[u8]>> {
        let length = self.announced()?;
        if !(4..=ANSWER_BYTES_MAX).contains(&length) {
            return Some(None);
        }
        if self.unread.len() < 4 + length {
            return None;
        }
        let start = self.unread.start + 4;
        self.unread.start = start + length;
        Some(Some(&self.input[start..start + length]))
    }

    /// Length of the answer that comes next, as far as it is known.
    fn announced(&self) -> Option<usize> {
        let length = self.input[self.unread.clone()].get(..4)?;
        Some(u32::from_be_bytes(length.try_into().expect("four bytes")) as usize)
    }

    /// Moves what is unread to the front when it is in the way, and grows for an answer that is longer than the buffer.
    fn make_room(&mut self) {
        let whole = self.announced().map_or(0, |length| 4 + length.min(ANSWER_BYTES_MAX));
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.input.len() || self.unread.start + whole > self.input.len() {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.input.len() < whole {
            self.input.resize(whole, 0);
        }
    }

    /// Writes what the kernel takes of `head` and `tail`, of which `done` bytes have been taken before. The new `done`.
    pub(crate) fn write(&mut self, head: &[u8], tail: &[u8], mut done: usize) -> io::Result<usize> {
        let whole = head.len() + tail.len();
        while done < whole {
            let parts = [
                io::IoSlice::new(&head[done.min(head.len())..]),
                io::IoSlice::new(&tail[done.saturating_sub(head.len())..]),
            ];
            let parts = if done < head.len() { &parts[..] } else { &parts[1..] };
            match self.stream.write_vectored(parts) {
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn answers_come_whole_however_they_were_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let answers: Vec<Vec<u8>> =
            [4, 5, 40_000, 4, 16_380, 100_000].map(|length| vec![length as u8; length]).to_vec();
        let mut bytes = Vec::new();
        for answer in &answers {
            bytes.extend((answer.len() as u32).to_be_bytes());
            bytes.extend(answer);
        }
        let sender = std::thread::spawn(move || {
            for piece in bytes.chunks(7_777) {
                peer.write_all(piece).unwrap();
            }
            peer
        });
        let mut got = Vec::new();
        while got.len() < answers.len() {
            socket.read().unwrap();
            while let Some(answer) = socket.next_answer() {
                got.push(answer.expect("a sound length").to_vec());
            }
        }
        assert!(got == answers);
        drop(sender.join().unwrap());
        while let Ok(more) = socket.read() {
            assert!(!more);
        }
    }

    #[test]
    fn a_length_without_sense_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"HTTP/1.1 400").unwrap();
        let nonsense = loop {
            socket.read().unwrap();
            if let Some(answer) = socket.next_answer() {
                break answer.is_none();
            }
        };
        assert!(nonsense);
    }
}
