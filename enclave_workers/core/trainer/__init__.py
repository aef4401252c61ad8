"""The trainer's core: slots in, sealed updates out."""
