"""The one error a user is meant to read."""


class QtxError(Exception):
    """A problem stated in one sentence: what was wrong, the value, what would be right."""
