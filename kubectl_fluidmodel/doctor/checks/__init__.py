"""Every check, one module per noun; importing this package registers them all."""

import pkgutil
from importlib import import_module

__all__ = sorted(module.name for module in pkgutil.iter_modules(__path__))

for _name in __all__:
    import_module(f"{__name__}.{_name}")
