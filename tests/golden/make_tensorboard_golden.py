"""Writes events.tfevents, which tests/train/tensorboard.cpp compares with: a run of three records by TensorBoard's writer.

    python tests/golden/make_tensorboard_golden.py [FOLDER]        (default: the folder of this script)

Needs tensorboard. The wall times are 1000, 1001, ...; the values are those of the test.
"""

import math
import pathlib
import sys

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

NORMS = [0.0, 0.5, 0.51, 3.0, 1e-300]


def histogram(values):
    """Buckets an eighth of an octave wide, the lowest of which takes all that is smaller."""
    places = [max(-400, math.floor(8 * math.log2(v))) if v > 0 else -400 for v in values]
    limits, counts = [], []
    for place in sorted(set(places)):
        if limits and place - 1 not in places:
            limits.append(2 ** (place / 8))
            counts.append(0)
        limits.append(2 ** ((place + 1) / 8))
        counts.append(places.count(place))
    return summary_pb2.HistogramProto(
        min=min(values),
        max=max(values),
        num=len(values),
        sum=sum(values),
        sum_squares=sum(v * v for v in values),
        bucket_limit=limits,
        bucket=counts,
    )


def scalars(prefix, **values):
    return [summary_pb2.Summary.Value(tag=prefix + name, simple_value=value) for name, value in sorted(values.items())]


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    norms = summary_pb2.Summary.Value(tag="train/norms", histo=histogram(NORMS))
    events = [
        event_pb2.Event(file_version="brain.Event:2"),
        event_pb2.Event(step=300, session_log=start),
        event_pb2.Event(
            step=300,
            summary=summary_pb2.Summary(value=scalars("train/", loss=2.25, lr=1e-3) + [norms] + scalars("train/", rho=0.5)),
        ),
        event_pb2.Event(step=301, summary=summary_pb2.Summary(value=scalars("eval/", loss=math.inf, top1=0.5, top5=1))),
    ]
    with open(folder / "events.tfevents", "wb") as file:
        writer = RecordWriter(file)
        for i, event in enumerate(events):
            event.wall_time = 1000 + i
            writer.write(event.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
