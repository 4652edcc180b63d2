//! Values between the form in which a client writes or reads them and the one that is sealed: which type a
//! value is given as, which it is wanted as, and what the client is told of it.

use std::rc::Rc;

use super::view::View;
use crate::catalog::{Base, Family, Field, FieldId, Kind, Logical, Normalize, OwnType};
use crate::policy::Refusal;
use crate::statement::{Compared, Fold, ParameterUse, StatementFacts, Taken};
use crate::types::{Format, Purpose, Style, ValueFault, canonical, text_of};
use crate::wire::charset::Charset;

/// `pg_type.oid` of `text`, of an array of it, and of `unknown`.
pub(super) const TEXT_OID: u32 = 25;
pub(super) const TEXT_ARRAY_OID: u32 = 1009;
const UNKNOWN_OID: u32 = 705;

/// How a session writes values.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    pub style: &'a Style,
    /// Nothing can have changed it since the server reported it.
    pub sure: bool,
    /// In which its text is, where that is not UTF-8.
    pub charset: Option<&'static Charset>,
}

/// Styles of which one at least reads a value otherwise that can be read otherwise.
pub(super) fn other_styles() -> Rc<[Style]> {
    let styles = [
        ("ISO, DMY", "postgres", "Pacific/Kiritimati"),
        ("ISO, MDY", "sql_standard", "Pacific/Pago_Pago"),
        ("ISO, YMD", "iso_8601", "UTC"),
    ];
    let style = |(date, interval, zone): &(&str, &str, &str)| {
        let mut style = Style::default();
        style.parameter(b"DateStyle", date.as_bytes());
        style.parameter(b"IntervalStyle", interval.as_bytes());
        style.parameter(b"TimeZone", zone.as_bytes());
        style
    };
    styles.iter().map(style).collect()
}

/// Does what a value of this field means, or how it is shown, depend on the style of a session?
pub(super) fn is_styled(field: &Field, given: Option<&Logical>) -> bool {
    let of = |family: Family| match family {
        Family::Date | Family::Timetz | Family::Timestamp | Family::Timestamptz | Family::Interval => true,
        Family::Text
        | Family::Integer
        | Family::Numeric
        | Family::Float
        | Family::Bool
        | Family::Time
        | Family::Uuid
        | Family::Json
        | Family::Jsonb
        | Family::Bytea
        | Family::Network
        | Family::Macaddr
        | Family::Money => false,
    };
    of(field.logical.base.family()) || given.is_some_and(|given| of(given.base.family()))
}

pub(super) fn unsettled_style(field: &Field) -> Refusal {
    let detail = format!(
        "field {}: a value depends on DateStyle, IntervalStyle or TimeZone, which may have changed in this batch or text",
        field.path()
    );
    let hint = "Send it after Sync, in a statement of its own, or in a form that means one thing, as 2000-12-31 and 12:00:00+00.";
    Refusal::unhandled("unsettled-reading", &detail, hint)
}

/// Does a statement show values whose form depends on the style of the session?
pub(super) fn shows_styled(view: &View, facts: &StatementFacts) -> bool {
    facts
        .reads
        .iter()
        .filter_map(|id| view.snapshot().field(*id))
        .any(|field| field.domain.is_some() && is_styled(field, None))
}

/// Does a statement show values that are opened here?
pub(super) fn shows_sealed(view: &View, facts: &StatementFacts) -> bool {
    let mut fields = facts.reads.iter().filter_map(|id| view.snapshot().field(*id));
    fields.any(|field| field.domain.is_some())
}

/// Does it hold such values?
pub(super) fn holds_styled(view: &View, facts: &StatementFacts) -> bool {
    let literals = facts.literals.iter().map(|literal| (literal.field, &literal.taken));
    let parameters = facts.parameters.iter().map(|one| (one.field, &one.taken));
    literals.chain(parameters).any(|(id, taken)| {
        view.snapshot().field(id).is_some_and(|field| is_styled(field, taken.given.as_ref()))
    })
}

