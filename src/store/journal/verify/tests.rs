//! Folders that were written, left alone and tampered with: each must be found, and each that was left
//! alone must pass, here and by the verifier that knows the page alone.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::super::packing::pack_closed;
use super::super::tests::{Asks as _, Scratch, intent, outcome, queued, written};
use super::super::{Evidence, JournalHandle, Location, start};
use super::*;
use crate::audit::Signer;

/// 32 bytes, base64: for tests alone.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn signer() -> Arc<Signer> {
    Arc::new(Signer::from_base64(KEY).unwrap())
}

fn location(path: PathBuf) -> Location {
    let evidence = Evidence { signer: Some(signer()), every: Duration::from_secs(1), ..Evidence::default() };
    Location { segment_bytes_max: 1_000, evidence, ..Location::new(path, "n".into()) }
}

fn keys() -> Vec<PublicKey> {
    vec![signer().public().clone()]
}

pub(super) fn asked(folder: &Path) -> Asked {
    Asked { folder: folder.to_owned(), keys: keys(), external: Vec::new(), first: 1 }
}

fn found(folder: &Path) -> Found {
    verify(&asked(folder)).unwrap()
}

async fn executions(handle: &JournalHandle, numbers: std::ops::Range<u64>) {
    for number in numbers {
        written(handle, number).await.unwrap();
        handle.submit_wait(outcome(number)).await.unwrap();
    }
}

/// Three runs, each of some segments, the last execution open.
async fn write(folder: &Path) {
    for run in 0..3 {
        let (handle, thread) = start(&location(folder.to_owned())).unwrap();
        executions(&handle, run * 10..run * 10 + 10).await;
        if run == 2 {
            drop(queued(handle.intent(intent(99))));
        }
        thread.close().await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    segments::list(folder).unwrap().into_iter().map(|segment| segment.path).collect()
}

/// A segment in the middle, of more lines than three.
fn several(folder: &Path) -> Segment {
    let mut all = segments::list(folder).unwrap().into_iter().skip(2);
    all.find(|segment| lines_of(&segment.path).len() > 3).unwrap()
}

fn notes_of(folder: &Path) -> Vec<PathBuf> {
    super::super::notary::files(folder).unwrap()
}

fn lines_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

pub(super) fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

/// As somebody would who has read the page, and has no key: every link anew.
pub(super) fn chain_anew(folder: &Path) {
    let mut link = vec![0; 32];
    for part in parts(folder) {
        let chained = lines_of(&part).into_iter().enumerate().map(|(number, line)| {
            let mut body = line[..line.rfind(",\"hash\":").unwrap()].to_owned();
            if let Some(prev) = body.find(",\"prev\":") {
                body.truncate(prev);
            }
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if number == 0 {
                body += &format!(",\"prev\":\"{}\"", hex(&link));
            }
            link = Sha256::digest([&link[..], body.as_bytes()].concat()).to_vec();
            format!("{body},\"hash\":\"{}\"}}", hex(&link[..4]))
        });
        let chained: Vec<String> = chained.collect();
        put(&part, &chained);
    }
}

/// What somebody does who may write the folder, and has no key.
fn tamper(way: usize, folder: &Path, random: &mut StdRng) -> &'static str {
    let parts = parts(folder);
    let several: Vec<&PathBuf> = parts.iter().filter(|part| lines_of(part).len() > 3).collect();
    let part = several[random.random_range(0..several.len())].clone();
    let mut lines = lines_of(&part);
    let at = random.random_range(0..lines.len());
    let later = |random: &mut StdRng, lines: &[String]| random.random_range(0..lines.len());
    let changed = |line: &str| {
        assert!(line.contains("\"time\":\"2"), "{line}");
        line.replace("\"time\":\"2", "\"time\":\"3")
    };
    match way {
        0 => {
            let mut bytes = fs::read(&part).unwrap();
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
            fs::write(&part, bytes).unwrap();
            return "a bit is turned";
        }
        1 => lines[at] = changed(&lines[at]),
        2 => drop(lines.remove(at)),
        3 => {
            let other = (at + 1 + later(random, &lines[1..])) % lines.len();
            lines.swap(at, other);
        }
        4 => lines.insert(at, lines[later(random, &lines)].clone()),
        5 => {
            let own = lines[at].clone();
            lines.insert(at, own[..own.rfind(",\"hash\":").unwrap()].to_owned() + "}");
        }
        6 => {
            fs::remove_file(&part).unwrap();
            return "a segment is dropped";
        }
        7 => {
            fs::write(&part, "").unwrap();
            return "a segment is emptied";
        }
        8 => {
            let mut bytes = fs::read(&part).unwrap();
            bytes.truncate(random.random_range(0..bytes.len()));
            fs::write(&part, bytes).unwrap();
            return "a segment is cut";
        }
        9 => {
            lines[at] = changed(&lines[at]);
            put(&part, &lines);
            chain_anew(folder);
            return "a record is changed, and all links behind it";
        }
        10 => {
            lines.pop();
            put(&part, &lines);
            let more = parts.iter().skip_while(|other| **other != part).skip(1);
            more.for_each(|other| fs::remove_file(other).unwrap());
            return "the end is cut off";
        }
        11 => {
            let other =
                parts[(parts.iter().position(|other| *other == part).unwrap() + 1) % parts.len()].clone();
            let (one, two) = (fs::read(&part).unwrap(), fs::read(&other).unwrap());
            fs::write(&part, two).unwrap();
            fs::write(&other, one).unwrap();
            return "two segments change places";
        }
        12 => {
            for note in notes_of(folder) {
                let text = fs::read_to_string(&note).unwrap().replace("node n", "node m");
                fs::write(&note, text).unwrap();
            }
            return "checkpoints are changed";
        }
        13 => {
            notes_of(folder).iter().for_each(|note| fs::remove_file(note).unwrap());
            return "checkpoints are removed";
        }
        14 => {
            // The numbers are kept, so that no gap shows.
            let first = segments::named(part.clone()).unwrap().first;
            let bare = |(number, line): (usize, &String)| {
                format!("{{\"seq\":{},{}", first + number as u64, line.split_once(',').unwrap().1)
            };
            lines = lines
                .iter()
                .enumerate()
                .map(bare)
                .map(|line| line[..line.rfind(",\"hash\"").unwrap()].to_owned() + "}")
                .collect();
            put(&part, &lines);
            return "a segment is one of an older version";
        }
        15 => {
            fs::copy(
                &part,
                folder.join(part.file_name().unwrap().to_str().unwrap().replace("audit-2", "audit-3")),
            )
            .unwrap();
            return "a segment is there twice";
        }
        _ => {
            let packed = zstd::encode_all(&b"{\"seq\":1}\n"[..], 1).unwrap();
            fs::write(format!("{}.zst", part.display()), packed).unwrap();
            return "a packed segment is put beside one";
        }
    }
    put(&part, &lines);
    ["", "changed", "removed", "reordered", "inserted", "put in unchained"][way]
}

