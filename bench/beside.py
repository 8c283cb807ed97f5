#!/usr/bin/env python3
"""Time bench_step and a PyTorch program of the same work in turn, and print ours beside theirs.

    python3 bench/beside.py build/release/bench_step ../shared/peers/vit_step.py [--python PYTHON] [--rounds N]
    python3 bench/beside.py build/release/bench_step bench/resnet_step.py --model resnet20_group \\
        --rows plain,loop,vmap,opacus

The peer is any program that takes --rows, --rounds, --batch, --image, --micro and --device and prints one JSON line a
row with "row" and "ms" (median). Both get the whole machine, one after the other, N times; every figure is the median
over the rounds, so that a machine whose speed drifts treats both alike.
"""
import argparse
import json
import os
import statistics
import subprocess


def ours(program, model, image, device):
    command = [program, f"--benchmark_filter=^step/{model}/B:64/image:{image}/b:(0|1|8)/wave:0",
               "--benchmark_format=json"]
    environment = {**os.environ, "MINNOW_TEST_DEVICE": device}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    names = {"b:0": "minnow plain", "b:8": "minnow clipped b=8", "b:1": "minnow clipped b=1"}
    rows = {}
    for run in json.loads(out)["benchmarks"]:
        key = next(part for part in run["name"].split("/") if part.startswith("b:"))
        rows[names[key]] = run
    return rows


def theirs(python, peer, image, device, rows):
    # A step takes milliseconds on a GPU, where more of them cost nothing.
    rounds = "3" if device == "cpu" else "10"
    command = [python, peer, "--batch", "64", "--image", str(image), "--rounds", rounds, "--rows", rows, "--micro", "8",
               "--device", device]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [json.loads(line) for line in out.splitlines()]
    for row in found:
        if "error" in row:
            print(f"peer {row['row']}: {row['error']}")
    return {"peer " + row["row"]: row for row in found if "ms" in row}


def place(device):
    if device == "cpu":
        return f"{os.cpu_count()} cores"
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]


def both(a):
    return {**ours(a.program, a.model, a.image, a.device), **theirs(a.python, a.peer, a.image, a.device, a.rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("peer")
    parser.add_argument("--python", default="python3", help="the interpreter that has PyTorch")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where both run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="vit", help="as bench_step names it, and the peer computes it: vit or resnet20_group")
    parser.add_argument("--image", type=int, default=32, help="side of the pictures: 32, or 56 of the vit")
    parser.add_argument("--rows", default="plain,loop,vmap,opacus,ghost", help="rows of the peer")
    a = parser.parse_args()
    times, extra = {}, {}
    for _ in range(a.rounds):
        for name, row in both(a).items():
            times.setdefault(name, []).append(row["ms"])
            extra.setdefault(name, []).append((row.get("ratio"), row.get("memory")))
    plain = statistics.median(times["peer plain"])
    print(f"{a.model}, {place(a.device)}, B 64, {a.image}x{a.image} pictures, {a.rounds} rounds in turn")
    print(f"{'':22}{'ms':>9}{'/ own plain':>13}{'/ peer plain':>14}{'memory':>9}")
    for name, values in times.items():
        ms = statistics.median(values)
        ratio = statistics.median(r or 1 for r, _ in extra[name])
        memory = [m for _, m in extra[name] if m]
        shown = f"{statistics.median(memory):9.2f}" if memory else ""
        print(f"{name:22}{ms:9.2f}{ratio:13.2f}{ms / plain:14.2f}{shown}")


if __name__ == "__main__":
    main()
