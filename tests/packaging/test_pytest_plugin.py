"""The pytest plugin in other projects: its fixtures, and the isolation of their tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest

pytest_plugins = ["pytester"]

GET = """
import urllib.request, urllib.error
def get(mock, key=None):
    request = urllib.request.Request(mock.url + "/usage", headers={"X-API-Key": key or mock.api_key})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
"""


def assert_passes(pytester: pytest.Pytester, *options: str, passed: int) -> None:
    others = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")  # their start takes seconds
    done = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *others, *options)
    done.assert_outcomes(passed=passed)


def test_the_fixture_is_a_mock_with_a_url_and_a_key(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(GET + "def test_it(usage_mock): assert get(usage_mock) == 200")
    assert_passes(pytester, passed=1)


def test_each_test_starts_with_a_reset_mock(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        GET
        + """
def test_one(usage_mock):
    usage_mock.use("revoked", key=usage_mock.api_key)
    key = usage_mock.make_key()
    usage_mock.answer(503, key)
    assert get(usage_mock, key) == 503
    usage_mock.freeze()
    assert get(usage_mock) == 403
def test_two(usage_mock):
    assert usage_mock.requests == ()
    assert [each for each in usage_mock.keys if each.startswith("made-")] == []
    assert get(usage_mock) == 200
"""
    )
    assert_passes(pytester, passed=2)


def test_a_server_that_a_fault_stopped_listens_in_the_next_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        GET
        + """
import http.client, pytest
def test_one(usage_mock):
    usage_mock.fail("long-query-stops-the-server")
    long = urllib.request.Request(usage_mock.url + "/usage?" + "q" * 3000, headers={"X-API-Key": usage_mock.api_key})
    with pytest.raises((OSError, http.client.HTTPException)):
        urllib.request.urlopen(long)
    with pytest.raises(OSError):
        urllib.request.urlopen(usage_mock.url + "/usage")
def test_two(usage_mock): assert get(usage_mock) == 200
"""
    )
    assert_passes(pytester, passed=2)


def test_a_project_can_set_the_deployment_and_the_options(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest
from mock_server.fixtures.deployments import Deployment, Key
@pytest.fixture(scope="session")
def usage_mock_deployment(): return Deployment("own", "", {"own-key": Key()})
@pytest.fixture(scope="session")
def usage_mock_options(usage_mock_deployment):
    return {"deployment": usage_mock_deployment, "unknown_key_status": 401}
"""
    )
    pytester.makepyfile(
        GET
        + """
def test_it(usage_mock):
    assert (usage_mock.keys, get(usage_mock), get(usage_mock, "unknown-key")) == (("own-key",), 200, 401)
"""
    )
    assert_passes(pytester, passed=1)


FOLDERS = {
    "a/conftest.py": """
import pytest
@pytest.fixture(scope="session")
def usage_mock_options(): return {"unknown_key_status": 401}
""",
    "a/test_a.py": GET + "def test_a(usage_mock): assert get(usage_mock, 'unknown-key') == 401",
    "b/conftest.py": """
import pytest
@pytest.fixture(scope="session")
def usage_mock_options(): return {"rate_limit": False}
""",
    "b/test_b.py": GET
    + """
def test_b(usage_mock):
    assert get(usage_mock, 'unknown-key') == 403
    assert [get(usage_mock) for _ in range(12)] == [200] * 12
""",
}


def write(pytester: pytest.Pytester, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_each_folder_has_a_mock_with_its_own_options(pytester: pytest.Pytester) -> None:
    write(pytester, FOLDERS)
    write(pytester, {"a/test_later.py": FOLDERS["a/test_a.py"]})
    assert_passes(pytester, passed=3)


def test_a_test_can_have_its_own_options_and_equal_options_share_a_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        GET
        + """
import pytest
urls = set()
@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("usage_mock_options", [{"unknown_key_status": 401}, {}], ids=["401", "403"])
def test_it(usage_mock, usage_mock_options, number):
    assert get(usage_mock, "unknown-key") == usage_mock_options.get("unknown_key_status", 403)
    urls.add(usage_mock.url)
def test_two_servers(): assert len(urls) == 2
"""
    )
    assert_passes(pytester, passed=5)


