//! Where a connection string of libpq leads: the hosts that it names, in either of its forms.

/// The hosts of a connection string, names and addresses alike, as they are written. None: it
/// cannot be read here, or leaves where it leads to something else (a service file, a default).
pub(in crate::statement) fn hosts(text: &str) -> Option<Vec<String>> {
    let pairs = match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => of_uri(rest)?,
        None => of_words(text)?,
    };
    let mut hosts = Vec::new();
    for (key, value) in &pairs {
        match key.as_str() {
            "host" | "hostaddr" => hosts.extend(value.split(',').map(str::to_owned)),
            "service" | "servicefile" => return None,
            _ => {}
        }
    }
    // An address stands for its name; where one of either is empty a default is meant.
    let of =
        |wanted: &str| pairs.iter().rev().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    let named = |value: Option<&str>| value.is_some_and(|value| value.split(',').all(|one| !one.is_empty()));
    hosts.retain(|host| !host.is_empty());
    (named(of("host")) || named(of("hostaddr"))).then_some(hosts)
}

/// `key = 'value' ...`
fn of_words(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let mut value = String::new();
        let mut letters = behind.trim_start().chars();
        let quoted = letters.as_str().starts_with('\'');
        if quoted {
            letters.next();
        }
        loop {
            let before = letters.as_str();
            match letters.next() {
                Some('\\') => value.push(letters.next()?),
                Some('\'') if quoted => break,
                None if quoted => return None,
                None => break,
                Some(letter) if !quoted && letter.is_ascii_whitespace() => {
                    letters = before.chars();
                    break;
                }
                Some(letter) => value.push(letter),
            }
        }
        pairs.push((key.to_owned(), value));
        rest = letters.as_str().trim_start();
    }
    Some(pairs)
}

/// `user:password@host:port,host:port/dbname?key=value&...`, behind the scheme.
fn of_uri(rest: &str) -> Option<Vec<(String, String)>> {
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.split_once('/').map_or(authority, |(authority, _)| authority);
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let mut named = Vec::new();
    for host in hosts.split(',') {
        let host = match host.strip_prefix('[') {
            Some(six) => six.split_once(']')?.0,
            None => host.split_once(':').map_or(host, |(host, _)| host),
        };
        named.push(decoded(host)?);
    }
    let mut pairs = vec![("host".to_owned(), named.join(","))];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        pairs.push((decoded(key)?, decoded(value)?));
    }
    Some(pairs)
}

/// Without its `%xx`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_host_or_says_that_it_cannot() {
        for (text, expected) in [
            ("host=db.example dbname=x", Some(&["db.example"][..])),
            ("host = 'db.example' port=5432", Some(&["db.example"])),
            ("dbname='it\\'s' hostaddr=192.0.2.7", Some(&["192.0.2.7"])),
            ("host=a,b hostaddr=192.0.2.7,192.0.2.8", Some(&["a", "b", "192.0.2.7", "192.0.2.8"])),
            ("host=a host=b", Some(&["a", "b"])),
            ("host=/tmp dbname=x", Some(&["/tmp"])),
            ("postgresql://u:p@db.example:5433/x?sslmode=require", Some(&["db.example"])),
            ("postgres://a,b:1,[::1]:2/x", Some(&["a", "b", "::1"])),
            ("postgresql://a/x?host=b&hostaddr=192.0.2.7", Some(&["a", "b", "192.0.2.7"])),
            ("postgresql://%2Ftmp/x", Some(&["/tmp"])),
            ("postgresql:///x?host=b", Some(&["b"])),
            ("dbname=x", None),
            ("host=a,,b", None),
            ("host=", None),
            ("postgresql:///x", None),
            ("host=a service=b", None),
            ("service=b", None),
            ("host='a", None),
            ("host", None),
            ("postgresql://%zz/x", None),
        ] {
            let found = hosts(text);
            let found: Option<Vec<&str>> =
                found.as_ref().map(|hosts| hosts.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
