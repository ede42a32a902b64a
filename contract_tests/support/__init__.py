"""The vocabulary of rules: the deployment under test, facts, findings, and requests that several rules send."""
