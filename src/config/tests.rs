//! What a file may say, and what is said of one that may not.

use super::{
    Auth, ClientCertificate, Endpoint, Fault, HostPort, Limits, Secret, Settings, TlsMode, TlsVersion, load,
};
use crate::catalog::Mode;
use crate::residency::{Date, Form};
use crate::watch::LimitAction;

const LEAST: &str = "[listen]\naddress = \"127.0.0.1:6432\"\n[upstream]\nhosts = [\"127.0.0.1:5432\"]\n";
const CLASSIFIED: &str = r#"
[listen]
address = "127.0.0.1:6432"
[upstream]
hosts = ["127.0.0.1:5432"]
service_user = "sealgate"
[keys]
provider = "file"
path = "k"
master_key = { env = "K" }
[audit]
path = "audit"
"#;

fn faults(text: &str) -> Vec<String> {
    match load(text, "t.toml") {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(Fault::to_string).collect(),
    }
}

#[track_caller]
fn sound(text: &str) -> Settings {
    match load(text, "t.toml") {
        Ok(settings) => settings,
        Err(faults) => panic!("{:?}", faults.iter().map(Fault::to_string).collect::<Vec<_>>()),
    }
}

/// The one fault of a text begins and goes on like this.
#[track_caller]
fn refuses(text: &str, parts: &[&str]) {
    let all = faults(text);
    assert_eq!(all.len(), 1, "{text}\n{all:?}");
    for part in parts {
        assert!(all[0].contains(part), "{part:?} is not in {:?}", all[0]);
    }
}

#[test]
fn loads_the_example() {
    let settings = sound(include_str!("../../config/sealgate.toml"));
    let address = HostPort { host: "127.0.0.1".into(), port: 6432 };
    assert_eq!(settings.listen.addresses, [Endpoint::Tcp(address)]);
    let service = settings.upstream.service.as_ref().unwrap();
    assert_eq!(service.password, Some(Secret::Env("SEALGATE_SERVICE_PASSWORD".into())));
    assert_eq!(service.database, "postgres");
    assert_eq!(settings.policy.fields.len(), 3);
    assert_eq!(settings.policy.fields[0].field.path(), "public.customers.email");
    assert_eq!(settings.policy.fields[0].field.domain.as_ref().unwrap().mode, Mode::Equality);
    assert_eq!(settings.policy.fields[0].field.subject.as_deref(), Some("id"));
    assert!(settings.policy.fields[2].field.domain.is_none());
    assert!(settings.seals());
    assert_eq!(settings.limits, Limits::default());
    let limits: Vec<_> = settings.watch.iter().map(|l| (l.most, l.window_ms, l.action)).collect();
    assert_eq!(limits, [(10_000, 60_000, LimitAction::Alert), (1_000, 3_600_000, LimitAction::Cut)]);
    let residency = settings.residency.as_ref().unwrap();
    assert_eq!(residency.rules.replication_outside, Form::Deny);
    assert_eq!(residency.rules.replication_inside, Form::Allow);
    let day = |year| Date::new(year, 6, 1).unwrap();
    assert!(settings.warnings(day(2027)).is_empty());
    let warnings = settings.warnings(day(2028));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("local has expired"), "{}", warnings[0]);
}

#[test]
fn needs_only_where_to_listen_and_where_to_connect() {
    let settings = sound(LEAST);
    assert!(settings.audit.is_none() && settings.keys.is_none() && settings.residency.is_none());
    assert_eq!(faults("").len(), 2);
}

#[test]
fn names_file_line_and_remedy() {
    assert_eq!(
        faults("[listen]\naddress = \"127.0.0.1:6432\"\nadress = 1\n[upstream]\nhosts = \"h:1\"\n"),
        [
            "t.toml:3: [listen] has no key \"adress\"; did you mean address? keys of [listen]: address, tls, unix_mode"
        ],
    );
    let found = load("[listen]\n  port = 1\n", "config/sealgate.toml").unwrap_err();
    let port = found.iter().find(|fault| fault.found.contains("port")).unwrap();
    assert_eq!((port.line, port.column), (2, 3));
    assert!(port.to_string().starts_with("config/sealgate.toml:2: "));
}

