//! Segments as they lie in a folder: which there are, in which order, and the lines of one, whether
//! it was packed (`.zst`) or not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::audit::{LINE_BYTES_MAX, Link, Linked, seq_of};

/// More files than this in one folder are not listed.
pub(super) const FILES_MAX: usize = 1 << 20;
/// What a packed segment's name ends with.
pub(super) const PACKED: &str = ".zst";
/// Read from a file at once.
const PIECE_BYTES: usize = 256 << 10;
/// The last piece of a packed segment is a frame of its own, whose length stands behind it in a
/// frame that every reader skips.
pub(super) const SKIPPED_MAGIC: u32 = 0x184D_2A5A;
pub(super) const TRAILER_BYTES: u64 = 12;

/// What stands behind the first line that is wrong is looked through so far: a small file may unpack to
/// a very long one.
pub(super) const BEHIND_BYTES_MAX: u64 = 1 << 30;

/// A file of the folder's own that is written to is never one that a link leads to.
pub(super) fn not_through_links(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
}

/// One segment's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// The number of its first record, as its name has it.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) is_packed: bool,
}

impl Segment {
    /// Its name without what says that it is packed.
    pub(super) fn stem(&self) -> PathBuf {
        if self.is_packed { self.path.with_extension("") } else { self.path.clone() }
    }
}

/// `audit-20261121T223248.000001Z-00000000000000000042.jsonl` begins with record 42.
pub(super) fn named(path: PathBuf) -> Option<Segment> {
    let name = path.file_name()?.to_str()?;
    let is_packed = name.ends_with(PACKED);
    let stem = name.strip_suffix(PACKED).unwrap_or(name);
    let first = number_in(stem, "audit-", ".jsonl")?;
    Some(Segment { first, path, is_packed })
}

/// The number behind the last dash of a name that begins and ends so.
pub(super) fn number_in(name: &str, begin: &str, end: &str) -> Option<u64> {
    let (_, number) = name.strip_prefix(begin)?.strip_suffix(end)?.rsplit_once('-')?;
    number.parse().ok()
}

/// Every segment, in the order of its records.
///
/// # Errors
/// The folder cannot be read, or holds more than anybody lists.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for (count, entry) in fs::read_dir(folder)?.enumerate() {
        if count >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files; move old segments away")));
        }
        found.extend(named(entry?.path()));
    }
    found.sort_unstable_by(|one, other| (one.first, &one.path).cmp(&(other.first, &other.path)));
    Ok(found)
}

/// What a segment holds, from its beginning, unpacked.
///
/// # Errors
/// It cannot be opened.
pub(super) fn read(path: &Path) -> io::Result<Box<dyn BufRead>> {
    // Asked before opening, which waits for a writer where the path is a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let file = File::open(path)?;
    if path.to_str().is_some_and(|name| name.ends_with(PACKED)) {
        let unpacked = zstd::stream::read::Decoder::new(file)?;
        return Ok(Box::new(BufReader::with_capacity(PIECE_BYTES, unpacked)));
    }
    Ok(Box::new(BufReader::with_capacity(PIECE_BYTES, file)))
}

/// The last piece of a packed segment, without unpacking what is before it: None where it was packed
/// by somebody else.
///
/// # Errors
/// It cannot be read.
pub(super) fn packed_end(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(trailer) = length.checked_sub(TRAILER_BYTES) else { return Ok(None) };
    file.seek(SeekFrom::Start(trailer))?;
    let mut words = [0; 12];
    file.read_exact(&mut words)?;
    let word = |at: usize| {
        let bytes = words.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let start = trailer.checked_sub(u64::from(word(8)));
    let Some(start) = start.filter(|_| word(0) == SKIPPED_MAGIC && word(4) == 4) else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    zstd::stream::read::Decoder::new(file)?.take(bytes_max).read_to_end(&mut end)?;
    Ok(Some(end))
}

/// The lines of a segment, one after the other, each of a bounded length.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// Bytes before the line that comes next.
    pub(super) offset: u64,
}

/// A line of a segment.
pub(super) enum Line<'l> {
    /// Without its line end.
    Whole(&'l [u8]),
    /// The end of the segment, which no line end closes.
    Torn(&'l [u8]),
    /// Longer than any record.
    Endless,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Lines<R> {
        Lines { reader, line: Vec::with_capacity(1024), offset: 0 }
    }

    /// None: there is no more.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = Read::by_ref(&mut self.reader).take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.offset += read as u64;
        Ok(Some(match self.line.strip_suffix(b"\n") {
            Some(line) => Line::Whole(line),
            None if read as u64 == most => Line::Endless,
            None => Line::Torn(&self.line),
        }))
    }
}

