"""A cluster whose nodes reach each other through proxies, so that the network between them can be at fault. Clients reach every
node all the time: a node that is cut off from the others goes on answering them as well as it can, which is the worst case.

The nodes know each other by name. Each has its own view of what a name means (`/etc/hosts`, in a mount namespace of its
process): what node 1 knows as node 2 is the address 127.0.1.2, where a proxy listens that carries what node 1 says to node 2 and
nothing else.
"""

from harness.cluster import ChronikNode, Cluster
from harness.toxiproxy import Toxiproxy

SERVICES = ("wal", "raft")


class ProxiedNode(ChronikNode):
    """A node that finds the others at their proxies, and stands in a rack of its own."""

    def __init__(self, directory, settings, node_id, **tables):
        super().__init__(directory, {**settings, "broker.rack": rack(node_id)}, node_id, **tables)

    def prepare(self):
        super().prepare()
        others = [node for node in self.nodes if node is not self]
        names = ["127.0.0.1 localhost", f"127.0.0.1 {host_name(self)}"]
        names += [f"{proxy_host(self, node)} {host_name(node)}" for node in others]
        self.hosts_path.write_text("".join(f"{line}\n" for line in names))

    @property
    def hosts_path(self):
        return self.directory / "hosts.txt"

    def _peers(self):
        lines = []
        for node in self.nodes:
            lines += ["[[peers]]", f"id = {node.node_id}", f'kafka = "{node.bootstrap}"']
            lines += [f'{service} = "{host_name(node)}:{port(node, service)}"' for service in SERVICES]
        return lines

    def _command(self):
        mount = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, self.hosts_path, *super()._command()]


class ProxiedCluster(Cluster):
    """Nodes 1 to `size`, and the network between them."""

    node_types = {"chronik": ProxiedNode}

    def __init__(self, kind, directory, settings, size, **tables):
        super().__init__(kind, directory, settings, size, **tables)
        self.network = Network(directory, self.nodes)

    def start(self):
        self.network.start()
        return super().start()

    def kill(self):
        super().kill()
        self.network.kill()


def rack(node_id):
    return f"rack-{node_id}"


def host_name(node):
    return f"node-{node.node_id}"


def proxy_host(dialling, dialled):
    return f"127.0.{dialling.node_id}.{dialled.node_id}"


def port(node, service):
    return {"wal": node.wal_port, "raft": node.raft_port}[service]


class Network:
    """What may happen between nodes; `heal` ends all of it. Between any two of them stands a process of its own."""

    def __init__(self, directory, nodes):
        self.nodes = nodes
        self.between = {pair: Toxiproxy(directory, "-".join(map(str, sorted(pair)))) for pair in map(ids, self.pairs())}

    def start(self):
        for proxies in self.between.values():
            proxies.start()
        for a, b in self.pairs():
            for service in SERVICES:
                where = port(b, service)
                self.between[ids((a, b))].add(link(a, b, service), f"{proxy_host(a, b)}:{where}", f"127.0.0.1:{where}")

    def kill(self):
        for proxies in self.between.values():
            proxies.kill()

    def heal(self):
        for proxies in self.between.values():
            proxies.resume()
            proxies.reset()

    def hold_between(self, a, b):
        """Nothing gets through between two nodes. What they say meanwhile comes late, when it is over, as with packets that are lost
        and sent again: the process between them stands still, and the system keeps what has come for it."""
        self.between[ids((a, b))].pause()

    def hold(self, node):
        """Nothing gets through between a node and the others; it comes late."""
        for other in self.others(node):
            self.hold_between(node, other)

    def drop(self, node):
        """Nothing gets through, nor does it come later: the connections are of no use afterwards, and end."""
        self.mute(node)
        self.deafen(node)

    def mute(self, node):
        """The node hears the others, and they do not hear it."""
        for other in self.others(node):
            self.one_way(node, other, "timeout", timeout=0)

    def deafen(self, node):
        """The others hear the node, and it does not hear them."""
        for other in self.others(node):
            self.one_way(other, node, "timeout", timeout=0)

    def refuse(self, node):
        """Connections to and from the node end, and none can be made: everyone sees it at once."""
        self.enable(node, False)

    def break_connections(self, node):
        """All connections of a node end; they can be made again."""
        self.enable(node, False)
        self.enable(node, True)

    def slow(self, node, latency_ms):
        """All that a node says and hears takes so long."""
        for other in self.others(node):
            self.one_way(node, other, "latency", latency=latency_ms)
            self.one_way(other, node, "latency", latency=latency_ms)

    def one_way(self, a, b, kind, **attributes):
        """Does something to all that node a says to node b: on the connections that it dialled, and on those that b did."""
        proxies = self.between[ids((a, b))]
        for service in SERVICES:
            proxies.toxic(link(a, b, service), "upstream", kind, **attributes)
            proxies.toxic(link(b, a, service), "downstream", kind, **attributes)

    def enable(self, node, enabled):
        for a, b in self.pairs():
            if node in (a, b):
                for service in SERVICES:
                    self.between[ids((a, b))].enable(link(a, b, service), enabled)

    def pairs(self):
        return [(a, b) for a in self.nodes for b in self.nodes if a is not b]

    def others(self, node):
        return [other for other in self.nodes if other is not node]


def ids(pair):
    """Two nodes, whichever comes first."""
    return frozenset(node.node_id for node in pair)


def link(a, b, service):
    """The proxy to which node a dials when it wants node b."""
    return f"{a.node_id}-{b.node_id}-{service}"
