"""Weight sharing: the weights of a kernel take few different values, which go on learning (Han et al., 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.artifacts import Finding
from jobs.models.backbone import Backbone
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.fit import Training

ROUNDS = 100  # of k-means; on weights in one dimension it settles long before


class ShareWeights(Recipe, Technique):
    """Every kernel and embedding has at most `clusters` different values: k-means finds them, fine-tuning moves them.

    TFMOT's initialisations begin the search. Zeros that a pruning before it left stay zeros, and count as one of the
    values. A file compresses by it (gzip, and formats that store indices); it makes nothing faster on a CPU. Depthwise
    kernels and biases stay as they are.
    """

    kind: Literal["share_weights"] = "share_weights"
    clusters: Annotated[int, Field(ge=3, le=1024, description="Different values of a kernel, zero included")] = 16
    initialisation: Literal["kmeans_plus_plus", "density", "linear"] = "kmeans_plus_plus"
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4

    def recipe(self) -> Recipe:
        """Return the fine-tuning's recipe."""
        return self

    def most_values(self) -> int:
        """Return the clusters."""
        return self.clusters

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse a second sharing, and sharing what is already lowered to the file."""
        if any(technique.most_values() for technique in before):
            yield "the chain shares weights already; set one number of clusters"
        if any(technique.shapes_file for technique in before):
            yield "weights cannot be shared once the file is quantized; put share_weights before quantize"

    def prepare(self, model: Any, context: Context) -> Training:
        """Give every kernel its shared values and put who shares with whom around it."""
        from jobs.fit import Training
        from jobs.optimizers import optimizer_of
        from jobs.tuning.keeping import Keep, Pattern, Surroundings, kernels_of, surrounded

        zeros = any(technique.zeroes for technique in context.chain)

        def surroundings(layer: Any) -> Surroundings | None:
            found = {}
            for name, variable in kernels_of(layer):
                values = shared(variable.numpy(), self.clusters, self.initialisation, zeros)
                variable.assign(values)
                found[name] = Keep(Pattern.of(values, zeros, self.clusters))
            return Surroundings(found, []) if found else None

        wrapped = surrounded(model, surroundings)
        return Training(wrapped, optimizer_of(self, context.train_steps), self.seed)

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the weights, each the value it shares."""
        from jobs.tuning.keeping import kept_weights

        return kept_weights(training.model)

    def promise(self, before: Mapping[str, Any], after: Mapping[str, Any], file: bytes | None) -> Iterator[Finding]:
        """Check that no kernel has more values than promised, nor any channel of a kernel in the file.

        In the file each channel may be scaled by itself, by a quantization or a normalisation that was folded in.
        """
        import numpy as np

        for name, value in after.items():
            if name.rsplit("/", 1)[-1] in ("kernel", "embeddings") and value.ndim >= 2:
                yield self._counted("different values", name.rsplit("/", 1)[0], len(np.unique(value)))
        if file is not None:
            from jobs.convert import kernels_in

            for tensor in kernels_in(file):
                most = max(len(np.unique(channel)) for channel in tensor.values())
                yield self._counted("different values of a channel in the file", tensor.name, most)

    def _counted(self, what: str, layer: str, found: int) -> Finding:
        return Finding(
            technique="share_weights",
            what=what,
            layer=layer,
            promised=f"<= {self.clusters}",
            measured=str(found),
            kept=found <= self.clusters,
        )


def shared(kernel: NDArray[Any], clusters: int, initialisation: str, zeros: bool) -> NDArray[Any]:
    """Return `kernel` with each weight replaced by the nearest of at most `clusters` values; with `zeros`, zeros stay.

    The values are the means of their weights: k-means in one dimension, where the nearest is found by bisection.
    """
    import numpy as np

    moves = kernel != 0 if zeros else np.ones(kernel.shape, bool)
    weights, values = kernel[moves], np.unique(kernel[moves])
    wanted = clusters - (not moves.all())
    if len(values) <= wanted:
        return kernel
    centroids = _initial(weights, wanted, initialisation)
    for _ in range(ROUNDS):
        nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)
        counts = np.bincount(nearest, minlength=len(centroids))
        sums = np.bincount(nearest, weights.astype(np.float64), len(centroids))
        moved = np.sort((sums[counts > 0] / counts[counts > 0]).astype(kernel.dtype))
        if len(moved) == len(centroids) and (moved == centroids).all():
            break
        centroids = moved
    result = np.zeros_like(kernel)
    result[moves] = centroids[np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)]
    return result


def _initial(weights: NDArray[Any], count: int, initialisation: str) -> NDArray[Any]:
    """Return up to `count` values to begin with, sorted, by one of TFMOT's initialisations."""
    import numpy as np
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config, clustering_centroids

    members = cluster_config.CentroidInitialization
    chosen = {
        "kmeans_plus_plus": members.KMEANS_PLUS_PLUS, "density": members.DENSITY_BASED, "linear": members.LINEAR
    }[initialisation]  # fmt: skip
    factory = clustering_centroids.CentroidsInitializerFactory.get_centroid_initializer(chosen)
    found: NDArray[Any] = factory(tf.constant(weights), count).get_cluster_centroids().numpy()
    return np.unique(found[np.isfinite(found)])
