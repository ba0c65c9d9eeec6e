"""Another model takes over without a restart; a broken one does not."""

import csv
import io
import json
import os
import shutil
import signal

from harness import NORMAL, SystemTest, baseline_file, main, model_file, model_id, program, reading, time_text, until

TOPIC = "factory/press-1/reading"


class Model(SystemTest):
    def setUp(self):
        super().setUp()
        self.path = self.agent.settings["model.path"]
        self.sent = 0

    def install(self, source):
        """As the trainer does it: the file is whole at every moment."""
        shutil.copy(source, self.path + ".new")
        os.replace(self.path + ".new", self.path)

    def break_file(self, text):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)

    def model_of_next_row(self, sensor):
        sensor.publish(TOPIC, reading(self.sent, time_text(self.sent), **NORMAL))
        self.sent += 1
        self.agent.wait_received(self.sent)
        return self.agent.history()[0]["model"]

    def reloads(self, failures=False):
        name = "isolde_model_reload_failures_total" if failures else "isolde_model_reloads_total"
        return self.agent.metrics()[name]

    def test_post_reload_puts_another_model_in_force(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.assertEqual(self.model_of_next_row(sensor), model_id(model_file()))
        self.install(model_file(seed=43))

        status, _, answer = self.agent.request("POST", "/reload")

        self.assertEqual((status, answer["status"]), (200, "reloaded"))
        self.assertEqual(self.model_of_next_row(sensor), model_id(model_file(seed=43)))
        self.assertNotEqual(model_id(model_file()), model_id(model_file(seed=43)))

    def test_a_machine_has_a_model_of_its_own(self):
        folder = os.path.join(self.folder, "machines")
        os.mkdir(folder)
        own = os.path.join(folder, "press-2.json")
        shutil.copy(model_file(seed=43), own)
        self.agent.settings["model.machines"] = folder
        self.agent.start()
        sensor = self.client("sensor")
        usual = model_id(model_file())

        def models_of_rows():
            for machine in ("press-1", "press-2"):
                self.sent += 1
                sensor.publish(f"factory/{machine}/reading", reading(self.sent, time_text(self.sent), **NORMAL))
            self.agent.wait_received(self.sent)
            return {row["machine"]: row["model"] for row in self.agent.history()[:2]}

        self.assertEqual(models_of_rows(), {"press-1": usual, "press-2": model_id(model_file(seed=43))})
        self.assertEqual(self.agent.get("/machines/press-2/model")[2]["id"], model_id(model_file(seed=43)))
        self.assertIn("1 machine with a model of its own", json.dumps(self.agent.get("/health")[2]))

        with open(own, "w", encoding="utf-8") as file:
            file.write("{}")
        status, _, answer = self.agent.request("POST", "/reload")
        self.assertEqual(status, 422)
        self.assertIn("press-2.json", answer["detail"])
        self.assertEqual(models_of_rows()["press-2"], model_id(model_file(seed=43)))

        os.remove(own)
        self.assertEqual(self.agent.request("POST", "/reload")[0], 200)
        self.assertEqual(models_of_rows(), {"press-1": usual, "press-2": usual})

    def test_sighup_puts_another_model_in_force(self):
        self.agent.start()
        sensor = self.client("sensor")
        before = self.reloads()
        self.install(model_file(seed=43))

        self.agent.process.send(signal.SIGHUP)

        until("the reload", lambda: self.reloads() == before + 1)
        self.assertEqual(self.model_of_next_row(sensor), model_id(model_file(seed=43)))

    def test_a_broken_model_is_refused_and_the_old_one_stays(self):
        self.agent.start()
        sensor = self.client("sensor")
        with open(model_file(), encoding="utf-8") as file:
            whole = file.read()
        cases = {
            "empty": "",
            "no JSON": "model",
            "another object": "{}",
            "cut in the middle": whole[: len(whole) // 2],
            "cut at the end": whole.rstrip()[:-1],
        }
        for failures, (what, text) in enumerate(cases.items(), 1):
            with self.subTest(what):
                self.break_file(text)
                status, head, answer = self.agent.request("POST", "/reload")

                self.assertEqual(status, 422)
                self.assert_holds(head["Content-Type"], "application/problem+json")
                self.assert_holds(answer["detail"], "model.json")
                self.assertEqual(self.reloads(failures=True), failures)
                self.assertEqual(self.model_of_next_row(sensor), model_id(model_file()))

        os.remove(self.path)
        self.assertEqual(self.agent.request("POST", "/reload")[0], 422)
        self.assertEqual(self.agent.get("/health")[0], 200)

    def test_sighup_with_a_broken_model_is_refused_as_well(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.break_file("{}")

        self.agent.process.send(signal.SIGHUP)

        until("the refusal", lambda: self.reloads(failures=True) == 1)
        self.assertEqual(self.model_of_next_row(sensor), model_id(model_file()))

    def test_without_a_model_the_agent_runs_says_so_and_takes_one_later(self):
        os.remove(self.path)
        self.agent.launch()
        body = self.agent.wait_health(503)
        self.assertEqual(body["checks"]["model"]["status"], "fail")
        self.assertEqual(self.agent.request("POST", "/predict", json.dumps(NORMAL))[0], 503)

        self.install(model_file())
        self.assertEqual(self.agent.request("POST", "/reload")[0], 200)

        self.agent.wait_health(200)
        self.assertEqual(self.agent.request("POST", "/predict", json.dumps(NORMAL))[0], 200)
        self.assertEqual(self.model_of_next_row(self.client("sensor")), model_id(model_file()))

    def test_rows_of_two_models_keep_all_their_features_in_csv(self):
        other = os.path.join(self.folder, "other.csv")
        with open(baseline_file(), encoding="utf-8") as file:
            text = file.read()
        with open(other, "w", encoding="utf-8") as file:
            file.write(text.replace("temperature,humidity,sound", "vibration,current,sound"))
        self.agent.start()
        sensor = self.client("sensor")
        sensor.publish(TOPIC, reading(0, time_text(0), **NORMAL))
        self.agent.wait_received(1)
        run = program("trainer", "train", "--baseline", other, "--model", self.path)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(self.agent.request("POST", "/reload")[0], 200)
        sensor.publish(TOPIC, reading(1, time_text(1), vibration=50, current=10, sound=70))
        self.agent.wait_received(2)

        _, _, text = self.agent.get("/history?anomalies=0", headers={"Accept": "text/csv"})

        newest, oldest = csv.DictReader(io.StringIO(text))
        self.assertEqual((newest["vibration"], newest["temperature"]), ("50", ""))
        self.assertEqual((oldest["vibration"], oldest["temperature"]), ("", "60.5"))

    def test_a_request_is_carried_out_once(self):
        """Unacknowledged, the broker would deliver it again to every new connection."""
        self.agent.start()
        name = "isolde/isolde-agent/{}/{}".format
        asker = self.client("asker", name("response", "+"))
        asker.publish(name("request", "reload"), '{"transaction":7}')
        asker.wait("the answer", lambda all: len(all) == 1)
        asker.publish(name("request", "health"), '{"transaction":8}')
        asker.wait("another, after the first was acknowledged", lambda all: len(all) == 2)

        self.agent.kill()
        self.agent.start()
        asker.publish(name("request", "health"), '{"transaction":9}')
        answers = asker.wait(
            "the last answer", lambda all: any(json.loads(m.payload)["transaction"] == 9 for m in all)
        )

        told = [json.loads(answer.payload)["transaction"] for answer in answers]
        self.assertEqual(told.count(7), 1, told)
        self.assertEqual(self.reloads(), 0)

    def test_two_hundred_reloads_under_load_mix_no_models(self):
        self.agent.start()
        sensor = self.client("sensor")
        known = {model_id(model_file()), model_id(model_file(seed=43))}
        for round_ in range(200):
            self.install(model_file(seed=42 + round_ % 2))
            for _ in range(20):
                sensor.publish(TOPIC, reading(self.sent, time_text(self.sent), **NORMAL))
                self.sent += 1
            self.assertEqual(self.agent.request("POST", "/reload")[0], 200)
        self.agent.wait_received(self.sent)

        scores = {(row["model"], row["anomaly_score"]) for row in self.agent.history()}

        self.assertEqual({model for model, _ in scores}, known)
        self.assertEqual(len(scores), 2, "one score a model")


if __name__ == "__main__":
    main()
