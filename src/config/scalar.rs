//! The small languages inside strings: `host:port`, `schema.table`, `1m`, plain names.

use std::net::IpAddr;

use super::settings::{Endpoint, HostPort};
use crate::catalog::{QualifiedName, SchemaPattern};
use crate::residency::HostPattern;
use crate::seal::{TEMPLATE_NAME_LENGTH_MAX, is_concrete_name, is_template};

/// The server cuts longer identifiers (NAMEDATALEN - 1).
const IDENTIFIER_BYTES_MAX: usize = 63;
/// Longest class, region, area, node or user.
const NAME_BYTES_MAX: usize = 64;
/// Longest name of a key domain, as the format has it.
const DOMAIN_BYTES_MAX: usize = crate::seal::DOMAIN_NAME_LENGTH_MAX;

/// Why a string is refused, in words that continue `found`, and what to write.
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) remedy: String,
}

fn refused<T>(reason: &'static str, remedy: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { reason, remedy: remedy.into() })
}

/// `127.0.0.1:5432`, `[::1]:5432`, `db.example:5432`.
pub(super) fn host_port(text: &str) -> Result<HostPort, Refused> {
    const EXAMPLE: &str = "write \"127.0.0.1:5432\", \"[::1]:5432\" or \"db.example:5432\"";
    let Some((host, port)) = text.rsplit_once(':') else {
        return refused("names no port", EXAMPLE);
    };
    let Ok(port) = port.parse::<u16>() else {
        return refused("names no port", EXAMPLE);
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound = match bracketed {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let four = host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4());
            four || (!host.starts_with('*') && HostPattern::parse(host).is_some())
        }
    };
    if !sound {
        return refused("is not a host and a port", EXAMPLE);
    }
    Ok(HostPort { host: bracketed.unwrap_or(host).to_owned(), port })
}

/// The port in a Unix socket's name where none is written: libpq's own default.
const UNIX_PORT: u16 = 5432;
/// Longest path of a Unix socket, in bytes (`sun_path`, with its zero).
const UNIX_PATH_BYTES_MAX: usize = 107;

/// `/run/sealgate`, `/run/sealgate:6432`: a folder, and the port in the socket's name.
pub(super) fn unix_socket(text: &str) -> Result<Endpoint, Refused> {
    const EXAMPLE: &str = "write \"unix:/run/sealgate\" or \"unix:/run/sealgate:6432\"";
    let (folder, port) = match text.rsplit_once(':') {
        Some((folder, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (folder, port),
            Ok(_) | Err(_) => return refused("names no port", EXAMPLE),
        },
        None => (text, UNIX_PORT),
    };
    if !folder.starts_with('/') || folder.contains('\0') {
        return refused("is not an absolute path", EXAMPLE);
    }
    let endpoint = Endpoint::Unix { folder: folder.into(), port };
    if endpoint.socket_file().is_some_and(|file| file.as_os_str().len() > UNIX_PATH_BYTES_MAX) {
        return refused(
            "is too long for a socket",
            format!("at most {UNIX_PATH_BYTES_MAX} bytes with .s.PGSQL.N"),
        );
    }
    Ok(endpoint)
}

/// Permission bits as `chmod` has them: `0770`.
pub(super) fn file_mode(text: &str) -> Result<u32, Refused> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 => Ok(mode),
        Ok(_) | Err(_) => refused("is not a file mode", "write it as chmod does: \"0770\""),
    }
}

/// A host name for which a certificate is served: exact, or `*.` and a name.
pub(super) fn certificate_host(text: &str) -> Result<String, Refused> {
    if HostPattern::parse(text).is_none() || text.parse::<IpAddr>().is_ok() {
        return refused("is not a host name", "write \"db.example\" or \"*.db.example\"");
    }
    Ok(text.to_ascii_lowercase())
}

/// `schema.table`, or with a pattern in place of the schema.
pub(super) struct Table {
    pub(super) schemas: Option<SchemaPattern>,
    /// With a pattern, its text is the schema.
    pub(super) name: QualifiedName,
}

