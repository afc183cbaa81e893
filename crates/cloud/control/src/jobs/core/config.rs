//! Rollout, abort and timeout configuration: the members of CreateJob and of a deployment's
//! `iotJobConfiguration`, which are the same.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// Things notified each minute where nothing else is said.
pub const DEFAULT_MAXIMUM_PER_MINUTE: u32 = 1000;

/// A member that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} must be {expected}")]
pub struct ConfigError {
    /// Wire name of the member.
    pub field: &'static str,
    /// What is allowed.
    pub expected: &'static str,
}

impl Diagnose for ConfigError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "job-configuration-invalid"
    }
    fn place(&self) -> Option<Place> {
        Some(Place::field(self.field))
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

fn check(fits: bool, field: &'static str, expected: &'static str) -> Result<(), ConfigError> {
    if fits {
        Ok(())
    } else {
        Err(ConfigError { field, expected })
    }
}

/// How fast executions are handed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponential_rate: Option<ExponentialRate>,
}

/// A rate that grows with success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExponentialRate {
    pub base_rate_per_minute: u32,
    pub increment_factor: f64,
    pub rate_increase_criteria: RateIncrease,
}

/// When the rate grows by the factor: each time so many things were notified or succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RateIncrease {
    NumberOfNotifiedThings(u32),
    NumberOfSucceededThings(u32),
}

impl RolloutConfig {
    /// Checks the ranges; the smallest factor is 1 (AWS's iot model says 1.1, its greengrass
    /// model 1).
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(maximum) = self.maximum_per_minute {
            check(
                (1..=1000).contains(&maximum),
                "maximumPerMinute",
                "1 to 1000",
            )?;
        }
        let Some(rate) = &self.exponential_rate else {
            return Ok(());
        };
        check(
            self.maximum_per_minute.is_some(),
            "maximumPerMinute",
            "given with exponentialRate",
        )?;
        check(
            (1..=1000).contains(&rate.base_rate_per_minute),
            "baseRatePerMinute",
            "1 to 1000",
        )?;
        check(
            (1.0..=5.0).contains(&rate.increment_factor),
            "incrementFactor",
            "1 to 5",
        )?;
        let (RateIncrease::NumberOfNotifiedThings(things)
        | RateIncrease::NumberOfSucceededThings(things)) = rate.rate_increase_criteria;
        check(things >= 1, "rateIncreaseCriteria", "at least 1 thing")
    }

    /// Things to notify each minute at this point.
    #[must_use]
    pub fn rate_per_minute(&self, notified: u64, succeeded: u64) -> u64 {
        let maximum = self
            .maximum_per_minute
            .unwrap_or(DEFAULT_MAXIMUM_PER_MINUTE);
        let Some(rate) = &self.exponential_rate else {
            return maximum.into();
        };
        let steps = match rate.rate_increase_criteria {
            RateIncrease::NumberOfNotifiedThings(things) => notified / u64::from(things.max(1)),
            RateIncrease::NumberOfSucceededThings(things) => succeeded / u64::from(things.max(1)),
        };
        let exponent = i32::try_from(steps).unwrap_or(i32::MAX);
        let grown = f64::from(rate.base_rate_per_minute) * rate.increment_factor.powi(exponent);
        grown.min(f64::from(maximum)).max(1.0) as u64
    }
}

/// When a job gives up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AbortConfig {
    pub criteria_list: Vec<AbortCriterion>,
}

/// One reason to give up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AbortCriterion {
    pub failure_type: FailureType,
    pub action: AbortAction,
    pub threshold_percentage: f64,
    pub min_number_of_executed_things: u32,
}

/// What aborting does; there is one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortAction {
    #[serde(rename = "CANCEL")]
    Cancel,
}

/// Which ends count as failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureType {
    Failed,
    Rejected,
    TimedOut,
    All,
}

impl AbortConfig {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check(
            !self.criteria_list.is_empty(),
            "criteriaList",
            "at least one criterion",
        )?;
        for criterion in &self.criteria_list {
            check(
                criterion.threshold_percentage > 0.0 && criterion.threshold_percentage <= 100.0,
                "thresholdPercentage",
                "above 0 and at most 100",
            )?;
            check(
                criterion.min_number_of_executed_things >= 1,
                "minNumberOfExecutedThings",
                "at least 1",
            )?;
        }
        Ok(())
    }
}

/// How long an execution may be in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress_timeout_in_minutes: Option<u64>,
}

impl TimeoutConfig {
    /// Checks the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self.in_progress_timeout_in_minutes {
            Some(minutes) => check(
                (1..=10_080).contains(&minutes),
                "inProgressTimeoutInMinutes",
                "1 to 10080",
            ),
            None => Ok(()),
        }
    }
}
