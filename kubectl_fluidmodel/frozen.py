"""When PyInstaller has frozen us: programs that we start are not part of the bundle.

The bootloader points LD_LIBRARY_PATH at the bundle's libraries and children inherit it. A
credential plugin (aws, gke-gcloud-auth-plugin, kubelogin) would load our OpenSSL, not its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

_LIBRARY_PATH_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH")
_BOOTLOADER_PREFIX = "_PYI_"
"""What the bootloader notes for copies of itself, which we never start."""


def restore_library_path(environ: MutableMapping[str, str] | None = None) -> None:
    """Put the environment back to what it was before the bootloader; nothing if not frozen."""
    if not getattr(sys, "frozen", False):
        return
    environ = os.environ if environ is None else environ
    for name in _LIBRARY_PATH_VARIABLES:
        before = environ.pop(f"{name}_ORIG", None)
        if before is not None:
            environ[name] = before
        else:
            environ.pop(name, None)
    for name in [name for name in environ if name.startswith(_BOOTLOADER_PREFIX)]:
        del environ[name]
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetDllDirectoryW(None)
