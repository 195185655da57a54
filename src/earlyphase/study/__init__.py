"""The configured study: what it may say, which jobs follow, and what each of them depends on."""
