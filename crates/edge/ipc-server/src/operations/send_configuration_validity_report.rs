//! Answers a question of SubscribeToValidateConfigurationUpdates.

use super::{Call, Handled, Handler, now};
use sward_ipc_model::{
    Empty, SendConfigurationValidityReport, SendConfigurationValidityReportRequest,
};

impl Handler for SendConfigurationValidityReport {
    fn handle(call: &Call<'_>, request: SendConfigurationValidityReportRequest) -> Handled {
        let report = request.configuration_validity_report;
        now::<SendConfigurationValidityReport>(
            call.shared
                .ports
                .configuration
                .report_validity(call.caller(), report)
                .map(|()| Empty {}),
        )
    }
}
