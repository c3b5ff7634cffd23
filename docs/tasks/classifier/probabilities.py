"""Print the probability of each label for the first messages that were measured by likelihood."""

import json
from math import exp
from pathlib import Path

for line in Path("runs/classifier/eval/classification/samples.jsonl").read_text(encoding="utf-8").splitlines()[:3]:
    sample = json.loads(line)
    shares = {label: exp(value) for label, value in sample["log_probs"].items()}
    told = ", ".join(f"{label} {share / sum(shares.values()):.2f}" for label, share in shares.items())
    print(f"{sample['prompt'][-1]['content']}  {told}")
