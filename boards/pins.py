"""What a pin of the FPGA is set to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Pin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """A pin of the package, and how its buffer is set.

    Parameters
    ----------
    site : str
        Name of the pin.
    standard : str
        Electrical standard, in the family's spelling.
    pull : str
        ``"up"``, ``"down"``, or empty for the family's default.
    options : mapping of str to str
        More settings of the buffer, in the family's names; iCE40 has none.
    """

    site: str
    standard: str
    pull: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