const WAYS: usize = 17;

/// The verdicts of `tests/format/verify.py`, a line each. Empty where its Python is not there.
pub(super) fn by_the_page(folders: &[PathBuf], keys: &[PublicKey]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
    let keys = keys.iter().flat_map(|key| ["--key".to_owned(), key.to_string()]);
    let ran = Command::new(python)
        .arg(root.join("tests/format/verify.py"))
        .args(keys)
        .args(folders)
        .output()
        .unwrap();
    let verdicts: Vec<String> = String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(verdicts.len(), folders.len(), "{}", String::from_utf8_lossy(&ran.stderr));
    verdicts
}

#[tokio::test]
async fn every_tampering_is_found_and_no_sound_folder_is_blamed() {
    let scratch = Scratch::new("tamper");
    let sound = scratch.audit();
    write(&sound).await;
    let told = found(&sound);
    assert_eq!(told.bad, [], "{told:?}");
    assert_eq!((told.first, told.last, told.records, told.chained_from), (Some(1), Some(61), 61, Some(1)));
    assert_eq!(told.signed.as_ref().map(|(size, _)| *size), Some(61), "all of it, when it ends");
    assert!(told.segments > 6 && told.checkpoints >= told.segments, "{told:?}");
    assert_eq!((told.open, told.open_intents[0].statement_id, told.open_intents[0].seq), (1, 99, 61));
    // `SEALGATE_TAMPER=5000 cargo test tampering` takes its time, another way each time.
    let rounds: Option<usize> = std::env::var("SEALGATE_TAMPER").ok().map(|rounds| rounds.parse().unwrap());
    let seed = rounds.map_or(17, |_| rand::random());
    let mut random = StdRng::seed_from_u64(seed);
    let mut folders = vec![sound.clone()];
    let mut ways = vec![""];
    for round in 0..rounds.unwrap_or(WAYS * 12) {
        let folder = scratch.0.join(format!("{round}"));
        copy(&sound, &folder);
        ways.push(tamper(round % WAYS, &folder, &mut random));
        folders.push(folder);
    }
    let page = by_the_page(&folders, &keys());
    for ((folder, way), page) in folders.iter().zip(&ways).zip(&page).skip(1) {
        let told = found(folder);
        assert!(!told.bad.is_empty(), "{way} in {}, seed {seed}: {told:?}", folder.display());
        assert!(!page.starts_with("intact"), "{way} in {}: {told:?}", folder.display());
    }
    assert_eq!(page[0], "intact, open: 61");
}

