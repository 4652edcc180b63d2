//! One record of a process that serves nobody: a verb of the command line, or a start that was
//! refused. It goes where the journal goes; where a running Sealgate writes there, whose numbers
//! are its own, into a file beside the segments.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::folder::{give_to_owner, stamp, sync_folder};
use super::{Location, StartError, entry, open, told};
use crate::audit::{Journal, Record, Sink, SinkError};

/// Makes one record durable, now. False where there is no folder yet: a folder is made by who
/// runs, as the account that runs it.
///
/// # Errors
/// For the operator: it could not be written.
pub fn write_alone(location: &Location, record: Record) -> Result<bool, String> {
    if !location.path.is_dir() {
        return Ok(false);
    }
    let mut entries = Vec::new();
    let (mut sink, mut journal): (Box<dyn Sink>, Journal) = match open(location) {
        Ok(opened) => {
            entries = told(&opened.findings);
            let journal = Journal::behind(location.node.clone(), opened.next_seq(), opened.head.link);
            (Box::new(opened.folder), journal)
        }
        Err(error) if error.is_taken => {
            (Box::new(Beside::new(&location.path)?), Journal::new(location.node.clone(), 1))
        }
        Err(error) => return Err(StartError::Folder(error).to_string()),
    };
    entries.push(entry(record));
    let mut written = journal.commit(&mut *sink, &entries);
    // It has happened already, and asks for nothing: that is what the reserve is for.
    if written.is_err() && sink.give_up_reserve() {
        written = journal.commit(&mut *sink, &entries);
    }
    written.map_err(|error| error.0)?;
    Ok(true)
}

/// A file of its own.
struct Beside {
    file: File,
}

impl Beside {
    fn new(folder: &Path) -> Result<Beside, String> {
        let name = format!("admin-{}-{}.jsonl", stamp(SystemTime::now()), std::process::id());
        let path = folder.join(name);
        let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = made.and_then(|file| sync_folder(folder).map(|()| file));
        let file = file.map_err(|error| format!("{}: it cannot be made: {error}", path.display()))?;
        give_to_owner(&file, folder);
        Ok(Beside { file })
    }
}

impl Sink for Beside {
    fn append(&mut self, _seq: u64, line: &[u8]) -> Result<(), SinkError> {
        self.file.write_all(line).map_err(|error| SinkError(error.to_string()))
    }

    fn hand(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.file.sync_all().map_err(|error| SinkError(error.to_string()))
    }

    fn undo(&mut self) -> Result<(), SinkError> {
        self.file.set_len(0).map_err(|error| SinkError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::start;
    use super::*;
    use crate::audit::AdminRecord;

    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn record(rule: &str) -> Record {
        Record::Admin(AdminRecord {
            event: "keys-init",
            verdict: "applied",
            rule: rule.into(),
            account: Some("uid 0".into()),
            keyring: None,
        })
    }

    fn lines(folder: &Path) -> Vec<(String, serde_json::Value)> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
        files.sort();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap()[..6].to_owned();
        files
            .iter()
            .flat_map(|path| {
                let text = fs::read_to_string(path).unwrap();
                let read = |line: &str| (name(path), serde_json::from_str(line).unwrap());
                text.lines().map(read).collect::<Vec<_>>()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_record_goes_where_the_journal_goes_and_beside_it_while_another_writes() {
        let folder = Scratch(std::env::temp_dir().join(format!("sealgate-alone-{}", std::process::id())));
        let _ = fs::remove_dir_all(&folder.0);
        let location = Location::new(folder.0.clone(), "n".into());
        assert_eq!(write_alone(&location, record("x")), Ok(false), "no folder is made");
        assert!(!folder.0.exists());
        fs::create_dir(&folder.0).unwrap();
        assert_eq!(write_alone(&location, record("before")), Ok(true));
        let (handle, thread) = start(&location).unwrap();
        assert_eq!(write_alone(&location, record("beside")), Ok(true));
        handle.submit_wait(record("running")).await.unwrap();
        thread.close().await.unwrap();
        assert_eq!(write_alone(&location, record("after")), Ok(true));
        let told: Vec<(String, u64, Option<Arc<str>>)> = lines(&folder.0)
            .into_iter()
            .map(|(file, line)| (file, line["seq"].as_u64().unwrap(), line["rule"].as_str().map(Arc::from)))
            .collect();
        let expected = [
            ("admin-", 1, "beside"),
            ("audit-", 1, "before"),
            ("audit-", 2, "running"),
            ("audit-", 3, "after"),
        ];
        let expected = expected.map(|(file, seq, rule)| (file.to_owned(), seq, Some(Arc::from(rule))));
        assert_eq!(told, expected);
    }
}
