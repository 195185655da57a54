use rule training as deficit with:
    """Train the dense network with a deficit in the iterations first to end - 1."""
    input:
        data="results/data/{dataset}.safetensors",
    output:
        metrics="results/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}/metrics.csv",
        run="results/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}/run.json",
    log:
        "logs/deficits/{dataset}/{model}/seed{seed}/{task}/{regime}/{deficit}-{first}-{end}/it{stop}.log",
    priority: 20
    params:
        spec=spec("deficit"),
        code=code("deficit"),
    message:
        "{wildcards.deficit} in iterations {wildcards.first} to {wildcards.end}, {wildcards.regime}: {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
