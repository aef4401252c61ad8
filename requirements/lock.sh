#!/bin/sh
# Writes the pinned requirement files. Usage: sh requirements/lock.sh path/to/uv
#
# Every file lists all packages with hashes, for all Pythons and platforms, and names no index: the
# user's own pip configuration decides where packages come from. They are installed with --no-deps,
# so that what is not listed is not installed.
set -eu
uv=$1
compile() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
    --no-emit-index-url --no-header --no-annotate "$@"
}
# torch asks for packages that a CPU never loads: the GPU compiler (triton, 1 GB), CUDA's Python
# bindings, its linear solvers and its profiling ranges. They are left out; everything that torch
# links against stays (docs/decisions/0004-torch.md).
unused="triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cusolver nvidia-nvtx nvidia-cuda-cccl"
linked="nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13
  nvidia-cufft nvidia-cufile nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13
  nvidia-nvjitlink nvidia-nvshmem-cu13"
without() { for name in "$@"; do printf ' --no-emit-package %s' "$name"; done; }

# What workers and providers install.
compile pyproject.toml --extra worker --extra provider $(without $unused) \
  --output-file requirements/worker.txt
# The same for those who take a CPU build of torch from an index of their own.
compile pyproject.toml --extra worker --extra provider $(without $unused $linked torch) \
  --constraint requirements/worker.txt --output-file requirements/worker-without-torch.txt
# What a party without torch installs.
compile pyproject.toml --constraint requirements/worker.txt --output-file requirements/base.txt
# What the tests, benches and checks need, without torch.
compile pyproject.toml --extra dev --constraint requirements/worker.txt \
  --output-file requirements/dev.txt
