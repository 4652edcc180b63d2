//! What stands in a schema over sealed columns: checks, predicates of indexes, policies of rows,
//! conditions of triggers. Each was written for values; of sealed ones it says the same only in the few
//! forms that are listed here, and in any other it says something else.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, AExprKind, BoolExprType as BoolKind, Node};

use super::super::read::census::census;
use super::super::read::tree::{self, Encoding, Reading, kind};

/// As the server prints its own catalog to the service's session.
const READING: Reading = Reading {
    standard_conforming_strings: true,
    encoding: Encoding::Utf8,
    server_utf8: true,
    declared: crate::catalog::Declared::Nothing,
};
/// What every sealed text begins with, and how much of it says of which domain it is.
const SEALED: &str = "SEAL";
const GUARD_LENGTH: usize = 12;

/// A column whose values are sealed, or are made of sealed ones.
#[derive(Clone, Debug)]
pub struct Sealed<'a> {
    pub column: &'a str,
    /// The domain, where equal values are equal sealed texts.
    pub equal_in: Option<&'a str>,
    /// With what its values begin, where it is no other column that is made of it.
    pub begins: Option<&'a str>,
}

impl Sealed<'_> {
    /// Is this a sealed value of its domain, or an array of such?
    fn is_among(&self, node: &Node) -> bool {
        let Some(begins) = self.begins.filter(|_| self.equal_in.is_some()) else { return false };
        match kind(uncast(node)) {
            Some(Kind::AArrayExpr(array)) => {
                !array.elements.is_empty() && array.elements.iter().all(|one| is_sealed(one, begins))
            }
            Some(_) | None => is_sealed(node, begins),
        }
    }
}

fn uncast(node: &Node) -> &Node {
    let mut inner = node;
    while let Some(Kind::TypeCast(cast)) = kind(inner) {
        let Some(arg) = cast.arg.as_deref() else { return inner };
        inner = arg;
    }
    inner
}

/// Is it a constant that is a sealed value, of which all begin so?
fn is_sealed(node: &Node, begins: &str) -> bool {
    let Some(Kind::AConst(constant)) = kind(uncast(node)) else { return false };
    let Some(protobuf::a_const::Val::Sval(value)) = &constant.val else { return false };
    let of_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    value.sval.len() > begins.len() && value.sval.starts_with(begins) && value.sval.bytes().all(of_alphabet)
}

/// Is an expression, as the server prints it, a constant that is a sealed value which begins so?
#[must_use]
pub fn is_sealed_constant(expression: &str, begins: &str) -> bool {
    let Ok(parsed) = tree::parse(&format!("SELECT {expression}"), READING) else { return false };
    let [only] = parsed.stmts.as_slice() else { return false };
    match only.stmt.as_deref().and_then(kind) {
        Some(Kind::SelectStmt(select)) => match select.target_list.as_slice() {
            [target] if of_nothing(select) => match kind(target) {
                Some(Kind::ResTarget(target)) => {
                    target.val.as_deref().is_some_and(|value| is_sealed(value, begins))
                }
                Some(_) | None => false,
            },
            _ => false,
        },
        Some(_) | None => false,
    }
}

