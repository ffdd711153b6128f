"""Arguments of the command line: what is wrong with them is an error of one line."""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mla_hw.errors import ConfigError
from mla_hw.fields import did_you_mean

__all__ = [
    "Parser",
    "count",
    "counts",
    "integers",
    "number",
    "one_of",
    "path",
    "positive",
    "positives",
    "text",
    "words",
]

_MISSING = "the following arguments are required: "
#: Not ``-``, and no negative number, which is a value.
_OPTION = re.compile(r"--?[^\W\d]")


class Parser(argparse.ArgumentParser):
    """Raises ConfigError instead of printing the usage and ending with exit code 2.

    Options are not abbreviated.

    Parameters
    ----------
    **settings
        As for :class:`argparse.ArgumentParser`.

    Attributes
    ----------
    commands : iterable of str
        Names of the commands; empty for the parser of one command.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, exit_on_error=False, **settings)
        self.commands: Iterable[str] = ()

    def parse_known_args(self, args: Any = None, *rest: Any, **keywords: Any) -> Any:
        # Also what the parser of all commands calls for the arguments of one.
        given = sys.argv[1:] if args is None else list(args)
        self._check_names(given)
        try:
            values, unused = super().parse_known_args(given, *rest, **keywords)
        except argparse.ArgumentError as error:
            name = f"{error.argument_name}: " if error.argument_name else ""
            self.error(f"{name}{error.message}")
        if unused:
            self.error(f"{unused[0]}: unexpected argument")
        return values, unused

    def error(self, message: str) -> NoReturn:
        names = message.removeprefix(_MISSING)
        if names != message:
            message = f"{names}: required, but missing"
        raise ConfigError(f"{message}; see {self.prog} --help")

    def _check_names(self, args: Sequence[str]) -> None:
        """Refuse the first unknown name; argparse would rather miss what it was to be."""
        for argument in args:
            if argument == "--":
                return
            if _OPTION.match(argument):
                name = argument.partition("=")[0]
                known = self._option_string_actions
                if name not in known:
                    self.error(f"{name}: unknown option{did_you_mean(name, known)}")
            elif self.commands:
                if argument not in self.commands:
                    self.error(
                        f"COMMAND: must be one of {', '.join(self.commands)}, not {argument!r}"
                        f"{did_you_mean(argument, self.commands)}"
                    )
                return


def count(text: str) -> int:
    """Read an integer of at least 0."""
    return _integer(text, 0)


def counts(text: str) -> int | tuple[int, ...]:
    """Read an integer of at least 0, or several that are joined by commas."""
    numbers = tuple(map(count, text.split(",")))
    return numbers[0] if len(numbers) == 1 else numbers


def text(value: str) -> str:
    """Read a text that is not empty."""
    if not value:
        raise argparse.ArgumentTypeError("must not be empty")
    return value


def path(value: str) -> Path:
    """Read a path; the empty one is not the current folder."""
    return Path(text(value))


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    return _integer(text, 1)


def positives(text: str) -> tuple[int, ...]:
    """Read integers of at least 1 that are joined by commas."""
    return tuple(map(positive, text.split(",")))


def words(value: str) -> tuple[str, ...]:
    """Read words that are joined by commas."""
    return tuple(text(word.strip()) for word in value.split(","))


def number(text: str) -> float:
    """Read a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text!r}")
    return value


def integers(text: str) -> tuple[int, ...]:
    """Read integers that are joined by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be integers joined by commas, not {text!r}"
        ) from None


def one_of(text: str, choices: Sequence[str]) -> str:
    """Read one of some words."""
    if text not in choices:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, not {text!r}")
    return text


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, not {text!r}")
    return value
