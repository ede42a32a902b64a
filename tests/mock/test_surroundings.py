"""The mock in unusual processes: closed streams, other threads, file systems, encodings and TLS key logs."""

from __future__ import annotations

import http.client
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import trustme

from mock_server.command.init import init
from mock_server.command.option_sources import read_options
from mock_server.options import OptionError

WAIT = 60.0  # seconds: a hundred times what such a process takes

USE_A_MOCK = """
import http.client
from mock_server import UsageMock

def status(mock):
    connection = http.client.HTTPConnection("127.0.0.1", int(mock.url.rpartition(":")[2]), timeout=60)
    connection.request("GET", "/usage", headers={"X-API-Key": mock.api_key})
    return connection.getresponse().status
"""


def run(
    code: str, environment: Mapping[str, str] | None = None, redirections: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a subprocess, with redirections of a shell."""
    command = ["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, "-c", USE_A_MOCK + code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT, env={**os.environ, **(environment or {})}
    )


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_a_mock_in_a_process_with_closed_streams_responds(tmp_path: Path, closed: str) -> None:
    code = f"""
with UsageMock() as mock:
    open({str(tmp_path / "status")!r}, "w").write(str(status(mock)))
with UsageMock() as mock:
    status(mock)
"""
    assert run(code, redirections=closed).returncode == 0
    assert (tmp_path / "status").read_text() == "200"


@pytest.mark.parametrize("closed", CLOSED)
def test_the_command_with_closed_streams_serves_until_it_is_stopped(closed: str) -> None:
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-m", "mock_server", "--port", "0"]
    with subprocess.Popen(command) as process:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=WAIT)) as connection:
                connection.request("GET", "/healthz")
                assert connection.getresponse().status == 200
            process.terminate()
            assert process.wait(WAIT) == 0
        finally:
            process.kill()


def port_of(process: subprocess.Popen[bytes]) -> int:
    """Return the port on which a process listens; one without standard output cannot print it."""
    while process.poll() is None:
        for connection in psutil.Process(process.pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return connection.laddr.port
        time.sleep(0.01)
    raise AssertionError(f"the mock exited with code {process.returncode}")


@pytest.mark.parametrize(("arguments", "code"), [("--help", 0), ("--prot", 4)])
def test_a_command_that_only_prints_ends_with_closed_streams(arguments: str, code: int) -> None:
    command = ["sh", "-c", f"exec {shlex.quote(sys.executable)} -m mock_server {arguments} >&- 2>&-"]
    assert subprocess.run(command, timeout=WAIT).returncode == code


@pytest.mark.parametrize("arguments", ["--help", "--version", "--port 0", "init another", "check folder"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_standard_output_that_cannot_be_written_is_reported(arguments: str, tmp_path: Path) -> None:
    init(tmp_path / "folder")
    command = [sys.executable, "-m", "mock_server", *arguments.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT, cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr == "usage-mock: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_help_is_printed_in_any_encoding(encoding: str) -> None:
    command = [sys.executable, "-m", "mock_server", "--help"]
    done = subprocess.run(
        command, capture_output=True, timeout=WAIT, env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode(encoding)
    assert "--state URL" in printed
    assert "\\u" not in printed


def test_a_character_that_the_encoding_lacks_is_printed_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "d\u00e9p\u00f4t\u2026"
    (folder / "deployments").mkdir(parents=True)
    (folder / "deployments" / "default.yaml").write_text("")
    command = [sys.executable, "-m", "mock_server", "check", str(folder)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, timeout=WAIT, env=environment)
    assert (done.returncode, done.stdout) == (4, b"0 of 1 deployments are valid\n")
    assert b"d\\xe9p\\xf4t\\u2026/deployments/default.yaml:1: is empty" in done.stderr


@pytest.mark.parametrize("path", ["/none/such/keys.log", "/"])
def test_a_key_log_that_cannot_be_written_matters_only_for_tls(path: str) -> None:
    code = "import os\nwith UsageMock() as mock: print(status(mock), os.environ['SSLKEYLOGFILE'])"
    done = run(code, {"SSLKEYLOGFILE": path})
    assert (done.stdout, done.stderr) == (f"200 {path}\n", "")


def test_a_key_log_that_cannot_be_written_is_reported_if_tls_is_used(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued = trustme.CA().issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    command = [sys.executable, "-m", "mock_server", "--tls-cert", str(certificate), "--tls-key", str(key)]
    environment = {**os.environ, "SSLKEYLOGFILE": "/none/such/keys.log"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, env=environment)
    assert done.returncode == 4
    assert done.stderr == (
        "usage-mock: --tls-cert: /none/such/keys.log: cannot be written (SSLKEYLOGFILE): No such file or directory\n"
    )


def test_the_command_reads_no_system_certificates_and_restores_the_environment(tmp_path: Path) -> None:
    authorities = tmp_path / "authorities.pem"
    trustme.CA().cert_pem.write_to_path(authorities)
    code = """if True:
        import os
        from mock_server.command.cli import main
        main(["--deployment", "none-such"])
        from aiohttp.connector import _SSL_CONTEXT_VERIFIED
        number = _SSL_CONTEXT_VERIFIED.cert_store_stats()["x509_ca"]
        print(number, os.environ["SSL_CERT_FILE"], "SSL_CERT_DIR" in os.environ)
    """
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_DIR"}
    environment["SSL_CERT_FILE"] = str(authorities)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, env=environment)
    assert done.stdout == f"0 {authorities} False\n"


def test_the_command_loads_no_date_checks_of_jsonschema_and_later_code_can() -> None:
    code = """if True:
        import sys
        from mock_server.command.cli import main
        main(["check", "/none/such"])
        print("jsonschema" in sys.modules, "arrow" in sys.modules)
        import isoduration
        print(isoduration.__name__)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT)
    assert done.stdout == "True False\nisoduration\n"


