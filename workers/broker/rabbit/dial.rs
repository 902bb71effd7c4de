//! The stream to the broker.
//!
//! TLS is ours and not lapin's: lapin's own brings 44 crates, most of them for client certificates that we do
//! not use, and the frame filter would have to be inside of it.

use std::{io, path::Path, sync::Arc};

use lapin::uri::AMQPUri;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// TCP, or TLS over TCP.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a stream to the broker and sends nothing but the TLS handshake.
pub(super) async fn dial(uri: &AMQPUri, tls: Option<&TlsConnector>) -> io::Result<Box<dyn Stream>> {
    let (host, port) = (&uri.authority.host, uri.authority.port);
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.clone()).map_err(invalid)?;
    Ok(Box::new(tls.connect(name, stream).await?))
}

/// Prepares TLS that trusts the authorities of the system and those of a PEM file.
pub(super) fn tls(ca_file: Option<&Path>) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let pem = std::fs::read(path)?;
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(invalid)?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(invalid("the file holds no PEM certificate"));
        }
    }
    let mut system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        return Err(match system.errors.pop() {
            Some(error) => io::Error::other(error),
            None => io::Error::other("the system has no certificates of authorities"),
        });
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