/// Appends the canonical form of a value that stands for one of this field's. `given`: the type that the
/// client says it has, none where it is read as what it is used for.
pub(super) fn canonical_of(
    view: &View,
    field: &Field,
    taken: &Taken,
    given: Option<&Logical>,
    (format, plain): (Format, &[u8]),
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let kind = field.domain.as_ref().map_or(Kind::TEXT, |domain| domain.kind);
    // A cast that cuts does so whatever text is given.
    let is_text = |of: &Logical| of.base.family() == Family::Text;
    let cast = taken.given.as_ref().filter(|cast| is_text(cast) && cast.characters().is_some());
    let given = given.filter(|given| cast.is_none() || !is_text(given)).or(taken.given.as_ref());
    let fault = |fault: ValueFault| Refusal::invalid(&field.path(), fault.sqlstate, &fault.message);
    let mut folded = zeroize::Zeroizing::new(Vec::new());
    let plain = if taken.folds.is_empty() {
        plain
    } else {
        fold(field, &taken.folds, plain, &mut folded)?;
        &folded
    };
    let stored = taken.stored.iter().filter_map(|id| view.snapshot().field(*id));
    for field in stored.chain([field]).filter(|_| taken.compared != Compared::Asked) {
        check_label(field, plain)?;
    }
    match taken.compared {
        // Nothing that is stored is compared with it.
        Compared::Asked => {
            let Some(of) = given.filter(|_| format == Format::Binary) else {
                out.extend_from_slice(plain);
                return Ok(());
            };
            return canonical(Some(of), format, plain, of, &Kind::of(of), Purpose::Compare, style, out)
                .map_err(fault);
        }
        Compared::Like if plain.iter().any(|byte| matches!(byte, b'%' | b'_' | b'\\')) => {
            return Err(Refusal::unhandled(
                "wildcard",
                &format!(
                    "field {}: a pattern of LIKE or ILIKE holds a wildcard or a backslash",
                    field.path()
                ),
                "Sealed values can be searched for as a whole, not by a part of them.",
            ));
        }
        Compared::AsText => return as_text(field, &kind, plain, style, out),
        Compared::Not | Compared::Equal | Compared::Exactly | Compared::Like => {}
    }
    let exact = Kind { normalize: Normalize::default(), ..kind };
    let as_given = Kind { scale: None, ..exact };
    let compares = match taken.compared {
        Compared::Not if taken.shown => Some(&as_given),
        Compared::Equal | Compared::Like => Some(&kind),
        Compared::Exactly => Some(&exact),
        Compared::Not if taken.stored.is_empty() => Some(&kind),
        Compared::Not | Compared::Asked | Compared::AsText => None,
    };
    let start = out.len();
    let mut known = false;
    for id in &taken.stored {
        let column = view.snapshot().field(*id).map_or(field.logical, |field| field.logical);
        alike(&mut known, start, out, |out| {
            canonical(given, format, plain, &column, &kind, Purpose::Assign, style, out).map_err(fault)
        })
        .map_err(|refusal| refusal.unwrap_or_else(|| differs(field)))?;
    }
    if let Some(kind) = compares {
        alike(&mut known, start, out, |out| {
            canonical(given, format, plain, &field.logical, kind, Purpose::Compare, style, out).map_err(fault)
        })
        .map_err(|refusal| refusal.unwrap_or_else(|| differs(field)))?;
    }
    Ok(())
}

