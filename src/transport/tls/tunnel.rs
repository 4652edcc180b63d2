//! One connection under TLS: ciphertext of a socket to plaintext and back.
//!
//! rustls' unbuffered interface is used, because its buffered one reads 4 KiB at a time and
//! keeps that buffer for the life of the connection. Here, records are received into a
//! buffer that all connections of a thread share and decrypted where they lie; an idle
//! connection keeps none of its own.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, ProtocolVersion};
use zeroize::Zeroize;

use super::identity::{Presented, Resolver};
use super::{ClientTls, ServerTls, TlsError};
use crate::transport::Socket;

/// Plaintext sealed at a time.
const SEAL_BYTES_MAX: usize = 64 * 1024;
/// What that is as records, with room for an update of the keys or an alert before it.
const SEALED_BYTES_MAX: usize = SEAL_BYTES_MAX + 4 * 1024;
/// A thread's receive buffer: what is asked of a socket at a time, behind an unfinished
/// record or a message of the handshake in parts, of which rustls allows 64 KiB.
const RECEIVED_BYTES_MAX: usize = 84 * 1024;
/// Asked of a socket at a time, however small the caller's buffer is.
const RECEIVE_BYTES_MIN: usize = 4 * 1024;
/// Room for one alert as a record.
const ALERT_BYTES_MAX: usize = 1024;

struct Scratch {
    /// All zero between uses.
    received: Box<[u8]>,
    sealed: Box<[u8]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        received: vec![0; RECEIVED_BYTES_MAX].into(),
        sealed: vec![0; SEALED_BYTES_MAX].into(),
    });
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What was agreed in the handshake.
#[derive(Default)]
pub struct TlsFacts {
    /// As PostgreSQL shows it: `TLSv1.3`.
    pub version: &'static str,
    /// The IANA name of the cipher suite.
    pub cipher: &'static str,
    /// The IANA name of the key exchange group.
    pub group: Option<&'static str>,
    /// ALPN came to `postgresql`, the only protocol that is offered and taken here.
    pub alpn: bool,
    /// The host name that the client asked for.
    pub sni: Option<Box<str>>,
    /// DER of the end-entity certificate that this side presented to a client. Shared with
    /// the [`super::ServerTls`] of its time.
    pub presented: Option<Arc<[u8]>>,
}

/// What the peer has said last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inflow {
    Open,
    /// End of file, or `close_notify`.
    Ended,
    /// It broke the protocol: nothing more is read or written.
    Broken,
}

pub struct Tunnel {
    side: Side,
    /// Received: the head of a record, or parts of a message of the handshake.
    /// At most [`RECEIVED_BYTES_MAX`].
    carried: Vec<u8>,
    /// Plaintext that the caller had no room for.
    opened: Vec<u8>,
    /// Bytes of `opened` already given out; 0 <= `given` <= opened.len().
    given: usize,
    /// Records that the socket did not take.
    unsent: Vec<u8>,
    /// Bytes of `unsent` already sent; 0 <= `sent` <= unsent.len().
    sent: usize,
    inflow: Inflow,
    facts: TlsFacts,
}

/// Where plaintext goes: into the caller's buffer, and what has no room there is kept.
struct Outlet<'a> {
    buffer: &'a mut [u8],
    /// 0 <= `filled` <= buffer.len().
    filled: usize,
    kept: &'a mut Vec<u8>,
}

impl Outlet<'_> {
    fn put(&mut self, plaintext: &[u8]) {
        let room = self.buffer.get_mut(self.filled..).unwrap_or(&mut []);
        let count = room.len().min(plaintext.len());
        let (now, later) = plaintext.split_at(count);
        room.get_mut(..count).unwrap_or(&mut []).copy_from_slice(now);
        self.filled += count;
        self.kept.extend_from_slice(later);
    }
}

/// What is to be done once nothing more of the input can be processed.
enum Task<'a> {
    Nothing,
    Seal { plaintext: &'a [u8], sealed: &'a mut [u8] },
    Close { sealed: &'a mut [u8] },
}

enum Next {
    Again,
    /// More input is needed, or the task is done: with so many bytes.
    Settled(usize),
    Closed,
    Failed(rustls::Error),
}

