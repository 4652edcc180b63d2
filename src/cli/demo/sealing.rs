//! Sealed on the way in, open on the way out, and ordinary SQL in between.

use super::print::{row, shorten};
use super::shop::{APPLICATION, CUSTOMERS, Shop};
use super::tour::{Tour, Walked, explain, rows, sqlstate};

/// The name under which this part of the tour stands in the record.
pub const APPLICATION_NAME: &str = "checkout";

/// Dario's address from the update on.
const MOVED: &str = "dario@new.example";

const INSERT: &str = "INSERT INTO customers (name, email, iban, city) VALUES ($1, $2, $3, $4)";
const SELECT: &str = "SELECT id, email, iban FROM customers ORDER BY id";

/// A statement, what it shows, and what it answers.
struct Case {
    sql: &'static str,
    claim: &'static str,
    /// Of the record.
    action: &'static str,
    answer: &'static [&'static [&'static str]],
}

const CASES: [Case; 5] = [
    Case {
        sql: "SELECT name FROM customers WHERE email = 'bela@shop.example'",
        claim: "found by equality",
        action: "read",
        answer: &[&["Bela Nagy"]],
    },
    Case {
        sql: "INSERT INTO orders (customer, item)\n  SELECT id, 'lamp' FROM customers WHERE email = 'ada@shop.example'",
        claim: "an order by email",
        action: "search",
        answer: &[],
    },
    Case {
        sql: "SELECT c.email, o.item FROM customers c JOIN orders o ON o.customer = c.id",
        claim: "a join",
        action: "read",
        answer: &[&["ada@shop.example", "lamp"]],
    },
    Case {
        sql: "UPDATE customers SET email = 'dario@new.example'\n  WHERE email = 'dario@shop.example' RETURNING email",
        claim: "an update",
        action: "write",
        answer: &[&[MOVED]],
    },
    Case {
        sql: "SELECT count(*) FROM customers WHERE email IN ('ada@shop.example', 'dario@new.example')",
        claim: "a list of values",
        action: "search",
        answer: &[&["2"]],
    },
];

/// Every value that must never reach the server as it is.
pub fn secrets() -> Vec<&'static str> {
    CUSTOMERS.iter().flat_map(|customer| [customer.email, customer.iban]).chain([MOVED]).collect()
}

/// What the record must say of this part of the tour, in order.
pub fn actions() -> Vec<&'static str> {
    let first = CUSTOMERS.iter().map(|_| "write").chain(["read"]);
    // The last: what the server said of the duplicate, which may quote what is legible.
    first.chain(CASES.iter().map(|case| case.action)).chain(["read", "write", "read"]).collect()
}

/// Customers go in by parameters and by literals; the same rows are read on both sides.
pub async fn seal_and_open(shop: &Shop, tour: &mut Tour) -> Walked {
    let app = shop.connect(APPLICATION, APPLICATION_NAME).await?;
    let direct = shop.direct().await?;
    let [literal, parameters @ ..] = &CUSTOMERS;
    let text = format!(
        "INSERT INTO customers (name, email, iban, city)\n  VALUES ('{}', '{}', '{}', '{}')",
        literal.name, literal.email, literal.iban, literal.city
    );
    tour.page.say(&format!("{APPLICATION}> {text}"));
    rows(&app, &text).await.map_err(|error| explain(&error))?;
    tour.page.say(&format!("{APPLICATION}> {INSERT}   -- {} times", parameters.len()));
    for customer in parameters {
        app.execute(INSERT, &[&customer.name, &customer.email, &customer.iban, &customer.city])
            .await
            .map_err(|error| explain(&error))?;
    }
    tour.page.say(&format!("{APPLICATION}> {SELECT}"));
    tour.page.gap();
    let seen = rows(&app, SELECT).await.map_err(|error| explain(&error))?;
    let held = rows(&direct, SELECT).await.map_err(|error| explain(&error))?;
    side_by_side(tour, &seen, &held);
    let sent: Vec<Vec<String>> =
        (1..).zip(&CUSTOMERS).map(|(id, customer)| row(&[&id, &customer.email, &customer.iban])).collect();
    tour.same("the application reads back what it wrote", &seen, &sent);
    let sealed = held.len() == CUSTOMERS.len()
        && held.iter().all(|row| row.iter().skip(1).all(|value| value.starts_with("SEAL")));
    tour.claim(
        sealed,
        "the database holds sealed values alone",
        format!("{held:?}"),
        format!("{} rows of values that begin with SEAL", CUSTOMERS.len()),
    );
    Ok(())
}

fn side_by_side(tour: &Tour, seen: &[Vec<String>], held: &[Vec<String>]) {
    let cell = |row: &[String], column: usize| row.get(column).map_or("", String::as_str).to_owned();
    let mut table = vec![
        row(&[&"", &"the application sees", &"", &"the database holds", &""]),
        row(&[&"id", &"email", &"iban", &"email", &"iban"]),
    ];
    for (seen, held) in seen.iter().zip(held) {
        table.push(vec![
            cell(seen, 0),
            cell(seen, 1),
            cell(seen, 2),
            shorten(&cell(held, 1), 20),
            shorten(&cell(held, 2), 20),
        ]);
    }
    tour.page.table(&table);
    tour.page.gap();
}

/// What sealed values must not break: the ordinary statements of an application.
pub async fn ordinary_sql(shop: &Shop, tour: &mut Tour) -> Walked {
    let app = shop.connect(APPLICATION, APPLICATION_NAME).await?;
    for case in &CASES {
        tour.page.say(&format!("{APPLICATION}> {}", case.sql));
        let answer = rows(&app, case.sql).await.map_err(|error| explain(&error))?;
        let told = answer.iter().map(|row| row.join(", ")).collect::<Vec<_>>().join("; ");
        let claim = if told.is_empty() { case.claim.to_owned() } else { format!("{}: {told}", case.claim) };
        tour.same(
            &claim,
            &answer,
            &case.answer.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect(),
        );
    }
    let sql = "SELECT name FROM customers WHERE email = $1";
    tour.page.say(&format!("{APPLICATION}> {sql}   -- $1: {MOVED}"));
    let found = app.query(sql, &[&MOVED]).await.map_err(|error| explain(&error))?;
    let names: Vec<&str> = found.iter().filter_map(|row| row.try_get(0).ok()).collect();
    tour.same(&format!("a parameter: {}", names.join("; ")), &names, &vec!["Dario Conti"]);
    unique(&app, tour).await;
    Ok(())
}

/// UNIQUE is the server's own, over sealed values.
async fn unique(app: &tokio_postgres::Client, tour: &mut Tour) {
    let sql = "INSERT INTO customers (name, email) VALUES ('Adam Novak', 'ada@shop.example')";
    tour.page.say(&format!("{APPLICATION}> {sql}"));
    match rows(app, sql).await {
        Err(error) => {
            tour.page.quote(&explain(&error));
            tour.same(
                "a second Ada is refused by the server's own UNIQUE",
                &sqlstate(&error),
                &"23505".to_owned(),
            );
        }
        Ok(_) => tour.claim(false, "a second Ada is refused", "a row went in", "23505"),
    }
}
