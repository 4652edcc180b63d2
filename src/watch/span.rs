//! What was shown in a window of one length, and the rules that ask for it: counted here, and with what other
//! proxies have counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::limit::{Broken, Heard, Judgement, Limit, Measure, Shown};
use super::share::MET_MAX;
use super::subjects::{Met, Subjects, mark};
use super::window::{Claim, Window};
use crate::audit::Attribution;

/// What was shown in a window of one length, and the rules that ask for it.
pub(super) struct Span {
    pub(super) measure: Measure,
    pub(super) window_ms: u64,
    pub(super) count: Count,
    pub(super) elsewhere: Arc<Others>,
    pub(super) rules: Vec<Arc<Rule>>,
}

/// What other proxies have counted, as of the last time that they were heard.
#[derive(Default)]
pub(super) struct Others {
    /// Without data subjects that count here.
    count: AtomicU64,
    /// Marks of the data subjects that they have shown.
    met: ArcSwap<Arc<[u64]>>,
}

#[derive(Clone)]
pub(super) enum Count {
    Sum(Arc<Window>),
    Subjects(Arc<Subjects>),
}

impl Count {
    pub(super) fn now(&self, now_ms: u64) -> u64 {
        match self {
            Count::Sum(window) => window.now(now_ms),
            Count::Subjects(subjects) => subjects.now(now_ms),
        }
    }

    pub(super) fn met(&self, now_ms: u64) -> Vec<(u64, u8)> {
        match self {
            Count::Sum(_) => Vec::new(),
            Count::Subjects(subjects) => subjects.fresh(now_ms, MET_MAX),
        }
    }

    pub(super) fn slots(&self, now_ms: u64) -> (u32, Vec<u32>) {
        match self {
            Count::Sum(window) => window.slots(now_ms),
            Count::Subjects(subjects) => subjects.slots(now_ms),
        }
    }
}

pub(super) struct Rule {
    pub(super) limit: Limit,
    pub(super) name: Arc<str>,
    /// One more than the time of the last alert; 0: none yet.
    alerted_ms: AtomicU64,
}

pub(super) fn parted<'a>(limits: impl Iterator<Item = &'a Limit>) -> (Vec<&'a Limit>, Vec<&'a Limit>) {
    limits.partition(|limit| limit.attribution == Attribution::Known)
}

/// The limits by what they count and the length of their windows, with what was counted before. Subjects
/// come last: of several the first stay counted where a later one is cut.
pub(super) fn spans<'a>(limits: impl Iterator<Item = &'a Limit>, before: &[Span]) -> Vec<Span> {
    let mut limits: Vec<&Limit> = limits.collect();
    limits.sort_by_key(|limit| limit.measure == Measure::Subjects);
    let mut spans: Vec<Span> = Vec::new();
    for limit in &limits {
        let (measure, window_ms) = (limit.measure, limit.window_ms);
        let alike = |span: &Span| span.measure == measure && span.window_ms == window_ms;
        let known = before.iter().find(|span| alike(span));
        let same = known.and_then(|span| span.rules.iter().find(|rule| rule.limit == **limit));
        let rule = same.map_or_else(|| Arc::new(Rule::new(limit)), Arc::clone);
        if let Some(span) = spans.iter_mut().find(|span| alike(span)) {
            span.rules.push(rule);
            continue;
        }
        let most = limits.iter().filter(|other| other.measure == measure && other.window_ms == window_ms);
        let most = most.map(|other| other.most).max().unwrap_or(0);
        let count = known.map(|span| span.count.clone()).filter(|count| count.holds(most));
        let count = count.unwrap_or_else(|| Count::new(measure, window_ms, most));
        let elsewhere = known.map_or_else(Arc::default, |span| span.elsewhere.clone());
        spans.push(Span { measure, window_ms, count, elsewhere, rules: vec![rule] });
    }
    spans
}

impl Count {
    fn new(measure: Measure, window_ms: u64, most: u64) -> Count {
        match measure {
            Measure::Cells | Measure::Rows => Count::Sum(Arc::new(Window::new(window_ms))),
            Measure::Subjects => Count::Subjects(Arc::new(Subjects::new(window_ms, most))),
        }
    }

    /// How many of those whom other proxies tell are known by their marks; beyond, each is somebody else.
    fn heard_max(&self) -> usize {
        match self {
            Count::Sum(_) => 0,
            Count::Subjects(subjects) => subjects.heard_max(),
        }
    }

    /// Is there room for so many?
    fn holds(&self, most: u64) -> bool {
        match self {
            Count::Sum(_) => true,
            Count::Subjects(subjects) => {
                usize::try_from(most).is_ok_and(|most| subjects.size() >= most.saturating_mul(2))
            }
        }
    }
}

