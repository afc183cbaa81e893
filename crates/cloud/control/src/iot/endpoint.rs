//! `DescribeEndpoint`: bare host names, as AWS answers them.

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::request::{Call, ok};
use serde_json::json;
use sward_aws_wire::api::ApiResponse;

pub(super) fn describe(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let hosts = &control.options().endpoints;
    let host = match call.query("endpointType").unwrap_or("iot:Data") {
        "iot:Data" | "iot:Data-ATS" | "iot:Data-Beta" => &hosts.data,
        "iot:CredentialProvider" => &hosts.credentials,
        "iot:Jobs" => &hosts.jobs,
        other => {
            return Err(Fault::field(
                "endpointType",
                format!(
                    "endpoint type \"{other}\" is not one of iot:Data, iot:Data-ATS, \
                     iot:CredentialProvider, iot:Jobs"
                ),
            ));
        }
    };
    Ok(ok(json!({ "endpointAddress": host })))
}
