//! As whom a script runs (core-device §3.2).

use crate::supervisor::status::Trouble;
use sward_sys::command::Identity;
use sward_sys::{User, UserDatabase};

/// As whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// The core's own user; nothing changes.
    Own,
    Other(Account),
}

/// Another user, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) identity: Identity,
    /// Absent for a number that no user has.
    pub(crate) user: Option<User>,
}

/// What decides.
pub(crate) struct Question<'a> {
    pub(crate) requires_privilege: bool,
    /// `runWith.posixUser` of the component.
    pub(crate) component_user: Option<&'a str>,
    /// `runWithDefault.posixUser`.
    pub(crate) default_user: Option<&'a str>,
    pub(crate) is_root: bool,
    pub(crate) own_user_id: u32,
    pub(crate) own_group_id: u32,
}

/// A script that cannot be started, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) trouble: Trouble,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(trouble: Trouble, reason: impl Into<String>) -> Self {
        Refusal {
            trouble,
            reason: reason.into(),
        }
    }
}

pub(crate) fn resolve(question: &Question<'_>, users: &UserDatabase) -> Result<RunAs, Refusal> {
    // An ordinary user can only ever be itself.
    if question.requires_privilege || !question.is_root {
        return Ok(RunAs::Own);
    }
    let given = [question.component_user, question.default_user];
    let Some(text) = given.into_iter().flatten().find(|text| !text.is_empty()) else {
        return Err(no_user(
            "no user is known to run it as; set runWith.posixUser, or runWithDefault.posixUser of the nucleus",
        ));
    };
    let account = look_up(text, users)?;
    let is_own = account.identity.user_id == question.own_user_id
        && account.identity.group_id == question.own_group_id;
    Ok(if is_own {
        RunAs::Own
    } else {
        RunAs::Other(account)
    })
}

fn no_user(reason: impl Into<String>) -> Refusal {
    Refusal::new(Trouble::NoUser, reason)
}

/// `user[:group]`, each a name or a number.
fn look_up(text: &str, users: &UserDatabase) -> Result<Account, Refusal> {
    let (user_text, group_text) = match text.split_once(':') {
        Some((user, group)) if !user.is_empty() => (user, Some(group).filter(|g| !g.is_empty())),
        _ => (text, None),
    };
    let user = users.user(user_text).cloned();
    let user_id = match (&user, user_text.parse::<u32>()) {
        (Some(user), _) => user.id,
        (None, Ok(id)) => id,
        (None, Err(_)) => return Err(no_user(format!("there is no user {user_text:?}"))),
    };
    let group_id = match (group_text, &user) {
        (Some(text), _) => match (users.group(text), text.parse::<u32>()) {
            (Some(group), _) => group.id,
            (None, Ok(id)) => id,
            (None, Err(_)) => return Err(no_user(format!("there is no group {text:?}"))),
        },
        (None, Some(user)) => user.group_id,
        (None, None) => {
            return Err(no_user(format!(
                "user {user_text} has no primary group; write it as {user_text}:GROUP"
            )));
        }
    };
    let groups = match &user {
        Some(user) => users.groups_of(&user.name, group_id),
        None => vec![group_id],
    };
    Ok(Account {
        identity: Identity {
            user_id,
            group_id,
            groups,
        },
        user,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> UserDatabase {
        UserDatabase::parse(
            "root:x:0:0::/root:/bin/sh\nggc_user:x:998:997::/home/ggc_user:/bin/sh\nplain:x:1000:1000::/home/plain:\n",
            "ggc_group:x:997:\nvideo:x:44:ggc_user\nplain:x:1000:\n",
        )
    }

    fn question<'a>(component: Option<&'a str>, default: Option<&'a str>) -> Question<'a> {
        Question {
            requires_privilege: false,
            component_user: component,
            default_user: default,
            is_root: true,
            own_user_id: 0,
            own_group_id: 0,
        }
    }

    #[test]
    fn root_runs_components_as_the_user_chosen() {
        fn check(
            component: Option<&str>,
            default: Option<&str>,
            expected: Result<(u32, u32, &[u32]), &str>,
        ) {
            let found = resolve(&question(component, default), &users());
            match (found, expected) {
                (Ok(RunAs::Other(account)), Ok((user, group, groups))) => {
                    assert_eq!(
                        (account.identity.user_id, account.identity.group_id),
                        (user, group)
                    );
                    assert_eq!(account.identity.groups, groups);
                }
                (Err(refusal), Err(part)) => {
                    assert_eq!(refusal.trouble, Trouble::NoUser);
                    assert!(refusal.reason.contains(part), "{}", refusal.reason);
                }
                (found, _) => panic!("{component:?} {default:?}: {found:?}"),
            }
        }
        check(Some("ggc_user"), None, Ok((998, 997, &[997, 44])));
        check(None, Some("ggc_user:ggc_group"), Ok((998, 997, &[997, 44])));
        check(Some("plain:44"), Some("ggc_user"), Ok((1000, 44, &[44])));
        check(Some("998:video"), None, Ok((998, 44, &[44])));
        check(Some("4242:4343"), None, Ok((4242, 4343, &[4343])));
        check(Some(""), Some("plain"), Ok((1000, 1000, &[1000])));
        check(Some("4242"), None, Err("no primary group"));
        check(Some("nobody-here"), None, Err("no user \"nobody-here\""));
        check(Some("plain:nogroup"), None, Err("no group \"nogroup\""));
        check(Some(":video"), None, Err("no user \":video\""));
        check(None, None, Err("runWithDefault.posixUser"));
    }

    #[test]
    fn privilege_and_ordinary_cores_keep_the_own_user() {
        let mut privileged = question(Some("plain"), None);
        privileged.requires_privilege = true;
        assert_eq!(resolve(&privileged, &users()), Ok(RunAs::Own));
        let mut ordinary = question(Some("nobody-here"), None);
        ordinary.is_root = false;
        assert_eq!(resolve(&ordinary, &users()), Ok(RunAs::Own));
        assert_eq!(
            resolve(&question(Some("root"), None), &users()),
            Ok(RunAs::Own)
        );
    }
}
