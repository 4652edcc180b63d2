//! What a session waits for that neither of its peers brings: the catalog, other sessions, and
//! whoever judges long texts.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant as Deadline;

use super::flow::Flow;
use super::unread::unread;
use crate::pipeline::{Barred, Need, View};
use crate::policy::Refusal;
use crate::store::catalog::{Changers, LoadError};

/// How long a statement waits for a definition that another session has begun on a table that
/// it uses, and how often it is looked whether that has ended.
const DEFINITION_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long a definition that gives a new name to what is classified waits for what others have under way:
/// meanwhile they send nothing that may use it.
const OTHERS_WAIT: Duration = Duration::from_secs(1);

/// How long a statement waits for a definition of another session that goes through here.
const PASSAGE_WAIT: Duration = Duration::from_secs(60);

impl Flow<'_> {
    /// Brings what the request waits for; false where it waits for a peer or a record.
    pub(super) async fn meet(&mut self) -> Result<bool, Refusal> {
        match self.request.need {
            Need::Input | Need::Settle | Need::Durable | Need::Catalog => return Ok(false),
            Need::Fence => {
                self.raise_fence(self.session.bars());
                self.wait_for_others().await;
            }
            Need::Passage => self.wait_for_passage().await,
            Need::Judgement => self.judge().await?,
            Need::Confirmation => self.confirm().await?,
        }
        Ok(true)
    }

    /// Takes a newer catalog where one is there; one that could not be confirmed for too
    /// long must be read again.
    pub(super) async fn renew(&mut self) -> Result<(), Refusal> {
        let Some(catalogs) = self.gate.catalogs.as_ref().filter(|_| self.stay.is_some()) else {
            return Ok(());
        };
        let held = || catalogs.held(&self.session.who().database);
        let Some(epoch) = self.session.epoch() else {
            // Where nothing is classified nothing must show up that is guarded.
            if held().is_none() {
                self.read_catalog().await?;
            }
            return Ok(());
        };
        match held() {
            Some(snapshot) if snapshot.epoch() == epoch => Ok(()),
            Some(snapshot) => {
                self.session.renew(self.worker.view(snapshot));
                Ok(())
            }
            None => self.reload().await,
        }
    }

    /// Reads the catalog again, after this session changed it.
    pub(super) async fn reload(&mut self) -> Result<(), Refusal> {
        if let Some(view) = self.read_catalog().await? {
            self.session.renew(view);
        }
        Ok(())
    }

    /// The same after the policy has changed.
    pub(super) async fn reload_policy(&mut self) -> Result<(), Refusal> {
        if let Some(view) = self.read_catalog().await? {
            self.session.renew_policy(view);
        }
        Ok(())
    }

    /// Makes certain, as far as anybody can from outside, that the catalog is as the session
    /// knows it and that nobody is changing the tables that matter: by the catalog's watermark
    /// and the locks that a definition takes. Waits for those who are, for a while.
    async fn confirm(&mut self) -> Result<(), Refusal> {
        let (Some(epoch), Some(catalogs)) = (self.session.epoch(), &self.gate.catalogs) else {
            return Ok(());
        };
        let who = self.session.who();
        let until = Deadline::now() + DEFINITION_WAIT;
        let unread = |error: LoadError| unread(&who.database, &error);
        let holds = loop {
            let whole = self.session.rests_on_relations();
            let confirmed = match catalogs.confirm(&who.database, whole).await {
                Ok(confirmed) => confirmed,
                // It could be its own transaction that holds the lock, and waits for this.
                Err(error) if error.is_locked() => {
                    self.session.confirm(false);
                    return Ok(());
                }
                Err(error) => return Err(unread(error)),
            };
            let Changers { of_policy, any } = confirmed.changed_by;
            // What its own transaction has changed, by whatever code, nobody else can see.
            let changing = if whole { &any } else { &of_policy };
            let own = changing.iter().any(|process| Some(*process) == self.process);
            let own = own || whole && self.process.is_none();
            if of_policy.is_empty() && !own {
                break confirmed.snapshot;
            }
            if own || Deadline::now() >= until {
                self.session.confirm(false);
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        if holds.epoch() == epoch {
            self.session.confirm(true);
        } else if self.session.is_settled() {
            // Judged again by it, and confirmed again.
            self.session.renew(self.worker.view(holds));
        } else {
            self.session.confirm(false);
        }
        Ok(())
    }

    /// Before a new name comes to be for what is classified: nothing that others have under way may use it, since
    /// that was judged when the name meant nothing. From here on they send nothing that may; what takes longer
    /// is no reason to keep them waiting.
    async fn wait_for_others(&mut self) {
        let (gate, who) = (self.gate, self.session.who().clone());
        let names = self.session.naming_anew().to_vec();
        let until = *self.rest.others.get_or_insert_with(|| Deadline::now() + OTHERS_WAIT);
        let still = || !names.is_empty() && gate.roster.may_name(who.session, &who.database, &names);
        while still() {
            tokio::select! {
                () = gate.fences.ended(&still) => {}
                () = poll_fn(|context| if self.poll_moves(context) { Poll::Ready(()) } else { Poll::Pending }) => return,
                () = tokio::time::sleep_until(until) => {
                    self.rest.others = None;
                    self.session.withdraw();
                    let barred = self.session.bars();
                    self.fence = None;
                    if barred != Barred::default() {
                        self.raise_fence(barred);
                    }
                    return;
                }
            }
        }
        self.rest.others = None;
        self.session.announce();
    }

    /// Waits for those who are changing a table; then the catalog that has the change is there.
    async fn wait_for_passage(&mut self) {
        let (gate, who) = (self.gate, self.session.who().clone());
        let until = *self.rest.passage.get_or_insert_with(|| Deadline::now() + PASSAGE_WAIT);
        let first = gate.fences.before(who.session, &who.database);
        // What is left may be nothing that it waits for: that is looked at again.
        let still = || first.is_some() && gate.fences.before(who.session, &who.database) == first;
        // Answers to what it has asked before go on meanwhile.
        while still() {
            tokio::select! {
                () = gate.fences.ended(&still) => {}
                () = poll_fn(|context| if self.poll_moves(context) { Poll::Ready(()) } else { Poll::Pending }) => return,
                () = tokio::time::sleep_until(until) => {
                    self.session.deny();
                    self.rest.passage = None;
                    return;
                }
            }
        }
        self.rest.passage = None;
        let held = gate.catalogs.as_ref().and_then(|catalogs| catalogs.held(&who.database));
        if let Some(snapshot) = held.filter(|_| self.session.is_settled()) {
            self.session.renew(self.worker.view(snapshot));
        }
    }

    /// Has a long text judged, away from this thread.
    async fn judge(&mut self) -> Result<(), Refusal> {
        let Some(errand) = self.session.take_errand() else { return Ok(()) };
        let user = self.session.who().user.clone();
        match self.gate.judges.judge(&user, errand).await {
            Some(finding) => {
                self.session.take_finding(finding);
                Ok(())
            }
            None => Err(Refusal::unhandled(
                "unparsed",
                "The statement could not be judged.",
                "Send it as several smaller statements.",
            )),
        }
    }

    async fn read_catalog(&self) -> Result<Option<Arc<View>>, Refusal> {
        let Some(catalogs) = &self.gate.catalogs else { return Ok(None) };
        let database = self.session.who().database.clone();
        match catalogs.reload(&database).await {
            Ok(snapshot) => Ok(Some(self.worker.view(snapshot))),
            Err(error) => Err(unread(&database, &error)),
        }
    }
}
