"""A run of the gate: the pytest plugin, options, baseline requests and verdicts."""
