//! Addresses of networks and hosts.

use std::net::Ipv6Addr;

use super::fault::{ValueFault, sql_name};
use super::scan::{Scan, is_space, number, push_digits, push_hex};
use crate::catalog::Base;

/// An address with the bits of its network. One of version 4 has its four bytes in front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network {
    pub address: [u8; 16],
    pub wide: bool,
    pub bits: u8,
}

/// How the server's binary format calls the two versions.
const NARROW: u8 = 2;
const WIDE: u8 = 3;

impl Network {
    const fn most(self) -> u8 {
        if self.wide { 128 } else { 32 }
    }

    fn bytes(&self) -> &[u8] {
        self.address.get(..usize::from(self.most() / 8)).unwrap_or_default()
    }

    /// Without the bits behind those of the network.
    pub(super) fn without_host(mut self) -> Network {
        for (at, byte) in (0_u8..).zip(self.address.iter_mut()) {
            let kept = self.bits.saturating_sub(at.saturating_mul(8)).min(8);
            *byte &= u8::try_from(0xFF00_u16 >> kept & 0xFF).unwrap_or(0);
        }
        self
    }

    pub(super) fn read(text: &[u8], base: Base) -> Result<Network, ValueFault> {
        let is_cidr = base == Base::Cidr;
        let read = if text.contains(&b':') { wide(text) } else { narrow(text, is_cidr) };
        match read {
            Some(network) if is_cidr && network.without_host() != network => {
                Err(ValueFault::new("22P02", "invalid cidr value"))
            }
            Some(network) => Ok(network),
            None => Err(ValueFault::syntax(sql_name(base))),
        }
    }

    pub(super) fn from_binary(value: &[u8], base: Base) -> Result<Network, ValueFault> {
        let bad = || ValueFault::new("22P03", format!("invalid external \"{}\" value", sql_name(base)));
        let short = || ValueFault::new("08P01", "insufficient data left in message");
        let mut scan = Scan::new(value);
        let [family, bits, _, length] = scan.array().ok_or_else(short)?;
        let wide = match family {
            NARROW => false,
            WIDE => true,
            _ => return Err(bad()),
        };
        let mut network = Network { address: [0; 16], wide, bits };
        if bits > network.most() || length != network.most() / 8 {
            return Err(bad());
        }
        let bytes = scan.bytes(usize::from(length)).ok_or_else(short)?;
        if !scan.is_empty() {
            return Err(ValueFault::binary(sql_name(base)));
        }
        for (place, byte) in network.address.iter_mut().zip(bytes) {
            *place = *byte;
        }
        if base == Base::Cidr && network.without_host() != network {
            return Err(bad());
        }
        Ok(network)
    }

    pub(super) fn to_binary(self, base: Base, out: &mut Vec<u8>) {
        out.push(if self.wide { WIDE } else { NARROW });
        out.extend([self.bits, u8::from(base == Base::Cidr), self.most() / 8]);
        out.extend_from_slice(self.bytes());
    }

    /// With its bits always.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        if self.wide {
            write_wide(self.address, out);
        } else {
            write_narrow(self.bytes(), out);
        }
        out.push(b'/');
        push_digits(out, u64::from(self.bits), 1);
    }

    /// A host's bits are not shown, but for `cidr`.
    pub(super) fn show(self, base: Base, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(out);
        if base == Base::Inet && self.bits == self.most() {
            let slash = out.iter().rposition(|byte| *byte == b'/').unwrap_or(start);
            out.truncate(slash);
        }
    }
}

/// Up to four numbers with points between them, and how many bits are the network's.
fn narrow(text: &[u8], is_cidr: bool) -> Option<Network> {
    let mut scan = Scan::new(text);
    let (mut address, mut count) = ([0; 16], 0_usize);
    while scan.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        let byte = u8::try_from(number(scan.digits())?).ok()?;
        *address.get_mut(count).filter(|_| count < 4)? = byte;
        count += 1;
        match scan.peek() {
            None | Some(b'/') => break,
            Some(b'.') => scan.next(),
            Some(_) => return None,
        };
        if is_cidr && !scan.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    if count == 0 {
        return None;
    }
    let given = u8::try_from(count).ok()? * 8;
    let bits = if scan.take(b'/') {
        let bits = u8::try_from(number(scan.digits())?).ok().filter(|bits| *bits <= 32)?;
        // All bytes of the network have to be given.
        (is_cidr || usize::from(bits / 8) <= count).then_some(bits)?
    } else if !is_cidr {
        (count == 4).then_some(32)?
    } else {
        // As networks were divided into classes once.
        let class = match address.first()? {
            240.. => 32,
            224.. => 8,
            192.. => 24,
            128.. => 16,
            _ => 8,
        };
        let bits = class.max(given);
        if bits == 8 && address.first() == Some(&224) { 4 } else { bits }
    };
    scan.is_empty().then_some(Network { address, wide: false, bits })
}

