//! Where a node listens for HTTP.

use std::net::SocketAddr;

use super::addresses::{self, Resolve};
use super::cluster::port_conflict;
use super::problem::{Code, Problem};
use super::schema::{self, Key};
use super::settings::{Origin, Settings};
use super::value::{Address, Value};

/// Where, if anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    /// For everything.
    pub(crate) whole: Option<SocketAddr>,
    /// Somebody said so, and is to hear if it cannot be had.
    pub(crate) is_asked_for: bool,
    /// For metrics alone.
    pub(crate) metrics: Option<SocketAddr>,
}

/// Reads the settings; `others` are the ports of the node that it has besides.
pub(super) fn config(
    settings: &mut Settings,
    others: &[(&'static str, SocketAddr)],
    problems: &mut Vec<Problem>,
    resolve: Resolve,
) -> Http {
    if let Some(address @ Address { host: None, .. }) = settings.address(&schema::LISTEN_METRICS).cloned() {
        // Given as a port alone, by an old name.
        let host = Some("0.0.0.0".to_owned());
        settings.replace_value(&schema::LISTEN_METRICS, Value::Address(Address { host, ..address }));
    }
    let is_enabled = settings.entry(&schema::HTTP_ENABLED).value == Some(Value::Boolean(true));
    let is_asked_for = is_given(settings, &schema::LISTEN_HTTP);
    if !is_asked_for {
        stay_within(others, settings);
    }
    let mut http = Http { is_asked_for, ..Http::default() };
    let metrics = addresses::all(settings, &schema::LISTEN_METRICS, problems, resolve).first().copied();
    http.metrics = metrics.filter(|address| is_free(("metrics", *address), others, settings, problems));
    if is_enabled {
        let taken: Vec<_> = others.iter().copied().chain(metrics.map(|address| ("metrics", address))).collect();
        let whole = addresses::all(settings, &schema::LISTEN_HTTP, problems, resolve).first().copied();
        http.whole = whole.filter(|address| is_free(("search", *address), &taken, settings, problems));
    }
    http
}

/// Who keeps clients to one interface does not expect HTTP on all of them.
fn stay_within(others: &[(&'static str, SocketAddr)], settings: &mut Settings) {
    let kafka = others.iter().find(|(service, _)| *service == "kafka").map(|(_, address)| address.ip());
    if let Some((ip, address)) = kafka.zip(settings.address(&schema::LISTEN_HTTP).cloned()) {
        settings.replace_value(&schema::LISTEN_HTTP, Value::Address(Address { host: Some(ip.to_string()), ..address }));
    }
}

fn is_given(settings: &Settings, key: &Key) -> bool {
    settings.entry(key).origin != Origin::Default
}

/// A port that nobody asked for gives way to one that somebody did.
fn is_free(
    own: (&'static str, SocketAddr),
    others: &[(&'static str, SocketAddr)],
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> bool {
    let Some((conflict, other)) = others.iter().find_map(|other| Some((port_conflict(*other, own, settings)?, other.0))) else {
        return true;
    };
    problems.push(match own.0 == "search" && !is_given(settings, &schema::LISTEN_HTTP) {
        false => conflict,
        true => Problem::warning(Code::PortConflict, format!("HTTP is off: `{other}` has its port, {}", own.1.port()))
            .why("nobody said where this node is to listen for HTTP, and the default is taken by this very node")
            .fix("give `search` in [node.addresses], or set `enabled = false` in [http]"),
    });
    false
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, file, lay, node};
    use super::*;

    fn read(text: &str) -> (Http, Vec<String>) {
        let layer: Layer = file::parse("chronik.toml", text);
        let (mut settings, mut problems) = lay(vec![layer]);
        let resolve: Resolve = |host, port| Ok(vec![SocketAddr::new(host.parse().expect("an address"), port)]);
        let broker = node::config(&mut settings, &mut problems, resolve);
        let http = config(&mut settings, &node::listens(&broker), &mut problems, resolve);
        (http, problems.iter().map(Problem::to_string).collect())
    }

    fn at(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([0, 0, 0, 0], port)))
    }

    #[test]
    fn a_node_listens_for_http_unless_it_is_told_not_to() {
        assert_eq!(read("").0, Http { whole: at(6092), is_asked_for: false, metrics: None });
        assert_eq!(read("[http]\nenabled = false\n").0.whole, None);
        let (http, problems) = read("[node.addresses]\nsearch = \"0.0.0.0:7000\"\nmetrics = \"0.0.0.0:13092\"\n");
        assert_eq!(http, Http { whole: at(7000), is_asked_for: true, metrics: at(13092) });
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn http_stays_on_the_interface_of_the_clients_unless_somebody_says_otherwise() {
        let (http, problems) = read("[node.addresses]\nkafka = \"127.0.0.1:9092\"\n");
        assert_eq!(http.whole, Some(SocketAddr::from(([127, 0, 0, 1], 6092))), "{problems:?}");
        let (http, _) = read("[node.addresses]\nkafka = \"127.0.0.1:9092\"\nsearch = \"0.0.0.0:6092\"\n");
        assert_eq!(http.whole, at(6092));
        let (http, problems) = read("[node.addresses]\nkafka = \"[::1]:9092\"\n");
        assert_eq!(http.whole.map(|address| address.to_string()).as_deref(), Some("[::1]:6092"), "{problems:?}");
    }

    #[test]
    fn two_services_on_one_port_are_refused_unless_it_is_the_default_that_is_in_the_way() {
        let (http, problems) = read("[node.addresses]\nkafka = \"0.0.0.0:6092\"\n");
        assert_eq!(http.whole, None);
        assert!(problems[0].contains("warning[CHK0205]: HTTP is off: `kafka` has its port, 6092"), "{problems:?}");
        for both in ["kafka = \"0.0.0.0:7000\"\nsearch = \"0.0.0.0:7000\"", "metrics = \"0.0.0.0:7000\"\nsearch = \"127.0.0.1:7000\""] {
            let (_, problems) = read(&format!("[node.addresses]\n{both}\n"));
            assert!(problems[0].contains("error[CHK0205]: port conflict on 7000"), "{problems:?}");
        }
    }
}
