"""The gate's pytest plugin: options, verdicts, redaction, exit codes. Loaded by the entry point."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NoReturn

import pytest

from contract_tests.redaction.escaping import escaped
from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.streams import RedactedStream
from contract_tests.reports.comparison import comparison_lines
from contract_tests.reports.model import redacted
from contract_tests.reports.text import exchange_lines, rule_text
from contract_tests.run.failed_start import outputs_key, watch
from contract_tests.run.junit import take_over
from contract_tests.run.offline import doubts_about
from contract_tests.run.options import add_options
from contract_tests.run.outage import OutageError
from contract_tests.run.plan import plan
from contract_tests.run.recorded import check_recording, recording_key
from contract_tests.run.report import rule_report
from contract_tests.run.report_plugin import ReportPlugin
from contract_tests.run.subject import sends_nothing, subject_of
from contract_tests.run.summary import headline, summary
from contract_tests.run.verdicts import Verdicts, verdicts_key
from contract_tests.support.examples import PROFILES
from contract_tests.support.findings import BrokenPromiseError
from contract_tests.support.rules import Rule, rule_ids, rule_of, unknown_rule
from contract_tests.wire.not_tested import OWN_REQUESTS, NotApplicable, NotTested
from usage_contract import __version__

END_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

doubts_key = pytest.StashKey[Mapping[str, str]]()
reports_key = pytest.StashKey[ReportPlugin]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the gate's options; --base-url is pytest-base-url's."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Clear an earlier run's outputs first."""
    watch(early_config, args)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Set options of pytest and Hypothesis before their own plugins read them."""
    watch(config, [*map(str, config.invocation_params.args)])  # nothing is left to do, unless a conftest.py loaded this
    if config.stash[outputs_key].written:
        config.option.xmlpath = None  # a list leaves the JUnit file of an earlier run alone
    for plugin in ("hypothesispytest", "terminal"):
        if config.pluginmanager.is_blocked(plugin):
            raise pytest.UsageError(f"-p no:{plugin}: the gate needs that plugin. Leave the option out")
    if config.option.noconftest:
        raise pytest.UsageError("--noconftest: the gate's conftest.py has what its rules share. Leave the option out")
    if getattr(config.option, "looponfail", False):
        raise pytest.UsageError("-f, --looponfail: a run would not end. Leave the option out")
    config.option.runxfail = True  # a mark of another plugin must not hide a broken promise
    profile = config.option.hypothesis_profile = config.option.hypothesis_profile or PROFILES[0]
    if profile not in PROFILES:
        raise pytest.UsageError(f"--hypothesis-profile: {profile} is not a profile; choose {' or '.join(PROFILES)}")
    _end_in_order(config)  # here, so that its cleanup follows those that pytest_configure adds


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the settings, and redact all output from here on."""
    config.addinivalue_line("markers", "rule: a promise with its level and source, see --rules")
    config.addinivalue_line("markers", "intrusive: a rule that can affect other users of the deployment")
    _refuse_unsafe_options(config.option)
    if unknown := [unknown_rule(name, rule_ids()) for name in config.option.contract_rule if name not in rule_ids()]:
        raise pytest.UsageError(f"--rule: {'; '.join(unknown)}")
    if config.option.contract_rules_json:
        _print_nothing_else(config)
    config.option.verify_base_url = False  # the first rule verifies it, over our own transport
    settings, config.stash[recording_key] = subject_of(config)
    redact = Redactor(settings.secrets)
    verdicts = config.stash[verdicts_key] = Verdicts(settings)
    terminal = config.get_terminal_writer()
    output = terminal._file = RedactedStream(terminal._file, redact, styled=terminal.hasmarkup)
    outputs = config.stash[outputs_key]
    reports = config.stash[reports_key] = ReportPlugin(verdicts, redact, outputs, output, take_over(config, redact))
    config.pluginmanager.register(reports)


def pytest_report_header() -> str:
    """Return the line that names the version of the gate."""
    return f"contract gate: usage-contract {__version__}"


def _print_nothing_else(config: pytest.Config) -> None:
    """Silence pytest, so that its output is one JSON document."""
    config.option.verbose = -2
    if reporter := config.pluginmanager.get_plugin("terminalreporter"):
        reporter.reportchars = ""


def _end_in_order(config: pytest.Config) -> None:
    """Let a signal end the run with the verdicts so far, and the reports."""
    if threading.current_thread() is threading.main_thread():  # only the main thread may handle signals
        # A signal that is ignored remains so: nohup ignores SIGHUP.
        heeded = [number for number in END_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, _stop) for number in heeded}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        config.add_cleanup(restore)


