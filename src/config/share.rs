//! `[watch.share]`: where proxies tell one another what is held against whom, and what was counted.

use super::reader::{Reader, Section, Text, Words, shown};
use super::scalar;
use super::settings::{HostPort, ShareProof, ShareSettings};

/// Most servers that are tried.
const SERVERS_MAX: usize = 16;
/// Longest name of a bucket; the other one's is longer.
const BUCKET_BYTES_MAX: usize = 64;

const SHARE: Words = Words {
    served: &["urls", "user", "password", "token", "nkey", "creds", "ca", "bucket", "key"],
    later: &[],
};

impl Reader<'_> {
    /// None: there is no `[watch.share]`.
    pub(super) fn share(&mut self, watch: &Section<'_>) -> Option<ShareSettings> {
        let section = self.table(watch, "share", "[watch.share]", SHARE)?;
        for (key, example) in
            [("urls", "\"tls://nats.example:4222\""), ("key", "{ file = \"share.key\" }, 32 bytes in base64")]
        {
            if section.value(key).is_none() {
                self.missing(&section, key, example);
            }
        }
        let urls = self.strings(&section, "urls", SERVERS_MAX).unwrap_or_default();
        let servers: Vec<(HostPort, bool)> = urls.iter().filter_map(|url| self.server(*url)).collect();
        let proof = self.share_proof(&section);
        let ca =
            section.value("ca").is_some().then(|| self.path(&section, "ca", "\"nats-ca.crt\"")).flatten();
        let secure = servers.iter().any(|(_, tls)| *tls);
        if ca.is_some() && !secure && !servers.is_empty() {
            self.fault(
                section.at,
                "[watch.share] ca without TLS",
                "take it out, or write tls:// before a server",
            );
        }
        let tells = matches!(proof, Some(ShareProof::Password { .. } | ShareProof::Token(_)));
        if tells && servers.iter().any(|(server, tls)| !tls && !is_here(&server.host)) {
            let remedy = "write tls:// before each server, or prove yourself by nkey or creds";
            self.fault(section.at, "[watch.share] a password or a token in the clear", remedy);
        }
        let bucket = match section.value("bucket") {
            None => "sealgate".to_owned(),
            Some(_) => self.bucket(&section)?,
        };
        let key = self.secret(&section, "key");
        (servers.len() == urls.len()).then_some(ShareSettings {
            servers,
            proof: proof?,
            ca,
            bucket,
            key: key?,
        })
    }

    /// True: under TLS.
    fn server(&mut self, url: Text<'_>) -> Option<(HostPort, bool)> {
        let (tls, address) = match (url.text.strip_prefix("tls://"), url.text.strip_prefix("nats://")) {
            (Some(address), _) => (true, address),
            (None, Some(address)) => (false, address),
            (None, None) => {
                let found = format!("[watch.share] urls = {}", shown(url.text));
                self.fault(url.at, found, "\"tls://host:4222\" or \"nats://host:4222\"");
                return None;
            }
        };
        Some((self.host_port("[watch.share] urls", Text { text: address, at: url.at }, 1)?, tls))
    }

    fn share_proof(&mut self, section: &Section<'_>) -> Option<ShareProof> {
        let ways: Vec<&str> = ["user", "token", "nkey", "creds"]
            .into_iter()
            .filter(|key| section.value(key).is_some())
            .collect();
        if ways.len() > 1 {
            let found = format!("[watch.share] {} at once", ways.join(" and "));
            self.fault(section.at, found, "one of user, token, nkey and creds");
            return None;
        }
        if section.value("password").is_some() && ways != ["user"] {
            self.fault(section.at, "[watch.share] password without user", "add user = \"sealgate\"");
            return None;
        }
        match ways.first() {
            None => Some(ShareProof::None),
            Some(&"user") => {
                if section.value("password").is_none() {
                    self.missing(section, "password", "{ file = \"nats.password\" }");
                }
                let user = self.checked(section, "user", scalar::name);
                let password = self.secret(section, "password");
                Some(ShareProof::Password { user: user?, password: password? })
            }
            Some(&"token") => Some(ShareProof::Token(self.secret(section, "token")?)),
            Some(&"nkey") => Some(ShareProof::Key(self.secret(section, "nkey")?)),
            Some(_) => Some(ShareProof::Credentials(self.secret(section, "creds")?)),
        }
    }

    fn bucket(&mut self, section: &Section<'_>) -> Option<String> {
        let text = self.string(section, "bucket")?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=BUCKET_BYTES_MAX).contains(&text.text.len()) && text.text.bytes().all(fits) {
            return Some(text.text.to_owned());
        }
        let found = format!("[watch.share] bucket = {}", shown(text.text));
        self.fault(text.at, found, "from 1 to 64 letters, digits, - and _");
        None
    }
}

