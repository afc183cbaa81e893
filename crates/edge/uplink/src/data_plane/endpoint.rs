//! Where the data plane is, and how names are written in its paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// What RFC 3986 leaves unreserved stays.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// A name as one level of a path.
pub(crate) fn segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, SEGMENT)
}

/// A name whose slashes stay.
pub(crate) fn segments(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, SEGMENTS)
}

/// The DNS suffix of a region.
pub(crate) fn dns_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// The base URL of the data plane from the nucleus configuration (wire-protocols §4.1).
///
/// `endpoint` is `greengrassDataPlaneEndpoint`: empty for the public one, the word `iotdata` for
/// the host of `iot_data_endpoint`, else a host with or without scheme and port.
#[must_use]
pub fn data_plane_url(endpoint: &str, port: u16, region: &str, iot_data_endpoint: &str) -> String {
    let host = match endpoint.trim() {
        "" if region == "cn-north-1" => {
            format!("greengrass.ats.iot.{region}.{}", dns_suffix(region))
        }
        "" => format!("greengrass-ats.iot.{region}.{}", dns_suffix(region)),
        word if word.eq_ignore_ascii_case("iotdata") => without_port(iot_data_endpoint).to_owned(),
        host => host
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .to_owned(),
    };
    if has_port(&host) {
        format!("https://{host}")
    } else {
        format!("https://{host}:{port}")
    }
}

fn has_port(host: &str) -> bool {
    let after_brackets = host.rsplit(']').next().unwrap_or(host);
    after_brackets
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if has_port(host) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (endpoint, data, expected) in [
            (
                "",
                "x",
                "https://greengrass-ats.iot.eu-west-1.amazonaws.com:8443",
            ),
            ("iotData", "data.example", "https://data.example:8443"),
            ("iotdata", "localhost:8883", "https://localhost:8443"),
            ("gg.example", "x", "https://gg.example:8443"),
            ("gg.example:9443", "x", "https://gg.example:9443"),
            ("https://gg.example:9443/", "x", "https://gg.example:9443"),
            ("https://[::1]", "x", "https://[::1]:8443"),
        ] {
            assert_eq!(data_plane_url(endpoint, 8443, "eu-west-1", data), expected);
        }
    }

    #[test]
    fn names_in_paths() {
        assert_eq!(segment("arn:a/b c").to_string(), "arn%3Aa%2Fb%20c");
        assert_eq!(segments("a/b c").to_string(), "a/b%20c");
    }
}
