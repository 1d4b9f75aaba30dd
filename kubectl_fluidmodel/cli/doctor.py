"""`kubectl fluidmodel doctor [NAME]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import timeout_flag, view_flags
from kubectl_fluidmodel.cli.model_flags import pod_flags
from kubectl_fluidmodel.cli.verb_command import VerbCommand, flag_group, option
from kubectl_fluidmodel.errors import UsageError, WaitTimeoutError
from kubectl_fluidmodel.kube.config import ConfigFlags, parse_timeout
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe

EXAMPLES = """
# Check one cache
kubectl fluidmodel doctor llama-3-3-70b-instruct

# All caches in all namespaces: problems only, grouped by cause
kubectl fluidmodel doctor -A -o short

# In a pipeline: wait until the cache is healthy, or fail with a report
kubectl fluidmodel doctor llama-3-3-70b-instruct --wait --timeout 10m -o junit > doctor.xml

# Save a bundle, and read it without access to the cluster
kubectl fluidmodel doctor --bundle bundle.tar.gz
kubectl fluidmodel doctor --from-bundle bundle.tar.gz
"""


@dataclass(frozen=True)
class DoctorFlags:
    """The flags that only `doctor` has."""

    only: tuple[str, ...]
    skip: tuple[str, ...]
    probe: bool
    image: str | None
    pull_secrets: tuple[str, ...]
    probe_proxy: str | None
    probe_no_proxy: str | None
    probe_ca: str | None
    wait: bool
    timeout: str
    bundle: str | None


_DOCTOR_FLAGS = flag_group(
    DoctorFlags,
    "flags",
    option(
        "--only",
        group="Doctor",
        metavar="C,…",
        multiple=True,
        help="Run only these checks: codes (FM201) or areas (2xx).",
    ),
    option("--skip", group="Doctor", metavar="C,…", multiple=True, help="Skip these checks."),
    option("--wait/--no-wait", group="Doctor", default=False, help="Repeat until no check fails."),
    timeout_flag("5m", "Maximum time to wait.", group="Doctor"),
    option(
        "--bundle",
        group="Doctor",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Write everything that was read, redacted, to FILE.tar.gz.",
    ),
    option(
        "--probe",
        group="Probe",
        is_flag=True,
        help="Also probe the stores from inside the cluster, with a short-lived pod.",
    ),
    *pod_flags("probe", group="Probe", pod="the probe's pod", target="the stores"),
)


@click.command("doctor", cls=VerbCommand, examples=EXAMPLES)
@click.argument("name", required=False)
@view_flags("Doctor", "short", "wide", "json", "yaml", "junit")
@_DOCTOR_FLAGS
def command(
    name: str | None,
    everywhere: bool,
    flags: DoctorFlags,
    from_bundle: str | None,
    output: str | None,
    color: str,
    connection: ConfigFlags,
) -> int:
    """Find what is broken in caches and graphs, explain why, and print the command that fixes it.

    Without NAME, doctor checks all caches in the namespace. It changes nothing. The exit code is 1
    if a check fails or if the Datasets cannot be read, else 0.
    """
    from kubectl_fluidmodel.doctor.output import print_report, write_support_bundle
    from kubectl_fluidmodel.doctor.run import DoctorOptions, DoctorRun

    options = DoctorOptions(
        name=name or "",
        all_namespaces=everywhere,
        only=_split(flags.only),
        skip=_split(flags.skip),
        probe=_pod_probe(flags),
        wait=(parse_timeout(flags.timeout) or 0.0) if flags.wait else None,
        bundle=Path(flags.bundle) if flags.bundle else None,
        from_bundle=Path(from_bundle) if from_bundle else None,
    )
    report = DoctorRun(options, connection).run()
    print_report(report, output, color)
    if options.bundle:
        write_support_bundle(report, options.bundle)
    if report.diagnosis.failed and flags.wait:
        raise WaitTimeoutError(
            f"not healthy after {flags.timeout}",
            f"{pluralize(len(report.diagnosis.roots), 'problem')}, see above",
            "a longer --timeout, or apply the fixes",
        )
    return 1 if report.diagnosis.failed else 0


def _split(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(code for value in values for code in value.replace(",", " ").split())


def _pod_probe(flags: DoctorFlags) -> PodProbe | None:
    from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe
    from kubectl_fluidmodel.objects.plugin_pod import parse_network, require_image

    network = parse_network(
        flags.probe_proxy, flags.probe_no_proxy, flags.probe_ca, flags.pull_secrets, "--probe"
    )
    if flags.probe:
        return PodProbe(require_image(flags.image), network)
    probe_flags = {"--image": flags.image, "--image-pull-secret": flags.pull_secrets}
    probe_flags |= {"--probe-proxy": flags.probe_proxy, "--probe-ca": flags.probe_ca}
    for flag, value in probe_flags.items():
        if value:
            raise UsageError(
                f"{flag} without --probe", "it applies only to the probe's pod", "--probe"
            )
    return None
