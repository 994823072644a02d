"""Faults that a user can act on. Each message says what is wrong, where, and what to do."""


class HeadstartError(Exception):
    """Base of every fault reported without a traceback. The command line ends with `exit_code`."""

    exit_code = 2


class UsageError(HeadstartError):
    """A command or an argument that cannot be carried out as given."""


class DataError(HeadstartError):
    """A data set, an annotation file or an image that cannot be read or does not hold together."""


class FetchError(HeadstartError):
    """Bytes that a server does not give, or that must not be fetched. Unlike a bad image, never skipped."""


class WeightsError(HeadstartError):
    """Weights that are unknown, unreadable, or do not fit the backbone that they were named for."""


class StudyError(HeadstartError):
    """A study file with faults, or a run directory that belongs to another study."""


class StoreError(HeadstartError):
    """An artefact in a run's store that is damaged or missing."""


class TrainingError(HeadstartError):
    """Training that cannot go on: a loss that is not finite, memory that does not suffice."""

    exit_code = 1


class Interrupted(HeadstartError):
    """The user stopped the run; what was finished stays, and what was begun goes on next time."""

    exit_code = 130
