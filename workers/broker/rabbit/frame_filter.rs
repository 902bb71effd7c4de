//! Protects lapin's parser from hostile message properties.
//!
//! RabbitMQ forwards properties unchanged. lapin parses them recursively, in a thread with a small stack:
//! headers nested a few hundred levels deep overflow it, which aborts the whole process; a name that is not
//! UTF-8 breaks the connection. Such a message would kill one worker after the other until the delivery limit
//! dead-lettered it, and then every ingester of dead letters.
//!
//! So every content header is checked on its way in, and one that lapin cannot parse safely is replaced by an
//! empty one: the message arrives with its body and without properties. A routing key that is not UTF-8
//! arrives with `?` in place of what is not ASCII. Everything else passes untouched.
//!
//! A larger stack was rejected: it cannot be set for lapin's thread alone, and it does not help with UTF-8.

use std::{
    future::Future,
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream as FutureStream;
use lapin::{Connection, ConnectionProperties, tcp::AsyncTcpStream, uri::AMQPUri};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio_rustls::TlsConnector;

use super::dial::{Stream, dial};

/// Levels of tables and arrays in headers; `x-death` of RabbitMQ has two.
const MAX_DEPTH: u8 = 16;

/// The longest frame that is checked as a whole.
/// Frames are at most 128 KiB unless an operator chose otherwise.
const MAX_FRAME: usize = 16 << 20;

/// Type, channel and size in front of a frame.
const FRAME_HEAD: usize = 7;

/// Class, weight and body size in front of the properties.
const CONTENT_HEAD: usize = 12;

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const HEARTBEAT: u8 = 8;
const FRAME_END: u8 = 0xCE;

/// Class 60, method 60: `basic.deliver`.
const DELIVER: [u8; 4] = [0, 60, 0, 60];

pub(super) async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: Option<TlsConnector>,
) -> Result<Connection, lapin::Error> {
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Guarded(Tokio::current())));
    let open = async move |uri: AMQPUri, _: Runtime<RuntimeParts<Tokio, Guarded>>| {
        // Plain to lapin: the encryption is inside, so that the filter reads clear text.
        Ok(AsyncTcpStream::Plain(Guard::new(dial(&uri, tls.as_ref()).await?)))
    };
    Connection::connector(uri, runtime, open, properties).await
}

#[derive(Debug, Clone)]
pub(super) struct Guarded(Tokio);

impl Reactor for Guarded {
    type TcpStream = Guard;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl FutureStream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Guard::new(Box::new(connecting.await?.into_inner()))) }
    }
}

pub(super) struct Guard {
    stream: Box<dyn Stream>,
    filter: Filter,
}

impl Guard {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, filter: Filter::default() }
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut chunk = [0; 16 << 10];
        loop {
            let given = this.filter.give(buffer);
            if given > 0 || buffer.is_empty() {
                return Poll::Ready(Ok(given));
            }
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(0));
            }
            this.filter.take(read.filled());
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Cuts the incoming bytes into frames and replaces what lapin would not survive.
#[derive(Debug, Default)]
struct Filter {
    /// A frame that has not come completely, or its head.
    partial: Vec<u8>,
    /// Bytes of the current frame that pass unchecked.
    passing: usize,
    /// It is not AMQP that comes: lapin shall say so.
    lost: bool,
    /// Checked, and not given yet from `given` on.
    checked: Vec<u8>,
    given: usize,
}

impl Filter {
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let ready = &self.checked[self.given..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        if self.given == self.checked.len() {
            self.checked.clear();
            self.given = 0;
        }
        count
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.lost {
                self.checked.extend_from_slice(bytes);
                return;
            }
            if self.passing > 0 {
                let (pass, rest) = bytes.split_at(self.passing.min(bytes.len()));
                self.checked.extend_from_slice(pass);
                self.passing -= pass.len();
                bytes = rest;
                continue;
            }
            let wanted = match self.partial.get(..FRAME_HEAD) {
                None => FRAME_HEAD,
                Some(head) => FRAME_HEAD + size(head) + 1,
            };
            let (more, rest) = bytes.split_at((wanted - self.partial.len()).min(bytes.len()));
            self.partial.extend_from_slice(more);
            bytes = rest;
            if self.partial.len() == FRAME_HEAD {
                self.head();
            } else if self.partial.len() == wanted {
                self.frame();
            }
        }
    }

    fn head(&mut self) {
        let (kind, size) = (self.partial[0], size(&self.partial));
        self.lost = !(METHOD..=HEARTBEAT).contains(&kind);
        let looked_at = matches!(kind, METHOD | CONTENT_HEADER) && size <= MAX_FRAME;
        if self.lost || !looked_at {
            self.passing = size + 1;
            self.checked.append(&mut self.partial);
        }
    }

    fn frame(&mut self) {
        let mut frame = std::mem::take(&mut self.partial);
        let end = frame.len() - 1;
        if frame[0] == METHOD {
            clean_routing_key(&mut frame[FRAME_HEAD..end]);
        } else if !is_harmless(&frame[FRAME_HEAD..end]) && end - FRAME_HEAD >= CONTENT_HEAD {
            frame.truncate(FRAME_HEAD + CONTENT_HEAD);
            // No flags: no properties.
            frame.extend_from_slice(&[0, 0, FRAME_END]);
            frame[3..FRAME_HEAD].copy_from_slice(&[0, 0, 0, 14]);
        }
        self.checked.append(&mut frame);
    }
}

