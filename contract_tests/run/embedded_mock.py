"""The embedded mock: the only module of the gate that imports the mock."""

from __future__ import annotations

from dataclasses import replace

from contract_tests.metrics.schema import contract
from mock_server import UsageMock, load_deployment, make_app
from mock_server.fixtures.deployments import RateLimit

RAISED = RateLimit(rps=1000.0, burst=1000)
SMALL = RateLimit(rps=40.0, burst=10)


def start() -> UsageMock:
    """Start the mock on a free port with its default deployment.

    The rate limits are raised, so that the gate does not wait. The bucket of the second key stays as small as the
    vendor's, and fills four times as fast.
    """
    deployment = load_deployment()
    keys = {
        name: replace(key, rate_limit=SMALL if index == 1 else RAISED)
        for index, (name, key) in enumerate(deployment.keys.items())
    }
    return UsageMock(make_app(contract("documented"), deployment=replace(deployment, keys=keys))).start()
