"""What every end-to-end case stands on: brokers to talk to, a registry of cases, and checks."""
