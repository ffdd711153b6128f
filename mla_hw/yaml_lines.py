"""YAML settings files whose errors name the file and the line."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mla_hw.errors import ConfigError

__all__ = ["load_yaml_mapping", "place_of", "reject_unknown_keys"]


def load_yaml_mapping(path: Path | str) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML file that holds one mapping.

    Parameters
    ----------
    path : Path or str
        File to read; an empty one is an empty mapping.

    Returns
    -------
    data : dict
        The contents, read with YAML's safe types.
    lines : dict of str to int
        Line number of every key, counted from 1. Keys of nested mappings are joined with a dot:
        ``"memory.part"``.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no valid YAML, holds no mapping, or has a key that is no
        text or comes twice in one mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: expected UTF-8 text") from None
    lines: dict[str, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None or root.tag == "tag:yaml.org,2002:null":
            return {}, lines
        if not isinstance(root, yaml.MappingNode):
            kind = "sequence" if isinstance(root, yaml.SequenceNode) else "scalar"
            raise ConfigError(
                f"{path}:{root.start_mark.line + 1}: expected a mapping of keys to values, "
                f"not a {kind}"
            )
        _collect_lines(root, "", path, lines)
        data = _construct(root, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise ConfigError(f"{place}: no valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        # What the reader refuses (control characters) has no line.
        raise ConfigError(f"{path}: no valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{path}: no valid YAML: nested too deeply") from None
    return data, lines


def _construct(root: yaml.MappingNode, path: Path | str) -> dict[str, Any]:
    data = {}
    for key_node, value_node in root.value:
        try:
            data[key_node.value] = yaml.SafeLoader("").construct_document(value_node)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # PyYAML checks neither dates nor what explicit tags are put on.
            line = value_node.start_mark.line + 1
            raise ConfigError(
                f"{path}:{line}: {key_node.value}: no valid YAML: not the value that it looks like"
            ) from None
    return data


def _collect_lines(
    node: yaml.MappingNode, prefix: str, path: Path | str, lines: dict[str, int]
) -> None:
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if key_node.tag != "tag:yaml.org,2002:str":
            raise ConfigError(f"{path}:{line}: expected a text as key (put it in quotes)")
        key = f"{prefix}{key_node.value}"
        if key in lines:
            raise ConfigError(f"{path}:{line}: key {key!r} was already given in line {lines[key]}")
        lines[key] = line
        if isinstance(value_node, yaml.MappingNode):
            # An alias may contain itself, so it is not followed.
            if value_node.start_mark.index < key_node.start_mark.index:
                raise ConfigError(f"{path}:{line}: aliases of mappings are not supported")
            _collect_lines(value_node, f"{key}.", path, lines)


def place_of(path: Path | str, lines: Mapping[str, int], key: str) -> str:
    """Return ``file:line`` of a key, or only the file for a key that is not there."""
    return f"{path}:{lines[key]}" if key in lines else f"{path}"


def reject_unknown_keys(
    data: Mapping[str, Any],
    known: Iterable[str],
    *,
    path: Path | str,
    lines: Mapping[str, int],
    prefix: str = "",
) -> None:
    """Raise for the first key that is not among the known ones.

    Parameters
    ----------
    data : mapping
        Mapping to check.
    known : iterable of str
        Keys that it may have.
    path : Path or str
        File that it was read from.
    lines : mapping of str to int
        Line numbers from :func:`load_yaml_mapping`.
    prefix : str
        What comes before the keys in `lines`, for a nested mapping: ``"memory."``.

    Raises
    ------
    ConfigError
        Names file, line, key, the closest known key and all of them.
    """
    known = list(known)
    for key in data:
        if key in known:
            continue
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        place = place_of(path, lines, prefix + key)
        raise ConfigError(
            f"{place}: unknown key {prefix + key!r}: {hint}known are {', '.join(known)}"
        )