#[test]
fn says_of_each_key_of_a_later_version_that_it_is_not_served() {
    let not_served = "is not served by this version yet";
    for (section, line) in [
        (
            "[audit]\npath = \"a\"\nsigning_key = { file = \"k\" }\n[[audit.sink]]\nfile = \"f\"",
            "otlp = \"https://w\"",
        ),
        ("[audit]\npath = \"a\"", "retain = \"365d\""),
        ("[keys]\npath = \"k\"\nmaster_key = { env = \"K\" }", "provider = \"vault\""),
        ("[residency]\nallowed = \"E\"\n[residency.rules]", "clients = { outside = \"deny\" }"),
        (
            "[residency]\nallowed = \"E\"\n[residency.rules]",
            "replication = { outside = \"ciphertext_only\" }",
        ),
        (
            "[residency]\nallowed = \"E\"\n[[residency.place]]\ncidr = \"::/0\"\nregion = \"r\"",
            "certificate = \"CN=x\"",
        ),
        ("[[grant]]", ""),
    ] {
        let key = section.lines().next().unwrap();
        let rest = if key == "[listen]" {
            "[upstream]\nhosts = \"h:1\"\n"
        } else if key == "[upstream]" {
            "[listen]\naddress = \"127.0.0.1:1\"\n"
        } else {
            LEAST
        };
        let text = format!("{rest}{section}\n{line}\n");
        refuses(&text, &[not_served]);
    }
    let field =
        "[[field]]\ntable = \"a.b\"\ncolumn = \"c\"\nclass = \"x\"\nseal = \"random\"\ndomain = \"d\"";
    refuses(&format!("{CLASSIFIED}{field}\nstate = \"sealing\"\n"), &[not_served]);
}

#[test]
fn refuses_what_is_no_value_of_a_key() {
    for (text, parts) in [
        (LEAST.replace("6432", "x"), &["t.toml:2: ", "names no port"][..]),
        (LEAST.replace("\"127.0.0.1:6432\"", "6432"), &["is of type integer", "a string or a list"]),
        (LEAST.replace("5432", "0"), &["t.toml:4: ", "a port from 1"]),
        (LEAST.replace("[\"127.0.0.1:5432\"]", "[]"), &["0 entries"]),
        (format!("{LEAST}listen_port = 1"), &["[upstream] has no key"]),
        (format!("{LEAST}[lissen]"), &["the file has no key \"lissen\"", "did you mean listen?"]),
        (format!("{LEAST}[login]\nauth = \"rely\""), &["\"rely\"", "did you mean \"relay\"?"]),
        (format!("{LEAST}[keys]\nprovider = \"file\"\nmaster_key = {{ env = \"K\" }}"), &["path is missing"]),
        (format!("{LEAST}[audit]\npath = \"${{HOME}}/a\""), &["variables are not expanded"]),
        (format!("{LEAST}[limits]\nsessions_max = 0"), &["sessions_max = 0", "from 1 to 100000"]),
        (format!("{LEAST}[limits]\nsessions_max = -1"), &["sessions_max = -1"]),
        (format!("{LEAST}[limits]\nsessions_max = 1.5"), &["is of type float"]),
        (
            format!("{LEAST}[[watch.limit]]\ncells = 1\naction = \"cut\"\nwindow = \"1w\""),
            &["\"1w\"", "s, m, h or d"],
        ),
        (format!("{LEAST}[[watch.limit]]\ncells = 1\naction = \"cut\"\nwindow = \"2d\""), &["to \"1d\""]),
        (format!("{LEAST}[watch]\nlimit = 1"), &["is of type integer"]),
        (format!("{LEAST}service_password = {{ env = \"P\" }}"), &["service_password without service_user"]),
        (format!("{LEAST}[residency]"), &["allowed is missing"]),
    ] {
        refuses(&text, parts);
    }
}

#[test]
fn refuses_places_that_say_nothing_certain() {
    for (place, part) in [
        ("cidr = \"10.0.0.0/8\"\nhost = \"a.b\"\nregion = \"r\"", "needs one of"),
        ("region = \"r\"", "needs one of"),
        ("cidr = \"10.0.0.1/8\"\nregion = \"r\"", "write \"10.0.0.0/8\""),
        ("cidr = \"10.0.0.0/33\"\nregion = \"r\"", "cidr = \"10.0.0.0/33\""),
        ("host = \"*\"\nregion = \"r\"", "host = \"*\""),
        ("host = \"10.0.0.1\"\nregion = \"r\"", "goes into cidr"),
        ("cidr = \"10.0.0.0/8\"", "region is missing"),
        ("cidr = \"10.0.0.0/8\"\nregion = \"unknown\"", "the word is taken"),
        ("cidr = \"10.0.0.0/8\"\nregion = \"r\"\nexpires = \"2027-12-31\"", "without quotes"),
        ("cidr = \"10.0.0.0/8\"\nregion = \"r\"\nexpires = 2027-12-31T00:00:00Z", "not a date"),
    ] {
        refuses(&format!("{LEAST}[residency]\nallowed = [\"E\"]\n[[residency.place]]\n{place}\n"), &[part]);
    }
    let twice = "[[residency.place]]\ncidr = \"10.0.0.0/8\"\nregion = \"r\"\n".repeat(2);
    refuses(&format!("{LEAST}[residency]\nallowed = [\"E\"]\n{twice}"), &["t.toml:10: ", "line 7"]);
}

