"""A run of the gate: options, rules, verdicts and the pytest plugin."""
