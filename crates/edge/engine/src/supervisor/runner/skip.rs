//! Whether a step is passed over.

use crate::supervisor::lifecycle::{Condition, SkipIf};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Answers a `Skipif`, with the folders searched for programs and the core's root.
pub(crate) fn is_skipped(skip: &SkipIf, search_path: &[String], root: &Path) -> bool {
    let holds = match &skip.condition {
        Condition::OnPath(program) if program.starts_with('/') => is_program(Path::new(program)),
        Condition::OnPath(program) => search_path
            .iter()
            .any(|folder| is_program(&Path::new(folder).join(program))),
        Condition::Exists(file) => expand(file, root).exists(),
    };
    holds != skip.is_negated
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// `~root/`, `~config/`, `~packages/` and `~/`.
fn expand(file: &str, root: &Path) -> PathBuf {
    let known = [
        ("~root/", root.to_owned()),
        ("~config/", root.join("config")),
        ("~packages/", root.join("packages")),
    ];
    for (prefix, folder) in known {
        if let Some(rest) = file.strip_prefix(prefix) {
            return folder.join(rest);
        }
    }
    match (file.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_files_are_looked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        std::fs::create_dir(root.join("config")).expect("a folder");
        std::fs::write(root.join("config/there"), "").expect("a file");
        let check = |is_negated: bool, condition: Condition, expected: bool| {
            let skip = SkipIf {
                is_negated,
                condition,
            };
            let path = ["/bin".to_owned(), "/usr/bin".to_owned()];
            assert_eq!(is_skipped(&skip, &path, root), expected, "{skip:?}");
        };
        check(false, Condition::OnPath("sh".into()), true);
        check(true, Condition::OnPath("sh".into()), false);
        check(false, Condition::OnPath("/bin/sh".into()), true);
        check(false, Condition::OnPath("no-such-program".into()), false);
        check(true, Condition::OnPath("no-such-program".into()), true);
        check(false, Condition::Exists("~config/there".into()), true);
        check(false, Condition::Exists("~root/config/there".into()), true);
        check(false, Condition::Exists("~packages/there".into()), false);
        check(false, Condition::Exists(root.display().to_string()), true);
    }
}
