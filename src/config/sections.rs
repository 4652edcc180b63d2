use super::{Fault, Settings};
pub(super) fn read(_text: &str, _origin: &str) -> Result<Settings, Vec<Fault>> {
    Err(Vec::new())
}
