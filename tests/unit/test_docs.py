"""The documents name everything that a reader could meet."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import nst_jobs.errors
from api import client, embedded, errors
from api.app import create_app
from api.cli import nst
from nst_core.errors import NstError
from nst_jobs.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Modules are imported above so that their errors are known.
ERROR_MODULES = (nst_jobs.errors, errors, client, embedded)


def read(name: str) -> str:
    return (DOCS / name).read_text()


def error_codes(base: type[NstError] = NstError) -> set[str]:
    return {base.code}.union(*(error_codes(kind) for kind in base.__subclasses__()))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str):
    assert f"`NST_{name.upper()}`" in read("operations.md")


@pytest.mark.parametrize("name", sorted({*nst.commands, *entry_points(group="nst.commands").names}))
def test_command_is_documented(name: str):
    assert f"`nst {name}" in read("cli.md")


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_error_code_is_documented(code: str):
    assert f"`{code}`" in read("api.md") + read("cli.md")


def test_endpoints_are_documented():
    rules = create_app(Settings()).url_map.iter_rules()
    paths = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}

    missing = {path for path in paths if f" {path}`" not in read("api.md")}

    assert len(paths) >= 10
    assert missing == set()


@pytest.mark.parametrize("package", ["nst_core", "nst_jobs", "worker", "api", "benchmarks"])
def test_file_map_names_every_module(package: str):
    modules = {path.name for path in (ROOT / package).glob("*.py") if path.name[0] != "_"}

    missing = {name for name in modules if f"`{name}`" not in read("architecture.md")}

    assert missing == set()


@pytest.mark.parametrize("document", [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"], ids=str)
def test_links_between_documents_lead_somewhere(document: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    missing = [target for target in targets if not (document.parent / target).exists()]

    assert missing == []
