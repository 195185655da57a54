use rule training as perturb with:
    """Perturb the ticket of a round at iteration k and train it once."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
        final=needs("perturb", "final"),
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
    output:
        metrics="results/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.csv",
        run="results/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.json",
    log:
        "logs/perturbed/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}.log",
    priority: 60
    params:
        spec=spec("perturb"),
        code=code("perturb"),
    message:
        "{wildcards.perturbation}: round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
