//! How every error of Sward carries its code, cause, place, hint and whether a retry can help.
//!
//! An error is born in the innermost layer that knows what went wrong, as an ordinary
//! `thiserror` enum of that layer. The enum implements [`Diagnose`]; nothing else is asked of
//! it. At a border (an API answer, a deployment status, a terminal, a log line) the error is
//! turned into a [`Report`], a plain value that can be sent and stored, and rendered there:
//!
//! | Border | Rendering |
//! |---|---|
//! | AWS API answer | [`Kind`] chooses status and AWS code, [`Report::one_line`] is the `message` |
//! | deployment status | [`Report::chain`] gives `deployment-failure-cause`; error codes come from the deployment crate |
//! | terminal | [`Report::terminal`]: what, where, because, help |
//! | log | the fields of the report, as they are |
//!
//! This crate never decides how a layer reacts to an error, knows no AWS code, and does no IO.
//!
//! Invariants:
//! - A message is a lower-case fragment without a full stop and does not repeat its cause.
//! - A `code` is a stable, kebab-case name; callers match on codes and kinds, never on text.
//! - A report keeps every link of its chain: rendering may shorten, the value never does.
//!
//! Read first: [`Diagnose`], [`Report`], [`Kind`].

mod kind;
mod place;
mod report;

pub use kind::Kind;
pub use place::Place;
pub use report::{Link, Report};

use std::borrow::Cow;
use std::error::Error;

/// An error that can say what happened, where, why and what to do next.
///
/// Only [`kind`](Diagnose::kind) and [`code`](Diagnose::code) are required. An enum whose
/// variants wrap another diagnosed error returns it from [`because`](Diagnose::because), so that
/// the chain keeps the places and hints of the inner layers.
pub trait Diagnose: Error {
    /// The class of the failure; decides statuses and retries.
    fn kind(&self) -> Kind;

    /// A stable kebab-case name of this failure, such as `recipe-version-invalid`.
    fn code(&self) -> &'static str;

    /// The file, field, URL, policy … that is at fault.
    fn place(&self) -> Option<Place> {
        None
    }

    /// What the reader can do next, as one sentence fragment.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }

    /// Whether the same call may succeed later without anybody changing anything.
    fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// The diagnosed error that caused this one, when it is one of ours.
    ///
    /// Errors of other libraries are reached through [`Error::source`] instead.
    fn because(&self) -> Option<&dyn Diagnose> {
        None
    }

    /// The whole chain as a value.
    fn report(&self) -> Report
    where
        Self: Sized,
    {
        Report::of(self)
    }
}
