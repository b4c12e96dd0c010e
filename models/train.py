"""Trains the demo models, `ctr` (XGBoost) and `fraud` (LightGBM), and writes complete artifacts.

    models/train --version 2026-12-01.1     both, from generated events, into models/<name>/<version>/
    models/train --replace                  the shipped ones anew; another version has other events
    models/train --model ctr --data clicks.csv --version 2026-12-01.1

A version that is there is not overwritten without --replace. A CSV has one column per source of the model (`device.geo.country`, ...; empty is missing) and `label`, 0 or 1, in order
of time. The last fifth is held out: it fits the calibration and gives the golden rows.
"""

import argparse
import csv
import hashlib
import math
import re
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COUNTRIES = ["USA", "DEU", "GBR", "FRA", "JPN", "BRA", "IND", "CAN"]
# Twelve golden rows are taken from the last fifth.
LEAST_ROWS = 60
OSES = ["ios", "android", "windows", "macos", "linux"]

# Column, source, transform and what belongs to it: what manifest.toml says. What differs between the candidates of a
# request comes last.
CTR = [
    ("country", "device.geo.country", "category", {"categories": COUNTRIES}),
    ("os", "device.os", "category", {"categories": OSES}),
    ("device_type", "device.devicetype", "category", {"categories": [1, 2, 3, 4, 5, 6, 7]}),
    ("w", "imp.banner.w", "numeric", {}),
    ("h", "imp.banner.h", "numeric", {}),
    ("position", "imp.banner.pos", "numeric", {}),
    ("rewarded", "imp.rwdd", "numeric", {}),
    ("hour", "clock.hour", "numeric", {}),
    ("weekend", "clock.day_of_week", "in", {"values": [5, 6]}),
    ("site", "site.domain", "hash", {"bits": 6}),
    ("creative_type", "creative.type", "category", {"categories": ["banner", "video", "audio", "native"]}),
    ("advertiser", "campaign.advertiser", "hash", {"bits": 6}),
]
FRAUD = [
    ("amount", "amount.value", "log1p", {}),
    ("night", "clock.hour", "in", {"values": [0, 1, 2, 3, 4, 5, 6]}),
    ("weekend", "clock.day_of_week", "in", {"values": [5, 6]}),
    ("card_country", "payment_method.card.country", "category", {"categories": ["US", "DE", "GB", "FR", "JP", "BR", "IN", "CA"]}),
    ("funding", "payment_method.card.funding", "category", {"categories": ["credit", "debit", "prepaid"]}),
    ("customer_count_1d", "window:customer_count_1d", "numeric", {}),
    ("customer_count_7d", "window:customer_count_7d", "numeric", {}),
    ("customer_avg_7d", "window:customer_avg_7d", "log1p", {}),
    ("terminal_count_7d", "window:terminal_count_7d", "numeric", {}),
    ("terminal_fraud_7d", "window:terminal_fraud_7d", "numeric", {}),
]


def fold(a, b):
    product = a * b
    return (product & (2**64 - 1)) ^ (product >> 64)


def hash64(seed, data):
    """As src/scoring/hash.rs."""
    h = seed ^ (len(data) * 0x9E3779B97F4A7C15 % 2**64)
    for i in range(0, len(data), 8):
        h = fold(h ^ int.from_bytes(data[i : i + 8], "little"), 0xD6E8FEB86659FD93)
    return fold(h ^ 0xA0761D6478BD642F, 0xE7037ED1A0B428DB)


def transform(name, kind, args, values):
    """One column of f64 from a source's values, None where missing."""
    if kind in ("category", "in"):
        # As gavel does, texts in any case.
        fold = lambda value: value.lower() if isinstance(value, str) else value
        places = {fold(value): place for place, value in enumerate(args.get("categories", args.get("values")))}
        values = [fold(value) for value in values]
        if kind == "in":
            return np.array([float(value in places) for value in values])
        return np.array([float(places[value]) if value in places else math.nan for value in values])
    if kind == "hash":
        seed = hash64(0, name.encode())
        buckets = {value: float(hash64(seed, value.encode()) >> (64 - args["bits"])) for value in set(values) - {None}}
        return np.array([buckets.get(value, math.nan) for value in values])
    numbers = np.array([math.nan if value is None else float(value) for value in values])
    return np.log1p(numbers) if kind == "log1p" else numbers * args.get("scale", 1.0)