const EMAIL: &str = "[[field]]\ntable = \"public.customers\"\ncolumn = \"email\"\nclass = \"contact\"\n";

#[test]
fn refuses_fields_that_cannot_be_meant() {
    let sealed = format!("{CLASSIFIED}{EMAIL}seal = \"random\"\n");
    for (text, part) in [
        (sealed.clone(), "domain is missing"),
        (format!("{sealed}domain = \"a/b\""), "is not a domain's name"),
        (format!("{CLASSIFIED}{EMAIL}seal = \"none\"\ndomain = \"d\""), "has a domain and seal = \"none\""),
        (format!("{CLASSIFIED}{EMAIL}"), "seal is missing"),
        (format!("{CLASSIFIED}{EMAIL}seal = \"rand\"\ndomain = \"d\""), "did you mean \"random\"?"),
        (
            format!("{sealed}domain = \"d\"").replace("public.", ""),
            "names no schema; write \"public.customers\"",
        ),
        (format!("{sealed}domain = \"d\"").replace("\"email\"", "\"Email\""), "capital letters"),
        (format!("{sealed}domain = \"d\"\ntype = \"txt\""), "did you mean \"text\"?"),
        (format!("{sealed}domain = \"d\"\n{EMAIL}seal = \"none\""), "stands twice; the first is in line 13"),
        (
            format!("{sealed}domain = \"d\"\n{EMAIL}seal = \"equality\"\ndomain = \"d\"").replace(
                "\"email\"\nclass = \"contact\"\nseal = \"e",
                "\"phone\"\nclass = \"contact\"\nseal = \"e",
            ),
            "line 13 uses it with seal = \"random\"",
        ),
        (format!("{sealed}domain = \"d\"\ntype = \"varchar(0)\""), "is not a type"),
        (format!("{sealed}domain = \"d\"\nnormalize = \"lower\""), "allowed: \"lowercase\""),
        (format!("{sealed}domain = \"d\"\nnormalize = [\"trim\", \"trim\"]"), "names one thing twice"),
        (format!("{sealed}domain = \"d\"\ntype = \"date\"\nnormalize = \"trim\""), "that is no text"),
        (format!("{sealed}domain = \"d\"\ntype = \"citext\"\nnormalize = \"trim\""), "add \"lowercase\""),
        (format!("{sealed}domain = \"d\"\npad = 1"), "from 2 to 4096"),
        (format!("{sealed}domain = \"d\"\npad = \"declared\""), "of a varchar(n) or char(n)"),
        (format!("{CLASSIFIED}{EMAIL}seal = \"none\"\npad = 16"), "has pad and seal = \"none\""),
        (
            format!("{CLASSIFIED}{EMAIL}seal = \"equality\"\ndomain = \"d\"\ntype = \"interval\""),
            "1 month equals 30 days",
        ),
        (
            format!("{CLASSIFIED}{EMAIL}seal = \"equality\"\ndomain = \"d\"\ntype = \"numeric\""),
            "declare precision and scale",
        ),
    ] {
        refuses(&text, &[part]);
    }
}

#[test]
fn reads_types_normalization_and_padding() {
    let entry =
        "[[field]]\ntable = \"a.b\"\ncolumn = \"c\"\nclass = \"x\"\nseal = \"equality\"\ndomain = \"d\"\n";
    for (lines, logical, kind) in [
        ("", "text", "text"),
        ("type = \"varchar(20)\"\npad = \"declared\"", "varchar(20)", "text/21"),
        ("type = \"citext\"", "citext", "text:lowercase"),
        ("normalize = [\"trim\", \"lowercase\"]\npad = 16", "text", "text:trim,lowercase/16"),
        ("type = \"numeric(10, 2)\"", "numeric(10,2)", "numeric(2)"),
        ("type = \"bigint\"", "int8", "integer"),
        ("type = \"date[]\"", "date[]", "date[]"),
    ] {
        let settings = sound(&format!("{CLASSIFIED}{entry}{lines}\n"));
        let field = &settings.policy.fields.first().unwrap().field;
        assert_eq!(field.logical.to_string(), logical, "{lines}");
        assert_eq!(field.domain.as_ref().unwrap().kind.to_string(), kind, "{lines}");
    }
}

