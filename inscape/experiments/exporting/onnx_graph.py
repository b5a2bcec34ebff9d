"""An exported policy as an ONNX graph, written node by node: torch's own exporter is not needed."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from inscape.errors import UsageError
from inscape.experiments.exporting.policy import (
    Choice,
    Choices,
    Continuous,
    ExportedPolicy,
    OneHot,
    Scaled,
    Standardised,
    Table,
)
from inscape.world_models.networks.encoders.features import LIMIT
from inscape.world_models.networks.modules import PictureRows

OPSET, IR_VERSION = 17, 8
"""What onnxruntime of 2022 and later reads."""


def write_onnx(policy: ExportedPolicy, path: Path) -> Path:
    """Writes an ONNX file with inputs `observation` (and `action_mask`) and outputs `action` and `scores`.

    Args:
        policy: what to write.
        path: the file.

    Raises:
        UsageError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError(
            "ONNX files need the package onnx", expected="it installed", hint='pip install "inscape[onnx]"'
        ) from error
    model = _Graph(onnx).of(policy)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self, onnx: Any) -> None:
        self.onnx, self.nodes, self.constants = onnx, [], []  # type: ignore[var-annotated]
        self.number = 0

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        self.number += 1
        name = output or f"{kind.lower()}_{self.number}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Adds a constant and returns its name."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype)
        self.number += 1
        name = f"constant_{self.number}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def cast(self, value: str, dtype: str) -> str:
        return self.add("Cast", value, to=getattr(self.onnx.TensorProto, dtype))

    def of(self, policy: ExportedPolicy) -> Any:
        helper, space = self.onnx.helper, policy.observation_space
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(space.dtype or np.float32))
        inputs = [helper.make_tensor_value_info("observation", kind, ["batch", *(space.shape or ())])]
        value = self.add("Reshape", "observation", self.constant([-1, 1], np.int64)) if policy.single else (
            self.add("Flatten", "observation", axis=1)
        )  # fmt: skip
        for stage in policy.stages:
            value = self.stage(stage, value)
        examples = policy.examples()
        actions, scores = policy(*examples)
        if policy.masked:
            booleans = self.onnx.TensorProto.BOOL
            inputs.append(helper.make_tensor_value_info("action_mask", booleans, ["batch", scores.shape[1]]))
            worst = self.constant(-math.inf, scores.detach().numpy().dtype)
            value = self.add("Where", "action_mask", value, worst)
        self.add("Identity", value, output="scores")
        self.add("Identity", self.stage(policy.head, value), output="action")
        outputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(tensor.detach().numpy().dtype), ["batch", *tensor.shape[1:]]
            )
            for name, tensor in (("action", actions), ("scores", scores))
        ]
        graph = helper.make_graph(self.nodes, "policy", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, {"inscape": json.dumps(policy.about)})
        return model

    def stage(self, stage: nn.Module, value: str) -> str:
        """Adds what a stage does to a value and returns the result's name."""
        match stage:
            case OneHot():
                return self.one_hot(stage, value)
            case Scaled():
                rows = self.cast(value, "FLOAT")
                return self.add("Mul", rows, self.constant(stage.scale, np.float32))
            case Standardised():
                rows = self.add("Mul", self.cast(value, "DOUBLE"), self.constant(stage.scale, np.float64))
                rows = self.add("Sub", rows, self.constant(stage.mean))
                rows = self.add("Div", rows, self.constant(stage.deviation))
                low, high = self.constant(-LIMIT, np.float64), self.constant(LIMIT, np.float64)
                return self.cast(self.add("Clip", rows, low, high), "FLOAT")
            case Table():
                numbers = self.add("Sub", self.cast(value, "INT64"), self.constant(stage.first))
                steps = self.add("Mul", numbers, self.constant(stage.strides))
                index = self.add("ReduceSum", steps, self.constant([1], np.int64), keepdims=0)
                return self.add("Gather", self.constant(stage.values), index, axis=0)
            case nn.Linear():
                return self.add("Gemm", value, self.constant(stage.weight), self.constant(stage.bias), transB=1)
            case nn.Conv2d():
                return self.add(
                    "Conv", value, self.constant(stage.weight), self.constant(stage.bias), strides=list(stage.stride)
                )
            case nn.Tanh():
                return self.add("Tanh", value)
            case nn.ReLU():
                return self.add("Relu", value)
            case nn.Flatten():
                return self.add("Flatten", value, axis=1)
            case PictureRows():
                observed = self.add("Reshape", value, self.constant([-1, *stage.observed], np.int64))
                ordered = self.add("Transpose", observed, perm=list(stage.order))
                return self.add("Reshape", ordered, self.constant([-1, *stage.shape], np.int64))
            case Choice():
                best = self.add("ArgMax", value, axis=1, keepdims=0)
                return self.add("Add", best, self.constant(stage.start, np.int64))
            case Choices():
                return self.choices(stage, value)
            case Continuous():
                return self.continuous(stage, value)
        raise AssertionError(f"a stage {type(stage).__name__}")

    def one_hot(self, stage: OneHot, value: str) -> str:
        numbers = self.add("Sub", self.cast(value, "INT64"), self.constant(stage.start))
        columns, on_off = [], self.constant([0, 1], np.float32)
        for k, size in enumerate(stage.sizes):
            one = self.add("Gather", numbers, self.constant(k, np.int64), axis=1)
            columns.append(self.add("OneHot", one, self.constant(size, np.int64), on_off, axis=-1))
        return self.add("Concat", *columns, axis=1)

    def choices(self, stage: Choices, value: str) -> str:
        ends = np.cumsum([0, *stage.sizes])
        parts = []
        for low, high in pairwise(ends):
            bounds = [self.constant([end], np.int64) for end in (low, high)]
            part = self.add("Slice", value, *bounds, self.constant([1], np.int64))
            parts.append(self.add("ArgMax", part, axis=1, keepdims=1))
        actions = self.add("Add", self.add("Concat", *parts, axis=1), self.constant(stage.start))
        return self.add("Reshape", actions, self.constant([-1, *stage.shape], np.int64))

    def continuous(self, stage: Continuous, value: str) -> str:
        means = self.add("Tanh", value) if stage.squashed else value
        actions = self.add("Add", self.add("Mul", means, self.constant(stage.half_range)), self.constant(stage.centre))
        actions = self.add("Min", self.add("Max", actions, self.constant(stage.low)), self.constant(stage.high))
        if stage.whole:
            actions = self.add("Round", actions)
        return self.add("Reshape", actions, self.constant([-1, *stage.shape], np.int64))
