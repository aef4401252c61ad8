"""What the parties of a job agreed on: schema, policy, and the signed file that carries both.

Pure: bytes and arrays in, checked objects out; no file, no clock, no randomness. Importing
:mod:`chiron_stream.job.policy` or :mod:`chiron_stream.job.file` does not load numpy; only
:mod:`chiron_stream.job.rows` and :mod:`chiron_stream.job.columns`, which hold plaintext rows, do.
``docs/job-file.md`` says the same for people.
"""
