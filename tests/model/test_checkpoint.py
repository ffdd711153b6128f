import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mla_hw.checkpoint import (
    LayerWeights,
    load_layer,
    load_model,
    random_layer,
    resolve_model,
    tensor_shapes,
)
from mla_hw.config import ModelConfig
from mla_hw.errors import CheckpointError, ConfigError, MlaHwError
from mla_hw.graph import build_graph, evaluate
from mla_hw.presets import PRESETS
from mla_hw.tensor_file import TensorFile
from tests.model.checkpoints import PREFIX, TINY, write_checkpoint, write_safetensors
from tests.reference_cases import case_dir

CONFIG = ModelConfig.from_hf(TINY)
SHAPES = tensor_shapes(CONFIG)


def layer(seed=0):
    return dict(random_layer(CONFIG, seed).tensors)


def assert_same_tensors(weights, tensors):
    assert weights.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights.tensors[name], tensor)
        assert weights.tensors[name].dtype == np.float32


def write_shards(folder, files):
    """Write tensors, given per shard, with an index over all of them."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TINY))
    for shard, tensors in files.items():
        write_safetensors(folder / shard, {k: ("F32", v) for k, v in tensors.items()})
    index = {name: shard for shard, tensors in files.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def three_shards():
    shards = {f"model-0000{i}-of-00003.safetensors": {} for i in (1, 2, 3)}
    for i, (name, tensor) in enumerate(layer().items()):
        list(shards.values())[i % 3][PREFIX + name] = tensor
    return shards


def evaluate_tensors(tensors):
    weights = LayerWeights(config=CONFIG, layer=0, tensors=tensors)
    x = np.random.default_rng(7).standard_normal((9, CONFIG.hidden_size))
    return evaluate(build_graph(CONFIG), weights, x)["y"]


def test_reads_what_the_safetensors_package_writes(tmp_path):
    tensors = layer()
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    named = {PREFIX + name: tensor for name, tensor in tensors.items()}
    save_file(named, tmp_path / "model.safetensors", metadata={"format": "np"})
    assert_same_tensors(load_layer(tmp_path), tensors)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_weight_types(tmp_path, dtype):
    kept_bits = {"F32": 0xFFFFFFFF, "BF16": 0xFFFF0000, "F16": 0xFFFFE000}[dtype]
    tensors = {
        name: (tensor.view(np.uint32) & np.uint32(kept_bits)).view(np.float32)
        for name, tensor in layer().items()
    }
    if dtype == "F16":
        # Values below float16's normal range would be rounded further.
        tensors = {k: np.where(abs(t) < 2.0**-14, 0, t) for k, t in tensors.items()}
    loaded = load_layer(write_checkpoint(tmp_path, TINY, tensors, dtype=dtype))
    assert_same_tensors(loaded, tensors)
    np.testing.assert_array_equal(evaluate_tensors(loaded.tensors), evaluate_tensors(tensors))


@pytest.mark.parametrize("block", [(8, 6), (128, 128), (30, 20), (1, 64)])
def test_fp8_blocks(tmp_path, block):
    """Codes are put together from sign, exponent and mantissa; blocks end in partial ones."""
    rng = np.random.default_rng(3)
    stored, expected = {}, {}
    for name, shape in SHAPES.items():
        if len(shape) == 1:
            stored[name] = ("BF16", np.ones(shape, np.float32))
            expected[name] = np.ones(shape)
            continue
        sign, exponent, mantissa = (rng.integers(0, n, shape) for n in (2, 8, 8))
        stored[name] = ("F8_E4M3", sign << 7 | exponent << 3 | mantissa)
        normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        value = np.where(exponent == 0, mantissa * 2.0**-9, normal) * (1 - 2 * sign)
        scale = rng.uniform(0.1, 0.5, (-(-shape[0] // block[0]), -(-shape[1] // block[1])))
        stored[f"{name}_scale_inv"] = ("F32", scale)
        rows, columns = (np.arange(n) // size for n, size in zip(shape, block, strict=True))
        expected[name] = value * scale.astype(np.float32)[rows][:, columns].astype(float)
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": list(block)}
    config = dict(TINY)
    if block != (128, 128):
        config["quantization_config"] = quantization
    loaded = load_layer(write_checkpoint(tmp_path, config, stored))
    for name, tensor in loaded.tensors.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-7)
    np.testing.assert_allclose(
        evaluate_tensors(loaded.tensors), evaluate_tensors(expected), rtol=1e-5, atol=1e-6
    )


def test_all_fp8_codes(tmp_path):
    write_safetensors(tmp_path / "f", {"t": ("F8_E4M3", np.arange(256))})
    values = TensorFile(tmp_path / "f").read("t")
    known = {0x00: 0, 0x01: 2**-9, 0x07: 7 * 2**-9, 0x08: 2**-6, 0x38: 1, 0x39: 1.125, 0x7E: 448}
    for code, value in known.items():
        assert values[code] == value
        assert values[code | 0x80] == -value
    assert np.isnan(values[[0x7F, 0xFF]]).all()
    assert (np.diff(values[:0x7F]) > 0).all()


def test_shards(tmp_path):
    assert_same_tensors(load_layer(write_shards(tmp_path, three_shards())), layer())


def test_shards_give_the_same_result_as_one_file(tmp_path):
    sharded = load_layer(write_shards(tmp_path / "a", three_shards()))
    single = load_layer(write_checkpoint(tmp_path / "b", TINY, layer()))
    np.testing.assert_array_equal(
        evaluate_tensors(sharded.tensors), evaluate_tensors(single.tensors)
    )


def test_shards_of_other_layers_are_not_opened(tmp_path):
    shards = three_shards()
    shards["model-other.safetensors"] = {"model.layers.1.mlp.up_proj.weight": np.ones((2, 2))}
    write_shards(tmp_path, shards)
    (tmp_path / "model-other.safetensors").unlink()
    assert_same_tensors(load_layer(tmp_path), layer())


def test_layers_and_outer_prefix(tmp_path):
    other = {PREFIX.replace("0", "1") + name: tensor for name, tensor in layer(1).items()}
    tensors = {**{PREFIX + name: tensor for name, tensor in layer(0).items()}, **other}
    tensors = {f"language_model.{name}": ("F32", tensor) for name, tensor in tensors.items()}
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    write_safetensors(tmp_path / "model.safetensors", tensors)
    for index in (0, 1):
        loaded = load_layer(tmp_path, index)
        assert loaded.layer == index
        assert_same_tensors(loaded, layer(index))


def test_reads_only_the_layer(tmp_path, monkeypatch):
    big = np.zeros((1000, 1000), np.float32)
    names = (f"{PREFIX}{name}".replace("0", "1") for name in SHAPES)
    tensors = dict.fromkeys(names, big) | {PREFIX + k: v for k, v in layer().items()}
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    write_safetensors(
        tmp_path / "model.safetensors", {name: ("F32", value) for name, value in tensors.items()}
    )
    read_bytes, counts = TensorFile._read_bytes, []

    def counted(self, start, count):
        counts.append(count)
        return read_bytes(self, start, count)

    monkeypatch.setattr(TensorFile, "_read_bytes", counted)
    load_layer(tmp_path)
    payload = sum(4 * tensor.size for tensor in layer().values())
    assert payload < sum(counts) < payload + 5000


def test_operands_are_views_by_head():
    config = PRESETS["tiny-v3"].config
    weights = load_layer(case_dir("tiny-v3"))
    kv_b = weights.tensors["kv_b_proj.weight"]
    head = 2
    rows = kv_b[head * 32 : (head + 1) * 32]
    np.testing.assert_array_equal(weights.w_uk[head], rows[:16])
    np.testing.assert_array_equal(weights.w_uv[head], rows[16:])
    np.testing.assert_array_equal(
        weights.w_uq[head], weights.tensors["q_b_proj.weight"][head * 24 : (head + 1) * 24]
    )
    np.testing.assert_array_equal(
        weights.w_o[:, head], weights.tensors["o_proj.weight"][:, head * 16 : (head + 1) * 16]
    )
    assert weights.config == config
    assert all(value.dtype == np.float64 for value in weights.operands().values())


@pytest.mark.parametrize("preset", ["tiny-v3", "small-v2lite"])
def test_random_layer(preset):
    config = PRESETS[preset].config
    weights = random_layer(config, seed=5)
    for name, tensor in weights.tensors.items():
        if name.endswith("layernorm.weight"):
            assert abs(tensor.mean() - 1) < 0.05
            assert 0.05 < tensor.std() < 0.15
        else:
            assert tensor.std() * np.sqrt(tensor.shape[1]) == pytest.approx(1, rel=0.05)
    assert_same_tensors(random_layer(config, seed=5), weights.tensors)
    other = random_layer(config, seed=6).tensors["o_proj.weight"]
    assert not np.array_equal(other, weights.tensors["o_proj.weight"])


def test_resolve_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_model("tiny-v3") is PRESETS["tiny-v3"]
    assert_same_tensors(
        load_model("tiny-v3", seed=3), random_layer(PRESETS["tiny-v3"].config, 3).tensors
    )
    write_checkpoint(tmp_path / "tiny-v3", TINY, layer())
    assert resolve_model("tiny-v3") == Path("tiny-v3")
    assert_same_tensors(load_model("tiny-v3"), layer())
    with pytest.raises(ConfigError, match=r"did you mean tiny-v3\?\); presets: deepseek-v2, "):
        resolve_model("tiny-v4")
    with pytest.raises(
        CheckpointError, match="--layer: must be from 0 to 60, the last one of kimi-k2, not 61"
    ):
        load_model("kimi-k2", layer=61)


def truncate(count):
    def change(folder):
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:count])

    return change


def header(**changes):
    """Rewrite the entry of o_proj, or the whole header where `text` is given."""

    def change(folder):
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        text = changes.get("text")
        if text is None:
            entries = json.loads(data[8 : 8 + length])
            entries[PREFIX + "o_proj.weight"].update(changes)
            text = json.dumps(entries).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    return change


def tensors(**changes):
    """Rewrite the file with other tensors; None leaves one out."""

    def change(folder):
        changed = layer() | {f"{name}.weight": value for name, value in changes.items()}
        kept = {name: value for name, value in changed.items() if value is not None}
        write_checkpoint(folder, TINY, kept)

    return change


def extra(name, value):
    return lambda folder: write_checkpoint(folder, TINY, layer() | {name: value})


def with_value(name, index, value):
    changed = layer()[f"{name}.weight"].copy()
    changed[index] = value
    return tensors(**{name: changed})


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def index(text):
    def change(folder):
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(text)

    return change


FP8 = ("F8_E4M3", np.zeros(SHAPES["o_proj.weight"], np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: no such file"),
        (write("config.json", "{"), "config.json: is not valid JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "neither model.safetensors nor"),
        (truncate(5), "truncated: wanted 8 bytes at 0, got 5"),
        (truncate(100), "truncated or not safetensors: header of"),
        (truncate(-1), r"truncated: \d+ bytes announced by the header, \d+ there"),
        (header(text=b"{no"), "malformed safetensors header"),
        (header(text=b"[]"), "malformed safetensors header: must be a JSON object"),
        (header(text=b'{"a": 3}'), "malformed safetensors header"),
        (header(data_offsets=[8, 4]), "malformed safetensors header: shape"),
        (header(data_offsets=["a", 4]), "malformed safetensors header"),
        (header(data_offsets=[0, 10**9]), "truncated"),
        (header(data_offsets=[0, 8]), "o_proj.weight has 8 bytes, which does not fit F32"),
        (header(dtype="I32"), "o_proj.weight has type I32, wanted F32, F16, BF16, F8_E4M3"),
        (tensors(o_proj=None), "tensor model.layers.0.self_attn.o_proj.weight is missing"),
        (
            tensors(kv_b_proj=np.ones((33, 11))),
            r"kv_b_proj.weight must have shape \[33, 10\], not \[33, 11\]",
        ),
        (tensors(q_a_layernorm=np.ones((14, 1))), r"must have shape \[14\], not \[14, 1\]"),
        (extra("o_proj.bias", np.ones(20)), "o_proj.bias: biases are not supported"),
        (with_value("q_b_proj", (2, 1), np.nan), r"q_b_proj.weight is nan at \[2, 1\]"),
        (with_value("q_a_layernorm", 3, -np.inf), r"q_a_layernorm.weight is -inf at \[3\]"),
        (tensors(o_proj=FP8), "o_proj.weight_scale_inv is missing"),
        (
            extra("o_proj.weight_scale_inv", np.ones((1, 1))),
            "o_proj.weight_scale_inv is there, but the weights are not FP8",
        ),
        (index("{}"), "weight_map must be an object, not None"),
        (index('{"weight_map": {"a": "../x.safetensors"}}'), "a must name a file"),
        (index('{"weight_map": {"a": "x.safetensors"}}'), "no tensor named model.layers.0.self"),
        (
            index(json.dumps({"weight_map": {PREFIX + name: "x" for name in SHAPES}})),
            "x: no such file",
        ),
    ],
)
def test_refuses(tmp_path, change, message):
    folder = write_checkpoint(tmp_path / "checkpoint", TINY, layer())
    load_layer(folder)
    change(folder)
    with pytest.raises((CheckpointError, ConfigError), match=message) as caught:
        load_layer(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_refuses_fp8_scale_of_another_shape(tmp_path):
    stored = layer() | {
        "o_proj.weight": FP8,
        "o_proj.weight_scale_inv": ("F32", np.ones((2, 1))),
    }
    with pytest.raises(CheckpointError, match=r"scale_inv must have shape \[1, 1\], not \[2, 1\]"):
        load_layer(write_checkpoint(tmp_path, TINY, stored))


def test_refuses_fp8_overflow(tmp_path):
    codes = np.full(SHAPES["o_proj.weight"], 0x7E)
    stored = layer() | {
        "o_proj.weight": ("F8_E4M3", codes),
        "o_proj.weight_scale_inv": ("F32", np.full((1, 1), 3e38)),
    }
    with pytest.raises(CheckpointError, match=r"o_proj.weight is inf at \[0, 0\]"):
        load_layer(write_checkpoint(tmp_path, TINY, stored))


@pytest.mark.parametrize("number", [-1, 2])
def test_refuses_layer_out_of_range(tmp_path, number):
    folder = write_checkpoint(tmp_path, TINY, layer())
    with pytest.raises(MlaHwError, match=f"^--layer: must be .*, not {number}$"):
        load_layer(folder, number)


def test_refuses_a_file_and_a_missing_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(CheckpointError, match="is not a folder"):
            load_layer(path)


def test_layer_weights_are_checked():
    for changed, message in (
        (layer() | {"more": np.ones(1)}, "more does not belong"),
        (layer() | {"o_proj.weight": np.ones((2, 2))}, r"must have shape \[20, 15\], not \[2, 2\]"),
        ({}, "q_a_proj.weight is missing"),
    ):
        with pytest.raises(CheckpointError, match=message):
            LayerWeights(config=CONFIG, layer=0, tensors=changed)
