"""What was measured, kept as JSON: docs/performance.json for figures that count, build/bench/quick.json for --quick."""

import json
import os
from pathlib import Path

from machine import ROOT

KEPT = ROOT / "docs" / "performance.json"
QUICK = ROOT / "build" / "bench" / "quick.json"


def load(path):
    """bench name -> its last result."""
    return json.loads(Path(path).read_text()) if Path(path).exists() else {}


def rounded(value):
    """Six digits that matter: more would be noise in every diff."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def save(path, results):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(rounded(results), indent=1, sort_keys=True) + "\n")
    os.replace(fresh, path)
