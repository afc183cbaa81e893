//! Bytes from outside, damaged in every way: an answer or a refusal, never a panic, and never a
//! 500 for what a client sent.

use crate::world::{World, request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

fn iterations() -> u64 {
    std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(400)
}

/// A small generator with a fixed seed, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("below a usize")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Up to three edits: a byte changed, dropped or doubled, a piece cut or copied, a number or
    /// a word put in.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            let to = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => {
                    bytes[at] = u8::try_from(self.next() % 256).expect("a byte");
                }
                1 => drop(bytes.drain(at..to)),
                2 => {
                    let piece = bytes[at..to].to_vec();
                    bytes.splice(at..at, piece);
                }
                3 => {
                    let words: &[&[u8]] = &[
                        b"null",
                        b"-1",
                        b"1e999",
                        b"99999999999999999999",
                        b"\"\"",
                        b"[]",
                        b"{}",
                        b"\xff",
                        b"%00",
                        b"%2F",
                        b"$next",
                        b"\\u0000",
                    ];
                    let word = *self.pick(words);
                    bytes.splice(at..to, word.iter().copied());
                }
                4 => bytes.truncate(at),
                _ => {}
            }
        }
        bytes
    }
}

#[tokio::test]
async fn damaged_publishes_are_answered_or_refused() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    let thing = "arn:aws:iot:us-east-1:123456789012:thing/t";
    world
        .iot(
            "PUT",
            "/jobs/j",
            json!({ "targets": [thing], "document": "{}" }),
        )
        .await;
    let seeds = [
        (
            "$aws/things/t/shadow/update",
            r#"{"state":{"desired":{"a":{"b":[1,null]}},"reported":{"a":1.5}},"version":1,"clientToken":"x"}"#,
        ),
        (
            "$aws/things/t/shadow/name/AWSManagedGreengrassV2Deployment/update",
            r#"{"state":{"reported":{"fleetConfigurationArnForStatus":"arn:aws:greengrass:us-east-1:123456789012:configuration:thing/t:1","status":"FAILED","statusDetails":{"detailedStatus":"X","errorStack":["A"],"errorTypes":[1]}}}}"#,
        ),
        ("$aws/things/t/shadow/get", r#"{"clientToken":"x"}"#),
        ("$aws/things/t/shadow/name/S/delete", ""),
        (
            "$aws/things/t/jobs/j/update",
            r#"{"status":"IN_PROGRESS","expectedVersion":"1","statusDetails":{"a":"b"},"stepTimeoutInMinutes":1,"includeJobExecutionState":true}"#,
        ),
        (
            "$aws/things/t/jobs/$next/namespace-aws-gg-deployment/get",
            r#"{"includeJobDocument":true,"executionNumber":1}"#,
        ),
        ("$aws/things/t/jobs/start-next", r#"{"statusDetails":{}}"#),
        (
            "$aws/things/t/greengrassv2/health/json",
            r#"{"ggcVersion":"2.18.0","platform":"linux","architecture":"amd64","thing":"t","sequenceNumber":1,"timestamp":2,"messageType":"COMPLETE","trigger":"CADENCE","overallDeviceStatus":"HEALTHY","chunkInfo":{"chunkId":1,"totalChunks":1},"components":[{"componentName":"A","version":"1.0.0","fleetConfigArns":["x",null],"isRoot":true,"status":"RUNNING","componentStatusDetails":{"statusCodes":["A"],"statusReason":"b"}}]}"#,
        ),
    ];
    let mut random = Random(0x5eed_0001);
    for _ in 0..iterations() {
        let (topic, payload) = *random.pick(&seeds);
        let topic = if random.below(4) == 0 {
            String::from_utf8_lossy(&random.damage(topic.as_bytes())).into_owned()
        } else {
            topic.to_owned()
        };
        let payload = random.damage(payload.as_bytes());
        match world
            .control
            .reserved_publish(&world.scope(), &topic, &payload)
            .await
        {
            Ok(_) | Err(sward_control::ReservedError::UnknownTopic { .. }) => {}
            Err(error) => panic!("{topic} {}: {error:?}", String::from_utf8_lossy(&payload)),
        }
    }
    // It still works.
    world
        .publish(
            "$aws/things/t/shadow/update",
            json!({ "state": { "reported": { "z": 1 } } }),
        )
        .await;
    assert!(world.control.flush_outbox().await);
}

#[tokio::test]
async fn damaged_calls_are_answered_or_refused() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    world.group("G", &["t"]).await;
    world.component("a", "1.0.0").await;
    let recipe = STANDARD.encode(
        r#"{"RecipeFormatVersion":"2020-01-25","ComponentName":"b","ComponentVersion":"1.0.0","Manifests":[{"Lifecycle":{"run":"x"}}]}"#,
    );
    let create = format!(r#"{{"inlineRecipe":"{recipe}","tags":{{"a":"b"}},"clientToken":"t"}}"#);
    let seeds: &[(&str, &str, &str, &str)] = &[
        (
            "iot",
            "POST",
            "/things/x",
            r#"{"attributePayload":{"attributes":{"a":"b"},"merge":true}}"#,
        ),
        ("iot", "GET", "/things?maxResults=2&nextToken=x", ""),
        (
            "iot",
            "PATCH",
            "/things/t",
            r#"{"expectedVersion":1,"attributePayload":{"attributes":{}}}"#,
        ),
        (
            "iot",
            "POST",
            "/thing-groups/H",
            r#"{"parentGroupName":"G","thingGroupProperties":{"attributePayload":{"attributes":{"a":"b"}}}}"#,
        ),
        (
            "iot",
            "PUT",
            "/thing-groups/addThingToThingGroup",
            r#"{"thingGroupArn":"arn:aws:iot:us-east-1:123456789012:thinggroup/G","thingName":"t"}"#,
        ),
        (
            "iot",
            "POST",
            "/policies/P",
            r#"{"policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}"#,
        ),
        (
            "iot",
            "POST",
            "/certificates?setAsActive=true",
            r#"{"certificateSigningRequest":"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}"#,
        ),
        (
            "iot",
            "POST",
            "/certificate/register-no-ca",
            r#"{"certificatePem":"-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"}"#,
        ),
        (
            "iot",
            "PUT",
            "/target-policies/P",
            r#"{"target":"arn:aws:iot:us-east-1:123456789012:thinggroup/G"}"#,
        ),
        (
            "iot",
            "PUT",
            "/jobs/j",
            r#"{"targets":["arn:aws:iot:us-east-1:123456789012:thing/t"],"document":"{}","abortConfig":{"criteriaList":[{"failureType":"ALL","action":"CANCEL","thresholdPercentage":1.5,"minNumberOfExecutedThings":1}]}}"#,
        ),
        ("iot", "GET", "/things/t/jobs/j?executionNumber=1", ""),
        (
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            &create,
        ),
        (
            "greengrass",
            "POST",
            "/greengrass/v2/deployments",
            r#"{"targetArn":"arn:aws:iot:us-east-1:123456789012:thinggroup/G","components":{"a":{"componentVersion":"1.0.0","configurationUpdate":{"merge":"{\"a\":1}","reset":["/a"]},"runWith":{"systemResourceLimits":{"memory":1,"cpus":0.5}}}},"deploymentPolicies":{"componentUpdatePolicy":{"timeoutInSeconds":1}},"iotJobConfiguration":{"jobExecutionsRolloutConfig":{"maximumPerMinute":5}}}"#,
        ),
        (
            "greengrass",
            "POST",
            "/greengrass/v2/resolveComponentCandidates",
            r#"{"platform":{"attributes":{"os":"linux"}},"componentCandidates":[{"componentName":"a","componentVersion":"1.0.0","versionRequirements":{"x":">=1.0.0 <2.0.0"}}]}"#,
        ),
        (
            "greengrass",
            "GET",
            "/greengrass/v2/components/arn%3Aaws%3Agreengrass%3Aus-east-1%3A123456789012%3Acomponents%3Aa%3Aversions%3A1.0.0?recipeOutputFormat=YAML",
            "",
        ),
        (
            "greengrass",
            "GET",
            "/greengrass/v2/components/arn:aws:greengrass:us-east-1:aws:components:aws.greengrass.Nucleus:versions:2.18.0/metadata",
            "",
        ),
        (
            "greengrass",
            "DELETE",
            "/tags/arn:aws:greengrass:us-east-1:123456789012:components:a:versions:1.0.0?tagKeys=a",
            "",
        ),
        (
            "iotdata",
            "POST",
            "/things/t/shadow?name=N",
            r#"{"state":{"desired":{"a":1}}}"#,
        ),
        ("iotdata", "POST", "/topics/a/b?qos=1&retain=true", "x"),
        (
            "iot-jobs-data",
            "POST",
            "/things/t/jobs/j?namespaceId=n",
            r#"{"status":"SUCCEEDED","expectedVersion":1}"#,
        ),
    ];
    let caller = sward_aws_wire::api::Caller {
        account: sward_model::AccountId::default(),
        region: sward_model::Region::default(),
        arn: "arn:aws:iam::123456789012:root".parse().expect("an ARN"),
        credential: "AKIA".to_owned(),
    };
    let mut random = Random(0x5eed_0002);
    for _ in 0..iterations() {
        let (service, method, target, body) = *random.pick(seeds);
        let target = if random.below(3) == 0 {
            String::from_utf8_lossy(&random.damage(target.as_bytes())).into_owned()
        } else {
            target.to_owned()
        };
        let body = random.damage(body.as_bytes());
        let request = request(method, &target, &[], &body);
        if let Err(error) = world.control.call(service, &caller, request).await {
            assert!(
                error.status < 500,
                "{method} {target} {}: {error}",
                String::from_utf8_lossy(&body)
            );
        }
    }
    world.gg("GET", "/components", json!(null)).await;
}
