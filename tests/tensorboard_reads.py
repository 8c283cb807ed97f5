"""Whether TensorBoard reads what a run wrote: python tests/tensorboard_reads.py MINNOW

Trains with the program MINNOW in a folder of its own, goes on with the run, and reads its event files with
TensorBoard's reader, which must give the numbers of metrics.jsonl, each step once. Needs tensorboard.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SETTINGS = "data.image=8 data.train_size=96 data.test_size=40 model.name=mlp model.hidden=[16] train.batch=32 clip.tau=32"
RULE = "clip.rule=min clip.micro_batch=1 log.norms=true device=cpu train.epochs=0"
NOT_SHOWN = ("step", "epoch", "argmin")


def float32_equal(a, b):
    return a is not None and math.isclose(a, b, rel_tol=2**-23)


def train(program, run, *settings):
    arguments = [program, "train", *SETTINGS.split(), *RULE.split(), f"run.dir={run}", *settings]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check(run):
    """The number of values that agree."""
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0, "histograms": 0})
    reader.Reload()
    count = 0
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for tag in reader.Tags()["scalars"]:
        kind, name = tag.split("/")
        expected = [(r["step"], r[name]) for r in records if r["kind"] == {"train": "step"}.get(kind, kind)]
        found = [(e.step, e.value) for e in reader.Scalars(tag)]
        assert [s for s, _ in found] == [s for s, _ in expected], (tag, found, expected)
        assert all(float32_equal(a, b) for (_, a), (_, b) in zip(found, expected)), (tag, found, expected)
        count += len(found)
    numbers = [v for r in records for k, v in r.items() if isinstance(v, (int, float)) and k not in NOT_SHOWN]
    assert count == len(numbers), (count, len(numbers))
    steps = [r for r in records if r["kind"] == "step"]
    histograms = reader.Histograms("train/norms")
    assert [h.step for h in histograms] == [r["step"] for r in steps]
    for event, record in zip(histograms, steps):
        value = event.histogram_value
        assert value.num == sum(value.bucket) == len(record["norms"])
        assert value.min == min(record["norms"]) and value.max == max(record["norms"])
    return count + len(histograms)


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        train(program, run, "train.steps=8", "run.checkpoint_every=3")
        # As if it had been killed after its checkpoint of step 6 and two more steps.
        (run / "checkpoints" / "step-00000008.safetensors").unlink()
        train(program, run, "train.steps=12", "run.resume=true")
        assert len(list(run.glob("events.out.tfevents.*"))) == 2
        print(f"{check(run)} values read by TensorBoard agree with metrics.jsonl")


if __name__ == "__main__":
    main()
