//! Thing deployments: the listener of the named shadow.

use super::*;

fn desired(arn: &str, wanted: &str, reported: Option<(&str, &str)>, version: u64) -> Value {
    let config = json!({"configurationArn": arn, "deploymentId": "d"}).to_string();
    let mut body = json!({"state": {"desired": {"fleetConfig": config, "desiredStatus": wanted}}, "version": version});
    if let Some((arn, status)) = reported {
        body["state"]["reported"] =
            json!({"fleetConfigurationArnForStatus": arn, "status": status});
    }
    body
}

pub(crate) fn shadow() -> ShadowListener {
    let mut shadow = ShadowListener::new("T", "2.18.0", Vec::new());
    assert_eq!(connect(&mut shadow), ["pub get"]);
    shadow
}

fn shadow_status(id: &str, s: DeploymentStatus) -> Event<'static> {
    Event::Status(status(id, DeploymentSource::Shadow, s))
}

#[test]
fn what_the_first_shadow_says_decides() {
    let get = format!("{SHADOW}get/accepted");
    for (body, expected) in [
        (desired("a:1", "SUCCEEDED", None, 1), vec!["submit a:1"]),
        (
            desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 1),
            vec!["submit a:1"],
        ),
        (
            desired("a:1", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 1),
            vec![],
        ),
        (
            desired("a:2", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 1),
            vec!["submit a:2"],
        ),
        (desired("a:1", "CANCELED", None, 1), vec![]),
    ] {
        let mut shadow = shadow();
        assert_eq!(say(&mut shadow, &get, body.clone(), 1), expected, "{body}");
        assert!(say(&mut shadow, &get, body, 1).is_empty());
    }
}

#[test]
fn later_shadows_replace_and_cancel() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    assert_eq!(
        say(
            &mut shadow,
            &update,
            desired("a:1", "SUCCEEDED", None, 1),
            1
        ),
        ["submit a:1"]
    );
    assert!(
        say(
            &mut shadow,
            &update,
            desired("a:1", "SUCCEEDED", None, 2),
            1
        )
        .is_empty()
    );
    assert_eq!(
        say(
            &mut shadow,
            &update,
            desired("a:2", "SUCCEEDED", None, 3),
            1
        ),
        ["cancel a:1", "submit a:2"]
    );
    assert!(
        say(
            &mut shadow,
            &update,
            desired("a:9", "SUCCEEDED", None, 2),
            1
        )
        .is_empty()
    );
    assert_eq!(
        say(&mut shadow, &update, desired("a:2", "CANCELED", None, 4), 1),
        ["cancel a:2"]
    );
    assert!(say(&mut shadow, &update, desired("a:2", "CANCELED", None, 5), 1).is_empty());
    let told = shadow.handle(shadow_status("a:2", DeploymentStatus::Canceled), 2);
    assert_eq!(brief(&told), ["saved", "pub update CANCELED"]);
}

#[test]
fn statuses_carry_the_version_and_survive_conflicts_and_silence() {
    let (update, get) = (
        format!("{SHADOW}update/accepted"),
        format!("{SHADOW}get/accepted"),
    );
    let rejected = format!("{SHADOW}update/rejected");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 5),
        1,
    );
    let told = shadow.handle(shadow_status("a:1", DeploymentStatus::Succeeded), 2);
    let Some(Effect::Publish { payload, .. }) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(payload["version"], 5);
    assert_eq!(
        say(&mut shadow, &rejected, json!({"code": 409}), 3),
        ["pub get"]
    );
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 7);
    assert_eq!(say(&mut shadow, &get, body, 4), ["pub update SUCCEEDED"]);
    // Silence: asked and said again.
    assert_eq!(shadow.deadline(), Some(30_004));
    assert_eq!(brief(&shadow.handle(Event::Tick, 30_004)), ["pub get"]);
    assert_eq!(
        brief(&shadow.handle(Event::Tick, 35_004)),
        ["pub update SUCCEEDED"]
    );
    // It had arrived after all.
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 8);
    assert_eq!(
        say(&mut shadow, &get, body, 35_005),
        ["saved", "delivered a:1 SUCCEEDED"]
    );
    // Somebody overwrote it: written again at the next question's answer.
    shadow.handle(Event::Disconnected, 35_006);
    assert_eq!(brief(&shadow.handle(Event::Connected, 35_007)), ["pub get"]);
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 9);
    assert_eq!(
        say(&mut shadow, &get, body, 35_008),
        ["saved", "pub update SUCCEEDED"]
    );
    // Refused for good.
    assert_eq!(
        say(
            &mut shadow,
            &rejected,
            json!({"code": 400, "message": "no"}),
            35_009
        ),
        ["saved", "delivered a:1 SUCCEEDED refused"]
    );
}

