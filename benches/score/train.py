"""Models and rows for the bench, and what the peers compile of them: `train.py FOLDER`.

Four models in LightGBM and in XGBoost (30 features, 5 % missing; the categorical one has 10 features of 50 categories),
10,000 distinct rows as f64, and the libraries' raw scores. lleaves and tl2cgen compile the LightGBM models.
"""

import subprocess
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb

OUT = Path(sys.argv[1])
MODELS = [("100x31", 100, 31, False), ("100x63", 100, 63, False), ("500x63", 500, 63, False), ("categorical", 100, 63, True)]


def data(r, rows, categorical):
    x = r.normal(size=(rows, 30)).astype(np.float32).astype(np.float64)
    if categorical:
        x[:, 20:] = r.integers(0, 50, (rows, 10))
    x[r.random(x.shape) < 0.05] = np.nan
    z = np.nan_to_num(x)
    score = z[:, :10] @ np.linspace(1, 0.1, 10) + z[:, 10] * z[:, 11] + np.sin(3 * z[:, 12]) + 0.5 * (z[:, 13] > 0.5) * z[:, 14]
    if categorical:
        score = score + sum(((z[:, c] * 7 + c) % 5 < 2) * 0.6 for c in range(20, 30))
    return x, (score + r.normal(size=rows) > 0.5).astype(float)


def train(name, trees, leaves, categorical):
    r = np.random.default_rng(7)
    x, y = data(r, 30_000, categorical)
    rows, _ = data(r, 10_000, categorical)
    rows.tofile(OUT / f"{name}.rows")
    params = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.1, "min_data_in_leaf": 20, "num_threads": 1, "verbose": -1}
    model = lgb.train(params, lgb.Dataset(x, y, categorical_feature=list(range(20, 30)) if categorical else []), trees)
    model.save_model(OUT / f"{name}.txt")
    model.predict(rows, raw_score=True).tofile(OUT / f"{name}.txt.raw")
    kinds = ["q"] * 20 + ["c" if categorical else "q"] * 10
    matrix = lambda x, y=None: xgb.DMatrix(x, label=y, feature_types=kinds, enable_categorical=True)
    params = {"objective": "binary:logistic", "max_leaves": leaves, "max_depth": 0, "grow_policy": "lossguide", "tree_method": "hist", "eta": 0.1, "nthread": 1, "max_cat_to_onehot": 4}
    model = xgb.train(params, matrix(x, y), trees)
    model.save_model(OUT / f"{name}.json")
    model.predict(matrix(rows), output_margin=True).astype(np.float64).tofile(OUT / f"{name}.json.raw")


def compile_peers(name):
    import lleaves
    import tl2cgen
    import treelite

    started = time.time()
    built, library = OUT / f"{name}.lleaves.o", OUT / f"{name}.lleaves.so"
    lleaves.Model(model_file=str(OUT / f"{name}.txt")).compile(cache=str(built), raw_score=True)
    subprocess.run(["gcc", "-shared", "-o", library, built, "-lm"], check=True)
    print(f"{name}: lleaves took {time.time() - started:.0f} s")
    started = time.time()
    model = treelite.frontend.load_lightgbm_model(OUT / f"{name}.txt")
    tl2cgen.export_lib(model, toolchain="gcc", libpath=OUT / f"{name}.tl2cgen.so", params={"parallel_comp": 20})
    print(f"{name}: tl2cgen took {time.time() - started:.0f} s")


OUT.mkdir(parents=True, exist_ok=True)
for name, *how in MODELS:
    if not (OUT / f"{name}.json.raw").exists():
        train(name, *how)
    if not (OUT / f"{name}.tl2cgen.so").exists():
        compile_peers(name)
