//! STUB, replaced by merge.
use crate::catalog::{Kind, Logical};
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Style;
impl Style {
    pub fn parameter(&mut self, _: &[u8], _: &[u8]) {}
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Binary,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Assign,
    Compare,
}
#[derive(Debug)]
pub struct ValueFault {
    pub sqlstate: &'static str,
    pub message: String,
}
pub fn canonical(
    _: Option<&Logical>,
    _: Format,
    value: &[u8],
    _: &Logical,
    _: &Kind,
    _: Purpose,
    _: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    out.extend_from_slice(value);
    Ok(())
}
pub fn show(
    _: &Logical,
    canonical: &[u8],
    _: Format,
    _: &Style,
    out: &mut Vec<u8>,
) -> Result<(), ValueFault> {
    out.extend_from_slice(canonical);
    Ok(())
}
