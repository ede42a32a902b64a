"""The control API under `/__mock__/`: read, change and verify a running mock."""