fn wide(text: &[u8]) -> Option<Network> {
    let (address, bits) = match text.iter().position(|byte| *byte == b'/') {
        None => (text, None),
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
    };
    let bits = match bits {
        None => 128,
        Some(b"0") => 0,
        Some([b'0', ..]) => return None,
        Some(digits) => u8::try_from(number(digits)?).ok().filter(|bits| *bits <= 128)?,
    };
    let address: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
    Some(Network { address: address.octets(), wide: true, bits })
}

fn write_narrow(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_digits(out, u64::from(*byte), 1);
    }
}

/// The first of the longest runs of zeros is left out; what stands for an address of version 4 ends as one.
fn write_wide(address: [u8; 16], out: &mut Vec<u8>) {
    let words = Ipv6Addr::from(address).segments();
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (at, word) in words.iter().enumerate() {
        if *word != 0 {
            run = (at + 1, 0);
            continue;
        }
        run.1 += 1;
        if run.1 > best.1 {
            best = run;
        }
    }
    if best.1 < 2 {
        best = (8, 0);
    }
    let last = words.last().copied().unwrap_or(0);
    let sixth = words.get(5).copied().unwrap_or(0);
    let holds_narrow =
        best.0 == 0 && (best.1 == 6 || (best.1 == 7 && last != 1) || (best.1 == 5 && sixth == 0xFFFF));
    for (at, word) in words.iter().enumerate() {
        if at >= best.0 && at < best.0 + best.1 {
            if at == best.0 {
                out.push(b':');
            }
            continue;
        }
        if at > 0 {
            out.push(b':');
        }
        if at == 6 && holds_narrow {
            write_narrow(address.get(12..).unwrap_or_default(), out);
            return;
        }
        let _ = std::io::Write::write_fmt(out, format_args!("{word:x}"));
    }
    if best.1 > 0 && best.0 + best.1 == 8 {
        out.push(b':');
    }
}

/// An address of hardware in one of its spellings. Err within: one of its numbers is too large.
///
/// The server reads it by C's `sscanf`, so blanks, signs and `0x` may stand before each number. Of several
/// spellings that begin alike the first that all of it fits counts.
pub(super) fn macaddr(text: &[u8]) -> Result<[u8; 6], ValueFault> {
    // Between which numbers what stands, and of how many digits they are; 0: of any number.
    let spellings: [(u8, &[usize], usize); 7] = [
        (b':', &[1, 2, 3, 4, 5], 0),
        (b'-', &[1, 2, 3, 4, 5], 0),
        (b':', &[3], 2),
        (b'-', &[3], 2),
        (b'.', &[2, 4], 2),
        (b'-', &[2, 4], 2),
        (b':', &[], 2),
    ];
    let numbers = spellings
        .iter()
        .find_map(|(between, before, width)| spelled(text, *between, before, *width))
        .ok_or_else(|| ValueFault::syntax("macaddr"))?;
    let mut bytes = [0; 6];
    for (byte, number) in bytes.iter_mut().zip(numbers) {
        *byte = u8::try_from(number)
            .map_err(|_| ValueFault::new("22003", "invalid octet value in \"macaddr\" value"))?;
    }
    Ok(bytes)
}

/// Six numbers, with a mark before some of them, and nothing behind them but blanks.
fn spelled(text: &[u8], between: u8, before: &[usize], width: usize) -> Option<[u32; 6]> {
    let mut scan = Scan::new(text);
    let mut numbers = [0; 6];
    for (at, number) in numbers.iter_mut().enumerate() {
        if before.contains(&at) && !scan.take(between) {
            return None;
        }
        *number = c_hexadecimal(&mut scan, if width == 0 { usize::MAX } else { width })?;
    }
    scan.run(is_space);
    scan.is_empty().then_some(numbers)
}

/// A number as `%x` reads it, of so many characters at most: it wraps where it has a sign, has its low 32 bits
/// where it is larger, and all of them where it is larger than 64.
fn c_hexadecimal(scan: &mut Scan<'_>, mut width: usize) -> Option<u32> {
    scan.run(is_space);
    let negative = scan.peek() == Some(b'-');
    if negative || scan.peek() == Some(b'+') {
        scan.next();
        width -= 1;
    }
    let (mut number, mut any, mut over) = (0_u64, false, false);
    if width > 0 && scan.take(b'0') {
        (any, width) = (true, width - 1);
        if width > 0 && (scan.take(b'x') || scan.take(b'X')) {
            width -= 1;
        }
    }
    while width > 0 {
        let Some(digit) = scan.peek().and_then(|byte| char::from(byte).to_digit(16)) else { break };
        scan.next();
        width -= 1;
        any = true;
        over |= number >> 60 != 0;
        number = number << 4 | u64::from(digit);
    }
    let number = match (over, negative) {
        (true, _) => u64::MAX,
        (false, true) => number.wrapping_neg(),
        (false, false) => number,
    };
    #[expect(clippy::cast_possible_truncation, reason = "C stores it so")]
    any.then_some(number as u32)
}

pub(super) fn write_macaddr(bytes: [u8; 6], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        push_hex(out, *byte);
    }
}