def test_a_test_can_have_its_own_deployment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest
from mock_server import Deployment, Key
OWN = Deployment("own", "", {"own-key": Key()})
@pytest.mark.parametrize("usage_mock_deployment", [OWN, "default"], ids=["own", "default"], scope="session")
def test_it(usage_mock, usage_mock_deployment):
    assert usage_mock.api_key == ("own-key" if usage_mock_deployment is OWN else "demo-busy")
"""
    )
    assert_passes(pytester, passed=2)


def test_the_server_of_the_session_is_not_used_with_other_options(pytester: pytest.Pytester) -> None:
    write(pytester, FOLDERS)
    use = "def test_c(usage_mock_server): pass"
    write(pytester, {"a/test_c.py": use, "b/test_d.py": use})
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(["*usage_mock_server: this session has tests with other usage_mock_options*"])


def test_a_project_can_have_its_own_server_of_the_session(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest
from mock_server import UsageMock
@pytest.fixture(scope="session")
def usage_mock_server():
    with UsageMock(unknown_key_status=401) as mock:
        yield mock
"""
    )
    pytester.makepyfile(
        GET
        + """
def test_one(usage_mock_server): assert get(usage_mock_server, "unknown-key") == 401
def test_two(usage_mock_server, usage_mock): assert usage_mock is not usage_mock_server
"""
    )
    assert_passes(pytester, passed=2)


def test_a_failed_test_shows_the_latest_requests_without_keys(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        GET
        + """
def test_one(usage_mock):
    get(usage_mock)
    get(usage_mock, "wrong-key")
    assert len(usage_mock.requests_of(status=200)) == 2
def test_two(usage_mock): usage_mock.verify()
"""
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        [
            "E * assert 1 == 2",
            "E * (Entry(#1 GET /usage 200),)*",
            "*usage_mock: the latest requests*",
            "??:??:??.??? #1 GET /usage with dem…0fd2c2: status 200",
            "??:??:??.??? #2 GET /usage with wro…*: status 403 unknown-key",
            "E * AssertionError: Requests: expected at least 1, found 0.",
            "The mock has not received a request since the last reset.",
        ]
    )
    assert "async_usage_mock.py" not in done.stdout.str()


def test_fixtures_of_a_project_with_the_same_names_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import pytest
@pytest.fixture
def usage_mock(): return {}
def test_one(usage_mock): assert usage_mock
""")
    pytester.runpytest_subprocess().assert_outcomes(failed=1)


def test_a_mock_that_a_test_has_closed_is_replaced(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
def test_one(usage_mock): usage_mock.close()
def test_two(usage_mock): usage_mock.use("heavy")
""")
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)


def test_an_override_that_has_not_acted_is_a_warning_or_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(GET + "def test_it(usage_mock): usage_mock.answer([503, 429]); assert get(usage_mock) == 503")
    options = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")
    done = pytester.runpytest_subprocess(*options)
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*answer: the sequence code=503, … was used for 1 of 2 requests by the end of the test"])
    failing = "error::mock_server.UnusedOverrideWarning"
    pytester.runpytest_subprocess("-W", failing, *options).assert_outcomes(passed=1, errors=1)


def test_each_worker_has_its_own_mock(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        GET
        + """
import pytest
@pytest.mark.parametrize("number", range(8))
def test_it(usage_mock, number):
    assert [get(usage_mock) for _ in range(10)] == [200] * 10
    assert len(usage_mock.requests) == 10
"""
    )
    assert_passes(pytester, "-n", "2", passed=8)


def test_the_session_leaves_no_thread_and_no_socket(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import psutil, threading
def pytest_unconfigure(config):
    sockets = [each for each in psutil.Process().net_connections() if each.status == "LISTEN"]
    assert (threading.enumerate(), sockets) == ([threading.main_thread()], [])
"""
    )
    pytester.makepyfile(GET + "def test_it(usage_mock): assert get(usage_mock) == 200")
    assert_passes(pytester, passed=1)


def test_the_plugin_imports_no_further_modules_until_it_is_used() -> None:
    code = "import sys, pytest; before = set(sys.modules); import mock_server.testing.pytest_plugin; "
    code += "print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mock_server', 'mock_server.testing', 'mock_server.testing.pytest_plugin']"


def test_the_mock_never_imports_the_plugin() -> None:
    code = "import sys, mock_server.testing.usage_mock, mock_server.command.cli; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
