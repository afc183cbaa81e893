//! What every component's processes find in their environment (core-device §3.3).

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use sward_engine::configuration::Configuration;
use sward_ipc_server::{SocketPath, TokenRegistry};
use sward_model::{ComponentName, NUCLEUS_NAME, NUCLEUS_VERSION};

/// Makes the environment of each component.
pub(crate) struct ComponentEnvironment {
    configuration: Configuration,
    tokens: TokenRegistry,
    socket: PathBuf,
    socket_for_component: PathBuf,
    /// Where the token exchange answers, once it does.
    credentials_url: Mutex<Option<String>>,
}

impl ComponentEnvironment {
    pub(crate) fn new(
        configuration: Configuration,
        tokens: TokenRegistry,
        socket: &SocketPath,
    ) -> Self {
        ComponentEnvironment {
            configuration,
            tokens,
            socket: socket.absolute().to_owned(),
            socket_for_component: socket.for_component(),
            credentials_url: Mutex::default(),
        }
    }

    /// The token exchange answers at this URL from now on.
    pub(crate) fn set_credentials_url(&self, url: String) {
        *self
            .credentials_url
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(url);
    }

    /// The variables of one component.
    pub(crate) fn of(&self, component: &ComponentName) -> BTreeMap<String, String> {
        let token = self.tokens.issue(component.as_str()).reveal().to_owned();
        let nucleus = |key: &[&str]| {
            let path: Vec<&str> = ["services", NUCLEUS_NAME, "configuration"]
                .iter()
                .chain(key)
                .copied()
                .collect();
            self.configuration
                .get_text(&path)
                .filter(|text| !text.is_empty())
        };
        let system = |key: &str| {
            self.configuration
                .get_text(&["system", key])
                .unwrap_or_default()
        };
        let region = nucleus(&["awsRegion"]).unwrap_or_else(|| "us-east-1".to_owned());
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
        set("SVCUID", token.clone());
        set("AWS_CONTAINER_AUTHORIZATION_TOKEN", token);
        set("AWS_IOT_THING_NAME", system("thingName"));
        set("AWS_REGION", region.clone());
        set("AWS_DEFAULT_REGION", region);
        set("AWS_USE_FIPS_ENDPOINT", "false".to_owned());
        set("AWS_GG_FIPS_MODE", "false".to_owned());
        set("GGC_VERSION", NUCLEUS_VERSION.to_owned());
        set("GG_ROOT_CA_PATH", system("rootCaPath"));
        set("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", shown(&self.socket));
        set(
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT",
            shown(&self.socket_for_component),
        );
        if let Some(url) = &*self
            .credentials_url
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.clone());
        }
        // Where the services of a private cloud are (DESIGN §2); a core of AWS has neither.
        if let Some(url) = nucleus(&["sward", "awsEndpointUrl"]) {
            set("AWS_ENDPOINT_URL", url);
        }
        if let Some(bundle) = nucleus(&["sward", "awsCaBundle"]) {
            set("AWS_CA_BUNDLE", bundle);
        }
        variables
    }

    /// `setenv` of the configuration, from the outside in.
    pub(crate) fn setenv_of(&self, component: &ComponentName) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for path in [
            vec!["setenv"],
            vec!["services", "setenv"],
            vec!["services", component.as_str(), "setenv"],
        ] {
            if let Some(Value::Object(map)) = self.configuration.get(&path) {
                variables.extend(map.into_iter().map(|(name, value)| (name, text_of(value))));
            }
        }
        variables
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
