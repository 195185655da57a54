use rule training as telemetry with:
    """Replay a dense run and write down how its weights, gradients and accuracy change."""
    input:
        data="results/data/{dataset}.safetensors",
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        state="results/telemetry/{dataset}/{model}/seed{seed}/{task}/state.csv",
        traces="results/telemetry/{dataset}/{model}/seed{seed}/{task}/traces.csv",
        evaluations="results/telemetry/{dataset}/{model}/seed{seed}/{task}/evaluations.csv",
        run="results/telemetry/{dataset}/{model}/seed{seed}/{task}/run.json",
    log:
        "logs/telemetry/{dataset}/{model}/seed{seed}/{task}.log",
    priority: 80
    params:
        spec=spec("telemetry"),
        code=code("telemetry"),
    message:
        "Telemetry of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"


use rule training as curvature with:
    """Find the Hessian's top subspace after k iterations, and what lies in it."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        initial="results/dense/{dataset}/{model}/seed{seed}/{task}/it0.safetensors",
    output:
        eigenpairs="results/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        row="results/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    priority: 70
    params:
        spec=spec("curvature"),
        code=code("curvature"),
    message:
        "Curvature of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"


use rule training as edge_of_stability with:
    """Replay a dense run, and follow the Hessian's largest eigenvalue from iteration to iteration."""
    input:
        data="results/data/{dataset}.safetensors",
        trajectory="results/dense/{dataset}/{model}/seed{seed}/{task}/trajectory.safetensors",
    output:
        rows="results/edge_of_stability/{dataset}/{model}/seed{seed}/{task}/rows.csv",
        run="results/edge_of_stability/{dataset}/{model}/seed{seed}/{task}/run.json",
    log:
        "logs/edge_of_stability/{dataset}/{model}/seed{seed}/{task}.log",
    priority: 30
    params:
        spec=spec("edge_of_stability"),
        code=code("edge_of_stability"),
    message:
        "Edge of stability of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"


use rule training as early_bird with:
    """Compare the masks that would be pruned at the states which a dense run keeps."""
    input:
        data="results/data/{dataset}.safetensors",
        states=needs("early_bird", "states"),
    output:
        table="results/early_bird/{dataset}/{model}/seed{seed}/{task}/masks.csv",
    log:
        "logs/early_bird/{dataset}/{model}/seed{seed}/{task}.log",
    priority: 30
    params:
        spec=spec("early_bird"),
        code=code("early_bird"),
    message:
        "Masks of kept states of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"


use rule training as kernel with:
    """Compare the tangent kernel after k iterations with that an interval later, and that of the end."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
        later=needs("kernel", "later"),
        final=needs("kernel", "final"),
    output:
        row="results/kernel/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/kernel/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    priority: 30
    params:
        spec=spec("kernel"),
        code=code("kernel"),
    message:
        "Tangent kernel of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"


use rule training as fisher with:
    """Estimate the trace of the Fisher information after k iterations, and of the empirical one."""
    input:
        data="results/data/{dataset}.safetensors",
        state="results/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.safetensors",
    output:
        row="results/fisher/{dataset}/{model}/seed{seed}/{task}/it{k}.csv",
    log:
        "logs/fisher/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    priority: 30
    params:
        spec=spec("fisher"),
        code=code("fisher"),
    message:
        "Fisher information of {wildcards.model} on {wildcards.dataset} at iteration {wildcards.k}, seed {wildcards.seed}"


use rule job as pairs with:
    """Compare the subspaces, and the signs of weights, of a dense run between all pairs of times."""
    input:
        eigenpairs=needs("pairs", "eigenpairs"),
        states=needs("pairs", "states"),
    output:
        table="results/curvature/{dataset}/{model}/seed{seed}/{task}/pairs.csv",
    log:
        "logs/curvature/{dataset}/{model}/seed{seed}/{task}/pairs.log",
    priority: 70
    params:
        spec=spec("pairs"),
        code=code("pairs"),
    message:
        "Subspaces of {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}"
