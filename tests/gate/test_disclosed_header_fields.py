"""Versions of software, private addresses and internals in the header fields of responses."""

from __future__ import annotations

import pytest

from contract_tests.wire.internals import (
    described_software,
    details_in_field,
    internals,
    internals_in_field,
    private_addresses,
)


@pytest.mark.parametrize(
    ("name", "value", "described"),
    [
        ("Server", b"nginx/1.18.0 (Ubuntu)", b"1.18.0"),
        ("server", b"Apache/2.4.41 (Unix) OpenSSL/1.1.1f", b"2.4.41"),
        ("Server", b"gunicorn 20.0.4", b"20.0.4"),
        ("Server", b"Jetty(9.4.43.v20210629)", b"9.4.43.v20210629"),
        ("X-Powered-By", b"PHP/7.4.3", b"PHP/7.4.3"),
        ("X-AspNet-Version", b"4.0.30319", b"4.0.30319"),
        ("X-Generator", b"Drupal 10.2 (https://www.drupal.org)", b"10.2"),
        ("Via", b"1.1 edge, kong/2.8.1", b"kong/2.8.1"),
        ("Via", b"1.1 cache (Varnish/6.0)", b"Varnish/6.0"),
        ("X-Amzn-Remapped-Server", b"nginx/1.18.0", b"1.18.0"),
        ("Powered-By", b"PHP 7.4.3", b"7.4.3"),
        ("Via", b"1.1 0a1b.cloudfront.net (CloudFront), 1.1 vegur", b""),
        ("Via", b"HTTP/1.1 proxy (Apache/2)", b""),
        ("Server", b"nginx", b""),
        ("Server", b"Apache/2", b""),
        ("Server", b"ECS (dcb/7F83)", b""),
        ("X-Powered-By", b"Express", b"Express"),
        ("Via", b"1.1 varnish, HTTP/2.0 edge", b""),
        ("X-API-Version", b"1.4.2", b""),
        ("X-Runtime", b"0.012345", b""),
    ],
)
def test_a_version_is_found_if_it_is_more_than_a_major_one(name: str, value: bytes, described: bytes) -> None:
    assert described_software(name, value) == described


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"10.0.3.7:8000", ("10.0.3.7", "8000")),
        (b"http://172.31.255.1/usage", ("172.31.255.1", "")),
        (b"by=192.168.0.1;proto=http", ("192.168.0.1", "")),
        (b"1.1 127.0.0.1", ("127.0.0.1", "")),
        (b"10.0.3.7-16899-1732800000", ("10.0.3.7", "")),
        (b"[fd12:3456:789a::7]:3128", ("fd12:3456:789a::7", "3128")),
        (b"[::1]:8000", ("::1", "8000")),
        (b"http://localhost:8000/usage", ("localhost", "8000")),
        (b"ip-10-0-3-7.eu-west-1.compute.internal", ("ip-10-0-3-7.eu-west-1.compute.internal", "")),
        (b"usage.default.svc.cluster.local:80", ("usage.default.svc.cluster.local", "80")),
    ],
)
def test_a_private_address_is_found(value: bytes, address: tuple[str, str]) -> None:
    assert list(private_addresses("X-Backend", value)) == [address]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Client-Address", b"198.51.100.7"),
        ("X-Client-Address", b"172.32.0.1"),
        ("X-Client-Address", b"2001:db8::1"),
        ("X-Client-Address", b"110.0.3.7"),
        ("X-Build", b"usage/10.4.2.1"),
        ("X-Build", b"10.4.2.1.7"),
        ("X-Build", b"v10.4.2.1"),
        ("X-App-Version", b"10.1.2.3"),
        ("X-Checksum", b"fd12:34:56"),
        ("X-Time", b"12:34::15"),
        ("Location", b"https://internal.example/local.html"),
        ("Location", b"https://localhost.example/"),
        ("Location", b"https://a.local.example/"),
        ("Set-Cookie", b"theme.local=dark"),
        ("Access-Control-Allow-Origin", b"http://localhost:3000"),
        ("Content-Security-Policy", b"connect-src http://127.0.0.1:3000"),
    ],
)
def test_another_value_is_not_a_private_address(name: str, value: bytes) -> None:
    assert list(private_addresses(name, value)) == []


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("X-Debug", b"Traceback (most recent call last): KeyError", b"Traceback (most recent call last)"),
        ("X-Debug", b"usage.get:/srv/api/usage.py:42", b"/usage.py:4"),
        ("X-Upstream", b"Bearer c2VydmljZS10b2tlbi0xMjM0", b"Bearer c2VydmljZS10b2tlbi0xMjM0"),
        ("X-Token", b"eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", b"eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"),
    ],
)
def test_internals_of_the_server_are_found(name: str, value: bytes, found: bytes) -> None:
    match = internals_in_field(name, value)
    assert match and match[0] == found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("Server-Timing", b'db;desc="SELECT * FROM usage_rollup"', b"SELECT * FROM u"),
        ("X-Query", b"UPDATE public.keys SET seen = 1", b"UPDATE public.keys SET s"),
        ("X-Handler", b"get_usage in /app/handlers/usage.py", b"/app/handlers/usage.py"),
        ("X-Handler", b"/app/usage.go", b"/app/usage.go"),
        ("X-Served-By", b"ip-10-0-1-2", b"ip-10-0-1-2"),
        ("X-Served-By", b"web.1", b"web.1"),
        ("X-Server", b"prod-web-03", b"prod-web-03"),
        ("X-Host", b"usage-7d9f8b6c5d-x2x4z", b"usage-7d9f8b6c5d-x2x4z"),
        ("X-Handled-By", b"i-0abc1234def567890", b"i-0abc1234def567890"),
        ("X-Consumer-Username", b"acme", b"acme"),
        ("Remote-User", b"acme", b"acme"),
        ("X-Forwarded-For", b"198.51.100.7", b"198.51.100.7"),
        ("X-Original-URI", b"/internal/v3/usage", b"/internal/v3/usage"),
        ("X-Clockwork-Id", b"1700000000-17", b"1700000000-17"),
        ("phpdebugbar-id", b"X4a7f9c", b"X4a7f9c"),
        ("X-MiniProfiler-Ids", b'["4a7f9c"]', b'["4a7f9c"]'),
        ("X-Exception", b"missing tenant", b"missing tenant"),
    ],
)
def test_details_of_the_server_are_found(name: str, value: bytes, found: bytes) -> None:
    match = details_in_field(name, value)
    assert match and match[0] == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Location", b"/srv/www/usage.php"),
        ("Link", b'</manual/usage.php>; rel="help"'),
        ("Content-Security-Policy", b"report-uri /reports.php"),
        ("X-Pingback", b"https://api.example/xmlrpc.php"),
        ("Server-Timing", b'db;desc="select from";dur=4.1'),
        ("Cache-Control", b"max-age=0, no-store"),
        ("X-Powered-By", b"Next.js"),
        ("X-Served-By", b"cache-fra-etou8220001-FRA"),
        ("X-Served-By", b"cache-lhr7343-LHR, cache-lhr-egll1980056-LHR"),
        ("X-Served-By", b"fra1"),
        ("X-Server", b"eu-west-1"),
        ("X-Server", b"nginx"),
        ("X-Host", b"api.example"),
        ("X-Handled-By", b"8f2c6f1c2e7a"),
        ("X-Original-URI", b"/usage"),
        ("X-Original-URL", b"http://api.example/usage"),
        ("X-Client-Address", b"198.51.100.7"),
        ("X-Remote-Users", b"2"),
        ("Set-Cookie", b"session=eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl; HttpOnly"),
        ("WWW-Authenticate", b'Bearer realm="usage"'),
    ],
)
def test_another_value_does_not_contain_internals(name: str, value: bytes) -> None:
    assert internals_in_field(name, value) is None
    assert details_in_field(name, value) is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (rb'{"detail": "in \/srv\/api\/usage.py"}', b"/srv/api/usage.py"),
        (rb'{"detail": "File \u0022/srv/usage\u0022, line 7"}', b'File "/srv/usage", line 7'),
        (rb'{"detail": "Access denied for user \u0027usage\u0027@"}', b"Access denied for user 'usage'@"),
    ],
)
def test_internals_with_escapes_of_json_are_found(body: bytes, found: bytes) -> None:
    match = internals(body)
    assert match and match[0] == found
