"""Findings without secrets. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.doctor.check import Finding, Fix
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.snapshot.redact import redact_text


def redact_finding(finding: Finding) -> Finding:
    """The finding without secrets, which any data of the server may contain."""
    return replace(
        finding,
        cause=redact_text(finding.cause),
        evidence=tuple(
            replace(evidence, text=redact_text(evidence.text)) for evidence in finding.evidence
        ),
        fix=redact_fix(finding.fix) if finding.fix else None,
    )


def redact_fix(fix: Fix) -> Fix:
    """A fix without secrets; a command that can no longer be pasted becomes advice."""
    if not isinstance(fix.text, Command):
        return replace(fix, text=redact_text(fix.text))
    text = fix.text.map_values(redact_text)
    redacted = redact_text(text)
    return replace(fix, text=text) if redacted == text else Fix(redacted, "advice")
