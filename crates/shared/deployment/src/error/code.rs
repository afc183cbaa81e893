//! The public error codes of a deployment and the class of each (core-device §6.15).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! error_codes {
    ($($variant:ident $text:literal $class:ident,)*) => {
        /// A code of a deployment's error stack, as fleet status and job details spell it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DeploymentErrorCode {
            $(#[doc = $text] $variant,)*
        }

        impl DeploymentErrorCode {
            /// Every code there is.
            pub const ALL: &[DeploymentErrorCode] = &[$(DeploymentErrorCode::$variant,)*];

            /// The public spelling, such as `COMPONENT_BROKEN`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(DeploymentErrorCode::$variant => $text,)*
                }
            }

            /// The class that the code brings into a deployment's error types.
            #[must_use]
            pub fn error_type(self) -> DeploymentErrorType {
                match self {
                    $(DeploymentErrorCode::$variant => DeploymentErrorType::$class,)*
                }
            }
        }
    };
}

error_codes! {
    AccessDenied "ACCESS_DENIED" PermissionError,
    ArtifactChecksumMismatch "ARTIFACT_CHECKSUM_MISMATCH" ComponentRecipeError,
    ArtifactDownloadError "ARTIFACT_DOWNLOAD_ERROR" None,
    ArtifactUriNotValid "ARTIFACT_URI_NOT_VALID" ComponentRecipeError,
    BadRequest "BAD_REQUEST" NucleusError,
    CloudApiError "CLOUD_API_ERROR" None,
    ComponentBootstrapError "COMPONENT_BOOTSTRAP_ERROR" None,
    ComponentBootstrapTimeout "COMPONENT_BOOTSTRAP_TIMEOUT" None,
    ComponentBroken "COMPONENT_BROKEN" None,
    ComponentCircularDependencyError "COMPONENT_CIRCULAR_DEPENDENCY_ERROR" RequestError,
    ComponentConfigurationNotValid "COMPONENT_CONFIGURATION_NOT_VALID" None,
    ComponentDependencyNotValid "COMPONENT_DEPENDENCY_NOT_VALID" ComponentRecipeError,
    ComponentLoadFailure "COMPONENT_LOAD_FAILURE" NucleusError,
    ComponentMetadataNotValidInDeployment "COMPONENT_METADATA_NOT_VALID_IN_DEPLOYMENT" None,
    ComponentPackageLoadingError "COMPONENT_PACKAGE_LOADING_ERROR" None,
    ComponentUpdateError "COMPONENT_UPDATE_ERROR" None,
    ComponentVersionNotValid "COMPONENT_VERSION_NOT_VALID" ComponentRecipeError,
    ComponentVersionRequirementsNotMet "COMPONENT_VERSION_REQUIREMENTS_NOT_MET" RequestError,
    ConfigInterpolateError "CONFIG_INTERPOLATE_ERROR" ComponentRecipeError,
    ConflictedRequest "CONFLICTED_REQUEST" RequestError,
    CredentialEndpointAuthFailure "CREDENTIAL_ENDPOINT_AUTH_FAILURE" PermissionError,
    CredentialEndpointServerError "CREDENTIAL_ENDPOINT_SERVER_ERROR" ServerError,
    CustomPluginNotSupported "CUSTOM_PLUGIN_NOT_SUPPORTED" UserComponentError,
    DeploymentDocumentNotValid "DEPLOYMENT_DOCUMENT_NOT_VALID" None,
    DeploymentDocumentParseError "DEPLOYMENT_DOCUMENT_PARSE_ERROR" None,
    DeploymentDocumentSizeExceeded "DEPLOYMENT_DOCUMENT_SIZE_EXCEEDED" CloudServiceError,
    DeploymentFailure "DEPLOYMENT_FAILURE" None,
    DeploymentInterrupted "DEPLOYMENT_INTERRUPTED" None,
    DeploymentRejected "DEPLOYMENT_REJECTED" None,
    DeploymentTypeNotValid "DEPLOYMENT_TYPE_NOT_VALID" UnknownError,
    DeviceConfigNotValidForArtifactDownload "DEVICE_CONFIG_NOT_VALID_FOR_ARTIFACT_DOWNLOAD" DeviceError,
    DiskSpaceCritical "DISK_SPACE_CRITICAL" DeviceError,
    DockerArtifactUriNotValid "DOCKER_ARTIFACT_URI_NOT_VALID" ComponentRecipeError,
    DockerError "DOCKER_ERROR" DependencyError,
    DockerImageNotValid "DOCKER_IMAGE_NOT_VALID" DependencyError,
    DockerImageQueryError "DOCKER_IMAGE_QUERY_ERROR" DependencyError,
    DockerLoginError "DOCKER_LOGIN_ERROR" DependencyError,
    DockerPullError "DOCKER_PULL_ERROR" DependencyError,
    DockerServiceUnavailable "DOCKER_SERVICE_UNAVAILABLE" DependencyError,
    DownloadDeploymentDocumentError "DOWNLOAD_DEPLOYMENT_DOCUMENT_ERROR" HttpError,
    DownloadGreengrassArtifactError "DOWNLOAD_GREENGRASS_ARTIFACT_ERROR" HttpError,
    EmptyArtifactScheme "EMPTY_ARTIFACT_SCHEME" ComponentRecipeError,
    EmptyArtifactUri "EMPTY_ARTIFACT_URI" ComponentRecipeError,
    EmptyDeploymentRequest "EMPTY_DEPLOYMENT_REQUEST" None,
    GetComponentVersionArtifactAccessDenied "GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED" PermissionError,
    GetDeploymentConfigurationAccessDenied "GET_DEPLOYMENT_CONFIGURATION_ACCESS_DENIED" PermissionError,
    GetEcrCredentialError "GET_ECR_CREDENTIAL_ERROR" PermissionError,
    GetGreengrassArtifactSizeError "GET_GREENGRASS_ARTIFACT_SIZE_ERROR" HttpError,
    GreengrassArtifactSizeNotFound "GREENGRASS_ARTIFACT_SIZE_NOT_FOUND" CloudServiceError,
    HashingAlgorithmUnavailable "HASHING_ALGORITHM_UNAVAILABLE" DeviceError,
    HttpRequestError "HTTP_REQUEST_ERROR" HttpError,
    IotCredEndpointFormatNotValid "IOT_CRED_ENDPOINT_FORMAT_NOT_VALID" RequestError,
    IotDataEndpointFormatNotValid "IOT_DATA_ENDPOINT_FORMAT_NOT_VALID" RequestError,
    IoError "IO_ERROR" None,
    IoFileAttributeError "IO_FILE_ATTRIBUTE_ERROR" DeviceError,
    IoMappingError "IO_MAPPING_ERROR" None,
    IoReadError "IO_READ_ERROR" DeviceError,
    IoUnzipError "IO_UNZIP_ERROR" DeviceError,
    IoWriteError "IO_WRITE_ERROR" DeviceError,
    LaunchDirectoryCorrupted "LAUNCH_DIRECTORY_CORRUPTED" DeviceError,
    LocalRecipeCorrupted "LOCAL_RECIPE_CORRUPTED" DeviceError,
    LocalRecipeMetadataNotFound "LOCAL_RECIPE_METADATA_NOT_FOUND" DeviceError,
    LocalRecipeNotFound "LOCAL_RECIPE_NOT_FOUND" DeviceError,
    MissingDockerApplicationManager "MISSING_DOCKER_APPLICATION_MANAGER" RequestError,
    MissingMqttConnectPolicy "MISSING_MQTT_CONNECT_POLICY" PermissionError,
    MissingTokenExchangeService "MISSING_TOKEN_EXCHANGE_SERVICE" RequestError,
    MqttConnectionFailed "MQTT_CONNECTION_FAILED" NetworkError,
    MultipleNucleusResolvedError "MULTIPLE_NUCLEUS_RESOLVED_ERROR" RequestError,
    NetworkError "NETWORK_ERROR" NetworkError,
    NoAvailableComponentVersion "NO_AVAILABLE_COMPONENT_VERSION" None,
    NucleusMissingRequiredCapabilities "NUCLEUS_MISSING_REQUIRED_CAPABILITIES" RequestError,
    NucleusRestartFailure "NUCLEUS_RESTART_FAILURE" NucleusError,
    NucleusVersionNotFound "NUCLEUS_VERSION_NOT_FOUND" NucleusError,
    RecipeMetadataParseError "RECIPE_METADATA_PARSE_ERROR" ComponentRecipeError,
    RecipeMissingArtifactHashAlgorithm "RECIPE_MISSING_ARTIFACT_HASH_ALGORITHM" ComponentRecipeError,
    RecipeMissingManifest "RECIPE_MISSING_MANIFEST" ComponentRecipeError,
    RecipeParseError "RECIPE_PARSE_ERROR" ComponentRecipeError,
    RejectedStaleDeployment "REJECTED_STALE_DEPLOYMENT" None,
    RemoveComponentError "REMOVE_COMPONENT_ERROR" None,
    ResolveComponentCandidatesAccessDenied "RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED" PermissionError,
    ResolveComponentCandidatesBadResponse "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE" CloudServiceError,
    ResourceNotFound "RESOURCE_NOT_FOUND" RequestError,
    RunWithConfigNotValid "RUN_WITH_CONFIG_NOT_VALID" RequestError,
    S3AccessDenied "S3_ACCESS_DENIED" PermissionError,
    S3ArtifactUriNotValid "S3_ARTIFACT_URI_NOT_VALID" ComponentRecipeError,
    S3BadRequest "S3_BAD_REQUEST" DependencyError,
    S3Error "S3_ERROR" DependencyError,
    S3GetBucketLocationAccessDenied "S3_GET_BUCKET_LOCATION_ACCESS_DENIED" PermissionError,
    S3GetBucketLocationResourceNotFound "S3_GET_BUCKET_LOCATION_RESOURCE_NOT_FOUND" RequestError,
    S3GetObjectAccessDenied "S3_GET_OBJECT_ACCESS_DENIED" PermissionError,
    S3GetObjectResourceNotFound "S3_GET_OBJECT_RESOURCE_NOT_FOUND" RequestError,
    S3HeadObjectAccessDenied "S3_HEAD_OBJECT_ACCESS_DENIED" PermissionError,
    S3HeadObjectResourceNotFound "S3_HEAD_OBJECT_RESOURCE_NOT_FOUND" RequestError,
    S3ResourceNotFound "S3_RESOURCE_NOT_FOUND" DependencyError,
    S3ServerError "S3_SERVER_ERROR" ServerError,
    ServerError "SERVER_ERROR" ServerError,
    SetPermissionError "SET_PERMISSION_ERROR" DeviceError,
    ThrottlingError "THROTTLING_ERROR" RequestError,
    TlsHandshakeFailure "TLS_HANDSHAKE_FAILURE" NetworkError,
    UnauthorizedNucleusMinorVersionUpdate "UNAUTHORIZED_NUCLEUS_MINOR_VERSION_UPDATE" RequestError,
    UnsupportedArtifactScheme "UNSUPPORTED_ARTIFACT_SCHEME" ComponentRecipeError,
    UnsupportedRegion "UNSUPPORTED_REGION" RequestError,
    UserNotAuthorizedForDocker "USER_NOT_AUTHORIZED_FOR_DOCKER" PermissionError,
}

