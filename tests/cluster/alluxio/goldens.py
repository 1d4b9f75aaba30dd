"""What a real Alluxio 2.9.3 prints, as templates, and the exit code of each command.

The simulated Alluxio and the real one are compared with the same templates, so that they cannot
drift apart. The commands are run in this order on a cache that is loaded, and restore its state.
Everything goes to stdout, including the reason for a failure.

In a template, placeholders such as `<int>` stand for what differs from run to run. A line that ends
in ` …` may occur several times. Runs of spaces are compared as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PLACEHOLDERS = {
    "<int>": r"-?\d+",
    "<any>": r"\S.*",
    "<size>": r"\d+(\.\d\d)?(B|KB|MB|GB)",
    "<time>": r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d:\d{3}",
    "<host>": r"[\w.-]+",
    "<tier>": "(MEM|SSD|HDD)",
    "<file>": r"/\S+",
    "<word>": r"\S+",
    "<options>": r"\S+=\S.*",
}
_SUMMARY = """\
Alluxio cluster summary:
 Master Address: <host>/<unresolved>:<int>
 Web Port: <int>
 Rpc Port: <int>
 Started: <time>
 Uptime: <int> day(s), <int> hour(s), <int> minute(s), and <int> second(s)
 Version: 2.9.3
 Safe Mode: false
 Zookeeper Enabled: false
 Raft-based Journal: false
 Live Workers: 1
 Lost Workers: 0
 Total Capacity: <size>
 Tier: <tier> Size: <size>
 Used Capacity: <size>
 Tier: <tier> Size: <size>
 Free Capacity: <size>
"""
_WORKERS = """\
 Total Capacity: <size>
 Tier: <tier> Size: <size>
 Used Capacity: <size>
 Tier: <tier> Size: <size>
 Used Percentage: <int>%
 Free Percentage: <int>%

Worker Name Last Heartbeat Storage <tier> Version Revision
<host> <int> capacity <size> 2.9.3 <word>
 used <size> (<int>%)
