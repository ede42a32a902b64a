"""The contract gate: pytest rules that check any deployment against what was promised."""
