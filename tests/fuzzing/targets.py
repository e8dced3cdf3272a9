"""All kinds of files that zojax reads, by name."""

from __future__ import annotations

from collections.abc import Callable

from fuzzing import data_files, run_files, settings_files
from fuzzing.judge import Target

TARGETS: dict[str, Callable[[], Target]] = {
    "CSV, classes": data_files.csv_of_texts,
    "CSV, choices": data_files.csv_of_choices,
    "JSONL, classes": data_files.jsonl_of_texts,
    "JSONL, choices": data_files.jsonl_of_choices,
    "JSONL, answers": data_files.jsonl_of_answers,
    "JSONL, SQuAD": data_files.jsonl_of_squad,
    "JSONL, COPA": data_files.jsonl_of_copa,
    "Parquet": data_files.parquet_of_texts,
    "config.json of a run": settings_files.run_configuration,
    "task TOML": settings_files.task_file,
    "study TOML": settings_files.study_file,
    "runs.jsonl of a study": settings_files.finished_runs,
    "trajectory log": run_files.log,
    "trajectory log, torn": run_files.torn_log,
    "checkpoint": run_files.checkpoint,
    "metrics.jsonl of a run": run_files.metrics,
    "adapter folder": settings_files.adapter_folder,
}