/// One state of rustls, handled. Says how much of the input is used up, and what is next.
fn step<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    outlet: &mut Outlet<'_>,
    unsent: &mut Vec<u8>,
    task: &mut Task<'_>,
) -> (usize, Next) {
    let UnbufferedStatus { mut discard, state } = status;
    let next = match state {
        Err(error) => Next::Failed(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Next::Again,
                Some(Ok(record)) => {
                    discard += record.discard;
                    outlet.put(record.payload);
                }
                Some(Err(error)) => break Next::Failed(error),
            }
        },
        Ok(ConnectionState::EncodeTlsData(data)) => {
            encode(data, unsent);
            Next::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It is in `unsent`, which is sent in order.
            data.done();
            Next::Again
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let sealed = match task {
                Task::Nothing => Ok(0),
                Task::Seal { plaintext, sealed } => traffic.encrypt(plaintext, sealed),
                Task::Close { sealed } => traffic.queue_close_notify(sealed),
            };
            match sealed {
                Ok(count) => Next::Settled(count),
                Err(error) => Next::Failed(rustls::Error::General(error.to_string())),
            }
        }
        Ok(ConnectionState::BlockedHandshake) => Next::Settled(0),
        Ok(ConnectionState::PeerClosed) => Next::Closed,
        Ok(ConnectionState::Closed) => Next::Settled(0),
        // Early data is never allowed here; a state that a later rustls adds is not known.
        Ok(_) => Next::Failed(rustls::Error::General("unexpected state of the connection".into())),
    };
    (discard, next)
}

fn encode<Side>(mut data: EncodeTlsData<'_, Side>, unsent: &mut Vec<u8>) {
    let at = unsent.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        unsent.resize(at + size.required_size, 0);
        let written = data.encode(unsent.get_mut(at..).unwrap_or(&mut [])).unwrap_or(0);
        unsent.truncate(at + written);
    }
}

fn broken() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the TLS connection is broken")
}

impl Tunnel {
    /// A client's end, and what tells afterwards which certificate it was shown.
    ///
    /// # Errors
    /// rustls'.
    pub fn accept(tls: &ServerTls) -> Result<(Box<Tunnel>, Arc<Resolver>), TlsError> {
        let (connection, resolver) = tls.connection().map_err(TlsError::Protocol)?;
        Ok((Box::new(Tunnel::new(Side::Server(connection))), resolver))
    }

    /// A server's end; the first message to it is made.
    ///
    /// # Errors
    /// rustls'; `host` cannot be verified.
    pub fn connect(tls: &ClientTls, host: &str) -> Result<Box<Tunnel>, TlsError> {
        let mut tunnel = Box::new(Tunnel::new(Side::Client(tls.connection(host)?)));
        tunnel.process(&mut [], &mut []).2.map_err(TlsError::Protocol)?;
        Ok(tunnel)
    }

    fn new(side: Side) -> Tunnel {
        Tunnel {
            side,
            carried: Vec::new(),
            opened: Vec::new(),
            given: 0,
            unsent: Vec::new(),
            sent: 0,
            inflow: Inflow::Open,
            facts: TlsFacts::default(),
        }
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }

    pub fn facts(&self) -> &TlsFacts {
        &self.facts
    }

