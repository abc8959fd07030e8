"""Tests that others wrote for their own clients, run against the broker as they are."""

import os
import re
import subprocess

from harness.registry import case

# What a single node without transactions, share groups, the newer group protocol and SASL cannot be asked for.
NOT_SERVED = "TestTxnEtl"
# Looks for the sources of its own package.
NEEDS_SOURCES = "TestOptValuesCoversEveryOption"
MAY_SKIP = re.compile(r"Share|848|SCRAM|BrokerTooOld")
# Fewer than this, and something has been skipped that says nothing of it.
PASSED_MIN = 430


@case(fresh=True, timeout_s=300)
def franz_go_own_tests(cx):
    """`go test` of franz-go's `kgo`: groups of every kind, exactly-once consumption, purges, retries, bombs."""
    directory = cx.directory / "franz-go"
    directory.mkdir()
    arguments = ["-test.v", f"-test.skip={NOT_SERVED}|{NEEDS_SOURCES}", "-test.timeout=280s"]
    environment = {**os.environ, "KGO_SEEDS": cx.bootstrap, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": "10000"}
    done = subprocess.run(
        [os.environ["E2E_KGO_TESTS"], *arguments], env=environment, cwd=directory, capture_output=True, text=True
    )
    (cx.directory / "kgo.log").write_text(done.stdout + done.stderr)
    outcomes = re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", done.stdout, re.MULTILINE)
    failed = [name for outcome, name in outcomes if outcome == "FAIL"]
    passed = sum(outcome == "PASS" for outcome, _ in outcomes)
    skipped = [name for outcome, name in outcomes if outcome == "SKIP" and not MAY_SKIP.search(name)]
    assert done.returncode == 0 and not failed, f"failed: {failed}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
    assert not skipped, f"skipped without a reason: {skipped}"
    assert passed >= PASSED_MIN, f"only {passed} tests ran"
