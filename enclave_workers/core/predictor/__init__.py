"""The predictor's core: sealed queries in, sealed answers out."""
