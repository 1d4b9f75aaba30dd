"""Commands that errors of `cache` and `uncache` suggest."""

from __future__ import annotations

from kubectl_fluidmodel.output.shell import Command, Operand, command, kubectl

RBAC_DOCS = "see docs/rbac.md for the Role"
_MAX_BASE = 41
"""Maximum length of a name to which a suffix can be added."""


def uncache(name: str, namespace: str) -> Command:
    """Return the command that removes a cache."""
    return kubectl("fluidmodel", "uncache", Operand(name), namespace=namespace)


def adopt(name: str, namespace: str, *flags: str) -> Command:
    """The command that takes over a cache that somebody else made."""
    arguments = ("fluidmodel", "cache", Operand(name))
    return kubectl(*arguments, "--adopt", *flags, namespace=namespace)


def doctor(name: str, namespace: str) -> Command:
    """The command that finds what is wrong with a cache."""
    return kubectl("fluidmodel", "doctor", Operand(name), namespace=namespace)


def other_name(name: str) -> Command:
    """Return the flag that gives a cache another valid name."""
    alternative = f"{name[:_MAX_BASE]}-alt" if len(name) > _MAX_BASE else f"{name}-2"
    return command("--name", alternative)
