"""Sections of text, tables and pictures as one self-contained HTML file, or as Markdown."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_THUMBS, _SIDE = 60, 96
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d1d5db; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-size: .87rem; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid #e5e7eb; vertical-align: top; }
figure { display: inline-block; margin: .2rem; font-size: .75rem; text-align: center; }
figure img { width: 96px; height: 96px; object-fit: contain; background: #f3f4f6; display: block; }
"""


@dataclass(frozen=True)
class Table:
    """title, header, and rows of texts and numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """pictures: (path, caption); figures: SVG texts. Markdown has neither."""

    title: str
    lines: Sequence[str]
    tables: Sequence[Table] = ()
    pictures: Sequence[tuple[str, str]] = ()
    figures: Sequence[str] = ()


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section.title}"]
        for text in section.lines:
            lines += ["", text]
        for table in section.tables:
            lines += ["", f"**{table.title}**", "", _row(table.header), "|" + "---|" * len(table.header)]
            lines += [_row(row) for row in table.rows]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(_text(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _text(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def as_html(title: str, sections: Sequence[Section]) -> str:
    """One file that needs nothing else: style, SVG and thumbnails are inside."""
    body = [f"<h1>{escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{escape(section.title)}</h2>")
        body += [f"<p>{escape(text)}</p>" for text in section.lines]
        body += [f"<div>{figure}</div>" for figure in section.figures]
        body += _thumbnails(section.pictures)
        for table in section.tables:
            head = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
            rows = "".join(
                "<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>\n" for row in table.rows
            )
            body.append(f"<table><caption>{escape(table.title)}</caption><tr>{head}</tr>\n{rows}</table>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _thumbnails(pictures: Sequence[tuple[str, str]]) -> list[str]:
    shown = []
    for path, caption in pictures[:_THUMBS]:
        data = _thumbnail(path)
        if data:
            image = f'<img alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
            shown.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
    return ["<div>" + "".join(shown) + "</div>"] if shown else []


def _thumbnail(path: str) -> str:
    """JPEG in base64; "" for a picture that cannot be read any more: the report says what is, it does not fail."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (_SIDE, _SIDE))
            small = picture.convert("RGB")
            small.thumbnail((_SIDE, _SIDE))
            out = io.BytesIO()
            small.save(out, "JPEG", quality=80)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    return base64.b64encode(out.getvalue()).decode()
