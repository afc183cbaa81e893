//! Command lines and what they mean; the texts against a server are in `tests/ipc`.

use super::arguments::{Cli, Command, Deployment, spell_out};
use super::deployment;
use super::run_with;
use clap::Parser;
use serde_json::{Value, json};

fn check_create(line: &[&str], expected: Value) {
    let words = ["greengrass-cli", "deployment", "create"];
    let arguments = words.iter().chain(line).map(Into::into).collect();
    let cli = Cli::try_parse_from(spell_out(arguments)).expect("a command");
    let Some(Command::Deployment {
        command: Some(Deployment::Create(options)),
    }) = cli.command
    else {
        panic!("deployment create");
    };
    let request = deployment::request(*options).expect("a request");
    assert_eq!(serde_json::to_value(request).expect("JSON"), expected);
}

#[test]
fn create_means_what_aws_means() {
    check_create(&[], json!({}));
    check_create(
        &[
            "-m", "a=1.0.0", "--merge", "b=2.0.0", "-fp", "ROLLBACK", "-g", "g",
        ],
        json!({
            "groupName": "g",
            "rootComponentVersionsToAdd": {"a": "1.0.0", "b": "2.0.0"},
            "failureHandlingPolicy": "ROLLBACK",
        }),
    );
    // AWS's takes the comma as a part of the name and removes nothing.
    check_create(
        &["--remove", "a,b", "--remove", "c"],
        json!({"rootComponentsToRemove": ["a", "b", "c"]}),
    );
    check_create(
        &[
            "--runWith",
            "a:posixUser=u:g",
            "--systemLimits",
            r#"{"a":{"memory":1024,"cpus":0.5},"b":{"memory":1}}"#,
        ],
        json!({"componentToRunWithInfo": {
            "a": {"posixUser": "u:g", "systemResourceLimits": {"memory": 1024, "cpus": 0.5}},
            "b": {"systemResourceLimits": {"memory": 1}},
        }}),
    );
    check_create(
        &[
            "--update-config",
            r#"{"a":{"MERGE":{"k":1},"RESET":["/x"]}}"#,
        ],
        json!({"componentToConfiguration": {"a": {"MERGE": {"k": 1}, "RESET": ["/x"]}}}),
    );
    check_create(
        &["-r", "/recipes", "-a", "/artifacts"],
        json!({"recipeDirectoryPath": "/recipes", "artifactsDirectoryPath": "/artifacts"}),
    );
}

/// Runs a command that needs no core and compares exit code and a piece of each stream.
async fn check_run(line: &[&str], code: u8, stdout: &str, stderr: &str) {
    let arguments = ["greengrass-cli"]
        .iter()
        .chain(line)
        .map(Into::into)
        .collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let found = run_with(arguments, &mut out, &mut err).await;
    let (out, err) = (
        String::from_utf8_lossy(&out).into_owned(),
        String::from_utf8_lossy(&err).into_owned(),
    );
    assert_eq!(found, code, "{line:?}: {out}{err}");
    assert!(out.contains(stdout), "{line:?}: {out}");
    assert!(err.contains(stderr), "{line:?}: {err}");
}

#[tokio::test]
async fn exit_codes_tell_a_wrong_line_from_a_refusal() {
    let root = ["--ggcRootPath", "/nonexistent"];
    check_run(&[], 2, "", "A command is required.").await;
    check_run(&["component"], 0, "A subcommand is required.", "").await;
    check_run(&["--help"], 0, "component", "").await;
    check_run(&["help", "deployment"], 0, "create", "").await;
    check_run(&["deployment", "create", "--help"], 0, "--merge", "").await;
    check_run(&["--version"], 0, "Greengrass CLI Version: 2.", "").await;
    check_run(&["nosuch"], 2, "", "nosuch").await;
    check_run(&["component", "details"], 2, "", "--name").await;
    check_run(&["deployment", "create", "-m", "a"], 2, "", "KEY=VALUE").await;
    check_run(
        &["deployment", "create", "-fp", "rollback"],
        2,
        "",
        "ROLLBACK",
    )
    .await;
    check_run(
        &["deployment", "create", "-r", "a", "-r", "b"],
        2,
        "",
        "recipeDir",
    )
    .await;
    let unreachable = "Not able to find auth information in directory: /nonexistent/cli_ipc_info";
    check_run(
        &[&root[..], &["component", "list"]].concat(),
        1,
        "",
        unreachable,
    )
    .await;
    let create = |rest: &[&'static str]| [&root[..], &["deployment", "create"], rest].concat();
    check_run(
        &create(&["--update-config", "{bad"]),
        1,
        "",
        "Update configuration parameter is not a properly formatted JSON file or a JSON string",
    )
    .await;
    check_run(
        &create(&["--update-config", r#"{"a":{"merge":{}}}"#]),
        1,
        "",
        "expected are \"MERGE\"",
    )
    .await;
    check_run(
        &create(&["--systemLimits", "{bad"]),
        1,
        "",
        "systemLimits parameter file is not a properly formatted JSON",
    )
    .await;
    check_run(
        &create(&["--runWith", "C:foo=u"]),
        1,
        "",
        "Invalid --runWith option: foo",
    )
    .await;
}
