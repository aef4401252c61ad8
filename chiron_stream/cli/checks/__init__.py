"""What ``chiron doctor`` looks at: one function a check, each with one finding."""
