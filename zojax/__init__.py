"""Zeroth-order fine-tuning for JAX."""
