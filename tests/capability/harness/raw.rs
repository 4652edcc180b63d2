//! A client that speaks the protocol frame by frame, for what no driver would send.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// Longest frame read; a server's answer in a test is far shorter.
const FRAME_MAX: usize = 65 << 20;

/// One message after startup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Frame {
    /// A field of an ErrorResponse or NoticeResponse: `C` SQLSTATE, `M` message, ...
    pub fn field(&self, code: u8) -> Option<String> {
        self.body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&code))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The values of a DataRow; None is NULL.
    pub fn values(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, b'D', "a DataRow was expected");
        let mut rest = &self.body[2..];
        let count = u16::from_be_bytes([self.body[0], self.body[1]]);
        (0..count)
            .map(|_| {
                let (length, after) = rest.split_at(4);
                let length = i32::from_be_bytes(length.try_into().unwrap());
                let (value, after) = after.split_at(usize::try_from(length).unwrap_or(0));
                rest = after;
                (length >= 0).then(|| value.to_vec())
            })
            .collect()
    }
}

/// One connection. Every read has a deadline.
pub struct Raw {
    stream: TcpStream,
    /// What waits for the next read, so that it leaves in one piece.
    corked: Option<Vec<u8>>,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        Raw::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from another address of this host.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Raw {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Raw::over(socket.into())
    }

    fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw { stream, corked: None }
    }

    /// Connects, starts up without a password, and reads up to ReadyForQuery.
    pub fn login(address: SocketAddr, user: &str, database: &str) -> Raw {
        Raw::login_with(address, &[("user", user), ("database", database)])
    }

    /// The same with any parameters.
    pub fn login_with(address: SocketAddr, parameters: &[(&str, &str)]) -> Raw {
        let mut raw = Raw::connect(address);
        raw.startup(parameters);
        let frames = raw.until_ready();
        assert_eq!(frames[0].tag, b'R', "{:?}", frames[0].field(b'M'));
        raw
    }

    /// A StartupMessage of protocol 3.0.
    pub fn startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend(string(name));
            body.extend(string(value));
        }
        body.push(0);
        self.untagged(&body);
    }

    /// A message without a tag: startup, SSLRequest, CancelRequest.
    pub fn untagged(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        self.bytes(&[&length.to_be_bytes(), body].concat());
    }

    /// Any bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        match &mut self.corked {
            Some(waiting) => waiting.extend_from_slice(bytes),
            None => self.stream.write_all(bytes).unwrap(),
        }
    }

    /// From now on everything between two reads is sent at once.
    pub fn cork(&mut self) {
        self.corked = Some(Vec::new());
    }

    fn uncork(&mut self) {
        if let Some(waiting) = &mut self.corked {
            self.stream.write_all(&std::mem::take(waiting)).unwrap();
        }
    }

    pub fn send(&mut self, tag: u8, body: &[u8]) {
        self.bytes(&frame(tag, body));
    }

    /// Sends to a peer that may have closed.
    pub fn try_send(&mut self, tag: u8, body: &[u8]) {
        let _ = self.stream.write_all(&frame(tag, body));
    }

    /// The next frame; None at the end of the stream.
    pub fn read(&mut self) -> Option<Frame> {
        self.uncork();
        let mut head = [0; 5];
        match self.stream.read(&mut head[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no frame came: {error}"),
        }
        self.stream.read_exact(&mut head[1..]).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let length = usize::try_from(length).unwrap().checked_sub(4).unwrap();
        assert!(length <= FRAME_MAX, "a frame of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Some(Frame { tag: head[0], body })
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn finish(&mut self) {
        self.uncork();
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The socket itself, for what frames cannot say.
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// What comes within a time, as it comes. To show that something does not.
    pub fn within(&mut self, time: Duration) -> Vec<u8> {
        self.uncork();
        let deadline = Instant::now() + time;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        bytes
    }

    /// Has the peer closed, with nothing more to say?
    pub fn is_closed(&mut self) -> bool {
        self.read().is_none()
    }

    /// One byte, as in the answer to an SSLRequest.
    pub fn read_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Frames up to and with ReadyForQuery, or to the end of the stream.
    pub fn until_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.read() {
            let ready = frame.tag == b'Z';
            frames.push(frame);
            if ready {
                break;
            }
        }
        frames
    }

    /// A simple Query and its answer.
    pub fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.send(b'Q', &string(sql));
        self.until_ready()
    }

    pub fn parse(&mut self, statement: &str, sql: &str, types: &[u32]) {
        let mut body = [string(statement), string(sql)].concat();
        body.extend(count(types.len()));
        body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
        self.send(b'P', &body);
    }

    pub fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[u16],
        values: &[Option<&[u8]>],
        result_formats: &[u16],
    ) {
        let mut body = [string(portal), string(statement)].concat();
        body.extend(count(formats.len()));
        body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
        body.extend(count(values.len()));
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend(length.to_be_bytes());
            body.extend_from_slice(value.unwrap_or_default());
        }
        body.extend(count(result_formats.len()));
        body.extend(result_formats.iter().flat_map(|format| format.to_be_bytes()));
        self.send(b'B', &body);
    }

    /// `kind`: `S` statement, `P` portal.
    pub fn describe(&mut self, kind: u8, name: &str) {
        self.send(b'D', &[vec![kind], string(name)].concat());
    }

    /// `kind`: `S` statement, `P` portal.
    pub fn close(&mut self, kind: u8, name: &str) {
        self.send(b'C', &[vec![kind], string(name)].concat());
    }

    /// `rows`: 0 for all.
    pub fn execute(&mut self, portal: &str, rows: u32) {
        self.send(b'E', &[string(portal), rows.to_be_bytes().to_vec()].concat());
    }

    pub fn flush(&mut self) {
        self.send(b'H', &[]);
    }

    /// Sync, and everything up to its ReadyForQuery.
    pub fn sync(&mut self) -> Vec<Frame> {
        self.send(b'S', &[]);
        self.until_ready()
    }
}

/// A frame as bytes, to put several into one write.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// A string with its end.
pub fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn count(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}
