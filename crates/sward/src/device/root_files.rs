//! The files of a core's root before its first start.
//!
//! ```text
//! ROOT/config.yaml              0600  what `sward core --root ROOT` starts from
//! ROOT/certs/device.pem.crt     0644  the device certificate
//! ROOT/certs/private.pem.key    0600  its private key (P-256, PKCS#8)
//! ROOT/certs/rootCA.pem         0644  the trust anchor of the cloud
//! ```

use crate::place::Endpoints;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use sward_diagnosis::{Kind, Place, Report};
use sward_model::ThingName;

/// A root that is being filled.
pub(super) struct Root {
    path: PathBuf,
}

/// What goes into `config.yaml`.
pub(super) struct Configuration<'a> {
    pub(super) thing_name: &'a ThingName,
    pub(super) endpoints: &'a Endpoints,
    pub(super) role_alias: &'a str,
    pub(super) default_user: Option<&'a str>,
    pub(super) cloud_ca: &'a Path,
}

impl Root {
    /// Makes the folders; refuses a root that holds a device already.
    pub(super) fn prepare(root: &Path) -> Result<Self, Report> {
        let path = std::path::absolute(root)
            .map_err(|error| failed("cannot resolve the root", root, &error))?;
        if path.join("config.yaml").exists() || path.join("config").exists() {
            return Err(Report::new(
                Kind::Conflict,
                "root-in-use",
                "the root belongs to a device already",
            )
            .at(Place::file(&path))
            .help("choose another --root, or delete this one"));
        }
        let certificates = path.join("certs");
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&certificates)
            .map_err(|error| failed("cannot make the folder", &certificates, &error))?;
        Ok(Root { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn certificate_file(&self, name: &str) -> PathBuf {
        self.path.join("certs").join(name)
    }

    /// Makes a key pair, keeps the key here and returns a request for its certificate (PEM).
    pub(super) fn certificate_request(&self, name: &ThingName) -> Result<String, Report> {
        let internal = |error: rcgen::Error| {
            Report::new(
                Kind::Internal,
                "key-pair",
                "cannot make the device's key pair",
            )
            .caused_by_error(&error)
        };
        let key = KeyPair::generate().map_err(internal)?;
        let mut parameters = CertificateParams::default();
        parameters
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
        let request = parameters
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .map_err(internal)?;
        write(
            &self.certificate_file("private.pem.key"),
            &key.serialize_pem(),
            0o600,
        )?;
        Ok(request)
    }

    pub(super) fn write_certificate(&self, pem: &str) -> Result<(), Report> {
        write(&self.certificate_file("device.pem.crt"), pem, 0o644)
    }

    /// Writes `config.yaml`; JSON is YAML, and needs no writer of our own.
    pub(super) fn write_configuration(
        &self,
        configuration: &Configuration<'_>,
    ) -> Result<(), Report> {
        let ca = configuration.cloud_ca;
        let anchor = fs::read_to_string(ca)
            .map_err(|error| failed("cannot read the trust anchor", ca, &error))?;
        write(&self.certificate_file("rootCA.pem"), &anchor, 0o644)?;
        let document = self.document(configuration)?;
        write(
            &self.path.join("config.yaml"),
            &format!("{document:#}\n"),
            0o600,
        )
    }

    fn document(&self, configuration: &Configuration<'_>) -> Result<Value, Report> {
        let Endpoints {
            api,
            device,
            mqtt,
            region,
            ..
        } = configuration.endpoints;
        let (_, device_port) = host_and_port(device)?;
        let (mqtt_host, mqtt_port) = host_and_port(mqtt)?;
        let certificates = self.path.join("certs");
        let mut nucleus = json!({
            "awsRegion": region,
            "iotRoleAlias": configuration.role_alias,
            "iotDataEndpoint": mqtt_host,
            "iotCredEndpoint": device,
            "greengrassDataPlaneEndpoint": "iotdata",
            "greengrassDataPlanePort": device_port,
            "mqtt": { "port": mqtt_port },
            "sward": { "awsEndpointUrl": api, "awsCaBundle": certificates.join("rootCA.pem") },
        });
        if let Some(user) = configuration.default_user {
            nucleus["runWithDefault"] = json!({ "posixUser": user });
        }
        Ok(json!({
            "system": {
                "certificateFilePath": certificates.join("device.pem.crt"),
                "privateKeyPath": certificates.join("private.pem.key"),
                "rootCaPath": certificates.join("rootCA.pem"),
                "rootpath": self.path,
                "thingName": configuration.thing_name,
            },
            "services": {
                "aws.greengrass.Nucleus": {
                    "componentType": "NUCLEUS",
                    "version": sward_model::NUCLEUS_VERSION,
                    "configuration": nucleus,
                },
            },
        }))
    }
}

fn host_and_port(endpoint: &str) -> Result<(&str, u16), Report> {
    endpoint
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| {
            Report::new(
                Kind::Corrupt,
                "endpoint",
                format!("the endpoint {endpoint:?} is not HOST:PORT"),
            )
        })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Report> {
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    attempt().map_err(|error| failed("cannot write the file", path, &error))
}

fn failed(what: &'static str, path: &Path, error: &io::Error) -> Report {
    Report::new(Kind::Device, "root-file", what)
        .at(Place::file(path))
        .caused_by_error(error)
}