#[test]
fn a_deleted_shadow_does_not_hold_the_end_back() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 5),
        1,
    );
    shadow.handle(shadow_status("a:1", DeploymentStatus::Succeeded), 2);
    say(
        &mut shadow,
        &format!("{SHADOW}update/rejected"),
        json!({"code": 409}),
        3,
    );
    assert_eq!(shadow.deadline(), Some(30_003));
    assert_eq!(
        brief(&shadow.handle(Event::Tick, 30_003)),
        ["pub update SUCCEEDED"]
    );
}

/// `reported` is one place: what is written last shows, so ends keep their order.
#[test]
fn an_older_end_does_not_overwrite_a_newer_one() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 1),
        1,
    );
    shadow.handle(shadow_status("a:1", DeploymentStatus::Canceled), 2);
    say(
        &mut shadow,
        &update,
        desired("a:2", "SUCCEEDED", None, 2),
        3,
    );
    shadow.handle(shadow_status("a:2", DeploymentStatus::Succeeded), 4);
    shadow.handle(Event::Tick, 30_002);
    let order: Vec<_> = shadow
        .pending()
        .into_iter()
        .map(|update| update.id)
        .collect();
    assert_eq!(order, ["a:1", "a:2"]);
}

/// A cloud that was restored from a copy counts from an earlier version.
#[test]
fn after_a_lost_session_any_version_is_taken() {
    let get = format!("{SHADOW}get/accepted");
    let mut shadow = shadow();
    say(&mut shadow, &get, desired("a:1", "SUCCEEDED", None, 50), 1);
    shadow.handle(Event::Disconnected, 2);
    shadow.handle(Event::SessionLost, 3);
    assert_eq!(connect(&mut shadow), ["pub get"]);
    let older = desired("a:2", "SUCCEEDED", None, 40);
    assert_eq!(
        say(&mut shadow, &get, older, 4),
        ["cancel a:1", "submit a:2"]
    );
    // Only the first one: from then on an older one is late.
    assert!(say(&mut shadow, &get, desired("a:3", "SUCCEEDED", None, 39), 5).is_empty());
}

/// A failed script may have written a lot; a shadow holds 8 kB.
#[test]
fn a_long_cause_does_not_keep_the_end_from_the_cloud() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 1),
        1,
    );
    let mut failed = status("a:1", DeploymentSource::Shadow, DeploymentStatus::Failed);
    failed.failure_cause = Some("no such file ".repeat(50_000));
    let cause = |effects: &[Effect]| match effects.last() {
        Some(Effect::Publish { payload, .. }) => {
            let details = &payload["state"]["reported"]["statusDetails"];
            details["failureCause"].as_str().expect("a text").len()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(cause(&shadow.handle(Event::Status(failed), 2)), 1024);
    let refusal = json!({"code": 413, "message": "too large"}).to_string();
    let event = Event::Message {
        topic: &format!("{SHADOW}update/rejected"),
        payload: refusal.as_bytes(),
    };
    assert_eq!(cause(&shadow.handle(event.clone(), 3)), 0);
    assert_eq!(
        brief(&shadow.handle(event, 4)),
        ["saved", "delivered a:1 FAILED refused"]
    );
}
