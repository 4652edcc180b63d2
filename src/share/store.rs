//! The two buckets of a key-value store: made where they are missing, listened to, and written.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::link::{Link, Message, PATIENCE, Said, words};
use super::{Fellows, Put, Shelf};

/// How long an entry lies there: as long as anything may be held, and as long as a window may be.
const HELD_DAYS: u64 = 31;
const COUNTED_DAYS: u64 = 2;
const DAY_NS: u64 = 86_400_000_000_000;
/// Room for all entries of a bucket.
const HELD_BYTES_MAX: u64 = 64 << 20;
const COUNTED_BYTES_MAX: u64 = 256 << 20;
/// The longest entry that the store takes.
const VALUE_BYTES_MAX: usize = crate::watch::ENTRY_MAX;
/// The server says that it is there where it has nothing else to say; after three times this it is not.
const LIFE: Duration = Duration::from_secs(1);
/// Subscriptions: to answers, and to the buckets in their order.
const ANSWERS: u64 = 1;
const FIRST: u64 = 2;

/// One bucket.
struct Bucket {
    shelf: Shelf,
    name: String,
    /// Of the subjects of its keys.
    prefix: String,
    /// Messages of it so far.
    heard: u64,
    /// How many lay there when it was asked. None: not known yet.
    lay: Option<u64>,
    /// All of them have been heard.
    settled: bool,
    life: Instant,
}

/// See the module's text.
pub(super) struct Store {
    link: Link,
    buckets: [Bucket; 2],
}

impl Store {
    /// Finds the buckets, and asks for all that lies there and comes.
    pub fn open(link: Link, name: &str, fellows: &mut impl Fellows) -> Result<Store, String> {
        let bucket = |shelf, name: String| Bucket {
            shelf,
            prefix: format!("$KV.{name}."),
            name,
            heard: 0,
            lay: None,
            settled: false,
            life: Instant::now(),
        };
        let buckets =
            [bucket(Shelf::Held, name.to_owned()), bucket(Shelf::Counted, format!("{name}-counts"))];
        let mut store = Store { link, buckets };
        for index in 0..store.buckets.len() {
            store.find(index, fellows)?;
        }
        for index in 0..store.buckets.len() {
            store.watch(index, fellows)?;
        }
        Ok(store)
    }

