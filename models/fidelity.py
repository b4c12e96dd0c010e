"""Trains a matrix of small models and writes what the libraries themselves score.

Run by `models/make-fidelity` in one environment per library version; writes `<case>.{json,ubj,txt}`, the model as the library
saved it, and `<case>.csv`: rows of features, then the library's raw scores and predictions, in shortest decimals (an f32
is written as the f64 that equals it), empty for missing. Some LightGBM files are edited (thresholds, missing types) to
reach what training rarely makes; the library then loads and scores the edited file like any other.
"""

import csv
import json
import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
OUT = Path(sys.argv[1])
SEED = 20261120
NAMES = ["x0", "x1", "x2", "x3", "c0", "c1"]
CATEGORICAL = [4, 5]


def data(seed, rows=400):
    r = np.random.default_rng(seed)
    x = np.round(r.normal(size=(rows, 6)), 2)
    x[:, 1] = np.where(r.random(rows) < 0.4, 0.0, x[:, 1])
    x[:, 2] = np.round(x[:, 2] * 1000.0) * 0.1
    x[:, 4] = r.integers(0, 9, rows)
    x[:, 5] = r.integers(0, 70, rows)
    x[r.random(x.shape) < 0.08] = np.nan
    z = np.nan_to_num(x)
    score = z[:, 0] + 0.5 * (z[:, 1] > 0.3) - 0.004 * z[:, 2] + (z[:, 4] % 3 == 1) - 0.7 * (z[:, 5] % 7 < 3) + np.isnan(x[:, 3])
    return x, score + 0.3 * r.normal(size=rows)


def target(kind, score):
    if kind == "binary":
        return (score > 0.3).astype(float)
    if kind == "class":
        return np.digitize(score, [-0.3, 0.8]).astype(float)
    if kind == "unit":
        return 1.0 / (1.0 + np.exp(-score))
    if kind == "count":
        return np.floor(np.exp(np.clip(score, -2, 2)))
    if kind == "positive":
        return np.exp(np.clip(score, -2, 2)) + 0.1
    if kind == "rank":
        return np.clip(np.round(score + 1), 0, 4)
    return score


def edge_rows(thresholds, infinite, thorough):
    """Rows at and beside thresholds, all missing, zeros and nearly zeros, odd categories."""
    base = [0.3, 0.0, 12.0, -0.4, 3.0, 20.0]
    rows = [[np.nan] * 6, [0.0] * 6, [-0.0] * 6, [1e9, 1e9, 1e9, 1e9, 8.0, 69.0], [-1e9, -1e9, -1e9, -1e9, 0.0, 0.0]]
    for column in range(4):
        for value in (1e-35, -1e-35, 1e-36, -1e-36, 2e-35, -2e-35, 1e-40, float(np.float32(1e-35)), -float(np.float32(1e-35)), np.nan):
            if thorough or value in (1e-35, 1e-36) or value != value:
                rows.append([value if i == column else b for i, b in enumerate(base)])
        for at in thresholds.get(column, [])[: 6 if thorough else 2]:
            beside = [at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)]
            if thorough:
                beside += [float(np.nextafter(np.float32(at), np.float32(-np.inf))), float(np.nextafter(np.float32(at), np.float32(np.inf)))]
            rows += [[value if i == column else b for i, b in enumerate(base)] for value in beside]
        if infinite:
            rows += [[value if i == column else b for i, b in enumerate(base)] for value in (np.inf, -np.inf)]
    for column in CATEGORICAL:
        for value in (np.nan, -1.0, -0.5, -7.0, 2.7, 31.0, 32.0, 63.0, 64.0, 500.0, 16777215.0, 16777216.0, 3e9, 1e18, 0.0, 1.0, 1e-36):
            rows.append([value if i == column else b for i, b in enumerate(base)])
    return np.array(rows)


def cell(value):
    value = float(value)
    return "" if value != value else repr(value)


