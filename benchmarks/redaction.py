"""How fast values are found in texts, and what holding one costs: `benchmarks.redaction`."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Sequence

from rotator.domain.redaction import HeldValues, Scrubber

HELD = 200
LINE = {
    "event": "machine updated",
    "worker": "worker-1234",
    "rotation": "01M8825KFYSD970D06A6FMV9EG",
    "app": "web",
    "machine": "97dae39d643c25",
    "level": "info",
    "logger": "rotator.engine.rollouts.machine",
    "timestamp": "2026-11-25T08:00:00.123456Z",
    "step": "deliver",
}
PROSE = "rotator replaces each one on schedule, puts the new value where it is used, and restarts"


def megabytes_a_second(work: Callable[[str], str], texts: Sequence[str]) -> float:
    """The best of five rounds."""
    size, best = sum(map(len, texts)), 0.0
    for _ in range(5):
        begun = time.process_time()
        for text in texts:
            work(text)
        best = max(best, size / (time.process_time() - begun) / 1e6)
    return best


def main() -> None:
    """Print the table."""
    held = HeldValues(secrets.token_bytes(32))
    values = [secrets.token_urlsafe(32) for _ in range(HELD)]
    begun = time.process_time()
    for value in values:
        held.hold(value)
    print(f"to hold a value: {(time.process_time() - begun) / HELD * 1e6:.0f} µs, once")
    print(f"windows of {HELD} values: {len(held)}")
    dice = random.Random(1)
    texts = {
        "log lines as JSON": [json.dumps(LINE) for _ in range(5000)],
        "prose": [PROSE] * 5000,
        "one long word": [dice.randbytes(3000).hex() for _ in range(100)],
        "nothing but values": [f"it was {value}" for value in values],
    }
    scrubber = Scrubber(held)
    for name, each in texts.items():
        print(f"{name:20} {megabytes_a_second(scrubber.text, each):6.1f} MB/s")


if __name__ == "__main__":
    main()
