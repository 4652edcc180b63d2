//! STUB, replaced at the merge.
use super::Channel;
pub struct ServerTls;
pub struct ClientTls;
#[derive(Debug)]
pub struct TlsError(pub String);
impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
pub struct TlsFacts {
    pub alpn: Option<Vec<u8>>,
    pub presented: Option<Vec<u8>>,
    pub peer: Option<Vec<u8>>,
}
impl Channel {
    pub async fn accept_tls(&mut self, _: &ServerTls, _: &[u8]) -> Result<(), TlsError> {
        Err(TlsError(String::new()))
    }
    pub async fn connect_tls(&mut self, _: &ClientTls, _: &str, _: bool) -> Result<(), TlsError> {
        Err(TlsError(String::new()))
    }
    pub fn tls(&self) -> Option<&TlsFacts> {
        None
    }
}
