//! A recording tap: forwards bytes between a client and a server and keeps all of them, to
//! prove what goes upstream. A byte is on record before it is passed on.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Bytes kept of one direction of one connection.
const RECORD_MAX: usize = 256 << 20;

#[derive(Default)]
struct Record {
    to_server: Mutex<Vec<u8>>,
    to_client: Mutex<Vec<u8>>,
}

/// One tapped connection.
struct Line {
    record: Arc<Record>,
    ends: [TcpStream; 2],
    copiers: [JoinHandle<()>; 2],
}

/// Listens on a free port of the loopback address until dropped.
pub struct Tap {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<Line>>>,
    ended: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Tap {
    /// A tap in front of `server`.
    pub fn before(server: SocketAddr) -> Tap {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (kept, end) = (lines.clone(), ended.clone());
        let listener = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is not there looks to the client as it would directly.
                if let Ok(upstream) = TcpStream::connect(server) {
                    kept.lock().unwrap().push(Line::join(client, upstream));
                }
            }
        });
        Tap { address, lines, ended, listener: Some(listener) }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections made so far.
    pub fn connections(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Every byte sent to the server, connection after connection.
    pub fn to_server(&self) -> Vec<u8> {
        self.each_to_server().concat()
    }

    /// The same, each connection for itself.
    pub fn each_to_server(&self) -> Vec<Vec<u8>> {
        self.each(|record| &record.to_server)
    }

    /// Every byte sent to clients, connection after connection.
    pub fn to_client(&self) -> Vec<u8> {
        self.each(|record| &record.to_client).concat()
    }

    fn each(&self, side: impl Fn(&Record) -> &Mutex<Vec<u8>>) -> Vec<Vec<u8>> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| side(&line.record).lock().unwrap().clone()).collect()
    }

    /// Cuts every connection, as a network does.
    pub fn cut(&self) {
        for line in self.lines.lock().unwrap().iter() {
            line.cut();
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener up to see that it has ended.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for line in self.lines.lock().unwrap().drain(..) {
            line.cut();
            for copier in line.copiers {
                let _ = copier.join();
            }
        }
    }
}

impl Line {
    fn join(client: TcpStream, server: TcpStream) -> Line {
        let record = Arc::new(Record::default());
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
        }
        let copiers = [
            copy(&client, &server, record.clone(), |record| &record.to_server),
            copy(&server, &client, record.clone(), |record| &record.to_client),
        ];
        Line { record, ends: [client, server], copiers }
    }

    fn cut(&self) {
        for end in &self.ends {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn copy(
    from: &TcpStream,
    to: &TcpStream,
    record: Arc<Record>,
    side: fn(&Record) -> &Mutex<Vec<u8>>,
) -> JoinHandle<()> {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut kept = side(&record).lock().unwrap();
            assert!(kept.len() + length <= RECORD_MAX, "the tap's record is full");
            kept.extend_from_slice(&buffer[..length]);
            drop(kept);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    })
}