"""
_SUBMITTED = """\
Please wait for command submission to finish..
Submitted successfully, jobControlId = <int>
Waiting for the command to finish ...
Get command status information below:
"""
_FINISHED = "Finished running the command, jobControlId = <int>\n"
_MOUNTING = """\
mount command: alluxio fs mount /other {uri} option MountContext{{ProtoOptions=readOnly: false
{options}shared: false
commonOptions {{
 syncIntervalMs: -1
 ttl: -1
 ttlAction: FREE
}}
}}
Acquired mount ID for the new mount point: <int>
"""
_KEYS = """\
properties {
 key: "aws.accessKeyId"
 value: "nobody"
}
properties {
 key: "aws.secretKey"
 value: "h1dden"
}
"""


@dataclass(frozen=True)
class Golden:
    """One command and its answer."""

    name: str
    words: str
    out: str
    code: int = 0
    seconds: float = 0
    """Within which this is the answer: workers free blocks after the command has ended."""


GOLDENS = (
    Golden("the master's report", "fsadmin report", _SUMMARY),
    Golden("its summary", "fsadmin report summary", _SUMMARY),
    Golden(
        "all workers",
        "fsadmin report capacity",
        f"Capacity information for all workers:\n{_WORKERS}",
    ),
    Golden(
        "live workers",
        "fsadmin report capacity -live",
        f"Capacity information for live workers:\n{_WORKERS}",
    ),
    Golden("metrics", "fsadmin report metrics", "<any> (Type: <word>, Value: <any>) …\n"),
    Golden("version", "version", "2.9.3\n"),
    Golden("a setting", "getConf alluxio.underfs.version", "3.3.1\n"),
    Golden(
        "the mount, its keys masked",
        "fs mount",
        "s3://<word> on / (s3, capacity=-1B, used=-1B, not read-only, not shared, "
        "properties={<options>})\n",
    ),
    Golden("the files", "fs ls -R /", " <int> PERSISTED <time> 100% <file> …\n"),
    Golden("a path that is not there", "fs ls -R /nope", 'Path "/nope" does not exist.\n', 255),
    Golden("a count", "fs count /", "File Count Folder Count Folder Size\n<int> <int> <int>\n"),
    Golden("disk usage", "fs du -s /", "File Size In Alluxio Path\n<int> <int> (100%) /\n"),
    Golden("metadata, which says nothing", "fs loadMetadata -R /", ""),
    Golden(
        "the leader",
        "fs leader",
        "This command will be deprecated as of v3.0, please use masterInfo command\n<host>\n",
    ),
    Golden(
        "the masters",
        "fs masterInfo",
        "Current leader master: <host>/<unresolved>:<int>\n"
        "All masters: [<host>/<unresolved>:<int>]\n",
    ),
    Golden(
        "the number of copies",
        "fs setReplication --max 1 -R /",
        "Changed the replication level of /\nreplicationMax was set to 1\n\n",
    ),
    Golden(
        "a load of what is loaded",
        "fs distributedLoad --replication 1 /",
        f"{_SUBMITTED}Total completed file count is 0, failed file count is 0\n{_FINISHED}",
    ),
    Golden(
        "a load of a path that is not there",
        "fs distributedLoad /nope",
        'Please wait for command submission to finish..\nPath "/nope" does not exist.\n',
        255,
    ),
    Golden("freeing", "fs free -f /", "/ was successfully freed from Alluxio space.\n"),
    Golden("freed files", "fs ls -R /", " <int> PERSISTED <time> 0% <file> …\n", seconds=20),
    Golden(
        "a load",
        "fs distributedLoad --replication 1 /",
        f"{_SUBMITTED}Successfully loaded path <file> …\n"
        f"Total completed file count is <int>, failed file count is 0\n{_FINISHED}",
    ),
    Golden("loaded files", "fs ls -R /", " <int> PERSISTED <time> 100% <file> …\n"),
    Golden(
        "a bucket's root, mounted with keys that are wrong",
        "fs mount --option aws.accessKeyId=nobody --option aws.secretKey=h1dden {store} "
        "/other s3://elsewhere",
        "Mounted s3://elsewhere at /other\n",
    ),
    Golden(
        "what such a mount lists",
        "fs ls /other",
        "InvalidAccessKeyId:The AWS Access Key Id you provided does not exist in our records.\n",
        255,
    ),
    Golden("unmounting", "fs unmount /other", "Unmounted /other\n"),
    Golden(
        "unmounting again",
        "fs unmount /other",
        "Failed to unmount: Path /other does not exist\n",
        255,
    ),
    Golden(
        "a folder, mounted with keys that are wrong, which are printed",
        "fs mount --option aws.accessKeyId=nobody --option aws.secretKey=h1dden {store} "
        "/other s3://elsewhere/folder",
        _MOUNTING.format(
            uri="s3://elsewhere/folder",
            options='properties {\n key: "alluxio.underfs.s3.disable.dns.buckets"\n'
            ' value: "true"\n}\nproperties {\n key: "alluxio.underfs.s3.endpoint"\n'
            f' value: "<word>"\n}}\n{_KEYS}',
        )
        + "403 Forbidden:Forbidden\n",
        255,
    ),
    Golden(
        "a kind of store that Alluxio does not know",
        "fs mount /other foo://elsewhere",
        _MOUNTING.format(uri="foo://elsewhere", options="")
        + "No Under File System Factory found for: foo://elsewhere/\n",
        255,
    ),
)
STORE = (
    "--option alluxio.underfs.s3.disable.dns.buckets=true "
    "--option alluxio.underfs.s3.endpoint={endpoint}"
)


def words(golden: Golden, endpoint: str) -> list[str]:
    """The command, with a store where it wants one."""
    return golden.words.replace("{store}", STORE.format(endpoint=endpoint)).split()


def differences(golden: Golden, out: str, code: int) -> list[str]:
    """How an answer differs from the golden one; empty where it does not."""
    found = [] if code == golden.code else [f"exit code {code} instead of {golden.code}"]
    lines = [_squeezed(line) for line in out.splitlines()]
    templates = [_squeezed(line) for line in golden.out.splitlines()]
    at = 0
    for template in templates:
        several = template.endswith(" …")
        pattern = re.compile(_pattern(template.removesuffix(" …")))
        count = 0
        while at < len(lines) and pattern.fullmatch(lines[at]) and (several or not count):
            at, count = at + 1, count + 1
        if not count:
            said = lines[at] if at < len(lines) else "nothing more"
            return [*found, f"{said!r} instead of {template!r}"]
    return found + [f"{line!r} is too much" for line in lines[at:]]


def _squeezed(line: str) -> str:
    return re.sub(r" +", " ", line).rstrip()


def _pattern(template: str) -> str:
    parts = re.split(r"(<\w+>)", template)
    return "".join(_PLACEHOLDERS.get(part) or re.escape(part) for part in parts)