/// A piece of a definition, as the server prints it.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// Of `pg_get_expr`, or what is in the brackets of a CHECK.
    Expression(&'a str),
    /// Of `pg_get_constraintdef`: a CHECK.
    Check(&'a str),
    /// Of `pg_get_triggerdef`: its WHEN counts.
    Trigger(&'a str),
}

/// What a piece does with sealed columns.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Uses {
    /// Columns of which it says something else than it did of their values.
    pub misread: BTreeSet<String>,
    /// Columns of which it asks whether they were changed, which cannot be told of sealed ones.
    pub compared: BTreeSet<String>,
    /// Every column that it names.
    pub named: BTreeSet<String>,
    /// Columns that it lets hold nothing but sealed values, and what those begin with.
    pub guards: BTreeMap<String, String>,
}

/// Follows a piece of the definition of `table`. What cannot be read is taken to misread every column.
#[must_use]
pub fn uses(standing: Standing<'_>, table: &str, sealed: &[Sealed<'_>]) -> Uses {
    let all =
        || Uses { misread: sealed.iter().map(|one| one.column.to_owned()).collect(), ..Uses::default() };
    let (text, trigger) = match standing {
        Standing::Expression(text) => (format!("SELECT {text}"), false),
        Standing::Check(text) => {
            let Some(mut inner) = text.strip_prefix("CHECK ") else { return all() };
            for ending in ["NOT ENFORCED", "NOT VALID", "NO INHERIT"] {
                inner = inner.strip_suffix(ending).map_or(inner, str::trim_end);
            }
            (format!("SELECT {inner}"), false)
        }
        Standing::Trigger(text) => (text.to_owned(), true),
    };
    let Ok(parsed) = tree::parse(&text, READING) else { return all() };
    let [only] = parsed.stmts.as_slice() else { return all() };
    let node = match only.stmt.as_deref().and_then(kind) {
        Some(Kind::CreateTrigStmt(trigger)) if trigger.when_clause.is_none() => return Uses::default(),
        Some(Kind::CreateTrigStmt(create)) if trigger => create.when_clause.as_deref(),
        Some(Kind::SelectStmt(select)) if !trigger => match select.target_list.as_slice() {
            [target] if of_nothing(select) => Some(target),
            _ => None,
        },
        Some(_) | None => None,
    };
    let Some(node) = node else { return all() };
    let found = census(node);
    if found.incomplete || found.star || !found.selections.is_empty() {
        return all();
    }
    let mut follow = Follow { sealed, sound: BTreeSet::new(), uses: Uses::default() };
    follow.node(node);
    follow.uses.guards = follow.guards(node);
    for column in &found.columns {
        let Some(last) = column.parts.last() else { return all() };
        follow.uses.named.insert(last.clone());
        if follow.sound.contains(&column.location) && column.location >= 0 {
            continue;
        }
        if sealed.iter().any(|one| one.column == last) {
            follow.uses.misread.insert(last.clone());
        } else if last == table || matches!(last.as_str(), "old" | "new") {
            // The whole row, under whichever name.
            return all();
        }
    }
    follow.uses
}

/// It is the one expression, with nothing behind it.
fn of_nothing(select: &protobuf::SelectStmt) -> bool {
    select.from_clause.is_empty()
        && select.where_clause.is_none()
        && select.sort_clause.is_empty()
        && select.larg.is_none()
        && select.with_clause.is_none()
        && select.limit_count.is_none()
}

struct Follow<'a> {
    sealed: &'a [Sealed<'a>],
    /// Where columns stand of which the same is said, sealed or not.
    sound: BTreeSet<i32>,
    uses: Uses,
}

