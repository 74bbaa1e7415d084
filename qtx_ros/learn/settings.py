"""What a training run is told: one frozen dataclass, read from YAML and written beside the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qtx_ros.errors import QtxError
from qtx_ros.model.policy import ModelConfig

EPISODES = ("all", "success", "demonstrations")
LOSSES = ("mse", "hl_gauss")
CONSERVATIVE = ("zero", "gap", "softmax")
PRECISIONS = ("float32", "bfloat16")
METHOD_NAMES = ("q", "bc", "iql", "cql", "dt")
_CHOICES = {
    "method": METHOD_NAMES, "episodes": EPISODES, "loss": LOSSES, "conservative": CONSERVATIVE, "precision": PRECISIONS
}  # fmt: skip
_POSITIVE = ("steps", "batch_size", "chunk", "learning_rate", "clip_norm", "n_step", "log_every", "save_every")
_FRACTIONS = ("final_learning_rate", "beta2", "gamma", "target_rate", "text_drop", "expectile", "smooth")
_AT_LEAST_ZERO = (
    "warmup_steps", "weight_decay", "alpha", "shift", "colour", "state_noise", "threads", "loader_threads", "cache_mb",
    "target_every", "regenerative", "consistency", "margin", "margin_weight", "temperature", "recompute", "gap",
    "rebuild", "search", "bin_noise",
)  # fmt: skip

_TERMS = ("margin_weight", "consistency", "completion")
_WITH_SEARCH = {"method": "q", "loss": "mse", "tighten": False, "regenerative": 0.0, "model.order": "fixed"}
_UNKNOWN = {"bc": _TERMS, "dt": _TERMS, "iql": _TERMS}  # keys that a method has no use for
_READ_WITH = {  # keys that are read only if another one has this value
    "gap": ("conservative", "gap"), "atom_sigma": ("loss", "hl_gauss"), "expectile": ("method", "iql"),
    "temperature": ("method", "iql"),
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Learning rule, optimiser, augmentation and network."""

    method: str = "q"  # or bc, iql, cql, dt: `qtx_ros/learn/methods.py`
    episodes: str = "all"  # or success: that succeeded; or demonstrations: of these, what no policy did by itself
    steps: int = 4000  # gradient steps
    batch_size: int = 64  # transitions
    chunk: int = 1  # of them that follow each other, sharing frames and augmentation; 16: far less to encode
    learning_rate: float = 5e-4
    warmup_steps: int = 200
    final_learning_rate: float = 0.1  # at the last step, as a share of learning_rate
    beta2: float = 0.99  # of AdamW
    weight_decay: float = 1e-3
    clip_norm: float = 10.0  # of the gradient

    gamma: float = 0.98  # discount per tick
    n_step: int = 1  # ticks of reward before the bootstrap
    alpha: float = 1.0  # weight of the conservative regulariser
    monte_carlo: bool = True  # targets are at least the return-to-go
    tighten: bool = False  # with n_step above 1: targets are at least those of one tick
    completion: bool = False  # the target of each dimension is at least that of the last one
    truncation_is_failure: bool = True  # a failed episode, cut or ended, is worth nothing after its last step
    value_low: float = 0.0  # targets are clipped to [value_low, value_high]; unseen bins are pushed to value_low
    value_high: float = 1.0
    target_rate: float = 0.01  # share of the online weights that the target network takes each step
    target_every: int = 0  # steps between copies of all online weights instead, 0: target_rate

    loss: str = "mse"  # or hl_gauss: values are histograms, with model.atoms
    atom_sigma: float = 0.75  # of a target's histogram, in widths of an atom
    smooth: float = 0.0  # how far neighbours of the taken bin share with it: σ, as a share of the dimension's bins
    conservative: str = "zero"  # unseen bins are worth value_low; gap: the target minus `gap` at most; or softmax: CQL
    gap: float = 0.2  # with conservative gap: by how much unseen bins are worth less than the target
    margin: float = 0.0  # by which the taken bin of a successful episode should lead, with margin_weight
    margin_weight: float = 0.0
    consistency: float = 0.0  # weight of the penalty on Q whose greedy bin is not the one that its target assumed
    search: int = 0  # steps for which what targets assume stands, while model.critics of them compete (ConQUR); 0: off
    regenerative: float = 0.0  # weight of the squared distance to the initial weights
    rebuild: float = 0.0  # weight of the error of the pictures rebuilt from their tokens: tells where things are
    expectile: float = 0.8  # of method iql: which expectile of Q the value of a state is
    temperature: float = 3.0  # of method iql: exponent of the advantage in the weights of the policy's loss

    shift: int = 3  # random shift of the images, up to ± pixels
    colour: float = 0.0  # random brightness, contrast and saturation of the images, times 1 ± this
    state_noise: float = 0.0  # Gaussian noise on the state, in standard deviations of the data
    bin_noise: float = 0.0  # Gaussian noise on the taken bins, as a share of the dimension's bins; many bins need it
    text_drop: float = 0.0  # probability that a transition is learned without its instruction, for model.guidance
    threads: int = 1  # of PyTorch, 0: its own choice; results are bit-identical for the same number only
    loader_threads: int = 1  # batches prepared ahead
    cache_mb: int = 4096  # frames are decoded once into memory if they need no more than this
    device: str = "cpu"
    precision: str = "float32"  # or bfloat16: the frame encoder computes in it where it can, all else in float32
    recompute: int = 0  # frames encoded at a time, and once more in the backward pass, to save memory; 0: all, kept
    compile: bool = False  # the frame encoder by torch.compile; needs a C++ compiler, pays in long runs
    log_every: int = 50  # steps
    save_every: int = 500  # steps
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        self._check(_POSITIVE, lambda x: x > 0, "more than 0")
        self._check(("atom_sigma",), lambda x: x > 0, "more than 0")
        self._check(_FRACTIONS, lambda x: 0 <= x <= 1, "between 0 and 1")
        self._check(_AT_LEAST_ZERO, lambda x: x >= 0, "at least 0")
        if not self.value_low < self.value_high:
            raise QtxError(f"training: value_low {self.value_low} must be below value_high {self.value_high}")

        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise QtxError(f"training: {name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.model.atoms and self.model.value_range != (self.value_low, self.value_high):
            values = self.value_low, self.value_high
            raise QtxError(f"training: model.value_range is {self.model.value_range}, values are clipped to {values}")
        if self.model.text == "none" and self.text_drop:
            raise QtxError(f"training: text_drop is {self.text_drop}, expected 0: model.text none reads no instruction")
        if self.recompute and self.model.encoder == "maxvit" and self.model.maxvit.norm == "batch":
            raise QtxError("training: recompute encodes a few frames at a time, maxvit.norm batch needs all: use rms")
        self._check_method()
        if self.model.guidance != 1 and not self.text_drop:
            raise QtxError(f"training: model.guidance {self.model.guidance} needs a text_drop above 0")

    def _check_method(self) -> None:
        """A method needs what its network has, and nothing is learned that no key asks for."""
        method, model = self.method, self.model
        if method in ("bc", "dt") and model.critics > 1:
            raise QtxError(f"training: model.critics is {model.critics}, expected 1: method {method} has no values")
        for key, owner in (("actor", "iql"), ("returns", "dt")):
            has, right = (str(value).lower() for value in (getattr(model, key), method == owner))
            if has != right:
                raise QtxError(f"training: model.{key} is {has} with {method}, expected {right}: {owner} needs it")
        if method not in ("q", "cql") and (model.beam > 1 or model.order == "predicted"):
            raise QtxError(f"training: model.beam and model.order predicted need values, method {method} has none")
        for key in _UNKNOWN.get(method, ()):
            if value := getattr(self, key):
                said, off = ("true", "false") if value is True else (value, 0)
                raise QtxError(f"training: {key} is {said}, expected {off}: {method} has no use for it")
        self._check_search()
        for key, (other, needed) in _READ_WITH.items():
            default, value = type(self).__dataclass_fields__[key].default, getattr(self, key)
            if value != default and (found := getattr(self, other)) != needed:
                raise QtxError(f"training: {key} is {value} with {other} {found}, which reads none: {needed} does")
        if self.conservative == "softmax" and method not in ("q", "cql"):
            raise QtxError(f"training: conservative is softmax, expected zero: {method} has no use for it")
        if self.conservative == "gap" and method != "q":
            raise QtxError(f"training: conservative is gap, which only method q knows, not {method}")
        if self.margin and not self.margin_weight:
            raise QtxError(f"training: margin is {self.margin}, but its margin_weight is 0")
        if self.tighten and (self.n_step == 1 or method not in ("q", "cql")):
            raise QtxError(f"training: tighten needs method q or cql and n_step above 1, not {method}, {self.n_step}")
        if (self.loss == "hl_gauss") != (model.atoms > 0):
            raise QtxError(f"training: loss is {self.loss} and model.atoms {model.atoms}: only hl_gauss needs some")
        if self.loss == "hl_gauss" and self.conservative == "gap":
            raise QtxError("training: conservative gap needs loss mse: a histogram has no value to stay below")
        if self.loss == "hl_gauss" and method not in ("q", "cql"):
            raise QtxError(f"training: loss is hl_gauss, method {method} knows mse only")

    def _check_search(self) -> None:
        """The search is among several critics of Q-learning that are asked to be consistent."""
        if not self.search:
            if self.model.critics > 2:
                raise QtxError(f"training: model.critics is {self.model.critics}, expected 1 or 2 without search")
            return
        found = {**vars(self), "model.order": self.model.order}
        for key, right in _WITH_SEARCH.items():
            if found[key] != right:
                said, wanted = (str(value).lower() for value in (found[key], right))
                raise QtxError(f"training: {key} is {said}, expected {wanted} with search")
        if self.model.critics < 2 or not self.consistency:
            said = f"model.critics is {self.model.critics} and consistency {self.consistency}"
            raise QtxError(f"training: search needs several critics and a consistency above 0, but {said}")

    def _check(self, names: tuple[str, ...], fits, wanted: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not (math.isfinite(value) and fits(value)):
                raise QtxError(f"training: {name} is {value}, expected {wanted}")


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of step 0, 1, …: linear warm-up, then linear decay to `final_learning_rate`."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * warm * (1 - (1 - config.final_learning_rate) * step / config.steps)
