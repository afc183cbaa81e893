//! What a registry refuses beyond what a device cannot read (cloud.md §1.3).

use crate::artifact::Scheme;
use crate::error::{self, RecipeError};
use crate::format::Format;
use crate::model::Recipe;
use crate::platform::{self, BadPattern};
use serde_json::Value;
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::PlatformAttributes;
use thiserror::Error;

/// The largest recipe that a registry takes, in bytes (AWS's quota).
pub const LARGEST_CLOUD_BYTES: usize = 16 * 1024;

/// Why a registry refuses a recipe: for a `ValidationException` that names the field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} {problem}", error::place(pointer))]
pub struct CloudFault {
    /// JSON pointer of the key at fault; `""` is the recipe itself.
    pub pointer: String,
    /// What is wrong there, as a fragment.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl CloudFault {
    fn new(pointer: impl Into<String>, problem: impl Into<String>) -> Self {
        CloudFault {
            pointer: pointer.into(),
            problem: problem.into(),
            hint: None,
        }
    }

    fn help(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The field's name for `ValidationException.fields`: the pointer with dots, such as
    /// `Manifests.0.Artifacts.0.Uri`; `inlineRecipe` for the document itself.
    #[must_use]
    pub fn field(&self) -> String {
        match self.pointer.trim_start_matches('/') {
            "" => "inlineRecipe".to_owned(),
            path => path.replace('/', "."),
        }
    }
}

impl From<RecipeError> for CloudFault {
    fn from(error: RecipeError) -> Self {
        CloudFault {
            problem: format!("{} (line {})", error.problem, error.line),
            pointer: error.pointer,
            hint: error.hint,
        }
    }
}

impl Diagnose for CloudFault {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "recipe-refused"
    }
    fn place(&self) -> Option<Place> {
        Some(error::place(&self.pointer))
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.map(Cow::Borrowed)
    }
}

impl Recipe {
    /// Reads a recipe as `CreateComponentVersion` does: format by its text, and refused where no
    /// device could ever use it.
    ///
    /// # Errors
    /// All faults that are found; the first one alone where the text cannot be read.
    pub fn parse_for_cloud(bytes: &[u8]) -> Result<(Self, Format), Vec<CloudFault>> {
        if bytes.len() > LARGEST_CLOUD_BYTES {
            let problem = format!(
                "has {} bytes, {LARGEST_CLOUD_BYTES} are allowed",
                bytes.len()
            );
            return Err(vec![CloudFault::new("", problem)]);
        }
        let format = Format::detect(bytes);
        let recipe = Recipe::parse(bytes, format).map_err(|error| vec![error.into()])?;
        let faults = recipe.validate_for_cloud();
        if faults.is_empty() {
            Ok((recipe, format))
        } else {
            Err(faults)
        }
    }

    /// What a registry refuses in a recipe that can be read; empty where nothing.
    #[must_use]
    pub fn validate_for_cloud(&self) -> Vec<CloudFault> {
        let mut faults = Vec::new();
        if self.manifests.is_empty() {
            let fault = CloudFault::new("/Manifests", "is missing or empty");
            faults.push(fault.help("a manifest without Platform fits every device"));
        }
        if !matches!(self.default_configuration, None | Some(Value::Object(_))) {
            faults.push(CloudFault::new(
                "/ComponentConfiguration/DefaultConfiguration",
                "is no object",
            ));
        }
        for dependency in &self.dependencies {
            if dependency.name == self.name {
                let pointer = format!("/ComponentDependencies/{}", dependency.name);
                faults.push(CloudFault::new(
                    pointer,
                    "makes the component its own dependency",
                ));
            }
        }
        self.check_platforms(&mut faults);
        self.check_artifacts(&mut faults);
        faults
    }

    fn check_platforms(&self, faults: &mut Vec<CloudFault>) {
        for (index, manifest) in self.manifests.iter().enumerate() {
            for (attribute, wanted) in &manifest.platform {
                // A pattern is only tried on a device that has the attribute.
                let device: PlatformAttributes = [(attribute.as_str(), "x")].into_iter().collect();
                if let Err(BadPattern(reason)) =
                    platform::matches(attribute, wanted.as_deref(), &device)
                {
                    let pointer = format!("/Manifests/{index}/Platform/{attribute}");
                    let problem = format!("is a pattern that cannot be used: {reason}");
                    faults.push(CloudFault::new(pointer, problem));
                }
            }
        }
    }

    fn check_artifacts(&self, faults: &mut Vec<CloudFault>) {
        for (manifest, artifacts) in self.manifests.iter().map(|one| &one.artifacts).enumerate() {
            for (index, artifact) in artifacts.iter().enumerate() {
                let problem = match artifact.scheme() {
                    Scheme::S3 { .. } | Scheme::Greengrass { .. } => match artifact.file_name() {
                        Some(_) => continue,
                        None => "names no file".to_owned(),
                    },
                    Scheme::Docker { image: "" } => "names no image".to_owned(),
                    Scheme::Docker { .. } => continue,
                    Scheme::BadS3 => "is not of the form s3://BUCKET/KEY".to_owned(),
                    Scheme::Empty => "has no scheme".to_owned(),
                    Scheme::Unsupported { scheme } => {
                        format!("has the scheme {scheme}, which nobody serves")
                    }
                };
                let pointer = format!("/Manifests/{manifest}/Artifacts/{index}/Uri");
                let problem = format!("is {:?}, which {problem}", artifact.uri);
                faults.push(
                    CloudFault::new(pointer, problem)
                        .help("upload it to a bucket and write s3://BUCKET/KEY"),
                );
            }
        }
    }
}
