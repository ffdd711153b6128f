"""AXI4-Lite manager for cocotb, with 32 data bits: one transaction after the other."""

from cocotb.triggers import RisingEdge

__all__ = ["AxiLite", "AxiLiteError"]

_RESPONSES = ("OKAY", "EXOKAY", "SLVERR", "DECERR")


class AxiLiteError(Exception):
    """A transaction that was not answered, or not with OKAY."""


class AxiLite:
    """Reads and writes registers through ports ``<name>__<channel>__<member>``.

    Parameters
    ----------
    dut : simulation handle
        What has the ports.
    clk : simulation handle
        Clock of the bus.
    name : str
        Prefix of the ports.
    timeout : int
        Cycles after which an unanswered transaction is an error.
    """

    def __init__(self, dut, clk, *, name: str = "control", timeout: int = 1000) -> None:
        self.dut = dut
        self.clk = clk
        self.name = name
        self.timeout = timeout
        for member in ("ar__valid", "aw__valid", "w__valid", "r__ready", "b__ready"):
            self._port(member).value = 0
        for member in ("ar__addr", "ar__prot", "aw__addr", "aw__prot", "w__data", "w__strb"):
            self._port(member).value = 0

    def _port(self, member: str):
        return getattr(self.dut, f"{self.name}__{member}")

    async def write(self, address: int, value: int) -> None:
        """Write one register.

        Raises
        ------
        AxiLiteError
            If the response is not OKAY, or does not come.
        """
        self._port("aw__addr").value = address
        self._port("w__data").value = value
        self._port("w__strb").value = 0xF
        await self._transfer(f"write to {address:#x}", "b", "aw", "w")

    async def read(self, address: int) -> int:
        """Read one register.

        Raises
        ------
        AxiLiteError
            If the response is not OKAY, or does not come.
        """
        self._port("ar__addr").value = address
        return await self._transfer(f"read of {address:#x}", "r", "ar")

    async def _transfer(self, what: str, answer: str, *requests: str) -> int:
        waiting = {name: self._port(f"{name}__ready") for name in requests}
        for name in requests:
            self._port(f"{name}__valid").value = 1
        self._port(f"{answer}__ready").value = 1
        for _ in range(self.timeout):
            await RisingEdge(self.clk)
            # Values just before the edge: a request that is ready now is taken by it.
            for name in [name for name, ready in waiting.items() if ready.value == 1]:
                self._port(f"{name}__valid").value = 0
                del waiting[name]
            if self._port(f"{answer}__valid").value == 1:
                self._port(f"{answer}__ready").value = 0
                response = int(self._port(f"{answer}__resp").value)
                if response:
                    raise AxiLiteError(f"{what} was answered with {_RESPONSES[response]}")
                return int(self._port("r__data").value) if answer == "r" else 0
        raise AxiLiteError(f"{what} was not answered within {self.timeout} cycles")