/// Applies what the text applies to a value. Beyond ASCII which letters belong together is the server's to
/// say, by its locale.
fn fold(field: &Field, folds: &[Fold], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    if !plain.is_ascii() && folds.iter().any(|fold| fold.is_of_case()) {
        let detail = format!(
            "field {}: lower() or upper() of a text beyond ASCII rests on the server's locale",
            field.path()
        );
        return Err(Refusal::unhandled(
            "function",
            &detail,
            "Apply it in the application, or set normalize = \"lowercase\" in its [[field]].",
        ));
    }
    let blank = |byte: &u8| *byte == b' ';
    let mut rest = plain;
    for fold in folds {
        if matches!(fold, Fold::Trim | Fold::LeftTrim) {
            rest = rest.get(rest.iter().take_while(|byte| blank(byte)).count()..).unwrap_or_default();
        }
        if matches!(fold, Fold::Trim | Fold::RightTrim) {
            let beyond = rest.iter().rev().take_while(|byte| blank(byte)).count();
            rest = rest.get(..rest.len() - beyond).unwrap_or_default();
        }
    }
    out.extend_from_slice(rest);
    match folds.iter().rfind(|fold| fold.is_of_case()) {
        Some(Fold::Lower) => out.make_ascii_lowercase(),
        Some(Fold::Upper) => out.make_ascii_uppercase(),
        Some(Fold::Trim | Fold::LeftTrim | Fold::RightTrim | Fold::Text) | None => {}
    }
    Ok(())
}

/// A value of an enumeration is one of its labels.
fn check_label(field: &Field, plain: &[u8]) -> Result<(), Refusal> {
    let Some(own) = field.own.as_ref().filter(|own| own.enumeration) else { return Ok(()) };
    let name = &own.name;
    match own.has_label(plain) {
        Some(true) => Ok(()),
        Some(false) => {
            let what = format!("invalid input value for enum {name}");
            Err(Refusal::invalid(&field.path(), "22P02", &what))
        }
        None => {
            let what = format!("type {name} does not exist, or is none that the policy says");
            Err(Refusal::invalid(&field.path(), "42704", &what))
        }
    }
}

/// Appends the canonical form of the value of which the server makes this text, or, where it makes it of none,
/// a form that no value of the field has.
fn as_text(
    field: &Field,
    kind: &Kind,
    plain: &[u8],
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let logical = &field.logical;
    let mut value = zeroize::Zeroizing::new(Vec::new());
    let read = canonical(None, Format::Text, plain, logical, kind, Purpose::Compare, style, &mut value);
    match read {
        Ok(()) => {}
        Err(fault) if fault.sqlstate == "0A000" => {
            return Err(Refusal::invalid(&field.path(), fault.sqlstate, &fault.message));
        }
        Err(_) => value.clear(),
    }
    let mut written = zeroize::Zeroizing::new(Vec::new());
    let shown = !value.is_empty() && text_of(logical, &value, style, &mut written).is_ok();
    if shown && written.as_slice() == plain {
        out.extend_from_slice(&value);
    } else if logical.is_text() {
        // With blanks at its end, where no value of a char(n) has any.
        out.extend_from_slice(plain);
    }
    Ok(())
}

/// Is the value's own form the one that is sealed: text that stays as it is?
pub(super) fn is_as_given(field: &Field, taken: &Taken, given: Option<&Logical>) -> bool {
    let plain = |logical: &Logical| *logical == Logical::TEXT;
    let kind = field.domain.as_ref().map(|domain| domain.kind);
    plain(&field.logical)
        && !field.is_enumeration()
        && given.is_none_or(plain)
        && taken.given.as_ref().is_none_or(plain)
        && kind.is_some_and(|kind| kind.normalize.is_nothing())
        && !matches!(taken.compared, Compared::Like | Compared::AsText)
        && taken.folds.is_empty()
        && matches!(taken.stored.as_slice(), [] | [_])
}

/// Appends a form, or makes sure that it is the one that stands there. An error without a refusal: it is not.
fn alike(
    known: &mut bool,
    start: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>,
) -> Result<(), Option<Refusal>> {
    if !std::mem::replace(known, true) {
        return write(out).map_err(Some);
    }
    let mut other = zeroize::Zeroizing::new(Vec::new());
    write(&mut other).map_err(Some)?;
    if out.get(start..) == Some(other.as_slice()) { Ok(()) } else { Err(None) }
}

fn differs(field: &Field) -> Refusal {
    let detail = format!(
        "field {}: one value is used in several places, as each of which it is another",
        field.path()
    );
    Refusal::unhandled("parameter-conflict", &detail, "Give each place a value of its own.")
}

