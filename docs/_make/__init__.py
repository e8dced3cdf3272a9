"""Makes of ``benchmarks/results`` what pages show: tables, figures and numbers within sentences."""