impl<'a> Follow<'a> {
    /// A sealed column, whatever its text is cast to or collated by.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a column and no more")]
    fn column<'n>(&self, node: &'n Node) -> Option<(&'a Sealed<'a>, &'n protobuf::ColumnRef)> {
        match kind(node)? {
            Kind::ColumnRef(column) => {
                let name = tree::last_name(&column.fields)?;
                self.sealed.iter().find(|one| one.column == name).map(|one| (one, column))
            }
            Kind::TypeCast(cast) => {
                let plain = cast.type_name.as_ref().is_some_and(|of| tree::is_plain_text_type(of, false));
                self.column(cast.arg.as_deref().filter(|_| plain)?)
            }
            Kind::CollateClause(clause) => self.column(clause.arg.as_deref()?),
            _ => None,
        }
    }

    fn all(&mut self, nodes: &[Node]) {
        nodes.iter().for_each(|node| self.node(node));
    }

    fn some(&mut self, node: Option<&Node>) {
        if let Some(node) = node {
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match kind(node) {
            Some(Kind::ResTarget(target)) => self.some(target.val.as_deref()),
            Some(Kind::NullTest(test)) => match test.arg.as_deref() {
                Some(arg) if self.column(arg).is_some() => self.mark(arg),
                arg => self.some(arg),
            },
            Some(Kind::BoolExpr(expression)) => self.all(&expression.args),
            Some(Kind::BooleanTest(test)) => self.some(test.arg.as_deref()),
            Some(Kind::CaseExpr(case)) => {
                self.some(case.arg.as_deref());
                self.all(&case.args);
                self.some(case.defresult.as_deref());
            }
            Some(Kind::CaseWhen(when)) => {
                self.some(when.expr.as_deref());
                self.some(when.result.as_deref());
            }
            Some(Kind::CoalesceExpr(coalesce)) => self.all(&coalesce.args),
            Some(Kind::TypeCast(cast)) => self.some(cast.arg.as_deref()),
            Some(Kind::List(list)) => self.all(&list.items),
            Some(Kind::FuncCall(call)) => self.call(call),
            Some(Kind::AExpr(expression)) => self.operation(expression),
            _ => {}
        }
    }

    fn mark(&mut self, node: &Node) {
        if let Some((_, column)) = self.column(node) {
            self.sound.insert(column.location);
        }
    }

    fn call(&mut self, call: &protobuf::FuncCall) {
        let counts = matches!(of_server(&call.funcname), Some("num_nulls" | "num_nonnulls"));
        for arg in &call.args {
            if counts && self.column(arg).is_some() {
                self.mark(arg);
            } else {
                self.node(arg);
            }
        }
        if guard(call).is_some()
            && let Some(column) = call.args.first()
        {
            self.mark(column);
        }
    }

    fn operation(&mut self, expression: &protobuf::AExpr) {
        let (Some(left), Some(right)) = (expression.lexpr.as_deref(), expression.rexpr.as_deref()) else {
            self.some(expression.lexpr.as_deref());
            return self.some(expression.rexpr.as_deref());
        };
        let distinct = matches!(
            AExprKind::try_from(expression.kind),
            Ok(AExprKind::AexprOp | AExprKind::AexprDistinct | AExprKind::AexprNotDistinct)
        );
        let equality = distinct && matches!(of_server(&expression.name), Some("=" | "<>"));
        let sides = (self.column(left), self.column(right));
        let (Some((one, _)), Some((other, _)), true) = (sides.0, sides.1, equality) else {
            // Whether it is one of some values, which are sealed themselves.
            let any = matches!(
                AExprKind::try_from(expression.kind),
                Ok(AExprKind::AexprOpAny | AExprKind::AexprOpAll)
            );
            let asks = (distinct || any) && matches!(of_server(&expression.name), Some("=" | "<>"));
            return match sides {
                (Some((one, _)), None) if asks && one.is_among(right) => self.mark(left),
                (None, Some((one, _))) if asks && !any && one.is_among(left) => self.mark(right),
                _ => {
                    self.node(left);
                    self.node(right);
                }
            };
        };
        let alike = one.equal_in.is_some() && one.equal_in == other.equal_in;
        if alike || one.column == other.column {
            self.mark(left);
            self.mark(right);
        }
        if !alike && one.column == other.column {
            self.uses.compared.insert(one.column.to_owned());
        }
    }

    /// What must hold for the whole to hold: which columns are sealed then.
    fn guards(&self, node: &Node) -> BTreeMap<String, String> {
        let mut guards = BTreeMap::new();
        match kind(node) {
            Some(Kind::ResTarget(target)) => {
                if let Some(value) = target.val.as_deref() {
                    guards = self.guards(value);
                }
            }
            Some(Kind::BoolExpr(expression)) if expression.boolop == BoolKind::AndExpr as i32 => {
                for arg in &expression.args {
                    guards.extend(self.guards(arg));
                }
            }
            // IS NULL OR sealed: a CHECK lets NULL pass anyhow.
            Some(Kind::BoolExpr(expression)) if expression.boolop == BoolKind::OrExpr as i32 => {
                if let [one, other] = expression.args.as_slice()
                    && let Some(Kind::NullTest(test)) = kind(one)
                    && test.nulltesttype == protobuf::NullTestType::IsNull as i32
                    && let Some(tested) = test.arg.as_deref().and_then(|arg| self.column(arg))
                {
                    guards = self.guards(other);
                    guards.retain(|column, _| column == tested.0.column);
                }
            }
            Some(Kind::FuncCall(call)) => {
                if let Some(begin) = guard(call)
                    && let Some((one, _)) = call.args.first().and_then(|arg| self.column(arg))
                {
                    guards.insert(one.column.to_owned(), begin);
                }
            }
            Some(_) | None => {}
        }
        guards
    }
}

