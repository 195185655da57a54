use rule training as scores with:
    """Judge how hard each training image is, by the dense networks of all seeds early in training."""
    input:
        data="results/data/{dataset}.safetensors",
        states=needs("scores", "states"),
    output:
        scores="results/scores/{dataset}/{model}/{task}.safetensors",
    log:
        "logs/scores/{dataset}/{model}/{task}.log",
    priority: 50
    params:
        spec=spec("scores"),
        code=code("scores"),
    message:
        "How hard images are: {wildcards.model} on {wildcards.dataset}"


use rule training as pretrain with:
    """Train the dense network on another task first, or on a share of the images."""
    input:
        data="results/data/{dataset}.safetensors",
        scores=needs("pretrain", "scores"),
    output:
        state="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.safetensors",
        metrics="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.csv",
        run="results/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.json",
    log:
        "logs/pretrained/{dataset}/{model}/seed{seed}/{pretraining}/it{iterations}.log",
    priority: 50
    params:
        spec=spec("pretrain"),
        code=code("pretrain"),
    message:
        "Pretrain {wildcards.model} on {wildcards.dataset}: {wildcards.pretraining} for {wildcards.iterations} iterations, seed {wildcards.seed}"


use rule training as pretrain_ticket with:
    """Train the ticket of a round, pruned and perturbed already, on another task first."""
    input:
        data="results/data/{dataset}.safetensors",
        rewind="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
        final=needs("pretrain_ticket", "final"),
        mask="results/imp/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/mask.safetensors",
    output:
        state="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/state.safetensors",
        mask="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/mask.safetensors",
        metrics="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.csv",
        run="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.json",
    log:
        "logs/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/pretraining.log",
    priority: 40
    params:
        spec=spec("pretrain_ticket"),
        code=code("pretrain_ticket"),
    message:
        "Pretrain {wildcards.perturbation}, round {wildcards.round} of {wildcards.model} on {wildcards.dataset}: {wildcards.pretraining} for {wildcards.iterations} iterations, k = {wildcards.k}, seed {wildcards.seed}"


use rule training as train_ticket with:
    """Train a pretrained ticket on the task of its run."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/state.safetensors",
        mask="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/mask.safetensors",
    output:
        metrics="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/metrics.csv",
        run="results/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/run.json",
    log:
        "logs/pretrained_tickets/{dataset}/{model}/seed{seed}/{task}/{criterion}/it{k}/round{round}/{perturbation}/{pretraining}-{iterations}/metrics.log",
    priority: 40
    params:
        spec=spec("train_ticket"),
        code=code("train_ticket"),
    message:
        "{wildcards.perturbation} after {wildcards.pretraining}, {wildcards.iterations} iterations: round {wildcards.round} of {wildcards.model} on {wildcards.dataset}, k = {wildcards.k}, seed {wildcards.seed}"