/// Does what is sent there stay on this machine?
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::{HostPort, Secret, Settings, ShareProof, load};

    fn with(lines: &str) -> Result<Settings, Vec<String>> {
        let least = "[listen]\naddress = \"127.0.0.1:6432\"\n[upstream]\nhosts = [\"127.0.0.1:5432\"]\n";
        load(&format!("{least}[watch.share]\n{lines}"), "t.toml")
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const KEY: &str = "key = { file = \"k\" }\n";

    #[test]
    fn reads_servers_and_how_they_let_us_in() {
        let read =
            with(&format!("urls = [\"tls://n.example:4222\", \"nats://[::1]:4223\"]\nca = \"c\"\n{KEY}"));
        let share = read.unwrap().share.unwrap();
        let server = |host: &str, port, tls| (HostPort { host: host.into(), port }, tls);
        assert_eq!(share.servers, [server("n.example", 4222, true), server("::1", 4223, false)]);
        assert_eq!((share.bucket.as_str(), &share.proof), ("sealgate", &ShareProof::None));
        let file = || Secret::File("s".into());
        for (lines, proof) in [
            ("token = { file = \"s\" }", ShareProof::Token(file())),
            ("nkey = { file = \"s\" }", ShareProof::Key(file())),
            ("creds = { file = \"s\" }", ShareProof::Credentials(file())),
            (
                "user = \"u\"\npassword = { file = \"s\" }",
                ShareProof::Password { user: "u".into(), password: file() },
            ),
        ] {
            let read = with(&format!("urls = \"nats://127.0.0.1:4222\"\n{KEY}{lines}\n")).unwrap();
            assert_eq!(read.share.unwrap().proof, proof);
        }
    }

    #[test]
    fn names_the_line_of_what_would_not_do_what_it_seems_to() {
        let url = "urls = \"nats://n.example:4222\"\n";
        for (lines, place, said) in [
            (KEY.to_owned(), "t.toml:5:", "urls is missing"),
            (url.to_owned(), "t.toml:5:", "key is missing"),
            (format!("{url}key = \"k\"\n"), "t.toml:7:", "[watch.share] key stands in the file itself"),
            (format!("urls = \"http://n:1\"\n{KEY}"), "t.toml:6:", "urls = \"http://n:1\""),
            (format!("urls = \"nats://n\"\n{KEY}"), "t.toml:6:", "names no port"),
            (format!("{url}{KEY}ca = \"c\"\n"), "t.toml:5:", "ca without TLS"),
            (format!("{url}{KEY}bucket = \"a.b\"\n"), "t.toml:8:", "bucket = \"a.b\""),
            (format!("{url}{KEY}token = {{ env = \"T\" }}\n"), "t.toml:5:", "in the clear"),
            (format!("{url}{KEY}user = \"u\"\n"), "t.toml:5:", "password is missing"),
            (format!("{url}{KEY}password = {{ env = \"T\" }}\n"), "t.toml:5:", "password without user"),
            (
                format!("{url}{KEY}nkey = {{ env = \"T\" }}\ncreds = {{ env = \"T\" }}\n"),
                "t.toml:5:",
                "nkey and creds at once",
            ),
        ] {
            let faults = with(&lines).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].contains(place) && faults[0].contains(said),
                "{lines}: {faults:?}"
            );
        }
    }
}
