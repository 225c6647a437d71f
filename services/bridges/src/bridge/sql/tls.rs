//! TLS to `PostgreSQL`, as `sslmode` in the address asks for it.
//!
//! | `sslmode` | encrypted | the server's certificate |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer`, the default | if the server can | not looked at |
//! | `require` | yes | not looked at |
//! | `verify-full` | yes | holds for the host's name, and comes from an authority that is trusted |
//!
//! - Shapes: `sslrootcert` names a PEM file with the trusted authorities; without it those that browsers
//!   trust are. A socket of the machine itself carries no TLS, whatever the mode.
//! - Errors: [`NotSafe`], each with a page in `docs/errors`.
//! - Source: PostgreSQL's documentation, "SSL Support" of libpq, whose words these are; `verify-ca` is left
//!   out, for whoever checks the authority can check the name as well.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// What the driver says of a server that answers a request for TLS with no.
const NO_TLS: &str = "server does not support TLS";

/// Why nothing is said to a database.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSafe {
    #[error("SQL-0001: the database offers no TLS, and `sslmode` asks for it")]
    NoTls,
    #[error("SQL-0002: the database's certificate is not trusted: {0}")]
    Untrusted(rustls::Error),
    #[error("SQL-0003: '{0}' is no `sslmode`: disable, prefer, require and verify-full are known")]
    UnknownMode(String),
    #[error("SQL-0004: {path} has no certificates of authorities: {why}", path = path.display())]
    NoRoots { path: PathBuf, why: String },
}

impl NotSafe {
    /// The one that a failed connection comes from, if it is one.
    pub(super) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if error.to_string() == NO_TLS {
                return Some(Self::NoTls);
            }
            // What a handshake ends with lies within an error of the stream.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(rustls) = inner.or_else(|| error.downcast_ref()) {
                let refused = matches!(rustls, rustls::Error::InvalidCertificate(_));
                return refused.then(|| Self::Untrusted(rustls.clone()));
            }
            cause = error.source();
        }
        None
    }
}

/// Where a database is, and how to speak with it.
pub(super) struct Route {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Tls,
}

/// Reads an address as `postgres://USER@HOST/DATABASE?sslmode=…&sslrootcert=…`.
pub(super) fn route(url: &str) -> anyhow::Result<Route> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut others) = ("prefer", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => roots = Some(PathBuf::from(unescaped(value))),
            _ => others.push(pair),
        }
    }
    let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    let mut config: tokio_postgres::Config = format!("{address}{rest}").parse()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let unseen =
        || client.clone().dangerous().with_custom_certificate_verifier(Arc::new(Any(provider)));
    let (mode, client) = match mode {
        "disable" => (SslMode::Disable, unseen().with_no_client_auth()),
        "prefer" => (SslMode::Prefer, unseen().with_no_client_auth()),
        "require" => (SslMode::Require, unseen().with_no_client_auth()),
        "verify-full" => {
            let roots = authorities(roots.as_deref())?;
            (SslMode::Require, client.with_root_certificates(roots).with_no_client_auth())
        }
        other => return Err(NotSafe::UnknownMode(other.to_owned()).into()),
    };
    let local = config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)));
    config.ssl_mode(if local { SslMode::Disable } else { mode });
    Ok(Route { config, tls: Tls(TlsConnector::from(Arc::new(client))) })
}

/// A value in a query, with its `%2F` as `/`: paths are all that is escaped there.
fn unescaped(value: &str) -> String {
    value.replace("%2F", "/").replace("%2f", "/").replace("%20", " ")
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, NotSafe> {
    let Some(path) = file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let failed = |why: String| NotSafe::NoRoots { path: path.to_owned(), why };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate: what is sent is encrypted, for whoever has it.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes TLS connections for the driver.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// One that is to be made, to a host of this name.
pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// One that is made.
pub(super) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        // A socket of the machine itself has no name, and is never asked for TLS.
        let name = if domain.is_empty() { "localhost" } else { domain };
        let name = ServerName::try_from(name.to_owned())?;
        Ok(Handshake { connector: self.0.clone(), name })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        let Self { connector, name } = self;
        Box::pin(async move { connector.connect(name, stream).await.map(Encrypted) })
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        route(url).unwrap_or_else(|error| panic!("{url}: {error}")).config.get_ssl_mode()
    }

    fn refusal(url: &str) -> String {
        route(url).err().expect("it is refused").to_string()
    }

    #[test]
    fn the_address_says_how_safe_it_is_to_be() {
        assert_eq!(mode("postgres://ada@db/shop"), SslMode::Prefer);
        assert_eq!(mode("postgres://ada@db/shop?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://ada@db/shop?sslmode=require"), SslMode::Require);
        assert_eq!(mode("postgres://ada@db/shop?sslmode=verify-full"), SslMode::Require);
        let other = route("postgres://ada@db/shop?connect_timeout=7&sslmode=require").unwrap();
        assert_eq!(other.config.get_connect_timeout(), Some(&std::time::Duration::from_secs(7)));
        // A socket of the machine itself.
        assert_eq!(mode("postgres://ada@%2Frun%2Fdb/shop?sslmode=require"), SslMode::Disable);
    }

    #[test]
    fn what_is_asked_for_and_cannot_be_is_told_with_its_code() {
        let said = refusal("postgres://ada@db/shop?sslmode=verify-ca");
        assert!(said.starts_with("SQL-0003") && said.contains("'verify-ca'"), "{said}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.pem");
        let url = format!("postgres://ada@db/?sslmode=verify-full&sslrootcert={}", path.display());
        assert!(refusal(&url).starts_with("SQL-0004"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(refusal(&url).starts_with("SQL-0004"));
    }
}
