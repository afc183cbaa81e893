use super::*;
use serde_json::json;
use std::path::Path;

fn entry(message: &str) -> LogEntry {
    LogEntry {
        at_ms: 1_795_448_374_022,
        level: Level::Info,
        thread: "Copier",
        event: "stdout",
        message: message.to_owned(),
        contexts: vec![
            (
                "scriptName",
                "services.com.x.lifecycle.run.Script".to_owned(),
            ),
            ("serviceName", "com.x".to_owned()),
            ("currentState", "RUNNING".to_owned()),
        ],
    }
}

#[test]
fn lines_look_as_the_nucleus_writes_them() {
    fn check(entry: &LogEntry, format: Format, expected: &str) {
        let mut line = String::new();
        entry.write_to(&mut line, "com.x", format);
        assert_eq!(line, format!("{expected}\n"));
    }
    check(
        &entry("line one"),
        Format::Text,
        "2026-11-23T15:39:34.022Z [INFO] (Copier) com.x: stdout. line one. {scriptName=services.com.x.lifecycle.run.Script, serviceName=com.x, currentState=RUNNING}",
    );
    let blank = LogEntry {
        at_ms: 1_795_448_374_000,
        contexts: Vec::new(),
        ..entry("")
    };
    check(
        &blank,
        Format::Text,
        "2026-11-23T15:39:34.000Z [INFO] (Copier) com.x: stdout. {}",
    );
    let error = LogEntry {
        level: Level::Warn,
        event: "stderr",
        ..entry("err \"line\"")
    };
    check(
        &error,
        Format::Json,
        r#"{"thread":"Copier","level":"WARN","eventType":"stderr","message":"err \"line\"","contexts":{"scriptName":"services.com.x.lifecycle.run.Script","serviceName":"com.x","currentState":"RUNNING"},"loggerName":"com.x","timestamp":1795448374022,"cause":null}"#,
    );
}

#[test]
fn settings_are_read_exactly_or_not_at_all() {
    let root = Path::new("/greengrass");
    let read = |value| LogSettings::read(root, &value);
    assert_eq!(read(json!({})), Ok(LogSettings::new(root)));
    let settings = read(
        json!({"level": "WARN", "format": "JSON", "fileSizeKB": "2", "totalLogsSizeKB": 10, "outputDirectory": "other", "outputType": "CONSOLE"}),
    );
    let settings = settings.expect("valid");
    assert_eq!((settings.file_size_kb, settings.total_size_kb), (2, 10));
    assert_eq!(settings.directory, Path::new("/greengrass/other"));
    for bad in [
        json!({"level": "warn"}),
        json!({"Level": "WARN"}),
        json!({"format": "XML"}),
        json!({"fileSizeKB": 0}),
        json!({"other": 1}),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let size = entry.metadata().expect("a file").len();
            (entry.file_name().to_string_lossy().into_owned(), size)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn files_roll_by_size_and_the_oldest_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = LogSettings {
        file_size_kb: 1,
        total_size_kb: 4,
        ..LogSettings::new(folder.path())
    };
    let logs = Logs::start(settings).expect("a thread");
    for n in 0..100 {
        logs.write("com.x", vec![entry(&format!("line {n}"))]).await;
    }
    let files = files(&folder.path().join("logs"));
    assert!(files.len() >= 3, "{files:?}");
    assert!(files.iter().all(|(_, size)| *size <= 1024), "{files:?}");
    assert!(
        files.iter().map(|(_, size)| size).sum::<u64>() <= 4096,
        "{files:?}"
    );
    assert!(files.iter().any(|(name, _)| name == "com.x.log"));
    let current = std::fs::read_to_string(folder.path().join("logs/com.x.log")).expect("a file");
    assert!(current.contains("line 99"));
}

#[tokio::test]
async fn settings_take_effect_from_the_next_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let logs = Logs::start(LogSettings::new(folder.path())).expect("a thread");
    logs.touch("com.x").await;
    logs.write("com.x", vec![entry("text")]).await;
    let changed = LogSettings {
        format: Format::Json,
        level: Level::Warn,
        ..LogSettings::new(folder.path())
    };
    logs.set(changed);
    logs.write(
        "com.x",
        vec![
            entry("too low"),
            LogEntry {
                level: Level::Error,
                ..entry("high")
            },
        ],
    )
    .await;
    let text = std::fs::read_to_string(folder.path().join("logs/com.x.log")).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("stdout. text."));
    assert!(lines[1].starts_with('{') && lines[1].contains("high"));
}

#[tokio::test]
async fn a_line_longer_than_a_file_is_written_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = LogSettings {
        file_size_kb: 1,
        ..LogSettings::new(folder.path())
    };
    let logs = Logs::start(settings).expect("a thread");
    let long = "x".repeat(5000);
    logs.write("com.x", vec![entry("short"), entry(&long), entry("after")])
        .await;
    let all: String = files(&folder.path().join("logs"))
        .iter()
        .map(|(name, _)| {
            std::fs::read_to_string(folder.path().join("logs").join(name)).expect("a file")
        })
        .collect();
    assert!(all.contains(&long) && all.contains("short") && all.contains("after"));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_its_lines_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    let settings = LogSettings {
        // A folder cannot be made below a file.
        directory: folder.path().join("file/logs"),
        ..LogSettings::new(folder.path())
    };
    let logs = Logs::start(settings).expect("a thread");
    logs.write("com.x", vec![entry("lost")]).await;
    logs.post("com.x", entry("lost"));
    logs.set(LogSettings::new(folder.path()));
    logs.write("com.x", vec![entry("kept")]).await;
    let text = std::fs::read_to_string(folder.path().join("logs/com.x.log")).expect("a file");
    assert_eq!(text.lines().count(), 1);
}

#[tokio::test]
async fn what_cannot_be_pruned_costs_no_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = LogSettings {
        file_size_kb: 1,
        total_size_kb: 2,
        ..LogSettings::new(folder.path())
    };
    // Of the same name as a rolled file, older than all, and no file that could be removed.
    let stubborn = folder.path().join("logs/com.x_2020_01_01_00_0.log");
    std::fs::create_dir_all(stubborn.join("inside")).expect("a folder");
    let logs = Logs::start(settings).expect("a thread");
    for n in 0..100 {
        logs.write("com.x", vec![entry(&format!("line {n}"))]).await;
        let text = std::fs::read_to_string(folder.path().join("logs/com.x.log")).expect("a file");
        assert!(text.contains(&format!("line {n}. ")), "line {n} is lost");
    }
    let files = files(&folder.path().join("logs"));
    assert!(files.len() <= 4, "the others are pruned: {files:?}");
}
