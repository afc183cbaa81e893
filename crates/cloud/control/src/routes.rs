//! Operations by method and path, as tables: one line each, used for dispatch, for the action and
//! resource that an IAM policy is asked about, and for the audit log.

use crate::request::Call;

/// One operation of a restJson1 service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Segments joined by `/`; `{}` takes one segment, `{+}` at the end takes all that follow.
    pub(crate) path: &'static str,
    /// AWS's name of the operation.
    pub(crate) name: &'static str,
    /// `service|resource` of the ARN a policy names, with `{0}` for the first argument; `{0}`
    /// alone where the argument is an ARN itself; `*` where the action takes no resource.
    pub(crate) resource: &'static str,
}

/// Shorthand for a table's line.
pub(crate) const fn route(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    resource: &'static str,
) -> Route {
    Route {
        method,
        path,
        name,
        resource,
    }
}

/// The operation that a call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) name: &'static str,
    /// What stood in place of each `{}`.
    pub(crate) args: Vec<String>,
    /// The ARN that a policy is asked about.
    pub(crate) resource: String,
}

impl Matched {
    pub(crate) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }
}

/// The first line of the table that fits.
pub(crate) fn find(routes: &[Route], call: &Call<'_>) -> Option<Matched> {
    let segments = call.segments();
    routes
        .iter()
        .filter(|route| route.method == call.method())
        .find_map(|route| {
            let args = fit(route.path, &segments)?;
            let resource = resource(route.resource, call, &args);
            Some(Matched {
                name: route.name,
                args,
                resource,
            })
        })
}

fn fit(pattern: &str, segments: &[&str]) -> Option<Vec<String>> {
    let mut args = Vec::new();
    let mut rest = segments;
    for part in pattern.split('/') {
        if part == "{+}" {
            if rest.is_empty() {
                return None;
            }
            args.push(rest.join("/"));
            return Some(args);
        }
        let (first, tail) = rest.split_first()?;
        match part {
            "{}" => args.push((*first).to_owned()),
            literal if literal == *first => {}
            _ => return None,
        }
        rest = tail;
    }
    rest.is_empty().then_some(args)
}

fn resource(template: &str, call: &Call<'_>, args: &[String]) -> String {
    let mut text = template.to_owned();
    for (index, value) in args.iter().enumerate() {
        text = text.replace(&format!("{{{index}}}"), value);
    }
    match template.split_once('|') {
        None => text,
        Some((service, _)) => {
            let tail = text.split_once('|').map_or("", |(_, tail)| tail);
            format!(
                "arn:aws:{service}:{}:{}:{tail}",
                call.scope.region, call.scope.account
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_segments() {
        fn check(pattern: &str, path: &str, expected: Option<&[&str]>) {
            let segments: Vec<&str> = path.split('/').collect();
            let args = fit(pattern, &segments);
            let args: Option<Vec<&str>> = args
                .as_ref()
                .map(|args| args.iter().map(String::as_str).collect());
            assert_eq!(args.as_deref(), expected, "{pattern} {path}");
        }
        check("things", "things", Some(&[]));
        check("things/{}", "things/a", Some(&["a"]));
        check("things/{}", "things", None);
        check("things/{}", "things/a/b", None);
        check("topics/{+}", "topics/a/b/c", Some(&["a/b/c"]));
        check("topics/{+}", "topics", None);
        check("things/{}/shadow", "things/a/shadow", Some(&["a"]));
    }
}