/// `public.customers`, `tenant_*.customers`, `"Tenant-"*.customers`: a star stands bare, and
/// in the schema alone.
pub(super) fn table(text: &str) -> Result<Table, Refused> {
    let (pieces, name) = schema_pieces(text)?;
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let Some(schemas) = SchemaPattern::new(&pieces) else {
        return qualified_name(text).map(|name| Table { schemas: None, name });
    };
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > IDENTIFIER_BYTES_MAX {
        return refused("has a name of more than 63 bytes", "no schema has such a name");
    }
    if schemas.is_of_server() {
        return refused(
            "matches no schema",
            "schemas that begin with pg_ are the server's own, and are never meant",
        );
    }
    let Some(name) = name else {
        return refused("names no table", "write \"tenant_*.customers\"");
    };
    let name = QualifiedName { schema: schemas.to_string().into(), name: identifier(name)?.into() };
    Ok(Table { schemas: Some(schemas), name })
}

/// What stands between the bare stars of the first name, and what follows its dot.
fn schema_pieces(text: &str) -> Result<(Vec<String>, Option<&str>), Refused> {
    let (mut pieces, mut rest) = (vec![String::new()], text);
    // Two names do not stand side by side: each begins the text or follows a star.
    let mut may_begin = true;
    loop {
        if let Some(after) = rest.strip_prefix('*') {
            pieces.push(String::new());
            (rest, may_begin) = (after, true);
            continue;
        }
        if let Some(table) = rest.strip_prefix('.') {
            return Ok((pieces, Some(table)));
        }
        if rest.is_empty() {
            return Ok((pieces, None));
        }
        if !std::mem::replace(&mut may_begin, false) {
            return refused(
                "is not a name",
                "a dot stands between names, a star between parts of a schema's",
            );
        }
        let (piece, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_identifier(quoted)?,
            None => bare_piece(rest, pieces.len() == 1)?,
        };
        if let Some(last) = pieces.last_mut() {
            *last = piece;
        }
        rest = after;
    }
}

/// A bare name up to the next star, quote or dot. Behind a star, a digit may begin it.
fn bare_piece(text: &str, first: bool) -> Result<(String, &str), Refused> {
    let (piece, after) = text.split_at(text.find(['.', '*', '"']).unwrap_or(text.len()));
    let begun = if first { piece.to_owned() } else { format!("_{piece}") };
    bare_identifier(&begun).map(|_| (piece.to_owned(), after))
}

/// `schema.table`, each as SQL would write it: bare in lower case, or in double quotes.
/// `schema.name`.
pub(super) fn qualified_name(text: &str) -> Result<QualifiedName, Refused> {
    let parts = identifiers(text)?;
    match parts.as_slice() {
        [schema, name] => Ok(QualifiedName { schema: schema.as_str().into(), name: name.as_str().into() }),
        [name] => refused("names no schema", format!("write \"public.{name}\" or the schema it is in")),
        _ => refused("has more than a schema and a table", "the database goes into database = \"...\""),
    }
}

/// One identifier, as SQL would write it.
pub(super) fn identifier(text: &str) -> Result<String, Refused> {
    let mut parts = identifiers(text)?;
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => refused("is more than one name", "write one column name"),
    }
}

fn identifiers(text: &str) -> Result<Vec<String>, Refused> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_identifier(quoted)?,
            None => bare_identifier(rest)?,
        };
        if name.len() > IDENTIFIER_BYTES_MAX {
            return refused("has a name of more than 63 bytes", "write it as the server cut it");
        }
        parts.push(name);
        match (after.strip_prefix('.'), after.is_empty()) {
            (Some(next), _) => rest = next,
            (None, true) => return Ok(parts),
            (None, false) => return refused("is not a name", "a dot stands between names, nothing else"),
        }
    }
}

/// After the opening quote: the name, and what follows the closing one.
fn quoted_identifier(quoted: &str) -> Result<(String, &str), Refused> {
    let mut name = String::new();
    let mut rest = quoted;
    while let Some((front, after)) = rest.split_once('"') {
        name.push_str(front);
        match after.strip_prefix('"') {
            Some(doubled) => {
                name.push('"');
                rest = doubled;
            }
            None if name.is_empty() || name.contains('\0') => break,
            None => return Ok((name, after)),
        }
    }
    refused("is not a name", "close the double quotes around a name that is not empty")
}

fn bare_identifier(text: &str) -> Result<(String, &str), Refused> {
    let (name, after) = text.split_at(text.find('.').unwrap_or(text.len()));
    if name.contains('*') {
        let remedy = "a * stands in a table's schema alone; as a letter of a name, in double quotes";
        return refused("has a * that means nothing here", remedy);
    }
    if name.chars().any(char::is_uppercase) {
        let remedy =
            "the server folds it to lower case: write it so, or '\"...\"' with the double quotes of SQL";
        return refused("has capital letters outside double quotes", remedy);
    }
    let first_is_letter = |c: char| c.is_ascii_lowercase() || c == '_' || !c.is_ascii();
    let sound = name.chars().next().is_some_and(first_is_letter)
        && name.chars().all(|c| first_is_letter(c) || c.is_ascii_digit() || c == '$')
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if sound {
        Ok((name.to_owned(), after))
    } else {
        refused("is not a name", "write it as in SQL; with double quotes where SQL needs them")
    }
}

