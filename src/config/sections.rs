//! Each section of the file, but for the long ones: `[[field]]` and `[residency]`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::reader::{Reader, Section, Text, Words, shown};
use super::scalar::{self, Refused};
use super::settings::{
    Admin, Alerting, Audit, Keys, LearnedWatch, Limits, Lines, Secret, Settings, ShareSettings, Timeouts,
};
use super::{Fault, TEXT_BYTES_MAX, WATCH_LIMITS_MAX, fields};
use crate::audit::Attribution;
use crate::catalog::Classification;
use crate::watch::{Honey, Limit, LimitAction, Measure, Rule, Watch};

/// Users of a limit, or of a rule.
const USERS_MAX: usize = 256;
/// Functions and extensions that are vouched for.
const VOUCHED_MAX: usize = 1_024;

const ROOT: Words = Words {
    served: &[
        "listen",
        "upstream",
        "login",
        "keys",
        "field",
        "policy",
        "audit",
        "residency",
        "watch",
        "token",
        "alert",
        "admin",
        "limits",
        "timeouts",
    ],
    later: &["grant"],
};
const POLICY: Words = Words { served: &["opaque", "vouch", "missing", "copy_sealed"], later: &[] };
const MISSING: Words = Words { served: &["refuse", "serve"], later: &[] };
const LINES: Words = Words { served: &["full", "numbered"], later: &[] };
const OPAQUE: Words = Words { served: &["record", "refuse"], later: &[] };
const KEYS: Words = Words { served: &["provider", "path", "master_key"], later: &[] };
const PROVIDER: Words = Words { served: &["file"], later: &["pkcs11", "vault", "aws-kms"] };
const SECRET: Words = Words { served: &["env", "file"], later: &[] };
const AUDIT: Words = Words {
    served: &[
        "path",
        "durability",
        "sync_every",
        "lease",
        "reserve",
        "node",
        "signing_key",
        "checkpoint_every",
        "sink",
        "compress",
        "lines",
    ],
    later: &["retain"],
};
const WATCH: Words = Words {
    served: &["limit", "detector", "honey", "learned", "peers", "share", "quiet", "spool"],
    later: &[],
};
const LIMIT: Words = Words {
    served: &[
        "cells",
        "rows",
        "subjects",
        "window",
        "action",
        "lock",
        "refuse",
        "purpose",
        "throttle",
        "delay",
        "users",
        "by",
        "attribution",
    ],
    later: &[],
};
const ATTRIBUTION: Words = Words { served: &["known", "possible"], later: &[] };
const ACTION: Words =
    Words { served: &["alert", "cut", "lock", "refuse", "purpose", "throttle"], later: &[] };
const ADMIN: Words = Words { served: &["address", "socket"], later: &[] };
const LIMITS: Words = Words {
    served: &[
        "sessions_max",
        "sessions_per_user_max",
        "unproven_max",
        "frame_bytes_max",
        "statement_bytes_max",
        "plan_cache_bytes_max",
    ],
    later: &[],
};
const TIMEOUTS: Words = Words {
    served: &[
        "connect",
        "login",
        "idle",
        "idle_in_transaction",
        "drain",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    ],
    later: &[],
};
/// Longest interval of keepalives, which Linux has a limit for.
const KEEPALIVE_MS_MAX: u64 = 32_400_000;
/// Longest timeout.
const TIMEOUT_MS_MAX: u64 = 86_400_000;

/// See [`super::load`].
pub(super) fn read(text: &str, origin: &str) -> Result<Settings, Vec<Fault>> {
    let mut reader = Reader::new(text, origin);
    if text.len() > TEXT_BYTES_MAX {
        reader.fault(0, format!("{} bytes", text.len()), format!("at most {TEXT_BYTES_MAX}"));
        return Err(reader.into_faults());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.fault(at, error.message().replace('\n', ", "), "");
    }
    if !errors.is_empty() {
        return Err(reader.into_faults());
    }
    let root = reader.section("the file", 0, document.get_ref(), ROOT);
    let settings = reader.settings(&root);
    match settings {
        Some(settings) if reader.is_sound() => Ok(settings),
        Some(_) | None => Err(reader.into_faults()),
    }
}

/// `[watch]`, but for what it says of alerts.
#[derive(Default)]
struct Watched {
    limits: Vec<Limit>,
    detectors: Vec<Rule>,
    honey: Option<Arc<Honey>>,
    learned: Option<LearnedWatch>,
    share: Option<ShareSettings>,
}

