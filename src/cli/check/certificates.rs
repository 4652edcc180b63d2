//! Certificates that have expired, or will before long.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::findings::Findings;
use crate::config::{Settings, TlsMode};
use crate::transport::tls::{Validity, validities};

/// Days before which it is told that a certificate will expire.
const DAYS_SOON: u64 = 30;
const DAY: u64 = 24 * 60 * 60;

/// Looks at every certificate that the configuration names. What cannot be read is told by whoever
/// needs it.
pub fn look(settings: &Settings, findings: &mut Findings) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if let Some(tls) = &settings.listen.tls {
        for entry in &tls.certificates {
            own("listen.tls", &entry.certificate, now, findings);
        }
        if let Some(authorities) = &tls.client_ca {
            these("listen.tls", authorities, now, findings);
        }
    }
    if let Some(tls) = settings.upstream.tls.as_ref().filter(|tls| tls.mode != TlsMode::Disable) {
        if let Some(authorities) = &tls.ca {
            these("upstream.tls", authorities, now, findings);
        }
        if let Some((certificate, _)) = &tls.certificate {
            own("upstream.tls", certificate, now, findings);
        }
    }
}

/// A certificate that is shown to others: nobody who verifies it goes on.
fn own(what: &str, file: &Path, now: u64, findings: &mut Findings) {
    let Ok(all) = validities(file) else { return };
    let shown = file.display();
    for (place, validity) in all.iter().enumerate() {
        let which = if place == 0 { "the certificate" } else { "a certificate of its chain" };
        match validity.at(now) {
            Stands::Over => {
                findings.error(what, "certificate-expired", format!("{shown}: {which} has expired"));
            }
            Stands::NotYet => {
                findings.error(
                    what,
                    "certificate-not-yet-valid",
                    format!("{shown}: {which} is not yet valid"),
                );
            }
            Stands::Days(days) if days < DAYS_SOON => findings.warning(
                what,
                "certificate-expires",
                format!("{shown}: {which} expires {}", within(days)),
            ),
            Stands::Days(_) => {}
        }
    }
}

/// Authorities: as long as one of them is valid, others may have been left where they were.
fn these(what: &str, file: &Path, now: u64, findings: &mut Findings) {
    let Ok(all) = validities(file) else { return };
    let shown = file.display();
    let stands: Vec<Stands> = all.iter().map(|validity| validity.at(now)).collect();
    let over = stands.iter().filter(|one| matches!(one, Stands::Over)).count();
    if over > 0 && over == stands.len() {
        findings.error(what, "certificate-expired", format!("{shown}: every authority in it has expired"));
    } else if over > 0 {
        findings.warning(
            what,
            "authority-expired",
            format!("{shown}: {over} of {} authorities have expired", stands.len()),
        );
    }
    for days in stands.iter().filter_map(|one| if let Stands::Days(days) = one { Some(*days) } else { None })
    {
        if days < DAYS_SOON {
            let message = format!("{shown}: an authority expires {}", within(days));
            findings.warning(what, "certificate-expires", message);
        }
    }
}

enum Stands {
    Over,
    NotYet,
    Days(u64),
}

trait At {
    fn at(&self, now: u64) -> Stands;
}

impl At for Validity {
    fn at(&self, now: u64) -> Stands {
        if now > self.not_after {
            Stands::Over
        } else if now < self.not_before {
            Stands::NotYet
        } else {
            Stands::Days((self.not_after - now) / DAY)
        }
    }
}

fn within(days: u64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}
