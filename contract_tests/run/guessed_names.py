"""Names under which a server may look for a key, or for a reason to need none: usual ones, then composed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

# The words before the last one: in api_key, X-Auth-Token and clientSecret.
OWNERS = (
    "api", "access", "auth", "app", "application", "client", "user", "account", "service", "subscription", "secret",
    "private", "session", "public", "consumer", "customer", "partner", "project", "developer", "license", "integration",
    "tenant", "team", "workspace", "organization", "admin", "master", "server", "site", "merchant", "device", "dev",
    "tracker", "personal", "bearer", "security", "internal", "login", "request", "web",
)  # fmt: skip
SECRETS = ("key", "token", "secret", "id")
QUERY_NAMES = (
    "api_key", "access_token", "key", "token", "apikey", "api-key", "apiKey", "access_key", "api_token", "auth",
    "ApiKey", "API_KEY", "x_api_key", "k", "auth_token", "authorization", "accesskey", "secret", "client_secret",
    "app_key", "appkey", "app_id", "apitoken", "user_key", "subscription-key", "code", "sig", "signature", "password",
    "pass", "pwd", "session", "sid", "jwt", "bearer", "license", "id", "client_id", "credential", "Key", "TOKEN",
    "Token", "KEY", "apikey2", "key1", "key2", "apiid", "uid", "login", "user", "username", "passwd", "passkey",
    "hash", "secretkey", "oauth_token", "id_token", "ticket", "x-api-token", "x-auth-token", "x-access-token",
    "x-amz-security-token", "authkey", "authtoken", "auth-key", "t", "s", "p", "u", "account", "appid", "sessionid",
)  # fmt: skip
HEADER_NAMES = (
    "Api-Key", "ApiKey", "X-API-Token", "X-Auth-Token", "X-Access-Token", "X-Key", "X-Token", "X-Apikey",
    "X-Api-Key-Id", "Token", "Proxy-Authorization", "X-Auth-Key", "Key", "Access-Token", "Auth-Token", "X-App-Key",
    "X-Client-Key", "X-Secret-Key", "X-Session-Token", "X-Csrf-Token", "X-Rapidapi-Key", "Ocp-Apim-Subscription-Key",
    "X-Subscription-Key", "X-Goog-Api-Key", "X-Amz-Security-Token", "X-User-Token", "X-Service-Key", "X-Authorization",
    "X-Forwarded-Authorization", "Authentication", "X-Original-Authorization", "X-Forwarded-Api-Key",
    "X-Original-Api-Key", "Http-X-Api-Key", "X-Api-Secret", "X-Request-Id", "From", "Referer", "Api_Key", "Api_Token",
    "Auth", "X-Auth", "Secret", "X-Secret", "Session", "X-Session", "Session-Id", "X-Session-Id", "Password",
    "X-Password", "X-Jwt", "Jwt", "X-Jwt-Token", "Bearer", "X-Bearer", "X-Xsrf-Token", "Csrf-Token", "X-Signature",
    "Signature", "X-Credential", "Credential", "X-Auth-Email", "X-Vault-Token", "Private-Token", "Job-Token",
    "X-Shopify-Access-Token", "X-Figma-Token", "X-Algolia-Api-Key", "X-Functions-Key", "X-Api-Keys", "X-Apitoken",
    "X-Authtoken", "X-Accesstoken", "X-Auth-User", "X-Username", "X-Login", "X-License", "License",
)  # fmt: skip
COOKIE_NAMES = (
    "X-API-Key", "api_key", "apikey", "key", "token", "session", "sessionid", "auth", "access_token", "api-key",
    "apiKey", "sid", "jwt", "connect.sid", "PHPSESSID", "JSESSIONID", "auth_token", "x-api-key", "Authorization",
    "session_id", "sessionId", "SESSION", "SESSIONID", "Token", "TOKEN", "secret", "login", "user", "password",
    "passwd", "passkey", "remember_token", "remember_me", "refresh_token", "id_token", "csrftoken", "XSRF-TOKEN",
    "_session", "_token", "laravel_session", "ASP.NET_SessionId", "ci_session", "bearer", "credential", "uid", "k",
)  # fmt: skip
# Header fields in which a proxy states the address of the client, or the host that it requested.
ADDRESSES = (
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP",
    "X-Remote-IP", "X-Remote-Addr", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Forwarded", "Forwarded-For",
    "X-ProxyUser-Ip", "X-Azure-ClientIP", "X-Envoy-External-Address", "Client-IP", "X-Host",
    "X-Custom-IP-Authorization", "X-True-IP", "X-True-Client-IP", "X-Forwarded-By", "X-Forward-For", "X-Forwarded-Host",
    "X-Forwarded-Server", "Forwarded-Host", "X-Forwarded-For-Original", "X-Forwarder-For", "X-Original-Host",
    "X-Original-For", "X-Original-Forwarded-For", "X-Original-Remote-Addr", "X-Source-IP", "X-Backend-Host",
    "X-HTTP-Host-Override", "X-HTTP-DestinationURL", "Proxy-Host", "X-Proxy-Host", "X-Proxy-Url", "Proxy-Url",
    "Proxy-Client-IP", "WL-Proxy-Client-IP", "Forwarded-For-IP", "X-Forwarded-For-IP", "Remote-Addr", "Remote-IP",
    "Real-IP", "Source-IP", "Origin-IP", "X-IP", "IP", "X-Client", "X-Client-Addr", "X-Peer", "X-Gateway-Host",
    "X-Server-Name", "X-Server-IP", "X-Local", "X-Localhost", "X-Trusted-IP", "X-IP-Trail", "X-Coming-From",
    "Via-IP", "Cf-Pseudo-IPv4", "X-Appengine-User-IP", "X-Vercel-Forwarded-For", "X-Nf-Client-Connection-IP",
    "X-Sucuri-Clientip", "Incap-Client-IP", "Akamai-Origin-Hop", "Base-Url", "Destination", "Uri", "Url", "Referrer",
)  # fmt: skip
USERS = (
    "X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id",
    "X-WEBAUTH-USER", "X-Auth-Request-User", "Remote-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username",
    "X-Goog-Authenticated-User-Email", "X-Consumer-ID", "X-Credential-Identifier", "X-Auth-User", "X-Account-Id",
    "X-Tenant-Id", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-MS-CLIENT-PRINCIPAL-NAME",
    "Cf-Access-Authenticated-User-Email", "X-Username", "X-User-Name", "X-User-Email", "X-Email", "X-Role", "X-Roles",
    "X-User-Role", "X-User-Roles", "X-Groups", "X-Scope", "X-Scopes", "X-Permissions", "X-Auth-Userid",
    "X-Auth-User-Id", "X-Auth-Username", "X-Auth-Role", "X-Auth-Roles", "X-Auth-Subject", "X-Auth-Request-Groups",
    "X-Authenticated-Userid", "X-Authenticated-Groups", "X-Authenticated-Scope", "X-Current-User", "X-Principal",
    "X-Identity", "X-Subject", "X-Sub", "X-Proxy-User", "X-Proxy-Remote-User", "Proxy-User", "X-SSO-User", "X-Actor",
    "X-Impersonate-User", "Impersonate-User", "X-On-Behalf-Of", "X-Owner", "X-Customer-Id", "X-Client-Id",
    "X-Consumer-Custom-ID", "X-Org-Id", "X-Organization-Id", "X-Account", "X-Api-User", "X-Remote-Email",
    "Remote-Email", "Remote-Groups", "Remote-Name", "X-Hasura-Role", "X-Hasura-User-Id", "X-JWT-Payload", "X-Userinfo",
)  # fmt: skip
SWITCHES = (
    "X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check",
    "X-Debug-Mode", "X-Trusted", "X-From-Gateway", "X-Skip-Auth", "X-No-Auth", "X-Dev", "X-Development", "X-Preview",
    "X-Service", "X-Is-Internal", "X-Internal-Call", "X-Monitoring", "X-Probe", "X-Authenticated", "X-Auth",
    "X-Gateway", "X-Root", "X-Envoy-Internal", "X-Allow", "X-Access", "X-Authorized", "X-Auth-Mode", "X-Auth-Status",
    "X-Verified", "X-Disable-Auth", "X-Auth-Disabled", "X-Superuser", "X-Is-Admin", "X-Staff", "X-System", "X-Local",
    "X-Bypass", "X-Unlock", "X-Secret", "X-Backdoor", "X-Mode", "X-Env", "X-Environment", "X-Stage", "X-Staging",
    "X-Canary", "X-Feature", "X-Flag", "X-Flags", "X-Beta", "X-Demo", "X-Mock", "X-Dry-Run", "X-Trace", "X-Profile",
    "X-Verbose", "X-Health", "X-Healthcheck", "X-Ping", "X-Cron", "X-Appengine-Cron", "X-Job", "X-Worker", "X-Warmup",
    "X-Prerender", "X-Cache-Bypass", "X-No-Cache", "X-Proxy", "X-Sidecar", "X-Mesh", "X-Test-Mode", "Debug", "Admin",
    "Test", "Internal",
)  # fmt: skip
# Parameters that may switch something on.
PARAMETERS = (
    "debug", "admin", "internal", "public", "test", "preview", "demo", "raw", "bypass", "noauth", "dev", "trace",
    "health", "skip_auth", "verbose", "v", "skipauth", "no_auth", "auth", "nologin", "guest", "anonymous", "root",
    "superuser", "su", "sudo", "is_admin", "isAdmin", "staff", "system", "local", "localhost", "trusted", "safe",
    "unsafe", "force", "override", "unlock", "allow", "enable", "enabled", "disable", "disabled", "on", "show",
    "show_all", "all", "full", "expand", "include", "details", "detailed", "extended", "export", "download", "dump",
    "print", "pretty", "json", "xml", "csv", "html", "jsonp", "cb", "cache", "nocache", "no_cache", "refresh",
    "reload", "reset", "clear", "flush", "purge", "ping", "healthcheck", "probe", "monitor", "monitoring", "metrics",
    "stats", "status", "info", "version", "help", "docs", "schema", "spec", "wsdl", "profile", "profiler", "log",
    "logs", "logging", "console", "shell", "cmd", "exec", "run", "mode", "env", "environment", "stage", "staging",
    "beta", "alpha", "canary", "feature", "features", "flag", "flags", "experiment", "mock", "fake", "sandbox",
    "simulate", "dry_run", "dryrun", "dry-run", "sample", "example", "trial", "free", "free_tier", "live", "prod",
    "production", "embed", "widget", "iframe", "ajax", "xhr", "api", "app", "mobile", "print_view", "robot", "bot",
    "crawler", "cron", "job", "worker", "batch", "background", "sync", "async", "wait", "timeout", "retry", "proxy",
    "gateway", "origin", "redirect", "next", "continue", "return", "callback", "path", "url", "uri", "host", "page",
    "limit", "offset", "size", "count", "sort", "order", "filter", "search", "query", "q", "id", "user", "role",
    "account", "customer", "tenant", "org", "group", "team", "project", "lang", "locale", "theme", "format", "type",
    "view", "action", "do", "op", "method", "share", "shared", "signed", "verified", "login", "logged_in", "session",
    "sso", "magic", "new", "old", "legacy", "v1", "v2", "developer", "devmode", "dev_mode", "debug_mode", "test_mode",
    "testmode", "maintenance", "emergency", "backdoor", "master", "secret", "key", "token",
)  # fmt: skip


def queries() -> Iterator[str]:
    """Yield names of query parameters, the most usual first."""
    yield from _once((*QUERY_NAMES, *(name for words in _words() for name in _spellings(*words))))


def headers(key_header: str) -> Iterator[str]:
    """Yield names of header fields other than the key header, the most usual first.

    CGI and WSGI do not distinguish `X_API_Key` from `X-API-Key` (RFC 3875, section 4.1.18): an application behind them
    accepts a key under both names.
    """
    composed = (f"{prefix}{owner}-{secret}".title() for owner, secret in _words() for prefix in ("X-", ""))
    for name in _once((*HEADER_NAMES, *composed), fold=True):
        if _in_cgi(name) != _in_cgi(key_header):
            yield name


def _in_cgi(name: str) -> str:
    return name.upper().replace("-", "_")


def cookies() -> Iterator[str]:
    """Yield names of cookies, the most usual first."""
    yield from _once((*COOKIE_NAMES, *queries()))


def _words() -> Iterator[tuple[str, str]]:
    return ((owner, secret) for secret, owner in product(SECRETS, OWNERS))


def _spellings(owner: str, secret: str) -> tuple[str, ...]:
    return (f"{owner}_{secret}", f"{owner}{secret.title()}", f"{owner}-{secret}", f"{owner}{secret}")


def _once(names: Iterable[str], *, fold: bool = False) -> Iterator[str]:
    seen = set()
    for name in names:
        if (same := name.lower() if fold else name) not in seen:
            seen.add(same)
            yield name
