//! Sealing on the way in: a permitted message becomes [`Cleared`], and only that may be
//! written upstream in its place.

use super::names::Prepared;
use super::plan::{Plan, Workshop};
use super::view::View;
use crate::catalog::{Field, FieldId};
use crate::policy::Refusal;
use crate::seal::SealError;
use crate::statement::{literal_value, quote_sealed, splice};
use crate::wire::frontend::{self, Bind, Parse};
use crate::wire::{Malformed, value};

/// Frames whose classified values are sealed. Made in this file alone.
pub struct Cleared {
    bytes: Vec<u8>,
    /// One entry a sealed value.
    sealed: Vec<FieldId>,
}

impl Cleared {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many values of which field were sealed.
    pub fn sealed(&self) -> impl Iterator<Item = (FieldId, u64)> {
        self.sealed.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len() as u64)))
    }

    fn new(bytes: Vec<u8>, mut sealed: Vec<FieldId>) -> Cleared {
        sealed.sort_unstable();
        Cleared { bytes, sealed }
    }
}

/// Type OIDs that a client may declare for a sealed text parameter: none, text, varchar,
/// unknown; and for an array of them: none, text[], varchar[].
const SCALAR_OIDS: [u32; 4] = [0, 25, 1043, 705];
const ARRAY_OIDS: [u32; 3] = [0, 1009, 1015];
const TEXT_ARRAY_OID: u32 = 1009;

impl Workshop {
    /// Seals one value of a field; a field that is not sealed is copied as it is.
    fn seal_value(&mut self, field: &Field, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(domain) = &field.domain else {
            out.extend_from_slice(plain);
            return Ok(());
        };
        let Some(sealer) = &mut self.sealer else {
            return Err(Refusal::unhandled("no-keys", "No keyring is loaded.", "See sealgate check."));
        };
        sealer.seal(domain, plain, out).map_err(|error| match error {
            SealError::NotText => Refusal::value(&field.path(), "not valid UTF-8 text"),
            SealError::TooLong => Refusal::value(&field.path(), "longer than a sealed value can be"),
            SealError::UnknownDomain => Refusal::unhandled(
                "no-keys",
                "The keyring does not hold this field's domain.",
                "Run sealgate keys init.",
            ),
        })
    }

    /// The text with every classified literal sealed; unchanged where there is none.
    fn clear_text(
        &mut self,
        view: &View,
        plan: &Plan,
        text: &[u8],
        fields: &mut Vec<FieldId>,
    ) -> Result<Vec<u8>, Refusal> {
        let lost =
            || Refusal::unhandled("splice", "A literal could not be replaced in place.", "Use a parameter.");
        let mut replacements = Vec::new();
        for literal in plan.facts.statements.iter().flat_map(|facts| &facts.literals) {
            let field = field_of(view, literal.field)?;
            if field.domain.is_none() {
                continue;
            }
            let source = text.get(literal.span.clone()).ok_or_else(lost)?;
            let plain = literal_value(source).ok_or_else(lost)?;
            let mut sealed = Vec::new();
            self.seal_value(field, &plain, &mut sealed)?;
            fields.push(literal.field);
            replacements.push((literal.span.clone(), quote_sealed(&sealed)));
        }
        replacements.sort_by_key(|(span, _)| span.start);
        splice(text, &replacements).ok_or_else(lost)
    }

    /// A Query message with its literals sealed.
    pub(super) fn clear_query(&mut self, view: &View, plan: &Plan, text: &[u8]) -> Result<Cleared, Refusal> {
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        frontend::put_query(&mut out, &self.clear_text(view, plan, text, &mut sealed)?);
        Ok(Cleared::new(out, sealed))
    }

