//! Shadows.
use crate::Control;
use crate::fault::Outcome;
use crate::request::Call;
use crate::reserved::Reply;
use crate::routes::{Matched, Route};
use crate::scope::Scope;
use sward_aws_wire::api::ApiResponse;
use sward_store::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[];
pub(crate) const ROUTES: &[Route] = &[];

pub(crate) async fn call(_: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) async fn operation(_: &Control, call: &Call<'_>, _: &Matched) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) fn is_request(_: &str) -> bool {
    false
}
pub(crate) async fn publish(
    _: &Control,
    _: &Scope,
    _: &str,
    _: &str,
    _: &[u8],
) -> Outcome<Vec<Reply>> {
    Ok(Vec::new())
}
