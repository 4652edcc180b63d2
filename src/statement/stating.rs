//! Who asks and what for, as the application states it: by SET, by `set_config()`, and in a comment as
//! sqlcommenter writes them.
//!
//! It is stated and no more: whoever can send a text can state what he likes. Decisions rest on the login user.
//! A token (`SET sealgate.token`) can prove it. That one is between the client and the gate: in the text that goes
//! to the server its literal is another, and where it stands in any other form the text is refused.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{self, DiscardMode, Node, VariableSetKind, a_const};

use super::facts::{Edit, Said, Stated, States};
use super::matters::Bench;
use super::read::census::Census;
use super::read::literal::written_literal;
use super::read::spelling::{Lexeme, Lexer};
use super::read::tree::{self, kind};
use super::refusal::{Proven, refuse};

/// Longest name or purpose, in characters; what is longer is cut.
const CHARS_MAX: usize = 256;
/// Pairs of one comment that are looked at, and comments of one text.
const PAIRS_MAX: usize = 64;

/// The setting of this name. `user` is a reserved word, which must be quoted.
fn setting(name: &str) -> Option<Stated> {
    [
        ("sealgate.end_user", Stated::User),
        ("sealgate.user", Stated::User),
        ("sealgate.purpose", Stated::Purpose),
    ]
    .into_iter()
    .find(|(own, _)| name.eq_ignore_ascii_case(own))
    .map(|(_, what)| what)
}

const TOKEN: &str = "sealgate.token";
/// What the server has in the place of a token.
const KEPT: &[u8] = b"'kept by sealgate'";

/// What SET of a token states, and what goes to the server in its place.
///
/// # Errors
/// A token is named in a form in which it would go to the server.
pub(super) fn token(bench: Bench<'_>, node: &Node, found: &Census) -> Proven<Option<(States, Option<Edit>)>> {
    let refused = || {
        refuse(
            "token",
            "sealgate.token is given in another form than SET sealgate.token = '...'",
            "Write SET sealgate.token = '...', with the token as a literal.",
        )
    };
    if let Some(Kind::VariableSetStmt(set)) = kind(node)
        && set.name.eq_ignore_ascii_case(TOKEN)
    {
        let local = set.is_local;
        return match (VariableSetKind::try_from(set.kind), set.args.as_slice()) {
            (Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset), _) => {
                Ok(Some((States::NoToken { local }, None)))
            }
            (Ok(VariableSetKind::VarSetValue), [only]) => {
                let Some(Kind::AConst(constant)) = kind(only) else { return Err(refused()) };
                let Some(a_const::Val::Sval(value)) = &constant.val else { return Err(refused()) };
                if value.sval.is_empty() {
                    return Ok(Some((States::NoToken { local }, None)));
                }
                let text = std::str::from_utf8(bench.text).map_err(|_| refused())?;
                let start = usize::try_from(constant.location).map_err(|_| refused())?;
                let conforming = bench.reading.standard_conforming_strings;
                let written = written_literal(text, start, &value.sval, conforming).map_err(|_| refused())?;
                let edit = Edit { span: written.span.clone(), new: KEPT.to_vec(), quotes: true };
                Ok(Some((States::Token { span: written.span, form: written.form, local }, Some(edit))))
            }
            _ => Err(refused()),
        };
    }
    let shows = matches!(kind(node), Some(Kind::VariableShowStmt(_)));
    let mut texts = found.words.iter().chain(&found.constants).chain(&found.options);
    if !shows && texts.any(|text| text.to_ascii_lowercase().contains(TOKEN)) {
        return Err(refused());
    }
    Ok(None)
}

/// What a statement states, in its order.
pub(super) fn states(node: &Node, found: &Census) -> Vec<States> {
    match kind(node) {
        Some(Kind::VariableSetStmt(set)) => set_by(set).into_iter().collect(),
        Some(Kind::DiscardStmt(discard)) if discard.target == DiscardMode::DiscardAll as i32 => {
            vec![States::ResetAll]
        }
        Some(_) | None => {
            let is_it = |call: &super::read::census::NamePath| {
                call.parts.last().is_some_and(|name| name == "set_config")
            };
            let calls = found.calls.iter().filter(|call| is_it(call)).count();
            if calls == 0 { Vec::new() } else { configured(node, calls) }
        }
    }
}