/// The type that a client declares for a parameter, if a value of it can be sealed.
pub(super) enum Given {
    /// None, or unknown: it is read as what it is used for.
    Nothing,
    Type(Logical),
    /// One that is not among those that are followed.
    Other,
}

impl Given {
    pub(super) fn of(oid: u32) -> Given {
        match oid {
            0 | UNKNOWN_OID => Given::Nothing,
            oid => Logical::by_oid(oid).map_or(Given::Other, Given::Type),
        }
    }

    /// The same of a parameter of this field, which may be declared as the enumeration or the domain that the
    /// field is. Nothing but its own type becomes an enumeration.
    fn for_field(field: &Field, oid: u32) -> Given {
        let own = field.own.as_ref().and_then(OwnType::oid);
        match Given::of(oid) {
            Given::Other if own == Some(oid) => Given::Type(field.logical),
            Given::Type(_) if field.is_enumeration() => Given::Other,
            given @ (Given::Nothing | Given::Type(_) | Given::Other) => given,
        }
    }
}

/// What a directly connected client is told of a parameter for which it declares no type.
fn inferred(field: &Field, taken: &Taken, array: bool, view: &View) -> Logical {
    if !taken.folds.is_empty() {
        return Logical::TEXT;
    }
    if taken.compared == Compared::AsText {
        return Logical { array, ..Logical::TEXT };
    }
    let stored = taken.stored.first().and_then(|id| view.snapshot().field(*id)).map(|field| field.logical);
    let of = taken.given.or(stored).unwrap_or_else(|| {
        let own = field.logical;
        // varchar and cidr have no operators of their own; their arrays do.
        match (own.base, own.array) {
            (Base::Varchar, false) => Logical::TEXT,
            (Base::Cidr, false) => Logical::of(Base::Inet),
            (_, _) => own,
        }
    });
    Logical { array: array || of.array, ..of }
}

/// What becomes of one parameter of a judged statement.
pub(super) enum Parameter {
    /// It goes as it is: it stands for nothing that is sealed.
    Plain,
    /// It is sealed, as a value of this field that is given as this type.
    Sealed { field: FieldId, given: Option<Logical> },
}

/// Decides it by what the client declares.
///
/// # Errors
/// It is of a type that the server would not take where it stands, or that is not followed.
pub(super) fn parameter(
    view: &View,
    facts: &StatementFacts,
    parameter: &ParameterUse,
    declared: u32,
) -> Result<Parameter, Refusal> {
    let field = field_of(view, parameter.field)?;
    if field.domain.is_none() {
        return Ok(Parameter::Plain);
    }
    let given = Given::for_field(field, declared);
    if parameter.taken.compared == Compared::Asked {
        return Ok(asked(view, facts, parameter, &given));
    }
    let refused = || {
        let detail = format!("parameter ${} is declared with type OID {declared}", parameter.given);
        Refusal::value(&field.path(), &detail)
    };
    let element = |logical: Logical| Logical { array: logical.array && !parameter.array, ..logical };
    match given {
        Given::Nothing => Ok(Parameter::Sealed { field: field.id, given: None }),
        Given::Type(of) if parameter.array && !of.array => Err(refused()),
        Given::Type(of) => {
            let of = element(of);
            let stored = parameter.taken.stored.iter().map(|id| field_of(view, *id));
            let stored = stored.collect::<Result<Vec<_>, _>>()?;
            let compares = parameter.taken.compared != Compared::Not || stored.is_empty();
            let cast = parameter.taken.given;
            let keeps =
                |cast: Logical| cast.characters().is_none() || !matches!(of.base, Base::Bpchar | Base::Name);
            let alike = |cast: Logical| {
                let texts = [of, cast].iter().all(|of| of.base.family() == Family::Text);
                texts && of.array == cast.array
            };
            // An integer is cast to a wider one as it is.
            let widens = |cast: Logical| {
                let integers = [of, cast].iter().all(|of| of.base.family() == Family::Integer);
                integers && of.base.length() <= cast.base.length()
            };
            let cast =
                cast.is_none_or(|cast| of.base == cast.base || widens(cast) || alike(cast) && keeps(cast));
            if parameter.taken.compared == Compared::AsText {
                return if of.is_text() {
                    Ok(Parameter::Sealed { field: field.id, given: Some(of) })
                } else {
                    Err(refused())
                };
            }
            let taken = cast
                && (parameter.taken.folds.is_empty() || of.is_text())
                && (!compares || of.compares_with(&element(field.logical)))
                && stored.iter().all(|column| of.assigns_to(&column.logical));
            if taken { Ok(Parameter::Sealed { field: field.id, given: Some(of) }) } else { Err(refused()) }
        }
        Given::Other => Err(refused()),
    }
}

