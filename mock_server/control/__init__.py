"""The control API under `/__mock__/`: look at a running mock, change it, verify what it was asked."""
