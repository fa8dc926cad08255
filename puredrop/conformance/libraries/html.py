"""The matrix as static pages: one with all of it, and one for each finding with its reproducer."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from ..foreign import FOREIGN_CHECKS, Finding
from .run import Cell, Conformance, summary

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { border: 1px solid #d0d7de; padding: .2rem .5rem }
th { text-align: left; font-weight: 600 } td { text-align: center } .scroll { overflow-x: auto }
.ok { color: #1a7f37 } .FAILED { background: #ffebe9 } .known { background: #fff8c5 } .dash, .blank { color: #8c959f }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto } dt { font-weight: 600 } a { color: #0969da }
"""


def write_html(conformance: Conformance, folder: str | Path) -> Path:
    """Write index.html and a page for each finding into a folder, which is made. Returns the path of the first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for cell in conformance.cells:
        for finding in cell.all_findings:
            (folder / page_name(cell, finding)).write_text(_finding_page(cell, finding))
    index = folder / "index.html"
    index.write_text(_index(conformance))
    return index


def page_name(cell: Cell, finding: Finding) -> str:
    """The file of a finding: the same name in every run."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{cell.row.library} {cell.row.operation} {finding.check}".lower())
    return f"{words.strip('-')}.html"


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )


def _index(conformance: Conformance) -> str:
    run = [cell for cell in conformance.cells if cell.report]
    skipped = [cell for cell in conformance.cells if not cell.report]
    parts = [f"<h1>Conformance of dropout</h1><p>{escape(summary(conformance))}. {escape(conformance.machine)}.</p>"]
    for library in dict.fromkeys(cell.row.library for cell in run):
        parts.append(_library([cell for cell in run if cell.row.library == library]))
    if skipped:
        items = "".join(f"<li>{escape(cell.row.name)}: {escape(cell.reason or '')}</li>" for cell in skipped)
        parts.append(f"<h2>Skipped</h2><ul>{items}</ul>")
    return _page("Conformance of dropout", "\n".join(parts))


def _library(cells: list[Cell]) -> str:
    head = "".join(
        f"<th>{escape(cell.row.operation)}<br><small>like {cell.row.case.name}</small></th>" for cell in cells
    )
    rows = "".join(
        f"<tr><th>{escape(check)}</th>{''.join(_mark(cell, check) for cell in cells)}</tr>" for check in FOREIGN_CHECKS
    )
    title = f"{cells[0].row.library} {cells[0].version}"
    return f'<h2>{escape(title)}</h2><div class="scroll"><table><tr><th></th>{head}</tr>{rows}</table></div>'


def _mark(cell: Cell, check: str) -> str:
    mark = cell.mark(check)
    finding = next((one for one in cell.all_findings if one.check == check), None)
    kind = {"": "blank", "-": "dash"}.get(mark, mark)
    text = f'<a href="{page_name(cell, finding)}">{mark}</a>' if finding else mark
    return f'<td class="{kind}">{text}</td>'


def _finding_page(cell: Cell, finding: Finding) -> str:
    title = f"{cell.row.name}: {finding.check}"
    known = cell.row.documented.get(finding.check)
    facts = {
        "Library": f"{cell.row.library} {cell.version}",
        "Call": cell.row.expression,
        "Held against": f"{finding.like} ({cell.report.masks if cell.report else ''} masks)",
        "Input": finding.input,
        "Expected": finding.expected,
        "Got": finding.got,
        **({"Known": known} if known else {}),
    }
    listed = "".join(f"<dt>{name}</dt><dd><code>{escape(str(text))}</code></dd>" for name, text in facts.items())
    return _page(
        title,
        f'<p><a href="index.html">all</a></p><h1>{escape(title)}</h1><p>{escape(finding.sentence)}</p><dl>{listed}</dl>'
        f"<h2>Reproducer</h2><pre>{escape(cell.row.reproducer(finding))}</pre>",
    )
