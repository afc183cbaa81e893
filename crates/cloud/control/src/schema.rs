//! All tables of the control plane, module by module.

use crate::{greengrass, iot, jobs, shadows};
use sward_store::Migration;

/// Every schema step of this crate, in an order that the store accepts.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    [
        iot::MIGRATIONS,
        shadows::MIGRATIONS,
        jobs::MIGRATIONS,
        greengrass::MIGRATIONS,
    ]
    .concat()
}
