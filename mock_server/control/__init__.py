"""The control API under `/__mock__/`: look at a running mock, change it, verify what it was asked."""

from mock_server.control.service import PREFIX, Control

__all__ = ["PREFIX", "Control"]
