//! The list of nodes in the file: one `[[peers]]` for each.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::super::peers::{ID, Listed, Peer, SERVICES, TABLE};
use super::super::problem::{Code, Problem};
use super::super::settings::Origin;
use super::super::suggest::closest;
use super::super::value::{Kind, Mismatch, Value};
use super::{Reader, code, convert, type_name};

/// What to write for a node.
const ENTRY: &str = "write one entry for each node, this one among them:\n\
                     [[peers]]\n\
                     id = 1\n\
                     kafka = \"node1.example.com:9092\"\n\
                     wal = \"node1.example.com:9291\"\n\
                     raft = \"node1.example.com:5001\"";

impl Reader<'_> {
    pub(super) fn peers(&mut self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let entries = match value.get_ref() {
            DeValue::Array(entries) if !entries.is_empty() => entries,
            other => {
                let found = if matches!(other, DeValue::Array(_)) { "an empty one" } else { type_name(other) };
                let what = format!("`{TABLE}` is a list of the cluster's nodes, not {found}");
                self.peers = Some(Vec::new());
                return self.broken(&name.span(), what, ENTRY);
            }
        };
        let peers = entries.iter().map(|entry| self.peer(entry)).collect();
        self.peers = Some(peers);
    }

    fn peer(&mut self, entry: &Spanned<DeValue<'_>>) -> Peer {
        let DeValue::Table(fields) = entry.get_ref() else {
            let what = format!("a node among the `{TABLE}` is a table, not {}", type_name(entry.get_ref()));
            self.broken(&entry.span(), what, ENTRY);
            return Peer::default();
        };
        let peer = Peer {
            id: self.field(fields, ID.name, ID.kind).and_then(|listed| {
                let Value::Integer(id) = listed.value else { return None };
                Some(Listed { value: i32::try_from(id).ok()?, place: listed.place, origin: listed.origin })
            }),
            addresses: SERVICES.map(|service| {
                let listed = self.field(fields, service, Kind::Address)?;
                let Value::Address(value) = listed.value else { return None };
                Some(Listed { value, place: listed.place, origin: listed.origin })
            }),
        };
        self.unknown_fields(fields);
        self.missing_fields(fields, &entry.span());
        peer
    }

    pub(super) fn field(&mut self, fields: &DeTable<'_>, name: &str, kind: Kind) -> Option<Listed<Value>> {
        let (_, value) = fields.iter().find(|(field, _)| field.get_ref() == name)?;
        let span = value.span();
        match convert(kind, value.get_ref()) {
            Ok(value) => {
                let (line, _) = self.position(span.start);
                let origin = Origin::File { file: self.name.to_owned(), line };
                Some(Listed { value, place: self.place(&span, ""), origin })
            }
            Err(Mismatch { reason, what, fix }) => {
                let problem = Problem::error(code(reason), format!("`{name}` of a peer: {what}"))
                    .at(self.place(&span, ""))
                    .fix(fix);
                self.problems.push((span.start, problem));
                None
            }
        }
    }

    fn unknown_fields(&mut self, fields: &DeTable<'_>) {
        let known = || [ID.name].into_iter().chain(SERVICES);
        for (name, _) in fields.iter().filter(|(name, _)| !known().any(|known| name.get_ref() == known)) {
            let written = name.get_ref().as_ref();
            let (label, fix) = match closest(written, known()) {
                Some(near) => (format!("did you mean `{near}`?"), format!("rename it to `{near}`")),
                None => (String::new(), "remove it: a peer has id, kafka, wal and raft".to_owned()),
            };
            let problem = Problem::error(Code::UnknownKey, format!("unknown key `{TABLE}.{written}`"))
                .at(self.place(&name.span(), &label))
                .why("a key that nobody reads would leave you with a setting you do not have, so we stop here")
                .fix(fix);
            self.problems.push((name.span().start, problem));
        }
    }

    fn missing_fields(&mut self, fields: &DeTable<'_>, entry: &Range<usize>) {
        let names = [ID.name].into_iter().chain(SERVICES);
        let missing: Vec<_> = names.filter(|name| !fields.iter().any(|(field, _)| field.get_ref() == name)).collect();
        if !missing.is_empty() {
            let what = format!("a peer without {}", missing.join(", "));
            self.broken(entry, what, "add what is missing: id, kafka, wal and raft, the addresses as host:port");
        }
    }

    fn broken(&mut self, span: &Range<usize>, what: String, fix: &str) {
        let why = "the nodes of a cluster find each other by this list, the same on all of them";
        let problem = Problem::error(Code::BrokenPeers, what).at(self.place(span, "")).why(why).fix(fix);
        self.problems.push((span.start, problem));
    }
}