/// The name of a function or an operator, if it can only be the server's own: as it is printed for a
/// session whose path has nothing else.
fn of_server(names: &[Node]) -> Option<&str> {
    match names {
        [only] => tree::name(only),
        [schema, name] if tree::name(schema) == Some("pg_catalog") => tree::name(name),
        _ => None,
    }
}

/// `starts_with(column, 'SEAL........')`: with what its column must begin.
fn guard(call: &protobuf::FuncCall) -> Option<String> {
    let [_, begin] = call.args.as_slice() else { return None };
    let mut begin = begin;
    while let Some(Kind::TypeCast(cast)) = kind(begin) {
        begin = cast.arg.as_deref()?;
    }
    let Some(Kind::AConst(constant)) = kind(begin) else { return None };
    let Some(protobuf::a_const::Val::Sval(begin)) = &constant.val else { return None };
    let sealed = begin.sval.starts_with(SEALED) && begin.sval.len() == GUARD_LENGTH;
    (of_server(&call.funcname) == Some("starts_with") && sealed).then(|| begin.sval.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a piece: `-` for what it misreads, `?` for what it compares, `=` for guards.
    fn told(standing: Standing<'_>) -> String {
        let sealed = [
            Sealed { column: "email", equal_in: Some("mail"), begins: Some("SEALfyeCwSny") },
            Sealed { column: "second", equal_in: Some("mail"), begins: Some("SEALfyeCwSny") },
            Sealed { column: "phone", equal_in: Some("phone"), begins: None },
            Sealed { column: "diary", equal_in: None, begins: Some("SEALabcdefgh") },
        ];
        let Uses { misread, compared, guards, named: _ } = uses(standing, "client", &sealed);
        let misread = misread.iter().map(|column| format!("-{column}"));
        let compared = compared.iter().map(|column| format!("?{column}"));
        let guards = guards.iter().map(|(column, begin)| format!("={column} {begin}"));
        misread.chain(compared).chain(guards).collect::<Vec<_>>().join(" ")
    }

    const ALL: &str = "-diary -email -phone -second";

    #[test]
    fn only_what_says_the_same_of_sealed_values_is_sound() {
        for (expression, expected) in [
            ("(name ~~ '%@%'::text)", ""),
            ("(email ~~ '%@%'::text)", "-email"),
            ("lower(email)", "-email"),
            ("lower((email)::text)", "-email"),
            ("to_tsvector('english'::regconfig, diary)", "-diary"),
            ("(email IS NOT NULL)", ""),
            ("((email IS NULL) = (phone IS NULL))", ""),
            ("((email IS NULL) OR (length(email) > 3))", "-email"),
            ("num_nonnulls(email, phone) = 1", ""),
            ("CASE WHEN (email IS NULL) THEN 1 ELSE 0 END", ""),
            ("CASE WHEN true THEN email END", "-email"),
            ("(email = second)", ""),
            ("(email <> phone)", "-email -phone"),
            ("(email = 'a'::text)", "-email"),
            ("(email = (CURRENT_USER)::text)", "-email"),
            ("(email = ANY (ARRAY['a'::text, 'b'::text]))", "-email"),
            ("(email = 'SEALfyeCwSny0001'::text)", ""),
            ("(email <> 'SEALfyeCwSny0001'::text)", ""),
            ("(email = 'SEALabcdefgh0001'::text)", "-email"),
            ("(email = 'SEALfyeCwSny00\u{e4}1'::text)", "-email"),
            ("(email = ANY (ARRAY['SEALfyeCwSny0001'::text, 'SEALfyeCwSny0002'::text]))", ""),
            ("((email)::text <> ALL ((ARRAY['SEALfyeCwSny0001'::text])::text[]))", ""),
            ("(email = ANY (ARRAY['SEALfyeCwSny0001'::text, 'b'::text]))", "-email"),
            ("(email > 'SEALfyeCwSny0001'::text)", "-email"),
            ("(diary = 'SEALabcdefgh0001'::text)", "-diary"),
            ("(phone = 'SEALabcdefgh0001'::text)", "-phone"),
            ("(email < second)", "-email -second"),
            ("(email OPERATOR(public.=) second)", "-email -second"),
            ("(diary = diary)", "?diary"),
            ("(client.* IS NULL)", ALL),
            ("(client IS NULL)", ALL),
            ("((client).email IS NULL)", ALL),
            ("(EXISTS ( SELECT 1 FROM staff WHERE (staff.mail = client.email)))", "-email"),
            ("(EXISTS ( SELECT 1 FROM staff WHERE (staff.id = client.id)))", ""),
            ("(id > 0), (email)", ALL),
            ("(id > 0) FROM x", ALL),
            ("not an expression (", ALL),
        ] {
            assert_eq!(told(Standing::Expression(expression)), expected, "{expression}");
        }
    }

    #[test]
    fn a_sealed_default_is_a_constant_of_its_domain() {
        for (expression, expected) in [
            ("'SEALfyeCwSny0001'::text", true),
            ("'SEALfyeCwSny0001'::character varying", true),
            ("'SEALfyeCwSny'::text", false),
            ("'SEALabcdefgh0001'::text", false),
            ("('SEALfyeCwSny0001'::text || 'a'::text)", false),
            ("now()", false),
            ("''::text", false),
        ] {
            assert_eq!(is_sealed_constant(expression, "SEALfyeCwSny"), expected, "{expression}");
        }
    }

    #[test]
    fn a_guard_is_known_where_it_must_hold() {
        for (check, expected) in [
            ("CHECK (starts_with((email COLLATE \"C\"), 'SEALfyeCwSny'::text))", "=email SEALfyeCwSny"),
            ("CHECK (starts_with(email, 'SEALfyeCwSny'::text)) NOT VALID", "=email SEALfyeCwSny"),
            ("CHECK (((email IS NULL) OR starts_with(email, 'SEALfyeCwSny'::text)))", "=email SEALfyeCwSny"),
            (
                "CHECK ((starts_with(email, 'SEALfyeCwSny'::text) AND starts_with(diary, 'SEALabcdefgh'::text)))",
                "=diary SEALabcdefgh =email SEALfyeCwSny",
            ),
            ("CHECK ((starts_with(email, 'SEALfyeCwSny'::text) OR (id > 7)))", ""),
            ("CHECK (((phone IS NULL) OR starts_with(email, 'SEALfyeCwSny'::text)))", ""),
            ("CHECK ((NOT starts_with(email, 'SEALfyeCwSny'::text)))", ""),
            ("CHECK (starts_with(email, 'SEAL'::text))", "-email"),
            ("CHECK (starts_with(email, 'b@example.com'::text))", "-email"),
            ("CHECK (public.starts_with(email, 'SEALfyeCwSny'::text))", "-email"),
            ("CHECK ((email IS NOT NULL)) NO INHERIT NOT VALID", ""),
            ("EXCLUDE (email)", ALL),
        ] {
            assert_eq!(told(Standing::Check(check)), expected, "{check}");
        }
    }

    #[test]
    fn a_trigger_that_asks_for_a_change_can_tell_it_of_equality_columns_alone() {
        for (when, expected) in [
            ("", ""),
            ("WHEN ((old.email IS DISTINCT FROM new.email))", ""),
            ("WHEN ((old.diary IS DISTINCT FROM new.diary))", "?diary"),
            ("WHEN ((old.diary IS DISTINCT FROM new.email))", "-diary -email"),
            ("WHEN ((new.email ~~ '%@x'::text))", "-email"),
            ("WHEN ((old.* IS DISTINCT FROM new.*))", ALL),
            ("WHEN ((old.id <> new.id))", ""),
        ] {
            let text = format!(
                "CREATE TRIGGER t BEFORE UPDATE ON public.client FOR EACH ROW {when} EXECUTE FUNCTION f()"
            );
            assert_eq!(told(Standing::Trigger(&text)), expected, "{when}");
        }
    }
}
