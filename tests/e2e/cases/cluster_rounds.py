"""Faults of all kinds, one round after the other, on one cluster. `E2E_ROUNDS` and `E2E_SEED` say how many, and which."""

import os

from harness.registry import case
from harness.rounds import Rounds

ROUNDS = int(os.environ.get("E2E_ROUNDS", "10"))
SEED = int(os.environ.get("E2E_SEED", "1"))


@case(nodes=3, only_chronik=True, timeout_s=120 + 60 * ROUNDS)
def rounds_of_faults(cx):
    print(Rounds(cx, SEED).run(ROUNDS))