GREENLETS = """
import gevent

def use():
    with UsageMock() as mock:
        mock.use("heavy")
        clients = [gevent.spawn(status, mock) for _ in range(10)]
        gevent.joinall(clients)
        assert [client.value for client in clients] == [200] * 10
        assert len(mock.requests) == 10
    try:
        mock.use("heavy")
    except RuntimeError as error:
        print(error)

gevent.joinall([gevent.spawn(use) for _ in range(12)], raise_error=True)
try:
    UsageMock(host="256.1.1.1").start()
except OSError as error:
    print(error)
"""


def test_each_greenlet_can_use_its_own_mock() -> None:
    code = "from gevent import monkey\nmonkey.patch_all()\n" + USE_A_MOCK + GREENLETS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT)
    assert (done.stderr, done.returncode) == ("", 0)
    *over, refused = done.stdout.splitlines()
    assert over == ["this mock is closed and cannot be restarted; create a new one"] * 12
    assert refused.startswith("cannot listen on 256.1.1.1 port 0: ")


FAKE_FILES = """
from pathlib import Path
from pyfakefs.fake_filesystem_unittest import Patcher
from mock_server import load_deployment

with UsageMock() as mock, Patcher() as patcher:
    mock.use("heavy")
    mock.fail("body-is-null", times=1)
    print(status(mock), status(mock), mock.requests[-1].applied)
    patcher.fs.create_file("/mine/deployments/default.yaml", contents="description: d\\nkeys: {k: {}}\\n")
    print(*load_deployment("default", Path("/mine")).keys)
    with UsageMock(scenario="fresh") as other:
        print(status(other))
    for path in ("/", "/scenarios", "/faults", "/openapi.yaml"):
        connection = http.client.HTTPConnection("127.0.0.1", int(mock.url.rpartition(":")[2]), timeout=60)
        connection.request("GET", f"/__mock__{path}")
        print(connection.getresponse().status)
"""


def test_the_packaged_files_are_read_despite_a_fake_file_system() -> None:
    done = run(FAKE_FILES)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == ["200", "200", "scenario=heavy", "k", "200", *["200"] * 4]


def test_a_file_of_options_can_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_bytes(b"\xef\xbb\xbfport = 8099\n")
    assert read_options({"config": str(tmp_path / "options.toml")}, {}).port == 8099


def test_a_wrong_option_after_a_byte_order_mark_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_bytes(b"\xef\xbb\xbfprot = 8099\n")
    with pytest.raises(OptionError, match=r"options\.toml:1: 'prot' is not an option; did you mean 'port'\?"):
        read_options({"config": str(tmp_path / "options.toml")}, {})


def test_a_fixture_can_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "default.yaml").write_bytes(b"\xef\xbb\xbfdescription: d\nkeys: {k: {}}\n")
    code = f"with UsageMock(fixtures={str(tmp_path)!r}) as mock: print(status(mock))"
    assert run(code).stdout == "200\n"


FORK = """
import os, urllib.request
from mock_server import UsageMock

mock, other = UsageMock().start(), UsageMock()
urllib.request.urlopen(mock.url + "/healthz")
mock._lock.acquire()  # as a call in another thread does
child = os.fork()
if child == 0:
    reading = (lambda: mock.requests, mock.requests_of, mock.verify, mock.assert_well_behaved)
    for call in (lambda: mock.use("heavy"), mock.start, *reading):
        try:
            call()
        except RuntimeError as error:
            print(error)
    urllib.request.urlopen(mock.url + "/healthz")
    print(mock.api_key)
    with other:
        other.use("heavy")
    mock.close()
else:
    os.waitpid(child, 0)
    mock._lock.release()
    mock.use("heavy")
    print(len(mock.requests), os.getpid())
"""


def test_a_forked_process_gets_an_error_instead_of_waiting() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=WAIT)
    assert (done.stderr, done.returncode) == ("", 0)
    *errors, key, last = done.stdout.splitlines()
    number, process = last.split()
    assert (number, key, len(errors)) == ("2", "demo-busy", 6)
    assert all(
        each.startswith(f"this mock belongs to process {process}, and can be used only there;") for each in errors
    )