def clicks(r, count):
    """A made-up market: who clicks on what, and how often."""
    pick = lambda options, weights=None: [options[i] for i in r.choice(len(options), count, p=weights)]
    sites = [f"site{i}.example" for i in range(40)] + ["example.com", "news.example"]
    sizes = [(300, 250), (320, 50), (728, 90), (160, 600), (300, 600)]
    size = pick(sizes)
    events = {
        "device.geo.country": pick(COUNTRIES + ["AUS"]), "device.os": pick(OSES), "device.devicetype": pick([1.0, 2.0, 4.0, 5.0]),
        "imp.banner.w": [float(w) for w, _ in size], "imp.banner.h": [float(h) for _, h in size],
        "imp.banner.pos": pick([0.0, 1.0, 3.0, None]), "imp.rwdd": pick([0.0, 1.0], [0.9, 0.1]),
        "clock.hour": pick([float(h) for h in range(24)]), "clock.day_of_week": pick([float(d) for d in range(7)]),
        "site.domain": pick(sites), "creative.type": pick(["banner", "video", "native"], [0.7, 0.2, 0.1]),
        "campaign.advertiser": pick(["acme", "globex", "initech", "umbrella", "hooli"]),
    }
    score = np.full(count, -4.6)
    score += np.array([0.6 * (o in ("ios", "android")) for o in events["device.os"]])
    score += np.array([0.4 * (w * h >= 75000) for w, h in size])
    score += np.array([{0.0: 0.0, 1.0: 0.5, 3.0: -0.4, None: 0.0}[p] for p in events["imp.banner.pos"]])
    score += np.array([0.8 * v for v in events["imp.rwdd"]])
    score += np.array([0.3 * math.sin((h - 14) / 24 * 2 * math.pi + 1.5) for h in events["clock.hour"]])
    score += np.array([0.35 * ((hash64(1, s.encode()) >> 61) - 3.5) / 3.5 for s in events["site.domain"]])
    score += np.array([{"banner": 0.0, "video": 0.7, "native": 0.3}[t] for t in events["creative.type"]])
    score += np.array([0.4 * (a == "acme") * (c == "USA") for a, c in zip(events["campaign.advertiser"], events["device.geo.country"])])
    return events, (r.random(count) < 1 / (1 + np.exp(-score))).astype(float)


def payments(r, count):
    """Made-up payments: some cards are being tried out, some terminals are compromised."""
    pick = lambda options, weights=None: [options[i] for i in r.choice(len(options), count, p=weights)]
    tried, compromised = r.random(count) < 0.01, r.random(count) < 0.02
    amount = np.round(np.exp(r.normal(8, 1, count)) * np.where(tried, 2.5, 1.0))
    day = r.poisson(np.where(tried, 6, 1.5)) + 1.0
    events = {
        "amount.value": list(amount), "clock.hour": pick([float(h) for h in range(24)]), "clock.day_of_week": pick([float(d) for d in range(7)]),
        "payment_method.card.country": pick(["US", "DE", "GB", "FR", "JP", "BR", "IN", "CA", None]),
        "payment_method.card.funding": pick(["credit", "debit", "prepaid", None], [0.5, 0.4, 0.08, 0.02]),
        "window:customer_count_1d": list(day), "window:customer_count_7d": list(day + r.poisson(9, count)),
        "window:customer_avg_7d": list(np.round(np.exp(r.normal(8, 0.6, count)))),
        "window:terminal_count_7d": list(r.poisson(20, count) + 0.0),
        "window:terminal_fraud_7d": list(np.where(compromised, r.poisson(4, count), r.random(count) < 0.03) + 0.0),
    }
    score = -7.5 + 7.0 * tried + 6.0 * compromised + 0.8 * (np.array(events["clock.hour"]) <= 6) * tried
    score = score + 0.6 * np.array([f == "prepaid" for f in events["payment_method.card.funding"]])
    return events, (r.random(count) < 1 / (1 + np.exp(-score))).astype(float)


def os_name(text):
    """What gavel makes of `device.os`, which is free text: one of the names of targeting."""
    heads = "ipados:ios iphone:ios ios android windows macos osx:macos macintosh:macos linux ubuntu:linux chrome:chromeos cros:chromeos"
    heads += " tvos appletv:tvos roku tizen webos fireos firetv:fireos amazonfire:fireos"
    short = re.sub("[ _-]", "", text.lower())
    return next((head.split(":")[-1] for head in heads.split() if short.startswith(head.split(":")[0])), "other")


def read(path, spec):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    number = lambda kind, args: kind in ("numeric", "log1p", "bucket") or any(isinstance(v, (int, float)) for v in args.get("categories", args.get("values", [])))
    cell = lambda text, as_number: None if text == "" else float(text) if as_number else text
    events = {source: [cell(row[source], number(kind, args)) for row in rows] for _, source, kind, args in spec}
    if "device.os" in events:
        events["device.os"] = [os and os_name(os) for os in events["device.os"]]
    return events, np.array([float(row["label"]) for row in rows])


def platt(raw, y):
    """a and b of 1 / (1 + exp(a * raw + b)), by Newton's method."""
    a, b = -1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(a * raw + b))
        g = np.array([np.sum((y - p) * raw), np.sum(y - p)])
        w = p * (1 - p)
        h = np.array([[np.sum(w * raw * raw), np.sum(w * raw)], [np.sum(w * raw), np.sum(w)]]) + 1e-9 * np.eye(2)
        a, b = np.array([a, b]) - np.linalg.solve(h, g)
    return float(a), float(b)


def toml(value):
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, str):
        return '"' + value + '"'
    return "nan" if value != value else repr(value)


