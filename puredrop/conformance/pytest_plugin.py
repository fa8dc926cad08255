"""The kit as a plugin of pytest: `pytest --puredrop module:function --like dropout`, and the fixture `conforms`.

Known deviations are strict: one that is no longer there fails, so that the list stays true.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from .foreign import FOREIGN_CHECKS, Report, check
from .known import Known, read_known, reasons_for


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("puredrop", "conformance of dropouts")
    group.addoption(
        "--puredrop", action="append", default=[], metavar="MODULE:FUNCTION", help="a dropout to be checked"
    )
    group.addoption("--like", default="dropout", metavar="VARIANT", help="what it claims to be (default: dropout)")
    group.addoption("--puredrop-known", metavar="FILE", help="known deviations, with reasons (TOML)")
    parser.addini("puredrop_known", "known deviations of dropouts, with reasons (TOML)")


@pytest.hookimpl(tryfirst=True)  # so that -k chooses among these too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test for each check of each target that is named on the command line."""
    for name in config.getoption("--puredrop"):
        target = _imported(name, config)
        reasons = reasons_for(_known(config), name, config.getoption("--like"))
        for one in FOREIGN_CHECKS:
            title = f"{name}[{config.getoption('--like')}: {one}]"
            items.append(CheckItem.from_parent(session, name=title, target=target, check=one, known=reasons.get(one)))


class CheckItem(pytest.Item):
    """One check of one target."""

    def __init__(self, *, target: Any, check: str, known: str | None, **more: Any) -> None:
        super().__init__(**more)
        self.target, self.check, self.known = target, check, known

    def runtest(self) -> None:
        """Run it; a deviation that is known is an expected failure."""
        like = self.config.getoption("--like")
        report = check(self.target, like, only=[self.check], name=self.name.split("[")[0])
        [result] = [one for one in report.results if one.check == self.check]
        if self.known is not None:
            if not result.findings:
                raise Deviates(f"{self.check}: known as {self.known!r}, and no longer so; take it off the list")
            pytest.xfail(self.known)
        if report.findings:
            raise Deviates(explained(report))
        if result.status in ("skipped", "not_applicable"):
            pytest.skip(result.reason or "")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding, without a traceback of ours."""
        return str(excinfo.value) if isinstance(excinfo.value, Deviates) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What stands above a failure."""
        return self.path, None, self.name


class Deviates(AssertionError):  # noqa: N818  # a verdict
    """A target does not do what its variant must."""


@pytest.fixture
def conforms(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """`conforms(target, like="dropout", known={check: reason})`: fails with what is wrong, and gives the report."""
    listed = _known(request.config)

    def hold(target: Any, like: str = "dropout", known: Mapping[str, str] | None = None, **options: Any) -> Report:
        report = check(target, like, **options)
        reasons = {**reasons_for(listed, report.target, like), **(known or {})}
        new = [finding for finding in report.findings if finding.check not in reasons]
        run = {result.check for result in report.results if result.status in ("passed", "failed")}
        gone = sorted(set(reasons) & run - {finding.check for finding in report.findings})
        if new:
            raise Deviates(explained(report, skip=set(reasons)))
        if gone:
            raise Deviates(f"known deviations that are no longer there; take them off the list: {', '.join(gone)}")
        return report

    return hold


def explained(report: Report, skip: set[str] | None = None) -> str:
    """The findings with their smallest input, what was expected there and what came."""
    parts = [f"{report.target} is not a {report.like} (masks: {report.masks})"]
    for finding in report.findings:
        if finding.check not in (skip or set()):
            shown = f"expected: {finding.expected}\n    got:      {finding.got}"
            parts.append(f"{finding}\n    input:    {finding.input}\n    {shown}")
    return "\n\n".join(parts)


def _known(config: pytest.Config) -> list[Known]:
    named = config.getoption("--puredrop-known")
    ini = config.getini("puredrop_known")
    path = named or (config.rootpath / ini if ini else None)
    try:
        return read_known(path) if path else []
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"puredrop: {error}") from None


def _imported(name: str, config: pytest.Config) -> Any:
    """What `module:function` names. Raises UsageError."""
    module, _, attributes = name.partition(":")
    for folder in (str(config.invocation_params.dir), str(config.rootpath)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"puredrop: --puredrop takes module:function, got {name!r}: {error}") from None
    return found
