"""What one model costs against another: the same clips, pipeline, machine and run.

    models -> hearing (accuracy) -> timing (interleaved) -> footprint (a process each)
        -> pairs -> verdict -> text, JSON, CSV, page

Needs no TensorFlow, so it runs on a Raspberry Pi as well.
"""

ROUNDS = 200
"""Windows by which each latency is measured, unless a person asks for more."""