/// What was found at the end of a segment.
#[derive(Default, Debug)]
pub(super) struct End {
    /// The last record that holds: its number, and its link, behind those before it.
    pub(super) last: Option<u64>,
    pub(super) link: Link,
    /// Bytes up to its end.
    pub(super) length: u64,
    /// Numbered lines behind the first one that does not hold, and the highest of all numbers.
    pub(super) behind: u64,
    pub(super) highest: u64,
    /// Is there anything behind it but room that was never written?
    pub(super) is_torn: bool,
    /// The link of the record that was asked for, where it is in this segment.
    pub(super) asked: Option<Link>,
}

/// Follows the chain of one segment as far as it holds. Lines of versions that had none are taken by
/// their numbers alone.
///
/// # Errors
/// It cannot be read.
pub(super) fn end_of(path: &Path, asked: u64) -> io::Result<End> {
    let mut lines = Lines::new(read(path)?);
    let mut end = End::default();
    let (mut is_first, mut is_chained, mut holds) = (true, false, true);
    while let Some(line) = lines.next()? {
        let line = match line {
            Line::Whole(line) => line,
            Line::Torn(line) => {
                end.is_torn |= line.iter().any(|byte| *byte != 0);
                break;
            }
            Line::Endless => {
                end.is_torn = true;
                break;
            }
        };
        let linked = Linked::of(line);
        if is_first {
            is_chained = linked.is_some();
            end.link = linked.and_then(Linked::prev).unwrap_or_default();
            is_first = false;
        }
        let seq = seq_of(line);
        end.highest = end.highest.max(seq.unwrap_or(0));
        let next = seq.filter(|seq| holds && end.last.is_none_or(|last| last.checked_add(1) == Some(*seq)));
        let link = match (linked, is_chained) {
            (Some(linked), true) => {
                Some(linked.link(end.link)).filter(|(_, shown)| *shown).map(|(link, _)| link)
            }
            (None, false) => serde_json::from_slice::<serde::de::IgnoredAny>(line).ok().map(|_| end.link),
            (Some(_), false) | (None, true) => None,
        };
        if let (Some(seq), Some(link)) = (next, link) {
            (end.last, end.link, end.length) = (Some(seq), link, lines.offset);
            if seq == asked && is_chained {
                end.asked = Some(link);
            }
        } else {
            holds = false;
            end.is_torn = true;
            end.behind += u64::from(seq.is_some());
            if lines.offset.saturating_sub(end.length) > BEHIND_BYTES_MAX {
                break;
            }
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_segments_by_their_names() {
        let stamp = "20261121T223248.000001Z";
        let first = |name: &str| {
            named(PathBuf::from("folder").join(name)).map(|found| (found.first, found.is_packed))
        };
        assert_eq!(first(&format!("audit-{stamp}-{:020}.jsonl", 42)), Some((42, false)));
        assert_eq!(first(&format!("audit-{stamp}-{:020}.jsonl.zst", 42)), Some((42, true)));
        for name in [
            "lock",
            "audit-x.jsonl",
            "audit-x-1.jsonl.torn",
            "audit-x-y.jsonl",
            "x-1.jsonl",
            "audit-x-1.jsonl.zst.part",
        ] {
            assert_eq!(first(name), None, "{name}");
        }
    }

    #[test]
    fn finds_the_last_whole_record_of_a_version_without_a_chain() {
        for (number, (text, expected)) in [
            ("", None),
            ("{\"seq\":1}", None),
            ("{\"seq\":1}\n", Some((1, 10))),
            ("{\"seq\":1}\n{\"seq\":2}", Some((1, 10))),
            ("{\"seq\":1}\n{\"se\n", Some((1, 10))),
            ("{\"seq\":1}\n\0\0\0\n\0\0", Some((1, 10))),
            ("{\"seq\":1}\n{\"seq\":2,\"a\":[]}\n", Some((2, 27))),
            ("{\"seq\":1}\n{\"seq\":3}\n", Some((1, 10))),
            ("\n\n\n", None),
            ("torn\n", None),
        ]
        .into_iter()
        .enumerate()
        {
            let path = std::env::temp_dir().join(format!("sealgate-end-{}-{number}", std::process::id()));
            fs::write(&path, text).unwrap();
            let end = end_of(&path, 0).unwrap();
            let _ = fs::remove_file(&path);
            assert_eq!(end.last.map(|last| (last, end.length)), expected, "{text:?}");
        }
    }
}
