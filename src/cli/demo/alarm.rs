//! The watch: an intern who reads more than interns read is cut off, and it shows.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::record::{await_records, is, member};
use super::shop::{APPLICATION, CUSTOMERS, INTERN, INTERN_CELLS, Shop};
use super::tour::{Tour, Walked, explain, rows, sqlstate};

/// Customers added so that there is something to carry off.
const CROWD: u64 = 40;
const APPLICATION_NAME: &str = "export";
/// Longest answer of the admin address that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// One row is shown, all rows are not.
pub async fn carry_off(shop: &Shop, tour: &mut Tour) -> Walked {
    tour.page
        .say(&format!("{INTERN} may be shown {INTERN_CELLS} personal values a minute, over all sessions."));
    crowd(shop, tour).await?;
    let intern = shop.connect(INTERN, APPLICATION_NAME).await?;
    let one = "SELECT email, iban FROM customers WHERE email = 'ada@shop.example'";
    tour.page.say(&format!("{INTERN}> {one}"));
    let shown = rows(&intern, one).await.map_err(|error| explain(&error))?;
    tour.same("a single customer is shown", &shown.len(), &1);
    let all = "SELECT email, iban FROM customers";
    tour.page.say(&format!("{INTERN}> {all}"));
    match rows(&intern, all).await {
        Err(error) => {
            tour.page.quote(&explain(&error));
            tour.same("all of them are not: the session is cut", &sqlstate(&error), &"SG007".to_owned());
        }
        Ok(rows) => tour.claim(false, "all of them are not", format!("{} rows", rows.len()), "SG007"),
    }
    let after = rows(&intern, "SELECT 1").await.is_err();
    tour.claim(after, "nothing more is answered in it", "an answer", "a closed connection");
    trace(shop, tour).await
}

async fn crowd(shop: &Shop, tour: &Tour) -> Walked {
    let app = shop.connect(APPLICATION, "import").await?;
    let sql = "INSERT INTO customers (name, email, iban) VALUES ($1, $2, $3)";
    tour.page.say(&format!("{APPLICATION}> {sql}   -- {CROWD} times"));
    let insert = app.prepare(sql).await.map_err(|error| explain(&error))?;
    for number in 1..=CROWD {
        let (name, email) = (format!("Guest {number}"), format!("guest{number}@shop.example"));
        let iban = format!("NO00860111{number:05}");
        app.execute(&insert, &[&name, &email, &iban]).await.map_err(|error| explain(&error))?;
    }
    Ok(())
}

/// The alert stands in the record, in the metrics and in the log.
async fn trace(shop: &Shop, tour: &mut Tour) -> Walked {
    let (records, alert) = await_records(shop, "the alert and the outcome of what was cut", |records| {
        let cut = |record: &&Value| is(record, "outcome", APPLICATION_NAME) && record["sqlstate"] == "SG007";
        records.iter().find(cut)?;
        records.iter().find(|record| is(record, "alert", APPLICATION_NAME)).cloned()
    })
    .await?;
    let written = ["user", "verdict", "rule"].map(|name| member(&alert, name)).join(", ");
    tour.same(
        &format!("on record: {written}"),
        &written,
        &format!("{INTERN}, cut, limit (critical): watch.limit: {INTERN_CELLS} cells in 60 s"),
    );
    let outcomes = records.iter().filter(|record| is(record, "outcome", APPLICATION_NAME));
    let cells: u64 = outcomes.filter_map(|outcome| outcome["cells"].as_u64()).sum();
    let claim =
        format!("until the cut {cells} values were shown, of {}", 2 * (CROWD + CUSTOMERS.len() as u64));
    tour.same(&claim, &cells, &INTERN_CELLS);
    let metrics = metrics(shop).await?;
    let counter = metrics
        .lines()
        .find(|line| line.starts_with("sealgate_alerts_total{detector=\"limit\",severity=\"critical\"}"))
        .unwrap_or_default();
    let counted = counter.rsplit(' ').next().unwrap_or_default();
    tour.same(&format!("in the metrics: {counter}"), &counted, &"1");
    let log = std::fs::read_to_string(shop.folder.path("gate.log")).map_err(|error| error.to_string())?;
    let warning = |line: &'_ str| line.find("WARN").filter(|_| line.contains("alert"));
    let line = log.lines().find_map(|line| line.get(warning(line)?..)).unwrap_or_default();
    tour.claim(!line.is_empty(), &format!("in the log: {line}"), "no such line", "WARN ... alert");
    Ok(())
}

/// What Prometheus would get.
async fn metrics(shop: &Shop) -> Result<String, String> {
    let admin = shop.house.admin.ok_or("there is no admin address")?;
    let named = |error: std::io::Error| format!("http://{admin}/metrics: {error}");
    let mut stream = TcpStream::connect(admin).await.map_err(named)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: demo\r\n\r\n").await.map_err(named)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await.map_err(named)?;
    Ok(answer)
}