def write(case, x, raw, prediction):
    raw, prediction = (np.asarray(v).reshape(len(x), -1) for v in (raw, prediction))
    with open(OUT / f"{case}.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(NAMES + [f"raw{i}" for i in range(raw.shape[1])] + [f"prediction{i}" for i in range(prediction.shape[1])])
        for features, r, p in zip(x, raw, prediction):
            out.writerow([cell(v) for v in features] + [cell(v) for v in r] + [cell(v) for v in p])


def xgboost_cases():
    import xgboost as xgb

    version = tuple(int(part) for part in xgb.__version__.split(".")[:2])
    tag = "xgb" + "".join(map(str, version))
    new = version >= (3, 2)

    def matrix(x, label=None, categorical=False, group=None):
        kind = {}
        if categorical:
            kind = {"feature_types": ["q"] * 4 + ["c"] * 2, "enable_categorical": True}
        m = xgb.DMatrix(x, label=label, **kind)
        if group is not None:
            m.set_group(group)
        return m

    def case(name, kind, params, rounds=6, categorical=False, ubj=False, thorough=False):
        x, score = data(SEED + len(name))
        group = [40] * 10 if kind == "rank" else None
        y = target(kind, score)
        if kind == "multi":
            y = np.stack([score, -score * 0.5], axis=1)
        rounds = rounds if new else min(rounds, 6)
        params = dict({"max_depth": 3, "eta": 0.4, "tree_method": "hist", "seed": 1, "nthread": 1}, **params)
        if params.get("booster") == "gblinear":
            for key in ("max_depth", "tree_method"):
                params.pop(key)
        booster = xgb.train(params, matrix(x, y, categorical, group), rounds)
        path = OUT / f"{tag}-{name}.{'ubj' if ubj else 'json'}"
        booster.save_model(path)
        loaded = xgb.Booster(model_file=str(path))
        thresholds = {}
        if not ubj and params.get("booster") != "gblinear":
            model = json.load(open(path))["learner"]["gradient_booster"]
            for tree in model.get("gbtree", model)["model"]["trees"]:
                kinds = tree.get("split_type", [0] * len(tree["left_children"]))
                for left, feature, at, sort in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"], kinds):
                    if left != -1 and not sort:
                        thresholds.setdefault(feature, []).append(float(np.float32(at)))
        rows = np.concatenate([edge_rows(thresholds, False, thorough), data(SEED + 7, 64 if thorough else 24)[0]])
        m = matrix(rows, None, categorical)
        write(path.stem, rows, loaded.predict(m, output_margin=True), loaded.predict(m))

    case("reg", "value", {"objective": "reg:squarederror"}, 20, thorough=new)
    case("binary", "binary", {"objective": "binary:logistic", "base_score": 0.3}, 18, thorough=new)
    case("poisson", "count", {"objective": "count:poisson"})
    case("softprob", "class", {"objective": "multi:softprob", "num_class": 3}, 7)
    case("pairwise", "rank", {"objective": "rank:pairwise"})
    dart = {"booster": "dart", "rate_drop": 0.4, "skip_drop": 0.0}
    case("dart", "binary", dict(dart, objective="binary:logistic", base_score=0.37), 18)
    if version >= (1, 6):
        case("onehot", "binary", {"objective": "binary:logistic", "max_cat_to_onehot": 100}, 8, categorical=True)
    if version >= (1, 7):
        case("partition", "binary", {"objective": "binary:logistic", "max_cat_to_onehot": 2}, 18, categorical=True, thorough=new)
    if version in ((1, 6), (2, 1)) or new:
        case("ubj", "binary", {"objective": "binary:logistic"}, 8, ubj=True)
    if version < (3, 2) and version != (2, 0):
        return
    case("softmax", "class", {"objective": "multi:softmax", "num_class": 3})
    case("base", "binary", {"objective": "binary:logistic", "base_score": 0.123456789}, 4)
    case("hinge", "binary", {"objective": "binary:hinge"})
    case("logitraw", "binary", {"objective": "binary:logitraw"})
    case("gamma", "positive", {"objective": "reg:gamma"})
    case("tweedie", "count", {"objective": "reg:tweedie", "tweedie_variance_power": 1.3})
    case("ndcg", "rank", {"objective": "rank:ndcg"})
    case("linear", "binary", {"objective": "binary:logistic", "booster": "gblinear", "updater": "coord_descent"}, 5)
    if not new:
        return
    case("clamp", "binary", {"objective": "binary:logistic", "eta": 60, "lambda": 0, "min_child_weight": 0, "base_score": 0.5}, 8)
    case("large", "value", {"objective": "reg:squarederror", "max_depth": 9, "min_child_weight": 0, "lambda": 0}, 3, ubj=True)
    case("logistic", "unit", {"objective": "reg:logistic"})
    case("absolute", "value", {"objective": "reg:absoluteerror"})
    case("huber", "value", {"objective": "reg:pseudohubererror"})
    case("map", "binary", {"objective": "rank:map"})
    case("cox", "positive", {"objective": "survival:cox"})
    case("squaredlog", "positive", {"objective": "reg:squaredlogerror"})
    case("quantile", "value", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]})
    case("forest", "binary", {"objective": "binary:logistic", "num_parallel_tree": 4, "subsample": 0.5}, 3)
    case("exact", "value", {"objective": "reg:squarederror", "tree_method": "exact", "gamma": 1.0, "max_depth": 5})
    case("dartclass", "class", dict(dart, objective="multi:softprob", num_class=3, base_score=0.7), 6)
    case("dartreg", "value", dict(dart, objective="reg:squarederror"), 12, ubj=True)
    case("linearclass", "class", {"objective": "multi:softprob", "num_class": 3, "booster": "gblinear", "updater": "coord_descent"}, 4)
    case("targets", "multi", {"objective": "reg:squarederror"})
    case("classcat", "class", {"objective": "multi:softprob", "num_class": 3, "max_cat_to_onehot": 4}, 6, categorical=True, ubj=True)


