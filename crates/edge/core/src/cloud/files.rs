//! Key, certificate and root CA: read when they can be, and again when they change.
//!
//! A file may come late (a volume, a provisioning step) or be renewed while the core runs. MQTT
//! reads them at each connection; the HTTP clients get them from here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use sward_diagnosis::Diagnose as _;
use sward_net::http::Client;
use sward_net::tls::{ClientConfig, ClientIdentity, Roots, TlsError, client_config};
use sward_task::Tasks;

/// The protocol names by which a server tells devices' connections apart.
const MQTT_PROTOCOL: &[&[u8]] = &[b"x-amzn-mqtt-ca"];
const HTTP_PROTOCOLS: &[&[u8]] = &[b"x-amzn-http-ca", b"http/1.1"];

/// How long until files that cannot be used are looked at again.
const WHILE_UNUSABLE: Duration = Duration::from_secs(5);
/// How long until files that are in use are looked at again.
const WHILE_USED: Duration = Duration::from_secs(60);

/// Where key, certificate and trust anchor are.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) root_ca: PathBuf,
}

/// What tells that a file is another one.
type Stamps = [Option<(SystemTime, u64)>; 3];

impl Files {
    /// The device's side of an MQTT connection.
    pub(super) fn for_mqtt(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.tls(true, MQTT_PROTOCOL)
    }

    /// Gives the clients what the files hold, now and whenever they change.
    pub(super) fn follow(&self, with_certificate: Client, plain: Client, tasks: &Tasks) {
        let files = self.clone();
        let mut known = files.stamps();
        let mut failed = files.load(&with_certificate, &plain, None).err();
        let stop = tasks.token();
        tasks.spawn_essential("certificate-files", async move {
            loop {
                let wait = if failed.is_some() {
                    WHILE_UNUSABLE
                } else {
                    WHILE_USED
                };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => return,
                }
                let now = files.stamps();
                if failed.is_some() || now != known {
                    failed = files
                        .load(&with_certificate, &plain, failed.as_deref())
                        .err();
                    known = now;
                }
            }
        });
    }

    /// Reads the files; the same failure as before is not told again.
    fn load(
        &self,
        with_certificate: &Client,
        plain: &Client,
        before: Option<&str>,
    ) -> Result<(), String> {
        let loaded = self
            .tls(true, HTTP_PROTOCOLS)
            .and_then(|mutual| Ok((mutual, self.tls(false, &[])?)));
        match loaded {
            Ok((mutual, simple)) => {
                with_certificate.set_tls(mutual);
                plain.set_tls(simple);
                tracing::info!("the device's certificate is in use");
                Ok(())
            }
            Err(error) => {
                let error = error.report().one_line();
                if before != Some(error.as_str()) {
                    tracing::error!(error, "the cloud cannot be reached with these files");
                }
                Err(error)
            }
        }
    }

    fn tls(
        &self,
        with_certificate: bool,
        protocols: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = Roots::from_file(&self.root_ca)?;
        let identity = with_certificate
            .then(|| ClientIdentity::from_files(&self.certificate, &self.key))
            .transpose()?;
        client_config(&roots, identity.as_ref(), protocols)
    }

    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key, &self.root_ca].map(|path| stamp(path))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
