//! Searches files for values: the data, the WAL and the log of a server.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use aho_corasick::AhoCorasick;

/// Bytes of a file that are looked at in one go.
const PIECE_BYTES: usize = 1 << 20;
/// More files than this are not searched.
const FILES_MAX: u64 = 100_000;
/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// What a search came to.
#[derive(Default)]
pub struct Search {
    pub files: u64,
    pub bytes: u64,
    /// For each value that was found: in how many files of each kind.
    pub found: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

impl Search {
    /// `Modena: 1 of the tables, 1 of the WAL`; `nothing` where no value was found.
    pub fn told(&self) -> String {
        if self.found.is_empty() {
            return "nothing".to_owned();
        }
        let values = self.found.iter().map(|(value, kinds)| {
            let kinds: Vec<String> = kinds.iter().map(|(kind, files)| format!("{files} of {kind}")).collect();
            format!("{value}: {}", kinds.join(", "))
        });
        values.collect::<Vec<_>>().join("; ")
    }

    /// In how many kinds of files a value stands.
    pub fn kinds_with(&self, value: &str) -> Vec<&'static str> {
        self.found.get(value).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }
}

/// Looks for every value, as the bytes that it is, in every file below `folder`.
///
/// # Errors
/// A file that cannot be read; one that goes away meanwhile is no error.
pub fn search(folder: &Path, values: &[&str]) -> Result<Search, String> {
    let patterns = AhoCorasick::new(values).map_err(|error| error.to_string())?;
    let overlap = values.iter().map(|value| value.len()).max().unwrap_or(1).saturating_sub(1);
    let mut search = Search::default();
    descend(folder, DEPTH_MAX, &mut |path| {
        if search.files >= FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let kind = kind_of(path.strip_prefix(folder).unwrap_or(path));
        let mut hits = vec![false; values.len()];
        search.bytes += pieces(file, overlap, |piece| {
            for found in patterns.find_overlapping_iter(piece) {
                if let Some(hit) = hits.get_mut(found.pattern().as_usize()) {
                    *hit = true;
                }
            }
        })
        .map_err(|error| format!("{}: {error}", path.display()))?;
        search.files += 1;
        for (value, _) in values.iter().zip(&hits).filter(|(_, hit)| **hit) {
            *search.found.entry((*value).to_owned()).or_default().entry(kind).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(search)
}

fn kind_of(path: &Path) -> &'static str {
    let within = |name: &str| path.iter().any(|part| part == name);
    if within("pg_wal") {
        "the WAL"
    } else if within("base") || within("global") {
        "the tables"
    } else if path == Path::new("log") {
        "the log"
    } else {
        "the rest"
    }
}

fn descend(
    folder: &Path,
    depth: usize,
    visit: &mut dyn FnMut(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let kind = entry.file_type().map_err(named)?;
        if kind.is_file() {
            visit(&entry.path())?;
        } else if kind.is_dir() {
            let deeper = depth.checked_sub(1).ok_or_else(|| format!("{}: too deep", folder.display()))?;
            descend(&entry.path(), deeper, visit)?;
        }
    }
    Ok(())
}

/// Hands out a file piece by piece, each with the end of the one before; returns its length.
fn pieces(mut file: impl Read, overlap: usize, mut look: impl FnMut(&[u8])) -> std::io::Result<u64> {
    let (mut buffer, mut total) = (Vec::with_capacity(PIECE_BYTES + overlap), 0);
    loop {
        let kept = buffer.len().min(overlap);
        buffer.drain(..buffer.len() - kept);
        let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        total += read as u64;
        look(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_value_that_lies_across_two_pieces() {
        let value = b"ada@shop.example";
        for before in [0, PIECE_BYTES - 5, PIECE_BYTES - value.len(), PIECE_BYTES, 2 * PIECE_BYTES - 1] {
            let text = [&vec![b'x'; before][..], value, b"yyy"].concat();
            let mut found = false;
            let length = pieces(&text[..], value.len() - 1, |piece| {
                found |= piece.windows(value.len()).any(|window| window == value);
            })
            .unwrap();
            assert!(found, "{before}");
            assert_eq!(length, text.len() as u64);
        }
    }

    #[test]
    fn tells_in_which_kind_of_file_a_value_stands() {
        let folder = std::env::temp_dir().join(format!("sealgate-search-{}", std::process::id()));
        for (name, text) in [("data/base/5/1", "a secret"), ("data/pg_wal/0", "secret"), ("log", "nothing")] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let search = search(&folder, &["secret", "absent"]).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(search.files, 3);
        assert_eq!(search.kinds_with("secret"), ["the WAL", "the tables"]);
        assert_eq!(search.told(), "secret: 1 of the WAL, 1 of the tables");
        assert!(search.kinds_with("absent").is_empty());
    }
}
