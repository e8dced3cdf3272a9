"""Files that are damaged in every way, and what reading them comes to."""
