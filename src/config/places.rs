//! `[residency]`: the operator's map and rules.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::reader::{Reader, Section, Words, shown};
use super::scalar;
use super::settings::ResidencySettings;
use crate::residency::{Date, Form, HostPattern, Place, Places, Rules, Site};

/// Entries of `allowed`.
const ALLOWED_MAX: usize = 64;

const RESIDENCY: Words = Words { served: &["allowed", "unknown", "place", "rules"], later: &[] };
const PLACE: Words =
    Words { served: &["cidr", "host", "region", "area", "expires"], later: &["certificate"] };
const RULES: Words = Words { served: &["replication"], later: &["clients"] };
const SIDES: Words = Words { served: &["inside", "outside"], later: &[] };
const FORM: Words = Words { served: &["allow", "deny"], later: &["ciphertext_only"] };
const UNKNOWN: Words = Words { served: &["deny", "allow"], later: &[] };

impl Reader<'_> {
    pub(super) fn residency(&mut self, root: &Section<'_>) -> Option<ResidencySettings> {
        let section = self.table(root, "residency", "[residency]", RESIDENCY)?;
        if section.value("allowed").is_none() {
            self.missing(&section, "allowed", "[\"EEA\"]");
        }
        let words = self.strings(&section, "allowed", ALLOWED_MAX);
        let allowed = words.map(|words| {
            let names = words.into_iter();
            names.filter_map(|word| self.read_text("[residency] allowed", word, scalar::name)).map(Arc::from)
        });
        let allowed: Option<Vec<Arc<str>>> = allowed.map(Iterator::collect);
        let unknown = self.form(&section, "unknown", UNKNOWN).unwrap_or(Form::Deny);
        let (replication_inside, replication_outside) = self.replication(&section);
        let entries = self.tables(&section, "place", "[[residency.place]]", PLACE, Places::COUNT_MAX);
        let mut places: Vec<(u32, Place)> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let Some(place) = self.place(entry) else { continue };
            if let Some((line, _)) = places.iter().find(|(_, other)| other.site == place.site) {
                let remedy = format!("the first is in line {line}: take one of them out");
                self.fault(entry.at, "[[residency.place]] stands twice", remedy);
            }
            places.push((self.line(entry.at), place));
        }
        let rules = Rules { allowed: allowed?, unknown, replication_inside, replication_outside };
        Some(ResidencySettings { places, rules })
    }

    /// Inside and outside; where nothing is said, what leaves the allowed regions is refused.
    fn replication(&mut self, residency: &Section<'_>) -> (Form, Form) {
        let mut forms = (Form::Allow, Form::Deny);
        let rules = self.table(residency, "rules", "[residency.rules]", RULES);
        let sides =
            rules.and_then(|rules| self.table(&rules, "replication", "[residency.rules] replication", SIDES));
        if let Some(sides) = sides {
            forms.0 = self.form(&sides, "inside", FORM).unwrap_or(forms.0);
            forms.1 = self.form(&sides, "outside", FORM).unwrap_or(forms.1);
        }
        forms
    }

    fn form(&mut self, section: &Section<'_>, key: &str, words: Words) -> Option<Form> {
        let word = self.choice(section, key, words)?;
        Some(if word.text == "allow" { Form::Allow } else { Form::Deny })
    }

    fn place(&mut self, entry: &Section<'_>) -> Option<Place> {
        let region = self.string_required(entry, "region", "\"eu-central\"");
        let region = region.and_then(|text| self.read_text("[[residency.place]] region", text, scalar::name));
        let region = region.filter(|name| {
            let reserved = name == "unknown";
            if reserved {
                self.fault(
                    entry.at,
                    "[[residency.place]] region = \"unknown\"",
                    "the word is taken: name the region",
                );
            }
            !reserved
        });
        let area = self.checked(entry, "area", scalar::name).map(Arc::from);
        let expires = self.expires(entry);
        let site = match (entry.value("cidr").is_some(), entry.value("host").is_some()) {
            (true, false) => self.network(entry).map(Site::Network),
            (false, true) => self.host(entry).map(Site::Host),
            (true, true) | (false, false) => {
                let remedy = "cidr = \"10.0.0.0/8\" or host = \"*.db.example\", one of them";
                self.fault(entry.at, "[[residency.place]] needs one of cidr and host", remedy);
                None
            }
        };
        Some(Place { site: site?, region: Arc::from(region?), area, expires: expires? })
    }

    fn network(&mut self, entry: &Section<'_>) -> Option<IpNet> {
        let text = self.string(entry, "cidr")?;
        let address = text.text.parse::<IpAddr>().ok().map(IpNet::from);
        let Some(network) = address.or_else(|| text.text.parse::<IpNet>().ok()) else {
            let found = format!("[[residency.place]] cidr = {}", shown(text.text));
            self.fault(text.at, found, "write \"10.0.0.0/8\" or \"fd00::/8\"");
            return None;
        };
        if network.trunc() != network {
            let found = format!("[[residency.place]] cidr = {} has bits behind its prefix", shown(text.text));
            self.fault(text.at, found, format!("write \"{}\"", network.trunc()));
            return None;
        }
        Some(network)
    }

    fn host(&mut self, entry: &Section<'_>) -> Option<HostPattern> {
        let text = self.string(entry, "host")?;
        let pattern = HostPattern::parse(text.text);
        if pattern.is_none() {
            let found = format!("[[residency.place]] host = {}", shown(text.text));
            self.fault(text.at, found, "write \"db.example\" or \"*.db.example\"; an address goes into cidr");
        }
        pattern
    }

    /// None: faulty. `Some(None)`: never.
    fn expires(&mut self, entry: &Section<'_>) -> Option<Option<Date>> {
        let Some(value) = entry.value("expires") else { return Some(None) };
        let Some(moment) = value.get_ref().as_datetime() else {
            self.kind("[[residency.place]] expires", value, "a date without quotes: 2027-12-31");
            return None;
        };
        let date = moment.date.and_then(|date| Date::new(date.year, date.month, date.day));
        if date.is_none() || moment.time.is_some() {
            self.fault(value.span().start, "[[residency.place]] expires is not a date", "write 2027-12-31");
            return None;
        }
        Some(date)
    }
}
