"""ONNX Runtime on the same LightGBM models and rows, through Python: one thread, its CPU time. What a call of Python costs is
measured by a model of one tree; take it off to compare. Rows are f32, scores probabilities."""

import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnxruntime
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

DIR = Path(sys.argv[1])
ROUNDS = 7


def session_of(booster):
    model = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, 30]))], zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


for name in ["100x31", "100x63", "500x63"]:
    rows = np.fromfile(DIR / f"{name}.rows").reshape(-1, 30).astype(np.float32)
    booster = lgb.Booster(model_file=str(DIR / f"{name}.txt"))
    session = session_of(booster)
    one_tree = session_of(lgb.Booster(model_str=booster.model_to_string(num_iteration=1)))
    output = [session.get_outputs()[1].name]
    expected = 1 / (1 + np.exp(-np.fromfile(DIR / f"{name}.txt.raw")))
    off = np.abs(session.run(output, {"x": rows})[0][:, 1] - expected).max()
    assert off < 1e-3, f"{name}: these are other scores, {off} off"
    for batch in (1, 16):
        parts = [rows[i : i + batch] for i in range(0, len(rows), batch)]
        best = {"one tree by Python": float("inf"), "by Python": float("inf")}
        for _ in range(ROUNDS):
            for what, of in zip(best, (one_tree, session)):
                started = time.thread_time()
                for part in parts:
                    of.run(output, {"x": part})
                best[what] = min(best[what], (time.thread_time() - started) / len(rows))
        for what, seconds in best.items():
            print(f"| {name} lightgbm | {batch} | ONNX Runtime, {what} | {seconds * 1e9:.0f} | | |", flush=True)
