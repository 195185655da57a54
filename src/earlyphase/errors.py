"""The one exception that is a message to the user, not a fault of the program."""


class InvalidInput(ValueError):  # noqa: N818 - it reads as what happened
    """A configuration, data set or artifact cannot be used.

    The message names the key or file, the value found, and what would be right. The command line
    prints it without a traceback.
    """
