//! HTTPS calls with a client certificate: which operation, and whether the policies allow it.
//!
//! Every operation names the action and the resource that AWS names for it (cloud.md §3). The
//! answer to a call without the permission is 403 and says which statement is missing.

mod credentials;

use crate::Control;
use crate::directory;
use crate::fault::{Dialect, Fault, Outcome};
use crate::request::Call;
use crate::routes::{self, Matched, Route, route};
use crate::scope::Principal;
use crate::{greengrass, jobs, shadows};
use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse};

/// The data plane's operations; `resource` is what the IoT policy is asked about.
const ROUTES: &[Route] = &[
    route(
        "POST",
        "greengrass/v2/resolveComponentCandidates",
        "ResolveComponentCandidates",
        "*",
    ),
    route(
        "GET",
        "greengrass/v2/components/{}/artifacts/{+}",
        "GetComponentVersionArtifact",
        "{0}",
    ),
    route(
        "GET",
        "greengrass/v2/coreDevices/{}/thingGroups",
        "ListThingGroupsForCoreDevice",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "role-aliases/{}/credentials",
        "AssumeRoleWithCertificate",
        "iot|rolealias/{0}",
    ),
    route("GET", "things/{}/shadow", "GetThingShadow", "iot|thing/{0}"),
    route(
        "POST",
        "things/{}/shadow",
        "UpdateThingShadow",
        "iot|thing/{0}",
    ),
    route(
        "DELETE",
        "things/{}/shadow",
        "DeleteThingShadow",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "api/things/shadow/ListNamedShadowsForThing/{}",
        "ListNamedShadowsForThing",
        "iot|thing/{0}",
    ),
    route("POST", "topics/{+}", "Publish", "iot|topic/{0}"),
    route(
        "GET",
        "things/{}/jobs",
        "GetPendingJobExecutions",
        "iot|thing/{0}",
    ),
    route(
        "PUT",
        "things/{}/jobs/$next",
        "StartNextPendingJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "things/{}/jobs/{}",
        "DescribeJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "POST",
        "things/{}/jobs/{}",
        "UpdateJobExecution",
        "iot|thing/{0}",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Greengrass,
    Credentials,
    Shadow,
    Jobs,
}

fn family(name: &str) -> Family {
    match name {
        "AssumeRoleWithCertificate" => Family::Credentials,
        name if name.contains("Shadow") || name == "Publish" => Family::Shadow,
        name if name.contains("Job") => Family::Jobs,
        _ => Family::Greengrass,
    }
}

impl Family {
    fn dialect(self) -> Dialect {
        match self {
            Family::Greengrass => Dialect::Greengrass,
            Family::Credentials => Dialect::Credentials,
            Family::Shadow => Dialect::IotData,
            Family::Jobs => Dialect::IotJobsData,
        }
    }

    fn action_prefix(self) -> &'static str {
        match self {
            Family::Greengrass => "greengrass",
            Family::Credentials | Family::Shadow => "iot",
            Family::Jobs => "iotjobsdata",
        }
    }
}

impl Control {
    /// Answers an HTTPS call of a device that showed its certificate.
    pub async fn data_plane_call(
        &self,
        principal: &Principal,
        request: ApiRequest,
    ) -> Result<ApiResponse, ApiError> {
        let caller = principal.caller();
        let call =
            Call::new(&caller, &request).map_err(|fault| Dialect::Greengrass.error(fault))?;
        let Some(matched) = routes::find(ROUTES, &call) else {
            return Err(Dialect::Greengrass.error(call.unknown()));
        };
        let family = family(matched.name);
        self.serve_device(principal, &call, &matched, family)
            .await
            .map_err(|fault| family.dialect().error(fault))
    }

    async fn serve_device(
        &self,
        principal: &Principal,
        call: &Call<'_>,
        matched: &Matched,
        family: Family,
    ) -> Outcome<ApiResponse> {
        let action = format!("{}:{}", family.action_prefix(), matched.name);
        self.authorize(principal, &action, &matched.resource)
            .await?;
        if matched.name == "Publish" && call.flag("retain")? {
            self.authorize(principal, "iot:RetainPublish", &matched.resource)
                .await?;
        }
        tracing::debug!(
            operation = matched.name,
            certificate = %principal.certificate_id,
            "data plane call"
        );
        match family {
            Family::Greengrass => greengrass::device_call(self, call, matched).await,
            Family::Credentials => credentials::get(self, principal, call, matched.arg(0)).await,
            Family::Shadow => shadows::operation(self, call, matched).await,
            Family::Jobs => jobs::data_operation(self, call, matched).await,
        }
    }

    async fn authorize(&self, principal: &Principal, action: &str, resource: &str) -> Outcome<()> {
        let mut tx = self.read().await?;
        let policies = directory::policies(&mut tx, principal).await?;
        let context = principal.https_context(self.now_ms());
        if policies.evaluate(action, resource, &context).is_allowed() {
            Ok(())
        } else {
            tracing::info!(
                action,
                resource,
                certificate = %principal.certificate_id,
                "data plane call denied"
            );
            Err(Fault::denied(action, resource))
        }
    }
}
