"""Support for the frozen plugin: programs that it starts are not part of the PyInstaller bundle.

The bootloader sets LD_LIBRARY_PATH to the bundle's libraries, and child processes inherit it. A
credential plugin (aws, gke-gcloud-auth-plugin, kubelogin) would then load our OpenSSL instead of
its own.
"""

from __future__ import annotations

import os
import sys

_LIBRARY_PATH_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH")
_BOOTLOADER_PREFIX = "_PYI_"
"""Prefix of variables that the bootloader sets for copies of itself, which we never start."""


def restore_library_path() -> None:
    """Restore the environment from before the bootloader; does nothing if not frozen."""
    if not getattr(sys, "frozen", False):
        return
    for name in _LIBRARY_PATH_VARIABLES:
        before = os.environ.pop(f"{name}_ORIG", None)
        if before is not None:
            os.environ[name] = before
        else:
            os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith(_BOOTLOADER_PREFIX)]:
        del os.environ[name]
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetDllDirectoryW(None)