fn size(head: &[u8]) -> usize {
    u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize
}

/// Makes the routing key of a `basic.deliver` ASCII if it is not UTF-8.
fn clean_routing_key(method: &mut [u8]) {
    let key = (|| {
        let mut rest = Bytes(method.strip_prefix(&DELIVER)?);
        rest.short()?;
        // Delivery tag and the flag of redelivery.
        rest.skip(9)?;
        rest.short()?;
        let start = method.len() - rest.0.len() + 1;
        let key = rest.short()?;
        std::str::from_utf8(key).is_err().then_some(start..start + key.len())
    })();
    if let Some(key) = key {
        method[key].iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
    }
}

fn is_harmless(content: &[u8]) -> bool {
    let mut rest = Bytes(content);
    rest.properties().is_some() && rest.0.is_empty()
}

/// Reads AMQP types.
/// `None` for what is cut short, unknown, not UTF-8 or nested too deeply.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.skip(1)?[0];
        self.skip(usize::from(length))
    }

    fn text(&mut self) -> Option<()> {
        std::str::from_utf8(self.short()?).ok().map(|_| ())
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.skip(4)?;
        self.skip(u32::from_be_bytes(length.try_into().ok()?) as usize)
    }

    fn properties(&mut self) -> Option<()> {
        self.skip(CONTENT_HEAD)?;
        let flags = u16::from_be_bytes(self.skip(2)?.try_into().ok()?);
        for bit in 0..16 {
            if flags & (1 << (15 - bit)) == 0 {
                continue;
            }
            match bit {
                // Headers; delivery mode and priority; timestamp; two that do not exist; the rest is text.
                2 => Bytes(self.long()?).table(MAX_DEPTH)?,
                3 | 4 => self.skip(1).map(|_| ())?,
                9 => self.skip(8).map(|_| ())?,
                14 | 15 => return None,
                _ => self.text()?,
            }
        }
        Some(())
    }

    fn table(&mut self, depth: u8) -> Option<()> {
        while !self.0.is_empty() {
            self.text()?;
            self.value(depth)?;
        }
        Some(())
    }

    fn array(&mut self, depth: u8) -> Option<()> {
        while !self.0.is_empty() {
            self.value(depth)?;
        }
        Some(())
    }

    fn value(&mut self, depth: u8) -> Option<()> {
        let length = match self.skip(1)?[0] {
            b'F' => return Bytes(self.long()?).table(depth.checked_sub(1)?),
            b'A' => return Bytes(self.long()?).array(depth.checked_sub(1)?),
            b'S' | b'x' => return self.long().map(|_| ()),
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'T' | b'd' => 8,
            _ => return None,
        };
        self.skip(length).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], &length[..], payload, &[FRAME_END]].concat()
    }

    /// A content header of a body of 7 bytes, with these flags and properties.
    fn content(flags: u16, properties: &[u8]) -> Vec<u8> {
        let head = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        frame(CONTENT_HEADER, &[&head, &flags.to_be_bytes()[..], properties].concat())
    }

    fn table(entries: &[u8]) -> Vec<u8> {
        [&u32::try_from(entries.len()).unwrap().to_be_bytes(), entries].concat()
    }

    fn nested(levels: usize) -> Vec<u8> {
        (1..levels).fold(table(b"\x01nV"), |inner, _| table(&[b"\x01nF", &inner[..]].concat()))
    }

    fn filtered(input: &[u8], step: usize) -> Vec<u8> {
        let mut filter = Filter::default();
        let mut output = Vec::new();
        for chunk in input.chunks(step) {
            filter.take(chunk);
            let mut buffer = [0; 5];
            loop {
                match filter.give(&mut buffer) {
                    0 => break,
                    given => output.extend_from_slice(&buffer[..given]),
                }
            }
        }
        output
    }

    #[test]
    fn passes_safe_frames_unchanged_in_any_pieces() {
        // Every type of value, and a table and an array around some.
        let values: [&[u8]; 17] = [
            b"t\x01",
            b"b\xff",
            b"B\xff",
            b"s\xff\xff",
            b"U\xff\xff",
            b"u\xff\xff",
            b"I\xff\xff\xff\xff",
            b"i\xff\xff\xff\xff",
            b"f\0\0\0\0",
            b"D\x01\0\0\0\x02",
            b"L\0\0\0\0\0\0\0\x01",
            b"l\0\0\0\0\0\0\0\x01",
            b"T\0\0\0\0\0\0\0\x01",
            b"d\0\0\0\0\0\0\0\0",
            b"S\0\0\0\x02\xff\xfe",
            b"x\0\0\0\x02\xff\xfe",
            b"A\0\0\0\x03VVV",
        ];
        let mut entries: Vec<u8> =
            values.iter().flat_map(|value| [&b"\x03\xe9\xab\x99"[..], value].concat()).collect();
        entries.extend_from_slice(b"\x01tF\0\0\0\x03\x01nV");
        let text = b"\x03\xe9\xab\x99";
        let written = [
            &[0xff, 0xfc][..],
            text,
            text,
            &table(&entries),
            &[2],
            &[1],
            text,
            text,
            text,
            text,
            &[0, 0, 0, 0, 0, 0, 0, 1],
            text,
            text,
            text,
            text,
        ]
        .concat();
        let full = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], &written[..]].concat();
        assert!(is_harmless(&full));
        let stream = [
            frame(METHOD, b"\x00\x3c\x00\x14"),
            frame(CONTENT_HEADER, &full),
            frame(3, &[0xCE; 1000]),
            frame(HEARTBEAT, b""),
            content(0, b""),
        ]
        .concat();
        for step in [1, 2, 7, 8, 1000, stream.len()] {
            assert!(filtered(&stream, step) == stream, "in steps of {step}");
        }
    }

    #[test]
    fn removes_only_properties_that_would_crash_lapin() {
        let headers = 1 << 13;
        let message_id = 1 << 7;
        let deep = usize::from(MAX_DEPTH);
        assert_eq!(filtered(&content(headers, &nested(deep)), 64), content(headers, &nested(deep)));
        let array = (0..10_000).fold(table(b""), |inner, _| table(&[b"A", &inner[..]].concat()));
        for (why, hostile) in [
            ("too deep", content(headers, &nested(deep + 2))),
            ("abysmal", content(headers, &nested(20_000))),
            ("array", content(headers, &table(&[b"\x01nA", &array[..]].concat()))),
            ("not UTF-8", content(message_id, b"\x02\xff\xfe")),
            ("key not UTF-8", content(headers, &table(b"\x01\xffV"))),
            ("unknown type", content(headers, &table(b"\x01n?"))),
            ("cut short", content(headers, &table(b"\x05n"))),
            ("length lies", content(headers, b"\xff\xff\xff\xff")),
            ("more than it says", content(0, b"x")),
            ("unknown flag", content(1, b"")),
        ] {
            let stream = [hostile, frame(3, b"payload")].concat();
            let expected = [content(0, b""), frame(3, b"payload")].concat();
            for step in [1, 1 << 20] {
                assert!(filtered(&stream, step) == expected, "{why}");
            }
        }
    }

    #[test]
    fn replaces_invalid_utf8_in_routing_keys() {
        let deliver = |key: &[u8]| {
            let length = u8::try_from(key.len()).unwrap();
            frame(METHOD, &[&DELIVER, &b"\x02ct\0\0\0\0\0\0\0\x09\x01\x04work"[..], &[length], key].concat())
        };
        assert_eq!(filtered(&deliver("発行".as_bytes()), 3), deliver("発行".as_bytes()));
        assert_eq!(filtered(&deliver(b"a\xff\x80z"), 3), deliver(b"a??z"));
        let cut = frame(METHOD, &DELIVER);
        assert_eq!(filtered(&cut, 3), cut);
    }

    #[test]
    fn passes_bytes_that_are_not_amqp() {
        for stream in [&b"AMQP\x00\x00\x09\x01"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff"] {
            let passed = filtered(stream, 3);
            assert!(
                stream.starts_with(&passed) && (passed.len() == stream.len() || stream.len() < FRAME_HEAD)
            );
        }
    }
}
