"""A page of another origin reads responses of the mock in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from mock_server import UsageMock, make_app
from mock_server.options import MockOptions
from tests.support.wire import KEY
from usage_contract import Contract

FETCH = """async ([url, options]) => {
  const response = await fetch(url + '/usage', options)
  const names = ['retry-after', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'mock-reason', 'preference-applied']
  const headers = Object.fromEntries(names.map(name => [name, response.headers.get(name)]))
  return {status: response.status, headers, body: await response.json()}
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of another origin than the mock, as its port differs."""
    with UsageMock() as elsewhere, browser.new_context() as context:
        page = context.new_page()
        page.goto(elsewhere.url + "/healthz")
        yield page


def fetched(page: Page, mock: UsageMock, **headers: str) -> Any:
    return page.evaluate(FETCH, [mock.url, {"headers": headers}])


def test_a_page_reads_usage_metrics_and_refusals_with_their_headers(page: Page, limited: UsageMock) -> None:
    assert fetched(page, limited, **{KEY: "demo-busy"})["body"]["api_key"] == "demo-busy"
    missing = fetched(page, limited)
    assert (missing["status"], missing["headers"]["mock-reason"]) == (401, "missing-key")
    limited.use("throttled")
    refused = fetched(page, limited, **{KEY: "demo-busy"})
    assert (refused["status"], refused["headers"]["mock-reason"]) == (429, "code-override")
    assert refused["headers"]["x-ratelimit-remaining"] == "0"
    assert refused["headers"]["retry-after"] == "1"
    preferred = fetched(page, limited, **{KEY: "demo-busy", "Prefer": "code=403"})
    assert (preferred["status"], preferred["headers"]["preference-applied"]) == (403, "code=403")


def test_a_page_reads_that_a_method_is_not_allowed(page: Page, limited: UsageMock) -> None:
    response = page.evaluate(FETCH, [limited.url, {"method": "PUT", "body": json.dumps({}), "headers": {KEY: "k"}}])
    assert response["status"] == 405


def test_a_page_reads_no_response_if_cors_is_switched_off(page: Page, contract: Contract) -> None:
    with (
        UsageMock(make_app(contract, MockOptions(cors=False))) as mock,
        pytest.raises(Exception, match="Failed to fetch"),
    ):
        fetched(page, mock)
