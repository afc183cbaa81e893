//! The options of `sward core` and `sward-core`: AWS's own spellings, which clap cannot take
//! (core-device §5.4). One table says it all: long form, short form, whether a value follows, help.
//!
//! Options are compared without regard to case. A flag takes an optional value: absent, or followed
//! by another option, means true.

use std::ffi::OsString;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The core's root folder.
    pub root: PathBuf,
    /// Merged over the stored configuration.
    pub init_config: Option<PathBuf>,
    /// Used instead of the stored configuration.
    pub config: Option<PathBuf>,
    pub aws_region: Option<String>,
    pub thing_name: Option<String>,
    /// USER or USER:GROUP.
    pub component_default_user: Option<String>,
    /// False sets the root up and ends.
    pub start: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Run(Options),
    Help,
    Version,
}

/// Why the command line is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    #[error("undefined command line argument {argument:?}")]
    Unknown { argument: String },
    #[error("the option needs a value")]
    MissingValue { option: &'static str },
    #[error("the value {value:?} is neither true nor false")]
    NotBoolean { option: &'static str, value: String },
    #[error("the value may not be empty")]
    Empty { option: &'static str },
    #[error("a root folder is needed")]
    NoRoot,
    #[error("this option is not built yet")]
    NotBuilt {
        option: &'static str,
        instead: &'static str,
    },
}

impl Diagnose for ArgsError {
    fn kind(&self) -> Kind {
        match self {
            ArgsError::NotBuilt { .. } => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        "command-line"
    }
    fn place(&self) -> Option<Place> {
        let name = match self {
            ArgsError::Unknown { .. } => return None,
            ArgsError::NoRoot => "--root",
            ArgsError::MissingValue { option }
            | ArgsError::NotBoolean { option, .. }
            | ArgsError::Empty { option }
            | ArgsError::NotBuilt { option, .. } => option,
        };
        Some(Place::Setting {
            name: name.to_owned(),
        })
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            ArgsError::NotBuilt { instead, .. } => Some((*instead).into()),
            _ => Some("--help lists the options".into()),
        }
    }
}

/// Whether a value follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Value(&'static str),
    Flag,
    Nothing,
}

struct Entry {
    long: &'static str,
    short: &'static str,
    takes: Takes,
    help: &'static str,
}

const fn entry(long: &'static str, short: &'static str, takes: Takes, help: &'static str) -> Entry {
    Entry {
        long,
        short,
        takes,
        help,
    }
}

const TABLE: &[Entry] = &[
    entry(
        "--root",
        "-r",
        Takes::Value("DIR"),
        "root folder of the core",
    ),
    entry(
        "--init-config",
        "-init",
        Takes::Value("FILE"),
        "configuration merged over the stored one (YAML or JSON)",
    ),
    entry(
        "--config",
        "-i",
        Takes::Value("FILE"),
        "configuration used instead of the stored one",
    ),
    entry(
        "--aws-region",
        "-ar",
        Takes::Value("REGION"),
        "region of the core",
    ),
    entry(
        "--thing-name",
        "-tn",
        Takes::Value("NAME"),
        "thing that this core is",
    ),
    entry(
        "--component-default-user",
        "-u",
        Takes::Value("USER[:GROUP]"),
        "who runs components when the core runs as root",
    ),
    entry(
        "--start",
        "-s",
        Takes::Flag,
        "false: set the root up and end [default: true]",
    ),
    entry(
        "--provision",
        "-p",
        Takes::Flag,
        "not built yet: use `sward device create`",
    ),
    entry(
        "--thing-group-name",
        "-tgn",
        Takes::Value("NAME"),
        "not built yet: use `sward device create --group`",
    ),
    entry(
        "--setup-system-service",
        "-ss",
        Takes::Flag,
        "not built yet",
    ),
    entry(
        "--deploy-dev-tools",
        "-d",
        Takes::Flag,
        "accepted: greengrass-cli is part of the core",
    ),
    entry("--version", "-v", Takes::Nothing, "print the version"),
    entry("--help", "-h", Takes::Nothing, "print this help"),
];

/// Reads the arguments behind the program's name.
pub fn parse(arguments: Vec<OsString>) -> Result<Parsed, ArgsError> {
    let words: Vec<String> = arguments
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut options = Options {
        root: PathBuf::new(),
        init_config: None,
        config: None,
        aws_region: None,
        thing_name: None,
        component_default_user: None,
        start: true,
    };
    let mut position = 0;
    while let Some(word) = words.get(position) {
        position += 1;
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let found = TABLE
            .iter()
            .find(|entry| {
                entry.long.eq_ignore_ascii_case(name) || entry.short.eq_ignore_ascii_case(name)
            })
            .ok_or_else(|| ArgsError::Unknown {
                argument: word.clone(),
            })?;
        let next = words.get(position);
        let value = match (found.takes, attached, next) {
            (Takes::Nothing, ..) => String::new(),
            (_, Some(value), _) => value,
            (Takes::Value(_), None, Some(next)) => {
                position += 1;
                next.clone()
            }
            (Takes::Value(_), None, None) => {
                return Err(ArgsError::MissingValue { option: found.long });
            }
            (Takes::Flag, None, Some(next)) if !next.starts_with('-') => {
                position += 1;
                next.clone()
            }
            (Takes::Flag, None, _) => "true".to_owned(),
        };
        match found.long {
            "--help" => return Ok(Parsed::Help),
            "--version" => return Ok(Parsed::Version),
            long => set(&mut options, long, value)?,
        }
    }
    if options.root.as_os_str().is_empty() {
        return Err(ArgsError::NoRoot);
    }
    Ok(Parsed::Run(options))
}

fn set(options: &mut Options, long: &'static str, value: String) -> Result<(), ArgsError> {
    let is_flag = TABLE
        .iter()
        .any(|entry| entry.long == long && entry.takes == Takes::Flag);
    if !is_flag && value.trim().is_empty() {
        return Err(ArgsError::Empty { option: long });
    }
    match long {
        "--root" => options.root = value.into(),
        "--init-config" => options.init_config = Some(value.into()),
        "--config" => options.config = Some(value.into()),
        "--aws-region" => options.aws_region = Some(value),
        "--thing-name" => options.thing_name = Some(value),
        "--component-default-user" => options.component_default_user = Some(value),
        "--start" => options.start = boolean(long, &value)?,
        "--provision" if boolean(long, &value)? => {
            return Err(ArgsError::NotBuilt {
                option: long,
                instead: "provision with `sward device create NAME --root DIR`",
            });
        }
        "--setup-system-service" if boolean(long, &value)? => {
            return Err(ArgsError::NotBuilt {
                option: long,
                instead: "write a unit that runs `sward core --root DIR`",
            });
        }
        "--thing-group-name" => {
            return Err(ArgsError::NotBuilt {
                option: long,
                instead: "provision with `sward device create NAME --group GROUP`",
            });
        }
        // Flags that are false, and dev tools, which every core has.
        _ => {
            boolean(long, &value)?;
        }
    }
    Ok(())
}

fn boolean(option: &'static str, value: &str) -> Result<bool, ArgsError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ArgsError::NotBoolean {
            option,
            value: value.to_owned(),
        }),
    }
}