#[tokio::test]
async fn the_first_bad_record_is_named() {
    let scratch = Scratch::new("named");
    write(&scratch.audit()).await;
    let folder = scratch.0.join("tampered");
    type Way = (&'static str, fn(&mut Vec<String>), &'static str);
    let ways: [Way; 5] = [
        (
            "changed",
            |lines| lines[2] = lines[2].replace("\"time\":\"2", "\"time\":\"3"),
            "it is not what was written",
        ),
        ("removed", |lines| drop(lines.remove(2)), "are missing before it"),
        ("reordered", |lines| lines.swap(2, 3), "are missing before it"),
        ("inserted", |lines| lines.insert(2, lines[1].clone()), "its number is used again"),
        ("broken", |lines| lines[2] = lines[2].replace('}', "]"), "it is no record"),
    ];
    for (way, tamper, says) in ways {
        copy(&scratch.audit(), &folder);
        let part = several(&folder);
        let mut lines = lines_of(&part.path);
        tamper(&mut lines);
        put(&part.path, &lines);
        let told = found(&folder);
        let bad = &told.bad[0];
        let inserted = u64::from(way == "inserted");
        assert_eq!((bad.line, bad.seq), (Some(3), Some(part.first + 2 - inserted)), "{way}: {told:?}");
        assert_eq!(bad.file, name_of(&part.path), "{way}");
        assert!(bad.what.contains(says), "{way}: {bad:?}");
    }
    // Below what is signed nothing can be chained anew: the range is named.
    copy(&scratch.audit(), &folder);
    let part = several(&folder);
    put(
        &part.path,
        &lines_of(&part.path)
            .iter()
            .map(|line| line.replace("\"time\":\"2", "\"time\":\"3"))
            .collect::<Vec<_>>(),
    );
    chain_anew(&folder);
    let told = found(&folder);
    let bad = &told.bad[0];
    assert_eq!(bad.seq, Some(part.first), "{told:?}");
    assert!(
        bad.file.starts_with("checkpoints-") && bad.what.contains("not what the checkpoint of"),
        "{bad:?}"
    );
}

#[tokio::test]
async fn what_lies_elsewhere_tells_of_a_folder_that_was_rolled_back() {
    let scratch = Scratch::new("rolled");
    let (folder, earlier, elsewhere) =
        (scratch.audit(), scratch.0.join("earlier"), scratch.0.join("elsewhere"));
    write(&folder).await;
    copy(&folder, &earlier);
    let (handle, thread) = start(&location(folder.clone())).unwrap();
    executions(&handle, 200..210).await;
    thread.close().await.unwrap();
    let newest = notes_of(&folder).pop().unwrap();
    fs::copy(&newest, &elsewhere).unwrap();
    let with = |folder: &Path| verify(&Asked { external: vec![elsewhere.clone()], ..asked(folder) }).unwrap();
    assert_eq!(with(&folder).bad, []);
    assert_eq!(found(&earlier).bad, [], "by itself it is sound");
    let told = with(&earlier);
    assert_eq!((told.bad[0].file.as_str(), told.bad[0].seq), ("elsewhere", Some(62)), "{told:?}");
    // Written on from there, with numbers that are used again.
    let (handle, thread) = start(&location(earlier.clone())).unwrap();
    executions(&handle, 300..330).await;
    thread.close().await.unwrap();
    assert_eq!(found(&earlier).bad, []);
    let told = with(&earlier);
    assert!(told.bad[0].what.contains("differ") || told.bad[0].what.contains("not what"), "{told:?}");
    // A file of somebody else's checkpoints is none.
    fs::write(&elsewhere, "nothing").unwrap();
    assert!(with(&folder).bad[0].what.contains("no checkpoint"));
}

