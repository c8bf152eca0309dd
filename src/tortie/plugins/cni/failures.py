"""The errors of the CNI protocol, with the codes that its specification gives them."""

from __future__ import annotations

import msgspec

from tortie.base.errors import Invalid, TortieError, Unavailable

VERSION_NOT_SUPPORTED = 1
UNKNOWN_CONTAINER = 3
ENVIRONMENT = 4
INPUT_OUTPUT = 5
NOT_DECODED = 6
CONFIGURATION = 7
PREVIOUS_RESULT = 8
TRY_AGAIN = 11
NOT_AVAILABLE = 50
OTHER = 999


class CniError(TortieError):
    """One failure as the runtime hears of it: a code, a message and, where there is more to say, details."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(f"{message}: {details}" if details else message)


def of(error: TortieError) -> CniError:
    """Any failure of the house in the protocol's terms."""
    if isinstance(error, CniError):
        return error
    if isinstance(error, Invalid):
        return CniError(CONFIGURATION, str(error))
    if isinstance(error, Unavailable):
        return CniError(TRY_AGAIN, str(error))
    return CniError(OTHER, str(error))


def body(error: CniError, version: str) -> bytes:
    """What stands on standard output. `version`: the configuration's, empty when it was not understood."""
    said: dict[str, object] = {"cniVersion": version} if version else {}
    said |= {"code": error.code, "msg": error.message}
    if error.details:
        said["details"] = error.details
    return msgspec.json.encode(said)
