"""Sums up what ncu prints as CSV (metric gpu__time_duration.sum): kernels by name, microseconds in all, how many.

    kernels.py [FORMAT BATCH CONTEXT]      with these also the sum as a figure for table.py
"""
import collections
import csv
import json
import sys

FACTORS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1.0, "usecond": 1.0, "ms": 1e3, "msecond": 1e3}
total, count = collections.Counter(), collections.Counter()
lines = [line for line in sys.stdin if line.startswith('"')]
for row in csv.DictReader(lines):
    name = row["Kernel Name"][:90]
    total[name] += float(row["Metric Value"].replace(",", "")) * FACTORS[row["Metric Unit"]]
    count[name] += 1
for name, micros in total.most_common():
    print(f"{micros:10.1f} us {count[name]:5d}  {name}")
print(f"{sum(total.values()):10.1f} us in all")
if len(sys.argv) > 1 and total:
    print("FIGURE " + json.dumps(dict(engine="penstock", row="busy", format=sys.argv[1], batch=int(sys.argv[2]), context=sys.argv[3],
                                      value=sum(total.values()) / 1e3, unit="ms")))