impl fmt::Display for DeploymentErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DeploymentErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DeploymentErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown error code {text}")))
    }
}

/// The class of a failure, as fleet status and job details spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentErrorType {
    None,
    UnknownError,
    ServerError,
    NucleusError,
    CloudServiceError,
    ComponentError,
    AwsComponentError,
    UserComponentError,
    PermissionError,
    DeviceError,
    NetworkError,
    DependencyError,
    RequestError,
    HttpError,
    ComponentRecipeError,
}

impl DeploymentErrorType {
    /// The public spelling, such as `COMPONENT_ERROR`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeploymentErrorType::None => "NONE",
            DeploymentErrorType::UnknownError => "UNKNOWN_ERROR",
            DeploymentErrorType::ServerError => "SERVER_ERROR",
            DeploymentErrorType::NucleusError => "NUCLEUS_ERROR",
            DeploymentErrorType::CloudServiceError => "CLOUD_SERVICE_ERROR",
            DeploymentErrorType::ComponentError => "COMPONENT_ERROR",
            DeploymentErrorType::AwsComponentError => "AWS_COMPONENT_ERROR",
            DeploymentErrorType::UserComponentError => "USER_COMPONENT_ERROR",
            DeploymentErrorType::PermissionError => "PERMISSION_ERROR",
            DeploymentErrorType::DeviceError => "DEVICE_ERROR",
            DeploymentErrorType::NetworkError => "NETWORK_ERROR",
            DeploymentErrorType::DependencyError => "DEPENDENCY_ERROR",
            DeploymentErrorType::RequestError => "REQUEST_ERROR",
            DeploymentErrorType::HttpError => "HTTP_ERROR",
            DeploymentErrorType::ComponentRecipeError => "COMPONENT_RECIPE_ERROR",
        }
    }
}

impl fmt::Display for DeploymentErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
