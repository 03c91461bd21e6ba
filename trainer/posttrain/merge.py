"""Merging as a stage: the models of earlier stages become one (trainer.merge)."""

from dataclasses import dataclass, field
from typing import Any

from jacorpus.errors import RecipeError
from trainer.posttrain.stage import Context, finish, finished, folder_digest, key_of, settled


@dataclass(frozen=True, kw_only=True)
class Merge:
    """models: names of earlier stages, ``@name``, or folders. weights: one a model; none: equal. method: of
    trainer.merge; options: the method's own. base: for methods that need one, ``@base`` by default."""

    models: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    method: str = "linear"
    base: str = "@base"
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 42

    def __post_init__(self) -> None:
        if len(self.models) < 2:
            raise RecipeError('merge: name two models or more, as models = ["@sft", "@grpo"]')
        if self.weights and len(self.weights) != len(self.models):
            raise RecipeError(f"merge: {len(self.weights)} weights for {len(self.models)} models; give one a model")

    def check(self, context: Context) -> dict[str, Any]:
        """Which folders would be merged."""
        return {"models": [str(path) for path in context.paths(self.models)], "method": self.method}

    def run(self, context: Context) -> dict[str, Any]:
        """Merge, or return what is there. Raises JacorpusError."""
        from trainer.merge import merged_weights

        folders = context.paths(self.models)
        given = {**key_of(self, context, ()), "digests": [folder_digest(folder) for folder in folders]}
        done = finished(context, given)
        if done is not None:
            return done
        with settled(context):
            base = context.paths([self.base])[0]
            model = context.opened.model
            model.load_state_dict(merged_weights(self.method, folders, self.weights, base, self.options, self.seed))
            result = {"use": "merge", "method": self.method, "models": [folder.name for folder in folders]}
            return finish(context, model, result)
