//! Cases of the file's own text: types, keys, values, contradictions, and whether it can be read.

use super::Case;
use super::scene::{SOUND, Scene, Verb};

/// All verbs that read a configuration.
const ALL: &[Verb] = &[Verb::Run, Verb::Check, Verb::List, Verb::Init];
const TWO: &[Verb] = &[Verb::Run, Verb::Check];

/// One that is told with the line that now holds `at`.
fn case(name: &str, piece: &str, other: &str, at: &str, says: &[&str]) -> Case {
    let (piece, other) = (piece.to_owned(), other.to_owned());
    Case {
        name: name.to_owned(),
        verbs: ALL,
        code: 2,
        says: says.iter().map(|&part| part.to_owned()).collect(),
        at: at.to_owned(),
        change: Box::new(move |scene: &mut Scene| scene.replace(&piece, &other)),
    }
}

/// Rows of a piece, what stands in its place, where that is told, and in which words.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

/// A case of each row, by its new text.
fn spoiled(rows: &[Row<'_>]) -> Vec<Case> {
    let cases = rows.iter().map(|(piece, other, at, says)| case(other, piece, other, at, says));
    cases.map(|case| Case { verbs: TWO, ..case }).collect()
}

/// One that is told without a line, since what it needs is not there.
fn lacking(name: &str, needs: &str, take: impl Fn(&str) -> String + 'static) -> Case {
    Case {
        name: name.replace('\n', " "),
        verbs: TWO,
        code: 2,
        says: vec![needs.to_owned(), "sealgate.toml:".to_owned()],
        at: String::new(),
        change: Box::new(move |scene| {
            let text = take(&scene.text());
            scene.write("sealgate.toml", text);
        }),
    }
}

/// Each line `key = value`, with the header of the section that it stands in.
fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in SOUND.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.push((section, key, value));
        }
    }
    found
}

/// A piece of the text that is this line alone.
fn whole(section: &str, key: &str, value: &str) -> (String, String) {
    let upto = SOUND.find(section).unwrap() + section.len();
    let end = SOUND[upto..].find(&format!("\n{key} = {value}")).unwrap() + upto + 1;
    // From the header on, since a key may stand in several sections.
    (SOUND[upto - section.len()..end].to_owned(), format!("{key} = {value}"))
}

