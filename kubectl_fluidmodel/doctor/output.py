"""A DoctorReport in the formats of `-o`, on stdout and in a support bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click

from kubectl_fluidmodel.doctor import junit, support_bundle
from kubectl_fluidmodel.doctor.report import diagnosis_document
from kubectl_fluidmodel.doctor.report_view import ReportStyle, render_diagnosis
from kubectl_fluidmodel.doctor.run import DoctorReport
from kubectl_fluidmodel.output.console import print_note, terminal_width, wants_color
from kubectl_fluidmodel.output.serialize import format_document


def print_report(report: DoctorReport, output: str | None, color: str) -> None:
    """Print the report to stdout in the format of -o."""
    text = render_report(report, output, color)
    if not _supports_unicode(sys.stdout):
        errors = "xmlcharrefreplace" if output == "junit" else "backslashreplace"
        text = text.encode("ascii", errors).decode()
    click.echo(text, nl=False, color=True)


def render_report(report: DoctorReport, output: str | None, color: str) -> str:
    """The report as text in the format of -o."""
    if output == "junit":
        return junit.to_junit(report.diagnosis, report.seconds)
    if output in ("json", "yaml"):
        document = diagnosis_document(report.diagnosis, report.snapshot)
        return format_document(document, output)
    style = ReportStyle(
        mode=output or "default",
        color=wants_color(sys.stdout, color),
        ascii=not _supports_unicode(sys.stdout),
        width=terminal_width(),
    )
    return render_diagnosis(report.diagnosis, style, report.seconds)


def write_support_bundle(report: DoctorReport, path: Path) -> None:
    """Write the snapshot, which is redacted already, and the report to a file.

    Raises:
        FluidModelError: the file cannot be written.
    """
    text = render_diagnosis(report.diagnosis, ReportStyle(mode="wide"), report.seconds)
    document = diagnosis_document(report.diagnosis, report.snapshot)
    support_bundle.write_bundle(path, report.snapshot, document, text)
    print_note(f"wrote {path}: secrets are redacted, but check it before you share it")


def _supports_unicode(stream: TextIO) -> bool:
    """Whether a terminal or a file can encode the marks of the report."""
    try:
        "✓✗\u2013…".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