#[test]
fn reads_types_of_the_database() {
    let entry = |seal: &str| {
        format!(
            "[[field]]\ntable = \"a.b\"\ncolumn = \"c\"\nclass = \"x\"\nseal = \"{seal}\"\ndomain = \"d\"\n"
        )
    };
    for (seal, of, declared, kind) in [
        ("random", "public.mood AS ENUM", "public.mood AS ENUM", "text"),
        ("random", "public.mood as enum", "public.mood AS ENUM", "text"),
        ("random", "\\\"as\\\".\\\"x as y\\\" AS ENUM", "as.x as y AS ENUM", "text"),
        ("equality", "public.mail AS varchar(30)", "public.mail AS varchar(30)", "text"),
        ("equality", "public.mail AS citext", "public.mail AS citext", "text:lowercase"),
        ("equality", "a.cents AS numeric(10,2)", "a.cents AS numeric(10,2)", "numeric(2)"),
    ] {
        let settings = sound(&format!("{CLASSIFIED}{}type = \"{of}\"\n", entry(seal)));
        let field = &settings.policy.fields.first().unwrap().field;
        assert_eq!(field.declared(), declared, "{of}");
        assert_eq!(field.domain.as_ref().unwrap().kind.to_string(), kind, "{of}");
    }
    for (seal, lines, part) in [
        ("equality", "type = \"public.mood AS ENUM\"", "labels of an enumeration may be renamed"),
        ("random", "type = \"mood AS ENUM\"", "names no schema"),
        ("random", "type = \"public.tags AS text[]\"", "a domain over an array cannot be sealed"),
        ("random", "type = \"public.mail AS\"", "is not a type"),
        ("random", "type = \"public.mail AS moods\"", "is not a type"),
        ("random", "type = \"public.mood\"", "is not a type"),
        ("random", "type = \"public.mood AS ENUM\"\nnormalize = [\"trim\"]", "normalize of an enumeration"),
        ("equality", "type = \"public.x AS interval\"", "1 month equals 30 days"),
    ] {
        refuses(&format!("{CLASSIFIED}{}{lines}\n", entry(seal)), &[part]);
    }
}

#[test]
fn a_pattern_is_one_entry_for_a_table_in_many_schemas() {
    let entry = |table: &str, domain: &str| {
        format!("{EMAIL}seal = \"equality\"\ndomain = \"{domain}\"\n").replace("public.customers", table)
    };
    let settings = sound(&format!(
        "{CLASSIFIED}{}{}{}{}",
        entry("acme.customers", "email@acme"),
        entry("tenant_*.customers", "email@{schema}"),
        entry("*_live.customers", "email@{schema}"),
        entry("*.invoices", "email"),
    ));
    let shown: Vec<_> =
        settings.policy.fields.iter().map(|entry| (entry.schemas.is_some(), entry.field.path())).collect();
    assert_eq!(
        shown,
        [
            (false, "acme.customers.email".to_owned()),
            (true, "tenant_*.customers.email".to_owned()),
            (true, "*_live.customers.email".to_owned()),
            (true, "*.invoices.email".to_owned()),
        ]
    );
    let pattern = entry("tenant_*.customers", "email@{schema}");
    let of = |database: &str| format!("{pattern}database = \"{database}\"\n");
    sound(&format!("{CLASSIFIED}{}{}", of("shop"), of("crm")));
    for (fields, parts) in [
        (
            entry("public.customers", "email@{schema}"),
            ["t.toml:18: ", "a table of one schema; name the schema in it, or write the table as a pattern"],
        ),
        (entry("*.customers", "{schema}"), ["t.toml:18: ", "write \"email@{schema}\""]),
        (entry("*.customers", "email@{tenant}"), ["is not a domain's name for each schema", "1 to 29 of"]),
        (entry("*.customers", "a/b"), ["is not a domain's name", "A-Z a-z 0-9 _ - . @"]),
        (
            entry("public.cust*", "email"),
            ["t.toml:14: ", "in a table's schema alone; as a letter of a name, in double quotes"],
        ),
        (entry("pg_*.customers", "email"), ["t.toml:14: ", "matches no schema"]),
        (
            format!("{pattern}{pattern}"),
            ["t.toml:19: [[field]] tenant_*.customers.email stands twice", "line 13"],
        ),
        (
            format!("{pattern}{}", entry("*.customers", "email")),
            ["t.toml:19: [[field]] *.customers.email and tenant_*.customers.email match the same", "line 13"],
        ),
        (
            format!("{}{}", entry("*.customers", "email"), of("shop")),
            [
                "tenant_*.customers.email and *.customers.email match the same columns",
                "an exception is an entry",
            ],
        ),
        (
            format!("{}{pattern}", entry("acme.customers", "email@acme").replace("equality", "random")),
            ["acme.customers.email uses domain \"email@acme\" with seal = \"random\"", "line 19 uses it"],
        ),
    ] {
        refuses(&format!("{CLASSIFIED}{fields}"), &parts);
    }
}

#[test]
fn refuses_fields_without_what_they_need() {
    let field = format!("{EMAIL}seal = \"random\"\ndomain = \"d\"\n");
    let found = faults(&format!("{LEAST}{field}"));
    assert_eq!(found.len(), 3, "{found:?}");
    for part in ["without [audit]", "without [upstream] service_user", "without [keys]"] {
        assert!(
            found.iter().any(|fault| fault.contains(part) && fault.starts_with("t.toml:5: ")),
            "{part} {found:?}"
        );
    }
    let recorded = format!("{LEAST}service_user = \"s\"\n[audit]\npath = \"a\"\n{EMAIL}seal = \"none\"\n");
    assert!(!sound(&recorded).seals(), "a field that is not sealed needs no keys");
}

