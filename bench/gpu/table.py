"""Joins the figures of one machine into a table.

    table.py FIGURES OUT      FIGURES: lines of JSON, what Figure.java and peer.py print behind `FIGURE`; of a figure that is
                              there twice the last counts. Writes OUT.md and OUT.csv, and prints the first.

Share: bytes that a step reads (weights; weights, keys and values) over its time and the best read ceiling of the run; of a
prompt its multiplications and additions over the best bf16 product's rate; of loading what plain copies of the same files
reach. Ratio: how many times as fast as vLLM. Above
batch 1: the step without its keys' and values' own time, over the step of batch 1.
"""
import csv
import json
import sys

ENGINES = ["penstock", "yardstick", "transformers", "vllm"]
FORMATS = ["BF16", "FP8_ROWS", "INT4"]
ROWS = ["decode", "first token", "mix of 500", "256 x 512/256", "busy", "start", "load, page cache", "load, disk"]
# Lines that others are read against.
BESIDE = ["idle", "dd, page cache", "dd, disk"]
COLUMNS = ["what", "weights", "unit", *ENGINES, "share, weights", "share, all", "ratio to vLLM", "above batch 1"]


def read(path):
    """Values by (row, format, batch, context, tokens) and engine; ceilings."""
    figures, ceilings = {}, {"ceiling": 0.0, "gemm": 0.0}
    machines = set()
    with open(path) as file:
        for line in file:
            figure = json.loads(line)
            if figure["row"] in ceilings:
                ceilings[figure["row"]] = max(ceilings[figure["row"]], figure["value"])
                if "machine" in figure:
                    machines.add(figure["machine"])
                continue
            # What vectors are is an engine's choice, to be compared all the same.
            weights = figure["format"].replace(", vectors FP8", "")
            key = (figure["row"], weights, figure.get("batch", 0), str(figure.get("context", "")), figure.get("tokens", 0))
            figures.setdefault(key, {})[figure["engine"]] = figure
    return figures, ceilings, machines


def order(key):
    row, weights, batch, context, tokens = key
    begin, _, end = context.partition("-")
    span = (int(begin or 0), int(end or 0))
    return (ROWS.index(row) if row in ROWS else len(ROWS), row, FORMATS.index(weights) if weights in FORMATS else len(FORMATS),
            span, batch, tokens)


def name(key):
    row, _, batch, context, tokens = key
    parts = [row]
    if batch:
        parts.append(f"batch {batch}")
    if context:
        parts.append(f"context {context}")
    if tokens:
        parts.append(f"{tokens} tokens")
    return ", ".join(parts)


def digits(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def table(figures, ceilings):
    lines = []
    for key in sorted(figures, key=order):
        row, weights, batch, context, _ = key
        if row in BESIDE:
            continue
        found = figures[key]
        ours = found.get("penstock")
        line = dict.fromkeys(COLUMNS, "")
        line.update({"what": name(key), "weights": weights, "unit": next(iter(found.values()))["unit"]})
        for engine in found:
            line[engine] = digits(found[engine]["value"])
        if ours:
            fill(line, key, ours, found.get("vllm"), figures, ceilings)
        lines.append(line)
    return lines


def fill(line, key, ours, vllm, figures, ceilings):
    row, weights, batch, context, _ = key
    value = ours["value"]
    if "weights" in ours and ceilings["ceiling"]:
        # Bytes a millisecond.
        most = ceilings["ceiling"] * 1e9
        line["share, weights"] = f"{100 * ours['weights'] / value / most:.1f} %"
        line["share, all"] = f"{100 * (ours['weights'] + ours['kv']) / value / most:.1f} %"
        alone = figures.get((row, weights, 1, context, 0), {}).get("penstock")
        if alone and batch > 1:
            line["above batch 1"] = f"{(value - ours['kv'] / most) / alone['value']:.2f}"
    if "flops" in ours and ceilings["gemm"]:
        line["share, all"] = f"{100 * ours['flops'] / value / 1e9 / ceilings['gemm']:.1f} %"
    if row == "busy":
        step = figures.get(("idle", weights, batch, context, 0), {}).get("penstock")
        if step:
            line["what"] = f"device idle in a decode step, batch {batch}"
            line["unit"] = "share"
            line["penstock"] = f"{100 * (1 - value / step['value']):.1f} %"
    if row.startswith("load"):
        plain = figures.get((row.replace("load", "dd"), weights, 0, "", 0), {}).get("dd")
        if plain:
            line["share, all"] = f"{100 * value / plain['value']:.1f} % of dd's {digits(plain['value'])}"
    if vllm:
        faster = value / vllm["value"] if ours["unit"].endswith("/s") else vllm["value"] / value
        line["ratio to vLLM"] = f"{faster:.2f}"


def main(path, out):
    figures, ceilings, machines = read(path)
    lines = table(figures, ceilings)
    with open(out + ".csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    used = [column for column in COLUMNS if any(line[column] for line in lines)]
    text = [f"{', '.join(sorted(machines)) or 'a machine without a name'}: read ceiling {ceilings['ceiling']:.3f} TB/s, "
            f"bf16 products {ceilings['gemm']:.0f} TFLOP/s; Qwen2.5-7B's shape, random weights.", ""]
    if len(machines) > 1:
        text.insert(0, "**These figures are of several machines.**")
    text.append("| " + " | ".join(used) + " |")
    text.append("| " + " | ".join("---" for _ in used) + " |")
    text += ["| " + " | ".join(line[column] or "-" for column in used) + " |" for line in lines]
    with open(out + ".md", "w") as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


main(sys.argv[1], sys.argv[2])
