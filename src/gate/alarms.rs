//! Wakes sessions of one thread at a time that they have named, without a timer of each: a session sleeps many times
//! before its lease ends, and to set a timer for each sleep costs more than the sleep.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Times this close to one another are one.
const GRAIN: Duration = Duration::from_millis(5);

/// See the module's text.
#[derive(Default)]
pub struct Alarms {
    /// At most one for each lease of a session, and those that it has forgotten since.
    set: RefCell<BinaryHeap<Reverse<Alarm>>>,
    /// When the first of them is waited for.
    next: Cell<Option<Instant>>,
    earlier: Notify,
}

struct Alarm {
    at: Instant,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Alarm) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Alarm) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Alarm) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Alarms {
    /// Not before this time, and soon after it.
    pub fn wake_at(&self, at: Instant, waker: Waker) {
        self.set.borrow_mut().push(Reverse(Alarm { at, waker }));
        if self.next.get().is_none_or(|next| at + GRAIN < next) {
            self.earlier.notify_one();
        }
    }

    /// Wakes whoever asks for it, until it is dropped.
    pub async fn serve(&self) {
        loop {
            let first = self.set.borrow().peek().map(|Reverse(alarm)| alarm.at + GRAIN);
            self.next.set(first);
            match first {
                None => self.earlier.notified().await,
                Some(first) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(first.into()) => self.ring(Instant::now()),
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }

    fn ring(&self, now: Instant) {
        let mut set = self.set.borrow_mut();
        while set.peek().is_some_and(|Reverse(alarm)| alarm.at <= now) {
            if let Some(Reverse(alarm)) = set.pop() {
                alarm.waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn whoever_asks_is_woken_once_when_its_time_has_come_and_not_before() {
        let alarms = Alarms::default();
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        let began = Instant::now();
        for (count, ms) in counts.iter().zip([50, 10, 52]) {
            alarms.wake_at(began + Duration::from_millis(ms), Arc::clone(count).into());
        }
        let woken = || counts.iter().map(|count| count.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
        alarms.ring(began + Duration::from_millis(9));
        assert_eq!(woken(), [0, 0, 0]);
        alarms.ring(began + Duration::from_millis(10));
        assert_eq!(woken(), [0, 1, 0]);
        alarms.ring(began + Duration::from_millis(60));
        assert_eq!(woken(), [1, 1, 1]);
        alarms.ring(began + Duration::from_millis(90));
        assert_eq!(woken(), [1, 1, 1]);
        // One that comes while a later one is waited for is not late.
        let late: Arc<Count> = Arc::new(Count(AtomicUsize::new(0)));
        alarms.wake_at(Instant::now() + Duration::from_secs(3_600), Arc::clone(&late).into());
        let soon: Arc<Count> = Arc::new(Count(AtomicUsize::new(0)));
        let asks = async {
            tokio::task::yield_now().await;
            alarms.wake_at(Instant::now(), Arc::clone(&soon).into());
            while soon.0.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = alarms.serve() => {}
            () = asks => {}
        }
        assert_eq!((soon.0.load(Ordering::SeqCst), late.0.load(Ordering::SeqCst)), (1, 0));
    }
}
