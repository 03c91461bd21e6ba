"""What can go wrong, as one tree:

    JacorpusError            exit 1   something failed; one paragraph says what, where, what to do
    |-- RecipeError          exit 2   the recipe or the command's words are wrong
    |-- InputError           exit 1   an input file can't be found or read
    |-- StorageError         exit 1   the output can't be written (full disk, no permission)
    |-- TaskError            exit 1   a task failed in a way no document is to blame for
    `-- CheckError           exit 3   a check ran and did not pass

A record that can't be read is no exception: it is a row of the audit with state ``failed``.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class JacorpusError(Exception):
    """Base of all. The message is one paragraph for people."""

    exit_code = 1


class RecipeError(JacorpusError):
    exit_code = 2


class InputError(JacorpusError):
    pass


class StorageError(JacorpusError):
    pass


class TaskError(JacorpusError):
    pass


class CheckError(JacorpusError):
    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean `x`?' or the list of what there is."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known: {', '.join(names)}" if names else ""
