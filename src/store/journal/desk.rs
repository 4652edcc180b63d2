//! Where one thread of sessions hands in its records: all of one turn at once, and answered at once. What
//! comes back is one answer for each hand-over in their order, with the receipts of its intents: how far
//! the record has come, and by what.

use tokio::sync::mpsc;

use super::Refused;
use crate::audit::{Entry, Receipt};

/// Most records of one hand-over.
pub const HANDED_MAX: usize = 256;
/// Hand-overs of one thread that have no answer. Beyond it the next one waits.
const UNANSWERED_MAX: usize = 64;

/// Records of one thread, in order.
pub(super) struct HandOver {
    pub(super) entries: Vec<Entry>,
    /// None: nobody waits for them.
    pub(super) reply: Option<Reply>,
}

/// Where the answer goes. A thread that died answers like one that failed.
pub(super) struct Reply(Option<mpsc::OwnedPermit<Answer>>);

impl Reply {
    pub(super) fn send(mut self, answer: Answer) {
        // Whoever asked may be gone.
        let _ = self.0.take().map(|room| room.send(answer));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let _ = self.0.take().map(|room| room.send(Err(super::closed())));
    }
}

/// The receipts of the intents of one hand-over, in their order, or why there are none.
pub type Answer = Result<Vec<Receipt>, Refused>;

/// One thread's end.
pub struct Desk {
    queue: mpsc::Sender<HandOver>,
    answers_to: mpsc::Sender<Answer>,
}

/// What comes back.
pub struct Answers(mpsc::Receiver<Answer>);

impl Desk {
    pub(super) fn new(queue: mpsc::Sender<HandOver>) -> (Desk, Answers) {
        let (answers_to, answers) = mpsc::channel(UNANSWERED_MAX);
        (Desk { queue, answers_to }, Answers(answers))
    }

    /// Hands records over, waiting for room. `awaited`: an answer comes, and it is written at once. At most
    /// [`HANDED_MAX`] of them.
    ///
    /// # Errors
    /// The journal is closed.
    pub async fn hand_over(&self, entries: Vec<Entry>, awaited: bool) -> Result<(), Refused> {
        // Room for the answer comes first, so that the journal's thread never waits for anybody.
        let reply = match awaited {
            true => {
                Some(Reply(Some(self.answers_to.clone().reserve_owned().await.map_err(|_| super::closed())?)))
            }
            false => None,
        };
        self.queue.send(HandOver { entries, reply }).await.map_err(|_| super::closed())
    }
}

impl Answers {
    /// The next one.
    pub async fn next(&mut self) -> Answer {
        // Its sender is the desk's: each hand-over that is awaited is answered.
        self.0.recv().await.unwrap_or_else(|| Err(super::closed()))
    }
}