impl Reader<'_> {
    /// None only beside a fault.
    fn settings(&mut self, root: &Section<'_>) -> Option<Settings> {
        let fields = self.fields(root);
        let policy = self.policy(root);
        let listen = self.listen(root);
        let upstream = self.upstream(root);
        let login = self.login(root);
        let keys = self.keys(root);
        let audit = self.audit(root);
        let residency = self.residency(root);
        let (watched, alerting) = self.watch(root);
        let tokens = self.tokens(root);
        let admin = self.admin(root);
        let limits = self.limits(root);
        let timeouts = self.timeouts(root);
        self.required_by_fields(root, &fields);
        self.admin_apart(root, listen.as_ref(), admin.as_ref());
        self.hops_agree(root, listen.as_ref(), upstream.as_ref(), login.as_ref());
        Some(Settings {
            origin: self.origin(),
            lines: self.lines(root),
            listen: listen?,
            upstream: upstream?,
            login: login?,
            keys,
            policy: Classification { fields: fields.into_iter().map(|(_, field)| field).collect(), ..policy },
            audit,
            residency,
            watch: watched.limits,
            detectors: watched.detectors,
            honey: watched.honey,
            learned: watched.learned,
            share: watched.share,
            alerting,
            tokens,
            admin,
            limits,
            timeouts,
        })
    }

    /// Where everything stands, for those who use what is named.
    fn lines(&self, root: &Section<'_>) -> Lines {
        let mut lines = HashMap::new();
        for (section, value) in root.entries() {
            let table = value.get_ref().as_table().into_iter().flatten();
            for (key, value) in table {
                lines.insert(format!("{section}.{}", key.get_ref()), self.line(value.span().start));
            }
            for (index, entry) in value.get_ref().as_array().into_iter().flatten().enumerate() {
                lines.insert(format!("{section}.{index}"), self.line(entry.span().start));
            }
        }
        Lines(lines)
    }

    /// What must be there as soon as something is classified, or sealed.
    fn required_by_fields(&mut self, root: &Section<'_>, fields: &[fields::Placed]) {
        let Some((first, _)) = fields.first() else { return };
        if root.value("audit").is_none() {
            self.fault(*first, "a [[field]] without [audit]", "add [audit] with path = \"audit\"");
        }
        let upstream = root.value("upstream").and_then(|value| value.get_ref().as_table());
        if upstream.is_some_and(|upstream| !upstream.contains_key("service_user")) {
            self.fault(
                *first,
                "a [[field]] without [upstream] service_user",
                "add the account that reads the catalog: service_user = \"sealgate\"",
            );
        }
        if let Some((at, _)) = fields.iter().find(|(_, entry)| entry.field.domain.is_some())
            && root.value("keys").is_none()
        {
            self.fault(
                *at,
                "a sealed [[field]] without [keys]",
                "add [keys] with provider = \"file\", path and master_key",
            );
        }
    }

    fn keys(&mut self, root: &Section<'_>) -> Option<Keys> {
        let section = self.table(root, "keys", "[keys]", KEYS)?;
        if section.value("provider").is_none() {
            self.missing(&section, "provider", "\"file\"");
        }
        self.choice(&section, "provider", PROVIDER);
        let path = self.path(&section, "path", "\"keys/keyring.json\"");
        if section.value("master_key").is_none() {
            self.missing(&section, "master_key", "{ env = \"SEALGATE_MASTER_KEY\" }");
        }
        let master_key = self.secret(&section, "master_key");
        Some(Keys { path: path?, master_key: master_key? })
    }

    fn audit(&mut self, root: &Section<'_>) -> Option<Audit> {
        let section = self.table(root, "audit", "[audit]", AUDIT)?;
        let path = self.path(&section, "path", "\"audit\"");
        let durability = self.durability(&section);
        let lease = self.lease(&section, durability);
        let reserve_bytes = self.reserve(&section);
        let node = self.checked(&section, "node", scalar::name);
        let audit = Audit {
            path: path?,
            node,
            durability,
            lease,
            reserve_bytes,
            signing_key: None,
            checkpoint_every_ms: 0,
            sinks: Vec::new(),
            compress: true,
            in_full: self.choice(&section, "lines", LINES).is_none_or(|word| word.text == "full"),
        };
        Some(self.evidence(&section, audit))
    }

    /// What it says beside the fields.
    fn policy(&mut self, root: &Section<'_>) -> Classification {
        let mut policy = Classification::default();
        let Some(section) = self.table(root, "policy", "[policy]", POLICY) else { return policy };
        policy.refuses_opaque =
            self.choice(&section, "opaque", OPAQUE).is_some_and(|word| word.text == "refuse");
        policy.serves_missing =
            self.choice(&section, "missing", MISSING).is_some_and(|word| word.text == "serve");
        for text in self.strings(&section, "vouch", VOUCHED_MAX).unwrap_or_default() {
            match scalar::signature(text.text) {
                Some(signature) => policy.vouched.push(signature),
                None => {
                    let found = format!("[policy] vouch = {}", shown(text.text));
                    self.fault(text.at, found, "a function by schema, name and types of its arguments (\"public.slugify(text)\"), or \"extension:name\"");
                }
            }
        }
        for text in self.strings(&section, "copy_sealed", USERS_MAX).unwrap_or_default() {
            match scalar::server_name(text.text) {
                Ok(user) => policy.copies_sealed.push(user),
                Err(_) => {
                    let found = format!("[policy] copy_sealed = {}", shown(text.text));
                    self.fault(text.at, found, "the name of a user who logs in (\"backup\")");
                }
            }
        }
        policy.vouched.sort_unstable();
        policy.vouched.dedup();
        policy
    }

    fn watch(&mut self, root: &Section<'_>) -> (Watched, Alerting) {
        let mut alerting = Alerting { places: self.alerts(root), ..Alerting::default() };
        let Some(section) = self.table(root, "watch", "[watch]", WATCH) else {
            return (Watched::default(), alerting);
        };
        if let Some(quiet_ms) = self.quiet_ms(&section) {
            alerting.quiet_ms = quiet_ms;
        }
        if section.value("spool").is_some()
            && let Some(spool) = self.path(&section, "spool", "\"alerts\"")
        {
            alerting.spool = spool;
        }
        let entries = self.tables(&section, "limit", "[[watch.limit]]", LIMIT, WATCH_LIMITS_MAX);
        let limits: Vec<Limit> = entries.iter().filter_map(|entry| self.limit(entry)).collect();
        let (detectors, honey) = (self.detectors(&section), self.honey(&section));
        let learned = self.learned(&section);
        let share = self.share(&section);
        self.principal_bytes(&entries, &limits, detectors.len(), share.is_some());
        (Watched { limits, detectors, honey, learned, share }, alerting)
    }

    fn limit(&mut self, entry: &Section<'_>) -> Option<Limit> {
        let measured = self.measure(entry);
        let window = self.string_required(entry, "window", "\"1m\"");
        let window_ms = window.and_then(|window| self.window_ms(window));
        if entry.value("action").is_none() {
            self.missing(entry, "action", "\"alert\"");
        }
        let action = self.choice(entry, "action", ACTION).and_then(|word| {
            match self.restraint(entry, "[[watch.limit]]", word.text)? {
                Some((restraint, ms)) => Some(LimitAction::Restrain { restraint, ms }),
                None if word.text == "cut" => Some(LimitAction::Cut),
                None => Some(LimitAction::Alert),
            }
        });
        let users = self.strings(entry, "users", USERS_MAX);
        let users = users.map(|users| users.iter().map(|user| user.text.to_owned()).collect());
        let possible =
            self.choice(entry, "attribution", ATTRIBUTION).is_some_and(|word| word.text == "possible");
        let attribution = if possible { Attribution::Possible } else { Attribution::Known };
        let (measure, most) = measured?;
        if possible
            && measure != Measure::Cells
            && let Some(value) = entry.value("attribution")
        {
            let remedy = "count cells: what may have been met has no rows, and nobody knows whose it is";
            self.fault(
                value.span().start,
                "[[watch.limit]] attribution = \"possible\" without cells",
                remedy,
            );
            return None;
        }
        let by = self.by(entry);
        Some(Limit { users, by, attribution, measure, most, window_ms: window_ms?, action: action? })
    }

    /// Is there memory for all of it?
    fn principal_bytes(&mut self, entries: &[Section<'_>], limits: &[Limit], detectors: usize, shared: bool) {
        let (bytes, most) = (Watch::principal_bytes(limits, detectors, shared), Watch::PRINCIPAL_BYTES_MAX);
        let place = entries.iter().rev().find_map(|entry| entry.value("subjects").or(entry.value("window")));
        if bytes > most
            && let Some(value) = place
        {
            let found = format!("[[watch.limit]] and [[watch.detector]] take {bytes} bytes for one user");
            let remedy = format!(
                "at most {most}: each length of window in which subjects are counted takes 16 for each of the most \
                 that its limits allow, rounded up to a power of two (2000: 32768), and half as much again with \
                 [watch.share]; each of cells or rows, and each detector, takes less than 1024"
            );
            self.fault(value.span().start, found, remedy);
        }
    }

    /// What a limit counts, and how many of them are allowed.
    fn measure(&mut self, entry: &Section<'_>) -> Option<(Measure, u64)> {
        let measures = [
            ("cells", Measure::Cells, Limit::CELLS_MAX),
            ("rows", Measure::Rows, Limit::CELLS_MAX),
            ("subjects", Measure::Subjects, Limit::SUBJECTS_MAX),
        ];
        let mut found = None;
        for (key, measure, max) in measures {
            let Some(value) = entry.value(key) else { continue };
            if found.is_some() {
                let remedy = "one of cells, rows and subjects: write an entry for each";
                self.fault(value.span().start, "[[watch.limit]] counts two things", remedy);
                return None;
            }
            found = Some((measure, self.integer(entry, key, 0..=max)));
        }
        match found {
            Some((measure, most)) => Some((measure, most?)),
            None => {
                self.missing(entry, "cells", "1000; or rows, or subjects");
                None
            }
        }
    }

    fn window_ms(&mut self, window: Text<'_>) -> Option<u64> {
        let fitting = scalar::duration_ms(window.text)
            .filter(|ms| (Limit::WINDOW_MS_MIN..=Limit::WINDOW_MS_MAX).contains(ms));
        if fitting.is_none() {
            let found = format!("[[watch.limit]] window = {}", shown(window.text));
            self.fault(window.at, found, "from \"1s\" to \"1d\": a number and s, m, h or d");
        }
        fitting
    }

    fn admin(&mut self, root: &Section<'_>) -> Option<Admin> {
        let section = self.table(root, "admin", "[admin]", ADMIN)?;
        let text = self.string_required(&section, "address", "\"127.0.0.1:9187\"")?;
        let address = self.host_port("[admin] address", text, 0)?;
        let socket = section
            .value("socket")
            .is_some()
            .then(|| self.path(&section, "socket", "\"/run/sealgate/admin.sock\""));
        Some(Admin { address, socket: socket.flatten() })
    }

    fn limits(&mut self, root: &Section<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(section) = self.table(root, "limits", "[limits]", LIMITS) else { return limits };
        let mut narrow = |key: &str, least: u64, most: u32, into: &mut u32| {
            let read = self.integer(&section, key, least..=u64::from(most));
            if let Some(read) = read.and_then(|read| u32::try_from(read).ok()) {
                *into = read;
            }
        };
        narrow("sessions_max", 1, 100_000, &mut limits.sessions_max);
        narrow("unproven_max", 1, 100_000, &mut limits.unproven_max);
        narrow("frame_bytes_max", 1 << 13, 1 << 30, &mut limits.frame_bytes_max);
        narrow("statement_bytes_max", 1 << 10, 1 << 27, &mut limits.statement_bytes_max);
        if let Some(bytes) = self.integer(&section, "plan_cache_bytes_max", 0..=1 << 36) {
            limits.plan_cache_bytes_max = bytes;
        }
        let of_user = self.integer(&section, "sessions_per_user_max", 1..=100_000);
        limits.sessions_per_user_max = of_user.and_then(|count| u32::try_from(count).ok());
        limits
    }

    fn timeouts(&mut self, root: &Section<'_>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(section) = self.table(root, "timeouts", "[timeouts]", TIMEOUTS) else { return timeouts };
        timeouts.connect_ms = self.timeout(&section, "connect").unwrap_or(timeouts.connect_ms);
        timeouts.login_ms = self.timeout(&section, "login").unwrap_or(timeouts.login_ms);
        timeouts.drain_ms = self.timeout(&section, "drain").unwrap_or(timeouts.drain_ms);
        timeouts.idle_ms = self.timeout(&section, "idle");
        timeouts.idle_in_transaction_ms = self.timeout(&section, "idle_in_transaction");
        let vanished = &mut timeouts.vanished;
        let mut keepalive = |key, default| self.keepalive(&section, key).unwrap_or(default);
        vanished.keepalives_idle_ms = keepalive("keepalives_idle", vanished.keepalives_idle_ms);
        vanished.keepalives_interval_ms = keepalive("keepalives_interval", vanished.keepalives_interval_ms);
        let count =
            self.integer(&section, "keepalives_count", 1..=100).and_then(|count| u32::try_from(count).ok());
        vanished.keepalives_count = count.unwrap_or(vanished.keepalives_count);
        vanished.tcp_user_timeout_ms = self.timeout(&section, "tcp_user_timeout");
        timeouts
    }

    fn timeout(&mut self, section: &Section<'_>, key: &str) -> Option<u64> {
        self.duration(section, key, TIMEOUT_MS_MAX, "from \"1s\" to \"1d\": a number and s, m, h or d")
    }

    fn keepalive(&mut self, section: &Section<'_>, key: &str) -> Option<u64> {
        self.duration(section, key, KEEPALIVE_MS_MAX, "from \"1s\" to \"9h\": a number and s, m or h")
    }

    pub(super) fn duration(
        &mut self,
        section: &Section<'_>,
        key: &str,
        max: u64,
        remedy: &'static str,
    ) -> Option<u64> {
        let text = self.string(section, key)?;
        let fitting = scalar::duration_ms(text.text).filter(|ms| (1_000..=max).contains(ms));
        if fitting.is_none() {
            let found = format!("{} {key} = {}", section.title, shown(text.text));
            self.fault(text.at, found, remedy);
        }
        fitting
    }

    /// A table that every file has.
    pub(super) fn section_required<'d>(
        &mut self,
        root: &Section<'d>,
        key: &str,
        title: &'static str,
        keys: Words,
    ) -> Option<Section<'d>> {
        if root.value(key).is_none() {
            self.fault(0, format!("{title} is missing"), "every configuration has [listen] and [upstream]");
        }
        self.table(root, key, title, keys)
    }

    /// A string that one of the small languages reads. None where it is absent or faulty.
    pub(super) fn checked<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let text = self.string(section, key)?;
        self.read_text(&format!("{} {key}", section.title), text, read)
    }

    /// The same for a text at hand.
    pub(super) fn read_text<T>(
        &mut self,
        what: &str,
        text: Text<'_>,
        read: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        match read(text.text) {
            Ok(value) => Some(value),
            Err(refused) => {
                let found = format!("{what} = {} {}", shown(text.text), refused.reason);
                self.fault(text.at, found, refused.remedy);
                None
            }
        }
    }

    /// A path that must be there. Relative ones are relative to the working directory.
    pub(super) fn path(&mut self, section: &Section<'_>, key: &str, example: &str) -> Option<PathBuf> {
        let text = self.string_required(section, key, example)?;
        if text.text.is_empty() || text.text.contains('\0') {
            self.fault(text.at, format!("{} {key} is not a path", section.title), format!("write {example}"));
            return None;
        }
        Some(PathBuf::from(text.text))
    }

    /// `{ env = "NAME" }` or `{ file = "PATH" }`. What else may stand there is not shown.
    pub(super) fn secret(&mut self, section: &Section<'_>, key: &'static str) -> Option<Secret> {
        const REMEDY: &str = "write { env = \"NAME\" } or { file = \"PATH\" }";
        let value = section.value(key)?;
        let title = match key {
            "secret" if section.title == "[[token]]" => "[[token]] secret",
            "token" if section.title == "[[audit.sink]]" => "[[audit.sink]] token",
            "access_key" => "[[audit.sink]] access_key",
            "secret_key" => "[[audit.sink]] secret_key",
            "key" => "[watch.share] key",
            "nkey" => "[watch.share] nkey",
            "creds" => "[watch.share] creds",
            "token" if section.title == "[watch.share]" => "[watch.share] token",
            "password" if section.title == "[watch.share]" => "[watch.share] password",
            "master_key" => "[keys] master_key",
            "signing_key" => "[audit] signing_key",
            "secret" => "[[alert]] secret",
            "token" => "[[alert]] token",
            "password" => "[[alert]] password",
            _ => "[upstream] service_password",
        };
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            self.fault(at, format!("{title} stands in the file itself"), REMEDY);
            return None;
        };
        let reference = self.section(title, at, table, SECRET);
        let (env, file) = (self.secret_part(&reference, "env"), self.secret_part(&reference, "file"));
        match (env, file) {
            (Some(name), None) => Some(Secret::Env(name)),
            (None, Some(path)) => Some(Secret::File(PathBuf::from(path))),
            (Some(_), Some(_)) | (None, None) => {
                self.fault(at, format!("{title} needs one of env and file"), REMEDY);
                None
            }
        }
    }

    fn secret_part(&mut self, reference: &Section<'_>, key: &str) -> Option<String> {
        let text = self.string(reference, key)?;
        let sound =
            !text.text.is_empty() && !text.text.contains('\0') && (key == "file" || !text.text.contains('='));
        if !sound {
            let found = format!("{} {key} is not the name of a place", reference.title);
            self.fault(text.at, found, "name a variable or a file");
            return None;
        }
        Some(text.text.to_owned())
    }
}
