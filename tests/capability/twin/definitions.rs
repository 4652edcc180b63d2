//! Transactions that define, made at random: tables come and go, are renamed, get and lose columns,
//! between savepoints that are rolled back, and are used all the while.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::grammar::{MARK, Statement};

/// Tables by the names that a text gives them: the first three hold sealed columns wherever they are.
const TABLES: [&str; 8] = [
    "customers",
    "clients",
    "public.clients",
    "public.customers",
    "other.customers",
    "misc",
    "public.people",
    "people",
];
const SAVEPOINTS: [&str; 3] = ["a", "b", "\"C d\""];

pub struct Definitions {
    rng: StdRng,
    in_transaction: bool,
    fresh: usize,
}

impl Definitions {
    pub fn new(seed: u64) -> Definitions {
        Definitions { rng: StdRng::seed_from_u64(seed), in_transaction: false, fresh: 0 }
    }

    /// A refused statement, or one that failed, has ended it.
    pub fn rolled_back(&mut self) {
        self.in_transaction = false;
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.rng).unwrap()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// The next statement, or several in one text.
    pub fn statement(&mut self) -> Statement {
        if !self.in_transaction && self.chance(80) {
            self.in_transaction = true;
            let begin = self.pick(&["START TRANSACTION", "BEGIN; SAVEPOINT a", "BEGIN; SAVEPOINT a"]);
            return Statement { sql: begin.to_owned(), values: Vec::new() };
        }
        if self.in_transaction && self.chance(8) {
            self.in_transaction = false;
            let end = self.pick(&["COMMIT", "COMMIT", "ROLLBACK", "END"]);
            return Statement { sql: end.to_owned(), values: Vec::new() };
        }
        if self.in_transaction && self.chance(18) {
            let name = self.pick(&SAVEPOINTS);
            let sql = match self.below(5) {
                0 | 1 => format!("SAVEPOINT {name}"),
                2 => format!("RELEASE {name}"),
                _ => format!("ROLLBACK TO SAVEPOINT {name}"),
            };
            return Statement { sql, values: Vec::new() };
        }
        match self.below(10) {
            0..=3 => Statement { sql: self.definition(), values: Vec::new() },
            4 => {
                let parts = [self.definition(), self.use_of(&mut None), self.definition()];
                let count = 2 + self.below(2);
                Statement { sql: parts[..count].join("; "), values: Vec::new() }
            }
            5 | 6 => {
                let mut values = Some(Vec::new());
                let sql = self.use_of(&mut values);
                Statement { sql, values: values.unwrap_or_default() }
            }
            _ => Statement { sql: self.use_of(&mut None), values: Vec::new() },
        }
    }

    fn definition(&mut self) -> String {
        let table = self.pick(&TABLES);
        let (missing, there) = if self.chance(50) { (" IF NOT EXISTS", " IF EXISTS") } else { ("", "") };
        self.fresh += 1;
        let fresh = self.fresh;
        match self.below(21) {
            19 => format!("DROP VIEW{there} {}", self.pick(&["people", "public.people"])),
            20 => {
                // Where nothing unqualified is, or everything as before.
                let path = self.pick(&["nowhere", "public", "pg_catalog"]);
                format!("SET LOCAL search_path = {path}")
            }
            0..=3 => format!(
                "CREATE TABLE{missing} {table} (id int, email text{}, phone text, city text, note text)",
                self.pick(&["", " UNIQUE", " NOT NULL"])
            ),
            4 => format!("DROP TABLE{there} {table}{}", self.pick(&["", " CASCADE"])),
            5 | 6 => {
                let to = self.pick(&["customers", "clients", "clients", "elsewhere"]);
                format!("ALTER TABLE{there} {table} RENAME TO {to}")
            }
            7 => format!("ALTER TABLE{there} {table} SET SCHEMA {}", self.pick(&["other", "public"])),
            8 | 9 => {
                let column = self.pick(&["extra int", "note text", "email text", "phone text"]);
                format!("ALTER TABLE{there} {table} ADD COLUMN{missing} {column}")
            }
            10 => {
                let column = self.pick(&["extra", "note", "email", "city"]);
                format!("ALTER TABLE{there} {table} DROP COLUMN{there} {column}")
            }
            11 => {
                let to = self.pick(&["note TO remark", "remark TO note", "email TO mail", "mail TO email"]);
                format!("ALTER TABLE {table} RENAME COLUMN {to}")
            }
            12 | 13 => format!("CREATE INDEX ON {table} ({})", self.pick(&["email", "note", "id, email"])),
            14 => format!("ALTER TABLE {table} ADD CONSTRAINT c{fresh} CHECK (id > -1)"),
            15 => format!("CREATE TABLE misc_{fresh} (id serial PRIMARY KEY, email text)"),
            16 => format!("CREATE VIEW view_{fresh} AS SELECT 1 AS one; DROP VIEW view_{fresh}"),
            17 => format!("ALTER TABLE {table} DISABLE TRIGGER USER"),
            _ if self.chance(30) => {
                format!("CREATE FUNCTION fn_{fresh}() RETURNS int LANGUAGE sql AS 'SELECT 1'")
            }
            _ => {
                format!("ALTER TABLE {table} ALTER COLUMN note SET NOT NULL, ALTER COLUMN note DROP NOT NULL")
            }
        }
    }

    /// A value: marked where it is for a column that is sealed under every name the table may have.
    fn value(&mut self, sealed: bool, values: &mut Option<Vec<String>>) -> String {
        let number = self.below(5);
        let value = if sealed { format!("{MARK}-{number}@twin.example") } else { format!("plain {number}") };
        match values {
            Some(values) => {
                values.push(value);
                format!("${}::text", values.len())
            }
            None => format!("'{value}'"),
        }
    }

    fn use_of(&mut self, values: &mut Option<Vec<String>>) -> String {
        let table = self.pick(&TABLES);
        // `customers` without a schema is the one in public: the path has no other.
        let sealed = !matches!(table, "other.customers" | "misc");
        let column = self.pick(&["email", "phone", "email"]);
        let id = self.below(40);
        match self.below(8) {
            0 | 1 => {
                let (mail, phone) = (self.value(sealed, values), self.value(sealed, values));
                format!("INSERT INTO {table} (id, email, phone, note) VALUES ({id}, {mail}, {phone}, 'n')")
            }
            2 => format!(
                "INSERT INTO {table} (id, email) VALUES ({id}, {}) RETURNING *",
                self.value(sealed, values)
            ),
            3 => format!("UPDATE {table} SET {column} = {} WHERE id < {id}", self.value(sealed, values)),
            4 => format!("DELETE FROM {table} WHERE email = {}", self.value(sealed, values)),
            5 => format!("SELECT * FROM {table}"),
            6 => {
                format!("SELECT id, {column}, note FROM {table} WHERE email = {}", self.value(sealed, values))
            }
            _ => format!(
                "SELECT a.id, a.{column}, b.note FROM {table} a JOIN {} b ON a.id = b.id",
                self.pick(&TABLES)
            ),
        }
    }
}
