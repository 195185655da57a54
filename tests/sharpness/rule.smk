

use rule training as sharpness with:
    """Find the largest loss in a ball around the weights after k iterations."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
    output:
        row="results/sharpness/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/sharpness/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    params:
        spec=spec("sharpness"),
        code=code("sharpness"),
    message:
        "Sharpness of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"