def rescore(case):
    """Scores an old version's model by this one: where they differ, today's library is right."""
    import xgboost as xgb

    with open(OUT / f"{case}.csv") as file:
        table = list(csv.reader(file))
    rows = np.array([[float(v) if v else np.nan for v in line[: len(NAMES)]] for line in table[1:]])
    loaded = xgb.Booster(model_file=str(OUT / f"{case}.json"))
    matrix = xgb.DMatrix(rows, feature_types=loaded.feature_types, enable_categorical=True)
    write(case, rows, loaded.predict(matrix, output_margin=True), loaded.predict(matrix))


def lightgbm_cases():
    import lightgbm as lgb

    version = tuple(int(part) for part in lgb.__version__.split(".")[:2])
    tag = "lgb" + "".join(map(str, version))
    new = version >= (4, 0)

    def case(name, kind, params, rounds=6, categorical=False, edit=None, thorough=False, infinite=True):
        x, score = data(SEED + len(name))
        if params.pop("inf", False):
            x[::7, 0] = np.inf
            x[3::7, 0] = -np.inf
        rounds = rounds if new else min(rounds, 8)
        params = dict({"num_leaves": 7, "learning_rate": 0.3, "verbose": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1.0, "deterministic": True}, **params)
        pre = {"zero_as_missing", "use_missing", "linear_tree", "max_bin", "verbose", "min_data_in_leaf", "num_threads"}
        dataset = lgb.Dataset(x, target(kind, score), feature_name=NAMES, categorical_feature=CATEGORICAL if categorical else [], params={k: v for k, v in params.items() if k in pre})
        if kind == "rank":
            dataset.set_group([40] * 10)
        booster = lgb.train(params, dataset, rounds)
        path = OUT / f"{tag}-{name}.txt"
        text = booster.model_to_string()
        if edit:
            # Their byte counts would no longer hold.
            text = re.sub(r"tree_sizes=.*\n", "", edit(text))
        text = text[: text.index("end of trees")] + "end of trees\n\n" + text[text.index("parameters:") :]
        path.write_text(text)
        loaded = lgb.Booster(model_file=str(path))
        thresholds = {}
        lists = lambda key: (line.split() for line in re.findall(rf"^{key}=(.*)$", text, re.M))
        for features, ats, kinds in zip(lists("split_feature"), lists("threshold"), lists("decision_type")):
            for feature, at, decision in zip(features, ats, kinds):
                if not int(decision) & 1 and np.isfinite(float(at)):
                    thresholds.setdefault(int(feature), []).append(float(at))
        rows = np.concatenate([edge_rows(thresholds, infinite, thorough), data(SEED + 7, 64 if thorough else 24)[0]])
        write(path.stem, rows, loaded.predict(rows, raw_score=True), loaded.predict(rows))

    def missing_types(text):
        """Gives the splits all missing types and default directions in turn."""
        kinds = [0, 2, 4, 6, 8, 10]
        turn = iter(range(10**6))
        swap = lambda m: "decision_type=" + " ".join(d if int(d) & 1 else str(kinds[next(turn) % 6]) for d in m[1].split())
        return re.sub(r"decision_type=(.*)", swap, text)

    def odd_thresholds(text):
        """Infinite ones, and ones that f32 or the library's idea of zero cannot tell from their neighbours."""
        odd = ["inf", "-inf", "1e-36", "-1e-36", "1.0000000180025095e-35", "-1.0000000180025095e-35", "0", "0.1", "0.30000001192092901", "1e300", "-1e300", "1.7976931348623157e+308"]
        turn = iter(range(10**6))
        swap = lambda m: "threshold=" + " ".join(t if next(turn) % 3 else odd[next(turn) % len(odd)] for t in m[1].split())
        return missing_types(re.sub(r"threshold=(.*)", swap, text))

    case("regression", "value", {"objective": "regression"}, 20, thorough=new)
    case("binary", "binary", {"objective": "binary", "sigmoid": 0.7}, 18)
    case("multiclass", "class", {"objective": "multiclass", "num_class": 3})
    case("categorical", "binary", {"objective": "binary", "max_cat_to_onehot": 3}, 18, categorical=True, thorough=new)
    case("zero", "value", {"objective": "regression", "zero_as_missing": True}, 8, thorough=new)
    case("nomissing", "value", {"objective": "regression", "use_missing": False}, 8)
    case("rf", "binary", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.7}, 9)
    case("lambdarank", "rank", {"objective": "lambdarank"})
    if version >= (3, 3):
        case("linear", "value", {"objective": "regression", "linear_tree": True, "linear_lambda": 0.1}, 8, categorical=True, thorough=new)
    if not new:
        return
    case("large", "value", {"objective": "regression", "num_leaves": 100, "min_data_in_leaf": 1}, 3, categorical=True)
    case("types", "value", {"objective": "regression"}, 20, edit=missing_types, thorough=True)
    case("odd", "value", {"objective": "regression"}, 20, edit=odd_thresholds, thorough=True)
    case("inf", "value", {"objective": "regression", "inf": True}, 12)
    case("linearrf", "value", {"objective": "regression", "linear_tree": True}, 5, edit=missing_types)
    case("sqrt", "positive", {"objective": "regression", "reg_sqrt": True})
    case("ova", "class", {"objective": "multiclassova", "num_class": 3, "sigmoid": 1.4}, categorical=True)
    case("rfclass", "class", {"objective": "multiclass", "num_class": 3, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, 5)
    case("dart", "binary", {"objective": "binary", "boosting": "dart", "drop_rate": 0.4}, 12)
    case("goss", "binary", {"objective": "binary", "data_sample_strategy": "goss"})
    case("stump", "value", {"objective": "regression", "min_data_in_leaf": 300}, 3)
    for objective, kind in [("regression_l1", "value"), ("huber", "value"), ("fair", "value"), ("quantile", "value"), ("mape", "positive"), ("poisson", "count"), ("gamma", "positive"), ("tweedie", "count"), ("cross_entropy", "unit"), ("cross_entropy_lambda", "unit"), ("rank_xendcg", "rank")]:
        case(objective, kind, {"objective": objective}, 4)
    for objective in ("regression_l1", "fair", "quantile", "mape"):
        case(f"{objective}-sqrt", "positive", {"objective": objective, "reg_sqrt": True}, 4)


def main():
    if len(sys.argv) > 2:
        return [rescore(case) for case in sys.argv[2:]]
    OUT.mkdir(parents=True, exist_ok=True)
    libraries = {"xgboost": xgboost_cases, "lightgbm": lightgbm_cases}
    found = [library for library in libraries if find_spec(library)]
    if not found:
        sys.exit("neither xgboost nor lightgbm is installed: models/make-fidelity sets both up")
    for library in found:
        libraries[library]()
        print(library, "written")


main()
