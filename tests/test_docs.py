"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


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
