//! Claims about the names in client certificates; some made by `openssl req -x509`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::BmpString;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

use super::*;

/// `/O=Shop/OU=Desk/CN=ada@shop.example`
const FULL: &str = "MIIBiTCCATugAwIBAgIUR276jjv/3xb1mbK397UWP8EzORgwBQYDK2VwMDkxDTALBgNVBAoMBFNob3AxDTALBgNVBAsMBERlc2sxGTAXBgNVBAMMEGFkYUBzaG9wLmV4YW1wbGUwIBcNMjYxMTI1MTAzMjMyWhgPMjEyNjExMDExMDMyMzJaMDkxDTALBgNVBAoMBFNob3AxDTALBgNVBAsMBERlc2sxGTAXBgNVBAMMEGFkYUBzaG9wLmV4YW1wbGUwKjAFBgMrZXADIQAZBuxcvopBDtU+HIuzmjLtaIPXvwS544eufIibDRlpQaNTMFEwHQYDVR0OBBYEFCtEWYVwe00WZdpr97ctMqlEiyJ1MB8GA1UdIwQYMBaAFCtEWYVwe00WZdpr97ctMqlEiyJ1MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA/4s+wRDayuWrZUo/1fYdbZY/Ofk4vKb80eKfvxdO/L3MininRb8UZvLRKazGS8zdoD5YEt9pPbz4L4B6SVDpAA==";
/// `/O=none`
const NO_NAME: &str = "MIIBNDCB56ADAgECAhRmsxGqs1tCumk92li3o1Poj7j2/DAFBgMrZXAwDzENMAsGA1UECgwEbm9uZTAgFw0yNjExMjUxMDMyMzJaGA8yMTI2MTEwMTEwMzIzMlowDzENMAsGA1UECgwEbm9uZTAqMAUGAytlcAMhANP8tQEI0asgk38pzLMihBhEtLacYYZHOh3cMeNtbpZ+o1MwUTAdBgNVHQ4EFgQUDgmN3hlwtMm2tVoF51UFAF4L39MwHwYDVR0jBBgwFoAUDgmN3hlwtMm2tVoF51UFAF4L39MwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQARNugnuT94upYRqDTr4nigLV0tR1zej1ijsBh/oiZPfnzxFTpmfEqQQG9KjxMXI9FsKRv8aAzPQaJsEjRvyfIN";
/// `/CN=ada/CN=bob`
const TWO_NAMES: &str = "MIIBTzCCAQGgAwIBAgIUMsLff/As8bnLRE653vg013lZZ7owBQYDK2VwMBwxDDAKBgNVBAMMA2FkYTEMMAoGA1UEAwwDYm9iMCAXDTI2MTEyNTEwMzIzMloYDzIxMjYxMTAxMTAzMjMyWjAcMQwwCgYDVQQDDANhZGExDDAKBgNVBAMMA2JvYjAqMAUGAytlcAMhAF6P/sipzItWOnTic6BhaHnIfzuhtlCl1KG6o4QiZNnko1MwUTAdBgNVHQ4EFgQU8dk+Q6x2rGmEBNQAVGAxYKTkVxswHwYDVR0jBBgwFoAU8dk+Q6x2rGmEBNQAVGAxYKTkVxswDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQBHamXEOUksvlehZ0xaUnUgRzANmGB55sY/WWgRL/vhchRQl3xV58v0hZ0FhuMX0c9V/HPj2D3rwdO0yDiQJ1YC";

fn read(base64: &str) -> Option<CommonName> {
    CommonName::read(&STANDARD.decode(base64).unwrap())
}

fn named(value: DnValue) -> Option<CommonName> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, value);
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    CommonName::read(params.self_signed(&key).unwrap().der())
}

#[test]
fn one_common_name_is_read() {
    let name = read(FULL).unwrap();
    assert_eq!(&**name.text(), "ada@shop.example");
    assert!(name.is(b"ada@shop.example") && !name.is(b"ada") && !name.is(b""));
    let name = named(DnValue::BmpString(BmpString::try_from("ad\u{e5}").unwrap())).unwrap();
    assert_eq!(&**name.text(), "ad\u{e5}");
}

#[test]
fn none_and_two_are_no_name() {
    assert!(read(NO_NAME).is_none() && read(TWO_NAMES).is_none());
    assert!(named(DnValue::Utf8String(String::new())).is_none());
    assert!(CommonName::read(b"no certificate").is_none());
}

#[test]
fn a_name_that_was_changed_for_the_record_is_nobodys() {
    for name in ["ada\0", "a\nb", &"x".repeat(300)] {
        let read = named(DnValue::Utf8String(name.to_owned())).unwrap();
        assert!(read.text().len() <= 256 && !read.text().chars().any(char::is_control));
        assert!(!read.is(read.text().as_bytes()) && !read.is(name.as_bytes()), "{name:?}");
    }
}

#[test]
fn truncated_and_flipped_certificates_never_panic() {
    for certificate in [FULL, TWO_NAMES] {
        let sound = STANDARD.decode(certificate).unwrap();
        for at in 0..sound.len() {
            assert!(!fuzz_certificate(&sound[..at]));
            for bit in [0x01, 0x20, 0x80] {
                let mut flipped = sound.clone();
                flipped[at] ^= bit;
                fuzz_certificate(&flipped);
            }
        }
    }
}
