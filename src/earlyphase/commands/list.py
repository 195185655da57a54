"""List what the configuration can name: python -m earlyphase list perturbations."""

import argparse

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.study.configuration import CATALOGUE, catalogue, entries_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("kind", nargs="?", choices=sorted(catalogue()), help="all kinds where it is left out")
    add_study_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print each kind, or each entry of one as YAML, with a sentence.

    Raises:
        InvalidInput: the configuration is invalid.
    """
    import yaml

    study = load_study(args)
    if args.kind is None:
        for kind in catalogue():
            about = (CATALOGUE / f"{kind}.yaml").read_text(encoding="utf-8").split("\n", 1)[0]
            print(f"{kind} ({len(study.config[kind])})\n    {about.removeprefix('# ')}")
        return
    for name, entry in study.config[args.kind].items():
        text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=110)
        print(f"{name}: {text.rstrip()}")
        section, described = args.kind, entries_of(entry)
        if args.kind == "pretraining":
            section, described = "tasks", entries_of(study.config["tasks"][entry["task"]])
        for part in described if args.kind != "regimes" else ():
            sentence = study.description(section, part["function"]).split("\n\n")[0]
            print(f"    {' '.join(sentence.split())}")
