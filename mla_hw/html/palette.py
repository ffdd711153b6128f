"""Colours, as names of the style sheet's variables: they differ between light and dark."""

__all__ = ["PLAIN", "WAIT", "WITHIN", "phase_colour", "scheme_colour"]

#: Of what has no phase, such as loads of constants and of x.
PLAIN = "--plain"
#: Of an engine that waits, and of the array's waits within an instruction.
WAIT, WITHIN = "--wait", "--within"


def phase_colour(phase: str) -> str:
    """Return the variable with the colour of a phase."""
    return f"--phase-{phase.replace('_', '-')}" if phase else PLAIN


#: Schemes have the colours of phases, of which no plot shows both.
_SCHEMES = {
    "absorb": "attention",
    "reuse": "uv",
    "recompute": "o",
    "naive": "q",
    "mha": "kv",
    "mha-scaled": "q_b",
    "gqa": "uk",
}


def scheme_colour(scheme: str) -> str:
    """Return the variable with the colour of a scheme."""
    return phase_colour(_SCHEMES[scheme])
