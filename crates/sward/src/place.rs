//! Where a cloud is: its data directory, and the files in it that a client reads.

use crate::cli::CloudPlace;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use sward_diagnosis::{Kind, Place, Report};

/// What `sward cloud` wrote into `endpoints.json` (DESIGN §2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Endpoints {
    /// URL of all AWS APIs.
    pub(crate) api: String,
    /// `host:port` of the devices' HTTPS and ALPN MQTT.
    pub(crate) device: String,
    /// `host:port` of MQTT.
    pub(crate) mqtt: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

/// An access key of the shared-credentials file.
#[derive(Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// The data directory of a cloud, absolute.
#[derive(Clone, Debug)]
pub(crate) struct CloudDirectory(PathBuf);

impl CloudDirectory {
    /// The directory named on the command line, else `.sward/cloud` here or in a folder above.
    pub(crate) fn find(place: &CloudPlace) -> Result<Self, Report> {
        let here = std::env::current_dir().map_err(|error| {
            Report::new(
                Kind::Device,
                "current-directory",
                "cannot tell the current directory",
            )
            .caused_by_error(&error)
        })?;
        if let Some(directory) = &place.data_dir {
            return Self::existing(here.join(directory)).ok_or_else(|| {
                Report::new(
                    Kind::NotFound,
                    "cloud-directory",
                    "this is not the data directory of a cloud",
                )
                .at(Place::file(directory))
                .help("start the cloud first: sward cloud --data-dir DIR")
            });
        }
        here.ancestors()
            .find_map(|folder| Self::existing(folder.join(".sward/cloud")))
            .ok_or_else(|| {
                Report::new(
                    Kind::NotFound,
                    "cloud-directory",
                    "no cloud is found here or in a folder above",
                )
                .at(Place::file(here.join(".sward/cloud")))
                .help("start one with `sward up`, or name its data directory with --data-dir")
            })
    }

    /// A directory that a cloud has written or will write.
    pub(crate) fn at(directory: PathBuf) -> Self {
        CloudDirectory(directory)
    }

    fn existing(directory: PathBuf) -> Option<Self> {
        directory
            .join("endpoints.json")
            .is_file()
            .then_some(CloudDirectory(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.0.join("credentials")
    }

    /// The endpoints of the cloud's last start; none, if it was never started.
    pub(crate) fn last_endpoints(&self) -> Result<Option<Endpoints>, Report> {
        if self.0.join("endpoints.json").exists() {
            self.endpoints().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether its database is there; what the cloud signs and trusts is in it alone.
    pub(crate) fn has_state(&self) -> bool {
        std::fs::metadata(self.0.join("sward.db")).is_ok_and(|file| file.len() > 0)
    }

    /// Reads `endpoints.json`.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, Report> {
        let path = self.0.join("endpoints.json");
        serde_json::from_str(&read(&path)?).map_err(|error| {
            Report::new(
                Kind::Corrupt,
                "endpoints-json",
                "cannot understand the cloud's endpoints",
            )
            .at(Place::file(&path))
            .help(
                "restore the file; or delete it, and start the cloud with the ports that its \
                 devices' config.yaml name",
            )
            .caused_by_error(&error)
        })
    }

    /// Reads the profile `default` of the credentials file.
    pub(crate) fn access_key(&self) -> Result<AccessKey, Report> {
        let path = self.credentials();
        let text = read(&path)?;
        let value = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == wanted)
                .map(|(_, value)| value.trim().to_owned())
        };
        match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(id), Some(secret)) => Ok(AccessKey { id, secret }),
            _ => Err(
                Report::new(Kind::Corrupt, "credentials", "the file holds no access key")
                    .at(Place::file(&path)),
            ),
        }
    }
}

fn read(path: &Path) -> Result<String, Report> {
    std::fs::read_to_string(path).map_err(|error| {
        Report::new(
            Kind::NotFound,
            "cloud-file",
            "cannot read a file of the cloud",
        )
        .at(Place::file(path))
        .help("is the cloud running, and may you read its data directory?")
        .caused_by_error(&error)
    })
}