/// A text of the scene, which has no ports or folders of its own in it.
fn spelled(scene: &Scene, text: &str) -> String {
    let server = scene.text();
    let server = server.split("hosts = [\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    text.replace("@server", &server)
        .replace("@port", &scene.port.to_string())
        .replace("@admin", &scene.admin.to_string())
}

/// Every key of the file with a value that is of no type it takes.
pub fn types() -> Vec<Case> {
    let mut cases = Vec::new();
    for (section, key, value) in lines() {
        let wrong = if key == "expires" { "\"2099-12-31\"" } else { "1979-05-27" };
        let (before, line) = whole(section, key, value);
        let secret = ["service_password", "master_key"].contains(&key);
        let says = if secret { "stands in the file itself" } else { "is of type" };
        cases.push(Case {
            name: format!("{section} {key} of another type"),
            verbs: TWO,
            code: 2,
            says: vec![says.to_owned(), key.to_owned()],
            at: format!("{key} = {wrong}"),
            change: Box::new(move |scene| {
                let (before, line) = (spelled(scene, &before), spelled(scene, &line));
                let other = format!("{before}{key} = {wrong}");
                scene.replace(&format!("{before}{line}"), &other);
            }),
        });
    }
    assert!(cases.len() > 45, "the file has every key");
    cases.extend(spoiled(&[
        ("certificate = \"@/tls/server.crt\"", "certificate = 1", "tls = ", &[]),
        ("key = \"@/tls/server.key\"", "key = []", "tls = ", &[]),
        ("client_ca = \"@/tls/root.crt\"", "client_ca = true", "tls = ", &[]),
        ("mode = \"prefer\"", "mode = true", "tls = ", &[]),
        ("min_version = \"1.2\"", "min_version = 1.2", "tls = ", &[]),
        ("file = \"@/secrets/password\"", "file = 7", "service_password", &[]),
        ("env = \"SEALGATE_MASTER_KEY\"", "env = [\"SEALGATE_MASTER_KEY\"]", "master_key", &[]),
        ("inside = \"allow\"", "inside = true", "replication", &[]),
        ("[\"support\"]", "[\"support\", 7]", "users", &[]),
        ("[[field]]\ndatabase", "[field]\ndatabase", "[field]", &[]),
        ("[[watch.limit]]", "[watch.limit]", "[watch.limit]", &[]),
        ("[[residency.place]]", "[residency.place]", "[residency.place]", &[]),
    ]));
    cases
}

/// Every section with a key that nobody knows, and with one whose spelling is near.
pub fn unknown_keys() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut headers: Vec<&str> = SOUND.lines().filter(|line| line.starts_with('[')).collect();
    headers.dedup();
    for header in headers {
        let other = format!("{header}\nbanana = 1");
        let says: &[&str] = &["has no key \"banana\"", "keys of", header];
        cases.extend(spoiled(&[(header, &other, "banana", says)]));
    }
    cases.extend(spoiled(&[
        ("[listen]", "[lisen]", "[lisen]", &["did you mean listen?"]),
        ("[upstream]", "[upstreams]", "[upstreams]", &["did you mean upstream?"]),
        ("[[field]]\ntable", "[[fields]]\ntable", "[[fields]]", &["did you mean field?"]),
        ("unix_mode", "unix_mod", "unix_mod", &["did you mean unix_mode?"]),
        ("hosts = ", "host = ", "host = ", &["did you mean hosts?"]),
        ("service_user = ", "service_usr = ", "service_usr = ", &["did you mean service_user?"]),
        ("master_key = ", "masterkey = ", "masterkey = ", &["did you mean master_key?"]),
        ("column = \"phone\"", "colum = \"phone\"", "colum = \"phone\"", &["did you mean column?"]),
        ("sessions_max = ", "session_max = ", "session_max = ", &["did you mean sessions_max?"]),
        ("drain = ", "drian = ", "drian = ", &["did you mean drain?"]),
        ("{ env = ", "{ envs = ", "{ envs = ", &["did you mean env?"]),
        ("client_ca = ", "clientca = ", "clientca = ", &["did you mean client_ca?"]),
    ]));
    // Keys of a later version are told as such.
    let later: &[&str] = &["is not served by this version yet"];
    cases.extend(spoiled(&[
        ("provider = \"file\"", "provider = \"vault\"", "provider", later),
        ("node = ", "retain = \"365d\"\nnode = ", "retain", later),
        ("seal = \"random\"", "seal = \"ordered\"", "seal = \"ordered\"", later),
        ("state = \"sealed\"", "state = \"sealing\"", "state", later),
        ("outside = \"deny\"", "outside = \"ciphertext_only\"", "replication", later),
        ("[admin]", "[[grant]]\n[admin]", "[[grant]]", later),
    ]));
    cases
}