def write(folder, name, version, kind, file, spec, calibration, golden):
    lines = [f'name = "{name}"', f'version = "{version}"', f'kind = "{kind}"', f'file = "{file}"']
    lines += [f'sha256 = "{hashlib.sha256((folder / file).read_bytes()).hexdigest()}"', 'output = "probability"']
    for column, source, how, args in spec:
        lines += ["", "[[features]]", f'name = "{column}"', f'source = "{source}"', f'transform = "{how}"']
        lines += [f"{key} = {toml(value)}" for key, value in args.items()]
    lines += ["", "[calibration]"] + [f"{key} = {toml(value)}" for key, value in calibration.items()]
    for features, raw, prediction in golden:
        lines += ["", "[[golden]]", f"features = {toml([float(v) for v in features])}", f"raw = {toml(float(raw))}", f"prediction = {toml(float(prediction))}"]
    (folder / "manifest.toml").write_text("\n".join(lines) + "\n")


def auc(y, score):
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(y))
    ranks[order] = np.arange(1, len(y) + 1)
    positive = y == 1
    return (ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2) / (positive.sum() * (~positive).sum())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["ctr", "fraud"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--version", default="2026-11-20.1")
    parser.add_argument("--replace", action="store_true", help="overwrite a version that is there")
    args = parser.parse_args()
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", args.version):
        sys.exit(f"--version {args.version}: needs 1 to 64 letters, digits, `.`, `_` or `-`, and not to begin with `.`")
    for name in [args.model] if args.model else ["ctr", "fraud"]:
        if (HERE / name / args.version).exists() and not args.replace:
            sys.exit(f"{HERE / name / args.version} is there: a version never changes. Give another --version, or --replace it")
    seed = 20261120 if args.version == parser.get_default("version") else zlib.crc32(args.version.encode())
    for name, spec, generate in (("ctr", CTR, clicks), ("fraud", FRAUD, payments)):
        if args.model not in (None, name):
            continue
        events, y = read(args.data, spec) if args.data else generate(np.random.default_rng(seed), 60_000)
        if len(y) < LEAST_ROWS or len(set(y[: len(y) * 4 // 5])) != 2 or len(set(y[len(y) * 4 // 5 :])) != 2:
            sys.exit(f"{args.data}: {len(y)} rows are too few: at least {LEAST_ROWS}, with both labels, 0 and 1, in the last fifth too")
        x = np.stack([transform(column, how, params, events[source]) for column, source, how, params in spec], axis=1)
        cut = len(y) * 4 // 5
        names = [column for column, *_ in spec]
        kinds = [how for _, _, how, _ in spec]
        # It is there whole or not at all.
        folder = HERE / name / f".new-{args.version}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == "ctr":
            import xgboost as xgb

            types = ["c" if kind in ("category", "hash") else "q" for kind in kinds]
            matrix = lambda x, y=None: xgb.DMatrix(x, label=y, feature_names=names, feature_types=types, enable_categorical=True)
            params = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1, "tree_method": "hist", "nthread": 1, "seed": 1, "max_cat_to_onehot": 4}
            xgb.train(params, matrix(x[:cut], y[:cut]), 60).save_model(folder / "model.ubj")
            model = xgb.Booster(model_file=str(folder / "model.ubj"))
            raw = model.predict(matrix(x[cut:]), output_margin=True)
            a, b = platt(raw.astype(float), y[cut:])
            prediction = [1.0 / (1.0 + math.exp(a * float(v) + b)) for v in raw]
            kind, file, calibration = "xgboost", "model.ubj", {"kind": "platt", "a": a, "b": b}
        else:
            import lightgbm as lgb

            params = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 200, "num_threads": 1, "deterministic": True, "seed": 1, "verbose": -1}
            categorical = [i for i, kind in enumerate(kinds) if kind in ("category", "hash")]
            dataset = lgb.Dataset(x[:cut], y[:cut], feature_name=names, categorical_feature=categorical)
            lgb.train(params, dataset, 60).save_model(folder / "model.txt")
            model = lgb.Booster(model_file=str(folder / "model.txt"))
            raw, prediction = model.predict(x[cut:], raw_score=True), model.predict(x[cut:])
            kind, file, calibration = "lightgbm", "model.txt", {"kind": "none"}
        rows = list(range(0, len(y) - cut, (len(y) - cut) // 12))[:12]
        golden = [(x[cut + i], raw[i], prediction[i]) for i in rows]
        nothing = x[cut : cut + 1] * math.nan
        if name == "fraud":
            golden.append((nothing[0], model.predict(nothing, raw_score=True)[0], model.predict(nothing)[0]))
        write(folder, name, args.version, kind, file, spec, calibration, golden)
        place = HERE / name / args.version
        if place.exists():
            shutil.rmtree(place)
        folder.rename(place)
        print(place)
        print(f"  held out: AUC {auc(y[cut:], np.array(prediction)):.3f}, mean prediction {np.mean(prediction):.5f}, mean label {y[cut:].mean():.5f}")


main()
