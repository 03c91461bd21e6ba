"""How large a model, on how many tokens: the scaling law L = E + A/N^a + B/D^b, published constants, their doubt.

    loss(N, D)      nats a token
    C = 6 N D       operations of training
    optimum at C    N* = G (C/6)^(b/(a+b)),  D* = C/(6 N*),  G = (aA/(bB))^(1/(a+b))      (Hoffmann, arXiv 2203.15556)

No set of constants is the truth: they were fitted to other text, tokenizers and models than yours, so a loss in nats
says little, a difference or a ratio more. All published sets are kept and everything is told for each. One of them has
standard errors. Its constants are so correlated (A with a, B with b: above .99) that drawing each by itself would widen
every answer to nonsense, and the correlation was not published: the one used here is of 4,000 bootstrap fits of our own
to the same 240 points (``mixing.refit``, ``benchmarks/mix_plan.py``).

Legend: N parameters, D tokens trained on, U unique tokens, C operations, L loss; float64 arrays go by element.
"""

import math
from dataclasses import dataclass

import numpy as np

from jacorpus.errors import RecipeError, nearest
from jacorpus.report.numbers import Interval
from mixing.repeats import R_STAR, Number, effective

R_N_STAR = 5.309743
"""R_N*: the same as R_D* for parameters beyond what the unique tokens can fill (arXiv 2305.16264)."""


@dataclass(frozen=True, eq=False)
class Law:
    """Constants of L = E + A/N^a + B/D^b; arrays are draws of them. source: where they are from."""

    name: str
    E: Number
    A: Number
    B: Number
    a: Number
    b: Number
    source: str = ""

    def loss(self, parameters: Number, tokens: Number) -> Number:
        """L(N, D) in nats a token of the fit's own tokenizer."""
        return self.E + self.A / parameters**self.a + self.data_term(tokens)

    def data_term(self, tokens: Number) -> Number:
        """B/D^b: the part of the loss that more tokens take away."""
        return self.B / tokens**self.b

    @property
    def exponent(self) -> Number:
        """N* grows as C to the power of b/(a+b)."""
        return self.b / (self.a + self.b)

    @property
    def G(self) -> Number:
        """The factor of N*."""
        return (self.a * self.A / (self.b * self.B)) ** (1 / (self.a + self.b))

    def optimum(self, flops: Number) -> tuple[Number, Number]:
        """(N*, D*): the least loss that so many operations of training can reach."""
        parameters = self.G * (flops / 6) ** self.exponent
        return parameters, flops / (6 * parameters)

    def tokens_for(self, parameters: Number) -> Number:
        """D for which N is the optimum."""
        return (parameters / self.G) ** (1 / self.exponent) / parameters

    def parameters_for(self, tokens: Number) -> Number:
        """N for which D is the optimum."""
        return self.G * (self.G * tokens) ** (self.b / self.a)

    def flops_for(self, loss: Number) -> Number:
        """The fewest operations that reach a loss; inf at or below E.

        At an optimum aA/N^a = bB/D^b, so L - E = (1 + a/b) A/N^a gives N and then D.
        """
        with np.errstate(divide="ignore"):
            term = np.maximum(np.subtract(loss, self.E), 0.0) / (1 + self.a / self.b)
            parameters = (self.A / term) ** (1 / self.a)
            tokens = (self.B / (term * self.a / self.b)) ** (1 / self.b)
        found = 6 * parameters * tokens
        return found if np.ndim(found) else float(found)


LAWS: tuple[Law, ...] = (
    Law("hoffmann-printed", 1.69, 406.4, 410.7, 0.34, 0.28, "arXiv 2203.15556, approach 3, as printed"),
    Law(
        *("hoffmann-tex", math.exp(0.5267228), math.exp(6.0073404), math.exp(6.0179186), 0.33917084, 0.2849083),
        "arXiv 2203.15556, all digits, from the paper's TeX source",
    ),
    Law("besiroglu", 1.8172, 482.01, 2085.43, 0.3478, 0.3658, "arXiv 2404.10102, a new fit to Hoffmann's points"),
    Law(
        *("muennighoff", math.exp(0.6254804), math.exp(6.255414), math.exp(7.3049974), 0.3526596, 0.3526596),
        "arXiv 2305.16264, C4, a = b imposed",
    ),
)
"""Published constants. A later law, in which repeats turn harmful (arXiv 2605.01640), is known to us from accounts of
others alone: its constants are not here."""

REFERENCE = "besiroglu"
"""The set a plan follows where nothing else is said: of those fitted to Hoffmann's points it fits them best, and it is
the only one with errors."""

ERRORS = {"A": 124.52, "B": 1293.28, "E": 0.02566, "a": 0.0154, "b": 0.0206}
"""Besiroglu's standard errors, as published."""