#[tokio::test]
async fn a_start_after_records_were_cut_off_says_so_and_uses_no_number_twice() {
    let scratch = Scratch::new("cut-off");
    let folder = scratch.audit();
    write(&folder).await;
    fs::remove_file(parts(&folder).pop().unwrap()).unwrap();
    let last = parts(&folder).pop().unwrap();
    let before = segments::end_of(&last, 0).unwrap().last.unwrap();
    let (handle, thread) = start(&location(folder.clone())).unwrap();
    executions(&handle, 300..302).await;
    thread.close().await.unwrap();
    let told = found(&folder);
    assert_eq!(told.bad[0].seq, Some(before + 1), "{told:?}");
    let text: String = parts(&folder).iter().map(|part| fs::read_to_string(part).unwrap()).collect();
    let says = format!("records {} to 61 are gone", before + 1);
    assert!(text.contains(&says) && text.contains("{\"seq\":62,"), "{says}: {text}");
    // What a hand changed in the newest segment is no crash: it stays, and nothing is written over it.
    let last = parts(&folder).pop().unwrap();
    let mut lines = lines_of(&last);
    lines[0] = lines[0].replace("n\"", "m\"");
    put(&last, &lines);
    let (_handle, thread) = start(&location(folder.clone())).unwrap();
    thread.close().await.unwrap();
    assert_eq!(lines_of(&last), lines);
    let text: String = parts(&folder).iter().map(|part| fs::read_to_string(part).unwrap()).collect();
    assert!(text.contains("and no crash did that"), "{text}");
}

#[tokio::test]
async fn records_of_a_version_without_a_chain_are_told_as_such() {
    let scratch = Scratch::new("older");
    let folder = scratch.audit();
    fs::create_dir(&folder).unwrap();
    let older = folder.join(format!("audit-20260101T000000.000000Z-{:020}.jsonl", 1));
    fs::write(&older, "{\"seq\":1,\"kind\":\"admin\"}\n{\"seq\":2,\"kind\":\"admin\"}\n").unwrap();
    let told = verify(&Asked { keys: Vec::new(), ..asked(&folder) }).unwrap();
    assert_eq!((told.bad, told.chained_from, told.last), (Vec::new(), None, Some(2)));
    for run in 0..2 {
        let (handle, thread) = start(&location(folder.clone())).unwrap();
        executions(&handle, run * 10..run * 10 + 3).await;
        thread.close().await.unwrap();
    }
    let told = found(&folder);
    assert_eq!((&told.bad, told.chained_from, told.last), (&Vec::new(), Some(3), Some(14)), "{told:?}");
    assert_eq!(by_the_page(std::slice::from_ref(&folder), &keys()), ["intact"]);
    // They cannot follow later.
    let later = folder.join(format!("audit-20360101T000000.000000Z-{:020}.jsonl", 15));
    fs::write(&later, "{\"seq\":15,\"kind\":\"admin\"}\n").unwrap();
    assert!(found(&folder).bad[0].what.contains("not chained"));
    assert_ne!(by_the_page(&[folder], &keys()), ["intact"]);
}

