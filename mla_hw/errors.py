"""Errors that a user can cause and mend; the command line prints them as one line."""

__all__ = [
    "CapacityError",
    "CheckpointError",
    "ConfigError",
    "GraphError",
    "MlaHwError",
    "ProgramError",
    "ScheduleError",
    "ToolError",
]


class MlaHwError(Exception):
    """Base of all errors with a cause outside the program."""


class ConfigError(MlaHwError, ValueError):
    """A setting, or a combination of settings, that is missing, mistyped or not supported."""


class CheckpointError(MlaHwError):
    """A checkpoint folder that cannot be read, or whose tensors do not fit its configuration."""


class GraphError(MlaHwError):
    """A decode graph whose nodes or shapes do not fit together."""


class ScheduleError(MlaHwError):
    """A layer that cannot be mapped onto the hardware."""


class ProgramError(MlaHwError):
    """An instruction or a program that breaks the rules of the instruction set."""


class ToolError(MlaHwError):
    """An external tool that is missing or has failed."""


class CapacityError(ScheduleError):
    """A demand that exceeds what the hardware or the board has.

    Parameters
    ----------
    demand : int
        How much is needed.
    bound : int
        How much there is.
    unit : str
        What is counted, in the plural: ``"bytes"``, ``"multipliers"``.
    where : str
        The resource that is too small, for example ``"memory of ulx3s-85f"``.
    hint : str
        What would mend it, naming the setting; may be empty.
    """

    def __init__(self, demand: int, bound: int, unit: str, where: str, hint: str = "") -> None:
        # All parameters go to Exception, so that the error survives pickling between processes.
        super().__init__(demand, bound, unit, where, hint)
        self.demand = demand
        self.bound = bound
        self.unit = unit
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = (
            f"{self.where}: needs {self.demand} {self.unit}, has {self.bound} "
            f"({self.demand - self.bound} too many)"
        )
        return f"{text}; {self.hint}" if self.hint else text