def _stop(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt("" if number == signal.SIGINT else f"The run was ended by {signal.Signals(number).name}.")


@pytest.hookimpl(tryfirst=True)
def pytest_keyboard_interrupt() -> None:
    """Ignore further signals as soon as one has ended the run."""
    _ignore_signals()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Ignore signals while the reports are written."""
    _ignore_signals()


def _ignore_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _refuse_unsafe_options(option: Any) -> None:
    given = {name: getattr(option, name, None) for name in ("numprocesses", "tx", "forked", "reruns", "trace")}
    prints_keys = option.hypothesis_verbosity in {"verbose", "debug"}
    refused = {
        "-O, PYTHONOPTIMIZE: pytest and the gate need assertions. Leave them out": sys.flags.optimize,
        "-n, --tx: the rules share one process. Leave them out, or add -n0": given["numprocesses"] or given["tx"],
        "--forked: the rules share one process. Leave the option out, or add -p no:forked": given["forked"],
        "--reruns: a promise that is sometimes broken is broken. Leave the option out": given["reruns"],
        "--trace: pytest's debugger discards the findings of a rule. Leave the option out": given["trace"],
        "--hypothesis-verbosity: Hypothesis would print the keys that it draws. Leave it out": prints_keys,
    }
    for problem, is_given in refused.items():
        if is_given:
            raise pytest.UsageError(problem)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Read the rules, and select those that --rule names; every item must be a rule."""
    if chosen := session.config.option.contract_rule:
        session.config.hook.pytest_deselected(items=[item for item in items if rule_of(item).id not in chosen])
        items[:] = [item for item in items if rule_of(item).id in chosen]
    items.sort(key=lambda item: rule_of(item).order)
    session.config.stash[verdicts_key].rules = list(dict.fromkeys(map(rule_of, items)))
    for item in items:
        names = getattr(item, "fixturenames", [])
        names.sort(key=lambda name: name != "needed_facts")  # before fixtures that send requests


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Sort the rules, also after options such as --ff; list them for --rules, and plan them for --plan."""
    session.items.sort(key=lambda item: rule_of(item).order)
    option = session.config.option
    terminal = session.config.get_terminal_writer()
    verdicts = session.config.stash[verdicts_key]
    if option.contract_rules_json:
        terminal.line(json.dumps([_described(rule) for rule in verdicts.rules], ensure_ascii=False, indent=1))
    elif option.contract_rules:
        for rule in verdicts.rules:
            terminal.line(f"\n{rule.id} ({rule.level}; {rule.source})\n    {rule.promise}")
    elif option.contract_plan:
        for line in plan(verdicts.rules, verdicts.settings):
            terminal.line(line)
    else:
        return None
    return True


def _described(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "level": rule.level,
        "source": rule.source,
        "promise": rule.promise,
        "needs": [fact.name for fact in rule.needs],
        "repeats": rule.repeats,
        "intrusive": rule.intrusive,
    }


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run a rule, whose findings become the exception that pytest reports."""
    config, verdicts = pyfuncitem.config, pyfuncitem.config.stash[verdicts_key]
    assert verdicts.runner is not None  # a fixture that every rule uses
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    not_applicable = None
    try:
        verdicts.runner.run(pyfuncitem.obj(**arguments))
    except OutageError as error:
        pyfuncitem.session.shouldfail = str(error)
        raise
    except NotApplicable as reason:
        not_applicable = reason
    if recording := config.stash[recording_key]:
        if doubts_key not in config.stash:  # judged once, when the first rule has held
            config.stash[doubts_key] = doubts_about(recording, verdicts.settings.level)
        if doubts := config.stash[doubts_key].get(rule_of(pyfuncitem).id):
            raise NotTested(doubts, wanted=OWN_REQUESTS)
    if unfinished := not_applicable or verdicts.limit_of_run(rule_of(pyfuncitem)):
        raise unfinished
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Add the rule to the report's properties; skip a rule that repeats another one, or that is intrusive."""
    rule, verdicts = rule_of(item), item.config.stash[verdicts_key]
    item.user_properties += [("rule", rule.id), ("level", rule.level), ("source", rule.source)]
    if recording := item.config.stash[recording_key]:
        check_recording(rule, recording.lacks)
    verdicts.check_repeats(rule)
    if rule.intrusive and not verdicts.settings.intrusive:
        raise NotTested("the rule is intrusive; --intrusive runs it", wanted="--intrusive")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Turn an outcome into a verdict, and pytest's report into the text of its findings, without keys."""
    if call.excinfo and isinstance(call.excinfo.value, BrokenPromiseError):
        call.excinfo.traceback = call.excinfo.traceback[-1:]  # the text of the findings replaces it
    report: pytest.TestReport = yield
    verdicts, redact = item.config.stash[verdicts_key], item.config.stash[reports_key].redact
    verdict = verdicts.judge(rule_of(item), report, call)
    if verdict and (verdict.findings or verdict.outcome == "stale deviation"):
        report.longrepr = rule_text(redacted(rule_report(verdict, verdicts), redact))
    report.longrepr = _redacted(report.longrepr, redact)
    if hasattr(report, "wasxfail"):
        report.wasxfail = escaped(redact(report.wasxfail))
    report.sections = [(name, escaped(redact(text))) for name, text in report.sections]
    report.user_properties = [(name, escaped(redact(str(value)))) for name, value in report.user_properties]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Redact collection errors as well."""
    report: pytest.CollectReport = yield
    report.longrepr = _redacted(report.longrepr, collector.config.stash[reports_key].redact)
    return report


def _redacted(longrepr: Any, redact: Redactor) -> Any:
    if longrepr is None:
        return None
    if isinstance(longrepr, tuple):
        path, line, reason = longrepr
        return path, line, escaped(redact(reason))
    return escaped(redact(str(longrepr)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the verdict, its counts, the failures, and the rules that were not tested."""
    if sends_nothing(config.option):
        return
    terminalreporter.write_sep("=", "contract gate")
    for line in _ending(config):
        terminalreporter.write_line(line)


def _ending(config: pytest.Config) -> Iterator[str]:
    reports = config.stash[reports_key]
    verdicts = config.stash[verdicts_key]
    yield reports.reason or headline(verdicts)
    yield from reports.problems
    if reports.report and reports.report.exchange:
        yield from exchange_lines(reports.report.exchange)
    yield from summary(verdicts)
    if not (verdicts.rules or reports.reason):
        yield "pytest has collected no rules. Check -k, -m, and python_files and python_functions in its configuration"
    if reports.report and reports.report.comparison:
        yield from comparison_lines(reports.report.comparison)
