"""List the definitions that a stage runs, with the hash of each: why Snakemake sees changed params."""

import argparse

from earlyphase.study.fingerprints import definitions, fingerprint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("roots", nargs="+", help="e.g. stages.imp_round.compute core.networks.resnet.resnet")


def run(args: argparse.Namespace) -> None:
    """Print them, then the fingerprint of all."""
    for name, digest in sorted(definitions(*args.roots).items()):
        print(f"{digest}  {name}")
    print(fingerprint(*args.roots))
