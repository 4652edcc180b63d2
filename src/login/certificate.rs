//! Whom a client's certificate names.

use std::sync::Arc;

use x509_cert::Certificate;
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode as _, Tag, Tagged as _};

use super::binding::CERTIFICATE_BYTES_MAX;
use super::principal::text;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The common name in the subject of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommonName {
    text: Arc<str>,
    whole: bool,
}

impl CommonName {
    /// Reads a certificate in DER. None where it cannot be read, and where its subject has
    /// no common name, or more than one: which of them counts would be a guess.
    #[must_use]
    pub fn read(certificate: &[u8]) -> Option<CommonName> {
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return None;
        }
        let certificate = Certificate::from_der(certificate).ok()?;
        let mut names =
            certificate.tbs_certificate().subject().iter().filter(|attribute| attribute.oid == COMMON_NAME);
        let (Some(only), None) = (names.next(), names.next()) else { return None };
        let name = utf8(&only.value)?;
        let text = text(name.as_bytes());
        Some(CommonName { whole: *text == *name, text })
    }

    /// For the record: at most 256 bytes, control characters replaced.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Is this the user's very name? Never where the text is not the whole of the name.
    #[must_use]
    pub fn is(&self, user: &[u8]) -> bool {
        self.whole && self.text.as_bytes() == user
    }
}

/// A DirectoryString as text. The kinds that have more than one reading are not read.
fn utf8(value: &Any) -> Option<String> {
    let (bytes, tag) = (value.value(), value.tag());
    let in_ascii = [Tag::PrintableString, Tag::Ia5String, Tag::TeletexString].contains(&tag);
    let name = if tag == Tag::Utf8String || (in_ascii && bytes.is_ascii()) {
        String::from_utf8(bytes.to_vec()).ok()?
    } else if tag == Tag::BmpString {
        let (pairs, []) = bytes.as_chunks::<2>() else { return None };
        let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        String::from_utf16(&units).ok()?
    } else {
        return None;
    };
    (!name.is_empty()).then_some(name)
}

/// Fuzz entry: any bytes as a certificate.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz_certificate(data: &[u8]) -> bool {
    CommonName::read(data).is_some()
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
