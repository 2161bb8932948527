//! TLS to the broker: whom this process believes, and who it is.
//!
//! `lapin` by itself would add the authority of the options to those of the system; here it takes
//! their place, so that a public authority cannot vouch for a false broker. The files are read for
//! each connection: a renewed certificate is used from the next one on.

use std::path::Path;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{BackboneError, Options};

/// What a connection over TLS needs.
pub(super) fn connector(options: &Options) -> Result<RustlsConnector, BackboneError> {
    // Without a default rustls cannot choose; a second installation changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = match &options.ca_file {
        Some(path) => {
            let mut config = RustlsConnectorConfig::default();
            config.add_parsable_certificates(certificates(path)?);
            config
        }
        None => RustlsConnectorConfig::new_with_native_certs()
            .map_err(|e| BackboneError::Configuration(format!("authorities: {e}")))?,
    };
    let connector = match &options.identity {
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_file(&identity.key)
                .map_err(|e| unusable(&identity.key, &e))?;
            config.connector_with_single_cert(certificates(&identity.certificate)?, key)
        }
        None => config.connector_with_no_client_auth(),
    };
    connector.map_err(|e| BackboneError::Configuration(format!("TLS: {e}")))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BackboneError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = read.map_err(|e| unusable(path, &e))?;
    if all.is_empty() {
        return Err(BackboneError::Configuration(format!("{}: no certificate", path.display())));
    }
    Ok(all)
}

fn unusable(path: &Path, error: &rustls::pki_types::pem::Error) -> BackboneError {
    BackboneError::Configuration(format!("{}: {error}", path.display()))
}
