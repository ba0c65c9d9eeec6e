"""The trainer's commands as a person or a script meets them."""

import csv
import io
import os
import tempfile
import unittest
import xml.dom.minidom

from harness import baseline_file, main, model_file, program


class Trainer(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="isolde-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def assert_refused(self, run, code, word):
        self.assertEqual(run.returncode, code, run.stderr)
        self.assertIn(word, run.stderr)

    def test_the_baseline_has_its_shape(self):
        with open(baseline_file(), encoding="utf-8") as file:
            rows = list(csv.reader(file))

        self.assertEqual(rows[0], ["temperature", "humidity", "sound"])
        self.assertEqual(len(rows), 2001)
        for column, mean in enumerate((60, 35, 75)):
            values = [float(row[column]) for row in rows[1:]]
            self.assertAlmostEqual(sum(values) / len(values), mean, delta=1)

    def test_the_same_data_options_and_seed_make_the_same_file(self):
        files = []
        for name in ("one.json", "two.json"):
            path = self.path(name)
            run = program(
                *("trainer", "train", "--baseline", baseline_file(), "--model", path),
                environment={"SOURCE_DATE_EPOCH": "1700000000"},
            )
            self.assertEqual(run.returncode, 0, run.stderr)
            with open(path, "rb") as file:
                files.append(file.read())

        self.assertEqual(files[0], files[1])

    def test_score_answers_row_by_row_in_order(self):
        rows = self.path(
            "rows.csv", "sound,temperature,humidity\n60,45,50\n140,120,5\n120,95,20\n75,60,\n"
        )

        run = program("trainer", "score", "--model", model_file(), "--input", rows)

        self.assertEqual(run.returncode, 0, run.stderr)
        answer = list(csv.reader(io.StringIO(run.stdout)))
        self.assertEqual(answer[0], ["anomaly_score", "is_anomaly"])
        self.assertAlmostEqual(float(answer[1][0]), 0.05, delta=0.035)
        self.assertAlmostEqual(float(answer[2][0]), 0.245, delta=0.035)
        self.assertEqual([row[1] for row in answer[1:]], ["0", "1", "1", ""])
        self.assertEqual(answer[4][0], "")

    def test_evaluate_prints_the_figures(self):
        text = "temperature,humidity,sound,label\n"
        text += "60,35,75,0\n62,33,71,0\n58,36,77,0\n120,5,140,1\n"

        run = program(
            "trainer", "evaluate", "--model", model_file(), "--input", self.path("l.csv", text)
        )

        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"roc_auc +1\b")

    def test_evaluate_draws_and_knows_events_in_time(self):
        rows = [f"2026-11-23T12:00:{i:02d}Z,{'120,5,140,1' if 20 <= i < 30 else '60,35,75,0'}" for i in range(50)]
        series = self.path("s.csv", "timestamp,temperature,humidity,sound,label\n" + "\n".join(rows) + "\n")
        picture = self.path("<&>.svg")

        run = program("trainer", "evaluate", "--model", model_file(), "--input", series, "--plot", picture)

        self.assertEqual(run.returncode, 0, run.stderr)
        for line in ("events 1", "event_recall 1", "detection_delay_s 0", "false_alarm_episodes 0", "smoothed_window 10",
                     "smoothed_events 1", "smoothed_roc_auc "):  # fmt: skip
            self.assertIn("\n" + line, run.stdout)
        document = xml.dom.minidom.parse(picture)
        text = " ".join(node.firstChild.data for node in document.getElementsByTagName("text"))
        for words in ("ROC, area 1.000", "threshold", "2026-11-23 12:00", "labelled anomalous", "s.csv"):
            self.assertIn(words, text)
        nowhere = program("trainer", "evaluate", "--model", model_file(), "--input", series, "--plot", "/nowhere/p.svg")
        self.assert_refused(nowhere, 73, "/nowhere/p.svg")

    def test_show_names_features_and_threshold(self):
        run = program("trainer", "show", "--model", model_file())

        self.assertEqual(run.returncode, 0, run.stderr)
        for word in ("temperature", "humidity", "sound", "threshold"):
            self.assertIn(word, run.stdout)

    def test_what_is_not_there_exits_66(self):
        model = self.path("m.json")
        for words in (
            ("train", "--baseline", "/nowhere.csv", "--model", model),
            ("score", "--model", "/nowhere.json", "--input", baseline_file()),
            ("score", "--model", model_file(), "--input", "/nowhere.csv"),
            ("evaluate", "--model", model_file(), "--input", "/nowhere.csv"),
            ("show", "--model", "/nowhere.json"),
        ):
            with self.subTest(words):
                self.assert_refused(program("trainer", *words), 66, "/nowhere")

    def test_bad_data_exits_65(self):
        model = self.path("m.json")
        good = "1,2\n" * 5
        for what, text in (
            ("empty", ""),
            ("only a header", "a,b\n"),
            ("ragged", "a,b\n1,2\n3\n"),
            ("text", "a,b\n1,x\n"),
            ("not finite", "a,b\n1,1e999\n"),
            ("constant", "a,b\n" + good),
            ("reserved", "anomaly_score,b\n1,2\n"),
        ):
            with self.subTest(what):
                baseline = self.path("bad.csv", text)
                run = program("trainer", "train", "--baseline", baseline, "--model", model)
                self.assert_refused(run, 65, "bad.csv")
                self.assertFalse(os.path.exists(model))
        run = program("trainer", "show", "--model", self.path("broken.json", "{}"))
        self.assert_refused(run, 65, "broken.json")

    def test_a_baseline_that_knows_of_anomalies_exits_65(self):
        text = "a,b,label\n" + "".join(f"{i},{i * i % 97},{int(i == 50)}\n" for i in range(400))
        baseline = self.path("labelled.csv", text)

        run = program("trainer", "train", "--baseline", baseline, "--model", self.path("m.json"))

        self.assert_refused(run, 65, "label")

    def test_wrong_words_exit_64(self):
        for words in ([], ["fly"], ["train", "--trees", "many"], ["train", "--what"], ["score"]):
            with self.subTest(words):
                self.assertEqual(program("trainer", *words).returncode, 64)

    def test_a_model_that_cannot_be_written_exits_73(self):
        run = program(
            *("trainer", "train", "--baseline", baseline_file(), "--model", "/proc/none/m.json")
        )

        self.assert_refused(run, 73, "/proc/none")


if __name__ == "__main__":
    main()