#[tokio::test]
async fn packed_segments_and_folders_whose_beginning_was_moved_away_verify_as_well() {
    let scratch = Scratch::new("packed");
    let folder = scratch.audit();
    let whole = Location { segment_bytes_max: 300_000, ..location(folder.clone()) };
    for run in 0..3 {
        let (handle, thread) = start(&whole).unwrap();
        for number in 0..2_000 {
            handle.submit_wait(outcome(run * 10_000 + number)).await.unwrap();
        }
        written(&handle, run).await.unwrap();
        thread.close().await.unwrap();
    }
    let before = found(&folder);
    assert_eq!(before.bad, []);
    pack_closed(&folder, &AtomicBool::new(false)).unwrap();
    let packed: Vec<PathBuf> =
        parts(&folder).into_iter().filter(|path| path.extension().unwrap() == "zst").collect();
    assert!(packed.len() >= 3, "{:?}", parts(&folder));
    let told = found(&folder);
    assert_eq!((&told.bad, told.records, told.bytes), (&Vec::new(), before.records, before.bytes));
    assert_eq!(by_the_page(std::slice::from_ref(&folder), &keys()), ["intact, open: 2001, 4002, 6003"]);
    // The newest may have been packed by somebody else: numbers and links go on behind it.
    let last = parts(&folder).pop().unwrap();
    fs::write(format!("{}.zst", last.display()), zstd::encode_all(&fs::read(&last).unwrap()[..], 3).unwrap())
        .unwrap();
    fs::remove_file(&last).unwrap();
    let (handle, thread) = start(&whole).unwrap();
    executions(&handle, 0..1).await;
    thread.close().await.unwrap();
    assert_eq!(found(&folder).bad, []);
    // The first segment goes to an archive: whoever knows says so, and what is left hangs by its end.
    fs::remove_file(parts(&folder).remove(0)).unwrap();
    let first = segments::list(&folder).unwrap().remove(0).first;
    assert!(found(&folder).bad[0].what.contains("are missing before it"));
    let told = verify(&Asked { first, ..asked(&folder) }).unwrap();
    assert_eq!((told.bad, told.first), (Vec::new(), Some(first)));
    let mut bytes = fs::read(&packed[1]).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&packed[1], bytes).unwrap();
    assert!(!verify(&Asked { first, ..asked(&folder) }).unwrap().bad.is_empty());
}

