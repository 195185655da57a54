"""How and where a job runs, never what it computes: files, locks, devices, saved progress."""