/// What must be there, taken out.
pub fn missing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (header, key, needs) in [
        ("[listen]", "address", "add address"),
        ("[upstream]", "hosts", "add hosts"),
        ("[upstream]", "service_user", "add the account"),
        ("[keys]", "provider", "add provider"),
        ("[keys]", "path", "add path"),
        ("[keys]", "master_key", "add master_key"),
        ("[[field]]\ntable", "column", "add column"),
        ("[[field]]\ntable", "class", "add class"),
        ("[[field]]\ntable", "seal", "add seal"),
        ("[[field]]\ntable", "domain", "add domain"),
        ("[audit]", "path", "add path"),
        ("[residency]", "allowed", "add allowed"),
        ("[[residency.place]]", "region", "add region"),
        ("[[residency.place]]", "cidr", "one of cidr and host"),
        ("[[watch.limit]]", "cells", "add cells"),
        ("[[watch.limit]]", "window", "add window"),
        ("[[watch.limit]]", "action", "add action"),
        ("[admin]", "address", "add address"),
    ] {
        cases.push(lacking(&format!("without {header} {key}"), needs, move |text| {
            let from = text.find(header).unwrap();
            let at = text[from..].find(&format!("\n{key} = ")).unwrap() + from + 1;
            let line = text[at..].lines().next().unwrap();
            format!("{}{}", &text[..at], &text[at + line.len()..])
        }));
    }
    for (section, needs) in [
        ("[listen]", "[listen] is missing"),
        ("[upstream]", "[upstream] is missing"),
        ("[keys]", "add [keys]"),
        ("[audit]", "add [audit]"),
    ] {
        cases.push(lacking(&format!("without {section}"), needs, move |text| {
            let from = text.find(section).unwrap();
            let end = text[from + 1..].find("\n[").map_or(text.len(), |end| from + 1 + end);
            format!("{}{}", &text[..from], &text[end..])
        }));
    }
    cases
}

