"""What keeps a container from running, in one word for programs."""

from controller.errors import EngineError, FilesRefused, ImageMissing, PolicyDenied, PullError

IMAGE_NOT_FOUND, IMAGE_DENIED = "ImageNotFound", "ImageDenied"
NOT_ALLOWED = "NotAllowed"
START_FAILED, CREATE_FAILED = "StartFailed", "CreateFailed"
# These pass by themselves, or when somebody makes room.
PORT_TAKEN, DISK_FULL, ENGINE_ERROR = "PortTaken", "DiskFull", "EngineError"
# What is in a secret is not there, until it is declared again.
FILES_MISSING = "FilesMissing"
# The disk has no room for the image itself: that the old container goes would not help.
NO_ROOM_FOR_IMAGE = "NoRoomForImage"

HOPELESS = frozenset((IMAGE_NOT_FOUND, IMAGE_DENIED, NOT_ALLOWED, START_FAILED, CREATE_FAILED))
"""What no waiting mends."""

# What Docker says of a container that can't be made or started in this way: of its program, user, folders, devices.
_HOPELESS_TEXTS = (
    "oci runtime create failed", "executable file not found", "no such file or directory", "permission denied",
    "bind source path does not exist", "unable to find user", "unable to find group", "invalid", "not found",
    "unsupported", "error gathering device information", "conflicting options", "minimum memory limit",
)  # fmt: skip


class Wait(PullError):
    """A registry is not to be asked yet, as it has refused before: ``seconds`` are left."""

    def __init__(self, message: str, reason: str, seconds: float) -> None:
        super().__init__(message, reason)
        self.seconds = seconds


def reason_of(error: EngineError | PolicyDenied, *, started: bool) -> str:
    """The word for an error; ``started``: it came of starting the container and not of making it."""
    if isinstance(error, PolicyDenied):
        return NOT_ALLOWED
    if isinstance(error, PullError):
        return NO_ROOM_FOR_IMAGE if error.reason == DISK_FULL else error.reason
    if isinstance(error, ImageMissing):
        return ENGINE_ERROR  # it went between finding and using it
    text = str(error).lower()
    if "no space left on device" in text:
        return DISK_FULL
    if isinstance(error, FilesRefused):
        return CREATE_FAILED if error.hopeless else FILES_MISSING
    if "port is already allocated" in text or "address already in use" in text:
        return PORT_TAKEN
    if any(words in text for words in _HOPELESS_TEXTS):
        return START_FAILED if started else CREATE_FAILED
    return ENGINE_ERROR  # whatever it is, it may be another thing the next time
