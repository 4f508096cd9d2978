"""Every error that emopi raises on purpose.

Each says what was found, what was expected and what to do. All derive from `EmopiError`, which
the command line turns into one line on stderr and exit status 1; each also derives from the
builtin that a caller would expect (`ValueError`, `OSError`, ...).
"""


class EmopiError(Exception):
    """Base of all errors with a message meant for the person at the keyboard."""


class SpecError(EmopiError, ValueError):
    """A setting is out of its range; the message has the value and the bound."""


class ConfigError(EmopiError, ValueError):
    """A settings file that cannot be used: a line for each thing that is wrong."""


class ServiceError(EmopiError, RuntimeError):
    """The system service cannot be installed or removed."""


class CardError(EmopiError, OSError):
    """A card that cannot be prepared: no boot partition, an unknown system, no room."""


class AudioError(EmopiError, ValueError):
    """Samples that cannot be used: not finite, too few, of an unknown type."""


class AudioFileError(AudioError, OSError):
    """An audio file that is missing, damaged, or not audio."""


class MicrophoneError(EmopiError, OSError):
    """No microphone, one that cannot be opened, or one that has stopped delivering."""


class ModelError(EmopiError, ValueError):
    """A model file that is damaged, has no valid contract, or does not match its contract."""


class MissingExtraError(EmopiError, ImportError):
    """A command needs a package that only an extra installs."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs {package}, which is not installed. "
            f"Install it with: pip install 'emopi[{extra}]'"
        )


class CorpusError(EmopiError, ValueError):
    """A folder of recordings that is not what it should be."""


class RunError(EmopiError, ValueError):
    """A training run folder that is missing, incomplete or of other settings."""


class SinkError(EmopiError, OSError):
    """A sink that cannot work until a person changes something."""


class ProfileError(EmopiError, ValueError):
    """A wearer's profile that cannot be used, or what it cannot be made from."""


class ConversionError(EmopiError, RuntimeError):
    """A converted model that fails a check; nothing has been written."""


class ComparisonError(EmopiError, RuntimeError):
    """Models that cannot be compared, or a measurement of them that failed."""


class BundleError(EmopiError, RuntimeError):
    """An offline bundle that cannot be made; nothing has been written."""
