"""Evaluates a traced function on weights that are perturbed where they are consumed.

``value_fn`` is traced once to a jaxpr. The interpreter runs it operation by operation. Most
operations see no perturbed weight and are bound as they are. One that does falls under the first
of these that fits:

- a change of shape or dtype is put off, so that the weight stays unperturbed behind it;
- a call (jit, remat, custom_jvp, custom_vjp) is entered; but where the loss is differentiated, a
  function with a derivative of its own gets its weights perturbed just before it, and keeps it;
- a loop or branch is rebuilt around its interpreted body; a scan over stacked layers perturbs
  one layer at a time;
- a gather of rows perturbs the rows gathered;
- a product with a weight whose direction is of low rank adds the product with the direction;
- a product with a large weight perturbs it a part at a time;
- anything else gets its weights perturbed just before it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax.extend import core

from zojax._quantized import QuantizedArray
from zojax._types import Array
from zojax.directions import LowRankNoise, SubspaceNoise
from zojax.streaming._factored import dot_in_subspace, factored_dot
from zojax.streaming._operations import Rule, Value, bind, gather, has_rows, perturb_first
from zojax.streaming._perturbed import Perturbed, Ties, View, tiled_dot

VIEWS = frozenset(
    {
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "expand_dims",
        "reshape",
        "sharding_constraint",
        "squeeze",
        "transpose",
    }
)

# Where each call keeps the jaxpr of its primal function.
CALLS = {
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "jit": "jaxpr",
}

# The calls that say how they are differentiated. Within, that is lost.
DIFFERENTIABLE = frozenset({"custom_jvp_call", "custom_vjp_call"})


def interpret(jaxpr: core.ClosedJaxpr, inputs: Sequence[Value], ties: Ties) -> list[Array]:
    """Runs ``jaxpr`` on ``inputs``, of which any may be perturbed weights; outputs are arrays."""
    env: dict[Any, Value] = {}
    env.update(zip(jaxpr.jaxpr.constvars, jaxpr.consts, strict=True))
    env.update(zip(jaxpr.jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        return atom.val if isinstance(atom, core.Literal) else env[atom]

    for eqn in jaxpr.jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        with eqn.ctx.manager:
            rule = _rule(eqn, operands)
            outputs = rule(eqn, operands, ties)
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [_array(read(atom)) for atom in jaxpr.jaxpr.outvars]


def _rule(eqn: core.JaxprEqn, operands: list[Value]) -> Rule:
    weights = [x for x in operands if isinstance(x, Perturbed)]
    if not weights:
        return _unperturbed
    name = eqn.primitive.name
    if name in VIEWS and len(operands) == 1:
        return _view
    if name in DIFFERENTIABLE and any(weight.differentiated for weight in weights):
        return perturb_first
    if name in CALLS:
        return _call
    return RULES.get(name, perturb_first)


def _unperturbed(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Array]:
    del ties
    return bind(eqn, operands)


def _view(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> list[Value]:
    del ties
    return [operands[0].view(View(eqn.primitive, eqn.params))]


def _reshard(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Value]:
    weight: Perturbed = operands[0]
    here = jax.typeof(weight.weight).sharding.mesh
    there = eqn.params["dst_sharding"].mesh
    if here == there:
        # The perturbed weight moves, and not its noise.
        return _view(eqn, operands, ties)
    if weight.views or isinstance(weight.weight, QuantizedArray):
        return perturb_first(eqn, operands, ties)
    # The border of jax.sharding.auto_axes: beyond it arrays are of other types, noise as well.
    [beyond] = bind(eqn, [weight.weight])
    return [weight.beside(beyond)]


def _call(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> list[Array]:
    return interpret(_closed(eqn.params[CALLS[eqn.primitive.name]]), operands, ties)


def _dot(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Array]:
    sides = [i for i, x in enumerate(operands) if isinstance(x, Perturbed)]
    if len(sides) > 1:
        return perturb_first(eqn, operands, ties)
    [side] = sides
    weight: Perturbed = operands[side]
    if isinstance(weight.noise, LowRankNoise) and weight.axes() is not None:
        return [factored_dot(eqn, operands, side)]
    if isinstance(weight.noise, SubspaceNoise) and weight.axes() is not None:
        return _dot_in_subspace(eqn, operands, side, ties)
    return tiled_dot(eqn, operands, side) or perturb_first(eqn, operands, ties)


def _dot_in_subspace(
    eqn: core.JaxprEqn, operands: list[Value], side: int, ties: Ties
) -> Sequence[Value]:
    weight: Perturbed = operands[side]
    if not isinstance(weight.noise, SubspaceNoise) or weight.noise.seen.stack:
        return perturb_first(eqn, operands, ties)
    # The factors are drawn here, and wait for what they meet.
    weight, (other,) = ties(weight, [operands[1 - side]])
    return [dot_in_subspace(eqn, [weight, other] if side == 0 else [other, weight], side)]


def _scan(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> list[Array]:
    consts, carry, xs = _scan_groups(eqn.params, operands)
    # A stacked weight goes in as its layers and what picks each layer's noise.
    lazy = [x if isinstance(x, Perturbed) and _sliceable(x) else None for x in xs]
    stacked = [
        _array(x) if lazy_x is None else (x.weight, x.noise and x.noise.slices(x.weight.shape))
        for x, lazy_x in zip(xs, lazy, strict=True)
    ]

    def layer(stack: Perturbed | None, part: Any) -> Value:
        if stack is None:
            return part
        weight, noise = part
        return dataclasses.replace(
            stack, weight=weight, noise=stack.noise and stack.noise.slice(noise)
        )

    def body(carry: list[Array], parts: list[Any]) -> tuple[list[Array], list[Array]]:
        layers = [layer(stack, part) for stack, part in zip(lazy, parts, strict=True)]
        jaxpr = _closed(eqn.params["jaxpr"])
        outputs = interpret(jaxpr, [*consts, *carry, *layers], ties.inner())
        return outputs[: len(carry)], outputs[len(carry) :]

    carry, outputs = lax.scan(
        body,
        [_array(x) for x in carry],
        stacked,
        length=eqn.params["length"],
        reverse=eqn.params["reverse"],
        unroll=eqn.params["unroll"],
    )
    return [*carry, *outputs]


def _scan_groups(params: dict[str, Any], operands: list[Value]) -> tuple[list[Value], ...]:
    """Splits the operands of a scan into constants, initial carry and stacked inputs."""
    if "ft_in" in params:  # jax >= 0.11
        return tuple(list(group.vals) for group in params["ft_in"].update(operands).unpack())
    first = params["num_consts"]
    last = first + params["num_carry"]
    return operands[:first], operands[first:last], operands[last:]


def _sliceable(x: Perturbed) -> bool:
    return has_rows(x) and all(view.primitive.name == "convert_element_type" for view in x.views)


def _while(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> list[Array]:
    params = eqn.params
    split = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    cond_consts, body_consts = operands[: split[0]], operands[split[0] : split[1]]

    def cond(carry: list[Array]) -> Array:
        jaxpr = _closed(params["cond_jaxpr"])
        return interpret(jaxpr, [*cond_consts, *carry], ties.inner())[0]

    def body(carry: list[Array]) -> list[Array]:
        return interpret(_closed(params["body_jaxpr"]), [*body_consts, *carry], ties.inner())

    return lax.while_loop(cond, body, [_array(x) for x in operands[split[1] :]])


def _cond(eqn: core.JaxprEqn, operands: list[Value], ties: Ties) -> Sequence[Array]:
    if isinstance(operands[0], Perturbed) or "branches_platforms" in eqn.params:
        return perturb_first(eqn, operands, ties)
    branches = [
        lambda jaxpr=jaxpr: interpret(_closed(jaxpr), operands[1:], ties.inner())
        for jaxpr in eqn.params["branches"]
    ]
    return lax.switch(operands[0], branches)


RULES: dict[str, Rule] = {
    "cond": _cond,
    "dot_general": _dot,
    "gather": gather,
    "reshard": _reshard,
    "scan": _scan,
    "while": _while,
}


def _closed(jaxpr: Any) -> core.ClosedJaxpr:
    # Some primitives keep a jaxpr without constants; from jax 0.12 there is one class for both.
    return jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ())


def _array(x: Value) -> Array:
    return x.value() if isinstance(x, Perturbed) else x
