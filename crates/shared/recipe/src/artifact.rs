//! Artifacts: where they are, how they are unpacked, who may read and run them.

use serde_json::{Map, Value};

/// Who may do something with an artifact's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nobody but the core.
    None,
    /// The component's user and group.
    Owner,
    /// Everybody.
    All,
}

impl Access {
    pub(crate) const ALL: [Access; 3] = [Access::None, Access::Owner, Access::All];

    /// `NONE`, `OWNER` or `ALL`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Access::None => "NONE",
            Access::Owner => "OWNER",
            Access::All => "ALL",
        }
    }
}

/// The `Permission` of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    /// Who may read; running includes reading.
    pub read: Access,
    /// Who may run.
    pub execute: Access,
}

impl Default for Permission {
    fn default() -> Self {
        Permission {
            read: Access::Owner,
            execute: Access::None,
        }
    }
}

impl Permission {
    /// The mode of each file (core-device §1.7): `0o440` by default. A core that does not run as
    /// root sets `0o200` besides, so that it can replace the file.
    #[must_use]
    pub fn file_mode(self) -> u32 {
        let read = self.read.max(self.execute);
        let bit = |access: Access, least: Access, bit: u32| if access >= least { bit } else { 0 };
        0o400
            | bit(self.execute, Access::Owner, 0o100)
            | bit(read, Access::Owner, 0o040)
            | bit(self.execute, Access::Owner, 0o010)
            | bit(read, Access::All, 0o004)
            | bit(self.execute, Access::All, 0o001)
    }

    /// The mode of directories in an unpacked archive.
    #[must_use]
    pub fn directory_mode(self) -> u32 {
        0o755
    }
}

/// Whether an artifact is unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unarchive {
    /// It is used as it is.
    #[default]
    None,
    /// It is a ZIP archive, unpacked into `artifacts-unarchived`.
    Zip,
}

impl Unarchive {
    pub(crate) const ALL: [Unarchive; 2] = [Unarchive::None, Unarchive::Zip];

    /// `NONE` or `ZIP`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unarchive::None => "NONE",
            Unarchive::Zip => "ZIP",
        }
    }
}

/// Where an artifact comes from, by the scheme of its URI (any case).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme<'a> {
    /// `s3://bucket/key`.
    S3 {
        /// The bucket.
        bucket: &'a str,
        /// The key, not empty.
        key: &'a str,
    },
    /// `greengrass:name`: given out by the cloud.
    Greengrass {
        /// All that follows the scheme.
        name: &'a str,
    },
    /// `docker:[registry/]image[:tag|@digest]`.
    Docker {
        /// All that follows the scheme.
        image: &'a str,
    },
    /// `s3:` in another form than `s3://bucket/key` (AWS: `S3_ARTIFACT_URI_NOT_VALID`).
    BadS3,
    /// No scheme at all (AWS: `EMPTY_ARTIFACT_SCHEME`).
    Empty,
    /// A scheme nobody serves (AWS: `UNSUPPORTED_ARTIFACT_SCHEME`).
    Unsupported {
        /// The scheme as written.
        scheme: &'a str,
    },
}

/// One entry of a manifest's `Artifacts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// The URI, without blanks around it; may be empty or without scheme.
    pub uri: String,
    /// Base64 of the hash, added by the cloud.
    pub digest: Option<String>,
    /// The hash, such as `SHA-256`.
    pub algorithm: Option<String>,
    /// Whether it is unpacked.
    pub unarchive: Unarchive,
    /// Modes of its files.
    pub permission: Permission,
    /// Keys that the format does not know, as written.
    pub unknown: Map<String, Value>,
}

impl Artifact {
    /// Where it comes from.
    #[must_use]
    pub fn scheme(&self) -> Scheme<'_> {
        let Some((scheme, rest)) = self.uri.split_once(':') else {
            return Scheme::Empty;
        };
        let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins_well || scheme.contains(['/', '?', '#']) {
            return Scheme::Empty;
        }
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => match rest
                .strip_prefix("//")
                .and_then(|path| path.split_once('/'))
            {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Scheme::S3 { bucket, key }
                }
                _ => Scheme::BadS3,
            },
            "greengrass" => Scheme::Greengrass { name: rest },
            "docker" => Scheme::Docker { image: rest },
            _ => Scheme::Unsupported { scheme },
        }
    }

    /// The name of its file on disk: what follows the last slash. `None` where that is empty or
    /// no file name, and for Docker images, which are no files.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        let path = match self.scheme() {
            Scheme::S3 { key, .. } => key,
            Scheme::Greengrass { name } => name,
            _ => return None,
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_name = !matches!(name, "" | "." | "..") && !name.contains('\\');
        is_name.then_some(name)
    }

    /// The folder of an unpacked archive: the file name without its last extension.
    #[must_use]
    pub fn unarchived_name(&self) -> Option<&str> {
        let name = self.file_name()?;
        match name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => Some(stem),
            _ => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(uri: &str) -> Artifact {
        Artifact {
            uri: uri.to_owned(),
            digest: None,
            algorithm: None,
            unarchive: Unarchive::None,
            permission: Permission::default(),
            unknown: Map::new(),
        }
    }

    #[test]
    fn modes_follow_the_permission() {
        use Access::{All, None, Owner};
        let check = |read, execute, mode: u32| {
            let permission = Permission { read, execute };
            assert_eq!(permission.file_mode(), mode, "{permission:?}");
        };
        check(Owner, None, 0o440);
        check(None, None, 0o400);
        check(All, None, 0o444);
        check(None, All, 0o555);
        check(Owner, Owner, 0o550);
        check(All, Owner, 0o554);
        check(None, Owner, 0o550);
    }

    #[test]
    fn uris_say_where_and_under_which_name() {
        let check = |uri: &str, scheme: Scheme<'_>, name: Option<&str>| {
            let artifact = artifact(uri);
            assert_eq!(artifact.scheme(), scheme, "{uri}");
            assert_eq!(artifact.file_name(), name, "{uri}");
        };
        let (bucket, key) = ("b", "a/k.zip");
        check("s3://b/a/k.zip", Scheme::S3 { bucket, key }, Some("k.zip"));
        check("S3://b/a/k.zip", Scheme::S3 { bucket, key }, Some("k.zip"));
        check("s3://b", Scheme::BadS3, None);
        check("s3:b/k", Scheme::BadS3, None);
        check(
            "s3://b/a/..",
            Scheme::S3 {
                bucket,
                key: "a/..",
            },
            None,
        );
        let name = "a/b.zip";
        check(
            "greengrass:a/b.zip",
            Scheme::Greengrass { name },
            Some("b.zip"),
        );
        let image = "reg:5000/img:tag";
        check("docker:reg:5000/img:tag", Scheme::Docker { image }, None);
        check("k.zip", Scheme::Empty, None);
        check("", Scheme::Empty, None);
        check("ftp://b/k", Scheme::Unsupported { scheme: "ftp" }, None);
    }

    #[test]
    fn archives_unpack_into_a_folder_of_their_name() {
        assert_eq!(artifact("s3://b/k.tar.gz").unarchived_name(), Some("k.tar"));
        assert_eq!(artifact("s3://b/k").unarchived_name(), Some("k"));
        assert_eq!(artifact("s3://b/.k").unarchived_name(), Some(".k"));
    }
}
