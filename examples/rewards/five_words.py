def reward(completion: str, row: dict) -> float:
    """1 for five words, and less the farther their number is from that."""
    del row  # the prompt, and whatever else its line has
    words = len(completion.split())
    return min(words, 5) / max(words, 5)
