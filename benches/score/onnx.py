"""ONNX Runtime on the same LightGBM models and rows, through Python (a few microseconds of a call are Python's)."""

import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnxruntime
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

DIR = Path(sys.argv[1])
for name in ["100x31", "100x63", "500x63"]:
    rows = np.fromfile(DIR / f"{name}.rows").reshape(-1, 30).astype(np.float32)
    model = convert_lightgbm(lgb.Booster(model_file=str(DIR / f"{name}.txt")), initial_types=[("x", FloatTensorType([None, 30]))], zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output = [session.get_outputs()[1].name]
    for batch in (1, 16):
        best = float("inf")
        parts = [rows[i : i + batch] for i in range(0, 10_000, batch)]
        for _ in range(3):
            started = time.thread_time()
            for part in parts:
                session.run(output, {"x": part})
            best = min(best, (time.thread_time() - started) / 10_000)
        print(f"| {name} lightgbm | {batch} | ONNX Runtime, by Python | {best * 1e9:.0f} | | |")