/// What a disk may hold after a power cut: all that was synced, and of the rest any piece.
#[tokio::test]
async fn a_power_cut_at_any_byte_and_in_any_order_of_writes_loses_nothing_that_was_acknowledged() {
    const BLOCK: usize = 128;
    let scratch = Scratch::new("power");
    // Hundreds of folders: in memory, where there is such a place.
    let memory = Path::new("/dev/shm")
        .is_dir()
        .then(|| Scratch(format!("/dev/shm/sealgate-power-{}", std::process::id()).into()));
    let place = memory.as_ref().map_or(&scratch.0, |memory| &memory.0);
    let (folder, before, cut) = (scratch.audit(), place.join("before"), place.join("cut"));
    let (handle, thread) = start(&location(folder.clone())).unwrap();
    executions(&handle, 0..1).await;
    thread.close().await.unwrap();
    let (handle, thread) = start(&location(folder.clone())).unwrap();
    for number in 1..4 {
        written(&handle, number).await.unwrap();
    }
    copy(&folder, &before);
    let part = parts(&folder).pop().unwrap();
    let name = part.file_name().unwrap();
    let acknowledged = fs::read(before.join(name)).unwrap();
    queued(handle.submit(outcome(0)));
    written(&handle, 50).await.unwrap();
    thread.close().await.unwrap();
    let after = fs::read(&part).unwrap();
    assert!(after.starts_with(&acknowledged) && after.len() > acknowledged.len() + 2 * BLOCK);
    let mut images: Vec<Vec<u8>> =
        (acknowledged.len()..after.len()).map(|end| after[..end].to_vec()).collect();
    let first = acknowledged.len() / BLOCK;
    let blocks = after.len().div_ceil(BLOCK) - first;
    for written in 0..1_usize << blocks.min(6) {
        let mut image = after.clone();
        for block in (0..blocks).filter(|block| written >> block & 1 == 0) {
            let start = ((first + block) * BLOCK).max(acknowledged.len());
            let end = ((first + block + 1) * BLOCK).min(after.len());
            image[start..end].fill(0);
        }
        // Of room that was allocated ahead, behind it or not.
        for ahead in [0, BLOCK, 5 * BLOCK] {
            let mut image = image.clone();
            image.resize(image.len() + ahead, 0);
            images.push(image);
        }
    }
    // Blocks that came to the disk alone, with nothing before them but room.
    for block in 0..blocks {
        let mut image = acknowledged.clone();
        let start = ((first + block) * BLOCK).max(acknowledged.len());
        let end = ((first + block + 1) * BLOCK).min(after.len());
        image.resize(start, 0);
        image.extend_from_slice(&after[start..end]);
        images.push(image);
    }
    for (number, image) in images.iter().enumerate() {
        copy(&before, &cut);
        fs::write(cut.join(name), image).unwrap();
        assert_eq!(super::super::write_alone(&location(cut.clone()), outcome(77)), Ok(true));
        let told = found(&cut);
        assert_eq!(told.bad, [], "image {number}: {told:?}");
        assert!((6..=9).contains(&told.records), "image {number}: {told:?}");
        let text = fs::read(cut.join(name)).unwrap();
        assert!(text.starts_with(&acknowledged) && after.starts_with(&text), "image {number}");
        let torn = fs::read_dir(&cut)
            .unwrap()
            .any(|entry| entry.unwrap().path().extension().is_some_and(|end| end == "torn"));
        let says =
            parts(&cut).iter().any(|part| fs::read_to_string(part).unwrap().contains("was torn by a crash"));
        assert_eq!(torn, says, "image {number}: what was set aside is told of");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_changes_no_order() {
    let scratch = Scratch::new("clock");
    let folder = scratch.audit();
    for run in 0..3 {
        let (handle, thread) = start(&location(folder.clone())).unwrap();
        executions(&handle, run * 3..run * 3 + 3).await;
        thread.close().await.unwrap();
        // Written by a clock that was ten years ahead.
        for entry in fs::read_dir(&folder).unwrap().filter(|_| run == 0) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            fs::rename(&path, folder.join(name.replacen("-20", "-30", 1))).unwrap();
        }
    }
    let told = found(&folder);
    assert_eq!((&told.bad, told.last, told.open), (&Vec::new(), Some(18), 0), "{told:?}");
}

/// What somebody lays into the folder so that those who read it wait, or write elsewhere.
#[tokio::test]
async fn pipes_links_and_long_files_stop_nobody_and_lead_nowhere() {
    let scratch = Scratch::new("traps");
    let (folder, kept) = (scratch.audit(), scratch.0.join("kept"));
    write(&folder).await;
    fs::write(&kept, "a file of somebody's").unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(&kept, folder.join(name)).unwrap();
    let later = format!("audit-20360101T000000.000000Z-{:020}.jsonl", 9_000);
    link(&later);
    link("audit-20360101T000000.000000Z-00000000000000000001.jsonl.zst.part");
    let (handle, thread) = start(&location(folder.clone())).unwrap();
    executions(&handle, 0..1).await;
    thread.close().await.unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "a file of somebody's", "by the start");
    fs::remove_file(folder.join(later)).unwrap();
    let small = segments::list(&folder).unwrap().remove(0).path;
    let part = PathBuf::from(format!("{}.zst.part", small.display()));
    std::os::unix::fs::symlink(&kept, &part).unwrap();
    fs::OpenOptions::new().append(true).open(&small).unwrap().set_len(300 << 10).unwrap();
    pack_closed(&folder, &AtomicBool::new(false)).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "a file of somebody's", "by packing");
    for name in ["audit-20360101T000000.000000Z-1.jsonl", "checkpoints-20360101T000000.000000Z-1.notes"] {
        let pipe = folder.join(name);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let told = found(&folder);
        assert!(told.bad.iter().any(|bad| bad.what.contains("no ordinary file")), "{name}: {told:?}");
        fs::remove_file(pipe).unwrap();
    }
    let endless = folder.join("checkpoints-20360101T000000.000000Z-1.notes");
    fs::File::create(&endless).unwrap().set_len(1 << 40).unwrap();
    assert!(found(&folder).bad.iter().any(|bad| bad.what.contains("longer than any")));
}