#[test]
fn allows_one_column_in_two_databases() {
    let field = |database: &str, column: &str| {
        let database =
            if database.is_empty() { String::new() } else { format!("database = \"{database}\"\n") };
        format!("{EMAIL}{database}seal = \"random\"\ndomain = \"d\"\n")
            .replace("\"email\"", &format!("\"{column}\""))
    };
    let text =
        format!("{CLASSIFIED}{}{}{}", field("crm", "email"), field("shop", "email"), field("", "phone"));
    let settings = sound(&text);
    for (database, applying) in [("shop", [1, 2].as_slice()), ("crm", &[0, 2]), ("other", &[2])] {
        let found = (0..3).filter(|at| settings.policy.fields[*at].is_of(database));
        assert_eq!(found.collect::<Vec<_>>(), applying, "{database}");
    }
    let ids: Vec<_> = settings.policy.fields.iter().map(|entry| entry.field.id.0).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn never_shows_what_stands_where_a_secret_is_expected() {
    for line in [
        "service_password = \"hunter2\"",
        "service_password = { value = \"hunter2\" }",
        "service_password = { env = \"x=hunter2\" }",
        "service_password = [\"hunter2\"]",
        "service_password = hunter2",
        "service_password = \"hunter2",
        "service_password = { env = [\"hunter2\"] }",
        "service_password = { env = \"${hunter2}\" }",
    ] {
        let text = format!("{LEAST}service_user = \"s\"\n{line}\n");
        let found = faults(&text);
        assert!(!found.is_empty(), "{line}");
        assert!(found.iter().all(|fault| !fault.contains("hunter2")), "{line}: {found:?}");
        assert!(found.iter().any(|fault| fault.starts_with("t.toml:6: ")), "{line}: {found:?}");
    }
}

#[test]
fn collects_every_fault_in_the_order_of_lines() {
    let found =
        faults("[upstream]\nhost = 1\n[audit]\npath = 1\n[login]\nauth = 2\n[listen]\naddress = \"x\"\n");
    let lines: Vec<_> = found.iter().map(|fault| fault.split(':').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lines, ["1", "2", "4", "6", "8"], "{found:?}");
}

#[test]
fn refuses_a_file_without_bounds_and_a_broken_one() {
    assert!(faults(&"#".repeat(super::TEXT_BYTES_MAX + 1))[0].contains("at most"));
    let found = faults("[listen]\naddress = \n");
    assert!(found[0].starts_with("t.toml:2: "), "{found:?}");
    let entries = "[[field]]\n".repeat(super::FIELDS_MAX + 1);
    assert!(faults(&format!("{LEAST}{entries}"))[0].contains("at most 4096"));
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!faults(&deep).is_empty());
}

#[test]
fn survives_every_way_of_breaking_the_example() {
    let example = include_str!("../../config/sealgate.toml");
    let mut state: u64 = 7;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let pieces = [
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        ".",
        "0",
        "-",
        "#",
        "\u{e9}",
        "\\",
        "[[field]]\n",
        "true",
        "''",
    ];
    let mut refused = 0;
    for _ in 0..1_500 {
        let mut characters: Vec<char> = example.chars().collect();
        for _ in 0..=below(3) {
            let at = below(characters.len());
            match below(3) {
                0 => drop(characters.remove(at)),
                1 => characters.truncate(at + 1),
                _ => drop(characters.splice(at..at, pieces[below(pieces.len())].chars())),
            }
        }
        let text: String = characters.into_iter().collect();
        if let Err(faults) = load(&text, "t") {
            assert!(!faults.is_empty());
            let lines = u32::try_from(text.lines().count()).unwrap() + 1;
            assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line)), "{faults:?}");
            refused += 1;
        }
    }
    assert!(refused > 500, "{refused}");
}

const SERVED: &str =
    "[listen]\naddress = [\"127.0.0.1:6432\", \"unix:/run/sealgate\"]\nunix_mode = \"0770\"\n";

