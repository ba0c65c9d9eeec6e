"""Models swapped a hundred times a second while readings are scored: every row's score is the one
of the model it names, bit for bit."""

import os
import shutil
import subprocess
import threading
import time

from faults import BIN, FaultTest, figure, main, scaled, until
from harness import model_file, model_id, program


class Reload(FaultTest):
    def test_every_score_is_its_models(self):
        other = os.path.join(self.folder, "other.json")
        baseline = os.path.join(self.folder, "baseline.csv")
        program("simulator", "baseline", "--output", baseline)
        program("trainer", "train", "--baseline", baseline, "--model", other, "--seed", "7", "--detector", "forest")
        models = {model_id(model_file()): model_file(), model_id(other): other}
        self.assertEqual(len(models), 2)
        self.agent.start()
        flood = self.flood(rate=3000)
        reloads, stop = [0], threading.Event()

        def swap():
            target = self.agent.settings["model.path"]
            while not stop.wait(0.01):
                shutil.copy(list(models.values())[reloads[0] % 2], target + ".new")
                os.replace(target + ".new", target)
                assert self.agent.request("POST", "/reload")[0] == 200
                reloads[0] += 1

        thread = threading.Thread(target=swap, daemon=True)
        thread.start()
        time.sleep(scaled(3, 20))
        stop.set()
        thread.join()
        flood.stop()
        self.settle(flood.published)
        self.check()

        items = self.agent.history()
        wrong = 0
        for name, path in models.items():
            mine = [item for item in items if item["model"] == name]
            self.assertGreater(len(mine), 0)
            csv = os.path.join(self.folder, "rows.csv")
            with open(csv, "w", encoding="utf-8") as file:
                file.write("temperature,humidity,sound\n")
                for item in mine:
                    file.write(f"{item['temperature']!r},{item['humidity']!r},{item['sound']!r}\n")
            scores = program("trainer", "score", "--model", path, "--input", csv).stdout.splitlines()[1:]
            wrong += sum(float(line.split(",")[0]) != item["anomaly_score"] for line, item in zip(scores, mine))
            self.assertEqual(len(scores), len(mine))
        figure(f"{reloads[0]} reloads, {len(items)} rows scored again, {wrong} differ")
        self.assertEqual(wrong, 0)
        self.assertGreater(reloads[0], 20)


if __name__ == "__main__":
    main()
