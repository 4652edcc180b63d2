//! A server that does not keep to the protocol gets no more of this program than it names.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::harness::{Raw, Setup, frame, string};
use crate::shop::states;

#[test]
fn a_server_that_never_gets_ready_is_left() {
    const SAID_MAX: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // Who asks for health says nothing.
        let mut stream = loop {
            let (mut stream, _) = listener.accept().unwrap();
            if stream.read(&mut [0; 1_000]).unwrap_or(0) > 8 {
                break stream;
            }
        };
        stream.write_all(&frame(b'R', &[0; 4])).unwrap();
        let many = frame(b'S', &[string("name"), string(&"x".repeat(1_000))].concat()).repeat(100);
        let mut said = 0;
        while said < SAID_MAX && stream.write_all(&many).is_ok() {
            said += many.len();
        }
        said
    });
    let gate = Setup::before(address).start();
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    assert_eq!(states(&raw.until_ready()), ["08P01"]);
    assert!(server.join().unwrap() < SAID_MAX, "it is read up to a maximum");
}
