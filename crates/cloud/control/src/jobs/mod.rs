//! Jobs.
use crate::Control;
use crate::fault::Outcome;
use crate::request::Call;
use crate::reserved::Reply;
use crate::routes::{Matched, Route};
use crate::scope::Scope;
use sward_aws_wire::api::ApiResponse;
use sward_store::{Migration, Tx};

pub(crate) const MIGRATIONS: &[Migration] = &[];
pub(crate) const DATA_ROUTES: &[Route] = &[];

pub(crate) async fn call(_: &Control, call: &Call<'_>, _: &Matched) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) async fn data_call(_: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) async fn data_operation(
    _: &Control,
    call: &Call<'_>,
    _: &Matched,
) -> Outcome<ApiResponse> {
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
pub(crate) async fn membership_changed(
    _: &Control,
    _: &mut Tx,
    _: &Scope,
    _: &str,
) -> Outcome<()> {
    Ok(())
}
pub(crate) async fn tick(_: &Control) -> Outcome<()> {
    Ok(())
}