#[test]
fn reads_both_hops() {
    let settings = sound(&format!(
        "{SERVED}tls = {{ certificate = \"c\", key = \"k\", client_ca = \"a\", min_version = \"1.3\", \
         names = [{{ host = [\"db.example\", \"*.DB.example\"], certificate = \"c2\", key = \"k2\" }}] }}\n\
         [upstream]\nhosts = [\"db:5432\", \"unix:/run/postgresql:5433\"]\nservice_user = \"s\"\n\
         tls = {{ mode = \"verify-full\", ca = \"ca\", certificate = \"c\", key = \"k\" }}\n\
         [login]\nauth = \"scram\"\ncertificate = \"required\"\ncertificate_user = \"match\"\n\
         auth_query = \"SELECT verifier FROM f($1)\"\n\
         [limits]\nsessions_per_user_max = 5\nunproven_max = 7\n\
         [timeouts]\nidle = \"1h\"\nidle_in_transaction = \"30s\"\ndrain = \"5s\"\nkeepalives_idle = \"9h\"\n\
         keepalives_count = 2\ntcp_user_timeout = \"3s\"\n"
    ));
    let listen = settings.listen;
    assert_eq!(listen.addresses[1].to_string(), "unix:/run/sealgate:5432");
    assert_eq!(listen.unix_mode, 0o770);
    let tls = listen.tls.unwrap();
    assert!(tls.required && tls.min_version == TlsVersion::V1_3 && tls.client_ca.is_some());
    assert_eq!(tls.certificates.len(), 2);
    assert_eq!(tls.certificates[1].hosts, ["db.example", "*.db.example"]);
    let upstream = settings.upstream.tls.unwrap();
    assert_eq!((upstream.mode, upstream.min_version), (TlsMode::VerifyFull, TlsVersion::V1_2));
    assert!(upstream.ca.is_some() && upstream.certificate.is_some());
    let login = settings.login;
    assert_eq!((login.auth, login.certificate), (Auth::Scram, ClientCertificate::Required));
    assert!(login.certificate_names_user && login.auth_query.is_some());
    let limits = settings.limits;
    assert_eq!((limits.sessions_per_user_max, limits.unproven_max), (Some(5), 7));
    let timeouts = settings.timeouts;
    assert_eq!((timeouts.idle_ms, timeouts.idle_in_transaction_ms), (Some(3_600_000), Some(30_000)));
    assert_eq!((timeouts.drain_ms, timeouts.login_ms), (5_000, 60_000));
    let vanished = timeouts.vanished;
    assert_eq!((vanished.keepalives_idle_ms, vanished.keepalives_interval_ms), (32_400_000, 10_000));
    assert_eq!((vanished.keepalives_count, vanished.tcp_user_timeout_ms), (2, Some(3_000)));
    let off =
        sound(&LEAST.replace(
            "[upstream]",
            "tls = { certificate = \"c\", key = \"k\", mode = \"disable\" }\n[upstream]",
        ));
    assert!(off.listen.tls.is_none());
}

#[test]
fn refuses_hops_that_cannot_be_meant() {
    let tls = "tls = { certificate = \"c\", key = \"k\" }\n";
    let hops = |listen: &str, upstream: &str, login: &str| {
        format!(
            "[listen]\naddress = \"127.0.0.1:1\"\n{listen}[upstream]\nhosts = [\"h:1\"]\n{upstream}[login]\n{login}"
        )
    };
    let service = "service_user = \"s\"\n";
    for (text, part) in [
        (hops(tls, "tls = { mode = \"prefer\" }\n", ""), "TLS on both hops"),
        (hops("", "", "auth = \"scram\""), "without [upstream] service_user"),
        (hops("", "", "").replace("\"h:1\"", "\"unix:/run\""), "to a Unix socket"),
        (hops("", "", "auth_query = \"SELECT $1\""), "auth_query with auth = \"relay\""),
        (hops("", service, "auth = \"scram\"\nauth_query = \"SELECT 1\""), "not a query for one user"),
        (hops(tls, "", "certificate = \"optional\""), "without [listen] tls client_ca"),
        (hops("", "", "certificate_user = \"match\""), "certificate_user without certificate"),
        (hops("", "tls = { mode = \"verify-ca\" }\n", ""), "ca is missing"),
        (hops("", "tls = { mode = \"verify_full\" }\n", ""), "did you mean \"verify-full\"?"),
        (hops("", "tls = { mode = \"require\", key = \"k\" }\n", ""), "one of certificate and key"),
        (hops("", "tls = { ca = \"c\" }\n", ""), "mode is missing"),
        (hops("tls = { key = \"k\" }\n", "", ""), "certificate is missing"),
        (hops(&tls.replace(" }", ", mode = \"verify-full\" }"), "", ""), "\"verify-full\""),
        (hops(&tls.replace(" }", ", min_version = \"1.1\" }"), "", ""), "\"1.1\""),
        (
            hops(
                &tls.replace(" }", ", names = [{ host = \"10.0.0.1\", certificate = \"c\", key = \"k\" }] }"),
                "",
                "",
            ),
            "is not a host name",
        ),
        (hops("unix_mode = \"rwx\"\n", "", ""), "is not a file mode"),
        (format!("{LEAST}[timeouts]\nidle = \"0s\""), "from \"1s\" to \"1d\""),
        (format!("{LEAST}[timeouts]\nkeepalives_interval = \"10h\""), "from \"1s\" to \"9h\""),
        (format!("{LEAST}[limits]\nunproven_max = 0"), "from 1 to 100000"),
    ] {
        refuses(&text, &[part]);
    }
    // TLS on both hops is what scram is for.
    sound(&hops(tls, &format!("{service}tls = {{ mode = \"require\" }}\n"), "auth = \"scram\""));
    sound(&hops(tls, "tls = { mode = \"disable\" }\n", ""));
}

