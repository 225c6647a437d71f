//! To whom a request is addressed.
//!
//! A page in a browser may point its own name to this machine after it was loaded, and would then be of the
//! same origin as the node's interface. But the browser says the page's name in the request, so that names
//! which are not the node's are refused. An address in digits cannot be pointed elsewhere.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header::HOST;

/// The longest name that is repeated in an answer.
const NAME_CHARS_MAX: usize = 80;

/// The name that a request is addressed to, if it is neither an address, nor `localhost`, nor in `hosts`.
///
/// A request without a name comes from no browser, and is not foreign.
pub(crate) fn foreign(request: &Request, hosts: &[String]) -> Option<String> {
    let mut said = request.headers().get_all(HOST).iter();
    let first = said.next()?;
    let text = String::from_utf8_lossy(first.as_bytes());
    let name = without_port(&text);
    let own = said.next().is_none() && is_own(name, hosts);
    (!own).then(|| name.chars().take(NAME_CHARS_MAX).collect())
}

fn is_own(name: &str, hosts: &[String]) -> bool {
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name.parse::<IpAddr>().is_ok()
                || name.eq_ignore_ascii_case("localhost")
                || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
        }
    }
}

/// A host as the header has it, without its port.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn foreign_in(lines: &[&str]) -> Option<String> {
        let mut request = axum::http::Request::builder();
        for line in lines {
            request = request.header(HOST, *line);
        }
        let request = request.body(Body::empty()).unwrap();
        foreign(&request, &["node.example".to_owned()])
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_the_nodes() {
        for own in [
            "127.0.0.1:4901",
            "127.0.0.1",
            "192.0.2.7:80",
            "[::1]:4901",
            "[2001:db8::7]",
            "localhost:4901",
            "LocalHost",
            "localhost.",
            "node.example:443",
            "NODE.example",
        ] {
            assert_eq!(foreign_in(&[own]), None, "{own}");
        }
        assert_eq!(foreign_in(&[]), None);
    }

    #[test]
    fn every_other_name_is_foreign() {
        for name in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:4901",
            "",
            "[evil]",
            "::1",
            "node.example.evil",
            "2130706433.",
        ] {
            assert!(foreign_in(&[name]).is_some(), "{name}");
        }
        assert!(foreign_in(&["127.0.0.1", "evil.example"]).is_some());
        assert!(foreign_in(&[&"x".repeat(5_000)]).unwrap().len() <= NAME_CHARS_MAX);
    }
}