/// The help text.
#[must_use]
pub fn help(program: &str) -> String {
    let mut text = format!(
        "Runs a Greengrass core device.\n\nUsage: {program} --root DIR [OPTIONS]\n\nOptions:\n"
    );
    for entry in TABLE {
        let value = match entry.takes {
            Takes::Value(name) => format!(" {name}"),
            Takes::Flag => " [true|false]".to_owned(),
            Takes::Nothing => String::new(),
        };
        let left = format!("{}, {}{value}", entry.short, entry.long);
        text.push_str(&format!("  {left:<42}  {}\n", entry.help));
    }
    text.push_str(
        "\nAn empty root starts from its config.yaml, which `sward device create` writes; without one\n\
         the core runs offline: local deployments, IPC and greengrass-cli work.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Parsed, ArgsError> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    fn options(line: &str) -> Options {
        match read(line) {
            Ok(Parsed::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn both_spellings_in_any_case_are_taken() {
        let long = options(
            "--root /r --aws-region eu-west-1 --thing-name T --init-config c.yaml --start false",
        );
        assert_eq!(
            long,
            options("-R /r -AR eu-west-1 -tn T -INIT c.yaml -s false")
        );
        assert_eq!(
            long,
            options(
                "--root=/r --aws-region=eu-west-1 --Thing-Name=T --init-config=c.yaml --start=false"
            )
        );
        assert!(!long.start);
    }

    #[test]
    fn a_flag_without_a_value_is_true() {
        assert!(options("--start --root /r").start);
        assert!(options("--root /r -d").start);
        assert_eq!(
            read("--root /r --provision")
                .map_err(|error| error.place())
                .err()
                .flatten(),
            Some(Place::Setting {
                name: "--provision".into()
            })
        );
        assert!(read("--root /r --provision false").is_ok());
    }

    #[test]
    fn faults_name_the_option() {
        assert_eq!(
            read("--root"),
            Err(ArgsError::MissingValue { option: "--root" })
        );
        assert_eq!(read(""), Err(ArgsError::NoRoot));
        assert_eq!(
            read("--root /r --nosuch"),
            Err(ArgsError::Unknown {
                argument: "--nosuch".into()
            })
        );
        assert_eq!(
            read("--root /r --start maybe"),
            Err(ArgsError::NotBoolean {
                option: "--start",
                value: "maybe".into()
            })
        );
        assert_eq!(read("-h --whatever"), Ok(Parsed::Help));
        assert_eq!(read("-v"), Ok(Parsed::Version));
    }
}
