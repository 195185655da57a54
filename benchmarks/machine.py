"""What the benchmarks say of the machine, and how busy others keep it while they run."""

import os
import resource
from pathlib import Path


def usable_cores():
    """CPUs that this process may run on, in order."""
    return sorted(os.sched_getaffinity(0))


def describe():
    """One line: cores, processor, and the instructions that decide how fast it multiplies matrices."""
    facts = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        facts[name.strip()] = value.strip()
    flags = facts.get("flags", "").split()
    known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    has = [flag for flag in known if flag in flags]
    return f"{len(usable_cores())} cores, {facts.get('model name', 'unknown processor')} ({', '.join(has)})"


class OtherLoad:
    """Cores' worth of work that other processes had done on this machine, on average over a `with` body.

    Only meaningful where the body waits for all processes that it starts: what they used is subtracted.
    """

    def __enter__(self):
        self._start = self._read()
        return self

    def __exit__(self, *_):
        busy, idle, own = (after - before for after, before in zip(self._read(), self._start, strict=True))
        cores = os.cpu_count()
        self.cores = max(0.0, busy / (busy + idle) * cores - own / ((busy + idle) / cores))

    @staticmethod
    def _read():
        ticks = os.sysconf("SC_CLK_TCK")
        user, nice, system, idle, waiting, irq, soft_irq, stolen = (
            int(count) / ticks
            for count in Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]
        )
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(usage.ru_utime + usage.ru_stime for usage in used)
        return user + nice + system + irq + soft_irq + stolen, idle + waiting, own
