//! Statements over sealed columns, made at random by a grammar that knows what each expression is.
//!
//! Values of sealed columns bear a mark, and stand only where they meet a sealed column; so the mark
//! must never be seen on the way to the server.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// In every value that is meant for a sealed column, and nowhere else.
pub const MARK: &str = "qz7";

/// One statement, and the values of its parameters.
pub struct Statement {
    pub sql: String,
    pub values: Vec<String>,
}

/// A relation that is visible: its alias and the names of its columns, by what they are.
#[derive(Clone)]
struct Seen {
    alias: String,
    mail: &'static str,
    phone: Option<&'static str>,
    text: Option<&'static str>,
    city: Option<&'static str>,
    number: &'static str,
}

pub struct Grammar {
    rng: StdRng,
    major: u32,
    /// Columns that are not classified stand among the sealed ones too.
    hostile: bool,
    parameters: bool,
    values: Vec<String>,
    aliases: usize,
    fresh: usize,
    with: Vec<String>,
}

impl Grammar {
    pub fn new(seed: u64, major: u32, hostile: bool) -> Grammar {
        Grammar {
            rng: StdRng::seed_from_u64(seed),
            major,
            hostile,
            parameters: false,
            values: Vec::new(),
            aliases: 0,
            fresh: 1_000,
            with: Vec::new(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.rng).unwrap()
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    // ---- values ---------------------------------------------------------------------

    fn written(&mut self, value: &str) -> String {
        match self.below(if self.parameters { 12 } else { 8 }) {
            0 | 1 => format!("'{value}'"),
            2 => format!("E'{}\\x{:02x}'", &value[..value.len() - 1], value.as_bytes()[value.len() - 1]),
            3 => format!("$${value}$$"),
            4 => format!("$x${value}$x$"),
            5 => format!("'{value}'::text"),
            6 => format!("CAST('{value}' AS varchar)"),
            7 => format!("U&'{value}'"),
            _ => {
                let number = match self.values.iter().position(|known| known == value) {
                    Some(known) => known + 1,
                    None => {
                        self.values.push(value.to_owned());
                        self.values.len()
                    }
                };
                // One cast for all of its places, or the server could not say what it is.
                format!("${number}::text")
            }
        }
    }

    fn mail_value(&mut self) -> String {
        if let Some(shared) = self.shared_value() {
            return shared;
        }
        let number = self.below(8);
        self.written(&format!("{MARK}-{number}@twin.example"))
    }

    /// One that may be met as a value of several domains, then by one parameter.
    fn shared_value(&mut self) -> Option<String> {
        let number = self.below(3);
        self.chance(15).then(|| self.written(&format!("{MARK}-both{number}")))
    }

    fn phone_value(&mut self) -> String {
        if let Some(shared) = self.shared_value() {
            return shared;
        }
        let number = self.below(8);
        self.written(&format!("{MARK}+49{number}"))
    }

    fn text_value(&mut self) -> String {
        let number = self.below(6);
        format!("'note {number}'")
    }

    // ---- expressions ----------------------------------------------------------------

    fn mail_column(&mut self, seen: &[Seen]) -> String {
        let hostile = self.hostile && self.chance(15);
        let one = seen.choose(&mut self.rng).unwrap();
        if let Some(text) = one.text.filter(|_| hostile) {
            return format!("{}.{text}", one.alias);
        }
        format!("{}.{}", one.alias, one.mail)
    }

    /// A mail address. `anchored`: a column is in it, so that constants in it are sealed.
    fn mail(&mut self, seen: &[Seen], anchored: bool, depth: usize) -> String {
        if depth == 0 || seen.is_empty() {
            return if seen.is_empty() || !anchored && self.chance(50) {
                self.mail_value()
            } else {
                self.mail_column(seen)
            };
        }
        let deeper = depth - 1;
        let sure = self.mail(seen, anchored, deeper);
        let other = self.mail(seen, false, deeper);
        match self.below(13) {
            12 => format!("coalesce({sure}, mail_at({}))", self.number(seen)),
            0 => format!("coalesce({other}, {sure})"),
            1 => format!("coalesce({sure}, NULL, {other})"),
            2 => format!("CASE WHEN {} THEN {sure} ELSE {other} END", self.condition(seen, deeper)),
            3 => format!(
                "CASE {} WHEN {} THEN {sure} WHEN {} THEN {other} END",
                self.number(seen),
                self.below(4),
                self.below(9)
            ),
            4 => format!("nullif({sure}, {other})"),
            5 => self.mail_query(seen, deeper),
            6 => format!("({sure})::text"),
            7 => format!("({sure})::varchar"),
            8 => format!("({sure} COLLATE \"C\")"),
            _ if anchored => self.mail_column(seen),
            _ => self.mail_value(),
        }
    }

    /// A subquery of one address.
    fn mail_query(&mut self, outer: &[Seen], depth: usize) -> String {
        // Tables alone: their numbers leave no tie.
        let (from, mut seen) = self.from(outer, 0);
        let own = seen.clone();
        seen.extend(outer.iter().cloned());
        let value = self.mail_column(&own);
        let condition = self.condition(&seen, depth);
        format!("(SELECT {value} FROM {from} WHERE {condition} ORDER BY {} LIMIT 1)", numbers(&own))
    }

    fn phone(&mut self, seen: &[Seen]) -> Option<String> {
        let having: Vec<&Seen> = seen.iter().filter(|one| one.phone.is_some()).collect();
        let one = *having.choose(&mut self.rng)?;
        let column = format!("{}.{}", one.alias, one.phone?);
        Some(match self.below(4) {
            0 => format!("coalesce({column}, {})", self.phone_value()),
            1 => format!("CASE WHEN {} THEN {column} END", self.condition(seen, 0)),
            _ => column,
        })
    }

    fn number(&mut self, seen: &[Seen]) -> String {
        match seen.choose(&mut self.rng) {
            Some(one) => format!("{}.{}", one.alias, one.number),
            None => self.below(9).to_string(),
        }
    }

    fn text(&mut self, seen: &[Seen]) -> String {
        let all: Vec<String> = seen
            .iter()
            .flat_map(|one| {
                [one.text, one.city].into_iter().flatten().map(|name| format!("{}.{name}", one.alias))
            })
            .collect();
        match (self.below(3), all.choose(&mut self.rng).cloned()) {
            (0, Some(column)) => column,
            (1, Some(column)) => format!("upper({column})"),
            (_, _) => self.text_value(),
        }
    }

    fn mails(&mut self) -> String {
        let many = self.below(4) + 1;
        (0..many).map(|_| self.mail_value()).collect::<Vec<_>>().join(", ")
    }

    fn condition(&mut self, seen: &[Seen], depth: usize) -> String {
        if seen.is_empty() {
            return "true".to_owned();
        }
        let deeper = depth.saturating_sub(1);
        let sure = self.mail(seen, true, deeper.min(1));
        match self.below(if depth == 0 { 9 } else { 17 }) {
            0 => format!("{sure} = {}", self.mail(seen, false, deeper)),
            1 => format!("{} <> {sure}", self.mail(seen, false, deeper)),
            2 => format!("{sure} IN ({})", self.mails()),
            3 => format!("{sure} NOT IN ({})", self.mails()),
            4 => format!("{sure} IS NOT DISTINCT FROM {}", self.mail(seen, false, deeper)),
            5 => format!("{sure} IS NULL"),
            6 => format!("{} > {}", self.number(seen), self.below(9)),
            7 => format!("{sure} = ANY(ARRAY[{}])", self.mails()),
            8 => {
                let (one, two) = (self.below(8), self.below(8));
                format!("{sure} = ANY('{{{MARK}-{one}@twin.example,\"{MARK}-{two}@twin.example\",NULL}}')")
            }
            9 => format!("({} AND {})", self.condition(seen, deeper), self.condition(seen, deeper)),
            10 => format!("({} OR {})", self.condition(seen, deeper), self.condition(seen, deeper)),
            11 => format!("NOT ({})", self.condition(seen, deeper)),
            12 => format!(
                "({sure}, {}) = ({}, {})",
                self.number(seen),
                self.mail(seen, false, deeper),
                self.below(9)
            ),
            13 => {
                let (from, mut inner) = self.from(seen, deeper);
                inner.extend(seen.iter().cloned());
                format!("EXISTS (SELECT 1 FROM {from} WHERE {})", self.condition(&inner, deeper))
            }
            14 => {
                let (from, inner) = self.from(seen, deeper);
                let value = self.mail_column(&inner);
                format!("{sure} IN (SELECT {value} FROM {from})")
            }
            15 => {
                // The same value, or one that the other place does not know of.
                let value = self.mail_value();
                if self.chance(50) {
                    let tested = ["IS NULL", "= ''", "IN ('', 'none')"][self.below(3)];
                    format!("({value} {tested} OR {sure} = {value})")
                } else {
                    format!("({}::text IS NULL OR {sure} = {value})", self.mail_value())
                }
            }
            _ => format!("{sure} = {}", self.mail_query(seen, deeper)),
        }
    }

    // ---- FROM -----------------------------------------------------------------------

    fn customers(&mut self) -> (String, Seen) {
        let alias = self.alias();
        let seen = Seen {
            alias: alias.clone(),
            mail: "email",
            phone: Some("phone"),
            text: Some("note"),
            city: Some("city"),
            number: "id",
        };
        // Views and materialised ones among them, one over another.
        let name =
            *["customers", "customers", "customers", "people", "citizens"].choose(&mut self.rng).unwrap();
        (format!("{name} {alias}"), seen)
    }

    fn leads(&mut self) -> (String, Seen) {
        let alias = self.alias();
        let seen = Seen {
            alias: alias.clone(),
            mail: "email",
            phone: Some("phone"),
            text: Some("tag"),
            city: None,
            number: "id",
        };
        let name = *["leads", "leads", "leads", "prospects", "past"].choose(&mut self.rng).unwrap();
        (format!("{name} AS {alias}"), seen)
    }

    /// A table whose columns its alias renames by their order.
    fn renamed(&mut self) -> (String, Seen) {
        let alias = self.alias();
        let seen =
            |phone, text, city| Seen { alias: alias.clone(), mail: "m", phone, text, city, number: "n" };
        match self.below(4) {
            0 => (format!("customers AS {alias}(n, m)"), seen(Some("phone"), Some("note"), Some("city"))),
            1 => (format!("public.customers {alias}(n, m, p, c, t)"), seen(Some("p"), Some("t"), Some("c"))),
            2 => (format!("citizens {alias}(n, m, p)"), seen(Some("p"), Some("note"), Some("city"))),
            _ => (format!("leads as {alias} (n, m, p, t)"), seen(Some("p"), Some("t"), None)),
        }
    }

    fn one_relation(&mut self, depth: usize) -> (String, Seen) {
        let plain = |alias: &str| Seen {
            alias: alias.to_owned(),
            mail: "m",
            phone: None,
            text: None,
            city: None,
            number: "n",
        };
        match self.below(if depth == 0 { 4 } else { 10 }) {
            9 => {
                let (alias, value) = (self.alias(), self.mail_value());
                (format!("near({value}) AS {alias}"), plain(&alias))
            }
            0 | 1 if self.chance(12) => self.renamed(),
            0 | 1 => self.customers(),
            2 | 3 => self.leads(),
            4 => {
                let (from, seen) = self.from(&[], depth - 1);
                let alias = self.alias();
                let (mail, number) = (self.mail(&seen, true, depth - 1), self.number(&seen));
                let condition = self.condition(&seen, depth - 1);
                (
                    format!("(SELECT {mail} AS m, {number} AS n FROM {from} WHERE {condition}) {alias}"),
                    plain(&alias),
                )
            }
            5 => {
                let alias = self.alias();
                // Anchored, since the union has columns too.
                let (one, seen) = self.customers();
                let value = self.mail_value();
                let all = if self.chance(50) { " ALL" } else { "" };
                let number = self.below(9);
                let own = &seen.alias;
                (
                    format!(
                        "(SELECT {own}.email, {own}.id FROM {one} UNION{all} SELECT email, id FROM leads UNION{all} \
                         SELECT {value}, {number}) AS {alias}(m, n)"
                    ),
                    plain(&alias),
                )
            }
            6 => match self.with.choose(&mut self.rng).cloned() {
                Some(name) => {
                    let alias = self.alias();
                    (format!("{name} {alias}"), plain(&alias))
                }
                None => self.customers(),
            },
            7 => {
                let alias = self.alias();
                let (one, seen) = self.leads();
                let own = &seen.alias;
                (format!("(SELECT DISTINCT {own}.email AS m, 1 AS n FROM {one}) {alias}"), plain(&alias))
            }
            _ => {
                let alias = self.alias();
                let (one, seen) = self.customers();
                let own = &seen.alias;
                (
                    format!(
                        "(SELECT first_value({own}.email) OVER (PARTITION BY {own}.email ORDER BY {own}.id) AS m, \
                         {own}.id AS n FROM {one}) {alias}"
                    ),
                    plain(&alias),
                )
            }
        }
    }

    fn from(&mut self, _outer: &[Seen], depth: usize) -> (String, Vec<Seen>) {
        let (mut text, one) = self.one_relation(depth);
        let mut seen = vec![one];
        if depth > 0 && self.chance(40) {
            let (other, two) = self.one_relation(depth - 1);
            let (left, right) = (seen[0].clone(), two.clone());
            let on = format!("{}.{} = {}.{}", left.alias, left.mail, right.alias, right.mail);
            seen.push(two);
            let listed = format!("{text}, {other}");
            match self.below(5) {
                0 => text = format!("{text} JOIN {other} ON {on}"),
                1 => text = format!("{text} LEFT JOIN {other} ON {on}"),
                2 => text = format!("{text} FULL JOIN {other} ON {on}"),
                3 if left.mail == right.mail => text = format!("{text} JOIN {other} USING ({})", left.mail),
                _ => text.clone_from(&listed),
            }
            // One name for both, where each column is of one of them.
            let apart = left.mail != right.mail && left.number != right.number;
            if apart && text != listed && self.chance(25) {
                let alias = self.alias();
                text = format!("({text}) AS {alias}");
                for one in &mut seen {
                    one.alias.clone_from(&alias);
                }
            }
        } else if depth > 0 && self.chance(25) {
            // Constants as a relation, which meet a column at once.
            let alias = self.alias();
            let rows: Vec<String> =
                (0..self.below(3) + 1).map(|n| format!("({}, {n})", self.mail_value())).collect();
            let first = seen[0].clone();
            text = format!(
                "{text} JOIN (VALUES {}) AS {alias}(m, n) ON {alias}.m = {}.{}",
                rows.join(", "),
                first.alias,
                first.mail
            );
            seen.push(Seen { alias, mail: "m", phone: None, text: None, city: None, number: "n" });
        } else if depth > 0 && self.chance(20) {
            let alias = self.alias();
            let first = seen[0].clone();
            let values = self.mails();
            text = format!(
                "{text} JOIN unnest(ARRAY[{values}]) WITH ORDINALITY AS {alias}(m, n) ON {}.{} = {alias}.m",
                first.alias, first.mail
            );
            seen.push(Seen { alias, mail: "m", phone: None, text: None, city: None, number: "n" });
        }
        if seen.len() == 1 && seen[0].mail == "email" && self.chance(8) {
            let alias = self.alias();
            let how = ["NATURAL JOIN", "NATURAL LEFT JOIN"][self.below(2)];
            text = format!("{text} {how} {}marks {alias}", if self.chance(50) { "public." } else { "" });
        }
        (text, seen)
    }

    // ---- statements -----------------------------------------------------------------

    fn outputs(&mut self, seen: &[Seen], depth: usize) -> Vec<String> {
        let mut outputs = vec![self.mail(seen, true, depth)];
        for _ in 0..self.below(3) {
            outputs.push(match self.below(4) {
                0 => self.number(seen),
                1 => self.text(seen),
                2 => self.mail(seen, true, depth),
                _ => self.phone(seen).unwrap_or_else(|| "1".to_owned()),
            });
        }
        outputs
    }

    fn select(&mut self, depth: usize) -> String {
        let mut with = Vec::new();
        if self.chance(30) {
            let name = format!("w{}", self.aliases);
            let (from, seen) = self.from(&[], depth - 1);
            let (mail, number) = (self.mail(&seen, true, 1), self.number(&seen));
            let how = ["", "MATERIALIZED ", "NOT MATERIALIZED "][self.below(3)];
            with.push(format!("{name}(m, n) AS {how}(SELECT {mail}, {number} FROM {from})"));
            self.with.push(name);
        }
        if self.chance(8) {
            let name = format!("w{}", self.aliases + 1);
            with.push(format!(
                "{name}(m, n) AS (SELECT email, id FROM customers UNION ALL SELECT x.m, x.n + 100 FROM {name} x WHERE x.n < 200)"
            ));
            self.with.push(name);
        }
        let with =
            if with.is_empty() { String::new() } else { format!("WITH RECURSIVE {} ", with.join(", ")) };
        let (from, seen) = self.from(&[], depth);
        let condition = self.condition(&seen, depth);
        let body = match self.below(9) {
            // `*` where the place of each column counts.
            8 => {
                let all = ["", "a."].choose(&mut self.rng).unwrap();
                let condition = self.condition(
                    &[Seen {
                        alias: "a".to_owned(),
                        mail: "email",
                        phone: Some("phone"),
                        text: Some("note"),
                        city: Some("city"),
                        number: "id",
                    }],
                    1,
                );
                let other = self.row().replace("DEFAULT", "NULL");
                format!(
                    "SELECT u.id, u.email, u.note FROM (SELECT {all}* FROM archive a WHERE {condition} UNION ALL SELECT * FROM customers \
                     UNION ALL SELECT v.n, v.m, v.p, v.c, v.t FROM (VALUES {other}) AS v(n, m, p, t, c)) u"
                )
            }
            // The key stands beside what is sealed at random.
            7 => {
                let joined = ["JOIN leads l ON l.id < 3", "LEFT JOIN leads l ON l.email = c.email"]
                    .choose(&mut self.rng)
                    .unwrap();
                let condition = self.condition(
                    &[Seen {
                        alias: "c".to_owned(),
                        mail: "email",
                        phone: Some("phone"),
                        text: Some("note"),
                        city: Some("city"),
                        number: "id",
                    }],
                    1,
                );
                let (shown, grouped) = [
                    ("DISTINCT c.phone, c.email, c.id", ""),
                    ("DISTINCT c.*", ""),
                    ("DISTINCT c.id, c.phone, l.email", ""),
                    ("c.phone, count(l.id)", " GROUP BY c.id, c.phone"),
                    ("c.id, c.phone, c.email, count(*)", " GROUP BY c.phone, c.email, c.id"),
                ][self.below(5)];
                format!("SELECT {shown} FROM customers c {joined} WHERE {condition}{grouped}")
            }
            0 => {
                let column = self.mail_column(&seen);
                format!(
                    "SELECT {column}, count(*), count(DISTINCT {column}) FROM {from} WHERE {condition} GROUP BY {column}"
                )
            }
            1 => {
                let column = self.mail_column(&seen);
                let sets = ["GROUPING SETS (({}), ())", "ROLLUP ({})", "CUBE ({})"][self.below(3)]
                    .replace("{}", &column);
                format!(
                    "SELECT {column}, count(*) FROM {from} WHERE {condition} GROUP BY {sets} HAVING count(*) > 0"
                )
            }
            2 => {
                let column = self.mail(&seen, true, 1);
                format!("SELECT DISTINCT {column} FROM {from} WHERE {condition}")
            }
            3 => {
                let inner = self.mail(&seen, true, 1);
                format!(
                    "SELECT count(*) FROM (SELECT {inner} AS m FROM {from} WHERE {condition} ORDER BY 1) t"
                )
            }
            4 => {
                let (from, seen) = self.from(&[], 0);
                let (column, order) = (self.mail_column(&seen), numbers(&seen));
                let (value, condition) = (self.mail_value(), self.condition(&seen, 1));
                format!(
                    "SELECT {order}, lag({column}, 1, {value}) OVER (ORDER BY {order}), row_number() OVER (PARTITION BY {column} ORDER BY {order}) \
                     FROM {from} WHERE {condition}"
                )
            }
            _ => {
                let outputs = self.outputs(&seen, depth.min(2)).join(", ");
                format!("SELECT {outputs} FROM {from} WHERE {condition}")
            }
        };
        format!("{with}{body}")
    }

    fn row(&mut self) -> String {
        self.fresh += 1;
        let (mail, phone) = if self.chance(15) {
            ("NULL".to_owned(), "DEFAULT".to_owned())
        } else {
            (format!("{MARK}-f{}@twin.example", self.fresh), self.phone_value())
        };
        let mail = if mail == "NULL" { mail } else { self.written(&mail) };
        let (note, city) = (self.text_value(), self.below(3));
        format!("({}, {mail}, {phone}, {note}, 'city {city}')", self.fresh)
    }

    fn change(&mut self, depth: usize) -> String {
        const COLUMNS: &str = "(id, email, phone, note, city)";
        let returning = match self.below(4) {
            0 => " RETURNING id, email",
            1 => " RETURNING *",
            2 => " RETURNING coalesce(phone, email_of.none, 'x')",
            _ => "",
        };
        let returning = if returning.contains("email_of") {
            " RETURNING email AS mail, phone IS NULL"
        } else {
            returning
        };
        let seen = vec![Seen {
            alias: "customers".to_owned(),
            mail: "email",
            phone: Some("phone"),
            text: Some("note"),
            city: Some("city"),
            number: "id",
        }];
        let condition = self.condition(&seen, depth.min(1));
        match self.below(13) {
            12 => format!(
                "INSERT INTO archive{} SELECT {}* FROM customers c WHERE c.id < {}{}",
                self.pick(&["", " (id, email, phone, city, note)"]),
                self.pick(&["", "c."]),
                self.below(9),
                self.pick(&["", " RETURNING *", " RETURNING id, phone"])
            ),
            0 => format!("INSERT INTO customers {COLUMNS} VALUES {}, {}{returning}", self.row(), self.row()),
            1 => format!(
                "INSERT INTO customers {COLUMNS} VALUES {} ON CONFLICT (email) DO UPDATE SET phone = EXCLUDED.phone, \
                 note = 'again' WHERE customers.email = EXCLUDED.email{returning}",
                self.row()
            ),
            2 => {
                self.fresh += 1;
                let (base, value) = (self.fresh * 1000, self.phone_value());
                format!(
                    "INSERT INTO customers (id, email, phone) SELECT l.id + {base}, NULL, coalesce(l.phone, {value}) FROM leads l{returning}"
                )
            }
            3 => {
                self.fresh += 2;
                let (one, two) = (self.fresh - 1, self.fresh);
                format!(
                    "INSERT INTO customers (id, email) SELECT v.n, v.m FROM (VALUES ({one}, '{MARK}-f{one}@twin.example'), \
                     ({two}, '{MARK}-f{two}@twin.example')) AS v(n, m) WHERE NOT EXISTS (SELECT 1 FROM customers c WHERE c.email = v.m){returning}"
                )
            }
            4 => {
                self.fresh += 2;
                let (one, two) = (self.fresh - 1, self.fresh);
                format!(
                    "INSERT INTO customers (id, email) SELECT * FROM unnest(ARRAY[{one},{two}], \
                     '{{{MARK}-f{one}@twin.example,{MARK}-f{two}@twin.example}}'::text[]) AS u(n, m){returning}"
                )
            }
            5 => format!("UPDATE customers SET phone = {} WHERE {condition}{returning}", self.phone_value()),
            6 => {
                let (one, two, three) = (self.phone_value(), self.phone_value(), self.below(30));
                format!(
                    "UPDATE customers SET phone = CASE WHEN id = 1 THEN {one} WHEN id > {three} THEN {two} ELSE phone END \
                     WHERE {condition}{returning}"
                )
            }
            7 => {
                let (one, two) = (self.phone_value(), self.phone_value());
                format!(
                    "UPDATE customers SET phone = v.p, note = 'bulk' FROM (VALUES (1, {one}), (2, {two})) AS v(n, p) \
                     WHERE customers.id = v.n RETURNING customers.id, customers.phone"
                )
            }
            8 => format!(
                "UPDATE customers SET (phone, note) = (SELECT l.phone, l.tag FROM leads l WHERE l.id = customers.id) WHERE {condition}{returning}"
            ),
            9 => {
                let below = self.below(1500);
                format!("DELETE FROM customers WHERE id > 20 AND id < {below} AND {condition}{returning}")
            }
            10 => {
                self.fresh += 1;
                let value = format!("{MARK}-f{}@twin.example", self.fresh);
                let (number, phone) = (self.fresh, self.phone_value());
                let returning =
                    if self.major >= 17 { " RETURNING customers.email, merge_action()" } else { "" };
                format!(
                    "MERGE INTO customers USING (VALUES ({number}, '{value}', {phone}), (1, '{MARK}-1@twin.example', {phone})) \
                     AS v(n, m, p) ON customers.email = v.m WHEN MATCHED THEN UPDATE SET phone = v.p \
                     WHEN NOT MATCHED THEN INSERT (id, email, phone) VALUES (v.n, v.m, v.p){returning}"
                )
            }
            _ => {
                self.fresh += 1;
                let number = self.fresh;
                format!(
                    "WITH n AS (INSERT INTO customers (id, email, phone) VALUES ({number}, '{MARK}-f{number}@twin.example', {}) \
                     RETURNING id, email), d AS (DELETE FROM leads WHERE email = '{MARK}-gone@twin.example' RETURNING email) \
                     SELECT n.email, n.id FROM n LEFT JOIN d ON d.email = n.email",
                    self.phone_value()
                )
            }
        }
    }

    pub fn statement(&mut self) -> Statement {
        (self.values, self.with, self.aliases) = (Vec::new(), Vec::new(), 0);
        self.parameters = self.chance(50);
        let depth = self.below(3) + 1;
        let mut sql = if self.chance(30) { self.change(depth) } else { self.select(depth) };
        if self.chance(15) && !sql.contains("c.phone") && !sql.contains("c.*") {
            // A view that takes rows, too.
            sql = sql.replace("customers", "people");
        }
        Statement { sql, values: std::mem::take(&mut self.values) }
    }
}

/// What the rows of these relations may be ordered by, without a tie that matters.
fn numbers(seen: &[Seen]) -> String {
    seen.iter().map(|one| format!("{}.{}", one.alias, one.number)).collect::<Vec<_>>().join(", ")
}