    pub fn is_settled(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.settled)
    }

    /// Makes a bucket where it is missing. Whoever wants it otherwise, with replicas, makes it before.
    fn find(&mut self, index: usize, fellows: &mut impl Fellows) -> Result<(), String> {
        let Some(Bucket { shelf, name, prefix, .. }) = self.buckets.get(index) else { return Ok(()) };
        let name = name.clone();
        let (days, bytes) = match shelf {
            Shelf::Held => (HELD_DAYS, HELD_BYTES_MAX),
            Shelf::Counted => (COUNTED_DAYS, COUNTED_BYTES_MAX),
        };
        let config = json!({
            "name": format!("KV_{name}"),
            "description": "what proxies of Sealgate tell one another",
            "subjects": [format!("{prefix}>")],
            "retention": "limits",
            "storage": "file",
            "num_replicas": 1,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_msgs_per_subject": 1,
            "max_bytes": bytes,
            "max_age": days * DAY_NS,
            "max_msg_size": VALUE_BYTES_MAX + 1_024,
            "discard": "new",
            "allow_rollup_hdrs": true,
            "deny_delete": true,
            "allow_direct": true,
        });
        let found = self.ask(&format!("$JS.API.STREAM.INFO.KV_{name}"), b"", fellows)?;
        match fault(&found) {
            None => Ok(()),
            Some((404, _)) => {
                let made = self.ask(
                    &format!("$JS.API.STREAM.CREATE.KV_{name}"),
                    config.to_string().as_bytes(),
                    fellows,
                )?;
                match fault(&made) {
                    None => Ok(()),
                    Some((_, why)) => Err(format!("the bucket {name} cannot be made: {why}")),
                }
            }
            Some((_, why)) => Err(format!("the bucket {name} cannot be had: {why}")),
        }
    }

    /// The last entry of each key, and every one that comes.
    fn watch(&mut self, index: usize, fellows: &mut impl Fellows) -> Result<(), String> {
        let number = FIRST + index as u64;
        let subject = self.link.subject(&number.to_string());
        self.link.subscribe(&subject, number).map_err(|error| error.to_string())?;
        let Some(Bucket { name, prefix, .. }) = self.buckets.get(index) else { return Ok(()) };
        let stream = format!("KV_{name}");
        let life = u64::try_from(LIFE.as_nanos()).unwrap_or(u64::MAX);
        let asked = json!({
            "stream_name": stream,
            "config": {
                "deliver_subject": subject,
                "deliver_policy": "last_per_subject",
                "filter_subject": format!("{prefix}>"),
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "idle_heartbeat": life,
                "num_replicas": 1,
                "mem_storage": true,
            },
        });
        let (api, asked) = (format!("$JS.API.CONSUMER.CREATE.{stream}"), asked.to_string());
        let made = self.ask(&api, asked.as_bytes(), fellows)?;
        if let Some((_, why)) = fault(&made) {
            return Err(format!("{stream} cannot be listened to: {why}"));
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.lay = Some(bucket.heard + made.get("num_pending").and_then(Value::as_u64).unwrap_or(0));
            bucket.settled |= bucket.lay == Some(bucket.heard);
            bucket.life = Instant::now();
        }
        Ok(())
    }

    /// Puts all of these, and waits until they lie there.
    pub fn put(&mut self, puts: &[Put], fellows: &mut impl Fellows) -> Result<(), String> {
        let (mut bytes, mut awaited) = (Vec::new(), HashMap::new());
        for put in puts {
            let prefix =
                self.buckets.iter().find(|bucket| bucket.shelf == put.shelf).map(|bucket| &bucket.prefix);
            let subject = format!("{}{}", prefix.map_or("", String::as_str), put.place);
            let (asked, answer) = self.link.question(&subject, &put.bytes);
            bytes.extend(asked);
            awaited.insert(answer, put);
        }
        self.link.send(&bytes).map_err(|error| error.to_string())?;
        let until = Instant::now() + PATIENCE;
        while !awaited.is_empty() {
            let said = self.link.next(until).map_err(|error| error.to_string())?;
            let Some(said) = said else { return Err("it does not say that it keeps what is put".to_owned()) };
            let Some(answer) = self.take(said, fellows)? else { continue };
            let Some(put) = awaited.remove(&answer.subject) else { continue };
            let told = read(&answer)?;
            if let Some((_, why)) = fault(&told) {
                return Err(format!("it does not keep what is put: {why}"));
            }
            fellows.told(put);
        }
        Ok(())
    }

    /// Hears what comes until then.
    pub fn listen(&mut self, until: Instant, fellows: &mut impl Fellows) -> Result<(), String> {
        while let Some(said) = self.link.next(until).map_err(|error| error.to_string())? {
            self.take(said, fellows)?;
            if Instant::now() >= until {
                break;
            }
        }
        let silent = self.buckets.iter().find(|bucket| bucket.life.elapsed() > LIFE * 3);
        silent
            .map_or(Ok(()), |bucket| Err(format!("nothing is heard of the bucket {} any more", bucket.name)))
    }

    fn ask(&mut self, subject: &str, content: &[u8], fellows: &mut impl Fellows) -> Result<Value, String> {
        let (bytes, expected) = self.link.question(subject, content);
        self.link.send(&bytes).map_err(|error| error.to_string())?;
        let until = Instant::now() + PATIENCE;
        while let Some(said) = self.link.next(until).map_err(|error| error.to_string())? {
            match self.take(said, fellows)? {
                Some(answer) if answer.subject == expected => return read(&answer),
                Some(_) | None => {}
            }
        }
        Err(format!("{subject}: no answer: JetStream does not run there, or the account may not ask"))
    }

    /// An answer, if it is one; everything else is dealt with here.
    fn take(&mut self, said: Said, fellows: &mut impl Fellows) -> Result<Option<Message>, String> {
        match said {
            Said::Ping => self.link.send(b"PONG\r\n").map_err(|error| error.to_string())?,
            Said::Fault(words) => return Err(words),
            Said::Message(message) if message.subscription == ANSWERS => return Ok(Some(message)),
            Said::Message(message) => self.hear(&message, fellows)?,
            Said::Info(_) | Said::Pong | Said::Fine => {}
        }
        Ok(None)
    }

    fn hear(&mut self, message: &Message, fellows: &mut impl Fellows) -> Result<(), String> {
        let index = message.subscription.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok());
        let bucket = index.and_then(|index| self.buckets.get_mut(index));
        let bucket = bucket.ok_or("it sends what nobody asked for")?;
        bucket.life = Instant::now();
        if message.status.is_some() {
            // It comes only where nothing else is to be said.
            bucket.settled |= bucket.lay.is_some();
            return Ok(());
        }
        bucket.heard += 1;
        if number(&message.reply) != Some(bucket.heard) {
            return Err(format!("something of the bucket {} was left out", bucket.name));
        }
        bucket.settled |= bucket.lay.is_some_and(|lay| bucket.heard >= lay);
        let place = message.subject.strip_prefix(&bucket.prefix).ok_or("it sends what nobody asked for")?;
        // What was deleted says nothing: it takes nothing back.
        if !message.content.is_empty() {
            fellows.hear(place, &message.content);
        }
        Ok(())
    }
}

/// The number that a message has among those that were sent to us: `$JS.ACK.`, then the stream, the consumer, how
/// often, which of the stream, which of the consumer, when, how many more; newer servers have two words before.
fn number(reply: &str) -> Option<u64> {
    let parts: Vec<&str> = reply.split('.').take(13).collect();
    let at = match parts.len() {
        9 => 6,
        11.. => 8,
        _ => return None,
    };
    parts.get(at)?.parse().ok()
}

fn read(answer: &Message) -> Result<Value, String> {
    if answer.status == Some(503) {
        return Err("nobody answers: JetStream does not run there, or the account has none".to_owned());
    }
    serde_json::from_slice(&answer.content).map_err(|_| "an answer cannot be read".to_owned())
}

/// The code and the words of what went wrong, if anything did.
fn fault(answer: &Value) -> Option<(u64, String)> {
    let error = answer.get("error")?;
    let why = error.get("description").and_then(Value::as_str).unwrap_or_default();
    Some((error.get("code").and_then(Value::as_u64).unwrap_or(0), words(why.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_number_in_either_form_of_its_reply() {
        assert_eq!(number("$JS.ACK.KV_b.c.1.40.7.1695.3"), Some(7));
        assert_eq!(number("$JS.ACK._.hash.KV_b.c.1.40.7.1695.3"), Some(7));
        assert_eq!(number("$JS.ACK._.hash.KV_b.c.1.40.7.1695.3.tok"), Some(7));
        assert_eq!((number(""), number("$JS.ACK.a"), number("a.b.c.d.e.f.x.h.i")), (None, None, None));
    }
}
