//! Incidents: alerts that belong together, from the first one until it has been quiet for a while.
//!
//! Whoever is woken hears of an incident at once, of what is added to it ever more rarely, and of its
//! end. What is told is a [`Notice`]; when it is told is decided here, by the time that is handed in.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::Alert;

/// Fields and sessions that one notice names.
const NAMED_MAX: usize = 64;
/// The first update comes after this long, each further one after twice as long as the one before.
const UPDATE_MS_MIN: u64 = 5_000;
const UPDATE_MS_MAX: u64 = 300_000;

/// Is an incident still going on?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Firing,
    Resolved,
}

/// One classified field in a notice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoticeField {
    pub field: String,
    pub class: String,
}

/// What is told of an incident. No values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    pub incident: String,
    pub status: Status,
    pub detector: String,
    /// `warning`, `critical`.
    pub severity: String,
    pub reason: String,
    /// What was done: `alert`, `cut`, `lock`.
    pub done: String,
    /// Of the latest alert.
    pub user: String,
    /// Of the latest alert; empty where it asks for nobody.
    #[serde(default)]
    pub end_user: String,
    pub application: String,
    pub client: String,
    pub region: String,
    pub database: String,
    pub session: u64,
    pub statement_id: Option<u64>,
    /// Sessions that had a part in it, at most [`NAMED_MAX`].
    pub sessions: Vec<u64>,
    pub fields: Vec<NoticeField>,
    /// Alerts so far.
    pub count: u64,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    pub latest_ms: u64,
    /// When it is over, unless something is added to it.
    pub ends_ms: u64,
}

impl Notice {
    /// What is sent to see whether it arrives.
    #[must_use]
    pub fn of_a_test(now_ms: u64) -> Notice {
        let text = |text: &str| text.to_owned();
        Notice {
            incident: "0".repeat(32),
            status: Status::Firing,
            detector: text("test"),
            severity: text("warning"),
            reason: text("sealgate alert test: nothing has happened"),
            done: text("alert"),
            user: text("nobody"),
            end_user: String::new(),
            application: text("sealgate"),
            client: String::new(),
            region: String::new(),
            database: String::new(),
            session: 0,
            statement_id: None,
            sessions: Vec::new(),
            fields: Vec::new(),
            count: 1,
            started_ms: now_ms,
            latest_ms: now_ms,
            ends_ms: now_ms,
        }
    }
}

/// What belongs together.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    detector: &'static str,
    rule: Arc<str>,
    user: Arc<str>,
    /// Where it is about one for whom that asks.
    end_user: Option<Arc<str>>,
    database: Arc<str>,
}

struct Incident {
    notice: Notice,
    /// Alerts that have been told of.
    told: u64,
    told_ms: u64,
    update_ms: u64,
    /// Something is to be told at once.
    urgent: bool,
}

/// All incidents that go on.
pub struct Incidents {
    open: HashMap<Key, Incident>,
    quiet_ms: u64,
}

impl Incidents {
    /// Incidents that are told apart at one time; further ones are one for each detector.
    pub const OPEN_MAX: usize = 4_096;

    /// `quiet_ms`: without an alert for so long, an incident is over.
    #[must_use]
    pub fn new(quiet_ms: u64) -> Incidents {
        Incidents { open: HashMap::new(), quiet_ms }
    }

    /// Puts an alert into its incident, and names that in it. True where this is to be told at once.
    /// `fresh` is the number of the incident, where this begins one.
    pub fn raise(&mut self, alert: &mut Alert, fresh: u128, now_ms: u64) -> bool {
        let mut key = Key {
            detector: alert.detector,
            rule: alert.rule.clone(),
            user: alert.who.user.clone(),
            end_user: alert.who.end_user.clone().filter(|_| alert.by_end_user),
            database: alert.who.database.clone(),
        };
        if self.open.len() >= Self::OPEN_MAX && !self.open.contains_key(&key) {
            let nobody: Arc<str> = Arc::from("");
            let rule = Arc::from("more incidents than are told apart");
            key = Key { rule, user: nobody.clone(), end_user: None, database: nobody, ..key };
        }
        let quiet_ms = self.quiet_ms;
        let incident = self.open.entry(key).or_insert_with_key(|key| Incident {
            notice: begun(alert, &key.rule, fresh, now_ms),
            told: 0,
            told_ms: now_ms,
            update_ms: UPDATE_MS_MIN,
            urgent: true,
        });
        incident.add(alert, now_ms, quiet_ms);
        alert.incident = incident.notice.incident.as_str().into();
        incident.urgent
    }

    /// What is to be told now; whoever asks tells it.
    pub fn due(&mut self, now_ms: u64) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.open.retain(|_, incident| {
            let over = now_ms >= incident.notice.ends_ms;
            let added = incident.notice.count > incident.told;
            let updates = added && now_ms >= incident.told_ms.saturating_add(incident.update_ms);
            if over {
                incident.notice.status = Status::Resolved;
            }
            if over || updates || incident.urgent {
                notices.push(incident.notice.clone());
                if updates {
                    incident.update_ms = incident.update_ms.saturating_mul(2).min(UPDATE_MS_MAX);
                }
                incident.told = incident.notice.count;
                incident.told_ms = now_ms;
                incident.urgent = false;
            }
            !over
        });
        notices
    }

    /// Incidents that go on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Incident {
    fn add(&mut self, alert: &Alert, now_ms: u64, quiet_ms: u64) {
        let (notice, who) = (&mut self.notice, &alert.who);
        // Worse than what was told.
        if notice.severity != "critical" && alert.severity == "critical" {
            notice.severity = alert.severity.to_owned();
            self.urgent = true;
        }
        if notice.done != alert.verdict {
            self.urgent |= notice.done == "alert";
            notice.done = alert.verdict.to_owned();
        }
        notice.end_user = who.end_user.as_deref().unwrap_or_default().to_owned();
        notice.application = (*who.application).to_owned();
        notice.client = (*who.client).to_owned();
        notice.region = (*who.region).to_owned();
        notice.session = who.session;
        notice.statement_id = alert.statement_id;
        if notice.sessions.len() < NAMED_MAX && !notice.sessions.contains(&who.session) {
            notice.sessions.push(who.session);
        }
        for field in &*alert.fields {
            let known = notice.fields.iter().any(|known| *known.field == *field.field);
            if notice.fields.len() < NAMED_MAX && !known {
                let (field, class) = ((*field.field).to_owned(), (*field.class).to_owned());
                notice.fields.push(NoticeField { field, class });
            }
        }
        notice.count = notice.count.saturating_add(1);
        notice.latest_ms = notice.latest_ms.max(now_ms);
        notice.ends_ms = notice.latest_ms.saturating_add(quiet_ms);
    }
}

