"""Options that several commands share; imports nothing heavy."""

import argparse
import json


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every job of the workflow is told: its spec, and the code it was planned with."""
    parser.add_argument("--spec", required=True, type=json.loads, help="what to do, as JSON")
    parser.add_argument("--code", required=True, help="fingerprint the job was planned with")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every training job is told."""
    add_job_arguments(parser)
    parser.add_argument("--data", required=True, help="data set, .safetensors")
    parser.add_argument("--resume", required=True, help="where progress is kept until the job ends")
    parser.add_argument("--resume-interval", type=float, default=30.0, help="seconds of work a kill may cost")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