#[test]
fn modes_of_tls_try_what_libpq_tries() {
    for (mode, first, other, may_be_plain, ca) in [
        (TlsMode::Disable, false, None, false, false),
        (TlsMode::Allow, false, Some(true), false, false),
        (TlsMode::Prefer, true, Some(false), true, false),
        (TlsMode::Require, true, None, false, false),
        (TlsMode::VerifyCa, true, None, false, true),
        (TlsMode::VerifyFull, true, None, false, true),
    ] {
        let second = mode.has_other_way().then(|| mode.asks_for_tls(true));
        let found = (mode.asks_for_tls(false), second, mode.may_be_plain(), mode.needs_ca());
        assert_eq!(found, (first, other, may_be_plain, ca), "{mode:?}");
    }
}

#[test]
fn places_of_alerts_are_of_one_kind_and_sound() {
    use super::{AlertKind, MailProtection};
    let read = |text: &str| super::load(&format!("{LEAST}{text}"), "f");
    let text = "[[alert]]\nwebhook = \"https://soc.example/hook?x=1\"\nsecret = { env = \"S\" }\n\
        [[alert]]\nname = \"am\"\nalertmanager = \"http://127.0.0.1:9093\"\nseverity = \"critical\"\n\
        [[alert]]\nsyslog = \"tls://[::1]:6514\"\nca = \"ca.crt\"\n\
        [[alert]]\nsmtp = \"smtp://mail:25\"\nfrom = \"a@b\"\nto = \"c@d\"\nstarttls = false\n";
    let alerting = read(text).unwrap().alerting;
    let names: Vec<_> =
        alerting.places.iter().map(|place| (place.name.as_str(), place.critical_only)).collect();
    assert_eq!(names, [("webhook-1", false), ("am", true), ("syslog-3", false), ("smtp-4", false)]);
    assert!(
        matches!(&alerting.places[2].kind, AlertKind::Syslog { tls: true, address } if address.host == "::1")
    );
    assert!(
        matches!(&alerting.places[3].kind, AlertKind::Mail(mail) if mail.protection == MailProtection::None)
    );
    for (entry, says) in [
        ("", "an [[alert]] with 0 of"),
        ("webhook = \"http://h\"\nsyslog = \"tcp://h:1\"", "an [[alert]] with 2 of"),
        ("webhook = \"ftp://h\"", "no address that is served"),
        ("webhook = \"https://user:pw@h/\"", "no address that is served"),
        ("webhook = \"https://\"", "no address that is served"),
        ("webhook = \"http://h\"\nca = \"x\"", "ca without TLS"),
        ("webhook = \"http://h\"\nfrom = \"a@b\"", "from says nothing of webhook"),
        ("webhook = \"http://h\"\nsecret = \"hush\"", "secret stands in the file itself"),
        ("webhook = \"http://h\"\nname = \"../x\"", "letters, digits"),
        ("syslog = \"udp://h:514\"", "tls://host:port"),
        ("syslog = \"tls://h:0\"", "a port from 1"),
        ("smtp = \"smtp://h:25\"\nfrom = \"a@b\"", "to is missing"),
        ("smtp = \"smtp://h:25\"\nfrom = \"a@b>\\r\\nRCPT TO:<x@y\"\nto = \"c@d\"", "no mail address"),
        ("smtp = \"smtp://h:25\"\nfrom = \"a@b\"\nto = \"c@d\"\nuser = \"u\"", "both user and password"),
        (
            "smtp = \"smtp://h:25\"\nfrom = \"a@b\"\nto = \"c@d\"\nuser = \"u\"\npassword = { env = \"P\" }\nstarttls = false",
            "a password in the clear",
        ),
    ] {
        let faults = read(&format!("[[alert]]\n{entry}\n")).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.contains(says)), "{entry}: {told:?}");
        assert!(told.iter().all(|line| !line.contains("hush") && !line.contains("pw@")), "{told:?}");
    }
    let twice = "[[alert]]\nname = \"a\"\nwebhook = \"http://h\"\n".repeat(2);
    assert!(read(&twice).unwrap_err()[0].to_string().contains("two entries"));
}

