"""Versions of this project and of the packages that a result depends on."""

import platform
from importlib import metadata

__all__ = ["project_version", "tool_versions"]


def project_version() -> str:
    """Return the version of mla-hw."""
    return metadata.version("mla-hw")


def tool_versions(*packages: str) -> dict[str, str]:
    """Return the versions of mla-hw, Python and the given packages."""
    return {
        "mla-hw": project_version(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }
