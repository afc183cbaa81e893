//! Starting, watching and ending components.
mod lifecycle;
mod machine;
mod spec;
mod status;
pub use lifecycle::StepKind;
pub use machine::RetrySettings;
pub use spec::{Applied, Changes, ComponentKind, ComponentSpec, DependencyKind};
pub use status::{
    ComponentStatus, Failure, Settled, StateChanged, StatusCode, StepResult, Trouble,
};