fn begun(alert: &Alert, rule: &str, fresh: u128, now_ms: u64) -> Notice {
    let who = &alert.who;
    Notice {
        incident: format!("{fresh:032x}"),
        status: Status::Firing,
        detector: alert.detector.to_owned(),
        severity: alert.severity.to_owned(),
        reason: alert
            .unusual
            .as_ref()
            .map_or_else(|| rule.to_owned(), |unusual| format!("{rule}: {}", unusual.reasons.join("; "))),
        done: alert.verdict.to_owned(),
        user: (*who.user).to_owned(),
        end_user: String::new(),
        application: String::new(),
        client: String::new(),
        region: String::new(),
        database: (*who.database).to_owned(),
        session: who.session,
        statement_id: None,
        sessions: Vec::new(),
        fields: Vec::new(),
        count: 0,
        started_ms: now_ms,
        latest_ms: now_ms,
        ends_ms: now_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Who;

    fn alert(user: &str, severity: &'static str, session: u64) -> Alert {
        let who = Who { user: user.into(), session, ..Who::sealgate() };
        Alert {
            who: Arc::new(who),
            statement_id: None,
            detector: "limit",
            severity,
            verdict: "alert",
            rule: "r".into(),
            fields: Arc::default(),
            incident: Arc::from(""),
            unusual: None,
            by_end_user: false,
        }
    }

    #[test]
    fn tells_at_once_then_ever_more_rarely_and_of_the_end() {
        let mut incidents = Incidents::new(600_000);
        let mut first = alert("ada", "warning", 1);
        assert!(incidents.raise(&mut first, 7, 1_000));
        let told = incidents.due(1_000);
        assert_eq!((told.len(), told[0].count, told[0].status), (1, 1, Status::Firing));
        assert_eq!(*first.incident, *told[0].incident);
        let mut updates = Vec::new();
        for now in (1_100..200_000).step_by(100) {
            let mut again = alert("ada", "warning", now);
            assert!(!incidents.raise(&mut again, 8, now));
            assert_eq!(again.incident, first.incident, "one incident");
            updates.extend(incidents.due(now).iter().map(|notice| (now, notice.count)));
        }
        let times: Vec<u64> = updates.iter().map(|(now, _)| *now).collect();
        assert_eq!(times, [6_000, 16_000, 36_000, 76_000, 156_000]);
        assert!(updates.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert!(incidents.due(799_800).iter().all(|notice| notice.status == Status::Firing));
        let end = incidents.due(799_900);
        assert_eq!((end.len(), end[0].status, end[0].sessions.len()), (1, Status::Resolved, NAMED_MAX));
        assert!(incidents.is_empty() && incidents.due(u64::MAX).is_empty());
        let mut later = alert("ada", "warning", 1);
        assert!(incidents.raise(&mut later, 9, 800_000) && later.incident != first.incident);
    }

    #[test]
    fn what_gets_worse_is_told_at_once() {
        let mut incidents = Incidents::new(60_000);
        incidents.raise(&mut alert("ada", "warning", 1), 1, 0);
        incidents.due(0);
        assert!(!incidents.raise(&mut alert("ada", "warning", 1), 2, 1));
        assert!(incidents.due(1).is_empty());
        assert!(incidents.raise(&mut alert("ada", "critical", 1), 3, 2));
        assert_eq!(incidents.due(2)[0].severity, "critical");
        assert!(!incidents.raise(&mut alert("ada", "warning", 1), 4, 3), "and not again");
        assert!(incidents.raise(&mut alert("bob", "warning", 2), 5, 3), "another user is another incident");
        let of = |end_user: &str, by_end_user| {
            let mut alert = alert("pool", "warning", 3);
            let who = Who { end_user: Some(end_user.into()), ..Who::clone(&alert.who) };
            (alert.who, alert.by_end_user) = (Arc::new(who), by_end_user);
            alert
        };
        for (number, (end_user, by_end_user, fresh)) in
            [("ada", true, true), ("bob", true, true), ("ada", false, true), ("bob", false, false)]
                .into_iter()
                .enumerate()
        {
            let raised = incidents.raise(&mut of(end_user, by_end_user), 10 + number as u128, 4);
            incidents.due(4);
            assert_eq!(raised, fresh, "{end_user} {by_end_user}");
        }
    }

    #[test]
    fn are_bounded_however_many_users_there_are() {
        let mut incidents = Incidents::new(60_000);
        for index in 0..10_000_u128 {
            incidents.raise(&mut alert(&format!("u{index}"), "warning", 1), index, 0);
        }
        assert_eq!(incidents.len(), Incidents::OPEN_MAX + 1);
        let told = incidents.due(0);
        assert_eq!(told.iter().map(|notice| notice.count).sum::<u64>(), 10_000, "none is lost");
    }
}
