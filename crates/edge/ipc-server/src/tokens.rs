//! Who holds which token: the only proof of identity that a connection brings.

use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Length of a token; some clients have room for no other.
const TOKEN_LENGTH: usize = 16;
const TOKEN_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What precedes the name of every CLI identity.
pub const CLI_PREFIX: &str = "greengrass-cli#";

/// Who a connection speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A component, by name.
    Component(Arc<str>),
    /// A user of the local CLI, `greengrass-cli#user-<uid>`.
    CliUser { name: Arc<str>, uid: u32 },
    /// A member of a group that may use the local CLI, `greengrass-cli#group-<gid>`.
    CliGroup { name: Arc<str> },
}

impl Identity {
    /// A component's identity.
    pub fn component(name: impl Into<Arc<str>>) -> Self {
        Identity::Component(name.into())
    }

    /// The identity of one user of the CLI.
    #[must_use]
    pub fn cli_user(uid: u32) -> Self {
        Identity::CliUser {
            name: format!("{CLI_PREFIX}user-{uid}").into(),
            uid,
        }
    }

    /// The identity shared by the members of a group.
    #[must_use]
    pub fn cli_group(gid: u32) -> Self {
        Identity::CliGroup {
            name: format!("{CLI_PREFIX}group-{gid}").into(),
        }
    }

    /// The name by which policies and logs know it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Identity::Component(name)
            | Identity::CliUser { name, .. }
            | Identity::CliGroup { name } => name,
        }
    }

    /// Whether it is a CLI client.
    #[must_use]
    pub fn is_cli(&self) -> bool {
        !matches!(self, Identity::Component(_))
    }
}

/// A secret of 16 characters; its text appears in no log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<str>);

impl Token {
    /// The text, for the environment of a component or the CLI's file.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn random(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0_u8; TOKEN_LENGTH];
        random
            .fill(&mut bytes)
            .expect("the operating system gives random bytes");
        let text: String = bytes
            .iter()
            .map(|byte| char::from(TOKEN_ALPHABET[usize::from(byte % 32)]))
            .collect();
        Token(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Default)]
struct Tables {
    by_token: HashMap<Token, Identity>,
    by_identity: HashMap<Identity, Token>,
}

/// The tokens that are valid now; clones are the same registry.
#[derive(Clone)]
pub struct TokenRegistry {
    tables: Arc<Mutex<Tables>>,
    random: Arc<dyn SecureRandom + Send + Sync>,
}

impl Default for TokenRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokenRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRegistry").finish_non_exhaustive()
    }
}

impl TokenRegistry {
    /// An empty registry that draws from the operating system's random numbers.
    #[must_use]
    pub fn new() -> Self {
        TokenRegistry {
            tables: Arc::default(),
            random: Arc::new(SystemRandom::new()),
        }
    }

    /// The token of a component: made the first time, the same over restarts of the component.
    pub fn issue(&self, component: &str) -> Token {
        self.issue_to(Identity::component(component))
    }

    /// The token of any identity.
    pub fn issue_to(&self, identity: Identity) -> Token {
        let mut tables = self.lock();
        if let Some(token) = tables.by_identity.get(&identity) {
            return token.clone();
        }
        let token = Token::random(&*self.random);
        tables.by_token.insert(token.clone(), identity.clone());
        tables.by_identity.insert(identity, token.clone());
        token
    }

    /// Forgets a component's token. Connections that are open stay open.
    pub fn revoke(&self, component: &str) {
        self.revoke_from(&Identity::component(component));
    }

    /// Forgets the token of any identity.
    pub fn revoke_from(&self, identity: &Identity) {
        let mut tables = self.lock();
        if let Some(token) = tables.by_identity.remove(identity) {
            tables.by_token.remove(&token);
        }
    }

    /// Forgets all tokens of CLI clients.
    pub fn revoke_cli(&self) {
        let mut tables = self.lock();
        tables.by_identity.retain(|identity, _| !identity.is_cli());
        tables.by_token.retain(|_, identity| !identity.is_cli());
    }

    /// Whose token this is.
    #[must_use]
    pub fn identity(&self, token: &str) -> Option<Identity> {
        self.lock().by_token.get(&Token(token.into())).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // The tables are consistent after every statement, so a panic elsewhere harms nothing.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_component_until_it_is_revoked() {
        let registry = TokenRegistry::new();
        let token = registry.issue("com.example.A");
        assert_eq!(token.reveal().len(), 16);
        assert_eq!(registry.issue("com.example.A"), token);
        assert_ne!(registry.issue("com.example.B"), token);
        assert_eq!(
            registry.identity(token.reveal()),
            Some(Identity::component("com.example.A"))
        );
        registry.revoke("com.example.A");
        assert_eq!(registry.identity(token.reveal()), None);
        assert_ne!(registry.issue("com.example.A"), token);
    }

    #[test]
    fn revoking_the_cli_leaves_components_alone() {
        let registry = TokenRegistry::new();
        let component = registry.issue("com.example.A");
        let user = registry.issue_to(Identity::cli_user(0));
        let group = registry.issue_to(Identity::cli_group(27));
        registry.revoke_cli();
        assert!(registry.identity(component.reveal()).is_some());
        assert_eq!(registry.identity(user.reveal()), None);
        assert_eq!(registry.identity(group.reveal()), None);
    }

    #[test]
    fn the_text_of_a_token_is_in_no_log() {
        let token = TokenRegistry::new().issue("a");
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
