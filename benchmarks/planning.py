#!/usr/bin/env python3
"""What planning costs: seconds and memory of `snakemake -n` for the default study and for thousands of jobs.

The large study has 5 replicates, 20 rewind iterations and 50 rounds, about 5,100 jobs. Nothing is trained: it is
planned from nothing, in a temporary folder, and with --done also once all of it is there, as empty files with the
records that Snakemake keeps of them.

usage: planning.py [--runs 3]
"""