/// Values of the right type that cannot be meant.
pub fn values() -> Vec<Case> {
    let of = |piece: &str, other: &str, at: &str, says: &[&str]| case(other, piece, other, at, says);
    vec![
        case(
            "no port",
            "address = [\"127.0.0.1:",
            "address = [\"127.0.0.1\", \"127.0.0.1:",
            "address",
            &["names no port"],
        ),
        case("a port too high", "address = [\"", "address = [\"127.0.0.1:65536\", \"", "address", &["65536"]),
        case(
            "a URL to listen at",
            "address = [\"",
            "address = [\"tcp://127.0.0.1:1\", \"",
            "address",
            &["tcp://"],
        ),
        case(
            "a relative socket folder",
            "address = [\"",
            "address = [\"unix:run\", \"",
            "address",
            &["unix"],
        ),
        of("\"0770\"", "\"rwx\"", "unix_mode", &["\"rwx\" is not a file mode"]),
        of("\"0770\"", "\"1777\"", "unix_mode", &["\"1777\""]),
        of("mode = \"prefer\"", "mode = \"on\"", "tls = ", &["\"on\"", "\"require\""]),
        of(
            "mode = \"prefer\"",
            "mode = \"verify-full\"",
            "tls = ",
            &["\"verify-full\"", "allowed: \"require\""],
        ),
        of("min_version = \"1.2\"", "min_version = \"1.1\"", "tls = ", &["\"1.1\"", "\"1.2\", \"1.3\""]),
        case(
            "a host without a port",
            "hosts = [",
            "hosts = [\"db.example\", ",
            "hosts",
            &["\"db.example\" names no port"],
        ),
        case(
            "a connection string",
            "hosts = [",
            "hosts = [\"postgres://db:5432/shop\", ",
            "hosts",
            &["postgres://"],
        ),
        case(
            "port 0 of a server",
            "hosts = [",
            "hosts = [\"db.example:0\", ",
            "hosts",
            &["a port from 1 to 65535"],
        ),
        case("no host", "hosts = [", "hosts = []\n#", "hosts", &["0 entries", "from 1 to 16"]),
        of("service_user = \"postgres\"", "service_user = \"\"", "service_user", &["from 1 to 63 bytes"]),
        of(
            "service_password = { file = \"@/secrets/password\" }",
            "service_password = \"hunter2\"",
            "service_password",
            &["stands in the file itself", "{ env = \"NAME\" }"],
        ),
        of(
            "{ env = \"SEALGATE_MASTER_KEY\" }",
            "{ env = \"K\", file = \"k\" }",
            "master_key",
            &["needs one of env and file"],
        ),
        of(
            "{ env = \"SEALGATE_MASTER_KEY\" }",
            "{ env = \"A=B\" }",
            "master_key",
            &["is not the name of a place"],
        ),
        of(
            "{ env = \"SEALGATE_MASTER_KEY\" }",
            "{ env = \"${SEALGATE_MASTER_KEY}\" }",
            "master_key",
            &["variables are not expanded"],
        ),
        of("auth = \"relay\"", "auth = \"trust\"", "auth", &["\"trust\"", "allowed: \"relay\", \"scram\""]),
        of(
            "certificate = \"optional\"",
            "certificate = \"yes\"",
            "certificate = \"yes\"",
            &["allowed: \"none\", \"optional\", \"required\""],
        ),
        of("path = \"@/keys/keyring.json\"", "path = \"\"", "path = \"\"", &["is not a path"]),
        of(
            "path = \"@/keys/keyring.json\"",
            "path = \"${HOME}/k\"",
            "path = \"${HOME}",
            &["variables are not expanded"],
        ),
        of("column = \"phone\"", "column = \"Phone\"", "column = \"Phone\"", &["capital letters"]),
        of("column = \"phone\"", "column = \"customers.phone\"", "column = \"cust", &["more than one name"]),
        of(
            "table = \"public.customers\"\ncolumn = \"phone\"",
            "table = \"customers\"\ncolumn = \"phone\"",
            "table = \"customers\"",
            &["names no schema", "public.customers"],
        ),
        of(
            "table = \"public.customers\"\ncolumn = \"phone\"",
            "table = \"shop.public.customers\"\ncolumn = \"phone\"",
            "table = \"shop",
            &["database = "],
        ),
        of("class = \"phone\"", "class = \"\"", "class = \"\"", &["empty or too long"]),
        of("type = \"text\"", "type = \"string\"", "type", &["\"string\"", "allowed: \"text\""]),
        of(
            "seal = \"random\"",
            "seal = \"deterministic\"",
            "seal = \"deter",
            &["allowed: \"random\", \"equality\", \"none\""],
        ),
        of("domain = \"phone\"", "domain = \"phone number\"", "domain = \"phone n", &["A-Z a-z 0-9"]),
        of(
            "database = \"postgres\"\ntable",
            "database = \"\"\ntable",
            "database = \"\"",
            &["from 1 to 63 bytes"],
        ),
        of(
            "copy_sealed = [\"backup\"]",
            "copy_sealed = [\"\"]",
            "copy_sealed",
            &["the name of a user who logs in"],
        ),
        of("opaque = \"record\"", "opaque = \"allow\"", "opaque", &["allowed: \"record\", \"refuse\""]),
        of("extension:citext", "slugify", "vouch", &["public.slugify(text)"]),
        of("node = \"gate-1\"", "node = \"gate\\n1\"", "node", &["control character"]),
        of("allowed = [\"EEA\"]", "allowed = []", "allowed", &["0 entries"]),
        of("unknown = \"deny\"", "unknown = \"ask\"", "unknown", &["allowed: \"deny\", \"allow\""]),
        of("127.0.0.0/8", "127.0.0.1/8", "cidr", &["bits behind its prefix", "127.0.0.0/8"]),
        of("127.0.0.0/8", "127.0.0.0-127.0.0.9", "cidr", &["10.0.0.0/8"]),
        of("cidr = \"127.0.0.0/8\"", "host = \"127.0.0.1\"", "host = \"127", &["goes into cidr"]),
        of("region = \"local\"", "region = \"unknown\"", "[[residency.place]]", &["the word is taken"]),
        of("2099-12-31", "2099-12-31T00:00:00Z", "expires", &["not a date"]),
        of("cells = 1000", "cells = -1", "cells", &["-1", "from 0 to"]),
        of("window = \"1h\"", "window = \"60\"", "window", &["a number and s, m, h or d"]),
        of("window = \"1h\"", "window = \"1w\"", "window", &["a number and s, m, h or d"]),
        of("action = \"cut\"", "action = \"kill\"", "action", &["allowed: \"alert\", \"cut\""]),
        of("sessions_max = 1000", "sessions_max = 0", "sessions_max", &["from 1 to 100000"]),
        of("frame_bytes_max = 16777216", "frame_bytes_max = 1024", "frame_bytes_max", &["from 8192"]),
        of("connect = \"5s\"", "connect = \"500ms\"", "connect", &["from \"1s\" to \"1d\""]),
        of("drain = \"30s\"", "drain = \"0s\"", "drain", &["from \"1s\" to \"1d\""]),
        of("keepalives_count = 6", "keepalives_count = 1000", "keepalives_count", &["from 1 to 100"]),
    ]
}