/// A word for people: class, region, area, node, user.
pub(super) fn name(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return refused("is empty or too long", format!("from 1 to {NAME_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return refused("holds a control character", "take it out");
    }
    Ok(text.to_owned())
}

/// A database or role, as the server spells it; a connection string does not fold it either.
pub(super) fn server_name(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.len() > IDENTIFIER_BYTES_MAX || text.contains('\0') {
        return refused("is not a name on the server", "from 1 to 63 bytes, as the server spells it");
    }
    Ok(text.to_owned())
}

/// A key domain: it goes into key derivation and never changes, so it is kept to plain letters.
/// Or a template, which has the schema in it.
pub(super) fn domain(text: &str) -> Result<String, Refused> {
    if text.contains(['{', '}']) {
        if is_template(text) {
            return Ok(text.to_owned());
        }
        let allowed = format!(
            "write \"email@{{schema}}\": 1 to {TEMPLATE_NAME_LENGTH_MAX} of A-Z a-z 0-9 _ - . and @{{schema}} at the end"
        );
        return refused("is not a domain's name for each schema", allowed);
    }
    if !is_concrete_name(text) {
        return refused(
            "is not a domain's name",
            format!("from 1 to {DOMAIN_BYTES_MAX} of A-Z a-z 0-9 _ - . @"),
        );
    }
    Ok(text.to_owned())
}

/// `30s`, `1m`, `2h`, `1d`, in milliseconds.
#[must_use]
pub fn duration_ms(text: &str) -> Option<u64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// Longest address of a web server, and of somebody who has mail.
pub(super) const URL_BYTES_MAX: usize = 2_048;

/// `https://host/path` or `http://...`, with no user in it, up to [`URL_BYTES_MAX`].
pub(super) fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let has_host = rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.contains('@') && !host.starts_with(':')
    });
    has_host && text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= URL_BYTES_MAX
}

/// A function as `schema.name(type,type)`, in one spelling, or `extension:name`.
pub(super) fn signature(text: &str) -> Option<String> {
    if let Some(extension) = text.strip_prefix("extension:") {
        let fits = !extension.is_empty()
            && extension.chars().all(|letter| letter.is_alphanumeric() || "_-".contains(letter));
        return fits.then(|| text.to_owned());
    }
    let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
    let (schema, function) = name.trim().split_once('.')?;
    if schema.is_empty() || function.is_empty() || function.contains('.') {
        return None;
    }
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let fits = arguments.len() == 1 || arguments.iter().all(|argument| !argument.is_empty());
    fits.then(|| format!("{schema}.{function}({})", arguments.join(",")))
}

#[cfg(test)]
mod tests {
    use super::{
        certificate_host, domain, duration_ms, file_mode, host_port, identifier, qualified_name, table,
        unix_socket,
    };

