//! Reads the golden vectors that stand beside the checkout.

use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Runs a check on every case of a file; says which cases fail. `false` where the file is absent.
pub(crate) fn vectors(file: &str, mut check: impl FnMut(&Value)) -> bool {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../../shared/golden"
    ))
    .join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        #[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
        {
            eprintln!("passed over: {} is not here", path.display());
        }
        return false;
    };
    let mut failed = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a vector is JSON");
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| check(&case))).is_err() {
            failed.push(
                case.get("name")
                    .or(case.get("chain"))
                    .unwrap_or(&case)
                    .to_string(),
            );
        }
    }
    assert!(count > 0, "{file} has no cases");
    assert!(
        failed.is_empty(),
        "{} of {count} cases of {file} fail: {}",
        failed.len(),
        failed.join(", ")
    );
    true
}
