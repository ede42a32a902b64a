"""Virtual time towards a server outside of the gate's process: pauses take no real time, and time-outs do."""

from __future__ import annotations

import socket

import pytest

from tests.support.virtual_clock import START, TICK, VirtualClock


def test_pauses_of_the_gate_take_no_real_time() -> None:
    clock = VirtualClock().for_gate()
    clock.sleep(86_400.0)
    assert clock.now() == START + 86_400.0


def test_an_expired_time_out_and_each_write_advance_the_clock() -> None:
    clock = VirtualClock().for_gate()
    ours, theirs = socket.socketpair()
    with clock.timed(ours) as sock, theirs:
        sock.sendall(b"request")
        assert theirs.recv(64) == b"request"
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            sock.recv(64)
        theirs.sendall(b"response")
        sock.settimeout(30.0)
        assert sock.recv(64) == b"response"
    assert clock.now() == pytest.approx(START + TICK + 0.01)
