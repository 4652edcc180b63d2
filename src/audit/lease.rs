//! Leases: one durable intent that covers further executions of the same statement in the same
//! session. All of it is reserved before it is used, so that the record may say more than happened
//! and never less.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::journal::Receipt;
use super::level::LeaseTerms;
use super::record::Execution;

/// Ends all leases at once, whoever holds them: at a reload, or when the journal has failed.
#[derive(Clone, Default, Debug)]
pub struct Tenure(Arc<AtomicU64>);

impl Tenure {
    /// No lease that was asked for before covers anything from here on.
    pub fn end_all(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// What a lease that is asked for now rests on.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// One lease, whose intent is durable. Made from its receipt alone.
#[derive(Debug)]
pub struct Lease {
    of: Execution,
    terms: LeaseTerms,
    until_ms: u64,
    tenure: Tenure,
    began: u64,
    /// Reserved so far: 0 <= executions <= terms.executions, 0 <= values <= terms.values.
    executions: Cell<u64>,
    values: Cell<u64>,
    /// Of what has ended.
    rows: Cell<u64>,
    bytes: Cell<u64>,
}

impl Lease {
    /// What the receipt's intent covers beside its own execution, once. None: nothing, or no more.
    /// `asked_ms`, `began`: when it was asked for, and the tenure then.
    #[must_use]
    pub fn of(receipt: &mut Receipt, asked_ms: u64, tenure: &Tenure, began: u64) -> Option<Lease> {
        let terms = receipt.take_lease()?;
        Some(Lease {
            of: receipt.execution(),
            terms,
            until_ms: asked_ms.saturating_add(terms.window_ms),
            tenure: tenure.clone(),
            began,
            executions: Cell::new(0),
            values: Cell::new(0),
            rows: Cell::new(0),
            bytes: Cell::new(0),
        })
    }

    /// The execution whose intent it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.of.number
    }

    /// Until when it covers anything at most.
    #[must_use]
    pub fn until_ms(&self) -> u64 {
        self.until_ms
    }

    /// Does it still cover anything?
    #[must_use]
    pub fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms && self.tenure.now() == self.began
    }

    /// Reserves one execution of its session.
    #[must_use]
    pub fn lend(self: &Rc<Lease>, execution: Execution, now_ms: u64) -> Option<Leased> {
        let used = self.executions.get();
        let left = used < self.terms.executions && self.values.get() < self.terms.values;
        let fits = self.holds(now_ms) && left && execution.session == self.of.session;
        fits.then(|| {
            self.executions.set(used + 1);
            Leased { lease: Rc::clone(self), execution }
        })
    }

    /// One of its executions has ended.
    pub fn note(&self, rows: u64, bytes: u64) {
        self.rows.set(self.rows.get().saturating_add(rows));
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// What was reserved of it, and what came of that: executions, values, rows, bytes.
    #[must_use]
    pub fn used(&self) -> (u64, u64, u64, u64) {
        (self.executions.get(), self.values.get(), self.rows.get(), self.bytes.get())
    }
}

/// Leave for one execution by a lease.
#[derive(Debug)]
pub struct Leased {
    lease: Rc<Lease>,
    execution: Execution,
}

impl Leased {
    /// The lease.
    #[must_use]
    pub fn lease(&self) -> &Rc<Lease> {
        &self.lease
    }

    /// Would it cover so many values more?
    #[must_use]
    pub fn fits(&self, values: u64, now_ms: u64) -> bool {
        let left = self.lease.terms.values.saturating_sub(self.lease.values.get());
        self.lease.holds(now_ms) && values <= left
    }

    /// Reserves them.
    #[must_use]
    pub fn reserve(&self, values: u64, now_ms: u64) -> bool {
        let fits = self.fits(values, now_ms);
        if fits {
            self.lease.values.set(self.lease.values.get() + values);
        }
        fits
    }
}

/// What an execution is covered by.
#[derive(Debug)]
pub enum Cover {
    /// An intent of its own.
    Own(Receipt),
    Leased(Leased),
}

impl Cover {
    /// The execution that it covers, and no other.
    #[must_use]
    pub fn execution(&self) -> Execution {
        match self {
            Cover::Own(receipt) => receipt.execution(),
            Cover::Leased(leased) => leased.execution,
        }
    }

    /// Would it cover so many values more of its execution?
    #[must_use]
    pub fn fits(&self, values: u64, now_ms: u64) -> bool {
        match self {
            Cover::Own(_) => true,
            Cover::Leased(leased) => leased.fits(values, now_ms),
        }
    }

    /// Reserves so many values of this execution. False: they must not be shown under it.
    #[must_use]
    pub fn reserve(&self, execution: Execution, values: u64, now_ms: u64) -> bool {
        self.execution() == execution
            && match self {
                Cover::Own(_) => true,
                Cover::Leased(leased) => leased.reserve(values, now_ms),
            }
    }
}
