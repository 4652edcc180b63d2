//! `sealgate demo`: a tour of a small shop behind Sealgate, on a throwaway PostgreSQL.
//!
//! Nothing in it is simulated: the server, the keys, the clients and the replica are real,
//! the configuration is read like anybody's, and every claim is checked while it is shown.

mod alarm;
mod border;
mod disk;
mod print;
mod proof;
mod record;
mod sealing;
mod shop;
mod tour;
mod unusual;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::catalog::{Mode, PolicyField};
use print::{Page, row};
use shop::{APPLICATION, DATABASE, Shop};
use tour::Tour;

/// Exit code of a tour that was interrupted before its end, as a shell has it.
const INTERRUPTED: u8 = 130;

/// Runs the verb. `once`: only the tour, and 0 only if every claim held. Without it the
/// shop is served on until Ctrl-C, and then 0 means the same. `port`: where Sealgate
/// listens; None: the usual one or the next that is free.
pub fn demo(once: bool, port: Option<u16>) -> u8 {
    let page = Page::new();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return give_up(&page, &format!("the runtime cannot be started: {error}")),
    };
    runtime.block_on(async {
        let mut end = match End::watch() {
            Ok(end) => end,
            Err(error) => return give_up(&page, &format!("signals cannot be watched: {error}")),
        };
        page.headline("Sealgate demo: a real PostgreSQL, a small shop, and Sealgate before it.");
        let shop = tokio::select! {
            opened = Shop::open(port) => match opened {
                Ok(shop) => shop,
                Err(why) => return give_up(&page, &why),
            },
            () = end.asked() => return if once { INTERRUPTED } else { 0 },
        };
        let mut tour = Tour::new(page);
        let walked = tokio::select! {
            () = walk(&shop, &mut tour) => true,
            () = end.asked() => false,
        };
        let mut code = if once { INTERRUPTED } else { 0 };
        if walked {
            tour.sum_up();
            code = u8::from(!tour.all_held());
            if !once {
                invite(&shop, &tour.page);
                end.asked().await;
            }
        }
        shop.close().await;
        if !(walked && once) {
            farewell(&tour.page);
        }
        code
    })
}

/// All steps, in order; a step that fails does not keep the next from being walked.
async fn walk(shop: &Shop, tour: &mut Tour) {
    introduce(shop, &tour.page);
    tour.step("Sealed on the way in, open on the way out", async |tour: &mut Tour| {
        sealing::seal_and_open(shop, tour).await
    })
    .await;
    tour.step("Ordinary SQL goes on working", async |tour: &mut Tour| {
        sealing::ordinary_sql(shop, tour).await
    })
    .await;
    tour.step("What stands on the server's disk", async |tour: &mut Tour| {
        proof::search_the_disk(shop, tour).await
    })
    .await;
    tour.step("What cannot be handled is refused", async |tour: &mut Tour| proof::refuse(shop, tour).await)
        .await;
    tour.step("Past Sealgate", async |tour: &mut Tour| proof::write_past(shop, tour).await).await;
    tour.step("Every access is on record", async |tour: &mut Tour| record::show(shop, tour).await).await;
    tour.step("Copies stay in their region", async |tour: &mut Tour| {
        border::copy_the_server(shop, tour).await
    })
    .await;
    tour.step("Reading too much is cut", async |tour: &mut Tour| alarm::carry_off(shop, tour).await).await;
    tour.step("Unusual reading is told", async |tour: &mut Tour| unusual::look_around(shop, tour).await)
        .await;
}

fn introduce(shop: &Shop, page: &Page) {
    page.gap();
    page.say(&format!("database       {}, {}", shop.server.address(), shop.server.binaries().version()));
    page.say(&format!("Sealgate       {}, where applications connect", shop.address()));
    page.say(&format!("configuration  {}", shop.folder.path("sealgate.toml").display()));
    page.gap();
    let mut policy = vec![row(&[&"classified column", &"class", &"sealed", &"so that"])];
    for PolicyField { field, .. } in &shop.settings.policy.fields {
        let (seal, why) = match field.domain.as_ref().map(|domain| domain.mode) {
            Some(mode @ Mode::Equality) => (mode.name(), "=, IN, JOIN and UNIQUE go on working"),
            Some(mode @ Mode::Random) => (mode.name(), "equal values cannot be told to be equal"),
            None => ("none", "it stays readable; access is recorded"),
        };
        policy.push(row(&[&field.path(), &field.class, &seal, &why]));
    }
    page.table(&policy);
}

/// The tour is over, the shop stays open.
fn invite(shop: &Shop, page: &Page) {
    let port = shop.address().port();
    page.gap();
    page.say("The shop stays open. Through Sealgate:");
    page.say(&format!(
        "  psql \"postgresql://{APPLICATION}:{}@127.0.0.1:{port}/{DATABASE}\"",
        shop.password()
    ));
    page.say("Past it, at what the database holds:");
    page.say(&format!(
        "  psql \"postgresql://{APPLICATION}:{}@{}/{DATABASE}\"",
        shop.password(),
        shop.server.address()
    ));
    if let Some(admin) = shop.house.admin {
        page.say(&format!("Metrics and health:  http://{admin}/metrics  http://{admin}/health/ready"));
    }
    page.say(&format!("The record:          {}", shop.folder.path("audit").display()));
    page.say("Ctrl-C ends it and removes everything.");
}

fn give_up(page: &Page, why: &str) -> u8 {
    page.gap();
    page.headline("The demo cannot start:");
    page.say(why);
    1
}

fn farewell(page: &Page) {
    page.gap();
    page.say("Ended. The server, its data, the keys and the record are removed.");
}

/// Ctrl-C, SIGTERM, or the end of the terminal.
struct End {
    signals: [Signal; 3],
}

impl End {
    fn watch() -> std::io::Result<End> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(End { signals: [interrupt?, terminate?, hangup?] })
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