#[test]
fn executions_and_leases_stay_open_until_an_outcome_ends_them() {
    let scratch = Scratch::new("open");
    let part = scratch.0.join(format!("audit-20260101T000000.000000Z-{:020}.jsonl", 1));
    let terms = "\"lease\":{\"executions\":100,\"values\":1000,\"window_ms\":50}";
    let lines = [
        format!("\"kind\":\"intent\",\"session\":7,\"statement_id\":1,{terms}"),
        "\"kind\":\"outcome\",\"session\":7,\"statement_id\":1".to_owned(),
        "\"kind\":\"outcome\",\"session\":7,\"statement_id\":2,\"lease\":1".to_owned(),
        "\"kind\":\"outcome\",\"session\":7,\"statement_id\":3,\"lease\":1,\"executions\":2".to_owned(),
        format!("\"kind\":\"intent\",\"session\":8,\"statement_id\":1,{terms}"),
        "\"kind\":\"outcome\",\"session\":8,\"statement_id\":1,\"partial\":true,\"rows\":10000".to_owned(),
        "\"kind\":\"outcome\",\"session\":8,\"statement_id\":1,\"rows\":10001".to_owned(),
    ];
    for (count, expected) in [
        (1, &[(1, false), (1, true)][..]),
        (2, &[(1, true)]),
        (3, &[(1, true)]),
        (4, &[]),
        (5, &[(5, false), (5, true)]),
        (6, &[(5, false), (5, true)]),
        (7, &[(5, true)]),
    ] {
        let numbered = (1..).zip(&lines).take(count).map(|(seq, line)| format!("{{\"seq\":{seq},{line}}}"));
        put(&part, &numbered.collect::<Vec<_>>());
        let told = verify(&Asked { keys: Vec::new(), ..asked(&scratch.0) }).unwrap();
        let open: Vec<_> = told.open_intents.iter().map(|open| (open.seq, open.is_lease)).collect();
        assert_eq!((open.as_slice(), told.bad), (expected, Vec::new()), "{count}");
    }
}

/// Lines that one reader takes for one thing and another for another are no record to any.
#[test]
fn a_line_that_could_be_read_in_two_ways_is_no_record() {
    let scratch = Scratch::new("two ways");
    let line = |number: u64, kind: &str, members: &str| {
        format!(
            "{{\"seq\":{number},\"time\":\"2026-11-28T00:00:00.000000Z\",\"kind\":\"{kind}\",{members},\"hash\":\"\"}}"
        )
    };
    let before = [
        line(1, "admin", "\"action\":\"start\""),
        line(
            2,
            "intent",
            "\"who\":1,\"session\":7,\"user\":\"ada\",\"statement_id\":1,\"plan\":1,\"action\":\"read\",\
             \"fields\":[],\"fingerprint\":\"f\",\"statement\":\"SELECT email\"",
        ),
        line(3, "outcome", "\"who\":1,\"statement_id\":1,\"plan\":1,\"rows\":1"),
    ];
    let mut folders = Vec::new();
    let ways = [
        ("\"plan\":1", true),
        ("\"plan\":2,\"action\":\"read\",\"statement\":\"SELECT phone\"", true),
        ("\"plan\":1,\"session\":null,\"user\":\"eve\"", false),
        ("\"plan\":1,\"user\":\"eve\"", false),
        ("\"plan\":1,\"end_user\":\"eve\"", false),
        ("\"plan\":1,\"action\":null,\"statement\":\"SELECT harmless\"", false),
        ("\"plan\":2,\"action\":null,\"statement\":\"SELECT harmless\"", false),
        ("\"plan\":1,\"statement\":\"SELECT harmless\"", false),
        ("\"plan\":1,\"fields\":[]", false),
        ("\"plan\":1,\"list\":1,\"fields\":null", false),
        ("\"plan\":1,\"list\":1,\"fields\":[]", true),
        ("\"plan\":null", false),
    ];
    for (number, (members, _)) in ways.iter().enumerate() {
        let folder = scratch.0.join(format!("{number}"));
        fs::create_dir_all(&folder).unwrap();
        let last = line(4, "intent", &format!("\"who\":1,\"statement_id\":2,{members}"));
        let lines: Vec<String> = before.iter().cloned().chain([last]).collect();
        put(&folder.join("audit-20261128T000000.000000Z-00000000000000000001.jsonl"), &lines);
        chain_anew(&folder);
        folders.push(folder);
    }
    for ((folder, (members, is_record)), page) in folders.iter().zip(ways).zip(by_the_page(&folders, &[])) {
        let told = verify(&Asked { keys: Vec::new(), ..asked(folder) }).unwrap();
        assert_eq!(told.bad.is_empty(), is_record, "{members}: {told:?}");
        assert_eq!(page.starts_with("intact"), is_record, "{members}: {page}");
    }
}
