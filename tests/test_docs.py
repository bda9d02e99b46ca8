"""What the documents point to is there, and what they say of codes and bounds is so."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import attrs
import pytest

from meshtracker.errors import CloseCode
from meshtracker.link.resync_plan import ASKED_FOR, CONFLICT, FELL_BEHIND, LACKING, NEW_NODE
from meshtracker.settings import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK_PROTOCOL = (ROOT / "docs" / "link-protocol.md").read_text()

BOUNDED = ("wire/batch.py", "wire/completed_record.py", "wire/frame.py", "wire/link.py", "wire/vector.py")
"""Beside all of ``link/``, where what a peer sends meets its bounds."""
BOUNDED_NODE = ("node/directed.py", "node/links.py", "node/mesh.py", "node/neighbours.py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def cells_of(heading: str) -> list[list[str]]:
    """The cells of every row of the tables below a heading of the page about the link protocol."""
    section = LINK_PROTOCOL.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [cells for cells in rows if not set(cells[0]) <= set("-: ")]


def module_of(file: str) -> object:
    return import_module("meshtracker." + file.removesuffix(".py").replace("/", "."))


def test_a_table_is_read_below_its_heading() -> None:
    assert ["code", "word", "the link was closed because", "breach"] in cells_of("CLOSE codes")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_to_headings_lead_somewhere(document: Path) -> None:
    missing = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text()):
        page = (document.parent / target) if target else document
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        if anchor not in anchors:
            missing.append(f"{target}#{anchor}")
    assert missing == []


def test_every_document_can_be_reached() -> None:
    linked = {
        (document.parent / target).resolve()
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)", document.read_text())
    }
    pages = [path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs") and path.name != "index.md"]
    assert [name_of(page) for page in pages if page.resolve() not in linked] == []


def test_architecture_says_where_to_edit_what_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text[text.index("## To change X, edit Y") :]
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", table)
    assert paths
    missing = [path for path in paths if not (ROOT / path).exists() and not (ROOT / "meshtracker" / path).exists()]
    assert missing == []


def test_the_link_protocol_lists_every_close_code() -> None:
    listed = [cells for cells in cells_of("CLOSE codes") if cells[0].isdecimal()]
    assert [(int(number), word.strip("`"), breach == "yes") for number, word, _, breach in listed] == [
        (int(code), code.label, code.is_breach) for code in CloseCode
    ]


def test_the_link_protocol_lists_every_reason_of_a_full_resync() -> None:
    shown = {cells[2] for cells in cells_of("A burst") if cells[2].startswith("`full")}
    reasons = (FELL_BEHIND, CONFLICT, LACKING, NEW_NODE, ASKED_FOR, "answer")
    assert shown == {f"`full ({reason})`" for reason in reasons}


def test_bounds_are_where_the_link_protocol_says_and_have_these_values() -> None:
    wrong = []
    listed = [cells for cells in cells_of("Bounds") if len(cells) == 5 and cells[0].startswith("`")]
    assert listed
    for name, value, file, _, _ in listed:
        found = getattr(module_of(file.strip("`")), name.strip("`"), None)
        if found is None or found != float(value.replace(",", "")):
            wrong.append((name, value, file, found))
    assert wrong == []


def test_every_named_bound_of_the_link_is_in_the_link_protocol() -> None:
    listed = {(cells[0].strip("`"), cells[2].strip("`")) for cells in cells_of("Bounds") if len(cells) == 5}
    package = ROOT / "meshtracker"
    link_files = [path.relative_to(package).as_posix() for path in sorted((package / "link").rglob("*.py"))]
    missing = [
        (name, file)
        for file in (*BOUNDED, *link_files, *BOUNDED_NODE)
        for name in re.findall(r"^(MAX_\w+)(?:: \w+)? = ", (package / file).read_text(), re.MULTILINE)
        if (name, file) not in listed
    ]
    assert missing == []


def test_settings_that_the_link_protocol_names_exist() -> None:
    sections = {field.name: field.type for field in attrs.fields(attrs.resolve_types(Settings))}
    named = set(re.findall(r"`(link|tracker)\.(\w+)", LINK_PROTOCOL))
    assert named
    missing = []
    for section, key in named:
        section_type = sections[section]
        assert section_type is not None
        if key not in {field.name for field in attrs.fields(section_type)}:
            missing.append(f"{section}.{key}")
    assert missing == []