/// Parts that are sound each by itself.
pub fn conflicts() -> Vec<Case> {
    let email = "database = \"postgres\"\ntable = \"public.customers\"\ncolumn = \"email\"";
    vec![
        case(
            "a key twice",
            "auth = \"relay\"",
            "auth = \"relay\"\nauth = \"scram\"",
            "auth = \"scram\"",
            &["duplicate key"],
        ),
        case("a section twice", "[admin]", "[listen]\n[admin]", "[listen]\n[admin]", &["duplicate key"]),
        case(
            "a column twice",
            email,
            &email.replace("email", "phone"),
            "[[field]]\ntable",
            &["stands twice", "line 22"],
        ),
        case(
            "a place twice",
            "[residency.rules]",
            "[[residency.place]]\ncidr = \"127.0.0.0/8\"\nregion = \"other\"\n[residency.rules]",
            "[[residency.place]]\ncidr = \"127.0.0.0/8\"\nregion = \"other\"",
            &["stands twice", "the first is in line"],
        ),
        case(
            "an address twice",
            "address = [\"",
            "address = [\"127.0.0.1:7000\", \"127.0.0.1:7000\", \"",
            "address = [",
            &["127.0.0.1:7000", "stands twice"],
        ),
        case(
            "a server twice",
            "hosts = [",
            "hosts = [\"db.example:5432\", \"db.example:5432\", ",
            "hosts",
            &["db.example:5432", "stands twice"],
        ),
        case(
            "metrics where clients come",
            "address = [\"",
            "address = [\"127.0.0.1:7001\", \"",
            "[admin]\naddress = \"127.0.0.1:7001\"\n#",
            &[],
        )
        .admin_at_clients(),
        case(
            "one domain in two modes",
            "domain = \"phone\"",
            "domain = \"email\"",
            "[[field]]\ntable",
            &["uses domain \"email\" with seal = \"random\"", "name another domain"],
        ),
        case(
            "a domain that is not sealed",
            "seal = \"random\"",
            "seal = \"none\"",
            "domain = \"phone\"",
            &["has a domain and seal = \"none\""],
        ),
        case(
            "a certificate to ask for and nobody to certify",
            ", client_ca = \"@/tls/root.crt\"",
            "",
            "[login]",
            &["without [listen] tls client_ca"],
        ),
        case(
            "a user to match and no certificate",
            "certificate = \"optional\"\n",
            "",
            "[login]",
            &["certificate_user without certificate"],
        ),
        case(
            "TLS without a certificate",
            "certificate = \"@/tls/server.crt\", key = \"@/tls/server.key\", ",
            "",
            "tls = ",
            &["certificate is missing"],
        ),
        case(
            "a key without its certificate",
            "certificate = \"@/tls/server.crt\", ",
            "",
            "tls = ",
            &["certificate is missing"],
        ),
        case(
            "relay and TLS on both hops",
            "service_user",
            "tls = { mode = \"require\" }\nservice_user",
            "[login]",
            &["TLS on both hops", "auth = \"scram\""],
        ),
        case(
            "relay to a Unix socket",
            "hosts = [",
            "hosts = [\"unix:/run/postgresql\", ",
            "[login]",
            &["to a Unix socket", "auth = \"scram\""],
        ),
        case(
            "verify without an authority",
            "auth = \"relay\"",
            "auth = \"scram\"",
            "tls = { mode = \"verify-full\" }",
            &["ca is missing"],
        )
        .verifying(),
        case(
            "a query for verifiers with relay",
            "auth = \"relay\"",
            "auth = \"relay\"\nauth_query = \"SELECT v($1)\"",
            "[login]",
            &["auth_query with auth = \"relay\""],
        ),
        case(
            "a query for nobody",
            "auth = \"relay\"",
            "auth = \"scram\"\nauth_query = \"SELECT v()\"",
            "auth_query",
            &["$1"],
        ),
        case(
            "a password of nobody",
            "service_user = \"postgres\"\n",
            "",
            "service_password",
            &["service_password without service_user"],
        ),
        case(
            "a place by two names",
            "region = \"local\"",
            "host = \"db.example\"\nregion = \"local\"",
            "[[residency.place]]",
            &["one of cidr and host"],
        ),
        case(
            "a template and one schema",
            "domain = \"phone\"",
            "domain = \"phone@{schema}\"",
            "domain = \"phone@",
            &["a table of one schema"],
        ),
    ]
}