#[test]
fn reads_how_durable_a_record_is_and_what_one_intent_covers() {
    use crate::audit::{Durability, LeaseTerms};
    let audit = |lines: &str| load(&format!("{LEAST}[audit]\npath = \"a\"\n{lines}\n"), "x.toml");
    let terms = |executions, values, window_ms| Some(LeaseTerms { executions, values, window_ms });
    for (lines, durability, lease) in [
        ("", Durability::Intent, None),
        ("durability = \"os\"", Durability::Os { sync_every_ms: 10 }, None),
        ("durability = \"os\"\nsync_every = \"1s\"", Durability::Os { sync_every_ms: 1_000 }, None),
        ("durability = \"full\"", Durability::Full, None),
        ("lease = {}", Durability::Intent, terms(100, 1_000, 50)),
        ("lease = { executions = 7, values = 9, window = \"3ms\" }", Durability::Intent, terms(7, 9, 3)),
    ] {
        let read = audit(lines).unwrap_or_else(|faults| panic!("{lines}: {faults:?}")).audit.unwrap();
        assert_eq!((read.durability, read.lease), (durability, lease), "{lines}");
    }
    for (lines, says) in [
        ("sync_every = \"10ms\"", "without durability"),
        ("durability = \"os\"\nsync_every = \"0ms\"", "from \"1ms\" to \"1s\""),
        ("durability = \"os\"\nsync_every = \"2s\"", "from \"1ms\" to \"1s\""),
        ("durability = \"os\"\nsync_every = \"-1ms\"", "from \"1ms\" to \"1s\""),
        ("durability = \"os\"\nlease = {}", "leave one of them out"),
        ("durability = \"full\"\nlease = {}", "leave one of them out"),
        ("lease = { executions = 0 }", "from 1 to 10000"),
        ("lease = { window = \"1m\" }", "from \"1ms\" to \"1s\""),
        ("durability = \"none\"", "os"),
    ] {
        let faults = audit(lines).err().unwrap_or_else(|| panic!("{lines}"));
        assert!(faults.iter().any(|fault| fault.to_string().contains(says)), "{lines}: {faults:?}");
    }
}

#[test]
fn what_is_learned_is_configured_with_its_peers_and_each_fault_names_its_line() {
    use crate::watch::{Response, Restraint};
    let read = |text: &str| super::load(&format!("{LEAST}{text}"), "sealgate.toml");
    assert!(read("").unwrap().learned.is_none());
    assert_eq!(read("[watch.learned]\n").unwrap().learned, Some(super::LearnedWatch::default()));
    let text = "[watch.learned]\nlearn = \"3d\"\nalerts_per_week = 14\ndrift = 10\ncritical = \"lock\"\nlock = \"1h\"\n\
        state = \"/var/s\"\nsave_every = \"5s\"\nsubjects = [\"0123456789abcdef0123456789abcdef\"]\n\
        [[watch.peers]]\nname = \"till\"\nusers = [\"ada\", \"bob\"]\n";
    let learned = read(text).unwrap().learned.unwrap();
    let settings = learned.settings;
    assert_eq!((settings.learn_ms, settings.alerts_per_day, settings.drift_per_day), (259_200_000, 2.0, 0.1));
    assert_eq!(
        (settings.warning, settings.critical),
        (Response::Alert, Response::Restrain { restraint: Restraint::Lock, ms: 3_600_000 })
    );
    assert_eq!((settings.subjects.len(), settings.peers[0].users.len()), (1, 2));
    assert_eq!((learned.state.to_str(), learned.save_every_ms), (Some("/var/s"), 5_000));
    for (text, told) in [
        ("[watch.learned]\nlearn = \"1y\"\n", "[watch.learned] learn"),
        ("[watch.learned]\ncritical = \"lock\"\n", "lock"),
        ("[watch.learned]\nlock = \"1h\"\n", "no response is \"lock\""),
        ("[watch.learned]\nwarning = \"purpose\"\n", "purpose"),
        ("[watch.learned]\nalerts_per_week = 0\n", "alerts_per_week"),
        ("[watch.learned]\nsubjects = [\"Ada Novak\"]\n", "no id of a subject"),
        ("[watch.learned]\nnormal = 1\n", "normal"),
        ("[[watch.peers]]\nname = \"a\"\nusers = [\"x\"]\n", "without [watch.learned]"),
        ("[watch.learned]\n[[watch.peers]]\nname = \"a\"\n", "users"),
        (
            "[watch.learned]\n[[watch.peers]]\nname = \"a\"\nusers = [\"x\"]\n[[watch.peers]]\nname = \"b\"\nusers = [\"x\"]\n",
            "other peers",
        ),
    ] {
        let faults = read(text).unwrap_err();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{text}: {faults:?}");
        assert!(
            faults.iter().all(|fault| fault.starts_with("sealgate.toml:") && !fault.contains("Novak")),
            "{faults:?}"
        );
    }
}
