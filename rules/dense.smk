use rule training as dense with:
    """Train the dense network once, keeping its state at every k of the study."""
    input:
        data="results/data/{dataset}.safetensors",
        start=needs("dense", "start"),
    output:
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
        metrics="results/dense/{dataset}/{model}/seed{seed}/{task}/metrics.csv",
        run="results/dense/{dataset}/{model}/seed{seed}/{task}/run.json",
    log:
        "logs/dense/{dataset}/{model}/seed{seed}/{task}.log",
    priority: 90
    params:
        spec=spec("dense"),
        code=code("dense"),
        means=means_and_kept_iterations,
    message:
        "Train {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"


use rule training as checkpoint with:
    """Take the state at iteration k out of the dense run."""
    input:
        data="results/data/{dataset}.safetensors",
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
    log:
        "logs/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    priority: 90
    params:
        spec=spec("checkpoint"),
        code=code("checkpoint"),
    message:
        "State of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"
