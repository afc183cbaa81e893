//! Which service a signature is for, and how that service words its errors.

use sward_sigv4::Dialect;

/// A service by the name in the credential scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Iot,
    Greengrass,
    IotData,
    IotJobsData,
    Iam,
    Sts,
    S3,
    /// Signed for a service that does not exist here.
    Unknown,
}

impl Service {
    /// By the credential scope; older SDKs sign with other names (cloud.md §0).
    pub(crate) fn of_scope(name: &str) -> Self {
        match name {
            "iot" | "execute-api" => Service::Iot,
            "greengrass" => Service::Greengrass,
            "iotdata" | "iotdevicegateway" => Service::IotData,
            "iot-jobs-data" | "iotjobsdata" => Service::IotJobsData,
            "iam" => Service::Iam,
            "sts" => Service::Sts,
            "s3" => Service::S3,
            _ => Service::Unknown,
        }
    }

    /// The name that the control plane and the metrics know.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Service::Iot => "iot",
            Service::Greengrass => "greengrass",
            Service::IotData => "iotdata",
            Service::IotJobsData => "iot-jobs-data",
            Service::Iam => "iam",
            Service::Sts => "sts",
            Service::S3 => "s3",
            Service::Unknown => "unknown",
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Service::Iam | Service::Sts => Dialect::Query,
            Service::S3 => Dialect::S3,
            _ => Dialect::Json,
        }
    }

    /// The code of a call that no policy allows.
    pub(crate) fn denied_code(self) -> &'static str {
        match self {
            Service::Iam | Service::Sts | Service::S3 => "AccessDenied",
            Service::IotData | Service::IotJobsData => "ForbiddenException",
            _ => "AccessDeniedException",
        }
    }
}
