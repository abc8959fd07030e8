"""`chronik-server bench` against the broker of the case: ours, or Apache Kafka."""

from harness.context import equal, eventually
from harness.load import bench
from harness.registry import case


def is_there(cx, topic):
    return topic in cx.admin().list_topics(timeout=20).topics


@case(timeout_s=180)
def produce(cx):
    for more in (["--keys", 100], ["--compression", "zstd"], ["--acks", 1, "--rate", 2000], ["--acks", 0]):
        topic = cx.name()
        shape = ["--records", 2000, "--batch", 20, "--partitions", 3, "--producers", 2, "--warmup", "200ms"]
        result = bench(cx.bootstrap, "produce", "--topic", topic, *shape, *more)
        equal(result["produced"]["records"], 2000, more)
        equal(result["produced"]["latency_ms"]["count"], 100, more)
        # Kafka answers a deletion when its controller knows of it, a little before its broker does.
        eventually(lambda: not is_there(cx, topic), f"{topic} to be deleted")


@case(timeout_s=180)
def consume(cx):
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        result = bench(cx.bootstrap, "consume", "--records", 5000, "--partitions", 2, "--consumers", 2, "--groups", 2, "--compression", codec)
        assert result["consumed"]["records"] >= 5000, (codec, result)


@case(timeout_s=180)
def end_to_end(cx):
    topic = cx.topic(partitions=2)
    result = bench(cx.bootstrap, "end-to-end", "--topic", topic, "--rate", 500, "--batch", 1, "--records", 1000, "--groups", 2, "--warmup", "500ms")
    equal(result["produced"]["records"], 1000)
    equal(result["end_to_end_latency_ms"]["count"], 2000)
    assert is_there(cx, topic), "a topic that was there is not the run's to delete"
