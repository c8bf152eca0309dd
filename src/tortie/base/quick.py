"""What makes a command line start sooner."""

from __future__ import annotations

import sys


def import_msgspec() -> None:
    """Imports msgspec without typing_extensions, which it takes where that happens to be installed: a tenth of the time
    of a short command, and on our Pythons `typing` has all that it needs. To be called before anything imports msgspec.
    """
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]