impl Case {
    /// With metrics at the address that was put among those of clients.
    fn admin_at_clients(self) -> Case {
        let change = self.change;
        Case {
            says: ["127.0.0.1:7001", "[listen] address"].map(str::to_owned).to_vec(),
            change: Box::new(move |scene| {
                change(scene);
                scene.replace("[admin]\naddress = ", "[admin]\naddress = \"127.0.0.1:7001\"\n#");
            }),
            at: "address = \"127.0.0.1:7001\"".to_owned(),
            ..self
        }
    }

    /// With a server that is verified, by nobody.
    fn verifying(self) -> Case {
        let change = self.change;
        Case {
            change: Box::new(move |scene| {
                change(scene);
                scene.replace("service_user", "tls = { mode = \"verify-full\" }\nservice_user");
            }),
            ..self
        }
    }
}

/// No configuration at all.
pub fn unreadable() -> Vec<Case> {
    let file = |name: &str, says: &str, change: fn(&mut Scene)| Case {
        name: name.to_owned(),
        verbs: ALL,
        code: 2,
        says: vec!["sealgate.toml".to_owned(), says.to_owned()],
        at: String::new(),
        change: Box::new(change),
    };
    vec![
        file("no file", "No such file", |scene| scene.remove("sealgate.toml")),
        file("a folder", "not an ordinary file", |scene| scene.folder_at("sealgate.toml")),
        file("a pipe", "not an ordinary file", |scene| {
            scene.remove("sealgate.toml");
            let made = std::process::Command::new("mkfifo").arg(scene.path("sealgate.toml")).status();
            assert!(made.unwrap().success());
        }),
        file("a file for others", "Permission denied", |scene| scene.mode("sealgate.toml", 0)),
        file("an empty file", "[listen] is missing", |scene| scene.write("sealgate.toml", "")),
        file("bytes", "UTF-8", |scene| scene.write("sealgate.toml", b"[listen]\n\xff\xfe")),
        file("a file without bounds", "at most 4194304", |scene| {
            scene.write("sealgate.toml", "#".repeat((4 << 20) + 1));
        }),
        file("YAML", "sealgate.toml:1:", |scene| scene.write("sealgate.toml", "listen:\n  address: x\n")),
        file("an unclosed table", "sealgate.toml:1: ", |scene| scene.replace("[listen]", "[listen")),
        file("an unclosed string", "sealgate.toml:3: ", |scene| scene.replace("\"0770\"", "\"0770")),
        file("a value without quotes", "sealgate.toml:13: ", |scene| scene.replace("\"relay\"", "relay")),
    ]
}