fn set_by(set: &protobuf::VariableSetStmt) -> Option<States> {
    let local = set.is_local;
    match VariableSetKind::try_from(set.kind) {
        Ok(VariableSetKind::VarSetValue) => {
            let what = setting(&set.name)?;
            let value = match set.args.as_slice() {
                [only] => text_of(only),
                _ => None,
            };
            Some(value.map_or(States::Doubt, |value| States::Set { what, value, local }))
        }
        Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset) => {
            setting(&set.name).map(|what| States::Reset { what, local })
        }
        Ok(VariableSetKind::VarResetAll) => Some(States::ResetAll),
        Ok(VariableSetKind::VarSetCurrent) => setting(&set.name).map(|_| States::Doubt),
        Ok(VariableSetKind::VarSetMulti | VariableSetKind::Undefined) | Err(_) => None,
    }
}

/// `SELECT set_config('sealgate.user', 'ada', false)`; `calls`: how many there are anywhere.
fn configured(node: &Node, calls: usize) -> Vec<States> {
    let doubt = || vec![States::Doubt];
    let Some(Kind::SelectStmt(select)) = kind(node) else { return doubt() };
    // As many rows as there is one of.
    let plain = select.from_clause.is_empty()
        && select.where_clause.is_none()
        && select.larg.is_none()
        && select.limit_count.is_none()
        && select.limit_offset.is_none()
        && select.having_clause.is_none()
        && select.group_clause.is_empty()
        && select.distinct_clause.is_empty()
        && select.with_clause.is_none();
    let mut states = Vec::new();
    let mut met = 0;
    for target in select.target_list.iter().filter(|_| plain) {
        let Some(Kind::ResTarget(target)) = kind(target) else { continue };
        let Some(Kind::FuncCall(call)) = target.val.as_deref().and_then(kind) else { continue };
        if tree::last_name(&call.funcname) != Some("set_config") {
            continue;
        }
        met += 1;
        let [name, value, local] = call.args.as_slice() else { return doubt() };
        let Some(name) = text_of(name) else { return doubt() };
        let Some(what) = setting(&name) else { continue };
        match (text_of(value), truth_of(local)) {
            (Some(value), Some(local)) => states.push(States::Set { what, value, local }),
            _ => return doubt(),
        }
    }
    if met == calls { states } else { doubt() }
}

fn text_of(node: &Node) -> Option<Arc<str>> {
    let Some(Kind::AConst(constant)) = kind(node) else { return None };
    match &constant.val {
        Some(a_const::Val::Sval(text)) => Some(cut(&text.sval)),
        Some(a_const::Val::Ival(number)) => Some(number.ival.to_string().into()),
        Some(a_const::Val::Fval(number)) => Some(cut(&number.fval)),
        Some(_) | None => None,
    }
}

fn truth_of(node: &Node) -> Option<bool> {
    let Some(Kind::AConst(constant)) = kind(node) else { return None };
    match &constant.val {
        Some(a_const::Val::Boolval(truth)) => Some(truth.boolval),
        Some(_) | None => None,
    }
}

fn cut(text: &str) -> Arc<str> {
    text.chars().take(CHARS_MAX).collect::<String>().into()
}

/// What the last comment says that says anything: `/*purpose='support',user='ada'*/`, as sqlcommenter writes
/// keys and values.
pub(super) fn commented(text: &str, conforming: bool) -> Option<Arc<Said>> {
    if !text.contains("/*") || !text.contains("='") {
        return None;
    }
    let comments = Lexer::new(text, conforming).map_while(|lexeme| lexeme);
    let comments = comments.filter(|(lexeme, _)| *lexeme == Lexeme::Comment);
    let read = comments.filter_map(|(_, span)| {
        let inner = text.get(span)?.strip_prefix("/*")?.strip_suffix("*/")?;
        pairs(inner)
    });
    read.last().map(Arc::new)
}

fn pairs(inner: &str) -> Option<Said> {
    let mut said = Said::default();
    let mut rest = inner.trim();
    for _ in 0..PAIRS_MAX {
        let (key, value) = rest.split_once("='")?;
        let end = value.char_indices().scan(false, |escaped, (at, letter)| {
            let ends = letter == '\'' && !*escaped;
            *escaped = letter == '\\' && !*escaped;
            Some((at, ends))
        });
        let end = end.into_iter().find(|(_, ends)| *ends)?.0;
        let (value, behind) = (value.get(..end)?, value.get(end + 1..)?);
        let place = match key.trim() {
            "user" | "end_user" => Some(&mut said.user),
            "purpose" => Some(&mut said.purpose),
            _ => None,
        };
        if let Some(place) = place {
            *place = Some(cut(&unescaped(value)?));
        }
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return (rest.is_empty() && said != Said::default()).then_some(said),
        }
    }
    None
}