    /// A Parse message with its literals sealed and the types of sealed parameters set to
    /// what the server stores.
    pub(super) fn clear_parse(
        &mut self,
        view: &View,
        plan: &Plan,
        parse: &Parse<'_>,
    ) -> Result<Cleared, Refusal> {
        let mut types: Vec<u32> = parse.types().collect();
        for parameter in plan.facts.statements.iter().flat_map(|facts| &facts.parameters) {
            let field = field_of(view, parameter.field)?;
            if field.domain.is_none() {
                continue;
            }
            let at = usize::from(parameter.number).saturating_sub(1);
            if types.len() <= at {
                types.resize(at + 1, 0);
            }
            let Some(oid) = types.get_mut(at) else { continue };
            let (allowed, stored): (&[u32], u32) =
                if parameter.array { (&ARRAY_OIDS, TEXT_ARRAY_OID) } else { (&SCALAR_OIDS, value::TEXT_OID) };
            if !allowed.contains(oid) {
                let detail = format!("parameter ${} is declared with type OID {oid}", parameter.number);
                return Err(Refusal::value(&field.path(), &detail));
            }
            *oid = stored;
        }
        let (mut out, mut sealed) = (Vec::new(), Vec::new());
        let text = self.clear_text(view, plan, parse.text, &mut sealed)?;
        frontend::put_parse(&mut out, parse.name, &text, &types);
        Ok(Cleared::new(out, sealed))
    }

    /// A Bind message with its classified parameters sealed.
    pub(super) fn clear_bind(
        &mut self,
        view: &View,
        prepared: &Prepared,
        bind: &Bind<'_>,
    ) -> Result<Cleared, Refusal> {
        let (mut replaced, mut sealed) = (Vec::new(), Vec::new());
        let statements = prepared.plan.iter().flat_map(|plan| &plan.facts.statements);
        for parameter in statements.flat_map(|facts| &facts.parameters) {
            let field = field_of(view, parameter.field)?;
            let at = usize::from(parameter.number).saturating_sub(1);
            let Some(Some(plain)) = bind.values.get(at) else { continue };
            if field.domain.is_none() {
                continue;
            }
            let mut out = Vec::with_capacity(plain.len() * 2 + 64);
            match (parameter.array, bind.format(at)) {
                (false, 0 | 1) => self.seal_value(field, plain, &mut out)?,
                (true, 0) => {
                    value::map_text_array(plain, &mut out, |item, out| self.seal_element(field, item, out))
                        .map_err(|error| error.refusal(field))?
                }
                (true, 1) => {
                    value::map_binary_array(plain, &mut out, |item, out| self.seal_element(field, item, out))
                        .map_err(|error| error.refusal(field))?
                }
                (_, _) => return Err(Refusal::value(&field.path(), "unknown parameter format code")),
            }
            sealed.push(field.id);
            replaced.push((at, out));
        }
        let mut out = Vec::new();
        bind.put(&mut out, &replaced);
        Ok(Cleared::new(out, sealed))
    }

    fn seal_element(&mut self, field: &Field, item: &[u8], out: &mut Vec<u8>) -> Result<(), ElementError> {
        self.seal_value(field, item, out).map_err(|refusal| ElementError::Refused(Box::new(refusal)))
    }
}

/// An Execute passes as it is: its values were cleared at Bind.
pub(super) fn clear_execute(prepared: &Prepared, describe: bool, portal: &[u8], limit: i32) -> Cleared {
    debug_assert!(prepared.plan.is_some(), "only judged statements are cleared");
    let mut out = Vec::new();
    if describe {
        frontend::put_describe_portal(&mut out, portal);
    }
    frontend::put_execute(&mut out, portal, limit);
    Cleared::new(out, Vec::new())
}

enum ElementError {
    Malformed,
    Refused(Box<Refusal>),
}

impl From<Malformed> for ElementError {
    fn from(_: Malformed) -> ElementError {
        ElementError::Malformed
    }
}

impl ElementError {
    fn refusal(self, field: &Field) -> Refusal {
        match self {
            ElementError::Malformed => Refusal::value(&field.path(), "not a one-dimensional array of text"),
            ElementError::Refused(refusal) => *refusal,
        }
    }
}

fn field_of(view: &View, id: FieldId) -> Result<&Field, Refusal> {
    view.snapshot().field(id).ok_or_else(|| {
        Refusal::unhandled(
            "catalog-changed",
            "A classified field is not in the catalog any more.",
            "Try again.",
        )
    })
}
