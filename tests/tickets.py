"""Tickets of three queues, as a help desk has them."""

from __future__ import annotations

import csv
import random
from pathlib import Path

QUEUES = {
    "billing": (
        ["I was charged twice for", "Please refund the payment for", "The invoice is wrong for"],
        ["my plan", "the March bill", "order {n}", "my card", "the yearly fee"],
        ["I need my money back.", "The amount is too high.", "My bank shows two charges."],
    ),
    "delivery": (
        ["My parcel has not arrived with", "The driver lost", "Where is the shipment of"],
        ["the chairs", "order {n}", "the two boxes", "my package", "the lamp"],
        ["The tracking page shows nothing.", "It was due last week.", "The address was right."],
    ),
    "support": (
        ["I cannot log in to", "The app crashes when I open", "An error message shows up in"],
        ["my account", "the settings", "version {n}", "the new screen", "the web page"],
        ["I have restarted the phone.", "The password is right.", "It worked before the update."],
    ),
}
NAMES = ("Anna", "Ben", "Chris", "Dana", "Eve", "Finn", "Gus", "Hanna", "Ian", "Jo")


def write_tickets(path: Path, number: int, seed: int) -> Path:
    """Write a CSV of ``number`` tickets, each with an id, a text and its queue."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "ticket", "queue"])
        for i in range(number):
            queue = rng.choice([*QUEUES])
            begins, things, ends = QUEUES[queue]
            thing = rng.choice(things).format(n=rng.randint(1, 9999))
            text = f"{rng.choice(begins)} {thing}. {rng.choice(ends)} {rng.choice(NAMES)}"
            writer.writerow([i, text if rng.random() < 0.9 else text.lower(), queue])
    return path