/// `\'` is a quote, and `%20` a blank.
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.push(rest.next()?),
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::read::census::census;
    use super::super::shop::READING;
    use super::*;

    fn read(sql: &str) -> String {
        let parsed = tree::parse(sql, READING).unwrap();
        let node = parsed.stmts[0].stmt.as_deref().unwrap();
        let told = states(node, &census(&parsed.stmts[0])).into_iter().map(|one| match one {
            States::Set { what, value, local } => {
                format!("{}{what:?}={value}", if local { "local " } else { "" })
            }
            States::Reset { what, local } => format!("{}{what:?}", if local { "local " } else { "" }),
            States::ResetAll => "all".to_owned(),
            States::Token { .. } | States::Proven { .. } | States::NoToken { .. } => "token".to_owned(),
            States::Doubt => "?".to_owned(),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn settings_are_read_in_every_form_or_doubted() {
        for (sql, told) in [
            ("SET sealgate.end_user = 'ada'", "User=ada"),
            ("set session SealGate.END_user to ada", "User=ada"),
            ("SET LOCAL \"sealgate\".purpose = 'support case 7'", "local Purpose=support case 7"),
            ("SET sealgate.end_user = 17", "User=17"),
            ("SET sealgate.end_user = E'a\\'b'", "User=a'b"),
            ("SET sealgate.end_user = 'a', 'b'", "?"),
            ("SET sealgate.\"user\" TO DEFAULT", "User"),
            ("SET LOCAL sealgate.end_user TO DEFAULT", "local User"),
            ("RESET sealgate.purpose", "Purpose"),
            ("RESET ALL", "all"),
            ("DISCARD ALL", "all"),
            ("DISCARD PLANS", ""),
            ("SET sealgate.end_user FROM CURRENT", "?"),
            ("SET sealgate.users = 'x'", ""),
            ("SET TIME ZONE 'UTC'", ""),
            ("SELECT set_config('sealgate.user', 'ada', false)", "User=ada"),
            (
                "SELECT pg_catalog.set_config('role', 'x', true), set_config('sealgate.purpose', 'p', true)",
                "local Purpose=p",
            ),
            ("SELECT set_config('search_path', $1, true)", ""),
            ("SELECT set_config('sealgate.user', $1, true)", "?"),
            ("SELECT set_config($1, 'x', true)", "?"),
            ("SELECT set_config('sealgate.user', 'x', true) FROM t", "?"),
            ("SELECT 1 WHERE set_config('sealgate.user', 'x', true) = 'x'", "?"),
            (
                "SELECT set_config('sealgate.user', 'a', true), (SELECT set_config('sealgate.user', 'b', true))",
                "?",
            ),
            ("SELECT 'sealgate.user'", ""),
        ] {
            assert_eq!(read(sql), told, "{sql}");
        }
    }

    #[test]
    fn comments_are_read_as_sqlcommenter_writes_them_and_strings_are_none() {
        for (sql, user, purpose) in [
            ("SELECT 1 /*user='ada',purpose='support'*/", "ada", "support"),
            ("/*action='%2Fpay',user='ada%20l',framework='x'*/ SELECT 1", "ada l", ""),
            ("SELECT 1 /*purpose='it\\'s%2C%27so%27'*/", "", "it's,'so'"),
            ("SELECT 1 /*user='a'*/ /*user='b'*/ /* a note */", "b", ""),
            ("SELECT 1 /* user='a' , purpose='x' */", "a", "x"),
            ("SELECT 1 /* user = 'a' */", "", ""),
            ("SELECT '/*user=''eve''*/'", "", ""),
            ("SELECT $$ /*user='eve'*/ $$", "", ""),
            ("SELECT \"/*user='eve'*/\"", "", ""),
            ("SELECT 1 -- /*user='eve'*/", "", ""),
            ("SELECT 1 /* /*user='eve'*/ */", "", ""),
            ("SELECT 1 /*user='eve*/", "", ""),
            ("SELECT 1 /*user='eve%FF'*/", "", ""),
            ("SELECT 1 /*user='a' OR purpose='b'*/", "", ""),
            ("SELECT 1 /*superuser='eve'*/", "", ""),
        ] {
            let said = commented(sql, true);
            let of = |part: fn(&Said) -> &Option<Arc<str>>| {
                said.as_deref().and_then(|said| part(said).as_deref()).unwrap_or_default().to_owned()
            };
            assert_eq!(
                (of(|said| &said.user).as_str(), of(|said| &said.purpose).as_str()),
                (user, purpose),
                "{sql}"
            );
        }
        let long = format!("SELECT 1 /*user='{}'*/", "ä".repeat(1_000));
        assert_eq!(commented(&long, true).unwrap().user.as_ref().unwrap().chars().count(), CHARS_MAX);
    }
}