    /// DER of the peer's end-entity certificate. rustls keeps the chain as long as the
    /// connection lives.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(self.common().peer_certificates()?.first()?)
    }

    pub fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// Is there something to read, whatever the socket says?
    pub fn has_news(&self) -> bool {
        self.given < self.opened.len() || self.inflow != Inflow::Open
    }

    pub fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Processes `input` as far as it goes; says how much of it is used up and how much of
    /// `buffer` is filled. Alerts and answers to the peer are added to what is unsent.
    fn process(&mut self, input: &mut [u8], buffer: &mut [u8]) -> (usize, usize, Result<(), rustls::Error>) {
        let mut outlet = Outlet { buffer, filled: 0, kept: &mut self.opened };
        let mut used = 0;
        let task = &mut Task::Nothing;
        let end = loop {
            let rest = input.get_mut(used..).unwrap_or(&mut []);
            let (discard, next) = match &mut self.side {
                Side::Server(connection) => {
                    step(connection.process_tls_records(rest), &mut outlet, &mut self.unsent, task)
                }
                Side::Client(connection) => {
                    step(connection.process_tls_records(rest), &mut outlet, &mut self.unsent, task)
                }
            };
            used += discard;
            match next {
                Next::Again => {}
                Next::Settled(_) => break Ok(()),
                Next::Closed => {
                    self.inflow = Inflow::Ended;
                    // What follows is ignored, as RFC 8446 has it.
                    used = input.len();
                    break Ok(());
                }
                Next::Failed(error) => {
                    self.inflow = Inflow::Broken;
                    break Err(error);
                }
            }
        };
        let filled = outlet.filled;
        if end.is_err() {
            self.last_words(input.get_mut(used..).unwrap_or(&mut []));
        }
        (used, filled, end)
    }

    /// After a failure: the alert that tells the peer.
    fn last_words(&mut self, rest: &mut [u8]) {
        while self.common().wants_write() {
            let outlet = &mut Outlet { buffer: &mut [], filled: 0, kept: &mut Vec::new() };
            let task = &mut Task::Nothing;
            let (_, next) = match &mut self.side {
                Side::Server(connection) => {
                    step(connection.process_tls_records(rest), outlet, &mut self.unsent, task)
                }
                Side::Client(connection) => {
                    step(connection.process_tls_records(rest), outlet, &mut self.unsent, task)
                }
            };
            if !matches!(next, Next::Again) {
                return;
            }
        }
    }

    /// Runs a task that makes one or more records; how many bytes they are.
    fn make(&mut self, mut task: Task<'_>) -> io::Result<usize> {
        if self.inflow == Inflow::Broken {
            return Err(broken());
        }
        loop {
            let outlet = &mut Outlet { buffer: &mut [], filled: 0, kept: &mut self.opened };
            let (unsent, carried) = (&mut self.unsent, &mut self.carried);
            let (discard, next) = match &mut self.side {
                Side::Server(connection) => {
                    step(connection.process_tls_records(carried), outlet, unsent, &mut task)
                }
                Side::Client(connection) => {
                    step(connection.process_tls_records(carried), outlet, unsent, &mut task)
                }
            };
            carried.drain(..discard.min(carried.len()));
            match next {
                Next::Again => {}
                // Before the handshake is done and after close_notify nothing can be sealed.
                Next::Settled(0) => return Err(ErrorKind::NotConnected.into()),
                Next::Settled(count) => return Ok(count),
                Next::Closed => self.inflow = Inflow::Ended,
                Next::Failed(error) => {
                    self.inflow = Inflow::Broken;
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            }
        }
    }

    /// Processes bytes that were read before TLS began.
    ///
    /// # Errors
    /// The peer broke the protocol, and was told so if it could be at once.
    pub fn take_early(&mut self, socket: &Socket, early: &[u8]) -> Result<(), TlsError> {
        self.feed(early).map_err(|error| {
            let _ = self.try_flush(socket);
            TlsError::Protocol(error)
        })
    }

    /// Processes bytes that no socket gave.
    ///
    /// # Errors
    /// They break the protocol.
    pub fn feed(&mut self, early: &[u8]) -> Result<(), rustls::Error> {
        let mut input = std::mem::take(&mut self.carried);
        input.extend_from_slice(early);
        let (used, _, end) = self.process(&mut input, &mut []);
        self.carried = input.get(used..).unwrap_or(&[]).to_vec();
        input.zeroize();
        end
    }

    /// Receives once and opens what came: how much of `buffer` is filled, and whether the
    /// socket has been emptied.
    fn receive(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result<(usize, bool), TlsError> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = &mut scratch.received;
            let start = self.carried.len();
            let asked = buffer.len().max(RECEIVE_BYTES_MIN).min(room.len().saturating_sub(start));
            let piece = room.get_mut(start..start + asked).unwrap_or(&mut []);
            if piece.is_empty() {
                self.inflow = Inflow::Broken;
                return Err(TlsError::Io(broken()));
            }
            let count = socket.try_read(piece).map_err(TlsError::Io)?;
            let short = count < asked;
            if count == 0 {
                self.inflow = Inflow::Ended;
                return Ok((0, true));
            }
            if short {
                socket.forget_readable();
            }
            let end = start + count;
            let input = room.get_mut(..end).unwrap_or(&mut []);
            input.get_mut(..start).unwrap_or(&mut []).copy_from_slice(&self.carried);
            let (used, filled, result) = self.process(input, buffer);
            self.carried.clear();
            if used < end {
                self.carried.extend_from_slice(input.get(used..).unwrap_or(&[]));
            } else {
                self.carried = Vec::new();
            }
            input.fill(0);
            match result {
                // What came before the fault is given out first.
                Err(error) if filled == 0 => Err(TlsError::Protocol(error)),
                Ok(()) | Err(_) => Ok((filled, short)),
            }
        })
    }

    /// As [`crate::transport::Channel::try_read`].
    pub fn try_read(&mut self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.given < self.opened.len() {
                return Ok(self.give(buffer));
            }
            match self.inflow {
                Inflow::Open => {}
                Inflow::Ended => return Ok(0),
                Inflow::Broken => return Err(broken()),
            }
            let received = self.receive(socket, buffer);
            if self.has_unsent() {
                // An alert, or an answer to the peer: if not now, then with the next write.
                let _ = self.try_flush(socket);
            }
            match received {
                Ok((0, true)) if self.inflow == Inflow::Open => return Err(ErrorKind::WouldBlock.into()),
                Ok((0, _)) => {}
                Ok((filled, _)) => return Ok(filled),
                Err(TlsError::Io(error)) => return Err(error),
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
    }

    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let rest = self.opened.get(self.given..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        let (now, _) = rest.split_at(count);
        buffer.get_mut(..count).unwrap_or(&mut []).copy_from_slice(now);
        self.given += count;
        if self.given == self.opened.len() {
            self.opened.zeroize();
            self.opened = Vec::new();
            self.given = 0;
        }
        count
    }

    /// As [`crate::transport::Channel::try_write`].
    pub fn try_write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        self.try_flush(socket)?;
        let plaintext = bytes.get(..SEAL_BYTES_MAX).unwrap_or(bytes);
        if plaintext.is_empty() {
            return Ok(0);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let room = &mut scratch.sealed;
            let count = self.make(Task::Seal { plaintext, sealed: room })?;
            let sealed = room.get(..count).unwrap_or(&[]);
            self.send(socket, sealed)?;
            Ok(plaintext.len())
        })
    }

    /// Sends records behind what waits; keeps what the socket does not take.
    fn send(&mut self, socket: &Socket, sealed: &[u8]) -> io::Result<()> {
        let sent = if self.has_unsent() {
            0
        } else {
            match socket.try_write(sealed) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            }
        };
        self.unsent.extend_from_slice(sealed.get(sent..).unwrap_or(&[]));
        match self.try_flush(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// As [`crate::transport::Channel::try_flush`].
    pub fn try_flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.has_unsent() {
            self.sent += socket.try_write(self.unsent.get(self.sent..).unwrap_or(&[]))?;
        }
        if self.sent > 0 {
            self.unsent = Vec::new();
            self.sent = 0;
        }
        Ok(())
    }

    /// Tells the peer that nothing more will come, as far as the socket takes it.
    pub fn close(&mut self, socket: &Socket) {
        // Not into the middle of a record.
        if self.is_handshaking() || self.has_unsent() {
            return;
        }
        let mut alert = [0; ALERT_BYTES_MAX];
        if let Ok(count) = self.make(Task::Close { sealed: &mut alert }) {
            let _ = self.send(socket, alert.get(..count).unwrap_or(&[]));
        }
    }

    /// Reads and writes until the handshake is done and all of it is sent.
    ///
    /// # Errors
    /// Every kind of [`TlsError`]; the peer was told why, if it could be at once.
    pub async fn handshake(&mut self, socket: &Socket) -> Result<(), TlsError> {
        loop {
            while self.has_unsent() {
                match self.try_flush(socket) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        socket.writable().await.map_err(TlsError::Io)?;
                    }
                    flushed => flushed.map_err(TlsError::Io)?,
                }
            }
            if !self.is_handshaking() {
                self.learn();
                return Ok(());
            }
            if self.inflow != Inflow::Open {
                return Err(TlsError::Closed);
            }
            match self.receive(socket, &mut []) {
                Ok(_) => {}
                Err(TlsError::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    socket.readable().await.map_err(TlsError::Io)?;
                }
                Err(error) => {
                    let _ = self.try_flush(socket);
                    return Err(error);
                }
            }
        }
    }

    fn learn(&mut self) {
        let common = self.common();
        let version = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(_) | None => "",
        };
        let cipher = common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
        let group = common.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
        let alpn = common.alpn_protocol() == Some(super::ALPN);
        self.facts = TlsFacts { version, cipher, group, alpn, ..std::mem::take(&mut self.facts) };
    }

    /// What the resolver chose during the handshake.
    pub fn learn_presented(&mut self, resolver: &Resolver) {
        if let Some(Presented { der, sni }) = resolver.take() {
            self.facts.presented = Some(der);
            self.facts.sni = sni;
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.opened.zeroize();
        self.carried.zeroize();
    }
}
