"""What the suites have in common: brokers, lists of outcomes, the gate, the page."""
