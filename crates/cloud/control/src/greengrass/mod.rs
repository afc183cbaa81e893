//! Greengrass.
use crate::Control;
use crate::fault::Outcome;
use crate::request::Call;
use crate::routes::{Matched, Route};
use crate::scope::Scope;
use sward_aws_wire::api::ApiResponse;
use sward_store::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[];
pub(crate) const ROUTES: &[Route] = &[];

pub(crate) async fn call(_: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) async fn device_call(_: &Control, call: &Call<'_>, _: &Matched) -> Outcome<ApiResponse> {
    Err(call.unknown())
}
pub(crate) async fn fleet_status(_: &Control, _: &Scope, _: &str, _: &[u8]) -> Outcome<()> {
    Ok(())
}
