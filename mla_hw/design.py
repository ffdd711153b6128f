"""A compiled layer as one value, and the folder that it is read from."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError, MlaHwError
from mla_hw.fields import read_json_object
from mla_hw.golden.interpreter import Machine
from mla_hw.graph import MLA_SCHEMES
from mla_hw.hardware import BURST_BEATS, CoreConfig, HardwareConfig
from mla_hw.program.image import (
    LAYER_REGIONS,
    REGIONS,
    MemoryMap,
    Region,
    TensorPlace,
    place_regions,
)
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS
from mla_hw.program.program import Program
from mla_hw.quant.quantize import quantize_hidden

__all__ = [
    "MANIFEST_FORMAT",
    "Design",
    "configuration_hash",
    "read_manifest",
    "verilog_sources",
    "weights_hash",
]

MANIFEST_FORMAT = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """What simulation and reports need to know of a generated folder.

    Of an image that holds several layers it is that of the first, or of the one that
    :func:`mla_hw.host.layers.layer_design` has selected.

    Parameters
    ----------
    model : ModelConfig
    hardware : HardwareConfig
    core : CoreConfig
    program : Program
    memory : MemoryMap
    image : bytes
        Memory without the caches; empty when the folder was generated without it.
    scales : dict
        Value of one step of every tensor.
    constants : dict
        Index of each layer constant.
    manifest : dict
        Everything else that ``manifest.json`` says.
    """

    model: ModelConfig
    hardware: HardwareConfig
    core: CoreConfig
    program: Program
    memory: MemoryMap
    image: bytes
    scales: dict[str, float]
    constants: dict[str, int]
    manifest: dict[str, Any]

    @property
    def regions(self) -> dict[str, Region]:
        """Regions of the memory by name."""
        return self.memory.regions

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers in the checkpoint of the layers that the image holds, in its order."""
        others = self.manifest.get("layers", ())
        return (self.manifest["layer"], *(entry["layer"] for entry in others))

    @property
    def scheme(self) -> str:
        """Scheme of MLA that the program decodes by."""
        return str(self.manifest["scheme"])

    @property
    def context(self) -> int:
        """Cached tokens that the regions hold."""
        return self.memory.context

    def quantize_hidden(
        self, x: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Turn hidden states into the integers that the core reads; count saturations per row."""
        return quantize_hidden(x, self.scales["x"])

    def machine(self) -> Machine:
        """Make an interpreter with a fresh copy of the image and an empty cache."""
        return Machine(self.core, self.program, self.memory, self.image, self.constants)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a folder that ``generate`` made.

        Raises
        ------
        ConfigError
            When the folder is not one, or its files do not belong together.
        """
        folder = Path(directory)
        path = folder / "manifest.json"
        manifest = read_manifest(folder)
        if manifest.get("format") != MANIFEST_FORMAT:
            raise ConfigError(
                f"{path}: has format {manifest.get('format')}, this version reads "
                f"{MANIFEST_FORMAT}: generate the folder again"
            )
        try:
            words = np.frombuffer((folder / "program.bin").read_bytes(), "<u4")
            image = folder / "image.bin"
            design = cls(
                model=ModelConfig.from_dict(manifest["model"]),
                hardware=HardwareConfig.from_dict(manifest["hardware"]),
                core=CoreConfig(**manifest["core"]),
                program=Program.decode(words.tolist(), tuple(manifest["semaphores"])),
                memory=_memory_from_dict(manifest),
                image=image.read_bytes() if image.is_file() else b"",
                scales=manifest["scales"],
                constants=manifest["constants"],
                manifest=manifest,
            )
            problem = design._problem()
        except KeyError as error:
            problem = f"manifest.json has no {error}"
        except OSError as error:
            problem = f"{Path(error.filename).name} cannot be read: {error.strerror}"
        except MlaHwError as error:
            problem = str(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            # What these say is of the program, not of the folder.
            problem = "manifest.json or program.bin is not as generate writes it"
        if problem:
            raise ConfigError(f"{folder}: is damaged ({problem}): generate it again")
        return design

    def _bytes_of_rows(self, own: int, stride: int) -> int:
        """Bytes of what each query row has a part of."""
        return (self.core.query_rows - 1) * stride + own

    def _are_layers(self) -> bool:
        """Whether the image holds different layers of the model."""
        numbers, count = self.layers, self.model.num_hidden_layers
        known = all(type(number) is int and 0 <= number < count for number in numbers)
        return known and len(set(numbers)) == len(numbers)

    def _problem(self) -> str:
        """Say what does not belong together, if anything."""
        manifest, core, memory = self.manifest, self.core, self.memory
        sizes = {name: region.size for name, region in memory.regions.items()}
        burst = BURST_BEATS * core.port_bytes
        scales = [self.scales, *(entry["scales"] for entry in manifest.get("layers", ()))]
        fits = {
            "hash": configuration_hash(core, self.model) == manifest["hash"],
            "context": self._bytes_of_rows(self.context * core.row_bytes, memory.cache_stride)
            == memory.regions["cache"].size,
            "y_stride": self._bytes_of_rows(2 * self.model.hidden_size, memory.y_stride)
            == memory.regions["y"].size,
            "list of semaphores": Program.parse(str(self.program)) == self.program,
            "scheme": self.scheme in MLA_SCHEMES,
            "length of program.bin": len(manifest["phases"]) == len(self.program),
            "list of constants": sorted(self.constants.values()) == list(range(core.constants)),
            "memory_bytes": manifest["memory_bytes"] == memory.size,
            "list of layers": self._are_layers(),
            "list of regions": memory.layers == place_regions(sizes, burst, len(memory.layers)),
            "list of scales": min(own[name] for own in scales for name in ("x", "y")) > 0,
            "list of Verilog files": all(isinstance(name, str) for name in manifest["verilog"]),
            "list of ports": all(
                port["direction"] in {"input", "output"} and port["width"] > 0
                for port in manifest["ports"].values()
            ),
        }
        if self.image:
            fits["size of image.bin"] = len(self.image) == memory.image_size
            words = self.program.encode().astype("<u4").tobytes()
            start = self.regions["program"].offset
            fits["program in image.bin"] = self.image.startswith(words, start)
            fits["weights_hash"] = weights_hash(self.image, memory) == manifest["weights_hash"]
        return ", ".join(f"the {name} does not fit" for name, good in fits.items() if not good)


def configuration_hash(core: CoreConfig, model: ModelConfig) -> str:
    """64-bit hash over hardware, instruction table and layer dimensions, as 16 hex digits."""
    layout = [asdict(field) for field in FIELDS.values()]
    table = [
        (kind.name, kind.opcode, kind.engine.value, kind.fields) for kind in INSTRUCTIONS.values()
    ]
    dimensions = {
        name: getattr(model, name)
        for name in (
            "hidden_size",
            "num_attention_heads",
            "q_lora_rank",
            "kv_lora_rank",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "v_head_dim",
        )
    }
    text = json.dumps([core.to_dict(), table, layout, dimensions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_hash(image: bytes, memory: MemoryMap) -> str:
    """64-bit hash over the image behind the program, as 16 hex digits."""
    return hashlib.sha256(image[memory.regions["weights"].offset :]).hexdigest()[:16]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder that ``generate`` made, as it is.

    Raises
    ------
    ConfigError
        If there is none.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        problem = "has no manifest.json" if folder.is_dir() else "is not there"
        problem = "is a file" if folder.is_file() else problem
        raise ConfigError(f"{folder}: {problem}: must be a folder that generate made")
    manifest: dict[str, Any] = read_json_object(path, ConfigError)
    return manifest


def verilog_sources(folder: Path, manifest: Mapping[str, Any]) -> list[Path]:
    """Return the Verilog files of a folder that ``generate`` made.

    Raises
    ------
    ConfigError
        If one is missing.
    """
    paths = [folder / "verilog" / name for name in manifest["verilog"]]
    for path in paths:
        if not path.is_file():
            raise ConfigError(
                f"{folder}: is damaged (verilog/{path.name} is missing): generate it again"
            )
    return paths


def _memory_from_dict(manifest: Mapping[str, Any]) -> MemoryMap:
    regions = _regions(manifest, REGIONS)
    others = (_regions(entry, LAYER_REGIONS) for entry in manifest.get("layers", ()))
    return MemoryMap(
        regions=regions,
        layers=(regions, *({**regions, **own} for own in others)),
        tensors=tuple(TensorPlace(**tensor) for tensor in manifest["tensors"]),
        context=manifest["context"],
        query_rows=manifest["core"]["query_rows"],
        cache_stride=manifest["cache_stride"],
        y_stride=manifest["y_stride"],
    )


def _regions(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, Region]:
    return {name: Region(**entry["regions"][name]) for name in names}
