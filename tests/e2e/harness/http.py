"""What a node says over HTTP."""

import http.client
import json
from collections import namedtuple

Answer = namedtuple("Answer", "status type text")


def get(node, path, timeout_s=20):
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, response.getheader("content-type"), response.read().decode())
    finally:
        connection.close()


def document(node, path):
    """Status and JSON."""
    answer = get(node, path)
    return answer.status, json.loads(answer.text)


def scrape(node):
    """Every sample by name and labels, read as Prometheus reads it; and the kind of each metric."""
    from prometheus_client.parser import text_string_to_metric_families

    answer = get(node, "/metrics")
    assert answer.status == 200, answer
    assert answer.type == "text/plain; version=0.0.4; charset=utf-8", answer.type
    return Scrape(list(text_string_to_metric_families(answer.text)), answer.text)


class Scrape:
    def __init__(self, families, text):
        self.text = text
        # As they stand in the text: the parser takes the ending off counters.
        self.kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
        self.samples = {}
        for family in families:
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"twice: {key}"
                self.samples[key] = sample.value

    def __call__(self, name, **labels):
        """The value of the one sample with these labels; none if there is none."""
        return self.samples.get((name, frozenset((label, str(value)) for label, value in labels.items())))

    def all(self, name):
        """Values by labels."""
        return {labels: value for (found, labels), value in self.samples.items() if found == name}
