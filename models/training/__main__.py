"""One command from recordings to shipped, judged models."""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from models.training import ROOT, report
from models.training.data import DataMissing


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m models.training",
        description="Train, calibrate, quantize, judge and export the three models, from the checkout's root.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with smd/, asd/ and nab/")
    parser.add_argument("--out", type=Path, default=ROOT / "models", help="where the files go (default: models/)")
    parser.add_argument(
        "--only", action="append", choices=report.MODELS, help="train just this model (may be repeated; default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (default: 0)")
    parser.add_argument(
        "--steps",
        type=int,
        default=2000,
        help="optimiser steps of the forecaster's folds; its shipped network takes 1.5 times as many (default: 2000)",
    )
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    started = time.monotonic()
    try:
        report.run(options.data, options.out, options.seed, options.steps, options.only or report.MODELS)
    except DataMissing as error:
        sys.exit(str(error))
    sys.stderr.write(f"done in {time.monotonic() - started:.0f} s: {options.out}\n")


if __name__ == "__main__":
    main()