_N0, _D0 = 2e7, 7.5e8
_SPREAD = (0.00936, 0.01072, ERRORS["E"] / 1.8172, ERRORS["a"], ERRORS["b"])
_CORRELATION = (
    (1.0, -0.480, 0.121, -0.101, 0.317),
    (-0.480, 1.0, 0.101, 0.261, -0.010),
    (0.121, 0.101, 1.0, 0.568, 0.624),
    (-0.101, 0.261, 0.568, 1.0, -0.263),
    (0.317, -0.010, 0.624, -0.263, 1.0),
)
"""Of ln A/N0^a, ln B/D0^b, ln E, a, b; standard deviations of the first two and all correlations are of our own
bootstrap, the other three published. At these N0 and D0 the first two hardly depend on a and b, so that three places
are enough."""


def law_named(name: str) -> Law:
    """A published set. Raises RecipeError with the nearest name."""
    for law in LAWS:
        if law.name == name:
            return law
    raise RecipeError(f"no constants `{name}`{nearest(name, [law.name for law in LAWS])}")


def draws(law: Law, number: int = 1000, seed: int = 0) -> Law | None:
    """The same set as ``number`` draws of its sampling distribution, normal in (ln A, ln B, ln E, a, b); None for a set
    without published errors."""
    if law.name != REFERENCE:
        return None
    middle = [math.log(law.A) - law.a * math.log(_N0), math.log(law.B) - law.b * math.log(_D0), math.log(law.E)]
    normal = np.random.default_rng(seed).standard_normal((number, 5)) @ np.linalg.cholesky(_CORRELATION).T
    A, B, E, a, b = (normal * _SPREAD + [*middle, law.a, law.b]).T
    source = f"{number:,} draws"
    return Law(law.name, np.exp(E), np.exp(A + a * math.log(_N0)), np.exp(B + b * math.log(_D0)), a, b, source)


def interval(value: float, drawn: Number) -> Interval:
    """A value with the range of 95 % of its draws."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class Choice:
    """A model of N parameters trained on D tokens, beside the best for the same operations and for the same loss.

    overtraining: D over the D for which N is the optimum; below 1 the model is trained on too little. tax: operations
    over the fewest that reach its loss, less 1. saved: the share of its operations that an optimal split spares at the
    same loss, tax/(1 + tax). excess: its loss over the least for its operations, nats a token.
    """

    parameters: Number
    tokens: Number
    flops: Number
    loss: Number
    best_parameters: Number
    best_tokens: Number
    overtraining: Number
    tax: Number
    saved: Number
    excess: Number


def chosen(law: Law, parameters: float, tokens: float) -> Choice:
    """What a law says of a choice of N and D."""
    flops, loss = 6 * parameters * tokens, law.loss(parameters, tokens)
    best = law.optimum(flops)
    tax = flops / law.flops_for(loss) - 1
    return Choice(
        *(parameters, tokens, flops, loss, *best, tokens / law.tokens_for(parameters), tax, tax / (1 + tax)),
        excess=loss - law.loss(*best),
    )


def serving_optimum(law: Law, loss: float, served: float) -> tuple[float, float]:
    """(N, D) of the least 6ND + 2N D_served that reaches a loss: training and serving together.

    Along equal loss, cost falls with ln N while 3D/(3D + D_served) times aA/N^a / (bB/D^b) is over 1, and that product
    falls with N: one root, found by bisection. Source: N. Sardana et al., arXiv 2401.00448. Raises RecipeError for a
    loss at or below E, which no size reaches.
    """
    E, A, B, a, b = (float(value) for value in (law.E, law.A, law.B, law.a, law.b))
    gap = loss - E
    if gap <= 0:
        raise RecipeError(f"a loss of {loss:.4g} is at or below E = {E:.4g}, which no size of model reaches")
    low, high = 0.0, gap  # A/N^a lies between
    for _ in range(200):
        term = (low + high) / 2
        tokens = (B / (gap - term)) ** (1 / b)
        steep = a * term / (b * (gap - term)) * 3 * tokens / (3 * tokens + served)
        low, high = (low, term) if steep > 1 else (term, high)
    term = (low + high) / 2
    return (A / term) ** (1 / a), (B / (gap - term)) ** (1 / b)


def constrained_loss(law: Law, parameters: Number, tokens: Number, unique: Number) -> Number:
    """L(N', D') where only U tokens are unique: D' = h(D; U), and parameters beyond the optimum for U saturate alike.

    Source: arXiv 2305.16264, whose own constants are ``muennighoff``.
    """
    U = np.minimum(unique, tokens)
    fitting = np.minimum(parameters, law.parameters_for(U))
    found = law.loss(effective(parameters, fitting, R_N_STAR), effective(tokens, U, R_STAR))
    return found if np.ndim(found) else float(found)


def constrained_optimum(law: Law, flops: float, unique: float) -> tuple[float, float]:
    """(N, D) of the least ``constrained_loss`` at C = 6ND, to 1e-6 in ln N, by a grid made finer around its best."""
    center, width = math.log(law.optimum(flops)[0]), math.log(64.0)
    while width > 1e-6:
        grid = np.exp(np.linspace(center - width, center + width, 401))
        center = math.log(grid[np.argmin(constrained_loss(law, grid, flops / (6 * grid), unique))])
        width /= 50
    parameters = math.exp(center)
    return parameters, flops / (6 * parameters)