/// Claims what is shown in each window in turn; a cut under a later one takes back what was
/// claimed in those before. At most as deep as there are limits. `then`: those that come behind.
pub(super) fn open_under(spans: &[Span], then: &[Span], shown: &Shown<'_>, now_ms: u64) -> Judgement {
    let Some((span, others)) = spans.split_first() else {
        return if then.is_empty() { Judgement::Go } else { open_under(then, &[], shown, now_ms) };
    };
    let claimed = match &span.count {
        Count::Sum(window) => {
            let amount = if span.measure == Measure::Rows { shown.rows } else { shown.cells };
            if amount == 0 { Ok(None) } else { span.claim(window.claim(amount, now_ms)) }
        }
        Count::Subjects(subjects) => span.claim_subjects(subjects, shown, now_ms),
    };
    let claim = match claimed {
        Ok(claim) => claim,
        Err(cut) => return Judgement::Cut(cut),
    };
    match open_under(others, then, shown, now_ms) {
        Judgement::Go => claim
            .and_then(|claim| span.over(claim.total).find(|rule| rule.alerts(now_ms)))
            .map_or(Judgement::Go, |rule| Judgement::Alert(rule.broken())),
        cut @ Judgement::Cut(_) => {
            if let Some(claim) = claim {
                span.take_back(&claim);
            }
            cut
        }
        alert @ Judgement::Alert(_) => alert,
    }
}

impl Span {
    /// By what it counts: the same wherever that is the same.
    pub(super) fn id(&self, attribution: Attribution) -> u64 {
        let measure = match self.measure {
            Measure::Cells => 0,
            Measure::Rows => 1,
            Measure::Subjects => 2,
        };
        let attribution = match attribution {
            Attribution::Known => 0,
            Attribution::Possible => 1,
        };
        measure << 56 | attribution << 48 | self.window_ms & 0xffff_ffff_ffff
    }

    /// Takes what other proxies have counted. A data subject whom this one has shown too counts once.
    pub(super) fn take(&self, heard: Option<&Heard>, now_ms: u64) {
        let Some(heard) = heard else {
            self.elsewhere.count.store(0, Ordering::SeqCst);
            self.elsewhere.met.store(Arc::default());
            return;
        };
        let most = self.count.heard_max();
        let (kept, beyond) = heard.met.split_at(heard.met.len().min(most));
        let met = if beyond.is_empty() { heard.met.clone() } else { kept.into() };
        self.elsewhere.met.store(Arc::new(met));
        let here: HashSet<u64> = self.count.met(now_ms).into_iter().map(|(mark, _)| mark).collect();
        let others = kept.iter().filter(|mark| !here.contains(mark)).count();
        let others = u64::try_from(others + beyond.len()).unwrap_or(u64::MAX);
        self.elsewhere.count.store(heard.count.saturating_add(others), Ordering::SeqCst);
    }

    /// A data subject counts here from now on. Where others have shown it, it counts for them no longer: true.
    fn moves(&self, subject: u64) -> bool {
        let met = self.elsewhere.met.load();
        let known = met.binary_search(&mark(subject)).is_ok();
        let less = |count: u64| count.checked_sub(1);
        known && self.elsewhere.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    /// With what other proxies have counted.
    pub(super) fn total(&self, here: u64) -> u64 {
        here.saturating_add(self.elsewhere.count.load(Ordering::Relaxed))
    }

    fn over(&self, total: u64) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().filter(move |rule| total > rule.limit.most)
    }

    fn take_back(&self, claim: &Claim) {
        match &self.count {
            Count::Sum(window) => window.take_back(claim),
            Count::Subjects(subjects) => subjects.take_back(claim),
        }
    }

    /// What was claimed, unless that is to be cut: by which rule.
    fn claim(&self, mut claim: Claim) -> Result<Option<Claim>, Broken> {
        claim.total = self.total(claim.total);
        match self.over(claim.total).find(|rule| rule.limit.action.cuts()) {
            None => Ok(Some(claim)),
            Some(rule) => {
                self.take_back(&claim);
                Err(rule.broken())
            }
        }
    }

    /// One after the other; the claim of those who are not known, or else of the last who is new.
    fn claim_subjects(
        &self,
        subjects: &Subjects,
        shown: &Shown<'_>,
        now_ms: u64,
    ) -> Result<Option<Claim>, Broken> {
        let mut last = None;
        for subject in shown.subjects {
            if let Met::New(claim) = subjects.meet(*subject, now_ms) {
                let moved = self.moves(*subject);
                let claim = self.claim(claim).inspect_err(|_| {
                    self.elsewhere.count.fetch_add(u64::from(moved), Ordering::SeqCst);
                })?;
                if let Some(claim) = &claim {
                    subjects.keep(*subject, claim);
                }
                // It stays counted: it has its place.
                last = claim.map(|claim| Claim::told(claim.total));
            }
        }
        if shown.unknown > 0 {
            last = self.claim(subjects.claim_unknown(shown.unknown, now_ms))?;
        }
        Ok(last)
    }
}

impl Rule {
    fn new(limit: &Limit) -> Rule {
        Rule { limit: limit.clone(), name: limit.rule(), alerted_ms: AtomicU64::new(0) }
    }

    fn broken(&self) -> Broken {
        Broken { rule: self.name.clone(), action: self.limit.action, by: self.limit.by }
    }

    /// Once per window.
    fn alerts(&self, now_ms: u64) -> bool {
        let last = self.alerted_ms.load(Ordering::SeqCst);
        let due = last == 0 || now_ms.saturating_add(1).saturating_sub(last) >= self.limit.window_ms;
        let mark = now_ms.saturating_add(1);
        due && self.alerted_ms.compare_exchange(last, mark, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
