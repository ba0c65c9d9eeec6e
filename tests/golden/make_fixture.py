#!/usr/bin/env python3
"""Makes forest.json and probes.csv beside this script: a forest grown by scikit-learn in our model
file format, and rows with the scores scikit-learn gives them, -decision_function with
contamination="auto". tests/unit/golden_test.c holds our scores against them to 1e-7.

Made once with Debian 12's python3-sklearn (scikit-learn 1.2.1, numpy 1.24.2):
    /usr/bin/python3 tests/golden/make_fixture.py

scikit-learn compares in float32, so every value is a multiple of 1/64 below 2^18: exact in both.
Two of the four columns are coarse, so that some leaves keep several equal rows. The paths of
scikit-learn keep a node's children anywhere; ours stand side by side, so nodes are renumbered.
"""
import hashlib
import json
import os

import numpy as np
import sklearn
from sklearn.ensemble import IsolationForest

TREES, SAMPLE, ROWS, SEED = 50, 256, 2000, 7
NAMES = ["temperature", "humidity", "speed", "state"]
HERE = os.path.dirname(os.path.abspath(__file__))


def exact(x):
    return np.round(x * 64) / 64


def healthy(random, rows):
    temperature = random.normal(60, 10, rows)
    humidity = 90 - temperature + random.normal(0, 3, rows)
    speed = random.integers(0, 5, rows) * 10.0
    state = random.integers(0, 2, rows).astype(float)
    steady = random.random(rows) < 0.3
    temperature[steady], humidity[steady] = 55, 35
    return exact(np.column_stack([temperature, humidity, speed, state]))


def probes(random, training):
    inside = healthy(random, 150)
    around = exact(random.uniform([-50, -50, -30, -2], [200, 150, 90, 4], (200, 4)))
    far = exact(random.choice([-1, 1], (50, 4)) * random.uniform(1e3, 2e5, (50, 4)))
    edges = np.array([[0, 0, 0, 0], [-0.015625, 35, 20, 1], [200000, 35, 20, 1], [55, 35, 1e5, 0]])
    return np.vstack([training[:96], inside, around, far, edges])


def columns(forest):
    out = {"root": [], "feature": [], "split": [], "left": [], "rows": []}
    for tree in (e.tree_ for e in forest.estimators_):
        first = len(out["feature"])
        out["root"].append(first)
        number, queue = {0: first}, [0]
        for node in queue:  # grows while we walk it: breadth first
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            leaf = left < 0
            out["feature"].append(-1 if leaf else int(tree.feature[node]))
            out["split"].append(0.0 if leaf else float(tree.threshold[node]))
            out["rows"].append(int(tree.n_node_samples[node]))
            if leaf:
                out["left"].append(0)
                continue
            number[left] = first + len(queue)
            number[right] = number[left] + 1
            queue += [left, right]
            out["left"].append(number[left])
        assert [number[n] for n in queue] == list(range(first, first + len(queue)))
    return out


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def model_text(forest, training, scores):
    parts = ['{"schema":"isolde-model/1"', '"detector":"forest"',
             '"threshold":%r' % float(np.quantile(scores, 0.99)), '"quantile":0.99',
             '"trained":' + compact({"rows": ROWS, "seed": str(SEED), "time": "2026-11-23T00:00:00.000Z",
                                     "program": "scikit-learn " + sklearn.__version__,
                                     "data_sha256": hashlib.sha256(training.tobytes()).hexdigest()})]
    features = [compact({"name": name, "unit": "", "low": None, "high": None, "mean": x.mean(),
                         "sd": x.std(), "median": np.median(x), "normal_low": np.quantile(x, 0.01),
                         "normal_high": np.quantile(x, 0.99)})
                for name, x in zip(NAMES, training.T)]
    parts.append('"features":[' + ",\n".join(features) + "]")
    parts.append('"score_quantiles":' + compact([float(np.quantile(scores, q / 20)) for q in range(21)]))
    arrays = ['"%s":%s' % (name, compact(column)) for name, column in columns(forest).items()]
    parts.append('"forest":{"trees":%d,"sample_size":%d,\n' % (TREES, SAMPLE) + ",\n".join(arrays) + "}")
    text = ",\n".join(parts)
    return text + ',\n"sha256":"' + hashlib.sha256(text.encode()).hexdigest() + '"}\n'


def main():
    random = np.random.default_rng(SEED)
    training = healthy(random, ROWS)
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLE, contamination="auto",
                             random_state=SEED).fit(training)
    rows = probes(random, training)
    assert (rows == rows.astype(np.float32)).all() and (training == training.astype(np.float32)).all()
    scores = -forest.decision_function(rows)
    with open(os.path.join(HERE, "forest.json"), "w") as out:
        out.write(model_text(forest, training, -forest.decision_function(training)))
    with open(os.path.join(HERE, "probes.csv"), "w") as out:
        out.write(",".join(NAMES) + ",score\n")
        for row, score in zip(rows, scores):
            out.write(",".join(repr(float(v)) for v in [*row, score]) + "\n")


if __name__ == "__main__":
    main()
