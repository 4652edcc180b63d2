//! What stands on the server's disk, what is refused, and who writes past Sealgate.

use super::disk::{Search, search};
use super::sealing::secrets;
use super::shop::{APPLICATION, Shop};
use super::tour::{Tour, Walked, explain, rows, sqlstate};

/// A value of a column that nobody classified: what a search must be able to find.
pub const CONTROL: &str = "Modena";

/// Searches all that the server has written for every value that went in.
pub async fn search_the_disk(shop: &Shop, tour: &mut Tour) -> Walked {
    let direct = shop.direct().await?;
    rows(&direct, "CHECKPOINT").await.map_err(|error| explain(&error))?;
    let values: Vec<&'static str> = secrets().into_iter().chain([CONTROL]).collect();
    let found = look(shop.server.folder().to_owned(), values).await?;
    tour.page.say(&format!(
        "After a CHECKPOINT: {} files, {} MB: tables, WAL, and the log of every statement the\n\
         server received (log_statement = all).",
        found.files,
        found.bytes >> 20
    ));
    tour.page.gap();
    let Found { secrets, control } = split(&found);
    let count = self::secrets().len();
    tour.claim(
        secrets.is_empty(),
        &format!("none of the {count} emails and IBANs of this tour stands in any of them"),
        found.told(),
        "nothing",
    );
    let everywhere = ["the WAL", "the log", "the tables"].map(str::to_owned).to_vec();
    let claim =
        format!("the search works: {CONTROL}, of the unclassified column city, is found in all three");
    tour.same(&claim, &control, &everywhere);
    Ok(())
}

/// The outcome of a search, told apart.
pub struct Found {
    pub secrets: Vec<String>,
    /// The kinds of files in which the control value stands.
    pub control: Vec<String>,
}

pub fn split(found: &Search) -> Found {
    Found {
        secrets: found.found.keys().filter(|value| *value != CONTROL).cloned().collect(),
        control: found.kinds_with(CONTROL).iter().map(ToString::to_string).collect(),
    }
}

/// Searches on a thread of its own.
pub async fn look(folder: std::path::PathBuf, values: Vec<&'static str>) -> Result<Search, String> {
    let searched = tokio::task::spawn_blocking(move || search(&folder, &values)).await;
    searched.unwrap_or_else(|_| Err("the search ended early".to_owned()))
}

/// What cannot be proven handled is refused, with words; the session goes on.
pub async fn refuse(shop: &Shop, tour: &mut Tour) -> Walked {
    let app = shop.connect(APPLICATION, "reports").await?;
    for sql in ["SELECT lower(email) FROM customers", "SELECT email FROM customers ORDER BY email"] {
        tour.page.say(&format!("{APPLICATION}> {sql}"));
        match rows(&app, sql).await {
            Err(error) => {
                tour.page.quote(&explain(&error));
                tour.same("refused, with a reason and a remedy", &sqlstate(&error), &"SG001".to_owned());
            }
            Ok(rows) => tour.claim(false, "refused", format!("{} rows", rows.len()), "SG001"),
        }
    }
    let sql = "SELECT count(*) FROM customers";
    tour.page.say(&format!("{APPLICATION}> {sql}"));
    let count = rows(&app, sql).await.map_err(|error| explain(&error))?;
    tour.same("the same session goes on", &count, &vec![vec!["4".to_owned()]]);
    let log = std::fs::read_to_string(shop.server.log_file()).map_err(|error| error.to_string())?;
    let stand_in = log.lines().rfind(|line| line.contains("sealgate refused")).unwrap_or_default();
    tour.claim(
        !stand_in.is_empty() && !log.contains("lower(email)"),
        "the server received a stand-in that cannot be parsed, so order and transactions are its own",
        if stand_in.is_empty() { "no stand-in in the server's log" } else { "the statement itself" },
        "sealgate refused <random>",
    );
    Ok(())
}

/// Whoever writes past Sealgate meets the guard on the column.
pub async fn write_past(shop: &Shop, tour: &mut Tour) -> Walked {
    let direct = shop.direct().await?;
    let sql = "INSERT INTO customers (name, email) VALUES ('Eve', 'eve@elsewhere.example')";
    tour.page.say(&format!("postgres, past Sealgate> {sql}"));
    match rows(&direct, sql).await {
        Err(error) => {
            let first = explain(&error);
            tour.page.quote(first.lines().next().unwrap_or_default());
            let claim = "the CHECK on the column lets nothing in that is not sealed for it";
            tour.same(claim, &sqlstate(&error), &"23514".to_owned());
        }
        Ok(_) => tour.claim(false, "plaintext is kept out", "a row went in", "23514"),
    }
    tour.page.say("What such a writer sends still stands in the server's log, as with any rejected row.");
    Ok(())
}
