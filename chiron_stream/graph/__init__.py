"""The closed graph: what a recipe is on the trusted side, and the only code that runs one.

A recipe is data: nodes over a table of operations, typed arguments, references backwards only. It
has no names of Python things, no loops and no control flow, so it ends by construction and calls
nothing but the table (``docs/graph-format.md``, ``docs/decisions/0007-closed-graph.md``).

======================  =======================================================================
``format``              :func:`~chiron_stream.graph.format.parse`: untrusted bytes to a definition
``ops``, ``arguments``  the table of operations and the types of their arguments
``checker``             :func:`~chiron_stream.graph.checker.check`: parse, then one run without
                        data that bounds memory and settles shapes
``batching``            how the rows of a slot make batches
``per_example``         whether each prediction comes from its own row alone
``columns``             which columns of a job's schema an input is made of
``layout``, ``state``   the bytes of a model's state, and the state itself
``training``            one slot of training
``prediction``          answers at one batch size
``numerics``            thread count, denormals, determinism: what decides the bits
======================  =======================================================================

``format``, ``ops``, ``arguments``, ``batching``, ``columns``, ``layout`` and ``checked`` load no
torch. Nothing here reads a file, a clock, the environment or a source of randomness.
"""
