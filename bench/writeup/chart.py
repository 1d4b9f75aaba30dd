"""The table as a chart: two bars for each placement, the write-up's and ours, as SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.writeup.figures import WHOLE, Row

_WIDTH, _LEFT, _RIGHT = 720, 16, 84
_ROW, _BAR, _TOP, _BOTTOM = 72, 16, 64, 40
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.note { fill: #57606a; font-size: 12px }
.theirs { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .theirs { fill: #656c76 }
  .ours { fill: #4493f8 }
}"""


def svg_chart(rows: Sequence[Row], note: str) -> str:
    """Draw the rows as multiples of the last placement's time, so that both fit one axis.

    Args:
        rows: The measurements.
        note: A line below the chart: what was measured.
    """
    last = next(row for row in rows if row.placement == WHOLE).median
    bars = [(row, row.placement.seconds / WHOLE.seconds, row.median / last) for row in rows]
    longest = max(max(theirs, ours) for _, theirs, ours in bars)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _TOP + _ROW * len(rows) + _BOTTOM
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Time until a model is loaded, by where the model is</title>",
        f"<style>\n{_STYLE}\n</style>",
        _text(_LEFT, 24, "Time until the model is loaded, as a multiple of the last row", "title"),
        _bar(_LEFT, 36, 12, 12, "theirs"),
        _text(_LEFT + 18, 47, "write-up, Llama-3.3-70B", "note"),
        _bar(_LEFT + 190, 36, 12, 12, "ours"),
        _text(_LEFT + 208, 47, "here", "note"),
    ]
    for number, (row, theirs, ours) in enumerate(bars):
        top = _TOP + _ROW * number
        drawn.append(_text(_LEFT, top + 16, row.placement.text))
        for offset, times, seconds, kind in (
            (24, theirs, row.placement.seconds, "theirs"),
            (24 + _BAR + 3, ours, row.median, "ours"),
        ):
            drawn.append(_bar(_LEFT, top + offset, times * scale, _BAR, kind))
            label = f"{times:.1f} · {seconds:.0f} s"
            drawn.append(_text(_LEFT + times * scale + 6, top + offset + 12, label, "note"))
    drawn.append(_text(_LEFT, height - 14, note, "note"))
    return "\n".join([*drawn, "</svg>", ""])


def _bar(left: float, top: float, width: float, height: float, kind: str) -> str:
    shape = f'x="{left:.1f}" y="{top:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="2"'
    return f'<rect class="{kind}" {shape}/>'


def _text(left: float, top: float, text: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{left:.1f}" y="{top:.1f}">{escape(text)}</text>'
