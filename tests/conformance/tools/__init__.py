"""Apache Kafka's command-line tools as cases, beside those of `tests/e2e/cases/java_tools.py`; run by the suite `kafka-tools`.

Each is called with a `harness.context.Context`, and asserts what the tool printed.
"""
