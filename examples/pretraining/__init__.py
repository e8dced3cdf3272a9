"""The parts of ``pretrain_mini.py``, one idea a module.

The text is read (``corpus``), given verdicts (``verdicts``), made into rows of tokens (``rows``,
``vocabulary``) and into batches (``batches``). The model starts from counts over the corpus
(``embedding``), is trained (``trainer``) and probed (``probes``). What the two models do
differently is in ``opt`` and ``roberta``, two modules with the same names in them.
"""
