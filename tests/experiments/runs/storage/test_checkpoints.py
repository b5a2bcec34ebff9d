import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import (
    MANIFEST,
    STATE,
    TENSORS,
    checkpoint_folders,
    latest_checkpoint,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)

DTYPES = [
    "bool",
    "i1",
    "u1",
    "i2",
    "u2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f8",
    "c8",
    "c16",
    "U5",
    "S3",
    "M8[s]",
]


def example_state() -> dict[Any, Any]:
    rng = np.random.default_rng(0)
    return {
        "weights": {"layer.0": rng.normal(size=(4, 3)), "layer": {"0": rng.normal(size=2).astype(np.float32)}},
        "rng": rng.bit_generator.state,
        "steps": 12,
        "mask": np.array([True, False]),
        "counts": np.array([0, 2**64 - 1], dtype=np.uint64),
    }


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, np.ndarray):
        assert isinstance(right, np.ndarray)
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert type(left) is type(right)
        assert len(left) == len(right)
        for one, other in zip(left, right):
            assert_same(one, other)
    else:
        assert type(left) is type(right)
        assert left == right or (left != left and right != right)


def round_trip(folder: Path, state: dict[Any, Any]) -> dict[Any, Any]:
    return load_checkpoint(save_checkpoint(folder / "c", state))[0]


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    assert_same(example_state(), round_trip(tmp_path, example_state()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_any_dtype_shape_and_order(tmp_path: Path, dtype: str) -> None:
    flat = np.arange(24).astype(dtype)
    state = {
        "cube": flat.reshape(2, 3, 4),
        "fortran": np.asfortranarray(flat.reshape(4, 6)),
        "strided": flat[::3],
        "backwards": flat[::-1],
        "empty": flat[:0].reshape(0, 3),
        "scalar": flat[5].reshape(()),
    }
    back = round_trip(tmp_path, state)
    assert_same(state, back)
    # products of matrices round differently in the other order, so a resumed run would drift
    assert back["fortran"].flags.f_contiguous and back["cube"].flags.c_contiguous


def test_json_values_exactly(tmp_path: Path) -> None:
    state = {
        "big": 2**128 - 1,
        "negative": -(2**200),
        "nan": float("nan"),
        "inf": [float("inf"), -float("inf")],
        "zero": -0.0,
        "third": 1 / 3,
        "tuple": (1, (2.0, "x"), []),
        "none": None,
        "bool": True,
        "integer keys": {0: {"step": np.float32(1.5)}, 7: {}},
        "looks like a tag": {"__float__": "nan"},
        "numpy": [np.float64(0.1), np.int64(-3), np.bool_(True)],
        "a.b": np.array(1.0),
        "a": {"b": np.array(2.0)},
        "ünicode": "☃",
    }
    back = round_trip(tmp_path, state)
    assert_same(state, back)
    assert str(back["zero"]) == "-0.0"


def test_loaded_arrays_can_be_written(tmp_path: Path) -> None:
    back = round_trip(tmp_path, {"a": np.zeros(3), "b": np.zeros(2, dtype=complex)})
    back["a"][0] = 1.0
    back["b"][0] = 1.0


def test_torch_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    import torch

    tensor = torch.randn(3, 2, requires_grad=True)
    half = torch.randn(4).to(torch.bfloat16)
    back = round_trip(tmp_path, {"tensor": tensor, "half": half, "transposed": tensor.T})
    assert torch.equal(tensor.detach(), back["tensor"])
    assert torch.equal(tensor.T.detach(), back["transposed"])
    assert back["transposed"].stride() == tensor.T.stride()  # products round differently in the other order
    assert back["half"].dtype == torch.bfloat16
    assert torch.equal(back["half"], half)


NOT_STORED = [object(), np.array([object()]), range(2), lambda: 0, np.zeros(2, dtype=[("a", "f8")])]


@pytest.mark.parametrize("value", NOT_STORED)
def test_what_would_need_pickle_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"state\.deep\.1"):
        save_checkpoint(tmp_path / "c", {"deep": [0, value]})
    assert list(tmp_path.iterdir()) == []


def test_metadata_and_replacement(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"a": 1}, {"steps": 1})
    save_checkpoint(tmp_path / "c", {"a": 2}, {"steps": 2})
    assert load_checkpoint(tmp_path / "c") == ({"a": 2}, {"steps": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_latest_is_by_number_not_by_spelling(tmp_path: Path) -> None:
    for step in (900, 1000, 20):
        save_checkpoint(tmp_path / "checkpoints" / f"step-{step}", {})
    (tmp_path / "checkpoints" / ".step-5000.writing-x").mkdir()
    assert [p.name for p in checkpoint_folders(tmp_path)] == ["step-20", "step-900", "step-1000"]
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.name == "step-1000"
    assert latest_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize("name", [TENSORS, STATE, MANIFEST])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = save_checkpoint(tmp_path / "c", example_state())
    (folder / name).unlink()
    with pytest.raises(UsageError, match=name):
        load_checkpoint(folder)


def test_a_changed_byte_names_file_hashes_and_the_older_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoints" / "step-1", example_state())
    folder = save_checkpoint(tmp_path / "checkpoints" / "step-2", example_state())
    path = folder / TENSORS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load_checkpoint(folder)
    import hashlib

    assert str(path) in caught.value.found
    assert hashlib.sha256(bytes(data)).hexdigest() in caught.value.found
    assert len(caught.value.expected.split()[1]) == 64
    assert "step-1" in caught.value.hint


def mutate_and_load(tmp_path: Path, mutations: int, seed: int) -> None:
    """Damages one file at a time; every load must raise `UsageError`, and the repaired checkpoint must load again."""
    folder = save_checkpoint(tmp_path / "c", example_state(), {"steps": 12})
    whole = {name: (folder / name).read_bytes() for name in (TENSORS, STATE, MANIFEST)}
    rng = np.random.default_rng(seed)
    for _ in range(mutations):
        name = str(rng.choice(list(whole)))
        data = bytearray(whole[name])
        kind = rng.integers(3)
        if kind == 0:
            data = data[: rng.integers(len(data))]
        elif kind == 1:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        else:
            data[rng.integers(len(data)) :] = rng.bytes(int(rng.integers(1, 9)))
        if bytes(data) == whole[name]:
            continue
        (folder / name).write_bytes(data)
        with pytest.raises(UsageError, match=name):
            load_checkpoint(folder)
        (folder / name).write_bytes(whole[name])
    load_checkpoint(folder)


def test_no_damage_loads_silently(tmp_path: Path) -> None:
    mutate_and_load(tmp_path, 400, seed=0)


@pytest.mark.slow
def test_no_damage_loads_silently_at_length(tmp_path: Path) -> None:
    mutate_and_load(tmp_path, 2000, seed=1)


def test_every_bit_of_the_manifest_matters(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"a": np.zeros(1)})
    whole = (folder / MANIFEST).read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << (position % 8)
        (folder / MANIFEST).write_bytes(data)
        with pytest.raises(UsageError):
            load_checkpoint(folder)


SAVER = """
import sys
import numpy as np
from inscape.experiments.runs.storage.checkpoints import save_checkpoint
for step in range(10_000):
    save_checkpoint(f"{sys.argv[1]}/checkpoints/step-{step % 5}", {"step": step, "a": np.full(20_000, step)})
    print(step, flush=True)
"""


def kill_while_saving(tmp_path: Path, times: int) -> None:
    """Kills a process that saves all the time, five checkpoints in turn, each in the place of an older one.

    Whatever it had said was saved must load, whole; of the one it was at, the old or the new."""
    rng = np.random.default_rng(0)
    for trial in range(times):
        child = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        said = child.stdout.readline()  # one save is complete: the process is inside the loop
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        said += child.stdout.read()
        child.stdout.close()
        last = [int(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")][-1]
        for step in range(max(0, last - 4), last + 1):
            state, _ = load_checkpoint(tmp_path / "checkpoints" / f"step-{step % 5}")
            assert state["step"] in ((step, last + 1) if (last + 1) % 5 == step % 5 else (step,))
            assert (state["a"] == state["step"]).all()
        for folder in checkpoint_folders(tmp_path):
            load_checkpoint(folder)
        if trial % 4 == 3:
            shutil.rmtree(tmp_path / "checkpoints")


@pytest.mark.slow
def test_a_process_killed_while_saving_leaves_no_broken_checkpoint(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, 8)


@pytest.mark.slow
def test_a_process_killed_while_saving_leaves_no_broken_checkpoint_at_length(tmp_path: Path) -> None:
    kill_while_saving(tmp_path, 200)


def test_a_checkpoint_moved_aside_by_a_killed_process_is_found_and_replaced(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "checkpoints" / "step-3", {"step": 3})
    aside = folder.with_name(".step-3.replaced-0123abcd")
    folder.rename(aside)
    assert checkpoint_folders(tmp_path) == [aside]
    assert load_checkpoint(folder)[0] == {"step": 3}
    remove_leftovers(tmp_path)
    assert load_checkpoint(folder)[0] == {"step": 3}
    save_checkpoint(folder, {"step": 4})
    assert sorted(folder.parent.iterdir()) == [folder]
    assert load_checkpoint(folder)[0] == {"step": 4}


def test_an_unwritable_place_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write"):
        save_checkpoint(tmp_path / "file" / "step-1", {})