/// Can sealed values stand in all parameters of a PREPARE that are values of a sealed field? `types`: as it
/// declares them, which is how the server gets them.
pub(super) fn check_declared(view: &View, facts: &StatementFacts, types: &[u32]) -> Result<(), Refusal> {
    for use_of in &facts.parameters {
        let declared = declared(types, use_of);
        if let Parameter::Sealed { field, .. } = parameter(view, facts, use_of, declared)? {
            let texts = if use_of.array { TEXT_ARRAYS } else { TEXTS };
            if !texts.contains(&declared) {
                let detail = format!("parameter ${} is declared with type OID {declared}", use_of.given);
                return Err(Refusal::value(&field_of(view, field)?.path(), &detail));
            }
        }
    }
    Ok(())
}

/// The type OID that a client declares for a parameter: 0 where it declares none.
pub(super) fn declared(types: &[u32], parameter: &ParameterUse) -> u32 {
    types.get(usize::from(parameter.given).saturating_sub(1)).copied().unwrap_or(0)
}

/// Type OIDs of parameters in which sealed values can stand: none, text, varchar, unknown; and of arrays.
const TEXTS: [u32; 4] = [0, TEXT_OID, 1043, UNKNOWN_OID];
const TEXT_ARRAYS: [u32; 4] = [0, TEXT_ARRAY_OID, 1015, UNKNOWN_OID];

/// One that is only tested: where its type is that of a value of this statement it may be that value.
fn asked(view: &View, facts: &StatementFacts, parameter: &ParameterUse, given: &Given) -> Parameter {
    let (own, of) = match given {
        Given::Nothing => (parameter.taken.given.map_or(Family::Text, |of| of.base.family()), None),
        Given::Type(of) => (of.base.family(), Some(*of)),
        // It may be an enum, or a type made of text.
        Given::Other => return Parameter::Sealed { field: parameter.field, given: None },
    };
    let others = facts.parameters.iter().map(|other| other.field);
    let fields = [parameter.field].into_iter().chain(others);
    let alike = |id: &FieldId| {
        view.snapshot().field(*id).is_some_and(|field| {
            let family = field.logical.base.family();
            field.domain.is_some()
                && (own == family || own == Family::Text || family == Family::Text && !is_far(own))
        })
    };
    match fields.into_iter().find(alike) {
        Some(field) => Parameter::Sealed { field, given: of },
        None => Parameter::Plain,
    }
}

/// Can no text be of it, as a client writes the value of a sealed column of text?
fn is_far(family: Family) -> bool {
    match family {
        Family::Integer
        | Family::Numeric
        | Family::Float
        | Family::Bool
        | Family::Date
        | Family::Time
        | Family::Timetz
        | Family::Timestamp
        | Family::Timestamptz
        | Family::Interval
        | Family::Uuid
        | Family::Money => true,
        Family::Text | Family::Json | Family::Jsonb | Family::Bytea | Family::Network | Family::Macaddr => {
            false
        }
    }
}

/// The OID with which a parameter goes to the server: that of text where it is sealed.
pub(super) fn oid_upstream(parameter: &ParameterUse, declared: u32) -> u32 {
    match declared {
        0 => 0,
        _ if parameter.array => TEXT_ARRAY_OID,
        _ => TEXT_OID,
    }
}