    #[test]
    fn reads_hosts_and_ports() {
        for (text, expected) in [
            ("127.0.0.1:5432", Some("127.0.0.1:5432")),
            ("[::1]:5432", Some("[::1]:5432")),
            ("db.example:1", Some("db.example:1")),
            ("localhost:0", Some("localhost:0")),
            ("::1:5432", None),
            ("127.0.0.1", None),
            ("127.0.0.1:", None),
            ("127.0.0.1:65536", None),
            (":5432", None),
            ("[127.0.0.1]:5432", None),
            ("[fe80::1%eth0]:5432", None),
            ("1.2.3:5432", None),
            ("a b:5432", None),
            ("*.example:5432", None),
            ("", None),
        ] {
            let read = host_port(text).ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn reads_unix_sockets_modes_and_certificate_hosts() {
        for (text, expected) in [
            ("/run/sealgate", Some("/run/sealgate/.s.PGSQL.5432")),
            ("/run/sealgate:6432", Some("/run/sealgate/.s.PGSQL.6432")),
            ("run", None),
            ("", None),
            ("/run:0", None),
            ("/run:x", None),
            ("/run:65536", None),
        ] {
            let read = unix_socket(text).ok().and_then(|socket| socket.socket_file());
            assert_eq!(read.as_deref(), expected.map(std::path::Path::new), "{text}");
        }
        assert!(unix_socket(&format!("/{}", "a".repeat(93))).is_err());
        assert!(unix_socket(&format!("/{}", "a".repeat(92))).is_ok());
        for (text, expected) in
            [("0770", Some(0o770)), ("7", Some(7)), ("0o770", None), ("1777", None), ("8", None)]
        {
            assert_eq!(file_mode(text).ok(), expected, "{text}");
        }
        assert_eq!(certificate_host("*.DB.example").ok().as_deref(), Some("*.db.example"));
        for text in ["10.0.0.1", "*", "a b", ""] {
            assert!(certificate_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_names_as_sql_does() {
        for (text, expected) in [
            ("public.customers", Some(("public", "customers"))),
            ("public.\"My Table\"", Some(("public", "My Table"))),
            ("\"a.b\".\"c\"\"d\"", Some(("a.b", "c\"d"))),
            ("public.caf\u{e9}", Some(("public", "caf\u{e9}"))),
            ("customers", None),
            ("shop.public.customers", None),
            ("Public.customers", None),
            ("public.", None),
            (".customers", None),
            ("public.\"\"", None),
            ("public.\"open", None),
            ("public.\"a\"b", None),
            ("public.1a", None),
            ("public.a b", None),
            ("public.a;b", None),
            ("", None),
        ] {
            let read = table(text).ok();
            let read = read.as_ref().map(|table| (&*table.name.schema, &*table.name.name));
            assert_eq!(read, expected, "{text}");
        }
        assert!(qualified_name(&format!("public.{}", "a".repeat(63))).is_ok());
        assert!(qualified_name(&format!("public.{}", "a".repeat(64))).is_err());
        assert_eq!(identifier("\"firstName\"").ok().as_deref(), Some("firstName"));
        assert!(identifier("firstName").is_err());
        assert!(identifier("a.b").is_err());
    }

    #[test]
    fn reads_patterns_in_schemas_and_stars_in_quotes_as_letters() {
        for (text, expected) in [
            ("*.customers", Some(("*", "customers"))),
            ("tenant_*.customers", Some(("tenant_*", "customers"))),
            ("*_live.customers", Some(("*_live", "customers"))),
            ("t*1*.\"My Table\"", Some(("t*1*", "My Table"))),
            ("a**.b", Some(("a*", "b"))),
            ("\"Tenant-\"*.customers", Some(("\"Tenant-\"*", "customers"))),
            ("*\"a*b\".customers", Some(("*\"a*b\"", "customers"))),
            ("\"a.b\"*.c", Some(("\"a.b\"*", "c"))),
            ("*.\"a*\"", Some(("*", "a*"))),
            ("*", None),
            ("*.", None),
            ("*.*", None),
            ("*.cust*", None),
            ("public.cust*", None),
            ("*.a.b", None),
            ("Tenant_*.customers", None),
            ("tenant-*.customers", None),
            ("1*.customers", None),
            ("a\"b\"*.c", None),
            ("\"a\"b*.c", None),
            ("\"\"*.c", None),
            ("pg_*.customers", None),
        ] {
            let read = table(text).ok();
            let found = read.as_ref().map(|table| (&*table.name.schema, &*table.name.name));
            assert_eq!(found, expected, "{text}");
            assert!(read.is_none_or(|table| table.schemas.is_some()), "{text}");
        }
        let literal = table("\"tenant_*\".customers").ok().map(|table| (table.schemas, table.name.schema));
        assert_eq!(literal, Some((None, "tenant_*".into())), "no pattern");
        assert!(table(&format!("{}*.b", "a".repeat(63))).is_ok());
        assert!(table(&format!("{}*.b", "a".repeat(64))).is_err());
    }

    #[test]
    fn reads_durations_and_domains() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("1m", Some(60_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("m", None),
            ("1", None),
            ("1 m", None),
            ("-1m", None),
            ("+1m", None),
            ("1ms", None),
            ("1\u{e9}", None),
            ("", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
        for text in ["email_2-x.y", "email@acme", "email@{schema}"] {
            assert!(domain(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a/b",
            "a b",
            "\u{e9}",
            &"a".repeat(64),
            "email{schema}",
            "{schema}",
            "@{schema}",
            "{schema}@email",
            "a@{schema}@{schema}",
            "a@{schemas}",
            &("a".repeat(30) + "@{schema}"),
        ] {
            assert!(domain(text).is_err(), "{text}");
        }
    }
}
