//! The HTTP ports: taken before the node begins, served once it is up.

use chronik_admin::{Port, Surface};
use chronik_broker::Observer;
use tracing::warn;

use crate::config::http::Http;
use crate::config::problem::{Code, Problem};

/// Ports that are taken.
pub(crate) struct Ports {
    taken: Vec<Port>,
    /// Where HTTP is served, for the start card.
    pub(crate) told: String,
}

impl Ports {
    /// Takes the ports. One that nobody asked for is done without if it cannot be had.
    ///
    /// # Errors
    /// What cannot be had that somebody asked for.
    pub(crate) fn take(http: &Http) -> Result<Ports, Problem> {
        let mut ports = Ports { taken: Vec::new(), told: "off".to_owned() };
        if let Some(address) = http.whole {
            match Port::bind(address, Surface::Whole) {
                Ok(port) => {
                    ports.told = port.address().map_or_else(|_| address.to_string(), |address| address.to_string());
                    ports.taken.push(port);
                }
                Err(error) if http.is_asked_for => return Err(refused(address, &error, "search")),
                Err(error) => {
                    warn!("HTTP is off: nothing can listen on {address} ({error}); `search` in [node.addresses] gives it another port");
                    ports.told = format!("off: {address} cannot be had");
                }
            }
        }
        if let Some(address) = http.metrics {
            let port = Port::bind(address, Surface::Metrics).map_err(|error| refused(address, &error, "metrics"))?;
            let told = port.address().unwrap_or(address);
            ports.told.push_str(&format!("; metrics alone: {told}"));
            ports.taken.push(port);
        }
        Ok(ports)
    }

    /// Serves them from here on.
    pub(crate) fn serve(&mut self, observer: &Observer) {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        if let Err(error) = chronik_admin::spawn(taken, observer.clone()) {
            warn!("HTTP is off: the system refused a thread: {error}");
        }
    }
}

fn refused(address: std::net::SocketAddr, error: &std::io::Error, key: &str) -> Problem {
    Problem::error(Code::Start, format!("cannot listen on {address} for HTTP: {error}"))
        .why(format!("`{key}` in [node.addresses] asks for this port, and it cannot be had"))
        .fix("stop the process that listens there, choose another port, or set `enabled = false` in [http]")
}