/// The type as which a bound value is read. `declared`: by the client.
pub(super) fn bound_as(
    view: &View,
    parameter: &ParameterUse,
    declared: Option<Logical>,
    format: Format,
) -> Result<Option<Logical>, Refusal> {
    let field = field_of(view, parameter.field)?;
    match (declared, format) {
        (Some(of), _) => Ok(Some(of)),
        // As it was told.
        (None, Format::Binary) => {
            Ok(Some(Logical { array: field.logical.array, ..inferred(field, &parameter.taken, false, view) }))
        }
        (None, Format::Text) => Ok(None),
    }
}

/// The type of the database that the server would infer: a domain's where a value is stored in it, or cast.
fn own_oid(field: &Field, taken: &Taken, view: &View) -> Option<u32> {
    let stored = taken.stored.first().and_then(|id| view.snapshot().field(*id));
    if taken.given.is_some() || taken.compared == Compared::AsText {
        return None;
    }
    let of = stored.or(Some(field).filter(|field| taken.own || field.is_enumeration()))?;
    of.own.as_ref()?.oid()
}

/// The enumeration as which a client sees a column that carries one of these fields: its OID.
pub(super) fn shown_as_own(view: &View, fields: &[FieldId]) -> Option<u32> {
    let mut all = fields.iter().map(|id| view.snapshot().field(*id).filter(|field| field.is_enumeration()));
    let first = all.next()??.own.as_ref()?;
    all.all(|other| other.is_some_and(|other| other.own.as_ref() == Some(first))).then(|| first.oid())?
}

/// The OIDs of ParameterDescription as a client is told them: those of the types that it gave or that the
/// server would have inferred.
pub(super) fn told_oids(view: &View, facts: &StatementFacts, types: &[u32], oids: &mut [u32]) {
    for parameter in facts.parameters.iter().filter(|parameter| !parameter.is_own()) {
        let at = usize::from(parameter.number).saturating_sub(1);
        let Some(oid) = oids.get_mut(at) else { continue };
        let declared = declared(types, parameter);
        if !matches!(declared, 0 | UNKNOWN_OID) {
            *oid = declared;
            continue;
        }
        if parameter.taken.compared == Compared::Asked && parameter.taken.given.is_none() {
            continue;
        }
        let Some(field) = view.snapshot().field(parameter.field).filter(|field| field.domain.is_some())
        else {
            continue;
        };
        if let Some(own) = own_oid(field, &parameter.taken, view) {
            *oid = own;
        } else if let Some((told, _, _)) =
            inferred(field, &parameter.taken, parameter.array, view).described()
        {
            *oid = told;
        }
    }
}

/// The type as which a client sees a column that carries one of these fields.
pub(super) fn shown_as(view: &View, fields: &[FieldId]) -> Option<Logical> {
    let mut all = fields.iter().filter_map(|id| view.snapshot().field(*id)).map(|field| field.logical);
    let first = all.next()?;
    let joined = all.fold(first, |one, other| {
        if one == other {
            one
        } else if one.base == other.base && one.array == other.array {
            Logical { modifier: crate::catalog::NO_MODIFIER, ..one }
        } else if one.base.family() == Family::Integer && other.base.family() == Family::Integer {
            let widest = one.base.length().max(other.base.length());
            Logical::of(
                [Base::Int2, Base::Int4, Base::Int8]
                    .into_iter()
                    .find(|base| base.length() == widest)
                    .unwrap_or(Base::Int8),
            )
        } else {
            Logical { array: one.array, ..Logical::TEXT }
        }
    });
    Some(joined)
}

pub(super) fn field_of(view: &View, id: FieldId) -> Result<&Field, Refusal> {
    view.snapshot().field(id).ok_or_else(|| {
        Refusal::unhandled(
            "catalog-changed",
            "A classified field is not in the catalog any more.",
            "Try again.",
        )
    })
}
